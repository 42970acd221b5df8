"""The signals that end a program unless it handles them: those that would leave a terminal as the program set it."""

from __future__ import annotations

import signal
import threading
from typing import Any

_NAMES = (
    "HUP", "INT", "QUIT", "TRAP", "ABRT", "SYS", "USR1", "USR2", "ALRM", "TERM", "STKFLT", "XCPU", "VTALRM", "PROF",
    "IO", "PWR",
)  # fmt: skip
ENDING: tuple[int, ...] = tuple(int(getattr(signal, f"SIG{name}")) for name in _NAMES if hasattr(signal, f"SIG{name}"))
"""Not those of faults in the program itself (SIGSEGV, SIGBUS, SIGFPE, SIGILL), after which nothing can be done, nor
SIGKILL, nor SIGPIPE and SIGXFSZ, which Python ignores."""


def leave_in_order() -> dict[int, Any]:
    """Have those of ENDING that end the program at once raise SystemExit instead, with the same status; what was done
    at them before, for `as_before`. Nothing where this is not the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {
        number: signal.signal(number, _leave) for number in ENDING if signal.getsignal(number) is signal.SIG_DFL
    }


def as_before(handlers: dict[int, Any]) -> None:
    """End `leave_in_order`, where nobody has done so for a signal."""
    for number, handler in handlers.items():
        if signal.getsignal(number) is _leave:
            signal.signal(number, handler)


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)
