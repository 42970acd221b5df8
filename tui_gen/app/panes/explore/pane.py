"""The Explore pane: a plane of a model's latent space, moved about on with keys and mouse, decoded as one goes."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from textual.app import ComposeResult
from textual.containers import Container
from textual.widgets import Static

from tui_gen import checkpoints
from tui_gen.app.panes.base import NO_RUN, Entry, Pane
from tui_gen.app.panes.explore.asking import Asking
from tui_gen.app.panes.explore.helper import Helper, start
from tui_gen.app.panes.explore.keys import BINDINGS, HELP
from tui_gen.app.panes.explore.place import SCENE_WORDS, SCENES, Stay
from tui_gen.app.panes.explore.plane import PlaneMap
from tui_gen.app.panes.samples.caption import Caption, KindList
from tui_gen.app.panes.samples.imaging import Subject
from tui_gen.app.panes.samples.picture import PictureView, modes_of
from tui_gen.app.terminal.found import terminal_of
from tui_gen.app.widgets.path_dialog import PathDialog
from tui_gen.exploring import MOST_PINS, PIN_NAMES, Axes, Failure, Film, Look, Scene
from tui_gen.places import Elsewhere, elsewhere
from tui_gen.quantities import count, moment
from tui_gen.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tui_gen.view import RunView

SORT_NAMES = {"dimension": "dimensions", "component": "components", "pins": "through pins", "t-sne": "t-SNE"}
EMPTY = "Here the model's latent space is explored. Any arrow key begins."
PIN_FIRST = "Press p to pin where you are; a walk goes from pin to pin."


class ExplorePane(Pane):
    """Decodes what lies in the latent space of the shown run, by a process of its own that needs no worker."""

    HELP = HELP
    BINDINGS: ClassVar = BINDINGS

    DEFAULT_CSS = """
    ExplorePane #explore-both { layout: horizontal; height: 1fr; }
    ExplorePane #explore-both PictureView { width: 3fr; margin-left: 1; }
    ExplorePane.upright #explore-both { layout: vertical; }
    ExplorePane.upright #explore-both PictureView { width: 1fr; margin-left: 0; }
    ExplorePane.upright #explore-both PlaneMap { width: 1fr; }
    ExplorePane.alone #explore-both PictureView, ExplorePane.bare #explore-both PictureView { margin-left: 0; }
    ExplorePane.alone #explore-both PlaneMap, ExplorePane.bare #explore-both PlaneMap { width: 0; height: 0; }
    ExplorePane #explore-words { height: 1; color: $quiet; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.asking = Asking(Helper(lambda: start(self._model_dirs())), self._tell)
        self._there: Elsewhere | None = None
        self._newest = -1  # step of the checkpoint that the run told of last
        self._able = (True, False)
        """What the keys depended on when they were shown last: no space is open; there is trouble."""
        self._laid_out: tuple[str, int] = ("", 0)
        """A picture's file, and how many of its tiles there was room for."""
        self._caption = Caption()
        self._map = PlaneMap()
        self._picture = PictureView()
        self._picture.can_focus = False
        self._words = Static("", id="explore-words", markup=False)

    def compose(self) -> ComposeResult:
        yield self._caption
        with Container(id="explore-both"):
            yield self._map
            yield self._picture
        yield self._words

    def on_mount(self) -> None:
        self._picture.set_mode(self.modes()[0])
        self._tell()

    def on_unmount(self) -> None:
        self.asking.leave()

    def on_resize(self) -> None:
        width, height = self.size
        self.set_class(width < 50 and height >= 16, "upright")
        self.set_class(width < 34 and height < 16, "alone")

    def _model_dirs(self) -> list[str]:
        """The folders of model files that the workbench uses."""
        dirs: Callable[[], list[str]] | None = getattr(getattr(self.app, "session", None), "dirs", None)
        return dirs() if dirs is not None else []

    # -- the run

    def show_run(self, view: RunView | None) -> None:
        super().show_run(view)
        self._there = elsewhere(view.path) if view is not None else None
        self.asking.begin(Path(view.path) if view is not None and self._there is None else None)
        self._newest = self._last_checkpoint()
        self._tell()
        self._enter()

    def on_show(self) -> None:
        self._enter()

    def update_view(self, parts: set[str]) -> None:
        newest, before = self._last_checkpoint(), self._newest
        if newest != before:
            self._newest = newest
            if self.asking.step is None:
                self.asking.opened = False  # other weights: the place stays
        if newest != before or not self.asking.trouble:  # what could not be opened is not tried with every event
            self._enter()

    def _last_checkpoint(self) -> int:
        return self.view.checkpoints[-1].step if self.view is not None and self.view.checkpoints else -1

    def _enter(self) -> None:
        """Open the run, if it is to be seen and is not open."""
        if self.view is not None and self.is_mounted and self.region.area and self.asking.idle:
            self.asking.threads = 1 if self.view.live else 4
            self.asking.look()

    def _look(self, wish: Look | None = None) -> None:
        if self.view is not None:
            self.asking.look(wish)

    @property
    def stay(self) -> Stay:
        """Where one is in this run's space."""
        return self.asking.stay

    # -- telling

    def _tell(self, doing: str = "") -> None:
        """Show what there is."""
        if not self.is_mounted:
            return
        stay, view = self.stay, self.stay.view
        if self.has_class("bare") != (not view.path):
            self.set_class(not view.path, "bare")  # words alone; the plane keeps the focus
        if (able := (stay.space is None, bool(self.asking.trouble))) != self._able:
            self._able = able
            self.refresh_bindings()
        if self.view is None or not view.path:
            words = doing or self.asking.trouble or (NO_RUN if self.view is None else EMPTY)
            if self._there is not None and self.view is not None:
                words = f"Its checkpoints are on {self._there.host}, where tui-gen attach explores them."
            if self.asking.trouble and not doing and self.view is not None and self.view.live:
                words += "\nPress u: the run is asked for a checkpoint."
            self._picture.show_words(words[:1].upper() + words[1:])
            self._caption.show([], "", "")
            self._map.show_dots(b"", b"")
            self._map.show(None, view.span, view.names, [])
            self._words.update("")
            return
        self._picture.show_pictures(Subject(view.path, view.grid, stay.tile, view.gap, view.tiles))
        dots = stay.dots if stay.dots is not None and stay.dots.axes == stay.axes else None
        names = stay.space.names if stay.space is not None else ()
        self._map.show_dots(*((dots.places, dots.labels, names) if dots is not None else (b"", b"")))
        self._map.show(stay.at or view.at, view.span, view.names, self._pins())
        self._caption.show(list(stay.scenes()), stay.scene, self._place())
        self._words.update(clean(doing or self.asking.trouble or self._about()))
        self.set_title(f"step {count(stay.space.step)}" if stay.space is not None else "", SORT_NAMES[stay.axes.sort])

    def _pins(self) -> list[tuple[str, float, float]]:
        """The pins on the plane, the nearest places of it to them."""
        return [(name, *place) for name, place in zip(PIN_NAMES, self.stay.view.pins)]

    def _place(self) -> str:
        """Where one is, in numbers."""
        stay, view = self.stay, self.stay.view
        names, (x, y) = view.names, view.at
        text = f"{names[0]} {x:+.2f} · {names[1]} {y:+.2f}"
        if stay.tile is not None:
            name = view.tiles.name(stay.tile, max(1, view.grid[0]))
            return f"{stay.tile + 1} of {stay.tiles}{' · ' + name if name else ''} · {text}"
        return text

    def _about(self) -> str:
        """What else is worth knowing of where one is."""
        stay, view, space = self.stay, self.stay.view, self.stay.space
        if space is None:
            return ""
        parts = [view.note] if view.note else []
        path, seen = self._laid_out
        if path == view.path and stay.tile is None and seen < stay.tiles:
            parts.insert(0, f"{seen} of {stay.tiles} tiles")
        if space.classes:
            parts.append(f"class {space.classes[stay.label % len(space.classes)]}")
        if stay.scene == "trajectory" and stay.guidance is not None:
            parts.append(f"guidance {stay.guidance:g}")
        if stay.pins:
            way = f", {stay.way}" if stay.scene == "walk" else ""
            parts.append(f"pins {PIN_NAMES[: len(stay.pins)]}{way}")
        if stay.dots is not None and stay.dots.spread and stay.axes.sort == "dimension":
            both = (stay.axes.first, stay.axes.second)
            spread = ", ".join(f"{stay.dots.spread[min(axis, len(stay.dots.spread) - 1)]:.2g}" for axis in both)
            parts.append(f"σ of data {spread}")
        parts.append(f"{space.dimensions:,} numbers of {'a code' if space.decodes == 'codes' else 'noise'}")
        parts.append(moment(view.seconds))
        return " · ".join(parts)

    # -- moving

    def action_move(self, across: int, up: int) -> None:
        if self.stay.view.path:
            self.stay.moved(across, up)
            self._map.show(self.stay.at, self.stay.view.span, self.stay.view.names, self._pins())
        self._look()

    def on_plane_map_pointed(self, message: PlaneMap.Pointed) -> None:
        message.stop()
        self._map.focus()
        if self.stay.view.path:
            self.stay.at, self.stay.chosen = (message.x, message.y), True
            self._map.show(self.stay.at, self.stay.view.span, self.stay.view.names, self._pins())
        self._look()

    def _jump(self, look: Look) -> None:
        self.stay.at = None
        if self.stay.scene in ("errors", "walk"):
            self.stay.scene, self.stay.tile = "point", None
        self._look(look)

    def _from(self, **changes: Any) -> Look:
        """The look from another place, with all else as it is."""
        scene = "point" if self.stay.scene in ("errors", "walk") else self.stay.scene
        return msgspec.structs.replace(self.stay.look(), **({"scene": scene, "at": None} | changes))

    def action_middle(self) -> None:
        self.stay.example = None
        self._jump(self._from(code=b"", beside=None))

    def action_random(self) -> None:
        self.stay.seed += 1
        self.stay.example = None
        self._jump(self._from(draw=self.stay.seed, beside=None))

    def action_example(self, by: int) -> None:
        stay = self.stay
        ranked = stay.scene == "errors" or (stay.ranked and stay.example is not None)
        if ranked != stay.ranked:
            stay.ranked, stay.rank = ranked, -1
        stay.rank = max(0, stay.rank + by)
        self._jump(self._from(example=stay.rank, worst=ranked))

    def action_go(self) -> None:
        if self.stay.tile is not None:
            self._go(self.stay.tile)

    def _go(self, tile: int) -> None:
        """Where a tile is becomes the place where one is."""
        stay, view = self.stay, self.stay.view
        if stay.scene == "grid":
            columns, rows = view.grid
            (left, right), (low, high) = view.span
            row, column = divmod(tile, columns)
            x = left + (right - left) * column / max(1, columns - 1)
            y = high - (high - low) * row / max(1, rows - 1)
            stay.at, stay.scene, stay.tile = (x, y), "point", None
            self._look()
        elif tile < len(view.codes):
            self._jump(self._from(code=view.codes[tile]))
        elif tile < len(view.examples):
            stay.ranked = True
            self._jump(self._from(example=view.examples[tile]))
        elif stay.scene == "classes" and stay.space is not None:
            stay.label, stay.scene, stay.tile = tile % len(stay.space.classes), "point", None
            self._look()
        elif stay.scene == "trajectory":
            self._show_tile(None if stay.tile is not None else tile)

    def on_picture_view_clicked(self, message: PictureView.Clicked) -> None:
        message.stop()
        self._map.focus()
        if message.tile is not None and self.stay.scene != "point":
            self._go(message.tile if self.stay.tile is None else self.stay.tile)

    def on_picture_view_drawn(self, message: PictureView.Drawn) -> None:
        """Say of how many tiles there was room."""
        message.stop()
        laid_out = message.subjects[0].path, message.reply.count
        if laid_out != self._laid_out:
            self._laid_out = laid_out
            self._tell()

    def action_tile(self, by: int) -> None:
        tiles = self.stay.tiles
        if self.stay.one_plot:
            self.stay.step_along(by)
            self._look()
        elif tiles > 1:
            self._show_tile(((-1 if by > 0 else tiles) if self.stay.tile is None else self.stay.tile) + by, tiles)

    def _show_tile(self, tile: int | None, tiles: int = 1) -> None:
        self.stay.tile = None if tile is None else tile % max(1, tiles)
        self._tell()

    def action_whole(self) -> None:
        if self.stay.frame is not None:
            self.stay.frame = None
            self._look()
        self._show_tile(None)

    # -- what is looked at

    def action_axes(self) -> None:
        self.stay.next_sort()
        self._replot()

    def action_axis(self, axis: str, by: int) -> None:
        if self.stay.axes.sort in ("dimension", "component"):
            self.stay.turned(axis, by)
            self._replot()

    def _replot(self) -> None:
        """The plane is another."""
        slow = self.stay.axes.sort == "t-sne" or self.stay.axes.sort == "component"
        if slow and self.view is not None and self.stay.space is not None:
            self._tell("Laying the codes of data out …")
        self._look()

    def action_numbers(self) -> None:
        from tui_gen.app.panes.explore.numbers import AxesDialog

        if self.stay.space is not None and self.stay.axes.sort in ("dimension", "component"):
            self.app.push_screen(AxesDialog(self.stay.axes, self.stay.space.dimensions), self._numbered)

    def _numbered(self, axes: Axes | None) -> None:
        if axes is not None:
            self.stay.axes, self.stay.at, self.stay.chosen = axes, None, True
            self._replot()

    def action_scene(self, by: int) -> None:
        scenes = [scene for scene in self.stay.scenes() if scene != "walk" or len(self.stay.pins) > 1]
        place = scenes.index(self.stay.scene) if self.stay.scene in scenes else 0
        self.show_scene(scenes[(place + by) % len(scenes)])

    def show_scene(self, scene: Scene) -> None:
        """Another picture of the place."""
        if scene == "walk" and len(self.stay.pins) < 2:
            self.notify(PIN_FIRST, markup=False)
            return
        self.stay.scene, self.stay.tile = scene, None
        self._look()

    def action_scenes(self) -> None:
        rows: list[tuple[str, str]] = [(scene, SCENE_WORDS[scene]) for scene in self.stay.scenes()]

        def picked(scene: str | None) -> None:
            if scene in SCENES:
                self.show_scene(scene)

        if self.stay.space is not None:
            self.app.push_screen(KindList(rows, self.stay.scene, self._caption.region.bottom_left), picked)

    def on_caption_stepped(self, message: Caption.Stepped) -> None:
        message.stop()
        self.action_scene(message.by)

    def on_caption_list_asked(self, message: Caption.ListAsked) -> None:
        message.stop()
        self.action_scenes()

    def on_caption_kind_picked(self, message: Caption.KindPicked) -> None:
        message.stop()
        if message.kind in SCENES:
            self.show_scene(message.kind)

    def action_pin(self) -> None:
        if self.asking.looking and len(self.stay.pins) < MOST_PINS:
            self.stay.pin_due = True  # where one means to be, not where one was
            return
        if not self.stay.pin():
            if self.stay.view.code:
                self.notify(f"{MOST_PINS} pins are as many as there can be; P takes the last away.", markup=False)
            return
        self._look()

    def action_unpin(self) -> None:
        if self.stay.pin_due:
            self.stay.pin_due = False
        elif self.stay.unpin():
            self._look()

    def action_label(self, by: int) -> None:
        space = self.stay.space
        if space is not None and space.classes:
            self.stay.label = (self.stay.label + by) % len(space.classes)
            self._look()

    def action_way(self) -> None:
        self.stay.way = "lerp" if self.stay.way == "slerp" else "slerp"
        self._look()

    def action_more(self, by: int) -> None:
        stay = self.stay
        if stay.scene == "trajectory" and stay.guidance is not None:
            stay.guidance = max(0.0, stay.guidance + 0.5 * by)
        elif stay.scene == "grid":
            stay.side = min(max(stay.side + 2 * by, 3), 31)
        else:
            return
        self._look()

    # -- weights

    def action_weights(self, by: int) -> None:
        """The weights of another checkpoint."""
        if self.view is None or self.stay.space is None:
            return
        steps = checkpoints.steps(Path(self.view.path))
        here = self.stay.space.step
        others = [step for step in steps if (step < here if by < 0 else step > here)]
        if not others:
            self.notify(f"There is no {'earlier' if by < 0 else 'later'} checkpoint.", markup=False)
            return
        step = others[-1] if by < 0 else others[0]
        self.asking.step = None if step == steps[-1] else step
        self._reopen()

    def action_update(self) -> None:
        """The newest weights, for which a live run is asked."""
        if self.view is None:
            return
        self.asking.step = None
        if self.view.live:
            self.run_worker(self.run_action("app.ask('checkpoint')"), exit_on_error=False)
        else:
            self._reopen()

    def _reopen(self) -> None:
        self.asking.opened = False
        self._look()

    # -- graphics and files

    def modes(self) -> list[str]:
        """The ways of drawing that this terminal has, the best first."""
        return modes_of(terminal_of(self))

    def action_graphics(self) -> None:
        modes, mode = self.modes(), self._picture.mode
        self._picture.set_mode(modes[(modes.index(mode) + 1) % len(modes)] if mode in modes else modes[0])

    def action_save(self) -> None:
        stay, view = self.stay, self.view
        if view is None or not stay.view.path or stay.space is None:
            self.notify("There is no picture to save yet.", severity="warning")
            return
        suffix = ".gif" if stay.scene == "walk" else ".png"
        name = f"{view.path.name}-{stay.scene}-{stay.space.step:06d}{suffix}"
        self.app.push_screen(PathDialog("Save this picture as", name, save=True, suffix=suffix), self._save)

    def _save(self, target: Path | None) -> None:
        if target is not None:
            save = self._film(target) if self.stay.scene == "walk" else self._copy(target)
            self.run_worker(save, exit_on_error=False)

    async def _film(self, target: Path) -> None:
        """The walk as a GIF."""
        stay = self.stay
        film = Film(str(Path(target).absolute()), tuple(stay.pins), way=stay.way, label=stay.label)
        answer = await self.asking.helper.ask(film)
        if isinstance(answer, Failure):
            self.notify(f"Not saved: {answer.words}", severity="error", markup=False)
        else:
            self.notify(f"Saved {answer.frames} frames as {answer.path}", markup=False)

    async def _copy(self, target: Path) -> None:
        from tui_gen import files

        try:
            data = await asyncio.to_thread(Path(self.stay.view.path).read_bytes)
            with files.written_whole(target) as aside:
                aside.write_bytes(data)
        except OSError as error:
            self.notify(f"Not saved as {target}: {error.strerror or error}", severity="error", markup=False)
        else:
            self.notify(f"Saved as {target}", markup=False)

    def entries(self) -> Iterable[Entry]:
        """Every picture."""
        for scene in self.stay.scenes() if self.stay.space is not None else ():
            yield Entry(f"Explore: {scene}", partial(self.show_scene, scene), SCENE_WORDS[scene])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        space = self.stay.space
        if space is None and self.asking.trouble:
            return action in ("update", "move")  # to try again
        if action == "label":
            return space is not None and bool(space.classes)
        if action == "example":
            return space is None or space.encodes
        return True
