"""The latent explorer's messages: what the workbench asks the process that decodes, and what comes back.

Each message is a length of four bytes and a MessagePack struct, on the pipes of the process
(`python -m tui_gen.train.offline.explore`). Asks carry a number, which their answers repeat: slow ones are answered
after later ones. The asking side keeps everything that a person has chosen, so the process may end at any time.
"""

from __future__ import annotations

import struct
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tui_gen.pictures import UNKNOWN, Tiles

LENGTH = struct.Struct(">I")
Sort = Literal["dimension", "component", "pins", "t-sne"]
Scene = Literal["point", "grid", "classes", "walk", "errors", "trajectory"]
Way = Literal["slerp", "lerp"]
PIN_NAMES = "ABCDEFGHI"
MOST_PINS = len(PIN_NAMES)


class Axes(msgspec.Struct, frozen=True):
    """The two axes of the plane: numbered dimensions of the code, components of the codes of data, or through pins.

    With two pins the first axis runs from the one at 0 to the other at 1, with three the second axis does so to the
    third. In `t-sne` a place stands for the example that is nearest to it.
    """

    sort: Sort = "dimension"
    first: Annotated[int, Meta(ge=0)] = 0
    second: Annotated[int, Meta(ge=0)] = 1


class Open(msgspec.Struct, tag=True):
    """Decode from this run's checkpoint of a step, or its newest usable one, with so many threads."""

    run: str
    step: int | None = None
    threads: Annotated[int, Meta(ge=1)] = 1


class Look(msgspec.Struct, tag=True):
    """A picture of a `scene` at a place: `code` (float32, flat), else a `draw` of that seed, else the `example`.

    `at`: the place on the plane to move to, the rest of the code as it is; None stays where the code is. `label` is
    told to conditional models. `pins` are codes, a walk goes from each to the next by `way` in `count` frames; a grid
    has `count` tiles each way. `beside` shows that example and its reconstruction too. With `worst`, examples are
    numbered from the one that is rebuilt worst. `frame` is where one stands on a trajectory of points, which are one
    plot; None at its end.
    """

    scene: Scene = "point"
    code: bytes = b""
    draw: int | None = None
    example: int | None = None
    beside: int | None = None
    worst: bool = False
    axes: Axes = Axes()
    at: tuple[float, float] | None = None
    pins: tuple[bytes, ...] = ()
    label: int = 0
    count: Annotated[int, Meta(ge=1, le=240)] = 9
    way: Way = "slerp"
    guidance: float | None = None
    frame: int | None = None


class Spread(msgspec.Struct, tag=True):
    """Where the codes of data lie on the plane of these axes. Slow the first time."""

    axes: Axes = Axes()
    pins: tuple[bytes, ...] = ()


class Film(msgspec.Struct, tag=True):
    """Write a walk through the pins, there and back, as a GIF with so many frames from pin to pin. Slow."""

    path: str
    pins: tuple[bytes, ...]
    frames: Annotated[int, Meta(ge=1, le=240)] = 24
    way: Way = "slerp"
    label: int = 0


class Hurry(msgspec.Struct, tag=True):
    """The look that is being decoded is not wanted any more: it is answered with a failure that is `hurried`."""


class Space(msgspec.Struct, tag=True):
    """What was opened: the `step` of its weights, and what can be done with them.

    `decodes`: what codes are drawn from, "codes" or "noise". `classes` are those of conditional models, `names` of the
    labels of data. `folder` holds the pictures, and goes with the process.
    """

    run: str
    step: int
    dimensions: int
    decodes: str
    encodes: bool
    normal: bool
    classes: tuple[str, ...]
    names: tuple[str, ...]
    trajectory: bool
    guidance: float | None
    folder: str
    warnings: tuple[str, ...] = ()


class View(msgspec.Struct, tag=True):
    """A picture, and where it is: `code` of the place `at`, the `span` (from, to) of both axes and their `names`.

    `pins` are the places of the plane that are nearest to the pins asked with, none on t-SNE. `codes` are those of the
    tiles, where they have some (a walk), `examples` their numbers; `note` says of the place what is worth knowing.
    `seconds` went into decoding.
    """

    path: str
    grid: tuple[int, int]
    gap: int
    tiles: Tiles
    code: bytes
    at: tuple[float, float]
    span: tuple[tuple[float, float], tuple[float, float]]
    names: tuple[str, str]
    note: str = ""
    pins: tuple[tuple[float, float], ...] = ()
    codes: tuple[bytes, ...] = ()
    examples: tuple[int, ...] = ()
    example: int | None = None
    label: int = 0
    seconds: float = 0.0


class Dots(msgspec.Struct, tag=True):
    """Codes of data on a plane: `places` (N, 2) float32, `labels` (N,) int32 or nothing, `errors` (N,) float32.

    `spread` is the standard deviation of each dimension of the codes.
    """

    axes: Axes
    places: bytes
    labels: bytes
    errors: bytes
    spread: tuple[float, ...]


class Filmed(msgspec.Struct, tag=True):
    """A GIF was written."""

    path: str
    frames: int


class Failure(msgspec.Struct, tag=True):
    """Why there is no answer, in words for people.

    `lost`: there is nothing open any more. `hurried`: whoever asked has asked for something else since.
    """

    words: str
    lost: bool = False
    hurried: bool = False


UNSEEN = View("", (1, 1), 0, UNKNOWN, b"", (0.0, 0.0), ((-3.0, 3.0), (-3.0, 3.0)), ("", ""))
"""Nothing was looked at so far."""


Question = Open | Look | Spread | Film | Hurry
Found = Space | View | Dots | Filmed | Failure


class Ask(msgspec.Struct):
    """An ask and its number."""

    number: int
    what: Question


class Answer(msgspec.Struct):
    """The answer to the ask of that number."""

    number: int
    what: Found
