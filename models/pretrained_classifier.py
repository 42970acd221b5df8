"""Few labels, many images: a classifier on another run's encoder, beside the same network trained from scratch."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
from tui_gen.models.looks.classification_report import report
from tui_gen.models.looks.code_plots import plot, principal
from tui_gen.models.nets.layers import glorot, perceptron
from tui_gen.models.nets.settings import step_count
from tui_gen.params import describe

PANEL_IMAGES, COLUMNS = 80, 10
"""Labelled images in their panel, and in a row of it."""
LINE = 80
"""Longest line of a panel of text."""


class PretrainedClassifier(Model):
    name = "pretrained-classifier"
    family = "classifier"
    title = "Pretrained classifier"
    summary = "Learns from a handful of labels on an autoencoder's encoder, and shows what that gains over none."
    reference = (
        "Hinton & Salakhutdinov 2006; greedy pre-training: Bengio et al. 2007; semi-supervised on a VAE's codes (M1): "
        "Kingma, Rezende, Mohamed & Welling 2014, arXiv:1406.5298; Géron 2022, ch. 17 (unsupervised pretraining)"
    )
    kinds = ("image",)
    optimizers = {"head": Optim(lr=1e-3), "tune": Optim(lr=1e-4), "scratch": Optim(lr=1e-3)}
    judged = ("accuracy", "gain")
    together = (("loss",), ("accuracy",))

    class Config(msgspec.Struct):
        encoder: Annotated[str, hyper("The run whose encoder is used, or a recipe to train first", run=("encode",))] = (
            "stacked-autoencoder"
        )
        labels: Annotated[int, hyper("N, the labelled images that are learnt from", ge=2, le=5000, unit="images")] = 100
        frozen_steps: Annotated[int, step_count("Steps before the encoder learns too")] = 500
        hidden: Annotated[
            list[int], hyper("Widths of the head's hidden layers", ge=1, le=4096, unit="units", max_items=4)
        ] = msgspec.field(default_factory=list)

    @classmethod
    def refuse(cls, config: Any, data: DataSpec, encoder: Model | None = None, **parts: Model) -> Iterator[Problem]:
        yield from super().refuse(config, data, **parts)
        if data.kind not in cls.kinds:
            return
        classes, count = len(data.classes), data.count
        if classes < 2:
            hint = data.labelling or "take labelled data, say digits"
            yield Problem("dataset.name", data.name, "has no labels to tell apart", hint)
        elif config.labels < classes:
            words = f"is less than one image for each of the {classes} classes"
            yield Problem("model.labels", config.labels, words, f"set it to {classes} or more")
        elif count is not None and config.labels > count:
            words = f"is more than the {count:,} training images"
            yield Problem("model.labels", config.labels, words, f"set it to {count} or less")
        if encoder is not None and encoder.conditional:
            words = "encodes with the label, which is what is to be found out"
            yield Problem("model.encoder", config.encoder, words, "name a run without labels")
        if encoder is not None and any(param.run for param in describe(type(encoder).Config)):
            words = f"is of the model {encoder.name}, which has its encoder from yet another run"
            yield Problem("model.encoder", config.encoder, words, "name that run instead")

    images: Tensor
    truths: Tensor

    def __init__(self, config: Config, data: DataSpec, encoder: Model) -> None:
        super().__init__(config, data)
        self.value_range = encoder.value_range
        self.encoder = encoder
        self.fresh = type(encoder)(copy.deepcopy(encoder.config), encoder.data).requires_grad_(False).eval()
        with torch.no_grad():
            size = encoder.encode(torch.zeros(1, *data.shape), None).numel()
        self.head, self.fresh_head = (perceptron([size, *config.hidden, len(data.classes)]) for _ in range(2))
        self.head.apply(glorot)
        self.fresh_head.apply(glorot)
        self.encoding = [parameters_of_codes(encoder, data.shape) for encoder in (self.encoder, self.fresh)]
        for parameter in itertools.chain.from_iterable(self.encoding):
            parameter.requires_grad_(True)
        self.register_buffer("images", torch.zeros(config.labels, *data.shape, dtype=torch.uint8))
        self.register_buffer("truths", torch.zeros(config.labels, dtype=torch.int64))
        # More than are kept, so that there are enough of each class.
        self.examples = 2 * config.labels + 50 * len(data.classes)

    def prepare(self, batch: Batch) -> None:
        """Draw the labelled images: as many of each class as there can be."""
        assert batch.labels is not None
        count, labels = self.config.labels, batch.labels.cpu()
        rank = torch.zeros(len(batch.x), dtype=torch.int64)  # each one's rank within its class
        for label in range(len(self.data.classes)):
            where = labels == label
            rank[where] = torch.arange(int(where.sum()))
        places = rank.argsort(stable=True)[:count].to(batch.x.device)
        self.images.copy_(self.to_bytes(batch.x[places]))
        self.truths.copy_(batch.labels[places])

    def to_bytes(self, x: Tensor) -> Tensor:
        """Images in the model's range as uint8: what they were before they came."""
        return ((x + 1) * 127.5 if self.value_range == "signed" else x * 255).round().to(torch.uint8)

    def from_bytes(self, images: Tensor) -> Tensor:
        """The inverse of `to_bytes`."""
        return images.float() / 127.5 - 1 if self.value_range == "signed" else images.float() / 255

    def phases(self) -> list[Phase]:
        encoder_weights, fresh_weights = self.encoding
        return [
            Phase("head", self.head_loss, self.head.parameters(), when=lambda step, total: self.frozen(step)),
            Phase(
                "tune",
                self.tune_loss,
                [*encoder_weights, *self.head.parameters()],
                when=lambda step, total: not self.frozen(step),
            ),
            Phase("scratch", self.scratch_loss, [*fresh_weights, *self.fresh_head.parameters()]),
        ]

    def frozen(self, step: int) -> bool:
        """Whether the encoder stays as it was trained at a step."""
        return step < self.config.frozen_steps

    def head_loss(self, batch: Batch) -> Loss:
        """Cross-entropy of the head on codes of the frozen encoder."""
        x, labels = self.labelled_batch(batch)
        with torch.no_grad():
            codes = self.codes(self.encoder, x)
        return self.score(self.head(codes), labels)

    def tune_loss(self, batch: Batch) -> Loss:
        """Cross-entropy of encoder and head."""
        x, labels = self.labelled_batch(batch)
        return self.score(self(x), labels)

    def scratch_loss(self, batch: Batch) -> Loss:
        """Cross-entropy of the network that began with fresh weights."""
        x, labels = self.labelled_batch(batch)
        return self.score(self.from_scratch(x), labels)

    def labelled_batch(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """As many of the labelled images as the batch has, with repetition; the batch's own are left alone.

        Both networks get the same ones in a step.
        """
        if "labelled" not in batch.shared:
            places = torch.randint(len(self.images), (len(batch.x),), device=batch.x.device)
            batch.shared["labelled"] = self.from_bytes(self.images[places]), self.truths[places]
        return batch.shared["labelled"]

    def codes(self, encoder: Model, x: Tensor) -> Tensor:
        """(N, *data.shape) → codes (N, D) float32."""
        return encoder.encode(x, None).flatten(1).float()

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, *data.shape) → logits (N, classes) of the pretrained network."""
        return self.head(self.codes(self.encoder, x)).float()

    def functions(self) -> list[Function]:
        x = {"x": Input(self.data.shape)}
        return [Function("classifier", lambda x: self(x).softmax(1), x, ("probabilities",), "of each class")]

    def from_scratch(self, x: Tensor) -> Tensor:
        """The same of the network trained from scratch."""
        return self.fresh_head(self.codes(self.fresh, x)).float()

    def score(self, logits: Tensor, labels: Tensor) -> Loss:
        loss = F.cross_entropy(logits.float(), labels)
        return loss, {"accuracy": (logits.argmax(1) == labels).float().mean()}

    def validation(self, batch: Batch) -> dict[str, Tensor]:
        """Loss and accuracy of both networks on all validation images, and how much more are right when pretrained."""
        assert batch.labels is not None
        loss, scores = self.score(self(batch.x), batch.labels)
        fresh_loss, fresh = self.score(self.from_scratch(batch.x), batch.labels)
        return {
            "pretrained/loss": loss,
            "pretrained/accuracy": scores["accuracy"],
            "scratch/loss": fresh_loss,
            "scratch/accuracy": fresh["accuracy"],
            "gain": scores["accuracy"] - fresh["accuracy"],
        }

    def panels(self, inputs: Given) -> list[Picture | Text]:
        """The labelled images, codes in two dimensions, confusion and scores of the pretrained network."""
        assert inputs.labels is not None
        few = self.from_bytes(self.images[:PANEL_IMAGES])
        names = tuple(self.data.classes[label] for label in self.truths[: len(few)].tolist())
        codes = self.codes(self.encoder, inputs.x)
        probabilities = self(inputs.x).softmax(1).nan_to_num(0.0)
        words = report(inputs.labels, probabilities.argmax(1), probabilities, self.data.classes, LINE)
        return [
            Picture("labelled", few, min(COLUMNS, len(few)), Tiles(block=(1, 1), labels=names)),
            plot("codes", principal(codes, 2), inputs.labels, self.data.classes),
            Text("scores", words),
        ]


def parameters_of_codes(model: Model, shape: tuple[int, ...]) -> list[nn.Parameter]:
    """The parameters of a model that its codes depend on: the encoder's, whatever it is called."""
    parameters = list(model.parameters())
    flags = [parameter.requires_grad for parameter in parameters]
    with torch.enable_grad():
        for parameter in parameters:
            parameter.requires_grad_(True)
        total = model.encode(torch.zeros(1, *shape, device=parameters[0].device), None).float().sum()
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    for parameter, before in zip(parameters, flags):
        parameter.requires_grad_(before)
    return [parameter for parameter, gradient in zip(parameters, gradients) if gradient is not None]
