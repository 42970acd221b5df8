"""Distances between two sets of feature vectors, on the CPU in float64. Sets are (N, D) tensors."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

ROWS = 256
"""Rows of a table of distances that are made at once."""


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and unbiased covariance (D, D)."""
    x = x.double()
    mean = x.mean(0)
    deviations = x - mean
    return mean, deviations.T @ deviations / max(1, len(x) - 1)


def frechet(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> float:
    """Squared Fréchet (2-Wasserstein) distance of two Gaussians, each as `moments` gives it.

    |μa − μb|² + tr(A + B − 2 (A B)^½) (Dowson and Landau 1982; as FID, Heusel et al. 2017). The trace of the root is
    that of (A^½ B A^½)^½, which is symmetric and stays real where A B is close to singular.
    """
    (mean_a, cov_a), (mean_b, cov_b) = a, b
    root = _root(cov_a)
    cross = torch.linalg.eigvalsh(_symmetric(root @ cov_b @ root)).clamp(min=0).sqrt().sum()
    apart = (mean_a - mean_b).square().sum()
    return max(0.0, float(apart + cov_a.trace() + cov_b.trace() - 2 * cross))


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(_symmetric(matrix))
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.T) / 2


Kernel = Callable[[Tensor, Tensor], Tensor]
"""The similarities of two sets: (N, D), (M, D) → (N, M)."""


