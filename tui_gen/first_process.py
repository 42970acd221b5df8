"""What the first process of a container has to do, where that is one of ours: `docker run IMAGE --run vae-digits`.

Process 1 is no process like others. A signal that it has no handler for does nothing to it, so that a container could
not be stopped while this program starts. Whatever loses its parent becomes its child, and stays a zombie until it is
waited for. And when it ends, the system kills all others at once: a run left running, with no checkpoint.

So the command gets a process of its own, and process 1 hands signals on to it, waits for whoever ends, and stays until
the last one has. Outside of containers, and below an init (`docker run --init`), nothing of this happens.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable

from tui_gen.batch import TERMINATE
from tui_gen.outcome import complain

HANDED_ON = {signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGCONT, *TERMINATE}
"""Signals that are meant for the command."""
BRIEF = 3.0
"""Seconds in which what helped the command ends by itself; after that somebody is told what is waited for."""


def apart(command: Callable[[], int]) -> int:
    """Run a command; its exit status. As process 1 in a process of its own, to whose end, and all others', it waits."""
    if os.getpid() != 1:
        return command()
    watched = {*HANDED_ON, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    child = os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return command()
    return _First(child).serve(watched)


class _First:
    """Process 1, whose command is the process `child`."""

    def __init__(self, child: int) -> None:
        self._child = child
        self._status = 0
        self._end = 0.0
        """When the command ended, by the monotonic clock; 0 while it goes on."""
        self._told = False

    def serve(self, watched: set[signal.Signals]) -> int:
        """Until no process is left; the command's exit status."""
        while self._reap():
            patience = max(0.0, self._end + BRIEF - time.monotonic()) if self._end and not self._told else 3600.0
            info = signal.sigtimedwait(watched, patience)
            if info is None:
                self._tell()
            elif info.si_signo != signal.SIGCHLD:
                self._obey(info.si_signo, by_terminal=info.si_code > 0)
        return self._status

    def _reap(self) -> bool:
        """Collect whoever ended; whether anybody is left."""
        while True:
            try:
                pid, how = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            if pid == self._child:
                code = os.waitstatus_to_exitcode(how)
                self._status, self._end = code if code >= 0 else 128 - code, time.monotonic()

    def _obey(self, number: int, by_terminal: bool) -> None:
        """What a container is stopped with goes to all, so that each run has all the time that there is."""
        if number == signal.SIGTERM or (self._end and number != signal.SIGCONT):
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGTERM)
        elif not by_terminal:  # which tells all in the foreground itself
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, number)

    def _tell(self) -> None:
        """Say once why a container whose command has ended goes on."""
        if self._end and not self._told:
            self._told = True
            complain(
                "the container goes on while something runs in it (docker exec -it … tui-gen attach shows it); "
                "docker stop, or Ctrl-C, stops runs with a checkpoint"
            )
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
