"""Classifiers: perceptron, multilayer perceptron, convolutional network, LSTM over an image's rows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

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
from tui_gen.models.nets.layers import ACTIVATIONS, glorot

GRID_IMAGES, COLUMNS = 24, 8
"""Images in the grid of predictions, and in a row of it."""
SALIENCY_IMAGES = 6
"""Images whose saliency is shown: occlusion takes a hundred passes each."""
LINE = 80
"""Longest line of a panel of text."""


class Classifier(Model):
    name = "classifier"
    family = "classifier"
    title = "Classifier"
    summary = "Says what an image shows: a perceptron, a multilayer perceptron, a convolutional network or an LSTM."
    reference = (
        "Rosenblatt 1958; back-propagation: Rumelhart, Hinton & Williams 1986; convolution: LeCun et al. 1998; LSTM: "
        "Hochreiter & Schmidhuber 1997; dropout: Srivastava et al. 2014; saliency: Simonyan et al. 2014, "
        "arXiv:1312.6034; occlusion: Zeiler & Fergus 2014, arXiv:1311.2901; textbook networks: Chollet 2017; Géron "
        "2022; Foster 2023"
    )
    kinds = ("image",)
    value_range = "unit"
    optimizers = {"classifier": Optim(lr=1e-3)}
    judged: ClassVar[tuple[str, ...]] = ("accuracy",)

    class Config(msgspec.Struct):
        RARE = ("padding", "label_smoothing")
        WHEN = dict.fromkeys(("channels", "pools", "padding"), "network=cnn") | {
            "hidden": "network=mlp|cnn|lstm", "activation": "network=mlp|cnn",
        }  # fmt: skip
        network: Annotated[
            Literal["perceptron", "mlp", "cnn", "lstm"], hyper("Linear, fully connected, convolutional, or by rows")
        ] = "mlp"
        hidden: Annotated[
            list[int],
            hyper("Widths of the hidden layers: mlp, LSTMs, or after the convolutions", ge=1, le=8192, max_items=8),
        ] = msgspec.field(default_factory=lambda: [300, 100])
        channels: Annotated[
            list[int], hyper("cnn: channels of each 3×3 convolution", ge=1, le=1024, min_items=1, max_items=8)
        ] = msgspec.field(default_factory=lambda: [32, 64])
        pools: Annotated[
            int, hyper("cnn: this many convolutions, from the first, are followed by 2×2 max pooling", ge=0, le=8)
        ] = 2
        padding: Annotated[
            Literal["valid", "same"], hyper("cnn: a convolution loses the border, or pads it with zeros")
        ] = "valid"
        activation: Annotated[
            Literal["relu", "leaky-relu", "elu", "selu", "gelu", "tanh", "sigmoid", "linear"],
            hyper("After each hidden layer and convolution"),
        ] = "relu"
        dropout: Annotated[
            float, hyper("Share of hidden units left out, in training", ge=0, le=0.95, live=True)
        ] = 0.0
        label_smoothing: Annotated[float, hyper("Share of certainty given away", ge=0, le=0.9, live=True)] = 0.0

    @classmethod
    def refuse(cls, config: Any, data: DataSpec, **parts: Model) -> Iterator[Problem]:
        yield from super().refuse(config, data, **parts)
        if data.kind not in cls.kinds:
            return
        if len(data.classes) < 2:
            words = "has no labels" if not data.classes else f"has one class only ({data.classes[0]})"
            hint = data.labelling or "take labelled data, say digits"
            yield Problem("dataset.name", data.name, f"{words}: there is nothing to tell apart", hint)
        if config.network == "lstm" and not config.hidden:
            yield Problem("model.hidden", [], "must not be empty for LSTMs", "give it at least 1 width, say 128")
        if config.network == "cnn":
            if config.pools > len(config.channels):
                yield Problem(
                    "model.pools",
                    config.pools,
                    f"is more than the {len(config.channels)} convolutions",
                    f"set it to {len(config.channels)} or less",
                )
            elif min(sizes(config, data.size)) < 1:
                yield Problem(
                    "model.channels",
                    config.channels,
                    f"shrink {data.size} px to nothing",
                    "set model.padding to same, model.pools to a smaller number, or dataset.size to a larger one",
                )

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__(config, data)
        self.net = NETWORKS[config.network](config, data)
        self.net.apply(glorot)

    def phases(self) -> list[Phase]:
        return [Phase("classifier", self.loss, [p for p in self.parameters() if p.requires_grad])]

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, *data.shape) in [0, 1] → logits (N, classes) float32."""
        return self.net(x).float()

    def probabilities(self, x: Tensor) -> Tensor:
        """(N, *data.shape) → (N, classes), rows that sum to 1."""
        return self(x).softmax(1)

    def functions(self) -> list[Function]:
        x = {"x": Input(self.data.shape)}
        return [Function("classifier", self.probabilities, x, ("probabilities",), "of each class")]

    def loss(self, batch: Batch) -> Loss:
        """Cross-entropy with the labels, smoothed in training only."""
        logits = self(batch.x)
        assert batch.labels is not None
        smoothing = self.config.label_smoothing if self.training else 0.0
        loss = F.cross_entropy(logits, batch.labels, label_smoothing=smoothing)
        return loss, {"accuracy": (logits.argmax(1) == batch.labels).float().mean()}

    # What it sees

    def saliency(self, x: Tensor) -> Tensor:
        """|∂ logit / ∂x| of the predicted class, the largest over the channels: (N, *data.shape) → (N, 1, H, W) ≥ 0."""
        # cuDNN's recurrent layers have no gradients in evaluation mode
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            x = x.detach().clone().requires_grad_(True)
            (gradient,) = torch.autograd.grad(self(x).amax(1).sum(), x)
        return gradient.abs().amax(1, keepdim=True)

    def occlusion(self, x: Tensor) -> Tensor:
        """How much the predicted class's probability falls under a grey patch: (N, *data.shape) → (N, 1, H, W).

        Patches have a quarter of the image's height and width and lie an eighth apart; a pixel gets the mean over
        those that hide it.
        """
        size = self.data.size
        step = max(1, size // 8)
        side = min(size, 2 * step)
        sure, predictions = self.probabilities(x).max(1)
        falls = torch.zeros(len(x), 1, size, size, device=x.device)
        cover_count = torch.zeros(size, size, device=x.device)
        for top in [*range(0, size - side, step), size - side]:
            for left in [*range(0, size - side, step), size - side]:
                rows, columns = slice(top, top + side), slice(left, left + side)
                copies = x.clone()
                copies[:, :, rows, columns] = 0.5
                fall = sure - self.probabilities(copies).gather(1, predictions[:, None])[:, 0]
                falls[:, :, rows, columns] += fall[:, None, None, None]
                cover_count[rows, columns] += 1
        return falls / cover_count

    def panels(self, inputs: Given) -> list[Picture | Text]:
        """Predictions (errors first), confusion and scores, saliency and occlusion, the first layer's features."""
        x, labels = inputs.x, inputs.labels
        assert labels is not None
        probabilities = torch.cat([self.probabilities(part) for part in x.split(250)]).nan_to_num(0.0)
        sure, predictions = probabilities.max(1)
        wrong = predictions != labels
        # the surest errors first, then the least sure of what is right
        order = torch.where(wrong, 2 + sure, 1 - sure).argsort(descending=True, stable=True)[:GRID_IMAGES]
        what = Tiles(block=(1, 1), labels=self.verdicts(predictions[order], labels[order]))
        panels: list[Picture | Text] = [Picture("predictions", x[order], min(COLUMNS, len(order)), what)]
        panels.append(Text("answers", self.answers(probabilities[order], labels[order])))
        panels.append(Text("scores", report(labels, predictions, probabilities, self.data.classes, LINE)))
        few = x[order[:SALIENCY_IMAGES]]
        rows = [few, bright(self.saliency(few)).expand_as(few), bright(self.occlusion(few)).expand_as(few)]
        what = Tiles(
            block=(1, 3),
            titles=self.verdicts(predictions[order[: len(few)]], labels[order[: len(few)]]),
            parts=("image", "saliency", "occlusion"),
        )
        panels.append(Picture("saliency", torch.cat(rows), len(few), what))
        features = self.net.features(few[:1])
        if features is not None:
            panels.append(Picture("features", bright(features), min(8, len(features)), Tiles(block=(1, 1))))
        return panels

    def verdicts(self, guesses: Tensor, truths: Tensor) -> tuple[str, ...]:
        """What each image (N,) is; what it is and what it is taken for where that is something else."""
        names = self.data.classes
        pairs = zip(guesses.tolist(), truths.tolist())
        return tuple(names[truth] if guess == truth else f"{names[truth]}→{names[guess]}" for guess, truth in pairs)

    def answers(self, probabilities: Tensor, labels: Tensor) -> str:
        """What each image in the grid of predictions is, or is and is taken for, and how surely; laid out as there."""
        sure, predictions = probabilities.max(1)
        cells = []
        for p, guess, truth in zip(sure.tolist(), predictions.tolist(), labels.tolist()):
            right, wrong = self.data.classes[truth], self.data.classes[guess]
            cells.append((right[:8] if guess == truth else f"{right[:4]}→{wrong[:4]}", f"{p:.0%}"))
        lines = ["As in predictions: what it is → what it is taken for, how surely.", ""]
        for start in range(0, len(cells), COLUMNS):
            row = cells[start : start + COLUMNS]
            lines += ["".join(f"{cell[place]:<10}" for cell in row).rstrip() for place in (0, 1)] + [""]
        return "\n".join(lines)


def bright(maps: Tensor) -> Tensor:
    """Maps (N, C, H, W) with the least of each at 0 and the greatest at 1; flat and infinite ones are black."""
    maps = maps.float().nan_to_num(0.0, 0.0, 0.0)
    low, high = maps.amin((1, 2, 3), keepdim=True), maps.amax((1, 2, 3), keepdim=True)
    return (maps - low) / (high - low).clamp(min=1e-12)


def sizes(config: Any, size: int) -> list[int]:
    """Height = width after each convolution and its pooling."""
    sides = []
    for place in range(len(config.channels)):
        size -= 0 if config.padding == "same" else 2
        size = size // 2 if place < config.pools else size
        sides.append(size)
    return sides


class Linears(nn.Module):
    """Linear layers widths[0] → … → label_count, with activation and dropout between them."""

    def __init__(self, config: Any, widths: list[int], label_count: int) -> None:
        super().__init__()
        self.config, self.act = config, ACTIVATIONS[config.activation]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise([*widths, label_count]))

    def forward(self, x: Tensor) -> Tensor:
        first, *rest = self.layers
        x = first(x)
        for layer in rest:
            x = layer(F.dropout(self.act(x), self.config.dropout, self.training))
        return x


