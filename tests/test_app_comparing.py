"""The samples pane: playing the history, pins, and two previews compared, by keys and by mouse."""

from __future__ import annotations

import pytest
from textual import events

from tests.plot_host import Host, write_run, write_sample
from tests.test_app_samples import SIZES, drive
from tui_gen.app.panes.samples import pane as pane_module
from tui_gen.app.panes.samples.timeline import History, Timeline
from tui_gen.draw.terminal import Terminal


@pytest.fixture
def run(tmp_path):
    """Six previews of samples, steps 0 to 500, of averaged and of raw weights."""
    some = [write_sample(tmp_path, step, kind) for step in range(0, 501, 100) for kind in ("samples", "raw samples")]
    return write_run(tmp_path, *some)


def strip(driver) -> str:
    """The timeline as text."""
    return driver.app.query_one(Timeline).render_line(0).text


@pytest.mark.parametrize("size", SIZES)
async def test_every_preview_has_a_mark_and_pins_have_letters_by_keys_and_mouse(run, size):
    async with drive(Host(run, "samples"), size) as driver:
        timeline = driver.app.query_one(Timeline)
        start, length = timeline._track()
        assert strip(driver).startswith("▶ 0 ┼") and strip(driver)[start : start + length].count("┼") == 5
        await driver.press("left", "a", "left", "b")
        assert strip(driver).count("A") == strip(driver).count("B") == 1 and driver.pane.comparison.pins["B"] == 300
        column = round(3 * (length - 1) / 5)
        assert strip(driver)[start + column] == "B"
        click = {"button": 3, "screen_x": 0, "screen_y": 0, "x": start, "y": 0, "delta_x": 0, "delta_y": 0}
        held = {"shift": False, "meta": False, "ctrl": False}
        driver.pane.comparison.pins.pop("B")
        timeline.post_message(events.MouseDown(timeline, **click, **held))
        await driver.until(lambda: driver.pane.comparison.pins == {"A": 400, "B": 0}, "the pin")
        await driver.pilot.click(Timeline, offset=(size[0] - 5, 0))
        await driver.settled()
        assert driver.pane.comparison.way == "difference" and "step 300 minus step 200" in driver.app.text()
        assert "step 300" in driver.caption
        for count, marks in ((2 * length, "┼╪"), (100_000, "╪")):  # more than there are cells
            timeline.show(History(tuple(range(count)), count // 2))
            track = strip(driver)[slice(*(sum(timeline._track()[:n]) for n in (1, 2)))]
            assert track.count("●") == 1 and set(track) == {*marks, "●"}


async def test_the_history_plays_to_its_end_and_no_timer_is_left(run, monkeypatch):
    monkeypatch.setattr(pane_module, "SLOWEST", 0.1)
    async with drive(Host(run, "samples"), (100, 30)) as driver:
        pane, shown = driver.pane, []
        show = pane._timeline.show
        pane._timeline.show = lambda history: (shown.append(history), show(history))
        await driver.pilot.click(Timeline, offset=(0, 0))
        await driver.until(lambda: shown and not shown[-1].playing, "the end")
        assert list(dict.fromkeys(history.at for history in shown)) == list(range(6))
        assert {history.playing for history in shown if history.at < 5} == {True} and shown[-1].following
        assert pane._timer is None
        monkeypatch.setattr(pane_module, "FASTEST", 60)
        monkeypatch.setattr(pane_module, "SLOWEST", 60)
        await driver.press("p")
        assert pane.playing and strip(driver).startswith("■ 0 ●") and pane.label("Play", "play") == "Stop"
        await driver.press("right")
        assert not pane.playing and pane._timer is None, "a step by hand ends it"
        await driver.press("p")
        assert pane._timer is not None
        pane.display = False
        await driver.until(lambda: pane._timer is None, "nothing to move where nobody looks")


async def test_two_pinned_steps_take_turns_until_that_ends(run, monkeypatch):
    monkeypatch.setattr(pane_module, "FLICKER", 0.2)
    async with drive(Host(run, "samples"), (80, 24)) as driver:
        pane = driver.pane
        await driver.press("home", "a", "right", "right", "b", "right", "f")
        for words in ("in turn: A · step 0", "in turn: B · step 200", "in turn: A · step 0"):
            await driver.until(lambda: words in driver.app.text(), words)  # noqa: B023
        await driver.press("f")
        assert pane._timer is None and pane.comparison.way == "" and driver.caption.startswith("step 300 · 4/6")
        await driver.press("f", "t")
        assert pane._timer is None, "another kind is another history"


async def test_side_by_side_and_difference_go_with_the_history(run):
    terminal = Terminal("ascii", "", unicode=False, colour=False)
    async with drive(Host(run, "samples", terminal), (80, 24)) as driver:
        await driver.press("s")
        assert "averaged" in driver.app.text() and "step 500 beside raw weights · 6/6" in driver.app.text()
        assert len(driver.pane.picture._reply.places) == 24
        await driver.press("left", "down")
        assert "step 400 beside raw weights · 5/6 · row 1 of 3" in driver.caption
        assert len(driver.pane.picture._reply.places) == 8
        await driver.press("enter")
        assert "tile 1 of 12" in driver.caption and len(driver.pane.picture._reply.places) == 2
        await driver.press("escape", "s", "d")
        apart = abs(400 % 7 - 300 % 7) / 255
        words = f"step 400 minus step 300: up to {apart:.0%}, mean {apart:.1%} · 5/6"
        await driver.until(lambda: words in driver.app.text(), words)
        await driver.press("home")
        assert "step 0, before: nothing to compare" in driver.caption and not driver.pane.picture._reply.error
        await driver.press("right", "a", "end", "d")
        apart = abs(500 % 7 - 100 % 7) / 255
        words = f"step 500 minus step 100: up to {apart:.0%}"
        assert driver.pane.comparison.name == "A", "after the one before comes what is pinned"
        await driver.until(lambda: words in driver.app.text(), words)


async def test_rows_are_gone_through_and_all_come_back(run):
    async with drive(Host(run, "samples"), (80, 24)) as driver:
        seen = []
        for key in ("down", "down", "down", "down", "up"):
            await driver.press(key)
            seen.append((driver.pane.band, [place[4] for place in driver.pane.picture._reply.places]))
        assert [band for band, _ in seen] == [0, 1, 2, None, 2]
        assert seen[1][1] == [4, 5, 6, 7] and seen[3][1] == list(range(12))
        await driver.press("enter")
        assert "tile 9 of 12" in driver.caption, "the first of the row"
        await driver.press("escape")
        assert driver.pane.band is None and "4×3 of 8×8" in driver.caption
