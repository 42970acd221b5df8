"""Starting workers: a process of its own for each run, and one kept warm so that Start is immediate.

A worker has its own session, so that closing the terminal, the SSH link or the workbench never touches it. Its output
goes to the run's `worker.log`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tui_gen import checkpoints, children, control, presence, request_file, runs, world
from tui_gen.batch import TERMINATE
from tui_gen.files import open_log
from tui_gen.params import Problem
from tui_gen.places import called
from tui_gen.presence import Hold
from tui_gen.quantities import span
from tui_gen.verdicts.network import Network

TUNING = {
    "KMP_BLOCKTIME": "0",
    # glibc keeps the memory of big tensors for the next step, instead of giving it back and faulting it in again:
    # a tenth of a U-Net's step. 32 MiB is the highest threshold that it takes.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    # It asks for that memory in pages of 2 MB, where the system gives those on request (`madvise`): a step goes through
    # tens of megabytes of weights and moments, and a processor finds few hundreds of small pages without looking up.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""What makes training fast and must be in the environment before the process starts; one's own settings win."""
STOPPING = (signal.SIGINT, *TERMINATE)
"""What stops a worker's run with a checkpoint."""
SPIN, SPIN_IN_COMPANY = 6000, 100
"""How often OpenMP threads look whether the others are ready before they sleep.

On a quiet machine a tenth of a millisecond or so of waiting saves small steps a third of their time, which goes into
waking up. Where another process wants a core, a thread that waits awake loses that core to it when its turn comes. A
worker's threads are told while it trains when to sleep (`train.tuned.company`); who does not look for others begins as
busy as the machine is then.
"""


def environment(model_dirs: list[str] | None = None) -> dict[str, str]:
    """The environment of a worker: this one, tuned for training."""
    env = {**TUNING, "GOMP_SPINCOUNT": str(SPIN), **os.environ, "PYTHONUNBUFFERED": "1"}
    if model_dirs:  # absolute: a worker's current folder is /
        env["TUI_GEN_MODELS"] = os.pathsep.join(os.path.abspath(os.path.expanduser(folder)) for folder in model_dirs)
    return env


def environment_beside(model_dirs: list[str] | None = None, *, company: bool | None = None) -> dict[str, str]:
    """The environment of a process that computes something else, beside a training perhaps.

    `company`: whether others will want its cores; None: whether they do now.
    """
    env = environment(model_dirs)
    if "GOMP_SPINCOUNT" not in os.environ and (in_company() if company is None else company):
        env["GOMP_SPINCOUNT"] = str(SPIN_IN_COMPANY)
    return env


def in_company(looks: int = 8, loadavg: Path = Path("/proc/loadavg")) -> bool:
    """Whether other processes compute all the time: at each of a few looks within some milliseconds one is running.

    False where the system does not tell (macOS).
    """
    for look in range(looks):
        try:
            running = int(loadavg.read_text().split()[3].partition("/")[0])
        except (OSError, ValueError, IndexError):
            return False
        if running <= max(1, _own_running()):
            return False
        if look + 1 < looks:
            time.sleep(0.002)
    return True


def _own_running() -> int:
    """How many threads of this process run or wait for a core: a workbench that is starting has several."""
    count = 0
    with contextlib.suppress(OSError):
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):
                count += (task / "stat").read_text().rpartition(") ")[2].startswith("R")
    return count


def start(
    run: Path, *, resume: bool = False, model_dirs: list[str] | None = None, hold: Hold | None = None
) -> subprocess.Popen[bytes]:
    """Start a fresh worker for a run directory. Raises RunError where one is already training it, or none can start.

    The worker inherits the run's lock: `hold` where the caller has it already, which is over in any case.
    """
    run = run.resolve()
    hold = hold or runs.claim(run)
    try:
        check_logs(run)
    except runs.RunError:
        hold.release()
        raise
    handles = [hold.handle] if hold.certain else []
    words = [run, *(["--resume"] if resume else []), *(["--lock", *handles] if handles else [])]
    what = f"write {run / 'worker.log'}"
    try:
        with open(run / "worker.log", "ab", opener=lambda path, _: open_log(path)) as log:
            what = "start a worker"
            process = _start(
                *words,
                env=environment(model_dirs),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=handles,
            )
    except OSError as error:
        hold.release()
        raise runs.RunError(f"cannot {what}: {error.strerror or error}") from error
    hold.hand_over()
    return process


