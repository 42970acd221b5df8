"""What the workbench can be asked for: its menus and its keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.actions import parse
from textual.binding import Binding

from tui_gen.app.panes.base import Pane
from tui_gen.app.panes.registry import PANES
from tui_gen.app.shell.menu import Item, Menu
from tui_gen.app.shell.settings import NO_KEY

if TYPE_CHECKING:
    from textual.dom import DOMNode

    from tui_gen.app.shell.stage import Controls
    from tui_gen.view import RunView

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
            Item("Add to the queue", "enqueue", "run.enqueue"),
            Item("Sweep over settings…", "sweep", "run.sweep"),
            Item("Pause", "pause", "run.pause"),
            Item("Sample now", "ask('sample')", "run.sample"),
            Item("Measure quality now", "ask('quality')", "run.quality"),
            Item("Checkpoint now", "ask('checkpoint')", "run.checkpoint"),
            Item("Stop with a checkpoint", "stop", "run.stop"),
            Item("Yield the GPU", "ask('yield')", "run.yield"),
            Item("Go back to a checkpoint…", "roll_back", "run.back"),
            None,
            Item("Resume", "resume", "run.resume"),
            Item("Fork…", "in_pane('losses', 'fork')", "losses.fork"),
            Item("Copy its settings to the form", "form('copy_run')", "form.copy_run"),
            Item("Use its model files…", "form('use_models')", "form.use_models"),
            Item("Replay", "replay", "run.replay"),
            Item("Export…", "export", "run.export"),
            Item("Open another…", "open_pane('runs')", "pane.6"),
            Item("Close", "close_run", "run.close"),
        ),
    ),
    Menu(
        "View",
        (
            *(Item(row.title, f"open_pane('{row.id}')", f"pane.{row.key}") for row in PANES),
            None,
            Item("Losses over steps, epochs or time", "in_pane('losses', 'x_axis')", "losses.x_axis"),
            Item("Losses on a log scale", "in_pane('losses', 'log')", "losses.log"),
            Item("Kinds of previews…", "in_pane('samples', 'kinds')", "samples.kinds"),
            None,
            Item("Models and hyperparameters", "drawer", "view.drawer"),
            Item("Layout…", "layouts", "view.layouts"),
            Item("Jump to a pane…", "jump", "view.jump"),
            Item("Maximise", "maximise", "view.maximise"),
            Item("Restore the layout", "reset_layout", "view.reset"),
            Item("Draw the screen anew", "redraw", "view.redraw"),
            Item("Theme…", "themes", "view.themes"),
            Item("Notices…", "notice_settings", "view.notices"),
        ),
    ),
    Menu(
        "Help",
        (
            Item("Help on this pane", "help", "help.pane"),
            Item("All keys", "keys", "help.keys"),
            Item("Command palette", "command_palette", "help.palette"),
            Item("Tour", "tour", "help.tour"),
            Item("About", "about", "help.about"),
        ),
    ),
)
NEED_LIVE = ("pause", "stop", "ask")
"""Actions on the run that is shown, while it is live."""
NEED_RUN = (*NEED_LIVE, "resume", "roll_back", "close_run")
"""Actions on the run that is shown."""
ALONE = (
    "start", "enqueue", "sweep", "menu", "jump", "open_pane", "go_to_pane", "grow", "maximise", "drawer", "layouts",
    "command_palette", "help", "keys", "export", "replay",
)  # fmt: skip
"""Actions that do nothing while a dialog or a menu is open."""

BINDINGS = [
    Binding("f1", "help", "Help", id="help.pane"),
    Binding("f2", "drawer", "Edit", priority=True, id="view.drawer"),
    Binding("f3", "layouts", "Layout", show=False, priority=True, id="view.layouts"),
    Binding("f5,ctrl+r", "start", "Start", priority=True, id="run.start"),
    Binding(
        "shift+f5,f17", "enqueue", "Add to the queue", show=False, key_display="Shift+F5", priority=True,
        id="run.enqueue",
    ),
    Binding(
        "ctrl+f5", "sweep", "Sweep over settings", show=False, key_display="Ctrl+F5", priority=True, id="run.sweep"
    ),
    Binding("f12", "resume", "Resume", id="run.resume"),
    Binding("f6,space", "pause", "Pause", id="run.pause"),
    Binding("f7", "ask('sample')", "Sample", id="run.sample"),
    Binding("f4", "ask('quality')", "Quality", show=False, id="run.quality"),
    Binding("f8", "ask('checkpoint')", "Checkpoint", id="run.checkpoint"),
    Binding("f9", "stop", "Stop", id="run.stop"),
    Binding("ctrl+x", "export", "Export", show=False, id="run.export"),
    Binding("less_than_sign", "replay_speed(-1)", "Speed", key_display="< >", id="replay.slower"),
    Binding("greater_than_sign", "replay_speed(1)", "Replay faster", show=False, id="replay.faster"),
    Binding("left_curly_bracket", "replay_jump(-1)", "Jump", key_display="{ }", id="replay.back"),
    Binding("right_curly_bracket", "replay_jump(1)", "Jump on in a replay", show=False, id="replay.on"),
    Binding("ctrl+y", "ask('yield')", "Yield the GPU", show=False, id="run.yield"),
    Binding("B", "roll_back", "Go back to a checkpoint", show=False, id="run.back"),
    Binding("f10", "menu(0)", "Menu", priority=True, id="menu.open"),
    Binding("z,f11", "maximise", "Maximise", id="view.maximise"),
    Binding("ctrl+g", "jump", "Jump", priority=True, id="view.jump"),
    Binding("ctrl+l", "redraw", "Draw the screen anew", show=False, priority=True, id="view.redraw"),
    Binding("question_mark", "keys", "Keys", id="help.keys"),
    Binding("ctrl+p", "command_palette", "Command palette", show=False, priority=True, id="help.palette"),
    Binding("ctrl+q", "quit", "Quit", priority=True, id="app.quit"),
    Binding("alt+left", "grow('x', -1)", "Boundary left", show=False, priority=True, id="view.left"),
    Binding("alt+right", "grow('x', 1)", "Boundary right", show=False, priority=True, id="view.right"),
    Binding("alt+up", "grow('y', -1)", "Boundary up", show=False, priority=True, id="view.up"),
    Binding("alt+down", "grow('y', 1)", "Boundary down", show=False, priority=True, id="view.down"),
]
BINDINGS += [  # no key of ours, but a user may give them one
    Binding(NO_KEY, action, words, show=False, id=name)
    for action, words, name in (
        ("reload", "Read the models again", "app.reload"),
        ("close_run", "Close the run", "run.close"),
        ("reset_layout", "Restore the layout", "view.reset"),
        ("themes", "Theme", "view.themes"),
        ("notice_settings", "Notices", "view.notices"),
        ("tour", "Tour", "help.tour"),
        ("about", "About", "help.about"),
    )
]
for number, menu in enumerate(MENUS):
    key, name = f"alt+{menu.title[0].lower()}", f"menu.{menu.title.lower()}"
    BINDINGS.append(Binding(key, f"menu({number})", f"{menu.title} menu", show=False, priority=True, id=name))
LEGACY_ALT = {
    "1": "inverted_exclamation_mark",
    "2": "trade_mark_sign",
    "3": "pound_sign",
    "4": "cent_sign",
    "5": "infinity",
    "6": "section_sign",
    "7": "pilcrow_sign",
    "8": "bullet",
    "9": "ª",
    "0": "º",
}
"""What the keyboards of macOS type for Option and a digit, where Option is not told to be Alt."""
for row in PANES:
    BINDINGS += [] if not row.key else [
        Binding(
            f"{row.key},{LEGACY_ALT[row.key]}",
            f"open_pane('{row.id}')",
            row.title,
            key_display=row.key,
            show=False,
            priority=True,
            id=f"pane.{row.key}",
        ),
        Binding(
            f"alt+{row.key}",
            f"go_to_pane('{row.id}')",
            f"{row.title}, even from a field",
            show=False,
            priority=True,
            id=f"pane.{row.key}.always",
        ),
    ]


def in_pane(action: str) -> tuple[str, str]:
    """The pane, and the action in it, of `in_pane('losses', 'log')`."""
    _, _, (pane, its) = parse(action)
    return str(pane), str(its)


def label(controls: Controls, words: str, action: str, node: DOMNode | None = None) -> str:
    """What an action is called now: `words` unless doing it once more would undo it.

    `action` is the workbench's, or that of the `node` which has it.
    """
    if action.startswith("in_pane"):
        name, action = in_pane(action)
        node = controls.workspace.pane(name)
    if node is not None:
        return node.label(words, action) if isinstance(node, Pane) else words
    view = controls.view
    if action == "pause" and view is not None and (view.replaying.split()[1:] or [view.state])[0] == "paused":
        return "Go on"
    if action == "stop" and view is not None and view.replaying:
        return "End the replay" if " " in words else "End"
    if action == "maximise" and controls.workspace.maximised:
        return "Restore"
    if action == "reset_layout" and controls.layout_can_be_put_back:
        return "Undo restoring the layout"
    if action == "drawer" and controls.workspace.layout_name == "edit":
        return "Watch the run" if words != "Edit" else "Watch"
    return words


def possible(view: RunView | None, action: str) -> bool:
    """Whether an action of `NEED_RUN` can be done now to this run."""
    if view is None:
        return False
    if action in NEED_LIVE:
        return view.live or (bool(view.replaying) and action != "ask")
    if action == "resume":
        return not view.replaying and view.state in ("stopped", "failed", "interrupted")
    return action == "close_run" or not view.replaying


def enabled(controls: Controls, action: str) -> bool:
    """Whether an action can be done now: the workbench's, or one that it does in a pane."""
    name, _, rest = action.partition("(")
    if name == "form":
        form_action = rest.strip("')")
        able = controls.form is not None and controls.form.check_action(form_action, ()) is True
        return able and (form_action != "copy_run" or controls.view is not None)
    if name == "in_pane":
        where, what = in_pane(action)
        pane, (_, its, arguments) = controls.workspace.pane(where), parse(what)
        return pane is not None and pane.check_action(its, arguments) is True
    if name in (*NEED_RUN, "replay", "export"):
        return controls.check_action(name, ()) is True
    return True
