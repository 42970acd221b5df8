"""Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598) for networks that are told the label.

In training some labels are replaced by one more, which means "none", so one network learns both predictions, with the
label and without. When sampling, the prediction is pushed along the difference that the label makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec
import torch
from torch import Tensor, nn

from tui_gen.model import (
    Batch,
    DataSpec,
    LatentSpace,
    Model,
    Problem,
    batch_rows,
    batch_size,
    hyper,
    own_rows,
    part,
    pooled,
)
from tui_gen.models.alarms.diffusion import ALARMS, QUARTERS
from tui_gen.models.nets.diffusing import Network
from tui_gen.models.nets.layers import refuse_labels, refuse_network, refuse_pyramid
from tui_gen.models.nets.unet import Perceptron, UNet


class Guided(Model):
    """What diffusion and flow matching have in common: one network over noisy examples, told the time and the label."""

    kinds = ("image", "points")
    value_range = "signed"
    alarms = ALARMS

    class Config(msgspec.Struct):
        WHEN = dict.fromkeys(("channels", "blocks", "attention"), "network=auto:image|unet") | {
            "hidden": "network=auto:points|mlp", "label_dropout": "conditional", "guidance": "conditional",
        }  # fmt: skip
        network: Annotated[
            Literal["auto", "unet", "mlp"], hyper("What learns to predict; auto is unet for images, mlp for points")
        ] = "auto"
        channels: Annotated[
            list[int],
            hyper("Channels of the unet at full, half, quarter… resolution", ge=1, le=512, min_items=1, max_items=6),
        ] = msgspec.field(default_factory=lambda: [32, 64])
        blocks: Annotated[int, hyper("Residual blocks per resolution, each way", ge=1, le=8)] = 1
        attention: Annotated[bool, hyper("Self-attention at the lowest resolution")] = False
        hidden: Annotated[
            list[int], hyper("Layer widths of the mlp", ge=2, le=8192, unit="units", min_items=1, max_items=8)
        ] = msgspec.field(default_factory=lambda: [128, 128, 128])
        conditional: Annotated[bool, hyper("Tell the network the label")] = False
        label_dropout: Annotated[
            float, hyper("Share of labels hidden in training, for guidance; 0.1 is usual", ge=0, le=0.9)
        ] = 0.0
        guidance: Annotated[
            float, hyper("How far samples follow the label; 1 is no guidance", ge=0, le=50, live=True)
        ] = 1.0

    @classmethod
    def refuse(cls, config: Any, data: DataSpec, **parts: Model) -> Iterator[Problem]:
        yield from super().refuse(config, data, **parts)
        yield from refuse_labels(cls.name, config, data)
        yield from refuse_guidance(config)
        yield from cls.refuse_input(config, data, **parts)

    @classmethod
    def refuse_input(cls, config: Any, data: DataSpec, **parts: Model) -> Iterator[Problem]:
        """Every reason why the network cannot be made for what it is to see."""
        yield from refuse_network("model.network", config.network, ("unet",), data)
        if data.kind == "image" and config.network != "mlp":
            yield from refuse_pyramid("model.channels", config.channels, data, halvings=len(config.channels) - 1)

    def __init__(self, config: Config, data: DataSpec, input_spec: DataSpec | None = None) -> None:
        """`input_spec` is what the network sees and samples begin as, where that is not the data itself."""
        super().__init__(config, data)
        input_spec = input_spec or data
        self.noise_shape = input_spec.shape
        self.label_count = label_count(config, input_spec)
        perceptron = config.network == "mlp" or input_spec.kind == "points"
        self.network: nn.Module
        if perceptron:
            self.network = Perceptron(input_spec.features, config.hidden, self.label_count)
        else:
            self.network = UNet(input_spec.channels, config.channels, config.blocks, config.attention, self.label_count)
        self.compiles = perceptron or "gpu"  # convolutions run slower compiled, on CPUs

    @property
    def unlabelled(self) -> int:
        """The label that means none."""
        return len(self.data.classes)

    @property
    def strength(self) -> float:
        """The guidance in force when sampling: 1, none, where the network never learnt to do without labels."""
        return self.config.guidance if self.config.label_dropout else 1.0

    def with_dropped_labels(self, labels: Tensor | None) -> Tensor | None:
        """The labels (N,) of a batch as the network is told them: in training, some of them hidden."""
        return drop_labels(labels, self.config.label_dropout, self.unlabelled) if self.training else labels

    def learning(self, labels: Tensor | None) -> Network:
        """The network in training, for the labels (N,) of a batch."""
        return lambda x, time: self.network(x, time, self.with_dropped_labels(labels))

    def sampling(self, labels: Tensor | None) -> Network:
        """The network as samples follow it, for labels (N,) or None: with guidance."""
        return lambda x, time: guided(self.network, x, time, labels, self.strength, self.unlabelled)

    def latent_space(self) -> LatentSpace | None:
        """The noise that samples begin as, and the way from it under any guidance that the network has learnt."""
        space = super().latent_space()
        if space is None or not (self.conditional and self.config.label_dropout):
            return space

        def steered(noise: Tensor, labels: Tensor | None, frames: int, guidance: float) -> Tensor:
            before, self.config.guidance = self.config.guidance, guidance
            try:
                return self.trajectory(noise, labels, frames)
            finally:
                self.config.guidance = before

        return replace(space, trajectory=steered, guidance=self.config.guidance)

    def validation(self, batch: Batch) -> dict[str, Tensor]:
        """As Model's, in random order: examples sorted by class must not meet times sorted by noise."""
        order = own_rows(torch.randperm(batch_size(len(batch.x)), device=batch.x.device))
        labels = None if batch.labels is None else batch_rows(batch.labels)[order]
        return super().validation(replace(batch, x=batch_rows(batch.x)[order], labels=labels, shared={}))


