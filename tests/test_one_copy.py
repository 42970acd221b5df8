"""Processes of one machine that keep one copy of what they train: the bits of those that keep one each."""

from __future__ import annotations

import copy
import functools
import itertools
import mmap
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import many, small_runs
from tui_gen import tuned
from tui_gen.train.engine import pooling
from tui_gen.train.engine.building import weights_of
from tui_gen.train.engine.ranks import Ranks
from tui_gen.train.tuned import layout, one_copy
from tui_gen.train.tuned.fused_adam import FusedAdam

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", {"train__health_every": 3}),
    "averaged": ("flow-matching", {"train__accumulate": 2}),
    "clipped": ("autoencoder", {"train__phases__autoencoder__clip_norm": 0.5}),
    "cut off": ("gan", {"model__network": "mlp", "model__generator_hidden": [16], "model__discriminator_hidden": [16],
                        "model__loss": "wasserstein", "model__r1_weight": 0.0, "model__replay": 20}),
    "restarted": ("vq-vae", {"model__codebook": "gradient", "model__restart_after": 1}),
}  # fmt: skip
"""Models trained by Adam: some are given whole gradients at some steps or at all, some write to weights besides."""


def state_of(trainer: Any) -> dict[str, Any]:
    """All that it has trained, the optimisers' memories too."""
    average = {} if trainer.average is None else weights_of(trainer.average)
    moments = {
        f"{name} {place} {key}": value
        for name, optimizer in trainer.optimizers.items()
        for place, its in optimizer.state_dict()["state"].items()
        for key, value in its.items()
    }
    tensors = {**weights_of(trainer.model), **{f"average {name}": value for name, value in average.items()}, **moments}
    logged = {name: list(column) for event in trainer.meter.flush() for name, column in event.values.items()}
    return {name: tensor.detach().clone().numpy() for name, tensor in tensors.items()} | logged


def trained(ranks: Ranks) -> dict[str, Any]:
    """Each case after some steps; and after as many that went back in between."""
    answers: dict[str, Any] = {}
    for name, (family, overrides) in CASES.items():
        trainer = small_runs.trainer(family, ranks=ranks, dataset__limit=150, **overrides)
        for _ in range(4):
            trainer.train_step()
        taken = copy.deepcopy((trainer.state(), weights_of(trainer.model), average_of(trainer)))
        for _ in range(3):
            trainer.train_step()
        answers[name] = state_of(trainer)
        ranks.wait()  # a run goes back where nobody reads
        trainer.restore(*taken)
        for _ in range(3):
            trainer.train_step()
        answers[f"{name} again"] = state_of(trainer)
        answers[f"{name} shared"] = trainer.exchange.pool.copy is not None and trainer.exchange.pool.copy.complete
        ranks.wait()
        parameter = next(iter(trainer.parameters.values()))[0]
        with torch.no_grad():
            if ranks.first:
                parameter.fill_(7.0)
            ranks.wait()
            answers[f"{name} seen"] = float(parameter.flatten()[-1]) == 7.0
    return answers


def average_of(trainer: Any) -> Any:
    return None if trainer.average is None else weights_of(trainer.average)


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert np.array_equal(one[name], other[name]), name


