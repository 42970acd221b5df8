"""A worker that waits to be given a run: `python -m tui_gen.train.run --warm SOCKET`.

It imports PyTorch and builds the models, and answers on its socket when it has. Its run it is given on standard input,
one line of JSON and the run's lock, at any time: a thread listens for that, takes the run over and says that it is
starting, while the main thread is still loading. Whoever gave it may be gone the moment after.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import msgspec

from tui_gen import config as configs
from tui_gen import control, dependencies, presence, trust, world
from tui_gen.params import Problem
from tui_gen.train.run import output, stopping
from tui_gen.train.run.peers import too_many
from tui_gen.train.run.worker import Worker


class Handover(msgspec.Struct):
    """The line that hands a run over."""

    run: str
    resume: bool = False


class Warm:
    """The process: `main` ends with the run that it was given, or, where it is given none, with its owner."""

    def __init__(self, socket_path: str, polite: bool = False) -> None:
        self.path, self.polite = socket_path, polite
        self.worker: Worker | None = None
        self._begun = False
        self._server: control.Server | None = None
        self._lock = threading.Lock()
        self._settled = threading.Event()
        self._watch = stopping.SignalWatch(give_up=self._give_up)

    def main(self) -> int:
        """Warm up, answer, train the run that is given; the exit status."""
        if self.polite:
            weigh(less=True)
        threading.Thread(target=self._listen, name="owner", daemon=True).start()
        try:
            catalogue, classes = _warm_up()
        except Exception as error:  # a run that is given tells what is wrong, in its own words
            traceback.print_exc()
            return self._train() if self._is_given() else _cold(error)
        with self._lock:
            has_run = self.worker is not None
            if not has_run:
                self._server = control.Server(self.path)
        if not has_run:
            self._answer(catalogue, classes)
        return self._train()

    def _answer(self, catalogue: Any, classes: Any) -> None:
        """Answer whoever asks until a run is given."""
        assert self._server is not None
        while (request := self._server.inbox.get()) is not None:
            try:
                match request.op:
                    case "check":
                        weights = str(request.data.get("weights", ""))
                        request.answer(problems=check(request.data["tables"], catalogue, classes, weights))
                    case "network":
                        request.answer(network=network(request.data["tables"], catalogue, classes))
                    case "catalog":
                        from tui_gen.train import discover

                        request.answer(path=str(discover.refresh(trust.given())))
                    case "status":
                        request.answer(state="warm")
                    case _:
                        request.refuse(f"a warm worker does not know {request.op!r}")
            except Exception as error:  # one bad request must not end the worker
                request.refuse(f"{type(error).__name__}: {error}")
        self._server.close()

    def _train(self) -> int:
        self._settled.wait()
        assert self.worker is not None
        return self.worker.go_on() if self._begun else 1

    def _is_given(self) -> bool:
        with self._lock:
            return self.worker is not None

    def _listen(self) -> None:
        line, handle = _received()
        try:
            request = msgspec.json.decode(line, type=Handover)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._give_up()
            return
        path = Path(request.run)
        hold = presence.Hold.adopt(path, handle) if handle is not None else None
        if self.polite:
            weigh(less=False)
        worker = Worker(path, request.resume, hold=hold)
        with self._lock:
            self.worker = self._watch.worker = worker
        output.redirect(path)
        try:
            self._begun = worker.begin(loading=self._server is None)
        finally:  # whatever went wrong: the main thread waits for this, and the process holds the run
            self._settled.set()
            if self._server is not None:
                self._server.inbox.put(None)  # type: ignore[arg-type]

    def _give_up(self) -> None:
        """End: the owner is gone, or wants no warm worker any more."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        os._exit(0)


LESS = 10
"""The nice value of a session that waits for a run."""


