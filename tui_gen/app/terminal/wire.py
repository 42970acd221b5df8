"""What goes to the terminal: counts bytes, asks for round trips, writes pixels.

Pixels go through the driver's queue *after* a frame: Textual owns the cells, and a picture is put over them where they
are blank. Where it is covered or clipped, the widget shows half-blocks and the picture goes away.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textual.geometry import Offset, Region

from tui_gen.app.terminal.found import terminal_of
from tui_gen.app.terminal.private import count_writes, visible_widgets
from tui_gen.app.terminal.repaint import Screenful

if TYPE_CHECKING:
    from textual.screen import Screen
    from textual.timer import Timer
    from textual.widget import Widget

    from tui_gen.app.terminal.private import HookedApp
    from tui_gen.draw.place import Pieces

ROUND_TRIP = "\x1b[?2026$p"
"""A question every terminal that knows synchronised output answers; Textual already parses the answer."""
POSITION = "\x1b[6n"
"""A question the others answer; it is the second choice, because some answers look like F3 with modifiers."""

PROTOCOLS = ("kitty", "sixel", "iterm2")
IN_CELLS = ("sixel", "iterm2")
"""Those whose pixels go where text is written over them, and scroll a screen whose last row they fill."""
REST = 3.0
"""After a picture the link is left to others for so many times as long as it took, unless somebody asks for another."""
PATIENCE = 20.0
"""Seconds after which an answer is not waited for any more."""
TRIES = 3
"""Frames that may be asked for to write the cells of a picture that has to go."""
AGAIN = 1.5
"""Seconds after which a picture that goes through tmux is sent once more: tmux drops what it cannot pass on at once."""
SETTLE = 0.03
"""Seconds to wait for another frame before sixels that were painted over are sent again."""


class Wire:
    """What goes to the terminal: how many bytes in all, and writes of our own after a frame.

    `after_frame` callables run when Textual has queued a frame. In headless tests nothing is ever written.
    """

    def __init__(self, app: HookedApp) -> None:
        self._app = app
        self.limit: float | None = None
        """Bytes a second that the user allows, None for as many as the link takes."""
        self.bytes_written = 0
        """Bytes given to the terminal since the start."""
        self.frames = 0
        """Frames drawn since the start."""
        self.after_frame: list[Callable[[], None]] = []
        self.when_dropped: list[Callable[[], None]] = []
        """Called when no answer is waited for any more."""
        self.pictures: list[PixelOverlay] = []
        self.screenful = Screenful()
        self.answers = False
        """Whether the terminal is known to answer."""
        self._sync = False
        self._questions: deque[Callable[[], None] | None] = deque(maxlen=64)
        self._byte_source: object = None
        self._frame: Any = None
        self.front: Screen[Any] | None = None
        """The screen that the terminal shows: the one in front of the app, once a frame of it was drawn."""
        self.drawn_size: object = None
        """The size of the window for which that frame was laid out."""
        self._update: Any = None

    def attach(self) -> None:
        """Count what the driver writes from now on; harmless to call again (after a suspend, say)."""
        driver = self._app.current_driver
        if driver is None or driver is self._byte_source:
            return
        self._byte_source = driver
        count_writes(driver, self._count)

    def _count(self, count: int) -> None:
        self.bytes_written += count

    @property
    def real(self) -> bool:
        """Whether there is a terminal at the other end."""
        return self._app.current_driver is not None and not self._app.is_headless

    def send(self, data: str) -> None:
        """Queue raw bytes behind the frames written so far."""
        driver = self._app.current_driver
        if driver is not None and not self._app.is_headless:
            driver.write(data)
            driver.flush()

    def ask_round_trip(self, then: Callable[[], None] | None = None) -> bool:
        """Send the question whose answer tells that everything before it has been drawn. False where none is sent.

        `then` is called with the answer, which `answered` keeps apart from those to others.
        """
        if not self.real:
            return False
        self._questions.append(then)
        self.send(ROUND_TRIP if self._sync else POSITION)
        return True

    def answered(self, position: bool = False) -> bool:
        """An answer came; they come in order. False where it was to a question that had a `then`, which is called.

        `position` tells an answer to POSITION from one to ROUND_TRIP.
        """
        self.answers = True
        self._sync = self._sync or not position
        then = self._questions.popleft() if self._questions else None
        if then is not None:
            then()
        return then is None

    def drop(self) -> None:
        """Wait for no answer any more: the terminal that was asked may be gone."""
        self._questions.clear()
        for picture in self.pictures:
            picture.drop()
        for call in self.when_dropped:
            call()

    # -- what a frame painted, and what lies over what

    def painting(self, renderable: Any, screen: Screen[Any] | None = None, size: object = None) -> None:
        """Textual is about to draw this update (None: nothing) of a screen, in a window of this size."""
        self._frame = renderable
        if renderable is None:
            return
        self.drawn_size = size
        if getattr(renderable, "spans", None) is None:  # a part of what lies below may come before a dialog is gone
            self.front = screen

    def painted(self, region: Region) -> bool:
        """Whether the frame just drawn wrote any cell of `region` of the screen."""
        if self._frame is None:
            return False
        spans = getattr(self._frame, "spans", None)
        if spans is None:  # not a partial update
            return True
        return any(region.y <= y < region.bottom and x1 < region.right and x2 > region.x for y, x1, x2 in spans)

    def painted_all(self, region: Region) -> bool:
        """Whether the frame just drawn wrote every cell of `region` of the screen."""
        if self._frame is None:
            return not region
        spans = getattr(self._frame, "spans", None)
        if spans is None:
            return True
        rows = {y for y, x1, x2 in spans if x1 <= region.x and x2 >= region.right}
        return rows.issuperset(region.line_range)

    def writing(self, renderable: Any) -> None:
        """Of the update, this is sent to the terminal."""
        self._update = renderable

    def wrote_all(self, region: Region) -> bool:
        """Whether the frame just drawn sent every cell of `region` of the screen, also those that look as before."""
        pieces = getattr(self._update, "pieces", None)
        if pieces is None or self._frame is None:
            return self.painted_all(region)
        width: dict[int, int] = dict.fromkeys(region.line_range, 0)
        for x, y, strip in pieces:
            if y in width:
                width[y] += max(0, min(x + strip.cell_length, region.right) - max(x, region.x))
        return all(cells >= region.width for cells in width.values())

    def write_again(self, region: Region) -> None:
        """Have every cell of these rows sent, whatever was known of them."""
        self.screenful.forget(region.line_range)
        if self._app.screen_stack:
            self._app.screen.refresh()

    def drawn(self) -> None:
        """Textual has queued the frame, or skipped it."""
        self.frames += 1
        for picture in self.pictures:  # before the callables: a round trip asked for covers them too
            picture.after_frame()
        for call in self.after_frame:
            call()
        self._frame = self._update = None

    def forget(self) -> None:
        """The terminal has lost what was drawn (resized, suspended): everything is sent again with the next frame."""
        self.screenful.forget()
        for picture in self.pictures:
            picture.forget()

    def remove_pictures(self) -> None:
        """Take every picture away for good."""
        for picture in list(self.pictures):
            picture.close()


def free_region(widget: Widget) -> Region | None:
    """Where `widget` is on the terminal if all of it can be seen: on the screen in front, not clipped, nothing over it.

    None otherwise: behind a dialog or the palette, under a toast or a menu, in a hidden tab, scrolled away.
    """
    screen = widget.screen
    if not widget.is_attached or widget.app.screen is not screen:
        return None
    visible = visible_widgets(screen)
    if widget not in visible:
        return None
    region, clip = visible[widget]
    if not region or not clip.contains_region(region):
        return None
    for other, (place, limits) in visible.items():  # front to back
        if other is widget:
            return region
        if place.intersection(limits).overlaps(region) and other.visible:
            return None
    return None


class PixelOverlay:
    """Pixels over a widget. The widget says what and where in it (`show`); the rest follows from the frames.

    Its pieces may have text between them. Each is complete for its protocol and box: for kitty they carry `ident` and
    the numbers after that. They are sent once for every change, and again where a frame painted over them, if that
    takes them away. No box reaches out of the widget or the screen. A picture is taken away by its protocol's own words
    and by writing its cells, for there are terminals that know only the second. `close` it when the widget goes.
    """

    _idents = itertools.count(1)

    def __init__(self, widget: Widget, wire: Wire) -> None:
        self.widget, self.wire = widget, wire
        # kitty's ids are shared by all programs in a window
        self.ident = (os.getpid() % 0xFFFF + 1) << 16 | next(self._idents) % 0xFF << 8
        self._wish: tuple[str, Pieces] | None = None
        self._picture: tuple[str, Pieces, Offset] | None = None
        self._size: object = None  # of the widget that the box is for
        self._leaving = Region()  # cells under which there may be pixels that nobody wants
        self._tries = 0
        self._due = False
        self._again: Timer | None = None
        self._send_time: float | None = None
        self._rest = 0.0
        self._free_time = 0.0
        self.held = False
        """Set by the widget when its cells changed between blanks and half-blocks: nothing is sent until a frame has
        painted them all."""
        wire.pictures.append(self)

    @property
    def possible(self) -> bool:
        """Whether pixels can be seen now. Not in a headless test, not while covered."""
        return self.wire.real and free_region(self.widget) is not None

    def show(self, protocol: str, pieces: Pieces) -> None:
        """Show `pieces`, at least one, each at its box of the widget's content, with or after the next frame.

        The widget keeps blanks under them. A picture in the same boxes replaces the one there at once, without a frame.
        """
        before, self._wish, self._size = self._wish, (protocol, pieces), self.widget.size
        alike = before is not None and before[0] == protocol and self._regions(before[1]) == self._regions(pieces)
        if self._picture and alike and self._place():
            self._send()

    @property
    def placeholders(self) -> bool:
        """Whether the widget's cells name the picture, which is sent through tmux, and shows where they are."""
        terminal = terminal_of(self.widget)
        return terminal is not None and terminal.placeholders

    def hide(self) -> None:
        """Show nothing from the next frame on."""
        self._wish = None

    def _place(self) -> Region | None:
        """Where on the screen the picture that is wanted goes; None while it cannot be there."""
        if self._wish is None or not self.wire.real or self.widget.size != self._size:
            return None
        if self.wire.front is not self.widget.screen or self.wire.drawn_size != self.widget.app.size:
            return None  # a dialog has gone, or the window has another size, but the terminal shows it as it was
        region, content = free_region(self.widget), self.widget.content_region
        box = Region.from_union(self._regions(self._wish[1], content.offset))
        inside = region is not None and region.contains_region(content) and content.contains_region(box)
        return box if inside and self.widget.app.size.region.contains_region(box) else None

    @staticmethod
    def _regions(pieces: Pieces, offset: Offset = Offset()) -> list[Region]:  # noqa: B008
        return [Region(*box).translate(offset) for _, box in pieces]

    @property
    def _fragile(self) -> bool:
        """Whether text over the picture takes it away: sixels, and what xterm.js does with kitty's protocol."""
        terminal = terminal_of(self.widget)
        if self.placeholders:
            return False
        in_cells = self._wish is not None and self._wish[0] in IN_CELLS
        return in_cells or (terminal is not None and terminal.name.lower() == "xterm.js")

    def after_frame(self) -> None:
        """Bring the terminal up to date with what is wanted."""
        place = self._place()
        is_elsewhere = self._picture and self._wish and self._regions(*self._picture[1:]) != self._regions(
            self._wish[1], self.widget.content_region.offset
        )
        if place is None or is_elsewhere:
            self._take_away()
        if self._leaving and not self.wire.wrote_all(self._leaving) and self._tries:
            self._tries -= 1
            self.wire.write_again(self._leaving)
            return
        self._leaving = Region()
        if self.held:
            if not self.wire.painted_all(self.widget.region):
                self.widget.refresh()
                return
            self.held = False
        if place is not None:
            if self._fragile and self.wire.painted(place):
                self._picture = None
                if not self._due:  # frames often come in twos, when a dialog closes, say: wait for the last
                    self._due = True
                    self.widget.set_timer(SETTLE, self._send_due)
            elif not self._due:
                self._send()

    def _send_due(self) -> None:
        self._due = False
        if not self.held and not self._leaving:
            self._send()

    def _send(self) -> None:
        place = self._place()
        if place is None or self._wish is None:
            return
        protocol, pieces = self._wish
        if protocol not in PROTOCOLS:
            return
        content = self.widget.content_region
        picture = (protocol, pieces, content.offset)
        if picture == self._picture:
            return
        from tui_gen.draw.place import at_cell  # imports numpy, which the first paint need not wait for
        from tui_gen.draw.placeholders import passed_through

        self._picture = picture
        # Cells under pixels count as unknown: writing them again is what takes sixels away.
        if self.placeholders and protocol == "kitty":
            data = [passed_through(piece) for piece, _ in pieces]
            if self._again is not None:
                self._again.stop()
            self._again = self.widget.set_timer(AGAIN, lambda: self._pass_again(picture, data))
        else:
            self.wire.screenful.forget(place.line_range)
            data = [at_cell(content.y + y, content.x + x, piece) for piece, (x, y, *_) in pieces]
        self.wire.send(b"".join(data).decode("ascii"))
        if self.wire.limit:
            self._free_time = time.monotonic() + sum(map(len, data)) / self.wire.limit
        if self.wire.answers and self._send_time is None and self.wire.ask_round_trip(self._arrived):
            self._send_time = time.monotonic()

    def _pass_again(self, picture: tuple[str, Pieces, Offset], data: list[bytes]) -> None:
        self._again = None
        if self._picture == picture:
            self.wire.send(b"".join(data).decode("ascii"))

    def _arrived(self) -> None:
        now = time.monotonic()
        if self._send_time is not None:
            self._rest = now + REST * (now - self._send_time)
            self._send_time = None

    def drop(self) -> None:
        """Wait no longer to hear that it has arrived."""
        self._send_time = None

    def free(self, urgent: bool) -> bool:
        """Whether another picture may be sent: the last one is paid for and has arrived, and, unless `urgent`, the link
        had its rest."""
        now = time.monotonic()
        if now < self._free_time:
            return False
        if self._send_time is not None:
            return now - self._send_time > PATIENCE
        return urgent or now >= self._rest

    def _take_away(self) -> None:
        if self._picture is None:
            return
        if self._picture[0] == "kitty":
            from tui_gen.draw import kitty
            from tui_gen.draw.placeholders import passed_through

            words = b"".join(kitty.delete(self.ident + at) for at in range(len(self._picture[1])))
            self.wire.send((passed_through(words) if self.placeholders else words).decode("ascii"))
        whole = Region.from_union(self._regions(*self._picture[1:]))
        self._leaving = whole.intersection(self.widget.app.size.region)
        self._picture, self._tries = None, TRIES

    def forget(self) -> None:
        """Send it again with the next frame."""
        self._picture, self._leaving = None, Region()

    def close(self) -> None:
        """Take it away and never come back."""
        self._wish = None
        self._take_away()
        if self._leaving:
            self.wire.write_again(self._leaving)
        if self in self.wire.pictures:
            self.wire.pictures.remove(self)
