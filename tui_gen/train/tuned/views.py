"""One process's view of a phase in memory that all share: what it writes there for the others, and reads of theirs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from tui_gen.train.tuned.blocks import Block, Counter, Shared, Work, cuts
from tui_gen.train.tuned.handed_rows import Rows
from tui_gen.train.tuned.layout import UNIT, Handed, PhaseCopy, Piece

Numbers = Callable[[int, int], Tensor]
"""So many float32 numbers of the memory, from an offset on."""


class Meets(Protocol):
    """One of the processes."""

    rank: int
    count: int

    def meet(self) -> None:
        """Wait for the others: what each wrote before, all can read."""

    def tell_early(self, parts: int) -> None:
        """Tell the others that some of what they are to read after the next meeting is there: `parts`, not 0."""

    def meet_early(self, early: Callable[[int], None]) -> None:
        """As `meet`; but `early` is called before with what all can read by then, if all have told the same."""


class Views:
    """A phase's gradients in the memory: this process writes all of the small ones, and others' pieces of large ones;
    and it reads its own pieces of theirs. Of wide weights it writes rows instead, and computes its own pieces; where
    there is one of the `counters` for each, blocks of them as it comes to them."""

    def __init__(
        self, ranks: Meets, phase: PhaseCopy, numbers: Numbers, handed: Handed, counters: Sequence[Counter] = ()
    ) -> None:
        self.parameters, self.rank, self._numbers = phase.parameters, ranks.rank, numbers
        self.own = phase.pieces[ranks.rank]

        def whole(rank: int, place: int) -> Tensor:
            parameter = phase.parameters[place]
            area = numbers(phase.gradients[rank][place], parameter.numel())
            return area.as_strided(parameter.size(), parameter.stride())

        everybody, small = range(ranks.count), set(phase.small)
        self.theirs = [[piece.of(whole(rank, piece.place)) for piece in self.own] for rank in everybody]
        self.small = [(place, whole(ranks.rank, place)) for place in phase.small]
        self.others = [
            (piece, piece.of(whole(ranks.rank, piece.place)))
            for rank in everybody if rank != ranks.rank
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
                self.spans.append(numbers(begin, (area[last] - begin) // 4 + stop))
        self.into = 0 if ranks.rank else 1
        """Whose area has the sums of the own pieces: nobody else reads them there."""
        examples, own = handed.examples, handed.own
        ids = {id(parameter) for parameter in phase.parameters}
        self.rows: dict[int, Rows] = {}
        """What is handed over in the place of gradients, by the place of the weights."""
        for place, starts in phase.rows.items():
            widths = reversed(phase.parameters[place].shape)
            inputs, outputs = (
                numbers(start, examples * width).view(examples, width) for start, width in zip(starts, widths)
            )
            weights = numbers(phase.weights[place], phase.parameters[place].numel())
            alike = weights.view(phase.parameters[place].shape).requires_grad_()
            self.rows[place] = Rows(inputs, outputs, own, alike, ids, self._tell_early)
        self.noted = {id(phase.parameters[place]): rows for place, rows in self.rows.items()}
        self._ranks = ranks
        self._products: dict[int, Tensor] = {}
        """Gradients of own pieces, by their number, that were computed while others were waited for."""
        self.work: Work | None = None
        if counters:
            pairs = zip(self.rows, counters, strict=True)
            self.work = Work([self._shared(phase, place, counter) for place, counter in pairs])

    def _shared(self, phase: PhaseCopy, place: int, counter: Counter) -> Shared:
        """The blocks of a wide parameter: no process's piece is in one with another's."""
        unit = math.lcm(UNIT, phase.parameters[place].shape[1])
        found = []
        pairs = ((rank, piece) for rank, its in enumerate(phase.pieces) for piece in its if piece.place == place)
        for rank, piece in pairs:
            for start, stop in cuts(piece.start, piece.stop, unit, rank):
                memory = [self._numbers(area[place] + 4 * start, stop - start)
                          for area in (phase.weights, phase.first, phase.second)]  # fmt: skip
                found.append(Block(start, stop, *memory))
        return Shared(place, self.rows[place], found, counter, self.rank)

    def _tell_early(self) -> None:
        """Rows are full. Those of all wide layers but the last are there long before the loss's other gradients are: of
        them, this process computes what it needs while it waits for the others."""
        full = [number for number, rows in enumerate(self.rows.values()) if rows.full]
        if 0 < len(full) == len(self.rows) - 1:
            self._ranks.tell_early(sum(1 << number for number in full))

    def compute(self, parts: int) -> None:
        """Compute the gradients of own pieces whose rows all have written by now."""
        early = [place for number, place in enumerate(self.rows) if parts >> number & 1 and self.handed(place)]
        if self.work is not None:
            self.work.ahead(early)
            return
        self._products = {number: self.product(piece) for number, piece in self.large if piece.place in early}

    def handed(self, place: int) -> bool:
        """Whether rows were written in the place of a parameter's gradient."""
        return place in self.rows and self.rows[place].full

    def product(self, piece: Piece) -> Tensor:
        """A piece of a gradient of which rows were handed over."""
        if self.work is not None:
            shared = self.work.shared[piece.place]
            mine = [its for its in shared.blocks if piece.start <= its.start < piece.stop]
            flat = torch.cat([shared.gradient(block) for block in mine])
            return flat.view_as(self.parameters[piece.place]) if piece.whole else flat
        found = self.rows[piece.place].part(piece.start, piece.stop)
        return found if piece.whole else found.view(-1)

    def besides(self) -> list[tuple[int, Tensor]]:
        """Weights of which rows do not tell all, by place, as the loss has them."""
        return [(place, rows.weights) for place, rows in self.rows.items() if rows.users and not rows.do]

    def full(self) -> dict[int, Rows]:
        """Rows that were written, by the place of the weights."""
        return {place: rows for place, rows in self.rows.items() if rows.full}

    def send(self, gradients: Sequence[Tensor | None]) -> dict[int, Tensor]:
        """Write gradients where others find them; the large ones that there are, as they lie in memory, by place."""
        self._products = {}
        if self.work is not None:
            self.work.begin()
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
        products, self._products = self._products, {}
        for number, piece in self.large:
            if self.handed(piece.place):
                if self.work is not None:
                    found[number] = None  # is computed block by block, and updated then
                    continue
                known = products.get(number)
                found[number] = self.product(piece) if known is None else known
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
