"""A worker before it trains: stopped in every phase, and what keeps it from training is its run's last word."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from tests import small_runs
from tests.forked_workers import forking
from tests.waiting import wait_for
from tui_gen import control, launch, presence, runs
from tui_gen.train.data import matching
from tui_gen.train.run import output, processes, stopping, warm, worker
from tui_gen.train.run.worker import Worker
from tui_gen.view import RunView

assert processes.load_as is matching.load_as
"""It is imported before a test replaces that: whatever is imported meanwhile would keep the replacement."""
GIVE = """
import os, signal, sys
from pathlib import Path
from tui_gen import launch
warm = launch.WarmWorker(polite=False)
warm.spawn()
assert not warm.ready and warm.start(Path(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL)
"""

WAITING = """
from tui_gen.train.data import ImageConfig, ImageSet

class Waiting(ImageSet):
    name, title, summary = "waiting", "Waiting", "Reads a file that never comes."
    default_size, channels, classes = 8, 1, ()

    class Config(ImageConfig):
        pass

    def read(self, report):
        open("{file}", "rb")
"""


@pytest.mark.parametrize(("phase", "resume"), [("at once", True), ("while it waits for a file", False)])
def test_a_stop_before_training_is_obeyed(tmp_path, phase, resume):
    """The file is a pipe that nobody writes to: opening it waits for ever, as for a dead disk."""
    os.mkfifo(tmp_path / "silent")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "waiting.py").write_text(WAITING.format(file=tmp_path / "silent"))
    path = small_runs.make_run(tmp_path, "vae")
    text = (path / "config.toml").read_text()
    text = re.sub(r"(?s)\[dataset\]\n.*?(?=\n\[)", '[dataset]\nname = "waiting"\n', text)
    (path / "config.toml").write_text(text)
    with nullcontext() if phase == "at once" else forking():
        process = launch.start(path, resume=resume, model_dirs=[str(tmp_path / "own")])
        if phase != "at once":
            wait_for(lambda: _opens_a_pipe(process.pid), 60, "the worker to open the file")
        process.send_signal(signal.SIGUSR1 if resume else signal.SIGTERM)
        assert process.wait(120) == 0
    name = "SIGUSR1" if resume else "SIGTERM"
    assert runs.state_of(path) == ("stopped", 0, f"by {name}, before training began") and not runs.live(path)


def _opens_a_pipe(pid: int) -> bool:
    """Whether a process waits for somebody to open the other end of one."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/wchan") as file:
        return "wait_for_partner" in file.read()
    return False


def test_a_run_that_was_given_away_trains_whatever_becomes_of_the_giver(tmp_path):
    """Killed at once, before the worker has loaded anything."""
    path = small_runs.make_run(tmp_path, "vae", train__steps=5)
    assert subprocess.run([sys.executable, "-c", GIVE, str(path)], check=False).returncode == -signal.SIGKILL
    assert runs.state_of(path)[0] in ("starting", "running", "finished")
    wait_for(lambda: runs.state_of(path)[0] in runs.ENDED, 120, "the run's end")
    assert runs.state_of(path)[:2] == ("finished", 5)
    view = RunView(path)
    view.poll()
    assert b"loading PyTorch" in (path / "events.jsonl").read_bytes() and view.progress is None


@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        ((worker, "_try_threads"), ImportError("libtorch.so: cannot open"), "PyTorch cannot be loaded: .*libtorch"),
        ((worker, "_try_threads"), RuntimeError("can't start new thread"), "no more threads .*ulimit -u"),
        ((matching, "load_as"), MemoryError(), "too little memory"),
        ((matching, "load_as"), OSError(5, "Input/output error", "/data/x"), "/data/x: Input/output error"),
        ((matching, "load_as"), SystemExit(3), "ended the process"),
        ((matching, "load_as"), KeyError("x"), "KeyError: 'x' .*worker.log has the traceback"),
    ],
)
def test_what_keeps_a_run_from_training_is_its_last_word(tmp_path, monkeypatch, place, error, words):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(*place, fail)
    path = small_runs.make_run(tmp_path, "vae")
    assert Worker(path, False).train() == 1
    view = RunView(path)
    view.poll()
    assert view.state == "failed" and not runs.live(path)
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(view.reason)


@pytest.mark.parametrize(
    "place", [(stopping, "SignalWatch"), (presence.Hold, "keep_alive"), (control, "Server")], ids=str
)
def test_a_run_that_can_have_no_thread_has_failed(tmp_path, monkeypatch, place):
    """As under `ulimit -u 4`, whichever of its threads is one too many."""

    def fail(*_, **__):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(output, "redirect", lambda path: None)
    monkeypatch.setattr(stopping, "SignalWatch", lambda worker: None)
    monkeypatch.setattr(*place, fail)
    path = small_runs.make_run(tmp_path, "vae")
    assert Worker(path, False).main() == 1
    state, step, reason = runs.state_of(path)
    assert (state, step) == ("failed", 0) and "ulimit -u" in reason and not runs.live(path)


@pytest.mark.parametrize(("keep", "cuts"), [(True, True), (False, True), ("yes", False)])
def test_a_stop_that_will_be_refused_cuts_nothing(tmp_path, keep, cuts):
    """What is cut is a validation, say, in which other processes of the run would wait for ever."""
    one = Worker(tmp_path, False)
    one.loop = SimpleNamespace(hurry=False)
    assert not one._immediate(control.Request({"op": "stop", "checkpoint": keep}))
    assert one.loop.hurry == cuts


def test_the_last_word_of_a_run_that_was_moved_is_where_it_is_now(tmp_path, monkeypatch):
    path = small_runs.make_run(tmp_path, "vae")
    moved = path.rename(tmp_path / "moved")
    one, ended = Worker(path, False), []
    one.loop = SimpleNamespace(path=moved, state="running", trainer=SimpleNamespace(step=7))
    monkeypatch.setattr(worker, "_last_word", threading.Lock())
    monkeypatch.setattr(os, "_exit", ended.append)
    one.fail_now("rank 1 is gone")
    assert ended == [1] and runs.state_of(moved) == ("failed", 7, "rank 1 is gone") and not path.exists()


def test_a_warm_worker_whose_run_is_gone_ends_and_holds_nothing(tmp_path, monkeypatch):
    """Moved away between the moment when it was handed over and that when it is taken."""
    path = small_runs.make_run(tmp_path, "vae")
    handle = os.dup(runs.claim(path).handle)
    path.rename(tmp_path / "elsewhere")
    monkeypatch.setattr(warm, "_received", lambda: (f'{{"run": "{path}"}}\n'.encode(), handle))
    monkeypatch.setattr(warm, "_warm_up", lambda: (None, None))
    monkeypatch.setattr(output, "redirect", lambda path: None)
    monkeypatch.setattr(stopping, "SignalWatch", lambda **_: SimpleNamespace(worker=None))
    ended = []
    one = warm.Warm(control.socket_path("warm-test"))
    threading.Thread(target=lambda: ended.append(one.main()), daemon=True).start()
    assert wait_for(lambda: ended, 60, "the end of the worker") == [1] and not os.path.exists(one.path)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)


def test_nothing_that_is_printed_fails_on_a_full_disk():
    handle = os.open("/dev/full", os.O_WRONLY)
    stream = io.TextIOWrapper(output.Mild(handle), "utf-8", "backslashreplace", write_through=True)
    print("a line", "\udcff", file=stream, flush=True)
    stream.writelines(["a" * 100_000, "\n"])
    with pytest.raises(OSError):
        os.write(handle, b"x")
    os.close(handle)
    print("to a closed one", file=stream, flush=True)
