"""The command palette: every action, recipe, run and theme by name; themes are shown while one moves over them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from textual import on
from textual.await_complete import AwaitComplete
from textual.command import CommandList, CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.events import Event, Key
from textual.widgets import Input
from textual.worker import WorkerError

from tui_gen.app.shell import arrangement, keys
from tui_gen.app.shell.actions import label
from tui_gen.app.terminal.app import TerminalApp
from tui_gen.app.widgets.modal import on_top

if TYPE_CHECKING:
    from textual.style import Style
    from textual.worker import Worker

    from tui_gen.app.panes.base import Entry, Pane
    from tui_gen.app.shell.stage import Controls

THEME = "Theme: "
IN_ANY_ORDER = 0.1
"""The score of what has every word, in another order or in the line of help: after what matches as it is written."""


class Palette(CommandPalette):
    """Textual's palette, whose `dismiss` counts once, as that of a `Modal`, and whose Enter is for what is found for
    all that was typed, however fast that was; what is typed behind it is for what it leads to."""

    def is_long(self, event: Event) -> bool:
        """What is typed behind Enter is held back until `_enter` has done what it does."""
        return isinstance(event, Key) and event.key == "enter"

    @on(Input.Submitted)
    def _once_found(self, event: Input.Submitted) -> None:
        event.stop()
        event.prevent_default()
        self.app.run_worker(self._enter(), exit_on_error=False)

    @property
    def _searches(self) -> list[Worker[Any]]:
        return [worker for worker in self.workers if worker.node is self and not worker.is_finished]

    async def _enter(self) -> None:
        while searches := self._searches:
            with contextlib.suppress(WorkerError):  # another letter ends a search
                await self.workers.wait_for_complete(searches)
        if not on_top(self):
            return
        found = self.query_one(CommandList)
        if found.highlighted is None:
            found.action_first()
        found.action_select()
        if isinstance(self.app, TerminalApp):
            self.app.hold_keys_until(found)  # has told of the choice, if there is one

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Leave; nothing where this screen is not the one on top."""
        return super().dismiss(result) if on_top(self) else AwaitComplete.nothing()


class PaletteCommand(NamedTuple):
    """An entry: what is searched and shown, what it does, a line of help."""

    name: str
    call: Callable[[], object]
    help: str
    discover: bool = False
    """Whether it is listed before anything was typed."""


class Commands(Provider):
    """Everything the workbench can do."""

    @property
    def controls(self) -> Controls:
        """The workbench."""
        return cast("Controls", self.app)

    def commands(self) -> Iterator[PaletteCommand]:
        """All entries, actions first."""
        controls = self.controls
        for menu in controls.menus:
            for item in menu.items:
                if item is not None and controls.enabled(item.action):
                    key = controls.key_of(item.binding)
                    yield PaletteCommand(
                        f"{menu.title}: {label(controls, item.label, item.action)}",
                        partial(controls.do, item.action),
                        f"key {key}" if key else "",
                        True,
                    )
        for pane in controls.workspace.panes:
            for binding in keys.of_pane(pane):
                action = f"in_pane({pane.id!r}, {binding.action!r})"
                if controls.enabled(action):
                    name = f"{pane.title}: {label(controls, binding.description, binding.action, pane)}"
                    yield PaletteCommand(name, partial(controls.do, action), f"key {controls.key_of(binding.id or '')}")
        for model in controls.catalog.models.values():
            yield PaletteCommand(f"Model: {model.name}", partial(controls.pick_model, model.name), model.title)
        for recipe in controls.catalog.recipes.values():
            pick = partial(controls.pick_recipe, recipe.name)
            yield PaletteCommand(f"Recipe: {recipe.name}", pick, recipe.title or recipe.summary)
        for pane in controls.workspace.panes:
            for entry in pane.entries():
                yield PaletteCommand(entry.name, partial(self._call, pane, entry), entry.help)
        yield from self.layouts()
        for name in controls.themes.names:
            yield PaletteCommand(THEME + name, partial(controls.themes.choose, name), "colours")

    def layouts(self, discover: bool = False) -> Iterator[PaletteCommand]:
        """Every layout."""
        for layout in arrangement.layouts():
            use = partial(self.controls.choose_layout, layout.name)
            yield PaletteCommand(f"Layout: {layout.name}", use, layout.words, discover)

    def _call(self, pane: Pane, entry: Entry) -> None:
        if entry.here and pane.id:
            self.controls.workspace.open(pane.id)
        entry.call()

    async def discover(self) -> Hits:
        """What is listed at first."""
        for command in self.commands():
            if command.discover:
                yield DiscoveryHit(Content(command.name), command.call, text=command.name, help=_plain(command.help))

    async def search(self, query: str) -> Hits:
        """What matches."""
        matcher = self.matcher(query)
        words = query.lower().split()
        for command in self.commands():
            score = matcher.match(command.name)
            title = Content(command.name)
            if score > 0:
                title = matcher.highlight(command.name) if "[" not in command.name else title
            elif all(word in f"{command.name} {command.help}".lower() for word in words):
                score = IN_ANY_ORDER
                title = _marked(title, words, matcher.match_style)
            if score > 0:
                yield Hit(score, title, command.call, text=command.name, help=_plain(command.help))


class Layouts(Commands):
    """The layouts alone."""

    def commands(self) -> Iterator[PaletteCommand]:
        """Every layout."""
        return self.layouts(discover=True)


class ThemeCommands(Commands):
    """The themes alone."""

    def commands(self) -> Iterator[PaletteCommand]:
        """Every theme."""
        themes = self.controls.themes
        for name in themes.names:
            words = "in use" if name == themes.name else ""
            yield PaletteCommand(THEME + name, partial(themes.choose, name), words, True)


def _marked(title: Content, words: list[str], style: Style) -> Content:
    """A title with every word that was looked for marked in it."""
    plain = title.plain.lower()
    for word in words:
        at = plain.find(word)
        if at >= 0:
            title = title.stylize(style, at, at + len(word))
    return title


def _plain(text: str) -> str:
    """Help is parsed for markup: take the meaning from brackets."""
    return text.replace("[", r"\[")
