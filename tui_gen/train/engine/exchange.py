"""What a training step is where many processes make it together: each its rows, and then the sums of all. One process
that computes a batch in parts does so, too, alone.

Every phase has one message: gradients, metrics and the ranks' flags in one row of numbers, each weighted by its share
of the batch. After it all processes make the same update.
"""

from __future__ import annotations

import contextlib
import functools
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from tui_gen import sharing
from tui_gen.model import Batch, Phase
from tui_gen.sharing import BatchPart
from tui_gen.train.engine import accumulating, drawing
from tui_gen.train.engine.batch_metrics import Answer, finished, forms, numbers_of, row_of_batch, summed, united
from tui_gen.train.engine.building import TrainingError
from tui_gen.train.engine.devices import device_generator
from tui_gen.train.engine.meter import Meter, Row
from tui_gen.train.engine.pooling import Pool, Pools
from tui_gen.train.engine.ranks import FLAGS, Ranks, share_of
from tui_gen.train.order import BEGIN, END
from tui_gen.train.tuned import backward, handed_rows
from tui_gen.train.tuned.one_copy import Sums

METRICS = 64
"""Room for metrics grows by so many numbers: ranks whose metrics differ by mistake still send rows of one length."""
CHECKS = 6
HEAD, TAIL = 64, 40
"""Bytes of a generator's state that are compared: a CPU's has where it is and the first of its words there, and at its
end a normal number that is left over."""
MOST_PARTS = 256
"""Parts of batches, of this place and size, that are remembered at most."""


