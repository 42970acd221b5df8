"""Where a run's time goes: steps that are timed now and then, what is done between them, and what the machine tells."""

from __future__ import annotations

import itertools
import sys
import types
from pathlib import Path

import pytest
import torch

from tests import small_runs
from tests.loop_run import Run, all_ended
from tui_gen import machine
from tui_gen.machine import Gauge
from tui_gen.train.engine import laps
from tui_gen.train.engine.building import weights_of
from tui_gen.train.engine.laps import Laps
from tui_gen.train.run import holding, loop
from tui_gen.train.run.accounts import Accounts
from tui_gen.usage import Gpu, Spent


class Clock:
    """A clock that is set by hand, in place of a module's `time`."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


def steps(timed: Laps, count: int, clock: Clock, first: int = 0, gradients=lambda step: 0.003) -> None:
    for step in range(first, first + count):
        timed.begin(step)
        for part, seconds in (("data", 0.001), ("gradients", gradients(step)), ("optimiser", 0.0005)):
            clock.now += seconds
            timed.lap(part)
        timed.end()


def test_the_parts_of_a_step_are_estimated_from_some_of_the_steps(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(laps, "time", clock)
    timed = Laps(torch.device("cpu"))
    steps(timed, 3, clock)
    assert timed.collect(3) == Spent(steps=3)  # the first few prepare what the others use
    timed.pace(800.0)
    read = clock.perf_counter
    reads = itertools.count()
    clock.perf_counter = lambda: (next(reads), read())[1]
    steps(timed, 8000, clock, first=3, gradients=lambda step: 0.005 if step % 5 else 0.001)
    spent = timed.collect(8000)
    assert 40 < next(reads) / 4 < 160  # of ten seconds, eight steps in each
    assert spent.parts["data"] == pytest.approx(8.0) and spent.parts["optimiser"] == pytest.approx(4.0)
    assert spent.parts["gradients"] == pytest.approx(8000 * 0.0042, rel=0.15)  # whatever takes turns in fives
    assert timed.collect(10).parts == {}


class Mark:
    """A GPU's mark, on a device that takes two milliseconds for each part, whatever the host takes."""

    made = 0
    ahead = False
    """Whether the device is done with all it was given."""

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        Mark.made += 1
        self.at = Mark.made

    def elapsed_time(self, other: Mark) -> float:
        return 2.0 * (other.at - self.at)

    def query(self) -> bool:
        return Mark.ahead

    def synchronize(self) -> None:
        pass


@pytest.mark.parametrize("ahead", [True, False])
def test_a_gpu_keeps_the_time_itself_and_tells_whether_it_waits(monkeypatch, ahead):
    monkeypatch.setattr(torch.cuda, "Event", Mark)
    monkeypatch.setattr(Mark, "ahead", ahead)
    timed = Laps(torch.device("cuda"))
    steps(timed, 50, Clock())
    spent = timed.collect(50)
    assert spent.parts == {"data": 0.1, "gradients": 0.1, "optimiser": 0.1}
    assert spent.looks > 10 and spent.idle == (spent.looks if ahead else 0)


def test_what_is_timed_leaves_the_numbers_alone():
    trainers = []
    for often in (True, False):
        trainers.append(trainer := small_runs.trainer("vae"))
        for step in range(8):
            if often:
                trainer.laps.begin(step)
            trainer.train_step()
    assert trainers[0].laps.collect(8).parts["gradients"] > 0 and not trainers[1].laps.collect(8).parts
    first, second = (weights_of(trainer.model) for trainer in trainers)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_wait_is_no_part_of_what_it_interrupts(monkeypatch, tmp_path):
    """Nor of the training, as a pause is none; nor do the next previews come later for it."""
    clock = Clock()
    monkeypatch.setattr(holding, "time", clock)
    run = Run(tmp_path)
    accounts, agenda = run.loop.accounts, run.loop.agenda

    def draw(*_):
        clock.now += 2.0
        for part in ("room", "writable", "room"):
            with run.loop.record._waiting(part), accounts.doing("checkpoint"):  # somebody asks for one meanwhile
                clock.now += 100.0
        return "picture"

    monkeypatch.setattr(loop.showing, "previews", draw)
    agenda.begin(0, clock.now)
    accounts.begin(0, 0.0)
    assert run.loop.preview() == "picture"
    with accounts.doing("log"):
        clock.now += 1.0
    agenda.halt(clock.now)  # a pause
    with run.loop.record._waiting("room"):
        clock.now += 100.0
    agenda.go(5, clock.now)
    assert agenda.flushed(10, clock.now) is None
    with run.loop.record._waiting("room"):
        clock.now += 100.0
    clock.now += 5.0
    assert agenda.flushed(15, clock.now) == 2.0, "steps a second, too, are of training"
    assert run.loop.elapsed() == 8.0
    (usage,) = accounts.account(5, run.loop.elapsed())
    assert usage.spent.parts == {"preview": 2.0, "room": 400.0, "writable": 100.0, "log": 1.0}
    assert usage.spent.seconds == 508.0
    assert usage.spent.counts == {"preview": 1, "room": 4, "writable": 1, "log": 1}
    assert agenda._preview_cost == 2.0
    run.server.close()


