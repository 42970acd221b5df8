"""What states of runs and levels of log lines look like, on every screen: a sign, and a tone that a screen colours.

The word itself always stands beside them: neither sign nor colour carries a meaning alone. The workbench takes a
tone's colour from its theme (`$text-success` …); a terminal that is only printed to has ANSI for it.
"""

from __future__ import annotations

from typing import NamedTuple


class StateLook(NamedTuple):
    """A sign of one cell, a tone, and what a run in this state does or what became of it, within a sentence."""

    sign: str
    tone: str
    doing: str = "is live"


STATES = {
    "starting": StateLook("◌", "accent", "is starting"),
    "running": StateLook("▶", "success", "is training"),
    "paused": StateLook("‖", "warning", "is paused"),
    "stopping": StateLook("◧", "warning", "is stopping"),
    "finished": StateLook("✔", "primary", "has finished"),
    "stopped": StateLook("■", "quiet", "was stopped"),
    "failed": StateLook("✖", "error", "has failed"),
    "interrupted": StateLook("!", "error", "was interrupted"),
}
IN_QUEUE = {
    "waiting": StateLook("◌", ""),
    "running": STATES["running"],
    "done": STATES["finished"],
    "failed": STATES["failed"],
    "cancelled": STATES["stopped"],
    "pruned": StateLook("▫", "quiet"),
}
"""The states of what is in a queue, or a trial of a sweep."""
UNKNOWN = StateLook("?", "quiet")
LEVELS = {
    "info": StateLook(" ", ""),
    "state": StateLook("●", "primary"),
    "edit": StateLook("✎", "accent"),
    "warning": StateLook("▲", "warning"),
    "alert": StateLook("▲", "warning"),
    "error": StateLook("✖", "error"),
    "debug": StateLook("·", ""),
}
VERDICTS = {"good": StateLook("✔", "success"), "watch": StateLook("▲", "warning"), "bad": StateLook("✖", "error")}
"""How a run goes, by the levels of `health.Verdict`."""
ANSI = {
    "accent": (36, "cyan"), "success": (32, "green"), "warning": (33, "yellow"), "primary": (34, "blue"),
    "error": (31, "red"), "quiet": (2, "dim"), "": (0, ""),
}  # fmt: skip
"""Tone → the number that sets it, and Rich's name for the same."""


def state_look(state: str) -> StateLook:
    """That of a state; of one that a newer version wrote, UNKNOWN."""
    return STATES.get(state, UNKNOWN)


def queue_look(state: str) -> StateLook:
    """That of the state of an entry in a queue."""
    return IN_QUEUE.get(state, UNKNOWN)


def level_look(level: str) -> StateLook:
    """That of a log line's level, or of one that nobody knows."""
    return LEVELS.get(level, LEVELS["info"])


def themed(tone: str) -> str:
    """A tone as the workbench's themes have it; empty for none."""
    return "$quiet" if tone == "quiet" else f"$text-{tone}" if tone else ""
