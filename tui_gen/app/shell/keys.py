"""The keys in force: of the app and of every pane, with the user's own in place of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from textual.binding import Binding
from textual.widget import Widget

from tui_gen.app.shell.actions import label

if TYPE_CHECKING:
    from tui_gen.app.workbench import Workbench


def _bindings(node: Any) -> Iterator[Binding]:
    """The bindings of an app or a widget that have an id: one for each of their keys."""
    for bindings in node._bindings.key_to_bindings.values():
        yield from (binding for binding in bindings if binding.id)


def _nodes(app: Workbench) -> Iterator[Any]:
    yield app
    for pane in app.workspace.panes:
        yield pane
        yield from pane.walk_children(Widget)


def all_bindings(app: Workbench) -> list[Binding]:
    """Every binding that can be mapped to other keys."""
    return [binding for node in _nodes(app) for binding in _bindings(node)]


def of_pane(pane: Widget) -> list[Binding]:
    """A pane's own bindings that say what they do, one for each action."""
    return list({binding.action: binding for binding in reversed([*_bindings(pane)]) if binding.description}.values())


def key_of(app: Workbench, name: str) -> str:
    """The first key of the binding with this id, as it is shown; empty where there is none."""
    for binding in all_bindings(app):
        if binding.id == name:
            return _shown(app, binding, [binding.key])[0]
    return ""


def _shown(app: Workbench, binding: Binding, standard: list[str]) -> list[str]:
    mapped = app.keymap.get(binding.id or "")
    if mapped is None and binding.key_display:
        return [binding.key_display]
    return [app.get_key_display(Binding(key, "", "")) for key in (mapped.split(",") if mapped else standard)]


def sections(app: Workbench) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """(title, rows of (keys, what they do, binding id)) for the app and for each pane."""
    yield "Everywhere", _rows(app, [app])
    for pane in app.workspace.panes:
        yield pane.TITLE, _rows(app, [pane, *pane.walk_children(Widget)])


def _rows(app: Workbench, nodes: list[Any]) -> list[tuple[str, str, str]]:
    found: dict[str, tuple[Binding, Any, list[str]]] = {}
    for node in nodes:
        pane = None if node is app else node
        for binding in _bindings(node):
            if binding.description:
                found.setdefault(binding.id or "", (binding, pane, []))[2].append(binding.key)
    return [
        (
            " ".join(_shown(app, binding, list(dict.fromkeys(keys)))),
            label(app, binding.description, binding.action, pane),
            name,
        )
        for name, (binding, pane, keys) in found.items()
    ]
