"""The live display of a run on a terminal: state, progress, losses with their trend, speed. Log lines go above it."""

from __future__ import annotations

import math
import signal
import time
from typing import Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tui_gen import events
from tui_gen.draw.scales import extent, worth
from tui_gen.draw.series import Series
from tui_gen.draw.spark import BARS
from tui_gen.progress import preparation, speed, where
from tui_gen.quantities import duration, metric
from tui_gen.report.plain import clock, machine, ordered
from tui_gen.report.stdout import Outlet, unicode_ok
from tui_gen.states import ANSI, level_look, state_look
from tui_gen.text import clean, clean_lines
from tui_gen.view import RunView

SMOOTHING = 0.95


class DisplayTerminal(Console):
    """A console that leaves the cursor as it is: then there is nothing to bring back, whatever stops or ends us.

    `plain`: frames and bars in ASCII.
    """

    def __init__(self, out: Outlet, plain: bool) -> None:
        super().__init__(file=out, markup=False, highlight=False, emoji=False)  # type: ignore[arg-type]
        self._plain = plain

    @property
    def encoding(self) -> str:
        """What Rich chooses its characters by."""
        return "ascii" if self._plain else super().encoding

    def show_cursor(self, show: bool = True) -> bool:
        return False


class LiveDisplay:
    """Redraws a few lines in place, at most `fps` times a second and only where something changed.

    After Ctrl-Z and `fg` it goes on below what the shell has written meanwhile. Main thread only.
    """

    def __init__(self, out: Outlet, title: str, fps: float = 5.0) -> None:
        unicode = unicode_ok(out)
        self.console = DisplayTerminal(out, plain=not unicode)
        self.title = clean(title)
        self._period = 1 / fps
        self._last_draw = 0.0
        self._last_content: object = None
        self._live = self._new()
        self._bars = BARS if unicode else ".:-=+*#%"
        self._stopped = False
        self._before: Any = None

    def _new(self) -> Live:
        return Live(console=self.console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)

    def open(self, view: RunView) -> None:
        """Take the cursor's line."""
        self._before = signal.signal(signal.SIGCONT, self._continued)
        self._live.start()

    def _continued(self, _number: int, _frame: object) -> None:
        self._stopped = True

    def _begin_again(self) -> None:
        """The lines drawn last are no longer right above the cursor: leave them."""
        self._stopped, self._last_content = False, None
        self.console.pop_render_hook()
        self.console.clear_live()
        self._live = self._new()
        self._live.start()

    def event(self, event: events.Event) -> None:
        """Nothing: the picture comes from the view."""

    def line(self, t: float, level: str, text: str) -> None:
        """A line above the display."""
        style = ("bold " if level == "error" else "") + ANSI[level_look(level).tone][1]
        for line in clean_lines(text):
            word = f"{level}: " if level in ("warning", "error") else ""
            self.console.print(Text.assemble((clock(t), "dim"), " ", (word + line, style)))

    def notice(self, level: str, text: str) -> None:
        """As a line of the log, with the time of now."""
        self.line(time.time(), level, text)

    def update(self, view: RunView, state: str, trouble: str, hint: str) -> None:
        """Draw, if something changed and it is time to."""
        if self._stopped:
            self._begin_again()
        now = time.monotonic()
        if now - self._last_draw < self._period:
            return
        content = (dict(view.revision), state, trouble, hint, self.console.size)
        if content != self._last_content:
            self._last_content, self._last_draw = content, now
            self._live.update(self._picture(view, state, trouble, hint), refresh=True)

    def close(self, view: RunView, state: str) -> None:
        """Leave the last picture standing."""
        if self._stopped:
            self._begin_again()
        signal.signal(signal.SIGCONT, self._before or signal.SIG_DFL)
        self._live.update(self._picture(view, state, "", ""), refresh=True)
        self._live.stop()

    def _picture(self, view: RunView, state: str, trouble: str, hint: str) -> RenderableType:
        width = self.console.width
        style = f"bold {ANSI[state_look(state).tone][1]}"
        head = Text.assemble((self.title, "bold"), "  ", (state, style), "  ", where(view))
        rows: list[RenderableType] = [head]
        if view.progress is not None:
            rows.append(Text(preparation(view.progress)))
            rows.append(ProgressBar(view.progress.total or None, view.progress.done, width=min(60, width)))
        elif view.fraction is not None:
            bar = Table.grid(padding=(0, 2))
            progress_bar = ProgressBar(100.0, 100 * view.fraction, width=max(10, min(60, width - 20)))
            eta = f"ETA {duration(view.eta)}" if view.eta is not None else ""
            bar.add_row(progress_bar, Text(eta))
            rows.append(bar)
        room = max(1, self.console.height - 8)
        if view.series:
            rows.append(self._metrics(view, room, width))
        figures = [*speed(view), *machine(view)]
        if view.system is not None:
            figures.append(f"{duration(view.system.seconds)} trained")
        if figures:
            rows.append(Text(" · ".join(figures), style="dim"))
        if trouble:
            rows.append(Text(clean(trouble), style="bold yellow"))
        if hint:
            rows.append(Text(hint, style="yellow"))
        for row in rows:
            if isinstance(row, Text):
                row.no_wrap, row.overflow = True, "ellipsis"
        return Group(*rows)

    def _metrics(self, view: RunView, room: int, width: int) -> Table:
        names = [name for name in ordered(view) if not name.startswith("val/")]
        names += [n for n in view.series if n.startswith("val/") and n.removeprefix("val/") not in view.series]
        table = Table.grid(padding=(0, 2))
        spark = max(0, min(32, width - 56))
        for name in names[:room]:
            curve = view.series[name]
            validation = view.series.get(f"val/{name}")
            held_out = f"validation {metric(last(validation))}" if validation is not None and len(validation) else ""
            loss = name.endswith("/loss")
            table.add_row(
                Text(clean(name), style="bold" if loss else ""),
                Text(f"{metric(smooth(curve))} {trend(curve)}", style="bold" if loss else ""),
                Text(sparkline(curve, spark, self._bars), style="cyan"),
                Text(held_out, style="dim"),
            )
        if len(names) > room:
            table.add_row(Text(f"… {len(names) - room} more", style="dim"))
        return table


