"""A new run that goes on from a step of another: from which checkpoint, with which settings, and its folder.

Needs no PyTorch: what the weights say to other settings, a worker is asked by whoever forks.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tui_gen import checkpoints, events, rollbacks, runs, starting
from tui_gen import config as configs
from tui_gen.files import open_regular
from tui_gen.history import provenance
from tui_gen.log import log_prefix
from tui_gen.params import Param, Problem, show
from tui_gen.places import called, shown
from tui_gen.quantities import count

if TYPE_CHECKING:
    from tui_gen.catalog import Catalog

ANYWHERE = ("preview", "checkpoint", "quality")
"""Tables whose settings change nothing of what is trained."""
SAME_STATE = ({"adam", "adamw"},)
"""Optimisers that go on with each other's state."""


class ForkPoint(NamedTuple):
    """Where a fork begins: at the checkpoint `found`, from which it does the same as the other run up to `step`."""

    run: Path
    step: int
    found: checkpoints.Found

    @property
    def start(self) -> int:
        """The step of the checkpoint."""
        return self.found.step

    @property
    def weights(self) -> Path:
        """The file with the weights of the checkpoint."""
        return self.found.path / "model.safetensors"

    @property
    def words(self) -> str:
        """The same in words."""
        if self.start == self.step:
            return "from the checkpoint there"
        return (
            f"from the checkpoint of step {count(self.start)}: it makes the same steps again up to "
            f"{count(self.step)}, which has none, and is different then"
        )


class ForkPlan(NamedTuple):
    """A fork that can be made: its checked config, what was changed as (old, new) by key, and what is to be said."""

    config: configs.RunConfig
    changes: dict[str, tuple[Any, Any]]
    warnings: list[str]

    fits: bool = True
    """Whether the weights are sure to fit; else only the model can tell, and is to be asked (`WarmWorker.check`)."""


def place_of(run: Path, step: int | None = None, thorough: bool = True) -> ForkPoint:
    """Where a fork at a step begins, at the newest checkpoint where none is said. Raises RunError where it cannot.

    Unless `thorough`, a checkpoint is looked at, but not read whole.
    """
    found = checkpoints.found(run)
    if not any(checkpoint.meta for checkpoint in found):
        again = f"tui-gen --run {shlex.quote(shown(run))} --set … trains it anew"
        how = "has no checkpoint yet; F8 makes one" if runs.live(run) else f"has no checkpoint; {again}"
        raise runs.RunError(f"{run.name} cannot be forked: it {how}")
    known = max(runs.state_of(run)[1], *(checkpoint.step for checkpoint in found))
    if step is not None and step > known:
        raise runs.RunError(f"{run.name} cannot be forked at step {count(step)}: it is at step {count(known)}")
    candidates = []
    shallow = (row for row in reversed(found) if step is None or row.step <= step)
    for checkpoint in checkpoints.sound(run, step) if thorough else shallow:
        candidates.append(checkpoint)
        if checkpoint.meta is not None:
            break
    best = candidates[-1] if candidates else None
    if best is None or best.meta is None:
        if candidates or step is None:
            words = "none of its checkpoints" if step is None else f"no checkpoint up to step {count(step)}"
            raise runs.RunError(f"{run.name} cannot be forked: {words} can be used ({candidates[0].problem})")
        first = next((checkpoint.step for checkpoint in found if checkpoint.meta is not None), 0)
        way = f"fork at step {count(first)} or later, or train it anew: tui-gen --run {shlex.quote(shown(run))} --set …"
        raise runs.RunError(f"{run.name} has no checkpoint at step {count(step)} or before it; {way}")
    return ForkPoint(run, best.step if step is None else step, best)


def name_at(name: str, step: int) -> str:
    """What a fork is called where nobody says: `vae-digits@500`."""
    base, at, digits = name.rpartition("@")
    return f"{base if at and digits.isdecimal() else name}@{step}"


def settings_at(run: Path, step: int, catalog: Catalog) -> dict[str, Any]:
    """A run's settings as tables, with the values in force once it has made `step` steps and what was edited there.

    Raises ConfigError.
    """
    return _in_force(run, step, catalog)[0]


def _in_force(run: Path, step: int, catalog: Catalog) -> tuple[dict[str, Any], list[str]]:
    """The same, and the settings that were edited after the step, or are planned to be, each once."""
    config = configs.load(configs.read_toml(run / runs.CONFIG), catalog, run.name)
    tables, later = copy.deepcopy(configs.to_tables(config)), []
    tables.pop("edits", None)
    for edit in rollbacks.planned(run, config.edits):
        if edit["step"] <= step:
            configs.set_key(tables, edit["key"], edit["value"])
        else:
            later.append(edit["key"])
    return tables, list(dict.fromkeys(later))


