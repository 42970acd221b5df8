"""Where the panes go: trees of splits and tab groups for each layout and shape of terminal, as plain arithmetic.

The shape follows from the size: `wide` and `medium` show several panes, `narrow` one (two where it is tall enough)
behind tabs. The layout is chosen: `edit` shows everything there is room for; the others give the screen to what one
does, and fold away where the next run is put together. Knows no widget.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from tui_gen.app.panes.registry import PANES, Row, row

LEAST_WIDTH, LEAST_HEIGHT = 18, 4


class Group(NamedTuple):
    """Panes that share one place; with more than one, a row of tabs above tells which is shown."""

    panes: tuple[str, ...]


class Split(NamedTuple):
    """Two places side by side (`axis` "x") or one above the other ("y"); `share` is the first one's."""

    name: str
    axis: str
    share: float
    first: Group | Split
    second: Group | Split


class Box(NamedTuple):
    """A rectangle of cells."""

    x: int
    y: int
    width: int
    height: int

    def contains(self, x: int, y: int) -> bool:
        """Whether a cell lies in it."""
        return self.x <= x < self.x + self.width and self.y <= y < self.y + self.height


class Edge(NamedTuple):
    """A boundary that can be dragged: `box` is the area that is split, `at` the first cell of the second part."""

    name: str
    axis: str
    box: Box
    at: int


class Arrangement:
    """What goes where: boxes of the shown panes, rows of tabs (box, panes, the one shown), and the edges."""

    def __init__(self) -> None:
        self.panes: dict[str, Box] = {}
        self.tabs: list[tuple[Box, tuple[str, ...], str]] = []
        self.edges: list[Edge] = []


class Layout(NamedTuple):
    """A way to use the screen: its name, and what it shows; offered where the pane that it is about exists."""

    name: str
    words: str
    about: str


EDIT = "edit"
LAYOUTS = (
    Layout(EDIT, "models, hyperparameters and the run", "form"),
    Layout("watch", "losses and samples take the screen", "losses"),
    Layout("compare", "the runs beside a comparison of those that are marked", "compare"),
    Layout("explore", "the latent space beside the samples", "explore"),
    Layout("monitor", "the machine beside the losses", "system"),
)


def layouts() -> list[Layout]:
    """The layouts that can be chosen."""
    return [layout for layout in LAYOUTS if any(row.id == layout.about for row in PANES)]


def slot(*names: str) -> Group:
    """A leaf of a tree, into which panes will go: those whose place it is, a pane by its id, or the `rest`."""
    return Group(names)


def _beside(first: Group | Split, second: Group | Split, share: float = 0.5) -> Split:
    return Split("plots", "x", share, first, second)


def _over(first: Group | Split, second: Group | Split, share: float) -> Split:
    return Split("log", "y", share, first, second)


SHAPES: dict[str, Group | Split] = {
    "wide": Split(
        "log",
        "y",
        0.83,
        Split(
            "left",
            "x",
            0.2,
            Split("models", "y", 0.6, slot("top-left"), slot("bottom-left")),
            Split(
                "middle", "x", 0.36, slot("middle"), Split("plots", "y", 0.5, slot("top-right"), slot("bottom-right"))
            ),
        ),
        slot("bottom"),
    ),
    "medium": Split(
        "log",
        "y",
        0.8,
        Split(
            "left",
            "x",
            0.4,
            Split("models", "y", 0.36, slot("top-left"), slot("bottom-left")),
            Split("plots", "y", 0.48, slot("top-right"), slot("bottom-right")),
        ),
        slot("bottom"),
    ),
    "narrow": slot("all"),
    "tall": Split("plots", "y", 0.5, slot("top"), slot("bottom")),
    "watch-wide": _over(_beside(slot("losses"), slot("samples"), 0.55), slot("rest"), 0.8),
    "watch-medium": _over(_beside(slot("losses"), slot("samples"), 0.55), slot("rest"), 0.78),
    "watch-tall": Split("plots", "y", 0.55, slot("losses", "rest"), slot("samples")),
    "compare-wide": _over(
        Split("runs", "x", 0.34, slot("runs"), slot("compare", "losses", "samples")), slot("rest"), 0.84
    ),
    "compare-medium": _over(slot("runs", "rest"), slot("compare", "losses", "samples"), 0.34),
    "compare-tall": Split("plots", "y", 0.3, slot("runs", "rest"), slot("compare", "losses", "samples")),
    "explore-wide": _over(_beside(slot("explore"), slot("samples"), 0.6), slot("losses", "rest"), 0.75),
    "explore-medium": _over(_beside(slot("explore"), slot("samples"), 0.6), slot("losses", "rest"), 0.75),
    "explore-tall": Split("plots", "y", 0.6, slot("explore", "rest"), slot("losses", "samples")),
    "monitor-wide": _over(_beside(slot("system"), slot("losses")), slot("rest"), 0.65),
    "monitor-medium": _over(_beside(slot("system"), slot("losses")), slot("rest"), 0.65),
    "monitor-tall": Split("plots", "y", 0.5, slot("system", "rest"), slot("losses", "samples")),
}
"""The trees, by shape for the layout `edit` and by layout and shape for the others; their leaves are slots."""


