"""Run directories: create, list, open, state, delete.

A run directory is the truth about a run (`config.toml`, `events.jsonl`, `samples/`, `checkpoints/`, `worker.json`,
`worker.log`, and `worker.lock`: see `presence`). A run is *running* only while its worker is alive. Otherwise it is
finished, stopped, failed or interrupted, whatever its log said last.

Lists of runs are asked for often, from scripts too: what only some functions need is imported there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tui_gen import belongings, events, presence, remarks
from tui_gen.belongings import CONFIG as CONFIG
from tui_gen.belongings import LOG as LOG
from tui_gen.belongings import is_run as is_run
from tui_gen.belongings import marked
from tui_gen.files import open_regular, written_aside
from tui_gen.headline import headline
from tui_gen.log import event_log
from tui_gen.log.tails import tail_of
from tui_gen.places import called
from tui_gen.places import default_root as default_root
from tui_gen.presence import HELD as HELD
from tui_gen.presence import Hold, mtime
from tui_gen.presence import WorkerInfo as WorkerInfo
from tui_gen.presence import alive as alive
from tui_gen.presence import process_started as process_started
from tui_gen.presence import worker_of as worker_of
from tui_gen.text import clean

LIVE = ("starting", "running", "paused", "stopping")
RESUMABLE = ("stopped", "failed", "interrupted")
ENDED = ("finished", *RESUMABLE)


class RunError(Exception):
    """A run that cannot be found, made or changed; the text says which, why, and what to do."""


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
    star: bool = False
    tags: list[str] = []
    notes: int = 0
    job: str = ""

    @property
    def live(self) -> bool:
        """Whether its worker is alive."""
        return self.state in LIVE

    @property
    def word(self) -> str:
        """Its state, and whether its worker is held: it does nothing then, whatever its log said last."""
        return f"{self.state}, held" if self.live and self.reason.startswith(HELD) else self.state


def slug(text: str) -> str:
    """Text as part of a directory name: lower case letters, digits and single dashes, at most 40."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "run"


def unwritable(root: Path) -> str:
    """Why no run can be made in a folder, or in one that is not there yet, in words; empty where one can."""
    advice = "choose another with --runs DIR"
    try:
        os.stat(root)
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):  # nothing can ever be there
            return f"cannot make a run in {root}: {error.strerror}; {advice}"
    near = Path(root).absolute()
    while not os.path.exists(near) and near != near.parent:
        near = near.parent
    if not os.path.isdir(near):
        return f"cannot make a run in {root}: {near} is no folder; {advice}"
    if not os.access(near, os.W_OK | os.X_OK):
        return f"cannot make a run in {root}: no right to write in {near}; {advice}"
    return ""


def refuse_unwritable(root: Path) -> None:
    """Raise RunError where no run can be made in a folder, before anything takes time."""
    if words := unwritable(root):
        raise RunError(words)


def create(
    root: Path, name: str, config_text: str, folder: str = "", fill: Callable[[Path], object] | None = None
) -> Path:
    """Make a run directory with its `config.toml`, in a new folder or in the one named.

    `fill` puts more into it before anybody can see it. Raises RunError where it cannot be written, where the folder
    named is there, and what `fill` raises.
    """
    import random
    import shutil

    root = Path(root)
    stamp = time.strftime("%Y%m%d-%H%M")
    path = None
    try:
        if root.exists() and not root.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        root.mkdir(parents=True, exist_ok=True)
        while True:
            tail = "".join(random.SystemRandom().choices("abcdefghjkmnpqrstuvwxyz23456789", k=4))
            new_name = folder or f"{stamp}-{slug(name)}-{tail}"
            # Whole, or not at all, where another job may look for it or where it is more than a moment's work.
            aside = bool(folder or fill)
            new_folder = (root / (f".{new_name}.{tail}" if aside else new_name)).resolve()
            try:
                new_folder.mkdir()
            except FileExistsError:
                continue
            path = new_folder
            break
        (path / "samples").mkdir()
        (path / "checkpoints").mkdir()
        write_atomic(path / CONFIG, config_text.encode())
        (path / presence.LOCK).touch()  # what makes it a run of ours
        if fill is not None:
            fill(path)
        if aside:
            path = path.rename(path.with_name(new_name))
    except (RunError, KeyboardInterrupt):
        if path is not None:
            shutil.rmtree(path, ignore_errors=True)
        raise
    except (OSError, UnicodeEncodeError) as error:
        if path is not None:  # an empty folder is no run, and nobody would know what it was meant to be
            shutil.rmtree(path, ignore_errors=True)
        if folder and isinstance(error, OSError) and error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise RunError(f"{root / folder} is there already; choose another --name") from None
        if isinstance(error, UnicodeEncodeError):
            raise RunError(f"cannot make a run: its config holds text that is not UTF-8 ({error})") from None
        raise RunError(
            f"cannot make a run in {root}: {error.strerror or error}; choose another folder with --runs DIR"
        ) from error
    return path


