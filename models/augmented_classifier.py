"""The classification accuracy score (Ravuri & Vinyals 2019): a classifier trained on what a generator draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tui_gen.model import (
    Batch,
    DataSpec,
    Given,
    Loss,
    Model,
    Optim,
    Phase,
    Picture,
    Problem,
    Text,
    Tiles,
    alike,
    hyper,
    in_range,
    part,
)
from tui_gen.models.classifier import NETWORKS, Classifier
from tui_gen.models.nets.layers import glorot

PANEL_IMAGES = 60
"""Generated images in their panel, at most."""


class AugmentedClassifier(Classifier):
    name = "augmented-classifier"
    family = "classifier"
    title = "Classifier on generated images"
    summary = "Trains on what another run's generator draws and is tested on real images: how good is the generator?"
    reference = (
        "Ravuri & Vinyals 2019, Classification Accuracy Score for Conditional Generative Models, arXiv:1905.10887; "
        "train on synthetic, test on real: Esteban et al. 2017, arXiv:1706.02633"
    )
    optimizers = {"generated": Optim(lr=1e-3), "real": Optim(lr=1e-3)}
    judged = ("accuracy", "gap")
    together = (("loss",), ("accuracy",))

    class Config(Classifier.Config):
        generator: Annotated[
            str, hyper("The run that draws the images, or a recipe to train first", run=("sample",))
        ] = "cvae"
        samples: Annotated[int, hyper("Images that are drawn and kept", ge=10, le=100_000, unit="images")] = 10_000
        real_share: Annotated[
            float, hyper("Share of real images mixed in; 0 gives the score", ge=0, le=0.95, live=True)
        ] = 0.0

    @classmethod
    def refuse(cls, config: Any, data: DataSpec, generator: Model | None = None, **parts: Model) -> Iterator[Problem]:
        yield from super().refuse(config, data, **parts)
        if generator is not None and not generator.conditional:
            words = "draws images without a label, so there is nothing to learn from them"
            hint = "name a run that samples by label: cvae, cgan or cfg-diffusion, say (model.conditional = true)"
            yield Problem("model.generator", config.generator, words, hint)

    images: Tensor
    asked: Tensor

    def __init__(self, config: Config, data: DataSpec, generator: Model) -> None:
        super().__init__(config, data)
        self.real = NETWORKS[config.network](config, data)
        self.real.apply(glorot)
        self.generator = generator
        self.register_buffer("images", torch.zeros(config.samples, *data.shape, dtype=torch.uint8))
        self.register_buffer("asked", torch.arange(config.samples) % len(data.classes))

    def phases(self) -> list[Phase]:
        return [
            Phase("generated", self.generated_loss, trainable(self.net), before=self.draw_more),
            Phase("real", self.real_loss, trainable(self.real)),
        ]

    def generated_loss(self, batch: Batch) -> Loss:
        """Cross-entropy of the network that learns from generated images, on those; on the batch in validation."""
        if not self.training:
            return self.score(self(batch.x), batch.labels)
        x, labels = self.mixed(batch)
        return self.score(self(x), labels)

    def real_loss(self, batch: Batch) -> Loss:
        """Cross-entropy of the other network, on real images."""
        return self.score(self.real(batch.x), batch.labels)

    def score(self, logits: Tensor, labels: Tensor | None) -> Loss:
        assert labels is not None
        smoothing = self.config.label_smoothing if self.training else 0.0
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
        return loss, {"accuracy": (logits.argmax(1) == labels).float().mean()}

    def draw_more(self, batch: Batch) -> None:
        """In the first steps: as many more of the generated images as a batch has, until there are all."""
        start, count = batch.step * batch.total + batch.place, len(batch.x)
        if (now := part()) is not None:  # every process keeps all of them, and draws them at once
            start, count = batch.step * batch.total, batch.total if now.leads else 0
        if start < len(self.images):
            places = slice(start, start + count)
            with alike():
                self.images[places] = self.draw(self.asked[places])

    def mixed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """A batch of generated images and their labels, some real ones among them where asked for."""
        count, there = len(batch.x), (batch.step + 1) * batch.total
        places = torch.randint(min(len(self.images), there), (count,), device=batch.x.device)
        x, labels = self.images[places].float() / 255, self.asked[places]
        real = round(self.config.real_share * count)
        if (now := part()) is not None:
            real = min(count, max(0, round(self.config.real_share * now.total) - now.place))
        if real:
            assert batch.labels is not None
            x, labels = torch.cat([batch.x[:real], x[real:]]), torch.cat([batch.labels[:real], labels[real:]])
        return x, labels

    def draw(self, labels: Tensor) -> Tensor:
        """Fresh samples of these classes (N,), as uint8 (N, *data.shape)."""
        noise = torch.randn(len(labels), *self.generator.noise_shape, device=labels.device)
        x = in_range(self.generator.sample(noise, labels).float(), self.generator.value_range, "unit")
        return (x.nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8)

    def validation(self, batch: Batch) -> dict[str, Tensor]:
        """Loss and accuracy of both networks on real images, and how much more the one that learns from them finds."""
        metrics: dict[str, Tensor] = {}
        for name, network in (("generated", self.net), ("real", self.real)):
            loss, scores = self.score(network(batch.x), batch.labels)
            metrics |= {f"{name}/loss": loss, f"{name}/accuracy": scores["accuracy"]}
        return metrics | {"gap": metrics["real/accuracy"] - metrics["generated/accuracy"]}

    def panels(self, inputs: Given) -> list[Picture | Text]:
        """What the network learns from, then what a classifier shows, of the network that learns from it."""
        columns = min(len(self.data.classes), PANEL_IMAGES)
        few = self.images[: PANEL_IMAGES // columns * columns].float() / 255
        what = Tiles(block=(1, 1), labels=tuple(self.data.classes[label] for label in self.asked[: len(few)].tolist()))
        if columns == len(self.data.classes):  # labels go round
            what = Tiles(block=(1, len(few) // columns), titles=self.data.classes)
        return [Picture("generated", few, columns, what), *super().panels(inputs)]


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """The parameters of a network that learn."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]
