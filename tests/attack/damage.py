"""Damaged checkpoints: a resume goes on from the one before, says why, and ends with the bits of an undisturbed run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.attack import bits, forked
from tests.attack.kills import config_of, undisturbed
from tests.attack.outcome import Attack, Outcome, Plan
from tests.damages import DAMAGES
from tui_gen import events, runs

FAMILY = "flow matching"
"""It averages its weights, so its checkpoints have all four files."""
KEPT = 3


def _steps(run: Path) -> list[int]:
    return sorted(int(path.name) for path in (run / "checkpoints").glob("[0-9]*") if path.name.isdecimal())


def damaged(plan: Plan) -> Iterator[Outcome]:
    """Every damage to the newest checkpoint; to the newest two; to all."""
    root = plan.folder("damage")
    reference = undisturbed(FAMILY, root, keep_last=KEPT)
    killed = runs.create(root / "killed", "killed", config_of(FAMILY, keep_last=KEPT))
    stop = forked.Places(killed, root / "told", 5, "mkdir .N.partial")
    forked.worker(killed, around=stop.counted).wait()
    steps = _steps(killed)
    row = Outcome("damage", "the newest checkpoint")
    for name, damage in DAMAGES.items():
        if plan.over():
            break
        row.take(_trial(killed, root, steps[-1:], damage, reference.run), name)
    yield row
    dice, row = plan.dice("damage"), Outcome("damage", "the newest two, or all checkpoints")
    for number in range(8):
        if plan.over():
            break
        (one, do), (other, also) = dice.sample(list(DAMAGES.items()), 2)
        hit = steps if number % 4 == 3 else steps[-2:]

        def damage(folder: Path, do: Callable = do, also: Callable = also) -> None:
            (do if int(folder.name) % 12 else also)(folder)

        row.take(_trial(killed, root, hit, damage, reference.run), f"{one} and {other} in {hit}")
    yield row


def _trial(killed: Path, root: Path, hit: list[int], damage: Callable[[Path], None], whole: Path) -> list[str]:
    """Damage checkpoints of a copy of a killed run and resume it; what did not hold."""
    run = root / "copies" / killed.name
    shutil.rmtree(run.parent, ignore_errors=True)
    shutil.copytree(killed, run)
    for step in hit:
        damage(run / "checkpoints" / f"{step:06d}")
    good = max((step for step in _steps(run) if step not in hit), default=0)
    read = (run / "events.jsonl").stat().st_size
    child = forked.worker(run, resume=True)
    if child.wait() is None:
        child.end()
        return ["the resume hangs"]
    new = [events.decode(line) for line in (run / "events.jsonl").read_bytes()[read:].split(b"\n")]
    wrong = []
    resumed = [event.step for event in new if isinstance(event, events.Resume)]
    if not good:  # no checkpoint is left: it says so, and does not begin again unasked
        words = runs.state_of(run)[2]
        if resumed or "can be used" not in words:
            wrong.append(f"it went on from {resumed}: {words}")
        return wrong
    if resumed != [good]:
        wrong.append(f"it went on from {resumed}, not from {good}")
    said = " ".join(event.text for event in new if isinstance(event, events.Note | events.Alert) and _warns(event))
    wrong += [f"not a word about checkpoint {step}" for step in hit if f"{step:06d}" not in said]
    return wrong + bits.differences(whole, run)


def _warns(event: events.Note | events.Alert) -> bool:
    return event.level in ("warning", "error")


ATTACKS: dict[str, Attack] = {"damage": damaged}
