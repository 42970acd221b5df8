"""The samples pane: the newest grid and the whole history of the shown run, made from the same noise throughout."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui_gen.app.panes.base import NO_RUN, Entry, Pane
from tui_gen.app.panes.samples.caption import Caption, KindList
from tui_gen.app.panes.samples.picture import PictureView
from tui_gen.app.panes.samples.text import TextView
from tui_gen.app.terminal.wire import PROTOCOLS
from tui_gen.app.widgets.path_dialog import PathDialog
from tui_gen.events import Sample
from tui_gen.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tui_gen.draw.terminal import Terminal
    from tui_gen.view import RunView

TEXT_MODES = ("halfblock", "ascii", "off")


class Timeline(Widget):
    """All previews of a kind in a row, in the order of their steps; a click or a drag goes to one."""

    DEFAULT_CSS = """
    Timeline { height: 1; width: 1fr; color: $quiet; }
    """

    class Scrubbed(Message):
        """Preview number `index` was pointed at."""

        def __init__(self, index: int) -> None:
            self.index = index
            super().__init__()

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Timeline.Scrubbed)

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[int] = []
        self.index = 0
        self.following = True
        self._held = False

    def show(self, steps: list[int], index: int, following: bool) -> None:
        """The previews' steps, which one is shown, and whether the newest is followed."""
        if (steps, index, following) != (self.steps, self.index, self.following):
            self.steps, self.index, self.following = steps, index, following
            self.refresh()

    def _labels(self) -> tuple[str, str]:
        if not self.steps:
            return "", ""
        last = f"{self.steps[-1]:,}"
        return f"{self.steps[0]:,} ", f" {last} " + ("now " if self.following else "end ")

    def _track(self) -> tuple[int, int]:
        """First column and length of the track."""
        left, right = self._labels()
        return len(left), max(1, self.size.width - len(left) - len(right))

    def render_line(self, y: int) -> Strip:
        if len(self.steps) < 2:
            return Strip.blank(self.size.width, self.rich_style)
        left, right = self._labels()
        _, length = self._track()
        terminal: Terminal | None = getattr(self.app, "terminal", None)
        plain = terminal is not None and not terminal.unicode
        line, knob = ("-", "O") if plain else ("─", "●")
        at = round(self.index * (length - 1) / (len(self.steps) - 1))
        segments = [
            Segment(left),
            Segment(line * at),
            Segment(knob, Style(bold=True)),
            Segment(line * (length - at - 1)),
            Segment(right),
        ]
        return Strip(segments).adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def _point(self, x: int) -> None:
        start, length = self._track()
        part = min(max((x - start) / max(1, length - 1), 0.0), 1.0)
        if len(self.steps) > 1:
            self.post_message(self.Scrubbed(round(part * (len(self.steps) - 1))))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._held = True
        self.capture_mouse()
        self._point(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._held:
            self._point(event.x)

    def on_mouse_up(self) -> None:
        self._held = False
        self.release_mouse()


def _count(sample: Sample) -> int:
    """How many tiles a preview has; those that only fill its last row are none."""
    every = max(1, sample.columns) * max(1, sample.rows)
    return sample.tiles.count if 0 < sample.tiles.count <= every else every


class SamplesPane(Pane):
    """Previews of the shown run, from step 0 to now."""

    HELP = """
## Samples

What the model makes, **from the same noise at every step**: step through the history to see one digit, face or cloud
of points take shape. Averaged (EMA) weights are used where the model keeps them.

| key | does |
|---|---|
| `←` `→`, wheel, timeline | the preview before, or after |
| `ctrl+←` `ctrl+→` | a tenth of the history |
| `home` `end` | the first preview; the newest, and follow it |
| `enter`, click | one tile large; again, or `escape`: the whole grid |
| `↑` `↓` | the tile before, or after, when one is shown |
| `t` `T` | the next kind, or the one before: samples, reconstructions, codes, quality … |
| `k` | a list of all kinds |
| `g` | another way to draw: pixels (kitty or sixel), half-blocks, ASCII, off |
| `y` | copy the path of the file |
| `w` | save the picture as … |

Tiles are laid out so that they are as large as the pane allows. What belongs together stays together: an original and
its reconstruction, the samples of a class, a way from noise to sample. Their names stand below or beside them, the
legend of a plot beside it; where a pane is too small for names, `enter` shows a tile with its name. Where it is too
small for all tiles, half-blocks show as many as can be made out.
"""

    BINDINGS: ClassVar = [
        Binding("left", "step(-1)", "Earlier", key_display="← →", id="samples.earlier"),
        Binding("right", "step(1)", "Later", show=False, id="samples.later"),
        Binding("ctrl+left", "leap(-1)", "Much earlier", show=False, id="samples.much_earlier"),
        Binding("ctrl+right", "leap(1)", "Much later", show=False, id="samples.much_later"),
        Binding("home", "first", "First", show=False, id="samples.first"),
        Binding("end", "newest", "Follow", id="samples.newest"),
        Binding("enter", "zoom", "Tile", id="samples.zoom"),
        Binding("escape", "whole", "Whole grid", show=False, id="samples.whole"),
        Binding("up", "tile(-1)", "Tile before", show=False, id="samples.tile_before"),
        Binding("down", "tile(1)", "Tile after", show=False, id="samples.tile_after"),
        Binding("t", "kind(1)", "Kind", key_display="t k", id="samples.kind"),
        Binding("T", "kind(-1)", "Kind before", show=False, id="samples.kind_before"),
        Binding("k", "kinds", "All kinds", show=False, id="samples.kinds"),
        Binding("g", "graphics", "Graphics", id="samples.graphics"),
        Binding("y", "copy", "Copy path", show=False, id="samples.copy"),
        Binding("w", "save", "Save as", id="samples.save"),
    ]

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.kind = ""
        self.tile: int | None = None
        self._index: int | None = None
        """The preview shown; None follows the newest."""
        self._caption = Caption()
        self._picture = PictureView()
        self._words_view = TextView()
        self._timeline = Timeline()
        self._seen: tuple[tuple[int, int], int] | None = None
        """(columns, rows) and number of the tiles that can be seen."""
        self._wanted = ""

    def compose(self) -> ComposeResult:
        yield self._caption
        yield self._picture
        yield self._words_view
        yield self._timeline

    def on_mount(self) -> None:
        self._words_view.display = False
        self._best = self.modes()[0]
        self._picture.set_mode(self._best)
        self._refill()
        changed = getattr(self.app, "terminal_changed_signal", None)
        if changed is not None:
            changed.subscribe(self, lambda _terminal: self._on_another_terminal())

    # -- the run

    def show_run(self, view: RunView | None) -> None:
        super().show_run(view)  # the kind stays, where this run has it too
        self._wanted = ""
        self.tile = self._index = self._seen = None
        self._refill()

    def update_view(self, changed: set[str]) -> None:
        if "samples" in changed or ("status" in changed and not self.kinds()):
            self._refill(urgent=False)

    def kinds(self) -> list[str]:
        """The kinds of previews there are, in the order they came."""
        return list(dict.fromkeys(preview.kind for preview in self.view.samples)) if self.view else []

    def history(self) -> list[Sample]:
        """The previews of the kind that is shown, by step."""
        return [preview for preview in self.view.samples if preview.kind == self.kind] if self.view else []

    @property
    def shown(self) -> Sample | None:
        """The preview that is shown."""
        history = self.history()
        if not history:
            return None
        return history[-1] if self._index is None else history[min(self._index, len(history) - 1)]

    def _refill(self, urgent: bool = True) -> None:
        if not self.is_mounted:
            return
        kinds = self.kinds()
        if self._wanted in kinds:
            self.kind, self._wanted, self._index, self.tile = self._wanted, "", None, None
        if self.kind not in kinds:
            self.kind = kinds[0] if kinds else ""
            self._index = None
        history = self.history()
        if self._index is not None and self._index >= len(history):
            self._index = None  # the run went on from an earlier step
        preview, view = self.shown, self.view
        self._swap(preview is not None and preview.path.endswith(".txt"))
        if preview is None or view is None:
            self._picture.show_words(self._words())
            self._caption.show([], "", "")
            self._timeline.show([], 0, True)
            return
        index = len(history) - 1 if self._index is None else self._index
        grid = (max(1, preview.columns), max(1, preview.rows))
        if self.tile is not None:
            self.tile = min(self.tile, _count(preview) - 1)
        try:
            file = view.file(preview.path)
        except OSError as error:
            self._swap(False)
            self._picture.show_words(f"{preview.path} cannot be shown: {error.strerror}.")
        else:
            if self._words_view.display:
                self._words_view.show_file(file)
            else:
                self._picture.show_picture(str(file), grid, self.tile, preview.gap, preview.tiles, urgent=urgent)
        self._timeline.show([sample.step for sample in history], index, self._index is None)
        self._caption.show(kinds, self.kind, self._text(preview, index, len(history)))

    def _swap(self, text: bool) -> None:
        """Make way for text, or for a picture; the keyboard follows."""
        if text == self._words_view.display:
            return
        old, new = (self._picture, self._words_view) if text else (self._words_view, self._picture)
        focused = old.has_focus
        if text:
            self._picture.show_words("")  # pixels would stay on the screen over the text
        new.display, old.display = True, False
        if focused:
            new.focus()

    def _words(self) -> str:
        view = self.view
        if view is None:
            return NO_RUN
        if view.live:
            return f"The run is {view.state}. Its first preview appears here."
        return f"The run is {view.state} and has no previews."

    def _text(self, preview: Sample, index: int, count: int) -> str:
        high, wide = preview.tile
        text = f"step {preview.step:,} · {index + 1}/{count}"
        if self.tile is not None:
            name = preview.tiles.name(self.tile, max(1, preview.columns))
            name = f"{name} · " if name else ""
            return f"{text} · {name}tile {self.tile + 1} of {_count(preview)}, {wide}×{high}"
        if preview.path.endswith(".txt") or (preview.tiles.plot and _count(preview) == 1):
            return text
        (columns, rows), seen = self._seen or ((preview.columns, preview.rows), _count(preview))
        if seen < _count(preview):
            return f"{text} · {seen} of {_count(preview)} tiles"
        shape = f"{columns}×{rows}" if columns * rows == seen else f"{seen}"
        return f"{text} · {shape} of {wide}×{high}"

    def on_picture_view_drawn(self, message: PictureView.Drawn) -> None:
        message.stop()
        seen = None if self.tile is not None or message.error else (message.shown, message.count)
        if seen is not None and seen != self._seen:
            self._seen = seen
            self._refill()

    # -- history

    def _go(self, index: int) -> None:
        """Show preview `index`; the last one is followed."""
        last = len(self.history()) - 1
        self._index = None if index >= last else max(0, index)
        self._refill()

    def action_step(self, by: int) -> None:
        last = len(self.history()) - 1
        self._go((last if self._index is None else self._index) + by)

    def action_leap(self, direction: int) -> None:
        self.action_step(direction * max(1, len(self.history()) // 10))

    def action_first(self) -> None:
        self._go(0)

    def action_newest(self) -> None:
        self._go(len(self.history()))

    def on_timeline_scrubbed(self, message: Timeline.Scrubbed) -> None:
        message.stop()
        (self._words_view if self._words_view.display else self._picture).focus()
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
        self._wanted = kind
        self._refill()

    def pick(self, kind: str) -> None:
        """Show another kind, at the step that was shown, or the nearest one before it."""
        before = self.shown
        self.kind, self.tile = kind, None
        if self._index is not None and before is not None:
            earlier = [i for i, preview in enumerate(self.history()) if preview.step <= before.step]
            self._index = earlier[-1] if earlier else 0
        self._refill()

    def on_picture_view_clicked(self, message: PictureView.Clicked) -> None:
        message.stop()
        if self.tile is not None:
            self.action_whole()
        elif message.tile is not None:
            self._zoom(message.tile)

    def _zoom(self, tile: int | None) -> None:
        preview = self.shown
        if preview is not None and _count(preview) > 1:
            self.tile = tile
            self._refill()

    def action_zoom(self) -> None:
        self._zoom(0 if self.tile is None else None)
        self.refresh_bindings()

    def action_whole(self) -> None:
        self._zoom(None)

    def action_tile(self, by: int) -> None:
        preview = self.shown
        if self.tile is not None and preview is not None:
            self._zoom((self.tile + by) % _count(preview))

    def label(self, words: str, action: str) -> str:
        """The way back from a magnified tile."""
        return "Whole grid" if action == "zoom" and self.tile is not None else words

    def entries(self) -> Iterable[Entry]:
        """Every kind of previews."""
        for kind in self.kinds():
            yield Entry(f"Previews: {clean(kind)}", partial(self.pick, kind), "in the Samples pane")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("whole", "tile"):
            return self.tile is not None
        if action in ("zoom", "graphics") and self._words_view.display:
            return False  # text has no tiles, and one way to be shown
        return not (action in ("kind", "kinds") and len(self.kinds()) < 2)

    # -- graphics and files

    def modes(self) -> list[str]:
        """The ways of drawing that this terminal has, the best first."""
        terminal: Terminal | None = getattr(self.app, "terminal", None)
        if terminal is None:
            return list(TEXT_MODES)
        chosen = terminal.graphics
        modes = [chosen, *(mode for mode in TEXT_MODES if mode != chosen)]
        blocks = (terminal.unicode and terminal.colour) or chosen == "halfblock"
        return [mode for mode in modes if mode != "halfblock" or blocks]

    def action_graphics(self) -> None:
        modes = self.modes()
        mode = self._picture.mode
        self.set_graphics(modes[(modes.index(mode) + 1) % len(modes)] if mode in modes else modes[0])

    def set_graphics(self, mode: str) -> None:
        """Draw as kitty, sixel, halfblock, ascii, off; auto is the best there is. Unsupported pixels stay off."""
        if mode == "auto" or (mode in PROTOCOLS and mode not in self.modes()):
            mode = self.modes()[0]
        self._picture.set_mode(mode)
        self.set_title(mode if mode != self.modes()[0] else "")
        self._refill()

    def _on_another_terminal(self) -> None:
        """The best there is, unless something else was chosen that is there, too."""
        before, self._best = self._best, self.modes()[0]
        mode = self._picture.mode
        self.set_graphics(mode if mode != before and mode in self.modes() else self._best)
        self._picture.show_again()

    def _file(self) -> Path | None:
        preview, view = self.shown, self.view
        try:
            return view.file(preview.path) if preview is not None and view is not None else None
        except OSError:
            return None

    def action_copy(self) -> None:
        file = self._file()
        if file is not None:
            self.app.copy_to_clipboard(clean(str(file)))
            self.notify(f"Copied {file}", markup=False)

    def action_save(self) -> None:
        file, preview, view = self._file(), self.shown, self.view
        if file is None or preview is None or view is None:
            self.notify("There is no picture to save yet.", severity="warning")
            return
        name = f"{view.path.name}-{self.kind}-{preview.step:06d}{file.suffix}"

        def save(target: Path | None) -> None:
            if target is not None:
                self._save(file, target)

        self.app.push_screen(PathDialog("Save this picture as", name, save=True, suffix=file.suffix), save)

    @work(thread=True, exit_on_error=False)
    def _save(self, file: Path, target: Path) -> None:
        try:
            shutil.copyfile(file, target)
        except (OSError, shutil.SameFileError) as error:
            words = f"Not saved as {target}: {getattr(error, 'strerror', '') or error}"
            self.app.call_from_thread(self.notify, words, severity="error", markup=False)
        else:
            self.app.call_from_thread(self.notify, f"Saved as {target}", markup=False)
