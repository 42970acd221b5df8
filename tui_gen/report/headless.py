"""Training without the workbench: start or resume a run, follow it as text, say what came of it."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tui_gen import batch, control, edits, launch, remedy, resuming, runs, starting, trust
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen.params import Problem, show
from tui_gen.places import shown
from tui_gen.quantities import count
from tui_gen.report import consent, stdout
from tui_gen.report.calling import Caller
from tui_gen.report.follow import FINISHED as FINISHED
from tui_gen.report.follow import KILLED, Display, Follow
from tui_gen.report.plain import JsonDisplay, PlainDisplay
from tui_gen.report.stdout import Outlet
from tui_gen.report.summary import print_summary
from tui_gen.signals import Signals
from tui_gen.view import RunView


@dataclass
class Style:
    """How a followed run is shown: `json`, `plain` (whatever the output is), seconds between plain lines, graphics."""

    json: bool = False
    plain: bool = False
    every: float = 2.0
    graphics: str = "auto"


def style_of(args: argparse.Namespace) -> Style:
    """What a command line says of it (`options.style_options`)."""
    return Style(args.json, args.plain, args.every, args.graphics or "auto")


class Cancelled(Exception):
    """A signal came before there was a run; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


def train(
    source: str,
    assignments: list[str],
    root: Path,
    style: Style,
    *,
    model_dirs: list[str] | None = None,
    detach: bool = False,
    folder: str = "",
    replay: Path | None = None,
    warm: launch.WarmWorker | None = None,
) -> int:
    """`tui-gen --run`: the exit status. Raises ConfigError and RunError before there is a run directory.

    `model_dirs` are absolute; `folder` names the run's folder; `replay` is a run whose edits are to be made again.
    `warm` is a worker that was started with `model_dirs`; it trains the run unless that needs other folders.
    """
    out, err = stdout.standard()
    tell_of_job(err, detach)
    source_dirs = named_dirs(source)
    consent.ask(set(source_dirs).difference(model_dirs or []), source, err)
    dirs = [*(model_dirs or []), *source_dirs]
    config = resolve(source, assignments, dirs, root, err, replay)
    consent.ask(set(config.model_dirs).difference(dirs), source, err)
    if warm is not None and not {*dirs, *config.model_dirs} <= {*(model_dirs or [])}:
        warm.close()  # it was not told what may be executed
        warm = None
    runs.refuse_unwritable(root)
    if out.isatty() and not style.json:
        out.line("starting a worker…")
    with Signals() as signals:
        try:
            path, process = start(config, root, dirs, signals, folder, warm)
        except Cancelled as cancellation:
            err.line(f"{cancellation}: ended before training began; there is no run directory")
            return KILLED if cancellation.number == signal.SIGINT else batch.TERMINATED
        if detach:
            return detached(path, out, style)
        view = RunView(path, POINTS)
        if not style.json:
            introduce(out, path, config)
        follow = Follow(view, display_for(style, out, config.name), out)
        follow.process = process
        follow.caller = Caller(view, out, quiet=style.json)
        status = follow.run(signals)
    conclude(out, err, follow, style)
    return status


def resume(
    path: Path,
    assignments: list[str],
    style: Style,
    *,
    device: str = "",
    model_dirs: list[str] | None = None,
    detach: bool = False,
    first: Callable[[], None] = lambda: None,
) -> int:
    """`tui-gen --resume`: the exit status. Raises ConfigError and RunError, with the run left as it was.

    `first` is done before, while nobody else can train the run.
    """
    out, err = stdout.standard()
    dirs = model_dirs or []
    tell_of_job(err, detach)
    launch.refuse_if_live(path)
    consent.ask_for_run(path, dirs, err)
    with runs.claim(path) as hold:  # of two at once, one; the other has changed nothing
        first()
        config = continued(path, assignments, device, dirs)
        view = drained(path)
        with Signals() as signals:
            follow = Follow(view, display_for(style, out, config.name), out)
            follow.skip_past()
            follow.process = launch.start(path, resume=True, model_dirs=dirs, hold=hold)
            if detach:
                return detached(path, out, style)
            if not style.json:
                introduce(out, path, config)
            follow.caller = Caller(view, out, quiet=style.json)
            status = follow.run(signals)
    conclude(out, err, follow, style)
    return status


