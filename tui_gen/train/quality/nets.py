"""The networks whose features images are compared in: small, trained here, nothing to download.

- `classifier`: trained on the labels of the dataset;
- `rotation`: without labels, trained to tell by which quarter turns an image was rotated (self-supervised; Gidaris,
  Singh and Komodakis, Unsupervised Representation Learning by Predicting Image Rotations, ICLR 2018);
- `random`: untrained, where there are too few images to learn from.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from tui_gen.train.data import Source
from tui_gen.train.engine.devices import random_state_kept

WIDTH = 64
"""Features of an image."""
LARGEST = 64
"""Images are averaged down to this side, in pixels."""
BATCH = 64, 128
"""Images of a training step, of few data and of `MANY`."""
MANY = 20_000
STEPS = (700, 1500)
"""Fewest and most training steps; between them three passes over the data. Of few data, `PASSES` passes are enough."""
PASSES = 40
SLICE = 5
"""Training steps between two of the moments where the work may be put off."""
RATE = 3e-3
DROPOUT = 0.25
"""Share of the features that training leaves out."""
TURNS = ("0°", "90°", "180°", "270°")


class FeatureNet(nn.Module):
    """Convolutions in the manner of LeNet-5 (LeCun et al. 1998), `WIDTH` features, and a linear layer on them.

    Images are (N, C, S, S) float32 in [0, 1].
    """

    def __init__(self, shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        channels, side = shape[0], min(shape[-1], LARGEST)
        self.side = side
        layers: list[nn.Module] = []
        if side <= 12:  # too small to be halved twice
            layers += [nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
            width, side = 32, side // 2
        else:
            width = 8
            while side > 7:
                wider = min(2 * width, 64)
                layers += [nn.Conv2d(channels, wider, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
                channels, width, side = wider, wider, side // 2
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        self.embed = nn.Linear(width * side * side, WIDTH)
        self.name = nn.Linear(WIDTH, outputs)

    def features(self, images: Tensor) -> Tensor:
        """(N, WIDTH), not negative."""
        if images.shape[-1] != self.side:
            images = functional.interpolate(images, (self.side, self.side), mode="area")
        return functional.relu(self.embed(self.convolutions(2 * images - 1)))


def feature_net(shape: tuple[int, ...], outputs: int, seed: int) -> FeatureNet:
    """An untrained network, the same for every call; PyTorch's random state stays as it was."""
    with random_state_kept(torch.device("cpu"), seed):
        return FeatureNet(shape, outputs)


def train(net: FeatureNet, source: Source, count: int, labelled: bool, seed: int) -> Iterator[float]:
    """Train on examples 0 … `count` − 1 of a source, by its labels or by turns; yields the share done now and then.

    Everything random comes from `seed`, and on the CPU sums are made by one thread, so that the same data give the
    same network.
    """
    device = next(net.parameters()).device
    batch = BATCH[count >= MANY]
    steps = min(max(STEPS[0], 3 * count // batch), STEPS[1], max(1, PASSES * count // batch))
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    step = 0
    while step < steps:
        with alone(), torch.enable_grad():
            for _ in range(min(SLICE, steps - step)):
                picks = torch.randint(count, (batch,), generator=generator)
                raw, classes = source.take(picks.to(source.device))
                images = raw.to(device).float() / 255
                if labelled and classes is not None:
                    answers = classes
                else:
                    answers = torch.randint(len(TURNS), (len(images),), generator=generator)
                    images = turned(images, answers)
                mask = torch.rand(len(images), WIDTH, generator=generator) >= DROPOUT
                hidden = net.features(images) * mask.to(device) / (1 - DROPOUT)
                loss = functional.cross_entropy(net.name(hidden), answers.to(device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                step += 1
        yield step / steps


def turned(images: Tensor, turns: Tensor) -> Tensor:
    """Each image turned by its number of quarter turns."""
    out = images.clone()
    for turn in range(1, len(TURNS)):
        which = (turns == turn).nonzero().flatten().to(images.device)
        out[which] = images[which].rot90(turn, (2, 3))
    return out


@torch.no_grad()
def look(net: FeatureNet, raw: Tensor) -> tuple[Tensor, Tensor]:
    """uint8 images → features (N, WIDTH) and the network's answers, logits (N, outputs); float32 on the CPU."""
    device = next(net.parameters()).device
    with alone():
        hidden = net.features(raw.to(device).float() / 255)
        return hidden.cpu(), net.name(hidden).cpu()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One CPU thread, and on a GPU only kernels that always sum in the same order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            yield
    finally:
        torch.set_num_threads(threads)
