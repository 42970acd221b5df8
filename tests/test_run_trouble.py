"""What a run does where its folder cannot be written, was renamed, or is gone: it waits, says so, loses nothing."""

from __future__ import annotations

import contextlib
import errno
import itertools
import math
import os
import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
import torch

from tests import small_runs
from tests.loop_run import Run, all_ended
from tests.waiting import wait_for
from tui_gen import control, runs
from tui_gen.app.steering import conductor
from tui_gen.log import event_log
from tui_gen.train import cutting
from tui_gen.train.data import loading
from tui_gen.train.data.sources import Mapped
from tui_gen.train.engine import trainer as trainers
from tui_gen.train.run import checkpoints, run_record, worker
from tui_gen.verdicts import bottleneck
from tui_gen.view import RunView


@contextlib.contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """What a full disk does to writers, from a size on, for this process: EFBIG."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


def saved(path, trainer, step=0):
    return checkpoints.save(path, trainer.snapshot(), checkpoints.Meta(step, 0.0, "test"))


@pytest.mark.parametrize("size", [0, 4096, 9000, 20_000])
def test_a_checkpoint_that_does_not_fit_says_what_the_system_says_and_leaves_the_one_before(tmp_path, size):
    """Libraries tell of it in words of their own, each in others: the number is the system's."""
    path, trainer = small_runs.make_run(tmp_path, "vae"), small_runs.trainer("vae")
    trainer.train_step()
    whole = saved(path, trainer)
    largest = max(file.stat().st_size for file in whole.iterdir())
    before = {file.name: file.read_bytes() for file in whole.iterdir()}
    assert largest > 20_000
    with files_no_larger_than(size), pytest.raises(OSError) as told:
        saved(path, trainer)
    assert told.value.errno == errno.EFBIG
    assert {file.name: file.read_bytes() for file in whole.iterdir()} == before
    assert [one.name for one in (path / "checkpoints").iterdir()] == [whole.name]


def test_what_a_disk_says_only_when_asked_to_sync_is_heard(tmp_path, monkeypatch):
    """Quotas of network file systems, and disks that are about to die."""
    path, trainer = small_runs.make_run(tmp_path, "vae"), small_runs.trainer("vae")

    def sync(handle):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(checkpoints.os, "fsync", sync)
    with pytest.raises(OSError) as told:
        saved(path, trainer)
    assert told.value.errno == errno.EDQUOT and not list((path / "checkpoints").iterdir())


def test_a_checkpoint_makes_its_folder_but_never_a_run_s(tmp_path):
    path, trainer = small_runs.make_run(tmp_path, "vae"), small_runs.trainer("vae")
    (path / "checkpoints").rmdir()
    assert saved(path, trainer).is_dir()
    with pytest.raises(FileNotFoundError):
        saved(path.parent / "gone", trainer)
    assert not (path.parent / "gone").exists()


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Run]]:
    made: list[Run] = []

    def begin(family="vae", **kwargs):
        run = Run(tmp_path / "runs", family, train__steps=10_000_000, **kwargs)
        made.append(run)
        run.thread.start()
        wait_for(lambda: run.trainer.step > 3, what="some steps")
        return run

    yield begin
    all_ended(made)


def goes_on(run: Run) -> None:
    """Wait until it has made more steps."""
    before = run.trainer.step
    wait_for(lambda: run.trainer.step > before, what="training to go on")


def test_a_run_whose_folder_is_renamed_goes_on_in_it(start):
    run = start()
    moved = run.path.with_name("renamed")
    run.path.rename(moved)
    run.path.mkdir()  # somebody else's, of the same name
    path = run.ask("checkpoint").data["path"]
    assert checkpoints.load(moved / path).meta.step and (moved / run.ask("sample").data["path"]).exists()
    goes_on(run)
    run.ask("stop")
    run.finish()
    assert not list(run.path.iterdir())
    view = RunView(moved)
    view.poll()
    assert view.state == "stopped" and view.checkpoints[-1].step == view.step
    assert any(text == f"the run's folder is {moved} now" for _, _, text in view.log)
    named = runs.worker_of(moved)
    assert (named.socket, named.id, named.path) == (run.server.path, run.server.id, str(moved.resolve()))


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("delete", [shutil.rmtree, lambda path: [shutil.rmtree(path), path.mkdir()]])
def test_a_run_whose_folder_is_deleted_ends_and_makes_nothing_anew(start, paused, delete):
    run = start(checkpoint__every_steps=50)
    if paused:
        run.ask("pause")
    with contextlib.suppress(FileNotFoundError):
        delete(run.path)
    shutil.rmtree(run.path, ignore_errors=True)  # it may have written meanwhile
    run.thread.join(120)
    assert not run.thread.is_alive() and run.loop.state == "failed" and not run.path.exists()


