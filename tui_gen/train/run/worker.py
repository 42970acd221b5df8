"""What trains one run in a process of its own: its log, socket and signals, and the way from a config to a model.

Everything printed, by Python or by libraries, goes to the run's `worker.log`. SIGTERM, SIGINT and what batch systems
send stop the run with a checkpoint; SIGHUP is ignored. The exit status is 0 when the run finished or was stopped, 1
when it failed.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_gen import checkpoints, control, dependencies, events, hosts, presence, runs, trust, world
from tui_gen import config as configs
from tui_gen.log import event_log
from tui_gen.notify.beside import start_teller
from tui_gen.request_file import Postbox
from tui_gen.train.cutting import Stopped
from tui_gen.train.run import output, stopping
from tui_gen.train.run.faults import words_of
from tui_gen.train.run.first import First
from tui_gen.train.run.peers import PeerError, Peers
from tui_gen.world import World

if TYPE_CHECKING:
    from tui_gen.train.run.loop import RunLoop

PAUSE = 0.25
"""Seconds between two attempts to write where there is no room."""


class Worker:
    """One run's process: its log, socket, signals, and the way from a config to a trained model.

    A run that the run needs is trained first, as any other: `first` is then what follows it. What pauses, resumes and
    stops this one does so to that one in its place.
    """

    def __init__(
        self,
        path: Path,
        resume: bool,
        log: Callable[[Path], event_log.EventWriter] = event_log.EventWriter,
        hold: presence.Hold | None = None,
    ) -> None:
        self.path, self.resume, self._log, self._hold = path, resume, log, hold
        self.id = presence.new_id()
        self.loop: RunLoop | None = None
        self.server: control.Server | None = None
        self._postbox: Postbox | None = None
        self.writer: event_log.EventWriter | None = None
        self.stop_reason = ""
        self.trouble = ""
        """What a run that does not train yet waits for, in words; empty while it waits for nothing."""
        self.before: runs.RunInfo | None = None
        """What the run was before this resume."""
        self.over = False
        self.first: First | None = None
        self.world = world.handed_over()
        """Where this process stands among others that something else started; None where there is no such thing."""
        self.peers: Peers | None = None
        self._lacking: Exception | None = None
        """Why it cannot train, known before it has a log to say so."""

    def main(self) -> int:
        """Train the run in a process of its own; the exit status."""
        output.redirect(self.path)
        try:
            stopping.SignalWatch(self)
        except RuntimeError as error:  # no thread is to be had for it
            self._lacking = error
        return self.train()

    def train(self) -> int:
        """Train the run; the exit status."""
        return self.go_on() if self.begin() else int(not self.stop_reason)

    def begin(self, loading: bool = "torch" not in sys.modules) -> bool:
        """Take the run's lock, log and socket, and say that it is starting: before anything that takes time.

        `loading` says that PyTorch is yet to be loaded. False where it cannot begin; why is then the run's last word,
        if it can have one.
        """
        try:
            self._hold = self._hold or self._once_there_is_room(lambda: runs.claim(self.path))
        except (runs.RunError, Stopped) as error:
            print(f"error: {error}", file=sys.stderr)
            return False
        try:
            if self.resume:
                self.before = runs.info_of(self.path)
            self.writer = self._once_there_is_room(lambda: self._log(self.path / "events.jsonl"))
            start_teller(self.path)
            self.writer.write(events.State(state="starting", step=self._step()), hosts.here())
            if self._lacking is not None:
                raise self._lacking
            self._hold.keep_alive()
            if loading:
                self.writer.write(events.Progress(what="loading PyTorch", done=0, total=0))
            place = control.socket_path(f"{self.path}:{self.id}")
            self.server = control.Server(place, self._immediate, id=self.id)
            self._postbox = Postbox(self._place, self.server)
            self._postbox.begin()
            self._once_there_is_room(lambda: runs.register(self.path, place, self.id))
        except Stopped as ending:
            self._last(ending.state, ending.reason)
            return False
        except (OSError, RuntimeError, control.ControlError) as error:
            words = self._why(error)
            if isinstance(error, OSError):
                words = f"cannot write in {self.path}: {error.strerror or error}"
            elif self.writer is not None and self.server is None:
                words = f"nobody could steer this run: {words}"
            self._last("failed", words)
            return False
        return True

    def _once_there_is_room(self, write: Callable[[], Any]) -> Any:
        """Do something that writes; where there is no room for it, wait and do it again. Raises Stopped."""
        while True:
            try:
                result = write()
                self.trouble = ""
                return result
            except (OSError, runs.RunError) as error:
                full = error if isinstance(error, OSError) else error.__cause__
                if not isinstance(full, OSError) or full.errno not in event_log.FULL:
                    raise
                words = f"cannot write in {self.path.parent}: {full.strerror or full}; it waits until there is room"
            if words != self.trouble:
                self.trouble = words
                print(f"warning: {words}", file=sys.stderr)
            self.check()
            time.sleep(PAUSE)

    def go_on(self) -> int:
        """Train the run that has begun; the exit status."""
        assert self.server is not None
        state, reason = "failed", ""
        try:
            self._bring_peers()
            state, reason = self._trained()
        except PeerError as error:
            state, reason = "failed", str(error)
        except BaseException as error:  # whatever a model, or the lack of memory, throws: it is the run's last word
            traceback.print_exc()
            state, reason = "failed", self._why(error)
        self._last(state, reason)
        return 1 if state == "failed" else 0

    def _bring_peers(self) -> None:
        """Have the other processes of the run come, where it has more: they load PyTorch while this one does."""
        if self.world is None:
            with contextlib.suppress(configs.ConfigError):  # it is told where the config is read for good
                table = configs.read_toml(self.path / "config.toml").get("train")
                count = table.get("processes", 1) if isinstance(table, dict) else 1
                if isinstance(count, int) and count > 1:
                    self.world = World(0, count, 0, count)
        if self.world is not None:
            self.peers = Peers(self.path, self.world, self._tell, self.ask_to_stop, self.fail_now)
            self.peers.begin()

    def _tell(self, words: str, level: str) -> None:
        """A line for the log pane, from any thread."""
        print(f"{level}: {words}", file=sys.stderr)
        with contextlib.suppress(OSError):
            log = event_log.EventWriter(self._place() / "events.jsonl")
            log.write(events.Note(text=words, level=level))
            log.close()

    def _place(self) -> Path:
        """The run's folder, wherever it was moved to, as far as that is known."""
        return self.loop.path if self.loop is not None else self.path

    def _step(self) -> int:
        """The last step known: a resume that is refused, or ends early, takes nothing away from the run."""
        step = self.loop.trainer.step if self.loop is not None else 0
        return step or (self.before.step if self.before is not None else 0)

    def _last_words(self, state: str, reason: str) -> list[events.Event]:
        """How a run ends that never began to train; one that had finished, and has no more to do, stays finished."""
        before = self.before
        over = before is not None and before.state == "finished" and before.step >= (before.steps or 2**63)
        if state != "finished" and before is not None and over:
            words = events.Note(f"not resumed: {reason}", "error")
            return [words, events.State("finished", before.step, before.reason)]
        return [events.State(state, self._step(), reason)]

    def _last(self, state: str, reason: str) -> None:
        """The last word of a run whose loop has not said it, and the end of all that is held for it."""
        with _last_word:
            self.over = True
            if state == "failed" and reason:
                print(f"error: {reason}", file=sys.stderr)
            if self.writer is not None:
                if self.loop is None or self.loop.state not in runs.ENDED:
                    self.writer.write(*self._last_words(state, reason))
                self.writer.close()
            if self.peers is not None:
                self.peers.end(state, reason)
            if self.server is not None:
                self.server.close()
            if self._postbox is not None:
                self._postbox.close()
            if self._hold is not None:
                self._hold.release()

    @property
    def begun(self) -> bool:
        """Whether this session has made a step, or waits for a run that has and is stopping: until then nothing would
        be lost."""
        first = self.first
        return (self.loop is not None and self.loop.begun) or (first is not None and first.may_take_its_time)

    def ask_to_stop(self, reason: str) -> None:
        """Have the run stop, whatever it is at; from any thread. Only sets flags."""
        self.stop_reason = self.stop_reason or reason
        if self.loop is not None:
            self.loop.asked_to_stop = self.loop.asked_to_stop or reason

    def check(self) -> None:
        """Raise Stopped where the run is to stop, before it trains, and PeerError where another process has failed."""
        if self.peers is not None:
            self.peers.check()
        if self.stop_reason:
            raise Stopped("stopped", f"{self.stop_reason}, before training began")

    def end_now(self) -> None:
        """End the process: it is to stop, has nothing to lose, and does not get on. From another thread."""
        self._end_from_outside("stopped", f"{self.stop_reason}, before training began", 0)

    def fail_now(self, reason: str) -> None:
        """End the process: its training thread waits for another process that will not come. From another thread."""
        self._end_from_outside("failed", reason, 1)

    def _end_from_outside(self, state: str, reason: str, status: int) -> None:
        _last_word.acquire()  # for good: the main thread, should it wake up, has nothing to say any more
        if self.over:
            _last_word.release()
            return
        if not (self.loop is not None and self.loop.state in runs.ENDED):
            with contextlib.suppress(OSError):
                log = event_log.EventWriter(self._place() / "events.jsonl")
                log.write(*self._last_words(state, reason))
        if self.peers is not None:
            self.peers.end(state, reason)
        if self.server is not None:
            with contextlib.suppress(OSError):
                os.unlink(self.server.path)
        os._exit(status)

    def _report(self, event: events.Event) -> None:
        assert self.writer is not None
        self.writer.write(event)
        self.check()

    @staticmethod
    def _why(error: BaseException) -> str:
        """What ended a run, as its reason."""
        words = str(error)
        devices = sys.modules.get("tui_gen.train.engine.devices")  # without it there is no PyTorch that has no room
        if devices is not None and devices.lacks_memory(error):
            return str(devices.ADVICE)
        if devices is not None and (advice := devices.has_no_deterministic_form(error)):
            return str(advice)
        if isinstance(error, MemoryError):
            return (
                f"there is too little memory{f' ({words})' if words else ''}; give the process more, or lower the size"
            )
        if isinstance(error, RuntimeError) and "start new thread" in words:
            return "no more threads can be started here: raise the limit (ulimit -u, or the container's)"
        if isinstance(error, (control.ControlError, configs.ConfigError, runs.RunError)):
            return words
        if isinstance(error, OSError) and error.strerror:
            return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        if isinstance(error, SystemExit):
            return f"something ended the process (SystemExit: {error.code}); worker.log has the traceback"
        return words_of(error)

    def _immediate(self, request: control.Request) -> bool:
        """Answer what needs no step boundary, and everything while the data is still being prepared."""
        loop, first = self.loop, self.first
        if request.op == "status":
            if loop is None:
                trouble = self.trouble or (first.trouble() if first is not None else "")
                request.answer(state="starting", step=self._step(), trouble=trouble, seconds=0.0)
            else:
                from tui_gen.train.run.requests import status

                request.answer(**status(loop))
            return True
        if first is not None and request.op in ("pause", "resume", "stop"):
            if first.hand_on(request) and request.op == "stop":
                self.ask_to_stop(request.why)
            return True
        if loop is not None:
            if request.op == "stop" and request.keeps is not None:
                loop.hurry = True  # what takes long is cut, so that it is answered soon
            return False
        if request.op == "stop":
            self.ask_to_stop(request.why)
            request.answer(step=self._step())
        else:
            request.refuse("the run is still preparing its data; ask again when it trains")
        return True

    def _parts(self, config: configs.RunConfig, catalogue: Any, classes: Any, writer: event_log.EventWriter) -> Any:
        """The paths of the runs that the config's model needs, trained first where they must be, then `Part`s of them.

        Returns a function of the data's spec. Raises Stopped, ConfigError, TrainingError.
        """
        from tui_gen import catalog
        from tui_gen.train.run import other_runs

        if not dependencies.needs(config, catalogue):
            return lambda spec: {}
        parts = other_runs.kept_by(self.path, classes.models) if self.resume else None
        if parts is not None:
            return lambda spec: parts
        catalogue.recipes, _ = catalog.recipes()
        values_before = {need.key: need.value for need in dependencies.needs(config, catalogue)}
        for need in dependencies.needs(config, catalogue):
            path = dependencies.begun(self.path, need.key)
            if path is not None:
                self._train_first(path, need, config, writer)
        if problems := dependencies.settle(config, catalogue, self.path.parent, self.path):
            raise configs.ConfigError(str(self.path / "config.toml"), problems)
        for need in dependencies.needs(config, catalogue):
            if dependencies.recipe_of(need.value, catalogue) is not None:
                first = dependencies.first_config(need, config, catalogue)
                text = configs.dumps(first, catalogue)
                path = self._once_there_is_room(partial(runs.create, self.path.parent, first.name, text))
                writer.write(events.Uses(need.key, str(path), need.value))
                self._train_first(path, need, config, writer)
        needs = dependencies.needs(config, catalogue)
        if any(need.value != values_before[need.key] for need in needs):
            text = configs.dumps(config, catalogue)
            self._once_there_is_room(lambda: runs.write_atomic(self.path / "config.toml", text.encode()))
        for need in needs:
            folder, _, step = need.value.rpartition("@")
            for problem in checkpoints.damaged_after(Path(folder), int(step)):
                words = f"checkpoint {problem}; {need.key} takes that of step {int(step):,}"
                writer.write(events.Note(words, "warning"))
            writer.write(events.Uses(need.key, folder, values_before[need.key], int(step)))
        return lambda spec: {need.name: other_runs.taken(need, catalogue, classes, spec) for need in needs}

    def _train_first(
        self, path: Path, need: dependencies.Need, config: configs.RunConfig, writer: event_log.EventWriter
    ) -> None:
        """Have a run trained that ours needs, unless it is finished; then name it in the config.

        Raises Stopped with ours, or with what became of the other, and RunError where it cannot be trained.
        """
        if runs.state_of(path)[0] != "finished":
            begun = (path / "events.jsonl").exists()
            words = f"{path.name} {'goes on' if begun else 'is trained'} first"

            def tell(*new: events.Event) -> None:
                writer.write(*new)
                if self.server is not None and any(isinstance(event, events.State) for event in new):
                    # Later than the word, or we would seem to be coming up.
                    with contextlib.suppress(OSError):
                        runs.register(self.path, self.server.path, self.id)

            tell(events.State("starting", 0, words), events.Note(f"{words}: {path}"))
            first = First(path, tell)
            self._once_there_is_room(first.launch)
            self.first = first
            try:
                first.wait(lambda: self.stop_reason)
            finally:
                self.first = None
        state, step, reason = runs.state_of(path)
        if self.stop_reason:
            raise Stopped("stopped", f"{self.stop_reason}, while {path.name} was trained first")
        if state != "finished":
            why = f": {reason}" if reason else ""
            words = f"{path.name}, which is trained first for {need.key}, {state} at step {step:,}{why}"
            raise Stopped("stopped" if state == "stopped" else "failed", words)
        writer.write(events.Note(f"{path.name} has finished at step {step:,}"))
        last = next((checkpoint.step for checkpoint in checkpoints.sound(path) if checkpoint.meta is not None), None)
        if last is None:
            words = f"{path.name}, which was trained first for {need.key}, has no checkpoint that can be used"
            raise Stopped("failed", f"{words}; once it is deleted, a resume of this run trains another")
        config.model.values[need.name] = f"{path}@{last}"

    def _trained(self) -> tuple[str, str]:
        """Load PyTorch, the model and the data, and train; the state that this ends in, and why."""
        assert self.writer is not None
        writer = self.writer
        try:
            _try_threads()
            import torch  # noqa: F401 - first, for it may fail

            from tui_gen.train import discover
            from tui_gen.train.data import DataError, dataset_of
            from tui_gen.train.data.matching import load_as
            from tui_gen.train.engine import ranks
            from tui_gen.train.engine.building import TrainingError, build_model
            from tui_gen.train.engine.trainer import Trainer
            from tui_gen.train.run.checkpoints import spec_of
            from tui_gen.train.run.lockstep import Leading, OneProcess
            from tui_gen.train.run.loop import RunLoop
            from tui_gen.train.run.processes import device_of, length, order
        except Exception as error:
            traceback.print_exc()
            return "failed", f"PyTorch cannot be loaded: {self._why(error)}"
        try:
            self.check()
            tables = configs.read_toml(self.path / "config.toml")
            trust.refuse(dirs := trust.named(tables), str(self.path / "config.toml"))
            catalogue, classes = discover.build(list(dict.fromkeys([*trust.given(), *dirs])))
            for problem in catalogue.problems:
                writer.write(events.Note(text=problem, level="warning"))
            config = configs.load(tables, catalogue, str(self.path / "config.toml"))
            device = device_of(self.world, config.train)
            gc.freeze()  # what is imported stays: whoever collects later, a run that yields, need not go through it
            parts_for = self._parts(config, catalogue, classes, writer)
            model_class, dataset = classes.models[config.model.name], dataset_of(config.dataset, classes.datasets)

            def told_labels(spec: Any) -> bool:
                return build_model(model_class, config.model.values, spec, parts_for(spec)).told_labels

            self.check()
            then = spec_of(self.path) if self.resume else None
            data = load_as(then, dataset, device, told_labels, seed=config.train.seed, report=self._report)
            self.check()
            parts = parts_for(data.spec)
            group = ranks.ALONE
            if self.peers is not None:
                self.peers.here(self.check)
                self.peers.tell_all("build", **order(self.path, self.peers.address, config, data.spec, parts))
                self.peers.answered("data", self.check)
                group = self.peers.meet(device)
            trainer = Trainer(model_class, config, data, device, partial(length, config), parts, group)
            settings = configs.keys(config.model.name, config.dataset.name, catalogue)
            together = OneProcess() if self.peers is None else Leading(self.peers)
            loop = RunLoop(self.path, trainer, writer, settings, self.server, together)
            if self.resume:
                loop.resume()
            self.loop = loop
            if self.peers is not None:
                self.peers.interrupt = partial(setattr, loop, "hurry", True)
            if self.stop_reason:
                loop.asked_to_stop = self.stop_reason
            loop.run()
            return loop.state, ""
        except Stopped as ending:
            return ending.state, ending.reason
        except ranks.RankLost as error:
            return "failed", self.peers.cause_of(error) if self.peers is not None else str(error)
        except (DataError, TrainingError) as error:
            return "failed", str(error)
        except (configs.ConfigError, runs.RunError) as error:
            return "failed", self._why(error)


_last_word = threading.Lock()
"""Held by whoever says how a run ended."""


def _try_threads() -> None:
    """Raise RuntimeError where not as many threads can be had as there are cores: OpenMP would end the process."""
    over = threading.Event()
    try:
        for _ in range(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2):
            threading.Thread(target=over.wait, daemon=True).start()
    finally:
        over.set()
