"""The workbench as something to look through: what it takes to open, watch and keep a run on a 200×50 terminal.

A table: this build, with `--beside DIR` another checkout of it, and with `--leet COMMAND` (or where `wandb` is on the
PATH) W&B LEET on the same numbers, each measured in turn in the same run. Times are from the start of the program;
beside them stands the processor time that it took, which a busy machine changes less. Linux only.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests import bench_logs, bench_workbench
from tests.bench import Figure, Settings
from tests.process_tree import cpu_seconds, family, own_seconds
from tests.pty_terminal import KITTY, ROOT, PtyTerminal
from tests.waiting import wait_for
from tui_gen import events, runs
from tui_gen.log import event_log

SIZE = (200, 50)
STEPS, FAST = 50_000, 250
"""Steps of a long run, and how many of them a fast one writes at a time."""
CHART = 40
"""Braille characters that make a chart: fewer may be an ornament."""
BRAILLE = re.compile(rb"\xe2[\xa0-\xa3][\x80-\xbf]")
SEQUENCE = re.compile(rb"\x1b\[[0-9;:?<>$ ]*[@-~]|\x1b[\]P_].*?(?:\x1b\\|\x07)|\x1b[78]", re.DOTALL)
SILENCE = 1.5
"""Seconds without output after which a program has drawn all there is."""
MANY = 500
LINK = {"latency": 0.15, "bandwidth": 50 * 1024.0}
KEYS = (("menu", "f10", "Save settings"), ("?", "?", "Everywhere"), ("F1", "f1", "Help: "))
"""What is pressed on a slow link, and what then appears."""
LOGGER = """
import random, sys, time, wandb
steps, pace, dice = int(sys.argv[1]), float(sys.argv[2]), random.Random(0)
quiet = wandb.Settings(console="off", x_disable_stats=True, silent=True)
run = wandb.init(mode="offline", project="viewer", dir=sys.argv[3], settings=quiet)
for step in range(steps):
    run.log({f"phase/metric_{number}": dice.gauss(20, 3) for number in range(20)}, step=step)
    time.sleep(pace)
print("logged", flush=True)
sys.stdin.read()
"""
"""Writes the same numbers for LEET: so many steps, so many seconds between them, into this folder; waits."""


@dataclass
class Program:
    """A program to look at runs with: `look(run)` is the command for one, or for a folder; `runs` has one of each kind.

    Kinds: `fast` and `slow` (long, finished), `live`, `quiet` (live), `finished`.
    """

    name: str
    look: Callable[[Path], list[str]]
    runs: dict[str, Path]
    cwd: Path = ROOT


class Screen(PtyTerminal):
    """A terminal that notes when a chart was first on it, and when anything was drawn last."""

    charted_at: float | None = None
    drawn_at = 0.0
    dots = 0

    def _feed(self, data: bytes) -> None:
        super()._feed(data)
        if SEQUENCE.sub(b"", data):  # not only questions, which nobody sees
            self.drawn_at = self.last_output
        if self.charted_at is None:
            self.dots += len(BRAILLE.findall(data))
            self.charted_at = self.last_output if self.dots >= CHART else None


def screen(program: Program, run: Path, emulate: bool = False, **link: float) -> Screen:
    """A program that looks at a run."""
    return Screen(program.look(run), *SIZE, KITTY, emulate=emulate, cwd=program.cwd, **link)


def resident(pid: int) -> float:
    """Memory of a process in MB."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
    return 0.0


def rest(seconds: float) -> None:
    """Let time pass."""
    until = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() >= until, seconds + 60)


def settle(pid: int) -> None:
    """Wait until what a program has started beside itself, a warm worker say, has come up."""

    def beside() -> float:
        return cpu_seconds(pid) - own_seconds(pid)

    if len(family(pid)) > 1:
        with contextlib.suppress(AssertionError):  # not a workbench
            wait_for(bench_workbench.sockets, 60, "the warm worker")
    for _ in range(30):
        before = beside()
        rest(2.0)
        if beside() - before < 0.02:
            return


