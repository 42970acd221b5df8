"""The door to the workbench: settles what Textual reads when it is imported, and only then imports it."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_gen.app import later
from tui_gen.places import cache_dir, config_dir

if TYPE_CHECKING:
    from tui_gen.draw.terminal import Terminal
    from tui_gen.remote.watcher import Watcher
    from tui_gen.speeds import Pace


def refusal() -> str:
    """What a workbench lacks where this process runs, a terminal that can do more than print; empty if nothing."""
    try:
        there = sys.stdin.isatty() and sys.stdout.isatty()
    except ValueError:
        there = False
    if not there:
        return "the workbench needs a terminal"
    term = os.environ.get("TERM", "")
    if term in ("", "dumb"):
        return f"TERM={term}: the workbench needs a terminal that can move its cursor (TERM=xterm-256color, say)"
    return ""


def run_workbench(
    runs_root: Path,
    model_dirs: list[str],
    open_run: Path | None = None,
    *,
    replay: Pace | None = None,
    graphics: str | None = None,
    theme: str | None = None,
    budget: float | None = None,
    compare: Sequence[Path] = (),
    watcher: Watcher | None = None,
) -> int:
    """Show the workbench, on a terminal to which there is no `refusal`, until it is left; the exit status.

    `open_run` is a run to show at once, or to `replay`, `compare` are some to compare; `graphics`, `theme` and `budget`
    (bytes/s) are for this time only; a `watcher` has the runs from another machine. Raises ConfigError for graphics
    that the terminal does not have.
    """
    config_dir(), cache_dir()  # said here where there are none, not in the middle of a screen
    if open_run is not None and replay is None:
        from tui_gen.log import prefetch

        prefetch.begin(open_run / "events.jsonl")
    from tui_gen.draw.terminal import probe

    try:  # before Textual is imported, which reads its settings then
        terminal = probe(graphics)
    except ValueError as error:
        from tui_gen.config import ConfigError
        from tui_gen.params import Problem

        raise ConfigError("command line", [Problem("graphics", None, str(error))]) from None
    prepare_environment(terminal)
    gc.disable()  # until the first frame is out: collections while modules are imported find nothing
    with contextlib.ExitStack() as ending:
        look = None
        if open_run is not None and replay is None and watcher is None:
            from tui_gen.app.first_look import FirstLook
            from tui_gen.app.terminal.taken import TakenScreen

            look = FirstLook(open_run, model_dirs, ending.enter_context(TakenScreen(terminal)), theme)
            if budget is None:
                look.show()
        import_asyncio()
        later.import_textual()
        from tui_gen.app.workbench import Workbench

        more: dict[str, Any] = {"open_run": open_run, "terminal": terminal, "theme": theme, "budget": budget}
        if watcher is not None:
            from tui_gen.app.far_runs import FarRuns

            app = Workbench(FarRuns(watcher, model_dirs), **more)
        else:
            app = Workbench(Path(runs_root), model_dirs, replay=replay, compare=compare, first_look=look, **more)
        app.run()
    return app.return_code or 0


def import_asyncio() -> None:
    """Import asyncio, as Textual does, without OpenSSL, which takes longer than all the rest of it: no event loop of
    ours encrypts anything. Whoever else wants `ssl` imports it as ever.
    """
    if "ssl" not in sys.modules:
        sys.modules["ssl"] = None  # type: ignore[assignment]  # Python takes it for a module that is not installed
        try:
            import asyncio  # noqa: F401
        finally:
            del sys.modules["ssl"]


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
