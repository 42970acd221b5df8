"""A classifier of real handwritten digits that judges generated ones.

It is trained on 80 % of scikit-learn's digits, tested on the rest. The share of images on which it is at least
`CONFIDENT` tells how many look like some digit; the shares of the ten classes tell whether any is missing.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

CONFIDENT = 0.9
STEPS = 700


@dataclass
class Verdict:
    """`share` of images the judge is confident about; `classes` the share of each class among all of them."""

    share: float
    classes: list[float]

    @property
    def smallest(self) -> float:
        return min(self.classes)


@dataclass
class Judge:
    """`accuracy` and `real` (the confident share, R) are those of held-out real digits."""

    network: nn.Module
    accuracy: float = 0.0
    real: float = 0.0

    @torch.no_grad()
    def look(self, images: Tensor) -> Verdict:
        """Judge images (N, 1, S, S) in [0, 1]; sizes other than 8 px are averaged down to it."""
        if images.shape[-1] != 8:
            images = F.adaptive_avg_pool2d(images, 8)
        probabilities = torch.cat([self.network(part).softmax(1) for part in images.float().split(512)])
        confidence, label = probabilities.max(1)
        counts = torch.bincount(label, minlength=10) / len(images)
        return Verdict(float((confidence >= CONFIDENT).float().mean()), counts.tolist())


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images (1437, 1, 8, 8) in [0, 1] with their labels, then the held-out 360 with theirs."""
    bunch = load_digits()
    images = torch.from_numpy(bunch.images.astype(numpy.float32) / 16)[:, None]
    labels = torch.from_numpy(bunch.target).long()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    held, train = order[:360], order[360:]
    return images[train], labels[train], images[held], labels[held]


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(64 * 16, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )


@cache
def judge() -> Judge:
    """The trained judge: always the same one, kept in the temporary folder between processes."""
    source = hashlib.sha256(Path(__file__).read_bytes() + torch.__version__.encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"tui-gen-judge-{source}.pt"
    images, labels, held, held_labels = digits()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = network()
        if path.is_file():
            net.load_state_dict(torch.load(path, weights_only=True))
        else:
            _train(net, images, labels)
            part = path.with_suffix(f".{torch.randint(2**31, ()).item()}.part")
            torch.save(net.state_dict(), part)
            part.replace(path)
    net.eval()
    found = Judge(net)
    with torch.no_grad():
        found.accuracy = float((net(held).argmax(1) == held_labels).float().mean())
    found.real = found.look(held).share
    return found


def _train(net: nn.Module, images: Tensor, labels: Tensor) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=STEPS)
    for _ in range(STEPS):
        index = torch.randint(len(images), (64,))
        loss = F.cross_entropy(net(images[index]), labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


if __name__ == "__main__":
    found = judge()
    print(f"held-out accuracy {found.accuracy:.4f}, R = {found.real:.4f}")
