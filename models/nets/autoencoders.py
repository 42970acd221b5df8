"""An autoencoder's networks: fully connected, convolutional, or recurrent over rows; each can `encode` and `decode`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tui_gen.model import DataSpec, nonzero
from tui_gen.models.nets.layers import ACTIVATIONS


class Dense(nn.Module):
    """Linear layers from the pixels over `hidden` to the code and back, which `tied` decoders do by the transposes.

    As all here: `encode` takes x (N, *data.shape) to codes (N, latent), `decode` those to outputs of as many values as
    x has, before the output's activation.
    """

    def __init__(self, config: Any, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        sizes = [data.features, *config.hidden, config.latent]
        self.inner, self.last = ACTIVATIONS[config.activation], ACTIVATIONS[config.code_activation]
        self.encoder = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        if config.tied:
            self.biases = nn.ParameterList(nn.Parameter(torch.zeros(size)) for size in sizes[:-1])
        else:
            self.decoder = nn.ModuleList(nn.Linear(outputs, inputs) for inputs, outputs in pairwise(sizes))

    def down(self, layer: int, x: Tensor) -> Tensor:
        """The encoder's layer 0, 1, …, counted from the pixels: (N, inputs) → (N, outputs)."""
        return (self.last if layer == len(self.encoder) - 1 else self.inner)(self.encoder[layer](x))

    def up(self, layer: int, z: Tensor) -> Tensor:
        """The decoder's layer, counted from the pixels as well, which undoes `down`: z (N, outputs) → (N, inputs)."""
        if self.config.tied:
            z = F.linear(z, self.encoder[layer].get_parameter("weight").t(), self.biases[layer])
        else:
            z = self.decoder[layer](z)
        return self.inner(z) if layer else z

    def encode(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer in range(len(self.encoder)):
            if self.training and nonzero(self.config.code_noise) and layer == len(self.encoder) - 1:
                x = x + self.config.code_noise * torch.randn_like(x)
            x = self.down(layer, x)
        return x

    def decode(self, z: Tensor) -> Tensor:
        for layer in reversed(range(len(self.encoder))):
            z = self.up(layer, z)
        return z

    def rebuild_layer(self, x: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """What one layer is given, without gradient, and what it alone makes of it: (N, inputs) each."""
        x = x.flatten(1)
        with torch.no_grad():
            for before in range(layer):
                x = self.down(before, x)
        return x, self.up(layer, self.down(layer, x))


class Convolutional(nn.Module):
    """3×3 convolutions with 2×2 max-pooling, one more to `latent` maps whose means are the code; and back.

    The decoder starts from a small plane of `channels[0]` maps and doubles it with strided transposed convolutions,
    to the very sizes that the encoder came through, odd ones too.
    """

    def __init__(self, config: Any, data: DataSpec) -> None:
        super().__init__()
        self.inner, self.last = ACTIVATIONS[config.activation], ACTIVATIONS[config.code_activation]
        widths = [data.channels, *config.channels, config.latent]
        self.encoder = nn.ModuleList(nn.Conv2d(*pair, 3, padding=1) for pair in pairwise(widths))
        sizes = [data.size // 2**times for times in range(len(config.channels), -1, -1)]
        self.seed = (config.channels[0], sizes[0], sizes[0])
        self.grow = nn.Linear(config.latent, config.channels[0] * sizes[0] ** 2)
        steps = zip(pairwise([config.channels[0], *config.channels[-2::-1], data.channels]), pairwise(sizes))
        self.decoder = nn.ModuleList(_doubling(*widths, odd=large % 2 == 1) for widths, (_, large) in steps)

    def encode(self, x: Tensor) -> Tensor:
        for layer in self.encoder[:-1]:
            x = F.max_pool2d(self.inner(layer(x)), 2)
        return self.last(self.encoder[-1](x)).mean((2, 3))

    def decode(self, z: Tensor) -> Tensor:
        x = self.grow(z).reshape(len(z), *self.seed)
        for layer in self.decoder[:-1]:
            x = self.inner(layer(x))
        return self.decoder[-1](x)


def _doubling(inputs: int, outputs: int, odd: bool) -> nn.ConvTranspose2d:
    """A transposed convolution from size s to 2s + 1 where that is `odd`, else to 2s."""
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=0 if odd else 1, output_padding=0 if odd else 1)


class Recurrent(nn.Module):
    """LSTMs read an image row by row; the last one's final state is the code. The decoder writes row by row from it."""

    def __init__(self, config: Any, data: DataSpec) -> None:
        super().__init__()
        self.shape = data.shape
        self.last = ACTIVATIONS[config.code_activation]
        row = data.channels * data.size
        down, up = [row, *config.hidden, config.latent], [config.latent, *reversed(config.hidden)]
        self.encoder = nn.ModuleList(nn.LSTM(*pair, batch_first=True) for pair in pairwise(down))
        self.decoder = nn.ModuleList(nn.LSTM(*pair, batch_first=True) for pair in pairwise(up))
        self.rows = nn.Linear(up[-1], row)

    def encode(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 1, 3).flatten(2)
        for layer in self.encoder:
            x, _ = layer(x)
        return self.last(x[:, -1])

    def decode(self, z: Tensor) -> Tensor:
        channels, height, width = self.shape
        x = z[:, None].expand(-1, height, -1)
        for layer in self.decoder:
            x, _ = layer(x)
        return self.rows(x).unflatten(2, (channels, width)).transpose(1, 2)
