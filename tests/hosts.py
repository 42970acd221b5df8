"""An app for tests of single panes: a terminal and our themes, as in the workbench, and nothing else of it."""

from __future__ import annotations

from collections.abc import Sequence

from textual.filter import LineFilter

from tui_gen.app.shell.settings import Settings
from tui_gen.app.shell.themes import Themes
from tui_gen.app.terminal.app import TerminalApp
from tui_gen.draw.terminal import Terminal


class ThemedApp(TerminalApp):
    """Shows what a subclass composes in the workbench's colours."""

    def __init__(self, terminal: Terminal | None = None) -> None:
        self.themes = Themes(self, Settings())
        super().__init__(terminal)

    def get_css_variables(self) -> dict[str, str]:
        return self.themes.variables(super().get_css_variables())

    def get_line_filters(self) -> Sequence[LineFilter]:
        return self.themes.filters(super().get_line_filters())
