"""Textual's driver with what it leaves out: places between us and the terminal, and terminals that come back.

What a multiplexer must not read is not written, whoever writes it. The screen is cleared on leaving, for there may be
no alternate screen. The modes can be set anew, and the terminal asked again, after another has come in its place. A
terminal that is gone for good ends the app.
"""

from __future__ import annotations

import select
import signal
from threading import Thread
from typing import TYPE_CHECKING, Any

from textual import constants
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.drivers._writer_thread import WriterThread
from textual.drivers.linux_driver import LinuxDriver

from tui_gen.draw.multiplexer import permitted

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import App

    from tui_gen.draw.terminal import Terminal

KITTY_KEYS = "\x1b[=25;1u"
"""The kitty keyboard protocol as Textual has it, set without another level that would have to be taken back."""

for _digit in "123456789":
    # What terminals without kitty's protocol send for Alt and a digit. Textual 8.2 makes ¡ ™ £ of it, as macOS does:
    # on a field these would be text, and a pane could not be reached from there.
    ANSI_SEQUENCES_KEYS.pop(f"\x1b{_digit}", None)


class TerminalDriver(LinuxDriver):
    """The driver of an app that has a `terminal` (what the probe found), or None."""

    def __init__(self, app: App[Any], *, mouse: bool = True, **more: Any) -> None:
        terminal: Terminal | None = getattr(app, "terminal", None)
        super().__init__(app, mouse=mouse and (terminal is None or terminal.mouse), **more)
        self.size_signals = 0
        """How often SIGWINCH came: the sizes that are told at the start, or by the terminal itself, come without."""
        self._watched = False

    def start_application_mode(self) -> None:
        """As Textual's, and counts the signals that tell of another size, or of another terminal of the same size."""
        super().start_application_mode()
        self._watch_for_the_end()
        told = signal.getsignal(signal.SIGWINCH)
        if not callable(told):
            return  # it cannot hear of signals

        def on_signal(number: int, frame: Any) -> None:
            self.size_signals += 1
            told(number, frame)

        signal.signal(signal.SIGWINCH, on_signal)

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
            if any(told & select.POLLHUP for _, told in end.poll()):  # macOS cannot watch terminals, and says so
                hang_up()

        Thread(target=watch, name="terminal's end", daemon=True).start()

    def write(self, data: str) -> None:
        """Write what may be read by whatever is between us and the terminal."""
        terminal: Terminal | None = getattr(self._app, "terminal", None)
        if terminal is not None and terminal.multiplexer:
            data = permitted(data, terminal.multiplexer, terminal.graphics)
        if data:
            super().write(data)

    def stop_application_mode(self) -> None:
        """Leave the terminal as it was, or empty where it has no alternate screen (GNU screen, mosh)."""
        if self._writer_thread is not None:
            self.write("\x1b[0m\x1b[H\x1b[2J")
        super().stop_application_mode()

    def renew(self, screen: bool = True) -> None:
        """Set every mode again: after a detached session was attached again, none is.

        With `screen` the alternate screen, too, which is blank then where it was not there.
        """
        if self._writer_thread is None:
            return
        if screen:
            self.write("\x1b[?1049h")
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
        writer, reader = self._writer_thread, self._key_thread
        if writer is None or reader is None or not self.input_tty:
            return None
        self.exit_event.set()
        reader.join()
        self.exit_event.clear()
        writer.stop()
        try:
            return ask()
        finally:
            self._writer_thread = WriterThread(self._file)
            self._writer_thread.start()
            self._key_thread = Thread(target=self._run_input_thread, name="textual-input")
            self._key_thread.start()
