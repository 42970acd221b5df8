"""Parts of the workbench: objects that do in its place what keys, menus and panes ask for, one a subject.

Textual looks for `action_…` on the app and for `on_…` in its class, by name. `made_of` gives a class those of its
parts, each of which hands on: a part is no ancestor of the app, and knows of it what it is given.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

Whole = TypeVar("Whole", bound=type)


def made_of(**parts: type) -> Callable[[Whole], Whole]:
    """Give a class the actions and handlers of what it has under these names. Its own come first; where a part is not
    there yet, nothing happens.
    """

    def given(whole: Whole) -> Whole:
        for name, part in parts.items():
            for asked, method in vars(part).items():
                if asked.startswith(("action_", "on_")):
                    if asked in vars(whole):
                        raise TypeError(f"{asked} stands in {whole.__name__} and in its {name}")
                    setattr(whole, asked, _handed_on(name, asked, method))
        return whole

    return given


def _handed_on(name: str, asked: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)  # Textual counts a handler's parameters
    def hand_on(whole: Any, *given: Any) -> Any:
        part = getattr(whole, name, None)
        return getattr(part, asked)(*given) if part is not None else None

    return hand_on
