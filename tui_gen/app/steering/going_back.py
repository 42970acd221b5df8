"""Going back with the run shown, live or not, to one of its checkpoints: the question, and what comes of the answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tui_gen import checkpoints, config, events, rollbacks, runs
from tui_gen.app.background import away
from tui_gen.app.widgets.rollback_dialog import RollbackDialog
from tui_gen.config import ConfigError

if TYPE_CHECKING:
    from tui_gen.app.steering.conductor import Conductor
    from tui_gen.catalog import Catalog


async def ask(conductor: Conductor) -> None:
    """Ask where to, and go."""
    view, notices = conductor.view, conductor.notices
    if view is None:
        return
    path = view.path
    steps, alert = await away(_choice, path)
    if not steps and await away(runs.live, path) and await conductor.ask("checkpoint", path):
        steps, alert = await away(_choice, path)
    if not steps:
        notices.tell(f"{path.name} has no checkpoint to go back to.", "warning")
        return
    dialog = RollbackDialog(path.name, steps, alert)
    answer = await conductor.stage.push_screen_wait(dialog)
    if answer not in ("smaller", "skip", "same"):
        return
    rate = {"smaller": dialog.factor, "same": 1.0}.get(answer)
    skip = rollbacks.batch_of(alert) if answer == "skip" else None
    if await away(runs.live, path):
        await conductor.ask("rollback", path, to=dialog.step, rate=rate, skip=skip)
        return
    notices.say("going back…")
    try:
        event = await away(_back, path, conductor.session.catalog, dialog.step, rate, skip)
    except (runs.RunError, ConfigError) as error:
        notices.tell(str(error), "error")
        return
    finally:
        notices.say("")
    notices.tell(f"{path.name} {rollbacks.words(event)}", log=False)
    await conductor.resume(path, "resume")


def _choice(path: Path) -> tuple[list[int], events.Alert | None]:
    return checkpoints.steps(path), rollbacks.last_alert(path)


def _back(path: Path, catalog: Catalog, to: int, factor: float | None, skip: int | None) -> events.Rollback:
    with runs.claim(path):
        run_config = config.load(config.read_toml(path / "config.toml"), catalog, path.name)
        return rollbacks.go_back(path, run_config, to=to, factor=factor, skip=skip)
