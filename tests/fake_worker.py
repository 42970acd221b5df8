"""A process that behaves as a run's worker without PyTorch: `python -m tests.fake_worker RUN [--steps N --rate R …]`.

It registers itself, listens on the control socket, logs columnar metrics, draws PNG samples, answers every request.
Starts in a tenth of the real one's time, so tests of the workbench and of the command line can have many.

In tests: `make_run` makes a run directory, `start` a worker for it, `install` puts it in place of the real one,
`record` writes a whole finished run at once without a process. A test that has to see a run while it trains and to its
end too has it `hold` at a step and calls `release`: how fast the test and the machine are does not matter then.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import queue
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from tui_gen import batch, columns, control, events, hosts, launch, presence, quality, runs
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen.log import event_log
from tui_gen.params import Param
from tui_gen.presence import Hold
from tui_gen.request_file import Postbox

ROOT = Path(__file__).resolve().parents[1]
TILE, COLUMNS, ROWS = 8, 8, 8
RELEASE = "release"
"""A file in the run's folder: with it there, a worker that waits at `--hold` goes on to its end."""


def make_run(root: Path | None = None, recipe: str = "vae-digits", *assignments: str) -> Path:
    """A run directory with a complete config: a recipe's, changed by `key=value` assignments."""
    catalog = catalogs.read()
    config = catalogs.resolve(recipe, catalog, list(assignments))
    return runs.create(root or runs.default_root(), config.name, configs.dumps(config, catalog))


def command(run: Path, **settings: Any) -> list[str]:
    """The command line of a fake worker; settings are its options with underscores (`steps=100, rate=50`)."""
    words = [sys.executable, "-m", "tests.fake_worker", str(run)]
    for key, value in settings.items():
        name = f"--{key.replace('_', '-')}"
        words += [name] if value is True else [] if value is False else [name, str(value)]
    return words


