"""A second, independent terminal for tests: a real tmux on a private socket."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[1]


def need() -> None:
    """Skip the test where there is no tmux."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")


class Tmux:
    """A command in the only pane of a detached tmux session of `columns` × `rows`."""

    def __init__(
        self,
        command: Sequence[str],
        columns: int = 120,
        rows: int = 40,
        env: Mapping[str, str] | None = None,
        cwd: str | Path = ROOT,
    ) -> None:
        need()
        self._folder = tempfile.mkdtemp(prefix="tmux-", dir="/tmp")
        environ = {key: value for key, value in os.environ.items() if key not in ("TMUX", "TMUX_PANE")}
        self._environ = {**environ, "TERM": "xterm-256color", **(env or {})}
        configuration = Path(self._folder) / "conf"
        configuration.write_text("set -g remain-on-exit on\nset -g default-terminal tmux-256color\nset -g status off\n")
        # /bin/sh, not the login shell: nothing of its start-up files
        words = f"exec {shlex.join(command)}"
        self._call("-f", str(configuration), "new-session", "-d", "-x", str(columns), "-y", str(rows), "-s", "test",
                   "-c", str(cwd), "/bin/sh", "-c", words)  # fmt: skip
        self.server_pid, self.pid = map(int, self._call("display", "-p", "#{pid} #{pane_pid}").split())

    def __enter__(self) -> Tmux:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _call(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", f"{self._folder}/s", *words],
            capture_output=True, text=True, env=self._environ, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, f"tmux {shlex.join(words)}: {done.stderr.strip()}"
        return done.stdout

    def text(self) -> str:
        """The screen, one line a row."""
        return "\n".join(line.rstrip() for line in self._call("capture-pane", "-p", "-t", "test").split("\n"))

    def send(self, *keys: str) -> None:
        """Press keys by tmux's names (`C-q`, `Enter`, `F1`, `Up`, `a`)."""
        self._call("send-keys", "-t", "test", *keys)

    def resize(self, columns: int, rows: int) -> None:
        """Another size for the window."""
        self._call("resize-window", "-t", "test", "-x", str(columns), "-y", str(rows))

    def wait_for_text(self, text: str | re.Pattern[str], timeout: float = 30.0) -> str:
        """Wait until a text, or a match of a pattern, is on the screen; the screen."""
        pattern = text if isinstance(text, re.Pattern) else re.compile(re.escape(text))
        found: list[str] = []

        def look() -> bool:
            found[:] = [self.text()]
            return pattern.search(found[0]) is not None

        wait_for(look, timeout, lambda: f"{pattern.pattern!r} on this screen:\n{found[0]}")
        return found[0]

    def wait_gone(self, text: str, timeout: float = 30.0) -> None:
        """Wait until a text is on the screen no more."""
        wait_for(lambda: text not in self.text(), timeout, lambda: f"{text!r} to go away:\n{self.text()}")

    def ended(self) -> bool:
        """Whether the command has ended."""
        return self._call("display", "-p", "-t", "test", "#{pane_dead}").strip() == "1"

    def close(self) -> None:
        """End the tmux server: its panes get SIGHUP, as when a machine's terminal goes away."""
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            self._call("kill-server")
            return
        with contextlib.suppress(OSError):
            os.kill(self.server_pid, signal.SIGKILL)
