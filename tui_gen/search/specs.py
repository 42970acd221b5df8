"""What a search is, and what came of it: files in `.sweeps/NAME/` beside the runs, read without Optuna.

`search.json` says what was asked for, `trials.json` what came of it so far, `journal.log` is Optuna's storage where no
other was named, `HOST/` the place of whoever keeps it going on a machine. While a trial is open, its run tells more.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from tui_gen import events, params, runs
from tui_gen.catalog import Catalog
from tui_gen.files import read_regular
from tui_gen.queue import queueing
from tui_gen.runs import RunError
from tui_gen.space import Axis
from tui_gen.sweeps import SweepResult, SweepTable

T = TypeVar("T")
FOLDER = ".sweeps"
SPEC, TRIALS, JOURNAL = "search.json", "trials.json", "journal.log"
MOST = 64 << 20
"""The largest of these files that is read, in bytes."""
FORMAT = 1
SAMPLERS = ("tpe", "random", "grid")
PRUNERS = ("hyperband", "median", "none")
PLACES = re.compile(r"^(?:root|device) = .*\n", re.M)
STATES = ("waiting", "running", "done", "pruned", "failed")


class SearchSpec(msgspec.Struct, kw_only=True):
    """What was asked for.

    `config` is the config around which is searched, as TOML; `space` has a line of the language of spaces for each
    setting, with its full key; `metric` (of a run's log) is what a trial is judged by, `better` is `lower` or `higher`.
    `trials` is how many there are to be in all, `jobs` how many at a time on each machine. `storage` is a URL of
    Optuna's or the path of a journal, empty for the journal beside this.
    """

    name: str
    config: str
    space: list[str]
    metric: str
    better: str = "lower"
    sampler: str = "tpe"
    pruner: str = "hyperband"
    seed: int = 0
    trials: int = 20
    jobs: int = 1
    storage: str = ""
    format: int = FORMAT

    @property
    def definition(self) -> dict[str, Any]:
        """What may not change while it goes on: else its trials would not be those of one search. Where the data are,
        and on which device is trained, may differ from machine to machine."""
        return {
            "config": PLACES.sub("", self.config), "space": self.space, "metric": self.metric, "better": self.better,
            "sampler": self.sampler, "pruner": self.pruner, "seed": self.seed,
        }  # fmt: skip


class TrialRow(msgspec.Struct, omit_defaults=True):
    """One trial: its number, its state (of STATES), the settings that were chosen, its best value and the index of its
    step, its run's folder, the machine that trains or trained it, and how it ended.
    """

    number: int
    state: str
    values: dict[str, Any] = {}
    best: float | None = None
    step: int | None = None
    run: str = ""
    host: str = ""
    reason: str = ""


class TrialTable(msgspec.Struct, omit_defaults=True):
    """What came of a search so far; `importances` are shares of what the metric varies by, by the settings' keys."""

    rows: list[TrialRow] = []
    importances: dict[str, float] = {}


def folder_of(root: Path, name: str) -> Path:
    """Where the files of a search are."""
    return Path(root) / FOLDER / name


def host_folder(root: Path, name: str, host: str = "") -> Path:
    """What whoever keeps it going on a machine (this one, unless named) has for itself: a lock, a name, a log."""
    return folder_of(root, name) / f"on-{runs.slug(host or socket.gethostname())}"


def is_kept(root: Path, name: str, host: str = "") -> bool:
    """Whether somebody keeps it going on a machine, as far as that can be told from here."""
    place = host_folder(root, name, host)
    return place.is_dir() and runs.live(place)


def last_words(root: Path, name: str) -> str:
    """Why whoever kept it going on this machine could not go on; empty where nothing is known."""
    try:
        with open(host_folder(root, name) / "search.log", "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return lines[-1].removeprefix("error: ") if lines and lines[-1].startswith("error: ") else ""


def names(root: Path) -> list[str]:
    """The searches of a folder of runs, the newest first."""
    dated = []
    with contextlib.suppress(OSError), os.scandir(Path(root) / FOLDER) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                dated.append((os.stat(f"{entry.path}/{SPEC}").st_mtime, entry.name))
    return [name for _, name in sorted(dated, reverse=True)]


def named(root: Path, name: str) -> str:
    """The search that a person means, the newest where they do not say. Raises RunError that names those there are."""
    known = names(root)
    if not known:
        raise RunError("no sweep is here yet: tui-gen sweep CONFIG --space lr=1e-4..1e-2:log")
    if name in ("", "latest"):
        return known[0]
    if name in known:
        return name
    matches = [other for other in known if other.startswith(name) or other.endswith(name)]
    if len(matches) == 1:
        return matches[0]
    hint = "it could be any of " + ", ".join(matches) if matches else params.nearest(name, known)
    raise RunError(f"no sweep {name!r}; {hint or 'there are ' + ', '.join(known[:20])}")


def read(root: Path, name: str) -> SearchSpec:
    """What was asked for. Raises RunError where there is no such search or its file is none."""
    path = folder_of(root, name) / SPEC
    spec = _read(path, SearchSpec)
    if spec is None:
        raise RunError(f"no sweep {name!r} in {root}")
    if spec.format > FORMAT:
        raise RunError(f"{path} was written by a newer tui-gen; upgrade tui-gen to use it")
    return spec


def trials(root: Path, name: str) -> TrialTable:
    """What came of it as it was last written down; nothing where nothing has. Raises RunError."""
    return _read(folder_of(root, name) / TRIALS, TrialTable) or TrialTable()


def stamp(root: Path, name: str) -> tuple[int, int]:
    """What is another where its trials are."""
    try:
        status = os.stat(folder_of(root, name) / TRIALS)
    except OSError:
        return 0, 0
    return status.st_ino, status.st_mtime_ns


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(read_regular(path, MOST), type=kind)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is no sweep's: {' '.join(str(error).split())}") from None


def write(root: Path, spec: SearchSpec) -> None:
    """Write down what was asked for; nobody else may read it, as a storage's URL may have a password."""
    place = folder_of(root, spec.name)
    try:
        place.mkdir(parents=True, exist_ok=True)
        runs.write_atomic(place / SPEC, msgspec.json.format(msgspec.json.encode(spec), indent=1) + b"\n", 0o600)
    except OSError as error:
        raise RunError(f"cannot write {place / SPEC}: {error.strerror or error}") from error


def forget_what_never_began(root: Path, name: str) -> None:
    """Take away a search that has no trials, as its storage could not be opened, say; not one that somebody else began
    at the same time."""
    place = folder_of(root, name)
    with contextlib.suppress(OSError, RunError), runs.claim(host_folder(root, name)):
        if not (place / TRIALS).exists():
            (place / SPEC).unlink()


def write_trials(root: Path, name: str, table: TrialTable) -> None:
    """Write down what came of it so far. Raises RunError."""
    path = folder_of(root, name) / TRIALS
    try:
        runs.write_atomic(path, msgspec.json.encode(table))
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def proper_name(spec: SearchSpec, about: str, axes: Sequence[Axis]) -> str:
    """The name of a search that nobody gave one: of its config, its settings, and all that defines it, so that the same
    command means the same search."""
    digest = hashlib.sha256(msgspec.json.encode(spec.definition)).hexdigest()[:4]
    words = "-".join(axis.name for axis in axes)
    return f"{runs.slug(f'{about} {words}')}-{digest}"


def without_password(storage: str) -> str:
    """A storage as it may be shown. A password has `@` and `/` in it where nobody wrote them as %40 and %2F."""
    shown = re.sub(r"(://[^:/@\s]*):\S*@", r"\1:***@", storage)
    return re.sub(r"([?&]password=)[^&\s]*", r"\1***", shown)


# -- what came of it


class SweepLine(NamedTuple):
    """A sweep in a list of all: its name, what it does (`running`, `over`, `stopped`, `broken`, `in the queue`), how
    many trials are over and how many there are to be, and what is varied, or why it does not go on."""

    name: str
    state: str
    over: int
    total: int
    words: str


def line_of(root: Path, name: str) -> SweepLine:
    """That of a search; a file of it that cannot be read is told, and keeps nobody from the others."""
    try:
        spec, rows = read(root, name), trials(root, name).rows
    except RunError as error:
        return SweepLine(name, "broken", 0, 0, str(error))
    over = sum(row.state not in ("waiting", "running") for row in rows)
    state = "running" if is_kept(root, name) else "over" if over >= spec.trials else "stopped"
    words = last_words(root, name) if state == "stopped" else ""
    return SweepLine(name, state, over, max(spec.trials, over), words or ", ".join(spec.space))


def results(root: Path, name: str, catalog: Catalog | None = None) -> SweepTable:
    """What came of a search so far; of trials that are open, their runs are asked. Raises RunError."""
    spec, table = read(root, name), trials(root, name)
    found = [_result(root, spec, row, catalog) for row in table.rows]
    keys = [text.partition("=")[0] for text in spec.space]
    return SweepTable.ranked(name, keys, spec.metric, spec.better, found, table.importances)


def _result(root: Path, spec: SearchSpec, row: TrialRow, catalog: Catalog | None) -> SweepResult:
    state, best, reason = row.state, row.best, row.reason
    step = None if row.step is None else events.made(row.step)
    is_folder = queueing.is_folder_name(row.run)
    path = Path(root) / row.run
    if state == "running" and is_folder and runs.is_run(path):
        from tui_gen.history.run_summary import summary_of

        state, summary = runs.state_of(path)[0], summary_of(path, catalog)
        if summary.metric == spec.metric:
            best, step = summary.best, summary.best_step
    return SweepResult(
        row.number, state, row.values, spec.metric, spec.better, best, step, row.run if is_folder else "", reason,
        row.state in ("waiting", "running"),
    )  # fmt: skip
