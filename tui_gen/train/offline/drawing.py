"""Samples of a restored model, a part at a time: the same ones for the same seed, whatever they are wanted for."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tui_gen.model import Model
from tui_gen.train.offline.restore import Restored
from tui_gen.train.shown.noise import noise_and_labels

PART = 256
"""Samples whose noise is drawn at a time."""
CACHED = 32
"""Samples of a convolutional network that are computed at a time on a CPU: more of its maps are not in the caches."""


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
    sampling = Sampling(model, snapshot.device)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    done = 0
    while done < count:
        # What is drawn for a last part of a few numbers depends on what is drawn with it.
        together = count - done if count - done < 2 * PART else PART
        all_noise, all_labels = noise_and_labels(model, len(snapshot.spec.classes), together, generator, done)
        for place in range(0, together, PART):
            noise, labels = all_noise[place : place + PART].to(snapshot.device), None
            if all_labels is not None:
                labels = all_labels[place : place + PART].to(snapshot.device)
                labels = labels if fixed is None else torch.full_like(labels, fixed)
            yield sampling.of(noise, labels), labels
        done += together


class Sampling:
    """How a model is asked for samples: without anything that only training needs, and as few at a time as are fast."""

    def __init__(self, model: Model, device: torch.device) -> None:
        self._model = model
        ours = type(model).__module__.startswith("tui_gen.models.")
        self._mode = torch.inference_mode if ours else torch.no_grad  # somebody else's may take gradients in between
        convolutional = any(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in model.modules())
        self._few = ours and convolutional and device.type == "cpu"

    def of(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        """noise (N, *noise_shape), labels (N,) or None → (N, *data.shape).

        What a model draws itself it draws for all of them at once: numbers for a few at a time would be others.
        """
        with self._mode():
            if self._few and len(noise) > CACHED:
                before, parts = torch.get_rng_state(), []
                for place in range(0, len(noise), CACHED):
                    few = slice(place, place + CACHED)
                    parts.append(self._model.sample(noise[few], None if labels is None else labels[few]))
                    if not torch.equal(torch.get_rng_state(), before):
                        torch.set_rng_state(before)
                        self._few = False
                        break
                else:
                    return torch.cat(parts)
            return self._model.sample(noise, labels)


def _label(model: Model, classes: tuple[str, ...], label: str | None) -> int | None:
    if label is None:
        return None
    if not model.conditional:
        raise SampleError("this model was trained without labels; leave --label out")
    if label not in classes:
        raise SampleError(f"no class {label!r}; it knows {', '.join(classes)}")
    return classes.index(label)