def weigh(*, less: bool) -> None:
    """Let the workbench and everything else go first while nobody waits for this process, and count as any other again.

    Not by a nice value of the process, which nobody but root may lower again. Linux schedules each session as a group
    (autogroup) whose nice value may be; within one, a thread of the batch class takes the core from none that runs.
    """
    if hasattr(os, "SCHED_BATCH"):
        policy = os.SCHED_BATCH if less else os.SCHED_OTHER
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(OSError):
                os.sched_setscheduler(int(thread), policy, os.sched_param(0))
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        try:
            with open("/proc/self/autogroup", "w") as group:
                group.write(str(LESS if less else 0))
        except BlockingIOError:  # it may be changed ten times a second
            time.sleep(0.02)
        except OSError:  # a kernel without autogroups, or no Linux
            return
        else:
            return


def _received() -> tuple[bytes, int | None]:
    """The line that came on standard input, and the open file that came with it; nothing where the owner is gone."""
    line, handle = b"", None
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(0)) as owner:
        while not line.endswith(b"\n"):
            data, handles, _, _ = socket.recv_fds(owner, 1 << 16, 1)
            handle = handles[0] if handles else handle
            line += data
            if not data:
                break
    return line, handle


def _cold(error: Exception) -> int:
    """Nobody needs a worker that cannot even load PyTorch: one that is started for a run will tell."""
    print(f"error: {error}")
    return 1


def _warm_up() -> tuple[Any, Any]:
    """Pay for imports and first calls now; nothing touches a GPU."""
    import torch

    import tui_gen.train.data
    import tui_gen.train.run.loop  # noqa: F401
    from tui_gen.train import discover

    # Its optimiser is not made: in most runs that is the first to want PyTorch's compiler, and can do without.
    layer = torch.nn.Linear(4, 4)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(layer(torch.ones(2, 4)), torch.ones(2, 4))
    loss.backward()
    return discover.build(trust.given())


def check(tables: dict[str, Any], catalogue: Any, classes: Any, weights: str = "") -> list[dict[str, Any]]:
    """What is wrong with a config, the model's own reasons included, without reading any data.

    `weights` is the file of those that it is to go on with.
    """
    import msgspec

    from tui_gen import catalog
    from tui_gen.train.engine.building import RefusedError, TrainingError, build_model, misfits, refusals
    from tui_gen.train.engine.devices import pick_device
    from tui_gen.train.run import other_runs

    try:
        config = configs.load(tables, catalogue)
    except configs.ConfigError as error:
        return [msgspec.to_builtins(problem) for problem in error.problems]
    model_class, spec = classes.models[config.model.name], other_runs.expected(config.dataset, classes.datasets)
    if world.VARIABLE not in os.environ and (words := too_many(config.train.processes)):
        return [msgspec.to_builtins(Problem("train.processes", config.train.processes, words))]
    if dependencies.needs(config, catalogue):
        catalogue.recipes, _ = catalog.recipes()
    try:
        pick_device(config.train.device)
        parts, problems = other_runs.foreseen(config, catalogue, classes, spec)
        problems += refusals(model_class, msgspec.convert(config.model.values, model_class.Config), spec, parts)
        if weights and not problems:
            problems = misfits(build_model(model_class, config.model.values, spec, parts), Path(weights))
    except RefusedError as error:
        problems = error.problems
    except TrainingError as error:
        words = str(error).removeprefix(f"train.device = {config.train.device}: ")
        problems = [Problem("train.device", config.train.device, words)]
    return [msgspec.to_builtins(problem) for problem in problems]


def network(tables: dict[str, Any], catalogue: Any, classes: Any) -> dict[str, Any]:
    """The network that a config trains and the memory that it takes (a `network.Network`), without reading any data.

    Raises ConfigError, TrainingError, and what the model raises.
    """
    from tui_gen import catalog
    from tui_gen.train.engine import layers
    from tui_gen.train.engine.building import RefusedError, build_model
    from tui_gen.train.run import other_runs

    config = configs.load(tables, catalogue)
    model_class, spec = classes.models[config.model.name], other_runs.expected(config.dataset, classes.datasets)
    if dependencies.needs(config, catalogue):
        catalogue.recipes, _ = catalog.recipes()
    parts, problems = other_runs.foreseen(config, catalogue, classes, spec)
    if problems:
        raise RefusedError(problems)
    model = build_model(model_class, config.model.values, spec, parts)
    found: dict[str, Any] = msgspec.to_builtins(layers.described(model, config, spec))
    return found
