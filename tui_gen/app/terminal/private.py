"""Everything private of Textual that the workbench relies on, in one place: what may change with any of its versions.

The names are in NAMES, by what has them; a test looks each of them up. `HookedApp` turns what an app may override only
under private names into methods of ours. `TerminalDriver` is Textual's driver with what it leaves out: places between
us and the terminal, and terminals that come back.
"""

from __future__ import annotations

import codecs
import os
import select
import signal
import string
import time
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from rich.console import COLOR_SYSTEMS, Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import _ansi_sequences, constants
from textual._compositor import ChopsUpdate, Compositor, CompositorUpdate, LayoutUpdate
from textual._context import active_message_pump
from textual._parser import Parser
from textual._xterm_parser import XTermParser
from textual.app import App, ScreenStackError
from textual.css.query import NoMatches
from textual.css.styles import Styles
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode, NoScreen
from textual.drivers._writer_thread import WriterThread
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Resize
from textual.geometry import Size
from textual.renderables.background_screen import BackgroundScreen
from textual.screen import ModalScreen, Screen
from textual.strip import Strip
from textual.timer import Timer
from textual.visual import Visual
from textual.widget import MountError, Widget
from textual.worker import WorkerFailed

from tui_gen.app.terminal.taken import ALTERNATE, EMPTY
from tui_gen.draw.multiplexers import permitted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rich.color import ColorSystem
    from textual.binding import Binding
    from textual.driver import Driver
    from textual.filter import LineFilter
    from textual.geometry import Region
    from textual.message import Message
    from textual.message_pump import MessagePump

    from tui_gen.app.terminal.taken import TakenScreen
    from tui_gen.draw.terminal import Terminal

__all__ = ["ChopsUpdate", "CompositorUpdate", "HookedApp", "LayoutUpdate", "PaintedWhole", "TerminalDriver"]
Result = TypeVar("Result")

GONE = (MountError, NoMatches, NoScreen, ScreenStackError)
"""What Textual raises where a dialog that was just being opened goes on after everything was taken down: no fault."""
NAMES: dict[Any, tuple[str, ...]] = {
    App: (
        "_batch_count",
        "_display",
        "_driver",
        "_exit",
        "_filters",
        "_handle_exception",
        "_keymap",
        "_return_code",
        "_running",
        "post_display_hook",
    ),
    Compositor: ("visible_widgets",),
    Console: ("_color_system",),
    DOMNode: ("_bindings",),
    LinuxDriver: (
        "_debug",
        "_disable_line_wrap",
        "_enable_bracketed_paste",
        "_enable_mouse_support",
        "_file",
        "_get_terminal_size",
        "_key_thread",
        "_run_input_thread",
        "_writer_thread",
        "exit_event",
        "fileno",
        "input_tty",
    ),
    Parser: ("_timeout_time",),
    Screen: ("_compositor", "_compositor_refresh", "_refresh_layout", "_screen_resized"),
    Timer: ("_repeat", "_skip", "_start"),
    Widget: ("_styles_cache",),
    _ansi_sequences: ("ANSI_SEQUENCES_KEYS",),
}
"""What of whom: attributes, also those that an instance has only after it was made."""

SMALLEST = Size(20, 6)
"""The terminal is drawn for as if it had so many columns and rows at least; the rest is cut off. Smaller ones, as
windows are while they are made, leave no room within frames, and Textual's lists divide by their width."""

MANY = 20
"""Widgets from which it pays: a single one that is focused or hovered over is refreshed as Textual does it."""

KITTY_KEYS = "\x1b[=25;1u"
"""The kitty keyboard protocol as Textual has it, set without another level that would have to be taken back."""

BEGINNINGS = "NOPXb"
"""Letters that begin longer sequences, and b: Alt and the left arrow of macOS. (The right one is f, which is a menu's.)
"""


class _AltKey(NamedTuple):
    """What Textual takes for one of its `Keys`."""

    value: str


def _know_alt() -> None:
    """Have Escape and a letter or digit, which terminals without kitty's protocol send for Alt, known as that at once.

    Textual 8.2 makes ¡ ™ £ of digits, as macOS does, and Ctrl and an arrow of f. What it does not know it waits 0.1 s
    for the end of, and where the terminal answers a question meanwhile, as with every frame in tmux, it makes ^ and the
    letter of it: on a field these would be typed.
    """
    known = _ansi_sequences.ANSI_SEQUENCES_KEYS
    longer = {sequence[1] for sequence in known if sequence[0] == "\x1b" and len(sequence) > 2}
    for character in sorted({*string.ascii_letters, *string.digits} - longer - set(BEGINNINGS)):
        name = f"shift+{character.lower()}" if character.isupper() else character
        known[f"\x1b{character}"] = (_AltKey(f"alt+{name}"),)  # type: ignore[index]  # a dict, told as a Mapping


