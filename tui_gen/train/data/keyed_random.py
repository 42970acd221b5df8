"""Random numbers that are a pure function of (key, position), not of what was drawn before.

Endless datasets and augmentation draw from here: example i of a key is the same on every device and after every
resume, and there is no generator state to save. The mixing function is SplitMix64 (Steele, Lea and Flood, Fast
Splittable Pseudorandom Number Generators, OOPSLA 2014) in wrapping int64 arithmetic.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor


def key(*parts: int | str) -> int:
    """A 64-bit key for a purpose, such as `key(seed, "augment")`; different parts give unrelated streams."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)


def generator(*parts: int | str) -> torch.Generator:
    """A CPU generator for a purpose, seeded by `key(*parts)`."""
    return torch.Generator().manual_seed(key(*parts))


def uniforms(seed: int, positions: Tensor, slots: int) -> Tensor:
    """(N,) int64 positions → (slots, N) float32 in [0, 1), multiples of 2⁻²⁴; `seed` is any `key`."""
    slot = torch.arange(slots, device=positions.device)[:, None]
    z = (positions[None] * slots + slot) * _signed(0x9E3779B97F4A7C15) + seed
    z = (z ^ _shift(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift(z, 27)) * _signed(0x94D049BB133111EB)
    z = z ^ _shift(z, 31)
    return _shift(z, 40).float() * 2.0**-24


def normals(first: Tensor, second: Tensor) -> Tensor:
    """Two tensors of uniforms in [0, 1) → one of standard normals (Box and Muller, 1958)."""
    return (-2 * torch.log1p(-first)).sqrt() * torch.cos(2 * math.pi * second)


def _shift(z: Tensor, bits: int) -> Tensor:
    # torch shifts int64 arithmetically: mask off the copies of the sign bit
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _signed(constant: int) -> int:
    return constant - (1 << 64)
