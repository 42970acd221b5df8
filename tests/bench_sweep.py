"""Benchmark of the Sweeps pane: how soon a sweep of 1,000 trials is on the screen, and answers a key."""

from __future__ import annotations

import random
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import Figure, Settings
from tests.bench_workbench import WORKBENCH
from tests.pty_terminal import KITTY, PtyTerminal
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import runs
from tui_gen.search import specs
from tui_gen.search.specs import SearchSpec, TrialRow, TrialTable

TRIALS = 1000
MOST_OPEN, MOST_KEY = 1000.0, 150.0
"""Milliseconds from the key to the words on the screen, at most."""


def make(name: str) -> None:
    """A sweep with so many trials that are over, and no runs."""
    config = catalogs.resolve("vae-digits", catalogs.read(), [])
    space = ["train.phases.vae.lr=1e-4..0.01:log", "model.latent=8|16|32", "model.beta=0..4"]
    spec = SearchSpec(name=name, config=configs.dumps(config), space=space, metric="val/vae/loss", trials=TRIALS)
    specs.write(runs.default_root(), spec)
    dice, rows = random.Random(0), []
    for number in range(TRIALS):
        values = {
            "train.phases.vae.lr": float(f"{10 ** dice.uniform(-4, -2):.3g}"), "model.latent": dice.choice([8, 16, 32]),
            "model.beta": round(dice.uniform(0, 4), 2),
        }  # fmt: skip
        rows.append(TrialRow(number, "done", values, round(24 + dice.random() * 9, 4), 199, f"run-{number}", "here"))
    specs.write_trials(runs.default_root(), name, TrialTable(rows, {"model.beta": 0.7, "model.latent": 0.3}))


def sweep(settings: Settings, base: Path, root: str) -> Figure:
    """Enter on a sweep until its trials are drawn; then Down, until the words about the next trial are; then `p`."""
    make("thousand")
    opens, keys, plots = list[float](), list[float](), list[float]()
    with PtyTerminal(WORKBENCH, 120, 40, KITTY) as terminal:
        terminal.wait_for_text("press F5")
        terminal.wait_quiet(1.0)
        terminal.press("escape")  # the tour, which is shown where no other benchmark has left a run
        terminal.wait_gone("Esc leaves")
        terminal.press("ctrl+p")
        terminal.send("view: sweeps")
        terminal.wait_for_text("View: Sweeps")
        terminal.press("enter")
        terminal.wait_for_text("1000/1000")
        terminal.wait_quiet(1.0)
        terminal.press("f11")
        terminal.wait_quiet(1.0)
        for _ in range(max(3, settings.pairs)):
            opens.append(_until(terminal, "enter", "importance: beta 70 %"))
            terminal.press("p")  # the table alone
            terminal.wait_gone("◆")
            plots.append(_until(terminal, "p", "◆"))
            terminal.press("p")  # both again
            terminal.wait_for_text(re.compile(r"at 200(?s:.)*at 200"))
            for _ in range(5):
                name = re.search(r"run-\d+", terminal.text())
                keys.append(_until(terminal, "down", re.compile(rf"better · (?!{name[0] if name else 'x'}\b)run-\d+")))
            terminal.press("backspace")
            terminal.wait_for_text("1000/1000")
            terminal.wait_quiet(0.5)
    value, key = statistics.median(opens), statistics.median(keys)
    detail = f"a key → paint {key:.0f} ms (at most {max(keys):.0f}), p → paint {statistics.median(plots):.0f} ms"
    what = f"Enter on a sweep of {TRIALS:,} trials → drawn"
    met = value <= MOST_OPEN and key <= MOST_KEY
    return Figure("sweep", what, value, min(opens), max(opens), f"≤ {MOST_OPEN:g} ms", met, detail, "ms")


def _until(terminal: PtyTerminal, key: str, text: str | re.Pattern[str]) -> float:
    pressed = time.monotonic()
    terminal.press(key)
    terminal.wait_for_text(text, 30)
    return 1000 * (time.monotonic() - pressed)


BENCHMARKS: dict[str, Callable[[Settings, Path, str], Figure]] = {"sweep": sweep}
