"""Every model on every kind of data: builds, steps, samples, learns, and refuses what it cannot do in clear words."""

import ast
import math
import re
import tomllib
from pathlib import Path

import pytest
import torch

from tests.known import DATASETS
from tests.small_runs import built, parts_of
from tui_gen import params
from tui_gen.catalog import built_in_dir
from tui_gen.config import OPTIM_PARAMS, load
from tui_gen.model import ABILITIES, Batch, DataSpec
from tui_gen.models.diffusion import DDPM
from tui_gen.models.flow_matching import FlowMatching
from tui_gen.models.gan import GAN
from tui_gen.models.nets.layers import TimeEmbedding
from tui_gen.models.vae import VAE
from tui_gen.models.vqvae import VQVAE
from tui_gen.train.engine.building import build_model

TEN = tuple("0123456789")
POINTS = DataSpec("ring", "points", (2,), ("a", "b"))


def images(channels=1, size=8, classes=TEN):
    return DataSpec("toy", "image", (channels, size, size), classes, 100)


def build(kind, data, **values):
    torch.manual_seed(0)
    model = kind(kind.Config(**values), data)
    assert not list(kind.refuse(model.config, data))
    return model.train()


def batch_for(model, count=6, seed=1):
    generator = torch.Generator().manual_seed(seed)
    shape = (count, *model.data.shape)
    if model.data.kind == "points":
        x = torch.randn(shape, generator=generator)
    elif model.data.kind == "text":
        return Batch(torch.randint(0, len(model.data.classes), shape, generator=generator))
    else:
        x = torch.rand(shape, generator=generator) * (2 if model.value_range == "signed" else 1)
        x = x - 1 if model.value_range == "signed" else x
    labels = torch.arange(count) % len(model.data.classes) if model.data.classes else None
    return Batch(x, labels)


def train(model, steps, batch=None, lr=1e-3, beta1=0.9):
    """A plain loop of the trainer's kind; the values of every metric at the last step."""
    batch = batch or batch_for(model)
    phases = [(phase, list(phase.parameters)) for phase in model.phases()]
    optimizers = {phase.name: torch.optim.Adam(parameters, lr, (beta1, 0.99)) for phase, parameters in phases}
    values = {}
    for step in range(steps):
        now = Batch(batch.x, batch.labels, step)
        for phase, parameters in phases:
            if step % phase.every() or (phase.when is not None and not phase.when(step, steps)):
                continue
            if phase.before is not None:
                with torch.no_grad():
                    phase.before(now)
            loss, metrics = phase.loss(now)
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True)):
                parameter.grad = gradient
            optimizers[phase.name].step()
            if phase.after is not None:
                phase.after()
            if phase.finish is not None:
                with torch.no_grad():
                    phase.finish(now)
            values |= {f"{phase.name}/loss": loss.item()} | {f"{phase.name}/{k}": v.item() for k, v in metrics.items()}
    return values


CODES = {"codebook_size": 8, "code_size": 4, "residual_blocks": 1, "prior_width": 8, "prior_layers": 1}
NETWORKS = [
    (VAE, {"hidden": [16], "latent": 3}),
    (VAE, {"network": "conv", "channels": [4, 8], "latent": 3}),
    (VAE, {"hidden": [16], "latent": 3, "likelihood": "gaussian"}),
    (GAN, {"generator_hidden": [16], "discriminator_hidden": [16], "latent": 3}),
    (GAN, {"network": "dcgan", "generator_channels": [8, 4], "discriminator_channels": [4, 8], "latent": 3}),
    (
        GAN,
        {"network": "dcgan", "generator_channels": [8, 4], "discriminator_channels": [4, 8], "loss": "wasserstein-gp"},
    ),
    (DDPM, {"channels": [4, 8], "timesteps": 20, "sample_steps": 3}),
    (DDPM, {"network": "mlp", "hidden": [16, 16], "timesteps": 20, "sample_steps": 3}),
    (FlowMatching, {"channels": [4, 8], "sample_steps": 3}),
    (FlowMatching, {"network": "mlp", "hidden": [16, 16], "sample_steps": 3}),
    (VQVAE, {"channels": [4, 8], **CODES}),
    (VQVAE, {"network": "mlp", "hidden": [16], "codes": 3, "codebook": "gradient", **CODES}),
]


