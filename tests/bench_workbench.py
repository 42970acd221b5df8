"""Benchmarks of the workbench: what it costs a run, how soon it is there, and how silent it can be."""

from __future__ import annotations

import os
import re
import signal
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from tests import bench_trainer
from tests.bench import Figure, Settings, ratio
from tests.pty_terminal import KITTY, PLAIN, PtyTerminal
from tests.waiting import wait_for
from tui_gen import events, runs
from tui_gen.log import event_log

WORKBENCH = [sys.executable, "-m", "tui_gen"]
MINIMAL = [
    sys.executable,
    "-c",
    "from textual.app import App\nfrom textual.widgets import Static\n"
    "class Minimal(App):\n    def compose(self): yield Static('Hello, terminal')\nMinimal().run()",
]
IDLE_SECONDS = 10.0


def sockets() -> list[Path]:
    """The sockets of live workers, the warm ones included."""
    return list(Path(os.environ["XDG_RUNTIME_DIR"]).glob("tui-gen/*.sock"))


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has taken so far."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rsplit(b")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def attached(settings: Settings, base: Path, root: str) -> Figure:
    """One run of the MLP VAE: its speed while a workbench shows it ÷ while nobody looks, in turn.

    Nobody looks while the workbench is stopped by a signal. Each turn is held against the mean of those before and
    after it.
    """
    shares, shown, alone = [], [], []
    tables = bench_trainer.bare(bench_trainer.tables_of("vae", root))
    bench_trainer.decided(tables)
    with bench_trainer.Worker(bench_trainer.make_run(tables)) as worker:
        worker.speed(bench_trainer.WARM)
        command = [*WORKBENCH, "attach", str(worker.run)]
        with PtyTerminal(command, 120, 40, PLAIN, emulate=False, watch=b"running") as terminal:
            wait_for(lambda: terminal.watched_at, 60, "the run on the screen")
            worker.speed(3.0)  # its start is not what is measured

            def stopped() -> float:
                terminal.process.send_signal(signal.SIGSTOP)
                found = worker.speed(settings.seconds)
                terminal.process.send_signal(signal.SIGCONT)
                return found

            alone.append(stopped())
            for _ in range(2 * settings.pairs):
                worker.speed(0.3)  # it draws what it missed
                taken, since = cpu_seconds(terminal.process.pid), time.monotonic()
                shown.append(worker.speed(settings.seconds))
                shares.append((cpu_seconds(terminal.process.pid) - taken) / (time.monotonic() - since))
                alone.append(stopped())
    pairs = [(one, (before + after) / 2) for one, (before, after) in zip(shown, pairwise(alone), strict=True)]
    figure = ratio("attached", "MLP VAE with a workbench attached ÷ headless alone", pairs, 0.985, "images/s")
    figure.detail += f"; the workbench takes {statistics.mean(shares):.1%} of a core"
    return figure


def paint(command: list[str], text: bytes) -> tuple[float, float]:
    """Milliseconds from the start of a command until a text is on its terminal; of processor time until then."""
    with PtyTerminal(command, 120, 40, KITTY, emulate=False, watch=text) as terminal:
        wait_for(lambda: terminal.watched_at, 60, f"{text!r} on the screen")
        return 1000 * (terminal.watched_at - terminal.started), 1000 * terminal.watched_cpu


def first_paint(settings: Settings, base: Path, root: str) -> Figure:
    """The workbench's first frame ÷ that of the smallest Textual app, both from the start of Python."""
    both = ((WORKBENCH, b"Models"), (MINIMAL, b"Hello"))
    for command, text in (*both, *both):  # the second time is the first with the model tree in its cache
        paint(command, text)
    pairs, processor = [], []
    for turn in range(max(5, settings.pairs)):
        found = {text: paint(command, text) for command, text in (both if turn % 2 else both[::-1])}
        ours, theirs = (found[text] for _, text in both)
        pairs.append((ours[0], theirs[0]))
        processor.append(ours[1] / theirs[1] if theirs[1] else 0.0)
    figure = ratio("first-paint", "the workbench ÷ a minimal Textual app", pairs, 1.3, "ms", at_most=True)
    if all(processor):
        figure.detail += f"; {statistics.median(processor):.2f} × its processor time"
    return figure


def start_to_loss(settings: Settings, base: Path, root: str) -> Figure:
    """F5 on vae-digits with the warm worker: until the first loss is on the screen, and in the log."""
    shown, logged = [], []
    for _ in range(max(1, settings.pairs // 5)):
        known, taken = set(runs.default_root().glob("*")), len(sockets())
        with PtyTerminal(WORKBENCH, 120, 40, KITTY) as terminal:
            terminal.wait_for_text("press F5")
            wait_for(lambda n=taken: len(sockets()) > n, 60, "the warm worker")
            terminal.wait_quiet(1.0)
            pressed, at = time.monotonic(), time.time()
            terminal.press("f5")
            terminal.wait_for_text(re.compile(r"loss -?\d"), 60)
            shown.append(1000 * (time.monotonic() - pressed))
            (run,) = set(runs.default_root().glob("*")) - known
            log = event_log.Follower(run / "events.jsonl").poll()
            first = [event.t for event in log if isinstance(event, events.Metrics)]
            logged.append(1000 * (first[0] - at))
            terminal.press("f9")
            terminal.wait_for_text("stopped", 60)
    value = statistics.median(shown)
    detail = f"of which {statistics.median(logged):.0f} ms until it was in the log"
    what = "Start → first loss on the screen, vae-digits, warm worker"
    return Figure("start", what, value, min(shown), max(shown), "≤ 1000 ms", value <= 1000, detail, "ms")


def idle_bytes(settings: Settings, base: Path, root: str) -> Figure:
    """What the workbench writes in ten seconds when nothing happens."""
    with PtyTerminal(WORKBENCH, 120, 40, KITTY, emulate=False) as terminal:
        wait_for(lambda: len(sockets()), 60, "the warm worker")
        before, since = terminal.wait_quiet(3.0, 60), time.monotonic()
        wait_for(lambda: time.monotonic() - since >= IDLE_SECONDS, 60)
        count = terminal.bytes_out - before
    return Figure(
        "idle-bytes", f"written in {IDLE_SECONDS:g} s with no run", count, count, count, "0 bytes", not count, "", "B"
    )


BENCHMARKS: dict[str, Callable[[Settings, Path, str], Figure]] = {
    "attached": attached,
    "first-paint": first_paint,
    "start": start_to_loss,
    "idle-bytes": idle_bytes,
}
