"""How well a classifier does, as lines of text: confusion, precision, recall, F1, AUC."""

from __future__ import annotations

import math

from torch import Tensor


def report(labels: Tensor, predictions: Tensor, probabilities: Tensor, classes: tuple[str, ...], width: int) -> str:
    """How well classes were named, as lines of text: accuracy, the confusion matrix where it fits `width` columns, and
    each class's precision, recall, F1 (0 where undefined) and area under the ROC curve ("-" where undefined).

    `labels` and `predictions` (N,), N > 0, hold true and predicted classes, `probabilities` (N, classes)
    numbers in [0, 1].
    """
    from sklearn import metrics  # a second or so, which only who looks at scores should wait for

    true, predicted, p = labels.cpu().numpy(), predictions.cpu().numpy(), probabilities.double().cpu().numpy()
    places = range(len(classes))
    table = metrics.confusion_matrix(true, predicted, labels=places)
    precisions, recalls, f1s, counts = metrics.precision_recall_fscore_support(
        true, predicted, labels=places, zero_division=0.0
    )
    some = [0 < count < len(true) for count in counts]
    areas = [metrics.roc_auc_score(true == place, p[:, place]) if some[place] else math.nan for place in places]
    finite_areas = [area for area in areas if math.isfinite(area)]
    total, right = int(table.sum()), int(table.trace())
    mean = f"{sum(finite_areas) / len(finite_areas):.4f}" if finite_areas else "-"
    f1 = f1s[counts > 0].mean()
    lines = [f"{right:,} of {total:,} right ({right / total:.1%}); macro F1 {f1:.4f}, macro AUC {mean}", ""]
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
        area = f"{areas[place]:7.4f}" if math.isfinite(areas[place]) else f"{'-':>7}"
        scores = f"{precisions[place]:9.3f} {recalls[place]:7.3f} {f1s[place]:7.3f} {area} {counts[place]:9,}"
        lines.append(f"{name:<{side}}  {scores}")
    return "\n".join(lines)


def _short(name: str, most: int = 14) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