def attach(path: Path, style: Style) -> int:
    """`tui-gen attach` as text: follow a run, live or not, until it ends or Ctrl-C; the exit status."""
    out, err = stdout.standard()
    view = drained(path)
    with Signals() as signals:
        follow = Follow(view, display_for(style, out, path.name), out, owner=False)
        follow.caller = Caller(view, out, quiet=style.json)
        status = follow.run(signals)
    conclude(out, err, follow, style)
    return status


def tell_of_job(err: Outlet, detach: bool) -> None:
    """Warn where a batch system would end the run without a checkpoint."""
    if words := batch.warning(detach):
        err.line(f"warning: {words}")


def resolve(
    source: str, assignments: list[str], dirs: list[str], root: Path, err: Outlet, replay: Path | None = None
) -> configs.RunConfig:
    """The checked and settled config behind `--run SOURCE`. Raises ConfigError with every problem."""
    catalog = ensured(dirs, err)
    extra: dict[str, Any] = {"model_dirs": dirs} if dirs else {}
    try:
        config = catalogs.resolve(source, catalog, assignments, extra, replay)
    except configs.ConfigError as error:
        raise with_the_rest(error, source, assignments, catalog, extra) from None
    for assignment in assignments:
        key = assignment.partition("=")[0].strip()
        if words := edits.overriding(config.edits, key, -1, _value(config, key)):
            err.line(f"warning: {words}")
    if problems := starting.settle(config, catalog, root):
        raise configs.ConfigError(source, problems)
    return config


def _value(config: configs.RunConfig, key: str) -> Any:
    try:
        return configs.get_key(configs.to_tables(config), key)
    except KeyError:
        return None


def named_dirs(source: str) -> list[str]:
    """The folders of model files that a config file itself names, made absolute; none for a recipe's name."""
    path = Path(os.path.expanduser(source))
    path = path / "config.toml" if os.path.isdir(path) else path
    if not os.path.isfile(path):
        return []
    return trust.named(configs.read_toml(path))


def with_the_rest(
    error: configs.ConfigError, source: str, assignments: list[str], catalog: catalogs.Catalog, extra: dict[str, Any]
) -> configs.ConfigError:
    """Where `--set` names no setting: those problems, and whatever else is wrong."""
    bad = {problem.value for problem in error.problems if problem.key == "--set"}
    if not bad:
        return error
    try:
        catalogs.resolve(source, catalog, [assignment for assignment in assignments if assignment not in bad], extra)
    except configs.ConfigError as more:
        return configs.ConfigError(source, [*error.problems, *more.problems])
    return error


def ensured(dirs: list[str], err: Outlet) -> catalogs.Catalog:
    """An up-to-date catalogue; says so where that takes a while."""
    catalog = catalogs.read(dirs)
    if catalogs.stale(catalog, dirs):
        err.line("reading the models, which changed…")
        catalog = catalogs.ensure(dirs)
    for problem in catalog.problems:
        err.line(f"warning: {problem}")
    return catalog


def start(
    config: configs.RunConfig,
    root: Path,
    dirs: list[str],
    signals: Signals,
    folder: str = "",
    warm: launch.WarmWorker | None = None,
) -> tuple[Path, subprocess.Popen[bytes]]:
    """Make the run directory and start its worker, once the model itself has agreed to the settled config.

    That is `warm`, where there is one. Raises ConfigError with the model's objections (nothing is left behind),
    RunError, and Cancelled.
    """
    if warm is None or not warm.alive:
        warm = launch.WarmWorker(polite=False, model_dirs=dirs)
        warm.spawn()
    try:
        catalog = catalogs.read(dirs)
        problems = asked(warm, configs.to_tables(config), signals)
        if problems:
            raise configs.ConfigError(config.name, problems)
        path = starting.create(config, catalog, root, folder)
        return path, launch.begin(path, warm, model_dirs=dirs)
    finally:
        warm.close()


