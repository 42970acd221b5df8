"""A model's layers and the memory that training takes, measured on a handful of made-up examples, on the CPU."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from tui_gen import machine
from tui_gen.config import Optim, RunConfig
from tui_gen.model import Batch, DataSpec, Model, Phase
from tui_gen.train.data.sources import ENDLESS_EPOCH
from tui_gen.train.engine.devices import pick_device, pick_precision, random_state_kept, uuid_of
from tui_gen.verdicts.network import Layer, Network

FEW, MORE = 2, 4
"""Examples of the two batches whose difference tells what one example takes."""
ROW = 4
"""Bytes that a number of an example takes in a batch."""
CONTEXT = 600_000_000
"""Bytes that a GPU's context and its libraries take, about."""
HALF = 0.6
"""What half precision leaves of what the steps keep: some operations stay in full."""
MARGIN = 1.1
"""What the allocator loses between pieces, about."""
STATES = {"adam": 2, "adamw": 2, "nadam": 2, "rmsprop": 1, "sgd": 0}
"""Numbers that an optimiser keeps for each parameter, momentum aside."""


def described(model: Model, config: RunConfig, spec: DataSpec) -> Network:
    """What a model that was just built trains, and takes. Its weights are left as they are.

    Raises what the model raises on examples of this data.
    """
    phases = model.train().phases()
    parameters = {phase.name: [p for p in phase.parameters if p.requires_grad] for phase in phases}
    device = pick_device(config.train.device)
    shapes: dict[str, list[int]] = {}
    with random_state_kept(torch.device("cpu"), 0):
        if model.examples:
            with torch.no_grad():
                model.eval().prepare(_batch(model.examples, spec, model))
            model.train()
        first = _kept(model, phases, _batch(FEW, spec, model), shapes)
        second = _kept(model, phases, _batch(MORE, spec, model), shapes)
    each = max(0, second - first) / (MORE - FEW)
    always = max(0.0, first - FEW * each)
    if pick_precision(config.train.precision, device) is not torch.float32:
        each, always = HALF * each, HALF * always
    examples, data = _data(config, spec)
    resident = _bytes(model.parameters()) + _bytes(model.buffers())
    state = sum(_state(config.train.phases[name], its) for name, its in parameters.items())
    gradients = max((_bytes(its) for its in parameters.values()), default=0)
    average = resident if config.train.ema else 0
    around, room = _room(device)
    fixed = around + MARGIN * (resident + state + gradients + average + always) + data
    return Network(
        layers=_layers(model, shapes), parameters=sum(p.numel() for p in model.parameters()),
        trained=model.parameter_count(), weights=resident, fixed=round(fixed), each=round(MARGIN * each),
        device=str(device), room=room, examples=examples, row=round(MARGIN * ROW * spec.features),
        sums=round(MARGIN * gradients),
    )  # fmt: skip


def _batch(size: int, spec: DataSpec, model: Model) -> Batch:
    """Made-up examples of this data."""
    if spec.kind == "text":
        x = torch.randint(max(1, len(spec.classes)), (size, *spec.shape))
    elif spec.kind == "points":
        x = torch.randn(size, *spec.shape)
    else:
        x = torch.rand(size, *spec.shape)
        x = 2 * x - 1 if model.value_range == "signed" else x
    labels = torch.randint(len(spec.classes), (size,)) if spec.classes and spec.kind != "text" else None
    return Batch(x, labels)


def _kept(model: Model, phases: Iterable[Phase], batch: Batch, shapes: dict[str, list[int]]) -> int:
    """Bytes that the most demanding phase keeps for its gradients, and about what these take meanwhile.

    Notes the shape of what each layer puts out.
    """
    own = {parameter.untyped_storage().data_ptr() for parameter in (*model.parameters(), *model.buffers())}
    most = 0
    hooks = [module.register_forward_hook(_noting(name, shapes)) for name, module in model.named_modules() if name]
    try:
        for phase in phases:
            storages: dict[int, int] = {}
            numbers: dict[int, int] = {}

            def keep(tensor: Tensor, storages: dict[int, int] = storages, numbers: dict[int, int] = numbers) -> Tensor:
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in own:
                    storages[storage.data_ptr()] = storage.nbytes()
                    if tensor.is_floating_point():  # what a library notes for itself, as bytes, gets no gradient
                        numbers[storage.data_ptr()] = storage.nbytes()
                return tensor

            if phase.before is not None:
                with torch.no_grad():
                    phase.before(batch)
            with saved_tensors_hooks(keep, lambda tensor: tensor):
                loss = phase.loss(batch)[0]
            # The gradients of the largest pieces live beside them for a while.
            most = max(most, sum(storages.values()) + 2 * max(numbers.values(), default=0))
            del loss
    finally:
        for hook in hooks:
            hook.remove()
    return most


def _noting(name: str, shapes: dict[str, list[int]]) -> Any:
    def note(module: nn.Module, inputs: Any, out: Any) -> None:
        first = out[0] if isinstance(out, tuple | list) and out else out
        if isinstance(first, Tensor):
            shapes.setdefault(name, list(first.shape[1:]))

    return note


def _layers(model: Model, shapes: Mapping[str, list[int]]) -> list[Layer]:
    """Everything that has parameters of its own, in the order in which the model holds it."""
    found = []
    for name, module in model.named_modules():
        numbers = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        if numbers:
            found.append(Layer((name or "(its own)")[:200], module._get_name(), shapes.get(name, []), numbers))
    return found


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _state(optim: Optim, parameters: Iterable[Tensor]) -> int:
    momentum = optim.optimizer in ("rmsprop", "sgd") and optim.beta1 > 0
    return (STATES[optim.optimizer] + momentum) * _bytes(parameters)


def _data(config: RunConfig, spec: DataSpec) -> tuple[int | None, int]:
    """How many examples an epoch has, about, and the bytes that they take where they are held in memory."""
    count, values = spec.count, config.dataset.values
    if count is None:
        return (ENDLESS_EPOCH if spec.kind == "points" else None), 0
    limit = values.get("limit") or 0
    count = min(count, limit) if limit else count
    return count, count * spec.features if spec.kind == "image" else 0


def _room(device: torch.device) -> tuple[int, int]:
    """Bytes that a process takes on a device before it holds a model, and those that it could have in all."""
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        return CONTEXT, machine.gpu_free(uuid_of(device), total) or total
    free, total = machine.memory()
    own = machine.resident_bytes()
    return own, (free + own if free else total)
