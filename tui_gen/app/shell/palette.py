"""The command palette: every action, recipe, run and theme by name; themes are shown while one moves over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from tui_gen.app.shell import keys
from tui_gen.app.shell.actions import label
from tui_gen.text import clean

if TYPE_CHECKING:
    from tui_gen.app.panes.samples.pane import SamplesPane
    from tui_gen.app.workbench import Workbench

THEME = "Theme: "
MOST = 200


class Command(NamedTuple):
    """An entry: what is searched and shown, what it does, a line of help."""

    name: str
    call: Callable[[], object]
    help: str
    discover: bool = False
    """Whether it is listed before anything was typed."""


class Commands(Provider):
    """Everything the workbench can do."""

    @property
    def workbench(self) -> Workbench:
        """The app."""
        return cast("Workbench", self.app)

    def commands(self) -> Iterator[Command]:
        """All entries, actions first."""
        app = self.workbench
        for menu in app.menu_bar.menus:
            for item in menu.items:
                if item is not None and app.enabled(item.action):
                    key = app.key_of(item.binding)
                    yield Command(
                        f"{menu.title}: {label(app, item.label, item.action)}",
                        partial(app.do, item.action),
                        f"key {key}" if key else "",
                        True,
                    )
        for pane in app.workspace.panes:
            for binding in keys.of_pane(pane):
                action = f"in_pane({pane.id!r}, {binding.action!r})"
                if app.enabled(action):
                    name = f"{pane.TITLE}: {label(app, binding.description, binding.action, pane)}"
                    yield Command(name, partial(app.do, action), f"key {app.key_of(binding.id)}")
        samples: Any = app.workspace.pane("samples")
        for kind in getattr(samples, "kinds", list)():
            yield Command(f"Previews: {clean(kind)}", partial(self._show_kind, samples, kind), "in the Samples pane")
        for recipe in app.session.catalog.recipes.values():
            pick = partial(app.pick_recipe, recipe.name)
            yield Command(f"Recipe: {recipe.name}", pick, recipe.title or recipe.summary)
        for info in app.run_rows()[:MOST]:
            words = f"{info.state}, step {info.step:,}"
            yield Command(f"Open run: {info.name} {info.path[-4:]}", partial(app.open_run, info.path), words)
        for name in app.theme_names:
            yield Command(THEME + name, partial(app.choose_theme, name), "colours")

    def _show_kind(self, samples: SamplesPane, kind: str) -> None:
        self.workbench.workspace.open("samples")
        samples.pick(kind)

    async def discover(self) -> Hits:
        """What is listed at first."""
        for command in self.commands():
            if command.discover:
                yield DiscoveryHit(Content(command.name), command.call, text=command.name, help=_plain(command.help))

    async def search(self, query: str) -> Hits:
        """What matches."""
        matcher = self.matcher(query)
        for command in self.commands():
            score = matcher.match(command.name)
            if score > 0:
                shown = matcher.highlight(command.name) if "[" not in command.name else Content(command.name)
                yield Hit(score, shown, command.call, text=command.name, help=_plain(command.help))


class Themes(Commands):
    """The themes alone."""

    def commands(self) -> Iterator[Command]:
        """Every theme."""
        app = self.workbench
        for name in app.theme_names:
            yield Command(THEME + name, partial(app.choose_theme, name), "in use" if name == app.theme else "", True)


def _plain(text: str) -> str:
    """Help is parsed for markup: take the meaning from brackets."""
    return text.replace("[", r"\[")
