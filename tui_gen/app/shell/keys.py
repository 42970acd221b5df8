"""The keys in force: of the app and of every pane, with the user's own in place of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from textual.binding import Binding
from textual.widget import Widget

from tui_gen.app.shell.actions import label
from tui_gen.app.terminal.private import bindings_of

if TYPE_CHECKING:
    from tui_gen.app.shell.stage import Stage


def _bindings(node: Any) -> list[Binding]:
    """The bindings of an app or a widget that have an id: one for each of their keys."""
    return [binding for binding in bindings_of(node) if binding.id]


def _nodes(stage: Stage) -> Iterator[Any]:
    yield stage
    for pane in stage.workspace.panes:
        yield pane
        yield from pane.walk_children(Widget)


def all_bindings(stage: Stage) -> list[Binding]:
    """Every binding that can be mapped to other keys."""
    return [binding for node in _nodes(stage) for binding in _bindings(node)]


def of_pane(pane: Widget) -> list[Binding]:
    """A pane's own bindings that say what they do, one for each action."""
    return list({binding.action: binding for binding in reversed([*_bindings(pane)]) if binding.description}.values())


def key_of(stage: Stage, name: str) -> str:
    """The first key of the binding with this id, as it is shown; empty where there is none."""
    for binding in all_bindings(stage):
        if binding.id == name:
            return _shown(stage, binding, [binding.key])[0]
    return ""


def _shown(stage: Stage, binding: Binding, standard: list[str]) -> list[str]:
    mapped = stage.keymap.get(binding.id or "")
    if mapped is None and binding.key_display:
        return [binding.key_display]
    return [stage.get_key_display(Binding(key, "", "")) for key in (mapped.split(",") if mapped else standard)]


def sections(stage: Stage) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """(title, rows of (keys, what they do, binding id)) for the app and for each pane."""
    yield "Everywhere", _rows(stage, [stage])
    for pane in stage.workspace.panes:
        yield pane.title, _rows(stage, [pane, *pane.walk_children(Widget)])


def _rows(stage: Stage, nodes: list[Any]) -> list[tuple[str, str, str]]:
    found: dict[str, tuple[Binding, Any, list[str]]] = {}
    for node in nodes:
        pane = None if node is stage else node
        for binding in _bindings(node):
            if binding.description:
                found.setdefault(binding.id or "", (binding, pane, []))[2].append(binding.key)
    return [
        (
            " ".join(_shown(stage, binding, list(dict.fromkeys(keys)))),
            label(stage, binding.description, binding.action, pane),
            name,
        )
        for name, (binding, pane, keys) in found.items()
    ]
