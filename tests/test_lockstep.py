"""What rank 0 grants, asks and hears of the other processes of a run, without any of them."""

from __future__ import annotations

import copy
import io
import queue
import random
import socket
import threading
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests import small_runs
from tui_gen import sharing
from tui_gen.model import Text
from tui_gen.train.engine import ranks
from tui_gen.train.engine.building import TrainingError
from tui_gen.train.quality import schedule
from tui_gen.train.quality.evaluate import SampleBatch, Sampler
from tui_gen.train.quality.reference import QualityError
from tui_gen.train.run import following, lockstep, peer_link, peers, pictures
from tui_gen.train.run.requests import stops_first
from tui_gen.train.shown.previews import Previewer
from tui_gen.world import TORCHRUN, World


class Told:
    """Peers that only remember what they are told, and answer what `answers` makes of it."""

    def __init__(self, count=2, answers=None):
        self.world = World(0, count, 0, count)
        self.messages = []
        self.waiting = {rank: queue.SimpleQueue() for rank in range(1, count)}
        self.peers = [
            SimpleNamespace(rank=rank, words=f"rank {rank}", tell=partial(self.ask, rank)) for rank in range(1, count)
        ]
        self.answers = answers

    def tell_all(self, do, **fields):
        self.messages.append({"do": do, **fields})

    def ask(self, rank, do, **fields):
        for answer in self.answers(rank, {"do": do, **fields}):
            self.waiting[rank].put(answer)

    def answer(self, peer, check):
        check()
        return self.waiting[peer.rank].get_nowait()

    def answer_by(self, peer, check, deadline):
        check()
        return None if self.waiting[peer.rank].empty() else self.waiting[peer.rank].get_nowait()


def test_all_take_the_same_steps_with_the_same_fractions_and_wait_where_something_is_planned():
    dice, told = random.Random(0), Told()
    leading, follower = lockstep.Leading(told), lockstep.Grants()
    planned, step, waits = [1, 2, 17, 40, 41, 90, 200], 0, []
    while step < 200:
        until = next(at for at in planned if at > step)
        if leading.settled(step):
            waits.append(step)
            leading.go_on(step, until, step / 200)
        elif dice.random() < 0.9:
            leading.extend(step, until, step / 200)
        if step == 60:  # as where steps are fast
            leading._ahead = 20
        while told.messages and step >= follower.until:
            message = told.messages.pop(0)
            follower.take(message["until"], message["fraction"])
        assert step < follower.until <= leading.grants.until <= until
        assert follower.fraction(step) == leading.fraction(step, None)
        step += 1
    assert leading.settled(200) and set(planned[:-1]) <= set(waits)
    assert len(waits) < 60  # as a rule nobody waits


def test_samples_are_the_same_whoever_draws_them():
    trainer = small_runs.trainer("ddpm")
    model, device = trainer.eval_model, trainer.device
    batches = [SampleBatch(torch.randn(5, *model.noise_shape), None, seed) for seed in (3, 4, 5)]
    alone = Sampler().draw(model, device, batches)

    def answers(rank, message):
        stale = {"do": "drew", "round": message["round"] - 1, "problem": "of a round that was cut"}
        return [stale, lockstep.draw(model, device, message)]

    shared = lockstep.Leading(Told(3, answers)).sampler(lambda: None)
    assert shared.width == 3
    for count in (3, 1, 2):
        drawn = shared.draw(model, device, batches[:count])
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(alone[:count], drawn, strict=True))

    def breaks(rank, message):
        return [lockstep.draw(SimpleNamespace(training=False), device, message)]

    with pytest.raises(QualityError, match="rank 1: AttributeError"):
        lockstep.Leading(Told(2, breaks)).sampler(lambda: None).draw(model, device, batches[:2])


def previewer_of(trainer):
    return Previewer(trainer.model, trainer.data, trainer.device, 16, 3)


def pixels(previews):
    return [(preview.kind, preview.pixels) for preview in previews]


def same(some, others):
    return all(a == b and np.array_equal(x, y) for (a, x), (b, y) in zip(some, others, strict=True))


