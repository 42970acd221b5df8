"""One run from its directory's point of view: steps, cadences, requests, and what is written down.

The training thread alone writes. Requests reach it at step boundaries. What happens where nothing can be written is in
`tui_gen.train.run.run_record`.
"""

from __future__ import annotations

import contextlib
import copy
import math
import os
import queue
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tui_gen import control, edits, events, places, runs
from tui_gen.log import event_log
from tui_gen.model import Model
from tui_gen.params import Param
from tui_gen.train.cutting import Cut, Stopped
from tui_gen.train.engine.trainer import Trainer
from tui_gen.train.quality.schedule import QualitySchedule
from tui_gen.train.run import checkpoints, continuing, holding, showing
from tui_gen.train.run.accounts import Accounts, counts_as
from tui_gen.train.run.agenda import Agenda, Due
from tui_gen.train.run.alerts import Health
from tui_gen.train.run.computing import Computing
from tui_gen.train.run.lockstep import Lockstep, OneProcess
from tui_gen.train.run.planned import plan_of
from tui_gen.train.run.ranking import Rank
from tui_gen.train.run.requests import answer, stops_first
from tui_gen.train.run.rolling_back import Rollbacks
from tui_gen.train.run.run_record import Gone, RunRecord
from tui_gen.train.run.showing import Measurements
from tui_gen.train.run.yielding import Yielding
from tui_gen.train.shown.previews import Previewer
from tui_gen.usage import CHECKPOINT, DATA, LOG, PREVIEW, QUALITY, VALIDATION


