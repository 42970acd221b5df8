"""The System pane: a verdict and where the time went, for runs that train and runs that are over."""

from __future__ import annotations

import re

import msgspec
import pytest
from textual.app import ComposeResult

from tests import fake_worker
from tests.hosts import ThemedApp
from tests.plot_host import append
from tests.shell import SIZES, screen_text, until, until_shown, workbench
from tui_gen import events
from tui_gen.app.panes.system.pane import OLD, SystemPane
from tui_gen.app.panes.system.rows import UsageReading, machine_rows
from tui_gen.usage import Gpu, Load, Spent
from tui_gen.view import RunView

PARTS = {"data": 0.4, "gradients": 7.0, "optimiser": 1.0}
COSTLY = Spent(10.0, 100, {**PARTS, "preview": 1.6}, {"preview": 4})
GPU = Gpu("G1", 0.87, 10**9, 2 * 10**9, 10**8, 250.0, 61.0)
LOAD = Load("far-away", 8.0, 7.2, 0.93, 612 * 10**6, 8 * 10**9, 16 * 10**9, GPU)


def finished():
    run = fake_worker.record(fake_worker.make_run())
    append(run, *(events.Usage(step, COSTLY, LOAD) for step in (50, 100)))
    return run


def test_of_several_processes_it_is_said_whose_figures_these_are():
    for processes, words in ((1, "worker    7.2 of 8 CPUs"), (3, "1 of 3    7.2 of 8 CPUs")):
        assert words in str(machine_rows(UsageReading(COSTLY, "lately", [LOAD], processes), None, 80)[1])


@pytest.mark.parametrize("size", SIZES)
async def test_a_run_that_is_over_tells_what_held_it_up(monkeypatch, size):
    async with workbench(monkeypatch, SIZES[size], open_run=finished()) as (_, pilot):
        await pilot.press("alt+7")
        shown = await until_shown(pilot, "previews are too costly: 16% of the time", "every_seconds = 20", "it is 5")
        assert "forward/backward  70% █" in shown and "70 ms" in shown and "previews          16%" in shown
        assert " sets it" not in shown
        if size != "120x40":  # where there is room for it
            assert "far-away" in shown and "7.2 of 8 CPUs" in shown and "87% busy" in shown and "250 W · 61 °C" in shown
            assert "8.0 GB of 16 GB" in shown and "▇▇" in shown


@pytest.mark.parametrize("by", ["key", "click"])
async def test_what_would_have_helped_goes_into_the_form_for_the_next_run(monkeypatch, by):
    async with workbench(monkeypatch, SIZES["80x24"], open_run=finished()) as (app, pilot):
        await pilot.press("alt+7")
        await until_shown(pilot, "previews are too costly", " a puts it into the form ")
        assert app.workspace.pane("system").label("", "apply") == "every_seconds = 20, next run"
        await (pilot.press("a") if by == "key" else pilot.click("#verdict"))
        await until(pilot, lambda: app.form.draft.value("preview.every_seconds") == 20)
        assert app.form.state is app.form.draft and "puts it" not in screen_text(app)
        await pilot.press("a")
        app.form.draft.undo()
        await until_shown(pilot, " a puts it into the form ")
        app.form.draft.set_text("preview.every_seconds", "7")
        await pilot.press("a")
        assert app.form.draft.text("preview.every_seconds") == "20"


def test_where_there_are_120_columns_there_is_a_history_too():
    loads = [msgspec.structs.replace(LOAD, cpu=float(cpu), memory=cpu * 10**8, gpu=None) for cpu in range(1, 9)]
    worker, everybody = map(str, machine_rows(UsageReading(COSTLY, "lately", loads), LOAD, 57)[1:3])
    assert all(len(history) >= 5 for history in re.findall("[▁-█]+", worker)) and len(re.findall("[▁-█]+", worker)) == 2
    assert worker.index("800 MB") == everybody.index("8.0 GB of 16 GB") and len(worker) <= 57


async def test_a_run_of_an_earlier_version_says_so(monkeypatch):
    run = fake_worker.record(fake_worker.make_run())
    async with workbench(monkeypatch, (80, 24), open_run=run) as (_, pilot):
        await pilot.press("alt+7")
        await until_shown(pilot, OLD)


class Host(ThemedApp):
    """The pane alone, with what it asks for."""

    def __init__(self, view: RunView) -> None:
        super().__init__()
        self.pane, self.view, self.asked = SystemPane(), view, []

    def compose(self) -> ComposeResult:
        yield self.pane

    def on_mount(self) -> None:
        self.pane.focus_inside()
        self.pane.show_run(self.view)

    def on_live_edit_asked(self, message) -> None:
        self.asked.append((message.key, message.value))

    def text(self) -> str:
        return "\n".join(str(part.render()) for part in self.pane.query("Static"))


async def test_the_advice_is_followed_by_a_key_or_a_click_and_then_it_is_gone():
    run = finished()
    view = RunView.read(run)
    view.state = "running"
    app = Host(view)
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: "too costly" in app.text() and " a sets it " in app.text(), app.text)
        await pilot.press("a")
        await pilot.click("#verdict")
        assert app.asked == [("preview.every_seconds", 20)] * 2
        assert app.pane.label("Follow the advice", "apply") == "every_seconds = 20"
        append(run, events.Edit(step=100, key="preview.every_seconds", old=5.0, new=20.0))
        changed = view.poll()
        view.state = "running"
        app.pane.update_view(changed)
        await until(pilot, lambda: "compute-bound" in app.text(), app.text)
        await pilot.press("a")
        assert len(app.asked) == 2 and "lately" in app.text()
        await pilot.press("w")
        assert "the whole run" in app.text()
        app.pane.beat(19.0)
        assert "stalled" not in app.text()
        app.pane.beat(500.0)
        assert "✖ stalled: nothing was heard for 8 min 20 s" in app.text()
        app.pane.beat(0.0)
        assert "stalled" not in app.text()
