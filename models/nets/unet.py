"""A small U-Net and an MLP that predict the noise in a noisy example, told the time and, where wanted, the label."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tui_gen.models.nets.layers import TimeEmbedding, group_norm
from tui_gen.models.nets.norm_silu import drawing_samples, norm_silu


class Condition(nn.Module):
    """Time (N,) and labels → one vector (N, width) that tells every block where in the process it is."""

    def __init__(self, width: int, label_count: int) -> None:
        super().__init__()
        self.time = nn.Sequential(TimeEmbedding(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(label_count, width) if label_count else None

    def forward(self, time: Tensor, labels: Tensor | None) -> Tensor:
        code = self.time(time)
        if self.label is not None:
            code = code + self.label(labels)
        return F.silu(code)


class ResidualBlock(nn.Module):
    """GroupNorm-SiLU-Conv twice around an added per-channel shift, plus a skip: (N, in, H, W) → (N, out, H, W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = group_norm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = group_norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv2.weight)  # every block starts as its skip

    def forward(self, x: Tensor, shift: Tensor, spare: bool = False) -> Tensor:
        """`shift` (N, out) comes of the condition; `spare` says that nobody else needs x."""
        if not drawing_samples():
            h = self.conv1(norm_silu(self.norm1, x))
            return self.conv2(norm_silu(self.norm2, h, shift)) + self.skip(x)
        skip = self.skip(x)  # before x is written over
        h = self.conv1(norm_silu(self.norm1, x, spare=spare and skip is not x))
        return self.conv2(norm_silu(self.norm2, h, shift, spare=True)).add_(skip)


class Attention(nn.Module):
    """Self-attention between the places of a map, added to it: (N, C, H, W) → the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = group_norm(width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.out = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.out.weight)
        self.heads = math.gcd(4, width)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(n, 3, self.heads, c // self.heads, h * w).transpose(-1, -2).unbind(1)
        attention = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(attention.transpose(-1, -2).reshape(n, c, h, w))


class Doubling(nn.Conv2d):
    """Every pixel made four (nearest neighbour), then a 3×3 convolution: (N, C, S, S) → (N, C, 2·S, 2·S).

    Both at once, as one transposed convolution with the 4×4 kernel that they amount to: where the 3×3 kernel meets
    equal pixels its weights can be added first, so that 4 products do instead of 9.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(self.weight, (1, 1, 1, 1))
        rows = padded[:, :, 1:] + padded[:, :, :-1]
        kernel = (rows[..., 1:] + rows[..., :-1]).flip(2, 3).transpose(0, 1)
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)


class UNet(nn.Module):
    """The noise predictor of DDPM, small: (N, C, S, S), time (N,), labels → (N, C, S, S).

    `channels` gives the width of each resolution, S, S/2, S/4…; S must be divisible by 2^(len(channels) − 1).
    """

    def __init__(self, images: int, channels: list[int], blocks: int, attention: bool, label_count: int) -> None:
        super().__init__()
        first, last = channels[0], channels[-1]
        width = 4 * first
        self.condition = Condition(width, label_count)
        self.stem = nn.Conv2d(images, first, 3, padding=1)
        self.down, self.middle, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        self.halvings, self.doublings = nn.ModuleList(), nn.ModuleList()
        skips = [first]
        inputs = first
        for level, outputs in enumerate(channels):
            for _ in range(blocks):
                self.down.append(ResidualBlock(inputs, outputs))
                skips.append(outputs)
                inputs = outputs
            if level < len(channels) - 1:
                self.halvings.append(nn.Conv2d(outputs, outputs, 3, stride=2, padding=1))
        self.middle.append(ResidualBlock(last, last))
        self.attention = Attention(last) if attention else nn.Identity()
        skips.pop(0)
        for level in reversed(range(len(channels))):
            for _ in range(blocks):
                self.up.append(ResidualBlock(inputs + skips.pop(), channels[level]))
                inputs = channels[level]
            if level:
                self.doublings.append(Doubling(inputs))
        self.norm = group_norm(first)
        self.out = nn.Conv2d(first, images, 3, padding=1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)
        self.blocks = blocks
        # One product gives the shifts of all blocks: one launch instead of one a block.
        self.widths = [block.conv1.out_channels for block in [*self.down, *self.middle, *self.up]]
        self.shifts = nn.Linear(width, sum(self.widths))

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        shifts = iter(self.shifts(self.condition(time, labels)).split(self.widths, dim=1))
        x = self.stem(x)
        skips = []
        for index, block in enumerate(self.down):
            if index and index % self.blocks == 0:
                x = self.halvings[index // self.blocks - 1](x)
            x = block(x, next(shifts))
            skips.append(x)
        x = self.attention(self.middle[0](x, next(shifts)))
        for index, block in enumerate(self.up):
            if index and index % self.blocks == 0:
                x = self.doublings[index // self.blocks - 1](x)
            x = block(torch.cat([x, skips.pop()], dim=1), next(shifts), spare=True)
        return self.out(norm_silu(self.norm, x, spare=True))


class Perceptron(nn.Module):
    """A residual MLP for points, or small images: (N, *shape), time (N,), labels → (N, *shape)."""

    def __init__(self, features: int, hidden: list[int], label_count: int) -> None:
        super().__init__()
        width = hidden[0]
        self.condition = Condition(width, label_count)
        self.stem = nn.Linear(features, width)
        self.shifts = nn.ModuleList(nn.Linear(width, inputs) for inputs in hidden)
        self.layers = nn.ModuleList(
            nn.Linear(inputs, outputs) for inputs, outputs in zip(hidden, [*hidden[1:], hidden[-1]])
        )
        self.out = nn.Linear(hidden[-1], features)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        condition = self.condition(time, labels)
        h = self.stem(x.flatten(1))
        for shift, layer in zip(self.shifts, self.layers):
            step = layer(F.silu(h + shift(condition)))
            h = h + step if step.shape == h.shape else step
        return self.out(F.silu(h)).reshape(x.shape)
