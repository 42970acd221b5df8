"""Samples of a restored model, a part at a time: the same ones for the same seed, whatever they are wanted for."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tui_gen.model import Model
from tui_gen.train.offline.restore import Restored

PART = 256
"""Samples that are made at a time."""


class SampleError(Exception):
    """Why there are no samples, in words for people."""


def drawn(snapshot: Restored, count: int, seed: int, label: str | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    """`count` samples (n, *data.shape) with their labels (n,), or None, in parts of at most PART. Raises SampleError.

    Without a `label`, those of a conditional model are of all classes in turn.
    """
    model = snapshot.model
    if not hasattr(model, "sample"):
        raise SampleError(f"{model.name} makes no samples")
    fixed = _label(model, snapshot.spec.classes, label)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    done = 0
    while done < count:
        # What is drawn for a last part of a few numbers depends on what is drawn with it.
        together = count - done if count - done < 2 * PART else PART
        noises = torch.randn(together, *model.noise_shape, generator=generator).split(PART)
        for noise in noises:
            labels = None
            if model.conditional:
                place = torch.arange(done, done + len(noise))
                labels = (place % len(snapshot.spec.classes) if fixed is None else torch.full_like(place, fixed)).to(
                    snapshot.device
                )
            with torch.no_grad():
                yield model.sample(noise.to(snapshot.device), labels), labels
            done += len(noise)


def _label(model: Model, classes: tuple[str, ...], label: str | None) -> int | None:
    if label is None:
        return None
    if not model.conditional:
        raise SampleError("this model was trained without labels; leave --label out")
    if label not in classes:
        raise SampleError(f"no class {label!r}; it knows {', '.join(classes)}")
    return classes.index(label)
