"""Layers that are written for speed compute what the plain ones do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tui_gen.models.layers import Slopes
from tui_gen.models.unet import Doubling


def test_doubling_is_a_convolution_of_the_enlarged_image():
    torch.manual_seed(0)
    layer = Doubling(5).double()
    x = torch.randn(2, 5, 4, 4, dtype=torch.float64, requires_grad=True)
    plain = F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), layer.weight, layer.bias, padding=1)
    assert torch.allclose(layer(x), plain, atol=1e-12)
    wanted = (x, layer.weight, layer.bias)
    ours, theirs = (torch.autograd.grad(out.sin().sum(), wanted) for out in (layer(x), plain))
    assert all(torch.allclose(one, two, atol=1e-12) for one, two in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(("leak", "plain"), [(0.2, nn.LeakyReLU(0.2)), (0.0, nn.ReLU())])
def test_slopes_are_the_activation_and_its_penalty_has_the_same_gradient(leak, plain):
    def penalty_gradients(activation: nn.Module) -> tuple[Tensor, ...]:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(6, 8), activation, nn.Linear(8, 4), activation, nn.Linear(4, 1))
        x = torch.randn(9, 6, requires_grad=True)
        score = net(x)
        (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
        loss = score.mean() + (slope.norm(dim=1) - 1).square().mean()
        return score, *torch.autograd.grad(loss, [p for p in net.parameters()])

    for ours, theirs in zip(penalty_gradients(Slopes(leak)), penalty_gradients(plain), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-7)
