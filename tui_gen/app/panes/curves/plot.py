"""One live plot as a widget: rows of `draw.curves` on the Line API, so that only rows that changed are painted.

It keeps no data of the run; the pane that owns it says what to draw. The mouse is reported as past-tense messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.color import Color
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui_gen.app.panes.curves.drawing import STYLES, DrawnPlot, drawn, hued
from tui_gen.app.terminal.found import shows_ascii
from tui_gen.draw.curves import FrameOptions, Plot
from tui_gen.draw.text import Row, width_of

if TYPE_CHECKING:
    from tui_gen.draw.series import Series
    from tui_gen.verdicts.panels import Panel

# Okabe & Ito's colours, which stay apart for every kind of colour vision, made brighter or darker for the ground.
DARK = ("#56b4e9", "#e69f00", "#2fc894", "#e98bc0", "#f0e442", "#ff7f50", "#9db4ff", "#c9c9c9",
        "#a8d65c", "#c58be8", "#7fdede", "#d9b380")  # fmt: skip
LIGHT = ("#0072b2", "#b35900", "#00805a", "#a8447f", "#8a7a00", "#c43e00", "#4454c8", "#555555",
         "#4f7a00", "#7a2fa0", "#006f7a", "#7a5230")  # fmt: skip
BOX = 2
"""Rows that the mouse goes up or down before what it selects is a box, not a range of steps."""


class PlotCell(NamedTuple):
    """A cell of the widget."""

    x: int
    y: int


def _apart(cell: PlotCell, other: PlotCell) -> int:
    return max(abs(cell.x - other.x), abs(cell.y - other.y))


def changed_span(old: Row, new: Row, width: int) -> tuple[int, int]:
    """The columns [first, last) outside of which two rows of `width` cells are alike."""
    first = _alike(old, new)
    last = width - _alike([(text[::-1], key) for text, key in reversed(old)], [(t[::-1], k) for t, k in reversed(new)])
    return first, max(first + 1, last)


def _alike(old: Row, new: Row) -> int:
    """How many cells at the beginning of two rows are alike."""
    count = 0
    for (text, key), (other, its) in zip(old, new):
        if key != its:
            break
        if text == other:
            count += width_of(text)
            continue
        same = next((i for i, pair in enumerate(zip(text, other)) if pair[0] != pair[1]), min(len(text), len(other)))
        return count + width_of(text[:same])
    return count


class PlotView(Widget):
    """Shows one panel of curves. `draw` makes the next frame; hidden (no size), it does nothing."""

    DEFAULT_CSS = """
    PlotView { width: 1fr; height: 1fr; }
    """

    class Pointed(Message):
        """The mouse is over this step (None: it left); `kept` when it clicked there."""

        def __init__(self, plot: PlotView, step: float | None, kept: bool = False) -> None:
            self.plot, self.step, self.kept = plot, step, kept
            super().__init__()

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, PlotView.Pointed) and not message.kept

    class Dragged(Message):
        """The mouse was dragged over a part that shall be seen larger: steps, and values where it was over a box."""

        def __init__(self, plot: PlotView, steps: tuple[float, float], values: tuple[float, float] | None) -> None:
            self.plot, self.steps, self.values = plot, steps, values
            super().__init__()

    class Moved(Message):
        """The picture was dragged along, by these parts of its width (to the right) and of its height (upwards)."""

        def __init__(self, plot: PlotView, across: float, up: float) -> None:
            self.plot, self.across, self.up = plot, across, up
            super().__init__()

    class Doubled(Message):
        """Clicked twice."""

        def __init__(self, plot: PlotView) -> None:
            self.plot = plot
            super().__init__()

    class Wheeled(Message):
        """The wheel turned at a step: `sideways` to move along, else to zoom; `amount` is -1 or 1 (up, or right)."""

        def __init__(self, step: float, amount: int, sideways: bool) -> None:
            self.step, self.amount, self.sideways = step, amount, sideways
            super().__init__()

    class Resized(Message):
        """There is another size to draw for."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.panel: Panel | None = None
        self.drawing: DrawnPlot | None = None
        self._plot = Plot()
        self._looks: dict[str, Style] = {}
        self._own: Style | None = None
        self._press_cell: PlotCell | None = None
        self._selection: tuple[PlotCell, PlotCell] | None = None
        self._grab_cell: PlotCell | None = None

    # -- drawing

    def draw(self, panel: Panel, series: Mapping[str, Series], options: FrameOptions, chosen: bool = False) -> None:
        """Draw `panel` from the run's `series`; only rows that came out differently are painted again.

        The title of a `chosen` one is marked.
        """
        width, height = self.size
        if not width or not height:
            return
        if panel.title != (self.panel.title if self.panel else None):
            self._plot = Plot()
        if panel != self.panel:
            self._looks.clear()
        self.panel = panel
        options = replace(options, ascii=shows_ascii(self))
        before = self.drawing
        self.drawing = after = drawn(self._plot, panel, series, options, width, height, chosen)
        if before is None or len(before.rows) != len(after.rows) or before.frame.width != width:
            self.refresh()
            return
        for y, (old, new) in enumerate(zip(before.rows, after.rows)):
            if old != new:
                first, last = changed_span(old, new, width)
                self.refresh(Region(first, y, last - first, 1))

    def forget(self) -> None:
        """Drop the picture and what it was made from."""
        self.drawing = self.panel = None
        self._plot = Plot()
        self.refresh()

    def recolour(self) -> None:
        self._own = None
        self._looks.clear()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        drawing = self.drawing
        if drawing is None or y >= len(drawing.rows):
            return Strip.blank(self.size.width, self._ground())
        segments = [Segment(text, self._look(key)) for text, key in drawing.rows[y]]
        strip = Strip(segments, drawing.frame.width)
        if self._selection and drawing.legend <= y < drawing.legend + drawing.frame.area.height:
            (first, last), (top, bottom) = self._box(self._selection, drawing)
            if top <= y <= bottom:
                parts = strip.divide([first, last + 1, drawing.frame.width])
                strip = Strip.join([parts[0], parts[1].apply_style(Style(reverse=True)), *parts[2:]])
        return strip

    def _look(self, key: str) -> Style:
        look = self._looks.get(key)
        if look is None:
            look = self._looks[key] = self._ground() + self._new_look(hued(key, self.panel))
        return look

    def looks(self) -> dict[str, Style]:
        """Every one of STYLES as it looks now."""
        return {key: self._ground() + self._new_look(key) for key in STYLES}

    def _ground(self) -> Style:
        """The widget's own style: every row is painted many times between two changes of it."""
        if self._own is None:
            self._own = self.rich_style
        return self._own

    def notify_style_update(self) -> None:
        """Its styles are others, or those of what it stands in."""
        super().notify_style_update()
        self._own = None
        self._looks.clear()

    def _new_look(self, key: str) -> Style:
        ground = self.background_colors[1]
        dark = ground.brightness < 0.5 if ground.ansi is None else self.app.current_theme.dark
        kind, _, which = key.partition(".")
        text = Color.parse("#e6e6e6" if dark else "#1c1c1c")
        if kind in ("line", "band"):
            colour = Color.parse((DARK if dark else LIGHT)[int(which)])
            if kind == "band":
                return Style(color=ground.blend(colour, 0.45).rich_color, dim=self.app.no_color)
            return Style(color=colour.rich_color, bold=True)
        if kind == "mark":
            name = {"alert": "error", "edit": "warning", "checkpoint": "success"}.get(which, "accent")
            return Style(color=Color.parse(self.app.theme_variables[name]).rich_color, bold=which == "alert")
        if kind == "cursor":
            return Style(color=text.rich_color)
        if kind in ("title", "value"):
            return Style(color=text.rich_color, bold=kind == "title", underline=which == "chosen")
        fade = {"axis": 0.4, "label": 0.65, "note": 0.65, "text": 0.8}.get(kind, 1.0)
        return Style(color=ground.blend(text, fade).rich_color)

    # -- places and the mouse

    def step_at(self, x: float) -> float | None:
        """The step under column `x`, None without a picture."""
        return self.drawing.frame.step_at(x) if self.drawing else None

    def _cell(self, event: events.MouseEvent) -> PlotCell:
        """The cell of the plot area that is nearest to the mouse."""
        assert self.drawing is not None
        area, above = self.drawing.frame.area, self.drawing.legend
        x = min(max(event.x, area.x), area.x + area.width - 1)
        return PlotCell(x, min(max(event.y, above + area.y), above + area.y + area.height - 1))

    @staticmethod
    def _box(selection: tuple[PlotCell, PlotCell], drawing: DrawnPlot) -> tuple[tuple[int, int], tuple[int, int]]:
        """Columns and rows of what is selected: all rows unless it is some rows high."""
        (x, y), (x1, y1) = selection
        rows = (min(y, y1), max(y, y1))
        if rows[1] - rows[0] < BOX:
            rows = (drawing.legend, drawing.legend + drawing.frame.area.height)
        return (min(x, x1), max(x, x1)), rows

    def on_resize(self) -> None:
        self.post_message(self.Resized())

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self.drawing is None:
            return
        cell = self._cell(event)
        if self._grab_cell is not None:
            self._move_by(self._grab_cell, cell)
        elif self._press_cell is not None and (self._selection or _apart(cell, self._press_cell) >= 2):
            self._selection = (self._press_cell, cell)
            self.refresh()
        else:
            self.post_message(self.Pointed(self, self.step_at(cell.x)))

    def _move_by(self, start: PlotCell, cell: PlotCell) -> None:
        assert self.drawing is not None
        area = self.drawing.frame.area
        if cell != start:
            self._grab_cell = cell
            across, up = (cell.x - start.x) / max(1, area.width), (start.y - cell.y) / max(1, area.height)
            self.post_message(self.Moved(self, across, up))

    def on_leave(self) -> None:
        if self._press_cell is None and self._grab_cell is None:
            self.post_message(self.Pointed(self, None))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """The left button selects a part to see larger; another, or the left one with ctrl, moves the picture."""
        if self.drawing is None:
            return
        if event.button == 1 and not event.ctrl:
            self._press_cell = self._cell(event)
        else:
            self._grab_cell = self._cell(event)
        self.capture_mouse()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        if self._press_cell is None and self._grab_cell is None:
            return
        self.release_mouse()
        press_cell, selection, drawing = self._press_cell, self._selection, self.drawing
        self._selection = self._press_cell = self._grab_cell = None
        if drawing is None or press_cell is None:
            return
        if selection is None:
            self.post_message(self.Pointed(self, self.step_at(self._cell(event).x), kept=True))
            return
        self.refresh()
        (first, last), (top, bottom) = self._box(selection, drawing)
        frame, values = drawing.frame, None
        if abs(selection[0].y - selection[1].y) >= BOX:
            low, high = (frame.value_at(row - drawing.legend) for row in (bottom + 0.5, top - 0.5))
            values = (low, high) if low < high else None
        self.post_message(self.Dragged(self, (frame.step_at(first - 0.5), frame.step_at(last + 0.5)), values))

    def on_click(self, event: events.Click) -> None:
        if event.chain == 2 and event.button == 1:
            self.post_message(self.Doubled(self))

    def _wheel(self, event: events.MouseEvent, amount: int, sideways: bool) -> None:
        event.stop()
        if self.drawing is not None:
            self.post_message(self.Wheeled(self.drawing.frame.step_at(self._cell(event).x), amount, sideways))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, -1 if event.shift else 1, event.shift)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 1 if event.shift else -1, event.shift)

    def on_mouse_scroll_left(self, event: events.MouseScrollLeft) -> None:
        self._wheel(event, -1, True)

    def on_mouse_scroll_right(self, event: events.MouseScrollRight) -> None:
        self._wheel(event, 1, True)
