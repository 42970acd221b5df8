"""The escape test, as an attack: every text of every event, name and reply, through every command line and pane."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from tests.attack.outcome import Attack, Outcome, Plan

TESTS = Path(__file__).parent.parent / "test_escapes.py"
"""It makes a run of such texts and looks at what comes out."""


def escapes(plan: Plan) -> Iterator[Outcome]:
    """A row: each of its tests is one try."""
    row, report = Outcome("escapes", "command lines, displays, panes, replies"), plan.folder("escapes") / "report.xml"
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--junitxml={report}", str(TESTS)]
    done = subprocess.run(
        [sys.executable, *words], cwd=TESTS.parent.parent, stdin=subprocess.DEVNULL, capture_output=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(one for one in sys.path if one)},
    )  # fmt: skip
    cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    for case in cases:
        if case.find("skipped") is None:
            wrong = [str(one.get("message", "")) for kind in ("failure", "error") for one in case.findall(kind)]
            row.take(wrong, str(case.get("name")))
    if not cases:
        row.take([done.stdout.decode("utf-8", "replace")[-300:] or "no tests ran"], TESTS.name)
    yield row


ATTACKS: dict[str, Attack] = {"escapes": escapes}
