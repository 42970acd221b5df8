"""What states of runs and levels of log lines look like, on every screen: a sign, and a tone that a screen colours.

The word itself always stands beside them: neither sign nor colour carries a meaning alone. The workbench takes a
tone's colour from its theme (`$text-success` …); a terminal that is only printed to has ANSI for it.
"""

from __future__ import annotations

from typing import NamedTuple


class Look(NamedTuple):
    """A sign of one cell, a tone, and what a run in this state does, in the middle of a sentence."""

    sign: str
    tone: str
    doing: str = "is live"


STATES = {
    "starting": Look("◌", "accent", "is starting"),
    "running": Look("▶", "success", "is training"),
    "paused": Look("‖", "warning", "is paused"),
    "stopping": Look("◧", "warning", "is stopping"),
    "finished": Look("✔", "primary"),
    "stopped": Look("■", "quiet"),
    "failed": Look("✖", "error"),
    "interrupted": Look("!", "error"),
}
IN_QUEUE = {
    "waiting": Look("◌", ""),
    "running": STATES["running"],
    "done": STATES["finished"],
    "failed": STATES["failed"],
    "cancelled": STATES["stopped"],
}
"""The states of what is in a queue."""
UNKNOWN = Look("?", "quiet")
LEVELS = {
    "info": Look(" ", ""),
    "state": Look("●", "primary"),
    "edit": Look("✎", "accent"),
    "warning": Look("▲", "warning"),
    "alert": Look("▲", "warning"),
    "error": Look("✖", "error"),
    "debug": Look("·", ""),
}
VERDICTS = {"good": Look("✔", "success"), "watch": Look("▲", "warning"), "bad": Look("✖", "error")}
"""How a run goes, by the levels of `health.Verdict`."""
ANSI = {
    "accent": (36, "cyan"), "success": (32, "green"), "warning": (33, "yellow"), "primary": (34, "blue"),
    "error": (31, "red"), "quiet": (2, "dim"), "": (0, ""),
}  # fmt: skip
"""Tone → the number that sets it, and Rich's name for the same."""


def state_look(state: str) -> Look:
    """That of a state; of one that a newer version wrote, UNKNOWN."""
    return STATES.get(state, UNKNOWN)


def queue_look(state: str) -> Look:
    """That of the state of an entry in a queue."""
    return IN_QUEUE.get(state, UNKNOWN)


def level_look(level: str) -> Look:
    """That of a log line's level, or of one that nobody knows."""
    return LEVELS.get(level, LEVELS["info"])


def themed(tone: str) -> str:
    """A tone as the workbench's themes have it; empty for none."""
    return "$quiet" if tone == "quiet" else f"$text-{tone}" if tone else ""
