"""Values on their way from the lines of a log to curves: put together first, as adding costs more than they do.

The log counts their steps from 0, curves have them by how many steps had been made (`events.made`): the value of the
first step is at 1, a validation after 200 steps at 200.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tui_gen.log.rows import LogBlock, LogRow, RowBlock

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
        self._few: dict[str, tuple[list[float], list[float | None]]] = {}
        self._many: dict[str, tuple[int, int, array[float]]] = {}
        """By name, the first step, the stride, and what came without a gap between."""
        self._block: RowBlock | None = None
        self._blocks: list[LogBlock] = []
        """Of the same names, one after the other without a gap."""
        self._next_step = 0
        """The step that goes on with them."""

    def take_row(self, row: LogRow) -> None:
        """One step's values wait for those of the steps after it."""
        self.end_blocks()
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
                waiting_steps += steps.tolist()
                waiting += column.tolist()
                self._few[name] = waiting_steps, waiting

    def take_block(self, block: LogBlock) -> None:
        """The values of some steps wait for those of the steps after them."""
        self.end_rows()
        steps = block.values.shape[1]
        if not steps:
            return
        for waiting in (self._few, self._many):
            if its := waiting.keys() & block.names:
                self.flush(*its)
        last = self._blocks[-1] if self._blocks else block
        if last.names is not block.names or last.stride != block.stride or block.begin != self._next_step:
            self.end_blocks()
        self._blocks.append(block)
        self._next_step = block.begin + block.stride * steps

    def end_blocks(self) -> None:
        """Put blocks that waited onto their curves."""
        blocks, self._blocks = self._blocks, []
        if not blocks:
            return
        first = blocks[0]
        values = first.values if len(blocks) == 1 else np.concatenate([block.values for block in blocks], axis=1)
        for name, column in zip(first.names, values):
            if (curve := self._curve(name)) is not None:
                curve.append_stride(first.begin, first.stride, column)

    def add(self, name: str, event: events.Metrics, column: Sequence[float | None]) -> None:
        """The values of an event for one of its names. An array is kept, and added to."""
        start, stride = event.begin, event.stride
        if self._blocks and name in self._blocks[0].names:
            self.end_blocks()
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
            self.end_blocks()
            self.end_rows()
        for name in names or dict.fromkeys([*self._many, *self._few]):
            if (few := self._few.pop(name, None)) and (curve := self._curve(name)) is not None:
                curve.append(*few)
            if (many := self._many.pop(name, None)) and (curve := self._curve(name)) is not None:
                curve.append_stride(*many)
