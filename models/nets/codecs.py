"""Encoders from examples to vectors, or to grids of vectors, and decoders back: fully connected or convolutional."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tui_gen.model import DataSpec, one_hot
from tui_gen.models.nets.layers import ReLU, Residual, doubling, halving, label_planes, perceptron


class Encoder(nn.Sequential):
    """x (N, *data.shape), and labels (N,) unless `label_count` is 0 → (N, outputs)."""

    def __init__(self, config: Any, data: DataSpec, outputs: int, label_count: int = 0) -> None:
        if config.network == "mlp":
            super().__init__(*perceptron([data.features + label_count, *config.hidden, outputs]))
        else:
            small = data.size // 2 ** len(config.channels)
            super().__init__(
                halving(data.channels + label_count, config.channels, ReLU),
                nn.Flatten(),
                nn.Linear(config.channels[-1] * small**2, outputs),
            )
        self.flat, self.label_count = config.network == "mlp", label_count

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        x = x.flatten(1) if self.flat else x
        if self.label_count:
            codes = one_hot(labels, self.label_count)
            x = torch.cat([x, codes if self.flat else label_planes(codes, x.shape[-1])], dim=1)
        return super().forward(x)


class Decoder(nn.Sequential):
    """z (N, inputs), and labels (N,) unless `label_count` is 0 → (N, *data.shape), of any value."""

    def __init__(self, config: Any, data: DataSpec, inputs: int, label_count: int = 0) -> None:
        if config.network == "mlp":
            super().__init__(*perceptron([inputs + label_count, *reversed(config.hidden), data.features]))
        else:
            small, inner = data.size // 2 ** len(config.channels), config.channels[-1]
            super().__init__(
                nn.Linear(inputs + label_count, inner * small**2),
                nn.Unflatten(1, (inner, small, small)),
                ReLU(),
                doubling(config.channels[::-1], data.channels, ReLU),
            )
        self.shape, self.label_count = data.shape, label_count

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.label_count:
            z = torch.cat([z, one_hot(labels, self.label_count)], dim=1)
        return super().forward(z).reshape(len(z), *self.shape)


class MapEncoder(nn.Sequential):
    """x (N, *data.shape) → a grid of vectors (N, code_size, *grid)."""

    def __init__(self, config: Any, data: DataSpec, grid: tuple[int, int]) -> None:
        size, (height, width) = config.code_size, grid
        if config.network == "mlp":
            super().__init__(
                nn.Flatten(),
                perceptron([data.features, *config.hidden, size * height * width]),
                nn.Unflatten(1, (size, height, width)),
            )
        else:
            inner = config.channels[-1]
            super().__init__(
                halving(data.channels, config.channels, ReLU),
                *(Residual(inner) for _ in range(config.residual_blocks)),
                nn.Conv2d(inner, size, 1),
            )


class MapDecoder(nn.Sequential):
    """A grid of vectors (N, code_size, *grid) → (N, *data.shape), of any value."""

    def __init__(self, config: Any, data: DataSpec, grid: tuple[int, int]) -> None:
        size, (height, width) = config.code_size, grid
        if config.network == "mlp":
            sizes = [size * height * width, *reversed(config.hidden), data.features]
            super().__init__(nn.Flatten(), perceptron(sizes))
        else:
            inner = config.channels[-1]
            super().__init__(
                nn.Conv2d(size, inner, 3, padding=1),
                *(Residual(inner) for _ in range(config.residual_blocks)),
                ReLU(),
                doubling(config.channels[::-1], data.channels, ReLU),
            )
        self.shape = data.shape

    def forward(self, e: Tensor) -> Tensor:
        return super().forward(e).reshape(len(e), *self.shape)
