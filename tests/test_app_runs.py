"""The Runs pane: sorted, filtered and marked, and what is done with one run or many."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from textual.widgets import Input

from tests import fake_worker
from tests.shell import screen_text, until, until_shown, workbench
from tui_gen import remarks, runs
from tui_gen.app.panes.runs.columns import Column, cell_of, columns_for
from tui_gen.app.panes.runs.pane import RunsPane
from tui_gen.app.panes.runs.table import RunTable
from tui_gen.history import comparison
from tui_gen.history.run_facts import RunRow
from tui_gen.history.run_list import RunList
from tui_gen.history.run_summary import RunSummary


@pytest.fixture
def three(world):
    """Ended runs with other rates, the newest first: third, second, first."""
    made = []
    for number, name in enumerate(("first", "second", "third")):
        assignments = [f"name={name}", f"train.phases.vae.lr={10.0 ** -number}", 'tags=["old"]']
        made.append(fake_worker.record(fake_worker.make_run(None, "vae-digits", *assignments), steps=100 + number))
    return made


def names(pane):
    return [row.info.name for row in pane.table.rows]


async def listed(app, pilot, count=3):
    await pilot.press("alt+6")
    pane = app.workspace.pane("runs")
    await until(pilot, lambda: len(pane.table.rows) == count and all(row.summary.metric for row in pane.table.rows))
    return pane


async def test_filter_sort_and_mark(monkeypatch, three):
    asked = []
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        pane = await listed(app, pilot)
        await pilot.press("z")
        await until_shown(pilot, "Judged by", "val loss", "38.01")
        assert set(names(pane)) == {"first", "second", "third"}
        pane.query_one(Input).value = "second"
        assert names(pane) == ["second"], "found before the letter is painted: one frame has both"
        pane.query_one(Input).value = ""
        await pilot.press("slash", *"lr<0.5")
        await until(pilot, lambda: names(pane) == sorted(names(pane), reverse=True) and len(names(pane)) == 2)
        await until_shown(pilot, "2 of 3")
        await pilot.press(*" lr<")  # no filter yet: nothing is lost, and what is wrong is said
        await until_shown(pilot, "lr< needs a value after it")
        assert len(names(pane)) == 2
        await pilot.press(*("backspace",) * 4, *" nothing:x")
        await until_shown(pilot, "no run has a setting nothing")
        await pilot.press("escape")
        await until(pilot, lambda: len(names(pane)) == 3)
        pane.sort_by("step")
        await until(pilot, lambda: names(pane) == ["third", "second", "first"])
        x = next(x for x, row in enumerate(screen_text(app).splitlines()) if "Name" in row and "Step" in row)
        column = screen_text(app).splitlines()[x].index("Name")
        await pilot.click(offset=(column, x))
        await until(pilot, lambda: names(pane) == ["first", "second", "third"])
        await pilot.click(offset=(column, x))
        await until(pilot, lambda: names(pane) == ["third", "second", "first"] and "Name▼" in screen_text(app))
        await pilot.press("home", "space")
        assert pane.highlighted == str(three[1]), "the next one"
        await pilot.press("shift+down")
        await until_shown(pilot, "3 marked", "◆")
        monkeypatch.setattr(pane, "post_message", lambda message: asked.append(message))
        pane.action_compare()
        assert asked[0].paths == three[::-1]
        monkeypatch.undo()
        await pilot.press("escape", "a")
        await until(pilot, lambda: len(pane.table.marked) == 3)
        await pilot.press("a")
        await until(pilot, lambda: not pane.table.marked)
        y = next(y for y, row in enumerate(screen_text(app).splitlines()) if " second " in row)
        await pilot.click(offset=(pane.table.region.x, y))
        await until(pilot, lambda: pane.table.marked == {str(three[1])})


async def test_what_was_known_is_in_the_first_picture(monkeypatch, three):
    """No look at the folder is waited for; the next one tells what is new."""
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        await listed(app, pilot)
    gate, look, drawn, draw = threading.Event(), RunList.refresh, [], RunTable.render_line
    monkeypatch.setattr(RunList, "refresh", lambda *asked: gate.wait(60) and look(*asked))
    monkeypatch.setattr(RunTable, "render_line", lambda *where: drawn.append(draw(*where)) or drawn[-1])
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        await until_shown(pilot, "first", "second", "third", "finished")
        assert "Name" in drawn[0].text and "third" in drawn[1].text, "with room for it from the first row on"
        fourth = fake_worker.record(fake_worker.make_run(None, "vae-digits", "name=fourth"))
        gate.set()
        app.workspace.pane("runs").look()
        await until_shown(pilot, "fourth")
        assert app.workspace.pane("runs").table.rows[0].info.path == str(fourth)


async def test_the_scroll_bar_is_as_long_as_the_list(monkeypatch, three):
    """Which is laid out anew only where the bar comes or goes: not for every key of a filter."""
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        pane = await listed(app, pilot)
        table, rows, bar = pane.table, pane.table.rows, pane.table.vertical_scrollbar
        await pilot.press("z")
        await until(pilot, lambda: table.size.height > 20 and not bar.display)
        width = table.scrollable_content_region.width
        table.show_rows(rows * 30)
        await until(pilot, lambda: bar.display and table.scrollable_content_region.width == width - 1)
        assert bar.window_virtual_size == 91
        table.move_to(89)
        assert table.scroll_y > 0
        table.show_rows(rows * 20)
        assert bar.window_virtual_size == 61 and table.cursor < 60
        assert table.scroll_y <= table.max_scroll_y
        table.show_rows(rows)
        await until(pilot, lambda: not bar.display and table.scrollable_content_region.width == width)
        assert table.scroll_y == 0 and table.on_screen == rows


async def test_what_is_kept_about_runs(monkeypatch, three):
    copied = []
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
        pane = await listed(app, pilot)
        pane.table.move_to([row.info.name for row in pane.table.rows].index("second"))
        await pilot.press("asterisk")
        await until(pilot, lambda: any(row.info.star for row in pane.table.rows))
        await pilot.press("t")
        await until_shown(pilot, "Tags of")
        await pilot.press(*" new ,", "enter")
        await until_shown(pilot, "is no tag")
        await pilot.press("backspace", "enter")
        await until(pilot, lambda: remarks.of(three[1]).tags == ["old", "new"])
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.press("n")
        await until_shown(pilot, "Note on")
        await pilot.press(*"blurry", "enter")
        await until(pilot, lambda: [note.text for note in remarks.of(three[1]).notes] == ["blurry"])
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.press("e")
        await until_shown(pilot, "Call ")
        await pilot.press(*"-best", "enter")
        await until(pilot, lambda: runs.info_of(three[1]).name == "second-best")
        await until(pilot, lambda: len(app.screen_stack) == 1 and "second-best" in names(pane))
        await pilot.press("i")
        await until_shown(pilot, "second-best ★", "judged by", "blurry", "old new")
        await pilot.press("escape", "o")
        await until(pilot, lambda: copied == [str(three[1])])
        await pilot.press("slash", *"star", "enter")
        await until(pilot, lambda: names(pane) == ["second-best"])


async def test_many_are_deleted_after_one_question_and_live_ones_never(monkeypatch, three):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        pane = await listed(app, pilot)
        with runs.claim(three[0]):
            fake_worker.record(three[0], state="running")
            pane.runs_changed()
            await until(pilot, lambda: any(row.info.live for row in pane.table.rows))
            await pilot.press("a", "delete")
            await until_shown(pilot, "Everything of these 2 runs goes", three[1].name, three[2].name)
            await pilot.press("enter")
            await until(pilot, lambda: len(app.screen_stack) == 1)
            assert all(run.exists() for run in three), "keeping is the default"
            await pilot.press("delete")
            await until_shown(pilot, "It cannot be had back")
            await pilot.press("d")
            await until(pilot, lambda: names(pane) == ["first"])
            assert three[0].exists() and not three[1].exists() and not three[2].exists()


def test_columns_have_room_at_every_width():
    info = runs.RunInfo("/x/20260101-0000-a-name-that-is-long-abcd", "a name that is long ü漢", "interrupted", 123456,
                        1000000, "", 0.0, 0.0, "flow-matching", "fashion-mnist", star=True, tags=["a", "b"],
                        notes=12)  # fmt: skip
    summary = RunSummary("val/vae/elbo", "higher", -123.456, 99999, -130.0, [1.0, None, 3.0], -100.0, 1e6, 10**12, 5, 6)
    rows = [RunRow(info, summary, "exact"), RunRow(runs.RunInfo("/x/y", "y", "", 0, None, "", 0.0, 0.0))]
    taken = {}
    for width in range(30, 260):
        columns = columns_for(width, rows)
        taken[width] = [column.name for column in columns]
        assert {"state", "name"} <= set(taken[width])
        for row in rows:
            from tui_gen.draw.text import width_of

            cells = [cell_of(row, column) for column in columns]
            assert [width_of(cell) for cell in cells] == [column.width for column in columns]
        if width >= 34:
            assert 2 + sum(column.width + 2 for column in columns) - 2 <= width
    assert taken[38][-1] == "step" and len(taken[250]) == 17


@pytest.mark.parametrize(("folder", "width", "text"), [
    ("20260101-0000-vae-k3f9", 20, "vae-digits k3f9"), ("20260101-0000-vae-k3f9", 12, "vae-di… k3f9"),
    ("wide-code", 20, "vae-digits wide-code"), ("wide-code", 16, "vae-d… wide-code"), ("wide-code", 12, "wide-code"),
    ("vae-digits", 20, "vae-digits"), ("a-name-of-many-words", 16, "a-name-of-many-…"),
])  # fmt: skip
def test_a_run_is_called_by_the_folder_that_was_named_for_it(folder, width, text):
    row = RunRow(runs.RunInfo(f"/x/{folder}", "vae-digits", "finished", 1, 1, "", 0.0, 0.0), RunSummary())
    assert cell_of(row, Column("name", width)).rstrip() == text


def test_runs_of_one_name_are_told_apart_by_what_was_given_for_them_everywhere():
    made, mine, other = "20260101-0000-vae-digits-aaaa", "b4", "long-b4"
    paths = [Path(f"/x/{folder}") for folder in (made, mine, other)]
    assert comparison.names(paths, [{"name": "vae"}] * 3) == ["vae aaaa", "vae b4", "vae long-b4"]
    pane = RunsPane(Path("/x"))
    pane.rows = [runs.RunInfo(str(path), "vae", "finished", 1, 1, "", 0.0, 0.0) for path in paths]
    entries = [entry.name for entry in pane.entries() if entry.name.startswith("Open run")]
    assert entries == ["Open run: vae aaaa", "Open run: vae b4", "Open run: vae long-b4"]


async def test_a_step_and_a_sample_are_noted_on_where_they_are_seen(monkeypatch, three):
    async with workbench(monkeypatch, (120, 40), open_run=three[0]) as (app, pilot):
        await until(pilot, lambda: app.view is not None and app.view.series)
        await pilot.press("3", "home", "N")
        await until_shown(pilot, "Note on", "step 0")
        await pilot.press(*"begun", "enter")
        await until(pilot, lambda: len(app.screen_stack) == 1 and "✎" in screen_text(app))
        await until_shown(pilot, "✎ 1 begun")
        await pilot.press("4", "N")
        await until_shown(pilot, "Note on", ".png")
        await pilot.press(*"sharp", "enter")
        await until_shown(pilot, "✎ sharp")
        notes = [(note.step, bool(note.sample), note.text) for note in remarks.of(three[0]).notes]
        assert notes == [(1, False, "begun"), (100, True, "sharp")]
