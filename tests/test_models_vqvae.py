"""The VQ-VAE against its paper's formulas, an independent codebook, a textbook loop; its prior and what it draws."""

import math
import random

import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise_distances_argmin
from torch import nn
from torch.nn import functional as F

from tests import small_runs
from tests.test_models import CODES, POINTS, batch_for, build, images, train
from tui_gen import events
from tui_gen.model import Batch, DataSpec, Given
from tui_gen.models.vqvae import VQVAE
from tui_gen.train.engine.building import weights_of
from tui_gen.train.run.alerts import Health

pytestmark = pytest.mark.xdist_group("models_vqvae")  # one model is trained for all
CONV = {"channels": [4, 8], **CODES}
MLP = {"network": "mlp", "hidden": [16], "codes": 3, **CODES}


def spread_out(model):
    """Put the code vectors where encoder outputs lie, so that many are in use."""
    batch = batch_for(model, 20)
    model.loss(batch)
    model.move_codebook(batch)
    return model


# -- quantisation


@pytest.mark.parametrize("values", [CONV, MLP], ids=["conv", "mlp"])
def test_codes_are_the_nearest_vectors_and_both_layouts_agree(values):
    model = spread_out(build(VQVAE, images(3), **values))
    x = batch_for(model, 7).x
    with torch.no_grad():
        z, codes = model.encode(x), model.codes(x)
    assert z.shape == (7, *model.latent_shape) and codes.shape == (7, *model.latent_shape[1:])
    flat = z.permute(0, 2, 3, 1).reshape(-1, 4).double().numpy()
    expected = pairwise_distances_argmin(flat, model.vectors.detach().double().numpy())
    assert codes.flatten().tolist() == expected.tolist()
    assert len(set(expected.tolist())) > 2
    vectors = model.look_up(codes)
    assert vectors.shape == z.shape
    assert torch.equal(vectors[3, :, -1, 1], model.vectors[codes[3, -1, 1]])


def test_the_gradient_passes_straight_through_the_quantisation():
    """That of the reconstruction by the encoder's output is the one by the decoder's input, unchanged."""
    model = spread_out(build(VQVAE, images(), commitment=0.0, **CONV))
    x = batch_for(model).x
    z = model.encode(x).detach().requires_grad_(True)
    model.encode = lambda x: z
    loss, _ = model.loss(Batch(x))
    (found,) = torch.autograd.grad(loss, z)
    e = model.look_up(model.nearest(z)).detach().requires_grad_(True)
    (expected,) = torch.autograd.grad(model.distance(model.rebuild(e), x), e)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-9) and found.abs().max() > 0
    assert not torch.equal(z, e)


@pytest.mark.parametrize("codebook", ["gradient", "ema"])
def test_the_loss_is_the_papers(codebook):
    model = spread_out(build(VQVAE, images(), commitment=0.7, codebook=codebook, **CONV))
    x = batch_for(model).x
    loss, metrics = model.loss(Batch(x))
    with torch.no_grad():
        z = model.encode(x)
        gap = (z - model.look_up(model.nearest(z))).square().mean()
        error = (model.reconstruct(x) - x).square().mean()
        unbound = (model.rebuild(model.look_up(model.codes(x))) - x).square().mean()
    assert metrics["commitment"].item() == pytest.approx(gap.item(), rel=1e-5)
    assert metrics["mse"].item() == pytest.approx(error.item(), rel=1e-5)
    assert metrics["reconstruction"].item() == pytest.approx((unbound / x.var(correction=0)).item(), rel=1e-5)
    weight = 1.7 if codebook == "gradient" else 0.7
    assert loss.item() == pytest.approx((metrics["reconstruction"] + weight * gap).item(), rel=1e-5)


