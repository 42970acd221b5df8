"""What the workbench can be asked for: its menus and its keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.actions import parse
from textual.binding import Binding

from tui_gen.app.shell.arrangement import PANES
from tui_gen.app.shell.menu import Item, Menu
from tui_gen.app.shell.workspace import TITLES

if TYPE_CHECKING:
    from tui_gen.app.workbench import Workbench

MENUS = (
    Menu(
        "File",
        (
            Item("Load settings…", "form('load')", "form.load"),
            Item("Save settings…", "form('save')", "form.save"),
            Item("Edit settings in $EDITOR", "form('editor')", "form.editor"),
            None,
            Item("Read the models again", "reload", "app.reload"),
            None,
            Item("Quit", "quit", "app.quit"),
        ),
    ),
    Menu(
        "Run",
        (
            Item("Start", "start", "run.start"),
            Item("Pause", "pause", "run.pause"),
            Item("Sample now", "ask('sample')", "run.sample"),
            Item("Measure quality now", "ask('quality')", "run.quality"),
            Item("Checkpoint now", "ask('checkpoint')", "run.checkpoint"),
            Item("Stop with a checkpoint", "stop", "run.stop"),
            None,
            Item("Resume", "resume", "run.resume"),
            Item("Copy its settings to the form", "form('copy_run')", "form.copy_run"),
            Item("Use its model files…", "form('use_models')", "form.use_models"),
            Item("Open another…", "open_pane('runs')", "pane.6"),
            Item("Close", "close_run", "run.close"),
        ),
    ),
    Menu(
        "View",
        (
            *(Item(TITLES[name], f"open_pane('{name}')", f"pane.{number}") for number, name in enumerate(PANES, 1)),
            None,
            Item("Losses over steps, epochs or time", "in_pane('losses', 'x_axis')", "losses.x_axis"),
            Item("Losses on a log scale", "in_pane('losses', 'log')", "losses.log"),
            Item("Kinds of previews…", "in_pane('samples', 'kinds')", "samples.kinds"),
            None,
            Item("Jump to a pane…", "jump", "view.jump"),
            Item("Maximise", "maximise", "view.maximise"),
            Item("Restore the layout", "reset_layout", "view.reset"),
            Item("Draw the screen anew", "redraw", "view.redraw"),
            Item("Theme…", "themes", "view.themes"),
        ),
    ),
    Menu(
        "Help",
        (
            Item("Help on this pane", "help", "help.pane"),
            Item("All keys", "keys", "help.keys"),
            Item("Command palette", "command_palette", "help.palette"),
            Item("About", "about", "help.about"),
        ),
    ),
)
NEED_LIVE = ("pause", "stop", "ask")
"""Actions on the run that is shown, while it is live."""
ALONE = ("start", "menu", "jump", "open_pane", "go_to_pane", "grow", "maximise", "command_palette", "help", "keys")
"""Actions that do nothing while a dialog or a menu is open."""

BINDINGS = [
    Binding("f1", "help", "Help", id="help.pane"),
    Binding("f5,ctrl+r", "start", "Start", priority=True, id="run.start"),
    Binding("f12", "resume", "Resume", id="run.resume"),
    Binding("f6,space", "pause", "Pause", id="run.pause"),
    Binding("f7", "ask('sample')", "Sample", id="run.sample"),
    Binding("f4", "ask('quality')", "Quality", show=False, id="run.quality"),
    Binding("f8", "ask('checkpoint')", "Checkpoint", id="run.checkpoint"),
    Binding("f9", "stop", "Stop", id="run.stop"),
    Binding("f10", "menu(0)", "Menu", priority=True, id="menu.open"),
    Binding("f11,z", "maximise", "Maximise", id="view.maximise"),
    Binding("ctrl+g", "jump", "Jump", priority=True, id="view.jump"),
    Binding("ctrl+l", "redraw", "Draw the screen anew", show=False, priority=True, id="view.redraw"),
    Binding("question_mark", "keys", "Keys", id="help.keys"),
    Binding("ctrl+q", "quit", "Quit", priority=True, id="app.quit"),
    Binding("alt+left", "grow('x', -1)", "Boundary left", show=False, priority=True, id="view.left"),
    Binding("alt+right", "grow('x', 1)", "Boundary right", show=False, priority=True, id="view.right"),
    Binding("alt+up", "grow('y', -1)", "Boundary up", show=False, priority=True, id="view.up"),
    Binding("alt+down", "grow('y', 1)", "Boundary down", show=False, priority=True, id="view.down"),
]
for number, menu in enumerate(MENUS):
    key, name = f"alt+{menu.title[0].lower()}", f"menu.{menu.title.lower()}"
    BINDINGS.append(Binding(key, f"menu({number})", f"{menu.title} menu", show=False, priority=True, id=name))
# What Textual makes of Esc and a digit, which is how terminals without kitty's keyboard protocol send Alt and a digit.
LEGACY_ALT = ("inverted_exclamation_mark", "trade_mark_sign", "pound_sign", "cent_sign", "infinity", "section_sign")
for number, pane in enumerate(PANES, 1):
    keys = f"{number},{LEGACY_ALT[number - 1]}"
    always = f"{TITLES[pane]}, even from a field"
    BINDINGS += [
        Binding(
            keys,
            f"open_pane('{pane}')",
            TITLES[pane],
            key_display=f"{number}",
            show=False,
            priority=True,
            id=f"pane.{number}",
        ),
        Binding(
            f"alt+{number}", f"go_to_pane('{pane}')", always, show=False, priority=True, id=f"pane.{number}.always"
        ),
    ]


def label(app: Workbench, words: str, action: str, pane: Any = None) -> str:
    """What an action is called now: `words` unless doing it once more would undo it.

    `action` is the app's, or that of the `pane` which has it.
    """
    if action.startswith("in_pane"):
        _, _, (name, action) = parse(action)
        pane = app.workspace.pane(name)
    if pane is not None and not hasattr(pane, "HELP"):  # only its frame is there
        return words
    match pane.id if pane is not None else "", action:
        case "", "pause" if app.shown is not None and app.shown.state == "paused":
            return "Go on"
        case "", "maximise" if app.workspace.maximised:
            return "Restore"
        case "losses", "log" if pane.looking.log_y:
            return "Losses on a linear scale" if len(words) > 3 else "Linear"
        case "log", "toggle_output" if pane.output:
            return "The run's log"
        case "form", "turn":
            return "The run" if pane.state is pane.draft else "Next run"
        case "samples", "zoom" if pane.tile is not None:
            return "Whole grid"
    return words
