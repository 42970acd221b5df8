"""Denoising diffusion (Ho, Jain & Abbeel 2020): cosine schedule, DDIM, ε/v/x₀-prediction, min-SNR-γ, guidance."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from tui_gen.model import Batch, DataSpec, Loss, Optim, Phase, hyper
from tui_gen.models.nets.guidance import QUARTERS, Guided, by_time, guided


class DDPM(Guided):
    name = "ddpm"
    family = "diffusion"
    title = "Denoising diffusion"
    summary = "Learns to remove noise step by step, until noise becomes an image."
    reference = (
        "Ho, Jain & Abbeel 2020, arXiv:2006.11239; cosine schedule: Nichol & Dhariwal 2021, arXiv:2102.09672; "
        "DDIM: Song, Meng & Ermon 2021, arXiv:2010.02502; v-prediction: Salimans & Ho 2022, arXiv:2202.00512; "
        "min-SNR-γ: Hang et al. 2023, arXiv:2303.09556; guidance: Ho & Salimans 2022, arXiv:2207.12598"
    )
    optimizers = {"ddpm": Optim(lr=1e-3)}
    judged = ("loss",)
    together = (QUARTERS,)

    class Config(Guided.Config):
        timesteps: Annotated[int, hyper("T, the steps from clean to noise", ge=2, le=10_000, unit="steps")] = 1000
        schedule: Annotated[Literal["linear", "cosine"], hyper("How noise is mixed in over the steps")] = "cosine"
        prediction: Annotated[
            Literal["epsilon", "v", "x0"], hyper("What the network predicts: noise, velocity or clean example")
        ] = "epsilon"
        weighting: Annotated[
            Literal["simple", "min-snr"], hyper("What each time weighs in the loss: all the same, or at most γ on x₀")
        ] = "simple"
        min_snr_gamma: Annotated[float, hyper("γ of the min-snr weighting", ge=0.01, le=1000)] = 5.0
        distance: Annotated[
            Literal["squared", "huber"], hyper("How the loss measures errors; huber is half the square below 1")
        ] = "squared"
        sampler: Annotated[
            Literal["ddpm", "ddim"], hyper("ddpm takes every step; ddim takes sample_steps", live=True)
        ] = "ddim"
        sample_steps: Annotated[int, hyper("Steps of the ddim sampler", ge=1, le=10_000, unit="steps", live=True)] = 50
        eta: Annotated[float, hyper("Fresh noise in the ddim sampler; 0 is deterministic", ge=0, le=1, live=True)] = 0.0

    signal: Tensor
    noise: Tensor
    limit: Tensor
    weights: Tensor | None

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__(config, data)
        limit = 1.0 if data.kind == "image" else 4.0
        # ᾱ stays a list of Python numbers for the sampler, which then never has to read the device.
        self.alpha_bars = alpha_bars(config.schedule, config.timesteps)
        table = torch.tensor(self.alpha_bars, dtype=torch.float64)
        self.register_buffer("signal", table.sqrt().float(), persistent=False)
        self.register_buffer("noise", (1 - table).sqrt().float(), persistent=False)
        self.register_buffer("limit", torch.tensor(limit), persistent=False)
        self.register_buffer("weights", None, persistent=False)
        if config.weighting == "min-snr":
            self.weights = loss_weights(table, config.prediction, config.min_snr_gamma).float()

    def phases(self) -> list[Phase]:
        return [Phase(self.name, self.loss, [p for p in self.parameters() if p.requires_grad])]

    def loss(self, batch: Batch) -> Loss:
        """The simple loss (equation 14 of DDPM) on what is predicted, and its part from each quarter of the times."""
        x = batch.x
        count = len(x)
        places = torch.arange(count, device=x.device) + torch.rand(count, device=x.device)
        time = (places * (self.config.timesteps / count)).long().clamp(max=self.config.timesteps - 1)
        epsilon = torch.randn_like(x)
        shape = (count, *[1] * (x.dim() - 1))
        signal, noise = self.signal[time].view(shape), self.noise[time].view(shape)
        noisy = signal * x + noise * epsilon
        if self.config.prediction == "v":
            target = signal * epsilon - noise * x
        else:
            target = epsilon if self.config.prediction == "epsilon" else x
        off = self.network(noisy, time, self.told(batch.labels)) - target
        if self.config.distance == "huber":
            errors = F.huber_loss(off, torch.zeros_like(off), reduction="none").flatten(1).mean(1)
        else:
            errors = off.square().flatten(1).mean(1)
        if self.weights is not None:
            errors = errors * self.weights[time]
        return errors.mean(), by_time(errors)

    def sample(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Noise (N, *data.shape) → examples (N, *data.shape); images in [-1, 1]."""
        return self.walk(noise, labels)[-1]

    def trajectory(self, noise: Tensor, labels: Tensor | None = None, frames: int = 8) -> Tensor:
        """The way from noise to sample: (frames, N, *data.shape), the noise first, the sample last."""
        steps = len(self.times())
        keep = [round(index * steps / max(1, frames - 1)) for index in range(frames)]
        if frames == 1:
            keep = [steps]
        return torch.stack(self.walk(noise, labels, keep))

    def times(self) -> list[int]:
        """The times that the sampler visits, falling."""
        total = self.config.timesteps
        if self.config.sampler == "ddpm" or self.config.sample_steps >= total:
            return list(range(total - 1, -1, -1))
        steps = self.config.sample_steps
        if steps == 1:
            return [total - 1]
        return [round((total - 1) * index / (steps - 1)) for index in range(steps - 1, -1, -1)]

    def clean(self, x: Tensor, time: int, labels: Tensor | None) -> Tensor:
        """The estimate of x₀, (N, *data.shape), from x at one time, with guidance."""
        signal, noise = math.sqrt(self.alpha_bars[time]), math.sqrt(1 - self.alpha_bars[time])
        times = torch.full((len(x),), time, device=x.device)
        predicted = guided(self.network, x, times, labels, self.strength, self.unlabelled)
        if self.config.prediction == "x0":
            return predicted
        if self.config.prediction == "v":
            return signal * x - noise * predicted
        return (x - noise * predicted) / signal

    def walk(self, noise: Tensor, labels: Tensor | None, keep: list[int] | None = None) -> list[Tensor]:
        """DDIM (equation 12 of its paper) from noise; with η = 1 on every time it is DDPM.

        Returns the states after `keep` steps (0 is the noise), or only the last. Each step's estimate of x₀ is kept in
        the range of the data, [-1, 1] for images as DDPM's authors do, and ±4 standard deviations for points: at the
        first steps, where x₀ is divided by a tiny √ᾱ, every small error would else be blown up.
        """
        eta = 1.0 if self.config.sampler == "ddpm" else self.config.eta
        times = self.times()
        keep = [len(times)] if keep is None else keep
        states = {0: noise}
        x = noise
        for index, time in enumerate(times):
            now = self.alpha_bars[time]
            then = self.alpha_bars[times[index + 1]] if index + 1 < len(times) else 1.0
            clean = self.clean(x, time, labels)
            clean = clean.clamp(-self.limit, self.limit)
            epsilon = (x - math.sqrt(now) * clean) / math.sqrt(1 - now)
            spread = eta * math.sqrt((1 - then) / (1 - now) * max(0.0, 1 - now / then))
            x = math.sqrt(then) * clean + math.sqrt(max(0.0, 1 - then - spread**2)) * epsilon
            if spread:
                x = x + spread * torch.randn_like(x)
            if index + 1 in keep:
                states[index + 1] = x
        return [states[step] for step in keep]


def loss_weights(alpha_bars: Tensor, prediction: str, gamma: float) -> Tensor:
    """Min-SNR-γ (Hang et al. 2023): (T,) ᾱ → (T,) weights of the squared error in what is predicted.

    min(SNR, γ) on x₀; an error of ε is √SNR times that of x₀, and one of v √(SNR + 1) times.
    """
    snr = alpha_bars / (1 - alpha_bars)
    capped = snr.clamp(max=gamma)
    return {"x0": capped, "epsilon": capped / snr, "v": capped / (snr + 1)}[prediction]


def alpha_bars(schedule: str, timesteps: int) -> list[float]:
    """ᾱ_t = Π (1 − β_s) for t = 0 … T−1.

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
