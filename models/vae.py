"""The variational autoencoder (Kingma & Welling 2014), its β and conditional forms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tui_gen.model import (
    Batch,
    DataSpec,
    Given,
    Loss,
    Model,
    Optim,
    Phase,
    Picture,
    Problem,
    Text,
    hyper,
    nonzero,
    one_hot,
)
from tui_gen.models.looks.codes import plot, principal
from tui_gen.models.nets.layers import (
    ReLU,
    doubling,
    halving,
    label_planes,
    perceptron,
    progress,
    refuse_labels,
    refuse_network,
    refuse_pyramid,
)

ACTIVE = 0.01
"""A code dimension is active when its mean varies by more than this over the data (Burda et al. 2016)."""


class VAE(Model):
    name = "vae"
    family = "vae"
    title = "Variational autoencoder"
    summary = "Learns a smooth code for images by compressing and rebuilding them."
    reference = (
        "Kingma & Welling 2014, arXiv:1312.6114; β: Higgins et al. 2017; conditional: Sohn et al. 2015; warm-up: "
        "Bowman et al. 2016, arXiv:1511.06349; free bits: Kingma et al. 2016, arXiv:1606.04934; importance weights: "
        "Burda et al. 2016, arXiv:1509.00519"
    )
    kinds = ("image", "points")
    pixels = "unit"
    optimizers = {"vae": Optim(lr=1e-3)}
    arithmetic = ("beta", "kl_warmup", "free_bits")
    judged = ("elbo", "log_likelihood", "mse")

    class Config(msgspec.Struct):
        network: Annotated[Literal["mlp", "conv"], hyper("Fully connected, or convolutional")] = "mlp"
        hidden: Annotated[
            list[int],
            hyper("Layer widths of the mlp encoder, mirrored by its decoder", ge=1, le=8192, unit="units", max_items=8),
        ] = msgspec.field(default_factory=lambda: [400])
        channels: Annotated[
            list[int],
            hyper(
                "Channels of the conv encoder; each entry halves the image", ge=1, le=1024, min_items=1, max_items=6
            ),
        ] = msgspec.field(default_factory=lambda: [32, 64])
        latent: Annotated[int, hyper("Size of the code z", ge=1, le=1024, unit="dimensions")] = 20
        beta: Annotated[float, hyper("Weight of the KL term; 1 is the ELBO", ge=0, le=1000, live=True)] = 1.0
        kl_warmup: Annotated[
            int, hyper("Steps over which β grows from 0; 0 is none", ge=0, le=10**9, unit="steps", live=True)
        ] = 0
        free_bits: Annotated[
            float, hyper("KL of each code dimension that costs nothing", ge=0, le=100, unit="nats", live=True)
        ] = 0.0
        likelihood: Annotated[
            Literal["bernoulli", "gaussian"], hyper("How the decoder's output scores pixels; points need gaussian")
        ] = "bernoulli"
        sigma: Annotated[float, hyper("Standard deviation of the gaussian likelihood; 0 learns it", ge=0, le=100)] = 0.0
        conditional: Annotated[bool, hyper("Tell encoder and decoder the label")] = False
        iw_samples: Annotated[
            int, hyper("Codes per image for the log-likelihood in validation; 0 is off", ge=0, le=5000, live=True)
        ] = 0
        iw_examples: Annotated[
            int, hyper("Images of each validation batch (256 or more) that it is measured on", ge=1, le=256, live=True)
        ] = 8

    @classmethod
    def refuse(cls, config: Any, data: DataSpec) -> Iterator[Problem]:
        yield from super().refuse(config, data)
        yield from refuse_labels(cls.name, config, data)
        yield from refuse_network("model.network", config.network, ("conv",), data)
        if data.kind == "points" and config.likelihood == "bernoulli":
            yield Problem(
                "model.likelihood", "bernoulli", "is for values in [0, 1]; points are not", "set it to gaussian"
            )
        if 0 < config.sigma < 1e-4:
            yield Problem("model.sigma", config.sigma, "is too small", "use at least 1e-4, or 0 to learn it")
        if data.kind == "image" and config.network == "conv":
            yield from refuse_pyramid("model.channels", config.channels, data)

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__(config, data)
        self.classes = len(data.classes) if config.conditional else 0
        if config.network == "mlp":
            sizes = [data.features + self.classes, *config.hidden, 2 * config.latent]
            self.encoder = perceptron(sizes)
            self.decoder = perceptron([config.latent + self.classes, *reversed(config.hidden), data.features])
        else:
            small = data.size // 2 ** len(config.channels)
            inner = config.channels[-1]
            self.encoder = nn.Sequential(
                halving(data.channels + self.classes, config.channels, ReLU),
                nn.Flatten(),
                nn.Linear(inner * small**2, 2 * config.latent),
            )
            self.decoder = nn.Sequential(
                nn.Linear(config.latent + self.classes, inner * small**2),
                nn.Unflatten(1, (inner, small, small)),
                ReLU(),
                doubling(config.channels[::-1], data.channels, ReLU),
            )
        learned = config.likelihood == "gaussian" and config.sigma == 0
        start = 0.0 if data.kind == "points" else -1.0  # about the spread of the data, so that σ has no long way to go
        self.log_sigma = nn.Parameter(torch.tensor(start)) if learned else None

    @property
    def compiles(self) -> bool:  # type: ignore[override]
        return self.config.network == "mlp"  # convolutions run slower compiled, on CPUs

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return (self.config.latent,)

    def phases(self) -> list[Phase]:
        return [Phase("vae", self.loss, self.parameters())]

    def loss(self, batch: Batch) -> Loss:
        """−ELBO in nats (KL weighted by β), averaged over the batch; every metric is per example."""
        config = self.config
        mean, log_variance = self.posterior(batch.x, batch.labels)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        reconstruction = self.negative_log_likelihood(self.logits(z, batch.labels), batch.x)
        terms = divergences(mean, log_variance)
        taxed = kl = 0.5 * terms.sum() / len(mean)
        if nonzero(config.free_bits):
            taxed = (0.5 * terms.mean(0)).clamp(min=config.free_bits).sum()
        if nonzero(config.kl_warmup):
            taxed = progress(batch, config.kl_warmup) * taxed
        loss = reconstruction + config.beta * taxed
        code = mean.detach()
        active = (code.square().mean(0) - code.mean(0).square() > ACTIVE).sum().float()
        metrics = {"elbo": -(reconstruction + kl), "reconstruction": reconstruction, "kl": kl, "active_units": active}
        if self.log_sigma is not None:
            metrics["sigma"] = self.log_sigma.exp()
        return loss, metrics

    def validation(self, batch: Batch) -> dict[str, Tensor]:
        """The loss and its metrics, the squared error of a number, and the log-likelihood where asked for."""
        found = super().validation(batch)
        found["vae/mse"] = (self.reconstruct(batch.x, batch.labels) - batch.x).square().mean()
        if self.config.iw_samples:
            few = self.config.iw_examples
            labels = None if batch.labels is None else batch.labels[:few]
            found["vae/iw_log_likelihood"] = self.log_likelihood(batch.x[:few], labels, self.config.iw_samples).mean()
        return found

    def log_likelihood(self, x: Tensor, labels: Tensor | None, count: int) -> Tensor:
        """A lower bound on ln p(x) in nats, (N,), from `count` codes of each x (N, *data.shape).

        It is the ELBO with one code and rises towards ln p(x) with more (Burda et al. 2016). One example at a time:
        hundreds of decoded images of each must fit into memory.
        """
        means, log_variances = self.posterior(x, labels)
        bounds = []
        for place, (mean, log_variance) in enumerate(zip(means, log_variances, strict=True)):
            noise = torch.randn(count, len(mean), device=x.device)
            z = mean + torch.exp(0.5 * log_variance) * noise
            same = None if labels is None else labels[place].expand(count)
            ratio = 0.5 * (noise.square() + log_variance - z.square()).sum(1)  # ln p(z) − ln q(z|x)
            bounds.append((self.log_probability(self.logits(z, same), x[place]) + ratio).logsumexp(0))
        return torch.stack(bounds) - math.log(count)

    def posterior(self, x: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """μ and ln σ² of q(z|x), each (N, latent), of x (N, *data.shape)."""
        if self.config.network == "mlp":
            x = x.flatten(1)
            if self.classes:
                x = torch.cat([x, one_hot(labels, self.classes)], dim=1)
        elif self.classes:
            x = torch.cat([x, label_planes(one_hot(labels, self.classes), self.data.size)], dim=1)
        return self.encoder(x).float().chunk(2, dim=1)

    def logits(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """The decoder's output (N, *data.shape) before the sigmoid that images go through."""
        if self.classes:
            z = torch.cat([z, one_hot(labels, self.classes)], dim=1)
        return self.decoder(z).float().reshape(len(z), *self.data.shape)

    def negative_log_likelihood(self, logits: Tensor, x: Tensor) -> Tensor:
        """−log p(x|z) in nats, summed over an example's numbers and averaged over the batch: a scalar."""
        if self.config.likelihood == "bernoulli":
            return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        return self.gaussian((self.mean(logits) - x).square().sum() / len(x))

    def log_probability(self, logits: Tensor, x: Tensor) -> Tensor:
        """log p(x|z) in nats of every code (N,): logits (N, *data.shape) of each, one x or as many."""
        if self.config.likelihood == "bernoulli":
            entropy = F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
            return -entropy.flatten(1).sum(1)
        return -self.gaussian((self.mean(logits) - x).square().flatten(1).sum(1))

    def gaussian(self, error: Tensor) -> Tensor:
        """−log N in nats of an example with this sum of squared errors."""
        if self.log_sigma is None:
            log_sigma = math.log(self.config.sigma)
            inverse_variance = self.config.sigma**-2
        else:
            log_sigma = self.log_sigma
            inverse_variance = torch.exp(-2 * log_sigma)
        return 0.5 * error * inverse_variance + self.data.features * (log_sigma + 0.5 * math.log(2 * math.pi))

    def mean(self, logits: Tensor) -> Tensor:
        """E[x|z]: images through a sigmoid, points as they are."""
        return logits if self.data.kind == "points" else torch.sigmoid(logits)

    def sample(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, latent) standard normal → (N, *data.shape): the mean image of each code, in [0, 1]."""
        return self.decode(noise, labels)

    def reconstruct(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """x decoded from the mean of its posterior."""
        return self.decode(self.encode(x, labels), labels)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, *data.shape) → the posterior means (N, latent)."""
        return self.posterior(x, labels)[0]

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, latent) → (N, *data.shape), the mean of p(x|z)."""
        return self.mean(self.logits(z, labels))

    def panels(self, given: Given) -> list[Picture | Text]:
        """Codes in 2-D, coloured by label, and the KL of every code dimension."""
        mean, log_variance = self.posterior(given.x, given.labels)
        return [
            plot("codes", principal(mean, 2), given.labels, self.data.classes),
            Text("code", self.numbers(mean, log_variance)),
        ]

    def numbers(self, mean: Tensor, log_variance: Tensor, lines: int = 20, width: int = 40) -> str:
        """Active units and the KL of each dimension, greatest first, as lines of text with bars."""
        each = (0.5 * divergences(mean, log_variance).mean(0)).nan_to_num(0.0, 0.0, 0.0).clamp(0, 1e9)
        total, count = each.sum().item(), len(each)
        active = int((mean.var(0, correction=0) > ACTIVE).sum())
        found = [f"{active} of {count} dimensions active", f"KL {total:.2f} nats, by dimension:", ""]
        order = each.argsort(descending=True, stable=True).tolist()
        values = each.tolist()
        most = max(values[order[0]], 1e-9)
        bars = ((place, "█" * round(width * values[place] / most)) for place in order[:lines])
        found += [f"{place + 1:5d} {bar:{width}} {values[place]:.3f}" for place, bar in bars]
        if count > lines:
            rest = sum(values[place] for place in order[lines:])
            found.append(f"  and {count - lines} more with {rest:.3f} nats together")
        return "\n".join(found) + "\n"


def divergences(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Twice the KL of N(μ, σ²) from N(0, 1), in nats, of every number."""
    return mean.square() + log_variance.exp() - 1 - log_variance
