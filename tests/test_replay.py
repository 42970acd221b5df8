"""Replay: a recorded run is given again event by event, at its own pace, and its files stay as they are."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from tests import fake_worker
from tui_gen import events, speeds
from tui_gen.log import event_log
from tui_gen.log.event_log import EventWriter
from tui_gen.replay import IDLE, LONGEST, MOST, Playback, ReplayView, step_of
from tui_gen.report import replaying
from tui_gen.report.stdout import Outlet
from tui_gen.speeds import Pace
from tui_gen.view import RunView

BEGUN = 1_800_000_000.0


class Hands:
    """A clock that goes on only where a test moves it."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def story() -> list[events.Event]:
    """A run of 40 steps in 20 s, paused for an hour in between, resumed from step 30 the day after."""
    told: list[events.Event] = [events.State(state="starting", step=0, t=BEGUN)]
    told.append(events.Plan(steps=40, steps_per_epoch=10, batch_size=8, t=BEGUN + 0.5))
    told.append(events.State(state="running", step=0, t=BEGUN + 1))
    t = BEGUN + 1
    for step in range(0, 40, 2):
        t += 1
        told.append(events.Metrics(start=step, values={"vae/loss": [float(step), step + 0.5]}, t=t))
        if step == 18:
            told += [events.State(state="paused", step=20, t=t), events.State(state="running", step=20, t=t + 3600)]
            t += 3600
        if step in (10, 30):
            told.append(events.Sample(step=step + 2, path=f"samples/{step}.png", t=t))
    told.append(events.State(state="stopped", step=40, t=t))
    t += 86_400
    told += [events.Resume(step=30, t=t), events.State(state="running", step=30, t=t + 0.5)]
    told.append(events.Metrics(start=30, values={"vae/loss": [-1.0] * 10}, t=t + 1.5))
    told.append(events.State(state="finished", step=40, t=t + 2.5))
    return told


@pytest.fixture
def run(tmp_path) -> Path:
    path = fake_worker.make_run(tmp_path)
    writer = EventWriter(path / "events.jsonl")
    writer.write(*story())
    writer.close()
    return path


def played(run: Path, hands: Hands, speed: float = 1.0, **pace: int) -> Playback:
    return Playback(run / "events.jsonl", Pace(speed, **pace), clock=hands, decode=events.decode)


def moments(playback: Playback, hands: Hands, tick: float, most: int = 5000) -> list[tuple[float, events.Event]]:
    """Every event with the time at which it was given, in seconds from the beginning."""
    begun, given = hands.now, []
    for _ in range(most):
        given += [(hands.now - begun, event) for event in playback.poll()]
        if playback.over:
            return given
        hands.now += tick
    raise AssertionError("it does not end")


@pytest.mark.parametrize("speed", [1.0, 20.0])
def test_events_are_given_in_their_order_at_their_own_times_with_idle_ones_made_short(run, speed):
    given = moments(played(run, hands := Hands(), speed), hands, 0.05)
    assert [events.encode(event) for _, event in given] == [events.encode(event) for event in story()]
    at = {id(event): moment * speed for moment, event in given}
    before, trains, expected = None, False, 0.0
    for _, event in given:
        gap = 0.0 if before is None else event.t - before
        expected += min(gap, LONGEST if trains else IDLE)
        assert expected - 1e-6 <= at[id(event)] <= expected + 0.05 * speed + 1e-6
        before = event.t
        trains = event.state == "running" if isinstance(event, events.State) else trains
    assert expected == pytest.approx(0.5 + 0.5 + 20 + IDLE + IDLE + 0.5 + 2)


def test_a_view_of_a_replay_is_the_run_as_it_was_then_and_at_the_end_the_run(run):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    view = ReplayView(run, Pace(1.0), clock=(hands := Hands()))
    seen, states = [], []
    while not view.playback.over:
        view.poll()
        seen.append((view.step, len(view.series.get("vae/loss", ())), len(view.samples)))
        states += [view.state] if states[-1:] != [view.state] else []
        assert not view.live and view.replaying.startswith("replay")
        hands.now += 0.25
    steps = [step for step, _, _ in seen]
    assert set(steps) >= set(range(0, 41, 2)) and steps.count(12) == 4
    assert states == ["starting", "running", "paused", "running", "stopped", "running", "finished"]
    assert all(length == step for step, length, _ in seen) and {count for _, _, count in seen} == {0, 1, 2}
    whole = RunView.read(run)
    assert view.series["vae/loss"].values.tolist() == whole.series["vae/loss"].values.tolist()
    assert (view.log, view.state, view.step, view.samples) == (whole.log, whole.state, whole.step, whole.samples)
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_paused_replay_has_no_news_and_goes_on_where_it_was(run):
    playback = played(run, hands := Hands())
    given = playback.poll()
    for _ in range(20):
        hands.now += 0.5
        given += playback.poll()
    playback.toggle()
    assert playback.words == "replay paused"
    for _ in range(50):
        hands.now += 1.5
        assert playback.poll() == [] and not playback.behind and not playback.restarted
    playback.toggle()
    at = hands.now
    rest = moments(playback, hands, 0.25)
    assert [*given, *(event for _, event in rest)] == story()
    assert rest[0][0] <= 1.0 and hands.now - at == pytest.approx(25.5 - 10, abs=0.6)


