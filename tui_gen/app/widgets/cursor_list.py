"""A list that draws its own rows, one of them under a cursor."""

from __future__ import annotations

from textual import events
from textual.scroll_view import ScrollView


class CursorList(ScrollView):
    """Draws the cursor's row alone when the focus comes or goes. Textual would draw the whole list, up to 10 kB."""

    def refresh_cursor(self) -> None:
        """Draw the cursor's row anew. Override."""

    def on_focus(self, event: events.Focus) -> None:
        event.prevent_default()
        self.has_focus = True
        self.refresh_cursor()
        if self.parent is not None:
            self.parent.post_message(events.DescendantFocus(self))

    def on_blur(self, event: events.Blur) -> None:
        event.prevent_default()
        self.has_focus = False
        self.refresh_cursor()
        if self.parent is not None:
            self.parent.post_message(events.DescendantBlur(self))
