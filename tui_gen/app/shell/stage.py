"""What others may ask of the workbench, all they know of it: the conductor, and menus, keys and the palette."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from textual.binding import Binding
    from textual.screen import Screen
    from textual.timer import Timer

    from tui_gen.app.panes.base import Pane
    from tui_gen.app.panes.form.pane import FormPane
    from tui_gen.app.panes.models import ModelsPane
    from tui_gen.app.shell.menu import Menu
    from tui_gen.app.shell.notices import Notices
    from tui_gen.app.shell.status import StatusBar
    from tui_gen.app.shell.themes import Themes
    from tui_gen.app.shell.workspace import Workspace
    from tui_gen.catalog import Catalog
    from tui_gen.view import RunView


Answer = TypeVar("Answer")


class Controls(Protocol):
    """The workbench as menus, keys and the palette have it: what can be chosen, and what is done then."""

    workspace: Workspace
    themes: Themes

    @property
    def form(self) -> FormPane | None:
        """The form, once it is there."""

    @property
    def view(self) -> RunView | None:
        """The run that is shown."""

    @property
    def catalog(self) -> Catalog:
        """The models and recipes that are known."""

    @property
    def menus(self) -> Sequence[Menu]:
        """The menus of the menu bar."""

    @property
    def keymap(self) -> dict[str, str]:
        """The user's keys: binding id → keys, separated by commas."""

    @property
    def layout_can_be_put_back(self) -> bool:
        """Whether the proportions that were given up last can be had again."""

    def pick_recipe(self, name: str) -> None:
        """Put a recipe into the form."""

    def pick_model(self, name: str) -> None:
        """Put a model into the form."""

    def choose_layout(self, name: str) -> None:
        """Use a layout from now on, and the next time in a terminal of this shape."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether an action of the workbench's own can be done now."""

    def enabled(self, action: str) -> bool:
        """Whether a menu's entry can be chosen."""

    def do(self, action: str) -> None:
        """Run an action by its name, as a menu does."""

    def key_of(self, binding: str) -> str:
        """The first key of the binding with this id, as it is shown."""

    def get_key_display(self, binding: Binding) -> str:
        """A binding's key as it is printed on keyboards."""


class Stage(Protocol):
    """The workbench as those have it who deal with runs: where they tell, show and do something."""

    workspace: Workspace
    notices: Notices
    status: StatusBar
    themes: Themes

    @property
    def form(self) -> FormPane | None:
        """The form, once it is there."""

    @property
    def models(self) -> ModelsPane | None:
        """The pane of models, once it is there."""

    @property
    def view(self) -> RunView | None:
        """The run that is shown."""

    @property
    def catalog(self) -> Catalog:
        """The models and recipes that are known."""

    # -- telling

    def caption(self, text: str) -> None:
        """The name of what is shown, in the menu bar."""

    def copy_to_clipboard(self, text: str) -> None:
        """Put a text into the clipboard of the terminal's machine."""

    def push_screen(self, screen: Screen[Answer], callback: Callable[[Answer | None], None] | None = None) -> object:
        """Show a dialog."""

    async def push_screen_wait(self, screen: Screen[Answer]) -> Answer | None:
        """Show a dialog and wait for its answer."""

    # -- showing

    def show_run(self, view: RunView | None) -> None:
        """Every pane shows this run from now on, or none."""

    def land(self, asked_in: Pane | None) -> None:
        """A run is shown that was asked for in this pane: bring it before whoever has not gone on to another pane."""

    def show_previews(self, kind: str) -> None:
        """Previews of this kind are the ones to look at."""

    def runs_changed(self) -> None:
        """The runs of the folder are not what they were."""

    async def read_models(self) -> None:
        """Know the models in the folders that are in use now."""

    # -- doing

    def do(self, action: str) -> None:
        """Run an action by its name, as a menu does."""

    def key_of(self, binding: str) -> str:
        """The first key of the binding with this id, as it is shown."""

    def refresh_bindings(self) -> None:
        """What can be done has changed."""

    async def run_action(self, action: str, pane: Pane) -> bool:
        """Run an action of a pane's own."""

    def run_worker(
        self,
        work: Coroutine[object, None, object],
        *,
        group: str = "default",
        exit_on_error: bool = True,
        exclusive: bool = False,
    ) -> object:
        """Do something beside all else."""

    def call_later(self, callback: Callable[[], object]) -> object:
        """Do something after what is being done. From any thread."""

    def set_timer(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Do something in so many seconds."""
