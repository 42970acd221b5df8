"""What belongs to a run directory, by name: the rest was put there by somebody else, and is not ours to delete."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tui_gen.presence import LOCK, WORKER
from tui_gen.remarks import FILE as REMARKS

CONFIG = "config.toml"
LOG = "events.jsonl"
PROVENANCE = r"provenance\.json|code\.diff"
"""What tells of the code that a run was made from (see `provenance`)."""
LAST = (CONFIG, LOCK)
"""What goes last when a run is deleted: until then the rest is still known as a run."""


class _Level(NamedTuple):
    """A folder's content: names of files (links count as files), and of folders with what is in them."""

    files: re.Pattern[str]
    folders: tuple[tuple[re.Pattern[str], _Level], ...] = ()


def _names(pattern: str) -> re.Pattern[str]:
    # Files are written aside (`.NAME.PID.THREAD`), and systems leave some of their own behind.
    litter = r"\.DS_Store|Thumbs\.db|desktop\.ini|\.nfs[0-9a-f]+"
    return re.compile(rf"(?:{pattern})|\.(?:{pattern})\.\d+\.\d+|{litter}", re.S)


_SAMPLES = _Level(_names(r"\.?\d+(?:-.*)?\.(?:png|txt)"))
_CHECKPOINT = _Level(_names(r"(?:model|ema)\.safetensors|state\.pt|meta\.json|probe"))
_OFFENCES = _Level(_names(r"\d+\.safetensors"))
_CHECKPOINTS = _Level(
    _names(r"(?!)"),
    ((re.compile(r"\d+|\.\d+\.(?:partial|old|gone)|(?:damaged|undone)-\.?\d+(?:\.old)?(?:-\d+)?"), _CHECKPOINT),),
)
_RUN = _Level(
    _names(rf"{re.escape(CONFIG)}|{re.escape(LOG)}|worker\.(?:json|log|lock)|(?:request|answer)\.json|{re.escape(REMARKS)}|{PROVENANCE}"),
    ((re.compile("samples"), _SAMPLES), (re.compile("checkpoints"), _CHECKPOINTS), (re.compile("offences"), _OFFENCES)),
)


def is_run(path: Path | str) -> bool:
    """Whether a folder is a run directory: has a config, and what only we write beside one."""
    return os.path.isfile(f"{path}/{CONFIG}") and marked(path)


def marked(path: Path | str) -> bool:
    """Whether a folder has our log, or a file of a worker."""
    return any(os.path.lexists(f"{path}/{name}") for name in (LOG, WORKER, LOCK))


def foreign(path: Path) -> list[str]:
    """What does not belong in a run directory, relative to it; folders end in a slash. Raises OSError."""
    with _opened(path) as folder:
        return list(_visit(folder, _RUN, "", remove=False))


def remove(path: Path) -> None:
    """Delete a run's own files, but those named in LAST, and follow no link. Raises OSError."""
    with _opened(path) as folder:
        for _ in _visit(folder, _RUN, "", remove=True):
            pass


def remove_last(path: Path) -> None:
    """Delete what is then left of a run, and its folder. Raises OSError where something else came into it."""
    with _opened(path) as folder:
        for name in LAST:
            if name in os.listdir(folder):
                os.unlink(name, dir_fd=folder)
    os.rmdir(path)


@contextmanager
def _opened(path: Path | str, within: int | None = None) -> Iterator[int]:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=within)
    try:
        yield folder
    finally:
        os.close(folder)


def _visit(folder: int, level: _Level, place: str, remove: bool) -> Iterator[str]:
    """The foreign things in an open folder, while the others are removed if they are to be."""
    for name in sorted(os.listdir(folder)):
        is_folder = stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
        inside = next((folder for pattern, folder in level.folders if pattern.fullmatch(name)), None)
        if is_folder and inside is not None:
            with _opened(name, folder) as deeper:
                yield from _visit(deeper, inside, f"{place}{name}/", remove)
            if remove:
                os.rmdir(name, dir_fd=folder)
        elif is_folder or not (inside is not None or level.files.fullmatch(name)):
            yield f"{place}{name}" + "/" * is_folder
        elif remove and (place or name not in LAST):
            os.unlink(name, dir_fd=folder)
