"""What is kept ready for the next run: a warm worker, and a catalogue that is not older than the model files."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tui_gen.app.background import away
from tui_gen.app.steering.session import PATIENCE
from tui_gen.config import ConfigError
from tui_gen.control import ControlError

if TYPE_CHECKING:
    from tui_gen.app.panes.base import WorkerAsked
    from tui_gen.app.shell.stage import Stage
    from tui_gen.app.steering.session import Session


class Stock:
    """Keeps the session's warm worker and catalogue up to date, and tells every pane of other models."""

    def __init__(self, stage: Stage, session: Session) -> None:
        self._stage = stage
        self._session = session

    async def begin(self) -> None:
        """The warm worker, and through it a catalogue that has become stale."""
        await away(self._session.spawn_warm)
        if await away(self._session.stale):
            await self._take_models()

    async def read_models(self) -> None:
        """Know the models in the folders that are in use now: by what was kept of them, else by a new warm worker."""
        await away(self._session.drop_warm)
        await away(self._session.spawn_warm)
        await self._take_models()

    async def tell(self, asked: WorkerAsked) -> None:
        """Have a worker tell a pane what it asked of settings, or the pane why it cannot be told."""
        ops = {"network": self._session.network, "sheet": self._session.sheet}
        found, words = None, ""
        try:
            found = await away(ops[asked.op], asked.tables)
        except ConfigError as error:
            words = "\n".join(map(str, error.problems))
        except ControlError as error:
            words = str(error)
        asked.then(found, words)

    async def _take_models(self) -> None:
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
        for pane in self._stage.workspace.panes:
            pane.set_catalog(session.catalog)
        for problem in session.catalog.problems:
            self._stage.notices.note("warning", problem)
