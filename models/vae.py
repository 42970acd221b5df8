"""The variational autoencoder (Kingma & Welling 2014), its β and conditional forms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tui_gen.model import Batch, DataSpec, Given, Loss, Model, Optim, Phase, Picture, Text, nonzero
from tui_gen.models.alarms.vae import ALARMS
from tui_gen.models.looks import importance_weights, tables
from tui_gen.models.looks.code_plots import plot, principal
from tui_gen.models.nets.codecs import Decoder, Encoder
from tui_gen.models.nets.layers import progress, refuse_convolutions, refuse_labels, refuse_unit_range
from tui_gen.models.nets.settings import BY_NETWORK, Channels, Hidden, Latent, Network, listed, step_count
from tui_gen.params import Problem, hyper
from tui_gen.sharing import batch_mean, pooled

ACTIVE = 0.01
"""A code dimension is active when its mean varies by more than this over the data (Burda et al. 2016)."""


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) = ½ (μ² + σ² − 1 − ln σ²), in nats, of every number: the shape of both."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


class VAE(Model):
    name, family, title = "vae", "vae", "Variational autoencoder"

    def loss(self, batch: Batch) -> Loss:
        """−ELBO = −E_q log p(x|z) + β · KL(q(z|x) ‖ N(0, I)) in nats, averaged over the batch; metrics per example."""
        config = self.config
        mean, log_variance = self.posterior(batch.x, batch.labels)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        reconstruction = self.negative_log_likelihood(self.logits(z, batch.labels), batch.x)
        each = kl(mean, log_variance)
        kl_term = kld = each.sum() / len(mean)
        if nonzero(config.free_bits):
            kl_term = batch_mean(each).clamp(min=config.free_bits).sum()
        if nonzero(config.kl_warmup):
            kl_term = progress(batch, config.kl_warmup) * kl_term
        code = mean.detach()
        active = pooled(active_units, code.square().mean(0), code.mean(0))
        metrics = {"elbo": -reconstruction - kld, "reconstruction": reconstruction, "kl": kld, "active_units": active}
        if self.log_sigma is not None:
            metrics["sigma"] = self.log_sigma.exp()
        return reconstruction + config.beta * kl_term, metrics

    summary = "Learns a smooth code for images by compressing and rebuilding them."
    reference = (
        "Kingma & Welling 2014, arXiv:1312.6114; β: Higgins et al. 2017; conditional: Sohn et al. 2015; warm-up: "
        "Bowman et al. 2016, arXiv:1511.06349; free bits: Kingma et al. 2016, arXiv:1606.04934; importance weights: "
        "Burda et al. 2016, arXiv:1509.00519"
    )
    kinds, value_range, optimizers = ("image", "points"), "unit", {"vae": Optim(lr=1e-3)}
    arithmetic, judged, alarms = ("beta", "kl_warmup", "free_bits"), ("elbo", "mse", "iw_log_likelihood"), ALARMS

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__(config, data)
        self.label_count = len(data.classes) if config.conditional else 0
        self.encoder = Encoder(config, data, 2 * config.latent, self.label_count)
        self.decoder = Decoder(config, data, config.latent, self.label_count)
        self.noise_shape = (config.latent,)
        self.compiles = config.network == "mlp" or "gpu"  # convolutions run slower compiled, on CPUs
        start = torch.tensor(0.0 if data.kind == "points" else -1.0)  # about the spread of the data: σ has no long way
        self.log_sigma = nn.Parameter(start) if config.likelihood == "gaussian" and config.sigma == 0 else None

    def phases(self) -> list[Phase]:
        return [Phase("vae", self.loss, self.parameters())]

    def posterior(self, x: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """μ and ln σ² of q(z|x), each (N, latent), of x (N, *data.shape)."""
        return self.encoder(x, labels).float().chunk(2, dim=1)

    def logits(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """The decoder's output (N, *data.shape) before the sigmoid that images go through."""
        return self.decoder(z, labels).float()

    def mean(self, logits: Tensor) -> Tensor:
        """E[x|z]: images through a sigmoid, points as they are."""
        return logits if self.data.kind == "points" else torch.sigmoid(logits)

    def negative_log_likelihood(self, logits: Tensor, x: Tensor) -> Tensor:
        """−log p(x|z) in nats, summed over an example's numbers and averaged over the batch: a scalar."""
        if self.config.likelihood == "bernoulli":
            return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        return self.gaussian((self.mean(logits) - x).square().sum() / len(x))

    def log_probability(self, logits: Tensor, x: Tensor) -> Tensor:
        """log p(x|z) in nats of every code (N,): logits (N, *data.shape) of each, one x or as many."""
        if self.config.likelihood == "bernoulli":
            return -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").flatten(1).sum(1)
        return -self.gaussian((self.mean(logits) - x).square().flatten(1).sum(1))

    def gaussian(self, error: Tensor) -> Tensor:
        """−ln N = ½ error / σ² + D (ln σ + ½ ln 2π), in nats, where an example's D squared errors add up to `error`."""
        log_sigma: Tensor | float = math.log(self.config.sigma) if self.log_sigma is None else self.log_sigma
        precision: Tensor | float = self.config.sigma**-2 if self.log_sigma is None else torch.exp(-2 * self.log_sigma)
        return 0.5 * error * precision + self.data.features * (log_sigma + 0.5 * math.log(2 * math.pi))

    def vitals(self, batch: Batch) -> dict[str, Tensor]:
        """`code_spread`: √(E[z²]) of codes z from q(z|x), of all dimensions; that of the prior is 1."""
        mean, log_variance = self.posterior(batch.x, batch.labels)
        return {"code_spread": pooled(torch.sqrt, (mean.square() + log_variance.exp()).mean())}

    def validation(self, batch: Batch) -> dict[str, Tensor]:
        """The loss and its metrics, the squared error of a number, and the log-likelihood where asked for."""
        metrics = super().validation(batch)
        metrics["vae/mse"] = (self.reconstruct(batch.x, batch.labels) - batch.x).square().mean()
        if codes := self.config.iw_samples:
            metrics["vae/iw_log_likelihood"] = importance_weights.of_some(self, batch, self.config.iw_examples, codes)
        return metrics

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

    def panels(self, inputs: Given) -> list[Picture | Text]:
        """Codes in 2-D, coloured by label, and the KL of every code dimension."""
        mean, log_variance = self.posterior(inputs.x, inputs.labels)
        table = tables.of_divergences(kl(mean, log_variance).mean(0), mean.var(0, correction=0) > ACTIVE)
        return [plot("codes", principal(mean, 2), inputs.labels, self.data.classes), Text("code", table)]

    class Config(msgspec.Struct):
        RARE = ("kl_warmup", "free_bits", "iw_samples")
        WHEN = {**BY_NETWORK, "sigma": "likelihood=gaussian", "iw_examples": "iw_samples"}
        network: Network = "mlp"
        hidden: Hidden = listed(400)
        channels: Channels = listed(32, 64)
        latent: Latent = 20
        beta: Annotated[float, hyper("Weight of the KL term; 1 is the ELBO", ge=0, le=1000, live=True)] = 1.0
        kl_warmup: Annotated[int, step_count("Steps over which β grows from 0; 0 is none")] = 0
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
    def refuse(cls, config: Any, data: DataSpec, **parts: Model) -> Iterator[Problem]:
        yield from super().refuse(config, data, **parts)
        yield from refuse_labels(cls.name, config, data)
        yield from refuse_convolutions(config.network, {"model.channels": config.channels}, data)
        yield from refuse_unit_range("model.likelihood", config.likelihood, "gaussian", data)
        if 0 < config.sigma < 1e-4:
            yield Problem("model.sigma", config.sigma, "is too small", "use at least 1e-4, or 0 to learn it")


def active_units(squares: Tensor, means: Tensor) -> Tensor:
    """How many code dimensions are active, by the mean squares and the means (latent,) of what the encoder gives."""
    return (squares - means.square() > ACTIVE).sum().float()
