"""What brings a comparison of runs on screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_gen.app.shell.stage import Stage


def show(stage: Stage, paths: Sequence[Path]) -> None:
    """Compare these runs, in the layout that is made for it."""
    from tui_gen.app.panes.compare.pane import ComparePane

    pane = stage.workspace.pane("compare")
    if isinstance(pane, ComparePane):
        pane.compare(paths)
        stage.workspace.use_layout("compare")
        stage.workspace.open("runs", focus=False)
        stage.workspace.open("compare")
