"""Ways to look at codes: their principal components, a scatter plot, a histogram, neighbours by hash."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tui_gen.draw.spark import bar
from tui_gen.model import Picture, Tiles
from tui_gen.pictures import colour

PALETTE = (
    (228, 26, 28), (55, 126, 184), (77, 175, 74), (180, 100, 200), (255, 127, 0),
    (240, 240, 90), (166, 86, 40), (247, 129, 191), (170, 170, 170), (80, 220, 220),
)  # fmt: skip


def principal(points: Tensor, count: int) -> Tensor:
    """(N, D) → (N, count), the coordinates along the directions of greatest variance; 0 beyond D or N.

    Each direction's sign is that which makes its largest entry positive, so that previews do not flip.
    """
    points = points.nan_to_num(0.0, 0.0, 0.0).clamp(-1e9, 1e9)  # a run that diverged still has its previews
    centred = points.double().cpu() - points.double().cpu().mean(0)
    left, lengths, directions = torch.linalg.svd(centred, full_matrices=False)  # scikit-learn takes a second to import
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True)).squeeze(1)
    coordinates = (left * lengths * torch.where(largest < 0, -1.0, 1.0))[:, :count]
    return F.pad(coordinates.to(points), (0, count - coordinates.shape[1]))


def flattened(codes: Tensor, projection: str) -> Tensor:
    """Codes (N, D) in two dimensions, (N, 2), by `pca` or `t-sne` (at most 500 of them)."""
    if projection == "t-sne" and len(codes) > 5 and codes.abs().max() < 1e9:
        from sklearn.manifold import TSNE

        codes = codes[:500]
        layout = TSNE(perplexity=min(30.0, (len(codes) - 1) / 3), init="pca", random_state=0)
        return torch.from_numpy(layout.fit_transform(codes.cpu().numpy()))
    return principal(codes, 2)


def pca_error(x: Tensor, count: int) -> float:
    """Mean squared error per number of (N, D) examples rebuilt from their own `count` principal components."""
    from sklearn.decomposition import PCA

    variances = PCA(svd_solver="covariance_eigh").fit(x.double().cpu().numpy()).explained_variance_
    return float(variances[count:].sum()) * (len(x) - 1) / x.numel()


def neighbours(bits: Tensor, count: int) -> Tensor:
    """For each of the first `count` hashes (N, B): the indices (count, count) of itself and its nearest, by Hamming."""
    distance = torch.cdist(bits[:count], bits, p=1)
    rows = torch.arange(count, device=bits.device)
    distance[rows, rows] = -1  # itself first, before others with the same hash
    return distance.argsort(dim=1, stable=True)[:, :count]


def scatter(points: Tensor, labels: Tensor | None, side: int = 160) -> Tensor:
    """(N, 2) as a picture (1, 3, side, side) in [0, 1], a colour per label; the axes hold all but the outliers.

    Models know nothing of `train/`, whose scatter plots of points in the plane have axes that are given, and leave out
    what is beyond them; codes may lie anywhere, and an outlier is drawn at the edge.
    """
    points = points.float().cpu()
    colours = torch.tensor(PALETTE) / 255
    which = torch.zeros(len(points)).long() if labels is None else labels[: len(points)].cpu()
    ink = colours[which % len(colours)]
    span = reach(points)
    places = ((points / span + 1) / 2 * (side - 2)).round().long().clamp(0, side - 2)
    picture = torch.full((3, side, side), 16 / 255)
    for down in (0, 1):
        for right in (0, 1):
            picture[:, side - 2 - places[:, 1] + down, places[:, 0] + right] = ink.T
    return picture[None]


def reach(points: Tensor) -> Tensor:
    """How far the axes of a scatter plot of (N, 2) reach on all sides; a scalar."""
    return points.abs().quantile(0.99).clamp(min=1e-6) * 1.1


def plot(
    kind: str,
    points: Tensor,
    labels: Tensor | None,
    classes: Sequence[str],
    axes: tuple[str, str] = ("1st component", "2nd component"),
) -> Picture:
    """(N, 2) as a panel: a scatter plot with what its colours and axes are."""
    span = reach(points.float().cpu()).item()
    what = Tiles(
        block=(1, 1),
        legend=legend(classes) if labels is not None else (),
        axes=tuple((name, -span, span) for name in axes),
    )
    return Picture(kind, scatter(points, labels), 1, what)


def legend(classes: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(colour, classes) for each colour of `scatter` that so many classes have; of more than ten some share one."""
    entries = []
    for place, rgb in enumerate(PALETTE[: len(classes)]):
        entries.append((colour(rgb), ", ".join(classes[place :: len(PALETTE)])))
    return tuple(entries)


def histogram(values: Tensor, bins: int = 10, width: int = 40) -> list[str]:
    """A line for each bin over the values' range, or [0, 1] where that holds them: bounds, a bar, the count."""
    values = values.float().cpu().nan_to_num(0.0, 0.0, 0.0).clamp(-1e9, 1e9)
    low, high = values.min().item(), values.max().item()
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    high = high if high > low else low + 1.0
    counts = torch.histc(values, bins, low, high).long().tolist()
    step = (high - low) / bins
    bars = [bar(count / max(counts), width) for count in counts]
    edges = [f"{low + step * place:7.3g} to {low + step * (place + 1):<7.3g}" for place in range(bins)]
    return [f"{edge} {blocks} {count}" for edge, blocks, count in zip(edges, bars, counts)]