def test_codebook_and_commitment_terms_move_only_their_own_side():
    model = spread_out(build(VQVAE, images(), codebook="gradient", commitment=0.0, **CONV))
    x = batch_for(model).x
    gradient = torch.autograd.grad(model.loss(Batch(x))[0], model.vectors)[0]
    z = model.encode(x).detach()
    used = F.one_hot(model.nearest(z).flatten(), 8).double()
    flat = z.movedim(1, -1).flatten(0, 2).double()
    expected = 2 * (used.sum(0)[:, None] * model.vectors.detach() - used.T @ flat) / flat.numel()
    assert torch.allclose(gradient.double(), expected, atol=1e-7)
    weights = list(model.encoder.parameters())
    without = torch.autograd.grad(model.loss(Batch(x))[0], weights)
    model.config.commitment = 5.0
    more = torch.autograd.grad(model.loss(Batch(x))[0], [*weights, model.vectors])
    assert torch.equal(more[-1], gradient)
    assert any(not torch.equal(one, other) for one, other in zip(without, more[:-1], strict=True))


def test_perplexity_and_active_codes_equal_their_definitions():
    model = spread_out(build(VQVAE, images(), **CONV))
    batch = batch_for(model, 9)
    _, metrics = model.loss(batch)
    counts = np.bincount(model.codes(batch.x).flatten().numpy(), minlength=8)
    shares = counts[counts > 0] / counts.sum()
    assert metrics["active_codes"].item() == len(shares) > 2
    assert metrics["perplexity"].item() == pytest.approx(math.exp(-(shares * np.log(shares)).sum()), rel=1e-5)


# -- the codebook


def test_the_codebook_follows_moving_averages():
    """As in the paper's appendix: sums and counts kept apart, in plain double-precision loops."""
    model = spread_out(build(VQVAE, images(), ema_decay=0.9, **CONV))
    model.config.restart_after = 0
    vectors, counts = model.vectors.double().clone(), model.counts.double().clone()
    sums = counts[:, None] * vectors
    for seed, decay in enumerate([0.1, 5 / 14, 0.9, 0.9, 0.9]):
        batch = batch_for(model, 10, seed)
        batch.step = (0, 4, 80, 90, 10**9)[seed]  # a young average forgets faster
        model.loss(batch)
        model.move_codebook(batch)
        z = model.encode(batch.x).detach().movedim(1, -1).reshape(-1, 4).double()
        chosen = [[] for _ in range(8)]
        for one in z:
            distances = [(one - vector).square().sum().item() for vector in vectors]
            chosen[distances.index(min(distances))].append(one)
        for code, members in enumerate(chosen):
            counts[code] = decay * counts[code] + (1 - decay) * len(members)
            sums[code] = decay * sums[code] + (1 - decay) * sum(members, torch.zeros(4, dtype=torch.float64))
        vectors = sums / counts[:, None]
        assert torch.allclose(model.vectors.double(), vectors, atol=1e-5)
    assert torch.allclose(model.counts.double(), counts, atol=1e-5)
    assert (counts > 1).sum() > 2  # others than the first have been chosen


def test_codes_that_nothing_chooses_stay_where_they_are_for_as_long_as_it_takes():
    model = build(VQVAE, images(), ema_decay=0.5, restart_after=0, **CONV)
    with torch.no_grad():
        model.vectors[5] = 100.0
    for _ in range(300):  # 0.5³⁰⁰ is 0 in single precision
        seen = {"latents": torch.zeros(2, 4, 1, 1), "codes": torch.zeros(2, 1, 1, dtype=torch.int64)}
        model.move_codebook(Batch(torch.zeros(2, 1, 8, 8), None, 10**6, seen))
    assert model.vectors[5].tolist() == [100.0] * 4
    assert torch.isfinite(model.vectors).all() and model.vectors[0].abs().max() < 1e-6