@pytest.mark.parametrize(
    ("size", "channels", "conditional"), [(8, 1, False), (16, 3, True), (28, 1, True), (32, 3, False), (64, 1, False)]
)
@pytest.mark.parametrize(("kind", "values"), NETWORKS)
def test_every_network_trains_and_samples_at_every_image_size(kind, values, size, channels, conditional):
    model = build(kind, images(channels, size), **values, conditional=conditional)
    found = train(model, 2, batch_for(model, 4))
    assert all(math.isfinite(value) for value in found.values()), found
    check_abilities(model)


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (VAE, {"hidden": [16], "latent": 2, "likelihood": "gaussian"}),
        (VAE, {"hidden": [16], "latent": 2, "likelihood": "gaussian", "sigma": 0.1}),
        (GAN, {"generator_hidden": [16], "discriminator_hidden": [16], "latent": 2}),
        (GAN, {"generator_hidden": [16], "discriminator_hidden": [16], "loss": "wasserstein-gp"}),
        (DDPM, {"hidden": [16, 8], "timesteps": 20, "sample_steps": 3}),
        (FlowMatching, {"hidden": [16, 8], "sample_steps": 3}),
        (VQVAE, {"network": "mlp", "hidden": [16], "codes": 2, **CODES}),
    ],
)
def test_every_model_trains_and_samples_on_points(kind, values, conditional):
    model = build(kind, POINTS, **values, conditional=conditional)
    found = train(model, 2)
    assert all(math.isfinite(value) for value in found.values()), found
    check_abilities(model)


def check_abilities(model):
    """Shapes and ranges of everything that the model can do."""
    batch = batch_for(model, 5)
    x, labels = batch.x, batch.labels
    given = labels if model.conditional else None
    noise = torch.randn(5, *model.noise_shape)
    low, high = {"unit": (0, 1), "signed": (-1, 1)}[model.value_range] if model.data.kind == "image" else (-1e4, 1e4)
    model.eval()
    with torch.no_grad():
        shown = {}
        for ability in model.abilities():
            assert ability in ABILITIES
            if ability == "trajectory":
                frames = model.trajectory(noise, given, 4)
                assert frames.shape == (4, 5, *model.data.shape)
                assert torch.equal(frames[0], noise)
                shown[ability] = frames[-1]
            elif ability == "encode":
                assert model.encode(x, given).shape == (5, *model.latent_shape)
            elif ability == "reconstruct":
                shown[ability] = model.reconstruct(x, given)
            elif ability == "decode":
                shown[ability] = model.decode(torch.randn(5, *model.latent_shape), given)
            else:
                shown[ability] = getattr(model, ability)(noise, given)
        values = model.validation(batch)
    for ability, out in shown.items():
        assert out.shape == x.shape, ability
        assert out.dtype == torch.float32, ability
        assert out.min() >= low - 1e-5 and out.max() <= high + 1e-5, ability
    assert all(value.dim() == 0 and math.isfinite(value) for value in values.values())
    assert {f"{phase.name}/loss" for phase in model.phases()} <= set(values)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (VAE, {"network": "conv", "channels": [4], "conditional": True, "likelihood": "gaussian"}),
        (GAN, {"conditional": True, "discriminator_norm": "group", "generator_norm": "group", "loss": "hinge"}),
        (GAN, {"conditional": True, "discriminator_norm": "spectral", "generator_norm": "none", "r1_weight": 1.0}),
        (DDPM, {"channels": [4, 8], "blocks": 2, "attention": True, "conditional": True}),
        (DDPM, {"channels": [4, 8], "conditional": True, "label_dropout": 0.5, "prediction": "v"}),
    ],
)
def test_gradients_reach_every_parameter_of_what_no_recipe_has(kind, values):
    model = build(kind, images(), **values)
    train(model, 3)  # layers that start at zero hold back the gradients of what lies before them
    batch = batch_for(model, 20)
    reached = set()
    for phase in model.phases():
        parameters = list(phase.parameters)
        loss, _ = phase.loss(batch)
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters)):
            # A bias right before batch normalisation gets only rounding errors; it counts as reached all the same.
            assert torch.isfinite(gradient).all()
            assert gradient.abs().sum() > 0, [n for n, p in model.named_parameters() if p is parameter]
            reached.add(id(parameter))
    assert reached == {id(parameter) for parameter in model.parameters()}


