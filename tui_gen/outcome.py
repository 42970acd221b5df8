"""How a command ends: one clear message for whatever went wrong, and an exit status."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable

MOST_WORDS = 20_000
"""The longest complaint, in characters: who wants more of it than fills some screens?"""


def guarded(command: Callable[[], int]) -> int:
    """Run a command; every failure becomes one clear message and an exit status."""
    try:
        return command()
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except BrokenPipeError:
        _silence_stdout()
        return 0
    except Exception as error:
        return _explain(error)


def _explain(error: Exception) -> int:
    from tui_gen.config import ConfigError
    from tui_gen.control import ControlError
    from tui_gen.places import NoHome
    from tui_gen.remarks import RemarkError
    from tui_gen.runs import RunError

    if isinstance(error, ConfigError | RunError | RemarkError | NoHome):
        complain(str(error))
        return 2
    if isinstance(error, ControlError):
        complain(str(error))
        return 1
    if lacking := _lacking(error):
        complain(lacking)
        return 1
    import tempfile
    import traceback

    words = " ".join(f"{type(error).__name__}: {error}".split())
    try:
        with tempfile.NamedTemporaryFile("w", prefix="tui-gen-", suffix=".log", delete=False) as file:
            file.write("".join(traceback.format_exception(error)))
        words += f" (please report it; the details are in {file.name})"
    except OSError:
        pass
    complain(words)
    return 1


def _lacking(error: Exception) -> str:
    """What the system would not give, in words; empty where the error is about something else."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return "not enough memory"
    if isinstance(error, BlockingIOError) or (isinstance(error, RuntimeError) and "start new thread" in str(error)):
        return "the system allows no more processes or threads for this user (ulimit -u); end some and try again"
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return "too many open files (ulimit -n)"
    if isinstance(error, FileNotFoundError):
        try:
            os.getcwd()
        except OSError:
            return "the current folder is gone: it was deleted, renamed or moved; cd to where it is now, or to another"
    return ""


def complain(text: str) -> None:
    """Say what went wrong, on standard error, as clean lines and not more of them than can be read."""
    from tui_gen.text import clean_lines

    if len(text) > MOST_WORDS:
        text = f"{text[:MOST_WORDS]}… ({len(text)} characters)"
    with contextlib.suppress(OSError, ValueError):
        print("tui-gen: " + "\n".join(clean_lines(text)), file=sys.stderr, flush=True)


def _silence_stdout() -> None:
    """Nobody reads our output: end without a word, at interpreter exit too."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def written(status: int, training: bool = False, write_error: str = "") -> int:
    """The exit status once all output is where it should be: 1 for a command whose answer could not be written.

    That of a run tells what became of the run; there what is missing is only said. `write_error` is why,
    where that is known.
    """
    if (stdout := sys.modules.get("tui_gen.report.stdout")) is not None:
        write_error = write_error or stdout.write_error()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
    except ValueError:  # closed
        pass
    except OSError as error:
        write_error = error.strerror or str(error)
        _silence_stdout()
    if not write_error or status:
        return status
    complain(f"cannot write to standard output: {write_error}")
    return status if training else 1
