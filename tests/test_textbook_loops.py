"""One recipe of each family against a plain loop of the same maths, as a tutorial would write it, with no part of ours.

Both train the same small network on the same kind of data for as many steps, with seeds of their own for weights, data
order and noise; then the means of their final losses differ by less than the noise between seeds.
"""

import math
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from tests import small_runs
from tui_gen.model import Batch

SEEDS = 3


def agree(ours, theirs, slack):
    """The means differ by less than three standard errors, and `slack`: three seeds know their spread but roughly."""
    error = math.sqrt((np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / SEEDS)
    assert abs(np.mean(ours) - np.mean(theirs)) < 3 * error + slack, (ours, theirs)


def trained(family, seed, steps, **overrides):
    """A trainer of ours after `steps` steps, and its metrics at each."""
    overrides = {"dataset__limit": 0, "dataset__shift": 0, "train__ema": 0.0} | overrides
    trainer = small_runs.trainer(family, train__steps=steps, train__batch_size=32, train__seed=seed, **overrides)
    for _ in range(steps):
        trainer.train_step()
    values = {}
    for event in trainer.meter.flush():
        for name, column in event.values.items():
            values.setdefault(name, []).extend(column)
    return trainer, values


def orders(count, seed, steps):
    """Rows of each batch of 32, in a new order each epoch; what is left over at an epoch's end is dropped."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    while len(rows) < steps:
        rows += torch.randperm(count, generator=generator).split(32)[: count // 32]
    return rows[:steps]


def glorot(*layers):
    for layer in layers:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)


def split_of(trainer):
    """Training and held-out digits, (N, 64) in [0, 1]."""
    return (part.examples.flatten(1) / 255 for part in (trainer.data.train, trainer.data.validation))


# -- autoencoder


def autoencoder_loss(seed, x, held_out, steps):
    torch.manual_seed(seed)
    encode, decode = nn.Linear(64, 16), nn.Linear(16, 64)
    glorot(encode, decode)
    optimizer = torch.optim.Adam([*encode.parameters(), *decode.parameters()], lr=1e-3)
    for rows in orders(len(x), seed, steps):
        images = x[rows]
        rebuilt = torch.sigmoid(decode(torch.relu(encode(images))))
        loss = nn.BCELoss()(rebuilt, images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return nn.BCELoss()(torch.sigmoid(decode(torch.relu(encode(held_out)))), held_out).item()


def test_autoencoder():
    ours, theirs = [], []
    for seed in range(SEEDS):
        trainer, _ = trained("autoencoder", seed, 250, model__latent=16)
        ours.append(trainer.validate()["val/autoencoder/loss"])
        theirs.append(autoencoder_loss(seed, *split_of(trainer), 250))
    agree(ours, theirs, 0.002)


# -- variational autoencoder


class TextbookVAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.mean, self.log_variance = nn.Linear(64, 48), nn.Linear(48, 6), nn.Linear(48, 6)
        self.out = nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 64), nn.Sigmoid())

    def loss(self, x):
        """Minus the ELBO in nats, summed over the batch, as the first tutorial writes it."""
        hidden = F.relu(self.hidden(x))
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        entropy = F.binary_cross_entropy(self.out(z), x, reduction="sum")
        return entropy - 0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())


def vae_loss(seed, x, held_out, steps):
    torch.manual_seed(seed)
    model = TextbookVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for rows in orders(len(x), seed, steps):
        optimizer.zero_grad()
        (model.loss(x[rows]) / len(rows)).backward()
        optimizer.step()
    with torch.no_grad():
        return model.loss(held_out).item() / len(held_out)


def test_vae():
    ours, theirs = [], []
    for seed in range(SEEDS):
        trainer, _ = trained("vae", seed, 400, model__hidden=[48], model__latent=6, train__phases__vae__lr=2e-3)
        ours.append(trainer.validate()["val/vae/loss"])
        theirs.append(vae_loss(seed, *split_of(trainer), 400))
    agree(ours, theirs, 0.1)
    assert np.mean(ours) < 30  # of 44 before training: the KL is at work, 6 numbers carry the digit


# -- generative adversarial network


def stack(sizes, end):
    layers = []
    for inputs, outputs in pairwise(sizes[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(*sizes[-2:]), *end)


def gan_losses(seed, x, steps):
    """The discriminator's and the generator's loss at each step of the usual two-optimiser loop."""
    torch.manual_seed(seed)
    generator, discriminator = stack([8, 32, 64], [nn.Tanh()]), stack([64, 32, 1], [nn.Sigmoid()])
    for_generator = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    for_discriminator = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    entropy, found = nn.BCELoss(), []
    for rows in orders(len(x), seed, steps):
        real = 2 * x[rows] - 1
        valid, fake = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        made = generator(torch.randn(len(real), 8))
        generator_loss = entropy(discriminator(made), valid)
        for_generator.zero_grad()
        generator_loss.backward()
        for_generator.step()
        discriminator_loss = entropy(discriminator(real), valid) + entropy(discriminator(made.detach()), fake)
        for_discriminator.zero_grad()
        discriminator_loss.backward()
        for_discriminator.step()
        found.append((discriminator_loss.item(), generator_loss.item()))
    return np.array(found)


def test_gan():
    """The losses of a game never settle: their means over the last third of the steps are compared."""
    steps, optim = 300, {"lr": 1e-3, "beta1": 0.5, "beta2": 0.999}
    values = {"network": "mlp", "generator_hidden": [32], "discriminator_hidden": [32], "generator_norm": "none"}
    given = {f"model__{key}": value for key, value in values.items()} | {"model__latent": 8, "model__r1_weight": 0.0}
    ours, theirs = [], []
    for seed in range(SEEDS):
        phases = {"generator": dict(optim), "discriminator": dict(optim)}
        trainer, found = trained("gan", seed, steps, **given, train__phases=phases)
        ours.append([np.mean(found[f"{name}/loss"][200:]) for name in ("discriminator", "generator")])
        theirs.append(gan_losses(seed, next(split_of(trainer)), steps)[200:].mean(0))
    agree(np.array(ours)[:, 0], np.array(theirs)[:, 0], 0.03)
    agree(np.array(ours)[:, 1], np.array(theirs)[:, 1], 0.06)


# -- diffusion and flow matching, on the ring


def ring(count):
    """Eight Gaussians on the unit circle, standardised; as the data set promises, by another way."""
    angle = torch.randint(8, (count,)) * (math.pi / 4)
    points = torch.stack([angle.cos(), angle.sin()], 1) + 0.05 * torch.randn(count, 2)
    return points / math.sqrt(0.5 + 0.05**2)


class Denoiser(nn.Module):
    """A residual perceptron told the time by sinusoids; its last layer starts at 0."""

    def __init__(self, width=32):
        super().__init__()
        self.frequencies = torch.exp(-math.log(10_000) * torch.arange(width // 2) / (width // 2))
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.first, self.last = nn.Linear(2, width), nn.Linear(width, 2)
        self.told = nn.ModuleList([nn.Linear(width, width), nn.Linear(width, width)])
        self.hidden = nn.ModuleList([nn.Linear(width, width), nn.Linear(width, width)])
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x, time):
        angles = time[:, None] * self.frequencies
        code = self.time(torch.cat([angles.sin(), angles.cos()], 1))
        x = self.first(x)
        for told, hidden in zip(self.told, self.hidden):
            x = x + hidden(F.silu(x + told(code)))
        return self.last(F.silu(x))


def final_loss(seed, loss_of, steps):
    """Train a denoiser by a loss of (network, points); its mean loss on many points afterwards."""
    torch.manual_seed(seed)
    network = Denoiser()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(steps):
        loss = loss_of(network, ring(32))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return loss_of(network, ring(20_000)).item()


def diffusion_loss(network, x, timesteps=100):
    """Ho et al.'s simple loss with Nichol and Dhariwal's cosine schedule, whose β stay below 0.999."""
    curve = torch.cos((torch.arange(timesteps + 1) / timesteps + 0.008) / 1.008 * math.pi / 2) ** 2
    kept = torch.cumprod(1 - (1 - curve[1:] / curve[:-1]).clamp(max=0.999), 0)
    time, noise = torch.randint(timesteps, (len(x),)), torch.randn_like(x)
    noisy = kept[time, None].sqrt() * x + (1 - kept[time, None]).sqrt() * noise
    return F.mse_loss(network(noisy, time.float()), noise)


def flow_loss(network, x):
    """Lipman et al.'s straight lines, σ = 0: from noise at time 0 to an example at time 1."""
    time, noise = torch.rand(len(x)), torch.randn_like(x)
    between = (1 - time[:, None]) * noise + time[:, None] * x
    return F.mse_loss(network(between, 1000 * time), x - noise)


def ours_on_ring(family, seed, steps, **values):
    given = {f"model__{key}": value for key, value in values.items()}
    phases = {family: {"lr": 3e-3}}
    trainer, _ = trained(family, seed, steps, dataset={"name": "ring"}, train__phases=phases, **given)
    with torch.no_grad():
        return trainer.model.eval().loss(Batch(ring(20_000)))[0].item()


def test_diffusion():
    ours = [ours_on_ring("ddpm", seed, 300, hidden=[32, 32], timesteps=100) for seed in range(SEEDS)]
    theirs = [final_loss(seed, diffusion_loss, 300) for seed in range(SEEDS)]
    agree(ours, theirs, 0.02)
    assert np.mean(ours) < 0.6  # of 1 before training


def test_flow_matching():
    ours = [ours_on_ring("flow-matching", seed, 300, hidden=[32, 32]) for seed in range(SEEDS)]
    theirs = [final_loss(seed, flow_loss, 300) for seed in range(SEEDS)]
    agree(ours, theirs, 0.03)
    assert np.mean(ours) < 1.6  # of 2 before training


# -- classifier


def classifier_scores(seed, x, labels, held_out, truth, steps):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    glorot(net[0], net[2])
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for rows in orders(len(x), seed, steps):
        loss = nn.CrossEntropyLoss()(net(x[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        out = net(held_out)
        return nn.CrossEntropyLoss()(out, truth).item(), (out.argmax(1) == truth).float().mean().item()


def test_classifier():
    ours, theirs = [], []
    for seed in range(SEEDS):
        trainer, _ = trained("classifier", seed, 250, model__hidden=[32], model__dropout=0.0)
        found = trainer.validate()
        ours.append((found["val/classifier/loss"], found["val/classifier/accuracy"]))
        (x, held_out), data = split_of(trainer), trainer.data
        theirs.append(classifier_scores(seed, x, data.train.labels, held_out, data.validation.labels, 250))
    for mine, his in zip(np.transpose(ours), np.transpose(theirs)):
        agree(mine, his, 0.01)
    assert np.mean(ours, 0)[1] > 0.8


# -- sequence


class Writer(nn.Module):
    """A character GRU."""

    def __init__(self, vocabulary):
        super().__init__()
        self.embed, self.gru = nn.Embedding(vocabulary, 8), nn.GRU(8, 32, batch_first=True)
        self.out = nn.Linear(32, vocabulary)
        nn.init.normal_(self.embed.weight, std=0.1)
        nn.init.xavier_uniform_(self.gru.weight_ih_l0)
        nn.init.orthogonal_(self.gru.weight_hh_l0)
        nn.init.xavier_uniform_(self.out.weight)
        for bias in (self.gru.bias_ih_l0, self.gru.bias_hh_l0, self.out.bias):
            nn.init.zeros_(bias)

    def loss(self, windows):
        out = self.out(self.gru(self.embed(windows[:, :-1]))[0])
        return nn.CrossEntropyLoss()(out.transpose(1, 2), windows[:, 1:])


def sequence_loss(seed, text, held_out, steps):
    torch.manual_seed(seed)
    net = Writer(int(max(text.max(), held_out.max())) + 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        starts = torch.randint(0, len(text) - 20, (32,), generator=generator)
        loss = net.loss(torch.stack([text[start : start + 21] for start in starts]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return net.loss(held_out).item()


def test_sequence():
    values = {"cell": "gru", "embedding": 8, "hidden": 32, "dropout": 0.0}
    given = {f"model__{key}": value for key, value in values.items()}
    given |= {"dataset__limit": 1000, "dataset__length": 20, "train__phases": {"rnn": {"lr": 5e-3, "clip_norm": 0.0}}}
    ours, theirs = [], []
    for seed in range(SEEDS):
        trainer, _ = trained("char-rnn", seed, 90, **given)
        ours.append(trainer.validate()["val/rnn/loss"])
        text, held_out = trainer.data.train.characters.long(), trainer.data.validation.examples
        theirs.append(sequence_loss(seed, text, held_out, 90))
    agree(ours, theirs, 0.01)
    assert np.mean(ours) < 0.75 * math.log(len(trainer.data.spec.classes))
