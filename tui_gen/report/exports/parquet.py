"""Parquet: every value of a run as a table of numbers, a row a step (counted from 0, as in the log), a column a metric.

What was not logged at a step is null; what was, and was no finite number (a loss that diverged), is NaN. The settings
are those that a file of noisy floats is smallest with: dictionaries, the default, make it larger than the numbers are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tui_gen import __version__, events
from tui_gen.draw.series import Series
from tui_gen.events import Note, Progress
from tui_gen.files import read_regular
from tui_gen.report.exports import Order
from tui_gen.report.exports.csv import steps_of
from tui_gen.report.page.discretion import Discretion
from tui_gen.text import cleaned
from tui_gen.view import RunView

if TYPE_CHECKING:
    import pyarrow

ROWS = 1 << 16
"""Steps that are written, and read back, at a time."""
LARGEST_CONFIG = 1 << 20
MEANING = "null: not logged at this step; NaN: logged, but no finite number"


def write(order: Order, target: Path) -> None:
    """With the run's name, state and config as metadata of the schema."""
    from pyarrow import parquet

    view = order.view
    steps = steps_of(view)
    settings = {"compression": "zstd", "use_dictionary": False, "use_byte_stream_split": _floats(view)}
    with open(target, "wb") as out, parquet.ParquetWriter(out, _schema(view), **settings) as file:
        for first in range(0, max(1, len(steps)), ROWS):
            file.write_batch(_batch(view, steps[first : first + ROWS]))
            tell_rows = min(first + ROWS, len(steps))
            order.tell(Progress(what="writing", done=tell_rows, total=len(steps), unit="steps"))
    if diverged := sum(int(np.isnan(curve.values).sum()) for curve in view.series.values()):
        words = f"{diverged:,} values were no finite numbers: they are NaN, where what was not logged is null"
        order.tell(Note(text=words))


def check(order: Order, target: Path) -> None:
    """The same columns, with the same numbers, nulls and NaN."""
    import pyarrow
    from pyarrow import parquet

    view = order.view
    steps, first = steps_of(view), 0
    try:
        with parquet.ParquetFile(target) as file:
            if not file.schema_arrow.equals(_schema(view), check_metadata=True):
                raise ValueError("its schema is another one")
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                expected = _batch(view, steps[first : first + len(table)])
                if len(expected) != len(table) or not _same(table, expected):
                    raise ValueError(f"steps from row {first} on are not as they should be")
                first += len(table)
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from None
    if first != len(steps):
        raise ValueError(f"it has {first} rows, not {len(steps)}")


def _columns(view: RunView) -> Iterator[tuple[str, Series]]:
    """Every metric and its name; one that is called as the steps are gets a name of its own."""
    for name, curve in view.series.items():
        yield (name if name != "step" else "metric/step"), curve


def _floats(view: RunView) -> list[str]:
    return [name for name, _ in _columns(view)]


def _schema(view: RunView) -> pyarrow.Schema:
    import pyarrow as pa

    fields = [pa.field("step", pa.int64(), nullable=False)]
    fields += [pa.field(name, pa.from_numpy_dtype(curve.values.dtype)) for name, curve in _columns(view)]
    try:
        config = read_regular(view.path / "config.toml", LARGEST_CONFIG).decode("utf-8", "replace")
    except OSError:
        config = ""
    about = {"version": __version__, "run": view.path.name, "state": view.state, "missing": MEANING}
    about["config"] = Discretion().paths(cleaned(config))
    return pa.schema(fields, metadata={f"tui-gen.{key}": text for key, text in about.items()})


def _batch(view: RunView, steps: np.ndarray) -> pyarrow.RecordBatch:
    """The rows of these steps, ascending."""
    import pyarrow as pa

    arrays = [pa.array(events.index(steps.astype(np.int64)))]
    arrays += [_column(curve, steps) for _, curve in _columns(view)]
    return pa.RecordBatch.from_arrays(arrays, schema=_schema(view))


def _column(curve: Series, steps: np.ndarray) -> pyarrow.Array:
    """What a curve has at these steps; of several values at one step the last."""
    import pyarrow as pa

    values, missing = np.zeros(len(steps), curve.values.dtype), np.ones(len(steps), bool)
    if len(steps):
        begin = int(np.searchsorted(curve.steps, steps[0], side="left"))
        end = int(np.searchsorted(curve.steps, steps[-1], side="right"))
        places = np.searchsorted(steps, curve.steps[begin:end])
        values[places], missing[places] = curve.values[begin:end], False
    return pa.array(values, mask=missing)


def _same(table: pyarrow.Table, expected: pyarrow.RecordBatch) -> bool:
    """Whether two tables hold the same numbers; NaN is NaN, and no null."""
    for column, other in zip(table.columns, expected.columns):
        read = column.combine_chunks()
        if not read.is_null().equals(other.is_null()):
            return False
        numbers, ours = (part.fill_null(0).to_numpy(zero_copy_only=False) for part in (read, other))
        if not np.array_equal(numbers, ours, equal_nan=ours.dtype.kind == "f"):
            return False
    return True
