"""Gaussian diffusion in three parts, each as its papers print it: schedule, denoiser, samplers. Nothing has weights.

A `Schedule` says how much noise there is at each time, a `Denoiser` what a network learns of x_t and what it makes of
x₀, a `Sampler` how to get from x_t to an x of less noise. A model that diffuses has a `Diffusion`, which has all three
and walks from noise to samples, and the network that it trains.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tui_gen.model import Function, Input, part

Network = Callable[[Tensor, Tensor], Tensor]
"""(x (N, …), times (N,)) → what is predicted, of the shape of x; the labels and their guidance are in it."""
Number = TypeVar("Number", float, Tensor)
"""A number of a schedule: one for all examples, or float64 tensors (N, 1, …) with one for each."""


def root(square: Number) -> Number:
    """√, and 0 below 0. That of a tensor is float32, as the examples are that it is multiplied with."""
    if isinstance(square, Tensor):
        return square.clamp(min=0).sqrt().float()
    return math.sqrt(max(0.0, square))


# The schedule


class Schedule(nn.Module):
    """How much noise there is at each time t = 0 … T − 1: x_t = √ᾱ_t · x₀ + √(1 − ᾱ_t) · ε."""

    signal: Tensor
    noise: Tensor

    def __init__(self, name: str, timesteps: int) -> None:
        super().__init__()
        # ᾱ stays a list of Python numbers for the samplers, which then never have to read the device.
        self.alpha_bars = alpha_bars(name, timesteps)
        self.register_buffer("signal", self.table().sqrt().float(), persistent=False)
        self.register_buffer("noise", (1 - self.table()).sqrt().float(), persistent=False)

    def table(self) -> Tensor:
        """ᾱ of every time, (T,) in float64 on the CPU: 1 − ᾱ is tiny at the first times."""
        return torch.tensor(self.alpha_bars, dtype=torch.float64)

    def at(self, time: Tensor, dimensions: int) -> tuple[Tensor, Tensor]:
        """√ᾱ and √(1 − ᾱ) of times (N,), each (N, 1, …) of so many dimensions."""
        shape = (len(time), *[1] * (dimensions - 1))
        return self.signal[time].view(shape), self.noise[time].view(shape)


def alpha_bars(schedule: str, timesteps: int) -> list[float]:
    """ᾱ_t = Π (1 − β_s) for t = 0 … T−1, T being `timesteps`.

    `linear`: β from 1e-4 to 0.02 at T = 1000, scaled by 1000/T for other T (Ho et al.); `cosine`: Nichol & Dhariwal's
    equation 17 with s = 0.008. β is at most 0.999.
    """
    if schedule == "linear":
        scale = 1000 / timesteps
        rise = [index / max(1, timesteps - 1) for index in range(timesteps)]
        betas = [min(0.999, scale * (1e-4 + (0.02 - 1e-4) * share)) for share in rise]
    else:
        curve = [math.cos((index / timesteps + 0.008) / 1.008 * math.pi / 2) ** 2 for index in range(timesteps + 1)]
        betas = [min(0.999, 1 - after / before) for before, after in pairwise(curve)]
    product, products = 1.0, []
    for beta in betas:
        product *= 1 - beta
        products.append(product)
    return products


def strata(count: int, device: torch.device) -> tuple[Tensor, int]:
    """A place at random in [i, i + 1) for each example i of the batch, (count,) for the `count` that are computed here,
    and how many there are in all."""
    now = part()
    first, total = (0, count) if now is None else (now.place, now.total)
    return torch.arange(first, first + count, device=device) + torch.rand(count, device=device), total


# The denoiser


class Denoiser(nn.Module):
    """What a network is to predict of x_t at the times of a schedule, and how its errors weigh.

    `config` has DDPM's hyperparameters, of which `prediction`, `distance`, `weighting` and its γ are read.
    """

    weights: Tensor | None

    def __init__(self, config: Any, schedule: Schedule) -> None:
        super().__init__()
        self.config = config
        self.schedule = schedule
        self.register_buffer("weights", None, persistent=False)
        if config.weighting == "min-snr":
            self.weights = loss_weights(schedule.table(), config.prediction, config.min_snr_gamma).float()

    def errors(self, network: Network, x: Tensor) -> Tensor:
        """The weighted errors (N,) of what is predicted at a time of each x (N, …): their mean is the loss.

        Times are stratified: the i-th of N examples gets one from the i-th of N equal parts, so they rise.
        """
        config = self.config
        places, count = strata(len(x), x.device)
        time = (places * (config.timesteps / count)).long().clamp(max=config.timesteps - 1)
        epsilon = torch.randn_like(x)
        signal, noise = self.schedule.at(time, x.dim())
        target = self.target(x, epsilon, signal, noise)
        off = network(signal * x + noise * epsilon, time) - target
        if config.distance == "huber":
            errors = F.huber_loss(off, torch.zeros_like(off), reduction="none").flatten(1).mean(1)
        else:
            errors = off.square().flatten(1).mean(1)
        return errors if self.weights is None else errors * self.weights[time]

    def target(self, x: Tensor, epsilon: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
        """What the network is to predict: ε, the clean example x₀, or v = √ᾱ · ε − √(1 − ᾱ) · x₀.

        x and `epsilon` are (N, …), as what is returned; `signal` √ᾱ and `noise` √(1 − ᾱ) broadcast over them.
        """
        if self.config.prediction == "v":
            return signal * epsilon - noise * x
        return epsilon if self.config.prediction == "epsilon" else x

    def clean(self, x: Tensor, prediction: Tensor, alpha_bar: Number) -> Tensor:
        """The estimate of x₀ from x_t and what was predicted of it, all (N, …): `target` solved for it."""
        signal, noise = root(alpha_bar), root(1 - alpha_bar)
        if self.config.prediction == "x0":
            return prediction
        if self.config.prediction == "v":
            return signal * x - noise * prediction
        return (x - noise * prediction) / signal


def loss_weights(alpha_bars: Tensor, prediction: str, gamma: float) -> Tensor:
    """Min-SNR-γ (Hang et al. 2023): (T,) ᾱ → (T,) weights of the squared error in what is predicted.

    γ is `gamma`; min(SNR, γ) on x₀; an error of ε is √SNR times that of x₀, and one of v √(SNR + 1) times.
    """
    snr = alpha_bars / (1 - alpha_bars)
    min_snr = snr.clamp(max=gamma)
    return {"x0": min_snr, "epsilon": min_snr / snr, "v": min_snr / (snr + 1)}[prediction]


# The samplers


class Sampler(abc.ABC):
    """From x_t, where ᾱ is `now`, to an x' of less noise, where it is `then` (equation 12 of DDIM's paper):

        x' = √ᾱ' · x̂₀ + √(1 − ᾱ' − σ²) · ε̂ + σ · ξ        ε̂ = (x − √ᾱ · x̂₀) / √(1 − ᾱ),  ξ ~ N(0, I)

    Whatever σ is, x' has as much noise as it should; samplers differ in σ, and in the times that they visit.
    """

    @abc.abstractmethod
    def times(self) -> list[int]:
        """The times that are visited, falling from T − 1 at most."""

    @abc.abstractmethod
    def sigma(self, now: Number, then: Number) -> Number:
        """σ, the deviation of the fresh noise in a step."""

    def step(self, x: Tensor, clean: Tensor, now: Number, then: Number, fresh: Tensor | None) -> Tensor:
        """x' (N, …) from x, x̂₀ `clean` and ξ `fresh`, all (N, …); without ξ where σ is 0."""
        sigma = self.sigma(now, then)
        epsilon = (x - root(now) * clean) / root(1 - now)
        x = root(then) * clean + root(1 - then - sigma**2) * epsilon
        return x if fresh is None else x + sigma * fresh


@dataclass(frozen=True)
class DDPMSampler(Sampler):
    """Every step back through the chain, q(x' | x, x̂₀) (equations 6 and 7 of DDPM's paper):

        x' = √ᾱ' β / (1 − ᾱ) · x̂₀ + √α (1 − ᾱ') / (1 − ᾱ) · x + √β̃ · ξ        α = ᾱ / ᾱ' = 1 − β

    With x = √ᾱ · x̂₀ + √(1 − ᾱ) · ε̂ that is the step above, of σ² = β̃.
    """

    timesteps: int

    def times(self) -> list[int]:
        return list(range(self.timesteps - 1, -1, -1))

    def sigma(self, now: Number, then: Number) -> Number:
        """√β̃, of β̃ = (1 − ᾱ') / (1 − ᾱ) · β."""
        return root((1 - then) / (1 - now) * (1 - now / then))


@dataclass(frozen=True)
class DDIMSampler(DDPMSampler):
    """Some `steps` of the times, evenly spread, with η between 0, no fresh noise, and 1, that of DDPM (equation 16)."""

    steps: int
    eta: float

    def times(self) -> list[int]:
        total, steps = self.timesteps, self.steps
        if steps >= total:
            return super().times()
        if steps == 1:
            return [total - 1]
        return [round((total - 1) * index / (steps - 1)) for index in range(steps - 1, -1, -1)]

    def sigma(self, now: Number, then: Number) -> Number:
        """η √((1 − ᾱ') / (1 − ᾱ)) √(1 − ᾱ / ᾱ')."""
        return self.eta * super().sigma(now, then)


# All three


class Diffusion(nn.Module):
    """A schedule, what a network predicts at its times, and the sampler that is chosen when samples are drawn.

    `config` has DDPM's hyperparameters; `sampler`, `sample_steps` and `eta` of it may change.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.schedule = Schedule(config.schedule, config.timesteps)
        self.denoiser = Denoiser(config, self.schedule)

    @property
    def sampler(self) -> Sampler:
        """The one that the hyperparameters ask for as they are now."""
        config = self.config
        if config.sampler == "ddpm":
            return DDPMSampler(config.timesteps)
        return DDIMSampler(config.timesteps, config.sample_steps, config.eta)

    def walk(self, network: Network, noise: Tensor, limit: Tensor, keep: list[int] | None = None) -> list[Tensor]:
        """From noise (N, …) to a sample, by the sampler's step from each of its times to the next.

        Returns the states after `keep` steps (0 is the noise), or only the last. Each step's estimate of x₀ is kept
        within ±`limit`, the range of the data: at the first steps, where x₀ is divided by a tiny √ᾱ, every small error
        would else be blown up.
        """
        sampler, bars = self.sampler, self.schedule.alpha_bars
        times = sampler.times()
        keep = [len(times)] if keep is None else keep
        states, x = {0: noise}, noise
        for count, (time, later) in enumerate(pairwise([*times, -1]), 1):
            now, then = bars[time], bars[later] if later >= 0 else 1.0
            prediction = network(x, torch.full((len(x),), time, device=x.device))
            clean = self.denoiser.clean(x, prediction, now).clamp(-limit, limit)
            x = sampler.step(x, clean, now, then, torch.randn_like(x) if sampler.sigma(now, then) else None)
            if count in keep:
                states[count] = x
        return [states[count] for count in keep]

    def trajectory(self, network: Network, noise: Tensor, limit: Tensor, frames: int) -> Tensor:
        """`walk`, within `limit` as it, at evenly spread steps: (frames, N, …), the noise first, the sample last."""
        steps = len(self.sampler.times())
        keep = [steps] if frames == 1 else [round(index * steps / max(1, frames - 1)) for index in range(frames)]
        return torch.stack(self.walk(network, noise, limit, keep))

    def function(
        self,
        shape: tuple[int, ...],
        label: dict[str, Input],
        sampling: Callable[[Tensor | None], Network],
        limit: Tensor,
    ) -> Function:
        """A step of `walk` as what can be taken out of a model, for examples of a `shape`: x at `time` → x at `then`.

        `label` is the input of labels, `sampling` gives the network for them, `limit` is that of `walk`. Times are
        tensors (N,); `then` is below `time`, −1 for the end. Fresh `noise` is not used without η, and at the end.
        """
        steps = self.config.timesteps
        inputs = {"x": Input(shape), "time": Input((), steps), "then": Input((), steps), "noise": Input(shape), **label}
        bars = torch.cat([self.schedule.table(), torch.ones(1, dtype=torch.float64)])  # −1 is the last: ᾱ = 1

        def call(x: Tensor, time: Tensor, then: Tensor, noise: Tensor, *labels: Tensor) -> tuple[Tensor, Tensor]:
            ones = [1] * (x.dim() - 1)
            now, later = (bars.to(x.device)[at].view(len(x), *ones) for at in (time, then))
            prediction = sampling(labels[0] if labels else None)(x, time)
            clean = self.denoiser.clean(x, prediction, now).clamp(-limit, limit)
            return self.sampler.step(x, clean, now, later, noise), clean

        words = "one denoising step; from noise through `times`, then to -1"
        return Function("step", call, inputs, ("next", "clean"), words, {"times": self.sampler.times()})
