"""A switch in one row of text: `[x] bell`."""

from __future__ import annotations

from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Static


class Tick(Static, can_focus=True):
    """On or off, by Space, Enter or a click; posts `Changed`."""

    DEFAULT_CSS = """
    Tick { width: auto; height: 1; }
    Tick:focus { background: $block-cursor-background; color: $block-cursor-foreground; }
    """
    BINDINGS = [Binding("space,enter", "switch", "Switch", show=False, id="tick.toggle")]
    value = reactive(False, init=False)

    class Changed(Message):
        """A switch is on now, or off."""

        def __init__(self, tick: Tick) -> None:
            super().__init__()
            self.tick = tick

    def __init__(self, label: str, value: bool, *, id: str) -> None:
        super().__init__(id=id)
        self.label = label
        self.set_reactive(Tick.value, value)

    def render(self) -> Content:
        """The box and the label."""
        return Content(f"{'[x]' if self.value else '[ ]'} {self.label}")

    def watch_value(self) -> None:
        """Tell of it."""
        self.refresh()
        self.post_message(self.Changed(self))

    def action_switch(self) -> None:
        self.value = not self.value

    def on_click(self) -> None:
        self.focus()
        self.action_switch()