@pytest.fixture
def drawing(monkeypatch):
    """A trainer whose sampler draws random numbers, what rank 0 of three makes pictures with, and what the others were
    asked for; `answering` is what they say."""
    trainer = small_runs.trainer("ddpm", model__sampler="ddpm")
    with torch.no_grad():
        for parameter in (*trainer.model.parameters(), *trainer.average.parameters()):
            parameter.normal_(0, 0.1)
    state = SimpleNamespace(trainer=trainer, asked=[], answering=lambda message: [pictures.made(trainer, message)])

    def answers(rank, message):
        state.asked.append((rank, message["method"], message["averaged"]))
        return [{"do": "drew", "round": message["round"] - 1, "samples": "of a round that was cut"},
                *state.answering(message)]  # fmt: skip

    state.leading = lockstep.Leading(Told(3, answers))
    state.previewer = previewer_of(trainer)
    state.previewer.rows = state.leading.rows(trainer, lambda: None)
    models = trainer.average, trainer.model
    state.one = [pixels(previewer_of(trainer).draw(model)) for model in models]
    monkeypatch.setattr(pictures, "COSTLY", 1e9)
    state.alone = [pixels(state.previewer.draw(model)) for model in models]
    assert not state.asked and not state.previewer.rows.wanted
    monkeypatch.setattr(pictures, "COSTLY", 0.0)
    return state


def test_pictures_are_the_same_whoever_makes_them(drawing):
    trainer, previewer = drawing.trainer, drawing.previewer
    for one, alone in zip(drawing.one, drawing.alone, strict=True):
        assert [kind for kind, _ in one] == [kind for kind, _ in alone] == ["samples", "trajectory"]
        for (_, whole), (_, parts) in zip(one, alone, strict=True):  # of one process, but for the order of sums
            assert np.abs(whole.astype(int) - parts).max() <= 1 and whole.std() > 10
    for _ in range(2):
        assert same(pixels(previewer.draw(trainer.average)), drawing.alone[0])
        assert same(pixels(previewer.draw(trainer.model)), drawing.alone[1])
    assert set(drawing.asked) == {(rank, method, averaged) for rank in (1, 2) for method in ("sample", "trajectory")
                                  for averaged in (True, False)}  # fmt: skip
    assert trainer.model.training and previewer.rows.wanted
    drawing.asked.clear()
    assert same(pixels(previewer.draw(copy.deepcopy(trainer.average))), drawing.alone[0])  # others do not have it
    drawing.leading.grants.take(trainer.step + 5, None)  # they are on their way to a later step
    assert same(pixels(previewer.draw(trainer.average)), drawing.alone[0])
    assert not drawing.asked


@pytest.mark.parametrize("what", ["a fault", "no answer"])
def test_what_others_do_not_make_rank_0_makes_itself(drawing, what):
    trainer, previewer = drawing.trainer, drawing.previewer
    broken = SimpleNamespace(training=False, eval=lambda: None, train=lambda was: None)
    elsewhere = SimpleNamespace(average=broken, model=broken, device=trainer.device)
    drawing.answering = lambda message: [pictures.made(elsewhere, message)] if what == "a fault" else []
    for _ in range(2):
        assert same(pixels(previewer.draw(trainer.average)), drawing.alone[0])
        assert len(drawing.asked) == 4  # once, and not again
    assert not previewer.rows.wanted


@pytest.mark.parametrize("family", ["char-rnn", "flow-matching", "gan", "vae", "vq-vae"])
def test_rows_that_are_made_in_parts_are_those_of_the_whole(family):
    trainer = small_runs.trainer(family)
    made = lockstep.Leading(Told(2)).rows(trainer, lambda: None)
    one, parts = previewer_of(trainer).draw(trainer.model), previewer_of(trainer)
    parts.rows = made
    for whole, other in zip(one, parts.draw(trainer.model), strict=True):
        if isinstance(whole, Text):
            assert whole.text == other.text
        else:
            assert np.abs(whole.pixels.astype(int) - other.pixels).max() <= 1
    assert made._seconds and not made._whole