def _start(*words: object, **settings: Any) -> subprocess.Popen[bytes]:
    """Start a worker's process. Signals that stop it are held back until it can obey them."""
    handles = [*settings.pop("pass_fds", []), *world.passed_on()]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        return children.start("tui_gen.train.run", *words, start_new_session=True, pass_fds=handles, **settings)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def check_logs(run: Path) -> None:
    """Raise RunError where a run has a log that is none (see `open_log`): its worker could not say so anywhere."""
    for name in (runs.LOG, "worker.log"):
        try:
            if os.path.lexists(run / name):
                os.close(open_log(run / name))
        except OSError as error:
            raise runs.RunError(f"cannot write {run / name}: {error.strerror or error}") from None


def refuse_if_live(run: Path) -> None:
    """Raise RunError where somebody trains this run, or is about to."""
    if runs.live(run):
        raise runs.RunError(runs.in_use(run))


class WarmWorker:
    """A worker that has PyTorch and the models imported and waits to be given a run.

    It ends by itself when this process does. After `start` it belongs to its run; make a new one for the next. A
    `polite` one lets others go first until it has a run.
    """

    def __init__(self, *, polite: bool = True, model_dirs: list[str] | None = None) -> None:
        self.model_dirs = list(model_dirs or [])
        self.polite = polite
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self.socket = ""

    def spawn(self) -> None:
        """Start the process; returns at once (`ready` tells when it has warmed up)."""
        self.socket = control.socket_path(f"warm-{time.monotonic_ns()}")
        ours, theirs = socket.socketpair()
        try:
            self._process = _start(
                "--warm", self.socket, *(["--polite"] if self.polite else []),
                env=environment(self.model_dirs),
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._link = ours

    @property
    def alive(self) -> bool:
        """Whether the process runs and has not been given away."""
        return self._process is not None and self._process.poll() is None

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The process, until it was given away or closed: who means to wait for it takes it before `start`."""
        return self._process

    @property
    def ready(self) -> bool:
        """Whether it has warmed up: it answers, and a run that it is given trains at once."""
        return self.alive and os.path.exists(self.socket)

    def start(self, run: Path, *, resume: bool = False) -> bool:
        """Hand it a run, and the run's lock, whether it has warmed up or not: it takes the run over at once.

        Waits for nothing: from here on this process is not needed any more. False (and nothing done) where there is
        no such worker: use `launch.start` then. Raises RunError where somebody else trains the run.
        """
        run = run.resolve()
        check_logs(run)
        hold = runs.claim(run)
        link = self._link
        if not self.alive or link is None:
            hold.release()
            return False
        line = msgspec.json.encode({"run": str(run), "resume": resume}) + b"\n"
        try:
            socket.send_fds(link, [line], [hold.handle] if hold.certain else [])
        except OSError:
            hold.release()
            return False
        hold.hand_over()
        self._process = self._link = None
        link.close()
        return True

    def check(self, tables: dict[str, Any], timeout: float = 10.0, weights: Path | None = None) -> list[Problem]:
        """What the model itself has against a config on its data (sizes it cannot train on…), if anything; and why it
        cannot go on with the `weights` of a checkpoint, a file.
        """
        reply = control.ask(self.socket, "check", tables=tables, timeout=timeout, weights=str(weights or ""))
        return [Problem(**problem) for problem in reply.data.get("problems", [])]

    def network(self, tables: dict[str, Any], timeout: float = 120.0) -> Network:
        """The layers of what a config trains, and the memory that it takes. Raises ControlError where it has none."""
        reply = control.ask(self.socket, "network", tables=tables, timeout=timeout)
        try:
            return msgspec.convert(reply.data.get("network"), Network)
        except msgspec.ValidationError as error:
            raise control.ControlError(f"the worker's answer makes no sense: {error}") from None

    def build_catalog(self, timeout: float = 60.0) -> None:
        """Have it write the catalogue to the cache, for models that changed."""
        control.ask(self.socket, "catalog", timeout=timeout)

    def close(self) -> None:
        """End it, if it was not given away."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError):
                process.send_signal(signal.SIGTERM)
            if self._link is not None:
                self._link.close()
                self._link = None
            with contextlib.suppress(OSError):
                os.unlink(self.socket)


def begin(
    run: Path, warm: WarmWorker | None, *, resume: bool = False, model_dirs: list[str] | None = None
) -> subprocess.Popen[bytes]:
    """Have a run trained by a warm worker, if there is one that takes it, else by a new one; its process.

    One that is still warming up is sooner than a new one. Raises RunError where somebody else trains the run.
    """
    process = warm.process if warm is not None else None
    if warm is not None and process is not None and warm.start(run, resume=resume):
        return process
    return start(run, resume=resume, model_dirs=model_dirs)


CHECKPOINT = 600.0
"""Seconds that a run may take to make a checkpoint that somebody waits for: its step first, then large files."""
SILENT = 3.0
"""Seconds after which somebody who waits for a run to stop is told why it may not answer."""


class ComingError(control.ControlError):
    """A run whose worker is only just being started: it cannot be asked anything yet."""


def ask_run(run: Path, op: str, *, timeout: float = 10.0, blob: bytes = b"", **fields: Any) -> control.Reply:
    """A request to the worker of a run: on its socket, or by file where that is out of reach (see `request_file`).

    Raises ControlError where none is alive, it does not answer, or cannot be asked that from here.
    """
    info = runs.worker_of(run)
    if not runs.live(run):
        raise control.ControlError(f"{run.name} has no live worker; tui-gen --resume {called(run)} goes on with it")
    if info is None or not presence.about(info, run):
        raise ComingError(f"{run.name} is only just being started; ask again in a moment")
    if _is_out_of_reach(info):
        return request_file.ask(run, info, op, timeout=timeout, **fields)
    try:
        control.check_socket(info.socket)
        return control.ask(info.socket, op, timeout=timeout, blob=blob, worker=info.id, **fields)
    except control.SilentError as error:
        raise control.SilentError(f"{error}: {why_silent(run)}") from None
    except control.ControlError as error:
        if os.path.exists(info.socket) or runs.alive(info):
            raise
        if op in request_file.OPS and info.id:
            return request_file.ask(run, info, op, timeout=timeout, **fields)
        where = f"process {info.pid} of {info.host}, as that is called where it runs: in another container, perhaps"
        raise control.ControlError(f"{error}; {run.name} is trained by {where}") from None


def out_of_reach(run: Path) -> str:
    """What can be done about a live run whose worker's socket is out of reach, in words; empty where it is not."""
    info = runs.worker_of(run)
    return request_file.words(info) if info is not None and _is_out_of_reach(info) and runs.live(run) else ""


def _is_out_of_reach(info: presence.WorkerInfo) -> bool:
    """Whether a worker's socket is on another machine, or in a container that does not share it."""
    return not presence.here(info) or not (presence.in_sight(info) or os.path.exists(info.socket))


def first_checkpoint(run: Path) -> None:
    """Have a live run that has no checkpoint yet make one; any other is left alone. Raises ControlError where its
    worker does not.
    """
    if not checkpoints.found(run) and runs.live(run):
        ask_run(run, "checkpoint", timeout=CHECKPOINT)


def stop(
    run: Path, tell: Callable[[str], None], *, checkpoint: bool = True, timeout: float = 600.0, why: str = ""
) -> None:
    """Ask a run to stop and wait until it does, or has refused. A worker that is only coming up is waited for.

    `why` is what its last word gives for a reason, instead of that it was asked to.

    `tell` is called once, from another thread, with what is the matter and what to do, where there is no answer
    after SILENT seconds. Raises ControlError.
    """
    deadline = time.monotonic() + timeout
    teller = threading.Timer(SILENT, lambda: tell(why_silent(run)))
    teller.daemon = True
    with contextlib.suppress(RuntimeError):  # no more threads are allowed here: it is asked all the same
        teller.start()
    try:
        while True:
            remaining = deadline - time.monotonic()
            try:
                ask_run(run, "stop", timeout=max(0.1, remaining), checkpoint=checkpoint, why=why)
                return
            except ComingError:
                if remaining <= 0:
                    raise
            time.sleep(0.05)
    finally:
        teller.cancel()


def why_silent(run: Path) -> str:
    """Why a run's worker does not answer, as far as the system tells, and what to do."""
    info = runs.worker_of(run)
    if info is None or not presence.about(info, run):
        return "its worker is only just coming up"
    again = f"tui-gen --resume {called(run)}"
    end = f"kill -9 {info.pid} ends it at once, and {again} then goes on from its last checkpoint"
    if not presence.alive(info):
        words = f"it trains on {info.host}, not reachable from here: it was asked by request file, for which it looks"
        return f"{words} every {span(request_file.LOOK)}; no sign of life {presence.since(run)}"
    match presence.process_state(info.pid):
        case "T" | "t":
            return f"its process {info.pid} is held by a signal; kill -CONT {info.pid} lets it go on. {end}"
        case "D":
            return f"its process {info.pid} waits for a disk, or a server of files, that does not answer. {end}"
    return f"its process {info.pid} is busy with something that takes long, a step perhaps, and stops after it. {end}"
