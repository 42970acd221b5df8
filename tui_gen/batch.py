"""Batch systems: whether this process is part of a job, and whether the job's script lets it end in peace.

A job that is cancelled, preempted or out of time gets SIGTERM, and SIGKILL some seconds later. But a shell that runs
the script dies of the first at once, and with it the job: the rest is killed before a training step ends.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

TERMINATE = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""What asks for an end with a checkpoint: batch systems announce with the last three that time is up, or nearly."""
TERMINATED = 143
"""The exit status of a command that trains where one of these ended it and there is more to train, whichever it was."""


def status_of(number: int) -> int:
    """The exit status of a command that a signal ended: 130 for Ctrl-C, TERMINATED for any other."""
    return 130 if number == signal.SIGINT else TERMINATED


SYSTEMS = {
    "SLURM_JOB_ID": "Slurm", "PBS_JOBID": "PBS", "LSB_JOBID": "LSF", "OAR_JOB_ID": "OAR", "FLUX_JOB_ID": "Flux",
    "_CONDOR_JOB_AD": "HTCondor", "SGE_TASK_ID": "Grid Engine", "PJM_JOBID": "PJM",
}  # fmt: skip
"""Variables that a job of each system has."""
NUMBERS = {"SGE_TASK_ID": "JOB_ID", "_CONDOR_JOB_AD": ""}
"""Where that variable is not the job's number, the one that is; HTCondor has none."""
SHELLS = {"sh", "bash", "dash", "ash", "busybox", "zsh", "ksh", "ksh93", "mksh", "yash", "csh", "tcsh", "fish"}
ANSWER = 10.0
"""Seconds that Slurm has to tell of a job."""
DEEPEST = 20
"""How many ancestors are looked at."""


def job(env: Mapping[str, str] = os.environ) -> str:
    """The variable, a key of SYSTEMS, that says that this process is part of a job; or an empty text."""
    return next((variable for variable in SYSTEMS if env.get(variable)), "")


class Job(NamedTuple):
    """A job of a batch system: `id` is its number, which no other of the `cluster` has, the same each time it starts;
    `name` what people call it, `120_4` for a task of an array; `restarts` how often it was started again, as far as the
    system tells (Slurm does).
    """

    system: str
    id: str
    name: str
    cluster: str = ""
    restarts: int = 0

    @property
    def words(self) -> str:
        """In words: `Slurm job 123, restart 2`."""
        from tui_gen.text import clean  # late: `tui-gen --version` imports this

        again = f", restart {self.restarts}" if self.restarts else ""
        return clean(f"{self.system} job{f' {self.name}' if self.name else ''}{again}")


def this_job(env: Mapping[str, str] = os.environ) -> Job | None:
    """The job that this process is part of."""
    variable = job(env)
    if not variable:
        return None
    id = env.get(NUMBERS.get(variable, variable), "")[:200]
    if variable != "SLURM_JOB_ID":
        return Job(SYSTEMS[variable], id, id)
    names = ("ARRAY_JOB_ID", "ARRAY_TASK_ID", "RESTART_COUNT")
    array, task, restarts = (env.get(f"SLURM_{name}", "") for name in names)
    name = f"{array}_{task}" if array and task else id
    cluster = env.get("SLURM_CLUSTER_NAME", "")[:200]
    return Job("Slurm", id, name[:200], cluster, _restarts(id, restarts))


def _restarts(id: str, digits: str) -> int:
    """How often Slurm started a job again. A job that another one submits inherits that one's count in its environment,
    and keeps it while it has none of its own: where there is one, Slurm is asked.
    """
    count = int(digits) if digits.isdecimal() and len(digits) < 10 else 0
    if not count or not id.isdecimal():
        return 0
    known = _restarts_by_slurm(id)
    return count if known is None else known


@functools.cache
def _restarts_by_slurm(id: str) -> int | None:
    """What Slurm itself says of a job; None where it cannot be asked (no `scontrol` in a container, say)."""
    import re
    import subprocess

    try:
        done = subprocess.run(
            ["scontrol", "show", "job", "-o", id], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, errors="replace", timeout=ANSWER, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    # The last task of an array has the array's own number, of which all tasks are told.
    match = re.search(rf"^JobId={id} .*? Restarts=(\d{{1,9}}) ", done.stdout, re.M)
    return int(match[1]) if match else None


def fragile_shell(variable: str, proc: Path = Path("/proc")) -> str:
    """The name of a shell above this process in its job that would die of SIGTERM, or an empty text.

    One that has a trap for it, or ignores it, does not; a shell that was replaced (`exec`) is not there any more.
    Empty where the system does not tell (macOS).
    """
    pid, mark = os.getppid(), f"{variable}=".encode()
    for _ in range(DEEPEST):
        place = proc / str(pid)
        try:
            if not any(variable.startswith(mark) for variable in (place / "environ").read_bytes().split(b"\0")):
                return ""  # not in the job: the system's own process that started it, say
            name = os.path.basename(os.readlink(place / "exe")).removesuffix(" (deleted)")
            status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines() if ":" in line)
            if name in SHELLS and not _prepared(status):
                return name
            pid = int(status["PPid"])
        except (OSError, ValueError, KeyError):  # another user's
            return ""
    return ""


def _prepared(status: Mapping[str, str]) -> bool:
    bit = 1 << (signal.SIGTERM - 1)
    return any(int(status[mask], 16) & bit for mask in ("SigCgt", "SigIgn"))


def warning(detach: bool = False) -> str:
    """What to tell at the start of a run about the job that it is part of; empty where there is nothing to tell."""
    variable = job()
    if not variable:
        return ""
    name = SYSTEMS[variable]
    way = "exec tui-gen …" + (" (or srun tui-gen …)" if name == "Slurm" else "")
    if detach:
        words = "it ends with its script, and takes what runs in the background along"
        return f"this is a job of {name}: {words}; leave out --detach, and write {way} in the script"
    shell = "" if _on_terminal() else fragile_shell(variable)
    if not shell:
        return ""
    words = f"{shell} runs its script, and dies at once when the job is cancelled or its time is up"
    return f"this is a job of {name}: {words}, before a checkpoint can be made; write {way} in the script"


def _on_terminal() -> bool:
    """Whether somebody sits there: an interactive job ends when they leave it."""
    try:
        return sys.stdin.isatty()
    except (ValueError, AttributeError):
        return False
