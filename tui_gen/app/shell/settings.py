"""What the workbench remembers between sessions, and the user's own keys: two small TOML files.

`settings.toml` is written by the workbench (theme, proportions of the panes, …); `keys.toml` only by people: it maps
the id of a key binding to the keys it should have, none for an empty list. Neither can stop the workbench from
starting.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from tui_gen import toml
from tui_gen.places import config_dir


class Settings:
    """The remembered values, by dotted key; `set` writes them at once, atomically, and quietly where it cannot."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or config_dir() / "settings.toml"
        self.problem = ""
        self._values: dict[str, Any] = {}
        try:
            self._values = _read(self.path)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            self.problem = f"{self.path} could not be read and is left as it is: {error}"

    def get(self, key: str, default: Any) -> Any:
        """A remembered value, where there is one of the default's type (a whole number will do for a number)."""
        value = self._values.get(key, default)
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        return value if isinstance(value, type(default)) else default

    def under(self, prefix: str) -> dict[str, Any]:
        """Every value whose key begins with `prefix.`, by the rest of the key."""
        return {key[len(prefix) + 1 :]: value for key, value in self._values.items() if key.startswith(prefix + ".")}

    def set(self, key: str, value: Any) -> None:
        """Remember a value (text, number, switch, list of those). A broken file of the user's is never overwritten."""
        if self._values.get(key) == value and type(self._values.get(key)) is type(value):
            return
        self._values[key] = value
        self._write(key, value)

    def remove(self, key: str) -> None:
        """Forget a value."""
        if self._values.pop(key, None) is not None:
            self._write(key, None)

    def _write(self, key: str, value: Any) -> None:
        """Change one value in the file as it is now: a user's comments stay, and what another workbench has set."""
        if self.problem:
            return
        import tomlkit

        try:
            text = self.path.read_text(encoding="utf-8")
            toml.loads(text)  # refuses what would take for ever
            document = tomlkit.parse(text)
        except FileNotFoundError:
            document = tomlkit.parse("# Written by the workbench.\n")
        except (OSError, ValueError, RecursionError):
            return  # said when it is next read
        table: Any = document
        *path, last = key.split(".")
        for part in path:
            if not isinstance(table.get(part), dict):
                table[part] = tomlkit.table()
            table = table[part]
        if value is not None:
            table[last] = value
        elif last in table:
            del table[last]
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            aside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
            aside.write_text(tomlkit.dumps(document), encoding="utf-8")
            os.replace(aside, self.path)


def _read(path: Path) -> dict[str, Any]:
    """A file's values by dotted key. Raises OSError where it cannot be read, ValueError for all else that is wrong."""
    try:
        return _flat(toml.loads(path.read_text(encoding="utf-8")))
    except RecursionError:
        raise ValueError("its tables are too deep") from None


def _flat(tables: dict[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        where = f"{path}.{key}" if path else key
        flat |= _flat(value, where) if isinstance(value, dict) else {where: value}
    return flat


MODIFIERS = ("alt", "ctrl", "hyper", "meta", "shift", "super")
NO_KEY = "no_key"
"""In a key map, for what no key is left for: Textual takes an empty text for no change."""


def key_name(text: str) -> str:
    """A key as Textual calls it: `Ctrl+R` is `ctrl+r`, `?` is `question_mark`; empty where there is no such key."""
    from textual.binding import Binding
    from textual.keys import KEY_NAME_REPLACEMENTS, Keys, key_to_character

    modifiers, rest = set(), text.strip()
    while (parts := rest.partition("+"))[0].lower() in MODIFIERS and parts[2]:
        modifiers.add(parts[0].lower())
        rest = parts[2]
    if len(rest) == 1:
        rest = rest.lower() if "ctrl" in modifiers else rest
        rest = next(iter(Binding.make_bindings([Binding(rest, "")]))).key if rest != "," else "comma"
    else:
        rest = rest.lower()
        known = {*(key.value for key in Keys), *KEY_NAME_REPLACEMENTS.values()}
        if rest not in known and key_to_character(rest) is None:
            return ""
    return "+".join([*sorted(modifiers), rest])


def read_keys(ids: set[str], path: Path | None = None) -> tuple[dict[str, str], list[str]]:
    """The user's key map (binding id → keys, several separated by commas) and what is wrong with it, in words."""
    path = path or config_dir() / "keys.toml"
    try:
        table = _read(path)
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError) as error:
        return {}, [f"{path}: {error}"]
    from tui_gen.params import nearest

    keymap: dict[str, str] = {}
    problems = []
    for name, value in table.items():
        if name not in ids:
            hint = nearest(name, ids)
            problems.append(f"{path}: no binding has the id {name!r}" + (f"; {hint}" if hint else ""))
            continue
        texts = [value] if value == "," else value.split(",") if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
            problems.append(f'{path}: {name} needs a key such as "f5", or a list of keys')
            continue
        keys = [key_name(text) for text in texts]
        wrong = [text for text, key in zip(texts, keys) if not key]
        some = 'some are "f5", "ctrl+r", "?", "pageup"'
        problems += [f"{path}: {text!r}, for {name}, is no key; {some}" for text in wrong]
        if any(keys) or not texts:
            keymap[name] = ",".join(filter(None, keys)) or NO_KEY
    return keymap, problems
