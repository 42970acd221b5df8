"""What came of an attack: rows of a table, and the plan that every kind of attack is given."""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

SHOWN = 160
"""Characters of a table's cell at most; standard error has everything."""


@dataclass
class Outcome:
    """A row: how often something was tried, how often it held, and what did not, in words that say how to see it."""

    kind: str
    what: str
    tried: int = 0
    held: int = 0
    broken: list[str] = field(default_factory=list)
    detail: str = ""

    def take(self, wrong: list[str], where: str) -> None:
        """Count a trial; `wrong` is what did not hold, `where` tells the trial from others."""
        self.tried += 1
        if wrong:
            self.broken.append(f"{where}: {'; '.join(wrong)}")
            print(f"NOT HELD  {self.kind} {self.what}: {self.broken[-1]}", file=sys.stderr, flush=True)
        else:
            self.held += 1


@dataclass
class Plan:
    """What an attack is given: a folder of its own, a seed, the time at which it begins no more trials.

    `kept` is a folder for what did harm, where somebody wants to look at it.
    """

    root: Path
    seed: int
    deadline: float = float("inf")
    kept: Path | None = None

    def dice(self, name: str) -> random.Random:
        """Random numbers that depend on the seed and a name alone."""
        return random.Random(f"{self.seed} {name}")

    def over(self) -> bool:
        """Whether the time for trials has passed."""
        return time.monotonic() >= self.deadline

    def folder(self, name: str) -> Path:
        """A new folder for trials."""
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path


Attack = Callable[[Plan], Iterator[Outcome]]


def say(words: str) -> None:
    """A line of progress."""
    print(words, file=sys.stderr, flush=True)


def all_held(rows: list[Outcome]) -> bool:
    """Whether there was something to hold in every row, and all of it did."""
    return bool(rows) and all(row.tried == row.held and row.tried for row in rows)


def broken_lines(rows: list[Outcome]) -> list[str]:
    """What did not hold, a line each, cut to a readable length."""
    lines = [f"{row.kind}, {row.what}: {one}" for row in rows for one in row.broken]
    return [line if len(line) <= 4 * SHOWN else f"{line[: 4 * SHOWN - 1]}…" for line in lines]


def text_table(rows: list[Outcome]) -> str:
    """The table for a terminal."""
    lines = [f"{'attack':<12}{'on':<34}{'tried':>8}{'held':>8}  "]
    for row in rows:
        mark = "" if row.tried == row.held and row.tried else "NOT HELD" if row.tried else "NOT TRIED: no time was left"
        lines.append(f"{row.kind:<12}{row.what:<34}{row.tried:>8,}{row.held:>8,}  {mark or row.detail}".rstrip())
    tried, held = sum(row.tried for row in rows), sum(row.held for row in rows)
    lines.append(f"{'all':<46}{tried:>8,}{held:>8,}")
    return "\n".join(lines)


PLACE = re.compile(r"(<!-- attack -->\n).*(<!-- /attack -->)", re.S)


def with_table(text: str, rows: list[Outcome], circumstances: str) -> str:
    """A page with the table as it came out. Raises ValueError where it has no place for one."""
    if not PLACE.search(text):
        raise ValueError("the text has no <!-- attack --> … <!-- /attack -->")
    return PLACE.sub(lambda found: f"{found[1]}\n{markdown_table(rows)}\n\n({circumstances})\n\n{found[2]}", text)


def markdown_table(rows: list[Outcome]) -> str:
    """The table for the page."""
    tried, held = sum(row.tried for row in rows), sum(row.held for row in rows)
    lines = ["| attack | on | tried | held | |", "|---|---|---|---|---|"]
    lines += [f"| {row.kind} | {row.what} | {row.tried:,} | {row.held:,} | {row.detail} |" for row in rows]
    return "\n".join([*lines, f"| all | | {tried:,} | {held:,} | |"])
