"""An app with our themes and palette: themes are tried while one moves over them, and the choice is remembered."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from rich.color import ColorSystem
from textual.command import CommandPalette
from textual.css.query import NoMatches
from textual.filter import ANSIToTruecolor, Monochrome
from textual.screen import Screen

from tui_gen.app.shell.settings import Settings
from tui_gen.app.shell.themes import DEFAULT, load_themes, readable
from tui_gen.app.terminal.typing import TypingApp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.filter import LineFilter

    from tui_gen.app.shell.depth import Depth
    from tui_gen.draw.terminal import Terminal


def _commands() -> type:
    from tui_gen.app.shell.palette import Commands

    return Commands


class ThemedApp(TypingApp):
    """Keeps the `settings`, registers the themes; `theme_problems` are the files that are none, in words."""

    COMMANDS = {_commands}

    def __init__(self, terminal: Terminal | None = None) -> None:
        self._depth: tuple[object, Depth] | None = None
        super().__init__(terminal)
        self.settings = Settings()
        self.theme_problems: list[str] = []
        self.own_themes: list[str] = []
        self._theme_before = ""
        self._plain: LineFilter | None = None

    @property
    def keymap(self) -> dict[str, str]:
        """The user's keys: binding id → keys, separated by commas."""
        return dict(self._keymap)

    def use_themes(self, theme: str | None) -> None:
        """Register every theme and use this one, or the remembered one."""
        themes, self.theme_problems = load_themes()
        for one in themes:
            self.register_theme(one)
            self.own_themes.append(one.name)
        wanted = theme or self.settings.get("theme", DEFAULT)
        if wanted not in self.available_themes:
            self.theme_problems.append(f"there is no theme {wanted!r}; {DEFAULT} is used")
            wanted = DEFAULT
        self.theme = wanted

    def get_css_variables(self) -> dict[str, str]:
        """As Textual's, with colours that can be read in every theme."""
        depth = self.depth
        return readable(
            super().get_css_variables(), depth.same if depth is not None else None, coloured=not self.no_color
        )

    @property
    def depth(self) -> Depth | None:
        """What brings this theme to the colours of the terminal; None where every colour is there, or none wanted."""
        theme, system = self.current_theme, self.console._color_system
        if self.no_color or (system in (None, ColorSystem.TRUECOLOR) and not theme.ansi):
            return None
        key = (system, theme.ansi, theme.dark)
        if self._depth is None or self._depth[0] != key:
            from tui_gen.app.shell.depth import Depth

            self._depth = key, Depth(system or ColorSystem.TRUECOLOR, own=theme.ansi, dark=theme.dark)
        return self._depth[1]

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's, those of the terminal, and after what makes colours what makes them readable."""
        filters = super().get_line_filters()
        if self.no_color:
            if self._plain is None:
                from tui_gen.app.shell.depth import NoColours

                self._plain = NoColours()
            ours: LineFilter | None = self._plain
        else:
            ours = self.depth
        if ours is None:
            return filters
        without = (Monochrome, ANSIToTruecolor) if self.no_color else ()  # they give colours to what has none
        theirs = [one for one in filters if one in self._filters and not isinstance(one, without)]
        return [*theirs, ours, *(one for one in filters if one not in self._filters)]

    @property
    def theme_names(self) -> list[str]:
        """Every theme, ours and the user's before Textual's."""
        return [*self.own_themes, *sorted(set(self.available_themes) - set(self.own_themes))]

    def action_themes(self) -> None:
        """The palette with the themes."""
        from tui_gen.app.shell.palette import Themes

        self.push_screen(CommandPalette(providers=[Themes], placeholder="Theme…"))

    def choose_theme(self, name: str) -> None:
        """Use a theme from now on, and the next time."""
        self._theme_before = ""
        self.theme = name
        self.settings.set("theme", name)

    def on_command_palette_opened(self) -> None:
        """Remember the theme, should one be tried; and no blinking."""
        from textual.widgets import Input

        self._theme_before = self.theme
        with contextlib.suppress(NoMatches):
            self.screen.query_one(Input).cursor_blink = False

    def on_command_palette_option_highlighted(self, message: CommandPalette.OptionHighlighted) -> None:
        """Show a theme while the cursor is on it."""
        from tui_gen.app.shell.palette import THEME

        hit = getattr(message.highlighted_event.option, "hit", None)
        text = getattr(hit, "text", None) or ""
        name = text.removeprefix(THEME)
        if text.startswith(THEME) and name in self.available_themes:
            self.theme = name
        elif self._theme_before:
            self.theme = self._theme_before

    def on_command_palette_closed(self, message: CommandPalette.Closed) -> None:
        """No theme was chosen: back to the one before."""
        if not message.option_selected and self._theme_before:
            self.theme = self._theme_before
        self._theme_before = ""

    def get_system_commands(self, screen: Screen) -> Any:
        """Textual's own commands are not offered: the workbench has its own."""
        return ()
