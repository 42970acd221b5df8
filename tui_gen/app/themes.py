"""Colour themes: TOML files, ours and the user's own in `~/.config/tui-gen/themes`."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from textual.color import Color, ColorParseError
from textual.theme import Theme

from tui_gen import themes as ours
from tui_gen.places import config_dir

DEFAULT = "nocturne"
COLOURS = ("primary", "secondary", "warning", "error", "success", "accent", "foreground", "background", "surface")
COLOURS += ("panel", "boost")
KNOWN = {field.name for field in fields(Theme)}


def load_themes(folder: Path | None = None) -> tuple[list[Theme], list[str]]:
    """Every theme and, in words, each file that is none. A user's theme replaces one of ours with the same name."""
    found: dict[str, Theme] = {}
    problems: list[str] = []
    for place in (Path(ours.__path__[0]), folder or config_dir() / "themes"):
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
                found[theme.name] = theme
    return list(found.values()), problems


def read_theme(path: Path) -> Theme:
    """One theme file. Raises ValueError that says what is wrong with it."""
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        raise ValueError(f"is not valid TOML: {error}") from None
    table.setdefault("name", path.stem)
    unknown = sorted(set(table) - KNOWN)
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
