"""What a key types."""

from __future__ import annotations

from textual import events

OTHER = {"alt", "ctrl", "super", "hyper", "meta"}


def typed(event: events.Key) -> str:
    """The character that a key types, or an empty text. Textual 8.2 gives Alt and a digit the digit as character."""
    character = event.character or ""
    return "" if OTHER & set(event.key.split("+")[:-1]) or not character.isprintable() else character
