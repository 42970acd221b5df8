"""What is wrong with the `[train]` table that no single value shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tui_gen import params
from tui_gen.params import Problem


class TrainTable(Protocol):
    """What is looked at of a `config.TrainConfig`."""

    steps: int
    epochs: int
    minutes: float
    batch_size: int
    accumulate: int
    processes: int
    device: str


def contradictions(train: TrainTable, lengths_valid: bool) -> Iterable[Problem]:
    """What a `[train]` table contradicts itself in, and a device that there cannot be."""
    lengths = {key: getattr(train, key) for key in ("steps", "epochs", "minutes") if getattr(train, key)}
    if len(lengths) > 1:
        words = ", ".join(f"{key} = {params.show(value)}" for key, value in lengths.items())
        yield Problem("train", None, f"has more than one length: {words}", "set all but one to 0")
    elif not lengths and lengths_valid:
        yield Problem("train", None, "has no length", "set train.steps, train.epochs or train.minutes")
    if train.accumulate > train.batch_size:
        words = f"is more than the {train.batch_size} examples of a batch"
        hint = "train.batch_size is that of all micro-batches together"
        yield Problem("train.accumulate", train.accumulate, words, hint)
    if train.processes > train.batch_size:
        words = f"is more than the {train.batch_size} examples of a batch, which they share"
        yield Problem("train.processes", train.processes, words, "raise train.batch_size, or start fewer")
    elif train.accumulate <= train.batch_size < train.accumulate * train.processes:
        words = f"is more than the {train.batch_size // train.processes} examples that each process has of a batch"
        hint = f"train.batch_size is that of all {train.processes} processes together"
        yield Problem("train.accumulate", train.accumulate, words, hint)
    device = train.device
    kind, colon, number = device.partition(":")
    if device not in ("auto", "cpu", "mps") and not (kind in ("cuda", "xpu") and (number.isdecimal() or not colon)):
        yield Problem("train.device", device, "no such device", "one of auto, cpu, cuda, cuda:N, mps, xpu, xpu:N")
    elif train.processes > 1 and (colon or kind in ("mps", "xpu")):
        hint = "cuda gives every process a GPU; cpu some cores" if colon else "many processes train on cuda or cpu"
        words = f"is one device, and each of {train.processes} processes needs its own"
        yield Problem("train.device", device, words, hint)