@pytest.mark.parametrize("codebook", ["ema", "gradient"])
def test_dead_codes_start_anew_at_outputs_of_the_encoder(codebook):
    model = build(VQVAE, images(), codebook=codebook, restart_after=4, **CONV)
    batch = batch_for(model, 10)

    def step():
        model.loss(batch)
        model.move_codebook(batch)

    def far():
        z = model.encode(batch.x).detach().movedim(1, -1).reshape(-1, 4)
        return (torch.cdist(model.vectors.detach(), z).min(1).values > 1.0).tolist()

    step()  # codes that have never been used get theirs at once
    with torch.no_grad():
        model.vectors[2], model.vectors[6] = 50.0, -50.0
    model.idle[[2, 6]] = 0
    for _ in range(3):
        step()
        assert far() == [code in (2, 6) for code in range(8)]
    step()
    assert far() == [False] * 8
    assert model.idle.max() < 4


def test_without_restarts_dead_codes_stay_dead_and_it_can_be_switched_on_live():
    model = build(VQVAE, images(), restart_after=0, **CONV)
    with torch.no_grad():
        model.vectors[1:] += 50.0
    batch = batch_for(model, 10)
    for _ in range(3):
        _, metrics = model.loss(batch)
        model.move_codebook(batch)
    assert metrics["perplexity"].item() == pytest.approx(1.0) and model.vectors[1:].min() > 40
    model.config.restart_after = 100
    for _ in range(2):
        _, metrics = model.loss(batch)
        model.move_codebook(batch)
    assert metrics["active_codes"] > 2


def test_a_collapsed_codebook_is_told_once_for_a_while():
    health = Health()

    def look(start, codes):
        return health.look([events.Metrics(start=start, values={"vq-vae/active_codes": [codes] * 150})])

    assert look(0, 1.0) == []  # too early to tell
    assert look(150, 2.0) == []
    (alert,) = look(300, 1.0)
    assert alert.what.startswith("codebook collapse") and alert.where == "vq-vae/active_codes"
    assert alert.step == 449 and "restart_after" in alert.advice
    assert look(450, 1.0) == []


def test_nothing_but_training_moves_the_codebook():
    model = spread_out(build(VQVAE, images(), **CONV))
    before = {name: tensor.clone() for name, tensor in weights_of(model).items()}
    model.eval()
    with torch.no_grad():
        model.validation(batch_for(model, 10))
    assert all(torch.equal(before[name], tensor) for name, tensor in weights_of(model).items())


@pytest.mark.parametrize(
    "values",
    [{"model__codebook": "gradient"}, {"model__prior_start": 0.2, "model__conditional": True},
     {"model__network": "mlp", "model__codes": 2, "train__ema": 0.0}],
    ids=str,
)  # fmt: skip
def test_every_kind_resumes_bit_for_bit(values):
    """The default one does so with every family, in the tests of the trainer."""
    one, other = (small_runs.trainer("vq-vae", **values) for _ in range(2))
    for _ in range(4):
        one.train_step()
    state = one.state()
    weights = {name: tensor.clone() for name, tensor in weights_of(one.model).items()}
    average = None if one.average is None else {n: t.clone() for n, t in weights_of(one.average).items()}
    optimizers = [{k: v.clone() for k, v in s.items()} for s in one.optimizers["vq-vae"].state_dict()["state"].values()]
    for _ in range(5):
        one.train_step()
    fresh = small_runs.trainer("vq-vae", **values)
    for _ in range(4):
        fresh.train_step()
    kept = fresh.state()["optimizers"]["vq-vae"]["state"].values()
    assert all(torch.equal(a[k], b[k]) for a, b in zip(optimizers, kept, strict=True) for k in a)
    other.restore(fresh.state() | {"rng": state["rng"]}, weights, average)
    for _ in range(5):
        other.train_step()
    mine, theirs = weights_of(one.model), weights_of(other.model)
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []
    assert any(not torch.equal(mine[name], weights[name]) for name in mine)


# -- what comes out


@pytest.fixture(scope="module")
def trained():
    """Some seconds on the digits; conditional, so that the label of a sample is known."""
    trainer = small_runs.trainer(
        "vq-vae", model__channels=[8, 16], model__conditional=True, model__prior_dropout=0.0, train__steps=250,
        train__batch_size=32, train__ema=0.95, dataset__limit=0, dataset__shift=0, model__restart_after=20,
        train__phases={"vq-vae": {"lr": 5e-3}, "prior": {"lr": 5e-3}},
    )  # fmt: skip
    untrained = trainer.validate()
    for _ in range(250):
        trainer.train_step()
    return trainer, untrained, trainer.validate()