@pytest.mark.parametrize("whose", ["ours", "somebody's"])
def test_what_depends_on_all_rows_is_made_whole(drawing, whose):
    trainer, previewer = drawing.trainer, drawing.previewer
    sample = type(trainer.model).sample

    class Centred(type(trainer.model)):
        def sample(self, noise, labels=None):
            return sample(self, noise, labels) - sharing.batch_mean(noise)

    if whose == "ours":
        Centred.__module__ = type(trainer.model).__module__
    trainer.average.__class__ = Centred
    one = pixels(previewer_of(trainer).draw(trainer.average))
    for _ in range(2):
        assert same(pixels(previewer.draw(trainer.average))[:1], one[:1])


def test_a_picture_does_not_hide_that_another_process_is_gone(drawing):
    drawing.previewer.forgiving = True

    def gone(message):
        raise peers.PeerError("rank 1 is gone")

    drawing.answering = gone
    with pytest.raises(peers.PeerError, match="rank 1 is gone"):
        drawing.previewer.draw(drawing.trainer.average)


def test_a_measurement_does_not_hide_that_another_process_is_gone(monkeypatch):
    def loses(*given, **more):
        yield "sampling"
        raise peers.PeerError("rank 1 is gone")

    monkeypatch.setattr(schedule, "measure", loses)
    measuring = schedule.QualitySchedule(small_runs.trainer("vae", quality__at_end=True), print)
    with pytest.raises(peers.PeerError, match="rank 1 is gone"):
        list(measuring.rest())
    assert not measuring.busy and not measuring.trouble


def test_an_end_is_asked_for_before_all_else():
    inbox, answered = queue.SimpleQueue(), []
    for op in ("edit", "stop", "pause"):
        inbox.put(SimpleNamespace(op=op))
    stops_first(inbox, lambda request: answered.append(request.op))
    assert answered == ["stop"] and [inbox.get().op, inbox.get().op] == ["edit", "pause"]


@pytest.fixture
def group(tmp_path):
    """Peers of a run of three, none of them started; and what they tell."""
    told = []
    group = peers.Peers(tmp_path, World(0, 3, 0, 3), lambda words, level: told.append((level, words)), print, print)
    for peer in group.peers:
        peer.host, peer.pid, peer.loads = "elsewhere", 100 + peer.rank, False
    return group, told


def test_a_launcher_that_does_not_answer_is_the_runs_last_word(tmp_path, monkeypatch):
    def silent(host, port, key, words):
        raise TrainingError(f"the launcher's store at {host}:{port} does not answer: refused")

    monkeypatch.setattr(ranks, "publish", silent)
    met = peers.Peers(tmp_path, World(0, 2, 0, 2, "127.0.0.1", 1, TORCHRUN), print, print, print)
    with pytest.raises(peers.PeerError, match=r"^the launcher's store at .* does not answer: refused"):
        met.begin()


def test_the_first_cause_is_told_and_not_what_came_of_it(group):
    group, _ = group
    group._hear(group.peers[1], {"do": "failed", "words": "connection closed by peer", "second": True})
    group.check()  # another may yet say why
    group._hear(group.peers[0], {"do": "failed", "words": "out of memory (worker-1.log has the traceback)"})
    with pytest.raises(peers.PeerError, match=r"^rank 1 \(elsewhere, process 101\): out of memory"):
        group.check()
    assert group.cause_of(RuntimeError("mine")) == group.cause


def test_who_is_silent_is_named_and_then_given_up(group):
    group, told = group
    peer = group.peers[1]
    for silence in (1.0, peers.SILENCE + 1, peers.SILENCE + 2, 1.0, peers.SILENCE + 1):
        group._look_after(peer, silence)
    assert [level for level, _ in told] == ["warning", "info", "warning"]
    assert told[0][1].startswith("rank 2 (elsewhere, process 102) gives no sign of life") and "back" in told[1][1]
    assert not group.cause
    group._look_after(peer, peers.LOST + 1)
    assert group.cause.startswith("rank 2 (elsewhere, process 102) has given no sign of life for")


