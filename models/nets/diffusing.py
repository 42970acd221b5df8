"""Gaussian diffusion in three parts that know nothing of each other's insides: schedule, denoiser, samplers.

Nothing here has weights. A model that diffuses has a `Diffusion` of what it diffuses, and the network that it trains.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tui_gen.model import Function, Input, part

Network = Callable[[Tensor, Tensor], Tensor]
"""(x (N, …), times (N,)) → what is predicted, of the shape of x; the labels and their guidance are in it."""


def strata(count: int, device: torch.device) -> tuple[Tensor, int]:
    """A place at random in [i, i + 1) for each example i of the batch, (count,) for the `count` that are computed here,
    and how many there are in all."""
    now = part()
    first, total = (0, count) if now is None else (now.place, now.total)
    return torch.arange(first, first + count, device=device) + torch.rand(count, device=device), total


class Schedule(nn.Module):
    """How much noise there is at each time t = 0 … T − 1: x_t = √ᾱ_t · x₀ + √(1 − ᾱ_t) · ε."""

    signal: Tensor
    noise: Tensor

    def __init__(self, kind: str, timesteps: int) -> None:
        super().__init__()
        # ᾱ stays a list of Python numbers for the samplers, which then never have to read the device.
        self.alpha_bars = alpha_bars(kind, timesteps)
        table = torch.tensor(self.alpha_bars, dtype=torch.float64)
        self.register_buffer("signal", table.sqrt().float(), persistent=False)
        self.register_buffer("noise", (1 - table).sqrt().float(), persistent=False)

    def at(self, time: Tensor, dimensions: int) -> tuple[Tensor, Tensor]:
        """√ᾱ and √(1 − ᾱ) of times (N,), each (N, 1, …) of so many dimensions."""
        shape = (len(time), *[1] * (dimensions - 1))
        return self.signal[time].view(shape), self.noise[time].view(shape)


class Diffusion(nn.Module):
    """A schedule, what a network predicts at its times, how errors weigh, and the sampler that is chosen.

    `config` has DDPM's hyperparameters; `sampler`, `sample_steps` and `eta` of it are read when samples are drawn.
    """

    weights: Tensor | None

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.schedule = Schedule(config.schedule, config.timesteps)
        self.register_buffer("weights", None, persistent=False)
        if config.weighting == "min-snr":
            table = torch.tensor(self.schedule.alpha_bars, dtype=torch.float64)
            self.weights = loss_weights(table, config.prediction, config.min_snr_gamma).float()

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

    def clean(self, network: Network, x: Tensor, time: int) -> Tensor:
        """The estimate of x₀, of the shape of x (N, …), at one time: `target` solved for it."""
        alpha_bar = self.schedule.alpha_bars[time]
        signal, noise = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
        prediction = network(x, torch.full((len(x),), time, device=x.device))
        if self.config.prediction == "x0":
            return prediction
        if self.config.prediction == "v":
            return signal * x - noise * prediction
        return (x - noise * prediction) / signal

    def times(self) -> list[int]:
        """The times that the sampler visits, falling: all of them, or `sample_steps` evenly spread ones."""
        total, steps = self.config.timesteps, self.config.sample_steps
        if self.config.sampler == "ddpm" or steps >= total:
            return list(range(total - 1, -1, -1))
        if steps == 1:
            return [total - 1]
        return [round((total - 1) * index / (steps - 1)) for index in range(steps - 1, -1, -1)]

    def walk(self, network: Network, noise: Tensor, limit: Tensor, keep: list[int] | None = None) -> list[Tensor]:
        """From noise (N, …) to a sample, by the sampler's step from each of its times to the next.

        Returns the states after `keep` steps (0 is the noise), or only the last. Each step's estimate of x₀ is kept
        within ±`limit`, the range of the data: at the first steps, where x₀ is divided by a tiny √ᾱ, every small error
        would else be blown up.
        """
        ancestral, times = self.config.sampler == "ddpm", self.times()
        keep = [len(times)] if keep is None else keep
        states, x = {0: noise}, noise
        for index, time in enumerate(times):
            now = self.schedule.alpha_bars[time]
            then = self.schedule.alpha_bars[times[index + 1]] if index + 1 < len(times) else 1.0
            clean = self.clean(network, x, time).clamp(-limit, limit)
            x = ddpm_step(x, clean, now, then) if ancestral else ddim_step(x, clean, now, then, self.config.eta)
            if index + 1 in keep:
                states[index + 1] = x
        return [states[count] for count in keep]

    def step(
        self, network: Network, x: Tensor, time: Tensor, then: Tensor, noise: Tensor, limit: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One step of `walk`, with times as tensors: x (N, …) at `time` (N,) → x at `then`, and the estimate of x₀.

        `then` (N,) is below `time`, −1 for the end; `limit` is that of `walk`. Fresh `noise` has the shape of x;
        without η, and at the end, it is not used. As `ddim_step` has it, but that ᾱ is looked up on the device.
        """
        signal, spread = self.schedule.at(time, x.dim())
        later, remaining = self.schedule.at(then.clamp(min=0), x.dim())
        end = (then < 0).view(later.shape)
        later, remaining = torch.where(end, 1.0, later), torch.where(end, 0.0, remaining)
        prediction = network(x, time)
        if self.config.prediction == "x0":
            clean = prediction
        elif self.config.prediction == "v":
            clean = signal * x - spread * prediction
        else:
            clean = (x - spread * prediction) / signal
        clean = clean.clamp(-limit, limit)
        epsilon = (x - signal * clean) / spread
        eta = 1.0 if self.config.sampler == "ddpm" else self.config.eta
        share = (1 - (signal / later).square()).clamp(min=0)
        sigma = eta * remaining / spread * share.sqrt()
        x = later * clean + (remaining.square() - sigma.square()).clamp(min=0).sqrt() * epsilon
        return x + sigma * noise, clean

    def function(
        self,
        shape: tuple[int, ...],
        label: dict[str, Input],
        sampling: Callable[[Tensor | None], Network],
        limit: Tensor,
    ) -> Function:
        """`step` as what can be taken out of a model, for examples of a `shape`.

        `label` is the input of labels, `sampling` gives the network for them, `limit` is that of `walk`.
        """
        steps = self.config.timesteps
        inputs = {"x": Input(shape), "time": Input((), steps), "then": Input((), steps), "noise": Input(shape), **label}

        def call(x: Tensor, time: Tensor, then: Tensor, noise: Tensor, *labels: Tensor) -> tuple[Tensor, Tensor]:
            return self.step(sampling(labels[0] if labels else None), x, time, then, noise, limit)

        words = "one denoising step; from noise through `times`, then to -1"
        return Function("step", call, inputs, ("next", "clean"), words, {"times": self.times()})

    def trajectory(self, network: Network, noise: Tensor, limit: Tensor, frames: int) -> Tensor:
        """`walk`, within `limit` as it, at evenly spread steps: (frames, N, …), the noise first, the sample last."""
        steps = len(self.times())
        keep = [steps] if frames == 1 else [round(index * steps / max(1, frames - 1)) for index in range(frames)]
        return torch.stack(self.walk(network, noise, limit, keep))


