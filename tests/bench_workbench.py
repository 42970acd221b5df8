"""Benchmarks of the workbench: what it costs a run, how soon it is there, and how silent it can be."""

from __future__ import annotations

import os
import re
import select
import signal
import statistics
import sys
import time
from collections.abc import Callable
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
TURN = 1.0


def sockets() -> list[Path]:
    """The sockets of live workers, the warm ones included."""
    return list(Path(os.environ["XDG_RUNTIME_DIR"]).glob("tui-gen/*.sock"))


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has taken so far."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rsplit(b")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Rested(bench_trainer.Worker):
    """A run before each of whose turns the machine rests for a moment."""

    def release(self) -> None:
        select.select([], [], [], 0.3)
        super().release()


class Watched(Rested):
    """A run that a workbench shows, which is held and let go on with it: it draws all anew then, which nobody has it do
    who does not hold it, while the machine rests. `taken` is the workbench's processor time in turns."""

    terminal: PtyTerminal
    taken = 0.0

    def hold(self) -> None:
        super().hold()
        self.taken += cpu_seconds(self.terminal.process.pid)
        self.terminal.process.send_signal(signal.SIGSTOP)

    def release(self) -> None:
        self.terminal.process.send_signal(signal.SIGCONT)
        super().release()
        self.taken -= cpu_seconds(self.terminal.process.pid)


def attached(settings: Settings, base: Path, root: str) -> Figure:
    """The MLP VAE's speed in a run that a workbench shows ÷ in one at which nobody looks; each is held while the other
    has its turn.
    """
    tables = bench_trainer.bare(bench_trainer.tables_of("vae", root))
    bench_trainer.decided(tables)
    with Watched(bench_trainer.make_run(tables)) as shown:
        shown.speed(bench_trainer.WARM)
        command = [*WORKBENCH, "attach", str(shown.run)]
        with PtyTerminal(command, 120, 40, PLAIN, emulate=False, watch=b"running") as shown.terminal:
            wait_for(lambda: shown.terminal.watched_at, 60, "the run on the screen")
            shown.speed(3.0)  # its start is not what is measured
            shown.hold()
            with Rested(bench_trainer.make_run(tables)) as alone:
                bench_trainer.warmed(alone)
                shown.taken, turns = 0.0, max(4, round(settings.seconds / TURN))
                pairs = bench_trainer.in_turn(shown, alone, settings.pairs, settings, TURN)
    figure = ratio("attached", "MLP VAE with a workbench attached ÷ headless alone", pairs, 0.985, "images/s")
    figure.detail += f"; the workbench takes {shown.taken / (settings.pairs * turns * TURN):.1%} of a core"
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