def test_training_beats_untrained_and_the_prior_beats_guessing(trained):
    _, untrained, found = trained
    assert found["val/vq-vae/mse"] < 0.5 * untrained["val/vq-vae/mse"]
    assert found["val/vq-vae/perplexity"] > 5
    assert found["val/prior/bits_per_code"] < 0.85 * math.log2(16)
    assert found["val/prior/bits_saved"] > 0.2
    assert found["val/prior/bits_per_example"] == pytest.approx(4 * found["val/prior/bits_per_code"], rel=1e-4)


def test_samples_lie_nearer_to_real_images_than_random_codes_do(trained):
    trainer, _, _ = trained
    model, real = trainer.eval_model.eval(), trainer.data.validation.examples.float().flatten(1) / 255
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        drawn = model.sample(torch.randn(200, 4, generator=generator), torch.arange(200) % 10)
        chance = model.decode_codes(torch.randint(0, 16, (200, 2, 2), generator=generator))

    def distance(x):
        return torch.cdist(x.flatten(1), real).min(1).values.mean().item()

    assert distance(drawn) < 0.93 * distance(chance)


def test_encode_gives_continuous_latents_and_decode_quantises_them(trained):
    model, x = trained[0].eval_model.eval(), trained[0].data.validation.examples[:20].float() / 255
    with torch.no_grad():
        z = model.encode(x)
        assert z.shape == (20, *model.latent_shape) == (20, 4, 2, 2) and z.dtype == torch.float32
        quantised = model.look_up(model.nearest(z))
        assert not torch.equal(z, quantised)
        out = model.decode(z)
        assert torch.equal(out, model.decode(quantised)) and torch.equal(out, model.reconstruct(x))
        assert torch.equal(out, model.decode_codes(model.codes(x)))


def test_panels_show_codes_latents_and_use(trained):
    trainer = trained[0]
    x = trainer.data.validation.examples[:50].float() / 255
    model = trainer.eval_model.eval()
    with torch.no_grad():
        latents, codes, text = model.panels(Given(x, None, None, None))
    assert (latents.kind, codes.kind, text.kind) == ("latents", "codes", "codebook")
    assert codes.images.shape == (24, 3, 8, 8) and codes.columns == 8
    assert torch.equal(codes.images[:8, 0], x[:8, 0])
    blocks = codes.images[8:16].unfold(2, 4, 4).unfold(3, 4, 4).flatten(4)
    assert (blocks == blocks[..., :1]).all()
    assert codes.images.min() >= 0 and codes.images.max() <= 1
    lines = text.text.splitlines()
    counts = np.bincount(model.codes(x).flatten().numpy(), minlength=16)
    assert lines[0].startswith(f"{(counts > 0).sum()} of 16 codes in use")
    assert lines[1] == "4 codes an example: 16 bits at most"
    assert [int(line.split()[-1]) for line in lines[3:]] == sorted(counts.tolist(), reverse=True)
    assert all(int(line.split()[-1]) == counts[int(line.split()[0])] for line in lines[3:])


def test_the_panels_stay_short_and_bear_points_and_a_run_that_diverged():
    model = build(VQVAE, POINTS, network="mlp", codes=2, codebook_size=300)
    batch = batch_for(model, 30)
    with torch.no_grad():
        latents, text = model.panels(Given(batch.x, batch.labels, None, None))
        assert latents.images.shape == (1, 3, 160, 160)
        assert len(text.text.splitlines()) == 24 and all(len(line) <= 78 for line in text.text.splitlines())
        model = build(VQVAE, images(), **CONV)
        model.encoder[0][0].weight.fill_(float("nan"))
        model.vectors.fill_(float("nan"))
        panels = model.panels(Given(batch_for(model).x, None, None, None))
        assert model.sample(torch.randn(3, *model.noise_shape)).shape == (3, 1, 8, 8)
    assert panels[-1].text.startswith("1 of 8 codes")