_know_alt()


def _fire_once() -> None:
    """Have what is to be called once after some time be called, however late.

    Textual 8.2 skips what is overdue of any timer. One that is called once it looks at twice within microseconds: where
    the process is kept waiting for longer than the timer's time in between, as on a busy machine, it never comes.
    """
    start = Timer._start

    def start_and_fire(timer: Timer) -> None:
        if timer._repeat == 0:
            timer._skip = False
        start(timer)

    Timer._start = start_and_fire  # type: ignore[assignment]


_fire_once()


def count_writes(driver: Driver, count: Callable[[int], None]) -> None:
    """Have a driver tell how many bytes it writes, each time: all that Textual writes goes through its `write`."""
    write = driver.write

    def counting(data: str) -> None:
        count(len(data.encode("utf-8", "replace")))
        write(data)

    driver.write = counting  # type: ignore[method-assign]


def visible_widgets(screen: Screen[Any]) -> dict[Widget, tuple[Region, Region]]:
    """The region and the clip of every widget that is drawn on a screen, front to back."""
    return screen._compositor.visible_widgets


def lay_out(screen: Screen[Any]) -> None:
    """Give the widgets of a screen their places now, though frames are held back: what is drawn for these is painted
    in one frame with them.
    """
    screen._refresh_layout()


def forget_lines(widget: Widget) -> None:
    """Have every line of a widget rendered anew, though nothing that Textual knows of it has changed."""
    widget._styles_cache.clear()


def bindings_of(node: DOMNode) -> list[Binding]:
    """The bindings of an app or a widget, one for each of their keys."""
    return [binding for bindings in node._bindings.key_to_bindings.values() for binding in bindings]


def handling() -> MessagePump | None:
    """The app, screen or widget that is handling a message now."""
    try:
        return active_message_pump.get()
    except LookupError:
        return None


class _ShownThrough(Visual):
    """What a dialog lets through of the screen below it, dimmed: line by line as they are kept, where Textual has Rich
    render the whole screen and part it into lines anew, which takes as long as a dialog's own text.
    """

    def __init__(self, textual: BackgroundScreen) -> None:
        self._screen, self._tint = textual.screen, textual.color

    def render_strips(self, width: int, height: int | None, style: Any, options: Any) -> list[Strip]:
        dimmed: dict[Style | None, Style | None] = {}
        strips = []
        for strip in self._screen._compositor.render_strips()[:height]:
            segments = []
            for text, own, control in strip:
                if own not in dimmed:
                    (segment,) = BackgroundScreen.process_segments([Segment(text, own)], self._tint)
                    dimmed[own] = segment.style
                segments.append(Segment(text, dimmed[own], control))
            strips.append(Strip(segments, strip.cell_length).adjust_cell_length(width))
        return strips

    def get_optimal_width(self, rules: Any, container_width: int) -> int:
        return container_width

    def get_height(self, rules: Any, width: int) -> int:
        return self._screen.size.height


class PaintedWhole(ModalScreen[Result]):
    """A dialog that is not painted before its widgets have places: until it is told its size, all that there is of it
    is what it dims of the screen below.
    """

    _has_places = False

    def render(self) -> Any:
        """What lies below."""
        below = super().render()
        return _ShownThrough(below) if isinstance(below, BackgroundScreen) else below

    def _screen_resized(self, size: Size) -> None:
        self._has_places = True
        super()._screen_resized(size)

    def _compositor_refresh(self) -> None:
        if self._has_places:
            super()._compositor_refresh()


class HeldScreen(Screen[None]):
    """The screen below all others. While frames are held back it renders none, which Textual would throw away: what has
    changed is painted with the next one.
    """

    def _compositor_refresh(self) -> None:
        if not self.app._batch_count:
            super()._compositor_refresh()