def test_the_clock_of_a_run_stands_still_while_its_process_is_held(monkeypatch):
    clock, busy = Clock(), Clock()
    times = types.SimpleNamespace(perf_counter=clock.perf_counter, process_time=busy.perf_counter)
    monkeypatch.setattr(holding, "time", times)
    holds = holding.Holds()
    clock.now += 50.0
    assert holds.now() == 150.0, "nobody looks: nothing is known"
    holds.look()
    clock.now += 2.5  # steps
    before = holds.now()
    clock.now += 600.0  # Ctrl-Z
    assert holds.now() == before
    holds.look()
    clock.now, busy.now = clock.now + 600.0, busy.now + 300.0  # one long operation that lets no other thread run
    assert holds.now() == before + 600.0
    clock.now += 600.0
    holds.look()  # the thread is the first to know
    assert holds.now() == before + 601.0, "at most a tick is counted that was none of training"


def test_accounts_come_seldom_and_hold_all_the_time():
    accounts = Accounts(torch.device("cpu"), Laps(torch.device("cpu")))
    accounts.begin(10, 5.0)
    with accounts.doing("preview"), accounts.doing("log"):  # what is done for a preview is the preview's
        pass
    assert accounts.account(20, 6.9, 10.0) == []
    (usage,) = accounts.account(31, 7.1, 10.0)
    assert (usage.step, usage.spent.steps, usage.spent.seconds) == (31, 21, pytest.approx(2.1))
    assert usage.spent.counts == {"preview": 1} and usage.load.cpus >= 1 and usage.load.memory > 10**7
    assert accounts.account(40, 9.0, 10.0) == []
    assert [made.spent.steps for made in accounts.account(41, 9.2)] == [10] and accounts.account(41, 9.2) == []
    accounts.begin(0, 600.0)  # ten minutes in, every ten seconds
    assert accounts.account(9, 609.0, 1.0) == [] and accounts.account(10, 610.5, 1.0)
    accounts.begin(0, 9e5)
    assert accounts.account(29, 9e5 + 29, 1.0) == [] and accounts.account(31, 9e5 + 31, 1.0)


def test_a_run_tells_where_its_time_went(tmp_path):
    run = Run(tmp_path, train__steps=60, preview__every_steps=20, checkpoint__every_steps=30, train__validate_every=15)
    run.thread.start()
    view = run.finish()
    all_ended([run])
    total = sum((usage.spent for usage in view.usage), Spent())
    assert view.usage[-1].step == total.steps == 60
    assert (total.counts["preview"], total.counts["checkpoint"], total.counts["validation"]) == (5, 3, 4)
    assert total.seconds == pytest.approx(run.loop.elapsed(), rel=0.5)
    assert all(total.parts[part] > 0 for part in ("data", "gradients", "optimiser", "preview", "log", "validation"))
    assert sum(total.parts.values()) <= total.seconds * 1.01
    assert view.usage[-1].load.total > view.usage[-1].load.memory > 10**7


class NVMLError(Exception):
    """What the library raises."""


def stand_in(**more) -> types.SimpleNamespace:
    """A library for a GPU that is half busy, as far as it tells."""
    known = {
        "NVMLError": NVMLError, "NVML_TEMPERATURE_GPU": 0, "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByUUID": lambda uuid: {"GPU-1-2": "handle"}[uuid],
        "nvmlDeviceGetUtilizationRates": lambda handle: types.SimpleNamespace(gpu=50),
        "nvmlDeviceGetMemoryInfo": lambda handle: types.SimpleNamespace(used=3 * 10**9, total=8 * 10**9),
        "nvmlDeviceGetPowerUsage": lambda handle: 250_000,
        "nvmlDeviceGetTemperature": lambda handle, which: 61,
    }  # fmt: skip
    return types.SimpleNamespace(**known | more)


