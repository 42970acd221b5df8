"""What is done with runs of the list, one or many: stopped, resumed, deleted, starred, tagged, noted on, renamed, told
about, exported, replayed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tui_gen import remarks, runs
from tui_gen.app.background import away
from tui_gen.app.steering.exporting import Exporter
from tui_gen.app.widgets.dialogs import Dialog
from tui_gen.app.widgets.text_dialog import TextDialog
from tui_gen.config import ConfigError
from tui_gen.history import run_details
from tui_gen.history.run_facts import RunRow
from tui_gen.history.run_summary import summary_of
from tui_gen.places import elsewhere
from tui_gen.quantities import count
from tui_gen.remarks import RemarkError
from tui_gen.speeds import USUAL
from tui_gen.text import clean

if TYPE_CHECKING:
    from tui_gen.app.panes.asking import RunsAsked
    from tui_gen.app.shell.stage import Stage
    from tui_gen.app.steering.conductor import Conductor

MOST_NAMES = 12
"""Runs that a question names one by one."""


class Keeper:
    """Does what the panes ask of runs that are not only looked at, and says on screen what came of it."""

    def __init__(self, stage: Stage, conductor: Conductor) -> None:
        self.stage, self.conductor = stage, conductor
        self.notices = stage.notices

    async def do(self, wish: RunsAsked) -> None:
        """One of the things that `RunsAsked` names."""
        paths = wish.paths
        match wish.what:
            case "stop":
                for path in paths:
                    await self.conductor.stop(path)
            case "resume":
                await self.resume(paths)
            case "delete":
                await self.delete(paths)
            case "star":
                await self.star(paths)
            case "tag":
                await self.tag(paths)
            case "note":
                await self.note(paths[0], wish.step, wish.sample)
            case "rename":
                await self.rename(paths[0])
            case "details":
                await self.tell_about(paths[0])
            case "folder":
                await self.show_folder(paths)
            case "export":
                await Exporter(self.stage, self.conductor).ask(paths[0])
            case "replay":
                await self.conductor.open(paths[0], pace=USUAL)

    async def resume(self, paths: list[Path]) -> None:
        """Let runs that ended go on beside each other, after one question that lists them; none of them is shown."""
        session = self.conductor.session
        live = await away(session.live_here, None)
        text = f"These {count(len(paths))} runs go on from their last checkpoints, all at once"
        text += f", beside {count(len(live))} live here" * bool(live) + f".\n{_listed(paths)}"
        answers = [("cancel", "Cancel"), ("resume", "Resume them")]
        if await self.stage.push_screen_wait(Dialog("Resume", text, answers)) != "resume":
            return
        successes = []
        for path in paths:
            if await away(session.remedy, path) is not None:
                self.notices.tell(f"{path.name} would break again: resume it alone, with a smaller rate.", "warning")
                continue
            if not await self.conductor.trusted(path, f"{path.name} names") or not await self.conductor.has_data(path):
                continue
            try:
                await away(session.resume, path)
                successes.append(path)
            except (runs.RunError, ConfigError) as error:
                self.notices.tell(str(error), "error")
        if successes:
            who = successes[0].name if len(successes) == 1 else f"{count(len(successes))} runs"
            self.notices.tell(f"{who} resumed.")
        self.stage.runs_changed()

    async def delete(self, paths: list[Path]) -> None:
        """Remove runs after one question that lists them, without those that something speaks against."""
        doubts = await away(_doubts, paths)
        for words in [words for words in doubts.values() if words][:3]:
            self.notices.tell(words, "error")
        paths = [path for path in paths if not doubts[path]]
        if not paths:
            return
        if len(paths) == 1:
            text = f"Everything of {paths[0].name} goes: settings, losses, samples, checkpoints. It cannot be had back."
        else:
            text = f"Everything of these {count(len(paths))} runs goes. It cannot be had back.\n{_listed(paths)}"
        answer = await self.stage.push_screen_wait(Dialog("Delete", text, [("keep", "Keep"), ("delete", "Delete")]))
        if answer != "delete":
            return
        gone = []
        for number, path in enumerate(paths, 1):
            if len(paths) > 1:
                self.notices.say(f"deleting {count(number)} of {count(len(paths))}…")
            try:
                await away(self.conductor.session.delete, path)
            except runs.RunError as error:
                self.notices.tell(str(error), "error")
                continue
            gone.append(path)
            if self.conductor.view is not None and self.conductor.view.path == path:
                self.conductor.close_shown()
        self.notices.say("")
        if gone:
            self.notices.tell(f"Deleted {gone[0].name if len(gone) == 1 else f'{count(len(gone))} runs'}.")
        self.stage.runs_changed()

    async def star(self, paths: list[Path]) -> None:
        """A star for all; none for any where all have one."""
        on = not all([(await away(remarks.of, path)).star for path in paths])
        await self._keep(paths, lambda path: self._remark(path, "star", on), "a star" if on else "no star")

    async def tag(self, paths: list[Path]) -> None:
        """Tags: of one run all of them, of many what is added and taken away."""
        if len(paths) == 1:
            before = (await away(runs.info_of, paths[0])).tags
            text = await self._ask(f"Tags of {paths[0].name}", " ".join(before), "Words to find it by", _wrong_tags)
            if text is None:
                return
            add, remove = text.split(), [word for word in before if word not in text.split()]
        else:
            why = "Words to find them by; a - before a word takes it away"
            text = await self._ask(f"Tags of {count(len(paths))} runs", "", why, _wrong_tags)
            if not text:
                return
            add = [word.removeprefix("+") for word in text.split() if word[0] != "-"]
            remove = [word[1:] for word in text.split() if word[0] == "-"]
        await self._keep(paths, lambda path: self._remark(path, "tag", add, remove), "other tags")

    async def note(self, path: Path, step: int | None = None, sample: str = "") -> None:
        """A note on a run, a step or a sample."""
        where = f", step {step:,}" if step is not None else ""
        where += f", {os.path.basename(sample)}" if sample else ""
        text = await self._ask(f"Note on {path.name}{where}", wrong=_wrong_note)
        if text is not None:
            await self._keep([path], lambda path: self._remark(path, "note", text, step, sample), "a note")

    async def rename(self, path: Path) -> None:
        """Another name for a run; its folder stays what it is."""
        info = await away(runs.info_of, path)
        why = "Empty is the name in its config. Its folder stays what it is."
        text = await self._ask(f"Call {path.name}", info.name, why)
        if text is not None and text != info.name:
            await self._keep([path], lambda path: self._remark(path, "rename", text), "another name")

    async def tell_about(self, path: Path) -> None:
        """All about a run on a page."""
        from tui_gen.app.shell.help import ReadingPage

        def read() -> str:
            return "\n".join(run_details.page(RunRow(runs.info_of(path), summary_of(path, self.stage.catalog))))

        self.stage.push_screen(ReadingPage(clean(path.name), await away(read)))

    async def show_folder(self, paths: list[Path]) -> None:
        """Where runs lie: said, copied through the terminal, and opened where there is a desktop."""
        text = "\n".join(str(elsewhere(path) or path) for path in paths)
        self.stage.copy_to_clipboard(clean(text, "\n"))
        words = f"Copied {text if len(paths) == 1 else f'the folders of {count(len(paths))} runs'}"
        opener = shutil.which("xdg-open")
        here = len(paths) == 1 and not elsewhere(paths[0])
        if here and opener and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            null = subprocess.DEVNULL
            try:
                subprocess.Popen([opener, text], stdin=null, stdout=null, stderr=null, start_new_session=True)
                words += ", and opened it"
            except OSError as error:
                words += f"; {opener} did not start: {error.strerror or error}"
        self.notices.tell(words, log=False)

    async def _ask(
        self, title: str, text: str = "", why: str = "", wrong: Callable[[str], str] = lambda text: ""
    ) -> str | None:
        return await self.stage.push_screen_wait(TextDialog(title, text, why, wrong))

    def _remark(self, path: Path, what: str, *words: object) -> object:
        return self.conductor.session.remark(path, what, *words)

    async def _keep(self, paths: list[Path], change: Callable[[Path], object], what: str) -> None:
        """Change what is kept about some runs, and say so."""
        number = 0
        for path in paths:
            try:
                await away(change, path)
                number += 1
            except RemarkError as error:
                self.notices.tell(str(error), "error")
        if number:
            who = paths[0].name if len(paths) == 1 else f"{count(number)} runs"
            self.notices.tell(f"{who}: {what}", log=False)
            self.stage.runs_changed()


def _listed(paths: list[Path]) -> str:
    """Runs one below the other, as far as a question has room for them."""
    more = [f"  and {count(len(paths) - MOST_NAMES)} more"] * (len(paths) > MOST_NAMES)
    return "\n".join([*(f"  {path.name}" for path in paths[:MOST_NAMES]), *more])


def _doubts(paths: list[Path]) -> dict[Path, str]:
    """What speaks against deleting each of these runs."""
    return {path: runs.doubts(path) for path in paths}


def _wrong_tags(text: str) -> str:
    """Why a line is no list of tags; empty where it is one."""
    for word in text.split():
        try:
            remarks.check_tag(word.removeprefix("+").removeprefix("-"))
        except RemarkError as error:
            return str(error)
    return ""


def _wrong_note(text: str) -> str:
    return "" if text.strip() else "A note has words; Esc leaves"
