"""Weights as safetensors, and a file of Python beside them that runs the model's functions without tui-gen.

All metadata is one JSON text under `tui-gen`: with two keys the library writes other bytes each time. Tensors are
contiguous, as it would write the wrong numbers of others.
"""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tui_gen.events import Note, Progress
from tui_gen.exporting import WeightFile
from tui_gen.model import Function, Model
from tui_gen.quantities import size
from tui_gen.train.data import Report
from tui_gen.train.offline.exports.source import snippet, source_of
from tui_gen.train.offline.exports.tracing import examples, results, traced
from tui_gen.train.offline.exports.words import ExportError, described
from tui_gen.train.offline.restore import restore
from tui_gen.train.tensor_file import save_tensors

SIZES = (1, 5)
"""Batches at which the snippet is held against the model."""
CLOSE = 1e-5
"""How far they may be from each other, in absolute numbers below 1, relative ones above."""


def export(run: Path, target: Path, words: str, tell: Report, beside: Path | None = None, name: str = "") -> None:
    """Write weights, and where there is a place `beside` them the snippet that knows them by their `name`; read both.

    Raises ExportError, RestoreError and OSError.
    """
    options = msgspec.json.decode(words, type=WeightFile)
    snapshot = restore(run, options.step, "cpu", tell, averaged=options.weights == "ema")
    model, about = snapshot.model, described(snapshot, options.weights)
    weights = {key: tensor.detach().clone().contiguous() for key, tensor in model.state_dict().items()}
    texts, refused = sources(model, weights, tell) if beside is not None else ({}, {})
    functions = [function for function in model.functions() if function.name in texts]
    about["functions"] = {function.name: facts_of(function) for function in functions}
    metadata = {"tui-gen": json.dumps(about, ensure_ascii=False)}
    if target.exists() and not target.is_file():  # the library would put a file in the place of a device
        target.write_bytes(save(weights, metadata))
        return
    try:
        save_tensors(weights, target, metadata)
    except SafetensorError as error:  # tells of a full disk, or of any other, in words of its own
        raise OSError(str(error)) from None
    check(target, weights)
    if beside is not None:
        beside.write_text(snippet(name, about, texts, refused), encoding="utf-8")
        check_snippet(beside, target, model, functions)
    for function, reason in refused.items():
        tell(Note(text=f"the snippet lacks {function}: {reason}", level="warning"))
    total = sum(tensor.nbytes for tensor in weights.values())
    runs_too = f"; {beside and name_of(name)} runs {', '.join(f.name for f in functions)}" if functions else ""
    tell(Note(text=f"{len(weights)} tensors, {size(total)}, {about['weights']} weights{runs_too}", level="export"))


def name_of(name: str) -> str:
    """What the snippet beside a file of weights is called."""
    return Path(name).with_suffix(".py").name


def facts_of(function: Function) -> dict[str, Any]:
    """What a function takes and gives, as plain data."""
    inputs = {name: {"shape": list(like.shape), "below": like.below} for name, like in function.inputs.items()}
    return {"inputs": inputs, "outputs": list(function.outputs), "help": function.help, **function.facts}


def sources(model: Model, weights: dict[str, Tensor], tell: Report) -> tuple[dict[str, str], dict[str, str]]:
    """By the names of a model's functions, their text as Python, and why others have none; what they need besides
    weights goes to the weights.
    """
    snippets, refused = {}, {}
    for function in model.functions():
        tell(Progress(what=f"tracing {function.name}", done=0, total=0))
        constants: dict[str, Tensor] = {}
        try:
            if not function.name.isidentifier():
                raise ExportError("its name is none of Python's")
            snippets[function.name] = source_of(traced(model, function), function, constants)
        except ExportError as error:
            refused[function.name] = str(error)
            continue
        for name, tensor in constants.items():
            weights.setdefault(name, tensor.clone().contiguous())
    return snippets, refused


def check(target: Path, weights: dict[str, Tensor]) -> None:
    """Every tensor is in the file as it was. Raises ExportError."""
    try:
        with safe_open(target, framework="pt") as file:
            json.loads(file.metadata()["tui-gen"])
            if sorted(file.keys()) != sorted(weights):
                raise ExportError("read back, it has other tensors than were written")
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                tensor, expected = file.get_tensor(name), weights[name]
                if tensor.shape != expected.shape or tensor.dtype != expected.dtype or not same_bits(tensor, expected):
                    raise ExportError(f"read back, {name} is not what was written")
    except ExportError:
        raise
    except Exception as error:  # the library's own, and JSON's
        raise ExportError(f"read back, it is not what was written: {error}") from error


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors of a shape and type are the same, NaN and all."""
    return torch.equal(first.reshape(-1).view(torch.uint8), second.reshape(-1).view(torch.uint8))


def alike(first: Tensor, second: Tensor) -> bool:
    """Whether two results are of a shape and type and CLOSE, whole numbers the same."""
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    if not first.is_floating_point():
        return torch.equal(first, second)
    return torch.allclose(first, second, rtol=CLOSE, atol=CLOSE, equal_nan=True)


def check_snippet(path: Path, target: Path, model: Model, functions: list[Function]) -> None:
    """The snippet, run on the weights in the file, computes what the model does. Raises ExportError."""
    try:
        names = runpy.run_path(str(path))
        weights = names["load"](target)
        for function in functions:
            for count in SIZES:
                inputs = examples(function, count, seed=count)
                with torch.no_grad():
                    outputs = names[function.name](weights, *inputs)
                outputs = outputs if isinstance(outputs, tuple) else (outputs,)
                for name, theirs, ours in zip(function.outputs, outputs, results(model, function, inputs), strict=True):
                    if not alike(theirs, ours):
                        raise ExportError(f"{name} of the snippet's {function.name} is not what the model makes")
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(f"the snippet cannot be run: {type(error).__name__}: {error}") from error
