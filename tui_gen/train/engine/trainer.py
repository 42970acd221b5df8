"""The training engine: one run's model, optimisers, averaged weights, data order and random state.

It owns *how* a model is trained and knows nothing of files, sockets or clocks, except that all of its state can be
taken out (`state`) and put back (`restore`) so that training goes on bit for bit.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from tui_gen import params
from tui_gen.config import TABLE_PARAMS, Optim, RunConfig
from tui_gen.model import Batch, Model, Phase
from tui_gen.train.cutting import Check, never
from tui_gen.train.data import Data, Stream, drawn, fixed_batches
from tui_gen.train.engine import accumulating, contract, optim
from tui_gen.train.engine.accumulating import Compute, Computed
from tui_gen.train.engine.building import Part, Snapshot, TrainingError, build_model, put, refusals, weights_of
from tui_gen.train.engine.devices import device_generator, evaluating, named, pick_precision, random_state_kept
from tui_gen.train.engine.exchange import Exchange, Silent
from tui_gen.train.engine.laps import Laps
from tui_gen.train.engine.meter import Meter, row_of
from tui_gen.train.engine.ranks import ALONE, Ranks
from tui_gen.train.engine.vitals import Vitals
from tui_gen.train.tuned.fused_adam import FusedAdam
from tui_gen.train.tuned.one_copy import Sums
from tui_gen.usage import GRADIENTS, OPTIMISER

LIVE = ("preview", "checkpoint", "quality")
"""Tables of the config that may be edited while training and mean nothing to the trainer itself."""
HABITS = ("in_order", "draws_whole", "spread", "hands_rows", "in_blocks")
"""What runs that began before do otherwise, as their checkpoints do not tell of it."""
LIVE_IN_TRAIN = ("validate_every", "health_every", "on_nan", "rollbacks")
"""Such settings in the table of the training itself."""


class Trainer:
    """One run's training state and its step.

    Everything random comes from PyTorch's global generators, seeded here from `train.seed`, and from the data stream's
    own. `parts` are the other runs' models that the model is built on. Of many processes (`ranks`), each computes its
    rows of every batch, and all make the same updates: their weights, generators and optimisers stay the same.
    """

    def __init__(
        self,
        model_class: type[Model],
        config: RunConfig,
        data: Data,
        device: torch.device,
        total_steps: Callable[[int], int | None] = lambda steps_per_epoch: None,
        parts: Mapping[str, Part] | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.config, self.data, self.device, self.ranks = config, data, device, ranks
        self.exchange = Exchange(self, ranks, config.train.batch_size) if ranks.count > 1 else None
        self._alone = Exchange(self, ranks, config.train.batch_size) if self.exchange is None else None
        self.draws_whole = True
        """Whether a batch that one process computes in parts draws what the whole batch would. It does not in runs that
        were begun before this was so, nor where it is compiled: there parts draw one after the other."""
        self.parts = dict(parts or {})
        self.precision = pick_precision(config.train.precision, device)
        torch.manual_seed(config.train.seed)
        self.model = build_model(model_class, config.model.values, data.spec, self.parts).to(device)
        if data.spec.kind == "image":
            self.model = self.model.to(memory_format=torch.channels_last)
        if self.model.examples:
            self._prepare()
        self.stream = Stream(
            data.train,
            data.augmentation,
            batch_size=config.train.batch_size,
            seed=config.train.seed,
            value_range=self.model.value_range,
            device=device,
            rows=None if self.exchange is None else self.exchange.share,
        )
        self.total = total_steps(self.stream.steps_per_epoch)
        self.phases = contract.phases_of(self.model)
        self.parameters = {phase.name: [p for p in phase.parameters if p.requires_grad] for phase in self.phases}
        contract.check_parameters(self.parameters)
        self.optims: dict[str, Optim] = {phase.name: config.train.phases[phase.name] for phase in self.phases}
        self.optimizers = {
            phase.name: optim.build(self.optims[phase.name], self.parameters[phase.name]) for phase in self.phases
        }
        self.scaler = torch.amp.GradScaler(device.type) if self.precision is torch.float16 else None
        if self.scaler is not None:
            # It makes its tensors when it is first used: not in captured code, whose memory is another's soon.
            self.scaler.scale(torch.zeros((), device=device))
        self._scaled = False
        self._proved: set[str] = set()
        """The phases whose losses were what they should be, at one step at least."""
        self.compute: dict[str, Compute] = {phase.name: self._computing(phase) for phase in self.phases}
        self.average: Model | None = None
        if config.train.ema:
            self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
            self.pair_up()
        self.meter, self.laps = Meter() if ranks.first else Silent(), Laps(device)
        self.vitals = Vitals(self.model, self.phases, self.parameters, self.meter, lambda: config.train.health_every)
        self.step = 0
        self.in_order = True
        """Whether gradients are brought into the order that their parameters have in memory: PyTorch's fused optimisers
        pair them as they lie. Runs begun before this was known go on as they were."""
        self.hands_rows = self.in_blocks = True
        """Whether processes hand over rows of wide linear layers in the place of gradients, another order of sums; and
        compute those in blocks, of which each takes the next one it comes to."""
        self.spread = True
        """Whether a validation of some examples takes them from all over; runs begun before keep to the first ones."""
        self.model.train()

    def _prepare(self) -> None:
        value_range, count = self.model.value_range, self.model.examples
        x, labels = drawn(self.data.train, count=count, seed=self.config.train.seed, value_range=value_range)
        with torch.no_grad():
            self.model.eval().prepare(Batch(x, labels))

    def line_up(self) -> None:
        """Line up anew what is kept in lists for speed: their tensors have other memory now."""
        self.pair_up()
        for optimizer in self.optimizers.values():
            if isinstance(optimizer, FusedAdam):
                optimizer.forget()

    def pair_up(self) -> None:
        """Line up the tensors that the averaged model follows; integer buffers are copied, not averaged."""
        if self.average is None:
            return
        pairs: list[tuple[Tensor, Tensor]]
        pairs = list(zip(self.average.parameters(), self.model.parameters(), strict=True))
        buffers = list(zip(self.average.buffers(), self.model.buffers(), strict=True))
        pairs += [pair for pair in buffers if pair[0].is_floating_point()]
        self._float_tensors = [pair[0].data for pair in pairs], [pair[1].data for pair in pairs]
        copy = None if self.exchange is None else self.exchange.pool.copy
        self._averaging = self._float_tensors
        """What this process averages: where several keep one copy of the weights, its pieces of them."""
        if copy is not None:
            rest = [(own.data, weights.data) for own, weights in pairs if not copy.follows(weights)]
            kept_pieces, weight_pieces = copy.averages()
            self._averaging = kept_pieces + [own for own, _ in rest], weight_pieces + [weights for _, weights in rest]
        self._integer_buffers = [pair for pair in buffers if not pair[0].is_floating_point()]

    @property
    def device_name(self) -> str:
        """Where this trains, in words: the GPU's name, or the number of threads."""
        if self.device.type != "cpu":
            return f"{self.device} {named(self.device)}".rstrip()
        threads = torch.get_num_threads()
        return f"{self.device.type} ({threads} thread{'s' if threads > 1 else ''})"

    @property
    def eval_model(self) -> Model:
        """The model that previews and samples use: averaged weights where there are any."""
        return self.average if self.average is not None else self.model

    def raw_beside(self, model: Model) -> Model | None:
        """The raw weights that belong to a model of `eval_model`, None where no averaged ones are kept."""
        if self.average is None:
            return None
        return self.model if model is self.average else model

    def train_step(self, fraction: float | None = None, examples: tuple[Tensor, Tensor | None] | None = None) -> None:
        """One step: every phase whose turn it is, then the averaged weights. Never waits for the device.

        `fraction` is how much of the run is done, where that is not `step / total`. `examples` are what the stream
        gave, where it was asked already; of many processes, each gives its own rows.
        """
        x, labels = self.stream.next() if examples is None else examples
        if x.dim() == 4 and x.shape[1] > 1:
            x = x.contiguous(memory_format=torch.channels_last)
        exchange, parts = self.exchange, self.config.train.accumulate
        if exchange is None:
            batch = Batch(x, labels, self.step)
        else:
            batch = exchange.batch(x, labels, self.step)
            exchange.begin()
        micro_batches = [batch] if parts == 1 else accumulating.split(batch, parts)
        if fraction is None:
            fraction = self.step / self.total if self.total else 0.0
        for phase in self.phases:
            if self.step % phase.every() == 0 and (phase.when is None or phase.when(self.step, self.total)):
                self._update(phase, batch, micro_batches, fraction)
        if self._scaled and self.scaler is not None:
            self.scaler.update()  # once a step: its growth counts steps, and one phase's overflow concerns all
            self._scaled = False
        if self.average is not None:
            # A young average would mostly remember the untrained weights: let it forget faster at first.
            decay = min(self.config.train.ema, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(*self._averaging, 1 - decay)
            for target, source in self._integer_buffers:
                target.copy_(source)
        if exchange is not None:
            exchange.settle() if self.average is None else exchange.meet()
        if self.vitals.due("rest", self.step):
            averaged = self._float_tensors if self.average is not None else None
            self.vitals.rest(self.step, micro_batches[0] if exchange is None else batch, averaged, exchange)
        if exchange is not None:
            exchange.end()
        self.laps.lap(OPTIMISER)
        self.laps.end()
        self.step += 1

    def _computing(self, phase: Phase) -> Compute:
        """What computes a phase's metrics and gradients; may be replaced by a compiled form."""
        name, loss_of, parameters = phase.name, phase.loss, self.parameters[phase.name]
        device_type, precision, scaler = self.device.type, self.precision, self.scaler

        def compute(batch: Batch) -> Computed:
            if precision is torch.float32:
                loss, metrics = loss_of(batch)
            else:
                with torch.autocast(device_type, precision):
                    loss, metrics = loss_of(batch)
            scaled_loss = loss if scaler is None else scaler.scale(loss)
            gradients = torch.autograd.grad(scaled_loss, parameters, allow_unused=True)
            names = (f"{name}/loss", *[f"{name}/{metric}" for metric in metrics])
            return names, row_of([loss, *metrics.values()]), gradients

        return compute

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The precision in which losses are computed."""
        if self.precision is torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.precision)

    def _update(self, phase: Phase, batch: Batch, micro_batches: list[Batch], fraction: float) -> None:
        name, settings = phase.name, self.optims[phase.name]
        rate = optim.rate(settings, self.step, fraction)
        group = self.optimizers[name].param_groups[0]
        if settings.schedule != "constant" or settings.warmup:
            self.meter.record_float(self.step, f"{name}/lr", rate)
        if group["lr"] != rate:
            group["lr"] = rate
        if phase.before is not None:
            with torch.no_grad(), self.autocast():
                if (together := self._together(micro_batches)) is not None:
                    together.before(phase, micro_batches)
                else:
                    for micro in micro_batches:
                        phase.before(micro)
        watched = self.vitals.due(name, self.step)
        if (together := self._together(micro_batches)) is not None:
            whole = watched or bool(settings.clip_norm)
            names, row, gradients = together.computed(phase, micro_batches, whole)
        else:
            names, row, gradients = self._computed(phase, micro_batches)
        self.laps.lap(GRADIENTS)
        self.meter.record(self.step, names, row)
        if isinstance(gradients, Sums):
            assert self.exchange is not None and self.exchange.pool.copy is not None
            self.exchange.pool.copy.update(name, gradients)
        else:
            self._descend(name, gradients, watched)
        if self.exchange is not None and (phase.after is not None or phase.finish is not None):
            self.exchange.settle()
        if phase.after is not None:
            phase.after()
        if phase.finish is not None:
            with torch.no_grad():
                if self.exchange is not None:
                    phase.finish(self.exchange.joined(batch, micro_batches))
                else:
                    phase.finish(batch if len(micro_batches) == 1 else accumulating.joined(batch, micro_batches))
        self.laps.lap(OPTIMISER)

    def _together(self, micro_batches: list[Batch]) -> Exchange | None:
        """What computes parts of a batch as parts of the whole, where there are any: of many processes, or of one."""
        alone = self._alone if len(micro_batches) > 1 and self.draws_whole else None
        return alone if self.exchange is None else self.exchange

    def _computed(self, phase: Phase, micro_batches: list[Batch]) -> Computed:
        """A phase's metrics and gradients, in this process alone. Raises TrainingError where its loss is none."""
        name = phase.name
        try:
            if len(micro_batches) == 1:
                computed = self.compute[name](micro_batches[0])
            else:
                computed = accumulating.summed(self.compute[name], micro_batches)
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:
            if name not in self._proved and (words := contract.broken(phase, micro_batches[0])):
                raise TrainingError(words) from error
            raise
        self._proved.add(name)
        return computed

    def _descend(self, name: str, gradients: Sequence[Tensor | None], watched: bool) -> None:
        """Update a phase's parameters by their gradients, and measure both where they are `watched`."""
        settings, optimizer, parameters = self.optims[name], self.optimizers[name], self.parameters[name]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None and gradient.stride() != parameter.stride() and self.in_order:
                gradient = torch.empty_like(parameter).copy_(gradient)
            parameter.grad = gradient
        has_gradient = any(gradient is not None for gradient in gradients)
        if self.scaler is not None and has_gradient:
            self.scaler.unscale_(optimizer)
            self._scaled = True
        weights = None
        if watched:  # gradients as the optimiser gets them: brought in order, and unscaled
            weights = self.vitals.before(name, self.step, [parameter.grad for parameter in parameters])
            if self.exchange is not None:
                self.exchange.meet()
        if settings.clip_norm:
            norm = nn.utils.clip_grad_norm_(parameters, settings.clip_norm, foreach=True)
            self.meter.record(self.step, (f"{name}/grad_norm",), row_of([norm]))
        if self.scaler is None:
            optimizer.step()
        elif has_gradient:
            self.scaler.step(optimizer)
        if self.exchange is not None:
            self.exchange.meet()
        if weights is not None:
            self.vitals.after(name, self.step, weights)
        for parameter in parameters:
            parameter.grad = None

    def finite(self) -> bool:
        """Whether every number that is trained is finite. Waits for the device."""
        sound = [torch.isfinite(parameter).all() for some in self.parameters.values() for parameter in some]
        return not sound or bool(torch.stack(sound).all())

    def validate(self, limit: int | None = None, check: Check = never) -> dict[str, float]:
        """Metrics over the validation examples (at most `limit`), means weighted by batch; training is not touched.

        Calls `check` before every batch, and lets through what that raises. Of many processes each computes its rows of
        every batch, and all get the same means; they must call `check` for the same batches.
        """
        data, config, device, exchange = self.data, self.config, self.device, self.exchange
        with evaluating(self.model):
            return validated(self.model, data, config, device, self.step, limit, check, exchange, self.spread)

    def current(self, key: str) -> Any:
        """The value in force of a dotted config key."""
        target, name = self._target(key)
        return getattr(target, name)

    def refusal(self, key: str, value: Any) -> str:
        """Why the model would not train with a live setting at a value, or an empty string."""
        part, _, name = key.partition(".")
        if part != "model":
            return ""
        config = msgspec.structs.replace(self.model.config, **{name: value})
        problems = refusals(type(self.model), config, self.data.spec, self.parts)
        return "; ".join(f"{problem.message} ({problem.hint})" for problem in problems)

    def edit(self, key: str, value: Any) -> None:
        """Change a live setting; counts from the next step on. The value must have been checked."""
        target, name = self._target(key)
        setattr(target, name, value)
        part, *rest = key.split(".")
        if part == "model":
            self.config.model.values[rest[0]] = value
            if self.average is not None:
                setattr(self.average.config, rest[0], value)
        if name == "weight_decay" and part == "train":
            self.optimizers[rest[1]].param_groups[0]["weight_decay"] = value

    def _target(self, key: str) -> tuple[Any, str]:
        table, *path, name = key.split(".")
        if table == "model":
            return self.model.config, name
        if table == "train" and path:
            return self.optims[path[1]], name
        return getattr(self.config, table), name

    def fingerprint(self) -> list[int]:
        """What tells that the data is still the same: how many examples, their shape, how many classes."""
        spec = self.data.spec
        return [spec.count or 0, *spec.shape, len(spec.classes)]

    def state(self) -> dict[str, Any]:
        """Everything but the weights that training needs to go on bit for bit; tensors and plain values only."""
        state: dict[str, Any] = {
            "step": self.step,
            "data": self.fingerprint(),
            "seed": self.config.train.seed,
            "batch_size": self.stream.batch_size,
            "spec": msgspec.to_builtins(self.data.spec),
            "parts": {name: msgspec.to_builtins(part.origin) for name, part in self.parts.items()},
            "threads": torch.get_num_threads(),
            **({"processes": self.ranks.count} if self.ranks.count > 1 else {}),
            **{habit: getattr(whose, habit) for whose, habits in self._habits() for habit in habits},
            "vitals": self.vitals.state(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "stream": self.stream.state_dict(),
            "rng": torch.get_rng_state(),
            "values": dict(self.config.model.values),
            "optims": {name: msgspec.structs.asdict(optim) for name, optim in self.optims.items()},
            "live": {table: msgspec.structs.asdict(getattr(self.config, table)) for table in LIVE}
            | {"train": {name: getattr(self.config.train, name) for name in LIVE_IN_TRAIN}},
        }
        if (own := device_generator(self.device)) is not None:
            state[f"rng_{self.device.type}"] = own.get_rng_state(self.device)
        if self.scaler is not None:
            state["scaler"] = self.scaler.state_dict()
        return state

    def _habits(self) -> tuple[tuple[object, Sequence[str]], ...]:
        return (self, HABITS), (self.model, self.model.habits)

    def snapshot(self) -> Snapshot:
        """What a checkpoint holds, without copies."""
        average = weights_of(self.average) if self.average is not None else None
        return Snapshot(weights_of(self.model), average, self.state(), self.device)

    def restore(
        self,
        state: dict[str, Any],
        weights: dict[str, Tensor],
        average: dict[str, Tensor] | None,
        before: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Put back what `state` and `weights_of` gave; what could not be, in words.

        A fork has other settings than the run whose checkpoint it begins with: what may change while training is put
        back, all else is as it is declared here. `before` are such settings as they were, by key, for a checkpoint
        that does not tell. Raises TrainingError where the weights are of another network.
        """
        put(self.model, weights)
        if self.average is not None:
            put(self.average, weights if average is None else average)
        lost = []
        for name, optimizer in self.optimizers.items():
            if not optim.go_on(optimizer, self.optims[name], state["optims"][name], state["optimizers"][name]):
                lost.append(f"the optimiser of {name} begins anew: what it remembers does not fit the new one")
        live = {param.name for param in params.describe(type(self.model.config)) if param.live}
        for key, value in state["values"].items():
            if key in live and getattr(self.model.config, key) != value:
                self.edit(f"model.{key}", value)
        for name, values in state["optims"].items():
            for key in ("lr", "weight_decay", "clip_norm"):
                setattr(self.optims[name], key, values[key])
        for table, values in state["live"].items():
            for param in TABLE_PARAMS[table]:
                if param.live and param.name in values:
                    setattr(getattr(self.config, table), param.name, values[param.name])
        train, before = self.config.train, before or {}
        batch_size, seed = (
            state.get(name, before.get(f"train.{name}", getattr(train, name))) for name in ("batch_size", "seed")
        )
        self.stream.load_state_dict(state["stream"])
        self.stream.skip(batch_size)
        self.step = int(state["step"])
        for whose, habits in self._habits():
            for habit in habits:  # what runs that began before do otherwise
                setattr(whose, habit, bool(state.get(habit, False)))
        self.vitals.restore(state.get("vitals"), self.step)
        if seed == train.seed:
            self._draw_on(state)
        else:
            torch.manual_seed(train.seed)
        if self.scaler is not None and "scaler" in state:
            self.scaler.load_state_dict(state["scaler"])
        return lost

    def _draw_on(self, state: dict[str, Any]) -> None:
        """Go on with the random numbers of a checkpoint."""
        torch.set_rng_state(state["rng"])
        own, rng_key = device_generator(self.device), f"rng_{self.device.type}"
        if own is not None and rng_key in state:
            own.set_rng_state(state[rng_key], self.device)


def validated(
    model: Model,
    data: Data,
    config: RunConfig,
    device: torch.device,
    step: int,
    limit: int | None = None,
    check: Check = never,
    exchange: Exchange | None = None,
    spread: bool = True,
) -> dict[str, float]:
    """Metrics of a model in evaluation mode over the validation examples, as `Trainer.validate` has them."""
    if data.validation is None:
        return {}
    sums: dict[str, Tensor] = {}
    count = 0
    size = max(256, -(-config.train.batch_size // config.train.accumulate))
    with random_state_kept(device, config.train.seed), torch.no_grad():
        for x, labels in fixed_batches(
            data.validation, batch_size=size, value_range=model.value_range, limit=limit, spread=spread
        ):
            check()
            if exchange is None:
                values = model.validation(Batch(x, labels, step))
            else:
                values = exchange.validated(model.validation, exchange.validation_part(x, labels, step))
            for name, value in values.items():
                part = value.detach().float().reshape(()) * len(x)
                sums[name] = sums[name] + part if name in sums else part
            count += len(x)
    return {f"val/{name}": float(value) / count for name, value in sums.items()} if count else {}
