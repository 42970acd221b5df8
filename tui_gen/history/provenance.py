"""Which code a run was made from: the git commit and changes of the working folder and of the model's file.

`provenance.json` and `code.diff` in the run, written once, when it is made, by a thread beside it: git is given a few
seconds in all, its output has a bound, and where there is no git, or nothing under it, that is what is written down.
Nothing that a repository names is executed for it (no hooks, no drivers for diffs), and nothing in it is changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import msgspec

from tui_gen import __version__
from tui_gen.files import read_regular, written_aside
from tui_gen.text import clean

FILE, DIFF = "provenance.json", "code.diff"
PATIENCE = 5.0
"""Seconds for all that git is asked."""
MOST_DIFF = 256 << 10
"""Bytes of changes that are kept; of more, the beginning."""
MOST_FILE = 1 << 20
"""The largest model file that is looked into, in bytes."""
MOST_NAMES = 50
"""New files that are named."""
GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false",
       "-c", "color.ui=false")  # fmt: skip
ENVIRONMENT = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
TAKEN_OUT = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_EXTERNAL_DIFF")
"""Variables that would have git look elsewhere, or execute something."""
SAFE = ("--no-ext-diff", "--no-textconv")


class Repository(msgspec.Struct, omit_defaults=True):
    """A git repository as it was: `root`, the `commit` that is checked out (empty before the first), its `branch`.

    `dirty` says that files under git had changes, which are in `code.diff` unless `cut` says where that ends (its whole
    size in bytes, 0 where git was not done with it in time). `new` are files that git does not know, the first of them.
    """

    root: str
    commit: str = ""
    branch: str = ""
    dirty: bool = False
    cut: int | None = None
    new: list[str] = []

    @property
    def words(self) -> str:
        """In a line: `1a2b3c4d5e on main, changed`."""
        place = f"{self.commit[:10] or 'no commit yet'}{f' on {self.branch}' if self.branch else ''}"
        new = f", {len(self.new)}{'+' * (len(self.new) == MOST_NAMES)} new files" if self.new else ""
        return clean(f"{place}{', changed' if self.dirty else ''}{new}")


class Provenance(msgspec.Struct, omit_defaults=True):
    """Where a run's code came from: tui-gen's `version`, the working `folder`, the `model`'s file with its SHA-256; of
    a model that is built in, the folder of all of these with that of every Python file in it.

    `work` and `model_code` are the repositories of these, None where there is none; they may be the same.
    """

    t: float
    version: str
    folder: str
    work: Repository | None = None
    model: str = ""
    sha256: str = ""
    model_code: Repository | None = None


def begin(path: Path, model: str = "") -> threading.Thread | None:
    """Keep where a run's code comes from, in a thread; None where the current folder is gone. Never raises.

    `model` is the file of its model, or the folder of those that are built in.
    """
    try:
        folder = os.getcwd()
    except OSError:
        return None
    thread = threading.Thread(target=keep, args=(path, folder, model), name="provenance")
    with contextlib.suppress(RuntimeError):  # no more threads for this user: the run is what counts
        thread.start()
        return thread
    return None


def keep(path: Path, folder: str, model: str = "") -> None:
    """Write down where a run's code comes from. Never raises: where it cannot be written, the run lacks it."""
    deadline = time.monotonic() + PATIENCE
    own = Provenance(time.time(), __version__, folder, model=model)
    diffs = []
    with contextlib.suppress(OSError):
        own.sha256 = sha256_of(Path(model)) if model else ""
    own.work, diff = look(folder, deadline)
    if own.work is not None:  # the folder of the runs is no code
        inside = f"{os.path.relpath(os.path.realpath(path), os.path.realpath(own.work.root))}/"
        own.work.new = [name for name in own.work.new if not inside.startswith(f"{name.rstrip('/')}/")]
    diffs.append(diff)
    if model:
        place = model if os.path.isdir(model) else os.path.dirname(model)
        if own.work is not None and own.work.root == _root(place, deadline):
            own.model_code = own.work
        else:
            own.model_code, diff = look(place, deadline, within=place)
            diffs.append(diff)
        if os.path.isfile(model) and own.model_code is not None and _is_new(own.model_code, model):
            diffs.append(_git(own.model_code.root, deadline, "diff", "--no-index", *SAFE, "--", os.devnull, model)[0])
    data = b"".join(diffs)
    with contextlib.suppress(OSError):
        if data:
            with written_aside(path / DIFF) as aside:
                aside.write_bytes(data)
        with written_aside(path / FILE) as aside:
            aside.write_bytes(msgspec.json.encode(own))


