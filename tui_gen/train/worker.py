"""The process that trains one run: `python -m tui_gen.train.worker RUN [--resume]`, or `--warm SOCKET` to wait for one.

Everything printed, by Python or by libraries, goes to the run's `worker.log`. SIGTERM and SIGINT stop the run with a
checkpoint; SIGHUP is ignored. The exit status is 0 when the run finished or was stopped, 1 when it failed.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tui_gen import checkpoints, control, dependencies, events, presence, runs, trust
from tui_gen import config as configs


class Worker:
    """One run's process: its log, socket, signals, and the way from a config to a trained model.

    A run that the run needs is trained first, in the same process: `first` is then the worker that does so. It is
    found, steered and stopped as any other; whatever stops this one stops it too.
    """

    def __init__(
        self,
        path: Path,
        resume: bool,
        log: Callable[[Path], events.EventWriter] = events.EventWriter,
        hold: presence.Hold | None = None,
    ) -> None:
        self.path, self.resume, self._log, self._hold = path, resume, log, hold
        self.id = presence.new_id()
        self.loop: Any = None
        self.server: control.Server | None = None
        self.stop_reason = ""
        self.before: runs.RunInfo | None = None
        """What the run was before this resume."""
        self.first: Worker | None = None
        self._handing_on = threading.Lock()

    def main(self) -> int:
        """Train the run in a process of its own; the exit status."""
        self._redirect_output()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return self.train()

    def train(self) -> int:
        """Train the run; the exit status."""
        try:
            hold = self._hold or runs.claim(self.path)
        except runs.RunError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        hold.keep_alive()
        try:
            return self._train_held()
        finally:
            hold.release()

    def _train_held(self) -> int:
        try:
            place = control.socket_path(f"{self.path}:{self.id}")
            self.server = server = control.Server(place, self._immediate, id=self.id)
        except (OSError, control.ControlError) as error:
            return self._refuse(f"nobody could steer this run: {error}")
        try:
            writer = self._log(self.path / "events.jsonl")
            if self.resume:
                self.before = runs.info_of(self.path)
            writer.write(events.State(state="starting", step=self._step()))
            runs.register(self.path, server.path, self.id)
            state, reason = self._train(writer, server)
            if self.loop is None or self.loop.state not in runs.ENDED:
                writer.write(*self._last_words(state, reason))
            writer.close()
        except OSError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        finally:
            server.close()
        return 1 if state == "failed" else 0

    def _step(self) -> int:
        """The last step known: a resume that is refused, or ends early, takes nothing away from the run."""
        made = self.loop.trainer.step if self.loop is not None else 0
        return made or (self.before.step if self.before is not None else 0)

    def _last_words(self, state: str, reason: str) -> list[events.Event]:
        """How a run ends that never began to train; one that had finished, and has no more to do, stays finished."""
        before = self.before
        over = before is not None and before.state == "finished" and before.step >= (before.steps or 2**63)
        if state == "failed" and before is not None and over:
            words = events.Note(f"not resumed: {reason}", "error")
            return [words, events.State("finished", before.step, before.reason)]
        return [events.State(state, self._step(), reason)]

    def _refuse(self, reason: str) -> int:
        print(f"error: {reason}", file=sys.stderr)
        with contextlib.suppress(OSError):
            writer = events.EventWriter(self.path / "events.jsonl")
            writer.write(events.State("failed", runs.state_of(self.path)[1], reason))
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
        reason = f"by {signal.Signals(number).name}"
        self.stop_reason, at_work = reason, self
        while at_work.first is not None:
            at_work = at_work.first
            at_work.stop_reason = reason
        if at_work.loop is not None:
            at_work.loop.asked_to_stop = reason
            return
        from tui_gen.train.loop import Stopped

        raise Stopped("stopped", f"{reason}, before training began")

    def _immediate(self, request: control.Request) -> bool:
        """Answer what needs no step boundary, and everything while the data is still being prepared."""
        loop = self.loop
        if self._handed_on(request):
            return True
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

    def _handed_on(self, request: control.Request) -> bool:
        """Whether a request went to the run that is trained first: it is paused, resumed and stopped in our place."""
        with self._handing_on:
            first = self.first
            if first is None or request.op not in ("pause", "resume", "stop"):
                return False
            if first._handed_on(request):
                self.stop_reason = first.stop_reason
                return True
            if first.loop is None or first.server is None:
                return False
            if request.op == "stop":
                self.stop_reason = "asked to"
            first.server.inbox.put(request)
            return True

    def _parts(self, config: configs.RunConfig, made: Any, kinds: Any, writer: events.EventWriter) -> Any:
        """The paths of the runs that the config's model needs, trained first where they must be, then `Part`s of them.

        Returns a function of the data's spec. Raises Stopped, ConfigError, TrainingError.
        """
        from tui_gen import catalog
        from tui_gen.train import dependencies as others

        if not dependencies.needs(config, made):
            return lambda spec: {}
        kept = others.kept_by(self.path, kinds) if self.resume else None
        if kept is not None:
            return lambda spec: kept
        made.recipes, _ = catalog.recipes()
        asked = {need.key: need.value for need in dependencies.needs(config, made)}
        for need in dependencies.needs(config, made):
            path = dependencies.begun(self.path, need.key)
            if path is not None:
                self._train_first(path, need, config, writer)
        if problems := dependencies.settle(config, made, self.path.parent, self.path):
            raise configs.ConfigError(str(self.path / "config.toml"), problems)
        for need in dependencies.needs(config, made):
            if dependencies.recipe_of(need.value, made) is not None:
                first = dependencies.first_config(need, config, made)
                path = runs.create(self.path.parent, first.name, configs.dumps(first, made))
                writer.write(events.Uses(need.key, str(path), need.value))
                self._train_first(path, need, config, writer)
        found = dependencies.needs(config, made)
        if any(need.value != asked[need.key] for need in found):
            runs.write_atomic(self.path / "config.toml", configs.dumps(config, made).encode())
        for need in found:
            folder, _, step = need.value.rpartition("@")
            writer.write(events.Uses(need.key, folder, asked[need.key], int(step)))
        return lambda spec: {need.name: others.taken(need, made, kinds, spec) for need in found}

    def _train_first(
        self, path: Path, need: dependencies.Need, config: configs.RunConfig, writer: events.EventWriter
    ) -> None:
        """Train a run that ours needs, or go on with it, unless it is finished; then name it in the config.

        Raises Stopped with ours, or with what became of the other.
        """
        import torch

        from tui_gen.train.dependencies import Relay
        from tui_gen.train.loop import Stopped

        if runs.state_of(path)[0] != "finished":
            if runs.live(path):
                words = f"{path.name}, which this run needs, is trained by another process; resume when it has finished"
                raise Stopped("failed", words)
            begun = (path / "events.jsonl").exists()
            words = f"{path.name} {'goes on' if begun else 'is trained'} first"

            def tell(*new: events.Event) -> None:
                writer.write(*new)
                if self.server is not None and any(isinstance(event, events.State) for event in new):
                    # Later than the word, or we would seem to be coming up.
                    runs.register(self.path, self.server.path, self.id)

            tell(events.State("starting", 0, words), events.Note(f"{words}: {path}"))
            threads = torch.get_num_threads()
            first = Worker(path, begun, lambda log: Relay(log, path.name, tell))
            self.first = first
            try:
                first.train_within()
            finally:
                with self._handing_on:
                    self.first = None
                while first.server is not None and not first.server.inbox.empty():
                    first.server.inbox.get().refuse(f"{path.name} has just ended; ask again")
                first.loop = None
                gc.collect()
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                torch.set_num_threads(threads)
        state, step, reason = runs.state_of(path)
        if self.stop_reason:
            raise Stopped("stopped", f"{self.stop_reason}, while {path.name} was trained first")
        if state != "finished":
            why = f": {reason}" if reason else ""
            words = f"{path.name}, which is trained first for {need.key}, {state} at step {step:,}{why}"
            raise Stopped("stopped" if state == "stopped" else "failed", words)
        writer.write(events.Note(f"{path.name} has finished at step {step:,}"))
        config.model.values[need.name] = f"{path}@{checkpoints.steps(path)[-1]}"

    def train_within(self) -> int:
        """Train the run within the process of another run's worker, which gets its output back; the exit status."""
        outer = os.dup(1), os.dup(2)
        self._redirect_output()
        try:
            return self.train()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, before in zip((1, 2), outer):
                os.dup2(before, number)
                os.close(before)
            with contextlib.suppress(OSError):  # the process lives on, but no longer trains this run
                (self.path / "worker.json").unlink()

    def _train(self, writer: events.EventWriter, server: control.Server) -> tuple[str, str]:
        import torch

        from tui_gen.train import catalogue
        from tui_gen.train.checkpoints import spec_of
        from tui_gen.train.data import DataError
        from tui_gen.train.data.matching import load_as
        from tui_gen.train.loop import RunLoop, Stopped
        from tui_gen.train.trainer import Trainer, TrainingError, build_model, pick_device

        try:
            tables = configs.read_toml(self.path / "config.toml")
            given, dirs = _extra_dirs(), trust.named(tables)
            trust.refuse(set(dirs).difference(given), str(self.path / "config.toml"))
            made, kinds = catalogue.build(list(dict.fromkeys([*given, *dirs])))
            for problem in made.problems:
                writer.write(events.Note(text=problem, level="warning"))
            config = configs.load(tables, made, str(self.path / "config.toml"))
            if config.train.threads:
                torch.set_num_threads(config.train.threads)
            device = pick_device(config.train.device)
            parts_for = self._parts(config, made, kinds, writer)
            kind = kinds[config.model.name]

            def told_labels(spec: Any) -> bool:
                return build_model(kind, config.model.values, spec, parts_for(spec)).told_labels

            then = spec_of(self.path) if self.resume else None
            data = load_as(then, config.dataset, device, told_labels, seed=config.train.seed, report=writer.write)
            parts = parts_for(data.spec)
            trainer = Trainer(kind, config, data, device, lambda epoch: _length(config, epoch), parts)
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
        except (configs.ConfigError, DataError, TrainingError, runs.RunError) as error:
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
                    path, resume = Path(request.data["run"]), bool(request.data.get("resume"))
                    hold = runs.claim(path)
                    given.set()
                    request.answer()
                    server.close()
                    return Worker(path, resume, hold=hold).main()
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

    from tui_gen import catalog
    from tui_gen.train import dependencies as others
    from tui_gen.train.trainer import RefusedError, TrainingError, pick_device, refusals

    try:
        config = configs.load(tables, made)
    except configs.ConfigError as error:
        return [msgspec.to_builtins(problem) for problem in error.problems]
    kind, spec = kinds[config.model.name], others.expected(config.dataset)
    if dependencies.needs(config, made):
        made.recipes, _ = catalog.recipes()
    try:
        pick_device(config.train.device)
        parts, problems = others.foreseen(config, made, kinds, spec)
        problems += refusals(kind, msgspec.convert(config.model.values, kind.Config), spec, parts)
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
    parser.add_argument("--lock", type=int, metavar="FD", help="the run's lock, inherited from whoever starts this")
    parser.add_argument("--nice", type=int, default=0, help="raise the nice value by this much")
    given = parser.parse_args()
    if given.nice:
        _give_way(given.nice)
    if given.warm:
        return warm(given.warm)
    if not given.run:
        parser.error("name a run directory, or --warm SOCKET")
    path = Path(given.run)
    hold = presence.Hold.adopt(path, given.lock) if given.lock is not None else None
    return Worker(path, given.resume, hold=hold).main()


if __name__ == "__main__":
    sys.exit(main())
