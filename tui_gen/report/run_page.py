"""All about one run on a page: what it came to, what people keep about it, and which code it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from tui_gen import remarks, run_details, runs
from tui_gen.report.stdout import Outlet, width_of
from tui_gen.run_facts import RunRow
from tui_gen.run_summary import summary_of


def print_run(out: Outlet, path: Path, *, json: bool = False, provenance: bool = False) -> int:
    """Print it; 0."""
    row = RunRow(runs.info_of(path), summary_of(path))
    if json:
        plain: dict[str, Any] = msgspec.to_builtins(row.info) | {"live": row.info.live}
        plain["summary"] = msgspec.to_builtins(row.summary) | {"reached": row.summary.reached}
        plain["notes"] = msgspec.to_builtins(remarks.of(path).notes)
        out.json(plain)
        return 0
    for line in run_details.page(row, width_of(out)):
        out.line(line)
    return 0
