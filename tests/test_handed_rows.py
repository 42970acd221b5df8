"""Wide linear layers of which processes of one machine hand over rows in the place of their weights' gradients."""

from __future__ import annotations

import copy
import functools
import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests import many, small_runs
from tests.test_one_copy import assert_same, state_of
from tests.waiting import wait_for
from tui_gen.train.engine.building import weights_of
from tui_gen.train.engine.ranks import Ranks
from tui_gen.train.tuned import handed_rows, meeting
from tui_gen.train.tuned.handed_rows import HandedLinear, Rows, handing, noted

WIDE = {"model__hidden": [1025], "train__batch_size": 25, "dataset__limit": 150}
"""A VAE with 64 × 1,025 weights on both ends, of which one process updates all of the last ones, as they are cut after
whole rows and 64 numbers; and batches that two or three processes do not have equal shares of."""


def stepped(ranks: Ranks, steps: int, hands: bool = True, blocks: bool = True, **overrides: Any) -> Any:
    trainer = small_runs.trainer("vae", ranks=ranks, **(WIDE | overrides))
    trainer.hands_rows, trainer.in_blocks = hands, blocks
    for _ in range(steps):
        trainer.train_step()
    return trainer


def trained(ranks: Ranks) -> dict[str, Any]:
    """The same steps in several ways, and how many layers handed rows over."""
    answers: dict[str, Any] = {}
    for name, hands, overrides in (
        ("rows", True, {}), ("sums", False, {}), ("watched", True, {"train__health_every": 2}),
        ("clipped", True, {"train__phases__vae__clip_norm": 0.5}),
        ("sums, clipped", False, {"train__phases__vae__clip_norm": 0.5}), ("parts", True, {"train__accumulate": 2}),
    ):  # fmt: skip
        trainer = stepped(ranks, 6, hands, **overrides)
        answers[name] = state_of(trainer)
        answers[f"{name} handed"] = len(trainer.exchange.pool.copy.views["vae"].full())
        ranks.wait()
    trainer = stepped(ranks, 3)
    taken = copy.deepcopy((trainer.state(), weights_of(trainer.model), None))
    ranks.wait()
    for name, hands in (("rows", True), ("sums", False)):
        again = small_runs.trainer("vae", ranks=ranks, **WIDE)
        state = dict(taken[0])
        if not hands:  # of a run that began before there were any
            del state["hands_rows"]
        again.restore(state, *taken[1:])
        for _ in range(3):
            again.train_step()
        answers[f"{name} again"] = state_of(again)
        answers[f"{name} again handed"] = len(again.exchange.pool.copy.views["vae"].full())
        ranks.wait()
    return answers


