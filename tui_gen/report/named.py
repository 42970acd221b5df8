"""Runs under a name of one's own, for jobs that are started again: `--run CONFIG --name NAME --resume-if-begun`.

The first time the run is made, later times it goes on; whichever it is, the same command line does it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import datasets, hosts, presence, runs
from tui_gen.params import Problem, show
from tui_gen.places import NoHome, called
from tui_gen.quantities import count, span
from tui_gen.report import headless, stdout
from tui_gen.report.stdout import Outlet
from tui_gen.resuming import PROCESSES

LOOK = 0.5
"""Seconds between two looks for a sign of life."""


def check(name: str) -> None:
    """Raise ConfigError where a name cannot be that of a run's folder."""
    strange = [letter for letter in name if letter in "/\\" or not letter.isprintable()]
    if name[0] in ".-" or strange or len(name.encode("utf-8", "replace")) > 100 or name == "latest":
        words = "is no name for a run's folder: up to 100 bytes, no slash, no dot or dash at the beginning, not latest"
        raise configs.ConfigError("command line", [Problem("--name", name, words)])


def begun(root: Path, name: str, resume: bool) -> Path | None:
    """The run of this name, where there is one to go on with: where that is wished (`resume`), or where this very job
    made it before it was started again. Raises RunError where the name is taken.
    """
    path = Path(root) / name
    if runs.is_run(path) and (resume or hosts.made_by_this_job(path)):
        return path.resolve()
    if os.path.lexists(path):
        way = "--resume-if-begun goes on with it" if runs.is_run(path) else "it is no run; choose another --name"
        raise runs.RunError(f"{path} is there already: {way}")
    return None


def go_on(
    path: Path,
    source: str,
    assignments: list[str],
    style: headless.Style,
    *,
    device: str = "",
    dirs: list[str],
    detach: bool = False,
    processes: int = 0,
) -> int:
    """Go on with a run that has begun; the exit status, 0 where it has finished. Raises RunError where it is live."""
    _, err = stdout.standard()
    state, step, _ = runs.state_of(path)
    if state == "finished":
        err.line(f"{path.name} has finished, at step {count(step)}: nothing is left to do")
        return headless.FINISHED
    if far_and_live(path, err):
        raise runs.RunError(runs.in_use(path))
    if words := differences(path, source, assignments, dirs):
        err.line(f"warning: {words}")
    several = [f"{PROCESSES}={processes}"] if processes else []
    return headless.resume(path, several, style, device=device, model_dirs=dirs, detach=detach)


def far_and_live(path: Path, err: Outlet) -> bool:
    """Whether a worker trains a run on another machine, or in another container. Where its last sign of life may be
    from just before its end (a node that failed, whose job was started again at once), this waits for the next one.
    """
    info = runs.worker_of(path)
    if info is None or presence.in_sight(info) or not runs.live(path):
        return False
    last_sign, announced = presence.last_sign(path), False
    deadline = time.monotonic() + presence.SILENT + presence.BEAT
    while runs.live(path):
        if presence.held(path) or presence.last_sign(path) != last_sign or time.monotonic() > deadline:
            return True
        if not announced:
            announced = True
            err.line(f"looking whether {info.host} still trains {path.name}: {span(presence.SILENT)} at most")
        time.sleep(LOOK)
    return False


def differences(path: Path, source: str, assignments: list[str], dirs: list[str]) -> str:
    """How a run that goes on differs from what is asked for now, in words; empty where it does not."""
    end = f"the run goes on as it began (tui-gen --resume {called(path)} --set KEY=VALUE changes what may change)"
    try:
        model_dirs = [*dirs, *headless.named_dirs(source), *headless.named_dirs(str(path))]
        catalog = catalogs.read(list(dict.fromkeys(model_dirs)))  # as it is cached: executes nobody's code
        new_config = catalogs.resolve(source, catalog, assignments)
        new_config.dataset.root = datasets.absolute(new_config.dataset.root)
        run_config = configs.load(configs.read_toml(path / runs.CONFIG), catalog, path.name)
    except (configs.ConfigError, NoHome) as error:
        return f"{error}\n{end}"
    if run_config.model.name != new_config.model.name:
        return f"{path.name} trains {run_config.model.name}, not {new_config.model.name}; {end}"
    ours, theirs = configs.to_tables(run_config), configs.to_tables(new_config)
    other = []
    for key, param in configs.keys(run_config.model.name, run_config.dataset.name, catalog).items():
        if "." not in key or param.run or key == PROCESSES:
            continue  # its name; a run that it needs, which is a folder and a step by now; what may change
        value, new_value = _value(ours, key), _value(theirs, key)
        if value != new_value:
            other.append(f"{key} {show(value)}, not {show(new_value)}")
    return f"{path.name} has {', '.join(other)}; {end}" if other else ""


def _value(tables: dict[str, Any], key: str) -> Any:
    try:
        return configs.get_key(tables, key)
    except KeyError:
        return None
