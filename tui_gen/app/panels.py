"""Which curves share a plot: metric names of a run, sorted into panels. Knows no widget.

Names are `phase/metric`, with `val/` in front for the validation split. The first panel holds every phase's loss, then
comes one panel per phase with its other metrics, then one per metric. Train and validation always share a panel, the
validation curve with the hollow form of the same glyph where the glyphs suffice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

PAIRS = 4
"""Glyphs and colours 0..3 have a second form at +4 (filled and hollow)."""
TOGETHER = {"quality": ("precision", "recall", "density", "coverage")}
"""The metrics of a phase that share its panel, where not all do: the others are on scales of their own."""


@dataclass(frozen=True)
class Curve:
    """One curve of a panel: the metric's full name, what the legend calls it, its glyph, whether to average it."""

    metric: str
    label: str
    slot: int
    smooth: bool


@dataclass(frozen=True)
class Panel:
    """A named group of curves; `paired` says that slots i and i + 4 are training and validation of one metric."""

    title: str
    curves: tuple[Curve, ...]
    paired: bool


def split(metric: str) -> tuple[bool, str, str]:
    """`val/vae/kl` → (True, "vae", "kl"); a name without a phase has an empty one."""
    validation = metric.startswith("val/")
    rest = metric.removeprefix("val/")
    phase, slash, name = rest.partition("/")
    return (validation, phase, name) if slash else (validation, "", rest)


def _panel(title: str, entries: list[tuple[str, str]], known: set[str]) -> Panel:
    """`entries` are (training metric name, label); the validation curve joins where it is known."""
    paired = len(entries) <= PAIRS
    curves: list[Curve] = []
    free = 0
    for i, (metric, label) in enumerate(entries):
        for name, text, smooth in ((metric, label, True), (f"val/{metric}", f"val {label}", False)):
            if name in known:
                slot = i + (0 if smooth else PAIRS) if paired else free
                curves.append(Curve(name, text, slot, smooth))
                free += 1
    return Panel(title, tuple(curves), paired)


def panels_of(metrics: Iterable[str]) -> list[Panel]:
    """The panels for these metric names, in a fixed order: that in which the names first came."""
    names = list(metrics)
    known = set(names)
    phases: dict[str, list[str]] = {}
    for metric in names:
        _, phase, name = split(metric)
        phases.setdefault(phase, [])
        if name not in phases[phase]:
            phases[phase].append(name)

    def full(phase: str, name: str) -> str:
        return f"{phase}/{name}" if phase else name

    losses = [(full(phase, "loss"), phase) for phase, own in phases.items() if "loss" in own]
    if len(losses) == 1:
        losses = [(losses[0][0], "loss")]
    panels = [_panel("losses", [(metric, label or "loss") for metric, label in losses], known)] if losses else []
    rest = {phase: [name for name in own if name != "loss"] for phase, own in phases.items()}
    for phase, own in rest.items():
        group = [name for name in own if name in TOGETHER.get(phase, own)]
        if len(group) > 1:
            panels.append(_panel(phase or "metrics", [(full(phase, name), name) for name in group], known))
    single = [(phase, name) for phase, own in rest.items() for name in own]
    if len(losses) > 1:
        single = [(phase, name) for phase, own in phases.items() for name in own]
    for phase, name in single:
        panels.append(_panel(full(phase, name), [(full(phase, name), "train")], known))
    return [_named_alone(panel) for panel in panels]


def _named_alone(panel: Panel) -> Panel:
    """`val train` reads badly: the validation curve of a single metric is called `val`."""
    curves = tuple(
        Curve(one.metric, "val", one.slot, one.smooth) if one.label == "val train" else one for one in panel.curves
    )
    return Panel(panel.title, curves, panel.paired)