def shared(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """The same steps with blocks, with pieces as runs did that were begun before, and with blocks of which rank 1 comes
    too late for those of the last layer; and how many it took."""
    answers: dict[str, Any] = {}
    for name in ("blocks", "pieces", "late"):
        trainer = stepped(ranks, 2, blocks=name != "pieces", model__hidden=[1026])
        views = trainer.exchange.pool.copy.views["vae"]
        assert (views.work is None) == (name == "pieces")
        taken: list[int] = []
        if name == "late":
            last = views.work.shared[max(views.work.shared)]
            last.gradient = counted(last.gradient, taken)
            if ranks.first:
                views.compute = then_told(views.compute, folder)
            else:
                views.send = after_it_was_told(views.send, folder)
        for _ in range(5):
            trainer.train_step()
        answers[name], answers[f"{name} taken"] = state_of(trainer), len(taken)
        ranks.wait()
    before = copy.deepcopy((trainer.state(), weights_of(trainer.model), None))
    del before[0]["in_blocks"]
    ranks.wait()
    again = stepped(ranks, 0, model__hidden=[1026])
    again.restore(*before)
    averaged = stepped(ranks, 0, train__ema=0.9)
    for name, its in (("begun before", again), ("averaged", averaged)):
        its.train_step()
        its.train_step()
        answers[name] = its.exchange.pool.copy.views["vae"].work is None
        ranks.wait()
    return answers


def counted(gradient: Any, taken: list[int]) -> Any:
    def count(block: Any) -> torch.Tensor:
        taken.append(block.start)
        found: torch.Tensor = gradient(block)
        return found

    return count


def then_told(compute: Any, folder: Path) -> Any:
    """What is computed while another is waited for, and after it a file for each time."""

    def told(parts: int) -> None:
        compute(parts)
        (folder / f"computed-{len(list(folder.glob('computed-*')))}").touch()

    return told


def after_it_was_told(send: Any, folder: Path) -> Any:
    times = itertools.count()

    def late(gradients: Any) -> Any:
        wait_for((folder / f"computed-{next(times)}").exists)
        return send(gradients)

    return late


def weights(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if isinstance(value, np.ndarray)}


@pytest.mark.skipif(sys.platform != "linux", reason="memory is shared on Linux")
@pytest.mark.parametrize("count", [2, 3])
def test_rows_give_the_weights_of_sums_whoever_looks_on_and_go_on_from_a_checkpoint(count, tmp_path):
    together = many.run(count, tmp_path, trained, timeout=300)
    first, *others = together
    for name, handed in (("rows", 2), ("sums", 0), ("watched", 2), ("clipped", 2), ("sums, clipped", 0), ("parts", 0),
                         ("rows again", 2), ("sums again", 0)):  # fmt: skip
        assert [answer[f"{name} handed"] for answer in together] == [handed] * count, name
        for answer in others:
            assert_same(weights(first[name]), weights(answer[name]))
    assert_same(weights(first["rows"]), weights(first["watched"]))
    assert_same(weights(first["rows"]), weights(first["rows again"]))
    for name, other in (("rows", "sums"), ("clipped", "sums, clipped"), ("parts", "sums"), ("sums again", "sums")):
        for key, value in weights(first[other]).items():
            np.testing.assert_allclose(first[name][key], value, rtol=1e-3, atol=2e-5, err_msg=f"{name} {key}")


@pytest.mark.skipif(sys.platform != "linux" or not meeting.IN_ORDER, reason="memory is shared on Linux, early on x86")
def test_who_is_ready_first_computes_more_and_nothing_else_changes(tmp_path):
    (folder := tmp_path / "told").mkdir()
    first, second = many.run(2, tmp_path, functools.partial(shared, folder=folder), timeout=300)
    for name in ("blocks", "pieces", "late"):
        assert_same(weights(first[name]), weights(second[name]))
        for key, value in weights(first["pieces"]).items():
            np.testing.assert_allclose(first[name][key], value, rtol=1e-3, atol=2e-5, err_msg=f"{name} {key}")
    assert_same(weights(first["blocks"]), weights(first["late"]))
    assert first["late taken"] == 2 * 5 and second["late taken"] == 0
    assert first["begun before"] and first["averaged"]


def test_it_works_here():
    assert handed_rows.works()


def pair() -> tuple[nn.Linear, HandedLinear, Rows]:
    """A layer, one that hands rows over and has the same weights, and where it does."""
    plain, handed = nn.Linear(6, 5), HandedLinear(6, 5)
    handed.load_state_dict(plain.state_dict())
    alike = handed.weight.detach().requires_grad_()
    return plain, handed, Rows(torch.zeros(8, 6), torch.zeros(8, 5), slice(2, 6), alike, {id(handed.bias)})


def test_weights_get_no_gradient_and_rows_are_where_they_belong():
    plain, handed, rows = pair()
    x = torch.randn(4, 6, requires_grad=True)
    with noted({id(handed.weight): rows}):
        loss = handed(x).square().sum()
    with handing():
        weight, bias, of_x = torch.autograd.grad(loss, [handed.weight, handed.bias, x], allow_unused=True)
    expected = torch.autograd.grad(plain(x).square().sum(), [plain.weight, plain.bias, x])
    assert weight is None and rows.full
    assert torch.equal(bias, expected[1]) and torch.equal(of_x, expected[2])
    torch.testing.assert_close(rows.of_own(), expected[0])
    assert not rows.inputs[:2].any() and not rows.gradients[6:].any()
    torch.testing.assert_close(rows.part(6, 18), expected[0][1:3])


@pytest.mark.parametrize(
    "how",
    ["twice", "other rows", "elsewhere", "without gradients", "a penalty", "a penalty besides", "regularised",
     "another bias"],
)
def test_what_rows_cannot_tell_is_an_ordinary_gradient(how):
    plain, handed, rows = pair()
    x = torch.randn(4, 6, requires_grad=True)

    if how == "another bias":  # of another phase, say
        handed.bias = nn.Parameter(handed.bias.detach())
    def loss(layer: nn.Linear) -> torch.Tensor:
        if how == "twice":
            return (layer(x) * layer(2 * x)).sum()
        if how == "other rows":
            return layer(torch.cat([x, x])).square().sum() + layer(x[None]).square().sum()
        if how == "without gradients":
            with torch.no_grad():
                layer(x)
            return layer.weight.square().sum()
        out = layer(x).square().sum()
        if how.startswith("a penalty"):
            (slope,) = torch.autograd.grad(out, x, create_graph=True)
            return slope.square().sum() + (out if how == "a penalty besides" else 0)
        if how == "regularised":
            torch.autograd.grad(out, x, retain_graph=True)  # a gradient that is only looked at
            return out + layer.weight.square().sum()
        return out

    with noted({id(handed.weight): rows} if how != "elsewhere" else {}):
        value = loss(handed)
    besides = how in ("twice", "a penalty", "a penalty besides", "another bias")
    assert (rows.users > 0 and not rows.do) == besides
    with handing():
        sources = [handed.weight, handed.bias, *([rows.weights] if besides else [])]
        weight, _, *more = torch.autograd.grad(value, sources, allow_unused=True)
    [expected] = torch.autograd.grad(loss(plain), plain.weight)
    parts = [part for part in (weight, *more, rows.of_own() if rows.full else None) if part is not None]
    torch.testing.assert_close(sum(parts), expected)
    assert rows.full == (how == "regularised")
