"""One copy of what is trained, for all processes of one machine: each updates its part of it in memory that they share.

Weights, their averages and what Adam remembers of them are the same in every process, and so need not be there, nor be
computed, more than once. Each process has a part of every phase's parameters: it sums the gradients of that part, which
the others wrote where all can read them, and updates it. All meet twice in a phase: once gradients are written, and
before anybody reads the weights again. Sums and updates are the same numbers as when all processes compute all of them.
"""

from __future__ import annotations

import functools
import itertools
import math
import mmap
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from tui_gen.train.tuned import fused_adam
from tui_gen.train.tuned.fused_adam import FusedAdam, Portion
from tui_gen.train.tuned.handed_rows import Rows

UNIT = 64
"""Parameters are cut after multiples of so many numbers: kernels then compute each as they do within the whole."""
LARGE = 1 << 16
"""Numbers of a parameter from which on all processes have a piece of it."""
ROOM = 256
"""Numbers besides gradients that a process may send in a phase."""
LINE = 64
"""Bytes that everything begins at a multiple of."""


class Meets(Protocol):
    """One of the processes."""

    rank: int
    count: int

    def meet(self) -> None:
        """Wait for the others: what each wrote before, all can read."""


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


class Sums(NamedTuple):
    """Of one phase: `gradients` (None where there is none) of this process's pieces, and numbers and flags of all."""

    gradients: list[Tensor | None]
    there: list[bool]
    numbers: Tensor
    flags: Tensor


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


class _Room:
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


