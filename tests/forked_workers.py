"""Workers that `launch` starts, forked from the tests' own process, where PyTorch is imported already.

They are processes as any other worker: with a session, files, signals, a lock and a log of their own, found by
`worker.json` and waited for by whoever started them. What they leave out is the start of Python and the import of
PyTorch, two seconds of a core each. So is what commands do with a finished run: sample, walk, measure.
"""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn, TextIO
from unittest.mock import patch

from tests.attack import forked
from tui_gen import children
from tui_gen.train.run import stopping

TRAINS = "tui_gen.train."
"""How the names of modules begin that import PyTorch."""
_start, _run = children.start, children.run


class Forked(forked.Child):
    """As much of a `subprocess.Popen` as is asked of one that has no pipes."""

    args: Sequence[str] = ()
    stdin = None
    stdout: TextIO | None = None
    stderr: TextIO | None = None

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()
        self.wait()

    @property
    def returncode(self) -> int | None:
        """The exit status (negative: the signal it died of), once somebody has looked."""
        return self.status

    def poll(self) -> int | None:
        """The exit status, or None while it lives."""
        return super().wait(0.0)

    def wait(self, timeout: float | None = None) -> int:  # type: ignore[override]
        """The exit status, once it has ended. Raises subprocess.TimeoutExpired."""
        status = super().wait(forked.PATIENCE if timeout is None else timeout)
        if status is None:
            raise subprocess.TimeoutExpired("a forked process", timeout or forked.PATIENCE)
        return status

    send_signal = forked.Child.send

    def terminate(self) -> None:
        """SIGTERM."""
        self.send(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send(signal.SIGKILL)


@contextlib.contextmanager
def forking() -> Iterator[list[Forked]]:
    """Within it, what imports PyTorch is forked; workers that are left at its end are killed."""
    from tui_gen.train.run import __main__, loop, warm  # noqa: F401 - imported before the fork, once for all

    made: list[Forked] = []

    def start(module: str, *words: object, **settings: Any) -> Any:
        if not module.startswith(TRAINS):
            return _start(module, *words, **settings)
        made.append(fork(module, *map(str, words), **settings))
        return made[-1]

    def run(module: str, *words: object, **settings: Any) -> subprocess.CompletedProcess[str]:
        if not module.startswith(TRAINS):
            return _run(module, *words, **settings)
        assert settings.pop("capture_output")
        with start(module, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings) as process:
            said, out = process.stderr.read(), process.stdout.read()
        return subprocess.CompletedProcess([module, *map(str, words)], process.returncode, out, said)

    with patch.multiple(children, start=start, run=run):
        try:
            yield made
        finally:
            for process in made:
                process.kill()
                process.wait()


def fork(
    module: str, *words: str, env: Mapping[str, str] | None = None, stdin: Any = subprocess.DEVNULL,
    stdout: Any = subprocess.DEVNULL, stderr: Any = subprocess.DEVNULL, pass_fds: Sequence[int] = (),
    start_new_session: bool = False, text: bool = True, errors: str = "strict",
) -> Forked:  # fmt: skip
    """Fork a process that is a module with this command line, environment, and files; pipes are for text."""
    assert text
    with contextlib.ExitStack() as closing:
        streams, pipes = [], []
        for given in (stdin, stdout, stderr):
            number, end = -1, None
            if given == subprocess.DEVNULL:
                number = os.open(os.devnull, os.O_RDWR)
            elif given == subprocess.PIPE:
                read, number = os.pipe()
                end = open(read, encoding="utf-8", errors=errors)  # noqa: SIM115
            if number >= 0:
                closing.callback(os.close, number)
            streams.append(number if number >= 0 else given.fileno())
            pipes.append(end)
        kept = {number: os.dup(number) for number in pass_fds}  # of a run's lock a forked child lets go
        for copy in kept.values():
            closing.callback(os.close, copy)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if not pid:
            _be(module, words, children.apart(env), streams, kept, start_new_session)
    process = Forked(pid)
    process.stdout, process.stderr = pipes[1:]
    return process


def _be(
    module: str, words: tuple[str, ...], env: dict[str, str], streams: list[int], kept: Mapping[int, int], apart: bool
) -> NoReturn:
    status = 70
    try:
        if apart:
            os.setsid()
        signal.set_wakeup_fd(-1)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        for number, copy in kept.items():
            os.dup2(copy, number)
        _let_go_of_all_but([*kept])
        sys.stdin, sys.stdout, sys.stderr = (_stream(number, mode) for number, mode in enumerate("rww"))
        os.environ.clear()
        os.environ.update(env)
        os.chdir("/")
        sys.argv = [module, *words]
        # A run that it needs has a worker of its own: this one has threads, and forks nothing.
        children.start, children.run = _start, _run
        stopping.leave = sys.exit  # what pytest asked to be told of its end is not told of this one's
        warnings.simplefilter("ignore", RuntimeWarning)  # that the module is imported already
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _stream(number: int, mode: str) -> io.TextIOWrapper:
    """Unbuffered, as in a worker of its own; and when another takes its place, the number is not closed with it."""
    return io.TextIOWrapper(io.FileIO(number, mode, closefd=False), write_through=True)


def _let_go_of_all_but(kept: Sequence[int]) -> None:
    """Have no file of the tests' process open: locks and ends of pipes are held by all who have them.

    Their numbers stay taken, by nothing: an object that closes its own later closes no other's.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        if number > 2 and number != nothing and number not in kept:
            with contextlib.suppress(OSError):
                os.fstat(number)
                os.dup2(nothing, number)
