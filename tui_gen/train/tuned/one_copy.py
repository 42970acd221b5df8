"""One copy of what is trained, for all processes of one machine: each updates its part of it in memory that they share.

Weights, their averages and what Adam remembers of them are the same in every process, and so need not be there, nor be
computed, more than once. Each process has a part of every phase's parameters: it sums the gradients of that part, which
the others wrote where all can read them, and updates it. All meet twice in a phase: once gradients are written, and
before anybody reads the weights again. Sums and updates are the same numbers as when all processes compute all of them.
What is in the memory is in `tui_gen.train.tuned.layout`, and what a process reads and writes there in `views`.
"""

from __future__ import annotations

import functools
import itertools
import mmap
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from tui_gen.train.tuned import fused_adam
from tui_gen.train.tuned.blocks import Counter
from tui_gen.train.tuned.fused_adam import FusedAdam, Portion
from tui_gen.train.tuned.layout import NONE, Handed, PhaseCopy, Room
from tui_gen.train.tuned.views import Meets, Views

ROOM = 256
"""Numbers besides gradients that a process may send in a phase."""


class Sums(NamedTuple):
    """Of one phase: `gradients` (None where there is none) of this process's pieces, and numbers and flags of all."""

    gradients: list[Tensor | None]
    there: list[bool]
    numbers: Tensor
    flags: Tensor


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
        layout = Room()
        self.handed = handed
        self._phases = {name: PhaseCopy(*its, self.count, layout, handed) for name, its in phases.items()}
        trained = {id(parameter) for _, some in phases.values() for parameter in some}
        self._averages = {id(of): (average, layout.place(of.numel())) for average, of in averaged if id(of) in trained}
        self._tails = layout.place((ROOM + ROOM) * self.count)
        self._codes = layout.place(2 * self.count)
        self.size = layout.size

    @property
    def wide(self) -> int:
        """Of how many weights rows are handed over."""
        return sum(len(phase.rows) for phase in self._phases.values())

    def enter(self, memory: mmap.mmap, counters: Sequence[Counter] = ()) -> None:
        """Begin to use memory of `size` bytes that all processes share: what is trained is there from now on.

        With a counter for each of the `wide` weights, two processes take their blocks as they come to them.
        """
        self._memory = memory
        # NumPy's: with so few numbers, its operations have less around them than PyTorch's.
        count = self.count
        self.tails = np.frombuffer(memory, np.float32, 2 * ROOM * count, self._tails).reshape(count, -1)
        self.codes = np.frombuffer(memory, np.int64, count, self._codes)
        left = list(counters)
        self.views = {}
        for name, phase in self._phases.items():
            its = [left.pop(0) for _ in phase.rows] if counters else []
            self.views[name] = Views(self.ranks, phase, self._numbers, self.handed, its)
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
        self.ranks.meet_early(views.compute)
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
        """Update this process's pieces of a phase's parameters, and as many blocks as it comes to."""
        optimizer = self._phases[name].optimizer
        optimizer.step_part(sums.gradients, sums.there)
        if (work := self.views[name].work) is not None:
            work.finish(optimizer)

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
            for views in self.views.values():
                if views.work is not None:
                    views.work.put_back()

    def _numbers(self, offset: int, count: int) -> Tensor:
        return torch.frombuffer(self._memory, dtype=torch.float32, count=count, offset=offset)

    def _moved(self, tensor: Tensor, offset: int) -> Tensor:
        numbers = self._numbers(offset, tensor.numel())
        if numbers.data_ptr() == tensor.data_ptr():
            return tensor
        there = numbers.as_strided(tensor.size(), tensor.stride())
        there.copy_(tensor)
        return there


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
