"""Python processes of our own: the one place that starts them, so that none runs what lies in the current folder.

`python -m` looks for modules in the current folder first: a `numpy.py` in a folder of downloads would be executed.
Each child therefore gets `-P`, which leaves that folder out, and `/` to stand in. Not `-I`: that leaves out PYTHONPATH
and the user's own site-packages as well, from which many people run this very program.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

PATHS = (
    "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME",
    "TMPDIR", "TORCH_HOME", "TORCHINDUCTOR_CACHE_DIR", "HOME",
)  # fmt: skip
"""Variables that name a folder; a relative one means the current folder, which is not the child's."""
FAULT = ("error: ", "Traceback ")
"""How the last words of a process that failed begin: in words for people, or not."""


_here: dict[str, str] = {}


def set_here(name: str, value: str) -> None:
    """Set a variable for this process alone, where a person has not set it."""
    if not os.environ.get(name):
        os.environ[name] = _here[name] = value


def command(module: str, *words: object) -> list[str]:
    """The command line that runs a module of ours. Words that are paths must be absolute."""
    return [sys.executable, "-P", "-m", module, *map(str, words)]


def start(module: str, *words: object, env: Mapping[str, str] | None = None, **streams: Any) -> subprocess.Popen[Any]:
    """Start a module; `streams` as for `subprocess.Popen`. Raises OSError where it cannot be started."""
    return subprocess.Popen(command(module, *words), cwd="/", env=apart(env), **streams)


def run(
    module: str, *words: object, env: Mapping[str, str] | None = None, **streams: Any
) -> subprocess.CompletedProcess[Any]:
    """Run a module to its end. Raises OSError where it cannot be started."""
    return subprocess.run(command(module, *words), check=False, cwd="/", env=apart(env), **streams)


def become(module: str, *words: object, env: Mapping[str, str] | None = None) -> NoReturn:
    """Have this very process go on as a module. Raises OSError where it cannot."""
    environment, line = apart(env), command(module, *words)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.chdir("/")
    os.execve(line[0], line, environment)


def apart(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment (this process's own, unless given) that means the same in any folder.

    An empty part of PYTHONPATH, which stands for the current folder, is left out: mostly it is a slip
    (`PYTHONPATH=$PYTHONPATH:/more` where there was none).
    """
    env = dict(os.environ if env is None else env)
    for name, value in _here.items():
        if env.get(name) == value:
            del env[name]
    for name in PATHS:
        if env.get(name):
            env[name] = os.path.abspath(env[name])
    if "PYTHONPATH" in env:
        parts = [os.path.abspath(part) for part in env["PYTHONPATH"].split(os.pathsep) if part]
        env["PYTHONPATH"] = os.pathsep.join(parts)
    return env


def fault(lines: list[str]) -> str:
    """What a process says about its failure, from the first line on that begins with one of FAULT, else its last words.

    Of a traceback it is the end.
    """
    first = next((number for number, line in enumerate(lines) if line.startswith(FAULT)), -1)
    lines = lines[first:]
    if lines and lines[0].startswith(FAULT[1]):
        lines = lines[-1:]
    return "\n".join(lines).removeprefix(FAULT[0])
