"""`tui-gen verify-resume`: train, kill at random steps, resume, and compare every bit."""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path

import msgspec

from tui_gen import config as configs
from tui_gen import events, proof, runs
from tui_gen.batch import status_of
from tui_gen.catalog import Catalog
from tui_gen.lines import aligned
from tui_gen.params import Problem
from tui_gen.places import shown
from tui_gen.quantities import duration
from tui_gen.report import consent, headless, stdout, verifying
from tui_gen.report.commands.options import count, json_option, models_option, runs_option, seed
from tui_gen.report.stdout import Outlet
from tui_gen.signals import Signals


def options(parser: argparse.ArgumentParser) -> None:
    """Of which config, with how many kills."""
    parser.add_argument("source", metavar="CONFIG|RECIPE", help="a TOML file, a recipe, or a run's folder")
    words = "how often the run is killed (default: 3)"
    parser.add_argument("--kills", metavar="N", type=count, default=3, help=words)
    words = "length of the two runs (default: that of the config)"
    parser.add_argument("--steps", metavar="N", type=partial(count, least=2), help=words)
    parser.add_argument("--seed", metavar="S", type=seed, help="chooses the steps of the kills (default: at random)")
    words = "set one value, as often as needed: --set model.latent=8"
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], dest="assignments", help=words)
    parser.add_argument("--device", default=argparse.SUPPRESS, help="auto, cpu, cuda, …")
    parser.add_argument("--keep", action="store_true", help="keep both runs, to look at")
    json_option(parser, "the verdict as a JSON object")
    models_option(parser)
    runs_option(parser)


