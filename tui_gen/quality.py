"""Figures of how good a model's samples are, as plain data and as a table. Needs neither PyTorch nor Textual.

`tui_gen.train.quality` measures them. Beside every figure stands the same figure of real held-out data, which no model
can beat but by luck: what perfect is.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
from msgspec import Meta

from tui_gen.lines import aligned
from tui_gen.quantities import duration, metric

Step = Annotated[int, Meta(ge=-1, le=10**15)]
Count = Annotated[int, Meta(ge=0, le=10**15)]
Words = Annotated[str, Meta(max_length=2000)]

ENOUGH = 2000
"""Samples from which the Fréchet distance may be trusted; with fewer it is biased upwards."""
CONFIDENT = 0.9
"""The probability from which a classifier counts as confident."""


class Kind(msgspec.Struct, frozen=True):
    """What a figure is called, which way is better (`lower`, `higher`, or `real`: as near to real data's as can be),
    and what it tells."""

    title: str
    better: str
    help: str


KINDS: dict[str, Kind] = {
    "fid": Kind("FID", "lower", "Fréchet distance between features (Heusel et al. 2017)"),
    "kid": Kind("KID", "lower", "kernel distance between features, unbiased (Bińkowski et al. 2018)"),
    "mmd": Kind("MMD²", "lower", "Gaussian-kernel distance between points, unbiased (Gretton et al. 2012)"),
    "sliced_wasserstein": Kind(
        "sliced Wasserstein", "lower", "mean distance of projections on lines (Bonneel et al. 2015)"
    ),
    "precision": Kind("precision", "higher", "share of samples among real ones (Kynkäänniemi et al. 2019)"),
    "recall": Kind("recall", "higher", "share of real ones among samples (Kynkäänniemi et al. 2019)"),
    "density": Kind("density", "higher", "real neighbourhoods that a sample lies in (Naeem et al. 2020)"),
    "coverage": Kind("coverage", "higher", "share of real neighbourhoods with a sample (Naeem et al. 2020)"),
    "confident": Kind("confident", "real", f"share that the classifier is {CONFIDENT:.0%} sure about or more"),
    "smallest_class": Kind("smallest class", "real", "share of the rarest class among the samples"),
    "class_kl": Kind("class KL", "lower", "KL divergence of the samples' class shares from the data's, in nats"),
    "label_accuracy": Kind("label accuracy", "real", "share that the classifier names as what was asked for"),
    "diversity": Kind("diversity", "real", "mean distance between two samples"),
    "memorisation": Kind(
        "memorisation", "real", "chance of a sample to be nearer to training data than a held-out one is"
    ),
}
"""Every figure by its name in the log, `quality/NAME`, in the order of a table."""


class Figure(msgspec.Struct, omit_defaults=True):
    """One figure: of the samples, and `real` of held-out data; each with its standard error where it has one.

    `doubt` and `real_doubt` say why a value cannot be trusted; empty where it can. None is a value that there is not.
    """

    name: Annotated[str, Meta(max_length=180)]
    value: float | None
    real: float | None = None
    error: float | None = None
    real_error: float | None = None
    doubt: Words = ""
    real_doubt: Words = ""


class Report(msgspec.Struct):
    """All figures of one model at one step.

    `features` names what distances are measured in; `samples`, `train` and `held_out` count the examples behind the
    figures; `seconds` is the time it took.
    """

    step: Step
    samples: Count
    train: Count
    held_out: Count
    features: Words
    figures: Annotated[list[Figure], Meta(max_length=1000)]
    seconds: Annotated[float, Meta(ge=0, le=1e15)] = 0.0
    notes: list[Words] = []

    def figure(self, name: str) -> Figure | None:
        """The figure with this name, where there is one."""
        return next((figure for figure in self.figures if figure.name == name), None)


def heading(report: Report) -> str:
    """What was measured, in a line."""
    held_out = f"{report.held_out:,} held out" if report.held_out else "nothing held out"
    took = f"; {duration(report.seconds)}" if report.seconds else ""
    return (
        f"quality at step {report.step:,}: {report.samples:,} samples, {report.train:,} real ones to train with, "
        f"{held_out}{took}"
    )


def summary(report: Report) -> str:
    """The first figures in a line, with those of real data."""
    parts = []
    for figure in report.figures[:4]:
        kind = KINDS.get(figure.name)
        real = f" (real {shown(figure.real, None, figure.real_doubt)})" if figure.real is not None else ""
        parts.append(f"{kind.title if kind else figure.name} {shown(figure.value, figure.error, figure.doubt)}{real}")
    return ", ".join(parts)


def rows(report: Report, with_help: bool = False) -> list[tuple[str, ...]]:
    """A heading and a row for each figure: name, of samples, of real data, which way is better, and what it tells."""
    table_rows: list[tuple[str, ...]] = [("figure", "samples", "real", "better", "what it tells")]
    for figure in report.figures:
        kind = KINDS.get(figure.name, Kind(figure.name, "", ""))
        better = {"real": "as real"}.get(kind.better, kind.better)
        value = shown(figure.value, figure.error, figure.doubt)
        real = shown(figure.real, figure.real_error, figure.real_doubt)
        table_rows.append((kind.title, value, real, better, kind.help))
    return table_rows if with_help else [row[:-1] for row in table_rows]


def footnotes(report: Report) -> list[str]:
    """The name of the features, and why figures with a question mark cannot be trusted."""
    lines = [f"features: {report.features}", *report.notes]
    sure = report.figure("confident")
    if sure is not None and sure.value is not None and sure.real:
        lines.append(f"confident about {sure.value / sure.real:.2f} times as many samples as real images")
    doubts: dict[str, list[str]] = {}
    for figure in report.figures:
        title = KINDS[figure.name].title if figure.name in KINDS else figure.name
        for words, whose in ((figure.doubt, ""), (figure.real_doubt, "real ")):
            if words:
                doubts.setdefault(words, []).append(whose + title)
    return lines + [f"? {', '.join(names)}: {words}" for words, names in doubts.items()]


def table(report: Report, with_help: bool = False) -> str:
    """All of it as lines of text; `with_help` adds a column with what each figure tells."""
    lines = [heading(report), "", *aligned(rows(report, with_help)), "", *footnotes(report)]
    return "\n".join(lines) + "\n"


def shown(value: float | None, error: float | None, doubt: str) -> str:
    """`12.34`, `0.0123 ± 0.0021`, `6.5?` where it cannot be trusted, `–` where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    text = metric(value)
    if error is not None and math.isfinite(error):
        text += f" ± {error:.2g}"
    return text + ("?" if doubt else "")
