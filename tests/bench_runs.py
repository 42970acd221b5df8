"""Benchmarks of folders with thousands of runs: how soon the Runs pane has them, answers a key, and how quiet it is.

Where wandb is installed (or `--leet COMMAND` names it), what its LEET takes to open a workspace of as many runs.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.bench import Figure, Settings
from tests.bench_viewer import resident, rest, settle
from tests.process_tree import cpu_seconds, own_seconds
from tests.pty_terminal import KITTY, ROOT, PtyTerminal
from tests.waiting import wait_for
from tui_gen import catalog as catalogs
from tui_gen import columns, events
from tui_gen import config as configs

MANY = 2000
STEPS, FLUSH = 2400, 60
"""Steps of a run, and how many of them a worker writes at a time."""
RECIPES = ("vae-digits", "dcgan-digits", "ddpm-digits", "flow-two-moons", "vae-mnist")
STATES = ("finished", "finished", "finished", "stopped", "failed")
SIZE = (200, 50)
PAUSE = 0.25
"""Seconds without output after which a key's picture is there."""
TYPED = "vae lr<1e-2 "
"""What is typed into the filter, key by key."""


def make_runs(root: Path, count: int = MANY) -> None:
    """So many ended runs of several recipes, as a worker leaves them; their ages are minutes apart."""
    dice, catalog = random.Random(0), catalogs.read()
    recipes = [name for name in RECIPES if name in catalog.recipes]
    logs = {name: [log_of(catalogs.resolve(name, catalog, []), dice, state) for state in STATES] for name in recipes}
    texts = {}
    for name in recipes:
        config = catalogs.resolve(name, catalog, [])
        texts[name] = configs.dumps(config, catalog)
    now = time.time()
    for number in range(count):
        name = dice.choice(recipes)
        run = root / f"20260101-{number // 60 % 24:02}{number % 60:02}-{name}-{number:04x}"
        for folder in ("samples", "checkpoints"):
            (run / folder).mkdir(parents=True)
        (run / "config.toml").write_text(texts[name].replace("lr = 0.001", f"lr = {10 ** dice.uniform(-5, -2):.2g}"))
        (run / "worker.lock").touch()
        (run / "events.jsonl").write_bytes(dice.choice(logs[name]))
        for file in ("config.toml", "events.jsonl"):
            os.utime(run / file, (now - 60 * (count - number),) * 2)


def log_of(config: configs.RunConfig, dice: random.Random, state: str) -> bytes:
    """What a worker writes of a run of this config: eight metrics, validation, states."""
    phases = [f"{phase}/" for phase in config.train.phases] or ["model/"]
    names = [f"{phase}{name}" for phase in phases for name in ("loss", "grad_norm", "lr", "kl")]
    plan = events.Plan(steps=STEPS, steps_per_epoch=100, batch_size=64, phases=list(config.train.phases))
    lines = [events.State(state="running", step=0), plan]
    for start in range(0, STEPS, FLUSH):
        mean = 30 * 0.99 ** (start / 20)
        values = {name: columns.column(dice.gauss(mean, 1) for _ in range(FLUSH)) for name in names}
        lines.append(events.Metrics(start=start, values=values))
        lines.append(events.Metrics(start=start + FLUSH - 1, values={f"val/{names[0]}": [dice.gauss(20, 1)]}))
    lines.append(events.System(step=STEPS, steps_per_second=90, images_per_second=9000, seconds=STEPS / 90))
    lines.append(events.State(state=state, step=STEPS))
    return b"".join(map(events.encode, lines))


class Watcher(PtyTerminal):
    """A terminal that notes when texts were first on it, and when it was written to last."""

    def __init__(self, command: list[str], *texts: str) -> None:
        self.seen: dict[str, float] = {}
        self.spent: dict[str, float] = {}
        """Processor time until then."""
        self._wanted = {text: text.encode() for text in texts}
        self._end = b""
        super().__init__(command, *SIZE, KITTY, emulate=False)

    def _feed(self, data: bytes) -> None:
        super()._feed(data)
        data, self._end = self._end + data, data[-64:]
        for text, wanted in self._wanted.items():
            if text not in self.seen and wanted in data:
                self.seen[text], self.spent[text] = time.monotonic(), own_seconds(self.process.pid)


def workbench(root: Path) -> list[str]:
    """The command that shows a folder of runs."""
    return [sys.executable, "-m", "tui_gen", "--runs", str(root)]


