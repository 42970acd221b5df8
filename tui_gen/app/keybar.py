"""The row of keys at the bottom: what can be done where the focus is. One line, redrawn only when it changes."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.strip import Strip
from textual.widget import Widget


class KeyBar(Widget):
    """Shows every binding that is meant to be shown and can be used now; a click does it. Takes as many as fit."""

    DEFAULT_CSS = """
    KeyBar { height: 1; width: 1fr; background: $panel; color: $on-panel; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._keys: list[tuple[str, str, str]] = []
        self._spans: list[tuple[int, int, str]] = []

    def on_mount(self) -> None:
        """Follow the screen's bindings."""
        self.screen.bindings_updated_signal.subscribe(self, self._update)
        self._update(self.screen)

    def _update(self, screen: object) -> None:
        if not self.is_attached or len(self.app.screen_stack) > 1:
            return
        seen: set[str] = set()
        keys = []
        known = self.screen.active_bindings
        active = [one for one in known.values() if one.enabled and one.binding.show]
        # What the focused pane can do comes first, then the app's keys in the order in which they were declared.
        ranks = {binding.id: number for number, binding in enumerate(self.app.BINDINGS)}
        active.sort(key=lambda one: ranks.get(one.binding.id, 0) + 1 if one.node is self.app else 0)
        own = 0
        for node, binding, _, _ in active:
            if binding.description and binding.action not in seen:
                seen.add(binding.action)
                keys.append((self.app.get_key_display(binding), binding.description, binding.key))
                own += node is not self.app
        if "1" not in known:  # digits are text where the focus is
            first = next((one.binding for one in known.values() if one.binding.id == "pane.1.always"), None)
            if first is not None:
                keys.insert(own, (f"{self.app.get_key_display(first)}…6", "Panes", first.key))
        if keys != self._keys:
            self._keys = keys
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The row: ` F5 Start  F6 Pause …`."""
        base = self.rich_style
        room = self.size.width
        segments: list[Segment] = []
        self._spans = []
        x = 0
        for shown, words, key in self._keys:
            width = len(shown) + len(words) + 3
            if x + width > room:
                break
            segments.append(Segment(f" {shown}", base + Style(bold=True)))
            segments.append(Segment(f" {words} ", base))
            self._spans.append((x, x + width, key))
            x += width
        return Strip(segments).adjust_cell_length(room, base)

    def on_click(self, event: events.Click) -> None:
        """Press the key that was clicked."""
        for start, end, key in self._spans:
            if start <= event.x < end:
                self.app.simulate_key(key)
