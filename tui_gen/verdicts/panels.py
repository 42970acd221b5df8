"""Which curves share a plot, and which plot comes first: metric names of a run, sorted into panels. Knows no widget.

Names are `phase/metric`, with `val/` in front for the validation split. Every metric is in one panel, with its
validation curve in the hollow form of the same glyph. Only metrics that a model declares to be of one unit and about
one size share a panel with others, and what is measured of each network's health. The metrics that the model is judged
by come first, then losses, then the rest; health and settings that only change on schedule come last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

PAIRS = 4
"""Glyphs and colours 0..3 have a second form at +4 (filled and hollow)."""
TOGETHER = (("precision", "recall", "density", "coverage"),)
"""Metrics of any run that share a panel: figures of quality that are shares."""
HEALTH = "health"
"""What names of measurements of health begin with; they are made too seldom to be averaged."""
LAST = ("grad_norm", "lr")
"""What only tells how the training was set."""


class Curve(msgspec.Struct, frozen=True):
    """One curve of a panel: the metric's full name, what the legend calls it, its glyph, whether to average it."""

    metric: str
    label: str
    slot: int
    smooth: bool


class Panel(msgspec.Struct, frozen=True):
    """A named group of curves; `paired` says that slots i and i + 4 are training and validation of one metric.

    `note` stands behind the title.
    """

    title: str
    curves: tuple[Curve, ...]
    paired: bool
    note: str = ""

    def hue(self, slot: int) -> int:
        """The place of a slot's colour: as many as there are curves are used, so that they are far apart."""
        if not self.paired or slot < PAIRS:
            return slot
        return slot - PAIRS + 1 + max((curve.slot for curve in self.curves if curve.slot < PAIRS), default=-1)


def split(metric: str) -> tuple[bool, str, str]:
    """`val/vae/kl` → (True, "vae", "kl"); a name without a phase has an empty one."""
    validation = metric.startswith("val/")
    rest = metric.removeprefix("val/")
    phase, slash, name = rest.partition("/")
    return (validation, phase, name) if slash else (validation, "", rest)


def panels_of(
    metrics: Iterable[str], judged: Sequence[str] = (), together: Sequence[Sequence[str]] = (), first: str = ""
) -> list[Panel]:
    """The panels for these metric names, the most telling first, else in the order in which the names came.

    `judged` are the last parts of the names of the metrics that tell how good the model is, best first; `together` are
    groups of such last parts that share a panel, over all phases. `first` is the full name of a metric that comes
    before all of them.
    """
    names = list(metrics)
    all_names = set(names)
    groups: dict[tuple[str, ...], list[str]] = {}
    for metric in dict.fromkeys(name.removeprefix("val/") for name in names):
        _, phase, name = split(metric)
        group = next((tuple(some) for some in (*together, *TOGETHER) if name in some), None)
        key: tuple[str, ...]
        if phase == HEALTH:
            key = (HEALTH, name.partition("/")[0])
        elif group is not None and (phase == "quality" or group not in TOGETHER):
            key = ("", *group)
        else:
            key = (metric,)
        groups.setdefault(key, []).append(metric)

    def rank(group: list[str]) -> tuple[int, int]:
        if first.removeprefix("val/") in group:
            return -1, 0
        own = [split(metric)[2] for metric in group]
        if split(group[0])[1] == "quality":
            return 2, 1
        if split(group[0])[1] == HEALTH:
            return 4, 0
        if ranks := [judged.index(name) for name in own if name in judged]:
            return 0, min(ranks)
        return (1 if "loss" in own else 3 if set(own) <= set(LAST) else 2), 0

    return [_panel(group, all_names) for group in sorted(groups.values(), key=rank)]


def _panel(group: list[str], all_names: set[str]) -> Panel:
    """The panel of metrics given by their training names; the validation curves join where they are known."""
    parts = [split(metric) for metric in group]
    health = parts[0][1] == HEALTH
    if health:  # `health/grad_norm/encoder`: the networks share the panel `health/grad_norm`
        heading = f"{HEALTH}/{parts[0][2].partition('/')[0]}"
        parts = [(validation, heading, name.rpartition("/")[2]) for validation, _, name in parts]
    phases, names = {phase for _, phase, _ in parts}, {name for _, _, name in parts}
    paired = len(group) <= PAIRS
    curves: list[Curve] = []
    for i, (metric, (_, phase, name)) in enumerate(zip(group, parts)):
        label = "" if len(group) == 1 else name if len(phases) == 1 else phase if len(names) == 1 else metric
        label = name if health else label
        for full, text, smooth in (
            (metric, label or "train", True),
            (f"val/{metric}", f"val {label}".strip(), False),
        ):
            if full in all_names:
                slot = i + (0 if smooth else PAIRS) if paired else len(curves)
                curves.append(Curve(full, text, slot, smooth and not health))
    title = group[0] if len(group) == 1 else next(iter(phases if len(phases) == 1 else names))
    if len(group) > 1 and len(phases) > 1 and len(names) > 1:
        title = "metrics"
    return Panel(title, tuple(curves), paired)
