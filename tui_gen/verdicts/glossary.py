"""What a metric means: its paragraph of the model's text, or what is said of a metric that any model may have.

A model's text (`models/words/NAME.md`) names metrics in backticks, in lists and paragraphs, and in its formulas
(`kl = …`). What it says of a metric is the items and paragraphs that name it and the formulas that begin with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tui_gen import toml
from tui_gen.config import named
from tui_gen.files import read_regular
from tui_gen.headline import MOST
from tui_gen.quality import KINDS
from tui_gen.verdicts.panels import HEALTH, split

if TYPE_CHECKING:
    from pathlib import Path

    from tui_gen.catalog import Catalog

ANY = {
    "loss": "What the phase's optimiser lowers, averaged over the batch.",
    "lr": "The learning rate in force at the step: what the optimiser's schedule and warm-up, and edits, made of it.",
    "accuracy": "Share of examples (of characters, in a text) whose class is guessed right.",
    "grad_norm": "Length of the gradient of all of the phase's weights, before it is clipped (`clip_norm`). It falls "
    "and levels off in a healthy run; a jump of many times that comes before a loss that blows up.",
    "update_ratio": "By how much one step changes a network's weights, as a share of their size. 1e-4 to 1e-2 is "
    "usual: above, the learning rate is too high; far below, hardly anything is learnt.",
    "dead_units": "Share of dead units in the worst layer of a network: rectified ones that no recent example has "
    "switched on, so they learn nothing. A lower learning rate, leaky-relu or a normalisation helps.",
    "ema_lag": "How far the averaged weights, which samples are made with, are behind those that are trained, as a "
    "share of these. It falls as training settles; `train.ema` says how long they remember.",
}
"""Metrics that every model may have."""
_ITEM = re.compile(r"(?:[-*+]|\d+\.) ")
_CODE = re.compile(r"`([^`]+)`")


def model_of(path: Path) -> str:
    """The name of the model of a run, from its folder; empty where its config cannot be read."""
    try:
        return named(toml.loads(read_regular(str(path / "config.toml"), MOST).decode()), "model")
    except (OSError, ValueError, RecursionError):
        return ""


def about_all(metrics: Iterable[str], model: str, catalog: Catalog | None) -> str:
    """What is known of these metrics of a run of a model, as Markdown, once of all that it is said of; empty where that
    is nothing."""
    entry = catalog.models.get(model) if catalog is not None else None
    text = entry.description if entry is not None else ""
    parts: dict[str, list[str]] = {}
    for plain in dict.fromkeys(metric.removeprefix("val/") for metric in metrics):
        if words := about(plain, text):
            parts.setdefault(words, []).append(f"`{plain}`")
    return "\n\n".join(f"## {', '.join(names)}\n\n{words}" for words, names in parts.items())


def about(metric: str, text: str) -> str:
    """What a model's text, or we, say of a metric (without `val/`), as Markdown; empty where that is nothing."""
    _, phase, name = split(metric)
    if phase == HEALTH:  # of each network, which the text need not name
        name = name.partition("/")[0]
    if phase == "quality" and name in KINDS:
        kind = KINDS[name]
        better = "as near to that of real data as can be" if kind.better == "real" else f"{kind.better} is better"
        return f"**{kind.title}**: {kind.help}; {better}. The curve called `val` is that of real held-out data."
    found = [block for block in blocks(text) if _names(block, metric, name)]
    if not found:  # of a family of metrics, such as `loss_25-50%`, the text may name the first and the last
        stem = re.match(r"\D*_(?=\d)", name)
        found = [block for block in blocks(text) if stem and any(code.startswith(stem[0]) for code in _codes(block))]
    return "\n\n".join(found) or ANY.get(name, "")


def blocks(text: str) -> list[str]:
    """The paragraphs, list items and lines of formulas of a Markdown text; formulas keep their indent of four."""
    found: list[str] = []
    fresh = True
    for line in text.split("\n"):
        if not line.strip() or line.startswith("#"):
            fresh = True
        elif line.startswith("    "):
            found.append(line)
            fresh = True
        elif fresh or _ITEM.match(line):
            found.append(line)
            fresh = False
        else:
            found[-1] += f"\n{line}"
    return found


def _codes(block: str) -> list[str]:
    return [code.removeprefix("val/").removeprefix("val ").strip() for code in _CODE.findall(block)]


def _names(block: str, metric: str, name: str) -> bool:
    """Whether a block is about a metric: a formula for it, or words that name it."""
    if block.startswith("    "):
        return bool(re.match(rf"\s+{re.escape(name)}\s+=", block))
    return not {metric, name}.isdisjoint(_codes(block))
