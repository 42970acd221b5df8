"""The process that trains one run: `python -m tui_gen.train.worker RUN [--resume]`, or `--warm SOCKET` to wait for one.

Everything printed, by Python or by libraries, goes to the run's `worker.log`. SIGTERM and SIGINT stop the run with a
checkpoint; SIGHUP is ignored. The exit status is 0 when the run finished or was stopped, 1 when it failed.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import queue
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from tui_gen import config as configs
from tui_gen import control, events, runs


class Worker:
    """One run's process: its log, socket, signals, and the way from a config to a trained model."""

    def __init__(self, path: Path, resume: bool) -> None:
        self.path, self.resume = path, resume
        self.loop: Any = None
        self.stop_reason = ""

    def main(self) -> int:
        """Train the run; the exit status."""
        self._redirect_output()
        lock = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another process is already training {self.path}", file=sys.stderr)
            return 1
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            server = control.Server(control.socket_path(str(self.path)), self._immediate)
        except (OSError, control.ControlError) as error:
            return self._refuse(f"nobody could steer this run: {error}")
        try:
            writer = events.EventWriter(self.path / "events.jsonl")
            writer.write(events.State(state="starting", step=0))
            runs.register(self.path, server.path)
            state, reason = self._train(writer, server)
            if self.loop is None or self.loop.state not in runs.ENDED:
                step = self.loop.trainer.step if self.loop else 0
                writer.write(events.State(state=state, step=step, reason=reason))
            writer.close()
        except OSError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        finally:
            server.close()
            os.close(lock)
        return 1 if state == "failed" else 0

    def _refuse(self, reason: str) -> int:
        print(f"error: {reason}", file=sys.stderr)
        with contextlib.suppress(OSError):
            writer = events.EventWriter(self.path / "events.jsonl")
            writer.write(events.State(state="failed", step=0, reason=reason))
            writer.close()
        return 1

    def _redirect_output(self) -> None:
        log = os.open(self.path / "worker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.close(null)

    def _on_signal(self, number: int, frame: Any) -> None:
        self._stop(f"by {signal.Signals(number).name}")
        if self.loop is None:
            from tui_gen.train.loop import Stopped

            raise Stopped("stopped", f"{self.stop_reason}, before training began")

    def _stop(self, reason: str) -> None:
        self.stop_reason = reason
        if self.loop is not None:
            self.loop.asked_to_stop = reason

    def _immediate(self, request: control.Request) -> bool:
        """Answer what needs no step boundary, and everything while the data is still being prepared."""
        loop = self.loop
        if request.op == "status":
            if loop is None:
                request.answer(state="starting", step=0, trouble="", seconds=0.0)
            else:
                from tui_gen.train.requests import status

                request.answer(**status(loop))
            return True
        if loop is not None:
            return False
        if request.op == "stop":
            os.kill(os.getpid(), signal.SIGTERM)
            request.answer(step=0)
        else:
            request.refuse("the run is still preparing its data; ask again when it trains")
        return True

    def _train(self, writer: events.EventWriter, server: control.Server) -> tuple[str, str]:
        import torch

        from tui_gen.train import catalogue
        from tui_gen.train.data import DataError, load
        from tui_gen.train.loop import RunLoop, Stopped
        from tui_gen.train.trainer import Trainer, TrainingError, pick_device

        try:
            tables = configs.read_toml(self.path / "config.toml")
            dirs = [*os.environ.get("TUI_GEN_MODELS", "").split(os.pathsep), *tables.get("model_dirs", [])]
            made, kinds = catalogue.build([one for one in dict.fromkeys(dirs) if one])
            for problem in made.problems:
                writer.write(events.Note(text=problem, level="warning"))
            config = configs.load(tables, made, str(self.path / "config.toml"))
            if config.train.threads:
                torch.set_num_threads(config.train.threads)
            device = pick_device(config.train.device)
            data = load(config.dataset, device, seed=config.train.seed, report=writer.write)
            trainer = Trainer(kinds[config.model.name], config, data, device, lambda epoch: _length(config, epoch))
            loop = RunLoop(self.path, trainer, writer, configs.keys(config.model.name, made), server)
            if self.resume:
                loop.resume()
            self.loop = loop
            if self.stop_reason:
                loop.asked_to_stop = self.stop_reason
            loop.run()
            return loop.state, ""
        except Stopped as ending:
            return ending.state, ending.reason
        except (configs.ConfigError, DataError, TrainingError) as error:
            print(f"error: {error}", file=sys.stderr)
            return "failed", str(error)
        except torch.OutOfMemoryError as error:
            print(f"error: {error}", file=sys.stderr)
            return "failed", "the device is out of memory; lower train.batch_size, or the size of the model"
        except Exception as error:  # a fault in a model, ours or the user's: the run says so, the log has it all
            traceback.print_exc()
            return "failed", f"{type(error).__name__}: {error} (worker.log has the traceback)"


def _length(config: configs.RunConfig, steps_per_epoch: int) -> int | None:
    """The run's length in steps, or None where it is a time."""
    if config.train.steps:
        return config.train.steps
    return max(1, round(config.train.epochs * steps_per_epoch)) if config.train.epochs else None


def warm(socket_path: str) -> int:
    """Import PyTorch and the models, then wait to be given a run; ends when the parent does."""
    given = threading.Event()
    threading.Thread(target=_end_with_parent, args=(given, socket_path), daemon=True).start()
    made, kinds = _warm_up()
    server = control.Server(socket_path)
    while True:
        try:
            request = server.inbox.get(timeout=3600)
        except queue.Empty:
            continue
        try:
            match request.op:
                case "start":
                    given.set()
                    request.answer()
                    server.close()
                    return Worker(Path(request.data["run"]), bool(request.data.get("resume"))).main()
                case "check":
                    request.answer(problems=_check(request.data["tables"], made, kinds))
                case "catalog":
                    from tui_gen.train import catalogue

                    request.answer(path=str(catalogue.refresh(_extra_dirs())))
                case "status":
                    request.answer(state="warm")
                case _:
                    request.refuse(f"a warm worker does not know {request.op!r}")
        except Exception as error:  # one bad request must not end the worker
            request.refuse(f"{type(error).__name__}: {error}")


def _extra_dirs() -> list[str]:
    return [one for one in os.environ.get("TUI_GEN_MODELS", "").split(os.pathsep) if one]


def _warm_up() -> tuple[Any, Any]:
    """Pay for imports and first calls now; nothing touches a GPU."""
    import torch

    import tui_gen.train.data
    import tui_gen.train.loop  # noqa: F401
    from tui_gen.train import catalogue

    weight = torch.nn.Linear(4, 4)
    optimizer = torch.optim.Adam(weight.parameters(), fused=True)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(weight(torch.ones(2, 4)), torch.ones(2, 4))
    loss.backward()
    optimizer.step()
    return catalogue.build(_extra_dirs())


def _end_with_parent(given: threading.Event, socket_path: str) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    if not given.is_set():
        with contextlib.suppress(OSError):
            os.unlink(socket_path)
        os._exit(0)


def _check(tables: dict[str, Any], made: Any, kinds: Any) -> list[dict[str, Any]]:
    """What is wrong with a config, the model's own reasons included, without reading any data."""
    import msgspec

    from tui_gen.datasets import DATASETS
    from tui_gen.model import DataSpec
    from tui_gen.train.trainer import RefusedError, TrainingError, pick_device

    try:
        config = configs.load(tables, made)
    except configs.ConfigError as error:
        return [msgspec.to_builtins(problem) for problem in error.problems]
    entry = DATASETS[config.dataset.name]
    channels = {"grey": 1, "rgb": 3}.get(config.dataset.channels, entry.channels)
    size = config.dataset.size or entry.default_size
    shapes = {"points": (2,), "text": (config.dataset.length + 1,)}
    shape = shapes.get(entry.kind, (channels, size, size))
    # A folder's classes and a text's characters are known only once they are read: assume there are some.
    classes = ("a", "b") if config.dataset.name == "folder" or entry.kind == "text" else tuple(entry.classes)
    kind = kinds[config.model.name]
    spec = DataSpec(entry.name, entry.kind, shape, classes, entry.count)
    try:
        pick_device(config.train.device)
        problems = list(kind.refuse(msgspec.convert(config.model.values, kind.Config), spec))
    except RefusedError as error:
        problems = error.problems
    except TrainingError as error:
        words = str(error).removeprefix(f"train.device = {config.train.device}: ")
        problems = [configs.Problem("train.device", config.train.device, words)]
    return [msgspec.to_builtins(problem) for problem in problems]


def _give_way(nice: int) -> None:
    """Let the workbench and everything else go first.

    Linux schedules each session as a group (autogroup), and a worker has a session of its own: there its nice value
    counts only among its own threads, and the group has one that must be raised as well.
    """
    with contextlib.suppress(OSError):
        os.nice(nice)
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as group:
        group.write(str(nice))


def main() -> int:
    """The command line of a worker; people use `tui-gen` instead."""
    parser = argparse.ArgumentParser(prog="python -m tui_gen.train.worker", description=__doc__)
    parser.add_argument("run", nargs="?", help="the run directory to train")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint")
    parser.add_argument("--warm", metavar="SOCKET", help="wait on this socket to be given a run")
    parser.add_argument("--nice", type=int, default=0, help="raise the nice value by this much")
    given = parser.parse_args()
    if given.nice:
        _give_way(given.nice)
    if given.warm:
        return warm(given.warm)
    if not given.run:
        parser.error("name a run directory, or --warm SOCKET")
    return Worker(Path(given.run), given.resume).main()


if __name__ == "__main__":
    sys.exit(main())
