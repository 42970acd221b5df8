"""What a discriminator says of real and of generated examples: how often it tells them apart."""

from __future__ import annotations

import torch
from torch import Tensor

from tui_gen.draw.spark import bar

PANEL_EXAMPLES = 256
"""Examples of each kind whose scores a panel shows: a preview is to be cheap."""
BINS, WIDTH = 16, 24
"""Rows of both histograms, and cells of their longest bar."""


def ranked(above: Tensor, below: Tensor, most: int = 512) -> Tensor:
    """How often a score of the first (N,) is above one of the second (M,), of pairs of any two; ties count half.

    At most so many of each are looked at. It is the area under the ROC curve.
    """
    above, below = above[:most, None], below[None, :most]
    return (above > below).float().mean() + 0.5 * (above == below).float().mean()


def histograms(real: Tensor, generated: Tensor) -> str:
    """Scores of real examples (N,) and of generated ones (M,) as two histograms side by side, the highest score above,
    under how often a real example has the higher one."""
    sides = [scores.float().nan_to_num(0.0, 1e9, -1e9).clamp(-1e9, 1e9).cpu() for scores in (real, generated)]
    low, high = (float(end(torch.cat(sides))) for end in (torch.min, torch.max))
    high = max(high, low + 1e-6)
    shares = [torch.histc(scores, BINS, low, high) / len(scores) for scores in sides]
    longest = max(float(share.max()) for share in shares)
    bars = [[bar(float(share) / longest, WIDTH) for share in side] for side in shares]
    lines = [
        f"D scores a real example higher than a generated one in {float(ranked(sides[0], sides[1])):.0%} of pairs",
        "",
        f"{'score':>9}  {'real':{WIDTH}}  generated",
    ]
    for place in reversed(range(BINS)):
        middle = low + (place + 0.5) * (high - low) / BINS
        lines.append(f"{middle:9.3g}  {bars[0][place]:{WIDTH}}  {bars[1][place]}".rstrip())
    return "\n".join(lines) + "\n"
