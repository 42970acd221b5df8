"""The loops that the trainer's speed is held against: `python -m tests.textbook NAME --root DIR [--steps N --out DIR]`.

Each is what a tutorial would show: torchvision's MNIST through a DataLoader with ToTensor, default Adam, the losses
read with `.item()` at every step. The networks and the maths are those of the trainer's models (the parameter counts
must agree), the code is written apart from them. Trains until it is killed, or so many steps and keeps the weights,
and prints how far it is.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision import datasets, transforms

Step = Callable[[torch.Tensor], list[float]]
TELL = 0.1
"""Seconds between two lines, the time of a step at least."""


def linear_stack(sizes: list[int], activation: Callable[[], nn.Module], batch_norm: bool = False) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers.append(nn.Linear(inputs, outputs))
        if batch_norm:
            layers.append(nn.BatchNorm1d(outputs))
        layers.append(activation())
    return layers


def leaky() -> nn.Module:
    return nn.LeakyReLU(0.2, inplace=True)


class TextbookVAE(nn.Module):
    """784-400-20, as in the first tutorial that everybody reads, or of other sizes."""

    def __init__(self, hidden: int = 400, latent: int = 20) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, hidden)
        self.fc21 = nn.Linear(hidden, latent)
        self.fc22 = nn.Linear(hidden, latent)
        self.fc3 = nn.Linear(latent, hidden)
        self.fc4 = nn.Linear(hidden, 784)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        hidden = F.relu(self.fc1(x))
        mean, log_variance = self.fc21(hidden), self.fc22(hidden)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mean, log_variance


def vae(hidden: int = 400, latent: int = 20) -> tuple[list[nn.Module], Step]:
    model = TextbookVAE(hidden, latent)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(images: torch.Tensor) -> list[float]:
        x = images.view(-1, 784)
        optimizer.zero_grad()
        rebuilt, mean, log_variance = model(x)
        reconstruction = F.binary_cross_entropy(rebuilt, x, reduction="sum")
        divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
        loss = reconstruction + divergence
        loss.backward()
        optimizer.step()
        return [loss.item()]

    return [model], step


def mlp_pair() -> tuple[nn.Module, nn.Module]:
    generator = nn.Sequential(
        *linear_stack([100, 128, 256, 512, 1024], leaky, batch_norm=True), nn.Linear(1024, 784), nn.Tanh()
    )
    discriminator = nn.Sequential(*linear_stack([784, 512, 256], leaky), nn.Linear(256, 1))
    return generator, discriminator


def gan(pair: Callable[[], tuple[nn.Module, nn.Module]] = mlp_pair, flat: bool = True) -> tuple[list[nn.Module], Step]:
    generator, discriminator = pair()
    loss_of = nn.BCEWithLogitsLoss()
    for_generator = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    for_discriminator = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))

    def step(images: torch.Tensor) -> list[float]:
        real = images.view(len(images), -1) if flat else images
        valid, fake = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        for_generator.zero_grad()
        made = generator(torch.randn(len(real), 100))
        generator_loss = loss_of(discriminator(made), valid)
        generator_loss.backward()
        for_generator.step()
        for_discriminator.zero_grad()
        real_loss = loss_of(discriminator(real), valid)
        fake_loss = loss_of(discriminator(made.detach()), fake)
        discriminator_loss = real_loss + fake_loss
        discriminator_loss.backward()
        for_discriminator.step()
        return [generator_loss.item(), discriminator_loss.item()]

    return [generator, discriminator], step


def wgan_gp() -> tuple[list[nn.Module], Step]:
    generator, critic = mlp_pair()
    for_generator = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.9))
    for_critic = torch.optim.Adam(critic.parameters(), lr=2e-4, betas=(0.5, 0.9))
    count = 0

    def penalty(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        share = torch.rand(len(real), 1)
        between = (share * real + (1 - share) * fake).requires_grad_(True)
        score = critic(between)
        gradient = torch.autograd.grad(score, between, torch.ones_like(score), create_graph=True, retain_graph=True)[0]
        return ((gradient.norm(2, dim=1) - 1) ** 2).mean()

    def step(images: torch.Tensor) -> list[float]:
        nonlocal count
        real = images.view(len(images), -1)
        for_critic.zero_grad()
        fake = generator(torch.randn(len(real), 100))
        critic_loss = -critic(real).mean() + critic(fake).mean() + 10 * penalty(real.data, fake.data)
        critic_loss.backward()
        for_critic.step()
        values = [critic_loss.item()]
        if count % 5 == 0:
            for_generator.zero_grad()
            generator_loss = -critic(generator(torch.randn(len(real), 100))).mean()
            generator_loss.backward()
            for_generator.step()
            values.append(generator_loss.item())
        count += 1
        return values

    return [generator, critic], step


def convolutional_pair() -> tuple[nn.Module, nn.Module]:
    """DCGAN at 32 px: 8 → 16 → 32 and back, 128 and 64 channels, batch normalisation in the generator."""
    generator = nn.Sequential(
        nn.Linear(100, 128 * 8 * 8), nn.Unflatten(1, (128, 8, 8)), nn.BatchNorm2d(128), nn.ReLU(inplace=True),
        nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
        nn.ConvTranspose2d(64, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Conv2d(1, 64, 4, 2, 1), leaky(), nn.Conv2d(64, 128, 4, 2, 1), leaky(), nn.Flatten(),
        nn.Linear(128 * 8 * 8, 1),
    )  # fmt: skip
    return generator, discriminator


def dcgan() -> tuple[list[nn.Module], Step]:
    return gan(convolutional_pair, flat=False)


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, time_width: int) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.GroupNorm(8, inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.time = nn.Sequential(nn.SiLU(), nn.Linear(time_width, outputs))
        self.after = nn.Sequential(nn.GroupNorm(8, outputs), nn.SiLU(), nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor, time_code: torch.Tensor) -> torch.Tensor:
        hidden = self.before(x) + self.time(time_code)[:, :, None, None]
        return self.after(hidden) + self.skip(x)


class SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, width)
        self.to_qkv = nn.Conv2d(width, width * 3, 1)
        self.to_out = nn.Conv2d(width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        qkv = self.to_qkv(self.norm(x)).chunk(3, dim=1)
        q, k, v = (part.reshape(n, self.heads, c // self.heads, h * w) for part in qkv)
        weights = torch.softmax(torch.einsum("bhdi,bhdj->bhij", q, k) / math.sqrt(c // self.heads), dim=-1)
        mixed = torch.einsum("bhij,bhdj->bhdi", weights, v)
        return x + self.to_out(mixed.reshape(n, c, h, w))


class TextbookUNet(nn.Module):
    """Three resolutions (28, 14, 7) with 32, 64 and 64 channels, attention at the lowest."""

    def __init__(self) -> None:
        super().__init__()
        t = 128
        self.time = nn.Sequential(nn.Linear(t, t), nn.SiLU(), nn.Linear(t, t))
        self.init = nn.Conv2d(1, 32, 3, padding=1)
        self.down1, self.down2, self.down3 = Residual(32, 32, t), Residual(32, 64, t), Residual(64, 64, t)
        self.half1, self.half2 = nn.Conv2d(32, 32, 3, 2, 1), nn.Conv2d(64, 64, 3, 2, 1)
        self.middle, self.attention = Residual(64, 64, t), SelfAttention(64)
        self.up3, self.up2, self.up1 = Residual(128, 64, t), Residual(128, 64, t), Residual(96, 32, t)
        self.double2 = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(64, 64, 3, padding=1))
        self.double1 = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(64, 64, 3, padding=1))
        self.final = nn.Sequential(nn.GroupNorm(8, 32), nn.SiLU(), nn.Conv2d(32, 1, 3, padding=1))

    def embed(self, time: torch.Tensor) -> torch.Tensor:
        frequencies = torch.exp(torch.arange(64) * -(math.log(10000) / 63))
        angles = time[:, None].float() * frequencies[None, :]
        return self.time(torch.cat([angles.sin(), angles.cos()], dim=-1))

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        code = self.embed(time)
        one = self.down1(self.init(x), code)
        two = self.down2(self.half1(one), code)
        three = self.down3(self.half2(two), code)
        x = self.attention(self.middle(three, code))
        x = self.up3(torch.cat([x, three], 1), code)
        x = self.up2(torch.cat([self.double2(x), two], 1), code)
        x = self.up1(torch.cat([self.double1(x), one], 1), code)
        return self.final(x)


def ddpm() -> tuple[list[nn.Module], Step]:
    model = TextbookUNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    betas = torch.linspace(1e-4, 0.02, 1000)
    alphas_cumprod = torch.cumprod(1 - betas, dim=0)

    def step(images: torch.Tensor) -> list[float]:
        optimizer.zero_grad()
        time = torch.randint(0, 1000, (len(images),))
        noise = torch.randn_like(images)
        signal = alphas_cumprod[time].sqrt()[:, None, None, None]
        spread = (1 - alphas_cumprod[time]).sqrt()[:, None, None, None]
        loss = F.mse_loss(model(signal * images + spread * noise, time), noise)
        loss.backward()
        optimizer.step()
        return [loss.item()]

    return [model], step


TO_SIGNED = transforms.Normalize([0.5], [0.5])
LOOPS: dict[str, tuple[Callable[[], tuple[list[nn.Module], Step]], int, list[object]]] = {
    "vae": (vae, 128, []),
    "library-vae": (lambda: vae(512, 16), 64, []),
    "gan": (gan, 64, [TO_SIGNED]),
    "wgan-gp": (wgan_gp, 64, [TO_SIGNED]),
    "dcgan": (dcgan, 64, [TO_SIGNED]),
    "ddpm": (ddpm, 64, [TO_SIGNED]),
}
"""Name → (loop, batch size, transforms after ToTensor)."""
IN_MEMORY = ("library-vae",)
"""Loops whose images lie in memory as a tensor, as those of libraries with a trainer of their own do."""


def train(name: str, root: str, steps: int = 0) -> list[nn.Module]:
    """Train so many steps, without end where that is 0; print the number of parameters, then now and then a time
    (monotonic) and the images so far. What was trained.
    """
    build, batch_size, after = LOOPS[name]
    torch.manual_seed(0)
    networks, step = build()
    print(sum(p.numel() for network in networks for p in network.parameters()), flush=True)
    before = [transforms.Resize(32)] if name == "dcgan" else []
    data = datasets.MNIST(root, train=True, transform=transforms.Compose([*before, transforms.ToTensor(), *after]))
    if name in IN_MEMORY:
        data = TensorDataset(data.data[:, None] / 255, data.targets)
    loader = DataLoader(data, batch_size=batch_size, shuffle=True)
    losses: list[float] = []
    images, told = 0, 0.0
    while True:
        for batch, _ in loader:
            losses.append(step(batch)[0])
            images += len(batch)
            now = time.monotonic()
            if now - told >= TELL:
                told = now
                print(f"{now:.6f} {images}", flush=True)
            if len(losses) == steps:
                return networks


def main() -> int:
    """Train one loop."""
    parser = argparse.ArgumentParser(prog="python -m tests.textbook", description=__doc__)
    parser.add_argument("name", choices=LOOPS)
    parser.add_argument("--root", required=True, help="folder that holds MNIST/raw")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=0, help="how many; without it, until somebody ends it")
    parser.add_argument("--out", type=Path, help="a folder for the weights")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    networks = train(given.name, given.root, given.steps)
    if given.out is not None:
        given.out.mkdir(exist_ok=True)
        torch.save([network.state_dict() for network in networks], given.out / f"{given.name}.pt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