GIVEN = Gpu("H", used=10**9, total=8 * 10**9, own=10**8)


def test_nvml_adds_what_it_tells(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", stand_in())
    assert Gauge("1-2").read(GIVEN).gpu == Gpu("H", 0.5, 3 * 10**9, 8 * 10**9, 10**8, 250.0, 61.0)
    assert Gauge("1-2").read().gpu is None and Gauge().read(GIVEN).gpu == GIVEN


def raising(*_):
    raise NVMLError("not here")


@pytest.mark.parametrize(
    "library",
    [None, stand_in(nvmlInit=raising), stand_in(nvmlDeviceGetHandleByUUID=raising), stand_in(NVMLError=None)],
    ids=["not installed", "no driver", "no such GPU", "another library of this name"],
)
def test_without_nvml_the_rest_is_told(monkeypatch, library):
    monkeypatch.setitem(sys.modules, "pynvml", library)
    load = Gauge("1-2").read(GIVEN)
    assert load.gpu == GIVEN and load.memory > 10**7


def test_a_gpu_that_tells_only_some(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", stand_in(nvmlDeviceGetUtilizationRates=raising))
    assert Gauge("GPU-1-2").read(GIVEN).gpu == Gpu("H", None, 3 * 10**9, 8 * 10**9, 10**8, 250.0, 61.0)


def test_a_part_of_a_gpu_is_found_by_its_own_name(monkeypatch):
    parts = stand_in(
        nvmlDeviceGetHandleByUUID=lambda uuid: "part" if uuid == "MIG-1-2" else raising(),
        nvmlDeviceGetUtilizationRates=raising, nvmlDeviceGetPowerUsage=raising, nvmlDeviceGetTemperature=raising,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "pynvml", parts)
    assert Gauge("1-2").read(GIVEN).gpu == Gpu("H", None, 3 * 10**9, 8 * 10**9, 10**8)
    assert machine.gpu_free("1-2", 8 * 10**9) == 0  # its memory has no `free` here: nobody tells


def test_memory_of_a_whole_gpu_is_not_taken_for_that_of_its_part(monkeypatch):
    whole = types.SimpleNamespace(used=3 * 10**9, total=80 * 10**9, free=77 * 10**9)
    monkeypatch.setitem(sys.modules, "pynvml", stand_in(nvmlDeviceGetMemoryInfo=lambda handle: whole))
    told = Gauge("1-2").read(GIVEN).gpu
    assert (told.used, told.total, told.busy) == (10**9, 8 * 10**9, 0.5)
    assert machine.gpu_free("1-2", 8 * 10**9) == 0 and machine.gpu_free("1-2", 84 * 10**9) == 77 * 10**9


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_the_machine_and_its_limits_are_read(monkeypatch, tmp_path):
    proc = write(
        tmp_path / "proc", stat="cpu  100 0 100 700 100 0 0 0 9 9\n", self__cgroup="0::/mine\n", self__statm="9 5000 1",
        meminfo="MemTotal: 16000000 kB\nMemAvailable: 9000000 kB\n",
    )  # fmt: skip
    monkeypatch.setattr(machine, "PROC", proc)
    monkeypatch.setattr(machine, "GROUPS", tmp_path / "groups")
    gauge = Gauge()
    write(proc, stat="cpu  190 0 100 710 100 0 0 0 9 9\n")
    load = gauge.read()
    assert (load.all_cpus, load.free, load.total) == (0.9, 9_216_000_000, 16_384_000_000)
    assert load.memory == 5000 * machine.resource.getpagesize() and load.cpu >= 0
    write(
        tmp_path / "groups/mine", memory_dot_max="4000000000", memory_dot_current="3000000000",
        memory_dot_stat="anon 1\ninactive_file 500000000", cpu_dot_max="50000 100000",
    )  # fmt: skip
    load = gauge.read()
    assert (load.free, load.total, load.cpus) == (1_500_000_000, 4_000_000_000, 0.5)
    write(tmp_path / "groups/mine", memory_dot_max="max", cpu_dot_max="max 100000")
    load = gauge.read()
    assert (load.free, load.total) == (9_216_000_000, 16_384_000_000) and load.cpus >= 1


def test_a_system_that_tells_nothing_is_no_fault(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "PROC", tmp_path / "none")
    load = Gauge().read()
    assert load.all_cpus is None and load.free == 0 and load.total > 0 and load.memory > 10**6 and load.cpus >= 1
