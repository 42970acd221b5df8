"""How well a classifier does: confusion, precision, recall, F1, AUC, as tensors and as lines of text."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def confusion(labels: Tensor, named: Tensor, classes: int) -> Tensor:
    """(N,) true and predicted classes → (classes, classes) int64 counts: a row a true class, a column a predicted."""
    pairs = labels.long() * classes + named.long()
    return torch.bincount(pairs.cpu(), minlength=classes * classes).view(classes, classes)


def precision_recall_f1(table: Tensor) -> Tensor:
    """Confusion counts → (3, classes) float64: precision, recall and F1 of each class; 0 where they are undefined."""
    right = table.diagonal().double()
    called, there = table.sum(0).double(), table.sum(1).double()
    both = 2 * right / (called + there).clamp(min=1)
    return torch.stack([right / called.clamp(min=1), right / there.clamp(min=1), both])


def auc(positive: Tensor, score: Tensor) -> float:
    """Area under the ROC curve of a score (N,) for membership (N,) bool; NaN unless there are both kinds.

    It is the chance that a member scores higher than one that is none (ties count half; Mann and Whitney 1947).
    """
    positive, score = positive.cpu(), score.double().cpu()
    members, others = int(positive.sum()), int((~positive).sum())
    if not members or not others:
        return math.nan
    _, where, counts = score.unique(return_inverse=True, return_counts=True)
    ranks = (counts.cumsum(0) - (counts - 1) / 2)[where]
    return float((ranks[positive].sum() - members * (members + 1) / 2) / (members * others))


def report(table: Tensor, labels: Tensor, probabilities: Tensor, classes: tuple[str, ...], width: int) -> str:
    """Accuracy, the confusion matrix where it fits `width` columns, and each class's scores, as lines of text."""
    total, right = int(table.sum()), int(table.diagonal().sum())
    areas = [auc(labels == place, probabilities[:, place]) for place in range(len(classes))]
    known = [area for area in areas if math.isfinite(area)]
    scores = precision_recall_f1(table)
    there = table.sum(1) > 0
    mean = f"{sum(known) / len(known):.4f}" if known else "-"
    f1 = f"{scores[2][there].mean():.4f}" if there.any() else "-"
    lines = [f"{right:,} of {total:,} right ({right / max(1, total):.1%}); macro F1 {f1}, macro AUC {mean}", ""]
    names = [_short(name) for name in classes]
    side = max([4, *(len(name) for name in names)])
    cell = max(4, len(str(int(table.max()))) + 1)
    if side + cell * len(classes) <= width:
        lines.append("true ↓ predicted →")
        lines.append(" " * side + "".join(f"{name[: cell - 1]:>{cell}}" for name in names))
        for name, row in zip(names, table.tolist()):
            lines.append(f"{name:<{side}}" + "".join(f"{count or '·':>{cell}}" for count in row))
        lines.append("")
    lines.append(f"{'class':<{side}}  precision  recall      F1     AUC  examples")
    for place, name in enumerate(names):
        precision, recall, both = scores[:, place].tolist()
        area = f"{areas[place]:7.4f}" if math.isfinite(areas[place]) else f"{'-':>7}"
        count = int(table[place].sum())
        lines.append(f"{name:<{side}}  {precision:9.3f} {recall:7.3f} {both:7.3f} {area} {count:9,}")
    return "\n".join(lines)


def _short(name: str, most: int = 14) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
