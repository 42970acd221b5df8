"""What can be chosen for exports that are made from a checkpoint, by a process with PyTorch: the contract between the
command line, the workbench and `tui_gen.train.offline.exports`. `NAMED` options tell one export of a run from another:
they are in the name that a file gets where nobody gave it one.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from tui_gen.params import hyper

UNWRITABLE = 3
"""The exit status of that process where the file could not be written."""

Step = Annotated[int | None, hyper("of the checkpoint at this step (default: the newest)", ge=0)]
Weights = Annotated[Literal["ema", "raw"], hyper("those averaged over training, where there are any, or those trained")]
Device = Annotated[str, hyper("auto, cpu, cuda, … (default: the run's)")]


class WeightFile(msgspec.Struct):
    """Of safetensors: the weights of a checkpoint."""

    NAMED = ("step", "weights")
    step: Step = None
    weights: Weights = "ema"


class OnnxGraph(msgspec.Struct):
    """Of onnx: one function of a model as a graph."""

    NAMED = ("function", "step", "weights")
    function: Annotated[str, hyper("decoder, generator, step … (default: the first that the model offers)")] = ""
    opset: Annotated[int, hyper("version of ONNX's operators", ge=18, le=28)] = 20
    step: Step = None
    weights: Weights = "ema"


class SampleArrays(msgspec.Struct):
    """Of npz: samples as arrays."""

    SHORT, NAMED = {"count": "-n"}, ("step", "weights", "label")
    count: Annotated[int, hyper("how many samples", ge=1, le=100_000_000)] = 1000
    seed: Annotated[int, hyper("seed of their noise", ge=0, lt=2**63)] = 0
    label: Annotated[str, hyper("of this class only, for conditional models")] = ""
    pixels: Annotated[Literal["uint8", "float32"], hyper("what images are: 0 to 255, or as the model makes them")] = (
        "uint8"
    )
    step: Step = None
    weights: Weights = "ema"
    device: Device = ""