def proposal(run: Path, step: int | None, catalog: Catalog) -> tuple[ForkPoint, dict[str, Any], list[str]]:
    """What somebody is asked who may fork a run: where it begins, with which settings, and the keys of those that were
    edited later. Its checkpoint is only looked at. Raises RunError and ConfigError.
    """
    point = place_of(run, step, thorough=False)
    return point, *_in_force(run, point.step, catalog)


def planned(place: ForkPoint, tables: dict[str, Any], catalog: Catalog, later: bool = True) -> ForkPlan:
    """The fork that has these settings from its step on. Without `later`, what was edited after it is not done again.

    Settings that may change while training become edits at the step; the others are the fork's own from its checkpoint
    on, and can be changed only where that is the step. Raises ConfigError with all that cannot be.
    """
    run, step, source = place.run, place.step, f"a fork of {place.run.name}"
    parent = configs.load(configs.read_toml(run / runs.CONFIG), catalog, run.name)
    before = settings_at(run, step, catalog)
    if (model := configs.named(tables, "model")) != parent.model.name:
        words, hint = f"a fork goes on with the weights of {parent.model.name}", "start a new run for it"
        raise configs.ConfigError(source, [Problem("model.name", model, words, hint)])
    new = configs.to_tables(configs.load({key: tables[key] for key in tables if key != "edits"}, catalog, source))
    settings = configs.may_be_stated(parent.model.name, parent.dataset.name, catalog)
    settings |= configs.keys(parent.model.name, new["dataset"]["name"], catalog)
    changes = {
        key: (old, value)
        for key in settings
        if "." in key and (old := _value(before, key)) != (value := _value(new, key))
    }
    result = configs.to_tables(parent) | {key: new[key] for key in ("name", "notes", "tags", "model_dirs")}
    own = [key for key in changes if not settings[key].live]
    for key in own:
        if key.startswith("dataset."):
            result["dataset"] = new["dataset"]
        else:
            configs.set_key(result, key, _value(new, key))
    live = {key: value for key, (_, value) in changes.items() if settings[key].live}
    all_edits, warnings = rollbacks.planned(run, parent.edits), []
    ahead = [edit for edit in all_edits if edit["step"] >= place.start]
    for edit in list(ahead):
        over = edit["key"] in live and edit["step"] >= step
        if over or (not later and edit["step"] > step):
            ahead.remove(edit)
        if over and later and edit["step"] > step:
            words = f"{edit['key']} was set to {show(edit['value'])} in {run.name} at step {count(edit['step'])}"
            warnings.append(f"{words}: that is not done again")
    ahead += [{"step": step, "key": key, "value": value} for key, value in live.items()]
    past = [edit for edit in all_edits if edit["step"] < place.start]  # for whoever trains this config from the start
    result["edits"] = [*past, *sorted(ahead, key=lambda edit: edit["step"])]
    result["skips"] = rollbacks.skips(run, parent.skips)
    config = configs.load(result, catalog, source)
    problems = [*_problems(place, parent, config, {key: settings[key] for key in own})]
    if problems := problems or starting.data_problems(config, catalog):
        raise configs.ConfigError(source, problems)
    for name, optim in config.train.phases.items():
        if not state_fits(parent.train.phases[name], optim):
            warnings.append(f"the optimiser of {name} begins anew: what it remembers does not fit the new one")
    fits = not any(key.startswith(("model.", "dataset.")) and key != "dataset.root" for key in own)
    return ForkPlan(config, changes, warnings, fits)


def _value(tables: dict[str, Any], key: str) -> Any:
    try:
        return configs.get_key(tables, key)
    except KeyError:
        return None


def _problems(
    place: ForkPoint, parent: configs.RunConfig, new: configs.RunConfig, own: dict[str, Param]
) -> Iterator[Problem]:
    """What speaks against a fork in whose checkpoint and config these settings are others."""
    step, run, tables = place.step, called(place.run), configs.to_tables(new)
    begin = f"fork at step {count(place.start)}, which has one: tui-gen fork {run} --step {place.start} --set {{}}=…"
    for key, param in own.items():
        value = _value(tables, key)
        if key == "train.compile":
            yield Problem(key, value, "a fork computes as the run does whose checkpoint it has, compiled or not")
        elif param.run:
            yield Problem(key, value, "the model of that run is part of the weights", "start a new run for another")
        elif place.start != step and not _may_change_before(key, parent):
            words = f"cannot change at step {count(step)}, which has no checkpoint; what may change while training can"
            yield Problem(key, value, words, begin.format(key))
    train = new.train
    if any(key in configs.LENGTHS for key in own) and train.steps and train.steps <= step:
        yield Problem("train.steps", train.steps, f"the fork begins at step {count(step)}", "give it more")
    elif not any(key in configs.LENGTHS for key in own):
        state, last, _ = runs.state_of(place.run)
        if step >= (train.steps or 2**63) or (state == "finished" and step >= last):
            words = f"the run ends at step {count(step)}: nothing is left for a fork to do"
            yield Problem("train", None, words, "give it more with train.steps, train.epochs or train.minutes")


