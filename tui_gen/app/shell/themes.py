"""Colour themes: TOML files, ours and the user's own in `~/.config/tui-gen/themes`, and the theme in use."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.color import ColorSystem
from textual.color import Color, ColorParseError
from textual.filter import ANSIToTruecolor, Monochrome
from textual.theme import Theme

from tui_gen import themes as ours
from tui_gen import toml
from tui_gen.app.shell.legibility import readable
from tui_gen.places import config_dir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.filter import LineFilter

    from tui_gen.app.shell.depth import Depth
    from tui_gen.app.shell.settings import Settings
    from tui_gen.app.terminal.private import HookedApp

DEFAULT = "nocturne"
COLOURS = (
    "primary", "secondary", "warning", "error", "success", "accent", "foreground", "background", "surface",
    "panel", "boost",
)  # fmt: skip
FIELD_NAMES = {field.name for field in fields(Theme)}


def _folder() -> Path:
    """Where a user's own themes are."""
    return config_dir() / "themes"


def load_themes(folder: Path | None = None) -> tuple[list[Theme], list[str]]:
    """Every theme and, in words, each file that is none. A user's theme replaces one of ours with the same name."""
    themes: dict[str, Theme] = {}
    problems: list[str] = []
    for place in (Path(ours.__path__[0]), folder or _folder()):
        try:
            files = sorted(place.glob("*.toml"))
        except OSError as error:
            problems.append(f"{place}: {error.strerror or error}")
            continue
        for path in files:
            try:
                theme = read_theme(path)
            except ValueError as error:
                problems.append(f"{path.name}: {error}")
            else:
                themes[theme.name] = theme
    return list(themes.values()), problems


def read_theme(path: Path) -> Theme:
    """One theme file. Raises ValueError that says what is wrong with it."""
    try:
        table: dict[str, Any] = toml.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        raise ValueError(f"is not valid TOML: {error}") from None
    table.setdefault("name", path.stem)
    unknown = sorted(set(table) - FIELD_NAMES)
    if unknown:
        raise ValueError(f"has no meaning for {', '.join(unknown)}")
    if not isinstance(table["name"], str) or not table["name"]:
        raise ValueError("its name must be text")
    if "primary" not in table:
        raise ValueError("needs a primary colour")
    for key in COLOURS:
        if key in table:
            _colour(key, table[key])
    variables = table.get("variables", {})
    if not isinstance(variables, dict) or not all(isinstance(value, str) for value in variables.values()):
        raise ValueError("its variables must be texts")
    if not isinstance(table.get("dark", True), bool):
        raise ValueError("dark must be true or false")
    for key in ("luminosity_spread", "text_alpha"):
        if not isinstance(table.get(key, 0.5), int | float) or not 0 <= table.get(key, 0.5) <= 1:
            raise ValueError(f"{key} must be a number from 0 to 1")
    return Theme(**table)


def _colour(key: str, value: Any) -> None:
    try:
        Color.parse(value)
    except (ColorParseError, TypeError, AttributeError):
        raise ValueError(f"{key} = {value!r} is not a colour, such as #4c9be8") from None


class Themes:
    """The themes of an app, ours and the user's; `problems` are the files that are none, in words.

    They are tried while one moves over them, and the choice is remembered. The app has `variables` and `filters` go
    over its own, and tells of the command palette.
    """

    def __init__(self, app: HookedApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self.problems: list[str] = []
        self.own: list[str] = []
        self._before = ""
        self._depth: tuple[object, Depth] | None = None
        self._plain: LineFilter | None = None

    def use(self, theme: str | None = None) -> None:
        """Use this theme, or the remembered one. A theme of ours is registered alone, for the first frame does not wait
        for the others: `complete` does the rest.
        """
        name = theme or self._settings.get("theme", DEFAULT)
        if not self._register_alone(name):
            self.complete()
        if name not in self._app.available_themes:
            self.problems.append(f"there is no theme {name!r}; {DEFAULT} is used")
            name = DEFAULT
        self._app.theme = name

    def _register_alone(self, name: str) -> bool:
        """Register a theme of ours, the others left aside; whether there is one that no user's file may replace."""
        file = Path(ours.__path__[0], f"{name}.toml")
        if file.parent != Path(ours.__path__[0]) or not file.is_file() or os.path.lexists(_folder()):
            return False
        try:
            self._app.register_theme(read_theme(file))
        except ValueError:
            return False  # and `complete` tells why
        return True

    def complete(self) -> None:
        """Register every theme, if that was not done yet."""
        if self.own:
            return
        themes, problems = load_themes()
        self.problems += problems
        for own in themes:
            self._app.register_theme(own)
            self.own.append(own.name)

    @property
    def name(self) -> str:
        """The theme in use."""
        return self._app.theme

    @property
    def names(self) -> list[str]:
        """Every theme, ours and the user's before Textual's."""
        self.complete()
        return [*self.own, *sorted(set(self._app.available_themes) - set(self.own))]

    def choose(self, name: str) -> None:
        """Use a theme from now on, and the next time."""
        self._before = ""
        self._app.theme = name
        self._settings.set("theme", name)

    # -- colours that can be read

    def variables(self, theirs: dict[str, str]) -> dict[str, str]:
        """Textual's variables, with colours that can be read in every theme."""
        depth = self.depth
        return readable(theirs, depth.same if depth is not None else None, coloured=not self._app.no_color)

    @property
    def depth(self) -> Depth | None:
        """What brings this theme to the colours of the terminal; None where every colour is there, or none wanted."""
        theme, system = self._app.current_theme, self._app.color_system
        if self._app.no_color or (system in (None, ColorSystem.TRUECOLOR) and not theme.ansi):
            return None
        key = (system, theme.ansi, theme.dark)
        if self._depth is None or self._depth[0] != key:
            from tui_gen.app.shell.depth import Depth

            self._depth = key, Depth(system or ColorSystem.TRUECOLOR, own=theme.ansi, dark=theme.dark)
        return self._depth[1]

    def filters(self, line_filters: Sequence[LineFilter]) -> Sequence[LineFilter]:
        """Textual's, those of the terminal, and after what makes colours what makes them readable."""
        if self._app.no_color:
            if self._plain is None:
                from tui_gen.app.shell.depth import NoColours

                self._plain = NoColours()
            ours: LineFilter | None = self._plain
        else:
            ours = self.depth
        if ours is None:
            return line_filters
        without = (Monochrome, ANSIToTruecolor) if self._app.no_color else ()  # they give colours to what has none
        textuals = self._app.textual_filters
        theirs = [source for source in line_filters if source in textuals and not isinstance(source, without)]
        return [*theirs, ours, *(source for source in line_filters if source not in textuals)]

    # -- trying them in the command palette

    def begin_trying(self) -> None:
        """The palette is open: remember the theme, should one be tried."""
        self._before = self._app.theme

    def try_out(self, name: str) -> None:
        """Show a theme while the cursor is on it; no theme's name: the one before."""
        if name in self._app.available_themes:
            self._app.theme = name
        elif self._before:
            self._app.theme = self._before

    def end_trying(self, chosen: bool) -> None:
        """The palette is closed: where nothing was chosen, back to the theme before."""
        if not chosen and self._before:
            self._app.theme = self._before
        self._before = ""
