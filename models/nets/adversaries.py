"""A GAN's two networks, generator and discriminator, and the gradient that penalties are made of."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from tui_gen.model import Batch, DataSpec, Problem, Uncompiled, hyper, nonzero, one_hot
from tui_gen.models.nets.layers import (
    Activation,
    ConstantSlope,
    LeakyReLU,
    MinibatchDiscrimination,
    ReLU,
    batch_variance,
    doubling,
    halving,
    norm,
    perceptron,
    progress,
)
from tui_gen.models.nets.settings import maps, widths

# The hyperparameters of the two networks and of what steadies them, in the order in which a GAN declares them.
GeneratorWidths = Annotated[list[int], widths("Layer widths of the mlp generator", ge=2, min_items=1)]
DiscriminatorWidths = Annotated[list[int], widths("Layer widths of the mlp discriminator", ge=2, min_items=1)]
GeneratorMaps = Annotated[list[int], maps("Channels of the dcgan generator; each doubles the map")]
DiscriminatorMaps = Annotated[list[int], maps("Channels of the dcgan discriminator; each halves it")]
GeneratorNorm = Annotated[Literal["batch", "group", "none"], hyper("Normalisation in the generator")]
DiscriminatorNorm = Annotated[
    Literal["none", "spectral", "group", "batch"], hyper("Normalisation in the discriminator")
]
Hidden = Annotated[
    Literal["leaky-relu", "relu"], hyper("Hidden activation of the mlp networks; leaky has slope 0.2 below 0")
]
BatchSpread = Annotated[bool, hyper("Show the discriminator how much the samples of a batch differ from each other")]
Kernels = Annotated[
    int, hyper("B of minibatch discrimination: projections that compare the samples; 0 is off", ge=0, le=256)
]
KernelWidth = Annotated[int, hyper("C of minibatch discrimination: numbers that each projection compares", ge=1, le=32)]
PenaltyWeight = Annotated[float, hyper("λ of the gradient penalty (wasserstein-gp)", ge=0, le=1000, live=True)]
WeightClip = Annotated[
    float, hyper("Largest weight of the discriminator (wasserstein)", ge=1e-4, le=10, live=True)
]
PenaltySteps = Annotated[
    int, hyper("Steps between R1 penalties (lazy: the weight is scaled up)", ge=1, le=1000, live=True)
]
LabelSmoothing = Annotated[
    float, hyper("Real images count as 1 − this (non-saturating, least-squares)", ge=0, le=0.5, live=True)
]
InputNoise = Annotated[
    float, hyper("Spread of noise on all that the discriminator sees; 0 is off", ge=0, le=10, live=True)
]
RARE = (
    "generator_norm", "discriminator_norm", "minibatch_std", "minibatch_kernels", "r1_weight", "label_smoothing",
    "instance_noise", "augment", "replay",
)  # fmt: skip
"""What a first look at a GAN's settings does without."""
WHEN = {
    **dict.fromkeys(("generator_hidden", "discriminator_hidden", "activation"), "network=mlp"),
    **dict.fromkeys(("generator_channels", "discriminator_channels"), "network=dcgan"),
    "gp_weight": "loss=wasserstein-gp", "weight_clip": "loss=wasserstein",
    "label_smoothing": "loss=non-saturating|least-squares", "minibatch_width": "minibatch_kernels",
    "r1_every": "r1_weight", "instance_noise_steps": "instance_noise", "replay_share": "replay",
}  # fmt: skip
"""What each needs to have an effect."""

HIDDEN = {"leaky-relu": LeakyReLU, "relu": ReLU}
DOUBLE_BACKWARD: dict[str, Activation] = {
    "leaky-relu": partial(ConstantSlope, 0.2),
    "relu": partial(ConstantSlope, 0.0),
}
"""The same for a critic whose gradient is part of every step's loss."""


