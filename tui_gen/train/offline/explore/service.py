"""Answers to what is asked of a checkpoint's latent space: where one is, what that decodes to, where data lie."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import torch
from torch import Tensor

from tui_gen import config as configs
from tui_gen import files
from tui_gen.events import Event, Note
from tui_gen.exploring import (
    PIN_NAMES,
    Axes,
    Dots,
    Failure,
    Film,
    Filmed,
    Look,
    Open,
    Space,
    Spread,
    View,
)  # fmt: skip
from tui_gen.model import DataSpec, LatentSpace, Tiles
from tui_gen.train.data import DataError
from tui_gen.train.engine.building import TrainingError
from tui_gen.train.engine.devices import random_state_kept
from tui_gen.train.offline.explore.examples import Examples, Labelled, read
from tui_gen.train.offline.explore.geometry import Plane, along_components, along_dimensions, through_pins, walk
from tui_gen.train.offline.explore.pictures import Album, frames_of, of_images, of_points, write_gif
from tui_gen.train.offline.restore import Restored, RestoreError, restore
from tui_gen.train.shown.previews import Grid, frame_names

NORMAL = (-3.0, 3.0)
"""From where to where the dimensions of a standard normal code are looked at."""
DRAWS = 3
"""Other draws of each class below the one that is here."""
WORST = 16
"""Examples in the picture of those that are rebuilt worst."""
CLOUD = 24
"""Places each way that show, decoded, what a plane of a model of points covers."""
FEW = 8
"""Samples that are drawn at once where each takes many steps."""
FAULTS = (RestoreError, DataError, TrainingError, configs.ConfigError, ValueError, OSError, RuntimeError)
"""What an ask can fail with that is told to whoever asked."""


class HurriedError(Exception):
    """Nobody waits for this look any more."""


class Explorer:
    """One open checkpoint. `answer` may be called from two threads: what computes waits for its turn, part by part."""

    def __init__(self, folder: Path) -> None:
        self._album = Album(folder)
        self._folder = folder
        self._busy = threading.Lock()
        self._loading = threading.Lock()
        self._hurried = threading.Event()
        self._restored: Restored | None = None
        self._space: LatentSpace | None = None
        self._examples: Examples | None = None
        self._labelled: Labelled | None = None
        self._run = ""
        self._failure = ""

    def hurry(self) -> None:
        """Cut the look that is being decoded short. From any thread."""
        self._hurried.set()

    def answer(self, ask: Open | Look | Spread | Film) -> Space | View | Dots | Filmed | Failure:
        """What was asked for, or why not."""
        try:
            if isinstance(ask, Open):
                return self._open(ask)
            if self._restored is None:
                return Failure("no run is open", lost=True)
            if isinstance(ask, Look):
                self._hurried.clear()
                return self._look(ask)
            return self._spread(ask) if isinstance(ask, Spread) else self._film(ask)
        except HurriedError:
            return Failure("something else was asked for", hurried=True)
        except FAULTS as error:
            return Failure(" ".join((str(error) or type(error).__name__).split()), lost=isinstance(ask, Open))
        except Exception as error:  # a model file of somebody's may raise anything: it ends this answer only
            return Failure(f"{type(error).__name__}: {' '.join(str(error).split())}", lost=isinstance(ask, Open))

    # -- opening

    def _open(self, ask: Open) -> Space:
        warnings: list[str] = []

        def hear(event: Event) -> None:
            if isinstance(event, Note) and event.level != "info":
                warnings.append(event.text)

        torch.set_num_threads(ask.threads)
        self._restored = self._space = self._examples = None
        self._failure = ""
        if ask.run != self._run:  # with other weights of a run, its data are the same
            self._run, self._labelled = ask.run, None
        run = Path(ask.run)
        restored = restore(run, ask.step, "cpu", hear)
        space = restored.model.latent_space()
        if space is None:
            title = restored.model.title or restored.model.name
            words = "neither decodes codes nor makes samples from noise"
            raise ValueError(f"there is nothing to explore: this model ({title}) {words}")
        if restored.spec.kind not in ("image", "points"):
            raise ValueError(f"codes of {restored.spec.kind} cannot be drawn; images and points can")
        self._restored, self._space = restored, space
        return Space(
            run=ask.run, step=restored.step, dimensions=self._size, decodes="codes" if _coded(restored) else "noise",
            encodes=space.encode is not None, normal=space.normal,
            classes=restored.spec.classes if restored.model.conditional else (), names=restored.spec.classes,
            trajectory=space.trajectory is not None, guidance=space.guidance, folder=str(self._folder),
            warnings=tuple(warnings),
        )  # fmt: skip

    @property
    def _model(self) -> Restored:
        assert self._restored is not None
        return self._restored

    @property
    def _latent(self) -> LatentSpace:
        assert self._space is not None
        return self._space

    @property
    def _spec(self) -> DataSpec:
        return self._model.spec

    @property
    def _size(self) -> int:
        """Numbers in one code."""
        return int(torch.Size(self._latent.shape).numel())

    def examples(self) -> Examples:
        """The examples, read when they are first needed. Raises DataError; the second time without trying again."""
        with self._loading:
            if self._failure:
                raise DataError(self._failure)
            if self._examples is None:
                try:
                    if self._labelled is None:
                        self._labelled = read(self._model)
                    self._examples = Examples(self._labelled, self._model, self._latent, self._busy)
                except (DataError, OSError) as error:
                    self._failure = f"the data cannot be had: {error}"
                    raise DataError(self._failure) from None
            return self._examples

    # -- places

    def _plane(self, axes: Axes, pins: tuple[bytes, ...]) -> Plane:
        """The plane of these axes. Raises ValueError where there are none, DataError where data are needed for it."""
        if axes.sort == "pins":
            if len(pins) < 2:
                raise ValueError("axes through pins need two or three of them; p sets one")
            return through_pins([self._code(pin) for pin in pins[:3]])
        if axes.sort == "component":
            components = self.examples().components
            last = len(components.directions) - 1
            return along_components(min(axes.first, last), min(axes.second, last), components)
        first, second = (min(number, self._size - 1) for number in (axes.first, axes.second))
        return along_dimensions(first, second, (self._limits(first), self._limits(second)), self._size)

    def _limits(self, dimension: int) -> tuple[float, float]:
        if self._latent.normal or self._latent.encode is None:
            return NORMAL
        try:
            low, high = self.examples().limits
        except DataError:
            return NORMAL
        return float(low[dimension]), float(high[dimension])

    def _code(self, raw: bytes) -> Tensor:
        code = torch.frombuffer(bytearray(raw), dtype=torch.float32)
        if len(code) != self._size:
            raise ValueError(f"a code has {self._size} numbers here, this one {len(code)}: it is another model's")
        return code

    def _start(self, ask: Look) -> tuple[Tensor, int | None, int]:
        """The code to look from, the number of the example that it is of, and its label."""
        if ask.example is not None:
            examples = self.examples()
            if examples.codes is None:
                raise ValueError("this model has no encoder: data cannot be brought into its space")
            number = ask.example % len(examples.x)
            number = examples.ranking[number] if ask.worst else number
            label = ask.label if examples.labels is None else int(examples.labels[number])
            return examples.codes[number], number, label
        if ask.draw is not None:
            return self._drawn(ask.draw), None, ask.label
        return (self._code(ask.code) if ask.code else self._middle()), None, ask.label

    def _drawn(self, seed: int) -> Tensor:
        """A code drawn from N(0, I), or, where codes are not normal, the code of an example drawn at random."""
        generator = torch.Generator().manual_seed(seed)
        if not self._latent.normal and self._latent.encode is not None:
            known = self.examples().known
            return known[int(torch.randint(len(known), (1,), generator=generator))]
        return torch.randn(self._size, generator=generator)

    def _middle(self) -> Tensor:
        """Where one begins: at 0; where codes are not normal, at the mean of those of data, if there are any.

        Of noise the middle is no noise at all, from which diffusion makes nothing that is like its data: a draw.
        """
        if not _coded(self._model):
            return self._drawn(0)
        if not self._latent.normal and self._latent.encode is not None:
            try:
                return self.examples().components.mean
            except DataError:
                pass
        return torch.zeros(self._size)

    # -- decoding

    def _decode(self, codes: Tensor, labels: list[int], hasty: bool = True) -> Tensor:
        """What codes (N, D) decode to, (N, *data.shape); the same every time, also where sampling draws.

        A `hasty` one raises HurriedError between two parts where something else is wanted meanwhile.
        """
        restored, space = self._model, self._latent
        its_labels = torch.tensor(labels, dtype=torch.int64) if restored.model.conditional else None
        out, size = [], 64 if _coded(restored) else FEW
        for start in range(0, len(codes), size):
            if start and hasty and self._hurried.is_set():
                raise HurriedError
            part = codes[start : start + size].reshape(-1, *space.shape)
            with self._busy, torch.no_grad(), random_state_kept(restored.device, 0):
                out.append(space.decode(part, None if its_labels is None else its_labels[start : start + size]).float())
        return torch.cat(out)

    def _label(self, label: int) -> int:
        return label % max(1, len(self._spec.classes))

    def _look(self, ask: Look) -> View:
        begun = time.perf_counter()
        code, number, label = self._start(ask)
        label = self._label(label)
        if ask.axes.sort == "t-sne":
            code, number, label, plane, place = self._nearest(ask, code, number, label)
        else:
            plane = self._plane(ask.axes, ask.pins)
            if ask.at is not None or plane.flat:
                place = torch.tensor(ask.at) if ask.at is not None else plane.place(code[None])[0]
                code = plane.move(code, place[None].float())[0]
            place = plane.place(code[None])[0]
        pins: list[list[float]] = []
        if ask.pins and ask.axes.sort != "t-sne":
            pins = plane.place(torch.stack([self._code(pin) for pin in ask.pins])).tolist()
        beside = number if number is not None else ask.beside
        codes: tuple[bytes, ...] = ()
        numbers: tuple[int, ...] = ()
        note = ""
        match ask.scene:
            case "grid":
                grid = self._grid(code, plane, ask.count, label)
            case "classes":
                grid = self._classes(code)
            case "walk":
                grid, codes = self._walk(ask, label)
            case "errors":
                grid, numbers = self._errors()
            case "trajectory":
                grid, note = self._trajectory(ask, code, label)
            case _:
                grid, note = self._point(code, label, beside)
        return View(
            path=self._album.add(grid), grid=(grid.columns, grid.rows), gap=grid.gap, tiles=grid.tiles.brief(),
            code=code.contiguous().numpy().tobytes(), at=(float(place[0]), float(place[1])),
            span=plane.span, names=plane.names, note=note, codes=codes, examples=numbers, example=number, label=label,
            pins=tuple((x, y) for x, y in pins), seconds=time.perf_counter() - begun,
        )  # fmt: skip

    def _nearest(
        self, ask: Look, code: Tensor, number: int | None, label: int
    ) -> tuple[Tensor, int, int, Plane, Tensor]:
        """The example whose place in t-SNE's layout is nearest to where one goes; of a code, the nearest code's."""
        examples = self.examples()
        places = examples.neighbourhoods
        if ask.at is not None:
            number = int((places - torch.tensor(ask.at)).square().sum(1).argmin())
        elif number is None:
            number = int((examples.known - code).square().sum(1).argmin())
        if examples.labels is not None:
            label = self._label(int(examples.labels[number]))
        edges = ((-1.05, 1.05), (-1.05, 1.05))
        plane = Plane(torch.zeros(2), torch.tensor([1.0, 0]), torch.tensor([0, 1.0]), edges, ("t-SNE 1", "t-SNE 2"))
        return examples.known[number], number, label, plane, places[number]

    # -- pictures

    def _drawing(self, x: Tensor, columns: int, what: Tiles, kind: str, here: Tensor | None = None) -> Grid:
        """Decoded examples (N, *shape) as tiles, or, where they are points, as a plot with the one that is here."""
        if self._spec.kind == "points":
            try:
                real = self.examples().x
            except DataError:
                real = None
            return of_points(x, here, real, kind)
        return of_images(x, self._model.model.value_range, columns, what, kind)

    def _point(self, code: Tensor, label: int, beside: int | None) -> tuple[Grid, str]:
        here = self._decode(code[None], [label])
        examples = self._examples
        if self._spec.kind == "points":
            return self._drawing(here, 1, Tiles(), "point", here[0]), _pair(here[0])
        if beside is None or examples is None or examples.rebuilt is None or examples.errors is None:
            return self._drawing(here, 1, Tiles(block=(1, 1)), "point"), ""
        beside %= len(examples.x)
        three = torch.stack([examples.x[beside].float(), examples.rebuilt[beside], here[0]])
        name = "" if examples.labels is None else f" ({self._spec.classes[int(examples.labels[beside])]})"
        place = examples.ranking.index(beside) + 1
        error = float(examples.errors[beside])
        note = f"example {beside}{name} · error {error:.4g}, {place:,} of {len(examples.x):,}"
        what = Tiles(block=(3, 1), parts=("example", "rebuilt", "here"))
        return self._drawing(three, 3, what, "point"), note

    def _grid(self, code: Tensor, plane: Plane, count: int, label: int) -> Grid:
        """What lies on the plane, from its upper left to its lower right."""
        count = CLOUD if self._spec.kind == "points" else count
        (left, right), (low, high) = plane.span
        across, down = torch.linspace(left, right, count), torch.linspace(high, low, count)
        places = torch.stack(torch.meshgrid(down, across, indexing="ij"), -1).flip(-1).reshape(-1, 2)
        if len(plane.origin) == 2 != self._size:
            raise ValueError("between the examples of t-SNE there are no codes; take other axes for a grid")
        x = self._decode(plane.move(code, places), [label] * len(places))
        here = self._decode(code[None], [label])[0] if self._spec.kind == "points" else None
        return self._drawing(x, count, Tiles(block=(count, count)), "grid", here)

    def _classes(self, code: Tensor) -> Grid:
        """A column for each class: the code that is here, and other draws below it, the same for all classes."""
        names = self._spec.classes
        if not self._model.model.conditional:
            raise ValueError("this model is told no labels: it has no classes to compare")
        codes = torch.stack([code, *(self._drawn(seed) for seed in range(1, DRAWS + 1))])
        every = codes.repeat_interleave(len(names), 0)
        x = self._decode(every, list(range(len(names))) * len(codes))
        what = Tiles(block=(1, len(codes)), titles=names, parts=("here",))
        return self._drawing(x, len(names), what, "classes", x[0])

    def _walk(self, ask: Look, label: int) -> tuple[Grid, tuple[bytes, ...]]:
        """The frames of the walk through the pins, and their codes."""
        if len(ask.pins) < 2:
            raise ValueError("a walk needs two pins: p sets one where you are")
        frames = max(1, ask.count // (len(ask.pins) - 1))
        codes = walk([self._code(pin) for pin in ask.pins], frames, ask.way)
        names = tuple(PIN_NAMES[place // frames] if place % frames == 0 else "" for place in range(len(codes)))
        x = self._decode(codes, [label] * len(codes))
        columns = max(1, round(len(codes) ** 0.5))
        grid = self._drawing(x, columns, Tiles(block=(1, 1), labels=names), "walk")
        return grid, tuple(code.numpy().tobytes() for code in codes.contiguous())

    def _errors(self) -> tuple[Grid, tuple[int, ...]]:
        """The examples that are rebuilt worst, above what is made of them; their numbers, tile for tile."""
        examples = self.examples()
        worst = examples.ranking[:WORST]
        assert examples.rebuilt is not None and examples.errors is not None
        columns = min(8, len(worst))
        worst = worst[: len(worst) // columns * columns]
        rows = [worst[start : start + columns] for start in range(0, len(worst), columns)]
        x = torch.cat([part for row in rows for part in (examples.x[row].float(), examples.rebuilt[row])])
        titles = tuple(f"{float(examples.errors[number]):.3g}" for number in worst)
        what = Tiles(block=(1, 2), titles=titles, parts=("original", "rebuilt"))
        return self._drawing(x, columns, what, "errors"), tuple(number for row in rows for number in (*row, *row))

    def _trajectory(self, ask: Look, code: Tensor, label: int) -> tuple[Grid, str]:
        """The way from the noise that is here to its sample; of a point, where on it one stands."""
        space, restored = self._latent, self._model
        if space.trajectory is None:
            raise ValueError("this model makes its samples in one go: there is no way to follow")
        labels = torch.tensor([label]) if restored.model.conditional else None
        strength = ask.guidance if ask.guidance is not None else space.guidance or 1.0
        with self._busy, torch.no_grad(), random_state_kept(restored.device, 0):
            frames = space.trajectory(code.reshape(1, *space.shape), labels, max(2, ask.count), strength)[:, 0].float()
        names = frame_names(len(frames))
        columns = max(1, round(len(frames) ** 0.5))
        place = len(frames) - 1 if ask.frame is None else ask.frame % len(frames)
        note = f"{names[place]}: {_pair(frames[place])}" if self._spec.kind == "points" else ""
        return self._drawing(frames, columns, Tiles(block=(1, 1), labels=names), "trajectory", frames[place]), note

    # -- what takes longer

    def _spread(self, ask: Spread) -> Dots:
        examples = self.examples()
        codes = examples.known
        if ask.axes.sort == "t-sne":
            places = examples.neighbourhoods
        else:
            places = self._plane(ask.axes, ask.pins).place(codes)
        labels = b"" if examples.labels is None else examples.labels.to(torch.int32).cpu().numpy().tobytes()
        assert examples.errors is not None
        return Dots(
            axes=ask.axes, places=places.contiguous().numpy().tobytes(), labels=labels,
            errors=examples.errors.float().numpy().tobytes(),
            spread=tuple(codes.std(0, correction=0).nan_to_num(0.0).tolist()),
        )  # fmt: skip

    def _film(self, ask: Film) -> Filmed:
        if len(ask.pins) < 2:
            raise ValueError("a walk needs two pins: p sets one where you are")
        if self._spec.kind != "image":
            raise ValueError("only walks through images are written as a GIF")
        codes = walk([self._code(pin) for pin in ask.pins], ask.frames, ask.way)
        there = torch.cat([codes, codes[1:-1].flip(0)])  # there and back, so that it has no jump
        x = self._decode(there, [self._label(ask.label)] * len(there), hasty=False)
        path = Path(os.path.abspath(os.path.expanduser(ask.path)))
        try:
            with files.written_whole(path) as aside:
                write_gif(frames_of(x, self._model.model.value_range), aside)
        except OSError as error:
            raise ValueError(f"{path} cannot be written: {error.strerror or error}") from None
        return Filmed(str(path), len(there))


def _coded(restored: Restored) -> bool:
    """Whether what is explored are codes, rather than the noise that sampling takes many steps from."""
    return "decode" in restored.model.abilities()


def _pair(point: Tensor) -> str:
    return f"x = {float(point[0]):+.3f}, y = {float(point[1]):+.3f}"
