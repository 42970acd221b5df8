"""Run directories: create, list, open, state, delete.

A run directory is the truth about a run (`config.toml`, `events.jsonl`, `samples/`, `checkpoints/`, `worker.json`,
`worker.log`). A run is *running* only while the very process named in `worker.json` is alive: same host, same pid,
same process start time. Otherwise it is finished, stopped, failed or interrupted, whatever its log said last.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from tui_gen import events
from tui_gen.params import nearest

LIVE = ("starting", "running", "paused", "stopping")
ENDED = ("finished", "stopped", "failed", "interrupted")


class RunError(Exception):
    """A run that cannot be found, made or changed; the text says which, why, and what to do."""


class WorkerInfo(msgspec.Struct):
    """`worker.json`: the process that trains a run. `started` tells it from a later process with the same pid."""

    pid: int
    host: str
    started: str
    socket: str
    since: float = 0.0


class RunInfo(msgspec.Struct):
    """One row of a list of runs, cheap to get: nothing but the log's tail is read."""

    path: str
    name: str
    state: str
    step: int
    steps: int | None
    reason: str
    created: float
    updated: float
    model: str = ""
    dataset: str = ""
    host: str = ""

    @property
    def live(self) -> bool:
        """Whether its worker is alive."""
        return self.state in LIVE


def default_root() -> Path:
    """Where runs go unless `--runs` says otherwise: `$TUI_GEN_RUNS`, else `runs` in the current folder."""
    return Path(os.environ.get("TUI_GEN_RUNS") or "runs")


def slug(text: str) -> str:
    """Text as part of a directory name: lower case letters, digits and single dashes, at most 40."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "run"


def create(root: Path, name: str, config_text: str) -> Path:
    """Make a run directory with its `config.toml`. Raises RunError where the folder cannot be written."""
    root = Path(root)
    stamp = time.strftime("%Y%m%d-%H%M")
    try:
        root.mkdir(parents=True, exist_ok=True)
        while True:
            tail = "".join(random.SystemRandom().choices("abcdefghjkmnpqrstuvwxyz23456789", k=4))
            path = (root / f"{stamp}-{slug(name)}-{tail}").resolve()
            try:
                path.mkdir()
                break
            except FileExistsError:
                continue
        (path / "samples").mkdir()
        (path / "checkpoints").mkdir()
        write_atomic(path / "config.toml", config_text.encode())
    except OSError as error:
        raise RunError(
            f"cannot make a run in {root}: {error.strerror or error}; choose another folder with --runs DIR"
        ) from None
    return path


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file so that a reader sees the old or the new content, and a crash leaves one of them."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(aside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise


def process_started(pid: int) -> str:
    """A text that tells a process from a later one with the same pid; empty when there is no such process.

    A zombie (ended, not yet waited for) counts as ended.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rsplit(b")", 1)[1].split()
        if fields[0] in (b"Z", b"X"):
            return ""
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()[:8]}-{fields[19].decode()}"
    except (FileNotFoundError, ProcessLookupError):
        if sys.platform == "linux":
            return ""
    except (OSError, IndexError):
        return ""
    done = subprocess.run(
        ["ps", "-o", "lstart=", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    words = done.stdout.split()
    return "" if not words or words[-1].startswith("Z") else " ".join(words[:-1])


def register(path: Path, socket_path: str) -> WorkerInfo:
    """Write `worker.json` for this process."""
    info = WorkerInfo(os.getpid(), socket.gethostname(), process_started(os.getpid()), socket_path, time.time())
    write_atomic(path / "worker.json", msgspec.json.encode(info))
    return info


def worker_of(path: Path) -> WorkerInfo | None:
    """What `worker.json` says, or None."""
    try:
        return msgspec.json.decode((path / "worker.json").read_bytes(), type=WorkerInfo)
    except (OSError, msgspec.DecodeError):
        return None


def alive(info: WorkerInfo | None) -> bool:
    """Whether that very process lives on this machine. On another host: whether it was heard of in the last minute."""
    if info is None:
        return False
    if info.host != socket.gethostname():
        return False
    return bool(info.started) and process_started(info.pid) == info.started


def state_of(path: Path) -> tuple[str, int, str]:
    """(state, last step known, reason). A live word without a live worker is `interrupted`."""
    last, step = _tail(path)
    state, reason = (last.state, last.reason) if last else ("starting", "")
    info = worker_of(path)
    if state in LIVE and not alive(info):
        if info is not None and info.host != socket.gethostname():
            fresh = time.time() - _mtime(path / "events.jsonl") < 60
            where = f"on {info.host}"
            return (state, step, where) if fresh else ("interrupted", step, f"nothing heard from {info.host}")
        if info is None and time.time() - _mtime(path / "config.toml") < 20:
            return "starting", step, ""
        return "interrupted", step, "the worker is gone"
    return state, step, reason


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _tail(path: Path, size: int = 1 << 16) -> tuple[events.State | None, int]:
    """The last State event and the last step in the log; looks further back only where the tail has no State."""
    file = path / "events.jsonl"
    try:
        with open(file, "rb") as stream:
            end = stream.seek(0, os.SEEK_END)
            last, step = None, None
            while True:
                start = max(0, end - size)
                stream.seek(start)
                lines = stream.read(size).split(b"\n")
                for line in reversed(lines if start == 0 else lines[1:]):
                    if last is not None and step is not None:
                        return last, step
                    if not (b'"state"' in line or step is None):
                        continue
                    event = events.decode(line) if line else None
                    if isinstance(event, events.State):
                        last = last or event
                        step = event.step if step is None else step
                    elif step is None and isinstance(event, events.Metrics):
                        longest = max((len(column) for column in event.values.values()), default=1)
                        step = event.start + (longest - 1) * event.stride + 1
                    elif step is None and isinstance(event, events.System | events.Resume):
                        step = event.step
                if start == 0:
                    return last, step or 0
                size *= 8
    except OSError:
        return None, 0


def info_of(path: Path) -> RunInfo:
    """The row of a list for one run directory."""
    import tomllib

    state, step, reason = state_of(path)
    name, model, dataset, steps = path.name, "", "", None
    with contextlib.suppress(OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError, TypeError):
        tables = tomllib.loads((path / "config.toml").read_text(encoding="utf-8"))
        name = tables.get("name") or path.name
        model, dataset = tables.get("model", {}).get("name", ""), tables.get("dataset", {}).get("name", "")
        steps = tables.get("train", {}).get("steps") or None
    worker = worker_of(path)
    return RunInfo(
        path=str(path),
        name=name,
        state=state,
        step=step,
        steps=steps,
        reason=reason,
        created=_mtime(path / "config.toml"),
        updated=_mtime(path / "events.jsonl") or _mtime(path),
        model=model,
        dataset=dataset,
        host=worker.host if worker else "",
    )


def is_run(path: Path) -> bool:
    """Whether a folder is a run directory."""
    return (path / "config.toml").is_file()


def list_runs(root: Path) -> list[RunInfo]:
    """Every run in a folder, newest first. An absent folder has none. Raises RunError where it cannot be read."""
    root = Path(root)
    if not root.exists():
        return []
    try:
        paths = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".") and is_run(path)]
    except OSError as error:
        raise RunError(f"cannot read {root}: {error.strerror or error}") from None
    return sorted((info_of(path) for path in paths), key=lambda info: (info.created, info.path), reverse=True)


