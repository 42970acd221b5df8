"""A sweep's results as parallel coordinates: an axis for each setting that was varied, and one for the metric."""

from __future__ import annotations

from tui_gen.draw import parallel
from tui_gen.draw.parallel import Dimension, ParallelPlot
from tui_gen.params import show
from tui_gen.quantities import metric
from tui_gen.sweeps import SweepTable
from tui_gen.text import clean


def dimensions(table: SweepTable) -> list[Dimension]:
    """The axes, with the trials in the order of the table; what matters most stands next to the metric."""
    order = sorted(zip(table.keys, table.names), key=lambda pair: table.importances.get(pair[0], 0.0))
    axes = [
        parallel.dimension(clean(name), [result.values.get(key) for result in table.results], lambda v: clean(show(v)))
        for key, name in order
    ]
    judged = [result.best if result.metric == table.metric else None for result in table.results]
    return [*axes, parallel.outcome(clean(table.metric) or "metric", judged, table.better, metric)]


def importance_words(table: SweepTable) -> str:
    """How much each setting matters: `importance: lr 84 %, latent 16 %`; empty where that is not known."""
    if not table.importances:
        return ""
    names = dict(zip(table.keys, table.names))
    parts = sorted(table.importances.items(), key=lambda item: -item[1])
    return "importance: " + ", ".join(f"{clean(names.get(key, key))} {100 * part:.0f} %" for key, part in parts)


def plot_of(table: SweepTable, width: int, height: int, ascii_only: bool = False) -> ParallelPlot:
    """The plot of the trials in a table; `rows` of it takes a trial's place in that."""
    return ParallelPlot(dimensions(table), width, height, ascii_only)
