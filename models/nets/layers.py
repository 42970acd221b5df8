"""What models share: perceptrons, convolutional pyramids, label and time codes, batch features, drawn symbols."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tui_gen.model import Batch, DataSpec, Problem, Uncompiled, batch_mean, batch_rows, batch_size, part, pooled

Activation = Callable[[], nn.Module]
ReLU: Activation = partial(nn.ReLU, inplace=True)
LeakyReLU: Activation = partial(nn.LeakyReLU, 0.2, inplace=True)
"""With the slope that DCGAN's authors chose for discriminators."""

class ConstantSlope(nn.Module):
    """A leaky ReLU, or a ReLU (leak 0), as x times its slope there; for gradients that are differentiated again.

    Any shape → the same. The slope is a constant to autograd. PyTorch's own activations have a second derivative that
    is all zeros, and the backward pass of a gradient penalty computes with those zeros in every layer, for as long as
    with any numbers.
    """

    def __init__(self, leak: float) -> None:
        super().__init__()
        self.leak = leak

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.where(x.detach() > 0, 1.0, self.leak)

    def extra_repr(self) -> str:
        return str(self.leak)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "leaky-relu": lambda x: F.leaky_relu(x, 0.2),
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "linear": lambda x: x,
}
"""Activations as functions, by the names that hyperparameters give them."""


def diversity(samples: Tensor, real: Tensor) -> Any:
    """A metric: how different the samples (N, *shape) of a batch are from each other, in shares of what real ones are:
    root mean variances over the batch.

    By sums, as `Tensor.std(0)` takes many times longer on CPUs.
    """
    samples, real = samples.detach().flatten(1), real.detach().flatten(1)

    def ratio(square: Tensor, mean: Tensor, real_square: Tensor, real_mean: Tensor) -> Tensor:
        spread = (square - mean.square().mean()).clamp(min=0).sqrt()
        return spread / (real_square - real_mean.square().mean()).clamp(min=0).sqrt().clamp(min=1e-6)

    return pooled(ratio, samples.square().mean(), samples.mean(0), real.square().mean(), real.mean(0))


def batch_variance(x: Tensor, by_place: bool = False) -> Tensor:
    """The variance of all numbers of a batch (N, …), a scalar; or (…) that of each over the examples."""
    if part() is None:
        return x.var(0, correction=0) if by_place else x.var(correction=0)
    rows = x if by_place else x.flatten(1).mean(1)
    off = x - batch_mean(rows)
    return batch_mean(off.square() if by_place else off.square().flatten(1).mean(1))


@Uncompiled
def progress(batch: Batch, steps: float | Tensor) -> Tensor:
    """How much of the first `steps` steps is done with this one, in (0, 1]: a scalar on the batch's device.

    A tensor, and hidden from the compiler, which would compile every step anew for a number.
    """
    if isinstance(steps, Tensor):
        return ((batch.step + 1) / steps).clamp(max=1.0)
    return torch.full((), min(1.0, (batch.step + 1) / steps), device=batch.x.device)


def norm(kind: str, width: int, dims: int = 2) -> nn.Module:
    """A normalisation by name: `batch`, `group`, or `none` (identity). `dims` is 1 over (N, width), 2 over maps.

    Group normalisation (Wu & He 2018, arXiv:1803.08494) never mixes the samples of a batch. It uses up to eight groups
    of at least two channels; over (N, width), where a group would be a handful of numbers, one (layer normalisation).
    """
    if kind == "batch":
        return BatchNorm2d(width) if dims == 2 else BatchNorm1d(width)
    if kind == "group":
        return group_norm(width, dims)
    return nn.Identity()


