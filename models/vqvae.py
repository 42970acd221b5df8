"""The vector-quantised variational autoencoder (van den Oord et al. 2017), and a prior over its codes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tui_gen.model import Batch, DataSpec, Function, Given, Input, Loss, Model, Optim, Phase, Picture, Text
from tui_gen.models.alarms.vqvae import ALARMS
from tui_gen.models.looks import codebook, tables
from tui_gen.models.nets import quantisation as nets
from tui_gen.models.nets.codecs import MapDecoder, MapEncoder
from tui_gen.models.nets.layers import batch_variance, refuse_convolutions, refuse_labels, refuse_unit_range, uniform
from tui_gen.models.nets.settings import BY_NETWORK, Channels, Hidden, Network, listed
from tui_gen.models.nets.transformer import CausalTransformer, Dropout, Layers, Temperature, Width
from tui_gen.params import Problem, hyper
from tui_gen.sharing import pooled


class VQVAE(Model):
    name, family, title = "vq-vae", "vae", "Vector-quantised VAE"

    def loss(self, batch: Batch) -> Loss:
        """Reconstruction + ‖sg[z] − e_k‖² + β ‖z − sg[e_k]‖², k = argminⱼ ‖z − eⱼ‖²: each a mean over its numbers."""
        config = self.config
        z = self.encode(batch.x)
        codes = self.nearest(z)
        e = self.look_up(codes)
        out = self.rebuild(z + (e - z).detach())  # straight through: the decoder's gradient reaches z as it is
        reconstruction = self.distance(out, batch.x)
        commitment = F.mse_loss(z, e.detach())
        loss = reconstruction + config.commitment * commitment
        if config.codebook == "gradient":  # with moving averages, `move_codebook` takes the place of this term
            loss = loss + F.mse_loss(e, z.detach())
        batch.shared |= {"latents": z.detach(), "codes": codes}  # for `move_codebook` and the prior
        shares = nets.count(codes, config.codebook_size) / codes.numel()
        metrics = {
            "reconstruction": reconstruction,
            "mse": F.mse_loss(self.mean(out.detach()), batch.x),
            "commitment": commitment,
            "perplexity": pooled(lambda shares: nets.entropy(shares).exp(), shares),
            "active_codes": pooled(lambda shares: (shares > 0).sum().float(), shares),
        }
        return loss, metrics

    def prior_loss(self, batch: Batch) -> Loss:
        """Mean −ln p of a code, given those before it: what the prior still has to guess, in nats."""
        codes = batch.shared.get("codes")
        if codes is None:
            with torch.no_grad():
                codes = self.codes(batch.x)
        config = self.config
        dropout = config.prior_dropout if self.training else 0.0
        logits = self.prior(codes.flatten(1), batch.labels if self.label_count else None, dropout)
        loss = F.cross_entropy(logits.flatten(0, 1), codes.flatten())
        bits = loss.detach() / math.log(2)
        shares = nets.count(codes, config.codebook_size) / codes.numel()
        bits_saved = pooled(lambda shares, bits: nets.entropy(shares) / math.log(2) - bits, shares, bits)
        return loss, {"bits_per_code": bits, "bits_per_example": bits * math.prod(self.grid), "bits_saved": bits_saved}

    @torch.no_grad()
    def move_codebook(self, batch: Batch) -> None:
        """After an update: moving averages of the codebook, and a new start for codes that nothing has chosen lately.

        `loss` has left the step's latents (N, code_size, h, w) and codes (N, h, w) in `batch.shared`.
        """
        config = self.config
        z, codes = batch.shared["latents"].movedim(1, -1).flatten(0, -2), batch.shared["codes"].flatten()
        if config.codebook == "ema":
            # Young averages would mostly remember the untrained encoder, and lose sight of it: they forget faster.
            decay = min(config.ema_decay, (1 + batch.step) / (10 + batch.step))
            nets.follow(self.vectors, self.counts, z, codes, decay)
        self.idle.copy_(torch.where(nets.count(codes, config.codebook_size) > 0, 0, self.idle + 1))
        if config.restart_after:
            dead = nets.restart(self.vectors, self.idle, z, config.restart_after)
            if config.codebook == "ema":
                self.counts.masked_fill_(dead, 1.0)

    def phases(self) -> list[Phase]:
        """Both at once, or with `prior_start` the autoencoder alone first, then the prior alone; where nobody knows how
        many steps there will be, as the run's length is a time, both at once."""
        autoencoder = [*self.encoder.parameters(), *self.decoder.parameters()]
        if isinstance(self.vectors, nn.Parameter):  # the codebook that gradients move
            autoencoder.append(self.vectors)
        start = self.config.prior_start

        def first(step: int, total: int | None) -> bool:
            return not start or total is None or step < start * total

        def second(step: int, total: int | None) -> bool:
            return not start or total is None or step >= start * total

        return [
            Phase("vq-vae", self.loss, autoencoder, finish=self.move_codebook, when=first),
            Phase("prior", self.prior_loss, self.prior.parameters(), when=second),
        ]

    summary = "Writes images in an alphabet of learned code vectors; a second network learns to spell new ones."
    reference = (
        "van den Oord, Vinyals & Kavukcuoglu 2017, arXiv:1711.00937; codebook by moving averages: its appendix A.1; "
        "codes started from data and restarted: Dhariwal et al. 2020, arXiv:2005.00341; transformer prior: Esser, "
        "Rombach & Ommer 2021, arXiv:2012.09841"
    )
    kinds, value_range = ("image", "points"), "unit"
    arithmetic = ("commitment",)
    optimizers = {"vq-vae": Optim(lr=1e-3), "prior": Optim(lr=1e-3)}
    judged, alarms = ("mse", "bits_saved"), ALARMS

    vectors: Tensor
    counts: Tensor
    idle: Tensor

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__(config, data)
        self.label_count = len(data.classes) if config.conditional else 0
        small = data.size // 2 ** len(config.channels)
        self.grid = (1, config.codes) if config.network == "mlp" else (small, small)
        self.encoder = MapEncoder(config, data, self.grid)
        self.decoder = MapDecoder(config, data, self.grid)
        self.noise_shape = (math.prod(self.grid),)  # one number a code that is to be drawn
        size = config.codebook_size
        vectors = torch.empty(size, config.code_size).uniform_(-1 / size, 1 / size)
        if config.codebook == "gradient":
            self.vectors = nn.Parameter(vectors)
        else:
            self.register_buffer("vectors", vectors)
            self.register_buffer("counts", torch.ones(size))
        self.register_buffer("idle", torch.full((size,), nets.NEVER))
        self.prior = CausalTransformer(
            size, math.prod(self.grid), config.prior_width, config.prior_layers, max(1, self.label_count)
        )

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(code_size, h, w): the encoder's outputs before they are quantised; the mlp's grid has one row."""
        return (self.config.code_size, *self.grid)

    def nearest(self, z: Tensor) -> Tensor:
        """(N, code_size, h, w) → the codes (N, h, w) int64 whose vectors are nearest."""
        with torch.autocast(z.device.type, enabled=False):
            z = z.detach().float().movedim(1, -1)
            return (self.vectors.detach().square().sum(1) - 2 * z @ self.vectors.detach().T).argmin(-1)

    def look_up(self, codes: Tensor) -> Tensor:
        """Codes (N, h, w) int64 → their vectors (N, code_size, h, w)."""
        return F.embedding(codes, self.vectors).movedim(-1, 1)

    def rebuild(self, e: Tensor) -> Tensor:
        """The decoder's output (N, *data.shape): values themselves with mse, logits of pixels with bce."""
        return self.decoder(e).float()

    def distance(self, out: Tensor, x: Tensor) -> Tensor:
        """Mean cross-entropy of a pixel, or its squared error in shares of the batch's variance: a scalar."""
        if self.config.loss == "bce":
            return F.binary_cross_entropy_with_logits(out, x)
        return F.mse_loss(out, x) / batch_variance(x).clamp(min=1e-3)

    def mean(self, out: Tensor) -> Tensor:
        """What the decoder's output stands for: points as they are, pixels in [0, 1].

        Under a squared error a sigmoid would be a trap: dark images drive it to where it has no gradient.
        """
        if self.data.kind == "points":
            return out
        return torch.sigmoid(out) if self.config.loss == "bce" else out.clamp(0, 1)

    def sample(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, h · w) standard normal → (N, *data.shape): codes drawn from the prior, decoded.

        Φ(noise) are the prior's uniform draws, so the same noise gives the same codes but where the prior has changed.
        """
        codes = self.prior.draw(uniform(noise), labels if self.label_count else None, self.config.temperature)
        return self.decode_codes(codes.unflatten(1, self.grid))

    def reconstruct(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """x (N, *data.shape) rebuilt from its codes."""
        return self.decode(self.encode(x))

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, *data.shape) → latents (N, code_size, h, w) float32 as they are before they are quantised.

        They are continuous, so another model may learn their distribution; `decode` quantises what it is given.
        """
        return self.encoder(x).float()

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (N, code_size, h, w), quantised here → (N, *data.shape)."""
        return self.decode_codes(self.nearest(z))

    def codes(self, x: Tensor) -> Tensor:
        """(N, *data.shape) → codes (N, h, w) int64 in [0, codebook_size)."""
        return self.nearest(self.encode(x))

    def decode_codes(self, codes: Tensor) -> Tensor:
        """Codes (N, h, w) int64 → (N, *data.shape)."""
        return self.mean(self.rebuild(self.look_up(codes)))

    def functions(self) -> list[Function]:
        """Codes are numbers of the codebook here: the prior's guesses, from which to draw them one by one."""
        size = self.config.codebook_size
        codes, line = Input(self.grid, size), Input((math.prod(self.grid),), size)
        x, labels = Input(self.data.shape), self.label_inputs()
        return [
            Function("decoder", self.decode_codes, {"codes": codes}, ("x",), "what codes stand for"),
            Function("prior", self.prior, {"codes": line} | labels, ("logits",), "of each code, given those before it"),
            Function("encoder", self.codes, {"x": x}, ("codes",), "the codes of examples"),
        ]

    def panels(self, inputs: Given) -> list[Picture | Text]:
        """Latents with the code vectors among them, images with their codes in colours, and how often each is used."""
        z = self.encode(inputs.x)
        codes = self.nearest(z)
        panels: list[Picture | Text] = [codebook.latents(z, self.vectors)]
        if self.data.kind == "image":
            few = min(8, len(codes))
            panels.append(codebook.picture(inputs.x[:few], codes[:few], self.vectors, self.decode_codes(codes[:few])))
        return [*panels, Text("codebook", tables.of_usage(nets.count(codes, len(self.vectors)), math.prod(self.grid)))]

    class Config(msgspec.Struct):
        RARE = ("commitment", "restart_after", "prior_width", "prior_layers", "prior_dropout", "prior_start")
        WHEN = {**BY_NETWORK, "codes": "network=mlp", "residual_blocks": "network=conv", "ema_decay": "codebook=ema"}
        network: Network = "conv"
        hidden: Hidden = listed(256)
        codes: Annotated[int, hyper("mlp: codes that an example is written with", ge=1, le=256)] = 8
        channels: Channels = listed(32, 64)
        residual_blocks: Annotated[int, hyper("conv: residual blocks around the codes, each way", ge=0, le=16)] = 2
        codebook_size: nets.CodebookSize = 128
        code_size: nets.CodeSize = 16
        codebook: nets.Moved = "ema"
        ema_decay: nets.Decay = 0.99
        commitment: Annotated[float, hyper("Weight β of the commitment term", ge=0, le=100, live=True)] = 0.25
        restart_after: nets.Patience = 20
        loss: Annotated[
            Literal["mse", "bce"], hyper("Squared error over the variance, or cross-entropy; points need mse")
        ] = "mse"
        conditional: Annotated[bool, hyper("Tell the prior the label")] = False
        prior_width: Width = 64
        prior_layers: Layers = 2
        prior_dropout: Dropout = 0.0
        prior_start: Annotated[
            float, hyper("Share of the run that trains codes alone, then the prior alone; 0: both all along",
                         ge=0, le=0.95),
        ] = 0.0  # fmt: skip
        temperature: Temperature = 1.0

    @classmethod
    def refuse(cls, config: Any, data: DataSpec, **parts: Model) -> Iterator[Problem]:
        yield from super().refuse(config, data, **parts)
        yield from refuse_labels(cls.name, config, data)
        yield from refuse_unit_range("model.loss", config.loss, "mse", data)
        problems = list(refuse_convolutions(config.network, {"model.channels": config.channels}, data))
        yield from problems
        codes = (data.size // 2 ** len(config.channels)) ** 2
        if data.kind == "image" and config.network == "conv" and not problems and codes > MOST_CODES:
            words = f"leaves {codes} codes an image, and a prior learns at most {MOST_CODES}"
            hint = "give it more values, or set dataset.size to a smaller one"
            yield Problem("model.channels", config.channels, words, hint)


MOST_CODES = 1024
"""Longest sequence of codes that a prior is asked to learn."""
