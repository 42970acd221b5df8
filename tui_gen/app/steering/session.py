"""What the workbench does to runs: start, attach, ask, resume, delete. Knows no widget, blocks where it has to.

Every method that waits for a disk or a worker is meant to be called away from the UI's thread.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_gen import runs
from tui_gen.app.steering.reading import SheetReader
from tui_gen.config import ConfigError
from tui_gen.params import Problem

if TYPE_CHECKING:
    import subprocess

    from tui_gen.catalog import Catalog
    from tui_gen.config import RunConfig
    from tui_gen.control import Reply
    from tui_gen.forking import ForkPoint
    from tui_gen.launch import WarmWorker
    from tui_gen.remedy import Remedy
    from tui_gen.sheet import DataSheet
    from tui_gen.speeds import Pace
    from tui_gen.trust import Code
    from tui_gen.verdicts.network import Network
    from tui_gen.view import RunView

PATIENCE = 120.0
"""Seconds that a warm worker may take to come up, and to read the models."""
SLOW = {"checkpoint": 120.0, "stop": 120.0, "sample": 60.0, "quality": 1800.0, "rollback": 300.0, "yield": 300.0}
"""Seconds to wait for an answer that takes work; others take 15."""


class Session:
    """One workbench's dealings with the runs in a folder.

    `started` holds the runs this workbench started; `warm` the worker kept ready for the next one.
    """

    starts_runs = True
    """Whether a run can be begun from here at all."""

    def __init__(self, root: Path, model_dirs: list[str], catalog: Catalog) -> None:
        self.root = Path(root)
        self.model_dirs = list(model_dirs)
        self.adopted: list[str] = []
        """Folders of model files that runs named, read because they are trusted; see `dirs`."""
        self.catalog = catalog
        self.started: set[Path] = set()
        self.warm: WarmWorker | None = None
        self.warm_since = 0.0
        """When it was started, or somebody waited for it last, by the steady clock."""
        self._spawning = threading.Lock()
        self._closed = False
        self._warm_key = ""
        self._children: list[subprocess.Popen[bytes]] = []
        self._reader = SheetReader()

    def dirs(self) -> list[str]:
        """The folders of model files in use: those that were given, and the adopted ones that are still trusted."""
        from tui_gen import trust

        folders = list(self.model_dirs)
        for folder in self.adopted:
            with contextlib.suppress(ConfigError):
                folders += [] if trust.unknown([folder]) else [folder]
        return folders

    def adopt(self, path: Path) -> bool:
        """Use the folders of model files that a run names, where all are trusted; whether models must be read for it.

        Raises ConfigError where one holds too much to be looked through.
        """
        folders = [folder for folder in self.named_by(path) if os.path.isdir(folder)]
        if not folders or self.strange(folders):
            return False
        self.adopted += [folder for folder in folders if folder not in self.adopted]
        return self._key() != self.catalog.key

    def spawn_warm(self) -> None:
        """Have a warm worker, unless there is one. Does nothing where none can be started: Start still works."""
        from tui_gen import trust
        from tui_gen.control import ControlError
        from tui_gen.launch import WarmWorker

        with self._spawning:
            if self._closed or (self.warm is not None and self.warm.alive):
                return
            trust.allow(self.model_dirs)  # the user named them, and may have changed what is in them
            warm = WarmWorker(model_dirs=self.dirs())
            with contextlib.suppress(OSError, ControlError):
                self._warm_key = self._key()
                warm.spawn()
                self.warm, self.warm_since = warm, time.monotonic()

    def _key(self) -> str:
        from tui_gen import catalog

        return catalog.key_of(catalog.model_dirs(self.dirs()))

    def drop_warm(self, unless_fresh: bool = True) -> None:
        """End the warm worker, unless the model files are still those that it has read."""
        with self._spawning:
            warm = self.warm
            if warm is None or (unless_fresh and self._key() == self._warm_key):
                return
            self.warm = None
        warm.close()

    @property
    def warm_ready(self) -> bool:
        """Whether the next Start will be immediate."""
        return self.warm is not None and self.warm.ready

    def check(self, tables: dict[str, Any]) -> tuple[RunConfig | None, list[Problem]]:
        """The config in these tables and everything wrong with it, the model's own objections included.

        The model is asked only where a warm worker is ready; a worker that starts cold finds out by itself.
        """
        from tui_gen import config, control, starting

        try:
            run_config = config.load(tables, self.catalog, "the form")
        except config.ConfigError as error:
            return None, error.problems
        if problems := starting.settle(run_config, self.catalog, self.root):
            return None, problems
        self.drop_warm()
        if self.warm is not None and self.warm.ready:
            with contextlib.suppress(control.ControlError):
                problems = self.warm.check(config.to_tables(run_config))
                if problems:
                    return None, problems
        return run_config, []

    def network(self, tables: dict[str, Any]) -> Network:
        """What a config in these tables trains and takes, as the warm worker finds it. Starts one where there is none.

        Raises ConfigError, and ControlError where it cannot be told.
        """
        from tui_gen import config, starting

        run_config = config.load(tables, self.catalog, "the settings")
        if problems := starting.settle(run_config, self.catalog, self.root):
            raise ConfigError("the settings", problems)
        return self._warmed().network(config.to_tables(run_config))

    def _warmed(self) -> WarmWorker:
        """The warm worker, once it is ready; started where there is none. Raises ControlError."""
        from tui_gen.control import ControlError

        self.drop_warm()
        self.spawn_warm()
        deadline = time.monotonic() + 5 * PATIENCE  # beside a run that takes all cores it comes up slowly
        while (warm := self.warm) is None or not warm.ready:
            if time.monotonic() > deadline or (warm is not None and not warm.alive):
                raise ControlError("PyTorch does not come up: this machine is too busy, or a run tells why")
            if warm is None:  # let go of in this very moment, as nobody had needed it for a while
                self.spawn_warm()
                if self.warm is None:
                    raise ControlError("no worker can be started to ask it")
            self.warm_since = time.monotonic()
            time.sleep(0.1)
        self.warm_since = time.monotonic()
        return warm

    def fork(self, point: ForkPoint, tables: dict[str, Any]) -> tuple[Path, list[str]]:
        """Fork a run, with these settings from the step on, and start it: the new run's folder, and warnings.

        Raises RunError, ConfigError for settings that cannot be, and ControlError where the model cannot be asked.
        """
        from tui_gen import config, forking

        now = forking.place_of(point.run, point.step)  # reads all of the checkpoint
        plan = forking.planned(now, tables, self.catalog)
        if not plan.fits and (problems := self._warmed().check(config.to_tables(plan.config), weights=now.weights)):
            raise ConfigError(f"a fork of {point.run.name}", problems)
        path = forking.make(now, plan, self.root, self.catalog)
        self._launch(path, resume=True)
        notes = [] if now.start == point.start else [now.words]
        return path, [*notes, *plan.warnings]

    def sheet(self, tables: dict[str, Any]) -> DataSheet:
        """What the dataset in the table `dataset` holds, read with `seed`. Nothing is downloaded for it.

        Raises ConfigError, and ControlError where it cannot be told.
        """
        from tui_gen import config, datasets
        from tui_gen.control import ControlError
        from tui_gen.places import NoHome

        table, problems = config.dataset_table(tables["dataset"], self.catalog)
        if problems:
            raise ConfigError("the settings", problems)
        entry = self.catalog.datasets[table.name]
        try:
            root = datasets.absolute(table.root)
        except NoHome as error:
            raise ConfigError("the settings", [Problem("dataset.root", table.root, str(error))]) from None
        why, remedy = datasets.missing(entry, root)
        if why:
            raise ConfigError("the settings", [Problem("dataset.root", root, why, remedy)])
        if not datasets.at_hand(entry, root):
            words = "the first run downloads it; or set dataset.root to a folder that has it"
            raise ControlError(f"{entry.title} is not on this disk: {words}.")
        table.root = root
        seed = tables["seed"] if isinstance(tables["seed"], int) else 0
        return self._reader.read({"name": table.name, **table.values}, seed, self.dirs())

    def start(self, run_config: RunConfig) -> Path:
        """Make the directory of a checked config's run and start its worker. Raises RunError."""
        from tui_gen import starting

        self.name_folders(run_config)
        path = starting.create(run_config, self.catalog, self.root)
        self._launch(path, resume=False)
        return path

    def name_folders(self, run_config: RunConfig) -> None:
        """Write down in a config which folders of model files it needs, where it does not say."""
        if not run_config.model_dirs:
            parts = (self.catalog.models.get(run_config.model.name), self.catalog.datasets.get(run_config.dataset.name))
            sources = [Path(entry.source) for entry in parts if entry is not None]
            its = [folder for folder in self.adopted if any(source.is_relative_to(folder) for source in sources)]
            folders = (os.path.expanduser(folder) for folder in [*self.model_dirs, *its])
            run_config.model_dirs = [str(Path(folder).resolve()) for folder in folders]

    def strange(self, folders: list[str]) -> dict[Path, Code]:
        """Those of a config's folders of model files that were not trusted as they are now, and the code in them.

        Raises ConfigError for a folder that holds too much to be looked through.
        """
        from tui_gen import trust

        return trust.unknown(set(folders).difference(trust.named({"model_dirs": self.model_dirs})))

    def named_by(self, path: Path) -> list[str]:
        """The folders of model files that a run's config names. Raises ConfigError where it cannot be read."""
        from tui_gen import config, trust

        return trust.named(config.read_toml(path / "config.toml"))

    def trust(self, folders: dict[Path, Code]) -> None:
        """Remember that these may be executed, as `strange` found them."""
        from tui_gen import trust

        trust.allow_as_seen(folders)

    def lost_data(self, path: Path) -> tuple[str, bool]:
        """Where a run's data was and is no more (or empty), and whether that is a file. Raises ConfigError."""
        from tui_gen import config, datasets

        dataset = config.load(config.read_toml(path / "config.toml"), self.catalog, path.name).dataset
        entry = self.catalog.datasets[dataset.name]
        if not datasets.lost(entry, dataset.root):
            return "", False
        return dataset.root, entry.at_root == "file"

    def move_data(self, path: Path, root: Path) -> None:
        """Write down where a run's data is now. Raises RunError, or ConfigError where it is not that data."""
        from tui_gen import config, datasets

        with runs.claim(path):
            run_config = config.load(config.read_toml(path / "config.toml"), self.catalog, path.name)
            run_config.dataset.root = datasets.absolute(str(root))
            entry = self.catalog.datasets[run_config.dataset.name]
            if datasets.lost(entry, run_config.dataset.root):
                words = f"does not hold {entry.title}"
                raise config.ConfigError(path.name, [Problem("dataset.root", run_config.dataset.root, words)])
            try:
                runs.write_atomic(path / "config.toml", config.dumps(run_config, self.catalog).encode())
            except OSError as error:
                raise runs.RunError(f"cannot write {path / 'config.toml'}: {error.strerror or error}") from None

    def remedy(self, path: Path) -> Remedy | None:
        """What to resume a run with whose loss was no number at the end; None for any other."""
        from tui_gen import remedy

        return remedy.read(path)

    def resume(self, path: Path, assignments: list[str] | None = None) -> list[str]:
        """Let a run that ended go on from its last checkpoint, with these settings set there; warnings.

        Raises RunError, and ConfigError for settings that cannot be.
        """
        from tui_gen import resuming

        warnings: list[str] = []
        if assignments:
            with runs.claim(path):
                _, warnings = resuming.continued(path, assignments, self.catalog)
        self._launch(path, resume=True)
        return warnings

    def _launch(self, path: Path, *, resume: bool) -> None:
        """Hand the run over to a worker, which needs nobody from here on. Nothing is waited for before that."""
        from tui_gen import launch

        warm = self.warm
        self._children.append(launch.begin(path, warm, resume=resume, model_dirs=self.model_dirs))
        if warm is not None and warm.process is None:  # given away
            with self._spawning:
                if self.warm is warm:  # not one that was started meanwhile
                    self.warm = None
        self.started.add(path)

    def reap(self) -> None:
        """Collect workers of ours that ended, so that none stays behind as a zombie."""
        self._children = [child for child in self._children if child.poll() is None]

    def attach(self, path: Path) -> RunView:
        """A run as far as it is read in a moment; where it is `behind`, polling reads the rest."""
        from tui_gen import forks
        from tui_gen.app import first_look
        from tui_gen.view import RunView

        view = first_look.view_of(path) or RunView.begin(path)
        view.children = forks.children(path)
        return view

    def replay(self, path: Path, pace: Pace) -> RunView:
        """A run replayed at a pace, from its beginning."""
        from tui_gen.replay import ReplayView

        view = ReplayView(path, pace)
        view.poll()
        return view

    def written(self, path: Path) -> tuple[dict[str, Any], list[str]]:
        """A run's settings as they were written, and the folders of model files that they name. Raises ConfigError."""
        from tui_gen import config, trust

        tables = config.read_toml(path / "config.toml")
        return tables, trust.named(tables)

    def config_of(self, path: Path) -> RunConfig:
        """The config a run was started with. Raises ConfigError with every problem."""
        from tui_gen import config

        return config.load(config.read_toml(path / "config.toml"), self.catalog, path.name)

    def ask(self, path: Path, op: str, **fields: Any) -> Reply:
        """A request to the worker of a run; waits for its answer. Raises ControlError."""
        from tui_gen import launch

        return launch.ask_run(path, op, timeout=SLOW.get(op, 15.0), **fields)

    def stale(self) -> bool:
        """Whether the models in use must be read anew."""
        from tui_gen import catalog

        return catalog.stale(self.catalog, self.dirs())

    def take_kept(self) -> bool:
        """Take the catalogue that was kept of the models in use, where it is not the one that is shown. True then."""
        from tui_gen import catalog

        key = self._key()
        if self.catalog.key == key:
            return False
        stored_catalog = catalog.read(self.dirs())
        if stored_catalog.key != key:
            return False
        self.catalog = stored_catalog
        return True

    def refresh_catalog(self) -> bool:
        """Have a warm worker read models that changed since the catalogue was made. True where it is new now."""
        from tui_gen import catalog, control

        if not self.stale() or self.warm is None:
            return False
        with contextlib.suppress(control.ControlError):
            self.warm.build_catalog()
        fresh = catalog.read(self.dirs())
        if fresh.key == self.catalog.key:
            return False
        self.catalog = fresh
        return True

    def live_of_ours(self, on_screen: Path | None) -> list[tuple[Path, str]]:
        """(path, state) of the runs that quitting concerns: live ones started here, and the one on screen."""
        paths = self.started | ({on_screen} if on_screen is not None else set())
        states = [(path, runs.state_of(path)[0]) for path in sorted(paths)]
        return [(path, state) for path, state in states if state in runs.LIVE]

    def live_here(self, on_screen: Path | None) -> list[tuple[Path, str, int]]:
        """(path, state, step) of the runs that another one would train beside: the live one on screen, and those of
        this machine that were started here or lie in the runs folder."""
        from tui_gen import presence

        near = set(self.started)
        with contextlib.suppress(runs.RunError):
            near |= set(runs.live_runs(self.root))
        rows = {}
        for path in [*sorted(near), *([on_screen] if on_screen is not None else [])]:
            state, step, _ = runs.state_of(path)
            worker = runs.worker_of(path)
            if state in runs.LIVE and (path == on_screen or worker is None or presence.here(worker)):
                rows[path.resolve()] = (path, state, step)
        return list(rows.values())

    def beside(self, run: Path) -> Path:
        """Where an export of a run goes by default, without its ending."""
        return run

    def remark(self, path: Path, what: str, *words: Any) -> object:
        """Change what is kept about a run: `star`, `tag`, `note` or `rename` of `remarks`. Raises RemarkError."""
        from tui_gen import remarks

        return getattr(remarks, what)(path, *words)

    def delete(self, path: Path) -> None:
        """Remove a run's directory. Raises RunError while it trains."""
        runs.delete(path)
        self.started.discard(path)

    def close(self) -> None:
        """End the warm worker. Runs go on."""
        with self._spawning:
            self._closed = True
            warm, self.warm = self.warm, None
        self._reader.close()
        if warm is not None:
            warm.close()