def many_runs(settings: Settings, base: Path, _: str) -> Iterator[Figure]:
    """Every row."""
    root, turns = base / "many", max(3, settings.pairs // 3)
    make_runs(root)
    newest = f"{MANY - 1:04x}"
    one = base / "one"
    make_runs(one, 1)
    taken: dict[str, list[float]] = {"first": [], "many": [], "one": []}
    spent: dict[str, list[float]] = {"first": [], "many": [], "one": []}
    for turn in range(2 * turns + 1):
        folder, last = (one, "0000") if turn % 2 else (root, newest)
        with Watcher(workbench(folder), "Models", last) as terminal:
            wait_for(lambda t=terminal: len(t.seen) == 2, 60, "the newest run")
            kind = "first" if not turn else "one" if turn % 2 else "many"
            taken[kind].append(terminal.seen[last] - terminal.seen["Models"])
            spent[kind].append(terminal.spent[last] - terminal.spent["Models"])
            terminal.wait_quiet(1.0, 600)
            if kind == "first":  # what each run came to is found now, once
                settle(terminal.process.pid)
                resting(terminal.process.pid)
    detail = f"{median(spent['many']):.2f} s of CPU; with one run {median(taken['one']):.2f} s"
    detail += f" ({median(spent['one']):.2f} s of CPU); before any log was read {taken['first'][0]:.2f} s"
    detail += f" ({spent['first'][0]:.2f} s of CPU)"
    yield row("runs-open", f"{MANY:,} runs: first frame → rows in the Runs pane", taken["many"], 0.3, "s", 2, detail)
    with Watcher(workbench(root), newest) as terminal:
        wait_for(lambda: terminal.seen, 60, "the newest run")
        settle(terminal.process.pid)
        resting(terminal.process.pid)
        terminal.press("alt+6")
        terminal.wait_quiet(1.0, 60)
        terminal.press("z")
        terminal.wait_quiet(1.0, 60)
        pressed = list(keys(terminal))
        took, detail = [took for took, _ in pressed], f"of {len(pressed)} keys; "
        detail += f"{median(cpu for _, cpu in pressed):.0f} ms of CPU, the slowest {max(took):.0f} ms"
        yield row("runs-filter", f"{MANY:,} runs: a key in the filter → paint", took, 50.0, "ms", 0, detail)
        terminal.wait_quiet(3.0, 60)
        resting(terminal.process.pid)
        pid, seconds = terminal.process.pid, max(20.0, 8 * settings.seconds)
        spent, sent, since = cpu_seconds(pid), terminal.bytes_out, time.monotonic()
        rest(seconds)
        share = 100 * (cpu_seconds(pid) - spent) / (time.monotonic() - since)
        yield row("runs-idle", f"{MANY:,} runs on screen, nothing happens", [share], 0.5, "%", 2,
                  f"of a core; {terminal.bytes_out - sent} bytes written, {resident(pid):.0f} MB")  # fmt: skip
    yield from peer(settings, base, turns)


def resting(pid: int) -> None:
    """Wait until a program has done all that it does by itself."""
    for _ in range(100):
        before = own_seconds(pid)
        rest(2.0)
        if own_seconds(pid) - before < 0.2:
            return


def keys(terminal: Watcher) -> Iterator[tuple[float, float]]:
    """Milliseconds from each key of a filter to its picture, and of processor time."""
    terminal.press("/")
    terminal.wait_quiet(1.0, 60)
    for key in TYPED * 2:
        pid = terminal.process.pid
        spent, pressed, sent = own_seconds(pid), time.monotonic(), terminal.bytes_out
        terminal.press(key if key != " " else "space")
        with contextlib.suppress(AssertionError):  # a key after which all is as it was
            wait_for(lambda before=sent: terminal.bytes_out > before, 1.0)
        terminal.wait_quiet(PAUSE, 60)
        if terminal.bytes_out > sent:
            yield 1000 * (terminal.last_output - pressed), 1000 * (own_seconds(pid) - spent)


def row(name: str, what: str, values: list[float], aim: float, unit: str, digits: int, detail: str) -> Figure:
    """A line of the table: the median, beside its aim."""
    value = median(values)
    met = round(value, digits) <= aim
    return Figure(name, what, value, min(values), max(values), f"≤ {aim:g} {unit}", met, detail, unit, digits)


def peer(settings: Settings, base: Path, turns: int) -> Iterator[Figure]:
    """LEET's workspace of as many runs: a run of its own logger, copied."""
    command = shutil.which(settings.leet)
    if command is None:
        return
    python = next((str(path) for name in ("python", "python3") if (path := Path(command).with_name(name)).exists()), "")
    folder = base / "peer"
    folder.mkdir()
    code = (
        "import wandb\nrun = wandb.init(mode='offline', project='many', settings=wandb.Settings(console='off',"
        " x_disable_stats=True, silent=True))\n"
        f"for step in range({STEPS}): run.log({{f'm{{k}}': step * k / 7 for k in range(8)}}, step=step)\nrun.finish()"
    )
    subprocess.run([python or sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)
    [made] = (folder / "wandb").glob("offline-run-*")
    ident = made.name.rpartition("-")[2]
    for number in range(1, MANY):
        other = made.with_name(f"offline-run-20260101_{number // 60:02}{number % 60:02}00-{number:08x}")
        other.mkdir()
        shutil.copyfile(made / f"run-{ident}.wandb", other / f"run-{number:08x}.wandb")
    taken, cpu = [], []
    for _ in range(turns):
        with PtyTerminal([command, "leet", str(folder / "wandb")], *SIZE, KITTY, emulate=False, cwd=ROOT) as terminal:
            wait_for(lambda t=terminal: t.first_output, 60, "anything")
            with contextlib.suppress(AssertionError):  # it is never silent
                terminal.wait_quiet(2.0, 20.0)
            taken.append(terminal.last_output - terminal.started)
            cpu.append(cpu_seconds(terminal.process.pid))
    detail = f"until it is silent, 20 s at most; {median(cpu):.1f} s of CPU"
    yield Figure("runs-leet", f"{MANY:,} runs: W&B LEET opens its workspace", median(taken), min(taken), max(taken),
                 "–", True, detail, "s", 1)  # fmt: skip


BENCHMARKS = {"runs-many": many_runs}