def group_norm(width: int, dims: int = 2) -> nn.GroupNorm:
    """The group normalisation of `norm`, of as many `width` and `dims`."""
    groups = math.gcd(8, width) if dims == 2 else 1
    return nn.GroupNorm(groups if groups < width else max(1, width // 2), width)


class BatchNorm1d(nn.BatchNorm1d):
    """Batch normalisation over (N, C), also of a batch of one, by the running statistics: one value has no spread."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if have_spread(x) else _by_running_statistics(self, x)


class BatchNorm2d(nn.BatchNorm2d):
    """As BatchNorm1d, over (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if have_spread(x) else _by_running_statistics(self, x)


def have_spread(x: Tensor) -> bool:
    """Whether a batch (N, C, …) has more than one value a channel, also where this part of it has not."""
    return x.numel() > x.shape[1] or batch_size(len(x)) > 1


def _by_running_statistics(layer: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor) -> Tensor:
    return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps)


def perceptron(sizes: list[int], activation: Activation = ReLU, normalise: str = "none") -> nn.Sequential:
    """Linear layers sizes[0] → … → sizes[-1], with normalisation and activation between them, none at the end."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes[:-1]):
        layers += [nn.Linear(inputs, outputs), *_normalised(normalise, outputs, 1), activation()]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def halving(inputs: int, channels: list[int], activation: Activation, normalise: str = "none") -> nn.Sequential:
    """Strided 4×4 convolutions that halve (N, inputs, S, S) once per entry of `channels`, activated after each.

    As in DCGAN (arXiv:1511.06434), the first one, which sees the image itself, is not normalised.
    """
    layers: list[nn.Module] = []
    for index, outputs in enumerate(channels):
        layers.append(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1))
        layers += _normalised(normalise if index else "none", outputs, 2)
        layers.append(activation())
        inputs = outputs
    return nn.Sequential(*layers)


def doubling(channels: list[int], outputs: int, activation: Activation, normalise: str = "none") -> nn.Sequential:
    """Strided transposed 4×4 convolutions from (N, channels[0], s, s) to (N, outputs, s·2^len(channels), …).

    Every layer but the last is normalised and activated.
    """
    layers: list[nn.Module] = []
    for inputs, width in pairwise(channels):
        layers.append(nn.ConvTranspose2d(inputs, width, 4, stride=2, padding=1))
        layers += [*_normalised(normalise, width, 2), activation()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(channels[-1], outputs, 4, stride=2, padding=1))


def glorot(layer: nn.Module) -> None:
    """Glorot's weights and zero biases, as in the textbooks whose figures the recipes quote."""
    if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, (nn.LSTM, nn.GRU)):
        nn.init.xavier_uniform_(layer.get_parameter("weight_ih_l0"))
        nn.init.orthogonal_(layer.get_parameter("weight_hh_l0"))
        nn.init.zeros_(layer.get_parameter("bias_ih_l0"))
        nn.init.zeros_(layer.get_parameter("bias_hh_l0"))
    if isinstance(layer, nn.LSTM):
        # PyTorch's second bias only adds to the first: it stays what it is, 1 for the forget gate (Gers et al. 2000).
        bias = layer.get_parameter("bias_hh_l0").requires_grad_(False)
        with torch.no_grad():
            bias[layer.hidden_size : 2 * layer.hidden_size] = 1


def _normalised(kind: str, width: int, dims: int) -> list[nn.Module]:
    return [] if kind == "none" else [norm(kind, width, dims)]


def label_planes(codes: Tensor, size: int) -> Tensor:
    """(N, classes) one-hot codes → (N, classes, size, size): every class a plane of 0 or 1."""
    return codes[:, :, None, None].expand(-1, -1, size, size)


def uniform(noise: Tensor) -> Tensor:
    """Standard normal `noise` → uniform numbers in [0, 1], of its shape, through the normal's distribution Φ."""
    return torch.special.ndtr(noise.double().cpu()).float().to(noise.device)


def draw_symbol(logits: Tensor, draw: Tensor, temperature: float) -> Tensor:
    """(N, symbols) logits, (N,) uniform draws → (N,) int64: the symbols in whose share of all probability they fall.

    The same draws give the same symbols but where the probabilities have changed. At a temperature near 0 it is always
    the likeliest one.
    """
    if temperature < 1e-3:
        return logits.argmax(1)
    cumulative = (logits.nan_to_num() / temperature).softmax(1).cumsum(1)
    return torch.searchsorted(cumulative, draw[:, None] * cumulative[:, -1:])[:, 0].clamp(max=logits.shape[1] - 1)


class TimeEmbedding(nn.Module):
    """Sinusoids of a time in [0, T), as in the Transformer and DDPM: (N,) → (N, width) float32, width ≥ 2.

    They come in pairs; an odd width ends in zeros.
    """

    frequencies: Tensor

    def __init__(self, width: int, longest: float = 10_000.0) -> None:
        super().__init__()
        half = width // 2
        self.odd = width % 2
        powers = torch.arange(half, dtype=torch.float64) / half
        self.register_buffer("frequencies", (longest**-powers).float(), persistent=False)

    def forward(self, time: Tensor) -> Tensor:
        angles = time.float()[:, None] * self.frequencies
        return F.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, self.odd))


