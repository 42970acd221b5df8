"""Runs in jobs of a real Slurm, on a cluster of one node that this makes and ends: `make test-slurm`.

What `tui-gen slurm` writes is submitted, and stopped in every way that Slurm knows. Takes some minutes and prints a
table; the status is 1 where something did not hold, and 0, with the reason, where there can be no Slurm.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.slurm.cluster import Cluster, Missing
from tests.waiting import wait_for
from tui_gen import checkpoints, events, hosts, runs
from tui_gen.log import event_log

ENDED = ("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "PREEMPTED", "NODE_FAIL")
SMALL = ("train.steps=2000000", "train.threads=1", "train.device=cpu", "preview.every_seconds=0",
         "checkpoint.every_minutes=0")  # fmt: skip
PROGRAM = str(Path(sys.executable).with_name("tui-gen"))


class World:
    """A folder of runs for one scenario, and what is asked of it."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.root = folder / "runs"
        folder.mkdir()
        self.env = {
            "TUI_GEN_RUNS": str(self.root), "XDG_CONFIG_HOME": str(folder / "config"), "COLUMNS": "200",
            "PATH": self.cluster.env["PATH"],
        }  # fmt: skip

    def script(self, *words: str, config: str = "vae-digits", small: tuple[str, ...] = SMALL) -> Path:
        """A script that `tui-gen slurm` writes; bash finds nothing wrong with it."""
        path = self.folder / f"job{len(list(self.folder.glob('job*.sh')))}.sh"
        sets = [word for assignment in small for word in ("--set", assignment)]
        command = [PROGRAM, "slurm", config, "-o", str(path), "--cpus", "1", *sets, *words]
        env = {**os.environ, **self.env}
        subprocess.run(command, check=True, env=env, cwd=self.folder, capture_output=True)
        subprocess.run(["bash", "-n", str(path)], check=True)
        return path

    def write(self, *lines: str) -> Path:
        """A script written by hand."""
        path = self.folder / f"job{len(list(self.folder.glob('job*.sh')))}.sh"
        path.write_text("\n".join(["#!/bin/bash", "#SBATCH --requeue --open-mode=append", *lines, ""]))
        return path

    def submit(self, path: Path, *options: str) -> str:
        """Submit a script: the job's number."""
        return self.cluster.submit(path, *options, cwd=self.folder, env=self.env)

    def runs(self) -> list[Path]:
        """All runs, the oldest first."""
        return [Path(path) for _, path in reversed(runs.folders(self.root))]

    def training(self, number: int = 1) -> list[Path]:
        """So many runs, once each of them trains."""

        def there() -> list[Path]:
            rows = [path for path in self.runs() if runs.state_of(path)[0] == "running" and runs.state_of(path)[1] > 0]
            return rows if len(rows) == number else []

        return wait_for(there, 60, lambda: f"{number} runs that train; {self.told()}")

    def told(self) -> str:
        """What jobs said, and what became of runs."""
        logs = [f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in self.folder.glob("*.log")]
        states = [f"{path.name}: {runs.state_of(path)}" for path in self.runs()]
        daemons = [line for name in ("slurmctld", "slurmd") for line in self.cluster.log(name)[-15:]]
        return "\n".join([self.cluster.ask("squeue"), *logs, *states, *daemons])

    def state(self, job: str, *wanted: str, timeout: float = 60) -> dict[str, str]:
        """What is known of a job, once it is in one of these states."""
        return wait_for(
            lambda: facts if (facts := self.cluster.job(job)).get("JobState") in wanted else {}, timeout,
            lambda: f"job {job} to be {' or '.join(wanted)}: {self.cluster.job(job)} {self.told()}",
        )  # fmt: skip

    def begin_again(self, job: str) -> None:
        """Have a job that waits in the queue again begin at once: Slurm would have it wait for two minutes."""
        facts = self.state(job, "PENDING")
        assert facts["Restarts"] == "1", facts
        for _ in range(60):
            # In the second in which it was killed, slurmd takes it for the one that was, and it has failed: "already
            # killed, do not launch batch job".
            time.sleep(1)
            self.cluster.ask("scontrol", "update", f"JobId={job}", "StartTime=now")
            if self.cluster.job(job)["JobState"] == "RUNNING":
                return
        raise AssertionError(f"job {job} does not begin again: {self.cluster.job(job)} {self.told()}")

    def stopped(self, run: Path, name: str) -> int:
        """The step at which a run was stopped by a signal, with a checkpoint of it."""
        state, step, reason = wait_for(
            lambda: found if (found := runs.state_of(run))[0] in runs.ENDED else (), 40, lambda: self.told()
        )
        # Slurm tells every task of a step: any of them may be the first.
        assert state == "stopped" and reason.partition(",")[0] == f"by {name}", (state, reason, self.told())
        assert step > 0 and checkpoints.steps(run)[-1] == step, (step, checkpoints.steps(run))
        return step

    def goes_on(self, run: Path, job: str, step: int) -> None:
        """The one run goes on in its job, started again, from its checkpoint."""
        self.begin_again(job)
        (same,) = self.training()
        assert same == run, (same, run)
        log = list(event_log.read(run / "events.jsonl", events.Host, events.Resume))
        sessions = [event for event in log if isinstance(event, events.Host)]
        assert [(event.id, event.restarts) for event in sessions] == [(job, 0), (job, 1)], sessions
        assert [event.step for event in log if isinstance(event, events.Resume)] == [step]
        assert hosts.words(sessions[1]).startswith(f"Slurm job {job}, restart 1, on ")

    def cancel(self, job: str, run: Path) -> None:
        """scancel stops a run with a checkpoint, and nothing begins again."""
        self.cluster.ask("scancel", job)
        self.stopped(run, "SIGTERM")
        assert self.state(job, *ENDED)["JobState"] == "CANCELLED"


