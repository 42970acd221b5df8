"""The command line with stand-in workers: `python -m tests.fake_cli rate=100,steps=50 ARGUMENTS…`.

The first argument holds the settings of `tests.fake_worker`, separated by commas; `-` is none.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

from tests import fake_worker

ROOT = fake_worker.ROOT


def command(*arguments: str, **settings: Any) -> list[str]:
    """The command line for a subprocess or a pty."""
    words = ",".join(f"{key}={value}" for key, value in settings.items()) or "-"
    return [sys.executable, "-m", "tests.fake_cli", words, *arguments]


def run(*arguments: str, timeout: float = 180.0, env: dict[str, str] | None = None, **settings: Any) -> Any:
    """Run it to its end with pipes for output; the CompletedProcess."""
    return subprocess.run(
        command(*arguments, **settings), capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT,
        stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})},
    )  # fmt: skip


def start(*arguments: str, **settings: Any) -> subprocess.Popen[str]:
    """Start it with pipes for output."""
    return subprocess.Popen(
        command(*arguments, **settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def main() -> int:
    """Put the stand-in in place of the worker, then be the command line."""
    from tui_gen import cli

    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests' own parent ignores
    words, *arguments = sys.argv[1:]
    settings = dict(one.split("=", 1) for one in words.split(",")) if words != "-" else {}
    fake_worker.install(SimpleNamespace(setattr=setattr), **settings)
    return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