def by_time(errors: Tensor) -> dict[str, Tensor]:
    """Mean errors (N,) of each quarter of the times, where these are uniform and rise along the batch."""
    if (now := part()) is not None:
        if now.total < 4:
            return {}
        quarters = torch.arange(now.total, device=errors.device).tensor_split(4)
        rows = torch.arange(now.place, now.place + now.count, device=errors.device)
        inside = [((rows >= rows_of[0]) & (rows <= rows_of[-1])).float() for rows_of in quarters]
        parts = zip(QUARTERS, inside)
        return {name: pooled(torch.div, (errors * its).mean(), its.mean()) for name, its in parts}
    if len(errors) < 4:
        return {}
    return {name: quarter.mean() for name, quarter in zip(QUARTERS, errors.detach().tensor_split(4))}


def label_count(config: Any, data: DataSpec) -> int:
    """Labels that the network has codes for: 0 without labels, one more than the classes where labels are dropped."""
    return len(data.classes) + (config.label_dropout > 0) if config.conditional else 0


def drop_labels(labels: Tensor | None, rate: float, none: int) -> Tensor | None:
    """Labels (N,), each replaced by `none` with probability `rate`; drawn from PyTorch's seeded global generator."""
    if labels is None or not rate:
        return labels
    mask = torch.rand(len(labels), device=labels.device) < rate
    return torch.where(mask, none, labels)


def guided(network: nn.Module, x: Tensor, time: Tensor, labels: Tensor | None, scale: float, none: int) -> Tensor:
    """Equation 6 of the paper with scale = 1 + w: without + scale · (with − without), both in one batch.

    x (N, …), its time (N,) and labels (N,), `none` being that of no class → (N, …). `scale` 1 is the conditional
    prediction, 0 the unconditional. As x₀, ε, v and the velocity of a flow are linear in
    each other at a given x and time, guiding one of them guides all.
    """
    if labels is None or scale == 1:
        return network(x, time, labels)
    both = torch.cat([labels, torch.full_like(labels, none)])
    conditional, unconditional = network(torch.cat([x, x]), torch.cat([time, time]), both).chunk(2)
    return unconditional + scale * (conditional - unconditional)


def refuse_guidance(config: Any) -> Iterator[Problem]:
    """A problem if labels are to be dropped where there are none, or guidance was not trained for."""
    if config.label_dropout and not config.conditional:
        yield Problem(
            "model.label_dropout",
            config.label_dropout,
            "drops labels, but the network is told none",
            "set model.conditional = true, or model.label_dropout = 0",
        )
    elif config.guidance != 1 and not config.label_dropout:
        yield Problem(
            "model.guidance",
            config.guidance,
            "needs a network that also learns to do without the label",
            "set model.label_dropout = 0.1, or model.guidance = 1",
        )
