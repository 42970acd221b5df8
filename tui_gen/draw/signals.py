"""The signals that end a program unless it handles them: those that would leave a terminal as the program set it."""

from __future__ import annotations

import signal

_NAMES = (
    "HUP", "INT", "QUIT", "TRAP", "ABRT", "SYS", "USR1", "USR2", "ALRM", "TERM", "STKFLT", "XCPU", "VTALRM", "PROF",
    "IO", "PWR",
)  # fmt: skip
ENDING: tuple[int, ...] = tuple(int(getattr(signal, f"SIG{name}")) for name in _NAMES if hasattr(signal, f"SIG{name}"))
"""Not those of faults in the program itself (SIGSEGV, SIGBUS, SIGFPE, SIGILL), after which nothing can be done, nor
SIGKILL, nor SIGPIPE and SIGXFSZ, which Python ignores."""
