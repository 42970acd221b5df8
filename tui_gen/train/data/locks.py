"""One builder at a time: a lock file that dies with its process."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tui_gen.events import Note
from tui_gen.train.data.sources import Report

UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL}


@contextmanager
def only_one(path: Path, what: str, report: Report) -> Iterator[bool]:
    """Hold the lock file `path`, waiting while another process has it (`what` says in a note what it does there).

    Gives False on file systems without locks: the work may then be done twice, so finish it with a rename.
    Raises OSError where the file cannot be made.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield _acquire(file, what, report)
    finally:
        os.close(file)


def attempt(file: int) -> bool | None:
    """Take the lock of an open file: False while another process has it, None where the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in UNSUPPORTED:
            return None
        raise


def _acquire(file: int, what: str, report: Report) -> bool:
    told = False
    while (taken := attempt(file)) is False:
        if not told:
            report(Note(text=f"Another run is {what}; waiting for it"))
            told = True
        time.sleep(0.1)
    return bool(taken)
