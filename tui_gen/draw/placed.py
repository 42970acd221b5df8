"""A series at other places of the x axis: what is drawn over the time, or over epochs, of several runs at once."""

from __future__ import annotations

import numpy as np

from tui_gen.draw.series import Series


class PlacedSeries(Series):
    """The values of `source` from number `first` on, with `places` (ascending) in place of their steps.

    Values and averages are those of the source, not copies; points that it gets later are not in it.
    """

    def __init__(self, source: Series, places: np.ndarray, first: int = 0) -> None:
        super().__init__(source.name, slot=source.slot, smooth=source.smooth, dtype=source.values.dtype.type, room=0)
        self.source = source
        self.has_gaps = source.has_gaps
        self._places, self._begin = places, first

    def __len__(self) -> int:
        return len(self._places)

    @property
    def steps(self) -> np.ndarray:
        """The places, (n,)."""
        return self._places

    @property
    def values(self) -> np.ndarray:
        """The values, (n,)."""
        return self.source.values[self._begin : self._begin + len(self._places)]

    def ema(self, factor: float, zero_phase: bool = False) -> np.ndarray:
        """The averages of the source, (n,)."""
        return self.source.ema(factor, zero_phase)[self._begin : self._begin + len(self._places)]
