"""An app in which what is typed goes to the field it is typed on, before any key has a meaning."""

from __future__ import annotations

from textual import events

from tui_gen.app.terminal.wire import WiredApp

OTHER = {"alt", "ctrl", "super", "hyper", "meta"}


def typed(event: events.Key) -> str:
    """The character that a key types, or an empty text. Textual 8.2 gives Alt and a digit the digit as character."""
    character = event.character or ""
    return "" if OTHER & set(event.key.split("+")[:-1]) or not character.isprintable() else character


class TypingApp(WiredApp):
    """Hands keys to the focused widget's `take(event)` first, where it has one; True: that was text.

    Here and at once, as several keys may come in one read: sent to the widget like others, a character that begins an
    edit would be overtaken by those after it, which go to the editor.
    """

    async def on_event(self, event: events.Event) -> None:
        """Text before keys."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            take = getattr(self.focused, "take", None)
            if take is not None and take(event):
                return
        await super().on_event(event)
