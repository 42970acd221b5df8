"""The dealings of a workbench with runs of another machine: the session, and the views, of a mirror.

What a worker is asked goes the ordinary way, through sockets that stand for it. What changes a run's folder is done
there, and what would need this machine's data, models or devices is refused.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_gen.app.steering.session import Session
from tui_gen.control import ControlError
from tui_gen.remarks import RemarkError
from tui_gen.remote.watcher import Watcher
from tui_gen.replay import ReplayView
from tui_gen.runs import RunError
from tui_gen.view import RunView

if TYPE_CHECKING:
    from tui_gen.catalog import Catalog
    from tui_gen.config import RunConfig
    from tui_gen.forking import ForkPoint
    from tui_gen.params import Problem
    from tui_gen.remedy import Remedy
    from tui_gen.speeds import Pace
    from tui_gen.verdicts.network import Network


class FarPreviews:
    """The previews of a run of another machine, which come when they are looked at."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher, self._arrivals = watcher, 0

    def came(self) -> bool:
        """Whether one came since somebody asked."""
        before, self._arrivals = self._arrivals, self.watcher.previews.arrivals
        return before != self._arrivals

    def wanted(self, path: Path, name: str) -> Path:
        """A file of the run that is here. Raises OSError where it is still to come."""
        run = path.parent.parent.name
        if not self.watcher.want(run, name):
            host = self.watcher.host
            there = self.watcher.previews.is_absent(run, name)
            words = f"{host} does not have it any more" if there else f"it is on its way from {host}"
            raise OSError(errno.EAGAIN, words, str(path))
        return path


class FarSession(Session):
    """The dealings with the runs that a watcher mirrors. No worker is started here."""

    starts_runs = False

    def __init__(self, watcher: Watcher, model_dirs: list[str], catalog: Catalog) -> None:
        super().__init__(watcher.root, model_dirs, catalog)
        self.watcher = watcher

    def _refusal(self, what: str, instead: str) -> str:
        place = self.watcher.dialling.place
        return f"This workbench watches {place}, and {what}: {instead}."

    # -- reading

    def attach(self, path: Path) -> RunView:
        """A run, once its log is here. Raises OSError where it cannot be had."""
        self._open(path)
        view = RunView.begin(path)
        view.previews = FarPreviews(self.watcher)
        return view

    def replay(self, path: Path, pace: Pace) -> RunView:
        """A run replayed at a pace, once all of it is here."""
        self.fetch(path)
        view = ReplayView(path, pace)
        view.previews = FarPreviews(self.watcher)
        view.poll()
        return view

    def _open(self, path: Path) -> None:
        try:
            self.watcher.open_run(path)
        except RunError as error:
            raise OSError(errno.EHOSTUNREACH, str(error), str(path)) from None

    def fetch(self, path: Path) -> None:
        """Have the log and all previews of a run here. Raises OSError where that cannot be."""
        try:
            self.watcher.fetch_all(path)
        except RunError as error:
            raise OSError(errno.EHOSTUNREACH, str(error), str(path)) from None

    def beside(self, run: Path) -> Path:
        """Where an export of a run goes by default: to the folder that the workbench was started in."""
        return Path.cwd() / run.name

    def named_by(self, path: Path) -> list[str]:
        """None: its folders of model files are those of the other machine."""
        return []

    def adopt(self, path: Path) -> bool:
        """No model file is read for a run of another machine."""
        return False

    def stale(self) -> bool:
        """The models are those that are known: none is read anew here."""
        return False

    # -- what is done there

    def remark(self, path: Path, what: str, *words: Any) -> object:
        """Change what is kept about a run, where it is. Raises RemarkError."""
        try:
            return self.watcher.do(path, what, *words)
        except RunError as error:
            raise RemarkError(str(error)) from None

    def delete(self, path: Path) -> None:
        """Remove a run's directory on the other machine. Raises RunError."""
        self.watcher.do(path, "delete")
        self.started.discard(path)

    def resume(self, path: Path, assignments: list[str] | None = None) -> list[str]:
        """Let a run go on, on the other machine; warnings. Raises RunError."""
        return self.watcher.do(path, "resume", assignments or [])

    def lost_data(self, path: Path) -> tuple[str, bool]:
        """Nothing that could be told from here."""
        return "", False

    def live_here(self, on_screen: Path | None) -> list[tuple[Path, str, int]]:
        """None: what trains, trains elsewhere."""
        return []

    def remedy(self, path: Path) -> Remedy | None:
        """What to resume a run with, once its log is here."""
        try:
            self.watcher.open_run(path)
        except RunError:
            return None
        return super().remedy(path)

    # -- what cannot be done

    def check(self, tables: dict[str, Any]) -> tuple[RunConfig | None, list[Problem]]:
        """Raises RunError: nothing is started from here."""
        host = self.watcher.host
        instead = f"start it there (ssh {host}, tui-gen --run CONFIG --detach), and it shows here"
        raise RunError(self._refusal("starts nothing", instead))

    def fork(self, point: ForkPoint, tables: dict[str, Any]) -> tuple[Path, list[str]]:
        """Raises RunError."""
        raise RunError(self.no_fork(point.run))

    def no_fork(self, path: Path) -> str:
        """Why a run is not forked from here, and what to do."""
        host = self.watcher.host
        instead = f"ssh {host} tui-gen fork {path.name} makes one, which shows here"
        return self._refusal("checkpoints stay there", instead)

    def no_rollback(self, path: Path) -> str:
        """Why a run is not taken back from here, and what to do."""
        host = self.watcher.host
        return self._refusal("checkpoints stay there", f"ssh {host} tui-gen rollback {path.name} goes back with it")

    def no_queue(self) -> str:
        """Why no queue is trained from here, and what to do."""
        return self._refusal("starts nothing", f"ssh {self.watcher.host} tui-gen queue has the queue over there")

    def network(self, tables: dict[str, Any]) -> Network:
        """Raises ControlError."""
        raise ControlError(self._refusal("has no worker of its own", "a workbench of this machine tells that"))

    def spawn_warm(self) -> None:
        """None: nothing is started here."""

    def close(self) -> None:
        """End the link. Runs go on."""
        self.watcher.close()
        super().close()