def polynomial(x: Tensor, y: Tensor) -> Tensor:
    """The kernel of KID: (x·y / D + 1)³, (N, M)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def gaussians(x: Tensor, y: Tensor, width: float) -> Tensor:
    """A mean of Gaussian kernels of a quarter to four times a width, so that no one scale decides; (N, M)."""
    squares = squared_distances(x, y)
    scales = (0.25, 0.5, 1.0, 2.0, 4.0)
    total = torch.zeros_like(squares)
    for scale in scales:
        total = total + torch.exp(squares / (-2 * (width * scale) ** 2))
    return total / len(scales)


def unbiased(within_x: Tensor, within_y: Tensor, across: Tensor) -> float:
    """Squared maximum mean discrepancy from three tables of a kernel's values (Gretton et al. 2012, eq. 3).

    Unbiased, so it may be below 0: pairs of a point with itself are left out.
    """
    n, m = len(within_x), len(within_y)
    a = (within_x.sum() - within_x.trace()) / (n * (n - 1))
    b = (within_y.sum() - within_y.trace()) / (m * (m - 1))
    return float(a + b - 2 * across.mean())


def discrepancy(x: Tensor, y: Tensor, kernel: Kernel, blocks: int = 10, most: int = 1000) -> tuple[float, float]:
    """Unbiased squared MMD and its standard error, from disjoint blocks of both sets (at most `most` of each).

    The sets should be in random order. Fewer than two examples a block: NaN.
    """
    x, y = x.double(), y.double()
    blocks = max(1, min(blocks, len(x) // 8, len(y) // 8))
    each_x, each_y = min(most, len(x) // blocks), min(most, len(y) // blocks)
    if each_x < 2 or each_y < 2:
        return math.nan, math.nan
    values = []
    for block in range(blocks):
        a, b = x[block * each_x : (block + 1) * each_x], y[block * each_y : (block + 1) * each_y]
        values.append(unbiased(kernel(a, a), kernel(b, b), kernel(a, b)))
    estimates = torch.tensor(values, dtype=torch.float64)
    error = float(estimates.std() / math.sqrt(blocks)) if blocks > 1 else math.nan
    return float(estimates.mean()), error


def sliced_wasserstein(x: Tensor, y: Tensor, directions: int = 128, seed: int = 0) -> float:
    """Root of the mean squared 2-Wasserstein distance of projections on random lines (Bonneel et al. 2015).

    Sets of different sizes are compared at the quantiles of the smaller one. In the data's own units and to the square,
    which is another figure than what models tell at every validation (`models/looks/sample_distance.py`).
    """
    generator = torch.Generator().manual_seed(seed)
    lines = torch.randn(directions, x.shape[1], generator=generator, dtype=torch.float64)
    lines /= lines.norm(dim=1, keepdim=True)
    count = min(len(x), len(y))
    a, b = (_quantiles((lines @ side.double().T).sort(1).values, count) for side in (x, y))
    return float((a - b).square().mean().sqrt())


def _quantiles(rows: Tensor, count: int) -> Tensor:
    """`count` evenly spaced quantiles of each row of sorted values (L, N), count ≤ N."""
    many = rows.shape[1]
    if many == count:
        return rows
    places = ((torch.arange(count, dtype=torch.float64) + 0.5) * many / count - 0.5).clamp(0, many - 1)
    below = places.long()
    return torch.lerp(rows[:, below], rows[:, (below + 1).clamp(max=many - 1)], places - below)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """(N, M) squared Euclidean distances, float64."""
    x, y = x.double(), y.double()
    squares = x.square().sum(1)[:, None] + y.square().sum(1)[None] - 2 * (x @ y.T)
    return squares.clamp_(min=0)


def nearest(x: Tensor, others: Tensor) -> Tensor:
    """(N,) distance of each x to the nearest of `others`."""
    return torch.cat([squared_distances(part, others).min(1).values for part in x.split(ROWS)]).sqrt()


def radii(x: Tensor, k: int) -> Tensor:
    """(N,) distance of each x to its k-th nearest other; k is lowered to N − 1 where there are no more."""
    k = min(k, len(x) - 1)
    distances = []
    for start in range(0, len(x), ROWS):
        squares = squared_distances(x[start : start + ROWS], x)
        own = torch.arange(len(squares))
        squares[own, start + own] = -1.0  # itself comes first, exactly
        distances.append(squares.kthvalue(k + 1, dim=1).values)
    return torch.cat(distances).sqrt()


def neighbourhoods(real: Tensor, samples: Tensor, k: int = 3, wide: int = 5) -> dict[str, float]:
    """Precision and recall (Kynkäänniemi et al. 2019, k), density and coverage (Naeem et al. 2020, `wide`).

    A neighbourhood is the ball around an example that reaches to its k-th nearest in its own set. For two sets of the
    same distribution and size, density is 1 and coverage about 1 − 2^−wide.
    """
    slack = 1 + 1e-9  # a point lies in its own ball in spite of rounding
    near_real, wide_real, near_samples = (radii(*case) * slack for case in ((real, k), (real, wide), (samples, k)))
    inside = within = 0.0
    nearest_sample = torch.full((len(real),), math.inf, dtype=torch.float64)
    recall_mask = torch.zeros(len(real), dtype=torch.bool)
    for start in range(0, len(samples), ROWS):
        part = samples[start : start + ROWS]
        apart = squared_distances(part, real).sqrt()
        inside += float((apart <= near_real).any(1).sum())
        within += float((apart <= wide_real).sum())
        recall_mask |= (apart <= near_samples[start : start + len(part), None]).any(0)
        nearest_sample = torch.minimum(nearest_sample, apart.min(0).values)
    return {
        "precision": inside / len(samples),
        "recall": float(recall_mask.double().mean()),
        "density": within / (min(wide, len(real) - 1) * len(samples)),
        "coverage": float((nearest_sample <= wide_real).double().mean()),
    }


def nearer(a: Tensor, b: Tensor) -> float:
    """The chance that a value of a (N,) is below one of b (M,), ties counting half (Mann and Whitney 1947).

    With distances to the training data of samples and of held-out data: 0.5 where they are alike, towards 1 where
    samples are copies (Meehan, Chaudhuri and Dasgupta, A non-parametric test to detect data-copying, AISTATS 2020).
    """
    reference = b.double().sort().values
    below = torch.searchsorted(reference, a.double(), side="left")
    up_to = torch.searchsorted(reference, a.double(), side="right")
    return float(1 - (below + up_to).double().mean() / (2 * len(b)))


def spread(x: Tensor) -> float:
    """Mean distance between two different examples."""
    total = sum(float(squared_distances(part, x).sqrt().sum()) for part in x.split(ROWS))
    return total / (len(x) * (len(x) - 1)) if len(x) > 1 else math.nan


def class_divergence(p: Tensor, q: Tensor) -> float:
    """KL(p ‖ q) in nats between class shares p and q (C,); 0 where they are the same."""
    some = p > 0
    return max(0.0, float((p[some] * (p[some] / q[some].clamp(min=1e-6)).log()).sum()))
