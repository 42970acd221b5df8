"""The tour: a few words at the bottom of the screen about each pane, which is shown above them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from tui_gen.app.widgets.modal import Modal

if TYPE_CHECKING:
    from pathlib import Path

    from textual.app import App

    from tui_gen.app.shell.settings import Settings
    from tui_gen.app.shell.stage import Stage
    from tui_gen.app.shell.workspace import Workspace

SETTING = "tour"
"""The setting that says that the tour was shown."""


class Stop(NamedTuple):
    """What is said, and the pane and layout that are on screen meanwhile."""

    title: str
    text: str
    pane: str
    layout: str = "edit"


STOPS = (
    Stop(
        "Models and recipes",
        "A recipe is a model with data and settings that reach a known figure. ↑ ↓ look at them, Enter takes one. "
        "Digits switch panes: this one is {pane.1}.",
        "models",
    ),
    Stop(
        "Hyperparameters",
        "The next run is put together here ({pane.2}). Just type on a field: it is checked at once, and what you "
        "change is marked. {run.start} trains it.",
        "form",
    ),
    Stop(
        "Losses",
        "While a run trains it takes the screen. ← → read off values, {losses.log} is logarithmic, + and - zoom; the "
        "metric that the recipe is judged by comes first.",
        "losses",
        "watch",
    ),
    Stop(
        "Samples",
        "What the model makes, from the same noise every time: ← → go back in time. {view.drawer} brings the settings; "
        "those that are live can be changed while it trains.",
        "samples",
        "watch",
    ),
    Stop(
        "Runs go on without you",
        "{app.quit} leaves; training goes on, and tui-gen attach shows it again. {run.stop} stops with a checkpoint, "
        "{run.resume} goes on to the bit. All runs are in {pane.6}.",
        "runs",
    ),
    Stop(
        "Everything else",
        "{help.palette} finds commands, recipes, runs and settings by any of their words, {help.keys} lists the keys, "
        "{help.pane} helps with the pane you are in, {menu.open} opens the menus. The tour is in Help.",
        "models",
    ),
)


class Tour(Modal[str]):
    """Enter or → goes on, ← back, Escape leaves; any other key leaves, too, and is dismissed with, to be pressed."""

    DEFAULT_CSS = """
    Tour { align: center bottom; background: transparent; }
    Tour > Static {
        width: 76; max-width: 100%; height: auto; margin-bottom: 2; padding: 0 1;
        border: heavy $primary; border-title-style: bold; background: $surface;
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._at = 0
        self._words = Static()

    @property
    def stage(self) -> Stage:
        """The workbench."""
        return cast("Stage", self.app)

    def compose(self) -> ComposeResult:
        yield self._words

    def on_mount(self) -> None:
        self._show()

    def on_resize(self) -> None:
        """What is spoken of has no place yet in another shape of terminal."""
        self.call_after_refresh(self._show)

    def _show(self) -> None:
        stop = STOPS[self._at]
        self.stage.workspace.show_for_tour(stop.layout, stop.pane)
        self._words.update(Content(_with_keys(stop.text, self.stage)))
        self._words.border_title = Content(f" {self._at + 1}/{len(STOPS)}  {stop.title} ")
        last = self._at == len(STOPS) - 1
        self._words.border_subtitle = Content(f" ← back   Enter {'ends' if last else 'goes on'}   Esc leaves ")

    def _go(self, step: int) -> None:
        self._at = max(0, self._at + step)
        if self._at >= len(STOPS):
            self.dismiss("")
        else:
            self._show()

    def on_key(self, event: events.Key) -> None:
        """Go on, go back, or leave."""
        event.stop()
        event.prevent_default()
        if event.key in ("enter", "right", "space", "down"):
            self._go(1)
        elif event.key in ("left", "up", "backspace"):
            self._go(-1)
        else:
            self.dismiss("" if event.key == "escape" else event.key)

    def on_click(self, event: events.Click) -> None:
        """A click goes on."""
        event.stop()
        self._go(1)


def _with_keys(text: str, stage: Stage) -> str:
    """A text with the keys in force in place of the ids of their bindings."""
    parts = text.split("{")
    words = [parts[0]]
    for part in parts[1:]:
        name, _, rest = part.partition("}")
        words += [stage.key_of(name) or "—", rest]
    return "".join(words)


def show_around(app: App[None], workspace: Workspace, settings: Settings) -> None:
    """Show the tour; then layout and pane are as before, and the key that ended it does what it does elsewhere."""
    layout, pane = workspace.layout_name, workspace.active
    tabs, maximised = dict(workspace.current_tabs), workspace.maximised

    def back(key: str | None) -> None:
        settings.set(SETTING, True)
        workspace.use_layout(layout)
        workspace.current_tabs, workspace.maximised = tabs, maximised
        workspace.rearrange()
        if pane is not None and pane.id:
            workspace.open(pane.id)
        if key:
            app.simulate_key(key)

    app.push_screen(Tour(), back)


def is_for(settings: Settings, root: Path) -> bool:
    """Whether somebody is new here: has no runs in this folder, and was never shown around.

    Where the settings cannot be read nobody is taken for new: that could not be remembered either.
    """
    if settings.problem or settings.get(SETTING, False):
        return False
    return next(iter(root.glob("*/config.toml")), None) is None
