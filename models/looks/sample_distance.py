"""How far samples lie from real examples, cheaply enough for every validation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def standardised_sliced_wasserstein(samples: Tensor, real: Tensor, directions: int = 64) -> Tensor:
    """Wasserstein-1 distance of equally many samples and real examples (N, *shape), averaged over random directions.

    In units of the real examples' standard deviation along them. Rabin et al. 2011; for GANs, Karras et al. 2018. It is
    drawn anew each time; the figure of how good a run is (`train/quality/distances.py`) is another.
    """
    samples, real = samples.flatten(1).float(), real.flatten(1).float()
    along = F.normalize(torch.randn(real.shape[1], directions, device=real.device), dim=0)
    samples, real = (samples @ along).sort(dim=0).values, (real @ along).sort(dim=0).values
    deviation = (real - real.mean(0)).square().mean().sqrt().clamp(min=1e-6)
    return (samples - real).abs().mean() / deviation
