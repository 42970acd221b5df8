"""Plots of points in the plane: scatter, density and ways, and the previews that models of points get."""

import numpy as np
import pytest
import torch

from tests import small_runs
from tui_gen.train.shown.plots import BLUR, DARK, GREY, ORANGE, RAMP, density, heat, paths, scatter
from tui_gen.train.shown.previews import Previewer


def colours(picture):
    return {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}


def test_a_scatter_has_up_and_right_where_they_belong_and_generated_points_on_top():
    picture = scatter(np.array([[2.9, 2.9], [np.nan, 0], [99, 0]]), np.array([[-2.9, -2.9], [2.9, 2.9]]), 100)
    assert colours(picture) == {DARK, GREY, ORANGE}
    assert tuple(picture[2, 97]) == ORANGE and tuple(picture[97, 2]) == GREY


def test_the_density_is_a_gaussian_kernel_estimate():
    points = np.random.default_rng(0).normal(size=(300, 2)) * 0.5
    side, span = 60, 3.0
    found = density(points, side, span)
    assert found.mean() == pytest.approx(1, rel=1e-3)
    at = np.linspace(-span, span, side)
    width = BLUR * side * (at[1] - at[0])
    for row, column in ((30, 30), (20, 34), (41, 25)):
        x, y = at[column], at[side - 1 - row]
        snapped = at[np.round((points + span) / (2 * span) * (side - 1)).astype(int)]
        expected = np.exp(-0.5 * np.square((snapped - [x, y]) / width).sum(1)).sum() / 300
        expected *= side**2 / (2 * np.pi * (BLUR * side) ** 2)
        assert found[row, column] == pytest.approx(expected, rel=0.02)
    assert density(np.empty((0, 2)), side).sum() == 0


def test_heat_reaches_from_dark_to_bright_and_no_further():
    drawn = heat(np.array([[0.0, 2.0], [9.0, np.finfo(float).max]]), 2.0)
    assert tuple(drawn[0, 0]) == tuple(RAMP[0]) and tuple(drawn[0, 1]) == tuple(RAMP[-1])
    assert colours(drawn) == {tuple(RAMP[0]), tuple(RAMP[-1])}


def test_ways_are_unbroken_lines_from_noise_to_sample():
    frames = np.linspace([[-2.0, 1.0]], [[2.0, 1.0]], 3)
    drawn = paths(frames, np.array([[0.0, -2.0]]), 61)
    row = np.flatnonzero((drawn != DARK).any(2).any(1))
    assert len(row) == 2  # the way and, below it, the real point
    line = drawn[row[0]]
    lit = np.flatnonzero((line != DARK).any(1))
    assert np.array_equal(lit, np.arange(lit[0], lit[-1] + 1)) and len(lit) == 41
    brightness = line[lit].astype(int).sum(1)
    assert (np.diff(brightness) >= 0).all() and tuple(line[lit[-1]]) == tuple(RAMP[-1])
    assert GREY in colours(drawn)


@pytest.mark.parametrize(
    ("family", "values", "kinds"),
    [
        ("vae", {"hidden": [8], "latent": 2, "likelihood": "gaussian"}, ["samples", "density", "reconstructions"]),
        ("gan", {"network": "mlp", "generator_hidden": [8], "discriminator_hidden": [8]}, ["samples", "density"]),
        ("ddpm", {"hidden": [8], "timesteps": 9}, ["samples", "density", "trajectory", "paths"]),
        ("flow-matching", {"hidden": [8]}, ["samples", "density", "trajectory", "paths"]),
    ],
)
def test_models_of_points_show_scatter_density_and_where_they_have_any_their_ways(family, values, kinds):
    given = {f"model__{key}": value for key, value in values.items()}
    trainer = small_runs.trainer(family, dataset={"name": "moons"}, **given)
    previewer = Previewer(trainer.model, trainer.data, torch.device("cpu"), 9, 0)
    found = {one.kind: one for one in previewer.draw(trainer.eval_model)}
    assert list(found)[: len(kinds)] == kinds
    real, generated = (found["density"].pixels[:, part] for part in (slice(0, 160), slice(161, None)))
    assert (found["density"].columns, found["density"].rows) == (2, 1) and real.shape == generated.shape
    assert colours(real) >= {tuple(RAMP[0].astype(int)), tuple(RAMP[-1].astype(int))}
    assert not np.array_equal(real, generated)
    assert [one.kind for one in previewer.draw(trainer.eval_model, "density")] == ["density"]