def start(run: Path, hold: Hold | None = None, /, **settings: Any) -> Any:
    """Start a fake worker as a real one is started: own session, output to `worker.log`, the run's lock inherited.

    In a test it is forked from the tests' own process, which spares the start of Python and NumPy.
    """
    hold = hold or runs.claim(run)
    words = command(run, lock=hold.handle, **settings)
    with open(run / "worker.log", "ab") as log:
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
        streams |= {"start_new_session": True, "pass_fds": [hold.handle]}
        if "tests.conftest" in sys.modules:
            from tests import forked_workers

            process: Any = forked_workers.fork(*words[words.index("-m") + 1 :], **streams)
            process.args = words
        else:
            process = subprocess.Popen(words, cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"}, **streams)
    hold.hand_over()
    return process


def install(monkeypatch: Any, **settings: Any) -> list[Any]:
    """Have `launch` start fake workers, with these settings, and no warm one; the processes, as they are started."""
    started: list[Any] = []

    def fake(run: Path, *, resume: bool = False, hold: Hold | None = None, **_: Any) -> Any:
        started.append(start(run, hold, resume=resume, **settings))
        return started[-1]

    monkeypatch.setattr(launch, "start", fake)
    monkeypatch.setattr(launch.WarmWorker, "spawn", lambda self: None)
    return started


def release(run: Path) -> None:
    """Let a worker go on that holds at a step: what a test wants to see before the end is seen."""
    (run / RELEASE).touch()


def record(run: Path, steps: int = 200, state: str = "finished", samples: int = 3, reason: str = "") -> Path:
    """Write what a worker would have left of a run that is over, at once; the run."""
    writer = event_log.EventWriter(run / "events.jsonl")
    fake = FakeRun(run, writer, steps)
    writer.write(events.State(state="starting", step=0), fake.plan(), events.State(state="running", step=0))
    for part in range(samples):
        fake.step = steps * part // samples
        writer.write(fake.sample())
        writer.write(fake.metrics(fake.step, steps * (part + 1) // samples))
    fake.step = steps
    writer.write(fake.system(100.0), fake.validation(), fake.sample(), fake.checkpoint("the end"))
    writer.write(events.State(state=state, step=steps, reason=reason))
    writer.close()
    return run


class FakeRun:
    """What a run would log and draw: curves and grids that are a plain function of the step."""

    def __init__(self, path: Path, writer: event_log.EventWriter, steps: int) -> None:
        self.path, self.writer, self.steps, self.step = path, writer, steps, 0
        tables = configs.read_toml(path / "config.toml")
        self.name = tables.get("model", {}).get("name", "vae")
        self.phases = list(tables.get("train", {}).get("phases", {})) or [self.name]
        self.batch = tables.get("train", {}).get("batch_size", 64)
        self.tables = tables

    def plan(self) -> events.Plan:
        """The Plan event of this run."""
        return events.Plan(
            steps=self.steps, steps_per_epoch=26, batch_size=self.batch, device="cpu (1 thread)", parameters=12345,
            phases=self.phases, threads=1,
        )  # fmt: skip

    def metrics(self, first: int, last: int, nan_at: int = -1) -> events.Metrics:
        """Every metric's values of the steps [first, last)."""
        steps = range(first, last)
        wave = [math.exp(-step / 200) + 0.1 * math.sin(step * 1.7) for step in steps]
        values: dict[str, list[float | None]] = {}
        for phase in self.phases:
            values[f"{phase}/loss"] = [None if s == nan_at else 20 + 30 * w for s, w in zip(steps, wave, strict=True)]
            values[f"{phase}/kl"] = [12 - 10 * w for w in wave]
        packed = {name: columns.column(one) for name, one in values.items()}
        return events.Metrics(start=first, values=packed)  # type: ignore[arg-type]

    def validation(self) -> events.Metrics:
        """A validation after `step` steps."""
        value = 20 + 30 * math.exp(-self.step / 200)
        values: dict[str, list[float | None]] = {f"val/{phase}/loss": [value] for phase in self.phases}
        return events.Metrics(start=max(0, self.step - 1), values=values)

    def system(self, rate: float) -> events.System:
        """The System event at this speed."""
        return events.System(
            step=self.step, steps_per_second=rate, images_per_second=rate * self.batch, memory=300 << 20, seconds=1.0
        )

    def sample(self) -> events.Sample:
        """Draw a grid and give its event. Noise that gives way to a gradient as training goes on."""
        rng = np.random.default_rng(0)
        done = self.step / max(1, self.steps)
        ramp = np.add.outer(np.arange(ROWS * TILE), np.arange(COLUMNS * TILE)) * 2.0
        grid = (1 - done) * rng.integers(0, 256, ramp.shape) + done * ramp
        name = f"samples/{self.step:06d}.png"
        (self.path / "samples").mkdir(exist_ok=True)
        aside = self.path / f"samples/.{self.step:06d}.png"
        Image.fromarray(grid.clip(0, 255).astype(np.uint8)).save(aside, format="png")
        aside.rename(self.path / name)
        return events.Sample(step=self.step, path=name, columns=COLUMNS, rows=ROWS, tile=(TILE, TILE))

    def quality(self) -> quality.Report:
        """Figures that fall with the steps."""
        figures = [
            quality.Figure("fid", 5 + 500 / (1 + self.step), 0.8, real_doubt="from 180 held-out images"),
            quality.Figure("recall", 0.75, 0.9),
        ]
        return quality.Report(self.step, 2000, 1617, 180, "digits classifier network abc", figures, 1.5)

    def checkpoint(self, reason: str) -> events.Checkpoint:
        """Make a checkpoint directory without weights and give its event."""
        name = f"checkpoints/{self.step:06d}"
        (self.path / name).mkdir(parents=True, exist_ok=True)
        (self.path / name / "meta.json").write_text(json.dumps({"step": self.step, "seconds": 0.0, "reason": reason}))
        return events.Checkpoint(step=self.step, path=name, reason=reason)


class FakeWorker:
    """The process: a clock in place of training."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given, self.path, self.id = given, Path(given.run), presence.new_id()
        self.hold = Hold.adopt(self.path, given.lock) if given.lock is not None else runs.claim(self.path)
        self.hold.keep_alive()
        self.writer = event_log.EventWriter(self.path / "events.jsonl")
        self.run = FakeRun(self.path, self.writer, given.steps)
        self.state, self.ending = "starting", ("", "")
        catalog = catalogs.read()
        self.known: dict[str, Param] = configs.keys(self.run.name, "digits", catalog)
        self.edited: dict[str, Any] = {}
        self.server = control.Server(control.socket_path(f"{self.path}:{self.id}"), self._immediate, id=self.id)
        Postbox(lambda: self.path, self.server).begin()
        for number in (signal.SIGINT, *batch.TERMINATE):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _on_signal(self, number: int, frame: Any) -> None:
        self.ending = ("stopped", f"by {signal.Signals(number).name}")

    def _immediate(self, request: control.Request) -> bool:
        if request.op != "status":
            return False
        request.answer(state=self.state, step=self.run.step, trouble=self.given.trouble, seconds=1.0)
        return True

    def change_state(self, state: str, reason: str = "") -> None:
        """Go over to a state and log it."""
        self.state = state
        self.writer.write(events.State(state=state, step=self.run.step, reason=reason))

    def main(self) -> int:
        """Train, so to speak; the exit status."""
        given, run = self.given, self.run
        self.writer.write(events.State(state="starting", step=0), hosts.here())
        runs.register(self.path, self.server.path, self.id)
        print(f"fake worker of {self.path.name}", flush=True)
        if given.resume:
            run.step = max((int(one.name) for one in (self.path / "checkpoints").glob("[0-9]*")), default=0)
            self.writer.write(events.Resume(step=run.step))
        for done in range(0, given.prepare + 1, max(1, given.prepare // 10)) if given.prepare else ():
            self.writer.write(events.Progress(what="reading images", done=done, total=given.prepare, unit="images"))
        self.writer.write(run.plan())
        self.change_state("running")
        if run.step == 0:
            self.writer.write(run.sample())
        begun, base, sampled, told = time.monotonic(), run.step, time.monotonic(), 0.0
        while run.step < given.steps and not self.ending[0]:
            self._answer(given.beat)
            now = time.monotonic()
            if self.state == "paused":
                begun, base = now, run.step
                continue
            target = min(self._end(), base + int((now - begun) * given.rate))
            if 0 <= given.crash_at < target:
                self._advance(given.crash_at)
                raise RuntimeError("the fake worker was told to crash")
            self._advance(target)
            if now - told >= 0.5:
                told = now
                self.writer.write(run.system(given.rate), run.validation())
            if given.sample_seconds and now - sampled >= given.sample_seconds:
                sampled = now
                self.writer.write(run.sample())
        state, reason = self.ending if self.ending[0] else ("finished", "")
        if "without" not in reason:
            self.writer.write(run.sample(), run.checkpoint("the end"))
        self.change_state(state, reason)
        self.server.close()
        return 0

    def _end(self) -> int:
        """The step that it goes to: its last one, or the one at which it waits to be released."""
        given = self.given
        return given.steps if given.hold < 0 or (self.path / RELEASE).exists() else min(given.hold, given.steps)

    def _advance(self, target: int) -> None:
        if target > self.run.step:
            first, self.run.step = self.run.step, target
            self.writer.write(self.run.metrics(first, target, self.given.nan_at))
            if first <= self.given.nan_at < target:
                self.writer.write(
                    events.Alert(
                        step=self.given.nan_at, level="error", what="a loss is not finite",
                        where=f"{self.run.phases[0]}/loss", advice="Lower the learning rate.",
                        kept=f"offences/{self.given.nan_at:06d}.safetensors",
                    )
                )  # fmt: skip

    def _answer(self, timeout: float) -> None:
        try:
            request = self.server.inbox.get(timeout=timeout)
        except queue.Empty:
            return
        run, step = self.run, self.run.step
        match request.op:
            case "pause" | "resume":
                state = "paused" if request.op == "pause" else "running"
                if state != self.state:
                    self.change_state(state)
                request.answer(step=step)
            case "yield":
                words = "yielded: 2.0 GB of memory are given back"
                self.change_state("paused", words)
                request.answer(step=step, words=words)
            case "rollback":
                aim = request.data["to"]
                to, factor = step if aim is None else int(aim), float(request.data.get("rate") or 1.0)
                skip = [request.data["skip"]] if request.data.get("skip") is not None else []
                rates = {f"train.phases.{run.phases[0]}.lr": 1e-3 * factor} if factor != 1 else {}
                event = events.Rollback(
                    step=step, to=to, by_hand=True, reason="on request", factor=factor, rates=rates, skipped=skip
                )
                self.writer.write(event)
                run.step = to
                request.answer(step=to, was=step, change=event.change)
            case "stop":
                keep = bool(request.data.get("checkpoint", True))
                self.ending = ("stopped", request.why if keep else "without a checkpoint, as asked")
                request.answer(step=step)
            case "checkpoint":
                event = run.checkpoint("asked for")
                self.writer.write(event)
                request.answer(step=step, path=event.path)
            case "sample":
                drawn = run.sample()
                self.writer.write(drawn)
                request.answer(step=step, path=drawn.path)
            case "quality":
                report = run.quality()
                path = f"samples/{step:06d}-quality.txt"
                (run.path / path).write_text(quality.table(report), encoding="utf-8")
                self.writer.write(
                    events.Quality(report=report), events.Sample(step=step, path=path, kind="quality")
                )
                request.answer(step=step, report=msgspec.to_builtins(report))
            case "edit":
                self._edit(request)
            case _:
                request.refuse(f"this worker does not know the request {request.op!r}")

    def _edit(self, request: control.Request) -> None:
        key = str(request.data.get("key", ""))
        value, wrong = configs.check_edit(key, request.data.get("value"), self.known)
        if wrong:
            request.refuse(f"{key}: {wrong}")
            return
        old = self.edited.get(key, configs.get_key(self.run.tables, key))
        self.edited[key] = value
        self.writer.write(events.Edit(step=self.run.step, key=key, old=old, new=value))
        request.answer(step=self.run.step, old=old, new=value)


def main() -> int:
    """The command line of a fake worker."""
    parser = argparse.ArgumentParser(prog="python -m tests.fake_worker", description=__doc__)
    parser.add_argument("run", help="the run directory")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint")
    parser.add_argument("--lock", type=int, help="the run's lock, inherited")
    parser.add_argument("--steps", type=int, default=1_000_000, help="length of the run")
    parser.add_argument("--rate", type=float, default=200.0, help="steps per second")
    parser.add_argument("--beat", type=float, default=0.03, help="seconds between two looks at the clock")
    parser.add_argument("--sample-seconds", type=float, default=0.5, help="seconds between sample grids; 0: none")
    parser.add_argument("--prepare", type=int, default=0, help="log the progress of reading this many images first")
    parser.add_argument("--hold", type=int, default=-1, help="stay at this step until `release` is called")
    parser.add_argument("--crash-at", type=int, default=-1, help="raise an exception at this step")
    parser.add_argument("--nan-at", type=int, default=-1, help="the loss of this step is NaN, and an alert says so")
    parser.add_argument("--trouble", default="", help="what `status` says under `trouble`")
    worker = FakeWorker(parser.parse_args())
    try:
        return worker.main()
    except RuntimeError as error:
        traceback.print_exc()  # before it is said that it is there
        worker.change_state("failed", f"RuntimeError: {error} (worker.log has the traceback)")
        return 1


if __name__ == "__main__":
    sys.exit(main())
