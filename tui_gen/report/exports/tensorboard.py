"""TensorBoard: a folder with one event file: every value of every metric, previews, the config and the live edits.

Values stand where previews do: at how many steps had been made. Steps that a resumed run made again are there once, as
they were made last. Values that were no finite numbers are NaN.
TensorBoard shows ten pictures, and ten texts, of a tag unless it is told otherwise: no more than that are written by
default, evenly spread, the first and the last among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from tui_gen import events
from tui_gen.events import Note, Progress
from tui_gen.files import read_regular
from tui_gen.params import hyper, show
from tui_gen.quantities import count
from tui_gen.report.exports import Order
from tui_gen.report.exports import tfevents as tf
from tui_gen.report.page.discretion import Discretion
from tui_gen.report.summary import spread
from tui_gen.text import cleaned
from tui_gen.view import RunView

ROWS = 1 << 15
"""Values that are written, and read back, at a time."""
SHOWN = 10
"""Pictures of a tag that TensorBoard 2.21 shows."""
LARGEST = 64 << 20
"""Bytes of a preview or config that are read."""
NAME = re.compile(r"events\.out\.tfevents\.\d+\.tui-gen")


class Options(msgspec.Struct):
    """What else than values it has."""

    NAMED = ()
    images: Annotated[
        int, hyper("how many previews of a kind; TensorBoard shows more than 10 only when told to", ge=0, le=100_000)
    ] = SHOWN


def write(order: Order, target: Path) -> None:
    """One event file, named after the time at which the run began."""
    view = order.view
    total = sum(map(len, view.series.values()))
    with open(target / f"events.out.tfevents.{int(view.begun):010d}.tui-gen", "wb", buffering=1 << 20) as file:
        done = 0
        for _, _, rows in blocks(view):
            file.write(rows.data)
            done += len(rows)
            order.tell(Progress(what="writing", done=min(done, total), total=total, unit="values"))
        for record in extras(order):
            file.write(record)
    if order.options.images > SHOWN:
        words = f"--samples_per_plugin images={order.options.images},text={order.options.images}"
        order.tell(Note(text=f"TensorBoard shows them all with: tensorboard {words} --logdir …"))


def check(order: Order, target: Path) -> None:
    """Every byte is there, and what the first and the last record of each block say is what the run does."""
    (path,) = target.iterdir()
    with open(path, "rb") as file:
        for tag, values, rows in blocks(order.view):
            if file.read(rows.size) != rows.tobytes():
                raise ValueError(f"its values of {tag or 'the beginning'} are others")
            for place in (0, -1) if len(values) else ():
                scalar = tf.scalar_of(rows[place].tobytes())
                if scalar.tag != tag or not np.array_equal(values[place], np.float32(scalar.value), equal_nan=True):
                    raise ValueError(f"step {scalar.step} of {tag} is {scalar.value} of {scalar.tag}")
        kinds = {"config", "edits", *(sample.kind for sample in order.view.samples)}
        for tag in tf.tags(file):
            if tag not in kinds:
                raise ValueError(f"there is {tag} in it, which was not written")


def ours(path: Path) -> bool:
    """Whether a folder holds nothing but our event files."""
    return all(NAME.fullmatch(entry.name) and entry.is_file() for entry in path.iterdir())


def blocks(view: RunView) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The head of the file, then one metric after the other: its name, values (N,) and records (N, bytes) uint8."""
    yield "", np.empty(0), np.frombuffer(tf.version(view.begun), np.uint8)[None]
    for name, curve in view.series.items():
        for first in range(0, len(curve), ROWS):
            steps = curve.steps[first : first + ROWS].astype(np.int64)
            values = curve.values[first : first + ROWS].astype(np.float32)
            for rows in tf.scalars(name, steps, view.moments.when(steps), values):
                yield name, values[: len(rows)], rows
                values = values[len(rows) :]


def extras(order: Order) -> Iterator[bytes]:
    """Records of previews, of the config and of the edits."""
    view = order.view
    try:
        config = read_regular(view.path / "config.toml", LARGEST).decode("utf-8", "replace")
        yield tf.text("config", 0, view.begun, as_code(Discretion().paths(config)))
    except OSError:
        pass  # the run's values are there all the same
    if view.edits:
        lines = [f"step {count(edit.step)}: {edit.key}: {show(edit.old)} → {show(edit.new)}" for edit in view.edits]
        yield tf.text("edits", view.edits[-1].step, view.edits[-1].t, as_code("\n".join(lines)))
    kinds: dict[str, list[events.Sample]] = {}
    for sample in view.samples:
        kinds.setdefault(sample.kind, []).append(sample)
    for kind, samples in kinds.items():
        for sample in spread(samples, order.options.images):
            try:
                data = read_regular(view.file(sample.path), LARGEST)
                if sample.path.endswith(".txt"):
                    yield tf.text(kind, sample.step, sample.t, as_code(data.decode("utf-8", "replace")))
                else:
                    yield tf.image(kind, sample.step, sample.t, data)
            except (OSError, ValueError) as error:
                words = getattr(error, "strerror", None) or error
                order.tell(Note(text=f"{sample.path} is left out: {words}", level="warning"))


def as_code(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return "\n".join(f"    {line}" for line in cleaned(text).splitlines())
