"""Augmentation of uint8 image batches on the device: mirror, shift, turn."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from tui_gen.train.data import keyed_random
from tui_gen.train.data.sources import Augmentation

BLOCK = 64
"""Steps whose random numbers are drawn at once, so that a step pays almost nothing for them."""


class Augment:
    """Random changes of each image, a pure function of (seed, step): nothing to save for a resume.

    `flip`: mirrored left-right with probability ½. `shift`: moved by whole pixels, uniform in ±shift on both axes.
    `rotate`: turned by an angle uniform in ±rotate degrees, bilinear. Of a part of a batch, `first` examples of it come
    before those that are changed here.
    """

    def __init__(
        self, augmentation: Augmentation, *, seed: int, batch_size: int, device: torch.device, first: int = 0
    ) -> None:
        self.flip, self.shift, self.rotate = augmentation.flip, augmentation.shift, augmentation.rotate
        self.black = augmentation.black
        self.active = bool(self.flip or self.shift or self.rotate)
        self._key, self._batch_size, self._device = keyed_random.key(seed, "augment"), batch_size, device
        self._first = first
        self._block = -1
        self._numbers = torch.empty(0)

    def __call__(self, raw: Tensor, step: int, first: int | None = None) -> Tensor:
        """(N, C, H, W) uint8 → the same shape and type; `step` counts from the start of the run. `first` may be another
        this time."""
        if step // BLOCK != self._block:
            self._block = step // BLOCK
            start = self._block * BLOCK * self._batch_size
            positions = torch.arange(start, start + BLOCK * self._batch_size, device=self._device)
            self._numbers = keyed_random.uniforms(self._key, positions, 4)
        start = step % BLOCK * self._batch_size + (self._first if first is None else first)
        mirror, down, right, turn = self._numbers[:, start : start + len(raw)]
        flip = mirror < 0.5
        if self.rotate:
            return self._turn(raw, flip, self._pixels(down), self._pixels(right), turn)
        if self.shift:
            return self._move(raw, flip, self._pixels(down), self._pixels(right))
        return torch.where(flip[:, None, None, None], raw.flip(3), raw)

    def _pixels(self, uniform: Tensor) -> Tensor:
        return (uniform * (2 * self.shift + 1)).long() - self.shift

    def _move(self, raw: Tensor, flip: Tensor, down: Tensor, right: Tensor) -> Tensor:
        count, channels, height, width = raw.shape
        rows = torch.arange(height, device=raw.device) - down[:, None]
        columns = torch.arange(width, device=raw.device) - right[:, None]
        if self.flip:
            columns = torch.where(flip[:, None], width - 1 - columns, columns)
        inside = None
        if self.black:
            inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
        rows, columns = _reflect(rows, height), _reflect(columns, width)
        places = (rows[:, :, None] * width + columns[:, None, :]).view(count, 1, -1)
        out = raw.flatten(2).gather(2, places.expand(-1, channels, -1)).view_as(raw)
        return out if inside is None else out * inside[:, None]

    def _turn(self, raw: Tensor, flip: Tensor, down: Tensor, right: Tensor, turn: Tensor) -> Tensor:
        height, width = raw.shape[2:]
        angle = (2 * turn - 1) * math.radians(self.rotate)
        cos, sin = angle.cos(), angle.sin()
        side = 1 - 2 * flip.float() if self.flip else torch.ones_like(cos)
        x, y = -2 * right / width, -2 * down / height
        # from a place in the result to one in the source: undo the shift, then the turn, then the mirroring
        matrix = torch.stack(
            [side * cos, side * -sin, side * (cos * x - sin * y), sin, cos, sin * x + cos * y], dim=1
        ).view(-1, 2, 3)
        grid = functional.affine_grid(matrix, list(raw.shape), align_corners=False)
        padding = "zeros" if self.black else "reflection"
        out = functional.grid_sample(raw.float(), grid, padding_mode=padding, align_corners=False)
        return out.round_().to(torch.uint8)


def _reflect(places: Tensor, length: int) -> Tensor:
    """Fold places outside 0 … length-1 back in, as if mirrors stood at the edges."""
    places = places.remainder(2 * length)
    return torch.minimum(places, 2 * length - 1 - places)
