"""The keys in force, of the app and of every pane, the user's own in place of ours; and the row that shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.strip import Strip
from textual.widget import Widget

from tui_gen.app.panes.registry import PANES
from tui_gen.app.shell.actions import label
from tui_gen.app.shell.settings import NO_KEY
from tui_gen.app.terminal.private import bindings_of

if TYPE_CHECKING:
    from textual.dom import DOMNode

    from tui_gen.app.panes.base import Pane
    from tui_gen.app.shell.stage import Controls


STAY = ("run.start", "run.resume", "run.pause", "run.stop", "view.maximise", "menu.open", "help.pane")
"""What stays where there is no room for all; then what the pane can do, then the rest."""


def _bindings(node: DOMNode | Controls) -> list[Binding]:
    """The bindings of an app or a widget that have an id: one for each of their keys."""
    return [binding for binding in bindings_of(cast("DOMNode", node)) if binding.id]


def _nodes(controls: Controls) -> Iterator[DOMNode | Controls]:
    yield controls
    for pane in controls.workspace.panes:
        yield pane
        yield from pane.walk_children(Widget)


def all_bindings(controls: Controls) -> list[Binding]:
    """Every binding that can be mapped to other keys."""
    return [binding for node in _nodes(controls) for binding in _bindings(node)]


def given_way(controls: Controls, keymap: dict[str, str]) -> dict[str, str]:
    """The user's keys, and the workbench's own without those that the user has given to something else.

    The workbench's keys go before those of panes, so that a key of the user's for a pane would never arrive there, nor
    at what a pane had it for where it is now the workbench's.
    """
    keys_by_name = {name: keys.split(",") for name, keys in keymap.items()}
    own_ids = {binding.id for binding in _bindings(controls)}
    all_keys = {key for keys in keys_by_name.values() for key in keys}
    everywhere = {key for name, keys in keys_by_name.items() if name in own_ids for key in keys}
    standard: dict[str, list[str]] = {}
    for binding in all_bindings(controls):
        standard.setdefault(binding.id or "", []).append(binding.key)
    free = {}
    for name, keys in standard.items():
        taken = all_keys if name in own_ids else everywhere
        if name not in keymap and not taken.isdisjoint(keys):
            free[name] = ",".join(key for key in keys if key not in taken) or NO_KEY
    return keymap | free


def clashes(controls: Controls, keymap: dict[str, str]) -> list[str]:
    """What the user gave one key to, of which only one can have it: two things of a pane, or one of the workbench's."""
    own_ids = {binding.id for binding in _bindings(controls)}
    problems = []
    names: dict[str, list[str]] = {}
    for name, keys in keymap.items():
        for key in set(keys.split(",")) - {NO_KEY}:
            problems += [
                f"keys.toml: only one of {other} and {name} can have {key}"
                for other in names.setdefault(key, [])
                if own_ids & {name, other} or name.partition(".")[0] == other.partition(".")[0]
            ]
            names[key].append(name)
    return problems


def of_pane(pane: Widget) -> list[Binding]:
    """A pane's own bindings that say what they do, one for each action."""
    return list({binding.action: binding for binding in reversed([*_bindings(pane)]) if binding.description}.values())


def key_of(controls: Controls, name: str) -> str:
    """The first key of the binding with this id, as it is shown; empty where there is none."""
    for binding in all_bindings(controls):
        if binding.id == name:
            return _shown(controls, binding, [binding.key])[0]
    return ""


def _shown(controls: Controls, binding: Binding, standard: list[str]) -> list[str]:
    keys = controls.keymap.get(binding.id or "")
    if keys is None and binding.key_display:
        return [binding.key_display]
    names = keys.split(",") if keys else standard
    return [controls.get_key_display(Binding(key, "", "")) if key != NO_KEY else "" for key in names]


def sections(controls: Controls) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """(title, rows of (keys, what they do, binding id)) for the app and for each pane."""
    yield "Everywhere", _rows(controls, [controls])
    for pane in controls.workspace.panes:
        yield section_of(controls, pane)


def section_of(controls: Controls, pane: Pane) -> tuple[str, list[tuple[str, str, str]]]:
    """The section of one pane."""
    return pane.title, _rows(controls, [pane, *pane.walk_children(Widget)])