def _may_change_before(key: str, parent: configs.RunConfig) -> bool:
    """Whether a setting may be another already in the steps that a fork does again to come where it parts."""
    if key in configs.LENGTHS:  # rates go by the share of the run that is done, and so do models of several phases
        phases = parent.train.phases
        return len(phases) == 1 and all(optim.schedule == "constant" for optim in phases.values())
    return key == "dataset.root" or key.split(".")[0] in ANYWHERE


def state_fits(old: configs.Optim, new: configs.Optim) -> bool:
    """Whether an optimiser can go on with what another one remembers."""
    kinds = {old.optimizer, new.optimizer}
    if len(kinds) > 1:
        return any(kinds <= together for together in SAME_STATE)
    return old.optimizer != "rmsprop" or bool(old.beta1) == bool(new.beta1)  # its momentum is there, or it is not


def make(place: ForkPoint, fork: ForkPlan, root: Path, catalog: Catalog, folder: str = "") -> Path:
    """Make a fork's run directory in the folder `root`, whole or not at all; it can then be resumed as any run.

    It needs nothing of the other run, whose files are linked where the file system can do that, else copied. Raises
    RunError.
    """
    origin = configs.load(configs.read_toml(place.run / runs.CONFIG), catalog, place.run.name)

    def fill(path: Path) -> None:
        try:
            _take_checkpoint(place, path)
        except FileNotFoundError:
            words = f"the checkpoint of step {count(place.start)} was deleted by its worker just now; fork again"
            raise runs.RunError(f"{place.run.name}: {words}") from None
        except checkpoints.DamagedError as error:
            raise runs.RunError(f"{place.run.name} cannot be forked: checkpoint {error}") from None
        past = log_prefix.lines(place.run / runs.LOG, place.start)
        for line in past:
            event = events.decode(line) if line.startswith((b'{"type":"sample"', b'{"type":"alert"')) else None
            if isinstance(event, events.Sample | events.Alert):
                _take_also(place.run, path, event.path if isinstance(event, events.Sample) else event.kept)
        changes = {key: list(change) for key, change in fork.changes.items()}
        start = None if place.start == place.step else place.start
        first = events.Fork(place.step, place.run.name, origin.name, start, changes)
        if past and (shared := events.decode(past[0])) is not None:
            first.t = shared.t
        last = events.State("stopped", place.start, f"forked from {place.run.name} at step {count(place.step)}")
        text = b"\n".join([events.encode(first)[:-1], *past, events.encode(last)])
        runs.write_atomic(path / runs.LOG, text)

    name = fork.config.name or fork.config.model.name
    path = runs.create(root, name, configs.dumps(fork.config, catalog), folder, fill)
    provenance.begin(path, starting.code_of(fork.config, catalog))
    return path


def _take_checkpoint(place: ForkPoint, path: Path) -> None:
    """Have the checkpoint in a new run. Raises OSError, and DamagedError where it was copied and is not the same."""
    meta = place.found.meta
    assert meta is not None
    names = list(meta.files) or [name for name in OLDER if os.path.exists(place.found.path / name)]
    to = checkpoints.directory(path, place.start)
    to.mkdir()
    linked = [_take(place.found.path / name, to / name) for name in [*names, checkpoints.META]]
    if not all(linked):
        checkpoints.check(to, checkpoints.read_meta(to))


OLDER = ("model.safetensors", "ema.safetensors", "state.pt")
"""The files of a checkpoint that does not name them."""


def _take_also(run: Path, path: Path, name: str) -> None:
    """Have a preview, or a batch that was kept, in a new run, where it is still there and lies in the other one."""
    source = run / name
    if name and os.path.realpath(source).startswith(os.path.join(os.path.realpath(run), "")):
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            _take(source, path / name)


def _take(source: Path, to: Path) -> bool:
    """Have a file in another folder as well: no file of a run is ever changed, only replaced. Whether it is a link.

    Raises OSError.
    """
    if not stat.S_ISREG(os.lstat(source).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(source))
    try:
        os.link(source, to, follow_symlinks=False)
        return True
    except FileNotFoundError:
        raise
    except OSError:  # another disk, one without links, somebody else's file
        with open_regular(source) as file, open(to, "xb") as copied:
            shutil.copyfileobj(file, copied, 1 << 20)
            copied.flush()
            os.fsync(copied.fileno())
        return False