def time_limit(world: World) -> str:
    """The time limit: USR1, a checkpoint, back into the queue, the same run; then scancel."""
    # Slurm may tell a minute sooner: that is after a minute at the least, for a machine that is busy.
    job = world.submit(world.script("--time", "4:00"), "--time=3", "--signal=B:USR1@60")
    (run,) = world.training()
    step = world.stopped(run, "SIGUSR1")
    world.cluster.ask("scontrol", "update", f"JobId={job}", "TimeLimit=60")
    world.goes_on(run, job, step)
    world.cancel(job, run)
    return f"stopped at step {step}, went on, cancelled"


def requeued(world: World) -> str:
    """scontrol requeue: TERM, a checkpoint, the same run."""
    job = world.submit(world.script())
    (run,) = world.training()
    begun = time.monotonic()
    world.cluster.ask("scontrol", "requeue", job)
    step = world.stopped(run, "SIGTERM")
    seconds = time.monotonic() - begun
    world.goes_on(run, job, step)
    world.cancel(job, run)
    return f"stopped at step {step} within {seconds:.1f} s, went on"


def preempted(world: World) -> str:
    """A job of a partition that goes first: TERM, a checkpoint, the same run once that is over."""
    job = world.submit(world.script())
    (run,) = world.training()
    other = world.submit(world.write("sleep 3"), "--partition=urgent", "--exclusive")
    step = world.stopped(run, "SIGTERM")
    world.state(other, *ENDED)
    world.goes_on(run, job, step)
    world.cancel(job, run)
    return f"stopped at step {step}, went on"


def named(world: World) -> str:
    """With --name the next job goes on with what a cancelled one began."""
    script = world.script("--name", "mine")
    job = world.submit(script)
    (run,) = world.training()
    world.cancel(job, run)
    again = world.submit(script)
    (same,) = world.training()
    assert run.name == "mine" and same == run and again != job
    world.cancel(again, run)
    return "two jobs, one run"