def asked(
    warm: launch.WarmWorker, tables: dict[str, Any], signals: Signals, weights: Path | None = None
) -> list[Problem]:
    """What the model has against a config, and against going on with the `weights` in a file. None where the worker
    did not come up: then the run itself will tell.
    """
    while warm.alive:
        for number in signals.take():
            if number == signal.SIGHUP:
                stdout.hang_up()
            else:
                raise Cancelled(number)
        if warm.ready:
            try:
                return warm.check(tables, timeout=60, weights=weights)
            except control.ControlError:  # it has bound its socket but does not listen yet, or it died
                pass
        signals.wait(0.01)  # it is what everything waits for
    return []


def continued(path: Path, assignments: list[str], device: str, dirs: list[str]) -> configs.RunConfig:
    """The config a run goes on with, as `resuming.continued`; what speaks against it is said."""
    _, err = stdout.standard()
    catalog = ensured(list(dict.fromkeys([*dirs, *named_dirs(str(path))])), err)
    config, warnings = resuming.continued(path, assignments, catalog, device)
    for words in warnings:
        err.line(f"warning: {words}")
    advice = remedy.read(path)
    new_keys = {assignment.partition("=")[0].strip() for assignment in assignments}
    if advice is not None and not advice.now.keys() & new_keys:
        words = "it will again, unless it goes on with a smaller learning rate"
        err.line(f"warning: its loss broke at step {count(advice.step)}; {words}: {advice.options}")
    return config


POINTS = 500_000
"""Of a run that is followed as text so many values are kept: a line and a plot of a hundred columns show no more."""


def drained(path: Path, *, whole: bool = False) -> RunView:
    """A run, read up to now; with every value where the `whole` of it is asked for."""
    return RunView.read(path, None if whole else POINTS)


def display_for(style: Style, out: Outlet, title: str) -> Display:
    """Live on a terminal, plain lines elsewhere, JSON where asked."""
    if style.json:
        return JsonDisplay(out)
    if style.plain or not out.isatty() or os.environ.get("TERM", "") in ("", "dumb"):
        return PlainDisplay(out, style.every)
    from tui_gen.report.display import LiveDisplay

    return LiveDisplay(out, title)


def introduce(out: Outlet, path: Path, config: configs.RunConfig) -> None:
    """Which run this is."""
    length = next(
        (f"{show(getattr(config.train, key))} {key}" for key in ("steps", "epochs", "minutes")
         if getattr(config.train, key)),
        "",
    )  # fmt: skip
    out.line(f"run {shown(path)}: {config.model.name} on {config.dataset.name}, {length}, seed {config.train.seed}")
    out.line("Ctrl-C stops it with a checkpoint; closing this terminal does not touch it")


def detached(path: Path, out: Outlet, style: Style) -> int:
    """Say where a run is that goes on by itself."""
    if style.json:
        JsonDisplay(out).open(RunView(path))
        return 0
    name = shlex.quote(shown(path))  # a path, as it will be wanted in another terminal
    out.line(f"training in the background: {shown(path)}")
    out.line(f"  watch  tui-gen attach {name}")
    out.line(f"  stop   tui-gen stop {name}")
    return 0


def conclude(out: Outlet, err: Outlet, follow: Follow, style: Style) -> None:
    """The end of what is shown: the summary, or that the run goes on."""
    if follow.detached:
        if follow.state in runs.LIVE:
            name = shlex.quote(shown(follow.view.path))
            err.line(f"detached; the run goes on. tui-gen attach {name} shows it, tui-gen stop {name} ends it")
    elif style.json:
        if follow.state in ("failed", "interrupted"):
            err.line(f"{follow.state}: {follow.view.reason or 'see ' + str(follow.view.path / 'worker.log')}")
    else:
        print_summary(out, follow.view, follow.state, graphics=style.graphics)
    follow.wait_for_process()
    if follow.caller is not None and follow.owner and not follow.detached:
        for words in filter(None, (*follow.caller.problems, follow.caller.last_word(follow.state))):
            err.line(f"warning: {words}")
