"""The dialog that settles what is told of runs, and how; each change counts and is remembered at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Input, Static

from tui_gen.app.widgets.modal import Modal
from tui_gen.app.widgets.tick import Tick
from tui_gen.notify import wishes
from tui_gen.notify.wishes import EVENTS, WAYS, Wishes
from tui_gen.text import clean

EXAMPLE = 'curl -s -d "$TUI_GEN_TEXT" ntfy.sh/my-topic'


class NotifyDialog(Modal[None]):
    """A table of events and ways, the command, and a test.

    `keep(key, value)` remembers a setting of `[notify]`; `use(wishes)` is told what counts from now on; `try_out()`
    sends a test by this terminal and says how, `try_hook(command)` by the command and says how that went; `terminal`
    says what this terminal takes.
    """

    DEFAULT_CSS = """
    NotifyDialog { align: center middle; background: $background 60%; }
    NotifyDialog > #notify {
        width: 76; max-width: 98%; height: auto; max-height: 96%;
        border: heavy $primary; border-title-style: bold; background: $surface; padding: 0 1;
    }
    NotifyDialog .row { height: 1; }
    NotifyDialog .label { width: 1fr; height: 1; }
    NotifyDialog Tick { margin-left: 2; }
    NotifyDialog #words { height: auto; margin: 1 0 0 0; color: $quiet; }
    NotifyDialog #buttons { height: auto; align-horizontal: right; margin-top: 1; }
    NotifyDialog Button { margin-left: 2; min-width: 8; }
    NotifyDialog #scroll { height: auto; max-height: 100%; scrollbar-size-vertical: 1; }
    """
    BINDINGS = [
        Binding("escape", "dismiss(None)", "Close", id="notify.close"),
        Binding("up", "move(-1)", show=False, id="notify.up"),
        Binding("down", "move(1)", show=False, id="notify.down"),
        Binding("left", "app.focus_previous", show=False, id="notify.left"),
        Binding("right", "app.focus_next", show=False, id="notify.right"),
    ]

    def __init__(
        self,
        current: Wishes,
        terminal: str,
        keep: Callable[[str, Any], None],
        use: Callable[[Wishes], None],
        try_out: Callable[[], str],
        try_hook: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._current, self._terminal = current, terminal
        self._keep, self._use, self._try_out, self._try_hook = keep, use, try_out, try_hook

    def compose(self) -> ComposeResult:
        with Vertical(id="notify") as box:
            box.border_title = " Notices "
            with VerticalScroll(id="scroll", can_focus=False):
                for event, words in EVENTS.items():
                    with Horizontal(classes="row"):
                        yield Static(f"A run {words}", markup=False, classes="label")
                        for way in WAYS:
                            has = way in self._current.ways[event]
                            yield Tick(way, has, id=f"{event}-{way}")
                with Horizontal(classes="row"):
                    yield Static("How far the run on screen is, at the window", markup=False, classes="label")
                    yield Tick("progress", self._current.progress, id="progress")
                with Horizontal(classes="row"):
                    yield Static("The hook, a command of yours", markup=False, classes="label")
                yield Input(self._current.command, placeholder=EXAMPLE, id="command", compact=True)
                yield Static("", id="words", markup=False)
            with Horizontal(id="buttons"):
                yield Button("Send a test", id="test", compact=True)
                yield Button("Close", id="close", compact=True)

    def on_mount(self) -> None:
        """Say what can come of it here."""
        self.query_one("#scroll").styles.max_height = max(6, self.app.size.height - 6)
        self.say("")
        self.query(Tick).first().focus()

    def say(self, words: str) -> None:
        """Say what came of a test, and what this terminal takes."""
        terminal = f"This terminal: {self._terminal}."
        self.query_one("#words", Static).update(Content(clean(f"{words} {terminal}" if words else terminal)))

    def on_tick_changed(self, message: Tick.Changed) -> None:
        """A way was chosen, or given up."""
        message.stop()
        name = message.tick.id or ""
        if name == "progress":
            self._keep("progress", message.tick.value)
        else:
            event = name.partition("-")[0]
            ways = [way for way in WAYS if self.query_one(f"#{event}-{way}", Tick).value]
            self._keep(event, ways)
        self._changed()

    def on_input_changed(self, message: Input.Changed) -> None:
        """Another command; it is remembered once the field is left."""
        message.stop()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """The command is as it should be."""
        message.stop()
        self._keep_command()
        self.focus_next()

    def on_descendant_blur(self, message: events.DescendantBlur) -> None:
        """The field was left."""
        if message.widget.id == "command":
            self._keep_command()

    def _keep_command(self) -> None:
        command = self.query_one("#command", Input).value.strip()
        if command != self._current.command:
            self._keep("command", command)
            self._changed()

    def _changed(self) -> None:
        ways = {
            event: [way for way in WAYS if self.query_one(f"#{event}-{way}", Tick).value] for event in EVENTS
        }
        table = {**ways, "command": self.query_one("#command", Input).value.strip(),
                 "progress": self.query_one("#progress", Tick).value}  # fmt: skip
        self._current = wishes.of_table(table)
        self._use(self._current)
        self.say(" ".join(self._current.problems))

    def on_button_pressed(self, message: Button.Pressed) -> None:
        """A test, or the end."""
        message.stop()
        if message.button.id == "close":
            self.dismiss(None)
            return
        self._keep_command()
        self.say(f"Sent: {self._try_out()}.")
        if self._current.command:
            self._try_hook(self._current.command)

    def action_move(self, direction: int) -> None:
        """To the row above or below."""
        focus = self.focused
        steps = len(WAYS) if isinstance(focus, Tick) and focus.id != "progress" else 1
        for _ in range(steps):
            (self.focus_next if direction > 0 else self.focus_previous)()

    def on_click(self, event: events.Click) -> None:
        """A click outside the box leaves."""
        if not self.query_one("#notify").region.contains(int(event.screen_x), int(event.screen_y)):
            self.dismiss(None)
