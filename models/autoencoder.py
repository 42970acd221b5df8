"""Autoencoders: undercomplete, stacked, tied, convolutional, recurrent, denoising, sparse, contractive, hashing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import msgspec
import torch
from torch import Tensor
from torch.nn import functional as F

from tui_gen.model import Batch, DataSpec, Given, Loss, Model, Optim, Phase, Picture, Text, Tiles
from tui_gen.models.alarms.autoencoder import ALARMS
from tui_gen.models.looks import tables
from tui_gen.models.looks.code_plots import flattened, neighbours, plot
from tui_gen.models.nets.autoencoders import Convolutional, Dense, Recurrent
from tui_gen.models.nets.layers import glorot
from tui_gen.models.nets.settings import Channels, listed, widths
from tui_gen.params import Problem, hyper
from tui_gen.sharing import batch_mean

ACTIVE = 0.1
"""A code value counts as active when it is further than this from 0."""


class Autoencoder(Model):
    name, family, title = "autoencoder", "autoencoder", "Autoencoder"

    def loss(self, batch: Batch) -> Loss:
        """d(x, g(f(x̃))) + weight · sparsity(f(x̃)) + weight · ‖∂f/∂x‖², per example; x̃ is x, with noise in training."""
        x = batch.x
        noisy = self.corrupt(x) if self.training else x
        code = self.net.encode(noisy).float()
        out = self.net.decode(code).float().view_as(x)
        loss = self.distance(out, x)
        metrics = {"mse": F.mse_loss(self.squash(out), x), "active_fraction": (code.abs() > ACTIVE).float().mean()}
        if self.config.sparsity != "none":
            penalty = self.sparsity(code)
            loss = loss + self.config.sparsity_weight * penalty
            metrics |= {"sparsity": penalty, "mean_activation": code.mean()}
        if self.config.contractive:
            penalty = self.contraction(noisy, code)
            loss = loss + self.config.contractive * penalty
            metrics["jacobian"] = penalty
        return loss, metrics

    def layer_loss(self, batch: Batch) -> Loss:
        """One layer rebuilds its own input, on the codes of the layers before it, which stay as they are."""
        layers = len(self.config.hidden) + 1
        layer = min(batch.step // max(1, self.config.pretrain_steps), layers - 1)
        x = self.corrupt(batch.x) if self.training and layer == 0 else batch.x
        assert isinstance(self.net, Dense)
        target, reconstruction = self.net.rebuild_layer(x, layer)
        if layer == 0:
            return self.distance(reconstruction.float().view_as(batch.x), batch.x), {}
        return F.mse_loss(reconstruction.float(), target.float()), {}

    def phases(self) -> list[Phase]:
        """All layers together; with `pretrain_steps`, first one after the other."""
        first = self.config.pretrain_steps * (len(self.config.hidden) + 1)
        parameters = [p for p in self.net.parameters() if p.requires_grad]
        if not first:
            return [Phase("autoencoder", self.loss, parameters)]
        return [
            Phase("autoencoder", self.loss, parameters, when=lambda step, total: step >= first),
            Phase("pretrain", self.layer_loss, parameters, when=lambda step, total: step < first),
        ]

    summary = "Squeezes images through a small code and rebuilds them; can denoise, hash and find the odd one out."
    reference = (
        "Hinton & Salakhutdinov 2006; greedy: Bengio et al. 2007; denoising: Vincent et al. 2010; contractive: Rifai "
        "et al. 2011; sparse: Ng 2011; hashing: Salakhutdinov & Hinton 2009; Chollet 2016; textbook networks: Géron "
        "2022, ch. 17; survey: Bank et al. 2020, arXiv:2003.05991"
    )
    kinds, value_range = ("image",), "unit"
    optimizers = {"autoencoder": Optim(lr=1e-3), "pretrain": Optim(lr=1e-3)}
    phases_when = {"pretrain": "pretrain_steps"}
    judged, alarms = ("denoising_mse", "mse"), ALARMS

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__(config, data)
        nets: dict[str, type[Dense | Convolutional | Recurrent]]
        nets = {"mlp": Dense, "conv": Convolutional, "recurrent": Recurrent}
        self.net = nets[config.network](config, data)
        self.net.apply(glorot)
        self.noise_shape = (config.latent,)  # there is no sampler, but codes can be decoded
        # Double backward and losses that change with the step do not compile.
        compilable = config.network != "recurrent" and not config.contractive and not config.pretrain_steps
        self.compiles = compilable and (config.network == "mlp" or "gpu")
        level = () if config.noise == "dropout" else ("noise_level",)  # PyTorch's dropout takes no tensor
        self.arithmetic = (*level, "code_noise", "sparsity_weight", "sparsity_target")

    @property
    def hashes(self) -> bool:
        """Whether codes are trained to be bits; `code_noise` may be edited."""
        return self.config.code_noise > 0 and self.config.code_activation == "sigmoid"

    def validation(self, batch: Batch) -> dict[str, Tensor]:
        """Loss and metrics without noise; with noise, `denoising_mse`; of noisy codes, `binary_mse` of rounded ones."""
        metrics = super().validation(batch)
        if self.config.noise != "none":
            metrics["autoencoder/denoising_mse"] = F.mse_loss(self.reconstruct(self.corrupt(batch.x)), batch.x)
        if self.hashes:
            bits = self.encode(batch.x).round()
            metrics["autoencoder/binary_mse"] = F.mse_loss(self.decode(bits), batch.x)
        return metrics

    def corrupt(self, x: Tensor) -> Tensor:
        """x (N, *data.shape) with fresh noise of the kind and level asked for; in [0, 1], but for dropout."""
        level = self.config.noise_level
        match self.config.noise:
            case "gaussian":
                return (x + level * torch.randn_like(x)).clamp(0, 1)
            case "salt-pepper":
                draw = torch.rand_like(x)
                return torch.where(draw < level, (draw < level / 2).to(x.dtype), x)
            case "mask":
                return x * (torch.rand_like(x) >= level)
            case "dropout":
                return F.dropout(x, level, training=True)
        return x

    def squash(self, out: Tensor) -> Tensor:
        """What the decoder's last layer gives, as pixels."""
        return torch.sigmoid(out) if self.config.output == "sigmoid" else out

    def distance(self, out: Tensor, x: Tensor) -> Tensor:
        """Mean cross-entropy or squared error of a pixel, from what the decoder's last layer gives: a scalar."""
        if self.config.loss == "bce":
            return F.binary_cross_entropy_with_logits(out, x)
        return F.mse_loss(self.squash(out), x)

    def sparsity(self, code: Tensor) -> Tensor:
        """Σ|z| of an example, or Σ over units of KL(target ‖ mean activation over the batch): a scalar ≥ 0."""
        if self.config.sparsity == "l1":
            return code.abs().sum() / len(code)
        target = torch.zeros_like(code[0]) + self.config.sparsity_target
        mean = batch_mean(code).clamp(1e-6, 1 - 1e-6)
        return (target * (target / mean).log() + (1 - target) * ((1 - target) / (1 - mean)).log()).sum()

    def contraction(self, x: Tensor, code: Tensor) -> Tensor:
        """‖∂z/∂x‖², the squared Frobenius norm of the encoder's Jacobian, averaged over the batch.

        In closed form for one layer, z = s(Wx + b): Σⱼ s'ⱼ² Σᵢ Wⱼᵢ² (Rifai et al. 2011); else exactly too, with one
        backward pass per code unit, batched.
        """
        if isinstance(self.net, Dense) and not self.config.hidden:
            with torch.autocast(x.device.type, enabled=False):
                slopes = SLOPES[self.config.code_activation](code)
                return (slopes.square() @ self.net.encoder[0].get_parameter("weight").square().sum(1)).mean()
        training = torch.is_grad_enabled()
        with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
            x = x.detach().requires_grad_(True)
            code = self.net.encode(x)
            units = torch.eye(code.shape[1], device=x.device, dtype=x.dtype)[:, None].expand(-1, len(x), -1)
            (rows,) = torch.autograd.grad(code, x, units, create_graph=training, is_grads_batched=True)
        return rows.square().sum() / len(x)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, *data.shape) → codes (N, latent)."""
        return self.net.encode(x).float()

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, latent) → (N, *data.shape) in [0, 1]."""
        return self.squash(self.net.decode(z).float()).reshape(len(z), *self.data.shape).clamp(0, 1)

    def reconstruct(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """x, through its code: (N, *data.shape) in [0, 1]."""
        return self.decode(self.encode(x))

    def anomaly_score(self, x: Tensor) -> Tensor:
        """How badly each image is rebuilt: (N, *data.shape) → (N,) mean squared errors of its pixels."""
        return (self.reconstruct(x) - x).square().flatten(1).mean(1)

    def panels(self, inputs: Given) -> list[Picture | Text]:
        """Noisy inputs, codes in 2-D, the images rebuilt worst, neighbours by hash, and the code in numbers."""
        x, codes = inputs.x, self.encode(inputs.x)
        few = min(8, len(x))
        panels: list[Picture | Text] = []
        if self.config.noise != "none":
            noisy = self.corrupt(x[:few])
            rows = torch.cat([x[:few], noisy.clamp(0, 1), self.reconstruct(noisy)])
            what = Tiles(block=(1, 3), parts=("original", "with noise", "rebuilt"))
            panels.append(Picture("denoising", rows, few, what))
        names = ("t-SNE 1", "t-SNE 2") if self.config.projection == "t-sne" else ("1st component", "2nd component")
        panels.append(plot("codes", flattened(codes, self.config.projection), inputs.labels, self.data.classes, names))
        scores = self.anomaly_score(x)
        worst = x[scores.argsort(descending=True, stable=True)[:few]]
        pairs = Tiles(block=(1, 2), parts=("original", "rebuilt"))
        panels.append(Picture("anomalies", torch.cat([worst, self.reconstruct(worst)]), few, pairs))
        if self.hashes:
            what = Tiles(block=(few, 1), parts=("image", "nearest", *(str(place) for place in range(2, few))))
            panels.append(Picture("neighbours", x[neighbours(codes.round(), few).flatten()], few, what))
        config = self.config
        plain = config.network == "mlp" and not config.hidden and config.code_activation == config.output == "linear"
        return [*panels, Text("code", tables.of_codes(x, codes, scores, hashes=self.hashes, linear=plain))]

    class Config(msgspec.Struct):
        RARE = ("code_activation", "tied", "pretrain_steps", "code_noise", "contractive", "projection")
        WHEN = dict.fromkeys(("tied", "pretrain_steps", "code_noise"), "network=mlp") | {
            "hidden": "network=mlp|recurrent", "channels": "network=conv", "noise_level": "noise",
            "sparsity_weight": "sparsity", "sparsity_target": "sparsity=kl",
        }  # fmt: skip
        network: Annotated[
            Literal["mlp", "conv", "recurrent"], hyper("Fully connected, convolutional, or LSTMs over an image's rows")
        ] = "mlp"
        hidden: Annotated[
            list[int], widths("Widths of the mlp's or LSTM's encoder layers; the decoder mirrors", unit="")
        ] = listed()
        channels: Channels = listed(16, 32, 64)
        latent: Annotated[int, hyper("Size of the code z", ge=1, le=4096, unit="dimensions")] = 32
        activation: Annotated[
            Literal["relu", "leaky-relu", "elu", "selu", "gelu", "tanh", "sigmoid", "linear"],
            hyper("After each hidden layer"),
        ] = "relu"
        code_activation: Annotated[Literal["relu", "sigmoid", "tanh", "linear"], hyper("Of the code layer")] = "relu"
        output: Annotated[Literal["sigmoid", "linear"], hyper("Activation of the rebuilt pixels")] = "sigmoid"
        loss: Annotated[Literal["bce", "mse"], hyper("Cross-entropy or squared error of each pixel")] = "bce"
        tied: Annotated[bool, hyper("mlp: the decoder uses the encoder's weights, transposed")] = False
        pretrain_steps: Annotated[
            int, hyper("mlp: steps that each layer is trained alone first; 0 is none", ge=0, le=10**8, unit="steps")
        ] = 0
        noise: Annotated[
            Literal["none", "gaussian", "salt-pepper", "mask", "dropout"],
            hyper("What spoils the input in training; dropout is mask, with what remains scaled up"),
        ] = "none"
        noise_level: Annotated[
            float, hyper("Standard deviation of gaussian noise, else share of pixels spoilt", ge=0, le=0.95, live=True)
        ] = 0.3
        code_noise: Annotated[
            float, hyper("mlp: standard deviation of noise into the code layer, in training", ge=0, le=100, live=True)
        ] = 0.0
        sparsity: Annotated[Literal["none", "l1", "kl"], hyper("Penalty on active codes")] = "none"
        sparsity_weight: Annotated[float, hyper("Weight of the sparsity penalty", ge=0, le=100, live=True)] = 1e-4
        sparsity_target: Annotated[
            float, hyper("Mean activation that the kl penalty wants", ge=0.001, le=0.999, live=True)
        ] = 0.1
        contractive: Annotated[float, hyper("Weight of the squared Jacobian of the encoder", ge=0, le=100)] = 0.0
        projection: Annotated[
            Literal["pca", "t-sne"], hyper("How previews lay out codes in 2-D; t-SNE takes seconds each", live=True)
        ] = "pca"

    @classmethod
    def refuse(cls, config: Any, data: DataSpec, **parts: Model) -> Iterator[Problem]:
        yield from super().refuse(config, data, **parts)
        for key, off in (("tied", False), ("pretrain_steps", 0), ("code_noise", 0)):
            if config.network != "mlp" and getattr(config, key) != off:
                yield Problem(
                    f"model.{key}",
                    getattr(config, key),
                    f"is for the mlp network, this is {config.network}",
                    f"set it to {str(off).lower()}, or model.network to mlp",
                )
        if config.loss == "bce" and config.output == "linear":
            yield Problem("model.loss", "bce", "needs outputs in (0, 1)", "set it to mse, or model.output to sigmoid")
        if config.sparsity == "kl" and config.code_activation != "sigmoid":
            hint = "set it to l1, or model.code_activation to sigmoid"
            yield Problem("model.sparsity", "kl", "needs codes in (0, 1)", hint)
        if config.network == "recurrent":
            if not config.hidden:
                yield Problem("model.hidden", [], "must not be empty for LSTMs", "give it at least 1 width, say 100")
            if config.contractive:
                hint = "set it to 0 for LSTMs"
                yield Problem("model.contractive", config.contractive, "is for mlp and conv networks", hint)
        if data.kind == "image" and config.network == "conv" and data.size < 2 ** len(config.channels):
            yield Problem(
                "model.channels",
                config.channels,
                f"halves the image {len(config.channels)} times, but it has {data.size} px",
                f"give it at most {data.size.bit_length() - 1} values, or set dataset.size to a larger one",
            )


SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": torch.ones_like,
    "relu": lambda z: (z > 0).float(),
    "tanh": lambda z: 1 - z.square(),
    "sigmoid": lambda z: z * (1 - z),
}
"""The derivative of each code activation, in terms of its value z."""
