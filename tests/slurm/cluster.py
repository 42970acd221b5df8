"""A cluster of one node in a temporary folder: munge, slurmctld and slurmd of our own, ended with the folder.

Needs the distribution's packages (Debian: slurm-wlm and munge) and root, as slurmd starts jobs for their users.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.waiting import wait_for

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "squeue")
SBIN = "/usr/sbin:/sbin"
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld}
SlurmdPort={slurmd}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={base}/munge.socket
CredType=cred/munge
StateSaveLocation={base}/state
SlurmdSpoolDir={base}/spool
SlurmctldPidFile={base}/slurmctld.pid
SlurmdPidFile={base}/slurmd.pid
SlurmctldLogFile={base}/slurmctld.log
SlurmdLogFile={base}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,requeue_setup_env_fail
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
KillWait=30
MinJobAge=600
SlurmctldDebug=info
SlurmdDebug=info
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=500 State=UNKNOWN
PartitionName=work Nodes={host} Default=YES MaxTime=UNLIMITED State=UP PriorityTier=1 PreemptMode=REQUEUE \
GraceTime=60 OverSubscribe=FORCE:4
PartitionName=urgent Nodes={host} MaxTime=UNLIMITED State=UP PriorityTier=10 PreemptMode=OFF
"""


class Missing(Exception):
    """There can be no cluster here; the text says why."""


class Cluster:
    """The cluster, from `with` to its end. Raises Missing where it cannot be had."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self._processes: list[subprocess.Popen[bytes]] = []
        self.env = {**os.environ, "SLURM_CONF": str(base / "slurm.conf")}
        self.env["PATH"] += f":{SBIN}"

    def __enter__(self) -> Cluster:
        lacking = [name for name in PROGRAMS if not shutil.which(name, path=self.env["PATH"])]
        if lacking:
            raise Missing(f"{', '.join(lacking)} not found: apt-get install slurm-wlm munge")
        if os.geteuid() != 0:
            raise Missing("slurmd needs root to start jobs")
        try:
            self._begin()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self) -> None:
        base = self.base
        host = socket.gethostname().partition(".")[0]
        ctld, slurmd = _free_ports(2)
        for name in ("state", "spool"):
            (base / name).mkdir()
        words = CONFIG.format(host=host, base=base, ctld=ctld, slurmd=slurmd, cpus=os.cpu_count())
        (base / "slurm.conf").write_text(words)
        key = base / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        files = [f"--{name}={base}/munge.{name}" for name in ("socket", "pid", "log", "seed")]
        files = [word.replace("--pid=", "--pid-file=").replace("--log=", "--log-file=") for word in files]
        files = [word.replace("--seed=", "--seed-file=") for word in files]
        self._start("munged", "--foreground", "--force", f"--key-file={key}", *files)
        wait_for((base / "munge.socket").exists, 20, "munged")
        self._start("slurmctld", "-D", "-c")
        self._start("slurmd", "-D", "-N", host)
        try:
            wait_for(lambda: " idle" in self.ask("sinfo", "-h", "-o", "%P %t"), 20)
        except AssertionError:
            words = "".join(f"\n{line}" for name in ("slurmctld", "slurmd") for line in self.log(name)[-5:])
            raise Missing(f"slurmctld and slurmd do not come up:{words}") from None

    def _start(self, *words: str) -> None:
        # A session of its own: Ctrl-C is for us, who ask them to cancel their jobs before they end.
        with open(self.base / f"{words[0]}.out", "ab") as out:
            self._processes.append(
                subprocess.Popen(
                    words, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
                )
            )

    def ask(self, *words: str, **settings: Any) -> str:
        """What a command of Slurm's says, standard error included."""
        done = subprocess.run(
            words, env={**self.env, **settings.pop("env", {})}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=60, check=False, **settings,
        )  # fmt: skip
        return done.stdout

    def log(self, name: str) -> list[str]:
        """The lines of a daemon's log."""
        with contextlib.suppress(OSError):
            return (self.base / f"{name}.log").read_text(errors="replace").splitlines()
        return []

    def submit(self, script: Path, *options: str, **settings: Any) -> str:
        """Submit a batch script: the job's number."""
        told = self.ask("sbatch", "--parsable", *options, str(script), **settings)
        if not told.strip().isdecimal():
            raise AssertionError(f"sbatch: {told}")
        return told.strip()

    def job(self, number: str) -> dict[str, str]:
        """What `scontrol show job` says of one: JobState, Restarts, ExitCode, Reason, …"""
        pairs = (word.partition("=") for word in self.ask("scontrol", "show", "job", number).split())
        return {name: value for name, _, value in pairs}

    def close(self) -> None:
        """Cancel all jobs and end the daemons."""
        if len(self._processes) > 1:
            with contextlib.suppress(Exception):
                self.ask("scancel", "--user=root", "--signal=KILL")
                self.ask("scancel", "--user=root")
                wait_for(lambda: not self.ask("squeue", "-h").strip(), 5)
        for process in reversed(self._processes):
            process.terminate()
        deadline = time.monotonic() + 10
        for process in reversed(self._processes):
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [listening.getsockname()[1] for listening in sockets]
    finally:
        for listening in sockets:
            listening.close()