class Generator(nn.Module):
    """G: noise (N, latent), and labels where conditional, → (N, *data.shape); images through tanh."""

    def __init__(self, config: Any, data: DataSpec, label_count: int) -> None:
        super().__init__()
        self.label_count, self.shape = label_count, data.shape
        inputs, kind = config.latent + label_count, config.generator_norm
        if config.network == "mlp":
            activation = HIDDEN[config.activation]
            self.layers = perceptron([inputs, *config.generator_hidden, data.features], activation, kind)
        else:
            small = data.size // 2 ** len(config.generator_channels)
            first = config.generator_channels[0]
            self.layers = nn.Sequential(
                nn.Linear(inputs, first * small**2),
                nn.Unflatten(1, (first, small, small)),
                norm(kind, first),
                ReLU(),
                doubling(config.generator_channels, data.channels, ReLU, kind),
            )
        self.end = nn.Identity() if data.kind == "points" else nn.Tanh()

    def forward(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        if self.label_count:
            noise = torch.cat([noise, one_hot(labels, self.label_count)], dim=1)
        return self.end(self.layers(noise)).float().reshape(len(noise), *self.shape)


class Discriminator(nn.Module):
    """D: images (N, *data.shape) → raw scores (N,).

    A conditional one adds the inner product of its features with an embedding of the label (the projection
    discriminator, Miyato & Koyama 2018, arXiv:1802.05637). With `minibatch_std`, the mean standard deviation of the
    features over the batch is one more feature (Karras et al. 2018, arXiv:1710.10196); with `minibatch_kernels`,
    `MinibatchDiscrimination` adds as many.
    """

    def __init__(self, config: Any, data: DataSpec, label_count: int) -> None:
        super().__init__()
        kind = "none" if config.discriminator_norm == "spectral" else config.discriminator_norm
        hidden = DOUBLE_BACKWARD if config.loss == "wasserstein-gp" else HIDDEN
        if config.network == "mlp":
            sizes: list[int] = [data.features, *config.discriminator_hidden]
            width = sizes[-1]
            activation = hidden[config.activation]
            body = perceptron(sizes, activation, kind)
            self.features = nn.Sequential(nn.Flatten(), *body, norm(kind, width, 1), activation())
        else:
            small = data.size // 2 ** len(config.discriminator_channels)
            width = config.discriminator_channels[-1] * small**2
            body = halving(data.channels, config.discriminator_channels, hidden["leaky-relu"], kind)
            self.features = nn.Sequential(body, nn.Flatten())
        self.minibatch_std = config.minibatch_std
        kernels = config.minibatch_kernels
        # Where a sample's score depends on the samples beside it, real and generated ones must not meet.
        self.mixes = self.minibatch_std or kernels > 0 or kind == "batch"
        self.closeness = MinibatchDiscrimination(width, kernels, config.minibatch_width) if kernels else None
        self.score = nn.Linear(width + self.minibatch_std + kernels, 1)
        self.label = nn.Embedding(label_count, width) if label_count else None
        if config.discriminator_norm == "spectral":
            for module in list(self.modules()):
                if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
                    spectral_norm(module)

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        features = self.features(x)
        all_features = [features]
        if self.minibatch_std:
            all_features.append((batch_variance(features, by_place=True) + 1e-8).sqrt().mean().expand(len(x), 1))
        if self.closeness is not None:
            all_features.append(self.closeness(features))
        score = self.score(torch.cat(all_features, dim=1) if len(all_features) > 1 else features).squeeze(1)
        if self.label is not None:
            score = score + (self.label(labels) * features).sum(1)
        return score.float()

    def scores(
        self, x: Tensor, labels: Tensor | None, fakes: Tensor, fake_labels: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Raw scores (N,) of real images x (N, *data.shape) and (M,) of `fakes` (M, *data.shape), with `fake_labels`
        (M,).
        """
        if self.mixes:
            return self(x, labels), self(fakes, fake_labels)
        # One forward: twice the work per launch.
        both = None if labels is None or fake_labels is None else torch.cat([labels, fake_labels])
        return self(torch.cat([x, fakes]), both).chunk(2)


def gradient_norms(discriminator: nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
    """‖∇ₓ D(x)‖₂ of every sample (N,), differentiable in D's weights.

    In float32 whatever the precision of the step: under autocast the gradients of the penalty lose directions.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x.detach().float()
        if torch.compiler.is_compiling():  # a form for compiled code, a tenth slower; it imports the compiler
            gradient = torch.func.grad(lambda x: discriminator(x, labels).sum())(x)
        else:
            differentiable = torch.is_grad_enabled()
            with torch.enable_grad():
                x.requires_grad_()
                (gradient,) = torch.autograd.grad(discriminator(x, labels).sum(), x, create_graph=differentiable)
        return gradient.flatten(1).square().sum(1).add(1e-12).sqrt()


def clip(network: nn.Module, limit: float) -> None:
    """Set every weight of a network that is outside of [−limit, limit] to the nearer end."""
    weights = [parameter.data for parameter in network.parameters()]
    torch._foreach_clamp_min_(weights, -limit)
    torch._foreach_clamp_max_(weights, limit)


def noise_spread(batch: Batch, config: Any) -> float | Tensor:
    """The standard deviation of this step's instance noise, a scalar; it fades to 0 over `instance_noise_steps`, if
    any.
    """
    steps = config.instance_noise_steps
    fade = 1 - progress(batch, steps) if nonzero(steps) else 1.0
    return config.instance_noise * fade


@Uncompiled
def r1_weight(batch: Batch, config: Any) -> float | Tensor | None:
    """What R1 weighs in this step, None in the steps between. Hidden from the compiler, as `progress` is."""
    return None if batch.step % config.r1_every else config.r1_weight * config.r1_every


def refuse_mixing(config: Any) -> Iterator[Problem]:
    """A problem for each penalty on single samples' gradients that meets a discriminator which mixes the samples."""
    if config.loss == "wasserstein-gp" and config.discriminator_norm == "batch":
        yield Problem(
            "model.discriminator_norm",
            "batch",
            "mixes the samples of a batch, so wasserstein-gp's per-sample gradient would be wrong",
            "use none, group or spectral",
        )
    if config.r1_weight and config.discriminator_norm == "batch":
        yield Problem(
            "model.r1_weight",
            config.r1_weight,
            "needs the gradient of each sample alone, and batch normalisation mixes the samples",
            "set it to 0, or model.discriminator_norm to none, group or spectral",
        )
    if config.loss == "wasserstein-gp" and config.minibatch_kernels:
        yield Problem(
            "model.minibatch_kernels",
            config.minibatch_kernels,
            "scores samples by each other, so wasserstein-gp's per-sample gradient would be wrong",
            "set it to 0, or model.loss to another",
        )


def refuse_smoothing(config: Any) -> Iterator[Problem]:
    """A problem if labels are to be smoothed where real images have none."""
    if config.label_smoothing and config.loss not in ("non-saturating", "least-squares"):
        words = f"softens the target 1 of real images, and {config.loss} has no such target"
        hint = "set it to 0, or model.loss to non-saturating or least-squares"
        yield Problem("model.label_smoothing", config.label_smoothing, words, hint)
