"""What several processes of one machine keep in memory that they share, and where it is, as all of them lay it out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from tui_gen.train.tuned.fused_adam import FusedAdam

UNIT = 64
"""Parameters are cut after multiples of so many numbers: kernels then compute each as they do within the whole."""
LARGE = 1 << 16
"""Numbers of a parameter from which on all processes have a piece of it."""
LINE = 64
"""Bytes that everything begins at a multiple of."""


class Piece(NamedTuple):
    """Numbers `start` to `stop` of parameter number `place`, as they lie in memory; `whole` are all it has."""

    place: int
    start: int
    stop: int
    whole: bool

    def of(self, tensor: Tensor) -> Tensor:
        """This piece of a tensor without gaps in memory: (stop − start,), or the tensor itself where it is whole."""
        if self.whole:
            return tensor
        return tensor.as_strided((self.stop - self.start,), (1,), tensor.storage_offset() + self.start)


def pieces(sizes: Sequence[int], count: int, units: Mapping[int, int] | None = None) -> list[list[Piece]]:
    """Parameters of these sizes cut into `count` even parts, one a process: the pieces of each.

    Of a large one each process has a piece: some gradients are still in a core's cache when they are handed over, and
    one process would have those, another the rest. `units` are what some, by place, are to be cut after multiples of.
    """
    parts: list[list[Piece]] = [[] for _ in range(count)]
    small = sum(size for size in sizes if size < LARGE)
    begin = 0
    for place, size in enumerate(sizes):
        before, total = (0, size) if size >= LARGE else (begin, small)
        ends, its_unit = [0], UNIT if units is None else units.get(place, UNIT)
        for rank in range(1, count):
            end = total * rank // count - before
            ends.append(size if end >= size else max(0, end // its_unit * its_unit))
        for rank, (start, stop) in enumerate(zip(ends, [*ends[1:], size])):
            if start < stop:
                parts[rank].append(Piece(place, start, stop, stop - start == size))
        if size < LARGE:
            begin += size
    return parts


class Room:
    """Where what is in the memory, in the order in which it is asked for."""

    def __init__(self) -> None:
        self.size = 0

    def place(self, count: int) -> int:
        """The offset of so many float32 numbers."""
        offset = self.size
        self.size += -(-4 * count // LINE) * LINE
        return offset


class Handed(NamedTuple):
    """The weights, by id, for which rows are handed over, of so many `examples`, of which `own` are this process's."""

    weights: frozenset[int] = frozenset()
    examples: int = 0
    own: slice = slice(0)


NONE = Handed()


class PhaseCopy:
    """What one phase has in the memory."""

    def __init__(
        self, optimizer: FusedAdam, parameters: list[nn.Parameter], count: int, layout: Room, handed: Handed
    ) -> None:
        self.optimizer, self.parameters = optimizer, parameters
        shapes = {place: its.shape for place, its in enumerate(parameters) if id(its) in handed.weights}
        units = {place: math.lcm(UNIT, shape[1]) for place, shape in shapes.items()}  # whole rows
        self.pieces = pieces([parameter.numel() for parameter in parameters], count, units)
        self.rows = {
            place: [layout.place(handed.examples * width) for width in (shape[1], shape[0])]
            for place, shape in shapes.items()
        }
        """Where what the layers of some weights were given is, and gradients of what they put out."""
        self.weights, self.first, self.second = (
            [layout.place(parameter.numel()) for parameter in parameters] for _ in range(3)
        )
        sizes = [parameter.numel() for parameter in parameters]
        # Of small ones, to cut pieces out of each gradient would take longer than to copy and add up what lies between.
        self.small = [place for place, size in enumerate(sizes) if size < LARGE]
        in_memory = self.small + [place for place, size in enumerate(sizes) if size >= LARGE]
        areas = [{place: layout.place(sizes[place]) for place in in_memory} for _ in range(count)]
        self.gradients = [[area[place] for place in range(len(sizes))] for area in areas]
        """Of each process, where its gradients are: those of small parameters one behind the other."""
