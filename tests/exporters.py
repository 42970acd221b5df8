"""Exports from checkpoints without a process of their own, which takes seconds to import PyTorch."""

from __future__ import annotations

import contextlib
import io
import logging
import subprocess
import sys
from typing import Any

import pytest

from tui_gen import children
from tui_gen.train.offline.exports import __main__ as offline


def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what starts an exporter call it."""

    class Process:
        def __init__(self, module: str, *words: object, **streams: Any) -> None:
            assert module == "tui_gen.train.offline.exports" and streams["stdout"] == subprocess.DEVNULL
            monkeypatch.setattr(sys, "argv", ["", *map(str, words)])
            self.stderr = io.StringIO()
            with contextlib.redirect_stderr(self.stderr):
                self.returncode = offline.main()
            self.stderr.seek(0)

        def __enter__(self) -> Process:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(children, "start", Process)
    # pytest listens to every logger, and what PyTorch tells of a trace takes as long again as tracing.
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