def write_atomic(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Replace a file so that a reader sees the old or the new content, and a crash leaves one of them. `mode`, less the
    umask, is who may read it, from the first byte on.
    """
    with written_aside(path) as aside, open(aside, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def register(path: Path, socket_path: str, id: str = "") -> WorkerInfo:
    """Write `worker.json` for this process; `id` is in every answer of its control server."""
    info = presence.described(path, socket_path, id)
    write_atomic(path / presence.WORKER, msgspec.json.encode(info))
    return info


def live(path: Path | str) -> bool:
    """Whether a run is being trained (or started, changed, deleted), here or elsewhere, as far as can be told."""
    is_locked = presence.held(path)
    if is_locked:
        return True
    info = worker_of(path)
    if info is None:
        return False
    if is_locked is False and info.boot and presence.here(info):
        return False
    if not presence.in_sight(info):  # locks do not always reach over the network
        return not _has_ended(path) and presence.silence(path) < presence.SILENT
    return alive(info) and presence.about(info, path)


def claim(path: Path) -> Hold:
    """Take a run's lock, to train or change it. Raises RunError where somebody trains it, or nothing can be written.

    Nothing else may be written into a run directory before this.
    """
    if live(path):
        raise RunError(in_use(path))
    info, last_sign = worker_of(path), presence.last_sign(path)
    try:
        hold = Hold.take(path)
    except presence.Taken:
        raise RunError(in_use(path)) from None
    except OSError as error:
        raise RunError(f"cannot write in {path}: {error.strerror or error}") from error
    if info is not None and not presence.here(info):  # our clock may be another than that of the file system
        with contextlib.suppress(OSError):
            hold.renew()
        if presence.last_sign(path) - last_sign < presence.SILENT and not _has_ended(path):
            hold.release()
            raise RunError(in_use(path))
    with contextlib.suppress(OSError):
        os.unlink(path / presence.WORKER)  # it names the worker before
    return hold


def _has_ended(path: Path | str) -> bool:
    last, _ = _tail(path)
    return last is not None and last.state in ENDED


def in_use(path: Path) -> str:
    """Why a live run cannot be trained or changed, in words."""
    info = worker_of(path)
    if info is None or not presence.about(info, path):
        return f"{path.name} is in use: another process is starting, changing or deleting it"
    if not presence.in_sight(info):
        return f"{path.name} is already training on {info.host}; stop it there first"
    return f"{path.name} is already training (process {info.pid}); tui-gen attach {called(path)} shows it"


def state_of(path: Path | str) -> tuple[str, int, str]:
    """(state, last step known, reason). A live word without a live worker is `interrupted`."""
    last, step = _tail(path)
    state, reason = (last.state, last.reason) if last else ("starting", "")
    if state in ENDED:
        return state, step, reason
    if live(path):
        info = worker_of(path)
        if info is None or not presence.about(info, path):
            return "starting", step, ""  # it has been claimed, and whoever trains it will name itself
        if not presence.in_sight(info):
            return state, step, f"on {info.host}"
        return state, step, f"{HELD}; kill -CONT {info.pid} lets it go on" if presence.is_held(info) else reason
    last, step = _tail(path)  # it may have written its last word, and ended, since the first look
    if last is not None and last.state in ENDED:
        return last.state, step, last.reason
    if not os.path.isdir(path):
        return "interrupted", step, "its folder is gone: it was deleted, renamed or moved"
    info = worker_of(path)
    if _coming_up(path, last, info):
        return "starting", step, ""
    if info is None or presence.here(info):
        return "interrupted", step, "the worker is gone"
    return "interrupted", step, f"no sign of life from {info.host} {presence.since(path)}"


def standing(reason: str) -> str:
    """What the reason for a live run's state tells of its worker: on which machine it is, or that it is held."""
    return reason if reason.startswith(("on ", HELD)) else ""


def _coming_up(path: Path | str, last: events.State | None, info: WorkerInfo | None) -> bool:
    """Whether a worker may be on its way: just asked for, or heard of but not yet named in `worker.json`."""
    now = time.time()
    if last is None:
        return info is None and now - mtime(f"{path}/{CONFIG}") < 20
    return last.state == "starting" and now - last.t < 10 and (info is None or info.since < last.t)


def _tail(path: Path | str) -> tuple[events.State | None, int]:
    """The last State event and the last step in a run's log."""
    return tail_of(f"{path}/events.jsonl")


def info_of(path: Path | str, created: float | None = None) -> RunInfo:
    """The row of a list for one run directory; `created` where it is known already."""
    # Thousands are asked for at once: no path is made of a text here that a text would do for.
    state, step, reason = state_of(path)
    config = headline(f"{path}/config.toml")
    worker, own = worker_of(path), remarks.of(path)
    return RunInfo(
        path=str(path),
        name=own.name or config.get("name") or os.path.basename(path),
        state=state,
        step=step,
        steps=config.get("steps"),
        reason=reason,
        created=mtime(f"{path}/config.toml") if created is None else created,
        updated=mtime(f"{path}/events.jsonl") or mtime(path),
        model=config.get("model", ""),
        dataset=config.get("dataset", ""),
        host=worker.host if worker else "",
        star=own.star,
        tags=config.get("tags", []) if own.tags is None else own.tags,
        notes=len(own.notes),
        job=clean(worker.job) if worker else "",
    )


def folders(root: Path) -> list[tuple[float, str]]:
    """(created, path) of every run in a folder, newest first; looks into none of them.

    An absent folder has none. Raises RunError where it cannot be read.
    """
    try:
        with os.scandir(root) as entries:
            rows = [(moment, entry.path) for entry in entries if (moment := made_at(entry.path)) is not None]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"cannot read {root}: {error.strerror or error}") from None
    return sorted(rows, reverse=True)


