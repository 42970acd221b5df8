"""Whose code is executed: folders of model and dataset files that a config names, and what the user has said of them.

Such files are Python, so to read them is to execute them. Those in the user's own folders and in folders named on the
command line (`--models`) are trusted. A config may name more (`model_dirs`), and a config may be a colleague's: such a
folder is asked about once, as it is. The answer is kept by a digest of its place and its code, one line each in
`trusted` in the config folder, where it can be taken back by deleting the line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
from collections.abc import Iterable, Mapping
from importlib.machinery import all_suffixes
from pathlib import Path
from typing import Any

from tui_gen import quantities
from tui_gen.config import ConfigError
from tui_gen.files import read_regular
from tui_gen.params import Problem
from tui_gen.places import config_dir

MOST_FILES, MOST_BYTES = 5000, 64 << 20
"""A folder with more code than this is not looked through: it is no folder of model files."""
VARIABLE = "TUI_GEN_TRUSTED"
"""Digests of what is trusted for as long as this process and its children live, where no file can keep them."""


OWN = ("models", "datasets")
"""A user's own folders in the config folder. Either may hold models, datasets or both."""


def store() -> Path:
    """The file that keeps what was trusted."""
    return config_dir() / "trusted"


def named(tables: dict[str, Any]) -> list[str]:
    """The folders that a config's tables name, as absolute paths; whatever else stands there is left to the check."""
    value = tables.get("model_dirs", [])
    words = [folder for folder in value if isinstance(folder, str) and folder] if isinstance(value, list) else []
    return list(dict.fromkeys(os.path.realpath(os.path.expanduser(folder)) for folder in words if "\0" not in folder))


def given() -> list[str]:
    """The folders that were named on the command line of whoever started this process."""
    return [folder for folder in os.environ.get("TUI_GEN_MODELS", "").split(os.pathsep) if folder]


class Code(list[Path]):
    """The code in a folder, and the digest of the folder as it was when that was looked at."""

    key = ""


def code_in(folder: Path) -> list[Path]:
    """Everything below a folder that Python could execute, sorted. Raises ConfigError where that is too much."""
    paths: list[Path] = []
    endings = tuple(all_suffixes())
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]  # never used: see catalogue._import_file
        paths += [Path(place, name) for name in names if name.endswith(endings)]
        if len(paths) > MOST_FILES:
            raise _too_much(folder)
    return sorted(paths)


def digest(folder: Path, code: list[Path]) -> str:
    """What a folder is known by: its path, and the paths and content of the code in it."""
    whole = hashlib.sha256(os.fsencode(folder) + b"\0")
    remaining = MOST_BYTES
    for path in code:
        try:
            data = read_regular(path, remaining)
        except FileNotFoundError:
            data = b""
        except OSError:
            raise _too_much(folder) if _size(path) > remaining else _unreadable(path) from None
        remaining -= len(data)
        whole.update(os.fsencode(path.relative_to(folder)) + b"\0" + hashlib.sha256(data).digest())
    return whole.hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _too_much(folder: Path) -> ConfigError:
    hint = "if it is yours, give it with --models; better one with the model files and nothing else"
    words = f"holds more than {MOST_FILES} Python files, or {quantities.size(MOST_BYTES)} of them"
    return ConfigError("model_dirs", [Problem("model_dirs", str(folder), words, hint)])


def _unreadable(path: Path) -> ConfigError:
    return ConfigError("model_dirs", [Problem("model_dirs", str(path), "cannot be read as a file")])


def allow(folders: Iterable[str | Path]) -> None:
    """Trust these folders as they are now, and remember it: the user named them."""
    keys = {}
    for folder in _there(folders):
        with contextlib.suppress(ConfigError):  # too much: it is trusted this time only, for it was named
            if code := code_in(folder):
                keys[folder] = digest(folder, code)
    _remember(keys)


def allow_as_seen(folders: Mapping[Path, Code]) -> None:
    """Trust folders as they were when `unknown` found them: the user was asked about that, and said so."""
    _remember({folder: code.key for folder, code in folders.items()})


def _remember(keys: Mapping[Path, str]) -> None:
    digests = _known()
    new = {folder: key for folder, key in keys.items() if key not in digests}
    if not new:
        return
    os.environ[VARIABLE] = " ".join([*os.environ.get(VARIABLE, "").split(), *new.values()])
    lines = [f"{key} {json.dumps(str(folder))}\n" for folder, key in new.items()]
    with contextlib.suppress(OSError):
        store().parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(store(), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write("".join(lines))


def unknown(folders: Iterable[str | Path]) -> dict[Path, Code]:
    """Those of these folders whose code nobody has trusted as it is now, and that code; what holds none is no matter.

    Raises ConfigError for a folder that holds too much to be looked through.
    """
    code_of: dict[Path, Code] = {}
    digests: set[str] | None = None
    for folder in _there(folders):
        if code := Code(code_in(folder)):
            digests = _known() if digests is None else digests
            code.key = digest(folder, code)
            if code.key not in digests:
                code_of[folder] = code
    return code_of


def refuse(folders: Iterable[str | Path], source: str) -> None:
    """Raise ConfigError that names every folder of these whose code nobody has trusted as it is now, or has given."""
    problems = [
        Problem("model_dirs", str(folder), f"holds code that would be executed ({listed(folder, code)})",
                f"if you trust it as it is: --trust {shlex.quote(str(folder))}")
        for folder, code in unknown(sorted(set(map(str, folders)).difference(given()))).items()
    ]  # fmt: skip
    if problems:
        raise ConfigError(source, problems)


def listed(folder: Path, code: list[Path], most: int = 4) -> str:
    """The names of the files, the first few of them."""
    names = [str(path.relative_to(folder)) for path in code]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _there(folders: Iterable[str | Path]) -> list[Path]:
    """Those of the folders that are there, but for the user's own."""
    own = {os.path.realpath(config_dir() / name) for name in OWN}
    paths = (os.path.realpath(os.path.expanduser(folder)) for folder in folders)
    return [Path(folder) for folder in dict.fromkeys(paths) if folder not in own and os.path.isdir(folder)]


def _known() -> set[str]:
    """The digests of what is trusted. A file that others could have written counts for nothing."""
    digests = set(os.environ.get(VARIABLE, "").split())
    with contextlib.suppress(OSError, ValueError):
        status = store().stat()
        if status.st_uid == os.getuid() and not status.st_mode & 0o022:
            lines = read_regular(store(), 16 << 20).decode("utf-8", "replace").splitlines()
            digests |= {line.split()[0] for line in lines if line.strip()}
    return digests