def by_srun(world: World) -> str:
    """`srun tui-gen` in a script: USR1 to the step alone (as of `--signal` without B:), then scancel."""
    sets = " ".join(f"--set {assignment}" for assignment in SMALL)
    line = f"srun --cpus-per-task=1 {PROGRAM} --run vae-digits {sets} --plain"
    job = world.submit(world.write(line, "echo status $?"))
    (run,) = world.training()
    world.cluster.ask("scancel", "--signal=USR1", job)
    world.stopped(run, "SIGUSR1")
    facts = world.state(job, *ENDED)
    out = (world.folder / f"slurm-{job}.out").read_text()
    assert facts["JobState"] == "COMPLETED" and "status 143" in out and "warning: this is a job" not in out, out
    job = world.submit(world.write(f"exec {line}"))
    (run,) = world.training()
    world.cancel(job, run)
    return "status 143 of a signal, stopped by scancel"


def two_tasks(world: World) -> str:
    """Two processes, each a task of srun: one run, stopped by USR1 to both, put back, gone on with by both."""
    job = world.submit(world.script("--processes", "2"))
    (run,) = world.training()
    assert "processes = 2" in (run / "config.toml").read_text()
    world.cluster.ask("scancel", "--batch", "--signal=USR1", job)
    step = world.stopped(run, "SIGUSR1")
    world.goes_on(run, job, step)
    world.cancel(job, run)
    return f"stopped at step {step}, went on, cancelled"


def array(world: World) -> str:
    """Two seeds: two runs; a task that is put back goes on with its own, while the other goes on training."""
    array = world.submit(world.script("--seeds", "3,4"))
    makers = {host.job: (run, host.id) for run in world.training(2) if (host := hosts.maker(run)) is not None}
    assert sorted(makers) == [f"{array}_3", f"{array}_4"], makers
    (first, _), (second, job) = makers[f"{array}_3"], makers[f"{array}_4"]
    assert "seed = 4" in (second / "config.toml").read_text(), "each trains with its own seed"
    # The last task has the number of the array: only the name with its own is that of the task.
    world.cluster.ask("scancel", "--batch", "--signal=USR1", f"{array}_4")
    step = world.stopped(second, "SIGUSR1")
    assert runs.state_of(first)[0] == "running", "the other task was put back, too"
    world.begin_again(f"{array}_4")
    world.training(2)
    log = list(event_log.read(second / "events.jsonl", events.Host, events.Resume))
    sessions = [event for event in log if isinstance(event, events.Host)]
    assert [(event.id, event.restarts) for event in sessions] == [(job, 0), (job, 1)], sessions
    assert [event.step for event in log if isinstance(event, events.Resume)] == [step]
    world.cluster.ask("scancel", array)
    world.stopped(first, "SIGTERM")
    return "one of two put back, and went on"


def too_early(world: World) -> str:
    """USR1 before there is a run, to a job that inherited another one's count of restarts: it is put back."""
    script = world.script()
    script.write_text(script.read_text().replace("\nchild=$!\n", "\nchild=$!\nkill -s USR1 $$\n"))
    world.env["SLURM_RESTART_COUNT"] = "5"
    job = world.submit(script)
    wait_for(
        lambda: (facts := world.cluster.job(job))["Restarts"] == "1" or facts["JobState"] in ENDED, 60, world.told
    )  # fmt: skip
    assert world.cluster.job(job)["Restarts"] == "1" and not world.runs(), (world.cluster.job(job), world.told())
    script = world.script()
    job = world.submit(script)
    (run,) = world.training()
    assert next(event_log.read(run / "events.jsonl", events.Host)).restarts == 0
    world.cancel(job, run)
    return "put back; restarts are Slurm's own"