def test_a_folder_that_was_emptied_is_no_run_any_more(start):
    run = start()
    for one in (run.path / "config.toml", run.path / "events.jsonl"):
        one.unlink()
    run.thread.join(120)
    assert run.loop.state == "failed" and not (run.path / "events.jsonl").exists()


def test_a_log_that_was_removed_is_written_again_whole(start, monkeypatch):
    monkeypatch.setattr(run_record, "REMOVAL_PATIENCE", 0.0)
    run = start()
    (run.path / "events.jsonl").unlink()
    wait_for(lambda: (run.path / "events.jsonl").exists(), what="the log to be there again")
    goes_on(run)
    run.ask("stop")
    view = run.finish()
    assert view.state == "stopped" and not view.garbage
    assert list(view.series["vae/loss"].steps) == list(range(1, view.step + 1))


def test_whether_a_folder_was_emptied_is_asked_again_where_it_cannot_be_told(start, monkeypatch):
    """A log that is gone from a folder that may not be searched for now: the run waits."""
    monkeypatch.setattr(run_record, "REMOVAL_PATIENCE", 0.0)
    run, look, closed = start(), os.stat, [True]

    def stat(path, **more):
        if closed and os.fspath(path) == str(run.path / "config.toml"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return look(path, **more)

    monkeypatch.setattr(os, "stat", stat)
    (run.path / "events.jsonl").unlink()
    wait_for(lambda: "until it may be written again" in run.loop.trouble, what="the run to wait")
    closed.clear()
    goes_on(run)
    assert (run.path / "events.jsonl").exists()


def test_folders_that_are_missing_are_made_again(start):
    run = start()
    for name in ("samples", "checkpoints"):
        shutil.rmtree(run.path / name)
    assert (run.path / run.ask("sample").data["path"]).exists()
    assert (run.path / run.ask("checkpoint").data["path"] / "meta.json").exists()
    assert not run.loop.trouble


def in_the_way(path):
    """A file in place of a folder: what even root cannot write in.

    The run beside it may put a file into the folder, or make the folder again, at any moment of this.
    """
    while not path.is_file():
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(FileExistsError):
            path.touch(exist_ok=False)


@pytest.mark.parametrize(("name", "op"), [("samples", "sample"), ("checkpoints", "checkpoint")])
def test_a_write_that_somebody_asks_for_is_refused_where_it_cannot_be_and_training_goes_on(start, name, op):
    run = start()
    in_the_way(run.path / name)
    with pytest.raises(control.ControlError, match=f"{op}: cannot write .*{name}.*"):
        run.ask(op)
    assert not run.loop.trouble
    goes_on(run)
    (run.path / name).unlink()
    assert run.ask(op).data["path"]


@pytest.mark.parametrize("name", ["samples", "checkpoints"])
def test_a_write_that_is_due_waits_says_so_and_is_made_when_it_can_be(start, name):
    run = start(checkpoint__every_steps=20, preview__every_steps=20)
    in_the_way(run.path / name)
    trouble = wait_for(lambda: run.loop.trouble, what="the trouble to be noticed")
    assert str(run.path) in trouble and "training waits until" in trouble and "room" not in trouble
    held = run.trainer.step
    for op in ("sample", "checkpoint", "edit", "pause"):
        with pytest.raises(control.ControlError, match="training waits"):
            run.ask(op)
    if name == "checkpoints":
        with pytest.raises(control.ControlError, match="or stop without a checkpoint"):
            run.ask("stop")
        assert run.trainer.step == held
        (run.path / name).unlink()
        wait_for(lambda: run.trainer.step > held, what="training to go on")
    run.ask("stop")  # a picture that cannot be written keeps nobody from stopping with a checkpoint
    view = run.finish()
    assert view.state == "stopped" and view.checkpoints[-1].step == view.step
    assert checkpoints.load(run.path / view.checkpoints[-1].path).meta.step == view.step
    assert list(view.series["vae/loss"].steps) == list(range(1, view.step + 1))
    assert (name == "samples") or any("Training waited" in text for _, _, text in view.log)
    waited = bottleneck.recent(view.usage, math.inf).parts
    assert waited.get("writable", 0) > 0 and "room" not in waited


@pytest.mark.parametrize("stop", ["request", "signal"])
def test_where_nothing_can_be_written_a_stop_without_a_checkpoint_ends_the_run_at_once(start, monkeypatch, stop):
    run = start()
    write = os.write

    def fail(handle, data):
        if handle == run.writer._file:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return write(handle, data)

    monkeypatch.setattr(event_log.os, "write", fail)
    wait_for(lambda: run.loop.trouble, what="the trouble to be noticed")
    if stop == "request":
        run.ask("stop", checkpoint=False)
    else:
        run.loop.asked_to_stop = "by SIGTERM"
    run.thread.join(120)
    assert not run.thread.is_alive() and run.loop.state == "stopped"
    # The log cannot have it, but the work of a run that was not told to leave it is kept.
    assert len(list((run.path / "checkpoints").iterdir())) == (stop == "signal")


def test_a_picture_that_never_worked_ends_the_run_but_loses_no_step(tmp_path, monkeypatch):
    run = Run(tmp_path, preview__every_steps=7)
    monkeypatch.setattr(type(run.trainer.model), "sample", lambda *_: 1 / 0)
    run.loop.previewer.forgiving = False
    with contextlib.closing(run.server), pytest.raises(ZeroDivisionError):
        run.loop.run()
    assert [step for step, _, _ in checkpoints.complete(run.path)] == [run.trainer.step] == [1]


def test_a_picture_that_fails_later_is_told_once_and_costs_nothing_else(tmp_path, monkeypatch):
    run = Run(tmp_path, preview__every_steps=7)
    kind = type(run.trainer.model)
    sample = kind.sample
    monkeypatch.setattr(kind, "sample", lambda *given: (run.trainer.step > 6 and 1 / 0) or sample(*given))
    monkeypatch.setattr(kind, "reconstruct", lambda self, x, labels=None: x * torch.nan)
    with contextlib.closing(run.server):
        run.loop.run()
    run.view.poll()
    assert run.view.state == "finished" and run.trainer.step == 30
    told = [text for _, level, text in run.view.log if level == "warning" and "sample() failed: ZeroDiv" in text]
    assert len(told) == 1 and "the run goes on" in told[0] and "test_run_trouble.py, line" in told[0]
    assert sum("reconstruct() returned NaN" in text for _, level, text in run.view.log if level == "warning") == 1
    kinds = [sample.kind for sample in run.view.samples]
    assert kinds.count("samples") == 1 and kinds.count("reconstructions") > 3


class Slow(Mapped):
    """Examples on a disk that stops to answer."""

    def __init__(self, source):
        super().__init__(source.examples.numpy(), torch.arange(source.count), source.labels, source.device)
        self.asked, self.answers = threading.Event(), threading.Event()
        self.answers.set()

    def read(self, indices):
        if not self.answers.is_set():
            self.asked.set()
        self.answers.wait(120)
        return super().read(indices)


def slowly(data):
    """The same data, read from a slow disk."""
    data.train = Slow(data.train)
    return data


def begin_what_never_ends(run: Run, monkeypatch: pytest.MonkeyPatch, work: str) -> threading.Event:
    """Have a run do so between its steps; the event tells that it does."""
    begun = threading.Event()
    if work == "validation":
        monkeypatch.setattr(trainers, "fixed_batches", lambda *_, **__: itertools.repeat((torch.zeros(1), None)))
        monkeypatch.setattr(run.trainer.model, "validation", lambda batch: begun.set() or {})
        run.trainer.config.train.validate_every = 1
    elif work == "preview":

        def draw(model):
            noise = run.loop.previewer.noise(model, 1)[0]
            while True:
                model.decode(noise)
                begun.set()

        monkeypatch.setattr(run.loop.previewer, "draw", draw)
        run.trainer.config.preview.every_steps = 1
    else:
        run.trainer.stream.source.answers.clear()
        begun = run.trainer.stream.source.asked
    return begun


@pytest.mark.parametrize("work", ["validation", "preview", "reading"])
@pytest.mark.parametrize("stop", ["request", "signal"])
def test_what_never_ends_is_cut_when_the_run_is_to_stop(start, monkeypatch, work, stop):
    if work == "reading":
        load = loading.load
        monkeypatch.setattr("tui_gen.train.data.load", lambda *given, **more: slowly(load(*given, **more)))
    run = start()
    begun = begin_what_never_ends(run, monkeypatch, work)
    assert begun.wait(120)
    if stop == "signal":
        run.loop.asked_to_stop = "by SIGTERM"
    else:
        run.loop.hurry = True  # as a worker does before it puts the request into the queue
        run.ask("stop")
    view = run.finish()
    assert view.state == "stopped" and view.step == view.checkpoints[-1].step > 0
    if work == "reading":
        run.trainer.stream.source.answers.set()


def test_a_run_waits_for_room_before_it_trains_and_a_stop_ends_that(tmp_path, monkeypatch, capsys):
    """To make a run that is trained first, its own lock, log and `worker.json`; what else is wrong is told at once."""
    at = worker.Worker(small_runs.make_run(tmp_path, "vae"), resume=False)
    monkeypatch.setattr(worker, "PAUSE", 0)
    full, seen = OSError(errno.ENOSPC, "No space left on device"), []

    def write():
        seen.append(at.trouble)
        if len(seen) == 1:
            raise full
        if len(seen) == 2:
            raise runs.RunError("cannot make a run") from full
        return "made"

    assert at._once_there_is_room(write) == "made"
    assert seen[0] == "" and "No space left on device" in seen[1] and "room" in seen[1] and seen[2] == seen[1]
    assert at.trouble == "" and capsys.readouterr().err.count("warning") == 1
    for other in (runs.RunError("no"), OSError(errno.EACCES, "Permission denied")):
        with pytest.raises(type(other)):
            at._once_there_is_room(lambda other=other: (_ for _ in ()).throw(other))

    def never():
        at.ask_to_stop("by SIGTERM")
        raise full

    with pytest.raises(cutting.Stopped, match="by SIGTERM"):
        at._once_there_is_room(never)


def test_a_full_disk_when_a_run_is_made_or_claimed_is_known_for_what_it_is(tmp_path, monkeypatch):
    run = small_runs.make_run(tmp_path, "vae")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runs, "write_atomic", full)
    monkeypatch.setattr(runs.Hold, "take", full)
    for act in (lambda: runs.create(tmp_path, "x", ""), lambda: runs.claim(run)):
        with pytest.raises(runs.RunError, match="No space") as told:
            act()
        assert told.value.__cause__.errno == errno.ENOSPC


