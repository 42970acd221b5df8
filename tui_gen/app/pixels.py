"""The only module that touches Textual's semi-private driver: counts bytes, asks for round trips, writes pixels.

Semi-private here: `App._driver` and `App.post_display_hook`.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from textual.app import App

ROUND_TRIP = "\x1b[?2026$p"
"""A question every terminal that knows synchronised output answers; Textual already parses the answer."""


class Wire:
    """What goes to the terminal: how many bytes in all, and writes of our own after a frame.

    `after_frame` callables run when Textual has queued a frame. In headless tests nothing is ever written.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self.written = 0
        """Bytes given to the terminal since the start."""
        self.frames = 0
        """Frames drawn since the start."""
        self.after_frame: list[Callable[[], None]] = []
        self._counted: object = None

    def attach(self) -> None:
        """Count what the driver writes from now on; harmless to call again (after a suspend, say)."""
        driver = self._app._driver
        if driver is None or driver is self._counted:
            return
        self._counted = driver
        write = driver.write

        def counting(data: str) -> None:
            self.written += len(data.encode("utf-8", "replace"))
            write(data)

        driver.write = counting

    @property
    def real(self) -> bool:
        """Whether there is a terminal at the other end."""
        return self._app._driver is not None and not self._app.is_headless

    def send(self, data: str) -> None:
        """Queue raw bytes behind the frames written so far."""
        driver = self._app._driver
        if driver is not None and not self._app.is_headless:
            driver.write(data)
            driver.flush()

    def ask_round_trip(self) -> bool:
        """Send the question whose answer tells that everything before it has been drawn. False where none is sent."""
        if not self.real or os.environ.get("TERM_PROGRAM") == "Apple_Terminal":
            return False
        self.send(ROUND_TRIP)
        return True


class WiredApp(App):
    """An app whose `wire` hears of every frame."""

    def __init__(self) -> None:
        super().__init__()
        self.wire = Wire(self)

    def post_display_hook(self) -> None:
        """Textual has drawn (or skipped) a frame."""
        super().post_display_hook()
        self.wire.frames += 1
        for call in self.wire.after_frame:
            call()
