"""The config that a run goes on with, where something is to be changed at its resume. Needs no PyTorch."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_gen import checkpoints, datasets, edits, params, remedy, rollbacks, runs
from tui_gen import config as configs
from tui_gen.params import Problem
from tui_gen.places import called, shown
from tui_gen.quantities import count

if TYPE_CHECKING:
    from tui_gen.catalog import Catalog

ROOT = "dataset.root"
PROCESSES = "train.processes"
LIVE_ON_RESUME = (
    f"only the length, {ROOT}, {PROCESSES} and settings that may change while training can be set on --resume"
)


def continued(
    path: Path, assignments: list[str], catalog: Catalog, device: str = ""
) -> tuple[configs.RunConfig, list[str]]:
    """The config a run goes on with, and warnings; `config.toml` is rewritten only where something was changed.

    A new length, or a new place of the data, replaces the old one. Live settings become edits at the step of the newest
    checkpoint, so that the log shows them and the config still says what the run began with. Raises ConfigError and
    RunError, with the run left as it was.
    """
    config = configs.load(configs.read_toml(path / "config.toml"), catalog, path.name)
    tables = configs.to_tables(config)
    settings = configs.may_be_stated(config.model.name, config.dataset.name, catalog)
    step = checkpoints.newest_sound(path)
    problems: list[Problem] = []
    changes: list[tuple[str, Any]] = []
    lengths = [assignment for assignment in assignments if assignment.partition("=")[0].strip() in configs.LENGTHS]
    for assignment in assignments:
        key, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals or key not in settings or key in (*configs.LENGTHS, PROCESSES):
            try:
                tables = configs.override(tables, [assignment], catalog)
            except configs.ConfigError as error:
                problems += error.problems
        elif key == ROOT:
            tables["dataset"]["root"] = datasets.absolute(text)
        elif not settings[key].live:
            words = shlex.join(["--run", shown(path / "config.toml"), "--set", assignment])
            hint = f"for another run: tui-gen {words}"
            problems.append(Problem("--set", assignment, LIVE_ON_RESUME, hint))
        else:
            changes.append((key, params.parse(settings[key], text)))
    if device:
        tables["train"]["device"] = device
    if changes:
        tables["edits"] = [*tables.get("edits", []), *_planned(path, step, changes, config)]
    if problems:
        raise configs.ConfigError(path.name, problems)
    new = configs.load(tables, catalog, path.name)
    if lengths and new.train.steps and new.train.steps <= step:
        words = f"the run is at step {count(step)} already"
        hint = f"for more: tui-gen --resume {called(path)} --set train.steps={2 * step}"
        raise configs.ConfigError(path.name, [Problem("train.steps", new.train.steps, words, hint)])
    if datasets.lost(catalog.datasets[new.dataset.name], new.dataset.root):
        hint = f"where it is now: tui-gen --resume {called(path)} --set {ROOT}=…"
        words = "is not there, or does not hold the run's data"
        raise configs.ConfigError(path.name, [Problem(ROOT, new.dataset.root, words, hint)])
    if not lengths and runs.state_of(path)[0] == "finished":
        hint = "give it more with --set train.steps=…, train.epochs=… or train.minutes=…"
        raise configs.ConfigError(path.name, [Problem("train", None, "the run has finished its length", hint)])
    ahead = rollbacks.planned(path, new.edits)
    warnings = [words for key, value in changes if (words := edits.overriding(ahead, key, step, value))]
    if assignments or device:
        try:
            runs.write_atomic(path / "config.toml", configs.dumps(new, catalog).encode())
        except OSError as error:
            raise runs.RunError(f"cannot write {path / 'config.toml'}: {error.strerror or error}") from None
    return new, warnings


def _planned(path: Path, step: int, changes: list[tuple[str, Any]], config: configs.RunConfig) -> edits.Edits:
    """What is set at a resume as edits at its step; a rate that made a loss no number is not gone back to.

    A person who raised the rate after the checkpoint, until the loss broke, has that edit made again: it is overridden.
    """
    new = [{"step": step, "key": key, "value": value} for key, value in changes]
    advice = remedy.read(path)
    if advice is not None:
        values = {key: value for key, value in changes if key in advice.was}
        all_edits = rollbacks.planned(path, config.edits)
        again = [edit for edit in all_edits if edit["key"] in values and step < edit["step"] <= advice.step]
        new += [{**edit, "value": values[edit["key"]]} for edit in again]
    return new