def test_who_loads_pytorch_says_nothing_for_long_and_is_missed_only_where_it_is_held(group, monkeypatch):
    """What loads it keeps other threads from running: for half a minute on a cold disk or a busy machine."""
    group, told = group
    peer = group.peers[0]
    peer.host, peer.loads = socket.gethostname(), True
    state = "R"
    monkeypatch.setattr(peers.presence, "process_state", lambda pid: state if pid == 101 else "R")
    for silence in (peers.SILENCE + 1, peers.LOST + 1):
        group._look_after(peer, silence)
    assert not told and not group.cause
    state = "T"
    group._look_after(peer, peers.SILENCE + 1)
    assert "it is held by a signal; kill -CONT 101 lets it go on" in told[0][1]
    group._look_after(peer, peers.LOST + 1)
    assert group.cause.endswith("it was held by a signal")
    group._hear(group.peers[1], {"do": "data"})
    assert not group.peers[1].loads


@pytest.mark.parametrize("said, told", [("beat", False), ("build", True)])
def test_a_rank_0_that_has_yet_to_load_pytorch_may_say_nothing_for_long(monkeypatch, said, told):
    class Left(BaseException):
        pass

    def leave(status):
        raise Left

    monkeypatch.setattr(following.sys, "stderr", io.StringIO())
    here, there = socket.socketpair()
    other = following.Following(World(1, 3, 1, 3), link=peer_link.PeerLink(there))
    other._leave = leave
    peer_link.PeerLink(here).send(said)
    here.close()
    with pytest.raises(Left):
        other._listen()
    assert other._told == told


def test_who_is_held_while_it_is_told_much_is_given_up_like_any_other(tmp_path, monkeypatch):
    """The noise of samples, say, is more than a socket holds: who tells it waits, and somebody has to see why."""
    for name, seconds in (("BEAT", 0.02), ("SILENCE", 0.05), ("LOST", 0.1), ("STUCK", 0.1), ("LEAVING", 0.1)):
        monkeypatch.setattr(peers, name, seconds)
    monkeypatch.setattr(peer_link, "MOMENT", 0.05)
    told, ended = [], []

    def give_up(reason):
        group.end("failed", reason)
        ended.append(reason)

    group = peers.Peers(tmp_path, World(0, 2, 0, 2), lambda words, level: told.append(words), print, give_up)
    ours, held = socket.socketpair()
    group.peers[0].loads = False
    group._take(group.peers[0], peer_link.PeerLink(ours))
    telling = threading.Thread(target=group.peers[0].tell, args=["draw"], kwargs={"noise": bytes(5_000_000)})
    telling.start()
    group._watch()
    telling.join(60)
    assert not telling.is_alive() and ended == ["rank 1 has given no sign of life for 0.1 s"]
    assert told and "gives no sign of life" in told[0]
    held.close()


def test_a_rank_0_that_was_held_hears_that_it_was_given_up(group, monkeypatch):
    class Left(BaseException):
        pass

    def leave(status):
        raise Left

    for name, seconds in (("BEAT", 0.05), ("LOST", 0.2)):
        monkeypatch.setattr(following, name, seconds)
    here, there = socket.socketpair()
    other = following.Following(World(1, 3, 1, 3), link=peer_link.PeerLink(there))
    other._told, other._leave = True, leave
    with pytest.raises(Left):
        other._beat()
    there.close()
    group, _ = group
    group._listen_to(group.peers[0], peer_link.PeerLink(here))
    assert group.cause.startswith("rank 1 (elsewhere, process 101): rank 0 has given no sign of life for 0.2 s; see")


def test_who_does_not_come_to_a_step_is_named_but_nobody_while_rank_0_is_busy(group):
    group, told = group
    now = time.monotonic()
    group._look_at_step(now + 1e6)  # a preview, say: it waits for nobody
    assert not told
    group.peers[0].waits = True
    group.collective, group.step = lambda: now, lambda: 1234
    for waited in (1.0, peers.LATE + 1, peers.LATE + 2):
        group._look_at_step(now + waited)
    assert told == [("warning", f"training has waited {peers.LATE + 1:.0f} s in step 1,234 for "
                     "rank 2 (elsewhere, process 102)")]  # fmt: skip
    group._look_at_step(now + peers.STALLED + 1)
    assert group.cause.startswith("rank 2 (elsewhere, process 102) did not come to step 1,234")
