"""Vital signs of a training, measured seldom and beside it: gradients, updates, dead units, what a model adds.

Nothing here touches a weight, a sum or the random state, so a run trains to the same bits with it or without. Values
are `health/QUANTITY/NETWORK` in the log; a network is a part of the model that a phase trains (`encoder`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from tui_gen.model import Batch, Model, Phase
from tui_gen.train.engine.devices import evaluating
from tui_gen.train.engine.meter import Meter, row_of

if TYPE_CHECKING:
    from tui_gen.train.engine.exchange import Exchange

SAMPLE = 1 << 16
"""Numbers of each tensor of weights, at most, by which it is told how much they change: a copy of them is needed."""
DEAD = 5
"""Measurements in a row in which a unit must have had no gradient to be called dead."""
FEWEST = 8
"""Units that a layer must have for a share of them to mean something."""

Layer = tuple[int, int]
"""A layer's place in the list of a phase's parameters, and the dimension of its weights that counts its units."""


class NetworkVitals(NamedTuple):
    """What a phase trains of one part of the model: places in its list of parameters, and its layers."""

    name: str
    places: list[int]
    layers: list[Layer]


class Weights(NamedTuple):
    """Some of the weights that are about to be changed."""

    parts: list[Tensor]
    norms: Sequence[Tensor]


class Vitals:
    """Measures every so many steps (`every()`, 0 is never) and records it in a meter, as everything else without
    waiting for the device."""

    def __init__(
        self, model: Model, phases: Sequence[Phase], parameters: dict[str, list[nn.Parameter]], meter: Meter,
        every: Callable[[], int],
    ) -> None:  # fmt: skip
        self.model, self.meter, self.every = model, meter, every
        self.parameters = parameters
        self.networks = networks_of(model, phases, parameters)
        self._moving = [place for place, parameter in enumerate(model.parameters()) if parameter.requires_grad]
        self._idle: dict[str, Tensor] = {}
        """How often in a row each unit of a layer got no gradient, by phase and place."""
        self._turns: dict[str, int] = {}
        self._begun = 0

    def due(self, name: str, step: int) -> bool:
        """Whether it is time again for what this name says: the first time that a number of steps is full."""
        every = self.every()
        if not every:
            return False
        turn = step // every
        last = self._turns.get(name, self._begun // every)
        self._turns[name] = turn
        return turn != last

    def state(self) -> dict[str, Any]:
        """What `restore` needs to measure at the same steps, and the same."""
        return {"turns": dict(self._turns), "idle": dict(self._idle)}

    def restore(self, state: Mapping[str, Any] | None, step: int) -> None:
        """Go on after `step` steps; where nothing is known of them, as if something had been asked at each."""
        state = state or {"turns": {}, "idle": {}}
        self._turns, self._idle, self._begun = dict(state["turns"]), {}, max(0, step - 1)
        for phase, parameters in self.parameters.items():
            for place, parameter in enumerate(parameters):
                idle = state["idle"].get(key := f"{phase}/{place}")
                if idle is not None:
                    self._idle[key] = idle.to(parameter.device)

    @torch.no_grad()
    def before(self, phase: str, step: int, gradients: Sequence[Tensor | None]) -> Weights:
        """Measure a phase's gradients, unscaled and not yet clipped; what `after` is to be given."""
        found: dict[str, Tensor] = {}
        norms = _norms(gradients)
        for network in self.networks[phase]:
            found[f"health/grad_norm/{network.name}"] = _total(norms, network.places)
            shares = [share for layer in network.layers if (share := self._dead(phase, layer, gradients)) is not None]
            if shares:
                found[f"health/dead_units/{network.name}"] = torch.stack(shares).max()
        self._record(step, found)
        parts = [sampled(parameter).clone() for parameter in self.parameters[phase]]
        return Weights(parts, torch._foreach_norm(parts))

    @torch.no_grad()
    def after(self, phase: str, step: int, weights: Weights) -> None:
        """Measure by how much an update has changed the weights, as a share of their size."""
        torch._foreach_sub_(weights.parts, [sampled(parameter) for parameter in self.parameters[phase]])
        changes = torch._foreach_norm(weights.parts)
        found = {}
        for network in self.networks[phase]:
            change, size = (_total(norms, network.places) for norms in (changes, weights.norms))
            found[f"health/update_ratio/{network.name}"] = change / size.clamp(min=1e-12)
        self._record(step, found)

    @torch.no_grad()
    def rest(
        self, step: int, batch: Batch, averaged: tuple[list[Tensor], list[Tensor]] | None,
        exchange: Exchange | None = None,
    ) -> None:  # fmt: skip
        """Measure how far `averaged` weights are behind, and what the model itself has to say on the step's batch.

        `averaged` are two lists of tensors that belong together, the model's second, its parameters first. `exchange`
        makes what many processes find on their rows one.
        """
        found = {}
        if averaged is not None:
            averages, raw = ([sampled(some[place]) for place in self._moving] for some in averaged)
            lag = torch.stack(torch._foreach_norm(torch._foreach_sub(averages, raw))).norm()
            found["health/ema_lag"] = lag / torch.stack(torch._foreach_norm(raw)).norm().clamp(min=1e-12)
        if type(self.model).vitals is not Model.vitals:
            with evaluating(self.model, batch.x.device, step):
                if exchange is None:
                    own = self.model.vitals(Batch(batch.x, batch.labels, step))
                else:
                    with exchange.computing(batch):
                        own = self.model.vitals(replace(batch, shared={}))
            if exchange is not None:
                own = exchange.averaged(own, batch)
            found |= {f"health/{name}": value for name, value in own.items()}
        self._record(step, found)

    def _record(self, step: int, found: dict[str, Tensor]) -> None:
        if found:
            self.meter.record(step, tuple(found), row_of(list(found.values())))

    def _dead(self, phase: str, layer: Layer, gradients: Sequence[Tensor | None]) -> Tensor | None:
        """The share of a layer's units that no example has moved lately: a rectified unit that is off for all of them
        gets no gradient. None where none was measured."""
        place, dim = layer
        gradient = gradients[place]
        if gradient is None:
            return None
        key = f"{phase}/{place}"
        others = [other for other in range(gradient.dim()) if other != dim]
        silent = gradient.abs().amax(others) == 0  # a norm without end takes seven times as long
        silent = silent & ~silent.all()  # a layer that is not reached at all has no dead units of its own
        idle = self._idle.get(key)
        if idle is not None and idle.shape != silent.shape:
            idle = None  # a fork's network is another
        self._idle[key] = idle = silent.int() if idle is None else torch.where(silent, idle + 1, 0)
        return (idle >= DEAD).float().mean()


