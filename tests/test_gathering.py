"""Values that are gathered come to the curves that they would have come to one by one, by how many steps were made."""

from __future__ import annotations

from array import array

import numpy as np

from tui_gen import events
from tui_gen.draw.series import Series
from tui_gen.log.gathering import Gathering
from tui_gen.log.rows import LogBlock

BOTH = ("a", "b")


def test_whatever_comes_in_whatever_pieces_ends_on_the_same_curves():
    dice = np.random.default_rng(1)
    for _ in range(60):
        direct = {name: Series(dtype=np.float32) for name in ("a", "b")}
        gathered: dict[str, Series] = {}

        def curve(name, gathered=gathered):
            return gathered.setdefault(name, Series(dtype=np.float32))

        gathering, step = Gathering(curve), 0
        for _ in range(30):
            count, stride = int(dice.choice([1, 3, 20, 40])), int(dice.choice([1, 1, 1, 2]))
            if dice.random() < 0.15:
                step = max(0, step - int(dice.integers(0, 60)))  # the run went on from an earlier step
            if dice.random() < 0.3:
                values = dice.normal(size=(2, count)).astype(np.float32)
                for name, row in zip(BOTH, values):
                    direct[name].append_stride(step + 1, stride, row.tolist())
                gathering.take_block(LogBlock(start=step, stride=stride, names=BOTH, values=values))
                step += count * stride
                continue
            for name in ("a", "b") if dice.random() < 0.8 else ("b",):
                column = array("f", dice.normal(size=count))
                values = column if dice.random() < 0.7 else [None if dice.random() < 0.2 else float(v) for v in column]
                event = events.Metrics(start=step, stride=stride, values={})
                direct[name].append_stride(step + 1, stride, list(values))
                gathering.add(name, event, values)
            step += count * stride + int(dice.random() < 0.1)
            if dice.random() < 0.2:
                gathering.flush()
        gathering.flush()
        for name, series in gathered.items():
            assert series.steps.tolist() == direct[name].steps.tolist()
            np.testing.assert_array_equal(series.values, direct[name].values)
