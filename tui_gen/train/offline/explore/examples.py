"""Examples of a run's data as its model sees them: their codes, how well they are rebuilt, and where codes lie."""

from __future__ import annotations

import threading
import warnings
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from tui_gen.events import Event
from tui_gen.model import LatentSpace
from tui_gen.train.data import fixed_batches
from tui_gen.train.offline.explore.geometry import Components
from tui_gen.train.offline.restore import Restored, data_of

MOST = 1000
"""Examples whose codes are looked at."""
PART = 50
"""Examples that are encoded at once: who moves through the space in the meantime waits for no more."""
LEAST = 8
"""Examples without which t-SNE lays nothing out."""


def _silent(event: Event) -> None:
    """What loading has to say is for a log."""


Labelled = tuple[Tensor, Tensor | None]
"""Examples (N, *shape) in a model's range, and their labels (N,) or None."""


def read(restored: Restored) -> Labelled:
    """Up to MOST held-out examples, or training ones where none are held out. Raises DataError."""
    data = data_of(restored, _silent)
    source = data.validation or data.train
    value_range = restored.model.value_range
    return next(fixed_batches(source, batch_size=MOST, value_range=value_range, limit=MOST, spread=True))


class Examples:
    """Examples `x` (N, *shape), their `labels` (N,) or None, and what a model makes of them.

    `codes` (N, D) float32 on the CPU and `errors` (N,) are there where the model encodes; `rebuilt` (N, *shape) too.
    """

    def __init__(self, labelled: Labelled, restored: Restored, space: LatentSpace, busy: threading.Lock) -> None:
        """Whoever computes with the model holds `busy`."""
        model = restored.model
        self.x, self.labels = labelled
        self.codes: Tensor | None = None
        self.rebuilt: Tensor | None = None
        self.errors: Tensor | None = None
        if space.encode is not None:
            codes, rebuilt = [], []
            for start in range(0, len(self.x), PART):
                part = self.x[start : start + PART]
                labels = None
                if model.conditional:
                    assert self.labels is not None
                    labels = self.labels[start : start + PART]
                with busy, torch.no_grad():
                    code = space.encode(part, labels).float()
                    rebuilt.append(space.decode(code, labels).float())
                codes.append(code.flatten(1))
            self.codes, self.rebuilt = torch.cat(codes).cpu(), torch.cat(rebuilt)
            self.errors = (self.rebuilt - self.x).square().flatten(1).mean(1).cpu().nan_to_num(float("inf"))

    @property
    def known(self) -> Tensor:
        """The codes. Raises ValueError where there are none."""
        if self.codes is None:
            raise ValueError("this model has no encoder, so data have no codes")
        return self.codes

    @cached_property
    def ranking(self) -> list[int]:
        """The numbers of the examples, the one that is rebuilt worst first."""
        if self.errors is None:
            raise ValueError("this model rebuilds nothing, so no example is rebuilt worst")
        return [int(number) for number in self.errors.argsort(descending=True, stable=True)]

    @cached_property
    def components(self) -> Components:
        """The principal axes of the codes."""
        return Components.of(self.known)

    @cached_property
    def limits(self) -> tuple[Tensor, Tensor]:
        """From where to where each dimension of the codes goes, with a little room: (D,) each."""
        low, high = self.known.nan_to_num(0.0, 0.0, 0.0).aminmax(dim=0)
        room = 0.05 * (high - low).clamp(min=1e-3)
        return low - room, high + room

    @cached_property
    def neighbourhoods(self) -> Tensor:
        """t-SNE of the codes: (N, 2), scaled into ±1, the same each time. Takes seconds."""
        codes = self.known.nan_to_num(0.0, 0.0, 0.0).clamp(-1e6, 1e6)
        if len(codes) < LEAST:
            raise ValueError(f"t-SNE needs {LEAST} examples, there are {len(codes)}")
        from sklearn.manifold import TSNE

        layout = TSNE(perplexity=min(30.0, (len(codes) - 1) / 3), init="random", random_state=0)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            places = torch.from_numpy(layout.fit_transform(codes.numpy())).float()
        return places / places.abs().max().clamp(min=1e-6)