class Interrupted(Exception):
    """A signal came; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        self.number = number


def run(args: argparse.Namespace, root: Path) -> int:
    """0 where every bit is the same, 1 where one is not or nothing can be told. Leaves no worker, whatever ends it."""
    out, err = stdout.standard()
    source_dirs = headless.named_dirs(args.source)
    consent.ask(set(source_dirs).difference(args.model_dirs), args.source, err)
    dirs = [*args.model_dirs, *source_dirs]
    config = headless.resolve(args.source, _assignments(args), dirs, root, err)
    consent.ask(set(config.model_dirs).difference(dirs), args.source, err)
    catalog = headless.ensured(dirs, err)
    seed = random.SystemRandom().randrange(10**6) if args.seed is None else args.seed
    settings = proof.digest(configs.to_tables(config))
    steps = _by_steps(config, args.kills)
    dies_at = verifying.moments(steps, args.kills, config.checkpoint.every_steps, seed)
    runs.refuse_unwritable(root)
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".verify-", dir=root.resolve()))
    outlet = err if args.json else out
    started = time.monotonic()
    try:
        with Signals() as signals, verifying.nothing_left(folder):
            reference, trial = (_created(folder, name, config, catalog) for name in ("untouched", "killed"))
            train = Workers(dirs, signals, outlet, steps)
            verdict = verifying.verify(reference, trial, dies_at, train, verifying.alike)
    except Interrupted as interruption:
        err.line("interrupted: nothing is left running, and nothing was kept")
        return status_of(interruption.number)
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    if not verdict.trouble:
        proof.keep(_proof(config, catalog, settings, verdict, seed))
    if args.json:
        out.json({**msgspec.to_builtins(verdict), "passed": verdict.passed, "seed": seed, "steps": steps})
    else:
        _tell(out, verdict, steps, time.monotonic() - started)
        out.line(f"the kills were those of --seed {seed}")
    if args.keep:
        outlet.line(f"both runs are in {shown(folder)}")
    return 0 if verdict.passed else 1


def _assignments(args: argparse.Namespace) -> list[str]:
    length = [f"train.steps={args.steps}"] if args.steps else []
    device = getattr(args, "device", "")
    return [*args.assignments, *length, *([f"train.device={device}"] if device else [])]


def _created(folder: Path, name: str, config: configs.RunConfig, catalog: Catalog) -> Path:
    return runs.create(folder, config.name, configs.dumps(config, catalog), name)


def _by_steps(config: configs.RunConfig, kills: int) -> int:
    """Have nothing in a config that goes by the clock, and checkpoints as often as kills need them; its steps.

    Raises ConfigError where its length is not in steps: where it is to be killed must be known before.
    """
    if not config.train.steps:
        key = "train.minutes" if config.train.minutes else "train.epochs"
        words = "is a length that is known only when it is trained"
        raise configs.ConfigError(config.name, [Problem(key, configs.get_key(configs.to_tables(config), key), words,
                                                        "give one with --steps N")])  # fmt: skip
    if kills >= config.train.steps:
        words = f"{config.train.steps} steps are too few for {kills} kills"
        raise configs.ConfigError(config.name, [Problem("--kills", kills, words, "give fewer, or more --steps")])
    cadence = verifying.cadence(config.train.steps, kills)
    config.checkpoint.every_steps = min(config.checkpoint.every_steps or cadence, cadence)
    config.checkpoint.every_minutes = config.preview.every_seconds = config.quality.every_seconds = 0.0
    config.quality.at_end = False
    return config.train.steps


class Workers:
    """Trains runs as `verifying.Train` says, a process each; says what it does. Raises Interrupted on a signal."""

    def __init__(self, model_dirs: list[str], signals: Signals, out: Outlet, steps: int) -> None:
        self._dirs, self._signals, self._out, self._steps = model_dirs, signals, out, steps
        self._kills = 0

    def __call__(self, run: Path, resume: bool, die_at: int | None) -> int:
        """Train it, and wait for it."""
        if die_at is not None:
            self._kills += 1
            self._out.line(f"kill {self._kills}: in step {events.made(die_at):,}")
        elif resume:
            self._out.line(f"the last resume, to the end at step {self._steps:,}")
        else:
            self._out.line(f"a run that nobody touches, {self._steps:,} steps")
        process = verifying.start(run, resume, die_at, self._dirs)
        try:
            while process.poll() is None:
                if numbers := self._signals.take():
                    raise Interrupted(numbers[0])
                self._signals.wait(0.02)
            return process.returncode
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


def _proof(
    config: configs.RunConfig, catalog: Catalog, settings: str, verdict: verifying.ResumeCheck, seed: int
) -> proof.Proof:
    sources = (catalog.models[config.model.name].source, catalog.datasets[config.dataset.name].source)
    return proof.Proof(
        verdict.passed, config.model.name, config.dataset.name, settings,
        steps=config.train.steps, kills=len(verdict.kills), seed=seed, device=proof.kind_of(verdict.device),
        difference=verdict.differences[0] if verdict.differences else "",
        metric=verdict.metric, metric_step=verdict.metric_step, sources=proof.sums(sources),
    )  # fmt: skip


def _tell(out: Outlet, verdict: verifying.ResumeCheck, steps: int, seconds: float) -> None:
    """The table of kills, and the verdict."""
    rows = [("KILL", "IN STEP", "WENT ON FROM", "STEPS MADE AGAIN")]
    for number, kill in enumerate(verdict.kills):
        again = f"{events.made(kill.step) - kill.resumed:,}" if kill.resumed is not None else ""
        resumed = "the beginning" if kill.resumed == 0 else f"{kill.resumed:,}" if kill.resumed is not None else "never"
        rows.append((f"{number + 1}", f"{events.made(kill.step):,}", resumed, again))
    for line in aligned(rows):
        out.line(line)
    took = f"in {duration(seconds)} on {verdict.device or 'this machine'}"
    if verdict.passed:
        words = "weights, optimisers, random state and every metric are the same to the bit"
        out.line(f"PASSED: after {len(verdict.kills)} kills in {steps:,} steps {words} ({took})")
    elif verdict.trouble:
        out.line(f"NOTHING CAN BE TOLD: {verdict.trouble}")
    else:
        out.line(f"FAILED ({took})")
        if verdict.differences:
            more = f" (and {len(verdict.differences) - 1:,} more)" if len(verdict.differences) > 1 else ""
            out.line(f"  the first tensor that differs: {verdict.differences[0]}{more}")
        if verdict.metric:
            out.line(f"  the first metric that differs: {verdict.metric}, at step {events.made(verdict.metric_step):,}")
        if verdict.metric and verdict.kills and verdict.metric_step < (verdict.kills[0].resumed or 0):
            out.line("  it differs before the first kill: two runs of this config are not alike, killed or not. Does")
            out.line("  the model, or the data, draw from a generator of its own, or from Python's or NumPy's?")
