"""What a run has found out beside it: whether compiling pays, for later runs of its kind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
import torch

from tests import small_runs
from tests.loop_run import Run
from tests.waiting import wait_for
from tui_gen import children, machine
from tui_gen.train.engine import compile_choice
from tui_gen.train.run import probing

WAITS = "import sys; print('up', flush=True); sys.stdin.read()"


def stand_in(monkeypatch, code):
    """Have the process be some lines of Python, told the same; the list gets what it is started with."""
    started = []

    def start(module, *words, env, **streams):
        started.append((module, *map(str, words)))
        made = subprocess.Popen([sys.executable, "-c", code, *map(str, words)], env=env, **streams)
        processes.append(made)
        return made

    processes = []
    monkeypatch.setattr(children, "start", start)
    monkeypatch.setattr(machine, "memory", lambda: (0, 0))  # the system does not tell
    return started, processes


def probing_for(run, key="the key"):
    notes = []
    made = probing.Probing(run)
    made.ask("torch", notes.append, key)
    return made, notes


def test_it_begins_after_a_while_and_ends_with_the_run(tmp_path, monkeypatch):
    started, processes = stand_in(monkeypatch, WAITS)
    made, notes = probing_for(tmp_path)
    for now in (100.0, 100.0 + probing.AFTER - 0.1):
        made.look(now)
    assert not started
    with monkeypatch.context() as patch:
        patch.setattr(machine, "memory", lambda: (probing.ROOM - 1, 8 * probing.ROOM))
        made.look(100.0 + probing.AFTER)
        assert not started, "there is no memory to spare"
    monkeypatch.setattr(machine, "memory", lambda: (probing.ROOM, 8 * probing.ROOM))
    for now in (100.0 + 2 * probing.AFTER, 1e6):
        made.look(now)
    (words,) = started
    assert words[:3] == ("tui_gen.train.run.probing", str(tmp_path.resolve()), "the key") and words[-1] == "torch"
    assert processes[0].poll() is None and os.getpgid(processes[0].pid) == processes[0].pid
    made.close()
    assert processes[0].poll() == -signal.SIGKILL and not notes
    made.look(2e6)
    assert len(started) == 1, "what is over begins nothing"


@pytest.mark.parametrize("ratio", [1.31, 0.0])
def test_what_it_finds_is_told(tmp_path, monkeypatch, ratio):
    _, processes = stand_in(monkeypatch, "")
    made, notes = probing_for(tmp_path)
    made.look(0.0)
    made.look(probing.AFTER)
    compile_choice.remember("the key", compile_choice.Probe(ratio, compile_choice.time.time(), "no compiler"))
    processes[0].wait(60)
    made.look(probing.AFTER + 1)
    (words,) = notes
    assert ("1.31 ×" in words and "later runs" in words) if ratio else "no compiler" in words


def test_nothing_is_said_where_no_process_can_be_had(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "start", lambda *_, **__: (_ for _ in ()).throw(OSError("no more")))
    made, notes = probing_for(tmp_path)
    for now in (0.0, 1e3, 2e3):
        made.look(now)
    made.close()
    assert not notes


def test_it_ends_when_whoever_started_it_is_gone(monkeypatch):
    killed, (read, write) = threading.Event(), os.pipe()
    monkeypatch.setattr(probing.os, "read", lambda _, count, read=os.read: read(ends, count))
    monkeypatch.setattr(probing.os, "killpg", lambda group, number: killed.set())
    ends = read
    watching = threading.Thread(target=probing.end_with_owner)
    watching.start()
    os.write(write, b"!")
    assert not killed.is_set()
    os.close(write)
    watching.join(60)
    assert killed.is_set()
    os.close(read)


def test_the_process_measures_what_the_run_trains_once(tmp_path, monkeypatch):
    run = small_runs.make_run(tmp_path, "vae", train__compile="auto", train__steps=10**6, train__threads=1)
    measured = []

    def measure(trainer):
        measured.append(compile_choice.key_of(trainer))
        return 1.2

    monkeypatch.setattr(compile_choice, "_measure", measure)
    key = compile_choice.key_of(small_runs.trainer("vae", train__compile="auto", train__steps=10**6, train__threads=1))
    for _ in range(2):
        assert probing.found_out(run, key, torch.get_num_threads(), "torch") == 0
    assert measured == [key]
    assert compile_choice.remembered(key).ratio == 1.2


def test_a_run_trains_meanwhile_without_and_the_next_one_with(tmp_path, monkeypatch):
    """Of two equal runs, both with the bits they began with: a resume of the first stays uncompiled."""
    settings = {"train__compile": "auto", "train__steps": 60, "train__health_every": 0}
    monkeypatch.setattr(compile_choice, "WORTH_STEPS", 10)
    monkeypatch.setattr(probing, "AFTER", 0.0)
    started, processes = stand_in(monkeypatch, WAITS)
    first = Run(tmp_path, "vae", **settings)
    first.thread.start()
    wait_for(lambda: started, 60, "the process beside the run")
    view = first.finish()
    assert processes[0].wait(60) == -signal.SIGKILL, "it ends with the run"
    assert compile_choice.BESIDE in (first.path / "events.jsonl").read_text() and not view.plan.compiled
    (words,) = started
    compile_choice.remember(words[2], compile_choice.Probe(1.5, compile_choice.time.time()))
    said = []
    assert compile_choice.decide(first.trainer, said.append, said.append) and "1.5 ×" in said[0]
    again = Run(tmp_path, "vae", resume=True, path=first.path, **settings | {"train__steps": 70})
    assert again.loop.computing.compiled is False
    again.loop._prepare()
    assert again.loop.computing.compiled is False and len(started) == 1
    again.server.close()