class RunLoop:
    """Trains one run to its end: `run()` returns the final state word.

    `inbox` is the control server's queue; `known` declares every key, for live edits.
    """

    def __init__(
        self,
        path: Path,
        trainer: Trainer,
        writer: event_log.EventWriter,
        settings: dict[str, Param],
        server: control.Server | None = None,
        lockstep: Lockstep | None = None,
    ) -> None:
        self.trainer, self.writer, self.settings, self.server = trainer, writer, settings, server
        self.lockstep = lockstep or OneProcess()
        self.config = trainer.config
        self.state = "starting"
        self.paused = False
        self.ending: Stopped | None = None
        self.asked_to_stop: str = ""
        self.hurry = False
        """Whether somebody asks to stop, by a request that is yet to be answered."""
        self.begun = False
        """Whether this session has made a step: until then nothing would be lost."""
        self._whole = True
        self.agenda = Agenda(self.config, trainer.total, trainer.stream.steps_per_epoch, holding.now())
        self.computing = Computing(path)
        self.health = Health(trainer.config.train)
        self.accounts = Accounts(trainer.device, trainer.laps, self.agenda.waited)
        self.record = RunRecord(path, writer, self._serve, self._moved, self.accounts.waiting)
        preview = self.config.preview
        self.previewer = Previewer(
            trainer.model, trainer.data, trainer.device, preview.count, preview.seed, lambda: trainer.spread
        )
        self.previewer.rows = self.lockstep.rows(trainer, self.check)
        self.measuring = QualitySchedule(trainer, self.emit, self.check, self.lockstep.sampler(self.check))
        for source in (trainer.data.train, trainer.data.validation):
            if source is not None:
                source.check = self.check
        self.measurements = Measurements(self)
        self.rollbacks, self.yielding = Rollbacks(self), Yielding(self)
        self.edits = sorted(self.config.edits, key=lambda edit: edit["step"])
        self.rank = Rank(trainer.model.higher_is_better)
        self._saved_step = -1
        self._resumed = False
        self._initial_model: Model | None = None

    # -- what ran before

    def resume(self) -> None:
        """Go on from the newest checkpoint that can be used, or from the start where there is none."""
        past = continuing.restored(self.path, self.trainer, self.edits, self.note)
        if past.meta is not None:
            self.agenda.seconds, self._saved_step = past.meta.seconds, past.step
            self.agenda.validation_part = past.meta.validation_part
            self.computing.resume(past.meta)
        self._resumed, self.edits = past.meta is not None, past.edits
        self.emit(events.Resume(step=past.step))
        self.rollbacks.resume(past.step)

    # -- writing down

    @property
    def path(self) -> Path:
        """The run's folder, wherever it was moved to."""
        return self.record.path

    @property
    def trouble(self) -> str:
        """Why the run waits, in words; empty while it does not."""
        return self.record.trouble

    def emit(self, *new: events.Event) -> None:
        """Append events; where they cannot be written, wait."""
        self.record.emit(*new)

    def note(self, text: str, level: str = "info") -> None:
        """A line for the log pane, and for worker.log."""
        print(f"{level}: {text}", file=sys.stderr)
        self.emit(events.Note(text=text, level=level))

    def _serve(self, seconds: float) -> None:
        """Answer requests while nothing can be written; raises what is to end the run."""
        self.answer_requests(timeout=seconds)
        if self.ending is not None:
            ending, self.ending = self.ending, None
            self.asked_to_stop = self.asked_to_stop or ending.reason  # from here on nothing is waited for
            raise ending

    def _moved(self, path: Path) -> None:
        self.writer.write(events.Note(text=f"the run's folder is {path} now"))
        if self.server is not None:
            with contextlib.suppress(OSError):
                runs.register(path, self.server.path, self.server.id)

    def change_state(self, state: str, reason: str = "") -> None:
        """Go over to a state and log it."""
        self.state = state
        self.emit(events.State(state=state, step=self.trainer.step, reason=reason))

    # -- the run

    def run(self) -> str:
        """Train until the length is reached or the run is stopped; the final state word.

        Raises what a fault in a model raises, once the steps that were made before it are in a checkpoint.
        """
        try:
            try:
                self._train()
                state, reason = "finished", ""
            except Stopped as ending:
                state, reason = ending.state, ending.reason
            self._end(state, reason)
        except Gone as error:
            self.state = "failed"
            print(f"error: {error}", file=sys.stderr)
        except Exception:
            self._rescue()
            raise
        finally:
            self.computing.close()
            self.record.close()
        return self.state

    def _train(self) -> None:
        trainer = self.trainer
        self._prepare()
        self._begin()
        while not (self.lockstep.settled(trainer.step) and self._over()):
            if not self._between_steps():
                continue
            trainer.laps.begin(trainer.step)
            try:
                batch = self.rollbacks.batch()
            except Cut:
                continue
            trainer.laps.lap(DATA)
            self._whole = False
            trainer.train_step(self.lockstep.fraction(trainer.step, self._fraction()), batch)
            self._whole = self.begun = True
            self._after_step()
        self._edit_as_planned()  # what was edited by hand after the last step is in the last checkpoint as well

    def _between_steps(self) -> bool:
        """Do what is to be done before a step; whether that may be made now."""
        step = self.trainer.step
        if not self.lockstep.settled(step):  # others are on their way to a later step: what concerns all waits for that
            self.lockstep.check()
            self._heed_end()
            if not self._wanted():
                self.lockstep.extend(step, self._next_word(), self._fraction())
            return True
        self.answer_requests()
        if self.ending is not None:
            raise self.ending
        if self.paused:
            self._pause()
            return False
        if self.rollbacks.due:
            self.rollbacks.go()
        self._edit_as_planned()
        self.lockstep.passed_over(self.trainer.step, self.rollbacks.ahead)
        self.lockstep.go_on(self.trainer.step, self._next_word(), self._fraction())
        return True

    def _heed_end(self) -> None:
        """Raise what is to end the run, whatever the other processes are at."""
        if self.hurry and self.server is not None:
            stops_first(self.server.inbox, self._answer)
        self._heed_signal()
        if self.ending is not None:
            raise self.ending

    def _wanted(self) -> bool:
        """Whether something is to be done that concerns all processes."""
        asked = self.server is not None and not self.server.inbox.empty()
        step, now = self.trainer.step, holding.now()
        over = self.agenda.over(step, now) or (self.previewer.rows.wanted and self.agenda.due(step, now).preview)
        return asked or over or self.rollbacks.due or self.measuring.due(self.elapsed())

    def _next_word(self) -> int:
        """The next step before which something is planned that concerns all processes."""
        now, pictures = self.trainer.step, self.config.preview.every_steps * self.previewer.rows.wanted
        every = [steps for steps in (pictures, self.agenda.validation_steps) if steps]
        due = [edit["step"] for edit in self.edits[:1]] + [now - now % steps + steps for steps in every]
        due += self.rollbacks.skips
        return min(step for step in (*due, self.trainer.total or max(due)) if step > now)

    def _fraction(self) -> float | None:
        return self.agenda.fraction(holding.now())

    def _over(self) -> bool:
        """Whether the run has its length, and nothing that it would go back for."""
        if not self.agenda.over(self.trainer.step, holding.now()):
            return False
        if self.config.train.on_nan == "rollback":
            self.flush()
        return not self.rollbacks.due

    def _edit_as_planned(self) -> None:
        while self.edits and self.edits[0]["step"] <= self.trainer.step:
            edit = self.edits.pop(0)
            self.apply_edit(edit["key"], edit["value"])

    def _rescue(self) -> None:
        """Keep what was trained before a fault outside a step: in a preview, say."""
        if not (self._whole and self.begun):
            return
        try:
            with self.record.impatient():
                self.checkpoint("before a fault")
        except Exception:  # the fault itself is told
            traceback.print_exc()

    def check(self) -> None:
        """Raise Cut where the run is to stop: what takes long and can be left off asks now and then."""
        if self.asked_to_stop or self.hurry:
            raise Cut

    def _prepare(self) -> None:
        self.computing.prepare(self.trainer, self.note)
        self.emit(plan_of(self.trainer, self.computing.compiled))

    def _begin(self) -> None:
        self.lockstep.begin(self.trainer, self.computing.state(), self._heed_end)
        self.change_state("running")
        if not self._resumed and self.config.train.on_nan == "rollback":
            self.checkpoint("to go back to")
        if self.trainer.parts and not self._resumed:
            self.checkpoint("holds the other runs' models")  # from here on those runs are not needed any more
        if self.trainer.step == 0:
            # The picture of the untrained model, which all later ones are held against, can be slow to draw: it is
            # drawn once the first loss is out.
            self._initial_model = copy.deepcopy(self.trainer.eval_model)
        self.agenda.begin(self.trainer.step, holding.now())
        step = self.trainer.step
        self.accounts.begin(step, self.elapsed())
        if self._resumed and step:
            with contextlib.suppress(Cut):
                self._do(self.agenda.missed(step, *continuing.shown_at(self.path, step)))

    def elapsed(self) -> float:
        """Seconds of training so far, pauses and waits left out, earlier sessions counted in."""
        return self.agenda.elapsed(holding.now())

    def _after_step(self) -> None:
        now = holding.now()
        settled = self.lockstep.settled(self.trainer.step)  # samples to be measured are drawn by all processes
        quality = settled and self.measuring.due(self.agenda.elapsed(now))
        due = self.agenda.due(self.trainer.step, now, quality, later=not settled and self.previewer.rows.wanted)
        with contextlib.suppress(Cut):
            self._do(due)

    def _do(self, due: Due) -> None:
        """Do what is due. Raises Cut where the run is to stop before all of it is done."""
        if due.flush:
            self.flush()
        if due.untrained:
            self._preview_untrained()
        if due.validate:
            self.validate()
        if due.preview:
            self.preview()
        if due.checkpoint:
            self.checkpoint("every so often")
        if due.quality:
            self._measure()

    @counts_as(QUALITY)
    def _measure(self) -> None:
        self.measurements.report(self.measuring.go_on(self.elapsed()))

    @counts_as(LOG)
    def flush(self) -> None:
        """Bring the metrics over from the device, write them, look at them."""
        self.computing.look(holding.now())
        speed = self.agenda.flushed(self.trainer.step, holding.now())
        columns = self.trainer.meter.flush()
        alerts = self.rollbacks.taken(self.health.look(columns), columns)
        new: list[events.Event] = [*columns, *alerts]
        if speed is not None:
            new.append(self.accounts.pace(self.trainer.step, self.elapsed(), speed, self.config.train.batch_size))
            new += self.accounts.account(self.trainer.step, self.elapsed(), speed)
        if new:
            self.emit(*new)
        if self.health.failure:
            self.rollbacks.failed(self.health.failure)

    @counts_as(VALIDATION)
    def validate(self) -> None:
        """Metrics of the validation split, into the log."""
        values = self.lockstep.validate(self.trainer, self.agenda.validation_examples, self.check)
        if not values:
            return
        self.rank.take(values, self.config.checkpoint.best, self.note)
        columns: dict[str, Sequence[float | None]]
        columns = {name: [float(f"{v:.7g}") if math.isfinite(v) else None] for name, v in values.items()}
        self.emit(events.Metrics(start=self.trainer.step - 1, values=columns))

    @counts_as(PREVIEW)
    def preview(self) -> str:
        """Draw and write the previews of the weights as they are; the path of the first, relative to the run.

        Raises Cut where the run is to stop before they are drawn.
        """
        start = holding.now() - self.accounts.waited
        first = showing.previews(self, self.trainer.eval_model, self.trainer.step)
        end = holding.now()
        self.agenda.previewed(end, end - self.accounts.waited - start)
        return first

    @counts_as(PREVIEW)
    def _preview_untrained(self) -> None:
        if self._initial_model is not None:
            start = holding.now() - self.accounts.waited
            showing.untrained(self, self._initial_model)
            end = holding.now()
            self.agenda.previewed(end, end - self.accounts.waited - start, untrained=True)
            self._initial_model = None

    @counts_as(CHECKPOINT)
    def checkpoint(self, reason: str) -> Path | None:
        """Write a checkpoint, unless this very state has one; the directory. None where the weights are not finite."""
        self.flush()
        step = self.trainer.step
        if self.rollbacks.due:
            return None
        if self._saved_step != step or not os.path.exists(checkpoints.directory(self.path, step)):
            if not self.trainer.finite():  # a resume from these would only repeat it
                self.emit(*self.rollbacks.taken(self.health.weights_broke(step), []))
                self.rollbacks.failed(self.health.failure)
                self.note("no checkpoint is made: the weights are not finite (NaN or infinite)", "warning")
                self.agenda.checkpointed(holding.now())
                return None
            state = self.computing.state() | {"validation_part": self.agenda.validation_part}
            meta = checkpoints.Meta(step, self.elapsed(), reason, self.rank.value, self.rank.metric, **state)
            folder = self.record.persist(lambda path: checkpoints.save(path, self.trainer.snapshot(), meta))
            self._saved_step = step
            self.emit(events.Checkpoint(step=step, path=str(folder.relative_to(self.path)), reason=reason))
            cadence = self.config.checkpoint
            with contextlib.suppress(OSError):
                checkpoints.prune(self.path, cadence.keep_last, cadence.keep_best, self.rollbacks.good)
        self.agenda.checkpointed(holding.now())
        return checkpoints.directory(self.path, step)

    def went_back(self, step: int, health: Health) -> None:
        """The trainer holds the checkpoint of an earlier step."""
        self._saved_step, self.health = step, health
        self.rank.forget()
        self.lockstep.restored(self.trainer)

    def apply_edit(self, key: str, value: Any, by_hand: bool = False) -> dict[str, Any]:
        """Make a checked live edit; counts from the next step. Logged where it changes anything.

        One by hand that a planned one will override is told so.
        """
        old, step = self.trainer.current(key), self.trainer.step
        if old != value:
            self.flush()
            self.trainer.edit(key, value)
            self.lockstep.edit(key, value)
            self._saved_step = -1
            self.emit(events.Edit(step=step, key=key, old=old, new=value))
        words = edits.overriding(self.edits, key, step - 1, value) if by_hand else ""
        if words:
            self.note(words, "warning")
        return {"step": step, "old": old, "new": value, "words": words}

    def _pause(self) -> None:
        self.flush()
        self.agenda.halt(holding.now())
        words = self.yielding.words
        self.change_state("paused", words)
        while self.paused and self.ending is None:
            if self.yielding.words != words:
                words = self.yielding.words
                self.change_state("paused", words)
            idle = not self.measuring.busy
            self.answer_requests(timeout=0.25 if idle else 0.1 if self.measuring.blocked else 0)
            self.record.look()
            if self.measuring.busy:
                with contextlib.suppress(Cut):
                    self.measurements.report(self.measuring.turn(self.elapsed(), idle=True))
        self.agenda.go(self.trainer.step, holding.now())
        if self.ending is None:
            self.change_state("running")

    def answer_requests(self, timeout: float = 0.0) -> None:
        """Answer what came in since the last step; with a time-out, wait that long for something to come."""
        self.lockstep.check()
        self._heed_signal()
        if self.server is None:
            return
        inbox = self.server.inbox
        if timeout and self.ending is None:  # for a short while: a signal only sets a flag, which must be seen
            with contextlib.suppress(queue.Empty):
                self._answer(inbox.get(timeout=timeout))
        while not inbox.empty():
            self._answer(inbox.get())
        self._heed_signal()

    def _heed_signal(self) -> None:
        if self.asked_to_stop and self.ending is None:
            self.ending = Stopped("stopped", self.asked_to_stop)

    def _answer(self, request: control.Request) -> None:
        """Do what a request asks. What goes wrong in it is the answer, and none of the run's business."""
        try:
            with self.record.impatient():
                answer(self, request)
        except (Stopped, Gone):
            request.refuse("the run has ended")
            raise
        except Cut:
            request.refuse("the run is being stopped")
        except OSError as error:
            where = f" {error.filename}" if error.filename else ""
            request.refuse(f"{request.op}: cannot write{where}: {error.strerror or error}")
        except Exception as error:
            traceback.print_exc()
            request.refuse(f"{request.op}: {type(error).__name__}: {error}")

    def _end(self, state: str, reason: str) -> None:
        """The last metrics, picture, figures and checkpoint, then the final word.

        Where nothing can be written, this waits as everything does; when it is to stop, each is attempted once more.
        """
        self.rollbacks.over = True
        keep = state != "failed" and not reason.startswith("without")
        finished = state == "finished"
        due = self.agenda.last(self.trainer.step, finished, keep)
        rest: list[Callable[[], Any]] = [self.flush]
        if not finished:
            self.measuring.drop(f"the run is {state}; tui-gen quality {places.called(self.path)} measures what it kept")
            rest += [lambda: self.change_state("stopping", reason)] if keep else []
        rest += [self.validate] if due.validate else []
        rest += [self.preview] if due.preview else []
        rest += [self.measurements.rest] if due.quality else []
        rest += [lambda: self.checkpoint("the end" if finished else "stopped")] if due.checkpoint else []
        word = state, reason
        for event in rest:
            try:
                event()
            except Cut:
                if finished:  # a resume makes up for what is left off
                    word = "stopped", self.asked_to_stop or "on request"
            except Stopped as ending:
                word = ending.state, ending.reason
                if ending.state == "failed" or ending.reason.startswith("without"):
                    break
        with contextlib.suppress(Stopped):
            self.emit(*self.accounts.account(self.trainer.step, self.elapsed()))
            self.change_state(*word)
        self.state = word[0]