class OnceRefreshed(Stylesheet):
    """A stylesheet that has widgets refreshed once, when the styles of all are there, as where the theme changes.

    Textual refreshes a widget for each of its colours that changes, and with it all that is inside: with another theme
    every widget of a screen dozens of times, for as long as all the rest takes.
    """

    def update_nodes(self, nodes: Iterable[DOMNode], animate: bool = False) -> None:
        """As Textual's, from the outermost widget to the innermost."""
        nodes = list(nodes)
        if len(nodes) < MANY:
            super().update_nodes(nodes, animate)
            return
        refresh = Styles.refresh
        asked: dict[Widget, bool] = {}
        """The widgets that have to be refreshed, and whether they have to be laid out."""
        whole: dict[Widget, bool] = {}
        """The same of those with all that is inside."""

        def ask(styles: Styles, *, layout: bool = False, children: bool = False, **more: Any) -> None:
            node = styles.node
            if more or not isinstance(node, Widget):
                refresh(styles, layout=layout, children=children, **more)
            elif node.is_mounted:
                found = whole if children else asked
                found[node] = found.get(node, False) or layout

        Styles.refresh = ask  # type: ignore[assignment, method-assign]
        try:
            super().update_nodes(nodes, animate)
        finally:
            Styles.refresh = refresh  # type: ignore[method-assign]
            inside: dict[Widget, bool] = {}
            for node, layout in whole.items():
                if inside.get(node, False) < layout or node not in inside:
                    for child in node.walk_children(Widget, with_self=True):
                        inside[child] = inside.get(child, False) or layout
            for node in {**asked, **inside}:
                node.refresh(layout=asked.get(node, False) or inside.get(node, False))


class HookedApp(App[None]):
    """An app that hears of frames before they are sent, and of faults before they end it."""

    def __init__(self) -> None:
        super().__init__()
        self.stylesheet.__class__ = OnceRefreshed  # as empty as Textual has just made it

    def get_default_screen(self) -> Screen[None]:
        """The screen below all others."""
        return HeldScreen(id="_default")

    def drawing(self, screen: Screen[Any], renderable: Any) -> Any:
        """Textual is about to send this of a screen; what is to be sent instead. Override."""
        return renderable

    def drawn(self) -> None:
        """Textual has queued a frame, or skipped it. Override."""

    def tell_fault(self, error: Exception) -> bool:
        """Whether a fault was told and the app may go on. Override."""
        return False

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        super()._display(screen, self.drawing(screen, renderable))

    def post_display_hook(self) -> None:
        super().post_display_hook()
        self.drawn()

    def _handle_exception(self, error: Exception) -> None:
        cause = error.error if isinstance(error, WorkerFailed) else error
        if isinstance(cause, GONE) and (self._exit or not self._running):
            return
        if self.is_headless or not self.tell_fault(error):  # tests see faults as they are
            super()._handle_exception(error)

    def fail(self, words: str) -> None:
        """End with these words and exit status 1."""
        self._return_code = 1
        self.panic(Text(words))

    @property
    def current_driver(self) -> Driver | None:
        """What reads from the terminal and writes to it; None before the app runs."""
        return self._driver

    @property
    def terminal_driver(self) -> TerminalDriver | None:
        """The same where it is ours: not in tests without a terminal, nor where the user names another."""
        return self._driver if isinstance(self._driver, TerminalDriver) else None

    @property
    def batching(self) -> bool:
        """Whether frames are held back for now."""
        return bool(self._batch_count)

    @property
    def textual_filters(self) -> list[LineFilter]:
        """The line filters that Textual puts in by itself."""
        return self._filters

    @property
    def keymap(self) -> dict[str, str]:
        """The user's keys: binding id → keys, separated by commas."""
        return dict(self._keymap)

    @property
    def color_system(self) -> ColorSystem | None:
        """The colours that are sent."""
        return self.console._color_system

    @color_system.setter
    def color_system(self, name: str) -> None:
        self.console._color_system = COLOR_SYSTEMS[name]


class AudibleEvent(Event):
    """An event that `select` waits for, too: there is something to read from `file` while it is set."""

    def __init__(self) -> None:
        super().__init__()
        self.file, self._end = os.pipe()

    def set(self) -> None:
        """Tell of it."""
        if not self.is_set():
            os.write(self._end, b"!")
        super().set()

    def clear(self) -> None:
        """Be silent again."""
        if self.is_set():
            os.read(self.file, 1)
        super().clear()


