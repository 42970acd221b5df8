"""What a report does not tell of whoever trained: home folders, and the names of users and hosts."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import socket
from collections.abc import Iterable

HOMES = re.compile(r"/(?:home|Users|export/home|var/home)/[^/\s\"'<>&:;,)\]]+|/root(?=[/\s\"'<>&:;,)\]]|$)")
"""Home folders of anybody, on whichever machine: the run may be another's."""
WINDOWS = re.compile(r"[A-Za-z]:\\+Users\\+[^\\\s\"'<>&:;,)\]]+")
HERE, WHO = "(host)", "(user)"
FEWEST = 3
"""Letters of a name below which it is taken for a word, and left."""


class Discretion:
    """Leaves such things out of texts; with `off` it leaves everything as it is. `hosts` are those of the run."""

    def __init__(self, hosts: Iterable[str] = (), off: bool = False) -> None:
        self._off = off
        self._home = os.path.expanduser("~").rstrip("/")
        user = ""
        with contextlib.suppress(OSError, KeyError, ImportError):
            user = getpass.getuser()
        self._parts = re.compile(rf"(?<=/){re.escape(user)}(?=[/\s\"'<>&:;,)\]]|$)") if user else None
        known = {host for full in (*hosts, socket.gethostname()) for host in (full, full.partition(".")[0])}
        known -= {"localhost"}
        self._hosts = _word(known)
        self._user = _word({user} - {"root"})

    def paths(self, text: str) -> str:
        """A text in which home folders are `~`, and a folder of the user's name `(user)`."""
        if self._off:
            return text
        if len(self._home) > 1:
            text = re.sub(rf"(?<![\w.~-]){re.escape(self._home)}(?![\w.-])", "~", text)
        text = WINDOWS.sub("~", HOMES.sub("~", text))
        return self._parts.sub(WHO, text) if self._parts is not None else text

    def words(self, text: str) -> str:
        """The same of a text that somebody wrote, or a machine: without names of hosts and of the user, either."""
        if self._off:
            return text
        text = self.paths(text)
        for names, instead in ((self._hosts, HERE), (self._user, WHO)):
            if names is not None:
                text = names.sub(instead, text)
        return text


def _word(names: set[str]) -> re.Pattern[str] | None:
    some = sorted((name for name in names if len(name) >= FEWEST), key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, some))})(?![\w-])") if some else None