@pytest.mark.parametrize("loss", ["non-saturating", "wasserstein-gp", "hinge", "least-squares"])
def test_every_gan_loss_moves_the_samples_to_the_data(loss):
    sizes = {"latent": 2, "generator_hidden": [32], "discriminator_hidden": [32], "generator_norm": "none"}
    weights = {"gp_weight": 1.0, "r1_weight": 0.0 if loss == "wasserstein-gp" else 0.5}
    model = build(GAN, POINTS, loss=loss, n_critic=3, **weights, **sizes)
    target = torch.tensor([1.5, -1.0])
    x = target + 0.3 * torch.randn(64, 2)
    noise = torch.randn(256, 2)

    def distance():
        with torch.no_grad():
            return (model.sample(noise).mean(0) - target).norm().item()

    before = distance()
    train(model, 100, Batch(x), lr=2e-3, beta1=0.0)
    assert distance() < 0.5 * before


@pytest.mark.parametrize(("kind", "values"), NETWORKS)
def test_equal_random_states_give_equal_losses(kind, values):
    model = build(kind, images(), **values)
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        batch = batch_for(model)
        found.append([float(phase.loss(batch)[0].detach()) for phase in model.phases()])
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", [DDPM, FlowMatching])
def test_perceptrons_may_be_of_odd_width(kind):
    """The time's sinusoids come in pairs."""
    found = train(build(kind, POINTS, hidden=[15, 7]), 2)
    assert all(math.isfinite(value) for value in found.values())
    assert TimeEmbedding(15)(torch.arange(3)).shape == (3, 15)


REFUSED = [
    (VAE, {"network": "conv", "channels": [4] * 4}, images(1, 8), "model.channels", "at most 3"),
    (VAE, {"network": "conv", "channels": [4] * 3}, images(1, 28), "model.channels", "at most 2"),
    (VAE, {"network": "conv", "channels": [4]}, images(1, 9), "model.channels", "mlp"),
    (VAE, {"network": "conv", "likelihood": "gaussian"}, POINTS, "model.network", "mlp"),
    (VAE, {}, POINTS, "model.likelihood", "gaussian"),
    (VAE, {"conditional": True}, images(classes=()), "model.conditional", "false"),
    (VAE, {"sigma": 1e-9, "likelihood": "gaussian"}, images(), "model.sigma", "learn"),
    (GAN, {"network": "dcgan"}, POINTS, "model.network", "mlp"),
    (GAN, {"network": "dcgan", "generator_channels": [4] * 3}, images(1, 28), "model.generator_channels", "at most 2"),
    (GAN, {"network": "dcgan", "discriminator_channels": [4] * 4}, images(1, 8), "model.discriminator_channels", "3"),
    (GAN, {"loss": "wasserstein-gp", "discriminator_norm": "batch"}, images(), "model.discriminator_norm", "group"),
    (GAN, {"conditional": True}, images(classes=()), "model.conditional", "false"),
    (GAN, {"loss": "hinge", "label_smoothing": 0.1}, images(), "model.label_smoothing", "least-squares"),
    (GAN, {"loss": "wasserstein-gp", "minibatch_kernels": 9}, images(), "model.minibatch_kernels", "another"),
    (GAN, {"discriminator_norm": "batch", "r1_weight": 1.0}, images(), "model.r1_weight", "group"),
    (DDPM, {"network": "unet"}, POINTS, "model.network", "mlp"),
    (DDPM, {"channels": [4] * 5}, images(1, 8), "model.channels", "at most 4"),
    (DDPM, {"channels": [4] * 4}, images(1, 28), "model.channels", "at most 3"),
    (DDPM, {"conditional": True}, images(classes=()), "model.conditional", "false"),
    (DDPM, {"label_dropout": 0.1}, images(), "model.label_dropout", "model.conditional = true"),
    (DDPM, {"conditional": True, "guidance": 2.0}, images(), "model.guidance", "model.label_dropout = 0.1"),
    (FlowMatching, {"network": "unet"}, POINTS, "model.network", "mlp"),
    (FlowMatching, {"channels": [4] * 4}, images(1, 28), "model.channels", "at most 3"),
    (FlowMatching, {"conditional": True}, images(classes=()), "model.conditional", "false"),
    (FlowMatching, {"guidance": 2.0}, images(), "model.guidance", "model.label_dropout = 0.1"),
    (VQVAE, {}, POINTS, "model.network", "mlp"),
    (VQVAE, {"network": "mlp", "loss": "bce"}, POINTS, "model.loss", "mse"),
    (VQVAE, {"conditional": True}, images(classes=()), "model.conditional", "false"),
    (VQVAE, {"channels": [4] * 3}, images(1, 28), "model.channels", "at most 2"),
    (VQVAE, {"channels": [4]}, images(1, 128), "model.channels", "give it more values"),
]


