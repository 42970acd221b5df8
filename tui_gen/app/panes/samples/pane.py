"""The samples pane: the newest grid and the whole history of the shown run, made from the same noise throughout."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding

from tui_gen.app.panes.asking import ForkAsked
from tui_gen.app.panes.base import NO_RUN, Entry
from tui_gen.app.panes.samples.caption import Caption, KindList
from tui_gen.app.panes.samples.comparing import Comparison, Way
from tui_gen.app.panes.samples.help import SAMPLES_HELP
from tui_gen.app.panes.samples.imaging import Subject
from tui_gen.app.panes.samples.nearest import SEARCHING, NearestImages
from tui_gen.app.panes.samples.picture import PictureView
from tui_gen.app.panes.samples.picture_pane import PicturePane
from tui_gen.app.panes.samples.sight import Sight, band_count, tile_count
from tui_gen.app.panes.samples.text import TextView
from tui_gen.app.panes.samples.timeline import History, Timeline, Tool
from tui_gen.events import Sample
from tui_gen.states import state_look
from tui_gen.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.timer import Timer

    from tui_gen.cards import Card
    from tui_gen.view import RunView

WHOLE, FASTEST, SLOWEST = 10.0, 0.1, 0.5
"""Seconds that a whole history is played in, and those between two previews at least and at most."""
FLICKER = 0.6
"""Seconds that each of two previews is shown while they take turns."""
TOOLS: tuple[tuple[str, str], ...] = (
    ("a", "pin('A')"), ("b", "pin('B')"), ("f", "compare('flicker')"), ("s", "compare('beside')"),
    ("d", "compare('difference')"), ("n", "nearest"),
)  # fmt: skip
"""Letters at the end of the timeline, and what they do."""


PREVIEWS = "What it makes comes here: always from the same noise, so that one step can be held against another."
"""What stands here before a recipe is trained."""


class SamplesPane(PicturePane):
    """Previews of the shown run, from step 0 to now."""

    HELP = SAMPLES_HELP

    BINDINGS: ClassVar = [
        Binding("left", "step(-1)", "Earlier", key_display="← →", id="samples.earlier"),
        Binding("right", "step(1)", "Later", show=False, id="samples.later"),
        Binding("ctrl+left", "leap(-1)", "Much earlier", show=False, id="samples.much_earlier"),
        Binding("ctrl+right", "leap(1)", "Much later", show=False, id="samples.much_later"),
        Binding("home", "first", "First", show=False, id="samples.first"),
        Binding("end", "newest", "Follow", id="samples.newest"),
        Binding("p", "play", "Play", id="samples.play"),
        Binding("enter", "zoom", "Tile", id="samples.zoom"),
        Binding("escape", "whole", "Whole grid", show=False, id="samples.whole"),
        Binding("up", "tile(-1)", "Row or tile before", show=False, id="samples.tile_before"),
        Binding("down", "tile(1)", "Row or tile after", show=False, id="samples.tile_after"),
        Binding("d", "compare('difference')", "Difference", id="samples.difference"),
        Binding("s", "compare('beside')", "Side by side", id="samples.beside"),
        Binding("f", "compare('flicker')", "Flicker", id="samples.flicker"),
        Binding("a", "pin('A')", "Pin A", key_display="a b", id="samples.pin_a"),
        Binding("b", "pin('B')", "Pin B", show=False, id="samples.pin_b"),
        Binding("n", "nearest", "Nearest", id="samples.nearest"),
        Binding("t", "kind(1)", "Kind", key_display="t k", id="samples.kind"),
        Binding("T", "kind(-1)", "Kind before", show=False, id="samples.kind_before"),
        Binding("k", "kinds", "All kinds", show=False, id="samples.kinds"),
        Binding("g", "graphics", "Graphics", id="samples.graphics"),
        Binding("y", "copy", "Copy path", show=False, id="samples.copy"),
        Binding("w", "save", "Save as", id="samples.save"),
        Binding("N", "note", "Note", show=False, id="samples.note"),
        Binding("F", "fork", "Fork from here", show=False, id="samples.fork"),
    ]

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.kind = ""
        self.tile: int | None = None
        self.band: int | None = None
        """The row of tiles that is shown alone; None for all, or for a tile."""
        self._index: int | None = None
        """The preview shown; None follows the newest."""
        self.comparison = Comparison()
        self.nearest = NearestImages(self.redraw)
        self._timer: Timer | None = None
        """Plays, or lets two previews take turns: there is none while neither is done."""
        self.playing = False
        self._caption = Caption()
        self._words_view = TextView()
        self._timeline = Timeline()
        self._tile_layout: tuple[tuple[int, int], int] | None = None
        """(columns, rows) and number of the tiles that can be seen."""
        self._differs: tuple[float, float] | None = None
        self._next_kind = ""
        self._keys_for: object = None
        """What the keys and their words depended on when they were shown last."""

    def compose(self) -> ComposeResult:
        yield self._caption
        yield self.picture
        yield self._words_view
        yield self._timeline

    def on_mount(self) -> None:
        self._words_view.display = False
        self.redraw()

    def on_unmount(self) -> None:
        self.nearest.stop()

    def on_hide(self) -> None:
        """Nothing moves that nobody sees."""
        self._halt()

    # -- the run

    def show_run(self, view: RunView | None) -> None:
        super().show_run(view)  # the kind stays, where this run has it too
        self._next_kind = ""
        self.tile = self.band = self._index = self._tile_layout = None
        self.comparison = Comparison()
        self.nearest.stop()
        self._halt()
        self.redraw()

    def update_view(self, parts: set[str]) -> None:
        if "samples" in parts or ("status" in parts and not self.kinds()):
            self.redraw(urgent=False)

    def kinds(self) -> list[str]:
        """The kinds of previews there are, in the order they came."""
        return list(dict.fromkeys(preview.kind for preview in self.view.samples)) if self.view else []

    def history(self) -> list[Sample]:
        """The previews of the kind that is shown, by step; of two of one step the second, which has its file."""
        samples = self.view.samples if self.view else []
        return list({preview.step: preview for preview in samples if preview.kind == self.kind}.values())

    @property
    def preview(self) -> Sample | None:
        """The preview that is shown."""
        history = self.history()
        if not history:
            return None
        return history[-1] if self._index is None else history[min(self._index, len(history) - 1)]

    def redraw(self, urgent: bool = True) -> None:
        """Show what there is. Whatever brought it here, keys and their words are those of what is shown."""
        if not self.is_mounted:
            return
        self._draw(urgent)
        keys = (self.playing, self.tile is None, self.band is None, self._words_view.display, len(self.kinds()) > 1)
        if keys != self._keys_for:
            self._keys_for = keys
            self.refresh_bindings()

    def _draw(self, urgent: bool) -> None:
        kinds = self.kinds()
        if self._next_kind in kinds:
            self.kind, self._next_kind, self._index, self.tile, self.band = self._next_kind, "", None, None, None
        if self.kind not in kinds:
            self.kind = kinds[0] if kinds else ""
            self._index = None
        history = self.history()
        if self._index is not None and self._index >= len(history):
            self._index = None  # the run went on from an earlier step
        preview, view = self.preview, self.view
        self._swap(preview is not None and preview.path.endswith(".txt"))
        if preview is None or view is None:
            if self.view is None and self.card is not None and self.card.picture:
                self.picture.show_pictures(Subject(self.card.picture, title=self.card.title))
            else:
                self.picture.show_words(self._words())
            self._caption.show([], "", "")
            self._timeline.show(History())
            return
        if self.tile is not None:
            self.tile = min(self.tile, tile_count(preview) - 1)
        if self.band is not None:
            self.band = min(self.band, band_count(preview) - 1)
        index = len(history) - 1 if self._index is None else self._index
        text = self._words_view.display
        sight = Sight(view, history, index, self.comparison, self.tile, self.band)
        if self.nearest.on and self.tile is not None and not text:
            answer = self.nearest.of(view, preview, tile_count(preview))
            sight = sight._replace(neighbours=answer)
            if isinstance(answer, str) and answer != SEARCHING:
                self.nearest.stop()
                self.notify(answer, severity="warning", markup=False)
        try:
            if text:
                self._words_view.show_file(view.file(preview.path))
            else:
                self.picture.show_pictures(*sight.subjects(), urgent=urgent)
        except OSError as error:
            self._swap(False)
            self.picture.show_words(f"{preview.path} cannot be shown: {error.strerror}.")
        tools = () if text else tuple(Tool(letter, action, self._is_on(action)) for letter, action in TOOLS)
        pins = tuple(self.comparison.places(history).items())
        steps = tuple(sample.step for sample in history)
        self._timeline.show(History(steps, index, self._index is None, pins, self.playing, tools))
        words = sight.words(self._tile_layout, self._differs) + self.notes_text
        self._caption.show(kinds, self.kind, words, sight.room())

    def _swap(self, text: bool) -> None:
        """Make way for text, or for a picture; the keyboard follows."""
        if text == self._words_view.display:
            return
        old, new = (self.picture, self._words_view) if text else (self._words_view, self.picture)
        had_focus = old.has_focus
        if text:
            self.picture.show_words("")  # pixels would stay on the screen over the text
        new.display, old.display = True, False
        if had_focus:
            new.focus()

    def show_card(self, card: Card | None) -> None:
        """Show what the recipe made, while there is no run."""
        super().show_card(card)
        if self.view is None:
            self.redraw()

    def _words(self) -> str:
        view = self.view
        if view is None:
            return NO_RUN if self.card is None else PREVIEWS
        if view.live:
            return f"The run {state_look(view.state).doing}. Its first preview appears here."
        return f"The run {state_look(view.state).doing}, and has no previews."

    def on_picture_view_drawn(self, message: PictureView.Drawn) -> None:
        message.stop()
        reply, subject = message.reply, message.subjects[0]
        if reply.error:
            return
        before = self._tile_layout, self._differs
        self._differs = reply.differs
        if subject.tile is None and subject.band is None:
            self._tile_layout = reply.grid, reply.count
        if (self._tile_layout, self._differs) != before:
            self.redraw()

    # -- history

    def _go(self, index: int) -> None:
        """Show preview `index`; the last one is followed, but not by searches for neighbours."""
        last = len(self.history()) - 1
        self._index = None if index >= last and not self.nearest.on else max(0, min(index, last))
        self.redraw()

    def action_step(self, by: int) -> None:
        self._halt()
        last = len(self.history()) - 1
        self._go((last if self._index is None else self._index) + by)

    def action_leap(self, direction: int) -> None:
        self.action_step(direction * max(1, len(self.history()) // 10))

    def action_first(self) -> None:
        self._halt()
        self._go(0)

    def action_newest(self) -> None:
        self._halt()
        self._go(len(self.history()))

    def action_play(self) -> None:
        """Go through the history, from its beginning where it is at its end; once more to stop."""
        count = len(self.history())
        if self.playing or count < 2:
            self._halt()
        else:
            self._halt()
            self.nearest.stop()
            self._index = 0 if self._index is None else self._index
            self._begin(min(max(WHOLE / count, FASTEST), SLOWEST))
            self.playing = True
        self.redraw()

    def _begin(self, seconds: float) -> None:
        self._timer = self.set_interval(seconds, self._turn, name="previews")

    def _halt(self) -> None:
        """Nothing moves any more."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self.playing = False
        if self.comparison.way == "flicker":
            self.comparison.stop()

    def _turn(self) -> None:
        """The next picture, unless the one before is still on its way."""
        if self.picture.busy or self.app.screen is not self.screen:
            return
        if not self.playing:
            self.comparison.turned = not self.comparison.turned
        elif self._index is None or self._index + 1 >= len(self.history()) - 1:
            self._index = None
            self._halt()
        else:
            self._index += 1
        self.redraw(urgent=False)

    # -- neighbours

    def action_nearest(self) -> None:
        """Show a tile beside the training images that are nearest to it, or not any more."""
        if self.nearest.on:
            self.nearest.stop()
        elif self.preview is not None:
            self._halt()
            self.comparison.stop()
            if self._index is None:  # each new preview would have all training images gone through again
                self._index = len(self.history()) - 1
            self.nearest.on = True
            if self.tile is None:
                self.action_zoom()
        self.redraw()

    # -- comparing

    def action_pin(self, letter: str) -> None:
        """Pin the step that is shown, or let it go."""
        if self.preview is not None:
            self.comparison.pin(letter, self.preview.step)
            self.redraw()

    def action_compare(self, way: Way) -> None:
        """Compare in this way, with the next thing that there is to compare with, and then with nothing."""
        history, view = self.history(), self.view
        if view is None or not history:
            return
        index = len(history) - 1 if self._index is None else self._index
        self.nearest.stop()
        going = self.comparison.way == "flicker"
        self._halt()
        if not (going and way == "flicker"):
            if not self.comparison.go_on(way, self.comparison.counterparts(view.samples, history, index)):
                self.notify("There is only this preview: nothing to compare it with yet.", severity="warning")
            elif self.comparison.way == "flicker":
                self._begin(FLICKER)
        self.redraw()

    def _is_on(self, action: str) -> bool:
        """Whether what an action does is done."""
        letter = action.partition("'")[2].rstrip("')")
        if not letter:
            return self.nearest.on
        return letter in self.comparison.pins or letter == self.comparison.way

    def on_timeline_pin_asked(self, message: Timeline.PinAsked) -> None:
        message.stop()
        history = self.history()
        if message.index < len(history):
            self.comparison.pin_next(history[message.index].step)
            self.redraw()

    async def on_timeline_tool_asked(self, message: Timeline.ToolAsked) -> None:
        message.stop()
        self.picture.focus()
        await self.run_action(message.action)

    def on_timeline_scrubbed(self, message: Timeline.Scrubbed) -> None:
        message.stop()
        (self._words_view if self._words_view.display else self.picture).focus()
        self._halt()
        self._go(message.index)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_step(-1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_step(1)

    # -- kinds and tiles

    def action_kind(self, by: int = 1) -> None:
        kinds = self.kinds()
        if len(kinds) > 1:
            self.pick(kinds[(kinds.index(self.kind) + by) % len(kinds)])

    def action_kinds(self) -> None:
        """Choose from a list of all kinds."""
        rows = []
        samples = self.view.samples if self.view is not None else []
        for kind in self.kinds():
            steps = [preview.step for preview in samples if preview.kind == kind]
            rows.append((kind, f"{len(steps):,} to step {steps[-1]:,}"))
        if len(rows) < 2:
            return

        def chosen(kind: str | None) -> None:
            if kind:
                self.pick(kind)

        self.app.push_screen(KindList(rows, self.kind, self._caption.region.bottom_left), chosen)

    def on_caption_stepped(self, message: Caption.Stepped) -> None:
        message.stop()
        self.action_kind(message.by)

    def on_caption_list_asked(self, message: Caption.ListAsked) -> None:
        message.stop()
        self.action_kinds()

    def on_caption_kind_picked(self, message: Caption.KindPicked) -> None:
        message.stop()
        self.pick(message.kind)

    def show_kind(self, kind: str) -> None:
        """Show the newest preview of a kind, as soon as there is one."""
        self._halt()
        self._next_kind = kind
        self.redraw()

    def pick(self, kind: str) -> None:
        """Show another kind, at the step that was shown, or the nearest one before it."""
        self._halt()
        before = self.preview
        self.kind, self.tile, self.band = kind, None, None
        if self._index is not None and before is not None:
            earlier = [i for i, preview in enumerate(self.history()) if preview.step <= before.step]
            self._index = earlier[-1] if earlier else 0
        self.redraw()

    def on_picture_view_clicked(self, message: PictureView.Clicked) -> None:
        message.stop()
        if self.tile is not None:
            self.action_whole()
        elif message.tile is not None:
            self._zoom(message.tile)

    def _zoom(self, tile: int | None) -> None:
        preview = self.preview
        if preview is not None and tile_count(preview) > 1:
            self.tile = tile
            self.redraw()

    def action_zoom(self) -> None:
        first = 0
        if self.preview is not None and self.band is not None:
            rows = max(1, self.preview.rows)
            first = self.band * self.preview.tiles.band(rows) * max(1, self.preview.columns)
        self._zoom(first if self.tile is None else None)

    def action_whole(self) -> None:
        self.band = None
        self._zoom(None)
        self.redraw()

    def action_tile(self, by: int) -> None:
        """The row before or after, of tiles or of one's own; past the last one all of them are shown."""
        preview = self.preview
        if preview is None:
            return
        if self.tile is not None:
            self._zoom((self.tile + by) % tile_count(preview))
        elif (bands := band_count(preview)) > 1:
            place = (by > 0) - 1 if self.band is None else self.band + by
            self.band = place % bands if self.band is None else place if 0 <= place < bands else None
            self.redraw()

    def action_fork(self) -> None:
        """A new run that goes on from the preview's step."""
        if self.view is not None and self.preview is not None:
            self.post_message(ForkAsked(self.view.path, self.preview.step))

    def label(self, words: str, action: str) -> str:
        """The way back from a magnified tile."""
        if action == "play" and self.playing:
            return "Stop"
        return "Whole grid" if action == "zoom" and self.tile is not None else words

    def entries(self) -> Iterable[Entry]:
        """Every kind of previews."""
        for kind in self.kinds():
            yield Entry(f"Previews: {clean(kind)}", partial(self.pick, kind), "in the Samples pane")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "whole":
            return self.tile is not None or self.band is not None
        if action in ("zoom", "tile", "graphics", "compare", "pin", "nearest") and self._words_view.display:
            return False  # text has no tiles, and one way to be shown
        return not (action in ("kind", "kinds") and len(self.kinds()) < 2)
