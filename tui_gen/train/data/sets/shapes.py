"""Coloured shapes with smooth edges, drawn on the device as signed distances: no two images are the same.

Every image holds one shape, wholly inside the frame; its kind (the label), radius (18–38 % of the image), place,
angle and colour, and the colour of the ground, are random. A shape's strongest channel is at least 0.7 (0.6 in grey),
the ground's at most 0.3.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tui_gen.train.data import keyed_random
from tui_gen.train.data.endless import endless
from tui_gen.train.data.images import ImageSet
from tui_gen.train.data.sources import Data, Report

VALIDATION_IMAGES, VALIDATION_BYTES = 1024, 64 << 20
"""How many images make the fixed validation split: fewer, but 64 at least, where they are large."""

SHAPES = ("circle", "square", "triangle", "ring", "cross", "star")

MOST_PIXELS = 1 << 22
"""Pixels drawn at once; drawing needs some 50 bytes for each."""

CIRCLE, SQUARE, TRIANGLE, RING, CROSS, STAR = range(len(SHAPES))


def _edge(corners: int, inner: float) -> tuple[float, float, float, float]:
    """One edge of a star: corners, and the line x·nx + y·ny = c between a tip (1, 0) and the next inner corner."""
    angle = math.pi / corners
    x, y = inner * math.cos(angle) - 1, inner * math.sin(angle)
    length = math.hypot(x, y)
    nx, ny = y / length, -x / length
    return float(corners), nx, ny, nx


# a regular polygon is a star whose inner corners lie on the straight line between its tips
EDGES = [
    (4.0, 1.0, 0.0, 1.0),
    _edge(4, math.cos(math.pi / 4)),
    _edge(3, math.cos(math.pi / 3)),
    (4.0, 1.0, 0.0, 1.0),
    (4.0, 1.0, 0.0, 1.0),
    _edge(5, 0.42),
]


class Shapes(ImageSet):
    """Images of any size, of one shape each; the kind of shape is the label."""

    name = "shapes"
    title = "Shapes"
    summary = (
        "Coloured circles, squares, triangles, rings, crosses and stars on a coloured ground, drawn afresh for every "
        "batch, so a model can never memorise them. Kind, size, place, angle and colour are random; the kind is the "
        "label. Good for seeing whether a colour model works at all."
    )
    default_size = 32
    channels = 3
    classes = SHAPES
    rank = 20

    def load(self, device: torch.device, *, seed: int, report: Report) -> Data:
        channels, size, _ = self.expected().shape

        def make(key: int) -> ShapeMaker:
            return ShapeMaker(size, channels, key, device)

        validation_count = min(VALIDATION_IMAGES, max(64, VALIDATION_BYTES // (channels * size * size)))
        return endless(self, make, validation_count, device, seed)


class ShapeMaker:
    """Maker of images: positions (N,) int64 → (N, channels, size, size) uint8 and kinds (N,) int64."""

    def __init__(self, size: int, channels: int, seed: int, device: torch.device) -> None:
        self.size, self.channels, self.seed = size, channels, seed
        self._edges = torch.tensor(EDGES, device=device)
        self._place = torch.arange(size, device=device) + 0.5

    def __call__(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The images at these positions of the endless sequence."""
        if len(positions) > (most := max(1, MOST_PIXELS // self.size**2)):
            images, kinds = zip(*[self._draw(part) for part in positions.split(most)])
            return torch.cat(images), torch.cat(kinds)
        return self._draw(positions)

    def _draw(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        which, wide, right, down, turn, *colours = keyed_random.uniforms(self.seed, positions, 12)
        kind = (which * len(SHAPES)).long()
        radius = self.size * (0.18 + 0.20 * wide)
        nearest = radius + self.size / 32
        room = self.size - 2 * nearest
        x = (self._place - (nearest + room * right)[:, None])[:, None, :]
        y = (self._place - (nearest + room * down)[:, None])[:, :, None]
        distance = self._distance(kind, x, y, radius[:, None, None], 2 * math.pi * turn[:, None, None])
        cover = (0.5 - distance).clamp_(0, 1)[:, None]
        shape, ground = self._colours(torch.stack(colours, dim=1))
        image = ground + (shape - ground) * cover
        return (image * 255).round_().to(torch.uint8), kind

    def _distance(self, kind: Tensor, x: Tensor, y: Tensor, radius: Tensor, turn: Tensor) -> Tensor:
        """Pixels from each pixel's middle to the outline, negative inside: (N, size, size)."""
        kind = kind[:, None, None]
        corners, nx, ny, c = self._edges[kind].unbind(-1)
        away = (x * x + y * y).sqrt()
        # fold the plane onto one corner: all of a shape's edges become one
        sector = 2 * math.pi / corners
        angle = (torch.atan2(y, x) - turn + sector / 2).remainder(sector) - sector / 2
        along, aside = away * angle.cos(), away * angle.sin().abs()
        distance = along * nx + aside * ny - radius * c
        distance = torch.where(kind == CIRCLE, away - radius, distance)
        distance = torch.where(kind == RING, (away - 0.74 * radius).abs() - 0.26 * radius, distance)
        return torch.where(kind == CROSS, torch.maximum(along - radius, aside - 0.3 * radius), distance)

    def _colours(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 7) uniforms → colours of shape and ground, each (N, channels, 1, 1) in [0, 1]."""
        if self.channels == 1:
            return (0.6 + 0.4 * numbers[:, :1])[:, :, None, None], (0.3 * numbers[:, 1:2])[:, :, None, None]
        hue = numbers[:, :1] * 6 + torch.tensor([0.0, 4.0, 2.0], device=numbers.device)
        pure = ((hue % 6 - 3).abs() - 1).clamp(0, 1)
        saturation, value = 0.4 + 0.6 * numbers[:, 1:2], 0.7 + 0.3 * numbers[:, 2:3]
        shape = value * (1 - saturation * (1 - pure))
        return shape[:, :, None, None], (0.3 * numbers[:, 3:6])[:, :, None, None]
