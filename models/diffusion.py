"""Denoising diffusion (Ho, Jain & Abbeel 2020): cosine schedule, DDIM, ε/v/x₀-prediction, min-SNR-γ, guidance.

Its schedule, its denoiser and its samplers stand in nets/diffusing.py, each under its formula.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from tui_gen.model import Batch, DataSpec, Function, Loss, Optim, Phase, hyper
from tui_gen.models.alarms.diffusion import QUARTERS
from tui_gen.models.nets.diffusing import Diffusion
from tui_gen.models.nets.guidance import Guided, by_time


class DDPM(Guided):
    name, family, title = "ddpm", "diffusion", "Denoising diffusion"
    summary = "Learns to remove noise step by step, until noise becomes an image."
    reference = (
        "Ho, Jain & Abbeel 2020, arXiv:2006.11239; cosine schedule: Nichol & Dhariwal 2021, arXiv:2102.09672; "
        "DDIM: Song, Meng & Ermon 2021, arXiv:2010.02502; v-prediction: Salimans & Ho 2022, arXiv:2202.00512; "
        "min-SNR-γ: Hang et al. 2023, arXiv:2303.09556; guidance: Ho & Salimans 2022, arXiv:2207.12598"
    )
    optimizers = {"ddpm": Optim(lr=1e-3)}
    judged, together = ("loss",), (QUARTERS,)
    limit: Tensor

    def loss(self, batch: Batch) -> Loss:
        """‖ε − ε_θ(√ᾱ_t · x₀ + √(1 − ᾱ_t) · ε, t)‖² (equation 14 of DDPM), or of x₀ or v, averaged over pixels.

        The metrics are its parts from each quarter of the times.
        """
        errors = self.diffusion.denoiser.errors(self.learning(batch.labels), batch.x)
        return errors.mean(), by_time(errors)

    def phases(self) -> list[Phase]:
        return [Phase("ddpm", self.loss, self.network.parameters())]

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__(config, data)
        self.diffusion = Diffusion(config)
        # Images are kept in [-1, 1] as DDPM's authors do, points within 4 standard deviations.
        self.register_buffer("limit", torch.tensor(1.0 if data.kind == "image" else 4.0), persistent=False)

    def sample(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Noise (N, *data.shape) → examples (N, *data.shape); images in [-1, 1]."""
        return self.diffusion.walk(self.sampling(labels), noise, self.limit)[-1]

    def trajectory(self, noise: Tensor, labels: Tensor | None = None, frames: int = 8) -> Tensor:
        """The way from noise to sample: (frames, N, *data.shape), the noise first, the sample last."""
        return self.diffusion.trajectory(self.sampling(labels), noise, self.limit, frames)

    def functions(self) -> list[Function]:
        """One step of the sampler, from one of `times` to the next."""
        return [self.diffusion.function(self.noise_shape, self.label_inputs(), self.sampling, self.limit)]

    class Config(Guided.Config):
        RARE = ("distance", "eta")
        WHEN = {"min_snr_gamma": "weighting=min-snr", "sample_steps": "sampler=ddim", "eta": "sampler=ddim"}
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