def find(root: Path, name: str = "") -> Path:
    """The run that a person means: a path, a directory name, its unambiguous beginning or end, or a run's name.

    An empty name, or `latest`, is the newest run, a live one before others. Raises RunError that lists candidates.
    """
    root = Path(root)
    given = Path(name).expanduser()
    if name and is_run(given):
        return given.resolve()
    rows = list_runs(root)
    if not rows:
        raise RunError(f"no runs in {root}; start one with tui-gen --run {DEFAULT}")
    if name in ("", "latest"):
        return Path(next((row for row in rows if row.live), rows[0]).path)
    names = {Path(row.path).name: row for row in rows}
    matches = [n for n in names if n == name] or [
        n for n, row in names.items() if n.startswith(name) or n.endswith(name) or row.name == name
    ]
    if len(matches) == 1:
        return Path(names[matches[0]].path)
    if matches:
        raise RunError(f"{name!r} could be any of: {', '.join(matches)}")
    hint = nearest(name, names) or "see tui-gen runs"
    raise RunError(f"no run {name!r} in {root}; {hint}")


DEFAULT = "vae-digits"


def edits_of(path: Path) -> list[dict[str, Any]]:
    """The live edits in a run's log, `{step, key, value}` by step; what a resume lost and is to be made again included.

    These are what a continued run makes again after its checkpoint, and what a run of the same config replays.
    """
    done: list[dict[str, Any]] = []
    pending: list[dict[str, Any]] = []
    for event in events.Follower(path / "events.jsonl").poll(1 << 40):
        if isinstance(event, events.Resume):
            pending = [edit for edit in done if edit["step"] >= event.step] + pending
            done = [edit for edit in done if edit["step"] < event.step]
        elif isinstance(event, events.Edit):
            edit = {"step": event.step, "key": event.key, "value": event.new}
            if edit in pending:
                pending.remove(edit)
            done.append(edit)
    return sorted(done + pending, key=lambda edit: edit["step"])


def last_log_lines(path: Path, count: int = 20) -> list[str]:
    """The end of `worker.log`, as text lines without control characters."""
    try:
        with open(path / "worker.log", "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - (1 << 15)))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    lines = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|[\x00-\x08\x0b-\x1f\x7f]", "", line) for line in text.split("\n")]
    return [line for line in lines if line.strip()][-count:]


def delete(path: Path) -> None:
    """Remove a run directory. Raises RunError while its worker lives, or where it is no run directory."""
    if not is_run(path):
        raise RunError(f"{path} is not a run directory")
    if alive(worker_of(path)):
        raise RunError(f"{path.name} is still training; stop it first with tui-gen stop {path.name}")
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise RunError(f"cannot delete {path}: {error.strerror or error}") from None