class DenseClassifier(nn.Module):
    """Perceptron (no hidden layer) or multilayer perceptron over the pixels in one row."""

    def __init__(self, config: Any, data: DataSpec) -> None:
        super().__init__()
        self.shape = data.shape
        hidden = config.hidden if config.network == "mlp" else []
        self.linears = Linears(config, [data.features, *hidden], len(data.classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.linears(x.flatten(1))

    def features(self, x: Tensor) -> Tensor | None:
        """The first layer's weights as images (units, *data.shape), at most 32 of them."""
        return self.linears.layers[0].get_parameter("weight")[:32].unflatten(1, self.shape)


class ConvolutionalClassifier(nn.Module):
    """3×3 convolutions, the first `pools` with 2×2 max pooling, then linear layers."""

    def __init__(self, config: Any, data: DataSpec) -> None:
        super().__init__()
        self.config, self.act = config, ACTIVATIONS[config.activation]
        padding = 1 if config.padding == "same" else 0
        channels = [data.channels, *config.channels]
        self.convolutions = nn.ModuleList(nn.Conv2d(*pair, 3, padding=padding) for pair in pairwise(channels))
        flat = channels[-1] * sizes(config, data.size)[-1] ** 2
        self.linears = Linears(config, [flat, *config.hidden], len(data.classes))

    def forward(self, x: Tensor) -> Tensor:
        for place, layer in enumerate(self.convolutions):
            x = self.act(layer(x))
            if place < self.config.pools:
                x = F.max_pool2d(x, 2)
        x = x.flatten(1)
        return self.linears(F.dropout(x, self.config.dropout, self.training))

    def features(self, x: Tensor) -> Tensor | None:
        """What the first convolution makes of one image (1, *data.shape): (maps, 1, H, W), at most 32 of them."""
        return self.act(self.convolutions[0](x))[0, :32, None]


class RecurrentClassifier(nn.Module):
    """LSTMs that read the image's rows as a sequence; the last one's last output is classified."""

    def __init__(self, config: Any, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        widths = [data.channels * data.size, *config.hidden]
        self.cells = nn.ModuleList(nn.LSTM(*pair, batch_first=True) for pair in pairwise(widths))
        self.guess = nn.Linear(widths[-1], len(data.classes))

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 1, 3).flatten(2)
        for cell in self.cells:
            x, _ = cell(x)
            x = F.dropout(x, self.config.dropout, self.training)
        return self.guess(x[:, -1])

    def features(self, x: Tensor) -> Tensor | None:
        """The first LSTM's outputs, rows down and units across, as one image (1, 1, H, units)."""
        rows, _ = self.cells[0](x.permute(0, 2, 1, 3).flatten(2))
        return rows[:, None]


NETWORKS: dict[str, type[DenseClassifier] | type[ConvolutionalClassifier] | type[RecurrentClassifier]] = {
    "perceptron": DenseClassifier,
    "mlp": DenseClassifier,
    "cnn": ConvolutionalClassifier,
    "lstm": RecurrentClassifier,
}