@pytest.mark.parametrize(("kind", "values", "data", "key", "advice"), REFUSED)
def test_what_cannot_work_is_refused_with_key_value_and_advice(kind, values, data, key, advice):
    problems = list(kind.refuse(kind.Config(**values), data))
    assert [problem.key for problem in problems] == [key]
    assert advice in problems[0].hint
    assert problems[0].value == getattr(kind.Config(**values), key.removeprefix("model."))


def test_every_reason_is_given_at_once():
    config = GAN.Config(network="dcgan", conditional=True, loss="wasserstein-gp", discriminator_norm="batch")
    keys = [problem.key for problem in GAN.refuse(config, DataSpec("roll", "points", (2,)))]
    assert keys == ["model.conditional", "model.network", "model.discriminator_norm"]


# -- recipes


RECIPES = sorted((built_in_dir() / "recipes").glob("*.toml"))


def test_the_promised_recipes_are_there():
    names = {path.stem for path in RECIPES}
    assert names >= {
        *("vae-digits", "conv-vae-digits", "cvae-digits", "vae-mnist", "vae-shapes"),
        *("dcgan-digits", "dcgan-mnist", "wgan-gp-ring", "wgan-gp-mnist"),
        *("ddpm-digits", "ddpm-mnist", "ddpm-ring"),
    }


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_valid_complete_and_trains(path: Path):
    text = path.read_text()
    tables = tomllib.loads(text)
    assert text.startswith("# ")
    assert tables["name"] == path.stem
    assert all(tables["recipe"][key] for key in ("title", "summary", "reference", "figure"))
    kind = built()[1].models[tables["model"].pop("name")]
    values, problems = params.check(params.describe(kind.Config), tables["model"], "model")
    assert not problems
    for name, optim in tables["train"]["phases"].items():
        assert name in kind.optimizers
        assert not params.check(OPTIM_PARAMS, optim, name)[1]
    entry = DATASETS[tables["dataset"]["name"]]
    size = tables["dataset"].get("size") or entry.default_size
    shapes = {"points": (2,), "text": (tables["dataset"].get("length", 100) + 1,)}
    shape = shapes.get(entry.kind, (entry.channels, size, size))
    data = DataSpec(entry.name, entry.kind, shape, tuple("a few" if entry.kind == "text" else entry.classes))
    config = kind.Config(**values)
    whole = {"model": {"name": kind.name, **values}, "dataset": tables["dataset"], "train": {"steps": 1}}
    made = load(whole, built()[0])
    model = build_model(kind, values, data, parts_of(made, data))
    assert model.config == config
    assert all(math.isfinite(value) for value in train(model, 1).values())


@pytest.mark.parametrize(("name", "most"), [("vae", 190), ("gan", 240), ("vqvae", 280), ("autoencoder", 290)])
def test_a_model_s_file_is_short_and_its_loss_stands_at_its_beginning(name, most):
    """On the first screen, of 50 lines, with most of it to be seen there: whoever looks for the paper sees it."""
    code = (Path(__file__).parents[1] / "models" / f"{name}.py").read_text(encoding="utf-8")
    assert code.count("\n") <= most
    first = {"gan": r"LOSSES = "}.get(name, r"    def loss\(")
    start = next(number for number, line in enumerate(code.splitlines(), 1) if re.match(first, line))
    node = next(node for node in ast.walk(ast.parse(code)) if getattr(node, "lineno", 0) == start)
    assert start <= 50 and (start + node.end_lineno) / 2 <= 50