@pytest.mark.parametrize(("what", "step"), [("validate", 10), ("draw", 10), ("validate", 20), ("draw", 20)])
def test_what_a_stop_leaves_off_is_made_up_for_by_the_resume(tmp_path, monkeypatch, what, step):
    """A validation, a picture; in the middle of a run and after its last step."""
    options = {"train__steps": 20, "train__validate_every": 10, "preview__every_steps": 10}
    first = Run(tmp_path, **options)
    part = first.trainer if what == "validate" else first.loop.previewer
    do = getattr(part, what)

    def stopped(*given, **more):
        if first.trainer.step == step:
            first.loop.asked_to_stop = "by SIGTERM"
            first.loop.check()
        return do(*given, **more)

    monkeypatch.setattr(part, what, stopped)
    first.thread.start()
    view = first.finish()
    assert (view.state, view.reason, view.step) == ("stopped", "by SIGTERM", step)
    again = Run(tmp_path, path=first.path, resume=True, **options)
    again.thread.start()
    view = again.finish()
    assert (view.state, view.step) == ("finished", 20)
    assert list(view.series["val/vae/loss"].steps) == [10, 20]
    assert sorted({one.step for one in view.samples}) == [0, 10, 20]
    assert all((view.path / one.path).is_file() for one in view.samples)


@pytest.mark.parametrize("state", ["starting", "running", "stopping", "paused", "finished"])
def test_the_workbench_asks_a_run_that_is_quiet_what_it_waits_for_in_every_state_that_is_no_rest(state):
    asked = []

    def take(asking, **_):
        asked.append(asking)
        asking.close()

    stage = SimpleNamespace(run_worker=take, status=SimpleNamespace(trouble=""), notices=None)
    one = conductor.Conductor(stage, None)
    one.view = SimpleNamespace(state=state, replaying=False, live=state in runs.LIVE, alerts=[], series={})
    one.beat(1.0)
    assert not asked
    one.beat(4.0)
    assert bool(asked) == (state not in ("paused", "finished"))