class Writer:
    """A live run of this process: `live` writes twenty metrics ten times a second, as a worker does; else nothing."""

    def __init__(self, run: Path, live: bool) -> None:
        self.run = run
        self._ending = threading.Event()
        self._log = event_log.EventWriter(run / "events.jsonl")
        self._thread = threading.Thread(target=self._write, daemon=True) if live else None

    def __enter__(self) -> Path:
        self._lock = runs.claim(self.run)
        self._lock.__enter__()
        runs.register(self.run, "")
        if self._thread is not None:
            self._thread.start()
        return self.run

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        self._log.close()
        self._lock.__exit__(None, None, None)

    def _write(self) -> None:
        step = 1000
        for line in bench_logs.metrics(1 << 40, 1):
            event = events.decode(line)
            assert isinstance(event, events.Metrics)
            event.start, event.t = step, time.time()
            self._log.write(event)
            step += 1
            if step % 10 == 0:
                self._log.write(system(step, step / 10))
            if self._ending.wait(0.1):
                return


def system(step: int, seconds: float) -> events.System:
    """What a worker tells every second."""
    return events.System(step=step, steps_per_second=10, images_per_second=640, memory=1 << 28, seconds=seconds)


def make_run(root: Path, name: str, steps: int, each: int, ended: bool) -> Path:
    """A run of ours with so many steps of twenty metrics, `each` on a line."""
    run = bench_logs.a_run(root, name)
    settings = (run / "config.toml").read_text()  # without phases that no model has, of which a warning would be shown
    (run / "config.toml").write_text(settings.partition("[train.phases.")[0])
    head = [events.State(state="running", step=0)]
    head.append(events.Plan(steps=STEPS, steps_per_epoch=500, batch_size=64, phases=["phase"]))
    lines = bench_logs.metrics(steps, each)
    with open(run / "events.jsonl", "wb") as file:
        file.writelines(map(events.encode, head))
        file.writelines(lines if each == 1 else bench_logs.packed(lines))
        file.write(events.encode(system(steps, steps / 10)))
        if ended:
            file.write(events.encode(events.State(state="finished", step=steps)))
    return run


def ours(base: Path) -> dict[str, Path]:
    """A run of each kind, and `many`: the folder with hundreds of them."""
    root = base / "viewer"
    found = {name: make_run(root / name, name, STEPS, FAST if name == "fast" else 1, True) for name in ("fast", "slow")}
    for name in ("live", "quiet", "finished"):
        found[name] = make_run(root / name, name, 1000, 1, name == "finished")
    for number in range(MANY):
        bench_logs.a_run(root / "many", f"20260101-0000-run-{number:05d}", age=number)
    return found | {"many": root / "many"}


def build(name: str, folder: Path, found: dict[str, Path]) -> Program:
    """A checkout of the workbench."""
    own = folder / ".venv" / "bin" / "python"
    python = str(own) if own.exists() else sys.executable

    def look(run: Path) -> list[str]:
        command = [python, "-m", "tui_gen"]
        return [*command, "--runs", str(run)] if run.name == "many" else [*command, "attach", str(run)]

    return Program(name, look, found, folder)