def sha256_of(place: Path) -> str:
    """The SHA-256 of a file; of a folder that of its Python files, with their names and those of the folders below, in
    order. Empty where there is neither. Raises OSError.
    """
    if place.is_file():
        return hashlib.sha256(read_regular(place, MOST_FILE)).hexdigest()
    whole = hashlib.sha256()
    files = sorted((str(path.relative_to(place)), path) for path in place.rglob("*.py") if path.is_file())
    for name, path in files:
        whole.update(f"{name}\0{hashlib.sha256(read_regular(path, MOST_FILE)).hexdigest()}\n".encode())
    return whole.hexdigest() if files else ""


def look(folder: str, deadline: float, within: str = "") -> tuple[Repository | None, bytes]:
    """The repository that a folder is in, and its changes (those `within` a folder); None where it is in none."""
    root = _root(folder, deadline)
    if not root:
        return None, b""
    found = Repository(root)
    found.commit = _line(_git(root, deadline, "rev-parse", "--verify", "-q", "HEAD")[0])
    found.branch = _line(_git(root, deadline, "symbolic-ref", "--short", "-q", "HEAD")[0])
    about = ["--", within] if within else []
    status, _ = _git(root, deadline, "status", "--porcelain", "-z", "--ignore-submodules=dirty", *about)
    names = [entry for entry in status.decode("utf-8", "replace").split("\0") if entry]
    found.new = [clean(entry[3:]) for entry in names if entry.startswith("?? ")][:MOST_NAMES]
    found.dirty = any(not entry.startswith("?? ") for entry in names)
    if not found.dirty:
        return found, b""
    against = ["HEAD"] if found.commit else ["--cached"]
    data, size = _git(root, deadline, "diff", *SAFE, "--ignore-submodules=dirty",
                      *against, *about, most=MOST_DIFF)  # fmt: skip
    if size is None or size > len(data):
        found.cut = size or 0
        data = data[: data.rfind(b"\n") + 1] + b"# what follows was too much to keep, and is left out\n"
    return found, data


def _root(folder: str, deadline: float) -> str:
    return _line(_git(folder, deadline, "rev-parse", "--show-toplevel")[0])


def _is_new(repository: Repository, file: str) -> bool:
    return os.path.relpath(os.path.realpath(file), os.path.realpath(repository.root)) in repository.new


def _line(data: bytes) -> str:
    return clean(data.decode("utf-8", "replace").strip("\n"))


def _git(folder: str, deadline: float, *words: str, most: int = 1 << 20) -> tuple[bytes, int | None]:
    """What git says in a folder, up to `most` bytes, and how much it was; None where that is not known in time.

    Nothing where there is no git, where it fails, or where it takes too long.
    """
    if time.monotonic() >= deadline:
        return b"", None
    env = {name: value for name, value in os.environ.items() if name not in TAKEN_OUT} | ENVIRONMENT
    try:
        process = subprocess.Popen(
            [*GIT, *words], cwd=folder, env=env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError):
        return b"", 0
    assert process.stdout is not None
    watch = threading.Timer(max(0.0, deadline - time.monotonic()), _kill, (process,))
    watch.start()
    parts, size = [], 0
    try:
        while part := process.stdout.read(1 << 16):
            if size < most:
                parts.append(part[: most - size])
            size += len(part)
    finally:
        process.stdout.close()
        status = process.wait()
        watch.cancel()
    if status < 0:
        return b"".join(parts), None
    return (b"".join(parts), size) if status == 0 or "--no-index" in words else (b"", 0)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)


def of(path: Path | str) -> Provenance | None:
    """Where a run's code came from; None where that was not kept."""
    try:
        return msgspec.json.decode(read_regular(f"{path}/{FILE}", 1 << 20), type=Provenance, strict=False)
    except (OSError, ValueError, RecursionError):
        return None


def diff_of(path: Path | str) -> str:
    """The changes that were kept with a run, as git writes them; empty where there were none."""
    try:
        return read_regular(f"{path}/{DIFF}", 4 * MOST_DIFF).decode("utf-8", "replace")
    except OSError:
        return ""


def facts_of(own: Provenance) -> list[tuple[str, str]]:
    """What there is to say of it, each with its name."""
    rows = [("made with", f"tui-gen {own.version}"), ("made in", own.folder)]
    if own.work is not None:
        rows.append(("code", _told(own.work)))
    if own.model_code is not None and own.model_code != own.work:
        rows.append(("model's code", f"{_told(own.model_code)}, in {own.model_code.root}"))
    if own.sha256:
        rows.append(("model's files", f"{own.model} (SHA-256 {own.sha256[:16]}…)"))
    return [(name, clean(words)) for name, words in rows]


def _told(repository: Repository) -> str:
    cut = ", of which only the beginning was kept" if repository.cut is not None else ""
    return repository.words + (f" (see {DIFF}{cut})" if repository.dirty else "")

