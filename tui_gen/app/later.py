"""Textual without what the first frame can do without.

Whenever it is imported, Textual imports its command palette with four of its largest widgets, and what finds the folder
of downloads: longer than all that is ours takes. All else of Textual's inside is dealt with in
`tui_gen.app.terminal.private`, which needs Textual imported.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

PUT_OFF = ("textual.command", "platformdirs", "rich.table", "uuid", "pickle")
"""Modules of which Textual, while it is imported, only takes names that it calls later, or never."""


class Later:
    """A name of a module that is imported when somebody calls it or looks into it."""

    def __init__(self, module: str, name: str) -> None:
        self._there = module, name

    def _itself(self) -> Any:
        module, name = self._there
        return getattr(importlib.import_module(module), name)

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        return self._itself()(*arguments, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._itself(), name)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._itself())

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        """What a class that is derived from it has of it: nothing. `textual.theme.ThemeProvider` is one, for a palette
        of Textual's own that the workbench has not.
        """
        return ()


class _Module(ModuleType):
    """Stands for a module that is to be imported later."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Later(self.__name__, name)


@contextlib.contextmanager
def put_off(*names: str) -> Iterator[None]:
    """Whoever is imported in here gets `Later` for what it takes of these modules. No other thread may import then."""
    stand_ins = {name: _Module(name) for name in names if name not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def import_textual() -> None:
    """Import Textual's app. A version that makes more of these modules gets them."""
    with contextlib.suppress(Exception), put_off(*PUT_OFF):
        importlib.import_module("textual.app")