def ddpm_step(x: Tensor, clean: Tensor, now: float, then: float) -> Tensor:
    """One step of DDPM, from x where ᾱ is `now` to where it is `then` (equations 6 and 7 of its paper):

        x' = √ᾱ' β / (1 − ᾱ) · x̂₀ + √α (1 − ᾱ') / (1 − ᾱ) · x + √β̃ · ξ        α = ᾱ / ᾱ' = 1 − β,  ξ ~ N(0, I)
        β̃  = (1 − ᾱ') / (1 − ᾱ) · β

    x̂₀ is `clean`, the estimate of the clean example. It is the step of DDIM with η = 1, and is computed as such.
    """
    return ddim_step(x, clean, now, then, eta=1.0)


def ddim_step(x: Tensor, clean: Tensor, now: float, then: float, eta: float) -> Tensor:
    """One step of DDIM (equation 12 of its paper), without fresh noise where η = 0:

        x' = √ᾱ' · x̂₀ + √(1 − ᾱ' − σ²) · ε̂ + σ · ξ        ε̂ = (x − √ᾱ · x̂₀) / √(1 − ᾱ)
        σ  = η √((1 − ᾱ') / (1 − ᾱ)) √(1 − ᾱ / ᾱ')

    x (N, …) is where ᾱ is `now`, what is returned where it is `then`; x̂₀ is `clean`, (N, …) as well; 0 ≤ η ≤ 1.
    """
    epsilon = (x - math.sqrt(now) * clean) / math.sqrt(1 - now)
    sigma = eta * math.sqrt((1 - then) / (1 - now) * max(0.0, 1 - now / then))
    x = math.sqrt(then) * clean + math.sqrt(max(0.0, 1 - then - sigma**2)) * epsilon
    return x + sigma * torch.randn_like(x) if sigma else x


def loss_weights(alpha_bars: Tensor, prediction: str, gamma: float) -> Tensor:
    """Min-SNR-γ (Hang et al. 2023): (T,) ᾱ → (T,) weights of the squared error in what is predicted.

    γ is `gamma`; min(SNR, γ) on x₀; an error of ε is √SNR times that of x₀, and one of v √(SNR + 1) times.
    """
    snr = alpha_bars / (1 - alpha_bars)
    min_snr = snr.clamp(max=gamma)
    return {"x0": min_snr, "epsilon": min_snr / snr, "v": min_snr / (snr + 1)}[prediction]


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
