"""Layers that are written for speed compute what the plain ones do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tui_gen import tuned
from tui_gen.models.nets import norm_silu
from tui_gen.models.nets.layers import ConstantSlope
from tui_gen.models.nets.unet import Doubling, UNet


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

    for ours, theirs in zip(penalty_gradients(ConstantSlope(leak)), penalty_gradients(plain), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-7)


def plain_norm_silu(layer: nn.GroupNorm, x: Tensor, shift: Tensor | None) -> Tensor:
    return F.silu(layer(x if shift is None else x + shift[:, :, None, None]))


@pytest.fixture
def in_small_chunks(monkeypatch):
    """Maps of any size go to our own kernel, in chunks of two examples with one left over."""
    monkeypatch.setattr(norm_silu, "WORTH", 1)
    monkeypatch.setattr(norm_silu, "CHUNK", 2 * 12 * 4 * 6)


def norm_and_map(dtype: torch.dtype = torch.float32) -> tuple[nn.GroupNorm, Tensor, Tensor]:
    torch.manual_seed(0)
    layer = nn.GroupNorm(4, 12).to(dtype)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    x = (3 + 2 * torch.randn(5, 12, 4, 6, dtype=dtype)).to(memory_format=torch.channels_last)
    return layer, x.requires_grad_(), torch.randn(5, 12, dtype=dtype).requires_grad_()


@pytest.mark.parametrize("shifted", [False, True])
def test_normalisation_with_silu_and_all_its_gradients(in_small_chunks, shifted):
    layer, x, shift = norm_and_map(torch.float64)
    shift = shift if shifted else None
    wanted = [one for one in (x, shift, layer.weight, layer.bias) if one is not None]
    ours = norm_silu.NormSiLU.apply(x, shift, layer.weight, layer.bias, layer.num_groups, layer.eps)
    plain = plain_norm_silu(layer, x, shift)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(ours, plain, atol=1e-12)
    towards = torch.randn(5, 12, 4, 6, dtype=torch.float64)  # not in channels-last order
    for one, two in zip(torch.autograd.grad(ours, wanted, towards), torch.autograd.grad(plain, wanted, towards)):
        assert one.shape == two.shape
        assert torch.allclose(one, two, atol=1e-12)


def test_normalisation_takes_its_own_kernel_only_where_it_can(in_small_chunks, monkeypatch):
    layer, x, shift = norm_and_map()
    calls: list[Tensor] = []
    own = norm_silu.NormSiLU.apply
    monkeypatch.setattr(norm_silu.NormSiLU, "apply", lambda x, *rest: calls.append(x) or own(x, *rest))
    assert torch.allclose(norm_silu.norm_silu(layer, x, shift), plain_norm_silu(layer, x, shift), atol=1e-5)
    assert len(calls) == 1
    norm_silu.norm_silu(layer, x.contiguous(), shift)
    norm_silu.norm_silu(layer.double(), x.double(), shift.double())
    with torch.autocast("cpu", torch.bfloat16):
        norm_silu.norm_silu(layer.float(), x, shift)
    monkeypatch.setattr(norm_silu, "WORTH", x.numel() + 1)
    norm_silu.norm_silu(layer, x, shift)
    assert len(calls) == 1


@pytest.mark.parametrize("mean", [30.0, 1000.0, 10_000.0])
@pytest.mark.parametrize("shifted", [False, True])
def test_normalisation_of_a_map_whose_mean_is_far_from_zero(in_small_chunks, mean, shifted):
    """As exact as the numbers in the map are: of a mean of 10,000 they keep three digits behind the point."""
    layer, x, shift = norm_and_map()
    x = (x + mean).detach().requires_grad_()
    given = [x, shift, layer.weight, layer.bias]
    doubles = [one.detach().double().requires_grad_() for one in given]
    ours = norm_silu.NormSiLU.apply(x, shift if shifted else None, *given[2:], layer.num_groups, layer.eps)
    moved = doubles[0] + doubles[1][:, :, None, None] if shifted else doubles[0]
    truth = F.silu(F.group_norm(moved, layer.num_groups, *doubles[2:], layer.eps))
    towards = torch.randn(5, 12, 4, 6)
    wanted = [one for one in range(4) if shifted or one != 1]
    mine = torch.autograd.grad(ours, [given[one] for one in wanted], towards)
    theirs = torch.autograd.grad(truth, [doubles[one] for one in wanted], towards.double())
    for one, two in zip((ours, *mine), (truth, *theirs), strict=True):
        assert (one.double() - two).abs().max() < (1e-4 + 1e-6 * mean) * two.abs().max()


def test_what_is_done_for_far_means_changes_no_bit_of_other_maps(in_small_chunks, monkeypatch):
    layer, x, shift = norm_and_map()
    ours = norm_silu.NormSiLU.apply(x, shift, layer.weight, layer.bias, layer.num_groups, layer.eps)
    monkeypatch.setattr(norm_silu, "FAR", float("inf"))
    before = norm_silu.NormSiLU.apply(x, shift, layer.weight, layer.bias, layer.num_groups, layer.eps)
    assert torch.equal(ours, before)
    one_far = torch.cat([x[:4], x[4:] + 5000])  # in a chunk of its own, and in one with others
    monkeypatch.setattr(norm_silu, "FAR", 1000.0)
    assert torch.equal(norm_silu.NormSiLU.apply(one_far, shift, layer.weight, layer.bias, 4, layer.eps)[:4], before[:4])
    monkeypatch.setattr(norm_silu, "CHUNK", 1 << 20)
    assert torch.equal(norm_silu.NormSiLU.apply(one_far, shift, layer.weight, layer.bias, 4, layer.eps)[:4], before[:4])


@pytest.mark.parametrize("mean", [0.0, 3000.0])
def test_drawing_samples_computes_in_memory_that_nobody_needs_with_the_same_bits(in_small_chunks, monkeypatch, mean):
    monkeypatch.setattr(norm_silu, "WORTH_SAMPLING", 1)
    net = UNet(1, [8, 16], 2, True, 0).to(memory_format=torch.channels_last)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.3)
        net.stem.bias.add_(mean)  # so that variances are taken about the mean, too
        x, time = torch.randn(5, 1, 8, 8), torch.arange(5)
        expected = net(x, time)
    before, spare = x.clone(), []
    computed = norm_silu._computed
    monkeypatch.setattr(norm_silu, "_computed", lambda *given: spare.append(given[-1]) or computed(*given))
    with torch.inference_mode():
        assert torch.equal(net(x, time), expected)
    assert torch.equal(x, before)
    # of every block the second map, of those that go up the first as well, and the last of all
    assert sum(spare) == 4 + 1 + 2 * 4 + 1 and len(spare) == 2 * (4 + 1 + 4) + 1


def test_one_switch_leaves_pytorchs_own_kernel(in_small_chunks, monkeypatch):
    layer, x, shift = norm_and_map()
    monkeypatch.setattr(tuned, "on", lambda: False)
    monkeypatch.setattr(norm_silu.NormSiLU, "apply", lambda *_: pytest.fail("by hand"))
    assert torch.equal(norm_silu.norm_silu(layer, x, shift), plain_norm_silu(layer, x, shift))


def test_a_constant_map_is_normalised_to_the_bias(in_small_chunks):
    layer, x, _ = norm_and_map()
    flat = torch.full_like(x, 2.0).requires_grad_()
    out = norm_silu.norm_silu(layer, flat)
    (grad,) = torch.autograd.grad(out.sum(), flat)
    assert torch.allclose(out, F.silu(layer.bias)[None, :, None, None].expand_as(out), atol=1e-3)
    assert torch.isfinite(grad).all()
