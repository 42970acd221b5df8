"""The one switch of all hand-made speed: `TUI_GEN_TUNED=0` leaves it off. docs/tuned.md has what there is.

Its sums are not added up in the order of PyTorch's, so a run keeps what it began with: its checkpoints tell, and the
process that goes on with it uses the same.
"""

from __future__ import annotations

import os

_in_use: bool | None = None


def wished() -> bool:
    """Whether new runs are to have it: what the environment says."""
    return os.environ.get("TUI_GEN_TUNED", "1").strip().lower() not in ("0", "off", "no", "false")


def on() -> bool:
    """Whether this process uses it."""
    return wished() if _in_use is None else _in_use


def use(it: bool | None) -> None:
    """Have this process use it or not from here on, or what the environment says (None)."""
    global _in_use
    _in_use = it
