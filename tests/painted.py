"""What an app shows, line by line, as its next whole frame would have it."""

from __future__ import annotations

import re
from typing import Any

from textual._context import visible_screen_stack
from textual.app import App
from textual.strip import Strip


def painted_strips(app: App[Any]) -> list[Strip]:
    """The lines of the screen on top, with what shows through of those below it.

    Textual tells a screen only while a frame is made what lies below it. A dialog's lines that are rendered at another
    time are blank around its box, and are kept: of what lies below, only what changes after that would come back.
    """
    token = visible_screen_stack.set(app._background_screens)
    try:
        return app.screen._compositor.render_strips()
    finally:
        visible_screen_stack.reset(token)


def painted_text(app: App[Any]) -> str:
    """The same as plain text, without blanks at the ends of lines."""
    return "\n".join(strip.text.rstrip() for strip in painted_strips(app))


def on_one_line(app: App[Any]) -> str:
    """The same without line ends and frames, for words that may be wrapped: behind a path, say, of any length."""
    return " ".join(re.sub("[┃│]", " ", painted_text(app)).split())
