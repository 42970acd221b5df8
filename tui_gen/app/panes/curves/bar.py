"""The row above the plots: switches for the mouse, and what the crosshair stands on."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.strip import Strip
from textual.widget import Widget

from tui_gen.app.panes.curves.looking import CLOCKS, SMOOTHINGS, ViewState
from tui_gen.draw.text import elided, width_of
from tui_gen.text import clean


def switches(looking: ViewState, axis: str, first: int, count: int, total: int) -> list[tuple[str, str]]:
    """What can be switched, as (text, action): `count` of `total` plots are on screen, from the `first` (0 …) on."""
    smoothing, parts = SMOOTHINGS[looking.smoothing], []
    if looking.alone:
        parts.append(("all plots", "alone"))
    if count < total:
        last = first + count
        which = f"{last}" if count == 1 else f"{first + 1}–{last}"
        parts += [("◀", "panel(-1)"), (f"{which}/{total}", ""), ("▶", "panel(1)")]
    if looking.group:
        parts.append((f"only {clean(looking.group)}", "group"))
    parts += [("log" if looking.log_y else "linear", "log"), ("−", "smooth(-1)")]
    average = "zero-phase" if looking.zero_phase else "EMA"
    parts += [(f"{average} {smoothing:g}" if smoothing else "no EMA", "zero_phase"), ("+", "smooth(1)")]
    parts.append((f"{'log ' if looking.log_x else ''}{CLOCKS.get(axis, axis)}", "x_axis"))
    parts.append(("everything" if looking.whole else "outliers clipped", "whole"))
    if looking.follow:
        parts.append(("following", "follow"))
    if looking.window or looking.follow or looking.heights:
        parts.append(("show all", "reset"))
    return parts


class PlotBar(Widget):
    """One row above the plots: what can be switched, by mouse too, and the readout of the crosshair."""

    DEFAULT_CSS = """
    PlotBar { height: 1; width: 1fr; color: $quiet; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[tuple[str, str]] = []
        self._note = ""

    def show(self, parts: list[tuple[str, str]], note: str) -> None:
        """`parts` are (text, action of the pane or ""); `note` comes first, and alone where both have no room."""
        if (parts, note) != (self._parts, self._note):
            self._parts, self._note = parts, note
            self.refresh()

    def _shown(self) -> list[tuple[str, str]]:
        note = [(self._note + "  ", "")] if self._note else []
        width = sum(width_of(text) + 1 for text, _ in note + self._parts)
        if note and width > self.size.width:
            return [(elided(self._note, self.size.width), "")]
        return note + self._parts

    def render_line(self, y: int) -> Strip:
        segments = []
        for text, action in self._shown():
            segments += [Segment(text, Style(underline=bool(action))), Segment(" ")]
        return Strip(segments).adjust_cell_length(self.size.width).apply_style(self.rich_style)

    async def on_click(self, event: events.Click) -> None:
        x = 0
        for text, action in self._shown():
            x += width_of(text)
            if event.x < x:
                if action and self.parent is not None:
                    await self.app.run_action(action, self.parent)
                return
            x += 1