class _PhaseCopy:
    """What one phase has in the memory."""

    def __init__(
        self, optimizer: FusedAdam, parameters: list[nn.Parameter], count: int, layout: _Room, handed: Handed
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


class OneCopy:
    """One process's side of it.

    `phases` are each phase's optimiser and parameters, `averaged` the averages of parameters, of which some may be no
    phase's. No parameter is of two phases. All processes make theirs with the same.
    """

    def __init__(
        self,
        ranks: Meets,
        phases: dict[str, tuple[FusedAdam, list[nn.Parameter]]],
        averaged: Sequence[tuple[nn.Parameter, nn.Parameter]] = (),
        handed: Handed = NONE,
    ) -> None:
        self.ranks, self.rank, self.count = ranks, ranks.rank, ranks.count
        self._written = False
        layout = _Room()
        self.handed = handed
        self._phases = {name: _PhaseCopy(*its, self.count, layout, handed) for name, its in phases.items()}
        trained = {id(parameter) for _, some in phases.values() for parameter in some}
        self._averages = {id(of): (average, layout.place(of.numel())) for average, of in averaged if id(of) in trained}
        self._tails = layout.place((ROOM + ROOM) * self.count)
        self._codes = layout.place(2 * self.count)
        self.size = layout.size

    def enter(self, memory: mmap.mmap) -> None:
        """Begin to use memory of `size` bytes that all processes share: what is trained is there from now on."""
        self._memory = memory
        # NumPy's: with so few numbers, its operations have less around them than PyTorch's.
        count = self.count
        self.tails = np.frombuffer(memory, np.float32, 2 * ROOM * count, self._tails).reshape(count, -1)
        self.codes = np.frombuffer(memory, np.int64, count, self._codes)
        self.views = {name: _Views(self, phase) for name, phase in self._phases.items()}
        self.move_in()

    @property
    def complete(self) -> bool:
        """Whether all of it is still in the memory: it is not after another state was put into the optimisers."""
        return all(phase.optimizer.part is not None for phase in self._phases.values())

    def move_in(self) -> None:
        """Bring all that is not in the memory there. All processes have the same, and write the same numbers."""
        for phase in self._phases.values():
            for place, parameter in enumerate(phase.parameters):
                parameter.data = self._moved(parameter.data, phase.weights[place])
                state = phase.optimizer.state[parameter]
                state["exp_avg"] = self._moved(state["exp_avg"], phase.first[place])
                state["exp_avg_sq"] = self._moved(state["exp_avg_sq"], phase.second[place])
                if (pair := self._averages.get(id(parameter))) is not None:
                    pair[0].data = self._moved(pair[0].data, pair[1])
            phase.optimizer.forget()
            own = phase.pieces[self.rank]
            states = [phase.optimizer.state[phase.parameters[piece.place]] for piece in own]
            phase.optimizer.part = Portion(
                [piece.place for piece in own],
                [piece.of(phase.parameters[piece.place].data) for piece in own],
                [piece.of(state["exp_avg"]) for piece, state in zip(own, states)],
                [piece.of(state["exp_avg_sq"]) for piece, state in zip(own, states)],
                [None if piece.whole else piece.of for piece in own],
            )

    def averages(self) -> tuple[list[Tensor], list[Tensor]]:
        """This process's pieces of the averages, and of the weights that they follow, of the same sizes."""
        averages: list[Tensor] = []
        weights: list[Tensor] = []
        for phase in self._phases.values():
            for piece in phase.pieces[self.rank]:
                parameter = phase.parameters[piece.place]
                if (pair := self._averages.get(id(parameter))) is not None:
                    averages.append(piece.of(pair[0].data))
                    weights.append(piece.of(parameter.data))
        return averages, weights

    def follows(self, parameter: Tensor) -> bool:
        """Whether the average of this parameter is in the memory."""
        return id(parameter) in self._averages

    def exchanged(
        self,
        name: str,
        gradients: Sequence[Tensor | None],
        there: list[bool],
        numbers: Tensor,
        flags: Tensor,
        code: int,
    ) -> Sums | None:
        """This process's pieces of a phase's gradients, summed over all processes, and sums of `numbers` and `flags`.

        `there` tells which parameters have a gradient, or rows in its place. None on all of them where their `code` (0
        or more) differs, or there are too many numbers: nothing is summed.
        """
        views, tail = self.views[name], self.tails[self.rank]
        count, flagged = numbers.shape[0], ROOM + flags.shape[0]
        if count <= ROOM:
            tail[:count] = numbers.numpy()
            tail[ROOM:flagged] = flags.numpy()
        self.codes[self.rank] = code if count <= ROOM else -1
        large = views.send(gradients)
        self.ranks.meet()
        self._written = True  # and read by the others: they are to be met before anything is written again
        codes = self.codes.tolist()
        if codes[0] < 0 or codes.count(codes[0]) < len(codes):
            self.settle()
            return None
        total = torch.from_numpy(functools.reduce(np.add, self.tails))
        return Sums(views.summed(large, there), there, total[:count], total[ROOM:flagged])

    def whole(self, name: str) -> dict[int, Tensor]:
        """The gradients, of all examples, of weights whose rows were handed over, by place: the same bits as of the
        pieces. To be asked for by all; they are to be met before anything is written again. Where not all have handed
        over the same, none."""
        views, phase = self.views[name], self._phases[name]
        if not views.rows:
            return {}
        self.codes[self.rank] = sum(rows.full << number for number, rows in enumerate(views.rows.values()))
        self.ranks.meet()
        alike = len(set(self.codes.tolist())) == 1
        for piece, numbers in zip(views.own, views.theirs[self.rank]):
            if alike and views.handed(piece.place):
                numbers.copy_(views.product(piece))
        self.ranks.meet()
        self._written = True
        found = {place: torch.empty_like(phase.parameters[place]) for place in views.full()} if alike else {}
        for its, gradients in zip(phase.pieces, phase.gradients):
            for piece in its:
                if (gradient := found.get(piece.place)) is not None:
                    numbers = self._numbers(gradients[piece.place], gradient.numel()).view_as(gradient)
                    piece.of(gradient).copy_(piece.of(numbers))
        return found

    def update(self, name: str, sums: Sums) -> None:
        """Update this process's pieces of a phase's parameters."""
        self._phases[name].optimizer.step_part(sums.gradients, sums.there)

    def meet(self) -> None:
        """Wait for all, about or after an update that is made in another way: by the step of one of these optimisers.
        """
        self._written = True
        self.settle()

    def settle(self) -> None:
        """Wait until all have updated their pieces: to be done before weights are read or gradients sent."""
        if self._written:
            self._written = False
            self.ranks.meet()

    def _numbers(self, offset: int, count: int) -> Tensor:
        return torch.frombuffer(self._memory, dtype=torch.float32, count=count, offset=offset)

    def _moved(self, tensor: Tensor, offset: int) -> Tensor:
        numbers = self._numbers(offset, tensor.numel())
        if numbers.data_ptr() == tensor.data_ptr():
            return tensor
        there = numbers.as_strided(tensor.size(), tensor.stride())
        there.copy_(tensor)
        return there


class _Views:
    """A phase's gradients in the memory: this process writes all of the small ones, and others' pieces of large ones;
    and it reads its own pieces of theirs."""

    def __init__(self, copy: OneCopy, phase: _PhaseCopy) -> None:
        self.parameters, self.rank = phase.parameters, copy.rank
        self.own = phase.pieces[copy.rank]

        def whole(rank: int, place: int) -> Tensor:
            parameter = phase.parameters[place]
            numbers = copy._numbers(phase.gradients[rank][place], parameter.numel())
            return numbers.as_strided(parameter.size(), parameter.stride())

        ranks, small = range(copy.count), set(phase.small)
        self.theirs = [[piece.of(whole(rank, piece.place)) for piece in self.own] for rank in ranks]
        self.small = [(place, whole(copy.rank, place)) for place in phase.small]
        self.others = [
            (piece, piece.of(whole(copy.rank, piece.place)))
            for rank in ranks if rank != copy.rank
            for piece in phase.pieces[rank] if piece.place not in small
        ]  # fmt: skip
        self.wide = [place for place in range(len(self.parameters)) if place not in small]
        self.large = [(number, piece) for number, piece in enumerate(self.own) if piece.place not in small]
        of_small = [piece for piece in self.own if piece.place in small]
        self.spans: list[Tensor] = []
        """What each process has written of the own pieces of small parameters, with what lies between them."""
        if of_small:
            (first, start, _, _), (last, _, stop, _) = of_small[0], of_small[-1]
            for area in phase.gradients:
                begin = area[first] + 4 * start
                self.spans.append(copy._numbers(begin, (area[last] - begin) // 4 + stop))
        self.into = 0 if copy.rank else 1
        """Whose area has the sums of the own pieces: nobody else reads them there."""
        examples, own = copy.handed.examples, copy.handed.own
        self.rows: dict[int, Rows] = {}
        """What is handed over in the place of gradients, by the place of the weights."""
        for place, starts in phase.rows.items():
            widths = reversed(phase.parameters[place].shape)
            inputs, outputs = (
                copy._numbers(start, examples * width).view(examples, width) for start, width in zip(starts, widths)
            )
            self.rows[place] = Rows(inputs, outputs, own)
        self.noted = {id(phase.parameters[place]): rows for place, rows in self.rows.items()}

    def handed(self, place: int) -> bool:
        """Whether rows were written in the place of a parameter's gradient."""
        return place in self.rows and self.rows[place].full

    def product(self, piece: Piece) -> Tensor:
        """A piece of a gradient of which rows were handed over."""
        found = self.rows[piece.place].part(piece.start, piece.stop)
        return found if piece.whole else found.view(-1)

    def full(self) -> dict[int, Rows]:
        """Rows that were written, by the place of the weights."""
        return {place: rows for place, rows in self.rows.items() if rows.full}

    def send(self, gradients: Sequence[Tensor | None]) -> dict[int, Tensor]:
        """Write gradients where others find them; the large ones that there are, as they lie in memory, by place."""
        large: dict[int, Tensor] = {}
        for place in self.wide:
            if (gradient := gradients[place]) is not None:
                parameter = self.parameters[place]
                in_order = gradient.stride() == parameter.stride()
                large[place] = gradient if in_order else torch.empty_like(parameter).copy_(gradient)
        pairs = [(view, gradient) for place, view in self.small if (gradient := gradients[place]) is not None]
        if large:
            pairs += [(view, piece.of(large[piece.place])) for piece, view in self.others if piece.place in large]
        if pairs:
            torch._foreach_copy_([view for view, _ in pairs], [gradient for _, gradient in pairs])
        return large

    def summed(self, large: Mapping[int, Tensor], there: Sequence[bool]) -> list[Tensor | None]:
        """The sums of all processes' own pieces, in the order of ranks, in the place of what another wrote, which
        nobody else reads; and those of which rows were handed over. Of parameters that have no gradient, None."""
        sums = self.theirs[self.into]
        if self.spans:
            torch.add(self.spans[0], self.spans[1], out=self.spans[self.into])
            for span in self.spans[2:]:
                self.spans[self.into].add_(span)
        found = [numbers if there[piece.place] else None for numbers, piece in zip(sums, self.own)]
        added = []
        for number, piece in self.large:
            if self.handed(piece.place):
                found[number] = self.product(piece)
            elif piece.place in large:
                added.append((number, piece.of(large[piece.place])))
        if added:
            terms = [
                [mine if rank == self.rank else some[number] for number, mine in added]
                for rank, some in enumerate(self.theirs)
            ]
            if self.rank == 0:  # of two numbers, either may be the first
                terms[:2] = terms[1::-1]
            for more in terms[1:]:
                torch._foreach_add_(terms[0], more)
        return found


def fits(tensors: Iterable[Tensor]) -> bool:
    """Whether `tensors` can be in such a memory: float32 on the CPU, without gaps."""
    return all(
        tensor.dtype == torch.float32 and tensor.device.type == "cpu" and tensor.stride() == _packed(tensor)
        for tensor in tensors
    )


def _packed(tensor: Tensor) -> tuple[int, ...]:
    return torch.empty_like(tensor, device="meta").stride()


@functools.cache
def works() -> bool:
    """Whether pieces are updated and averaged to the bits of the whole here, tried once on a few numbers. Draws no
    random numbers."""
    try:
        return fused_adam.works() and all(map(torch.equal, _tried((0, 1111)), _tried((0, 192, 1088, 1111))))
    except Exception:  # whatever a changed signature leads to
        return False


def _tried(ends: tuple[int, ...]) -> list[Tensor]:
    """Weights, moments and averages after some steps of pieces that end there; in the end averaged in other pieces."""
    gradients, weights, first, second, average = (torch.linspace(-1, end, 1111) for end in (0.7, 2, 0.1, 3, 1.5))
    second.square_()

    def cut(tensor: Tensor, at: tuple[int, ...]) -> list[Tensor]:
        return [tensor[start:stop] for start, stop in itertools.pairwise(at)]

    for step in range(3):
        p, g, m, v = (cut(tensor, ends) for tensor in (weights, gradients, first, second))
        torch._fused_adam_(
            p, g, m, v, [], [torch.tensor(step + 1.0) for _ in p], lr=0.01, beta1=0.9, beta2=0.99,
            weight_decay=0.01, eps=1e-8, amsgrad=False, maximize=False,
        )  # fmt: skip
        torch._foreach_lerp_(cut(average, ends), cut(weights, ends), 0.001)
    odd = ends if len(ends) == 2 else (0, 5, 1000, 1111)  # where threads may part them
    torch._foreach_lerp_(cut(average, odd), cut(weights, odd), 0.1)
    return [weights, first, second, average]
