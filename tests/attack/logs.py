"""Mutated logs through every reader: views, states, lists, command lines, the workbench, and a worker that resumes.

Nothing may be raised: a line that makes no sense is passed over, whatever it says.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import random
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.attack import forked
from tests.attack.kills import config_of, undisturbed
from tests.attack.outcome import Attack, Outcome, Plan
from tui_gen import cli, runs
from tui_gen.view import RunView

LOGS, RESUMED, OPENED = 1000, 20, 24
SLOW = 5.0
"""Seconds that one reader may take at most."""

NUMBERS: list[Any] = [
    0, -1, -(10**9), 10**15, 10**17, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, 10**400, 0.5, -0.0, 1e308, -1e308, 1e-320,
    1e17, None, True, "7", [], {},
]  # fmt: skip
WORDS: list[Any] = [
    "", " ", "\0", "a" * 300, "b" * 100_000, "../../../etc/passwd", "/", "/" * 5000, "samples/" + "x" * 300 + ".png",
    "\x1b]0;x\x07", "\x9b2J", "a\nb\r\n", "[bold]x[/]", "[/", "\u202eabc", "e\u0301" * 5000, "\U0001f600", "%s {0} {x}",
    "running", "finished", "metrics", "nan", None, 7, True, [], {"a": 1},
]  # fmt: skip


def mutated(dice: random.Random, log: bytes) -> bytes:
    """A log with a few lines changed in what they say, and perhaps its bytes damaged."""
    lines = log.split(b"\n")
    for _ in range(dice.choice([1, 1, 2, 3, 8])):
        at = dice.randrange(len(lines))
        match dice.randrange(8):
            case 0 | 1 | 2 | 3:
                with contextlib.suppress(ValueError):
                    event = json.loads(lines[at])
                    _change(dice, event)
                    lines[at] = json.dumps(event, ensure_ascii=dice.random() < 0.5).encode("utf-8", "replace")
            case 4:
                other = dice.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 5:
                lines.insert(
                    at, dice.choice([lines[at], b"", b"\0" * 5000, b"\xff\xfe", b"[]", b"{" * 10_000, b"null"])
                )
            case 6:
                lines[at] = lines[at][: dice.randrange(len(lines[at]) + 1)]
            case _:
                del lines[at : len(lines) if at > 3 and dice.random() < 0.2 else at + 1]
        lines = lines or [b""]
    data = bytearray(b"\n".join(lines))
    for _ in range(dice.choice([0, 0, 1, 5]) if data else 0):
        data[dice.randrange(len(data))] = dice.randrange(256)
    return bytes(data)


def _change(dice: random.Random, event: Any) -> None:
    """Change a value somewhere within an event."""
    table = event
    while isinstance(table, dict | list) and table:
        key = dice.choice(list(table)) if isinstance(table, dict) else dice.randrange(len(table))
        value = table[key]
        if isinstance(value, dict | list) and value and dice.random() < 0.8:
            table = value
            continue
        if isinstance(table, dict) and dice.random() < 0.1:
            table[dice.choice(["", "x" * 300, "\x1b[2J", "step", "type"])] = table.pop(key)
            return
        if isinstance(value, str) and dice.random() < 0.7:
            table[key] = dice.choice(WORDS)
        elif isinstance(value, list) and dice.random() < 0.5:
            table[key] = dice.choice([[], [None] * 3000, [1e308, -1e308], [[1]], ["a"], value * 50])
        else:
            table[key] = dice.choice(NUMBERS + WORDS) if dice.random() < 0.3 else dice.choice(NUMBERS)
        return


def _view(run: Path) -> None:
    view = RunView(run)
    view.read_all()
    _ = view.epoch, view.fraction, view.eta, view.garbage, view.worst_log_lines()


def _command(*words: str) -> Callable[[Path], None]:
    def call(run: Path) -> None:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main([*words, *([] if words[0] == "runs" else [str(run)])])
        text = out.getvalue() + err.getvalue()
        if "please report it" in text or "Traceback" in text:
            raise RuntimeError(" | ".join(err.getvalue().strip().splitlines()[-2:]))

    return call


READERS: dict[str, Callable[[Path], Any]] = {
    "view": _view,
    "state": lambda run: (runs.state_of(run), runs.live(run), runs.last_log_lines(run)),
    "list": lambda run: runs.list_runs(run.parent),
    "edits": runs.edits_of,
    "runs": _command("runs"),
    "runs --json": _command("runs", "--json"),
    "attach --plain": _command("attach", "--plain"),
    "attach --json": _command("attach", "--json"),
    "export": _command("export"),
    "stop": _command("stop"),
}


def logs(plan: Plan) -> Iterator[Outcome]:
    """A row for all readers; for the workbench; for workers that resume."""
    root, dice = plan.folder("logs"), plan.dice("logs")
    sound = [undisturbed(family, plan.folder(f"logs-{family}")).run for family in ("VAE", "sequence")]
    row = Outcome("logs", "views, states, lists, command lines")
    for number in range(LOGS):
        if plan.over():
            break
        run = _made(dice, sound, root / f"read-{number}")
        picked = ["view", "state", "list", "edits", dice.choice(list(READERS)[4:])]
        wrong = [words for name in picked for words in _read(name, run)]
        row.take(wrong, f"log {number}{_keep(plan, run, f'log-{number}', wrong)}")
        shutil.rmtree(run.parent)
    row.detail = f"{len(READERS)} readers"
    yield row
    yield _opened(plan, sound, root)
    row, dice = Outcome("logs", "workers that resume"), plan.dice("resumed")
    for number in range(RESUMED):
        if plan.over():
            break
        run = _made(dice, sound, root / f"resumed-{number}", steps=60)
        child, wrong = forked.worker(run, resume=True), []
        if child.wait() is None:
            child.end()
            wrong = ["it hangs"]
        state, step, reason = runs.state_of(run)
        if state not in ("finished", "failed") or "worker.log has the traceback" in reason:
            wrong.append(f"{state} at step {step}: {reason}")
        row.take(wrong, f"log {number}{_keep(plan, run, f'resumed-{number}', wrong)}")
    yield row


def _made(dice: random.Random, sound: list[Path], root: Path, steps: int = 0) -> Path:
    """A run directory, alone in its folder, with a mutated log."""
    whole = dice.choice(sound)
    run = root / whole.name
    shutil.copytree(whole, run, ignore=shutil.ignore_patterns(*([] if steps else ["checkpoints", "*.png"])))
    if steps:
        family = "VAE" if "vae" in whole.name else "sequence"
        (run / "config.toml").write_text(config_of(family, steps=steps))
    (run / "events.jsonl").write_bytes(mutated(dice, (whole / "events.jsonl").read_bytes()))
    return run


def _read(name: str, run: Path) -> list[str]:
    def too_long(*_: Any) -> None:
        raise TimeoutError(f"more than {SLOW:g} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, SLOW)
    try:
        READERS[name](run)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return [f"{name}: {type(error).__name__} in {place.name}: {str(error)[:200]}"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return []


def _keep(plan: Plan, run: Path, name: str, wrong: list[str]) -> str:
    """Where a log that did harm is kept to be looked at, in words."""
    if not wrong or plan.kept is None:
        return ""
    plan.kept.mkdir(parents=True, exist_ok=True)
    shutil.copy(run / "events.jsonl", plan.kept / f"{name}.jsonl")
    return f" ({plan.kept / name}.jsonl)"


def _opened(plan: Plan, sound: list[Path], root: Path) -> Outcome:
    """Mutated logs opened in the workbench, in every pane: none is a fault of it."""
    from tests.shell import screen_text, until, workbench

    row, dice = Outcome("logs", "the workbench"), plan.dice("opened")

    async def look(patch: pytest.MonkeyPatch) -> None:
        first = _made(dice, sound, root / "opened-0")
        patch.setenv("TUI_GEN_RUNS", str(root / "opened-0"))
        faults: list[str] = []
        async with workbench(patch, size=(160, 50), open_run=first) as (app, pilot):
            patch.setattr(app.follower, "_on_fault", lambda *given, **_: faults.append(repr(given[-1])))
            for number in range(OPENED):
                if plan.over():
                    break
                run = _made(dice, sound, root / f"opened-{number}")
                app.open_run(run)
                await until(pilot, lambda run=run: app.view is not None and app.view.path == run, "the run")
                for pane in ("losses", "samples", "runs", "log"):
                    app.action_go_to_pane(pane)
                    await pilot.pause()
                    screen_text(app)
                row.take(list(faults), f"log {number}{_keep(plan, run, f'opened-{number}', faults)}")
                faults.clear()

    with pytest.MonkeyPatch.context() as patch:
        try:
            asyncio.run(look(patch))
        except BaseException as error:
            row.take([f"{type(error).__name__}: {str(error)[:300]}"], f"log {row.tried}")
    return row


ATTACKS: dict[str, Attack] = {"logs": logs}
