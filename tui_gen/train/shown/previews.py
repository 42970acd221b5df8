"""Previews: what the model makes of the same noise from step 0 to the end of the run.

Pinned noise and labels, averaged weights where there are any, evaluation mode; PyTorch's random state is put back as
it was, so a run trains to the same weights with previews or without.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from msgspec.structs import replace
from PIL import Image
from torch import Tensor

from tui_gen import events
from tui_gen.model import DataSpec, Given, Model, Picture, Text, Tiles
from tui_gen.pictures import RAW, UNKNOWN, colour
from tui_gen.runs import RunError
from tui_gen.train.cutting import Cut, Stopped
from tui_gen.train.data import Data, denormalise, fixed_batches
from tui_gen.train.engine.contract import check_made
from tui_gen.train.engine.devices import evaluating
from tui_gen.train.shown.noise import noise_and_labels
from tui_gen.train.shown.plots import GREY, ORANGE, PLOT, RAMP, density, heat, paths, scatter
from tui_gen.train.shown.rows import Rows

POINTS = 1024
TEXTS = 3
"""Texts in a preview of what a model of text writes."""
PANEL_EXAMPLES = 1000
"""Most validation examples that a model's own panels are drawn from."""
RULE = "─" * 40
"""Between two texts."""
GAP = 1
"""Black pixels between the tiles of a grid."""
RECONSTRUCTIONS = 16
FRAMES = 8
WAYS, WAY_FRAMES = 96, 32
"""Points whose ways from noise to sample are drawn as lines, and the places on each way."""


@dataclass
class Grid:
    """A picture made of tiles: `pixels` (H, W) or (H, W, 3) uint8; `tiles` says what they are."""

    kind: str
    pixels: np.ndarray
    columns: int
    rows: int
    tile: tuple[int, int]
    gap: int = 0
    tiles: Tiles = UNKNOWN

    def event(self, step: int, path: str) -> events.Sample:
        """The event that tells of it, at `path` of the run. Raises msgspec.ValidationError for impossible tiles."""
        return events.Sample(
            step=step, path=path, kind=self.kind, columns=self.columns, rows=self.rows, tile=self.tile, gap=self.gap,
            tiles=self.tiles.brief(),
        )  # fmt: skip

    def png(self) -> bytes:
        """The grid as a PNG at native pixels."""
        file = io.BytesIO()
        Image.fromarray(self.pixels).save(file, "PNG", compress_level=3)
        return file.getvalue()


def tiles(images: Tensor, columns: int, kind: str, what: Tiles = UNKNOWN) -> Grid:
    """(N, C, H, W) uint8 → a grid with `columns` columns, `GAP` black pixels between tiles; missing tiles are black."""
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    full = torch.zeros(rows * columns, channels, height + GAP, width + GAP, dtype=torch.uint8)
    full[:count, :, :height, :width] = images.cpu()
    grid = full.reshape(rows, columns, channels, height + GAP, width + GAP).permute(0, 3, 1, 4, 2)
    pixels = grid.reshape(rows * (height + GAP), columns * (width + GAP), channels).numpy()
    pixels = np.ascontiguousarray(pixels[: pixels.shape[0] - GAP, : pixels.shape[1] - GAP])
    what = replace(what, count=count)
    return Grid(kind, pixels[..., 0] if channels == 1 else pixels, columns, rows, (height, width), GAP, what)


def plots_of(pictures: list[np.ndarray], kind: str, what: Tiles = UNKNOWN) -> Grid:
    """Plots (side, side, 3) uint8 side by side, at most four in a row."""
    return tiles(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), min(4, len(pictures)), kind, what)


def frame_names(count: int) -> tuple[str, ...]:
    """What the frames of a way from noise to sample are called: their shares of it."""
    inner = (f"{round(100 * place / (count - 1))} %" for place in range(1, count - 1))
    return ("noise", *inner, "sample")[-count:]


def written(numbers: Tensor, spec: DataSpec) -> str:
    """(N, length) int64 numbers of characters as N texts, a line between them."""
    texts = ("".join(spec.classes[number] for number in row) for row in numbers.tolist())
    return f"\n{RULE}\n".join(texts) + "\n"


def scattered(count: int) -> Tensor:
    """The places of a list (count,) in an order of which every beginning lies evenly over the list: by the fractional
    parts of multiples of the golden ratio, of which no two lie close (three-distance theorem, Swierczkowski 1958)."""
    return (torch.arange(count, dtype=torch.float64) * (math.sqrt(5) - 1) / 2 % 1).argsort().argsort()


def axes(span: float) -> tuple[tuple[str, float, float], ...]:
    """The axes of a plot of points that reach as far on all sides."""
    return tuple((name, -span, span) for name in "xy")