@contextlib.contextmanager
def leet(command: str, base: Path) -> Iterator[Program | None]:
    """W&B LEET with the same numbers in runs of its own; None where it is not installed."""
    path = shutil.which(command)
    if path is None:
        yield None
        return
    python = next((str(found) for name in ("python", "python3") if (found := Path(path).with_name(name)).exists()), "")
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    writers, found = [], {}
    try:
        for name, steps, pace in (("fast", STEPS, 0.0), ("finished", 1000, 0.0), ("live", 1 << 40, 0.1)):
            folder = base / "leet" / name
            folder.mkdir(parents=True)
            writer = subprocess.Popen(
                [python or sys.executable, "-c", LOGGER, str(steps), str(pace), str(folder)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder,
            )  # fmt: skip
            writers.append(writer)
            if name != "live":
                assert writer.stdout is not None and writer.stdin is not None
                writer.stdout.readline()
                if name == "finished":  # it stays open as a live run that is quiet; a copy of it is the finished one
                    shutil.copytree(folder, base / "leet" / "quiet", symlinks=True)
                    found["quiet"] = _wandb_run(folder)
                writer.stdin.close()
                writer.wait(120)
            wait_for(lambda folder=folder: _wandb_run(folder), 60, "LEET's run")
            found[name] = _wandb_run(folder)
        yield Program("LEET", lambda run: [path, "leet", "run", str(run)], found)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()


def _wandb_run(folder: Path) -> Path | None:
    return next((path.parent for path in folder.glob("wandb/offline-run-*/*.wandb")), None)


class Table:
    """The figures of every program, in turn."""

    def __init__(self, settings: Settings, base: Path, programs: list[Program]) -> None:
        self.turns = max(1, settings.pairs // 3)
        self.seconds = 4 * settings.seconds
        self.base = base
        self.programs = programs

    def figures(self) -> Iterator[Figure]:
        """Every row, as soon as it is measured."""
        for program in self.programs:  # for its bytecode
            with screen(program, self.run_of(program, "fast")) as terminal:
                wait_for(lambda t=terminal: t.charted_at, 60, "a chart")
        for kind, first, last in (("fast", 0.35, 0.6), ("slow", 0.5, 1.2)):
            yield from self.opening(kind, first, last)
        yield from self.watching("live", "20 metrics, 10 steps/s", 6.0, 8.0)
        yield from self.watching("quiet", "a live run that writes nothing", 0.5, 0.0)
        yield from self.watching("finished", "a finished run", 0.5, 0.0)
        yield from self.watching("many", f"{MANY} runs in the folder, none shown", 0.5, 0.0)
        yield from self.memory()
        yield from self.keys()

    def opening(self, kind: str, first: float, last: float) -> Iterator[Figure]:
        """Seconds until the first chart, and until all is drawn."""
        found: dict[str, list[tuple[float, float, float]]] = {}
        for _ in range(self.turns):
            for program in self.programs:
                with screen(program, self.run_of(program, kind)) as terminal:
                    wait_for(lambda t=terminal: t.charted_at, 60, "a chart")
                    terminal.wait_quiet(SILENCE, 60)
                    spent = cpu_seconds(terminal.process.pid)
                    charted, drawn = (at - terminal.started for at in (terminal.charted_at or 0, terminal.drawn_at))
                    found.setdefault(program.name, []).append((charted, drawn, spent))
        words = f"20 metrics × {STEPS:,} steps, {'250 steps' if kind == 'fast' else 'one step'} an event"
        cpu = {name: f"{median(turn[2] for turn in turns):.2f} s of CPU" for name, turns in found.items()}
        for place, what, aim in ((0, "first chart", first), (1, "all", last)):
            values = {name: [turn[place] for turn in turns] for name, turns in found.items()}
            yield self.row(f"open-{kind}", f"{words}: {what}", values, aim, "s", 2, cpu if place else {})

    def watching(self, kind: str, words: str, share: float, rate: float) -> Iterator[Figure]:
        """Per cent of a core, and what is written, while a run is shown."""
        shares: dict[str, list[float]] = {}
        rates: dict[str, list[float]] = {}
        for program in self.programs:
            if kind not in program.runs:
                continue
            with self.world(program, kind) as run, screen(program, run) as terminal:
                wait_for(lambda t=terminal: t.first_output, 60, "anything")
                with contextlib.suppress(AssertionError):  # LEET is never silent
                    terminal.wait_quiet(10.0, 40.0) if kind != "live" else rest(8.0)  # a toast stays for some seconds
                settle(terminal.process.pid)
                begun, spent, sent = time.monotonic(), cpu_seconds(terminal.process.pid), terminal.bytes_out
                rest(self.seconds)
                took = time.monotonic() - begun
                shares[program.name] = [100 * (cpu_seconds(terminal.process.pid) - spent) / took]
                rates[program.name] = [(terminal.bytes_out - sent) / 1024 / took]
        yield self.row(kind, f"{words}: processor time", shares, share, "%", 1)
        yield self.row(kind, f"{words}: written", rates, rate, "KiB/s", 1)

    def memory(self) -> Iterator[Figure]:
        """MB that it takes to look at a finished run, whatever is kept beside it included."""
        own, beside = {}, {}
        for program in self.programs:
            with screen(program, self.run_of(program, "finished")) as terminal:
                wait_for(lambda t=terminal: t.charted_at, 60, "a chart")
                with contextlib.suppress(AssertionError):
                    terminal.wait_quiet(6.0, 30.0)
                first, *others = family(terminal.process.pid)
                own[program.name] = [resident(first) + sum(map(resident, others))]
                beside[program.name] = f"{len(others)} other processes" if others else "nothing beside it"
        yield self.row("memory", "to look at a finished run", own, 150.0, "MB", 0, beside)

    def keys(self) -> Iterator[Figure]:
        """Milliseconds from a key to its picture on a slow link, while a run trains."""
        found: dict[tuple[str, str], list[float]] = {}
        for program in (one for one in self.programs if one.name != "LEET"):
            with self.world(program, "live") as run, screen(program, run, True, **LINK) as terminal:
                wait_for(lambda t=terminal: t.charted_at, 60, "a chart")
                for turn in range(3 * self.turns):
                    for name, key, text in KEYS:
                        rest(2.0 + 0.37 * (turn % 3))
                        pressed = time.monotonic()
                        terminal.press(key)
                        terminal.wait_for_text(text, 60)
                        found.setdefault((name, program.name), []).append(1000 * (time.monotonic() - pressed))
                        terminal.press("escape")
                        terminal.wait_gone(text, 60)
        for name, _, _ in KEYS:
            values = {program.name: found[name, program.name] for program in self.programs if program.name != "LEET"}
            words = f"key → paint of {name} at 50 KiB/s and 150 ms, while training"
            yield self.row("key", words, values, 200.0, "ms", 0)

    def run_of(self, program: Program, kind: str) -> Path:
        """The run of a kind; LEET's log is the same however fast it was written."""
        return program.runs.get(kind) or program.runs["fast"]

    @contextlib.contextmanager
    def world(self, program: Program, kind: str) -> Iterator[Path]:
        """A run, with somebody who writes it where it is live."""
        run = self.run_of(program, kind)
        if kind in ("live", "quiet") and program.name != "LEET":
            with Writer(run, kind == "live"):
                yield run
        else:
            yield run

    def row(
        self, name: str, what: str, values: dict[str, list[float]], aim: float, unit: str, digits: int,
        more: dict[str, str] | None = None,
    ) -> Figure:  # fmt: skip
        """A line: our median, and the others' beside it."""
        medians = {program: median(found) for program, found in values.items()}
        own = self.programs[0].name
        words = [f"{more[own]}"] if more and own in more else []
        for program in [program.name for program in self.programs[1:]] or []:
            beside = f" ({more[program]})" if more and program in more else ""
            value = f"{medians[program]:.{digits}f} {unit}{beside}" if program in medians else "–"
            words.append(f"{program} {value}")
        if all(program.name != "LEET" for program in self.programs):
            words.append("LEET not installed")
        value, low, high = medians[own], min(values[own]), max(values[own])
        met = round(value, digits) <= aim
        return Figure(name, what, value, low, high, f"≤ {aim:g}", met, "; ".join(words), unit, digits)


def viewer(settings: Settings, base: Path, root: str) -> Iterator[Figure]:
    """The table "speed, side by side"."""
    found = ours(base)
    programs = [build("this build", ROOT, found)]
    if settings.beside:
        programs.append(build("the other", Path(settings.beside).resolve(), found))
    with leet(settings.leet, base) as other:
        yield from Table(settings, base, [*programs, *([other] if other is not None else [])]).figures()


BENCHMARKS = {"viewer": viewer}
