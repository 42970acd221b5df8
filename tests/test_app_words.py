"""What things are called on the screen: by what they do now, by what the data are, in words that are understood."""

from __future__ import annotations

import pytest

from tests import fake_worker, form_host
from tests.form_host import Host, catalog
from tests.shell import screen_text, until, until_shown, workbench
from tui_gen import events
from tui_gen.app.panes.form.state import FormState
from tui_gen.app.panes.models import family_title
from tui_gen.app.shell import keys
from tui_gen.app.shell.keys import KeyBar
from tui_gen.app.shell.palette import Commands
from tui_gen.app.shell.status import facts
from tui_gen.lines import aligned
from tui_gen.quantities import rate
from tui_gen.report.plain import pace
from tui_gen.view import RunView


def key_page(app):
    """What every key does, as the page of keys says it: binding id → words."""
    return {name: words for _, rows in keys.sections(app) for _, words, name in rows}


async def test_an_action_is_called_what_it_does_now_everywhere(monkeypatch):
    fake_worker.install(monkeypatch)
    async with workbench(monkeypatch, (180, 40)) as (app, pilot):

        def bar():
            return screen_text(app).splitlines()[-1]

        async def told(words, other, title, action, binding):
            await until(pilot, lambda: words in bar() and other not in bar())
            assert key_page(app)[binding] == words
            names = [one.name for one in Commands(app.screen).commands()]
            assert f"{title}: {words}" in names and f"{title}: {other}" not in names
            app.action_menu([menu.title for menu in app.menu_bar.menus].index(title))
            await until(pilot, lambda: len(app.screen_stack) > 1)
            await until_shown(pilot, words)
            await pilot.press("escape")
            await until(pilot, lambda: len(app.screen_stack) == 1)

        await pilot.press("f5")
        await until(pilot, lambda: app.conductor.view is not None and app.conductor.view.series, "losses")
        await told("Pause", "Go on", "Run", "pause", "run.pause")
        await pilot.press("f6")
        await until(pilot, lambda: "‖ paused" in app.status.text)
        await told("Go on", "Pause", "Run", "pause", "run.pause")
        await pilot.press("alt+3", "f11")
        await told("Restore", "Maximise", "View", "maximise", "view.maximise")
        assert "l Log" in bar()
        await pilot.press("l")
        await until(pilot, lambda: "l Linear" in bar())
        assert "View: Losses on a linear scale" in [one.name for one in Commands(app.screen).commands()]
        await pilot.press("f11", "alt+5", "o")
        await until(pilot, lambda: "o The run's log" in bar())


async def test_keys_for_which_the_bar_has_no_room_are_counted_and_shown(monkeypatch):
    fake_worker.install(monkeypatch)
    async with workbench(monkeypatch, (80, 24)) as (app, pilot):
        await pilot.press("f5")
        await until(pilot, lambda: app.conductor.view is not None and app.conductor.view.series, "losses")
        bar = app.query_one(KeyBar)
        for pane in ("alt+2", "alt+3", "alt+4", "alt+5", "alt+6"):
            await pilot.press(pane)
            await until(pilot, lambda: bar.shown(10_000)[0].rank == 1, "the pane's own keys")
            for room in (30, 60, 80, 100, 10_000):
                every, shown = bar.shown(10_000), bar.shown(room)
                assert sum(one.width for one in shown) <= room
                if shown != every:
                    number, word = shown[-1].words.split()
                    assert word == "more" and int(number) == len(every) - len(shown)
                    assert shown[-1].key == "question_mark"
                if room >= 80:
                    assert {"f1", "f5", "f6", "f9", "f10"} <= {one.key for one in shown}
        last = screen_text(app).splitlines()[-1]
        await pilot.click("KeyBar", offset=(last.index("more"), 0))
        await until_shown(pilot, "Esc closes")


@pytest.mark.parametrize(
    ("table", "amount", "unit"),
    [
        ('name = "mnist"', 64.0, "images"),
        ('name = "ring"', 64.0, "points"),
        ('name = "python-help"\nlength = 50', 3200.0, "characters"),
        ('name = "python-help"\nlength = "x"', 64.0, "examples"),
        ('name = "of a later version"', 64.0, "examples"),
        ("name = 3", 64.0, "examples"),
        ("no TOML [", 64.0, "examples"),
    ],
)
def test_a_rate_is_of_what_the_data_are(tmp_path, table, amount, unit):
    (tmp_path / "config.toml").write_text(f"[dataset]\n{table}\n")
    view = RunView(tmp_path)
    assert view.throughput is None
    view.system, view.state = events.System(step=1, steps_per_second=2.0, images_per_second=64.0), "running"
    assert view.throughput == (amount, unit)
    assert f"{rate(amount)} {unit}/s" in facts(view) and f"{rate(amount)} {unit}/s" in pace(view)


def test_tables_take_the_width_of_a_terminal_and_stay_whole_elsewhere():
    rows = [("NAME", "WHAT"), ("short", "few words"), ("a-long-name", "many words " * 12), ("日本語", "x" * 60)]
    whole = aligned(rows)
    assert all("\n" not in line for line in whole) and len(whole[2]) > 120
    for width in (60, 80, 400):
        lines = aligned(rows, width=width)
        assert len(lines) == len(rows) and (lines == whole) == (width == 400)
        assert all(len(part) <= width for line in lines for part in line.split("\n"))
        assert lines[2].split() == whole[2].split()
        assert all(part.startswith(" " * 13) for part in lines[2].split("\n")[1:])  # beside the names
    narrow = aligned(rows, width=40)[2].split("\n")
    assert narrow[0] == "a-long-name" and all(part.startswith("    many") or len(part) <= 40 for part in narrow[1:])


def test_a_length_that_is_not_used_says_so():
    state = FormState(catalog(), {"model": {"name": "odd"}, "train": {"epochs": 3}})
    assert [state.unlimited(f"train.{key}") for key in ("steps", "epochs", "minutes")] == [True, False, True]
    state.set_text("train.steps", "500")
    assert [state.unlimited(f"train.{key}") for key in ("steps", "epochs", "minutes")] == [False, True, True]
    state.set_text("train.steps", "0")
    assert not any(state.unlimited(f"train.{key}") for key in ("steps", "epochs", "minutes", "seed"))  # a problem


async def test_a_model_of_ones_own_begins_with_a_config_of_its_own():
    app = Host()
    async with app.run_test(size=(100, 40)) as pilot:
        app.form.set_model("odd")
        await pilot.pause()
        assert app.form.problems() == []
        draft = app.form.draft
        assert (draft.text("name"), draft.text("dataset.name"), draft.changed()) == ("odd", "ring", [])
        app.form.focus_field("train.epochs")
        await until(pilot, lambda: "not limited" in form_host.screen_text(app), form_host.screen_text(app))
        assert "5000 steps" in form_host.screen_text(app)
        assert family_title("own") == "Your own models" and family_title("vae") == "VAE"
