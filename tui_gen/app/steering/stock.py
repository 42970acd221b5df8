"""What is kept ready for the next run: a warm worker, and a catalogue that is not older than the model files."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from tui_gen.app.background import away
from tui_gen.app.steering.session import PATIENCE
from tui_gen.config import ConfigError
from tui_gen.control import ControlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui_gen.app.panes.base import WorkerAsked
    from tui_gen.app.shell.stage import Stage
    from tui_gen.app.steering.session import Session
    from tui_gen.sheet import DataSheet
    from tui_gen.verdicts.network import Network
    from tui_gen.view import RunView

LINGER = 60.0
"""Seconds that one is kept while a run is looked at and nothing is prepared: it takes more memory than all the rest."""
PREPARING = ("models", "form")
"""The panes in which the next run is prepared."""


class Stock:
    """Keeps the session's warm worker and catalogue up to date, and tells every pane of other models.

    There is a warm worker while no run is shown, and from when somebody goes to the form or the models beside one.
    """

    def __init__(self, stage: Stage, session: Session) -> None:
        self._stage = stage
        self._session = session
        self._wish_time = 0.0
        self._reading = False

    async def begin(self, looking: bool) -> None:
        """The warm worker, unless a run is to be looked at; and through it a catalogue that has become stale."""
        if not looking:
            await away(self._session.spawn_warm)
        if await away(self._session.stale) and not await self.take_kept():
            await away(self._session.spawn_warm)
            await self._take_models()

    async def take_kept(self) -> bool:
        """Have the panes know the models that were kept, where those that they know are not up to date. True then."""
        found = await away(self._session.take_kept)
        if found:
            self._tell()
        return found

    def touched(self) -> None:
        """Somebody pressed a key or a button: where the next run is prepared, it is to start at once."""
        pane = self._stage.workspace.active
        if pane is None or pane.id not in PREPARING:
            return
        now = time.monotonic()
        before, self._wish_time = self._wish_time, now
        if now - before > 1.0:
            self._stage.run_worker(away(self._session.spawn_warm), exit_on_error=False)

    def beat(self, view: RunView | None) -> None:
        """Called about once a second: whoever only looks at a run needs no worker for another."""
        if view is None or self._reading or self._session.warm is None:
            return
        if time.monotonic() - max(self._wish_time, self._session.warm_since) > LINGER:
            self._stage.run_worker(away(self._session.drop_warm, unless_fresh=False), exit_on_error=False)

    async def read_models(self) -> None:
        """Know the models in the folders that are in use now: by what was kept of them, else by a new warm worker."""
        await away(self._session.drop_warm)
        await away(self._session.spawn_warm)
        await self._take_models()

    async def tell(self, question: WorkerAsked) -> None:
        """Have a worker tell a pane what it asked of settings, or the pane why it cannot be told."""
        ops: dict[str, Callable[[dict[str, Any]], Network | DataSheet]]
        ops = {"network": self._session.network, "sheet": self._session.sheet}
        answer, words = None, ""
        try:
            answer = await away(ops[question.op], question.tables)
        except ConfigError as error:
            words = "\n".join(map(str, error.problems))
        except ControlError as error:
            words = str(error)
        question.then(answer, words)

    async def _take_models(self) -> None:
        self._reading = True
        try:
            await self._read()
        finally:
            self._reading = False

    async def _read(self) -> None:
        session = self._session
        if not await away(session.take_kept):
            self._stage.notices.say("reading the models…")
            deadline = time.monotonic() + PATIENCE
            while not session.warm_ready and time.monotonic() < deadline:
                await asyncio.sleep(0.2)
            fresh = await away(session.refresh_catalog)
            self._stage.notices.say("")
            if not fresh:
                return
        self._tell()

    def _tell(self) -> None:
        session = self._session
        for pane in self._stage.workspace.panes:
            pane.set_catalog(session.catalog)
        for problem in session.catalog.problems:
            self._stage.notices.note("warning", problem)
