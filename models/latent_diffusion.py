"""Latent diffusion (Rombach et al. 2022): another run's autoencoder makes codes, and diffusion learns to draw them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from torch import Tensor

from tui_gen.model import (
    Batch,
    DataSpec,
    Function,
    Given,
    Input,
    Loss,
    Model,
    Optim,
    Phase,
    Picture,
    Problem,
    Text,
    Tiles,
    hyper,
)
from tui_gen.models.alarms.diffusion import QUARTERS
from tui_gen.models.diffusion import DDPM
from tui_gen.models.looks.code_plots import legend, principal, reach, scatter
from tui_gen.models.nets.diffusing import Diffusion
from tui_gen.models.nets.guidance import Guided, by_time
from tui_gen.models.nets.layers import refuse_pyramid

CODE_EXAMPLES = 2048
"""Training examples whose codes give their centre and scale."""


class LatentDiffusion(Guided):
    name, family, title = "latent-diffusion", "diffusion", "Latent diffusion"
    summary = "Diffusion among the codes of an autoencoder that was trained first: small, and quick to sample from."
    reference = (
        "Rombach, Blattmann, Lorenz, Esser & Ommer 2022, arXiv:2112.10752; two stages: van den Oord et al. 2017, "
        "arXiv:1711.00937; diffusion, samplers and guidance as in ddpm"
    )
    kinds = ("image", "points")
    optimizers = {"latent-diffusion": Optim(lr=1e-3)}
    judged = ("loss",)
    together = (QUARTERS,)
    examples = CODE_EXAMPLES

    class Config(DDPM.Config):
        # what auto is hangs on the codes, not on the data
        WHEN = dict.fromkeys(("channels", "blocks", "attention"), "network=auto|unet") | {"hidden": "network=auto|mlp"}
        first_stage: Annotated[
            str,
            hyper("The run whose codes are diffused, or a recipe to train first", run=("encode", "decode")),
        ] = "conv-vae"

    @classmethod
    def refuse_input(
        cls, config: Any, data: DataSpec, first_stage: Model | None = None, **parts: Model
    ) -> Iterator[Problem]:
        if first_stage is None or data.kind not in cls.kinds:
            return
        if first_stage.conditional and not config.conditional:
            words = "the first stage decodes with labels, so codes must be drawn with them"
            yield Problem("model.conditional", False, words, "set it to true")
        codes = codes_of(first_stage)
        if codes.kind == "points" and config.network == "unet":
            words = f"needs maps of codes; those of the first stage are vectors of {codes.features} numbers"
            yield Problem("model.network", "unet", words, "set it to mlp or auto, or take a VQ-VAE")
        elif codes.kind == "image" and config.network != "mlp":
            yield from refuse_pyramid("model.channels", config.channels, codes, halvings=len(config.channels) - 1)

    limit: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, config: Config, data: DataSpec, first_stage: Model) -> None:
        codes = codes_of(first_stage)
        super().__init__(config, data, input_spec=codes)
        self.compiles = False
        self.diffusion = Diffusion(config)
        self.value_range = first_stage.value_range
        self.first_stage = first_stage
        self.register_buffer("limit", torch.full((), 4.0))
        self.register_buffer("mean", torch.zeros(codes.shape[0], *[1] * (len(codes.shape) - 1)))
        self.register_buffer("scale", torch.ones(()))

    def phases(self) -> list[Phase]:
        return [Phase("latent-diffusion", self.loss, self.network.parameters())]

    def prepare(self, batch: Batch) -> None:
        """Measure where codes lie: the mean of each dimension or channel, one scale, the largest number."""
        places = torch.arange(len(batch.x), device=batch.x.device).split(256)
        labels = batch.labels
        z = torch.cat([self.raw(batch.x[place], None if labels is None else labels[place]) for place in places])
        self.mean.copy_(z.transpose(0, 1).flatten(1).mean(1).view_as(self.mean))
        off = z - self.mean
        self.scale.copy_(off.square().mean().sqrt().clamp(min=1e-6))
        self.limit.copy_(off.abs().max() / self.scale)

    def raw(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """The first stage's codes (N, *codes.shape) of x (N, *data.shape)."""
        return self.first_stage.encode(x, labels if self.first_stage.conditional else None).float()

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, *data.shape) → codes (N, *noise_shape) of mean 0 and variance 1."""
        return (self.raw(x, labels) - self.mean) / self.scale

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes (N, *noise_shape) → (N, *data.shape), by the first stage."""
        return self.first_stage.decode(z * self.scale + self.mean, labels if self.first_stage.conditional else None)

    def reconstruct(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """x through the first stage: the best that a sample can be."""
        return self.decode(self.encode(x, labels), labels)

    def loss(self, batch: Batch) -> Loss:
        """DDPM's loss on the codes of the batch."""
        with torch.no_grad():
            z = self.encode(batch.x, batch.labels)
        errors = self.diffusion.denoiser.errors(self.learning(batch.labels), z)
        return errors.mean(), by_time(errors)

    def sample(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Noise (N, *noise_shape) → codes → (N, *data.shape)."""
        return self.decode(self.sample_codes(noise, labels), labels)

    def sample_codes(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        """Noise (N, *noise_shape) → codes of the same shape, of mean 0 and variance 1 as `encode` gives them."""
        return self.diffusion.walk(self.sampling(labels), noise, self.limit)[-1]

    def trajectory(self, noise: Tensor, labels: Tensor | None = None, frames: int = 8) -> Tensor:
        """What the codes on the way from noise to sample decode to: (frames, N, *data.shape)."""
        codes = self.diffusion.trajectory(self.sampling(labels), noise, self.limit, frames)
        return torch.stack([self.decode(z, labels) for z in codes])

    def functions(self) -> list[Function]:
        """One step of the sampler among the codes, and what codes stand for."""
        step = self.diffusion.function(self.noise_shape, self.label_inputs(), self.sampling, self.limit)
        x, z = Input(self.data.shape), Input(self.noise_shape)
        labels = self.label_inputs() if self.first_stage.conditional else {}
        return [
            step,
            Function("decoder", self.decode, {"z": z, **labels}, ("x",), "what codes stand for"),
            Function("encoder", self.encode, {"x": x, **labels}, ("z",), "the codes of examples"),
        ]

    def panels(self, inputs: Given) -> list[Picture | Text]:
        """Real codes beside drawn ones, along the two directions in which the real ones vary most."""
        assert inputs.noise is not None
        real = self.encode(inputs.x, inputs.labels).flatten(1)
        codes = self.sample_codes(inputs.noise, inputs.noise_labels).flatten(1)
        flat = principal(torch.cat([real, codes]), 2).split([len(real), len(codes)])
        pictures = [scatter(flat[0], inputs.labels), scatter(flat[1], inputs.noise_labels)]
        title = "drawn" if inputs.noise_labels is not None else "drawn, of any class"
        parts = tuple(f"{name}, to ±{reach(points.float().cpu()):.3g}" for name, points in zip(("real", title), flat))
        classes = self.data.classes if inputs.labels is not None else ()
        what = Tiles(block=(2, 1), parts=parts, legend=legend(classes))
        return [Picture("codes", torch.cat(pictures), 2, what)]


def codes_of(first_stage: Model) -> DataSpec:
    """A model's codes as if they were data: square maps (C, s, s) as images, all else as points, whatever its shape."""
    data = first_stage.data
    with torch.no_grad():
        tensor = next(first_stage.parameters())
        x = torch.zeros(1, *data.shape, device=tensor.device)
        labels = torch.zeros(1, dtype=torch.int64, device=tensor.device) if first_stage.conditional else None
        shape = tuple(first_stage.encode(x, labels).shape[1:])
    square = len(shape) == 3 and shape[1] == shape[2] > 1
    return DataSpec(data.name, "image" if square else "points", shape, data.classes, data.count)
