"""In which order the processes of a group exchange what: as all did before, or as all have agreed on first.

A backend does not know what it exchanges. Where processes are at different exchanges, it adds numbers of one to those
of another, ends the process that expected fewer, or has both wait for ever. To agree on each exchange would cost as
much as a small one. But what comes after what is the same in nearly every step: who goes on as all did the last time
they were here tells nobody, and who is about to do something else asks all the others first. Either all ask, and see
whether it is for the same; or those who do not ask wait in an exchange that cannot begin, which `Whereabouts` sees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

BEGIN, END = "the beginning of a step", "the end of a step"
ALIKE = "a model file of your own must have the same parameters, phases, metrics and sums of the batch in all of them"
WORDS = 256
"""Bytes that say what a process is at, at most."""
MOST = 10_000
"""Places that are remembered, at most: a model that does something else in every step would fill the memory."""


class Apart(Exception):
    """The processes are not at the same exchange: they do not compute the same."""


class At(NamedTuple):
    """Where a process is: at its exchange of this number, which is `words`; `asks` while it has yet to be agreed on."""

    number: int = 0
    words: str = ""
    asks: bool = False

    def __str__(self) -> str:
        return f"exchange {self.number:,}, {self.words}"


class Crossing:
    """Between two exchanges: what came next when all were here the last time, and the crossings it has led to."""

    __slots__ = ("after", "next")

    def __init__(self) -> None:
        self.next = ""
        self.after: dict[str, Crossing] = {}


class Order:
    """One process's side of it. `ask` gives bytes of this process, of one length on all, and gets those of each rank;
    it waits for all of them."""

    def __init__(self, rank: int, ask: Callable[[bytes], list[bytes]]) -> None:
        self.rank, self._ask = rank, ask
        self.at = At()
        self._begin = self._here = Crossing()
        self._crossings = 0

    def come_to(self, words: str) -> None:
        """The next exchange, or BEGIN or END, is what these words say. Raises Apart where it is not for all, and what
        `ask` does. Another process that goes on as before while this one asks never comes."""
        number, here = self.at.number + 1, self._here
        if here.next != words:
            self.at = At(number, words, True)
            self._agree(words)
            here.next = words
        self.at = At(number, words)
        there = here.after.get(words)
        if there is None:
            there = here.after[words] = Crossing()
            self._crossings += 1
        if words == BEGIN:
            if self._crossings > MOST:  # the same on all
                self._begin, self._crossings = Crossing(), 0
            there = self._begin
        self._here = there

    def _agree(self, words: str) -> None:
        said = self._ask(str(self.at).encode()[:WORDS].ljust(WORDS))
        for rank, theirs in enumerate(said):
            if theirs != said[self.rank]:
                raise Apart(f"it is at {self.at}, and rank {rank} at {theirs.decode(errors='ignore').strip()}")


class Whereabouts:
    """Where all processes of a group are, as far as one of them has heard."""

    def __init__(self) -> None:
        self._at: dict[int, At] = {}
        self._ahead: dict[int, int] = {}
        """By rank, one that was further when it said so last; -1 for none."""

    def note(self, rank: int, at: At) -> tuple[int, int] | None:
        """A process says where it is, now and then. Two that can no longer meet, where there are such.

        All come to the same exchange by the same number. And none is further than one that still asks: where a device
        computes later what is asked of it, those who did not ask go on for a while.
        """
        before, self._at[rank] = self._at.get(rank), at
        for other, there in self._at.items():
            if there.number == at.number and there.words != at.words:
                return min(rank, other), max(rank, other)
        if at.asks and at == before and (further := self._ahead.get(rank, -1)) >= 0:
            return min(rank, further), max(rank, further)
        self._ahead[rank] = next((other for other, there in self._at.items() if there.number > at.number), -1)
        return None

    def of(self, rank: int) -> At:
        """Where it was when it said so last."""
        return self._at[rank]