def made_at(path: str) -> float | None:
    """When the run in a folder was made, by the time of its config; None where the folder is no run."""
    if os.path.basename(path).startswith("."):
        return None
    try:
        status = os.stat(f"{path}/config.toml")
    except OSError:
        return None
    return status.st_mtime if stat.S_ISREG(status.st_mode) and marked(path) else None


def list_runs(root: Path) -> list[RunInfo]:
    """Every run in a folder, newest first. An absent folder has none. Raises RunError where it cannot be read."""
    return [info_of(path, created) for created, path in folders(root)]


def live_runs(root: Path) -> list[Path]:
    """The runs in a folder that train, newest first. Raises RunError where it cannot be read."""
    return [Path(path) for _, path in folders(root) if state_of(path)[0] in LIVE]


def find(root: Path, name: str = "") -> Path:
    """The run that a person means: a path, a directory name, its unambiguous beginning or end, or a run's name.

    An empty name, or `latest`, is the newest run, a live one before others. Raises RunError that lists candidates.
    """
    return find_place(root, name).resolve()


def find_place(root: Path, name: str) -> Path:
    """As `find`, but where the run's folder is a link, that link. Raises RunError as `find` does."""
    root = Path(root)
    place = Path(os.path.expanduser(name))
    if name and is_run(place):
        return place
    if name and os.sep in name:
        why = "it has no config.toml" if os.path.isdir(place) else "there is no such folder"
        if os.path.isfile(place / CONFIG):
            why = f"beside its {CONFIG} there is neither {LOG} nor {presence.WORKER}"
        raise RunError(f"{place} is no run: {why}")
    paths = [path for _, path in folders(root)]
    if not paths:
        raise RunError(f"no runs in {root}; start one with tui-gen --run {DEFAULT}")
    if name in ("", "latest"):
        return Path(next((path for path in paths if state_of(path)[0] in LIVE), paths[0]))
    names = {os.path.basename(path): Path(path) for path in paths}
    if name in names:
        return names[name]
    matches = [
        n for n, path in names.items()
        if n.startswith(name) or n.endswith(name) or name in (remarks.of(path).name, _config_name(path))
    ]  # fmt: skip
    if len(matches) == 1:
        return names[matches[0]]
    if matches:
        raise RunError(f"{name!r} could be any of: {', '.join(matches)}")
    from tui_gen.params import nearest

    hint = nearest(name, names) or "see tui-gen runs"
    raise RunError(f"no run {name!r} in {root}; {hint}")


