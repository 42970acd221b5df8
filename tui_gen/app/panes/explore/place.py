"""Where somebody is in a latent space, and what he has pinned there: all that outlives the process that decodes."""

from __future__ import annotations

import msgspec

from tui_gen.exploring import MOST_PINS, UNSEEN, Axes, Dots, Look, Scene, Sort, Space, View, Way

SCENES: tuple[Scene, ...] = ("point", "grid", "classes", "walk", "errors", "trajectory")
SCENE_WORDS: dict[Scene, str] = {
    "point": "what is here",
    "grid": "what lies on the plane",
    "classes": "every class, of the same codes",
    "walk": "from pin to pin",
    "errors": "examples rebuilt worst",
    "trajectory": "from noise to sample",
}
SORTS: tuple[Sort, ...] = ("dimension", "component", "pins", "t-sne")
STEPS = 24
"""Steps of the arrow keys from one end of an axis to the other."""
FRAMES = 16
"""Frames of a walk, and of a trajectory, that are shown."""


class Stay(msgspec.Struct):
    """One person's place in one run's space.

    `view` is what was decoded last, of the scene `view_of`; `tile` the tile of it that is shown large. `at` is where he
    means to be, which may be ahead of the view.
    """

    space: Space | None = None
    view: View = msgspec.field(default_factory=lambda: UNSEEN)
    view_of: Scene = "point"
    dots: Dots | None = None
    scene: Scene = "point"
    axes: Axes = msgspec.field(default_factory=Axes)
    left: dict[Sort, Axes] = msgspec.field(default_factory=dict)
    """The axes of each sort as one left them."""
    at: tuple[float, float] | None = None
    pins: list[bytes] = msgspec.field(default_factory=list)
    label: int = 0
    way: Way = "slerp"
    side: int = 9
    guidance: float | None = None
    frame: int | None = None
    """Where one stands on a trajectory of points; None at its end."""
    example: int | None = None
    ranked: bool = False
    rank: int = -1
    seed: int = 0
    tile: int | None = None
    pin_due: bool = False
    """Whether the place that is being decoded is to be pinned once it is there."""
    chosen: bool = False
    """Whether somebody has gone along the axes, or chosen others: until then they may still be chosen for him."""

    def look(self) -> Look:
        """The picture of the place where one means to be."""
        count = self.side if self.scene == "grid" else FRAMES
        return Look(
            scene=self.scene, code=self.view.code, beside=self.example, axes=self.axes, at=self.at,
            pins=tuple(self.pins), label=self.label, count=count, way=self.way, guidance=self.guidance,
            frame=self.frame,
        )  # fmt: skip

    @property
    def one_plot(self) -> bool:
        """Whether the picture is the way of a point, whose frames are no tiles."""
        return self.scene == self.view_of == "trajectory" and self.tiles == 1

    def step_along(self, by: int) -> None:
        """The frame of a trajectory before, or after, from its beginning on."""
        begin = -1 if by > 0 else FRAMES - 1
        self.frame = ((begin if self.frame is None else self.frame) + by) % FRAMES

    def arrived(self, view: View, wish: Look) -> None:
        """What was asked for is there."""
        if self.at == wish.at:
            self.at = None  # nobody has gone on since
        self.view, self.view_of = view, wish.scene
        if view.example is not None:
            self.example, self.label = view.example, view.label
        if self.tile is not None and self.tile >= self.tiles:
            self.tile = None

    def moved(self, across: float, up: float) -> None:
        """So many steps along the axes, within what they span."""
        x, y = self.at or self.view.at
        (left, right), (low, high) = self.view.span
        if self.axes.sort == "t-sne":  # the example that is nearest must be another one
            across, up = 2 * across, 2 * up
        x += across * (right - left) / STEPS
        y += up * (high - low) / STEPS
        self.at, self.chosen = (min(max(x, left), right), min(max(y, low), high)), True

    @property
    def tiles(self) -> int:
        """How many tiles the picture has."""
        return self.view.tiles.count or self.view.grid[0] * self.view.grid[1]

    def scenes(self) -> list[Scene]:
        """The pictures that this model can make."""
        space = self.space
        if space is None:
            return ["point"]
        able = {
            "point": True, "grid": True, "classes": bool(space.classes), "walk": True, "errors": space.encodes,
            "trajectory": space.trajectory,
        }  # fmt: skip
        return [scene for scene in SCENES if able[scene]]

    def sorts(self) -> list[Sort]:
        """The axes that there are."""
        able = {
            "dimension": True, "component": self.space is not None and self.space.encodes,
            "pins": len(self.pins) > 1, "t-sne": self.space is not None and self.space.encodes,
        }  # fmt: skip
        return [sort for sort in SORTS if able[sort]]

    def next_sort(self) -> None:
        """The axes of the next sort, as they were when one left them."""
        sorts = self.sorts()
        place = sorts.index(self.axes.sort) if self.axes.sort in sorts else -1
        self.left[self.axes.sort], self.chosen = self.axes, True
        self.back_to(sorts[(place + 1) % len(sorts)])

    def back_to(self, sort: Sort) -> None:
        """The axes of a sort, as they were when one left them."""
        self.axes, self.at = self.left.get(sort, Axes(sort)), None

    def begin_with(self, spread: tuple[float, ...]) -> bool:
        """Take the two dimensions along which codes of data vary most, whose deviations these are; whether it did."""
        if self.chosen or self.axes.sort != "dimension" or len(spread) < 2:
            return False
        most = sorted(range(len(spread)), key=lambda number: -spread[number])[:2]
        before, self.axes = self.axes, Axes("dimension", *sorted(most))
        return before != self.axes

    def turned(self, axis: str, by: int) -> None:
        """The next dimension, or component, on the `first` or `second` axis: one that the other axis has not."""
        size = self.space.dimensions if self.space is not None else 1
        size = min(size, 32) if self.axes.sort == "component" else size
        other = self.axes.second if axis == "first" else self.axes.first
        number = (getattr(self.axes, axis) + by) % size
        if number == other and size > 1:
            number = (number + (1 if by > 0 else -1)) % size
        self.axes = msgspec.structs.replace(self.axes, **{axis: number})
        self.at, self.chosen = None, True

    def pin(self) -> bool:
        """Keep the place where one is; False where there are as many pins as there can be, or no place yet."""
        if not self.view.code or len(self.pins) >= MOST_PINS:
            return False
        self.pins.append(self.view.code)
        return True

    def unpin(self) -> bool:
        """Let the last pin go; False where there is none."""
        if not self.pins:
            return False
        self.pins.pop()
        if len(self.pins) < 2:
            if self.scene == "walk":
                self.scene, self.tile = "point", None
            if self.axes.sort == "pins":
                self.back_to("dimension")
        return True
