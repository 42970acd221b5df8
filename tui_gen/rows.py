"""Metrics that came one step a line, as a slow run writes them: read and put into curves many lines at a time.

Such a log is mostly names. A `Reader` makes a type for the names of a line once, with a field a name, and decodes the
lines after it straight into that: several times sooner than into dictionaries of lists. Whatever else is on a line, or
nearly the same, goes through `events.decode`, so a log says the same either way.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, ClassVar

import msgspec
import numpy as np
from msgspec.structs import astuple

from tui_gen import events
from tui_gen.text import clean

BEGINNING = b'{"type":"metrics"'
MOST_SHAPES = 64
"""Sets of names for which types are made; a log with more of them is damaged, or no log of ours."""


class LogRow(events.Metrics, tag="metrics", kw_only=True, gc=False):
    """The metrics of one step, for who asks for them: `values` is no dictionary.

    It has a field for each of `NAMES`, in their order: a tuple of one number, or of None.
    """

    NAMES: ClassVar[tuple[str, ...]] = ()

    values: Any


class Reader:
    """Decodes the lines of a log: `LogRow` for metrics of one step where that is sooner, else what the line holds."""

    def __init__(self) -> None:
        self._decoders: dict[int, msgspec.json.Decoder[Any]] = {}
        self._shapes: dict[tuple[str, ...], msgspec.json.Decoder[Any]] = {}

    def decode(self, line: bytes) -> events.Event | None:
        """The event on a line, as `events.decode` finds it."""
        if not line.startswith(BEGINNING):
            return events.decode(line)
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

    def _decoder_of(self, names: tuple[str, ...]) -> msgspec.json.Decoder[Any] | None:
        """What decodes rows of these names; None where none is made."""
        if names not in self._shapes:
            if not names or len(self._shapes) >= MOST_SHAPES or not all(map(_simple, names)):
                return None
            self._shapes[names] = msgspec.json.Decoder(_row_type(names))
        return self._shapes[names]


def _simple(name: str) -> bool:
    """Whether a name is shown as it is, and written in JSON as it is."""
    return clean(name) == name and not {'"', "\\"}.intersection(name)


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
        """The steps (n,), and the values (names, n), NaN where there was none."""
        flat = [value for (value,) in chain.from_iterable(map(astuple, self._values))]
        values = np.array(flat, dtype=np.float64).reshape(len(self.steps), len(self.names))
        return np.array(self.steps, dtype=np.float64), np.ascontiguousarray(values.T)
