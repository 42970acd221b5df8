"""Latent diffusion: codes of unit variance, a first stage that never moves, vectors and maps, guidance, refusals."""

import math
from typing import Annotated

import msgspec
import pytest
import torch
from torch import nn

from tests.test_models import POINTS, batch_for, build, images, train
from tui_gen import params
from tui_gen.model import Batch, Given, Model, Optim, Phase, hyper
from tui_gen.models.autoencoder import Autoencoder
from tui_gen.models.diffusion import DDPM
from tui_gen.models.latent_diffusion import LatentDiffusion, codes_of
from tui_gen.models.vae import VAE

SMALL = {"hidden": [16, 16], "channels": [8, 8], "timesteps": 20, "sample_steps": 3}


class Maps(Model):
    """Codes that are maps (2, s/2, s/2), by a strided convolution each way; in [-1, 1]."""

    name, pixels, optimizers = "maps", "signed", {"maps": Optim()}

    class Config(msgspec.Struct):
        width: Annotated[int, hyper("Channels of a code", ge=1, le=8)] = 2

    def __init__(self, config, data):
        super().__init__(config, data)
        self.down = nn.Conv2d(data.channels, config.width, 2, stride=2)
        self.up = nn.ConvTranspose2d(config.width, data.channels, 2, stride=2)
        self.dropout = nn.Dropout(0.5)

    def phases(self):
        return [Phase("maps", lambda batch: (self.encode(batch.x).mean(), {}), self.parameters())]

    def encode(self, x, labels=None):
        return self.dropout(self.down(x))

    def decode(self, z, labels=None):
        return torch.tanh(self.up(z))


def first(kind, data, **values):
    return build(kind, data, **values).requires_grad_(False).eval()


def built(stage, **values):
    torch.manual_seed(1)
    config = LatentDiffusion.Config(**SMALL | values)
    assert not list(LatentDiffusion.refuse(config, stage.data, first_stage=stage))
    model = LatentDiffusion(config, stage.data, first_stage=stage)
    model.prepare(batch_for(model, 300))
    return model.train()


FIRSTS = [
    (VAE, images(), {"hidden": [16], "latent": 3}),
    (VAE, images(3, 16), {"network": "conv", "channels": [4, 8], "latent": 3}),
    (VAE, images(), {"hidden": [16], "latent": 3, "conditional": True}),
    (VAE, POINTS, {"hidden": [16], "latent": 2, "likelihood": "gaussian"}),
    (Autoencoder, images(), {"latent": 5}),
    (Maps, images(), {}),
    (Maps, images(3, 16), {}),
]


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize(("kind", "data", "values"), FIRSTS)
def test_it_trains_and_samples_on_codes_of_every_shape(kind, data, values, conditional):
    stage = first(kind, data, **values)
    before = {name: tensor.clone() for name, tensor in stage.state_dict().items()}
    model = built(stage, conditional=conditional or stage.conditional, label_dropout=0.3 * conditional)
    assert (model.noise_shape, model.value_range) == (codes_of(stage).shape, stage.value_range)
    found = train(model, 3, batch_for(model, 8))
    assert all(math.isfinite(value) for value in found.values()), found
    assert all(torch.equal(before[name], tensor) for name, tensor in model.first_stage.state_dict().items())
    assert not model.first_stage.training, "dropout in the first stage would spoil codes"
    batch = batch_for(model, 5)
    labels = batch.labels if model.conditional else None
    model.eval()
    with torch.no_grad():
        noise = torch.randn(5, *model.noise_shape)
        assert model.sample(noise, labels).shape == batch.x.shape
        assert model.trajectory(noise, labels, 4).shape == (4, *batch.x.shape)
        torch.testing.assert_close(
            model.reconstruct(batch.x, batch.labels), stage.decode(stage.encode(batch.x, batch.labels), batch.labels)
        )
        assert model.validation(batch).keys() >= {"latent-diffusion/loss"}
        (picture,) = model.panels(Given(batch.x, batch.labels, noise, labels))
        assert picture.images.shape[0] == picture.columns == 2


