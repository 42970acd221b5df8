"""The status bar, and the words and glyphs of a run's state that every pane uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.widget import Widget

from tui_gen.text import clean

if TYPE_CHECKING:
    from tui_gen.view import RunView

GLYPHS = {
    "starting": "◌",
    "running": "▶",
    "paused": "‖",
    "stopping": "◧",
    "finished": "✔",
    "stopped": "■",
    "failed": "✖",
    "interrupted": "!",
}
STYLES = {
    "starting": "$text-accent",
    "running": "$text-success",
    "paused": "$text-warning",
    "stopping": "$text-warning",
    "finished": "$text-primary",
    "stopped": "$quiet",
    "failed": "$text-error",
    "interrupted": "$text-error",
}


def glyph(state: str) -> str:
    """The one-cell sign of a state; the word always goes with it."""
    return GLYPHS.get(state, "?")


def number(value: float) -> str:
    """A count as people read it: `1,234`, `56.3`, `0.42`."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def duration(seconds: float) -> str:
    """A time span in its two largest units: `42 s`, `3 min 05 s`, `2 h 07 min`, `3 d 04 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02} h"


def size(count: float) -> str:
    """Bytes with a unit: `512 B`, `3.4 MB`, `12 GB` (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def millis(seconds: float) -> str:
    """A round trip, coarse on purpose so that it stands still: `4 ms`, `40 ms`, `250 ms`, `1.2 s`."""
    ms = seconds * 1000
    if ms < 10:
        return f"{max(1, round(ms))} ms"
    if ms < 100:
        return f"{round(ms / 5) * 5} ms"
    return f"{round(ms / 50) * 50} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def facts(view: RunView) -> list[str]:
    """What there is to say about a run besides its state, the most important first."""
    plan, system = view.plan, view.system
    total = f"/{plan.steps:,}" if plan and plan.steps else ""
    parts = [f"step {view.step:,}{total}"]
    if view.fraction is not None:
        parts[0] += f" {view.fraction:.0%}"
    if view.live:
        if view.eta is not None and view.state == "running":
            parts.append(f"ETA {duration(view.eta)}")
        if system is not None and view.state == "running":
            parts.append(f"{number(system.steps_per_second)} it/s")
            amount, unit = view.throughput
            parts.append(f"{number(amount)} {unit}/s")
    elif system is not None and system.seconds:
        parts.append(f"took {duration(system.seconds)}")
    if plan and plan.steps_per_epoch > 0:
        parts.append(f"epoch {view.epoch:.1f}")
    if plan and plan.device:
        parts.append(plan.device)
    if system is not None and view.live:
        memory = size(system.memory)
        parts.append(f"mem {memory}" + (f" + {size(system.device_memory)} GPU" if system.device_memory else ""))
    return parts


def preparation(view: RunView) -> str:
    """A download or cache that is being built, in words, or an empty text."""
    now = view.progress
    if now is None:
        return ""
    if now.total <= 0:
        return now.what
    if now.unit in ("B", "bytes"):
        amount = f"{size(now.done)} of {size(now.total)}"
    else:
        amount = f"{now.done:,} of {now.total:,} {now.unit}".rstrip()
    return f"{now.what} {now.done / now.total:.0%} ({amount})"


class StatusBar(Widget):
    """One line: state, progress, speed and the link. Repainted only when its text changes."""

    DEFAULT_CSS = """
    StatusBar { height: 1; width: 1fr; background: $panel; color: $on-panel; padding: 0 1; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._view: RunView | None = None
        self._key: object = None
        self._content = Content("")
        self.link: tuple[float | None, float] = (None, 0.0)
        """Seconds to the terminal and back (None where unknown) and bytes a second sent to it."""
        self.message = ""
        """What is being done right now (starting, stopping…); empty shows the run."""
        self.trouble = ""
        """Something that is wrong and stays wrong (a full disk), shown until it is over."""

    def show(self, view: RunView | None) -> None:
        """Show this run from now on."""
        self._view = view
        self.trouble = ""
        self.update_text()

    def update_text(self) -> None:
        """Compose the line anew; nothing is drawn where it stayed the same."""
        left = self._left()
        right = self._right()
        if (left, right) != self._key:
            self._key = (left, right)
            self.refresh()

    def _left(self) -> tuple[str, str, list[str]]:
        """(state word with glyph, state, facts)."""
        view = self._view
        if view is None:
            return ("○ no run", "", [self.message or "choose a recipe and press F5 to train it"])
        word = f"{glyph(view.state)} {view.state}"
        parts = facts(view)
        if self.trouble:
            parts.insert(0, clean(f"✖ {self.trouble}"))
        if self.message:
            parts.insert(0, self.message)
        now = preparation(view)
        if now:
            parts.insert(0, now)
        if view.reason and not view.live:
            parts.insert(1, clean(view.reason))
        return (word, view.state, parts)

    def _right(self) -> str:
        trip, rate = self.link
        parts = []
        if trip is not None:
            parts.append(f"link {millis(trip)}")
        parts.append(f"{rate / 1000:.0f} kB/s" if rate >= 500 else "0 kB/s")
        return " · ".join(parts)

    @property
    def text(self) -> str:
        """What is shown, as plain text."""
        return self.render().plain

    def render(self) -> Content:
        """The line, its facts dropped from the least important where there is no room."""
        word, state, parts = self._left()
        right = self._right()
        room = max(1, self.content_size.width or 80)
        while len(parts) > 1 and len(word) + len(" · ".join(parts)) + len(right) + 5 > room:
            parts = parts[:-1]
        middle = " · ".join(parts)
        if len(word) + len(middle) + len(right) + 5 > room:
            right = ""
        space = max(1, room - len(word) - len(middle) - len(right) - 2)
        return Content.assemble(
            (word, f"bold {STYLES.get(state, '$quiet')}"), "  ", middle, " " * space, (right, "$quiet")
        )