def test_faster_and_slower_count_from_then_on_and_what_nobody_could_see_is_not_played(run):
    playback = played(run, hands := Hands())
    playback.poll()
    hands.now += 3600  # the machine slept
    assert step_of(playback.poll()[-1]) <= 2
    for direction, speed in ((1, 2.0), (1, 5.0), (-1, 2.0), (-1, 1.0), (-1, 1.0)):
        playback.change_speed(direction)
        assert playback.speed == speed and playback.words == f"replay {speed:g}×"
    playback.speed = 8.0
    hands.now += 1.0
    assert playback.poll()[-1].t == BEGUN + 1 + 9  # 2 s were gone, and 8 now
    assert speeds.next_speed(33.0, 1) == 50.0 and speeds.next_speed(33.0, -1) == 20.0
    assert speeds.next_speed(5000.0, 1) == 5000.0


def test_a_jump_gives_what_comes_before_at_once_forwards_and_backwards(run):
    playback = played(run, hands := Hands())
    playback.toggle()
    playback.poll()
    playback.jump(25)
    first = playback.poll()
    assert step_of(first[-1]) == 26 and not playback.restarted and playback.step == 26
    assert playback.poll() == []  # still paused
    playback.jump(7)
    again = playback.poll()
    assert playback.restarted and playback.step == 8 and again == story()[: len(again)]
    playback.toggle()
    assert [event for _, event in moments(playback, hands, 0.5)] == story()[len(again) :]
    playback.toggle()  # over: it begins anew
    assert playback.poll() == story()[:1] and playback.restarted and not playback.over
    playback.jump(10**9)
    assert playback.poll() == story()[1 : 1 + len(story()) - 5] and playback.step == 40


def test_from_and_to_are_steps(run):
    playback = played(run, hands := Hands(), first=21, last=34)
    first = playback.poll()
    assert step_of(first[-1]) == 22 and all(step_of(event) <= 22 for event in first)
    rest = moments(playback, hands, 0.5)
    assert max(step_of(event) for _, event in rest) == 34 and playback.over
    assert rest[-1][0] == pytest.approx(6, abs=0.6)
    view = ReplayView(run, Pace(1.0, 0, 20), clock=(hands := Hands()))
    while not view.playback.over:
        view.poll()
        hands.now += 0.5
    assert (view.state, view.step) == ("running", 20)  # as it was then: what came after is not told


def test_a_long_log_is_handed_out_in_parts_and_read_ahead_only_a_little(tmp_path):
    path = tmp_path / "events.jsonl"
    lines = [events.Metrics(start=step, values={"a/b": [1.0]}, t=BEGUN + step / 10) for step in range(30_000)]
    path.write_bytes(b"".join(map(events.encode, lines)))
    playback = Playback(path, Pace(1.0), clock=(hands := Hands()))
    playback.poll(1 << 14)
    hands.now += 1
    assert len(playback.poll(1 << 14)) == 10 and len(playback._ahead) < 1000
    playback.jump(29_000)
    parts = []
    while (part := playback.poll(1 << 14)) or playback.behind:
        parts.append(len(part))
    assert max(parts) <= MOST and sum(parts) == 29_000 - 11
    follower = event_log.Follower(path)
    assert sum(len(part) for part in iter(follower.poll, [])) == 30_000


def test_as_text_it_reads_as_the_run_did(run):
    for json_wanted, speed in ((False, 10.0), (True, 10.0), (False, 1000.0)):
        out, hands = Outlet(text := io.StringIO()), Hands()

        def wait(seconds: float, hands: Hands = hands) -> list[int]:
            hands.now += seconds
            return []

        display = replaying.JsonDisplay(out) if json_wanted else replaying.PlainDisplay(out, 0.0)
        assert replaying.play(run, Pace(speed), display, out, wait, clock=hands) == 0
        assert hands.now - 50 == pytest.approx(25.5 / speed, abs=0.3)
        lines = text.getvalue().splitlines()
        if json_wanted:
            found = [json.loads(line) for line in lines]
            assert [one["type"] for one in (found[0], found[-1])] == ["run", "end"]
            assert found[1:-1] == [json.loads(events.encode(event)) for event in story()]
        else:
            said = "\n".join(lines)
            assert "paused at step 20" in said and "resumed from step 30" in said and "finished at step 40" in said
            assert sum("vae/loss" in line for line in lines) >= (10 if speed == 10.0 else 3)
            until_pause = lines[: next(at for at, line in enumerate(lines) if "paused" in line)]
            ahead = [int(step) for line in until_pause for step in re.findall(r"step (\d+)", line)]
            assert max(ahead) == 20  # no figures of what came after it
