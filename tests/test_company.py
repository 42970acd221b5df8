"""Threads that wait awake while they are alone on their cores, and asleep where they are not."""

from __future__ import annotations

import os
import threading

import pytest
import torch

from tests import small_runs
from tests.waiting import wait_for
from tui_gen import tuned
from tui_gen.train.engine.building import weights_of
from tui_gen.train.tuned import company
from tui_gen.train.tuned.company import Company

CPU = torch.device("cpu")


@pytest.fixture
def proc(tmp_path, monkeypatch):
    """A process of two threads on two cores, as the system shows it; `waited` sets for how many seconds they did."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(company, "_cores", lambda: 2)
    (tmp_path / "maps").write_text("7f00 r-xp /lib/libgomp-1.so\n")

    class Proc:
        path = tmp_path

        def waited(self, *seconds):
            for thread, time in enumerate(seconds):
                (tmp_path / "task" / str(thread)).mkdir(parents=True, exist_ok=True)
                (tmp_path / "task" / str(thread) / "schedstat").write_text(f"99 {round(time * 1e9)} 7\n")

    return Proc()


def looks(there, proc, parts, start=0.0):
    """What it finds at one look a second, when two threads waited such parts of it in all."""
    found, waited = [], 0.0
    for second, part in enumerate(parts):
        waited += part * 2
        proc.waited(waited / 4, waited * 3 / 4)
        there.look(start + second)
        found.append(there.there)
    return found


def test_others_come_and_go(proc):
    there = Company(CPU, proc.path)
    seen = looks(there, proc, [0.5, 0.3, 0.3, 0.1, 0.03, 0.01, 0.01, 0.1, 0.03, 0.01, 0.01, 0.01, 0.01])
    assert seen == [False] * 2 + [True] * 9 + [False] * 2, "what was before the first look does not count"


def test_what_is_over_at_the_next_look_is_nobody(proc):
    """A preview of the run's own, say, whose thread wants a core as well."""
    assert not any(looks(Company(CPU, proc.path), proc, [0.0, 0.3, 0.1, 0.3, 0.01, 0.14, 0.14, 0.14]))


def test_looks_are_few(proc, monkeypatch):
    there, times = Company(CPU, proc.path), []
    monkeypatch.setattr(Company, "_waited", lambda self: times.append(0.0) or 0.0)
    for tenth in range(21):
        there.look(tenth / 10)
    assert len(times) == 5


@pytest.mark.parametrize("why", ["gpu", "one thread", "free cores", "another library", "switched off"])
def test_where_it_does_not_look(proc, monkeypatch, why):
    if why == "one thread":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
        monkeypatch.setattr(company, "_cores", lambda: 1)
    elif why == "free cores":
        monkeypatch.setattr(company, "_cores", lambda: 4)
    elif why == "another library":
        (proc.path / "maps").write_text("7f00 r-xp /lib/libomp.so\n")
    elif why == "switched off":
        monkeypatch.setattr(tuned, "on", lambda: False)
    there = Company(torch.device("cuda") if why == "gpu" else CPU, proc.path)
    assert not any(looks(there, proc, [0.0, 0.9, 0.9]))


def test_what_cannot_be_read_is_nobody(proc):
    there = Company(CPU, proc.path)
    there.look(0.0)
    proc.waited(5.0)
    (proc.path / "task" / "0" / "schedstat").write_text("junk")
    there.look(1.0)
    assert not there.there


def test_no_thread_to_be_had_is_no_fault(proc, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    there = Company(CPU, proc.path)
    looks(there, proc, [0.0, 0.9])
    there.close()


def threads():
    return len(os.listdir("/proc/self/task"))


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs Linux")
def test_a_second_team_sleeps_ends_and_leaves_the_numbers_alone():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        plain, beside = (small_runs.trainer("vae") for _ in range(2))
        torch.manual_seed(1)
        plain.train_step()
        count = threads()
        team = company._Team()
        wait_for(lambda: threads() == count + 2, what="the team to be there")
        torch.manual_seed(1)
        beside.train_step()
        team.end()
        wait_for(lambda: threads() == count, what="the team to end")
    finally:
        torch.set_num_threads(before)
    wanted = weights_of(plain.model)
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in weights_of(beside.model).items())