def last(curve: Series) -> float:
    """The last value, or NaN."""
    return float(curve.values[-1]) if len(curve) else math.nan


def smooth(curve: Series) -> float:
    """The exponential average at the last value that is a number; NaN where the last value is none."""
    if not len(curve) or math.isnan(last(curve)):
        return math.nan
    return float(curve.ema(SMOOTHING)[-1]) if curve.smooth else last(curve)


def trend(curve: Series) -> str:
    """An arrow: the mean of the last tenth of the steps against the tenth before it, held against their spread."""
    values = curve.values[np.isfinite(curve.values)].astype(np.float64)
    part = len(values) // 10
    if part < 5:
        return " "
    new, old = values[-part:], values[-2 * part : -part]
    spread = math.sqrt((float(new.var()) + float(old.var())) / part)
    difference = float(new.mean() - old.mean())
    if abs(difference) <= max(2 * spread, 1e-12 + 1e-3 * abs(float(old.mean()))):
        return "→"
    return "↓" if difference < 0 else "↑"


def sparkline(curve: Series, width: int, bars: str = BARS) -> str:
    """The whole history in `width` characters, each the mean of its share of the steps; a blank is no number.

    Outliers, as the first steps often are, do not flatten the rest: they have the lowest or the highest character.
    """
    values = curve.values
    if width <= 0 or len(values) < 2:
        return ""
    width = min(width, len(values))
    edges = np.linspace(0, len(values), width + 1).astype(int)[:-1]
    finite = np.isfinite(values)
    sums = np.add.reduceat(np.where(finite, values, 0.0), edges)
    counts = np.add.reduceat(finite.astype(float), edges)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / counts
    finite_means = means[np.isfinite(means)]
    value_extent = extent(means, means, float(finite_means[-1]) if len(finite_means) else math.nan)
    if value_extent is None:
        return " " * width
    low, high, _ = worth([value_extent], cut=False, everything=False)
    span = (high - low) or 1.0
    parts = np.clip(np.where(np.isfinite(means), (means - low) / span, 0.0), 0.0, 1.0)
    levels = (parts * (len(bars) - 1)).round().astype(int)
    return "".join(bars[level] if np.isfinite(mean) else " " for level, mean in zip(levels, means))
