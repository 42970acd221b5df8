"""The meter: every step's scalars kept, whatever their type and shape, and no gradient held on to."""

from __future__ import annotations

import weakref

import pytest
import torch

from tui_gen.events import plain
from tui_gen.sharing import Pooled
from tui_gen.train.engine import batch_metrics, exchange
from tui_gen.train.engine.meter import Meter, row_of


@pytest.mark.parametrize(
    "values",
    [
        {"a": torch.tensor(1.5), "b": torch.tensor(2.0)},
        {"a": torch.tensor([1.5]), "b": torch.tensor([2.0])},
        {"a": torch.tensor(1.5, dtype=torch.bfloat16), "b": torch.tensor([2.0])},
        {"a": torch.tensor(1.5, dtype=torch.float64), "b": torch.tensor(2)},
    ],
    ids=["scalars", "vectors of one", "mixed shapes", "mixed types"],
)
def test_scalars_of_every_kind_are_kept(values):
    meter = Meter()
    meter.record(3, ("a", "b"), row_of([torch.tensor(0.5), torch.tensor(1.0)]))
    meter.record(4, tuple(values), row_of(list(values.values())))
    [event] = meter.flush()
    assert (event.start, event.stride, plain(event).values) == (3, 1, {"a": [0.5, 1.5], "b": [1.0, 2.0]})
    assert meter.flush() == []


def test_a_recorded_loss_holds_no_graph_and_no_memory_of_the_step():
    meter, weight = Meter(), torch.ones(2, requires_grad=True)
    loss = weight.sum()
    meter.record(0, ("loss",), row_of([loss]))
    with torch.no_grad():
        loss.zero_()
    [event] = meter.flush()
    assert plain(event).values == {"loss": [2.0]}


def test_metrics_of_many_numbers_are_made_when_they_are_asked_for_and_keep_no_graph():
    meter, weight, asked = Meter(), torch.ones(2, requires_grad=True), []

    def spread(squares, means):
        asked.append(squares)
        return (squares - means).sum()

    values = [weight.sum(), Pooled(spread, (torch.full((2,), 5.0), torch.ones(2)))]
    graph = weakref.ref(values[0])
    row = batch_metrics.row_of_batch(values, batch_metrics.numbers_of(values))
    del values
    meter.record(0, ("loss", "spread"), row)
    assert graph() is None and not asked
    [event] = meter.flush()
    assert plain(event).values == {"loss": [2.0], "spread": [8.0]} and len(asked) == 1
    exchange.Silent().record(0, ("loss", "spread"), row)
    assert len(asked) == 1