class TerminalDriver(LinuxDriver):
    """The driver of an app that has a `terminal` (what the probe found), or None."""

    def __init__(self, app: App[Any], *, mouse: bool = True, **more: Any) -> None:
        terminal: Terminal | None = getattr(app, "terminal", None)
        super().__init__(app, mouse=mouse and (terminal is None or terminal.mouse), **more)
        self.size_signals = 0
        """How often SIGWINCH came: the sizes that are told at the start, or by the terminal itself, come without."""
        self._watched = False
        self.exit_event = self._over = AudibleEvent()

    def run_input_thread(self) -> None:
        """Hand over what is typed, as Textual's does, which looks ten times a second whether it is to end or Escape was
        all there was of a key: a third of what an idle workbench takes. This one sleeps until it is so.
        """
        parser, decode = XTermParser(self._debug), codecs.getincrementaldecoder("utf-8")("replace").decode
        files = [self.fileno, self._over.file]
        while not self._over.is_set():
            due = parser._timeout_time
            ready, _, _ = select.select(files, [], [], None if due is None else max(0.0, due - time.monotonic()))
            if self.fileno in ready and not self._read(parser, decode):
                files.remove(self.fileno)  # the terminal is gone, and its end could be read without end
            for event in parser.tick():
                self.process_message(event)
        if self.fileno in files and select.select(files[:1], [], [], 0.1)[0]:  # an answer that comes late
            self._read(parser, decode)

    def _read(self, parser: XTermParser, decode: Callable[[bytes], str]) -> bool:
        """Hand over what the terminal has sent; whether it is still there."""
        data = os.read(self.fileno, 4096)
        if text := decode(data):
            for event in parser.feed(text):
                self.process_message(event)
        return bool(data)

    def start_application_mode(self) -> None:
        """As Textual's, and counts the signals that tell of another size, or of another terminal of the same size."""
        super().start_application_mode()  # type: ignore[no-untyped-call]  # Textual's has no types
        self._watch_for_the_end()
        handler = signal.getsignal(signal.SIGWINCH)
        if not callable(handler):
            return  # it cannot hear of signals

        def on_signal(number: int, frame: Any) -> None:
            self.size_signals += 1
            handler(number, frame)

        signal.signal(signal.SIGWINCH, on_signal)

    def _get_terminal_size(self) -> tuple[int, int]:
        width, height = super()._get_terminal_size()
        return max(width, SMALLEST.width), max(height, SMALLEST.height)

    def process_message(self, message: Message) -> None:
        """As Textual's; of a size that the terminal tells by itself, what can be drawn for."""
        if isinstance(message, Resize):
            width, height = message.size
            if width < SMALLEST.width or height < SMALLEST.height:
                message = Resize.from_dimensions((max(width, SMALLEST.width), max(height, SMALLEST.height)), None)
        super().process_message(message)

    def _watch_for_the_end(self) -> None:
        """Call the app's `hang_up` when the terminal is closed, in a thread: the app may hang in a write to it by then.

        SIGHUP alone is not enough. It may be blocked, or may not come; and from a closed terminal there is always
        something to read, an empty answer, for which Textual's input thread asks again and again without a pause.
        """
        hang_up: Callable[[], None] | None = getattr(self._app, "hang_up", None)
        if self._watched or hang_up is None or not self.input_tty:
            return
        self._watched = True

        def watch() -> None:
            end = select.poll()
            end.register(self.fileno, 0)
            if any(events & select.POLLHUP for _, events in end.poll()):  # macOS cannot watch terminals, and says so
                hang_up()

        Thread(target=watch, name="terminal's end", daemon=True).start()

    def write(self, data: str) -> None:
        """Write what may be read by whatever is between us and the terminal. A screen that was taken before is not
        taken again: there are terminals that clear it then.
        """
        taken: TakenScreen | None = getattr(self._app, "taken", None)
        if taken is not None and taken.ours and data == ALTERNATE:
            taken.taken_over()
            return
        terminal: Terminal | None = getattr(self._app, "terminal", None)
        if terminal is not None and terminal.multiplexer:
            data = permitted(data, terminal.multiplexer, terminal.graphics)
        if data:
            super().write(data)

    def stop_application_mode(self) -> None:
        """Leave the terminal as it was, or empty where it has no alternate screen (GNU screen, mosh)."""
        if self._writer_thread is not None:
            self.write(f"\x1b[0m{EMPTY}")
        super().stop_application_mode()

    def renew(self, screen: bool = True) -> None:
        """Set every mode again: after a detached session was attached again, none is.

        With `screen` the alternate screen, too, which is blank then where it was not there.
        """
        if self._writer_thread is None:
            return
        if screen:
            self.write(ALTERNATE)
        self._enable_mouse_support()
        self.write("\x1b[?25l\x1b[?1004h")
        if not constants.DISABLE_KITTY_KEY:
            self.write(KITTY_KEYS)
        self._enable_bracketed_paste()
        self._disable_line_wrap()
        self.flush()

    def ask_again(self, ask: Callable[[], Terminal]) -> Terminal | None:
        """What `ask` finds out about the terminal while nothing else reads from it or writes to it.

        None where the app does not have it. Waits until everything written has gone out.
        """
        writer, reader, out = self._writer_thread, self._key_thread, self._file
        if writer is None or reader is None or out is None or not self.input_tty:
            return None
        self.exit_event.set()
        reader.join()
        self.exit_event.clear()
        writer.stop()
        try:
            return ask()
        finally:
            self._writer_thread = WriterThread(out)
            self._writer_thread.start()
            self._key_thread = Thread(target=self._run_input_thread, name="textual-input")
            self._key_thread.start()
