"""What was found out about the terminal that a widget is shown on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.widget import Widget

    from tui_gen.draw.terminal import Terminal


def terminal_of(widget: Widget) -> Terminal | None:
    """What its terminal can do; None where none was asked, as of an app that is not the workbench."""
    return getattr(widget.app, "terminal", None)


def shows_ascii(widget: Widget) -> bool:
    """Whether its terminal shows ASCII alone."""
    terminal = terminal_of(widget)
    return terminal is not None and not terminal.unicode
