"""Scales of the x axis: where steps lie between two others, evenly, by their logarithm, or by when they were made."""

from __future__ import annotations

import msgspec
import numpy as np

from tui_gen.draw.clock import Clock


class XScale(msgspec.Struct, frozen=True):
    """How steps become places: by their number or, with a `clock`, by their time; with `log` by its logarithm.

    Limits are pairs of steps, the first below the second, and not below 1 where `log`. Step 0 has no logarithm: it is
    left of an axis that begins at 1, and in its first column.
    """

    log: bool = False
    clock: Clock | None = None

    def places(self, steps: np.ndarray) -> np.ndarray:
        """Steps as places, ascending with them."""
        places = steps if self.clock is None else self.clock.times(steps)
        return np.log(np.maximum(places, 1e-12)) if self.log else places

    def steps(self, places: np.ndarray) -> np.ndarray:
        """The steps at places."""
        steps = np.exp(places) if self.log else places
        return steps if self.clock is None else self.clock.steps(steps)

    def part(self, step: float, limits: tuple[float, float]) -> float:
        """Where a step lies between the limits, 0 to 1; outside of that where it is not between them."""
        return float(self.parts(np.array([step]), limits)[0])

    def parts(self, steps: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
        """`part` of many steps."""
        low, high = (float(place) for place in self.places(np.array(limits)))
        places = self.places(steps)
        return (places - low) / (high - low) if high > low else (places > low).astype(float)

    def step_at(self, part: float, limits: tuple[float, float]) -> float:
        """The step at a part (0 to 1) of the way between the limits."""
        low, high = (float(place) for place in self.places(np.array(limits)))
        return float(self.steps(np.array([low + (high - low) * part]))[0])

    def edges(self, limits: tuple[float, float], count: int) -> np.ndarray:
        """The steps at the edges of `count` columns of equal width, (count + 1,), ascending."""
        low, high = (float(place) for place in self.places(np.array(limits)))
        edges = self.steps(np.linspace(low, high, count + 1))
        edges[0], edges[-1] = limits
        if self.log and limits[0] == 1.0:
            edges[0] = 0.0
        return np.maximum.accumulate(edges)


STEPS = XScale()
