"""Samples from a checkpoint: the same whichever way they are made faster, written as they come, and told of."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
import torch
from PIL import Image

from tests import small_runs
from tui_gen.models.nets import norm_silu
from tui_gen.train.data import denormalise
from tui_gen.train.engine.trainer import Trainer
from tui_gen.train.offline import drawing, restore, sample
from tui_gen.train.run import checkpoints
from tui_gen.train.run.checkpoints import Meta
from tui_gen.train.shown.png import png
from tui_gen.train.shown.previews import tiles


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["noise", "black", "ramp"])
def test_a_png_that_is_made_in_pieces_is_the_picture(channels, kind):
    shape = (23, 17, channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    if kind != "noise":
        pixels = np.broadcast_to(np.arange(23, dtype=np.uint8)[:, None, None] * (9 if kind == "ramp" else 0), shape)
    blocks = [pixels[:1], pixels[1:9], pixels[9:23]]
    pieces = list(png(17, 23, channels, blocks))
    assert (np.asarray(Image.open(io.BytesIO(b"".join(pieces)))).reshape(shape) == pixels).all()


def run_of(root, family, **overrides):
    """A run with a checkpoint after a few steps."""
    path = small_runs.make_run(root, family, **overrides)
    made: Trainer = small_runs.trainer(family, **overrides)
    for _ in range(3):
        made.train_step()
    checkpoints.save(path, made.snapshot(), Meta(3, 0.0, ""))
    return path


def plain(path, count, seed):
    """Samples (count, C, H, W) uint8 as a few lines would make them."""
    snapshot = restore.restore(path, None, "cpu")
    torch.manual_seed(seed)
    noise = torch.randn(count, *snapshot.model.noise_shape, generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(count) % 10 if snapshot.model.conditional else None
    with torch.no_grad():
        return denormalise(snapshot.model.sample(noise, labels), snapshot.model.value_range)


CASES = {
    "vae": ("vae", {}, 100),
    "conditional vae": ("vae", {"model__conditional": True}, 37),
    "gan": ("gan", {}, 70),
    "flow": ("flow-matching", {}, 70),
    "ddpm that draws": ("ddpm", {"model__sampler": "ddpm"}, 70),
}


@pytest.mark.parametrize("which", CASES)
def test_a_grid_has_the_samples_of_the_plain_way(tmp_path, which, monkeypatch):
    family, settings, count = CASES[which]
    path = run_of(tmp_path, family, **settings)
    monkeypatch.setattr(norm_silu, "WORTH_SAMPLING", 0)
    told = []
    data = b"".join(sample.sample(path, count, 7, None, None, "cpu", told.append))
    pixels = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    columns = 10 if "conditional" in which else round(count**0.5)
    expected = tiles(plain(path, count, 7), columns, "samples").pixels
    assert pixels.shape == expected.shape and abs(pixels - expected).max() <= 1 and pixels.std() > 5
    assert told == [count]


def test_many_are_written_some_rows_of_tiles_at_a_time(monkeypatch, tmp_path):
    images = torch.randint(256, (53, 1, 4, 4), dtype=torch.uint8)
    blocks = list(sample._rows(iter(images.split(9)), 53, 7))
    assert len(blocks) > 4 and (np.concatenate(blocks) == tiles(images, 7, "samples").pixels).all()


class Draws:
    """Stands for a model of ours with a convolution, whose samples depend on its own random numbers."""

    def __init__(self, draws):
        self.draws, self.sizes, self.modes = draws, [], []

    def modules(self):
        return [torch.nn.Conv2d(1, 1, 1)]

    def sample(self, noise, labels):
        self.sizes.append(len(noise))
        self.modes.append(torch.is_inference_mode_enabled())
        return noise + torch.randn_like(noise) if self.draws else 2 * noise


Draws.__module__ = "tui_gen.models.draws"


class Theirs(Draws):
    """Somebody else's."""


SIZES = [(Draws, False, [32, 32, 6]), (Draws, True, [32, 70]), (Theirs, True, [70])]


@pytest.mark.parametrize("kind,draws,sizes", SIZES)
def test_what_draws_itself_draws_for_all_at_once(kind, draws, sizes):
    model, noise = kind(draws), torch.randn(70, 1, 2, 2)
    sampling = drawing.Sampling(model, torch.device("cpu"))
    torch.manual_seed(3)
    out = sampling.of(noise, None)
    torch.manual_seed(3)
    assert torch.equal(out, noise + torch.randn_like(noise) if draws else 2 * noise)
    assert model.sizes == sizes and set(model.modes) == {kind is Draws}
    sampling.of(noise, None)
    assert model.sizes[len(sizes) :] == ([70] if draws else sizes)


@pytest.mark.parametrize(
    ("first", "name", "told", "written"),
    [
        (b"once upon", "a.png", "", "a.txt"),
        (b"once upon", "a", "", "a"),
        (sample.SIGNATURE, "a.PNG", "", "a.PNG"),
        (sample.SIGNATURE, "a.txt", "are a picture", None),
    ],
)
def test_samples_are_written_as_what_their_name_says(monkeypatch, capsys, tmp_path, first, name, told, written):
    monkeypatch.setattr(sample, "sample", lambda *_: iter([first, b"more"]))
    monkeypatch.setattr(sample.sys, "argv", ["sample", "run", "-o", str(tmp_path / name)])
    assert sample.main() == int(bool(told))
    assert told in capsys.readouterr().err and [path.name for path in tmp_path.iterdir()] == [written][: not told]


def test_progress_is_one_line_that_is_empty_again_at_the_end():
    read, write = os.pipe()
    tell = sample.progress(write, 600)
    tell(256)
    tell(600)
    os.close(write)
    with open(read, "rb") as pipe:
        first, middle, last = pipe.read().decode().split("\r")[1:]
    tell(256)  # whoever read it is gone
    assert first.rstrip() == "sampling: 256 of 600" and not middle.strip() and len(middle) >= 20 and last == ""
