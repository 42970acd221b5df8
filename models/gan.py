"""Generative adversarial networks (Goodfellow et al. 2014): MLP and DCGAN networks, five losses, steadying tricks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
import torch
from torch import Tensor
from torch.nn import functional as F

from tui_gen.model import Batch, DataSpec, Function, Given, Input, Loss, Model, Optim, Phase, Picture, Text, nonzero
from tui_gen.models.alarms.gan import ALARMS
from tui_gen.models.looks.sample_distance import standardised_sliced_wasserstein
from tui_gen.models.looks.score_histograms import PANEL_EXAMPLES, histograms, ranked
from tui_gen.models.nets import adversaries as nets
from tui_gen.models.nets.adversaries import Discriminator, Generator, clip, gradient_norms, noise_spread, r1_weight
from tui_gen.models.nets.batch_statistics import batch_statistics
from tui_gen.models.nets.diffaugment import Augment, augmented, refuse_augment
from tui_gen.models.nets.layers import diversity, refuse_convolutions, refuse_labels
from tui_gen.models.nets.replay import Memory, ReplayShare, ReplaySize
from tui_gen.models.nets.settings import listed, step_count
from tui_gen.params import Problem, hyper
from tui_gen.sharing import alike, batch_rows, batch_size

LOSSES = {
    "non-saturating": (lambda x, z, e: F.softplus(-x) + e * x + F.softplus(z), lambda z: F.softplus(-z)),
    "wasserstein":    (lambda x, z, e: z - x,                                  lambda z: -z),
    "wasserstein-gp": (lambda x, z, e: z - x,                                  lambda z: -z),
    "hinge":          (lambda x, z, e: F.relu(1 - x) + F.relu(1 + z),          lambda z: -z),
    "least-squares":  (lambda x, z, e: 0.5 * (x - 1 + e)**2 + 0.5 * z**2,      lambda z: 0.5 * (z - 1)**2),
}  # fmt: skip
"""What D and what G minimise the mean of, given D's raw scores x = s(x) and z = s(G(z)), (N,) each. Real images count
as 1 − e, the label smoothing, where there is such a target. wasserstein-gp has its penalty besides."""


class GAN(Model):
    name, family, title = "gan", "gan", "Generative adversarial network"

    def generator_loss(self, batch: Batch) -> Loss:
        """What G minimises; its images are left for the discriminator, which learns from the same ones."""
        fakes = self.fakes(batch)
        batch.shared["fakes"] = fakes.detach()
        score = self.discriminator(self.discriminator_input(fakes, batch), batch.labels)
        return LOSSES[self.config.loss][1](score).mean(), {}

    def discriminator_loss(self, batch: Batch) -> Loss:
        """What D minimises on the batch and on as many generated images, with the penalties that are asked for."""
        config, labels = self.config, batch.labels if self.conditional else None
        fakes = batch.shared.get("fakes")
        if fakes is None:
            with torch.no_grad():
                fakes = self.fakes(batch)
        x = self.discriminator_input(batch.x, batch)
        x_fake, fake_labels = fakes, labels
        if config.replay and self.training:
            x_fake, fake_labels = self.memory.with_older(fakes, labels, config.replay_share)
        x_fake = self.discriminator_input(x_fake, batch)
        real, fake = self.discriminator.scores(x, labels, x_fake, fake_labels)
        loss = LOSSES[config.loss][0](real, fake, config.label_smoothing).mean()
        metrics = {"wasserstein": -loss.detach()} if config.loss.startswith("wasserstein") else {}
        score = torch.sigmoid if config.loss == "non-saturating" else torch.detach
        metrics |= {"D_real": score(real.detach()).mean(), "D_fake": score(fake.detach()).mean()}
        if config.loss == "wasserstein-gp":  # λ (‖∇s(x̂)‖ − 1)², x̂ at random between a real and a generated image
            share = torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device)
            penalty = (gradient_norms(self.discriminator, torch.lerp(x, x_fake, share), labels) - 1).square().mean()
            loss = loss + config.gp_weight * penalty
            metrics["gradient_penalty"] = penalty.detach()
        weight = r1_weight(batch, config) if nonzero(config.r1_weight) else None
        if weight is not None:  # ½ γ ‖∇s(x)‖² on real images
            penalty = 0.5 * gradient_norms(self.discriminator, x, labels).square().mean()
            loss = loss + weight * penalty
            metrics["r1"] = penalty.detach()
        if batch_size(len(x)) > 1:
            metrics["diversity"] = diversity(fakes, batch.x)
        if config.replay:  # a copy: that of the generator's own compiled loss may be overwritten by then
            batch.shared["to_remember"] = fakes.clone()
        return loss, metrics

    def phases(self) -> list[Phase]:
        """G first, where the papers begin with D: so both learn from one set of images, drawn once."""
        remember = self.remember if self.config.replay else None
        g, d = self.generator.parameters(), self.discriminator.parameters()
        return [
            Phase("generator", self.generator_loss, g, every=lambda: self.config.n_critic),
            Phase("discriminator", self.discriminator_loss, d, after=self.clip_weights, finish=remember),
        ]

    summary = "A generator learns to fool a discriminator that learns to catch it."
    reference = (
        "Goodfellow et al. 2014, arXiv:1406.2661; DCGAN: Radford et al. 2016, arXiv:1511.06434; WGAN: Arjovsky et al. "
        "2017, arXiv:1701.07875; WGAN-GP: Gulrajani et al. 2017, arXiv:1704.00028; LSGAN: Mao et al. 2017, "
        "arXiv:1611.04076; hinge and spectral norm: Miyato et al. 2018, arXiv:1802.05957; R1: Mescheder et al. 2018, "
        "arXiv:1801.04406; minibatch discrimination: Salimans et al. 2016, arXiv:1606.03498; DiffAugment: Zhao et al. "
        "2020, arXiv:2006.10738"
    )
    kinds, value_range = ("image", "points"), "signed"
    arithmetic = ("gp_weight", "r1_weight", "label_smoothing", "instance_noise", "instance_noise_steps", "replay_share")
    optimizers = {name: Optim(lr=2e-4, beta1=0.5, beta2=0.999) for name in ("generator", "discriminator")}
    judged, together, alarms = ("sliced_wasserstein",), (("loss",), ("D_real", "D_fake")), ALARMS
    habits = ("cuts_half",)
    cuts_half = True
    """Whether DiffAugment cuts out half of an image's side, as its paper does."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__(config, data)
        self.label_count = len(data.classes) if config.conditional else 0
        self.generator = Generator(config, data, self.label_count)
        self.discriminator = Discriminator(config, data, self.label_count)
        self.noise_shape = (config.latent,)
        self.compiles = config.network == "mlp" or "gpu"  # convolutions run slower compiled, on CPUs
        if config.replay:
            self.register_buffer("replayed", torch.zeros(config.replay, *data.shape))
            self.register_buffer("replayed_labels", torch.zeros(config.replay, dtype=torch.int64))
            self.register_buffer("replay_seen", torch.zeros((), dtype=torch.int64))

    replayed: Tensor
    replayed_labels: Tensor
    replay_seen: Tensor

    @property
    def memory(self) -> Memory:
        """The generated images of earlier steps, where `replay` keeps some."""
        return Memory(self.replayed, self.replayed_labels, self.replay_seen)

    def remember(self, batch: Batch) -> None:
        """Keep the step's fakes for the discriminator's later lessons."""
        self.memory.remember(batch.shared["to_remember"], batch.labels if self.conditional else None)

    def fakes(self, batch: Batch) -> Tensor:
        """New images (N, *data.shape) from random noise, for the labels of the batch."""
        noise = torch.randn(len(batch.x), self.config.latent, device=batch.x.device)
        return self.generator(noise, batch.labels)

    def discriminator_input(self, x: Tensor, batch: Batch) -> Tensor:
        """Images (N, *data.shape) as the discriminator sees them: augmented, and with the noise of this step."""
        config = self.config
        if config.augment != "none":
            x = augmented(x, config.augment, self.cuts_half)
        if nonzero(config.instance_noise):
            x = x + noise_spread(batch, config) * torch.randn_like(x)
        return x

    def clip_weights(self) -> None:
        """Keeps the discriminator's slopes bounded, in the Wasserstein GAN of Arjovsky et al. 2017."""
        if self.config.loss == "wasserstein":
            clip(self.discriminator, self.config.weight_clip)

    def scores(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """D's raw scores, (N,) each, of the batch and of as many new images, all as D sees them in training."""
        with batch_statistics(self):
            x, fakes = (self.discriminator_input(images, batch) for images in (batch.x, self.fakes(batch)))
            return self.discriminator.scores(x, batch.labels, fakes, batch.labels)

    def vitals(self, batch: Batch) -> dict[str, Tensor]:
        """`balance`: how often D puts a real example above a generated one, in pairs of any two; 0.5 is by chance."""
        real, fake = self.scores(batch)
        return {"balance": ranked(batch_rows(real), batch_rows(fake))}

    def panels(self, given: Given) -> list[Picture | Text]:
        """Histograms of D's scores of real and of generated examples, of some hundreds each."""
        labels = None if given.labels is None else given.labels[:PANEL_EXAMPLES]
        return [Text("scores", histograms(*self.scores(Batch(given.x[:PANEL_EXAMPLES], labels))))]

    def validation(self, batch: Batch) -> dict[str, Tensor]:
        """Every phase's loss and metrics, and the distance of new samples from the batch."""
        metrics = super().validation(batch)
        samples, real = batch_rows(self.fakes(batch)), batch_rows(batch.x)
        with alike():
            return metrics | {"generator/sliced_wasserstein": standardised_sliced_wasserstein(samples, real)}

    def sample(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, latent) standard normal → (N, *data.shape); images in [-1, 1]."""
        return self.generator(noise, labels)

    def functions(self) -> list[Function]:
        noise = {"noise": Input(self.noise_shape), **self.label_inputs()}
        return [Function("generator", self.sample, noise, ("x",), "samples from noise")]

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """The same: a GAN's noise is its code."""
        return self.sample(z, labels)

    class Config(msgspec.Struct):
        RARE, WHEN = nets.RARE, nets.WHEN
        network: Annotated[Literal["mlp", "dcgan"], hyper("Fully connected, or convolutional (images)")] = "mlp"
        loss: Annotated[
            Literal["non-saturating", "wasserstein-gp", "hinge", "least-squares", "wasserstein"],
            hyper("What the two networks fight over"),
        ] = "non-saturating"
        latent: Annotated[int, hyper("Size of the noise z", ge=1, le=1024, unit="dimensions")] = 64
        generator_hidden: nets.GeneratorWidths = listed(256, 512)
        discriminator_hidden: nets.DiscriminatorWidths = listed(512, 256)
        generator_channels: nets.GeneratorMaps = listed(64, 32)
        discriminator_channels: nets.DiscriminatorMaps = listed(32, 64)
        generator_norm: nets.GeneratorNorm = "batch"
        discriminator_norm: nets.DiscriminatorNorm = "none"
        activation: nets.Hidden = "leaky-relu"
        minibatch_std: nets.BatchSpread = False
        minibatch_kernels: nets.Kernels = 0
        minibatch_width: nets.KernelWidth = 5
        n_critic: Annotated[int, hyper("Discriminator steps per generator step", ge=1, le=100, live=True)] = 1
        gp_weight: nets.PenaltyWeight = 10.0
        weight_clip: nets.WeightClip = 0.01
        r1_weight: Annotated[float, hyper("γ of R1, a penalty on real data; 0 is off", ge=0, le=1000, live=True)] = 0.0
        r1_every: nets.PenaltySteps = 1
        label_smoothing: nets.LabelSmoothing = 0.0
        instance_noise: nets.InputNoise = 0.0
        instance_noise_steps: Annotated[int, step_count("Steps until that noise has faded; 0 never")] = 0
        augment: Augment = "none"
        replay: ReplaySize = 0
        replay_share: ReplayShare = 0.5
        conditional: Annotated[bool, hyper("Tell generator and discriminator the label")] = False

    @classmethod
    def refuse(cls, config: Any, data: DataSpec, **parts: Model) -> Iterator[Problem]:
        yield from super().refuse(config, data, **parts)
        yield from refuse_labels(cls.name, config, data)
        channels = {f"model.{key}": getattr(config, key) for key in ("generator_channels", "discriminator_channels")}
        yield from refuse_convolutions(config.network, channels, data)
        yield from nets.refuse_mixing(config)
        yield from nets.refuse_smoothing(config)
        yield from refuse_augment(config.augment, data)
