"""A long log is read by a second process while the workbench is loaded; whatever becomes of that, all is read."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_rows import state_of
from tests.waiting import wait_for
from tui_gen import events, runs
from tui_gen.app import main
from tui_gen.events import Metrics, State
from tui_gen.log import prefetch
from tui_gen.view import RunView

STEPS = 300


def lines(first: int, last: int) -> bytes:
    """Steps of two networks, one a line."""
    told = [State(state="running", step=first)]
    told += [Metrics(start=step, values={"d/loss": [step / 3], "g/loss": [None]}) for step in range(first, last)]
    return b"".join(map(events.encode, told))


@pytest.fixture
def log(tmp_path, monkeypatch) -> Path:
    """A log that is long enough, of several parts."""
    monkeypatch.setattr(prefetch, "LONG", 1)
    monkeypatch.setattr(prefetch, "FIRST", 1000)
    monkeypatch.setattr(prefetch, "CHUNK", 2000)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    run = runs.create(tmp_path, "r", 'name = "r"\n')
    (run / "events.jsonl").write_bytes(lines(0, STEPS))
    return run / "events.jsonl"


def read_by_itself(log: Path) -> object:
    """What a view knows that nobody read anything for."""
    return state_of(RunView.read(log.parent))


def test_what_another_process_read_is_taken_and_what_follows_is_read_on(log, monkeypatch):
    prefetch.begin(log)
    reading = prefetch._begun[log]
    wait_for(reading._ended, 60, "its end")
    view = RunView(log.parent)
    with monkeypatch.context() as none:
        none.setattr(prefetch.Follower, "poll", lambda *_: pytest.fail("it reads itself"))
        while view.poll() or view.behind:
            if view.step == STEPS:
                break
    assert state_of(view) == read_by_itself(log) and not view.behind
    with open(log, "ab") as file:
        file.write(lines(STEPS, STEPS + 50))
    view.read_all()
    assert state_of(view) == read_by_itself(log) and reading.over and view.step == STEPS + 50
    assert log not in prefetch._begun and type(RunView(log.parent)._follower) is prefetch.Follower


def test_what_is_not_read_yet_is_left_to_whoever_reads_it(log, monkeypatch):
    """A first look that comes before the first part is given up, not the reading."""
    assert prefetch.ready(log, 0.0), "nobody reads it: one can do so oneself"
    parts = io.BytesIO()
    prefetch.write_parts(log, parts)
    data, memory = parts.getvalue(), os.memfd_create("x")
    first = prefetch.HEAD + int.from_bytes(data[: prefetch.HEAD], "little")
    reading = prefetch._begun[log] = prefetch.ReadAhead(0, memory)
    for size in (0, 4, first - 1):
        os.pwrite(memory, data[:size], 0)
        assert not prefetch.ready(log, 0.01), "the first part is not whole"
    os.pwrite(memory, data[:first], 0)
    assert prefetch.ready(log, 0.0) and not reading.over
    view = RunView.read(log.parent)
    assert log not in prefetch._begun and state_of(view) == read_by_itself(log)


@pytest.mark.parametrize("share", [0.0, 0.4, 0.99])
def test_a_process_that_ends_amid_leaves_the_rest_to_be_read(log, share):
    memory = os.memfd_create("x")
    with open(os.dup(memory), "wb") as parts:
        prefetch.write_parts(log, parts)
        parts.truncate(int(share * parts.tell()))
    prefetch._begun[log] = prefetch.ReadAhead(0, memory)
    view = RunView.read(log.parent)
    assert state_of(view) == read_by_itself(log)


@pytest.mark.parametrize("parts", [0, 1])
def test_a_process_that_hangs_is_not_waited_for_and_for_a_first_part_not_at_all(log, monkeypatch, parts):
    monkeypatch.setattr(prefetch, "PATIENCE", 0.1 if parts else 600.0)
    memory = os.memfd_create("x")
    with open(os.dup(memory), "wb") as file:
        prefetch.write_parts(log, file)
        file.truncate(parts * (prefetch.HEAD + int.from_bytes(os.pread(memory, prefetch.HEAD, 0), "little")))
    hanging = subprocess.Popen(["sleep", "600"])
    prefetch._begun[log] = prefetch.ReadAhead(hanging.pid, memory)
    view = RunView(log.parent)
    assert view.poll(0.0) and view.step, "the first look found nothing"
    view.read_all()
    assert state_of(view) == read_by_itself(log)
    assert hanging.wait(60) == 0  # it is no more: somebody else has collected it


def test_a_short_log_and_a_machine_of_one_core_need_none(log, monkeypatch):
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("it forks"))
    with monkeypatch.context() as short:
        short.setattr(prefetch, "LONG", 8 << 20)
        prefetch.begin(log)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    prefetch.begin(log)
    prefetch.begin(log.with_name("none"))
    assert not prefetch._begun


def test_the_workbench_imports_asyncio_without_openssl_which_others_have_all_the_same():
    code = """
import sys
from tui_gen.app import main
main.import_asyncio()
assert "asyncio" in sys.modules and not {"ssl", "_ssl"} & sys.modules.keys()
import tui_gen.app.workbench
assert "ssl" not in sys.modules
import ssl, urllib.request
ssl.create_default_context()
main.import_asyncio()
assert sys.modules["ssl"] is ssl and urllib.request.HTTPSHandler
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_workbench_begins_with_it(log, monkeypatch):
    class Begun(Exception):
        pass

    def begin(path: Path) -> None:
        assert path == log
        raise Begun

    monkeypatch.setattr(prefetch, "begin", begin)
    with pytest.raises(Begun):
        main.run_workbench(log.parent.parent, [], log.parent)
