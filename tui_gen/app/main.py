"""The door to the workbench: settles what Textual reads when it is imported, and only then imports it."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tui_gen.draw.terminal import Terminal


def run_workbench(
    runs_root: Path,
    model_dirs: list[str],
    open_run: Path | None = None,
    terminal: Terminal | None = None,
    theme: str | None = None,
) -> int:
    """Show the workbench until it is left; the exit status.

    `terminal` is what the probe found out before (`tui_gen.draw.terminal.probe`), `open_run` a run to show at once,
    `theme` a theme for this time only. Returns 2, with a line on stderr, where there is no terminal to draw on.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        print("tui-gen: the workbench needs a terminal; train without one with tui-gen --run RECIPE", file=sys.stderr)
        return 2
    prepare_environment(terminal)
    gc.disable()  # until the first frame is out: collections while modules are imported find nothing
    from tui_gen.app.workbench import Workbench

    app = Workbench(Path(runs_root), model_dirs, open_run=open_run, terminal=terminal, theme=theme)
    app.run()
    return app.return_code or 0


def prepare_environment(terminal: Terminal | None = None) -> None:
    """Set what Textual reads from the environment at import: no animations, the colours that the terminal has.

    A user's own setting of these variables wins. NO_COLOR means what it means elsewhere: it counts unless it is empty.
    """
    if not os.environ.get("NO_COLOR", "1"):
        del os.environ["NO_COLOR"]
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    if terminal is not None and terminal.colours and "NO_COLOR" not in os.environ:
        os.environ.setdefault("TEXTUAL_COLOR_SYSTEM", terminal.colours)


def __getattr__(name: str) -> Any:
    if name == "Workbench":
        prepare_environment()
        from tui_gen.app.workbench import Workbench

        return Workbench
    raise AttributeError(name)