def _config_name(path: Path) -> str | None:
    return headline(f"{path}/{CONFIG}").get("name")


DEFAULT = "vae-digits"


def edits_of(path: Path) -> list[dict[str, Any]]:
    """The live edits in a run's log, `{step, key, value}` by step; what a resume lost and is to be made again included.
    Those of the config are not, but where a rollback took them into account (see `rollbacks.planned`).

    These are what a continued run makes again after its checkpoint, and what a run of the same config replays.
    """
    history: list[dict[str, Any]] = []
    pending: list[dict[str, Any]] = []
    for event in event_log.read(path / "events.jsonl", events.Resume, events.Rollback, events.Edit):
        if isinstance(event, events.Rollback):  # it states what is ahead of it
            pending = list(event.edits)
            history = [edit for edit in history if edit["step"] < event.to]
        elif isinstance(event, events.Resume):
            pending = [edit for edit in history if edit["step"] >= event.step] + pending
            history = [edit for edit in history if edit["step"] < event.step]
        elif isinstance(event, events.Edit):
            edit = {"step": event.step, "key": event.key, "value": event.new}
            if edit in pending:
                pending.remove(edit)
            history.append(edit)
    return sorted(history + pending, key=lambda edit: edit["step"])


def last_log_lines(path: Path, count: int = 20) -> list[str]:
    """The last `count` lines of `worker.log`, clean; none where it cannot be read."""
    try:
        with open_regular(path / "worker.log") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - (1 << 15)))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    # A carriage return starts a line over: what progress bars do.
    lines = [clean(line.rstrip("\r").rsplit("\r", 1)[-1].expandtabs(4)) for line in text.split("\n")]
    return [line for line in lines if line.strip()][-count:]


def delete(path: Path) -> None:
    """Remove a run directory. Raises RunError with what `doubts` tells, or why it cannot be removed."""
    path = Path(path)
    if words := doubts(path):
        raise RunError(words)
    hold = claim(path)  # nobody starts to train it while it goes
    try:
        for tries in range(3, 0, -1):
            try:
                belongings.remove(path)
                hold.release()  # some file systems keep a file in the folder for as long as it is open
                belongings.remove_last(path)
                break
            except OSError as error:
                if error.errno != errno.ENOTEMPTY or tries == 1:
                    raise
                # of a run that was just made somebody writes down which code it was made from
    except OSError as error:
        raise RunError(f"cannot delete {path}: {error.strerror or error}") from None
    finally:
        hold.release()


def doubts(path: Path) -> str:
    """Why a folder must not be deleted, in words: it is no run, or a link to one, it trains, it holds other files."""
    if path.is_symlink():
        return f"{path} is a link to {os.path.realpath(path)}: delete that, or remove the link yourself"
    if not is_run(path):
        return f"{path} is not a run directory"
    if not headline(f"{path}/{CONFIG}").get("model"):
        return f"{path} is not a run directory: its {CONFIG} names no model; if it was one, remove it yourself"
    try:
        refuse_if_training(path)
        foreign = belongings.foreign(path)
    except RunError as error:
        return str(error)
    except OSError as error:
        return f"cannot delete {path}: {error.strerror or error}"
    if foreign:
        some = ", ".join(foreign[:5]) + (f" and {len(foreign) - 5} more" if len(foreign) > 5 else "")
        return f"{path.name} holds what is not a run's: {some}; move that away, or remove the folder yourself"
    return ""


def refuse_if_training(path: Path) -> None:
    """Raise RunError with what to do where a run must not be deleted, as it trains."""
    if not live(path):
        return
    info, doing = worker_of(path), "is paused" if state_of(path)[0] == "paused" else "is still training"
    if info is not None and not presence.in_sight(info):
        raise RunError(f"{path.name} {doing} on {info.host}; stop it there first")
    raise RunError(f"{path.name} {doing}; stop it first with tui-gen stop {called(path)}")
