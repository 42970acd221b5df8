"""The workbench and forks: from where, with which settings, and the new run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_gen.app.background import away

if TYPE_CHECKING:
    from tui_gen.app.panes.asking import ForkAsked
    from tui_gen.app.shell.stage import Stage
    from tui_gen.app.steering.conductor import Conductor
    from tui_gen.app.steering.session import Session
    from tui_gen.forking import ForkPoint
    from tui_gen.params import Problem

MOST = 4
"""Settings that are named in a question."""


class Forker:
    """Asks how a run is to be forked, and starts what the form describes: a fork, perhaps."""

    def __init__(self, stage: Stage, session: Session, conductor: Conductor) -> None:
        self.stage, self.session, self.conductor = stage, session, conductor
        self._busy = False

    def action_start(self) -> None:
        """Train what the form describes."""
        if self.stage.form is not None:
            self.stage.run_worker(self.start(), exit_on_error=False)

    def on_fork_asked(self, message: ForkAsked) -> None:
        """A run is to be forked."""
        self.stage.run_worker(self.ask(message.path, message.step), exit_on_error=False)

    async def ask(self, path: Path, step: int | None) -> None:
        """Say from where it would go on; then its settings go into the form, or it is started with them as they are."""
        from tui_gen import forking, launch
        from tui_gen.app.widgets.dialogs import Dialog
        from tui_gen.config import ConfigError
        from tui_gen.control import ControlError
        from tui_gen.quantities import count
        from tui_gen.runs import RunError

        notices = self.stage.notices
        notices.say(f"looking for a checkpoint of {path.name}…")
        try:
            if step is None:
                await away(launch.first_checkpoint, path)
            point, tables, later = await away(forking.proposal, path, step, self.session.catalog)
        except (RunError, ConfigError, ControlError) as error:
            notices.tell(str(error), "error")
            return
        finally:
            notices.say("")
        lines = [f"A new run with its past up to step {count(point.step)}, {point.words}."]
        if later:
            names = ", ".join(later[:MOST]) + (", …" if len(later) > MOST else "")
            lines += ["", f"What was edited later ({names}) is done again, but for what you change."]
        lines += ["", "The run itself stays as it is; its fork needs nothing of it."]
        answers = [("change", "Change settings first"), ("start", "Start as it is"), ("cancel", "Cancel")]
        answer = await self.stage.push_screen_wait(Dialog(f"Fork {path.name}", "\n".join(lines), answers))
        tables["name"] = forking.name_at(str(tables["name"] or path.name), point.step)
        if answer == "change" and self.stage.form is not None:
            key = self.stage.key_of("run.start")
            self.stage.form.load_fork(point, tables, f"{key} starts a fork of {path.name} at step {count(point.step)}.")
            self.stage.workspace.open("form")
        elif answer == "start":
            await self._start(point, tables)

    async def start(self) -> None:
        """Start what the form describes: a fork, where it has the settings of one."""
        form = self.stage.form
        point = form.fork if form is not None else None
        if form is None or point is None:
            await self.conductor.start()
        elif problems := form.problems():
            self._refuse(problems)
        else:
            await self._start(point, form.tables())

    async def _start(self, point: ForkPoint, tables: dict[str, Any]) -> None:
        from tui_gen.config import ConfigError
        from tui_gen.control import ControlError
        from tui_gen.runs import RunError

        notices, name = self.stage.notices, point.run.name
        if self._busy:
            return
        asked_in = self.stage.workspace.active
        self._busy = True
        notices.say(f"forking {name}…")
        try:
            if not await self.conductor.trusted(point.run, f"{name} names"):
                return
            if not await self.conductor.may_begin("start", f"A fork of {name}"):
                return
            path, warnings = await away(self.session.fork, point, tables)
        except ConfigError as error:
            self._refuse(error.problems)
            return
        except (RunError, ControlError) as error:
            notices.tell(str(error), "error")
            return
        finally:
            self._busy = False
            notices.say("")
        for words in warnings:
            notices.tell(f"{words[:1].upper()}{words[1:]}.", "warning")
        notices.note("state", f"forked {name}: {path.name}")
        await self.conductor.open(path, asked_in)
        self.stage.runs_changed()

    def _refuse(self, problems: list[Problem]) -> None:
        from tui_gen.app.widgets.dialogs import problems_dialog

        if self.stage.form is not None and self.stage.form.fork is not None:
            self.stage.form.add_problems(problems)
        self.stage.push_screen(problems_dialog("This cannot be forked", problems))
