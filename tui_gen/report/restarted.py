"""A job that is started again goes on with the run that it made before: `tui-gen --run CONFIG` in a requeued job."""

from __future__ import annotations

import os
from pathlib import Path

from tui_gen import batch, hosts, runs
from tui_gen.report import named, stdout


def begun(root: Path, source: str, assignments: list[str], dirs: list[str]) -> Path | None:
    """The run that this job made of a config before it was started again; None where it is a new job, or made none.

    A job may make several: it is the one with these very settings, before others one that has not finished and that
    nobody trains. Raises RunError where the folder of runs cannot be read.
    """
    job = batch.this_job()
    if job is None or not job.restarts:
        return None
    _, err = stdout.standard()
    mine = [Path(path) for _, path in runs.folders(root) if hosts.made_by_this_job(path)]
    same = [path for path in mine if not named.differences(path, source, assignments, dirs)]
    if not same:
        if mine:
            names = ", ".join(path.name for path in mine[:3]) + (", …" if len(mine) > 3 else "")
            err.line(f"{job.words}: what it made before ({names}) has other settings; this is a new run")
        return None
    path = min(same, key=lambda path: (runs.live(path), runs.state_of(path)[0] == "finished"))
    err.line(f"{job.words}: it goes on with {os.path.basename(path)}, which it made before")
    return path
