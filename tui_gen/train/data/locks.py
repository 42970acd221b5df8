"""One builder at a time: a lock file whose lock dies with its process."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from tui_gen.events import Note
from tui_gen.train.data.sources import Report

UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL}


@contextmanager
def only_one(path: Path, what: str, report: Report) -> Iterator[bool]:
    """Hold the lock file `path`, waiting while another process has it (`what` says in a note what it does there).

    Gives False on file systems without locks: the work may then be done twice, so finish it with a rename.
    Raises OSError where the file cannot be made.
    """
    lock = lock_at(path)
    try:
        announced = False
        while (held := attempt(lock)) is False:
            if not announced:
                report(Note(text=f"Another run is {what}; waiting for it"))
                announced = True
            time.sleep(0.1)
        yield bool(held)
    finally:
        lock.release()


def lock_at(path: Path) -> BaseFileLock:
    """The lock of a lock file, not taken yet; released by `release()` or with its process."""
    return FileLock(path, thread_local=False)


def attempt(lock: BaseFileLock) -> bool | None:
    """Take a lock: False while another process has it, None where the file system has no locks.

    Raises OSError where the file cannot be made.
    """
    try:
        lock.acquire(blocking=False)
        return True
    except Timeout:
        return False
    except NotImplementedError:  # versions of filelock without a fallback say ENOSYS so
        return None
    except OSError as error:
        if error.errno in UNSUPPORTED:
            return None
        raise
