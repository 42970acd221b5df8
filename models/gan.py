"""Generative adversarial networks (Goodfellow et al. 2014): MLP and DCGAN networks, five losses, steadying tricks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
import torch
from torch import Tensor
from torch.nn import functional as F

from tui_gen.model import Batch, DataSpec, Loss, Model, Optim, Phase, Problem, hyper, nonzero
from tui_gen.models.looks.distances import sliced_wasserstein
from tui_gen.models.nets.adversaries import Discriminator, Generator, gradient_norms
from tui_gen.models.nets.diffaugment import augmented
from tui_gen.models.nets.layers import progress, refuse_labels, refuse_network, refuse_pyramid, spread


class GAN(Model):
    name = "gan"
    family = "gan"
    title = "Generative adversarial network"
    summary = "A generator learns to fool a discriminator that learns to catch it."
    reference = (
        "Goodfellow et al. 2014, arXiv:1406.2661; DCGAN: Radford et al. 2016, arXiv:1511.06434; WGAN: Arjovsky et al. "
        "2017, arXiv:1701.07875; WGAN-GP: Gulrajani et al. 2017, arXiv:1704.00028; LSGAN: Mao et al. 2017, "
        "arXiv:1611.04076; hinge and spectral norm: Miyato et al. 2018, arXiv:1802.05957; R1: Mescheder et al. 2018, "
        "arXiv:1801.04406; minibatch discrimination: Salimans et al. 2016, arXiv:1606.03498; DiffAugment: Zhao et al. "
        "2020, arXiv:2006.10738"
    )
    kinds = ("image", "points")
    pixels = "signed"
    arithmetic = (
        "gp_weight", "r1_weight", "label_smoothing", "instance_noise", "instance_noise_steps", "replay_share",
    )  # fmt: skip
    optimizers = {
        "generator": Optim(lr=2e-4, beta1=0.5, beta2=0.999),
        "discriminator": Optim(lr=2e-4, beta1=0.5, beta2=0.999),
    }
    judged = ("sliced_wasserstein",)
    together = (("loss",), ("D_real", "D_fake"))

    class Config(msgspec.Struct):
        network: Annotated[Literal["mlp", "dcgan"], hyper("Fully connected, or convolutional (images)")] = "mlp"
        loss: Annotated[
            Literal["non-saturating", "wasserstein-gp", "hinge", "least-squares", "wasserstein"],
            hyper("What the two networks fight over"),
        ] = "non-saturating"
        latent: Annotated[int, hyper("Size of the noise z", ge=1, le=1024, unit="dimensions")] = 64
        generator_hidden: Annotated[
            list[int], hyper("Layer widths of the mlp generator", ge=2, le=8192, unit="units", min_items=1, max_items=8)
        ] = msgspec.field(default_factory=lambda: [256, 512])
        discriminator_hidden: Annotated[
            list[int],
            hyper("Layer widths of the mlp discriminator", ge=2, le=8192, unit="units", min_items=1, max_items=8),
        ] = msgspec.field(default_factory=lambda: [512, 256])
        generator_channels: Annotated[
            list[int],
            hyper("Channels of the dcgan generator; each doubles the map", ge=1, le=1024, min_items=1, max_items=6),
        ] = msgspec.field(default_factory=lambda: [64, 32])
        discriminator_channels: Annotated[
            list[int],
            hyper(
                "Channels of the dcgan discriminator; each halves it", ge=1, le=1024, min_items=1, max_items=6
            ),
        ] = msgspec.field(default_factory=lambda: [32, 64])
        generator_norm: Annotated[
            Literal["batch", "group", "none"], hyper("Normalisation in the generator")
        ] = "batch"
        discriminator_norm: Annotated[
            Literal["none", "spectral", "group", "batch"], hyper("Normalisation in the discriminator")
        ] = "none"
        activation: Annotated[
            Literal["leaky-relu", "relu"], hyper("Hidden activation of the mlp networks; leaky has slope 0.2 below 0")
        ] = "leaky-relu"
        minibatch_std: Annotated[
            bool, hyper("Show the discriminator how much the samples of a batch differ from each other")
        ] = False
        minibatch_kernels: Annotated[
            int, hyper("B of minibatch discrimination: projections that compare the samples; 0 is off", ge=0, le=256)
        ] = 0
        minibatch_width: Annotated[
            int, hyper("C of minibatch discrimination: numbers that each projection compares", ge=1, le=32)
        ] = 5
        n_critic: Annotated[int, hyper("Discriminator steps per generator step", ge=1, le=100, live=True)] = 1
        gp_weight: Annotated[
            float, hyper("λ of the gradient penalty (wasserstein-gp)", ge=0, le=1000, live=True)
        ] = 10.0
        weight_clip: Annotated[
            float, hyper("Largest weight of the discriminator (wasserstein)", ge=1e-4, le=10, live=True)
        ] = 0.01
        r1_weight: Annotated[float, hyper("γ of R1, a penalty on real data; 0 is off", ge=0, le=1000, live=True)] = 0.0
        r1_every: Annotated[
            int, hyper("Steps between R1 penalties (lazy: the weight is scaled up)", ge=1, le=1000, live=True)
        ] = 1
        label_smoothing: Annotated[
            float,
            hyper("Real images count as 1 − this (non-saturating, least-squares)", ge=0, le=0.5, live=True),
        ] = 0.0
        instance_noise: Annotated[
            float, hyper("Spread of noise on all that the discriminator sees; 0 is off", ge=0, le=10, live=True)
        ] = 0.0
        instance_noise_steps: Annotated[
            int, hyper("Steps until that noise has faded; 0 never", ge=0, le=10**9, unit="steps", live=True)
        ] = 0
        augment: Annotated[
            Literal["none", "brightness", "shift", "cutout", "all"],
            hyper("DiffAugment: what is done to all images that the discriminator sees, for small data"),
        ] = "none"
        replay: Annotated[
            int, hyper("Older fakes kept to teach the discriminator; 0 is off", ge=0, le=4096, unit="images")
        ] = 0
        replay_share: Annotated[float, hyper("Share of fakes that are older ones", ge=0, le=1, live=True)] = 0.5
        conditional: Annotated[bool, hyper("Tell generator and discriminator the label")] = False

    @classmethod
    def refuse(cls, config: Any, data: DataSpec) -> Iterator[Problem]:
        yield from super().refuse(config, data)
        yield from refuse_labels(cls.name, config, data)
        yield from refuse_network("model.network", config.network, ("dcgan",), data)
        if config.loss == "wasserstein-gp" and config.discriminator_norm == "batch":
            yield Problem(
                "model.discriminator_norm",
                "batch",
                "mixes the samples of a batch, so wasserstein-gp's per-sample gradient would be wrong",
                "use none, group or spectral",
            )
        if config.r1_weight and config.discriminator_norm == "batch":
            yield Problem(
                "model.r1_weight",
                config.r1_weight,
                "needs the gradient of each sample alone, and batch normalisation mixes the samples",
                "set it to 0, or model.discriminator_norm to none, group or spectral",
            )
        if config.loss == "wasserstein-gp" and config.minibatch_kernels:
            yield Problem(
                "model.minibatch_kernels",
                config.minibatch_kernels,
                "scores samples by each other, so wasserstein-gp's per-sample gradient would be wrong",
                "set it to 0, or model.loss to another",
            )
        if config.label_smoothing and config.loss not in ("non-saturating", "least-squares"):
            yield Problem(
                "model.label_smoothing",
                config.label_smoothing,
                f"softens the target 1 of real images, and {config.loss} has no such target",
                "set it to 0, or model.loss to non-saturating or least-squares",
            )
        if data.kind == "points" and config.augment != "none":
            words = f"is for images; {data.name} has 2-D points"
            yield Problem("model.augment", config.augment, words, "set it to none")
        if data.kind == "image" and config.network == "dcgan":
            yield from refuse_pyramid("model.generator_channels", config.generator_channels, data)
            yield from refuse_pyramid("model.discriminator_channels", config.discriminator_channels, data)

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__(config, data)
        self.classes = len(data.classes) if config.conditional else 0
        self.generator = Generator(config, data, self.classes)
        self.discriminator = Discriminator(config, data, self.classes)
        if config.replay:
            # Buffers, so that checkpoints hold them and a resumed run goes on bit for bit.
            self.register_buffer("replayed", torch.zeros(config.replay, *data.shape))
            self.register_buffer("replayed_labels", torch.zeros(config.replay, dtype=torch.int64))
            self.register_buffer("replay_seen", torch.zeros((), dtype=torch.int64))

    @property
    def compiles(self) -> bool:  # type: ignore[override]
        return self.config.network == "mlp"  # convolutions run slower compiled, on CPUs

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return (self.config.latent,)

    def phases(self) -> list[Phase]:
        return [
            Phase("generator", self.generator_loss, self.generator.parameters(), every=lambda: self.config.n_critic),
            Phase("discriminator", self.discriminator_loss, self.discriminator.parameters(), after=self.clip_weights),
        ]

    def clip_weights(self) -> None:
        """Keeps the discriminator's slopes bounded, in the Wasserstein GAN of Arjovsky et al. 2017."""
        if self.config.loss == "wasserstein":
            weights = [parameter.data for parameter in self.discriminator.parameters()]
            torch._foreach_clamp_min_(weights, -self.config.weight_clip)
            torch._foreach_clamp_max_(weights, self.config.weight_clip)

    def fakes(self, batch: Batch) -> Tensor:
        """New images (N, *data.shape) from random noise, for the labels of the batch."""
        noise = torch.randn(len(batch.x), self.config.latent, device=batch.x.device)
        return self.generator(noise, batch.labels)

    def generator_loss(self, batch: Batch) -> Loss:
        fakes = self.fakes(batch)
        batch.shared["fakes"] = fakes.detach()  # the discriminator learns from the same images
        score = self.discriminator(self.seen(fakes, batch), batch.labels)
        kind = self.config.loss
        if kind == "non-saturating":
            return F.softplus(-score).mean(), {}
        if kind == "least-squares":
            return 0.5 * (score - 1).square().mean(), {}
        return -score.mean(), {}

    def discriminator_loss(self, batch: Batch) -> Loss:
        config, labels = self.config, batch.labels
        fakes = batch.shared.get("fakes")
        if fakes is None:
            with torch.no_grad():
                fakes = self.fakes(batch)
        x, shown, fake_labels = self.seen(batch.x, batch), fakes, labels
        if config.replay:
            shown, fake_labels = self.with_older(fakes, labels)
        shown = self.seen(shown, batch)
        if config.discriminator_norm == "batch" or self.discriminator.compares:
            real, fake = self.discriminator(x, labels), self.discriminator(shown, fake_labels)
        else:  # one forward: twice the work per launch
            both = None if labels is None else torch.cat([labels, fake_labels])
            real, fake = self.discriminator(torch.cat([x, shown]), both).chunk(2)
        metrics: dict[str, Tensor] = {}
        if config.loss == "non-saturating":
            # Cross-entropy to the target 1 − label_smoothing on real images, 0 on generated ones.
            loss = (F.softplus(-real) + config.label_smoothing * real + F.softplus(fake)).mean()
            metrics |= {"D_real": real.detach().sigmoid().mean(), "D_fake": fake.detach().sigmoid().mean()}
        else:
            if config.loss == "least-squares":
                loss = 0.5 * ((real - 1 + config.label_smoothing).square() + fake.square()).mean()
            elif config.loss == "hinge":
                loss = (F.relu(1 - real) + F.relu(1 + fake)).mean()
            else:
                loss = (fake - real).mean()
                metrics["wasserstein"] = -loss.detach()
            metrics |= {"D_real": real.detach().mean(), "D_fake": fake.detach().mean()}
        if config.loss == "wasserstein-gp":
            share = torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device)
            norms = gradient_norms(self.discriminator, torch.lerp(x, shown, share), labels)
            penalty = (norms - 1).square().mean()
            loss = loss + config.gp_weight * penalty
            metrics["gradient_penalty"] = penalty.detach()
        weight = r1_weight(batch, config) if nonzero(config.r1_weight) else None
        if weight is not None:
            penalty = 0.5 * gradient_norms(self.discriminator, x, labels).square().mean()
            loss = loss + weight * penalty
            metrics["r1"] = penalty.detach()
        if len(x) > 1:
            metrics["diversity"] = spread(fakes) / spread(batch.x).clamp(min=1e-6)
        return loss, metrics

    def seen(self, x: Tensor, batch: Batch) -> Tensor:
        """Images (N, *data.shape) as the discriminator sees them: augmented, and with the noise of this step."""
        config = self.config
        if config.augment != "none":
            x = augmented(x, config.augment)
        if nonzero(config.instance_noise):
            steps = config.instance_noise_steps
            fade = 1 - progress(batch, steps) if nonzero(steps) else 1.0
            x = x + config.instance_noise * fade * torch.randn_like(x)
        return x

    def with_older(self, fakes: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Fakes (N, *data.shape) and labels with a share of them exchanged for older ones; remembers the new ones.

        Validation neither replays nor remembers. The memory is a ring: the oldest are overwritten.
        """
        if not self.training:
            return fakes, labels
        size, count, device = self.config.replay, len(fakes), fakes.device
        held = self.replay_seen.clamp(max=size)
        places = (torch.rand(count, device=device) * held).long().clamp(max=size - 1)
        older = (torch.rand(count, device=device) < self.config.replay_share) & (held > 0)
        mixed = torch.where(older.view(-1, *[1] * (fakes.dim() - 1)), self.replayed[places], fakes)
        kept = min(count, size)
        ring = (self.replay_seen + torch.arange(kept, device=device)) % size
        mixed_labels = labels
        if self.classes:
            mixed_labels = torch.where(older, self.replayed_labels[places], labels)
            self.replayed_labels.index_copy_(0, ring, labels[:kept])
        self.replayed.index_copy_(0, ring, fakes[:kept])
        self.replay_seen.add_(kept)
        return mixed, mixed_labels

    def validation(self, batch: Batch) -> dict[str, Tensor]:
        """Every phase's loss and metrics, and the distance of new samples from the batch."""
        return super().validation(batch) | {
            "generator/sliced_wasserstein": sliced_wasserstein(self.fakes(batch), batch.x)
        }

    def sample(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, latent) standard normal → (N, *data.shape); images in [-1, 1]."""
        return self.generator(noise, labels)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """The same as `sample`: a GAN's noise is its code."""
        return self.generator(z, labels)


@torch.compiler.disable
def r1_weight(batch: Batch, config: Any) -> float | Tensor | None:
    """What R1 weighs in this step, None in the steps between. Hidden from the compiler, as `progress` is."""
    return None if batch.step % config.r1_every else config.r1_weight * config.r1_every
