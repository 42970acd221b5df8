"""What a discriminator says of real and of generated examples: how often it tells them apart."""

from __future__ import annotations

from torch import Tensor


def ranked(above: Tensor, below: Tensor, most: int = 512) -> Tensor:
    """How often a score of the first (N,) is above one of the second (M,), of pairs of any two; ties count half.

    At most so many of each are looked at. It is the area under the ROC curve.
    """
    above, below = above[:most, None], below[None, :most]
    return (above > below).float().mean() + 0.5 * (above == below).float().mean()