def test_points_are_written_with_codes_too():
    model = build(VQVAE, POINTS, network="mlp", hidden=[32], codes=2, codebook_size=8, code_size=2, prior_width=8)
    angles = torch.arange(64) * (2 * math.pi / 8)
    x = torch.stack([angles.cos(), angles.sin()], 1) * 1.4
    found = train(model, 200, Batch(x), lr=5e-3)
    assert found["vq-vae/reconstruction"] < 0.05
    with torch.no_grad():
        drawn = model.eval().sample(torch.randn(200, 2))
    assert torch.cdist(drawn, x[:8]).min(1).values.mean() < 0.5
    assert found["prior/bits_per_example"] == pytest.approx(3, abs=0.5)  # eight points, alike in number


# -- a textbook loop


class Textbook(nn.Module):
    """A VQ-VAE as tutorials write it, with no part of the model's code; the codebook learns by its gradient."""

    def __init__(self):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4 * 8))
        self.decode = nn.Sequential(nn.Linear(4 * 8, 32), nn.ReLU(), nn.Linear(32, 64))
        self.codebook = nn.Embedding(16, 4)
        self.codebook.weight.data.uniform_(-1 / 16, 1 / 16)

    def forward(self, images):
        z = self.encode(images).view(len(images), 4, 8).transpose(1, 2)
        index = torch.cdist(z, self.codebook.weight[None].expand(len(z), -1, -1)).argmin(2)
        chosen = self.codebook(index)
        through = z + (chosen - z).detach()
        terms = nn.functional.mse_loss(chosen, z.detach()), nn.functional.mse_loss(z, chosen.detach())
        return self.decode(through.transpose(1, 2).reshape(len(images), -1)), *terms


def textbook_loss(seed, x, held_out, steps):
    torch.manual_seed(seed)
    net = Textbook()
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    order = random.Random(seed)

    def loss_of(images):
        rebuilt, codebook, commitment = net(images)
        return nn.functional.mse_loss(rebuilt, images) / images.var(unbiased=False) + codebook + 0.25 * commitment

    for _ in range(steps):
        loss = loss_of(x[order.sample(range(len(x)), 64)].view(-1, 64))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return loss_of(held_out.view(-1, 64)).item()


def test_a_textbook_loop_ends_at_the_same_loss():
    """Within the noise between seeds: the means differ by less than three standard errors."""
    ours, theirs = [], []
    for seed in range(4):
        trainer = small_runs.trainer(  # so long that the prior's turn, with its share of the run, does not come
            "vq-vae", model__network="mlp", model__hidden=[32], model__codes=8, model__codebook="gradient",
            model__restart_after=0, model__prior_start=0.95, train__steps=10**6, train__batch_size=64, train__ema=0.0,
            train__seed=seed, dataset__limit=0, dataset__shift=0, train__phases={"vq-vae": {"lr": 3e-3}},
        )  # fmt: skip
        for _ in range(300):
            trainer.train_step()
        ours.append(trainer.validate()["val/vq-vae/loss"])
        x = trainer.data.train.examples.float() / 255
        held_out = trainer.data.validation.examples.float() / 255
        theirs.append(textbook_loss(seed, x, held_out, 300))
    spread = math.sqrt((np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / 4)
    assert abs(np.mean(ours) - np.mean(theirs)) < 3 * spread + 0.002, (ours, theirs)


def test_the_recipe_for_mnist_writes_a_digit_with_49_codes():
    mnist = DataSpec("mnist", "image", (1, 28, 28), tuple("0123456789"), 60_000)
    values = dict(small_runs.catalogs.read().recipes["vq-vae"].tables["model"])
    values.pop("name")
    model = build(VQVAE, mnist, **values)
    assert model.noise_shape == (49,) and model.latent_shape == (16, 7, 7)
