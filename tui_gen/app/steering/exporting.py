"""Exports of runs from the workbench: the dialog is asked, and a process of the command line does it.

So the screen goes on as ever, however much there is to write, and ending it leaves nothing half written.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tui_gen import children, launch, runs
from tui_gen.app.background import away
from tui_gen.app.widgets.export_dialog import CannotExport, Choice, ExportDialog, ExportWish
from tui_gen.places import elsewhere, expanded, shown
from tui_gen.quantities import size

if TYPE_CHECKING:
    from tui_gen.app.shell.stage import Stage
    from tui_gen.app.steering.conductor import Conductor

GRACE = 3.0
"""Seconds that a process has to end in, and to remove what it had begun to write."""


class Exporter:
    """Asks how a run is to be exported, and has that done."""

    def __init__(self, stage: Stage, conductor: Conductor) -> None:
        self.stage, self.conductor = stage, conductor
        self._process: subprocess.Popen[str] | None = None
        self._cancelled = False

    async def ask(self, run: Path) -> None:
        """Show the dialog for a run; what was done is told."""
        choices = await away(_choices, run)
        place = partial(_place, self.conductor.session.beside(run))
        dialog = ExportDialog(f"Export {run.name}", choices, place, _problem, partial(self._do, run), self.cancel)
        if words := await self.stage.push_screen_wait(dialog):
            self.stage.notices.tell(words)

    async def _do(self, run: Path, wish: ExportWish, tell: Callable[[str], None]) -> str:
        """Export, and say what came of it. Raises CannotExport."""
        from tui_gen.report.exports import form_of

        self._cancelled = False
        if form_of(wish.form).executes and not await self.conductor.trusted(run, f"{run.name} names"):
            raise CannotExport("the model's code is not trusted, so it is not executed")
        loop = asyncio.get_running_loop()
        try:
            code, faults = await away(self._export, run, wish, lambda line: loop.call_soon_threadsafe(tell, line))
        except OSError as error:
            raise CannotExport(f"nothing was exported: {error.strerror or error}") from None
        if self._cancelled:
            raise CannotExport("cancelled; nothing was written")
        if code:
            raise CannotExport("\n".join(faults) or f"nothing was exported: the process ended with {code}")
        return f"Exported to {shown(Path(wish.target))} ({size(await away(_bytes_of, wish.target))})"

    def _export(self, run: Path, wish: ExportWish, tell: Callable[[str], object]) -> tuple[int, list[str]]:
        """Have the command line do it; its exit status, and what it says went wrong."""
        words = [f"--{name.replace('_', '-')}={text}" for name, text in wish.texts.items()]
        dirs = [word for folder in self.conductor.session.dirs() for word in ("--models", os.path.abspath(folder))]
        faults: list[str] = []
        with children.start(
            "tui_gen", "export", os.path.abspath(run), "--as", wish.form, "-o", os.path.abspath(wish.target), "--force",
            *words, *dirs, env=launch.environment_beside(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
        ) as process:  # fmt: skip
            self._process = process
            if self._cancelled:
                self.cancel()
            assert process.stderr is not None  # as asked for: a pipe
            for line in map(str.rstrip, process.stderr):
                if faults or line.startswith("tui-gen: "):
                    faults.append(line.removeprefix("tui-gen: "))
                elif line:
                    tell(line)
        self._process = None
        return process.returncode, faults

    def cancel(self) -> None:
        """End what is being exported, as Ctrl-C would; at once where that takes too long."""
        self._cancelled = True
        process = self._process
        if process is not None and process.poll() is None:
            _signal(process, signal.SIGINT)
            self.stage.set_timer(GRACE, lambda: _signal(process, signal.SIGKILL))


def _signal(process: subprocess.Popen[str], number: int) -> None:
    """To it and to the processes that it started."""
    if process.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, number)


def _choices(run: Path) -> list[Choice]:
    from tui_gen.report.exports import FORMATS, lacking

    place = elsewhere(run)
    weights = f"its checkpoints are on {place.host}: ssh {place.host} tui-gen export {run.name} --as …" if place else ""
    return [
        Choice(form.name, form.help, form.params, weights if form.executes and weights else lacking(form))
        for form in FORMATS
    ]


def _place(run: Path, name: str, texts: dict[str, str]) -> str:
    """Where an export goes by default: beside the run, called as the run."""
    from tui_gen.report.exports import Order, chosen, form_of, place

    form = form_of(name)
    try:
        options = chosen(form, texts)
    except runs.RunError:  # told when it is to be used
        options = form.options()
    return shown(place(form, Order(run, options)))


def _problem(wish: ExportWish) -> str:
    """What is wrong with a wish, in words; empty where nothing is."""
    from tui_gen.report.exports import chosen, form_of

    form = form_of(wish.form)
    try:
        chosen(form, wish.texts)
    except runs.RunError as error:
        return str(error)
    if not wish.target:
        return "type a file's name"
    try:
        target = expanded(wish.target)
        if not target.absolute().parent.is_dir():
            return f"there is no folder {target.absolute().parent}"
        if target.is_dir() and not form.folder:
            return f"{target} is a folder: type a file's name"
    except (OSError, ValueError) as error:
        return f"cannot be used: {error}"
    return ""


def _bytes_of(path: str) -> int:
    """The size of a file, or of all files in a folder."""
    if not os.path.isdir(path):
        return os.path.getsize(path)
    return sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names)
