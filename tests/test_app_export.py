"""The export dialog: formats with their options, a file, what is wrong in its place, and a way out while it works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from textual.widgets import Button, Checkbox, Input, OptionList, Static

from tests import fake_worker
from tests.shell import screen_text, until, workbench
from tests.test_replay import story
from tui_gen import children, events
from tui_gen.app.widgets.export_dialog import ExportDialog
from tui_gen.log.event_log import EventWriter
from tui_gen.report.exports import FORMATS


@pytest.fixture
def run():
    path = fake_worker.make_run()
    writer = EventWriter(path / "events.jsonl")
    writer.write(*(event for event in story() if not isinstance(event, events.Sample)))
    writer.close()
    return path


async def opened(app, pilot) -> ExportDialog:
    await until(pilot, lambda: app.view is not None and app.view.series)
    await pilot.press("ctrl+x")
    await until(pilot, lambda: isinstance(app.screen, ExportDialog) and app.screen.query_one("#path", Input).value)
    return app.screen


async def choose(pilot, dialog: ExportDialog, name: str) -> None:
    dialog.query_one(OptionList).highlighted = [form.name for form in FORMATS].index(name)
    names = {param.name for form in FORMATS if form.name == name for param in form.params}
    await until(pilot, lambda: dialog.choice.name == name and dialog._fields.keys() == names)


def said(dialog: ExportDialog) -> str:
    return str(dialog.query_one("#words", Static).content)


async def test_a_run_is_exported_from_the_dialog(monkeypatch, run, tmp_path):
    target = tmp_path / "r.html"
    async with workbench(monkeypatch, (80, 24), open_run=run) as (app, pilot):
        dialog = await opened(app, pilot)
        path = dialog.query_one("#path", Input)
        assert path.value.endswith(f"{run.name}.csv")
        await choose(pilot, dialog, "html")
        assert path.value.endswith(f"{run.name}.html") and dialog.query_one("#options Checkbox", Checkbox)
        await choose(pilot, dialog, "gif")
        assert path.value.endswith(f"{run.name}.gif") and "fps" in screen_text(app)
        dialog._fields["fps"].value = "99"
        dialog._take()
        assert "--fps '99'" in said(dialog) and not dialog.busy
        dialog._fields["fps"].value = "10"
        dialog._take()  # it has no previews: told by the process, in its place
        await until(pilot, lambda: "has no previews" in said(dialog))
        assert not dialog.busy and not list(run.parent.glob("*.gif"))
        await choose(pilot, dialog, "html")
        for wrong, words in ((str(tmp_path / "no" / "a.html"), "there is no folder"), (str(tmp_path), "is a folder")):
            path.value = wrong
            dialog._take()
            assert words in said(dialog)
        target.write_text("mine")
        path.value = str(target)
        dialog._take()
        assert "once more replaces it" in said(dialog) and target.read_text() == "mine"
        path.focus()
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is not dialog)
        assert "<h1>" in target.read_text() and any(f"{target} (" in text and " kB)" in text for text in app.told)
        assert app.screen_stack[0] is app.screen


async def test_an_export_is_ended_and_leaves_nothing(monkeypatch, run):
    started: list[subprocess.Popen[str]] = []

    def slow(module: str, *words: object, env: object = None, **streams: object) -> subprocess.Popen[str]:
        code = "import sys, time; print('half of it', file=sys.stderr, flush=True); time.sleep(600)"
        started.append(subprocess.Popen([sys.executable, "-S", "-c", code], **streams))
        return started[-1]

    async with workbench(monkeypatch, (80, 24), open_run=run) as (app, pilot):
        dialog = await opened(app, pilot)
        monkeypatch.setattr(children, "start", slow)
        before = set(Path(run.parent).iterdir())
        dialog._take()
        await until(pilot, lambda: "half of it" in said(dialog))
        assert dialog.busy and dialog.query_one("#export", Button).disabled and app.screen is dialog
        await pilot.press("escape")
        await until(pilot, lambda: "cancelled" in said(dialog) and not dialog.busy)
        assert started[0].poll() is not None and set(Path(run.parent).iterdir()) == before
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is not dialog)
