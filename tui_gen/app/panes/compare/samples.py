"""Samples of several runs side by side, at an equal step or an equal time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from tui_gen.app.panes.compare.across import AcrossRuns
from tui_gen.app.panes.compare.previews import Placed, kinds_of, placed, places, until
from tui_gen.app.panes.samples.caption import Caption
from tui_gen.app.panes.samples.imaging import Subject
from tui_gen.app.panes.samples.picture import PictureView, modes_of
from tui_gen.app.panes.samples.sight import tile_count
from tui_gen.app.panes.samples.text import TextView
from tui_gen.app.panes.samples.timeline import History, Timeline
from tui_gen.app.terminal.found import terminal_of
from tui_gen.events import Sample
from tui_gen.history.comparison import ComparedRun

if TYPE_CHECKING:
    from pathlib import Path

    from textual.timer import Timer

WHOLE, FASTEST, SLOWEST = 10.0, 0.1, 0.5
"""Seconds that all previews are played in, and those between two of them at least and at most."""
BESIDE = 38
"""Columns that a text has at least where several are beside each other."""


class Seen(NamedTuple):
    """What is to be seen of a run: its preview, and the file of it."""

    run: ComparedRun
    preview: Sample
    file: Path


class TextPart(Vertical):
    """A text under the name of its run."""

    DEFAULT_CSS = """
    TextPart { height: 1fr; width: 1fr; }
    TextPart > Static { height: 1; width: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._head, self._body = Static("", markup=False), TextView()

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._body

    def show(self, title: str, colour: str, path: Path) -> None:
        """Show a file."""
        words = Content.styled(title, f"bold {colour}")
        if str(self._head.content) != str(words):
            self._head.update(words)
        self._body.show_file(path)


class Texts(Container):
    """Texts beside and below each other."""

    DEFAULT_CSS = """
    Texts { layout: grid; grid-size: 1; grid-gutter: 0 1; width: 1fr; height: 1fr; }
    """

    def show(self, parts: Sequence[tuple[str, str, Path]]) -> None:
        """Show these: title, colour, file."""
        count = len(parts)
        while len(self.children) < count:
            self.mount(TextPart())
        for place, part in enumerate(self.query(TextPart)):
            if part.display != (place < count):
                part.display = place < count
            if place < count:
                part.show(*parts[place])
        self.lay_out()

    def clear(self) -> None:
        for part in self.query(TextPart):
            part.display = False

    def lay_out(self) -> None:
        """As many beside each other as have room."""
        count = sum(part.display for part in self.query(TextPart))
        columns = max(1, min(count, self.size.width // BESIDE))
        if self.styles.grid_size_columns != columns:
            self.styles.grid_size_columns = columns

    def on_resize(self) -> None:
        """There is another width."""
        self.lay_out()


class SamplesPage(Widget):
    """The previews of one kind of every run: pictures in one frame, or texts; ← → moves in time for all of them."""

    DEFAULT_CSS = """
    SamplesPage { layout: vertical; width: 1fr; height: 1fr; }
    """
    BINDINGS: ClassVar = [
        Binding("left", "step(-1)", "Earlier", key_display="← →", id="compare.earlier"),
        Binding("right", "step(1)", "Later", show=False, id="compare.later"),
        Binding("ctrl+left", "leap(-1)", "Much earlier", show=False, id="compare.much_earlier"),
        Binding("ctrl+right", "leap(1)", "Much later", show=False, id="compare.much_later"),
        Binding("home", "go(0)", "First", show=False, id="compare.first"),
        Binding("end", "go(-1)", "Newest", id="compare.newest"),
        Binding("p", "play", "Play", id="compare.play"),
        Binding("t", "kind(1)", "Kind", key_display="t T", id="compare.kind"),
        Binding("T", "kind(-1)", "Kind before", show=False, id="compare.kind_before"),
        Binding("enter", "zoom", "Tile", id="compare.zoom"),
        Binding("escape", "whole", "Whole grids", show=False, id="compare.whole"),
        Binding("up", "tile(-1)", "Tile before", show=False, id="compare.tile_before"),
        Binding("down", "tile(1)", "Tile after", show=False, id="compare.tile_after"),
        Binding("g", "graphics", "Graphics", show=False, id="compare.graphics"),
    ]

    def __init__(self, over: AcrossRuns, colour: Callable[[int], str]) -> None:
        super().__init__()
        self._over, self._colour = over, colour
        self.kind = ""
        self.tile: int | None = None
        self.index: int | None = None
        """The number of the place that is shown; None follows the newest."""
        self.places: list[float] = []
        self.picture = PictureView()
        self._runs: Sequence[ComparedRun] = ()
        self._axis = "steps"
        self._histories: list[list[Placed]] = []
        self._timer: Timer | None = None
        self._caption, self._texts, self._timeline = Caption(), Texts(), Timeline()

    def compose(self) -> ComposeResult:
        """Kinds, pictures or texts, the line of time."""
        yield self._caption
        yield self.picture
        yield self._texts
        yield self._timeline

    def on_mount(self) -> None:
        """Draw in the best way that the terminal has."""
        self._texts.display = False
        self.picture.set_mode(self._modes()[0])

    def on_hide(self) -> None:
        """Nothing moves that nobody sees."""
        self._halt()

    def start_over(self) -> None:
        """Other runs are compared from now on."""
        self.tile = self.index = None
        self._halt()

    # -- what is shown

    def show(self, runs: Sequence[ComparedRun], axis: str, urgent: bool = True) -> None:
        """Show previews of these runs, side by side where they are equal on this axis."""
        if axis != self._axis:
            self.index = None
        self._runs, self._axis = runs, axis
        kinds = kinds_of(runs)
        if self.kind not in kinds:
            self.kind, self.index, self.tile = kinds[0] if kinds else "", None, None
        self._histories = [placed(run, self.kind, self._over, axis) for run in runs]
        self.places = places(self._histories)
        if not self.places:
            self._swap(False)
            no_time = "It is not known at what time these previews were made."
            self.picture.show_words(no_time if kinds else "There are no previews yet.")
            self._caption.show(kinds, self.kind, "")
            self._timeline.show(History())
            return
        if self.index is not None and self.index >= len(self.places):
            self.index = None
        sights, words = self._seen()
        texts = [part for part in sights if part.preview.path.endswith(".txt")]
        pictures = [part for part in sights if part not in texts]
        self._swap(bool(texts) and not pictures)
        if pictures:
            self._show_pictures(pictures, urgent)
            words += [f"{part.run.letter} has text" for part in texts]
        elif texts:
            self._texts.show([(self._title(part), self._colour(part.run.slot), part.file) for part in texts])
        else:
            self.picture.show_words("No preview that can be shown.")
        self._caption.show(kinds, self.kind, " · ".join([self._over.words(self._at, axis), *words]))
        at = len(self.places) - 1 if self.index is None else self.index
        steps = tuple(round(place) for place in self.places)
        ends = self._over.short(self.places[0], axis), self._over.short(self.places[-1], axis)
        playing = self._timer is not None
        self._timeline.show(History(steps, at, self.index is None, playing=playing, ends=ends))

    @property
    def _at(self) -> float:
        """The place that is shown."""
        return self.places[-1 if self.index is None else self.index]

    def _seen(self) -> tuple[list[Seen], list[str]]:
        """What there is to be seen at the place, and words about the runs that have nothing."""
        sights, words = list[Seen](), list[str]()
        lacking, early, without_time = list[str](), list[str](), list[str]()
        for run, history in zip(self._runs, self._histories):
            preview = until(history, self._at)
            if preview is None:
                has = any(preview.kind == self.kind for preview in run.view.samples)
                (early if history else without_time if has else lacking).append(run.letter)
                continue
            try:
                file = run.view.file(preview.path)
                file.stat()
                sights.append(Seen(run, preview, file))
            except OSError as error:
                words.append(f"{run.letter}: {error.strerror}")
        if early:
            words.append(f"not yet: {', '.join(early)}")
        if without_time:
            words.append(f"at what time is not known: {', '.join(without_time)}")
        if lacking:
            words.append(f"no such previews: {', '.join(lacking)}")
        return sights, words

    def _title(self, part: Seen) -> str:
        return f"{part.run.letter} step {part.preview.step:,} · {part.run.name}"

    def _show_pictures(self, parts: Sequence[Seen], urgent: bool) -> None:
        if self.tile is not None:
            self.tile = min(self.tile, max(tile_count(part.preview) for part in parts) - 1)
        subjects = []
        for part in parts:
            preview = part.preview
            tile = None if self.tile is None else min(self.tile, tile_count(preview) - 1)
            grid = max(1, preview.columns), max(1, preview.rows)
            title, colour = self._title(part), self._colour(part.run.slot)
            subjects.append(
                Subject(str(part.file), grid, tile, preview.gap, preview.tiles, title=title, colour=colour)
            )
        self.picture.show_pictures(*subjects, urgent=urgent)

    def _swap(self, text: bool) -> None:
        """Make way for texts, or for pictures; the keyboard follows."""
        if text == self._texts.display:
            return
        focused = self.has_focus_within
        if text:
            self.picture.show_words("")  # pixels would stay on the screen over the text
        else:
            self._texts.clear()
        self._texts.display, self.picture.display = text, not text
        if focused:
            self.call_after_refresh(self.focus_inside)

    def focus_inside(self) -> None:
        """The pictures, or the first text."""
        texts = self.query(TextView)
        (texts.first() if self._texts.display and texts else self.picture).focus()

    def recolour(self) -> None:
        if self._runs and self.display:
            self.show(self._runs, self._axis)

    # -- actions

    def _again(self, urgent: bool = True) -> None:
        self.show(self._runs, self._axis, urgent)

    def action_go(self, index: int) -> None:
        """The place of this number; the last one is followed."""
        self._halt()
        last = len(self.places) - 1
        self.index = None if index < 0 or index >= last else index
        self._again()

    def action_step(self, by: int) -> None:
        """The next place where any run has a preview, or the one before."""
        now = len(self.places) - 1 if self.index is None else self.index
        self.action_go(max(0, now + by))

    def action_leap(self, direction: int) -> None:
        """A tenth of all places on, or back."""
        self.action_step(direction * max(1, len(self.places) // 10))

    def action_play(self) -> None:
        """Go through all places, from the first where the last is shown; once more to stop."""
        if self._timer is not None or len(self.places) < 2:
            self._halt()
        else:
            self.index = 0 if self.index is None else self.index
            self._timer = self.set_interval(min(max(WHOLE / len(self.places), FASTEST), SLOWEST), self._turn)
        self._again()

    def _turn(self) -> None:
        if self.picture.busy or self.app.screen is not self.screen:
            return
        if self.index is None or self.index + 1 >= len(self.places) - 1:
            self.index = None
            self._halt()
        else:
            self.index += 1
        self._again(urgent=False)

    def _halt(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def action_kind(self, by: int) -> None:
        """The next kind of previews, at the place that is shown."""
        kinds = kinds_of(self._runs)
        if len(kinds) > 1 and self.kind in kinds:
            self._pick(kinds[(kinds.index(self.kind) + by) % len(kinds)])

    def _pick(self, kind: str) -> None:
        self._halt()
        at = self._at if self.index is not None else None
        self.kind, self.tile, self.index = kind, None, None
        if at is not None:
            stops = places([placed(run, kind, self._over, self._axis) for run in self._runs])
            self.index = max([number for number, place in enumerate(stops) if place <= at], default=0)
        self._again()

    def action_zoom(self) -> None:
        """One tile of each, large, or all of them again."""
        self.tile = 0 if self.tile is None else None
        self._again()

    def action_whole(self) -> None:
        """All tiles."""
        self.tile = None
        self._again()

    def action_tile(self, by: int) -> None:
        """The tile before or after, of each."""
        if self.tile is not None:
            self.tile = max(0, self.tile + by)
            self._again()

    def _modes(self) -> list[str]:
        return modes_of(terminal_of(self))

    def action_graphics(self) -> None:
        """Draw pictures in the next way that this terminal has."""
        modes = self._modes()
        here = modes.index(self.picture.mode) if self.picture.mode in modes else -1
        self.picture.set_mode(modes[(here + 1) % len(modes)])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape is somebody else's where no tile is alone; texts have no tiles."""
        if action == "whole":
            return self.tile is not None
        return not (action in ("zoom", "tile", "graphics") and self._texts.display)

    # -- the mouse

    def on_picture_view_clicked(self, message: PictureView.Clicked) -> None:
        """One tile, or all again."""
        message.stop()
        self.tile = message.tile if self.tile is None else None
        self._again()

    def on_picture_view_drawn(self, message: PictureView.Drawn) -> None:
        """Nobody else waits for it."""
        message.stop()

    def on_caption_stepped(self, message: Caption.Stepped) -> None:
        """An arrow beside the kind."""
        message.stop()
        self.action_kind(message.by)

    def on_caption_list_asked(self, message: Caption.ListAsked) -> None:
        """The kind itself."""
        message.stop()
        self.action_kind(1)

    def on_caption_kind_picked(self, message: Caption.KindPicked) -> None:
        """A tab."""
        message.stop()
        self._pick(message.kind)

    def on_timeline_scrubbed(self, message: Timeline.Scrubbed) -> None:
        """A place on the line."""
        message.stop()
        self.focus_inside()
        self.action_go(message.index)

    def on_timeline_tool_asked(self, message: Timeline.ToolAsked) -> None:
        """The button."""
        message.stop()
        self.action_play()

    def on_timeline_pin_asked(self, message: Timeline.PinAsked) -> None:
        """There are no pins here."""
        message.stop()

    def on_mouse_scroll_up(self) -> None:
        if not self._texts.display:
            self.action_step(-1)

    def on_mouse_scroll_down(self) -> None:
        if not self._texts.display:
            self.action_step(1)
