"""A codebook's vectors (K, D): how often each is chosen, moving averages of what chooses it, new starts."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from tui_gen.model import hyper
from tui_gen.models.nets.settings import step_count

CodebookSize = Annotated[int, hyper("Number K of code vectors", ge=2, le=8192, unit="codes")]
CodeSize = Annotated[int, hyper("Length of a code vector", ge=1, le=1024, unit="dimensions")]
Moved = Annotated[Literal["ema", "gradient"], hyper("Code vectors follow moving averages, or the gradient of a loss")]
Decay = Annotated[float, hyper("γ of the moving averages of the codebook", ge=0, le=0.9999, live=True)]
Patience = Annotated[int, step_count("Unused for so long, a code starts anew at an encoder output; 0 is never")]

NEVER = 2**40
"""Idle steps of a code that has not been used at all yet: more than any `restart_after`."""


def count(codes: Tensor, size: int) -> Tensor:
    """How often each of `size` codes occurs among int64 codes of any shape: (size,) float32."""
    flat = codes.flatten()
    ones = torch.ones(len(flat), device=codes.device)
    return torch.zeros(size, device=codes.device).index_add_(0, flat, ones)


def entropy(shares: Tensor) -> Tensor:
    """Of a distribution `shares` (K,), in nats: a scalar in [0, ln K]."""
    return -torch.xlogy(shares, shares).sum()


def follow(vectors: Tensor, counts: Tensor, z: Tensor, codes: Tensor, decay: float) -> None:
    """Moving averages: N ← γN + (1 − γ)n and e ← e + (1 − γ)(Σz − n e) / N, for the n latents that chose a code.

    Of vectors (K, D) and counts (K,), in place; latents z (M, D), their codes (M,) int64, `decay` γ. It is the paper's
    e = Σz / N of sums and counts kept apart, but a code that nothing chooses stays exactly where it is.
    """
    usage = count(codes, len(vectors))
    sums = torch.zeros_like(vectors).index_add_(0, codes, z)
    counts.lerp_(usage, 1 - decay)
    pull = (sums - usage[:, None] * vectors) / counts[:, None].clamp(min=1e-6)
    vectors.add_(pull, alpha=1 - decay)


def restart(vectors: Tensor, idle: Tensor, z: Tensor, after: int) -> Tensor:
    """Put each of `vectors` (K, D) that was `idle` (K,) for `after` steps where a random latent of z (M, D) lies.

    Vectors and idle steps are changed in place. Which were put, (K,) bool.
    """
    dead = idle >= after
    fresh = z[torch.randint(len(z), (len(dead),), device=z.device)]
    vectors.copy_(torch.where(dead[:, None], fresh, vectors))
    idle.masked_fill_(dead, 0)
    return dead
