"""All about one run on a page: what it came to, what people keep about it, and which code it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from tui_gen import remarks, runs
from tui_gen.history import provenance, run_details
from tui_gen.history.run_facts import RunRow
from tui_gen.history.run_summary import summary_of
from tui_gen.lines import aligned
from tui_gen.report.stdout import Outlet, width_of
from tui_gen.text import clean_lines


def print_run(out: Outlet, path: Path, *, json: bool = False, with_code: bool = False) -> int:
    """Print it; 0."""
    row = RunRow(runs.info_of(path), summary_of(path))
    if json:
        plain: dict[str, Any] = msgspec.to_builtins(row.info) | {"live": row.info.live}
        plain["summary"] = msgspec.to_builtins(row.summary) | {"reached": row.summary.reached}
        plain["notes"] = msgspec.to_builtins(remarks.of(path).notes)
        own = provenance.of(path)
        plain["provenance"] = msgspec.to_builtins(own) if own is not None else None
        if with_code:
            plain["diff"] = provenance.diff_of(path)
        out.json(plain)
        return 0
    if with_code:
        print_code(out, path)
        return 0
    for line in run_details.page(row, width_of(out)):
        out.line(line)
    return 0


def print_code(out: Outlet, path: Path) -> None:
    """Which code a run was made from: commits, then the changes. Raises RunError where that was not kept."""
    own = provenance.of(path)
    if own is None:
        raise runs.RunError(f"{path.name} does not say which code it was made from; newer runs do")
    for line in aligned(provenance.facts_of(own), width=width_of(out)):
        out.line(line)
    for name in own.work.new if own.work is not None else []:
        out.line(f"not in git: {name}")
    for line in clean_lines(provenance.diff_of(path)):
        out.line(line)
