"""Runs as the workbench handles them: start, show, steer, resume, delete, quit; with everything said on screen.

The Session does the work, away from the UI's thread; the Conductor decides, tells, and keeps form and panes in step.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_gen import remedy, runs
from tui_gen.app.background import away
from tui_gen.app.panes.form import as_written
from tui_gen.app.steering.session import Session
from tui_gen.app.widgets.dialogs import (
    Dialog,
    beside_dialog,
    broken_dialog,
    ended_dialog,
    problems_dialog,
    quit_dialog,
    trust_dialog,
)
from tui_gen.config import ConfigError
from tui_gen.params import show
from tui_gen.states import state_look

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel

    from tui_gen.app.panes.base import Pane
    from tui_gen.app.shell.stage import Stage
    from tui_gen.speeds import Pace
    from tui_gen.view import RunView

WORDS = {
    "pause": "paused",
    "resume": "goes on",
    "checkpoint": "checkpoint made",
    "sample": "preview drawn",
    "quality": "quality measured",
    "stop": "stops",
    "yield": "gave its device back",
    "rollback": "went back and is",
}
"""What a worker has done, once it has answered."""
DOING = {
    "pause": "pausing",
    "resume": "going on",
    "checkpoint": "making a checkpoint",
    "sample": "drawing a preview",
    "quality": "measuring its quality",
    "stop": "stopping",
    "yield": "giving its device back",
    "rollback": "going back",
}
"""What it is asked for, said at the key: an answer may take as long as a step, or a checkpoint."""

BUSY = ("starting", "running", "stopping")
"""States in which a run that writes nothing may wait for something."""
SILENT = 3.0
"""Seconds after which a worker that is to stop, and does not answer, is told about."""


class Conductor:
    """What the workbench does to runs. `view` is the run shown."""

    def __init__(self, stage: Stage, session: Session) -> None:
        self.stage = stage
        self.notices = stage.notices
        self.session = session
        self.view: RunView | None = None
        self._starting = False
        self._questions = 0
        self._last_why = ""
        self._asked_status = 0.0
        self._asking_status = False
        self._alerts = 0
        self._unread = False
        self._resuming = 0.0

    # -- showing

    async def open(self, path: Path, asked_in: Pane | None = None, pace: Pace | None = None) -> None:
        """Show a run, live or past, with its full history, or replayed at a pace. `asked_in` is the pane from which,
        else the active one.
        """
        asked_in = asked_in or self.stage.workspace.active
        self.notices.say(f"opening {path.name}…")
        try:
            view = await (away(self.session.replay, path, pace) if pace else away(self.session.attach, path))
        except OSError as error:
            self.notices.tell(f"{path.name} cannot be read: {error.strerror or error}", "error")
            return
        finally:
            self.notices.say("")
        self.view = view
        self._alerts, self._unread = len(view.alerts), view.behind
        read = not self._unread
        self.stage.show_run(view)
        self.stage.caption(path.name + (" (replay)" if view.replaying else ""))
        self.stage.land(asked_in)
        self.stage.refresh_bindings()
        await self.show_config()
        if read:
            self._tell_of(view)

    def all_read(self, view: RunView) -> None:
        """A long log, of which the panes drew the beginning, is read up to its end."""
        if view is self.view and self._unread:
            self._unread = False
            self._tell_of(view)

    def _tell_of(self, view: RunView) -> None:
        """What is to be said about a run when it is shown."""
        self._alerts = len(view.alerts)
        if view.replaying:
            return
        if view.garbage:
            self.notices.tell(f"{view.garbage} lines of events.jsonl could not be read and are passed over.", "warning")
        if view.state in ("failed", "interrupted"):
            name = view.path.name
            words = f"{name} {state_look(view.state).doing}: {view.reason}"
            self.notices.note("error", f"{words}. Run > Resume goes on with it.")

    async def show_config(self, read: bool = True) -> None:
        """The settings of the run shown, in the form; with `read`, a model that is lacking is read where it may be."""
        view, form = self.view, self.stage.form
        if view is None or form is None:
            return
        try:
            run_config = await away(self.session.config_of, view.path)
        except ConfigError as error:
            await self._show_written(view, error, read)
            return
        if view is self.view:
            form.show_live(run_config, live=view.live)

    async def _show_written(self, view: RunView, error: ConfigError, read: bool) -> None:
        """Settings that cannot be checked here, as they were written; with their model where that may be read."""
        try:
            tables, folders = await away(self.session.written, view.path)
        except ConfigError:  # not even TOML
            tables, folders = {}, []
        model = as_written.lacking(tables, self.session.catalog)
        why = as_written.why(view.path, error, model, folders)
        if view is not self.view or self.stage.form is None:
            return
        if why != self._last_why:
            self.notices.tell(f"{view.path.name}: {why}", "warning")
            self._last_why = why
        self.stage.form.show_written(tables, show(tables.get("name") or view.path.name), why)
        if model and read:
            with contextlib.suppress(ConfigError):
                if await away(self.session.adopt, view.path):
                    await self.stage.read_models()
                    await self.show_config(read=False)

    async def use_models(self) -> None:
        """Read the model files that the run shown names, once they are trusted, and show its settings with them."""
        if self.view is not None and await self.trusted(self.view.path, f"{self.view.path.name} names"):
            await self.show_config()

    def close_shown(self) -> None:
        """Show no run."""
        self.view = None
        self.stage.show_run(None)
        self.stage.caption("")
        self.stage.refresh_bindings()

    # -- starting

    async def start(self) -> None:
        """Start what the form describes; every problem at once where it cannot be."""
        form = self.stage.form
        if self._starting or form is None:
            return
        asked_in = self.stage.workspace.active
        self._starting = True
        self.notices.say("starting…")
        try:
            run_config, problems = None, form.problems()
            if not problems:
                run_config, problems = await away(self.session.check, form.tables())
            if problems or run_config is None:
                form.add_problems(problems)
                self.stage.push_screen(problems_dialog("This cannot be started", problems))
                return
            if not await self.trusted(run_config.model_dirs, "These settings name"):
                return
            if not await self.may_begin("start", run_config.name or run_config.model.name):
                return
            path = await away(self.session.start, run_config)
        except runs.RunError as error:
            self.notices.tell(str(error), "error")
            return
        finally:
            self._starting = False
            self.notices.say("")
        self.notices.note("state", f"started {path.name}")
        await self.open(path, asked_in)

    async def trusted(self, where: Path | list[str], who: str) -> bool:
        """Whether the code in the folders that a run, or settings, name may be executed; asks where nobody said so."""
        try:
            folders = await away(self.session.named_by, where) if isinstance(where, Path) else where
            strange = await away(self.session.strange, folders)
        except ConfigError as error:
            self.stage.push_screen(problems_dialog("This cannot be started", error.problems))
            return False
        for folder, code in strange.items():
            if await self._answer_to(trust_dialog(who, folder, code)) != "trust":
                return False
            await away(self.session.trust, {folder: code})
        return True

    async def _answer_to(self, dialog: Dialog) -> str | None:
        """What somebody answers; meanwhile nothing is under way that quitting has to wait for."""
        self._questions += 1
        doing = self.stage.status.message
        self.notices.say("")
        try:
            return await self.stage.push_screen_wait(dialog)
        finally:
            self._questions -= 1
            self.notices.say(doing)

    async def may_begin(self, doing: str, what: str, path: Path | None = None) -> bool:
        """Whether to start (or resume) a run: asks where others are live, and stops them first if that is wanted."""
        on_screen = self.view.path if self.view is not None else None
        others = [run for run in await away(self.session.live_here, on_screen) if run[0] != path]
        if not others:
            return True
        rows = [(run.name, state, step) for run, state, step in others]
        answer = await self._answer_to(beside_dialog(doing, what, rows))
        if answer != "stop":
            return answer == "beside"
        for run, _, _ in others:
            if not await self._ended(run):
                verb = "resumed" if doing == "resume" else "started"
                self.notices.tell(f"{run.name} has not stopped, so nothing was {verb}.", "warning")
                return False
        return True

    async def _ended(self, path: Path) -> bool:
        """Stop a run and wait for its end, two minutes at most; whether it has ended."""
        stopping = (await away(runs.state_of, path))[0] == "stopping" or await self.ask("stop", path, checkpoint=True)
        deadline = time.monotonic() + (120 if stopping else 0)
        self.notices.say(f"waiting for {path.name} to stop…")
        while (live := (await away(runs.state_of, path))[0] in runs.LIVE) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        self.notices.say("")
        return not live

    async def resume(self, path: Path, answer: str = "") -> None:
        """Let a run that ended go on from its last checkpoint, and show it.

        One whose loss was no number would repeat that: a smaller rate is offered first, unless `answer` tells already
        what was chosen (`smaller`, or `resume` for as it was).
        """
        asked_in = self.stage.workspace.active
        remedy = await away(self.session.remedy, path) if answer != "resume" else None
        if remedy is not None and not answer:
            dialog = broken_dialog(path.name, "", remedy, await away(_newest, path))
            answer = await self.stage.push_screen_wait(dialog) or ""
            if answer not in ("smaller", "resume"):
                return
        if not await self.trusted(path, f"{path.name} names"):
            return
        if not await self.has_data(path) or not await self.may_begin("resume", path.name, path):
            return
        self.notices.say(f"resuming {path.name}…")
        try:
            smaller = remedy.assignments if remedy is not None and answer == "smaller" else []
            warnings = await away(self.session.resume, path, smaller)
        except (runs.RunError, ConfigError) as error:
            self.notices.say("")
            self.notices.tell(str(error), "error")
            return
        for words in warnings:
            self.notices.tell(words, "warning")
        self._resuming = time.monotonic()
        self.notices.note("state", f"resuming {path.name}")
        if self.view is not None and self.view.path == path:
            self.stage.land(asked_in)
        else:
            await self.open(path, asked_in)
            if self.view is not None and not self.view.live:
                self.notices.say(f"resuming {path.name}…")

    async def has_data(self, path: Path) -> bool:
        """Whether a run's data is where it was, or where somebody says that it is now."""
        from tui_gen.app.widgets.path_dialog import PathDialog

        try:
            missing, is_file = await away(self.session.lost_data, path)
        except ConfigError:
            return True  # whoever goes on with it is told
        if not missing:
            return True
        why = f"{path.name} read {missing}, which is not there any more."
        dialog = PathDialog("Where is its data now?", folder=not is_file, suffix="", why=why)
        place = await self.stage.push_screen_wait(dialog)
        if place is None:
            self.notices.tell(f"{path.name} was not resumed: its data is not at {missing}.", "warning")
            return False
        try:
            await away(self.session.move_data, path, place)
        except (runs.RunError, ConfigError) as error:
            self.notices.tell(str(error), "error")
            return False
        self.notices.tell(f"{path.name} reads its data from {place} now.")
        return True

    # -- steering

    async def ask(self, op: str, path: Path | None = None, **fields: Any) -> bool:
        """A request to the run shown (or another), acknowledged on screen with the step at which it took effect."""
        from tui_gen.control import ControlError

        path = path or (self.view.path if self.view is not None else None)
        if path is None:
            self.notices.tell("No run is shown.", "warning")
            return False
        self.notices.say(f"{DOING.get(op, op)}…")
        silent = self.stage.set_timer(SILENT, lambda: self._tell_silence(path)) if op == "stop" else None
        try:
            reply = await away(self.session.ask, path, op, **fields)
        except ControlError as error:
            self.notices.tell(f"{op}: {error}", "error")
            return False
        finally:
            if silent is not None:
                silent.stop()
            self.notices.say("")
        name = "" if self.view is not None and path == self.view.path else f"{path.name}: "
        words = WORDS.get(op, op)
        if op == "stop" and fields.get("checkpoint", True):
            words = "stops with a checkpoint"
        text = f"{name}{words} at step {reply.data.get('step', 0):,}"
        if op == "quality":
            text += self._measured(reply.data)
        elif op == "rollback":
            text += f" ({reply.data.get('change') or 'as it was'}; it was at {reply.data.get('was', 0):,})"
        elif op == "yield":
            text += f"; {reply.data.get('words') or ''}"
        self.notices.tell(text, log=bool(name) or op == "sample")
        return True

    def _tell_silence(self, path: Path) -> None:
        """A worker that is to stop has not answered for a while: why, and what to do."""
        from tui_gen import launch

        self.notices.tell(f"{path.name} has not stopped yet: {launch.why_silent(path)}.", "warning")

    def _measured(self, data: dict[str, Any]) -> str:
        """The figures that a worker answered with, in words; the samples pane shows all of them."""
        import msgspec

        from tui_gen import quality

        self.stage.show_previews("quality")
        try:
            report = msgspec.convert(data.get("report"), quality.Report)
        except msgspec.ValidationError:  # a worker of another version
            return ""
        return f": {quality.summary(report)}"

    async def edit(self, key: str, value: Any) -> None:
        """Change a setting of the run shown; the form is told when it took effect, or why it was refused."""
        from tui_gen.control import ControlError

        view, form = self.view, self.stage.form
        if view is None or form is None:
            return
        try:
            reply = await away(self.session.ask, view.path, "edit", key=key, value=value)
        except ControlError as error:
            form.refuse(key, str(error))
            self.notices.tell(f"{key} was not changed: {error}", "error")
            return
        step, new = reply.data.get("step", 0), reply.data.get("new", value)
        if view is self.view:
            form.acknowledge(key, new, step)
        if words := str(reply.data.get("words") or ""):
            self.notices.tell(words, "warning", log=False)
        else:
            self.notices.tell(f"{key} = {show(new)} from step {step:,}", log=False)

    async def stop(self, path: Path | None = None) -> None:
        """Stop a run with a checkpoint."""
        await self.ask("stop", path, checkpoint=True)

    # -- what the one timer notices

    def state_changed(self, before: str, after: str) -> None:
        """The run shown went over to another state."""
        view = self.view
        if view is None:
            return
        self.stage.refresh_bindings()
        was_live, live = before in runs.LIVE, after in runs.LIVE
        if live == was_live or view.replaying:
            return
        self._resumed()
        self.stage.status.trouble = ""
        self.stage.run_worker(self.show_config(), exit_on_error=False)
        self.stage.runs_changed()
        if live:
            self.notices.withdraw()  # somebody else resumed it
            return
        self.session.reap()
        name = view.path.name
        if after in ("failed", "interrupted"):
            self.stage.run_worker(away(self.session.spawn_warm), exit_on_error=False)  # it is likely to go on
            last = view.checkpoints[-1].step if view.checkpoints else None
            if cure := remedy.find(view.alerts, view.checkpoints):
                dialog = broken_dialog(name, view.reason, cure, last)
            else:
                lines = view.worst_log_lines() or [text for _, _, text in view.log[-6:]]
                dialog = ended_dialog(name, after, view.reason, lines, last, view.path.is_dir())
            self.notices.offer(dialog, lambda answer: self._answered(answer, view.path))
        else:
            self.notices.tell(f"{name} {after} at step {view.step:,}.", log=False)

    def _resumed(self) -> None:
        """The worker of a resumed run has begun, or has not for too long."""
        if self._resuming:
            self._resuming = 0.0
            self.notices.say("")

    def _answered(self, answer: str | None, path: Path) -> None:
        if answer in ("resume", "smaller"):
            self.stage.run_worker(self.resume(path, answer), exit_on_error=False)
        elif answer == "back" and self.view is not None and self.view.path == path:
            self.stage.do("roll_back")

    def beat(self, quiet_for: float) -> None:
        """Called about once a second: tell new alerts, ask a silent run what troubles it."""
        view = self.view
        if self._resuming and (time.monotonic() - self._resuming > 60 or (view is not None and view.live)):
            self._resumed()
        if view is not None and not self._unread and len(view.alerts) != self._alerts:
            has_dialog = not view.live and remedy.find(view.alerts, view.checkpoints)  # a dialog offers the same
            if len(view.alerts) > self._alerts and not has_dialog:
                last = view.alerts[-1]
                severity: SeverityLevel = "error" if last.level == "error" else "warning"
                back = f" {self.stage.key_of('run.back')} goes back to before it." if last.kept and view.live else ""
                words = f"Step {last.at:,}: {last.words}. {last.advice}".strip()
                self.notices.tell(f"{words}{back}", severity, log=False)
            self._alerts = len(view.alerts)
        if view is None or view.replaying or view.state not in BUSY or quiet_for < 3 or self._asking_status:
            if view is not None and self.stage.status.trouble and quiet_for < 3:
                self.stage.status.trouble = ""
            return
        now = time.monotonic()
        if now - self._asked_status > 4:
            self._asked_status = now
            self.stage.run_worker(self._ask_status(view), exit_on_error=False)

    async def _ask_status(self, view: RunView) -> None:
        from tui_gen.control import ControlError

        self._asking_status = True
        try:
            reply = await away(self.session.ask, view.path, "status")
        except ControlError:
            return
        finally:
            self._asking_status = False
        trouble = str(reply.data.get("trouble") or "")
        if view is self.view and trouble != self.stage.status.trouble:
            self.stage.status.trouble = trouble
            self.stage.status.update_text()
            if trouble:
                self.notices.tell(f"{trouble}. Nothing is lost: what could not be written is kept in memory.", "error")

    # -- leaving

    async def may_quit(self) -> bool:
        """Ask what to do with live runs, where there are any, and do it. False: stay."""
        while self._starting and not self._questions:  # what is asked below concerns that run, too
            await asyncio.sleep(0.05)
        on_screen = self.view.path if self.view is not None else None
        live = await away(self.session.live_of_ours, on_screen)
        if not live:
            return True
        answer = await self.stage.push_screen_wait(quit_dialog([(path.name, state) for path, state in live]))
        if answer == "stop":
            answers = [await self.ask("stop", path, checkpoint=True) for path, _ in live]
            return all(answers)
        return answer == "leave"


def _newest(path: Path) -> int | None:
    """The step of a run's newest checkpoint that can be used, or None."""
    from tui_gen import checkpoints

    return checkpoints.newest_sound(path) or None
