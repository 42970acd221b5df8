"""One picture as a widget: pixels where the terminal has them and nothing is in the way, else half-blocks or ASCII.

The cells are Textual's: blanks under pixels, half-blocks otherwise, chosen again in every frame. Pictures are decoded
and encoded by another process; one is in flight, and the newest wish wins.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui_gen.app.panes.samples.encoder import PictureEncoder
from tui_gen.app.panes.samples.imaging import PictureReply, PictureRequest, Subject
from tui_gen.app.terminal.found import terminal_of
from tui_gen.app.terminal.private import forget_lines
from tui_gen.app.terminal.wire import IN_CELLS, PROTOCOLS, PixelOverlay
from tui_gen.draw import placeholders
from tui_gen.draw.blocks import Blocks
from tui_gen.draw.place import Placement
from tui_gen.draw.text import width_of

if TYPE_CHECKING:
    from textual.filter import LineFilter

    from tui_gen.draw.terminal import Terminal

LINK_SECONDS = 2.0
"""Seconds of the link that one picture may take, where the user has limited it."""
LOOK = 0.05
"""Seconds between two looks at whether a slow link is free; the first, and longer ones, at what lies over a picture."""
LOOKS = 6
"""Looks at whether something still lies over a picture, before that is taken to stay."""


TEXT_MODES = ("halfblock", "ascii", "off")


def modes_of(terminal: Terminal | None) -> list[str]:
    """The ways of drawing that a terminal has, the best first, and `off` at last."""
    if terminal is None:
        return list(TEXT_MODES)
    best = terminal.graphics
    blocks = (terminal.unicode and terminal.colour) or best == "halfblock"
    modes = [best, *(mode for mode in TEXT_MODES if mode != best)]
    return [mode for mode in modes if mode != "halfblock" or blocks]


class PictureView(Widget, can_focus=True):
    """Shows a file of tiles, or several; `mode` is kitty, sixel, iterm2, halfblock, ascii or off."""

    DEFAULT_CSS = """
    PictureView { width: 1fr; height: 1fr; }
    """

    class Clicked(Message):
        """A tile was clicked: its number along the rows, None where there is none."""

        def __init__(self, tile: int | None) -> None:
            self.tile = tile
            super().__init__()

    class Drawn(Message):
        """A picture has been made ready: what was asked for, and what came of it."""

        def __init__(self, subjects: tuple[Subject, ...], reply: PictureReply) -> None:
            self.subjects, self.reply = subjects, reply
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.mode = "halfblock"
        self.words = ""
        """Shown instead of a picture."""
        self.picture: PixelOverlay | None = None
        self._encoder = PictureEncoder()
        self._subjects: tuple[Subject, ...] = ()
        self._wish: PictureRequest | None = None
        self._last_request: PictureRequest | None = None
        self._reply: PictureReply | None = None
        self._rows: list[Strip] = []
        self._busy: asyncio.Task[None] | None = None
        self._urgent = True
        self._pixels = False  # what the cells were last rendered for
        self._looks = 0  # how often it was looked since then whether pixels can be seen

    # -- what to show

    def on_mount(self) -> None:
        wire = getattr(self.app, "wire", None)
        if wire is not None:
            self.picture = PixelOverlay(self, wire)
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self.show_again())

    def on_unmount(self) -> None:
        if self.picture is not None:
            self.picture.close()
        if self._busy is not None:
            self._busy.cancel()
        self._encoder.close()

    @property
    def busy(self) -> bool:
        """Whether the picture that was asked for last is yet to be made."""
        return self._busy is not None

    def show_pictures(self, *subjects: Subject, urgent: bool = True) -> None:
        """Show a subject, or several beside each other; `urgent` where somebody asked for it."""
        self._urgent = urgent
        if subjects != self._subjects or self.words:
            self._subjects = subjects
            if self.words:
                self.words = ""
                self.refresh()
            self.show_again()

    def show_words(self, words: str) -> None:
        """Show a message, and no picture."""
        if words == self.words and not self._subjects:
            return
        self._subjects = ()
        self._wish = self._last_request = self._reply = None
        self.words = words
        self._rows = []
        self._put()
        self.refresh()

    def show_again(self) -> None:
        """Make the picture anew where size, mode or theme are other than they were."""
        self._wish = self._request()
        if self._wish is None or self._busy is not None:
            return
        if self._wish != self._last_request:
            self._busy = asyncio.create_task(self._make())
            return
        self._put()  # it came while the size was another for a moment
        if self._visible() != self._pixels:
            self.refresh()

    def set_mode(self, mode: str) -> None:
        """Show in another way from now on."""
        if mode != self.mode:
            self.mode = mode
            self._put()
            self._rows = []
            self.refresh()
            self.show_again()

    def _request(self) -> PictureRequest | None:
        width, height = self.size
        if not self._subjects or self.mode == "off" or not width or not height:
            return None
        protocol = self.mode if self.mode in PROTOCOLS and self.picture is not None else ""
        if protocol in IN_CELLS and self.content_region.bottom >= self.app.size.height:
            height = max(1, height - 1)  # one that ends on the last row of the screen scrolls it
        terminal = terminal_of(self)
        return PictureRequest(
            subjects=self._subjects,
            columns=width,
            rows=height,
            protocol=protocol,
            ident=self.picture.ident if self.picture else 1,
            cell=terminal.cell if terminal else None,
            light=self._light(terminal),
            colours=self.mode != "ascii" and not self.app.no_color,
            ground=self._ground() if protocol == "sixel" else None,
            largest=terminal.largest if terminal and protocol == "sixel" else None,
            most=self._afforded(),
            placeholders=protocol == "kitty" and self.picture is not None and self.picture.placeholders,
        )

    def _light(self, terminal: Terminal | None) -> bool:
        """Whether text is dark on light: without colours as the terminal has it, if it tells."""
        if self.app.no_color and terminal is not None and terminal.light is not None:
            return terminal.light
        return not self.app.current_theme.dark

    def _afforded(self) -> int:
        """The bytes of a picture, 0 for any number."""
        limit = self.picture.wire.limit if self.picture is not None else None
        return int(LINK_SECONDS * limit) if limit else 0

    def _ground(self) -> tuple[int, int, int] | None:
        """The colour behind the picture as the terminal shows it, None where that is its own."""
        colour, system = self.rich_style.bgcolor, self.app.console.color_system
        if colour is None or colour.is_default or system not in ("truecolor", "256"):
            return None
        if (depth := getattr(self.app, "depth", None)) is not None:
            colour = depth.ground(colour)
        red, green, blue = colour.get_truecolor()
        return red, green, blue

    async def _make(self) -> None:
        """Have pictures made until the newest wish is met."""
        try:
            while self._wish is not None and self._wish != self._last_request:
                while self._wish and self._wish.protocol and self.picture and not self.picture.free(self._urgent):
                    await asyncio.sleep(LOOK)
                if (request := self._wish) is None:
                    return
                reply = await self._encoder.make(request)
                if request == self._wish:
                    self._last_request = request
                    self._take(request, reply)
        finally:
            self._busy = None

    def _take(self, request: PictureRequest, reply: PictureReply) -> None:
        before, self._reply = self._reply, reply
        self._rows = []
        self._put()
        # in the same box the new pixels went over the old ones, and the blanks under them stay
        alike = before is not None and (before.words, _boxes(before)) == (reply.words, _boxes(reply))
        if not (self._pixels and alike and self._visible()):
            self.refresh()
        self.post_message(self.Drawn(request.subjects, reply))

    def _ready(self) -> bool:
        """Whether there are pixels for the present mode and size."""
        reply, request = self._reply, self._last_request
        if self.picture is None or reply is None or request is None or not reply.pieces or self.words:
            return False
        width, height = self.size
        low = self.content_region.y + reply.box[1] + reply.box[3]
        if request.protocol in IN_CELLS and low >= self.app.size.height:
            return False
        return request.protocol == self.mode and request.columns == width and request.rows in (height, height - 1)

    def _visible(self) -> bool:
        """Whether these pixels can be seen now."""
        return self.picture is not None and self._ready() and self.picture.possible

    def _put(self) -> None:
        """Tell the picture what is wanted of it."""
        if self.picture is None:
            return
        if self._reply is not None and self._ready():
            self.picture.show(self.mode, self._reply.pieces)
            if self._visible() != self._pixels:
                self.picture.held = True  # a frame of others may come before this widget's blanks
        else:
            self.picture.hide()

    # -- cells

    def render_lines(self, crop: Region) -> list[Strip]:
        # Whether something lies over the picture can change in any frame, also one that paints other widgets.
        pixels = self._visible()
        if pixels != self._pixels:
            self._pixels = pixels
            forget_lines(self)
            if self.picture is not None:
                self.picture.held = True
        if not pixels and self._ready() and self._looks == 0:
            self._look_later()
        return super().render_lines(crop)

    def _look_later(self) -> None:
        """What lay over the picture in this frame may be gone without another one that paints it: see to it then."""
        self._looks += 1
        self.set_timer(LOOK * 2**self._looks, self._look)

    def _look(self) -> None:
        if self._visible() != self._pixels:
            self.refresh()
        elif self._ready() and not self._pixels and self.screen.is_current and self._looks < LOOKS:
            self._look_later()
            return
        self._looks = 0

    def get_line_filters(self) -> list[LineFilter]:
        """As the app's, but a picture keeps its colours."""
        return [getattr(line_filter, "of_pictures", line_filter) for line_filter in super().get_line_filters()]

    def render_line(self, y: int) -> Strip:
        width, height = self.size
        error = self._reply.error if self._reply else ""
        if self.words or error or self.mode == "off":
            words = self.words or error or "Pictures are off. Press g to show them."
            return self._message(words, y, width, height).apply_style(self.rich_style)
        if self._reply is None or self._last_request is None:
            return Strip.blank(width, self.rich_style)
        strip = Strip.blank(width)
        if not self._pixels:
            if not self._rows:
                self._rows = self._cells(self._last_request, self._reply)
            if y < len(self._rows):
                strip = self._rows[y].adjust_cell_length(width)
        elif self._last_request.placeholders:
            strip = self._placeholders(strip, y, self._last_request, self._reply)
        return self._with_words(strip, y, self._reply).apply_style(self.rich_style)

    def _with_words(self, strip: Strip, y: int, reply: PictureReply) -> Strip:
        """A row with the names and the legend that stand in it."""
        for x, row, text, colour in reply.words:
            if row == y and x < strip.cell_length:
                style = Style(color=colour) if colour else None
                end = x + width_of(text)
                word = Strip([Segment(text, style)], width_of(text))
                strip = Strip.join([strip.crop(0, x), word, strip.crop(end)])
        return strip.adjust_cell_length(self.size.width)

    @staticmethod
    def _placeholders(strip: Strip, y: int, request: PictureRequest, reply: PictureReply) -> Strip:
        """A row with the cells that name the pictures in it."""
        for place, (_, (x, top, columns, rows)) in enumerate(reply.pieces):
            if top <= y < top + rows:
                ident = request.ident + place
                style = Style(color=Color.from_rgb(*placeholders.colour_of(ident)))
                cells = Strip([Segment(placeholders.row_of(ident, y - top, columns), style)], columns)
                strip = Strip.join([strip.crop(0, x), cells, strip.crop(x + columns)])
        return strip

    def _message(self, words: str, y: int, width: int, height: int) -> Strip:
        lines = [line for part in words.split("\n") for line in Content(part).wrap(max(1, width - 2))]
        first = max(0, (height - len(lines)) // 2)
        if not first <= y < first + len(lines):
            return Strip.blank(width)
        text = lines[y - first].plain.rstrip()
        left = max(0, (width - len(text)) // 2)
        return Strip([Segment(" " * left + text)]).adjust_cell_length(width)

    def _cells(self, request: PictureRequest, reply: PictureReply) -> list[Strip]:
        if self.mode == "ascii" or self.app.no_color:
            return [Strip([Segment(line)], len(line)) for line in reply.lines]
        shape = (request.rows, request.columns)
        upper = np.frombuffer(reply.upper, dtype="<i4").reshape(shape)
        lower = np.frombuffer(reply.lower, dtype="<i4").reshape(shape)
        rows = Blocks(upper, lower, Placement(0, 0, 0, 0, 0, 0, 1.0)).rows()
        return [Strip([Segment(text, _style(fore, back)) for text, fore, back in row]) for row in rows]

    # -- events

    def on_resize(self) -> None:
        self._put()
        self.show_again()

    def on_click(self, event: events.Click) -> None:
        self.post_message(self.Clicked(self._tile_at(event.x, event.y)))

    def _tile_at(self, x: int, y: int) -> int | None:
        """The number of the tile at a cell of this widget."""
        if not self._subjects or self._reply is None or self._reply.error:
            return None
        for left, top, right, bottom, number in self._reply.places:
            if left <= x + 0.5 < right and top <= y + 0.5 < bottom:
                return number
        return None


def _boxes(reply: PictureReply) -> list[tuple[int, int, int, int]]:
    return [box for _, box in reply.pieces]


def _style(fore: tuple[int, int, int] | None, back: tuple[int, int, int] | None) -> Style | None:
    if fore is None and back is None:
        return None
    return Style(
        color=Color.from_rgb(*fore) if fore else None,
        bgcolor=Color.from_rgb(*back) if back else None,
    )