def _rows(controls: Controls, nodes: Sequence[DOMNode | Controls]) -> list[tuple[str, str, str]]:
    rows: dict[str, tuple[Binding, DOMNode | None, list[str]]] = {}
    for node in nodes:
        pane = cast("DOMNode", node) if node is not controls else None
        for binding in _bindings(node):
            if binding.description:
                rows.setdefault(binding.id or "", (binding, pane, []))[2].append(binding.key)
    return [
        (
            " ".join(_shown(controls, binding, list(dict.fromkeys(keys)))),
            label(controls, binding.description, binding.action, pane),
            name,
        )
        for name, (binding, pane, keys) in rows.items()
    ]


class Key(NamedTuple):
    """An entry: the key as it is shown, what it does, the key to press for it, and how early it is dropped."""

    shown: str
    words: str
    key: str
    rank: int

    @property
    def width(self) -> int:
        """The cells that it takes."""
        return cell_len(self.shown) + cell_len(self.words) + 3


class KeyBar(Widget):
    """Shows every binding that is meant to be shown and can be used now; a click does it.

    Where there is no room for all of them it says how many more there are, and which key shows them.
    """

    DEFAULT_CSS = """
    KeyBar { height: 1; width: 1fr; background: $panel; color: $on-panel; }
    """

    def __init__(self, controls: Controls, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._controls = controls
        self._keys: list[Key] = []
        self._more: Key | None = None
        self._spans: list[tuple[int, int, str]] = []

    def on_mount(self) -> None:
        """Follow the screen's bindings."""
        self.screen.bindings_updated_signal.subscribe(self, self._update)
        self._update(self.screen)

    def _update(self, screen: object) -> None:
        if not self.is_attached or not self.app.screen_stack:
            return
        actions: set[tuple[object, str]] = set()
        keys: list[Key] = []
        top = self.app.screen_stack[-1]  # under a dialog, its keys are all that do anything
        bindings = top.active_bindings
        active = [key for key in bindings.values() if key.enabled and key.binding.show]
        # What the focused pane can do comes first, then the app's keys in the order in which they were declared.
        ranks = {binding.id: number for number, binding in enumerate(self.app.BINDINGS) if isinstance(binding, Binding)}
        active.sort(key=lambda key: ranks.get(key.binding.id, 0) + 1 if key.node is self.app else 0)
        own, more = 0, None
        for node, binding, _, _ in active:
            if binding.description and binding.key != NO_KEY and (node, binding.action) not in actions:
                actions.add((node, binding.action))
                words = label(self._controls, binding.description, binding.action, None if node is self.app else node)
                rank = 0 if binding.id in STAY else 2 if node is self.app else 1
                keys.append(Key(self.app.get_key_display(binding), words, binding.key, rank))
                own += node is not self.app
                if binding.id == "help.keys" or (binding.id == "help.pane" and more is None):
                    more = keys[-1]
        if "1" not in bindings and top is self.screen:  # digits are text where the focus is
            last = next(row.key for row in reversed(PANES) if row.key)
            first = next((key.binding for key in bindings.values() if key.binding.id == "pane.1.always"), None)
            if first is not None:
                keys.insert(own, Key(f"{self.app.get_key_display(first)}…{last}", "Panes", first.key, 0))
        if (keys, more) != (self._keys, self._more):
            self._keys, self._more = keys, more
            self.refresh()

    def shown(self, room: int) -> list[Key]:
        """The entries that fit into so many cells; the last one tells of those that do not."""
        if sum(shown_key.width for shown_key in self._keys) <= room or self._more is None:
            return self._keys
        more = self._more
        places, cells = set(), room - cell_len(more.shown) - len(" 99 more  ")
        for number, shown_key in sorted(enumerate(self._keys), key=lambda entry: entry[1].rank):
            if shown_key != more and shown_key.width <= cells:
                places.add(number)
                cells -= shown_key.width
        some = [shown_key for number, shown_key in enumerate(self._keys) if number in places]
        return [*some, more._replace(words=f"{len(self._keys) - len(some) - 1} more")]

    def render_line(self, y: int) -> Strip:
        """The row: ` F5 Start  F6 Pause …`."""
        base = self.rich_style
        room = self.size.width
        segments: list[Segment] = []
        self._spans = []
        x = 0
        for shown_key in self.shown(room):
            keys, words, key, _ = shown_key
            width = shown_key.width
            segments.append(Segment(f" {keys}", base + Style(bold=True)))
            segments.append(Segment(f" {words} ", base))
            self._spans.append((x, x + width, key))
            x += width
        return Strip(segments).adjust_cell_length(room, base)

    def on_click(self, event: events.Click) -> None:
        """Press the key that was clicked."""
        for start, end, key in self._spans:
            if start <= event.x < end:
                self.app.simulate_key(key)
