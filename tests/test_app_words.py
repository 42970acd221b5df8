"""What things are called on the screen: by what they do now, by what the data are, in words that are understood."""

from __future__ import annotations

from tests import fake_worker
from tests.shell import screen_text, until, until_shown, workbench
from tui_gen.app import keys
from tui_gen.app.keybar import KeyBar
from tui_gen.app.palette import Commands


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
                if room >= 60:
                    assert {"f1", "f5", "f6", "f9", "f10"} <= {one.key for one in shown}
        last = screen_text(app).splitlines()[-1]
        await pilot.click("KeyBar", offset=(last.index("more"), 0))
        await until_shown(pilot, "Esc closes")
