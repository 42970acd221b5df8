"""What a plot is asked for, and what comes of it: plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from tui_gen.draw.canvas import Level, Mark
from tui_gen.draw.clock import Clock
from tui_gen.draw.scales import LINEAR, Scale
from tui_gen.draw.text import Row
from tui_gen.draw.xscale import STEPS, XScale


class FrameOptions(msgspec.Struct, frozen=True):
    """What to show and how.

    `smoothing`: EMA factor in [0, 1), 0 draws the data alone; without `bands` only averages are drawn, where there
    are any, and fill the plot; `zero_phase`: an average that does not lag; `log_y`: a
    logarithmic scale, symmetric about 0 where a value is not above it; `x_window`, `y_window`: fixed limits (zoom and
    pan); `follow`: show the newest so many steps, paging on by half of it; `last_step`: where the run is planned to
    end, the x axis stops there; `whole`: show also outliers, however flat that makes the rest (`scales.extent` says
    what they are; out of view, they are marked on the edge); `cursor`: a step for the crosshair; `unit`: steps in one
    unit of the x axis' labels (an epoch's, say);
    `clock`: labels are times instead, and steps are as far apart as they were in time; `levels`: values to come to,
    which the y axis takes in where they are near; `ends`: by the names of curves, the places between which the
    crosshair reads them (from the first value on where it is not said); `called`: what a step is called beside a
    value that was measured there; `ascii`: no braille or other non-ASCII characters.
    """

    smoothing: float = 0.9
    zero_phase: bool = False
    bands: bool = True
    log_y: bool = False
    log_x: bool = False
    x_window: tuple[float, float] | None = None
    y_window: tuple[float, float] | None = None
    follow: float | None = None
    last_step: float | None = None
    whole: bool = False
    legend: bool = True
    cursor: float | None = None
    unit: float = 1.0
    clock: Clock | None = None
    marks: Sequence[Mark] = ()
    levels: Sequence[Level] = ()
    ends: Mapping[str, tuple[float, float]] = msgspec.field(default_factory=dict)
    called: Callable[[float], str] = "{:,.0f}".format
    ascii: bool = False


class Area(msgspec.Struct, frozen=True):
    """A rectangle of cells."""

    x: int
    y: int
    width: int
    height: int


class Reading(msgspec.Struct, frozen=True):
    """One line of the legend: a series at a step, NaN where it has no value; `absent` where it has none at the
    crosshair: before its first, or where it does not go that far. `at` says where the value was measured, as the x axis
    does, where that is not in the crosshair's column.
    """

    name: str
    glyph: str
    style: str
    step: float
    value: float
    mean: float
    absent: bool = False
    at: str = ""


class Frame(msgspec.Struct):
    """A drawn plot: `rows` of (text, style key) runs, each row exactly `width` cells, and what lies where."""

    width: int
    height: int
    rows: list[Row]
    area: Area = Area(0, 0, 0, 0)
    x_limits: tuple[float, float] = (0.0, 1.0)
    y_limits: tuple[float, float] = (0.0, 1.0)
    x_scale: XScale = STEPS
    scale: Scale = LINEAR
    heights: tuple[float, float] = (0.0, 1.0)
    """The y limits on the scale."""
    outside: int = 0
    """How many values are out of view, above and below."""
    readings: list[Reading] = msgspec.field(default_factory=list)

    def text(self) -> str:
        """The frame as plain text."""
        return "\n".join("".join(text for text, _ in row) for row in self.rows)

    def step_at(self, column: float) -> float:
        """The step under the middle of cell `column` of the frame (not only of the plot area)."""
        part = (column - self.area.x + 0.5) / max(1, self.area.width)
        return self.x_scale.step_at(min(1.0, max(0.0, part)), self.x_limits)

    def value_at(self, row: float) -> float:
        """The value at the middle of cell `row` of the frame."""
        part = 1.0 - (row - self.area.y + 0.5) / max(1, self.area.height)
        return self.scale.inverse(self.heights[0] + (self.heights[1] - self.heights[0]) * min(1.0, max(0.0, part)))
