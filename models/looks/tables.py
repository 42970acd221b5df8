"""Panels of text with bars: what codes are like, what each dimension carries, how often each code vector is used."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tui_gen.draw.spark import bar
from tui_gen.models.looks.code_plots import histogram, pca_error

LINES, WIDTH = 20, 40
"""Rows of a table, and cells of its longest bar."""


def of_divergences(each: Tensor, active: Tensor) -> str:
    """The KL of each dimension in nats (D,), greatest first, under how many are active: (D,) bool."""
    each = each.nan_to_num(0.0, 0.0, 0.0).clamp(0, 1e9)
    total, count = each.sum().item(), len(each)
    lines = [f"{int(active.sum())} of {count} dimensions active", f"KL {total:.2f} nats, by dimension:", ""]
    order = each.argsort(descending=True, stable=True).tolist()
    values = each.tolist()
    most = max(values[order[0]], 1e-9)
    lines += [f"{at + 1:5d} {bar(values[at] / most, WIDTH):{WIDTH}} {values[at]:.3f}" for at in order[:LINES]]
    if count > LINES:
        rest = sum(values[place] for place in order[LINES:])
        lines.append(f"  and {count - LINES} more with {rest:.3f} nats together")
    return "\n".join(lines) + "\n"


def of_usage(usage: Tensor, per_example: int) -> str:
    """How often each code is used (K,), the commonest first; an example is written with `per_example` of them."""
    size, total = len(usage), int(usage.sum())
    shares = usage / total
    perplexity = torch.xlogy(shares, shares).sum().neg().exp().item()
    order = usage.argsort(descending=True, stable=True)[:LINES].tolist()
    counts = [int(usage[code]) for code in order]
    lines = [
        f"{int((usage > 0).sum())} of {size} codes in use, perplexity {perplexity:.1f}",
        f"{per_example} codes an example: {per_example * math.log2(size):.0f} bits at most",
        "",
    ]
    lines += [f"{code:5d} {bar(count / counts[0], WIDTH):{WIDTH}} {count}" for code, count in zip(order, counts)]
    if size > LINES:
        lines.append(f"  and {size - LINES} more, used {total - sum(counts)} times together")
    return "\n".join(lines) + "\n"


def of_codes(x: Tensor, codes: Tensor, scores: Tensor, *, hashes: bool, linear: bool) -> str:
    """Compression, errors, and a histogram of the units' mean activations: of images (N, *shape), their codes (N, D)
    and their mean squared errors (N,). `hashes` are counted; a `linear` autoencoder is held against PCA.
    """
    features, latent = x[0].numel(), codes.shape[1]
    active = int((codes.var(0, unbiased=False) > 1e-4).sum())
    middle, worst = scores.median().item(), scores.max().item()
    lines = [
        f"{features} numbers in an image, {latent} in its code: {features / latent:.3g} to 1",
        f"{active} of {latent} code units tell images apart",
        f"squared error of a pixel: median image {middle:.4f}, worst {worst:.4f}",
    ]
    if hashes:
        distinct = len(torch.unique(codes.round(), dim=0))
        lines.append(f"{distinct} different hashes of {latent} bits among {len(codes)} images")
    if linear and features <= 4096 and len(x) > latent:
        lines.append(f"PCA of these images to {latent} numbers: {pca_error(x.flatten(1), latent):.4f}")
    return "\n".join([*lines, "", "code units by mean activation", *histogram(codes.mean(0))]) + "\n"