class Trains(Pools, Protocol):
    """What it must know of a trainer, some of which is made after it."""

    device: torch.device

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The precision in which losses are computed."""


class Silent(Meter):
    """The meter of a process whose numbers somebody else writes down."""

    def record(self, step: int, names: tuple[str, ...], row: Row) -> None:
        """Let go."""

    def record_float(self, step: int, name: str, value: float) -> None:
        """Let go."""


class Message:
    """A phase's message: a view of it for each parameter, in the parameter's own order in memory, then the rest."""

    def __init__(self, parameters: Sequence[Tensor], metrics: int, device: torch.device) -> None:
        self.room = -(-metrics // METRICS) * METRICS
        self.kinds: dict[torch.dtype, Tensor] = {}
        sizes: dict[torch.dtype, int] = {torch.float32: self.room + CHECKS + FLAGS}
        for parameter in parameters:
            sizes[parameter.dtype] = sizes.get(parameter.dtype, 0) + parameter.numel()
        for kind, size in sizes.items():
            self.kinds[kind] = torch.zeros(size, dtype=kind, device=device)
        ends = dict.fromkeys(sizes, 0)
        self.gradients: list[Tensor] = []
        for parameter in parameters:
            flat, start = self.kinds[parameter.dtype], ends[parameter.dtype]
            self.gradients.append(flat.as_strided(parameter.size(), parameter.stride(), start))
            ends[parameter.dtype] = start + parameter.numel()
        rest = self.kinds[torch.float32][ends[torch.float32] :]
        self.metrics, self.checks, self.flags = rest.split([self.room, CHECKS, FLAGS])


class GradientSums:
    """The gradients of micro-batches, added up one after another; None where there is none in any."""

    def __init__(self) -> None:
        self.sums: list[Tensor | None] = []
        self._own: list[bool] = []

    def add(self, gradients: Sequence[Tensor | None]) -> None:
        """Those of the next."""
        if not self.sums:
            self.sums, self._own = list(gradients), [False] * len(gradients)
            return
        own, more = [], []
        for place, (there, gradient) in enumerate(zip(self.sums, gradients)):
            if there is None:
                self.sums[place] = gradient
            elif gradient is not None and self._own[place]:
                own.append(there)
                more.append(gradient)
            elif gradient is not None:  # what autograd gave may share memory with another: not in place
                self.sums[place], self._own[place] = there + gradient, True
        if own:
            torch._foreach_add_(own, more)


class WholeBatch(Batch):
    """The batch of all ranks, whose examples and labels are brought together when they are first asked for: then all
    ranks must ask."""

    def __init__(self, gathered: Callable[[str], Tensor | None], step: int, shared: dict[str, Any]) -> None:
        self._gathered, self.step, self.shared, self.place, self.whole = gathered, step, shared, 0, 0

    @property
    def x(self) -> Tensor:  # type: ignore[override]
        """(N, *shape), as `Batch` has it."""
        x = self._gathered("x")
        assert x is not None
        return x

    @property
    def labels(self) -> Tensor | None:  # type: ignore[override]
        """(N,), or None."""
        return self._gathered("labels")


class Exchange:
    """One rank's side of the steps of a trainer: `share` is its rows of every batch."""

    def __init__(self, trainer: Trains, ranks: Ranks, batch_size: int) -> None:
        self.trainer, self.ranks, self.total = trainer, ranks, batch_size
        self.share = ranks.share(self.total)
        if self.total < ranks.count:
            words = f"train.batch_size = {self.total} is less than {ranks.count} processes"
            raise TrainingError(f"{words}: each needs an example of its own")
        self._messages: dict[str, Message] = {}
        self._doubts: dict[str, Tensor] = {}
        self._flagged = False
        self._gathered: tuple[Batch, dict[str, Tensor | None]] | None = None
        """What phases of a step's batch have asked for."""
        self._codes: dict[str, tuple[Any, int]] = {}
        self._no_flags = torch.zeros(FLAGS)
        self._compared = False
        self.pool = Pool(trainer, ranks, batch_size)
        self._part = functools.lru_cache(MOST_PARTS)(self._part_of)

    def batch(self, x: Tensor, labels: Tensor | None, step: int) -> Batch:
        """This rank's rows of a step's batch."""
        return Batch(x, labels, step, place=self.share.start, whole=self.total)

    @contextlib.contextmanager
    def computing(self, batch: Batch, index: int = 0, parts: int = 1) -> Iterator[None]:
        """What happens inside is the computation of a rank's micro-batch `index` of `parts`: it draws as the whole
        batch does, and may ask what it must know of it."""
        with sharing.computing(self._part(batch.place, batch.x.shape[0], batch.total, index, parts)), self._draws:
            yield

    def _part_of(self, place: int, count: int, total: int, index: int, parts: int) -> BatchPart:
        ranks = range(self.ranks.count)
        sizes = [len(share_of(index, parts, len(share_of(rank, len(ranks), total)))) for rank in ranks]
        add = functools.partial(sharing.summed, add_=self._add_)
        return BatchPart(place, count, total, sum(sizes[: self.ranks.rank]), sum(sizes), add, index == 0)

    @functools.cached_property
    def _draws(self) -> contextlib.AbstractContextManager[None]:
        return drawing.of_model(self.trainer.model, stays=self.ranks.count > 1)

    def ranks_share(self, rank: int, batch: Batch) -> range:
        """The rows of a batch that a rank has."""
        return share_of(rank, self.ranks.count, batch.total)

    def _add_(self, tensor: Tensor) -> None:
        self.ranks.sum_([tensor])

    def each(self, micro_batches: Sequence[Batch], act: Callable[[Batch], Any]) -> list[Any]:
        """What `act` gives for each of a rank's micro-batches; each draws what the whole batch draws, and what is drawn
        next comes after what the first drew."""
        self.settle()
        if len(micro_batches) == 1:
            [batch] = micro_batches
            with sharing.computing(self._part(batch.place, batch.x.shape[0], batch.total, 0, 1)), self._draws:
                return [act(batch)]
        before, answers = self._random_state(), []
        after = before
        for index, micro in enumerate(micro_batches):
            if index:
                self._draw_from(*before)
            with self.computing(micro, index, len(micro_batches)):
                answers.append(act(micro))
            after = after if index else self._random_state()
        self._draw_from(*after)
        return answers

    def _random_state(self) -> tuple[Tensor, Tensor | None]:
        if self.trainer.device.type == "cpu":
            return torch.default_generator.get_state(), None
        own = device_generator(self.trainer.device)
        return torch.get_rng_state(), None if own is None else own.get_rng_state(self.trainer.device)

    def _draw_from(self, state: Tensor, own_state: Tensor | None) -> None:
        torch.set_rng_state(state)
        if own_state is not None:
            device_generator(self.trainer.device).set_rng_state(own_state, self.trainer.device)

    def begin(self) -> None:
        """A step begins: its first message brings the ranks' flags."""
        self.ranks.come_to(BEGIN)
        self._flagged = False
        if not self._compared:
            self._compare()
        self.pool.begin()

    def _compare(self) -> None:
        """See once that all ranks train the same: what they add up would be of other weights. Raises TrainingError."""
        self._compared = True
        shapes = {
            phase.name: [(tuple(parameter.shape), str(parameter.dtype)) for parameter in parameters]
            for phase in self.trainer.phases
            for parameters in (self.trainer.parameters[phase.name],)
        }
        # By name, too: a set of parameters is in another order in every process.
        known = {id(parameter): name for name, parameter in self.trainer.model.named_parameters()}
        names = [known.get(id(parameter), "") for some in self.trainer.parameters.values() for parameter in some]
        checks = _checks(zlib.crc32(repr((shapes, names)).encode()))
        self.ranks.sum_([checks])
        if not _differ(checks, self.ranks.count):
            return
        words = [f"{name}: {len(some)} tensors of {sum(math.prod(shape) for shape, _ in some):,} numbers"
                 for name, some in shapes.items()]  # fmt: skip
        each = (self.ranks.broadcast(words, rank) for rank in range(self.ranks.count))
        mine = zlib.crc32(repr(shapes).encode())
        if len({self.ranks.broadcast(mine, rank) for rank in range(self.ranks.count)}) == 1:
            raise TrainingError("the processes have the same parameters in another order; give a phase a list, no set")
        differences = ", ".join(f"rank {rank} has {'; '.join(some)}" for rank, some in enumerate(each))
        raise TrainingError(f"the processes do not train the same parameters: {differences}")

    def end(self) -> None:
        """A step is over: where no phase had its turn, the flags come by themselves."""
        self._gathered = None
        if not self._flagged:
            self.ranks.hear()
        self.ranks.come_to(END)

    def settle(self) -> None:
        """Weights are about to be read: wait for all who update them."""
        if self.pool.copy is not None:
            self.pool.copy.settle()

    def meet(self) -> None:
        """Wait until all have read the weights, or have written their part of them, where there is one copy."""
        if self.pool.copy is not None:
            self.pool.copy.meet()

    def before(self, phase: Phase, micro_batches: Sequence[Batch]) -> None:
        """A phase's own work before its loss."""
        assert phase.before is not None
        self.each(micro_batches, phase.before)

    def computed(
        self, phase: Phase, micro_batches: Sequence[Batch], whole: bool = True
    ) -> tuple[tuple[str, ...], Row, Sequence[Tensor | None] | Sums]:
        """Metrics and gradients of the whole batch, the same on every rank; or, where all keep one copy of the weights
        and the `whole` of the gradients is not asked for, the sums of what this rank updates."""
        trainer, parameters = self.trainer, self.trainer.parameters[phase.name]

        total = GradientSums()
        copy = self.pool.copy
        views = None if copy is None or len(micro_batches) > 1 else copy.views[phase.name]
        noted = handed_rows.noted({} if views is None else views.noted)

        def compute(micro: Batch) -> Answer:
            with trainer.autocast(), noted:
                loss, metrics = phase.loss(micro)
            scaled = loss if trainer.scaler is None else trainer.scaler.scale(loss)
            besides = [] if views is None else views.besides()
            with handed_rows.handing():
                sources = [*parameters, *(weights for _, weights in besides)] if besides else parameters
                found = backward.gradients(scaled, micro.x.shape[0] / micro.total, sources)
            total.add(_joined(found, len(parameters), [place for place, _ in besides]) if besides else found)
            names = [f"{phase.name}/loss", *(f"{phase.name}/{key}" for key in metrics)]
            return names, [loss.detach(), *metrics.values()]

        answers, merged = self.each(micro_batches, compute), total.sums
        names, values = answers[0]
        shares = [micro.x.shape[0] / micro.total for micro in micro_batches]
        if all(other == names for other, _ in answers):
            if len(answers) == 1:
                numbers = numbers_of(values, shares[0])
            else:
                numbers = summed([numbers_of(some) for _, some in answers], shares)
        elif self.ranks.count > 1:
            raise TrainingError(f"the metrics of {phase.name} differ between the parts of a batch; name them all alike")
        else:
            names, values, numbers = united(answers, shares)
        if self.ranks.count == 1:
            return tuple(names), row_of_batch(values, numbers), merged
        rows = {} if views is None else views.full()
        for place, its in rows.items():
            if (besides := merged[place]) is not None:  # the weights were used in some other way, too
                merged[place], its.full = besides + its.of_own(), False
        handed = [place for place, its in rows.items() if its.full]
        there = [gradient is not None or place in handed for place, gradient in enumerate(merged)]
        if copy is not None and not whole:
            code = self._code(phase.name, names, numbers.shape[0], [*there, *handed])
            flags = self._no_flags if self._flagged else self.ranks.flags
            sums = copy.exchanged(phase.name, merged, there, numbers, flags, code)
            if sums is not None:
                if not self._flagged:
                    self.ranks.flag_sums, self._flagged = sums.flags, True
                return tuple(names), row_of_batch(values, sums.numbers), sums
        known = copy.whole(phase.name) if copy is not None and views is not None and whole else {}
        for place in handed:
            merged[place] = rows[place].of_own() if place not in known else known[place] if self.ranks.first else None
        row = self._messages.get(phase.name)
        if row is None or len(numbers) > row.room:
            row = self._messages[phase.name] = Message(parameters, len(numbers), trainer.device)
        self._fill(row, merged)
        row.metrics[: len(numbers)] = numbers
        row.metrics[len(numbers) :] = 0
        row.checks.copy_(_checks(self._code(phase.name, names, numbers.numel(), [*there])))
        row.flags.copy_(self.ranks.flags) if not self._flagged else row.flags.zero_()
        self.ranks.sum_([*row.kinds.values()], phase.name)
        if not self._flagged:
            self.ranks.flag_sums, self._flagged = row.flags.clone(), True
        there = self._agreed(phase, row, names, there)
        gradients = [view if is_there else None for view, is_there in zip(row.gradients, there)]
        return tuple(names), row_of_batch(values, row.metrics[: len(numbers)].clone()), gradients

    def _code(self, phase: str, names: list[str], count: int, there: list[int]) -> int:
        """A number of what all ranks should have alike: metrics, gradients that there are, random numbers."""
        what = names, count, there
        known, code = self._codes.get(phase, (None, 0))
        if known != what:
            code = zlib.crc32(repr(what).encode())
            self._codes[phase] = what, code
        for state in self._random_state():
            if state is not None:  # its ends tell how much was drawn of what; Adler needs no tables, far away by now
                numbers = state.numpy().data
                code = zlib.adler32(numbers[-TAIL:], zlib.adler32(numbers[:HEAD], code))
        return code

    def _fill(self, row: Message, gradients: Sequence[Tensor | None]) -> None:
        """Write gradients into a message, zeros where there is none."""
        pairs = [(view, gradient) for view, gradient in zip(row.gradients, gradients) if gradient is not None]
        if pairs:
            torch._foreach_copy_([view for view, _ in pairs], [gradient for _, gradient in pairs])
        for view, gradient in zip(row.gradients, gradients):
            if gradient is None:
                view.zero_()

    def _agreed(self, phase: Phase, row: Message, names: list[str], there: list[bool]) -> list[bool]:
        """Which parameters have gradients on any rank. Mostly it is the same ones on all, which the checks tell; on a
        GPU nobody waits for them before the next step."""
        if self.trainer.device.type != "cpu":
            last, self._doubts[phase.name] = self._doubts.get(phase.name), row.checks.clone()
            if last is not None and _differ(last, self.ranks.count):
                words = "parameters with gradients, metrics or random numbers differ between processes"
                raise TrainingError(f"{phase.name}: {words}; train on CPUs to hear which, or in one process")
            return there
        if not _differ(row.checks, self.ranks.count):
            return there
        theirs = self.ranks.broadcast(names)
        state = bytearray(self.ranks.broadcast(torch.get_rng_state().numpy().tobytes()))
        drawn_alike = torch.equal(torch.frombuffer(state, dtype=torch.uint8), torch.get_rng_state())
        alike, presence = torch.tensor([float(theirs == names), float(drawn_alike)]), torch.tensor(there).float()
        self.ranks.sum_([alike, presence])
        if alike[0] < self.ranks.count:
            raise TrainingError(f"the metrics of {phase.name} differ between processes; name them all alike")
        if alike[1] < self.ranks.count:
            advice = "have its file draw by `drawn` what is drawn for each example"
            if self.total % self.ranks.count:
                advice = f"set train.batch_size to a multiple of {self.ranks.count}, or {advice}"
            raise TrainingError(f"{phase.name} drew other random numbers in some processes than in others; {advice}")
        return (presence > 0).tolist()

    def joined(self, batch: Batch, micro_batches: Sequence[Batch]) -> Batch:
        """The whole batch with what the losses left in `shared` on all ranks, for a phase's `finish`.

        Tensors with a row for each example are put together; of other tensors everybody gets those of the last rank.
        """
        mine = accumulating.joined(batch, micro_batches) if len(micro_batches) > 1 else batch
        counts = [len(self.ranks_share(rank, batch)) for rank in range(self.ranks.count)]
        shared: dict[str, Any] = {}
        for key, value in mine.shared.items():
            if not isinstance(value, Tensor):
                shared[key] = value
            elif value.dim() and len(value) == len(batch.x):
                shared[key] = self.ranks.gather_known(value, counts)
            else:
                shared[key] = value.detach().clone()
                self.ranks.broadcast_(shared[key], self.ranks.count - 1)
        if self._gathered is None or self._gathered[0] is not batch:
            self._gathered = batch, {}
        known = self._gathered[1]

        def gathered(name: str) -> Tensor | None:
            if name not in known:
                rows: Tensor | None = getattr(batch, name)
                known[name] = None if rows is None else self.ranks.gather_known(rows, counts)
            return known[name]

        return WholeBatch(gathered, batch.step, shared)

    def averaged(self, values: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Metrics of this rank's part, as those of the whole batch."""
        if not values:
            return values
        numbers = numbers_of([*values.values()]) * (len(batch.x) / batch.total)
        self.ranks.sum_([numbers])
        return dict(zip(values, finished(forms([*values.values()]), numbers)))

    def validation_part(self, x: Tensor, labels: Tensor | None, step: int) -> Batch:
        """This rank's rows of a batch of validation examples; all of them where there are fewer than ranks."""
        if len(x) < self.ranks.count:
            return Batch(x, labels, step)
        rows = self.ranks.share(len(x))
        own = slice(rows.start, rows.stop)
        return Batch(x[own], None if labels is None else labels[own], step, place=rows.start, whole=len(x))

    def validated(self, act: Callable[[Batch], dict[str, Any]], batch: Batch) -> dict[str, Tensor]:
        """Metrics of a whole validation batch, of which `batch` are this rank's rows."""
        if not batch.whole:
            return act(batch)
        with self.computing(batch):
            values = act(batch)
        return self.averaged(values, batch)


def _joined(found: Sequence[Tensor | None], count: int, places: Sequence[int]) -> list[Tensor | None]:
    """The gradients of `count` parameters, behind which are more of those at `places`."""
    gradients = list(found[:count])
    for place, more in zip(places, found[count:], strict=True):
        there = gradients[place]
        gradients[place] = more if there is None else there if more is None else there + more
    return gradients


def _checks(code: int) -> Tensor:
    """Three numbers below 256 of a code that all ranks should have alike, and their squares: sums of both tell."""
    numbers = [float(code >> shift & 255) for shift in (0, 8, 16)]
    return torch.tensor([*numbers, *(number**2 for number in numbers)])


def _differ(sums: Tensor, count: int) -> bool:
    numbers = sums.tolist()
    return any(square * count != number**2 for number, square in zip(numbers[:3], numbers[3:]))