class Previewer:
    """Draws the previews that a model has methods for.

    `spread` says whether examples are taken from all over the data, and not the first ones; asked once, when they are.
    """

    def __init__(
        self, model: Model, data: Data, device: torch.device, count: int, seed: int,
        spread: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        self.data, self.device, self.seed, self._spread = data, device, seed, spread
        self.spec: DataSpec = data.spec
        self.points = data.spec.kind == "points"
        self.texts = data.spec.kind == "text"
        self.count = POINTS if self.points else min(TEXTS, count) if self.texts else count
        self.rows = Rows()
        """What makes samples and ways of noise."""
        self.forgiving = False
        """Whether what fails is left out, and kept in `faults`: a picture is not worth the run that it is of."""
        self.faults: dict[str, Exception] = {}
        """By the method of the model that failed."""
        self.unfinite: set[str] = set()
        """Methods of the model that returned values that are no finite numbers."""
        self.logged_faults: set[str] = set()
        """Faults that the log has."""
        self._cloud: np.ndarray | None = None
        self._examples: tuple[Tensor, Tensor | None] | None = None
        self._many: tuple[Tensor, Tensor | None] | None = None

    def draw(self, model: Model, only: str = "") -> list[Grid | Text]:
        """Every preview this model can show (or one kind), from the weights given."""
        return self._draw(model, ("sample", "reconstruct", "trajectory", "panels"), only)

    def draw_raw(self, model: Model) -> list[Grid | Text]:
        """The samples and reconstructions of raw weights, to be held against those of averaged ones: from the same
        noise and examples, of kinds that begin with RAW.
        """
        previews = self._draw(model, ("sample", "reconstruct"))
        for preview in previews:
            preview.kind = RAW + preview.kind
        return previews

    def _draw(self, model: Model, abilities: Sequence[str], only: str = "") -> list[Grid | Text]:
        previews: list[Grid | Text] = []
        with evaluating(model, self.device, self.seed):
            for can, make in (
                ("sample", self._samples),
                ("reconstruct", self._reconstructions),
                ("trajectory", self._trajectory),
                ("panels", self._panels),
            ):
                if can in abilities and hasattr(model, can):
                    torch.manual_seed(self.seed)
                    try:
                        previews += [preview for preview in make(model) if only in ("", preview.kind)]
                    except (Cut, Stopped, RunError):  # RunError: another process of the run is gone
                        raise
                    except Exception as error:
                        if not self.forgiving:
                            raise
                        self.faults[can] = error
        return previews

    def noise(self, model: Model, count: int) -> tuple[Tensor, Tensor | None]:
        """The pinned noise (count, *noise_shape) and labels. With labels, each grid column shows one class."""
        generator = torch.Generator().manual_seed(self.seed)
        noise, labels = noise_and_labels(model, len(self.spec.classes), count, generator)
        return noise.to(self.device), None if labels is None else labels.to(self.device)

    def columns(self, model: Model) -> int:
        """Grid columns: one per class where samples have labels, else as square as it gets."""
        classes = len(self.spec.classes) if model.conditional else 0
        return classes if 1 < classes <= self.count else max(1, math.ceil(math.sqrt(self.count)))

    def _samples(self, model: Model) -> list[Grid | Text]:
        columns = self.columns(model)
        count = self.count
        if model.conditional and count >= columns:
            count -= count % columns
        noise, labels = self.noise(model, count)
        out = self.rows.made(model, "sample", noise, labels)
        if self.texts:
            return [Text("samples", written(out, self.spec))]
        self._look_at(model, "sample", out, (count, *self.spec.shape))
        if self.points:
            return [self._plots("samples", [out], model), self._densities(out, model)]
        classes = self.spec.classes
        what = Tiles(block=(1, 1))
        if labels is not None and columns == len(classes) and count % columns == 0:
            what = Tiles(block=(1, count // columns), titles=classes)
        elif labels is not None and len(classes) > 1:
            what = Tiles(block=(1, 1), labels=self._names(labels))
        return [tiles(denormalise(out, model.value_range), columns, "samples", what)]

    def _look_at(self, model: Model, method: str, out: Tensor, shape: tuple[int, ...], what: str = "") -> None:
        """What a model returned is drawn only if it is of this shape; what cannot be drawn of it is noted."""
        check_made(model, method, out, shape, what)
        if not out.isfinite().all():
            self.unfinite.add(method)

    def _names(self, labels: Tensor | None) -> tuple[str, ...]:
        """The classes of these labels."""
        return () if labels is None else tuple(self.spec.classes[label] for label in labels.tolist())

    def _reconstructions(self, model: Model) -> list[Grid]:
        """Columns of pairs: an example above, its reconstruction below."""
        x, labels = self._given(model)
        out = model.reconstruct(x, labels)
        self._look_at(model, "reconstruct", out, tuple(x.shape))
        if self.points:
            return [self._plots("reconstructions", [out], model, "reconstructed")]
        both = torch.stack([denormalise(x, model.value_range), denormalise(out, model.value_range)], dim=1)
        columns = min(8, len(x))
        rows = both.reshape(len(x) // columns, columns, 2, *x.shape[1:]).transpose(1, 2)
        what = Tiles(block=(1, 2), parts=("original", "reconstruction"))
        return [tiles(rows.reshape(-1, *x.shape[1:]), columns, "reconstructions", what)]

    def _trajectory(self, model: Model) -> list[Grid]:
        """A row a sample: from noise on the left to the sample on the right. Of points, clouds, and ways as lines."""
        noise, labels = self.noise(model, POINTS if self.points else 8)
        frames = self.rows.made(model, "trajectory", noise, labels, FRAMES)
        self._look_at(model, "trajectory", frames, (len(noise), *self.spec.shape), "frames")
        names = frame_names(len(frames))
        if self.points:
            ways = model.trajectory(*self.noise(model, WAYS), WAY_FRAMES).float().cpu().numpy()
            real, span = self._real_points(model)
            dark, bright = (colour(RAMP[place]) for place in (1, -1))
            legend = ((dark, "noise"), (bright, "sample"), (colour(GREY), "real"))
            what = Tiles(block=(1, 1), legend=legend, axes=axes(span))
            lines = plots_of([paths(ways, real, PLOT, span)], "paths", what)
            clouds = self._plots("trajectory", list(frames), model)
            clouds.tiles = replace(clouds.tiles, labels=names)
            return [clouds, lines]
        images = denormalise(frames.transpose(0, 1).reshape(-1, *frames.shape[2:]), model.value_range)
        what = Tiles(block=(len(frames), 1), titles=self._names(labels), parts=names)
        return [tiles(images, frames.shape[0], "trajectory", what)]

    def _plots(self, kind: str, clouds: list[Tensor], model: Model, label: str = "generated") -> Grid:
        real, span = self._real_points(model)
        side = PLOT if len(clouds) == 1 else PLOT // 2
        legend = ((colour(ORANGE), label), (colour(GREY), "real"))
        what = Tiles(block=(1, 1), legend=legend, axes=axes(span))
        return plots_of([scatter(cloud.float().cpu().numpy(), real, side, span) for cloud in clouds], kind, what)

    def _densities(self, out: Tensor, model: Model) -> Grid:
        """Real points on the left, generated ones on the right, in the same colours."""
        real, span = self._real_points(model)
        true, generated = (density(cloud, PLOT, span) for cloud in (real, out.float().cpu().numpy()))
        shades = ((4, "the most of real"), (2, "a quarter of it"))
        legend = tuple((colour(RAMP[place]), words) for place, words in shades)
        what = Tiles(block=(2, 1), parts=("real", "generated"), legend=legend, axes=axes(span))
        return plots_of([heat(true, true.max()), heat(generated, true.max())], "density", what)

    def _real(self, model: Model, count: int) -> tuple[Tensor, Tensor | None]:
        """So many real examples, held-out ones where there are any, and their labels."""
        source = self.data.validation or self.data.train
        spread, value_range = self._spread(), model.value_range
        return next(fixed_batches(source, batch_size=count, value_range=value_range, limit=count, spread=spread))

    def _real_points(self, model: Model) -> tuple[np.ndarray, float]:
        """Real points (N, 2) to compare with, and how far the axes of plots reach."""
        if self._cloud is None:
            self._cloud = self._real(model, POINTS)[0].cpu().numpy()
        return self._cloud, 1.4 * float(np.abs(self._cloud).max())

    def _given_to_panels(self, model: Model) -> Given:
        if self._many is None:
            x, labels = self._real(model, PANEL_EXAMPLES)
            if self._spread():  # most panels show the first few of them: let any beginning be of all classes
                order = scattered(len(x)).to(x.device)
                x, labels = x[order], None if labels is None else labels[order]
            self._many = x, labels
        noise = self.noise(model, min(self.count, 64)) if hasattr(model, "sample") else (None, None)
        return Given(*self._many, *noise)

    def _panels(self, model: Model) -> list[Grid | Text]:
        return [self._panel(panel, model) for panel in model.panels(self._given_to_panels(model))]

    def _panel(self, panel: Picture | Text, model: Model) -> Grid | Text:
        if isinstance(panel, Text):
            return panel
        return tiles(denormalise(panel.images, model.value_range), panel.columns, panel.kind, panel.tiles)

    def _given(self, model: Model) -> tuple[Tensor, Tensor | None]:
        if self._examples is None:
            count = POINTS if self.points else RECONSTRUCTIONS
            x, labels = self._real(model, count)
            if not self.points and len(x) >= 8:
                x, labels = x[: len(x) // 8 * 8], None if labels is None else labels[: len(x) // 8 * 8]
            self._examples = x, labels
        return self._examples