class Residual(nn.Module):
    """x + conv1×1(ReLU(conv3×3(ReLU(x)))), as in VQ-VAE's paper: (N, width, H, W) → the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(F.relu(self.wide(F.relu(x))))


class MinibatchDiscrimination(nn.Module):
    """How near the other samples of the batch are: features (N, width) → (N, kernels) in [0, N − 1].

    Σ_{j≠i} exp(−‖M_ib − M_jb‖₁) for every kernel b, M = f(x) T with a learned T (Salimans et al. 2016, section 3.2;
    without the sample's own term, which is always 1). In float32, as differences of near samples are small.
    """

    def __init__(self, width: int, kernels: int, numbers: int) -> None:
        super().__init__()
        self.shape = (kernels, numbers)
        self.project = nn.Linear(width, kernels * numbers, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            projections = self.project(features.float()).unflatten(1, self.shape)
            distances = (projections[:, None] - batch_rows(projections)[None]).abs().sum(3)
            return torch.exp(-distances).sum(1) - 1


def refuse_pyramid(key: str, channels: list[int], data: DataSpec, *, halvings: int | None = None) -> Iterator[Problem]:
    """A problem if images of this size cannot be halved once per entry of `channels` (or `halvings` times)."""
    times = len(channels) if halvings is None else halvings
    most = 0
    while data.size % 2 ** (most + 1) == 0 and data.size > 2**most:
        most += 1
    if times > most:
        entries = most if halvings is None else most + len(channels) - halvings
        advice = f"give {key} at most {entries} values" if entries >= 1 else "use the mlp network"
        yield Problem(
            key,
            channels,
            f"halves the image {times} times, but {data.size} px can be halved {most} times",
            f"{advice}, or set dataset.size to a multiple of {2**times}",
        )


def refuse_labels(model: str, config: Any, data: DataSpec) -> Iterator[Problem]:
    """A problem if a conditional model is to train on data without labels."""
    if config.conditional and not data.classes:
        yield Problem(
            "model.conditional", True, f"{data.name} has no labels to condition {model} on", "set it to false"
        )


def refuse_network(key: str, network: str, convolutional: tuple[str, ...], data: DataSpec) -> Iterator[Problem]:
    """A problem if a convolutional network is to see 2-D points."""
    if network in convolutional and data.kind == "points":
        yield Problem(key, network, f"needs images; {data.name} has 2-D points", f"set {key} = mlp")


def refuse_convolutions(network: str, channels: dict[str, list[int]], data: DataSpec) -> Iterator[Problem]:
    """Problems if `model.network`, where it is no `mlp`, is to see 2-D points, or images that cannot be halved once per
    entry of each list of channels, named by its key."""
    if network == "mlp":
        return
    yield from refuse_network("model.network", network, (network,), data)
    if data.kind == "image":
        for key, counts in channels.items():
            yield from refuse_pyramid(key, counts, data)


def refuse_unit_range(key: str, likelihood: str, other: str, data: DataSpec) -> Iterator[Problem]:
    """A problem if a likelihood of values in [0, 1] is to score 2-D points; `other` is one that may."""
    if likelihood in ("bernoulli", "bce") and data.kind == "points":
        yield Problem(key, likelihood, "is for values in [0, 1]; points are not", f"set it to {other}")