def networks_of(
    model: Model, phases: Sequence[Phase], parameters: dict[str, list[nn.Parameter]]
) -> dict[str, list[NetworkVitals]]:
    """The networks that each phase trains, by the model's own names for its parts; a part that several phases train has
    the phase's name before its own, and numbers that are in no part are no network."""
    part_of = {id(p): name for name, part in model.named_children() for p in part.parameters()}
    dims: dict[int, int] = {}
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            dims[id(module.weight)] = int(isinstance(module, nn.modules.conv._ConvTransposeNd))
    owners: dict[str, set[str]] = {}
    for phase in phases:
        for parameter in parameters[phase.name]:
            owners.setdefault(part_of.get(id(parameter), ""), set()).add(phase.name)
    found: dict[str, list[NetworkVitals]] = {}
    for phase in phases:
        networks: dict[str, NetworkVitals] = {}
        for place, parameter in enumerate(parameters[phase.name]):
            part = part_of.get(id(parameter), "")
            if not part:
                continue
            name = part if len(owners[part]) == 1 else f"{phase.name} {part}"
            network = networks.setdefault(part, NetworkVitals(name, [], []))
            network.places.append(place)
            dim = dims.get(id(parameter))
            if dim is not None and parameter.shape[dim] >= FEWEST:
                network.layers.append((place, dim))
        found[phase.name] = list(networks.values())
    return found


def _norms(gradients: Sequence[Tensor | None]) -> list[Tensor]:
    """The norm of each gradient, 0 where there is none."""
    there = [gradient for gradient in gradients if gradient is not None]
    norms = iter(torch._foreach_norm(there) if there else [])
    zero = torch.zeros((), device=there[0].device if there else None)
    return [zero if gradient is None else next(norms) for gradient in gradients]


def _total(norms: Sequence[Tensor], places: list[int]) -> Tensor:
    """The norm of all of these places' numbers together."""
    return torch.stack([norms[place].float() for place in places]).norm()


def sampled(tensor: Tensor) -> Tensor:
    """The first rows of a tensor, `SAMPLE` numbers or a little more."""
    tensor = tensor.detach()
    if tensor.numel() <= SAMPLE:
        return tensor
    rows = -(-SAMPLE * len(tensor) // tensor.numel())
    return tensor[:rows]
