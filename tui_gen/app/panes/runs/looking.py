"""What the runs of a list came to. Knows no widget."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tui_gen.history.run_facts import RunRow, proof_of
from tui_gen.history.run_summary import Summaries
from tui_gen.runs import RunInfo

if TYPE_CHECKING:
    from tui_gen.catalog import Catalog

SAVED_EVERY = 10.0
"""Seconds between two writings of the summaries that are known, while more are found."""


class Results:
    """What the runs of a list came to: summaries and proofs, found a few at a time, those that are wanted first."""

    def __init__(self, root: Path) -> None:
        self._summaries = Summaries(root)
        self._signs: dict[str, tuple[float, str, int]] = {}
        self._proofs: dict[str, str] = {}
        self._rows: dict[str, RunRow] = {}
        self._save_time = 0.0
        self.pending = 0
        """Runs whose results are still to be found, as of the last `find`."""

    def set_catalog(self, catalog: Catalog) -> None:
        """Other models and recipes are known from now on."""
        self._summaries.set_catalog(catalog)

    def row(self, info: RunInfo) -> RunRow:
        """The row of a run, with what is known of it now; the same one as before, where that is the same."""
        summary, verdict = self._summaries.last_known(info.path), self._proofs.get(info.path, "")
        row = self._rows.get(info.path)
        if row is None or row.info is not info or row.summary is not summary or row.proof != verdict:
            row = self._rows[info.path] = RunRow(info, summary, verdict)
        return row

    def find(self, rows: Iterable[RunInfo], seconds: float) -> bool:
        """Find what is not known of these runs, in their order, for so long; whether there was anything new."""
        deadline, news, lasting = time.monotonic() + seconds, False, False
        self.pending = 0
        names = []
        for info in rows:
            names.append(os.path.basename(info.path))
            sign = info.updated, info.state, info.step
            if not info.state or self._signs.get(info.path) == sign:
                continue
            if time.monotonic() > deadline:
                self.pending += 1
                continue
            before = self.row(info)
            self._summaries.of(info.path, live=info.live)
            self._proofs[info.path] = proof_of(info.path)
            self._signs[info.path] = sign
            news, lasting = news or self.row(info) != before, lasting or not info.live
        due = time.monotonic() - self._save_time > SAVED_EVERY
        if self._summaries.unsaved and (due or (lasting and not self.pending)):
            self.save(names)
        return news

    def save(self, names: Iterable[str] | None = None) -> None:
        """Keep what was found for the next time."""
        self._save_time = time.monotonic()
        self._summaries.save(names)
