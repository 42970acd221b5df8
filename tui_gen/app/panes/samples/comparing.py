"""What the preview that is shown is held against: a pinned step, the one before, or the same step's raw weights.

Two previews are shown beside each other, in turn, or as what differs between them. Knows previews, and no widget.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from tui_gen.events import Sample
from tui_gen.pictures import RAW

Way = Literal["", "beside", "difference", "flicker"]
ORDER: dict[Way, tuple[str, ...]] = {
    "difference": ("before", "A", "B", "raw", "averaged"),
    "beside": ("raw", "averaged", "A", "B", "before"),
    "flicker": ("A", "B", "before", "raw", "averaged"),
}
"""Which counterpart a way of comparing takes first."""


class Counterpart(NamedTuple):
    """A preview to compare with, and what it is called: `before`, `A`, `B`, `raw` or `averaged`."""

    name: str
    preview: Sample


class Comparison(msgspec.Struct):
    """The pins, which are steps, and how the preview shown is compared, with what; `turned` shows the other one."""

    pins: dict[str, int] = msgspec.field(default_factory=dict)
    way: Way = ""
    name: str = ""
    turned: bool = False

    def pin(self, letter: str, step: int) -> None:
        """Pin a step; one that has this letter already loses it."""
        if self.pins.get(letter) == step:
            del self.pins[letter]
        else:
            self.pins[letter] = step

    def pin_next(self, step: int) -> None:
        """Pin a step as A, or as B where there is an A; a step that is pinned is not any more."""
        letters = [letter for letter, other in self.pins.items() if other == step]
        for letter in letters:
            del self.pins[letter]
        if not letters:
            self.pins["A" if "A" not in self.pins else "B"] = step

    def places(self, history: Sequence[Sample]) -> dict[str, int]:
        """The numbers of the pinned previews in a history: the last ones that are not after the pinned steps."""
        return {letter: _until(history, step) for letter, step in sorted(self.pins.items())} if history else {}

    def counterparts(self, every: Sequence[Sample], history: Sequence[Sample], index: int) -> list[Counterpart]:
        """What preview `index` of a history can be compared with, of `every` preview of the run."""
        preview = history[index]
        result = [Counterpart("before", history[index - 1])] if index else []
        result += [Counterpart(letter, history[at]) for letter, at in self.places(history).items() if at != index]
        kind = preview.kind.removeprefix(RAW)
        other = kind if preview.kind.startswith(RAW) else RAW + kind
        twin = next((sample for sample in every if sample.kind == other and sample.step == preview.step), None)
        if twin is not None:
            result.append(Counterpart("raw" if other.startswith(RAW) else "averaged", twin))
        return result

    def go_on(self, way: Way, counterparts: Sequence[Counterpart]) -> bool:
        """Compare in a way, with the first counterpart that suits it, then with the next, then not; False for nothing.

        Side by side are first averaged and raw weights, then pins; a difference is first that to the preview before;
        in turn come pins, or what was compared so far.
        """
        names = sorted((counterpart.name for counterpart in counterparts), key=ORDER[way].index)
        if not names and self.way != way:
            return False
        if self.way == way and way != "flicker":
            later = names[names.index(self.name) + 1 :] if self.name in names else []
            self.way, self.name = (way, later[0]) if later else ("", "")
        elif self.way == way:
            self.stop()
        else:
            keep = way == "flicker" and self.name in names
            self.way, self.name, self.turned = way, self.name if keep else names[0], False
        return True

    def stop(self) -> None:
        """Compare with nothing."""
        self.way, self.name, self.turned = "", "", False

    def counterpart(self, counterparts: Sequence[Counterpart]) -> Counterpart | None:
        """What is compared with now; None where this preview has no such thing beside it."""
        return next((counterpart for counterpart in counterparts if counterpart.name == self.name), None)

    def pair(self, history: Sequence[Sample], index: int, counterparts: Sequence[Counterpart]) -> list[Counterpart]:
        """The two that take turns: A and B where both are pinned, else what is compared with, and the one shown."""
        places = self.places(history)
        if len(places) == 2 and self.name in places:
            return [Counterpart(letter, history[at]) for letter, at in places.items()]
        other = self.counterpart(counterparts)
        return [other, Counterpart("", history[index])] if other is not None else []


def _until(history: Sequence[Sample], step: int) -> int:
    """The number of the last preview up to a step, or of the first."""
    return max([number for number, preview in enumerate(history) if preview.step <= step], default=0)