def task_dies(world: World) -> str:
    """Rank 1 dies before it can say anything, and while rank 0 loads: the run has failed, with that for its reason."""
    seconds = []
    loads = f"{world.root}/*/worker-1.log"  # made once the two have found each other, before either has a model
    later = f'(until compgen -G "{loads}" >/dev/null; do sleep 0.05; done; kill -9 $$) &'
    for place, (death, words) in enumerate(
        (("exit 9;", "rank 1 did not come to port "), (later, "rank 1 ")), start=1
    ):
        sets = " ".join(f"--set {assignment}" for assignment in SMALL)
        task = f"[ $SLURM_PROCID = 0 ] || {{ {death} }}; exec {PROGRAM} --run vae-digits {sets} --plain"
        job = world.submit(world.write(f"srun --cpus-per-task=1 bash -c '{task}'", "exit $?"), "--ntasks=2")
        world.state(job, "RUNNING", *ENDED)
        begun = time.monotonic()
        facts = world.state(job, *ENDED)
        seconds.append(time.monotonic() - begun)
        assert len(world.runs()) == place, world.told()
        state, step, reason = runs.state_of(world.runs()[-1])
        assert (state, step) == ("failed", 0) and reason.startswith(words), (state, reason, world.told())
        assert facts["JobState"] == "FAILED", facts
    return f"the job failed after {seconds[0]:.0f} s and {seconds[1]:.0f} s, saying why"


def finishes(world: World) -> str:
    """A run that has its length: status 0, and the job is completed."""
    job = world.submit(world.script("--set", "train.steps=50"))
    facts = world.state(job, *ENDED)
    (run,) = world.runs()
    assert (facts["JobState"], facts["ExitCode"]) == ("COMPLETED", "0:0") and runs.state_of(run)[0] == "finished"
    return "COMPLETED 0:0"


def detached(world: World) -> str:
    """--detach in a job is warned of. (It ends with the job where Slurm tracks processes by cgroups: not here.)"""
    sets = " ".join(f"--set {assignment}" for assignment in SMALL)
    job = world.submit(world.write(f"{PROGRAM} --run vae-digits {sets} --detach", f"{PROGRAM} stop latest"))
    world.state(job, *ENDED)
    out = (world.folder / f"slurm-{job}.out").read_text()
    assert "this is a job of Slurm: it ends with its script, and takes what runs in the background along" in out, out
    return "warned"


SCENARIOS: dict[str, Callable[[World], str]] = {
    "time-limit": time_limit, "requeue": requeued, "preemption": preempted, "named": named, "srun": by_srun,
    "two-tasks": two_tasks, "array": array, "too-early": too_early, "task-dies": task_dies, "finish": finishes,
    "detach": detached,
}  # fmt: skip


def main() -> int:
    """Each scenario in a folder of its own; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.slurm", description=__doc__)
    parser.add_argument("--only", help=f"some of {', '.join(SCENARIOS)}, with commas between them")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = given.only.split(",") if given.only else list(SCENARIOS)
    failures = 0
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as folder:
        base = Path(folder).resolve()
        try:
            with Cluster(base) as cluster:
                print(cluster.ask("srun", "--version").strip(), flush=True)
                for name in names:
                    failures += not _held(name, cluster, base)
        except Missing as why:
            print(f"skipped: {why}")
            return 0
    return int(failures > 0)


def _held(name: str, cluster: Cluster, base: Path) -> bool:
    begun, words, held = time.monotonic(), "", True
    try:
        words = SCENARIOS[name](World(cluster, base / name))
    except Exception:
        words, held = traceback.format_exc(), False
    finally:
        _clear(cluster)
    print(f"{'ok' if held else 'FAILED':<7}{name:<12}{time.monotonic() - begun:4.0f} s  {words}", flush=True)
    return held


def _clear(cluster: Cluster) -> None:
    """No job is left from one scenario to the next."""
    cluster.ask("scancel", "--user=root")
    wait_for(lambda: not cluster.ask("squeue", "-h").strip(), 60, "the queue to be empty")




if __name__ == "__main__":
    sys.exit(main())
