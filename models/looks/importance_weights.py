"""How likely examples are under a model that has a posterior, measured with many codes of each."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from tui_gen.model import Batch, alike, batch_rows


class Decoder(Protocol):
    """What is asked of such a model, about x (N, *data.shape) and codes z (N, latent)."""

    def posterior(self, x: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """μ and ln σ² of q(z|x), each (N, latent)."""

    def logits(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """The decoder's output (N, *data.shape)."""

    def log_probability(self, logits: Tensor, x: Tensor) -> Tensor:
        """log p(x|z) in nats of every code (N,)."""


def log_likelihood(model: Decoder, x: Tensor, labels: Tensor | None, count: int) -> Tensor:
    """ln p(x) ≥ E ln (1/count) Σᵢ p(x|zᵢ) p(zᵢ) / q(zᵢ|x) in nats, (N,), of x (N, *data.shape), zᵢ from q(z|x).

    It is the ELBO with one code and rises towards ln p(x) with more (Burda et al. 2016). One example at a time:
    hundreds of decoded images of each must fit into memory.
    """
    means, log_variances = model.posterior(x, labels)
    bounds = []
    for place, (mean, log_variance) in enumerate(zip(means, log_variances, strict=True)):
        noise = torch.randn(count, len(mean), device=x.device)
        z = mean + torch.exp(0.5 * log_variance) * noise
        same = None if labels is None else labels[place].expand(count)
        ratio = 0.5 * (noise.square() + log_variance - z.square()).sum(1)  # ln p(z) − ln q(z|x)
        bounds.append((model.log_probability(model.logits(z, same), x[place]) + ratio).logsumexp(0))
    return torch.stack(bounds) - math.log(count)


def of_some(model: Decoder, batch: Batch, examples: int, count: int) -> Tensor:
    """The mean of it over the first so many examples of a batch: a scalar. With many processes, of the whole batch."""
    x, labels = batch_rows(batch.x)[:examples], None if batch.labels is None else batch_rows(batch.labels)[:examples]
    with alike():
        return log_likelihood(model, x, labels, count).mean()
