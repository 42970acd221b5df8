"""Batch systems: whether this process is part of a job, and whether the job's script lets it end in peace.

A job that is cancelled, preempted or out of time gets SIGTERM, and SIGKILL some seconds later. But a shell that runs
the script dies of the first at once, and with it the job: the rest is killed before a training step ends.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

TERMINATE = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""What asks for an end with a checkpoint: batch systems announce with the last three that time is up, or nearly."""
SYSTEMS = {
    "SLURM_JOB_ID": "Slurm", "PBS_JOBID": "PBS", "LSB_JOBID": "LSF", "OAR_JOB_ID": "OAR", "FLUX_JOB_ID": "Flux",
    "_CONDOR_JOB_AD": "HTCondor", "SGE_TASK_ID": "Grid Engine", "PJM_JOBID": "PJM",
}  # fmt: skip
"""Variables that a job of each system has."""
SHELLS = {"sh", "bash", "dash", "ash", "busybox", "zsh", "ksh", "ksh93", "mksh", "yash", "csh", "tcsh", "fish"}
DEEPEST = 20
"""How many ancestors are looked at."""


def job(env: Mapping[str, str] = os.environ) -> str:
    """The variable, a key of SYSTEMS, that says that this process is part of a job; or an empty text."""
    return next((variable for variable in SYSTEMS if env.get(variable)), "")


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
