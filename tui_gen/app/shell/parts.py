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
            for hook, method in vars(part).items():
                if hook.startswith(("action_", "on_")):
                    if hook in vars(whole):
                        raise TypeError(f"{hook} stands in {whole.__name__} and in its {name}")
                    setattr(whole, hook, _handed_on(name, hook, method))
        return whole

    return given


def _handed_on(name: str, hook: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)  # Textual counts a handler's parameters
    def hand_on(whole: Any, *arguments: Any) -> Any:
        part = getattr(whole, name, None)
        return getattr(part, hook)(*arguments) if part is not None else None

    return hand_on