def test_codes_have_mean_0_and_variance_1_once_measured():
    stage = first(Autoencoder, images(), latent=5, code_activation="relu")
    model = built(stage)
    x = batch_for(model, 300).x
    with torch.no_grad():
        z = model.encode(x)
        torch.testing.assert_close(z.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
        torch.testing.assert_close(z.square().mean(), torch.ones(()), atol=1e-3, rtol=0)
        torch.testing.assert_close(model.limit, z.abs().max())
        torch.testing.assert_close(model.decode(z), stage.decode(stage.encode(x)))
    assert {"mean", "scale", "limit"} <= model.state_dict().keys()


def test_a_first_stage_whose_codes_are_all_alike_gives_finite_codes():
    stage = first(Autoencoder, images(), latent=3)
    for tensor in stage.parameters():
        tensor.zero_()
    model = built(stage)
    assert torch.isfinite(model.encode(batch_for(model).x)).all()
    assert torch.isfinite(model.sample(torch.randn(4, 3))).all()


def test_the_loss_is_ddpms_on_the_codes():
    model = built(first(VAE, images(), hidden=[16], latent=3), prediction="v")
    batch = batch_for(model, 8)
    torch.manual_seed(5)
    loss, metrics = model.loss(batch)
    with torch.no_grad():
        z = model.encode(batch.x)
    plain = DDPM(model.config, codes_of(model.first_stage))
    plain.network = model.network
    torch.manual_seed(5)
    expected, same = plain.loss(Batch(z, batch.labels))
    assert torch.equal(loss, expected) and metrics.keys() == same.keys()


@pytest.mark.parametrize("kind", [VAE, Maps])
def test_gradients_reach_every_parameter_but_the_first_stages(kind):
    model = built(first(kind, images()), conditional=True)
    train(model, 3)
    (phase,) = model.phases()
    parameters = list(phase.parameters)
    gradients = torch.autograd.grad(phase.loss(batch_for(model, 20))[0], parameters)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    others = {name for name, p in model.named_parameters() if all(p is not one for one in parameters)}
    assert others and all(name.startswith("first_stage.") for name in others)


def test_it_learns_which_codes_there_are():
    stage = first(VAE, images(), hidden=[16], latent=2)
    torch.manual_seed(0)
    config = LatentDiffusion.Config(hidden=[64, 64], sample_steps=20, timesteps=200)
    model = LatentDiffusion(config, images(), first_stage=stage)
    two = batch_for(model, 2).x.round().repeat(64, 1, 1, 1)
    model.prepare(Batch(two))
    train(model, 250, Batch(two), lr=3e-3)
    with torch.no_grad():
        real = model.encode(two[:2])
        drawn = model.sample_codes(torch.randn(200, 2), None)
    distance, which = torch.cdist(drawn, real).min(1)
    assert distance.mean() < 0.3 * (real[0] - real[1]).norm()
    assert 0.2 < which.float().mean() < 0.8


@pytest.mark.parametrize(
    ("stage", "values", "key", "words"),
    [
        ((VAE, images(), {}), {"network": "unet"}, "model.network", "vectors of 20 numbers"),
        ((Maps, images(), {}), {"channels": [8] * 4}, "model.channels", "4 px can be halved"),
        ((VAE, images(), {"conditional": True}), {}, "model.conditional", "labels"),
        ((VAE, images(classes=()), {}), {"conditional": True}, "model.conditional", "no labels"),
        ((VAE, images(), {}), {"guidance": 2.0}, "model.guidance", "without the label"),
    ],
)
def test_what_cannot_work_with_a_first_stage_is_refused(stage, values, key, words):
    kind, data, options = stage
    config, stage = LatentDiffusion.Config(**values), first(kind, data, **options)
    problems = list(LatentDiffusion.refuse(config, data, first_stage=stage))
    assert [problem.key for problem in problems] == [key] and words in str(problems[0])
    assert problems[0].hint


def bounds():
    for param in params.describe(LatentDiffusion.Config):
        if param.name in ("hidden", "channels"):  # DDPM's networks, which are tested as its own
            continue
        if param.kind in ("choice", "bool", "str"):
            values = param.choices or ([] if param.run else [False, True])
        else:
            low = param.ge if param.ge is not None else param.gt
            values = [low, param.le if param.le is not None else param.lt]
            assert None not in values, param.name
            cast = int if "int" in (param.kind, param.item) else float
            values = [[cast(one)] for one in values] if param.kind == "list" else [cast(one) for one in values]
        for value in values:
            yield pytest.param(param, value, id=f"{param.name}-{params.show(value)}")


@pytest.mark.parametrize(("param", "value"), list(bounds()))
def test_at_its_bounds_every_hyperparameter_trains_or_is_refused(param, value):
    stage = first(Maps if param.name in ("blocks", "attention") else VAE, images())
    config = LatentDiffusion.Config(**SMALL | {param.name: value})
    problems = list(LatentDiffusion.refuse(config, images(), first_stage=stage))
    assert all(problem.key.startswith("model.") and problem.hint for problem in problems)
    if problems:
        return
    torch.manual_seed(0)
    model = LatentDiffusion(config, images(), first_stage=stage).train()
    found = train(model, 2, batch_for(model, 4))
    assert all(math.isfinite(number) for number in found.values()), found
    if param.name != "sample_steps":
        with torch.no_grad():
            labels = torch.tensor([1, 2]) if model.conditional else None
            assert torch.isfinite(model.sample(torch.randn(2, *model.noise_shape), labels)).all()
