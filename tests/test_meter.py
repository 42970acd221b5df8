"""The meter: every step's scalars kept, whatever their type and shape, and no gradient held on to."""

from __future__ import annotations

import pytest
import torch

from tui_gen.events import plain
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