def plan_name(layout: str, shape: str) -> str:
    """The name of the tree of a layout in a shape. One pane at a time needs no other tree."""
    return name if (name := f"{layout}-{shape}") in SHAPES else shape


def leads(name: str) -> list[str]:
    """The panes that a layout's tree names before others of their slots: what it is for."""
    return [first for first, *_ in (group.panes for group in groups(SHAPES[name])) if row(first) is not None]


@cache
def tree(name: str) -> Group | Split:
    """A tree with the panes in its slots, those of a slot in the order of their keys. An empty slot is left out."""
    slots = {slot for group in groups(SHAPES[name]) for slot in group.panes}

    def place(row: Row) -> str:
        if "rest" not in slots:
            return getattr(row.place, name, "all")
        return row.id if row.id in slots else "" if row.edits else "rest"

    def fill(node: Group | Split) -> Group | Split | None:
        if isinstance(node, Split):
            first, second = fill(node.first), fill(node.second)
            return node._replace(first=first, second=second) if first and second else first or second
        panes = tuple(row.id for slot in node.panes for row in PANES if place(row) == slot)
        return Group(panes) if panes else None

    whole = fill(SHAPES[name])
    assert whole is not None
    return whole


def holds(name: str, pane: str) -> bool:
    """Whether a tree has this pane, on screen or behind a tab."""
    return any(pane in group.panes for group in groups(tree(name)))


def shape_of(width: int, height: int) -> str:
    """The shape for an area of this many cells."""
    if width >= 150 and height >= 38:
        return "wide"
    if width >= 100 and height >= 28:
        return "medium"
    return "tall" if height >= 40 else "narrow"


def arrange(
    width: int,
    height: int,
    shape: str,
    shares: dict[str, float] | None = None,
    current: dict[str, str] | None = None,
    maximised: str = "",
) -> Arrangement:
    """Lay the panes out. `shares` are the splits' proportions by `shape.name`, `current` the tabs chosen by `shape`.

    A share is kept within what leaves both sides their least size.
    """
    plan = Arrangement()
    box = Box(0, 0, max(1, width), max(1, height))
    if maximised:
        if isinstance(whole := tree(shape), Group):
            _place_group(whole, box, maximised, plan)
        else:
            plan.panes[maximised] = box
        return plan
    _place(tree(shape), box, shape, shares or {}, current or {}, plan)
    return plan


def _place(
    node: Group | Split, box: Box, shape: str, shares: dict[str, float], current: dict[str, str], plan: Arrangement
) -> None:
    if isinstance(node, Group):
        _place_group(node, box, current.get(f"{shape}.{node.panes[0]}", node.panes[0]), plan)
        return
    share = shares.get(f"{shape}.{node.name}", node.share)
    whole, least = (box.width, LEAST_WIDTH) if node.axis == "x" else (box.height, LEAST_HEIGHT)
    first = max(min(least, whole // 2), min(round(whole * share), whole - min(least, whole // 2)))
    if node.axis == "x":
        boxes = Box(box.x, box.y, first, box.height), Box(box.x + first, box.y, whole - first, box.height)
    else:
        boxes = Box(box.x, box.y, box.width, first), Box(box.x, box.y + first, box.width, whole - first)
    plan.edges.append(Edge(node.name, node.axis, box, (box.x if node.axis == "x" else box.y) + first))
    _place(node.first, boxes[0], shape, shares, current, plan)
    _place(node.second, boxes[1], shape, shares, current, plan)


def _place_group(group: Group, box: Box, pane: str, plan: Arrangement) -> None:
    if len(group.panes) > 1:
        plan.tabs.append((Box(box.x, box.y, box.width, 1), group.panes, pane))
        box = Box(box.x, box.y + 1, box.width, box.height - 1)
    plan.panes[pane] = box


def groups(node: Group | Split) -> list[Group]:
    """Every group of a tree, first to last."""
    return [node] if isinstance(node, Group) else groups(node.first) + groups(node.second)


def panes_with(shape: str, pane: str) -> tuple[str, ...]:
    """The panes that share a pane's place, itself among them; none where a layout has no place for it."""
    return next((group.panes for group in groups(tree(shape)) if pane in group.panes), ())


def edges_around(shape: str, pane: str, axis: str) -> Iterator[str]:
    """Names of the splits of an axis that a pane lies in, the innermost first."""

    def walk(node: Group | Split) -> list[Split] | None:
        if isinstance(node, Group):
            return [] if pane in node.panes else None
        for side in (node.first, node.second):
            inside = walk(side)
            if inside is not None:
                return [*inside, node]
        return None

    yield from (split.name for split in walk(tree(shape)) or [] if split.axis == axis)
