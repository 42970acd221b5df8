"""Attack what must hold and print a table: `make attack`, or `python -m tests.attack --only kills,disk --seed 7`.

Kills, forks, rollbacks, damaged checkpoints, a full disk, mutated configs and logs, control sequences, malformed
requests. The status is 1 where something did not hold; standard error tells how to see it again. Linux; a full disk is
a small tmpfs where one may be mounted (root), else a limit on the size of files.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # before PyTorch is imported: one thread, so no pool is forked
    os.environ[variable] = "1"

from tests.attack import outcome  # noqa: E402
from tests.attack.outcome import Attack, Outcome, Plan, say  # noqa: E402
from tests.bench import private_world  # noqa: E402


def attacks() -> dict[str, Attack]:
    """Name → attack, in the order of the table."""
    from tests.attack import (
        branching,
        damage,
        disk,
        escapes,
        exports,
        kills,
        logs,
        opening,
        outputs,
        processes,
        queues,
        rolled_back,
        settings,
        shares,
        sockets,
        steering,
        sweeps,
    )

    found: dict[str, Attack] = {}
    for module in (
        kills, processes, shares, queues, sweeps, opening, steering, rolled_back, branching, damage, disk, outputs,
        settings, logs, escapes, sockets, exports,
    ):  # fmt: skip
        found |= module.ATTACKS
    return found


def run(names: list[str], seed: int, seconds: float, kept: Path | None) -> list[Outcome]:
    """The rows of the attacks that are named."""
    import torch

    from tests.attack import forked

    torch.set_num_threads(1)
    known, rows = attacks(), []
    deadline = time.monotonic() + seconds
    with private_world() as base:
        try:
            for name in names:
                started = time.monotonic()
                try:
                    for row in known[name](Plan(base / name, seed, deadline, kept)):
                        say(f"{row.kind} {row.what}: {row.held} of {row.tried} held {row.detail}")
                        rows.append(row)
                except Exception as error:  # a fault of the attack is no success
                    traceback.print_exc()
                    rows.append(Outcome(name, "the attack itself", 1, 0, [f"{type(error).__name__}: {error}"]))
                say(f"{name}: {time.monotonic() - started:.0f} s")
        finally:
            forked.end_all()
    return rows


def _circumstances(seed: int, started: float) -> str:
    took, load = time.monotonic() - started, os.getloadavg()[0]
    cores = len(os.sched_getaffinity(0))
    return f"seed {seed}, {took / 60:.0f} min {took % 60:.0f} s, {cores} cores, load {load:.1f}"


def main() -> int:
    """Run the attacks and print what came of them."""
    known = attacks()
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAME,…", help=f"any of: {', '.join(known)}")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is random (default 0)")
    parser.add_argument("--seconds", type=float, default=840.0, help="begin no trial after this long (default 840)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs that did harm in this folder")
    parser.add_argument("--page", type=Path, help="put the table into this file (docs/attacks.md), between its marks")
    given = parser.parse_args()
    names = [name for name in given.only.split(",") if name] or list(known)
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no attack {', '.join(unknown)}; there are: {', '.join(known)}")
    started = time.monotonic()
    rows = run(names, given.seed, given.seconds, given.keep and given.keep.absolute())
    print(outcome.text_table(rows))
    print(_circumstances(given.seed, started))
    for line in outcome.broken_lines(rows):
        print(line)
    if given.page is not None:
        text = given.page.read_text(encoding="utf-8")
        given.page.write_text(outcome.with_table(text, rows, _circumstances(given.seed, started)), encoding="utf-8")
    return 0 if outcome.all_held(rows) else 1


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # what libraries say about themselves at an orderly end is of no use here
