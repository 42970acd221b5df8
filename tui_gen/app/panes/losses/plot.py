"""One live plot as a widget: rows of `draw.curves` on the Line API, so that only rows that changed are painted.

It keeps no data of the run; the pane that owns it says what to draw. The mouse is reported as past-tense messages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.color import Color
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui_gen.draw.curves import Frame, Options, Plot, Reading
from tui_gen.draw.legend import legend_rows
from tui_gen.draw.text import Row, fit_row, width_of

if TYPE_CHECKING:
    from tui_gen.draw.curves import Series
    from tui_gen.draw.terminal import Terminal
    from tui_gen.panels import Panel

# Okabe & Ito's colours, which stay apart for every kind of colour vision, made brighter or darker for the ground.
DARK = ("#56b4e9", "#e69f00", "#2fc894", "#e98bc0", "#f0e442", "#ff7f50", "#9db4ff", "#c9c9c9")
LIGHT = ("#0072b2", "#b35900", "#00805a", "#a8447f", "#8a7a00", "#c43e00", "#4454c8", "#555555")
SYMMETRIC = "±log"
"""What a plot's title says where a logarithmic axis is symmetric about 0, as there are values that are not above it."""


@dataclass(frozen=True)
class Drawn:
    """A frame, the legend rows above it included."""

    rows: list[Row]
    frame: Frame
    legend: int


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

        def __init__(self, step: float | None, kept: bool = False) -> None:
            self.step, self.kept = step, kept
            super().__init__()

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, PlotView.Pointed) and not message.kept

    class Dragged(Message):
        """The mouse was dragged from one step to another: the part that shall be seen larger."""

        def __init__(self, first: float, last: float) -> None:
            self.first, self.last = first, last
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
        self.drawn: Drawn | None = None
        self._plot = Plot()
        self._looks: dict[str, Style] = {}
        self._pressed: int | None = None
        self._selected: tuple[int, int] | None = None

    # -- drawing

    def draw(self, panel: Panel, series: dict[str, Series], options: Options) -> None:
        """Draw `panel` from the run's `series`; only rows that came out differently are painted again."""
        width, height = self.size
        if not width or not height:
            return
        if panel.title != (self.panel.title if self.panel else None):
            self._plot = Plot()
        if panel != self.panel:
            self._looks.clear()
        self.panel = panel
        some = []
        for curve in panel.curves:
            curve_series = series.get(curve.metric)
            if curve_series is not None:
                # the legend's name and glyph are the panel's; a series may be drawn in several
                curve_series.name, curve_series.slot, curve_series.smooth = curve.label, curve.slot, curve.smooth
                some.append(curve_series)
        terminal: Terminal | None = getattr(self.app, "terminal", None)
        options = replace(options, legend=False, ascii=terminal is not None and not terminal.unicode)
        most = 0 if height < 6 else 2 if height >= 11 else 1
        readings = _expected(some)
        title = f"{panel.title} {SYMMETRIC}" if options.log_y else panel.title
        count = len(legend_rows(title, readings, width, most, False)) if most else 0
        frame = self._plot.render(width, height - count, some, options)
        rows = list(frame.rows)
        if count:
            title = title if frame.scale.kind == "symmetric" else panel.title
            rows = legend_rows(title, frame.readings, width, count, options.cursor is not None) + rows
            rows = [fit_row([], width)] * (height - len(rows)) + rows
        before, self.drawn = self.drawn, Drawn(rows, frame, count)
        if before is None or len(before.rows) != len(rows) or before.frame.width != width:
            self.refresh()
            return
        for y, (old, new) in enumerate(zip(before.rows, rows)):
            if old != new:
                first, last = changed_span(old, new, width)
                self.refresh(Region(first, y, last - first, 1))

    def forget(self) -> None:
        """Drop the picture and what it was made from."""
        self.drawn = self.panel = None
        self._plot = Plot()
        self.refresh()

    def recolour(self) -> None:
        """The theme changed."""
        self._looks.clear()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        drawn = self.drawn
        if drawn is None or y >= len(drawn.rows):
            return Strip.blank(self.size.width, self.rich_style)
        segments = [Segment(text, self._look(key)) for text, key in drawn.rows[y]]
        strip = Strip(segments, drawn.frame.width)
        if self._selected and drawn.legend <= y < drawn.legend + drawn.frame.area.height:
            first, last = sorted(self._selected)
            parts = strip.divide([first, last + 1, drawn.frame.width])
            strip = Strip.join([parts[0], parts[1].apply_style(Style(reverse=True)), *parts[2:]])
        return strip.apply_style(self.rich_style)

    def _look(self, key: str) -> Style:
        look = self._looks.get(key)
        if look is None:
            look = self._looks[key] = self._new_look(key)
        return look

    def _new_look(self, key: str) -> Style:
        ground = self.background_colors[1]
        dark = ground.brightness < 0.5 if ground.ansi is None else self.app.current_theme.dark
        kind, _, which = key.partition(".")
        text = Color.parse("#e6e6e6" if dark else "#1c1c1c")
        if kind in ("line", "band"):
            slot = int(which)
            hues = DARK if dark else LIGHT
            colour = Color.parse(hues[(self.panel.hue(slot) if self.panel is not None else slot) % len(hues)])
            if kind == "band":
                return Style(color=ground.blend(colour, 0.45).rich_color, dim=self.app.no_color)
            return Style(color=colour.rich_color, bold=True)
        if kind == "mark":
            name = {"alert": "error", "edit": "warning", "checkpoint": "success"}.get(which, "accent")
            return Style(color=Color.parse(self.app.theme_variables[name]).rich_color, bold=which == "alert")
        if kind == "cursor":
            return Style(color=text.rich_color)
        if kind in ("title", "value"):
            return Style(color=text.rich_color, bold=kind == "title")
        fade = {"axis": 0.4, "label": 0.65, "note": 0.65, "text": 0.8}.get(kind, 1.0)
        return Style(color=ground.blend(text, fade).rich_color)

    # -- places and the mouse

    def step_at(self, x: float) -> float | None:
        """The step under column `x`, None without a picture."""
        return self.drawn.frame.step_at(x) if self.drawn else None

    def _inside(self, x: int) -> int:
        area = self.drawn.frame.area if self.drawn else None
        return min(max(x, area.x), area.x + area.width - 1) if area else x

    def on_resize(self) -> None:
        self.post_message(self.Resized())

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self.drawn is None:
            return
        x = self._inside(event.x)
        if self._pressed is not None and (self._selected or abs(x - self._pressed) >= 2):
            self._selected = (self._pressed, x)
            self.refresh()
        else:
            self.post_message(self.Pointed(self.step_at(x)))

    def on_leave(self) -> None:
        if self._pressed is None:
            self.post_message(self.Pointed(None))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if self.drawn is not None and event.button == 1:
            self._pressed = self._inside(event.x)
            self.capture_mouse()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        if self._pressed is None:
            return
        self.release_mouse()
        selected, self._selected, self._pressed = self._selected, None, None
        if self.drawn is None:
            return
        if selected and selected[0] != selected[1]:
            first, last = sorted(selected)
            frame = self.drawn.frame
            self.refresh()
            self.post_message(self.Dragged(frame.step_at(first - 0.5), frame.step_at(last + 0.5)))
        else:
            self.post_message(self.Pointed(self.step_at(self._inside(event.x)), kept=True))

    def _wheel(self, event: events.MouseEvent, amount: int, sideways: bool) -> None:
        event.stop()
        if self.drawn is not None:
            self.post_message(self.Wheeled(self.drawn.frame.step_at(self._inside(event.x)), amount, sideways))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, -1 if event.shift else 1, event.shift)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 1 if event.shift else -1, event.shift)

    def on_mouse_scroll_left(self, event: events.MouseScrollLeft) -> None:
        self._wheel(event, -1, True)

    def on_mouse_scroll_right(self, event: events.MouseScrollRight) -> None:
        self._wheel(event, 1, True)


def _expected(some: list[Series]) -> list[Reading]:
    """Readings of the right number and widths, before the frame is there."""
    return [Reading(curve.name, "●", "text", 0.0, 0.0, 0.0) for curve in some if len(curve)]