def assert_one_copy_is_enough(count: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many processes with one copy have the bits of as many with one each, and one sees what another writes."""
    together = many.run(count, folder, trained, timeout=300)
    monkeypatch.setattr(pooling.one_copy, "works", lambda: False)
    apart = many.run(count, folder, trained, timeout=300)
    for name in CASES:
        assert all(answer[f"{name} shared"] and answer[f"{name} seen"] for answer in together), name
        assert not any(answer[f"{name} shared"] or answer[f"{name} seen"] for answer in apart[1:]), name
        first, again = (apart[0][key] for key in (name, f"{name} again"))
        assert len(first) > 8
        assert_same({key: value for key, value in first.items() if "/" not in key},
                    {key: value for key, value in again.items() if "/" not in key})  # fmt: skip
        assert_same(first, together[0][name])
        assert_same(again, together[0][f"{name} again"])
        for answer in together[1:]:
            assert_same({key: first[key] for key in answer[name]}, answer[name])


@pytest.mark.skipif(sys.platform != "linux", reason="memory is shared on Linux")
def test_one_copy_gives_the_bits_of_one_for_each(tmp_path, monkeypatch):
    """Also after going back to a checkpoint."""
    assert_one_copy_is_enough(2, tmp_path, monkeypatch)


def test_pieces_are_even_and_whole_where_they_can_be():
    for sizes in ([7], [64, 64], [784 * 400, 400, 400 * 784, 784], [3] * 50, [1000, 1, 129]):
        for count in (2, 3, 4):
            parts = layout.pieces(sizes, count)
            for place, size in enumerate(sizes):
                own = sorted((piece.start, piece.stop) for part in parts for piece in part if piece.place == place)
                assert own[0][0] == 0 and own[-1][1] == size
                assert all(a[1] == b[0] and a[1] % layout.UNIT == 0 for a, b in itertools.pairwise(own))
            shares = [sum(piece.stop - piece.start for piece in part) for part in parts]
            assert max(shares) - min(shares) <= 2 * layout.UNIT + max(min(size, layout.UNIT) for size in sizes)


def test_of_a_large_parameter_all_have_as_much():
    size = 4 * layout.LARGE
    for part in layout.pieces([size, 5, size, 3], 4):
        assert [piece.stop - piece.start for piece in part if piece.place in (0, 2)] == [layout.LARGE] * 2


class Thread:
    """A process, as far as one copy needs one: they meet at a barrier."""

    def __init__(self, rank: int, count: int, barrier: threading.Barrier) -> None:
        self.rank, self.count, self._barrier = rank, count, barrier

    def meet(self) -> None:
        self._barrier.wait(60)

    def tell_early(self, parts: int) -> None:
        """Nobody listens."""

    def meet_early(self, early: Callable[[int], None]) -> None:
        self.meet()


@pytest.mark.parametrize("large", [layout.LARGE, 200])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_gradients_are_added_up_in_the_order_of_ranks_again_and_again(monkeypatch, count, large):
    """The third time two parameters have none."""
    monkeypatch.setattr(layout, "LARGE", large)
    shapes, barrier = [(40, 9), (7,), (3, 100)], threading.Barrier(count)
    gradients = [[[torch.randn(shape) for shape in shapes] for _ in range(count)] for _ in range(3)]
    gradients[1][0][0] = gradients[1][0][0].t().contiguous().t()  # one lies in another order
    gradients[0][1][1] = torch.ones(()).expand(7)
    for each in gradients[2]:
        each[1] = each[2] = None

    def exchange(copies, rank):
        found = []
        for each in gradients:
            there, numbers = [gradient is not None for gradient in each[rank]], torch.full((2,), rank + 1.0)
            sums = copies[rank].exchanged("p", each[rank], there, numbers, torch.ones(8), 5)
            assert sums.there == there
            parts = [part if part is None else part.clone() for part in sums.gradients]
            found.append([*zip(copies[rank].views["p"].own, parts)])
            assert sums.numbers.tolist() == [count * (count + 1) / 2] * 2 and sums.flags.tolist() == [count] * 8
            copies[rank].settle()
        return found

    def made(rank):
        parameters = [torch.nn.Parameter(torch.ones(shape)) for shape in shapes]
        optimizer = FusedAdam(parameters, fused=True)
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        return one_copy.OneCopy(Thread(rank, count, barrier), {"p": (optimizer, parameters)})

    copies = [made(rank) for rank in range(count)]
    memory = mmap.mmap(-1, copies[0].size)
    for one in copies:
        one.enter(memory)
    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(functools.partial(exchange, copies), range(count)))
    for turn, each in enumerate(gradients):
        expected = [functools.reduce(torch.add, some).flatten() for some in zip(*each) if some[0] is not None]
        pieces = [pair for its in found for pair in its[turn] if pair[1] is not None]
        assert sum(part.numel() for _, part in pieces) == sum(map(len, expected))
        for piece, part in pieces:
            assert torch.equal(part.flatten(), expected[piece.place][piece.start : piece.stop])


def test_it_is_left_off_where_pieces_come_out_otherwise(monkeypatch):
    assert one_copy.works()
    plain = torch._foreach_lerp_
    monkeypatch.setattr(torch, "_foreach_lerp_", lambda kept, weights, share: plain(kept, weights, share / len(kept)))
    one_copy.works.cache_clear()
    assert not one_copy.works()
    one_copy.works.cache_clear()


def plain(ranks: Ranks) -> list[bool]:
    pools = []
    for family, overrides in (
        ("vae", {}), ("vae", {"train__phases__vae__optimizer": "sgd"}), ("vae", {"train__phases__vae__lr": 0.1})
    ):  # fmt: skip
        tuned.use(overrides.get("train__phases__vae__lr") != 0.1)
        trainer = small_runs.trainer(family, ranks=ranks, dataset__limit=150, **overrides)
        if not overrides:  # somebody's own, which may do anything after an update
            trainer.model.encoder.__class__ = type("Somebodys", (type(trainer.model.encoder),), {"__module__": "own"})
            trainer.phases[0].after = lambda: None
        for _ in range(3):
            trainer.train_step()
        pools.append(trainer.exchange.pool.copy is not None)
    return pools


def test_what_writes_to_weights_besides_and_what_was_begun_without_keeps_a_copy_each(tmp_path):
    assert many.run(2, tmp_path, plain) == [[False] * 3] * 2
