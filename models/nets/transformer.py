"""A small causal transformer over sequences of symbols (Vaswani et al. 2017, arXiv:1706.03762; Radford et al. 2019)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tui_gen.model import hyper
from tui_gen.models.nets.layers import draw_symbol

# The hyperparameters of a prior, as models declare them.
Width = Annotated[int, hyper("Width of the prior", ge=4, le=1024, unit="units")]
Layers = Annotated[int, hyper("Transformer blocks of the prior", ge=1, le=16)]
Dropout = Annotated[float, hyper("Share of the prior's units left out in training", ge=0, le=0.95, live=True)]
Temperature = Annotated[
    float, hyper("Of drawn codes: below 1 likelier ones, 0 always the likeliest", ge=0, le=10, live=True)
]

Past = tuple[Tensor, Tensor]
"""Keys and values of the places that a block has seen, each (N, heads, T, width / heads)."""


class CausalTransformer(nn.Module):
    """p(c₁ … c_L) = Π p(cₜ | c₁ … cₜ₋₁, label) over sequences of `length` symbols, each one of `symbols`.

    A sequence begins with a learned start, one for each of `starts` labels; the place of a symbol is learned as well.
    Layers are normalised before, not after, attention and perceptron.
    """

    def __init__(self, symbols: int, length: int, width: int, layers: int, starts: int = 1) -> None:
        super().__init__()
        self.length = length
        self.symbol = nn.Embedding(symbols, width)
        self.start = nn.Embedding(starts, width)
        self.place = nn.Parameter(torch.empty(length, width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.guess = nn.Linear(width, symbols)
        for weight in (self.symbol.weight, self.start.weight, self.place, self.guess.weight):
            nn.init.normal_(weight, std=0.02)
        nn.init.zeros_(self.guess.bias)

    def forward(self, symbols: Tensor, labels: Tensor | None = None, dropout: float = 0.0) -> Tensor:
        """(N, length) int64, labels (N,) or None → logits (N, length, symbols) of each, given those before it.

        `dropout` is the share of activations that are dropped, in [0, 1).
        """
        x = torch.cat([self.begin(len(symbols), labels), self.symbol(symbols[:, :-1])], dim=1)
        x = F.dropout(x + self.place, dropout, dropout > 0)
        for block in self.blocks:
            x, _ = block(x, None, dropout)
        return self.guess(self.norm(x)).float()

    def begin(self, count: int, labels: Tensor | None) -> Tensor:
        """The start of each sequence, (count, 1, width)."""
        if labels is None:
            labels = torch.zeros(count, dtype=torch.int64, device=self.place.device)
        return self.start(labels)[:, None]

    def draw(self, draws: Tensor, labels: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Uniform draws (N, length), labels (N,) or None → sequences (N, length) int64, symbol by symbol; see
        `draw_symbol`.
        """
        pasts: list[Past | None] = [None] * len(self.blocks)
        x, symbols = self.begin(len(draws), labels), []
        for place, draw in enumerate(draws.T):
            x = x + self.place[place]
            for index, block in enumerate(self.blocks):
                x, pasts[index] = block(x, pasts[index])
            symbols.append(draw_symbol(self.guess(self.norm(x))[:, 0].float(), draw, temperature))
            x = self.symbol(symbols[-1])[:, None]
        return torch.stack(symbols, dim=1)


class Block(nn.Module):
    """Self-attention, in which a place sees itself and those before it, then a perceptron; each adds to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = math.gcd(4, width)
        self.before_attention, self.before_perceptron = nn.LayerNorm(width), nn.LayerNorm(width)
        self.look, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, past: Past | None, dropout: float = 0.0) -> tuple[Tensor, Past]:
        """(N, T, width), and keys and values of the places before them, which may be none only where T may be > 1.

        The same shape, and all keys and values (N, heads, places, width / heads); `dropout` as above.
        """
        parts = self.look(self.before_attention(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        attention = F.scaled_dot_product_attention(query, key, value, is_causal=past is None)
        x = x + F.dropout(self.mix(attention.transpose(1, 2).flatten(2)), dropout, dropout > 0)
        x = x + F.dropout(self.perceptron(self.before_perceptron(x)), dropout, dropout > 0)
        return x, (key, value)
