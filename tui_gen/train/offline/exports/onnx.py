"""ONNX: one function of a model (a decoder, a denoising step) as one file, for any size of batch.

The exporter writes the source lines and absolute paths of whoever exports into every node; a file that is given away
has none of that. What it was made from, and what its inputs mean, stands in its metadata under `tui-gen`, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import torch
from torch.export import ExportedProgram

import tui_gen
from tui_gen import __version__
from tui_gen.events import Note, Progress
from tui_gen.exporting import OnnxGraph
from tui_gen.model import Function, Model
from tui_gen.train.data import Report
from tui_gen.train.offline.exports.tracing import chosen, examples, results, traced
from tui_gen.train.offline.exports.words import ExportError, described
from tui_gen.train.offline.restore import restore

SIZES = (1, 5)
"""Batches at which ONNX Runtime is held against PyTorch."""
CLOSE = 1e-4
"""How far they may be from each other, in absolute numbers below 1, relative ones above."""


def export(run: Path, target: Path, words: str, tell: Report) -> None:
    """Write a graph, and hold what ONNX Runtime makes of it against PyTorch.

    Raises ExportError, RestoreError and OSError.
    """
    options = msgspec.json.decode(words, type=OnnxGraph)
    snapshot = restore(run, options.step, "cpu", tell, averaged=options.weights == "ema")
    function = chosen(snapshot.model, options.function)
    tell(Progress(what=f"tracing {function.name}", done=0, total=0))
    program = traced(snapshot.model, function)
    tell(Progress(what="writing the graph", done=0, total=0))
    graph = converted(program, function, options.opset, described(snapshot, options.weights))
    refuse_traces(graph, [str(run)])
    target.write_bytes(_serialised(graph))
    if not target.is_file():  # a device
        return
    difference = check(target, snapshot.model, function)
    tell(Note(text=summary(function, options.opset, difference), level="export"))


def summary(function: Function, opset: int, difference: float) -> str:
    """What was written, in a line."""
    inputs = ", ".join(f"{name} {shape_words(like.shape)}" for name, like in function.inputs.items())
    words = f"{function.name}: {inputs} → {', '.join(function.outputs)}; opset {opset}"
    return f"{words}; ONNX Runtime {onnxruntime.__version__} is within {max(difference, 1e-9):.0e} of PyTorch"


def shape_words(shape: tuple[int, ...]) -> str:
    """`(N, 1, 28, 28)`."""
    return f"({', '.join(map(str, ('N', *shape)))})"


def converted(program: ExportedProgram, function: Function, opset: int, about: dict[str, Any]) -> onnx.ModelProto:
    """The graph in ONNX's operators, bare of what the exporter says of the place where it ran. Raises ExportError."""
    try:
        onnx_program = torch.onnx.export(
            program, (), None, input_names=list(function.inputs), output_names=list(function.outputs),
            opset_version=opset, external_data=False, verbose=False, dynamo=True,
        )  # fmt: skip
        assert onnx_program is not None  # with `dynamo`
        graph = onnx_program.model_proto
    except Exception as error:  # of many kinds: operators that ONNX lacks, say
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ExportError(f"{function.name} cannot be written in ONNX's operators: {reason}") from error
    bare(graph)
    graph.producer_name, graph.producer_version = "tui-gen", __version__
    facts = {"function": function.name, "help": function.help, **function.facts}
    kinds = {name: {"shape": ["N", *like.shape], "below": like.below or None} for name, like in function.inputs.items()}
    onnx.helper.set_model_props(graph, {"tui-gen": json.dumps(about | facts | {"inputs": kinds}, ensure_ascii=False)})
    return graph


def bare(graph: onnx.ModelProto) -> None:
    """Take all words out that are not the graph's: docs, metadata, names of where it comes from."""
    graph.doc_string = graph.domain = ""
    del graph.metadata_props[:]
    pending: list[Any] = [graph.graph, *graph.functions]
    while pending:
        part = pending.pop()
        for name in ("node", "input", "output", "value_info", "initializer", "sparse_initializer"):
            pending += [each for each in getattr(part, name, ()) if not isinstance(each, str)]
        pending += [each for each in getattr(part, "attribute", ()) if not isinstance(each, str)]
        if isinstance(part, onnx.AttributeProto):
            pending += [part.g] if part.HasField("g") else []
            pending += [*part.graphs, *([part.t] if part.HasField("t") else []), *part.tensors]
        if hasattr(part, "doc_string"):
            part.doc_string = ""
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]


def refuse_traces(graph: onnx.ModelProto, more: list[str]) -> None:
    """Raise ExportError where a graph names a folder of this machine, or whoever uses it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    for tensor in copy.graph.initializer:  # numbers may be any bytes
        tensor.ClearField("raw_data")
    text = copy.SerializeToString()
    folders = [os.path.expanduser("~"), sys.prefix, os.path.dirname(tui_gen.__file__), os.path.dirname(torch.__file__)]
    for folder in [*folders, *more]:
        if len(folder) > 3 and folder.encode() in text:
            raise ExportError(f"the graph would tell of {folder}; please report it")


def _serialised(graph: onnx.ModelProto) -> bytes:
    try:
        return graph.SerializeToString()
    except Exception as error:  # protobuf's own, of more than 2 GB
        raise ExportError(f"the graph is too large for one file: {error}") from None


def check(target: Path, model: Model, function: Function) -> float:
    """The largest difference between ONNX Runtime and PyTorch, over batches of SIZES. Raises ExportError."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = torch.get_num_threads()
    try:
        onnx.checker.check_model(str(target))
        session = onnxruntime.InferenceSession(target.read_bytes(), options, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_inputs()], [each.name for each in session.get_outputs()]
        if names != (list(function.inputs), list(function.outputs)):
            raise ExportError(f"read back, it takes and gives {names}")
        worst = 0.0
        for size in SIZES:
            inputs = examples(function, size, seed=size)
            arrays = {name: tensor.numpy() for name, tensor in zip(function.inputs, inputs)}
            ours = [tensor.numpy() for tensor in results(model, function, inputs)]
            for name, mine, theirs in zip(function.outputs, ours, session.run(None, arrays)):
                worst = max(worst, difference(name, mine, np.asarray(theirs)))
    except ExportError:
        raise
    except Exception as error:  # ONNX's and the runtime's own
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ExportError(f"read back, it cannot be run: {reason}") from error
    return worst


def difference(name: str, ours: np.ndarray, theirs: np.ndarray) -> float:
    """How far two results are from each other. Raises ExportError where that is too far."""
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        raise ExportError(f"{name} is {theirs.dtype} {theirs.shape}, and in PyTorch {ours.dtype} {ours.shape}")
    off = np.abs(ours.astype(np.float64) - theirs.astype(np.float64)) / np.maximum(1, np.abs(ours.astype(np.float64)))
    if not np.array_equal(np.isnan(ours.astype(np.float64)), np.isnan(theirs.astype(np.float64))):
        raise ExportError(f"{name} is NaN where it is not in PyTorch")
    worst = float(np.nanmax(off, initial=0.0))
    if worst > CLOSE:
        raise ExportError(f"{name} differs by {worst:.1e} from PyTorch's")
    return worst
