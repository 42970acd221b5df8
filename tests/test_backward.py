"""Gradients of a share of a loss: the bits that PyTorch gives for the loss times the share."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tui_gen.train.tuned import backward


def made(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, list[nn.Parameter]]:
    generator = torch.Generator().manual_seed(5)
    some = [nn.Parameter(torch.randn(7, 3, generator=generator, dtype=dtype)) for _ in range(3)]
    return ((some[0] * some[1].sin()).sum().exp() / 7).sum(), some  # the last one is in no loss


@pytest.mark.parametrize("works", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("share", [1.0, 0.5, 13 / 25])
def test_they_are_those_of_the_loss_times_the_share(monkeypatch, works, dtype, share):
    monkeypatch.setattr(backward, "works", lambda: works)
    loss, parameters = made(dtype)
    *expected, none = torch.autograd.grad(loss * share, parameters, allow_unused=True, retain_graph=True)
    *found, nothing = backward.gradients(loss, share, parameters)
    assert none is nothing is None
    assert all(map(torch.equal, found, expected))


def test_a_loss_with_a_dimension_of_one_is_one_too():
    loss, parameters = made()
    expected = torch.autograd.grad(loss * 0.3, parameters[0], retain_graph=True)
    found = backward.gradients(loss.reshape(1), 0.3, parameters[:1])
    assert torch.equal(found[0], expected[0])


def test_it_works_here():
    assert backward.works()


def test_it_is_left_off_where_pytorch_s_engine_gives_something_else(monkeypatch):
    monkeypatch.setattr(torch.autograd.graph, "_engine_run_backward", lambda *args, **kwargs: (torch.zeros(7), None))
    assert not backward.works.__wrapped__()
    monkeypatch.delattr(torch.autograd.graph, "_engine_run_backward")
    assert not backward.works.__wrapped__()
