"""Metrics as logs have them, a step a line or packed: read and put into curves many lines at a time.

A log with a step a line, as a slow run writes it, is mostly names. A `Reader` makes a type for the names of a line
once, with a field a name, and decodes the lines after it straight into that: several times sooner than into
dictionaries of lists. Whatever else is on a line, or nearly the same, goes through `events.decode`, so a log says the
same either way. The columns of a packed line become one array.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, ClassVar

import msgspec
import numpy as np
from msgspec.structs import astuple

from tui_gen import columns, events
from tui_gen.text import clean

BEGINNING, PACKED = b'{"type":"metrics"', b'{"type":"packed"'
MOST_SHAPES = 64
"""Sets of names for which types are made; a log with more of them is damaged, or no log of ours."""


class LogRow(events.Metrics, tag="metrics", kw_only=True, gc=False):
    """The metrics of one step, for who asks for them: `values` is no dictionary.

    It has a field for each of `NAMES`, in their order: a tuple of one number, or of None.
    """

    NAMES: ClassVar[tuple[str, ...]] = ()

    values: Any

    @property
    def end(self) -> int:
        return self.begin


class LogBlock(events.Metrics, tag="metrics", kw_only=True, gc=False):
    """The metrics of some steps, for who asks for them: `values` is (names, steps) float32, NaN where there is none."""

    names: tuple[str, ...]
    values: Any

    @property
    def end(self) -> int:
        steps: int = self.values.shape[1]
        return self.begin + max(0, steps - 1) * self.stride


_packed_decoder = msgspec.json.Decoder(events.Packed)


class Reader:
    """Decodes the lines of a log: `LogRow` for metrics of one step where that is sooner, `LogBlock` for packed ones,
    else what the line holds.
    """

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._decoders: dict[int, msgspec.json.Decoder[Any]] = {}
        self._shapes: dict[tuple[str, ...], msgspec.json.Decoder[Any]] = {}

    def decode(self, line: bytes) -> events.Event | None:
        """The event on a line, as `events.decode` finds it."""
        if not line.startswith(BEGINNING):
            return self._block_on(line) if line.startswith(PACKED) else events.decode(line)
        count = line.count(b"[")  # tells most sets of names apart before one is tried
        if (decoder := self._decoders.get(count)) is not None:
            try:
                row: LogRow = decoder.decode(line)
                return row
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
        event = events.decode(line)
        if isinstance(event, events.Metrics) and all(len(column) == 1 for column in event.values.values()):
            decoder = self._decoder_of(tuple(event.values))
            if decoder is not None:
                self._decoders[count] = decoder
        return event

    def _block_on(self, line: bytes) -> events.Event | None:
        """The metrics on a packed line; None where it holds none."""
        try:
            packed = _packed_decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        names = tuple(packed.names)
        if (known := self._blocks.get(names)) is None:
            if len(self._blocks) >= MOST_SHAPES or len(set(names)) < len(names) or any(map(_changes, names)):
                return events.decode(line)
            known = self._blocks[names] = names
        try:
            values = _array_of(columns.inflated(packed.data, len(names)), len(names))
        except ValueError:
            return None
        return LogBlock(t=packed.t, start=packed.start, stride=packed.stride, names=known, values=values)

    def _decoder_of(self, names: tuple[str, ...]) -> msgspec.json.Decoder[Any] | None:
        """What decodes rows of these names; None where none is made."""
        if names not in self._shapes:
            if not names or len(self._shapes) >= MOST_SHAPES or not all(map(_simple, names)):
                return None
            self._shapes[names] = msgspec.json.Decoder(_row_type(names))
        return self._shapes[names]


def _changes(name: str) -> bool:
    """Whether a name is not shown as it is."""
    return clean(name) != name


def _simple(name: str) -> bool:
    """Whether a name is shown as it is, and written in JSON as it is."""
    return not _changes(name) and not {'"', "\\"}.intersection(name)


def _array_of(raw: bytes, count: int) -> np.ndarray:
    """(count, steps) float32, of packed columns that are inflated."""
    steps = len(raw) // (columns.WIDTH * count)
    sorted_bytes = np.frombuffer(raw, np.uint8).reshape(count, columns.WIDTH, steps)
    numbers = np.empty((count, steps, columns.WIDTH), np.uint8)
    for place in range(columns.WIDTH):
        numbers[:, :, place] = sorted_bytes[:, place]
    return numbers.view("<f4").reshape(count, steps).astype(np.float32, copy=False)


def _row_type(names: tuple[str, ...]) -> type[LogRow]:
    """A type for rows with exactly these names."""
    places = {f"value_{place}": name for place, name in enumerate(names)}
    fields = [(place, tuple[float | None]) for place in places]
    values = msgspec.defstruct("Values", fields, rename=places, forbid_unknown_fields=True, gc=False)
    defined: Any = msgspec.defstruct(
        "LogRow", [("values", values)], bases=(LogRow,), namespace={"NAMES": names}, tag="metrics", kw_only=True,
        gc=False,
    )  # fmt: skip
    row_type: type[LogRow] = defined
    return row_type


class RowBlock:
    """Rows of the same names, with ascending steps, that wait to be put into curves."""

    def __init__(self, first: LogRow) -> None:
        self.names = first.NAMES
        self.steps = [first.start]
        """Counted from 0, as in the log."""
        self._type = type(first)
        self._values = [first.values]

    def __len__(self) -> int:
        return len(self.steps)

    def take(self, row: LogRow) -> bool:
        """Add a row, where it belongs here."""
        if type(row) is not self._type or row.start <= self.steps[-1]:
            return False
        self.steps.append(row.start)
        self._values.append(row.values)
        return True

    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """How many steps had been made (n,), and the values (names, n), NaN where there was none."""
        flat = [value for (value,) in chain.from_iterable(map(astuple, self._values))]
        values = np.array(flat, dtype=np.float64).reshape(len(self.steps), len(self.names))
        return events.made(np.array(self.steps, dtype=np.float64)), np.ascontiguousarray(values.T)
