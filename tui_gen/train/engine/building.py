"""A model from its hyperparameters: why there can be none, the other runs' models that it is built on, its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from tui_gen.model import DataSpec, Model
from tui_gen.params import Problem

ModelClasses = Mapping[str, type[Model]]
"""The classes of models that are known here, by name."""


class TrainingError(Exception):
    """A run that cannot go on, in words for people."""


class RefusedError(TrainingError):
    """A configuration that the model cannot train on its data; `problems` has every reason."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(str(problem) for problem in problems))


class Origin(msgspec.Struct):
    """Where another run's model came from, and all that is needed to build it again: kept in checkpoints.

    `run` and `step` are empty for one that was never trained; `parts` are the models that it is built on itself.
    """

    run: str
    step: int
    model: str
    values: dict[str, Any]
    spec: DataSpec
    parts: dict[str, Origin] = {}


@dataclass
class Part:
    """Another run's model, frozen and in evaluation mode, and where it came from."""

    origin: Origin
    model: Model


@dataclass
class Snapshot:
    """All that a run goes on from: what `weights_of` gives of its model and of the averaged one, and all other state.

    Its tensors are those that are trained, not copies: it is to be written before the next step. `device` is where
    they were computed.
    """

    weights: dict[str, Tensor]
    average: dict[str, Tensor] | None
    state: dict[str, Any]
    device: torch.device


def build_model(
    model_class: type[Model], values: dict[str, Any], data: DataSpec, parts: Mapping[str, Part] | None = None
) -> Model:
    """A model from its hyperparameters, or RefusedError with every reason why not.

    `parts` are the other runs' models that it is built on, by the names of the hyperparameters that name the runs.
    """
    try:
        config = msgspec.convert(values, model_class.Config)
    except msgspec.ValidationError as error:
        raise RefusedError([Problem("model", None, str(error))]) from None
    problems = refusals(model_class, config, data, parts)
    if problems:
        raise RefusedError(problems)
    model = model_class(config, data, **{name: part.model for name, part in (parts or {}).items()})
    if isinstance(vars(model).get("classes"), int):  # it would be taken for one without labels
        raise RefusedError([Problem("model.name", model.name, "its `classes` is called `label_count` now: rename it")])
    return model


def refusals(
    model_class: type[Model], config: Any, data: DataSpec, parts: Mapping[str, Part] | None = None
) -> list[Problem]:
    """What a model has against a configuration, told the other runs' models that it is built on."""
    others = {name: part.model for name, part in (parts or {}).items()}
    try:
        problems = model_class.refuse(config, data, **others)
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise  # it was called, and the fault is its own
        words = f"cannot be told of {' and '.join(others) or 'its data'}: {error}"
        hint = "let its `refuse` take the models that it is built on: def refuse(cls, config, data, **parts)"
        return [Problem("model.name", model_class.name, words, hint)]
    return list(problems)


def built(origin: Origin, model_classes: ModelClasses) -> Part:
    """The model that an origin describes, with the weights it happens to begin with.

    Raises TrainingError where its class is not known, or has become another.
    """
    if origin.model not in model_classes:
        where = f" of the run {origin.run}" if origin.run else ""
        raise TrainingError(f"the model {origin.model!r}{where} is not known here; give its folder with --models DIR")
    parts = {name: built(part, model_classes) for name, part in origin.parts.items()}
    model = build_model(model_classes[origin.model], origin.values, origin.spec, parts)
    return Part(origin, model.requires_grad_(False).eval())


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, each shared tensor once."""
    weights: dict[str, Tensor] = {}
    pointers: set[int] = set()
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() in pointers and tensor.numel():
            continue
        pointers.add(tensor.data_ptr())
        weights[name] = tensor
    return weights


def put(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copy weights into a model in place. Raises TrainingError where names or shapes differ."""
    own = weights_of(model)
    missing, extra = sorted(set(own) - set(weights)), sorted(set(weights) - set(own))
    shapes = [name for name in own if name in weights and own[name].shape != weights[name].shape]
    if missing or extra or shapes:
        names = ", ".join([*missing, *extra, *shapes][:5])
        raise TrainingError(f"these weights belong to another network (differing: {names})")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(weights[name])


def misfits(model: nn.Module, path: Path) -> list[Problem]:
    """Why the weights in a file cannot be put into a model. Only the file's head is read."""
    own = {name: tuple(tensor.shape) for name, tensor in weights_of(model).items()}
    try:
        with safe_open(path, "pt") as file:
            theirs = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        return [Problem("model", None, f"the weights of the checkpoint cannot be read: {error}")]
    other = sorted(name for name in {*own, *theirs} if own.get(name) != theirs.get(name))
    if not other:
        return []
    sizes = [f"{name} has {_size(theirs.get(name))} there and {_size(own.get(name))} here" for name in other[:3]]
    more = f", and {len(other) - 3} more" if len(other) > 3 else ""
    words = f"the weights of the checkpoint do not fit what these settings make: {', '.join(sizes)}{more}"
    hint = "leave the sizes of the network and of its data as they were, or start a new run"
    return [Problem("model", None, words, hint)]


def _size(shape: tuple[int, ...] | None) -> str:
    return "nothing" if shape is None else "×".join(map(str, shape)) or "one number"


OURS = ("tui_gen.models.", "tui_gen.train.", "torch.nn.")
"""Where what comes with it is defined: all else is somebody's own."""


def ours(model: nn.Module) -> bool:
    """Whether all of a model comes with it: its losses draw by the names of PyTorch's functions, and what its phases do
    before and after their updates gives the same when it is done twice."""
    return all(type(module).__module__.startswith(OURS) for module in model.modules())
