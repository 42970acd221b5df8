"""Run directories: made, listed, found, deleted; and what state a run is in, whatever its files say."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.waiting import wait_for
from tui_gen import events, presence, runs
from tui_gen.events import Edit, Event, Metrics, Note, Resume, State, System
from tui_gen.log import tails
from tui_gen.log.event_log import EventWriter
from tui_gen.log.tails import tail_cache, tail_of
from tui_gen.runs import RunError, WorkerInfo

CONFIG = 'name = "a run"\n[model]\nname = "vae"\n[dataset]\nname = "digits"\n[train]\nsteps = 500\n'
HERE = socket.gethostname()
OLD = time.time() - 3600
ROOT_USER = os.geteuid() == 0


def make(root: Path, *logged: Event, name: str = "a run", worker: WorkerInfo | None = None, age: float = 3600) -> Path:
    """A run with these events in its log, `age` seconds old."""
    path = runs.create(root, name, CONFIG)
    if logged:
        writer = EventWriter(path / "events.jsonl")
        writer.write(*logged)
        writer.close()
    if worker is not None:
        (path / "worker.json").write_bytes(msgspec.json.encode(worker))
    for file in path.iterdir():
        os.utime(file, (time.time() - age, time.time() - age))
    return path


def me(**changes) -> WorkerInfo:
    info = WorkerInfo(os.getpid(), HERE, runs.process_started(os.getpid()), "/x.sock", OLD)
    return msgspec.structs.replace(info, **changes)


@pytest.fixture
def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(120)
    return process.pid


def running(step: int = 7) -> list[Event]:
    return [State(t=OLD, state="starting", step=0), State(t=OLD, state="running", step=0), metrics(0, step)]


def metrics(first: int, last: int) -> Metrics:
    return Metrics(t=OLD, start=first, values={"vae/loss": [1.0] * (last - first)})


# -- making


def test_a_run_is_made_with_its_config_under_a_name_that_tells(tmp_path):
    path = runs.create(tmp_path / "new" / "folder", "My VAE, größer!", CONFIG)
    assert path.parent == tmp_path / "new" / "folder" and path.is_absolute()
    stamp, rest = path.name[:13], path.name[14:]
    assert time.strptime(stamp, "%Y%m%d-%H%M") and rest[:-5] == "my-vae-gr-er" and len(rest[-4:]) == 4
    assert (path / "config.toml").read_text() == CONFIG
    assert sorted(one.name for one in path.iterdir()) == ["checkpoints", "config.toml", "samples", "worker.lock"]


@given(st.text(max_size=80))
def test_any_name_becomes_part_of_a_folder_s_name(name):
    slug = runs.slug(name)
    assert 0 < len(slug) <= 40 and set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and slug[0] != "-"


def test_names_never_collide(tmp_path, monkeypatch):
    tails = iter(["aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr(random.SystemRandom, "choices", lambda self, letters, k: next(tails))
    monkeypatch.setattr(runs.time, "strftime", lambda _: "20300101-1200")  # the minute may change between the two
    assert runs.create(tmp_path, "x", "").name[-4:] == "aaaa"
    assert runs.create(tmp_path, "x", "").name[-4:] == "bbbb"


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_place_of_the_folder_is_told(tmp_path, below):
    (tmp_path / "runs").write_text("precious")
    with pytest.raises(RunError, match=r"cannot make a run in .*runs.*: Not a directory; choose .*--runs DIR"):
        runs.create(tmp_path / "runs" / below, "x", CONFIG)
    assert (tmp_path / "runs").read_text() == "precious"


@pytest.mark.skipif(ROOT_USER, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match=r"Permission denied; choose another folder with --runs DIR"):
        runs.create(tmp_path, "x", CONFIG)
    tmp_path.chmod(0o700)


def test_what_fails_half_way_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device"):
        runs.create(tmp_path, "x", CONFIG)
    monkeypatch.undo()
    with pytest.raises(RunError, match="not UTF-8"):
        runs.create(tmp_path, "x", 'root = "\udcff"')
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "worker.json"
    runs.write_atomic(file, b"old")
    runs.write_atomic(file, b"new")
    assert file.read_bytes() == b"new"
    for broken in ("replace", "fsync"):

        def fail(*_):
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(os, broken, fail)
            with pytest.raises(OSError, match="Input/output error"):
                runs.write_atomic(file, b"newer")
        assert file.read_bytes() == b"new" and [one.name for one in tmp_path.iterdir()] == ["worker.json"]


# -- states


@pytest.mark.parametrize("word", ["starting", "running", "paused", "stopping"])
def test_a_live_word_counts_while_that_very_process_lives(tmp_path, word):
    path = make(tmp_path, State(t=OLD, state=word, step=3, reason="so"), worker=me())
    assert runs.state_of(path)[::2] == (word, "so")


@pytest.mark.parametrize("word", ["starting", "running", "paused", "stopping"])
@pytest.mark.parametrize("gone", ["ended", "another process now", "never was", "no start time", "no file", "garbage"])
def test_a_live_word_without_its_process_is_interrupted(tmp_path, word, gone, ended_pid):
    worker = {
        "ended": me(pid=ended_pid),
        "another process now": me(started="some other time"),
        "never was": me(pid=2**22 + 1),
        "no start time": me(started=""),
    }.get(gone)
    path = make(tmp_path, State(t=OLD, state=word, step=3, reason="so"), worker=worker)
    if gone == "garbage":
        (path / "worker.json").write_bytes(b'\xff{"pid": ')
    assert runs.state_of(path)[::2] == ("interrupted", "the worker is gone")


@pytest.mark.parametrize("word", ["finished", "stopped", "failed"])
@pytest.mark.parametrize("worker", [None, me(), me(started="x"), me(host="elsewhere")])
def test_a_last_word_is_the_last_word(tmp_path, word, worker):
    path = make(tmp_path, *running(), State(t=OLD, state=word, step=9, reason="because"), worker=worker)
    assert runs.state_of(path) == (word, 9, "because")


def test_a_worker_on_another_host_is_judged_by_its_log(tmp_path):
    far = me(host="gpu-box", pid=1)
    fresh, stale = make(tmp_path, *running(), worker=far, age=5), make(tmp_path, *running(), worker=far)
    assert runs.state_of(fresh) == ("running", 7, "on gpu-box")
    state, step, reason = runs.state_of(stale)
    assert (state, step) == ("interrupted", 7) and reason.startswith("no sign of life from gpu-box since ")
    assert runs.live(fresh) and not runs.live(stale)
    assert not runs.live(make(tmp_path, State(state="finished", step=1), worker=far, age=5))


def test_a_zombie_counts_as_ended(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        path = make(tmp_path, *running(), worker=me(pid=process.pid, started=runs.process_started(process.pid)))
        assert runs.state_of(path)[0] == "running"
        process.stdin.close()
        wait_for(lambda: not runs.process_started(process.pid), 30, "the process to end")
        assert runs.state_of(path)[0] == "interrupted"
    finally:
        process.wait(120)


def test_a_run_without_a_log_is_starting_until_it_takes_too_long(tmp_path):
    assert runs.state_of(make(tmp_path, age=0)) == ("starting", 0, "")
    assert runs.state_of(make(tmp_path, age=60)) == ("interrupted", 0, "the worker is gone")
    assert runs.state_of(make(tmp_path, worker=me(), age=60)) == ("starting", 0, "")


def test_a_resumed_run_is_starting_before_its_worker_has_registered(tmp_path, ended_pid):
    log = [*running(), State(t=time.time(), state="starting", step=0)]
    path = make(tmp_path, *log, worker=me(pid=ended_pid))
    assert runs.state_of(path) == ("starting", 7, "")
    late = make(tmp_path, *running(), State(t=time.time() - 30, state="starting", step=0), worker=me(pid=ended_pid))
    assert runs.state_of(late)[0] == "interrupted"
    killed = make(tmp_path, *log, worker=me(pid=ended_pid, since=time.time() + 1))
    assert runs.state_of(killed)[0] == "interrupted"


def test_a_word_of_a_newer_version_counts_while_the_process_lives(tmp_path):
    assert runs.state_of(make(tmp_path, State(state="compiling", step=1), worker=me()))[0] == "compiling"
    assert runs.state_of(make(tmp_path, State(state="compiling", step=1), worker=me(pid=1)))[0] == "interrupted"


def test_a_worker_that_ends_while_it_is_looked_at_is_not_interrupted(tmp_path, monkeypatch, ended_pid):
    path = make(tmp_path, *running(), worker=me(pid=ended_pid))

    def ends(pid: int) -> str:
        writer = EventWriter(path / "events.jsonl")
        writer.write(State(state="finished", step=500))
        writer.close()
        return ""

    monkeypatch.setattr(presence, "process_started", ends)
    assert runs.state_of(path) == ("finished", 500, "")


def test_processes_are_told_apart():
    mine = runs.process_started(os.getpid())
    assert mine and mine == runs.process_started(os.getpid()) and runs.process_started(1) not in ("", mine)
    assert runs.process_started(2**22 + 1) == runs.process_started(-1) == runs.process_started(10**30) == ""


@pytest.mark.skipif(not shutil.which("ps"), reason="no ps here")
def test_processes_are_told_apart_without_proc(monkeypatch, ended_pid):
    told = runs.process_started(os.getpid())
    monkeypatch.setattr(sys, "platform", "darwin")
    mine = runs.process_started(os.getpid())
    assert mine and mine != told and runs.process_started(ended_pid) == ""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert runs.process_started(os.getpid()) == mine
    monkeypatch.setenv("PATH", "/nowhere")
    assert runs.process_started(os.getpid()) == ""


def test_registering_names_this_process(tmp_path):
    info = runs.register(tmp_path, "/run/x.sock")
    assert runs.worker_of(tmp_path) == info and runs.alive(info) and info.pid == os.getpid()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"pid": "1"}', b'{"pid": 1}', b"\xff\xfe", b"[" * 200_000, b'"\xff"', b"\0" * 500],
    ids=range(10),
)
def test_garbage_in_worker_json_names_nobody(tmp_path, content):
    (tmp_path / "worker.json").write_bytes(content)
    assert runs.worker_of(tmp_path) is None


# -- what the log says last


def test_the_last_step_is_found_wherever_it_stands(tmp_path):
    ends = [
        (metrics(10, 30), 30), (Metrics(start=10, stride=10, values={"a": [1.0, 2.0]}), 21),
        (Metrics(start=39, values={"val/a": [1.0]}), 40), (Metrics(start=5, values={}), 6),
        (System(step=44, steps_per_second=1, images_per_second=1), 44), (Resume(step=3), 3),
        (State(state="paused", step=12), 12), (State(state="starting", step=0), 7), (Note(text="hm"), 7),
    ]  # fmt: skip
    for event, step in ends:
        assert runs.state_of(make(tmp_path, *running(), event, worker=me()))[1] == step, event


def test_torn_and_garbage_lines_hide_nothing(tmp_path):
    path = make(tmp_path, *running(), worker=me())
    with open(path / "events.jsonl", "ab") as file:
        file.write(b'garbage "state"\n\0\0\0\n\xff\n{"type":"state","t":1,"state":"fini')
    assert runs.state_of(path)[:2] == ("running", 7)


PARTS = ("state", "metrics", "note", "garbage", "torn", "whole", "long")


@given(st.lists(st.sampled_from(PARTS), max_size=12), st.data())
def test_looking_again_and_again_finds_what_one_look_finds(tmp_path_factory, parts, data):
    path = tmp_path_factory.mktemp("run")
    expected_state, expected_step = None, 0
    size = data.draw(st.sampled_from([1, 7, 64, 1000]))
    with open(path / "events.jsonl", "wb", buffering=0) as file:
        for number, part in enumerate(parts, 1):
            match part:
                case "state":
                    file.write(events.encode(State(state="paused", step=number)))
                    expected_state, expected_step = "paused", number
                case "metrics":
                    file.write(events.encode(metrics(number * 10, number * 10 + 3)))
                    expected_step = number * 10 + 3
                case "note":
                    file.write(events.encode(Note(text='about "state"')))
                case "garbage":
                    file.write(b"\xff\0{\n")
                case "torn":
                    file.write(b'{"type":"state","t":0,')
                    assert tail_of(f"{path}/events.jsonl", size)[1] == expected_step
                    file.write(b'"x":\n')
                case "whole":  # but for its end: a follower leaves it for later too
                    file.write(events.encode(State(state="stopped", step=number)).rstrip(b"\n"))
                    last, step = tail_of(f"{path}/events.jsonl", size)
                    assert (last.state if last else None, step) == (expected_state, expected_step)
                    file.write(b"\n")
                    expected_state, expected_step = "stopped", number
                case "long":
                    file.write(b"x" * 3000 + b"\n")
            if data.draw(st.booleans()):
                last, step = tail_of(f"{path}/events.jsonl", size)
                assert (last.state if last else None, step) == (expected_state, expected_step)
    tail_cache.clear()
    assert tail_of(f"{path}/events.jsonl", size)[1] == expected_step


def test_only_the_logs_looked_at_last_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(tails, "MOST_TAILS", 3)
    tails.tail_cache.clear()
    logs = [str(make(tmp_path, State(state="stopped", step=step)) / "events.jsonl") for step in range(5)]
    for log in (*logs[:3], logs[0], *logs[3:]):
        tails.tail_of(log)
    assert list(tails.tail_cache) == [logs[0], logs[3], logs[4]]
    assert [tails.tail_of(log)[1] for log in logs] == list(range(5)) and len(tails.tail_cache) == 3


def test_a_log_that_was_replaced_is_read_anew(tmp_path):
    path = make(tmp_path, *running(), State(state="stopped", step=7))
    assert runs.state_of(path)[:2] == ("stopped", 7)
    other = make(tmp_path, State(state="failed", step=1, reason="x" * 3000), *[Note(text="n") for _ in range(50)])
    (path / "events.jsonl").write_bytes((other / "events.jsonl").read_bytes())
    assert runs.state_of(path)[:2] == ("failed", 1)
    (path / "events.jsonl").write_bytes(b"")
    assert runs.state_of(path)[0] == "interrupted"
    (path / "events.jsonl").unlink()
    assert runs.state_of(path)[1] == 0


def test_a_long_log_is_looked_through_once(tmp_path, monkeypatch):
    path = make(tmp_path, *running(), worker=me())
    line = events.encode(metrics(7, 107))
    with open(path / "events.jsonl", "ab") as file:
        file.write(line * (3_000_000 // len(line)))
    seen: list[int] = []
    decode = events.decode
    monkeypatch.setattr(events, "decode", lambda one: seen.append(len(one)) or decode(one))
    assert runs.state_of(path)[:2] == ("running", 107)
    seen.clear()
    assert runs.state_of(path)[:2] == ("running", 107) and seen == []
    with open(path / "events.jsonl", "ab") as file:
        file.write(events.encode(metrics(107, 207)))
    assert runs.state_of(path)[:2] == ("running", 207) and len(seen) <= 2


# -- lists


def test_runs_are_listed_newest_first_and_nothing_else_is(tmp_path):
    done = State(state="finished", step=1)
    paths = [make(tmp_path, done, name="b", age=50), make(tmp_path, done, name="a", age=90)]
    paths.append(make(tmp_path, *running(), name="c", worker=me(), age=70))
    (tmp_path / "no run").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "config.toml").touch()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.toml").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    rows = runs.list_runs(tmp_path)
    assert [row.path for row in rows] == [str(paths[0]), str(paths[2]), str(paths[1])]
    assert [row.live for row in rows] == [False, True, False]
    row = rows[1]
    assert (row.name, row.model, row.dataset, row.steps, row.step, row.host) == ("a run", "vae", "digits", 500, 7, HERE)


def test_an_absent_folder_has_no_runs_and_a_file_is_told(tmp_path):
    assert runs.list_runs(tmp_path / "nowhere") == []
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot read"):
        runs.list_runs(tmp_path / "file")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\xfe", b"name = 5\nmodel = 3\n[train]\nsteps = 'x'\n[dataset]\nname = [1]\n", b"name = [[[[",
        b"[model]\nname = {a = 1}\n[train]\nsteps = -5\n", b"model = [1]\ndataset = 'x'\ntrain = 1979-05-27\n",
        b"[train]\nsteps = " + b"9" * 5000, b"x = " + b"[" * 5000 + b"]" * 5000, b"[train]\nsteps = 0",
    ],
    ids=range(9),
)  # fmt: skip
def test_garbage_in_config_toml_still_gives_a_row(tmp_path, content):
    path = make(tmp_path, State(state="finished", step=4))
    (path / "config.toml").write_bytes(content)
    [row] = runs.list_runs(tmp_path)
    assert (row.name, row.state, row.step, row.steps) == (path.name, "finished", 4, None)
    assert row.model == row.dataset == ""


# -- finding


def test_a_run_is_found_by_whatever_tells_it(tmp_path, monkeypatch):
    old = make(tmp_path, State(state="finished", step=1), name="one", age=90)
    (old / "config.toml").write_text('name = "my name"')
    os.utime(old / "config.toml", (OLD, OLD))
    new = make(tmp_path, State(state="finished", step=1), name="two", age=10)
    for name in (str(old), old.name, old.name[-9:], "my name"):
        assert runs.find(tmp_path, name) == old
    assert runs.find(tmp_path, new.name[:-1]) == new
    assert runs.find(tmp_path) == runs.find(tmp_path, "latest") == new
    live = make(tmp_path, *running(), worker=me(), age=50)
    assert runs.find(tmp_path, "latest") == live
    with pytest.raises(RunError, match="could be any of") as caught:
        runs.find(tmp_path, time.strftime("%Y"))
    assert all(path.name in str(caught.value) for path in (old, new, live))
    with pytest.raises(RunError, match=f"did you mean '{new.name}'"):
        runs.find(tmp_path, new.name[:-2] + "__")  # no name ends so
    for name in ("~nobody-of-this-name/x", "x" * 5000, "/", "a\0b"):
        with pytest.raises(RunError, match="no run"):
            runs.find(tmp_path, name)
    monkeypatch.chdir(tmp_path.parent)
    assert runs.find(Path(tmp_path.name), new.name[:-1]) == new
    assert runs.find(Path(tmp_path.name), str(old.relative_to(tmp_path.parent))) == old


def test_a_whole_folder_name_wins_over_being_a_part_of_others(tmp_path):
    one = make(tmp_path, State(state="finished", step=1))
    two = tmp_path / f"{one.name}-copy"
    shutil.copytree(one, two)
    assert runs.find(tmp_path, one.name) == one
    with pytest.raises(RunError, match="could be any of"):
        runs.find(tmp_path, one.name[:-1])


def test_where_there_are_no_runs_the_way_to_one_is_told(tmp_path):
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RunError, match=r"no runs in .*; start one with tui-gen --run"):
            runs.find(root, "x")


def test_a_path_that_is_no_run_is_told_as_such(tmp_path):
    for path, why in ((tmp_path, "it has no config.toml"), (tmp_path / "nowhere", "there is no such folder")):
        with pytest.raises(RunError, match=f"{path} is no run: {why}"):
            runs.find(tmp_path / "runs", str(path))


# -- edits and the worker's own words


def test_edits_that_a_resume_lost_are_kept(tmp_path):
    def edit(step: int, new: float) -> Edit:
        return Edit(step=step, key="lr", old=0.0, new=new)

    path = make(tmp_path, edit(5, 1.0), edit(20, 2.0), edit(30, 3.0), Resume(step=20), edit(20, 2.0), edit(25, 4.0))
    steps = [(one["step"], one["value"]) for one in runs.edits_of(path)]
    assert steps == [(5, 1.0), (20, 2.0), (25, 4.0), (30, 3.0)]
    assert runs.edits_of(tmp_path / "nowhere") == []


def test_the_worker_s_last_words_are_plain_text(tmp_path):
    (tmp_path / "worker.log").write_bytes(
        b"first\n\n \x1b[1;31mred\x1b[0m \x1b]0;title\x07[not markup]\xff\r\n"
        b"loading  1%\rloading 100%\r\n\tlast\x9b\0\n"
    )
    assert runs.last_log_lines(tmp_path) == ["first", " red [not markup]\ufffd", "loading 100%", "    last\ufffd"]
    assert runs.last_log_lines(tmp_path, 1) == ["    last\ufffd"]
    assert runs.last_log_lines(tmp_path / "nowhere") == []
    (tmp_path / "worker.log").write_bytes(b"x\n" * 100_000 + "\x9b31m\u0085end\x1b".encode())
    assert runs.last_log_lines(tmp_path, 2) == ["x", " end"]
