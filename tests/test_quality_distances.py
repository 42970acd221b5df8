"""The formulas of quality against closed forms, other implementations, and cases whose answer is known."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.neighbors import NearestNeighbors

from tui_gen.train.quality import distances


def normal(count, width=8, seed=0, mean=0.0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return mean + scale * torch.randn(count, width, generator=generator, dtype=torch.float64)


# -- the Fréchet distance


def test_frechet_of_known_gaussians_is_its_closed_form():
    """For covariances that commute: |μa − μb|² + Σ (σa − σb)²."""
    a, b = torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([2.0, 2.5, 1.0]).double()
    shift = torch.tensor([1.0, -2.0, 0.5]).double()
    turn = torch.linalg.qr(normal(3, 3))[0]
    first = torch.zeros(3).double(), turn @ torch.diag(a**2) @ turn.T
    second = turn @ shift, turn @ torch.diag(b**2) @ turn.T
    expected = float(shift.square().sum() + (a - b).square().sum())
    assert distances.frechet(first, second) == pytest.approx(expected, rel=1e-10)


def test_frechet_agrees_with_the_matrix_root_of_scipy():
    x, y = normal(200, 6) @ normal(6, 6, 1), normal(150, 6, 2) @ normal(6, 6, 3) + 0.3
    (mean_x, cov_x), (mean_y, cov_y) = distances.moments(x), distances.moments(y)
    assert np.allclose(cov_x.numpy(), np.cov(x.numpy().T)) and np.allclose(mean_x.numpy(), x.numpy().mean(0))
    root = sqrtm(cov_x.numpy() @ cov_y.numpy()).real
    expected = np.square(mean_x.numpy() - mean_y.numpy()).sum() + np.trace(cov_x.numpy() + cov_y.numpy() - 2 * root)
    assert distances.frechet((mean_x, cov_x), (mean_y, cov_y)) == pytest.approx(expected, rel=1e-8)


def test_frechet_takes_covariances_without_full_rank():
    flat = normal(50, 8)
    flat[:, 4:] = 0
    assert distances.frechet(distances.moments(flat), distances.moments(flat)) == pytest.approx(0, abs=1e-9)


def test_frechet_falls_with_the_number_of_samples_of_the_same_distribution():
    real = distances.moments(normal(20_000, 16, 1))
    few, many = (distances.frechet(distances.moments(normal(n, 16, 2)), real) for n in (200, 4000))
    assert few > 5 * many > 0


# -- kernel distances


def test_unbiased_leaves_out_pairs_of_a_point_with_itself():
    """By the sums of the definition, with a kernel that is a plain product."""
    x, y = normal(5, 2), normal(4, 2, 1)
    k = lambda a, b: a @ b.T  # noqa: E731 - one kernel, three tables
    within = sum(float(x[i] @ x[j]) for i in range(5) for j in range(5) if i != j) / 20
    other = sum(float(y[i] @ y[j]) for i in range(4) for j in range(4) if i != j) / 12
    across = sum(float(a @ b) for a in x for b in y) / 20
    assert distances.unbiased(k(x, x), k(y, y), k(x, y)) == pytest.approx(within + other - 2 * across)


def test_kid_of_one_distribution_is_0_on_average():
    values = []
    for seed in range(40):
        value, error = distances.discrepancy(
            normal(200, 8, seed), normal(200, 8, 1000 + seed), distances.polynomial
        )
        values.append(value)
        assert error > 0
    values = np.array(values)
    assert abs(values.mean()) < 3 * values.std() / math.sqrt(len(values))
    assert (values < 0).any() and (values > 0).any()


def test_kids_standard_error_is_about_the_scatter_of_its_values():
    found = [
        distances.discrepancy(normal(400, 4, s), normal(400, 4, 99 + s, mean=0.5), distances.polynomial)
        for s in range(30)
    ]
    scatter, told = np.std([value for value, _ in found]), np.mean([error for _, error in found])
    assert 0.5 < told / scatter < 2
    assert np.mean([value for value, _ in found]) > 3 * told


def test_mmd_with_gaussians_tells_a_shift_from_none():
    kernel = lambda x, y: distances.gaussians(x, y, 1.0)  # noqa: E731
    same, error = distances.discrepancy(normal(1000, 2), normal(1000, 2, 1), kernel)
    moved, _ = distances.discrepancy(normal(1000, 2), normal(1000, 2, 1, mean=0.5), kernel)
    assert abs(same) < 4 * error and moved > 10 * error
    assert torch.allclose(kernel(normal(3), normal(3)).diagonal(), torch.ones(3).double())


def test_too_few_examples_have_no_kernel_distance():
    assert all(math.isnan(one) for one in distances.discrepancy(normal(1), normal(50), distances.polynomial))


def test_sliced_wasserstein_of_a_shift_and_of_a_scale():
    """Projections of a shift s have mean square |s|²/D; of a normal scaled by c, (c − 1)²."""
    x = normal(1500, 2)
    assert distances.sliced_wasserstein(x, x) == 0
    shift = torch.tensor([3.0, 4.0]).double()
    assert distances.sliced_wasserstein(x, x + shift, 500) == pytest.approx(5 / math.sqrt(2), rel=0.06)
    assert distances.sliced_wasserstein(x, 3 * normal(1500, 2, 7)) == pytest.approx(2, rel=0.08)
    assert distances.sliced_wasserstein(x, normal(500, 2, 9)) < 0.2


# -- neighbourhoods


def test_distances_are_those_of_scikit_learn():
    x, y = normal(300), normal(500, 8, 1)
    apart, _ = NearestNeighbors(n_neighbors=4).fit(x.numpy()).kneighbors()
    assert np.allclose(distances.radii(x, 4).numpy(), apart[:, 3])
    apart, _ = NearestNeighbors(n_neighbors=1).fit(y.numpy()).kneighbors(x.numpy())
    assert np.allclose(distances.nearest(x, y).numpy(), apart[:, 0])


def test_identical_sets_are_perfect():
    x = normal(400)
    found = distances.neighbourhoods(x, x.clone())
    assert found["precision"] == found["recall"] == found["coverage"] == 1.0
    assert found["density"] >= 1.0


def test_one_distribution_twice_is_nearly_perfect_and_two_are_not():
    found = distances.neighbourhoods(normal(600, 4), normal(600, 4, 1))
    assert found["precision"] > 0.85 and found["recall"] > 0.85
    assert found["density"] == pytest.approx(1, abs=0.15)
    assert found["coverage"] == pytest.approx(1 - 2**-5, abs=0.04)
    apart = distances.neighbourhoods(normal(200, 4), normal(200, 4, 1, mean=50.0))
    assert set(apart.values()) == {0.0}


def test_a_missing_mode_costs_recall_and_an_invented_one_precision():
    left, right = normal(300, 2, 0, -8.0), normal(300, 2, 1, 8.0)
    both, half = torch.cat([left, right]), normal(600, 2, 2, -8.0)
    missing = distances.neighbourhoods(both, half)
    assert missing["recall"] < 0.55 and missing["coverage"] < 0.55 and missing["precision"] > 0.9
    invented = distances.neighbourhoods(half, both)
    assert invented["precision"] < 0.55 and invented["recall"] > 0.9


def test_repeated_samples_cost_recall_and_coverage():
    real = normal(1000, 8)
    few = normal(50, 8, 1).repeat(20, 1)
    found = distances.neighbourhoods(real, few)
    assert found["coverage"] < 0.4 and found["recall"] == 0.0 and found["precision"] > 0.8


# -- memorisation, diversity, classes


def test_copies_of_training_data_are_told_from_fresh_samples():
    train, held = normal(2000), normal(500, 8, 1)
    to_held = distances.nearest(held, train)
    fresh = distances.nearer(distances.nearest(normal(500, 8, 2), train), to_held)
    copies = distances.nearer(distances.nearest(train[:500], train), to_held)
    half = distances.nearer(distances.nearest(torch.cat([train[:250], normal(250, 8, 3)]), train), to_held)
    assert fresh == pytest.approx(0.5, abs=0.06) and copies == 1.0 and half == pytest.approx(0.75, abs=0.06)
    assert distances.nearer(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0])) == 0.5


def test_spread_is_the_mean_distance_of_pairs():
    x = torch.tensor([[0.0], [3.0], [4.0]])
    assert distances.spread(x) == pytest.approx((3 + 4 + 1) / 3)
    assert distances.spread(torch.ones(300, 4)) == 0
    assert distances.spread(normal(2000, 1)) == pytest.approx(2 / math.sqrt(math.pi), rel=0.05)


def test_class_divergence_is_0_for_equal_shares_and_the_entropy_gap_for_a_missing_one():
    even = torch.full((4,), 0.25).double()
    assert distances.class_divergence(even, even) == 0
    missing = torch.tensor([1 / 3, 1 / 3, 1 / 3, 0.0]).double()
    assert distances.class_divergence(missing, even) == pytest.approx(math.log(4 / 3))
