"""Values on their way from the lines of a log to curves: put together first, as adding costs more than they do."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tui_gen.rows import LogRow, RowBlock

if TYPE_CHECKING:
    from tui_gen import events
    from tui_gen.draw.series import Series

FEW = 16
"""Columns of fewer values are put together with those after them, whatever their steps."""


class Gathering:
    """Takes the values of metrics as they are read; `flush` puts them onto the curves that `curve` gives by name.

    It may give None, where no more curves are kept.
    """

    def __init__(self, curve: Callable[[str], Series | None]) -> None:
        self._curve = curve
        self._few: dict[str, tuple[list[int], list[float | None]]] = {}
        self._many: dict[str, tuple[int, int, array[float]]] = {}
        """By name, the first step, the stride, and what came without a gap between."""
        self._block: RowBlock | None = None

    def take_row(self, row: LogRow) -> None:
        """One step's values wait for those of the steps after it."""
        if self._block is None or not self._block.take(row):
            self.end_rows()
            self._block = RowBlock(row)

    def end_rows(self) -> None:
        """Put rows that waited onto their curves; a few of them wait on, with the values of other names' rows."""
        block, self._block = self._block, None
        if block is None:
            return
        many, (steps, columns) = len(block) >= FEW, block.columns()
        for name, column in zip(block.names, columns):
            waiting_steps, waiting = self._few.get(name, ([], []))
            if many or name in self._many or (waiting_steps and steps[0] <= waiting_steps[-1]):
                self.flush(name)
                if (curve := self._curve(name)) is not None:
                    curve.append(steps, column)
            else:
                waiting_steps += block.steps
                waiting += column.tolist()
                self._few[name] = waiting_steps, waiting

    def add(self, name: str, event: events.Metrics, column: Sequence[float | None]) -> None:
        """The values of an event for one of its names. An array is kept, and added to."""
        start, stride = event.start, event.stride
        if len(column) >= FEW and isinstance(column, array):
            first, every, so_far = self._many.get(name, (start, stride, column))
            if so_far is column or stride != every or start != first + stride * len(so_far):
                self.flush(name)
                self._many[name] = start, stride, column
            else:
                so_far.extend(column)
            return
        steps, values = self._few.get(name, ([], []))
        if len(column) < FEW and name not in self._many and (not steps or start > steps[-1]):
            if column:
                steps.extend(range(start, start + len(column) * stride, stride))
                values.extend(column)
                self._few[name] = steps, values
            return
        self.flush(name)
        if (curve := self._curve(name)) is not None:
            curve.append_stride(start, stride, column)

    def flush(self, *names: str) -> None:
        """Put values that waited onto their curves, all or those of these names."""
        if not names:
            self.end_rows()
        for name in names or dict.fromkeys([*self._many, *self._few]):
            if (few := self._few.pop(name, None)) and (curve := self._curve(name)) is not None:
                curve.append(*few)
            if (many := self._many.pop(name, None)) and (curve := self._curve(name)) is not None:
                curve.append_stride(*many)
