"""The samples pane: history, kinds, tiles, ways of drawing, and files that are not what they should be."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager

import numpy as np
import pytest
from textual.app import App

from tests.plot_host import Host, append, write_run, write_sample
from tests.shell import draw_here
from tests.waiting import wait_for_async
from tui_gen import events
from tui_gen.app.panes.samples.pane import Caption, Timeline
from tui_gen.app.panes.samples.text import TextView, wrapped
from tui_gen.draw.terminal import Terminal

SIZES = [(80, 24), (120, 40), (200, 60)]


@pytest.fixture(autouse=True)
def _drawn_here(request, monkeypatch):
    if "current_folder" not in request.node.name:
        draw_here(monkeypatch)


@pytest.fixture
def run(tmp_path):
    """A run with six previews of samples, steps 0 to 500, and two reconstructions."""
    path = tmp_path / "run"
    some = [write_sample(path, step) for step in range(0, 501, 100)]
    some += [write_sample(path, step, "reconstructions", (2, 2), colour=True) for step in (100, 400)]
    return write_run(path, *sorted(some, key=lambda one: one.step))


class Driver:
    """A running host and how to wait for its pictures."""

    def __init__(self, app: Host, pilot) -> None:
        self.app, self.pilot = app, pilot
        self.pane = app.samples

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settled()

    async def until(self, condition, what: str = "") -> None:
        await wait_for_async(condition, tick=self.pilot.pause, what=lambda: f"{what}:\n{self.app.text()}")

    async def settled(self) -> None:
        picture = self.pane.picture
        await self.pilot.pause()
        await self.until(lambda: picture._busy is None and picture._last_request == picture._wish, "the newest picture")
        await self.pilot.pause()

    @property
    def caption(self) -> str:
        return self.app.query_one(Caption).text

    def ground_of(self, x: int, y: int) -> str:
        """The background colour of a cell of the screen."""
        return str(self.app.screen.get_style_at(x, y).bgcolor)


@asynccontextmanager
async def drive(app: Host, size=(80, 24), **more):
    """Run `app`; a Driver, when the first picture is drawn."""
    async with app.run_test(size=size, **more) as pilot:
        driver = Driver(app, pilot)
        await driver.settled()
        yield driver


@pytest.mark.parametrize("size", SIZES)
async def test_the_newest_grid_is_shown_at_every_size(run, size):
    async with drive(Host(run, "samples"), size) as driver:
        assert "step 500 · 6/6 · 4×3 of 8×8" in driver.app.text()
        reply, made = driver.pane.picture._reply, driver.pane.picture._last_request
        assert (made.columns, made.rows) == (size[0] - 2, size[1] - 4)
        scale = min(made.columns // 32, 2 * made.rows // 24)
        assert (np.frombuffer(reply.upper, "<i4") >= 0).sum() == 32 * scale * 24 * scale / 2
        grounds = {driver.ground_of(x, size[1] // 2) for x in range(size[0])}
        assert len(grounds) >= 4, grounds  # as many tiles lie beside each other


async def test_keys_step_through_the_history_and_end_follows(run):
    async with drive(Host(run, "samples")) as driver:
        await driver.press("left")
        assert "step 400 · 5/6" in driver.caption
        await driver.press("home")
        assert "step 0 · 1/6" in driver.caption
        await driver.press("left")
        assert "step 0 · 1/6" in driver.caption
        await driver.press("right", "right")
        assert "step 200 · 3/6" in driver.caption
        append(run, write_sample(run, 600))
        driver.app.action_update()
        await driver.settled()
        assert "step 200 · 3/7" in driver.caption  # scrubbed back: stays where it is
        await driver.press("end")
        assert "step 600 · 7/7" in driver.caption
        append(run, write_sample(run, 700))
        driver.app.action_update()
        await driver.settled()
        assert "step 700 · 8/8" in driver.caption


async def test_the_row_of_keys_is_told_when_a_key_would_do_something_else(run):
    async with drive(Host(run, "samples")) as driver:
        pane, told = driver.pane, []
        driver.app.screen.bindings_updated_signal.subscribe(
            driver.app, lambda _: told.append((pane.label("Play", "play"), pane.label("Tile", "zoom")))
        )
        await driver.press("home", "p")
        assert told[-1] == ("Stop", "Tile")
        await driver.until(lambda: told[-1] == ("Play", "Tile"), "played to its end")
        await driver.pilot.click(offset=(30, 10))
        await driver.settled()
        assert pane.tile is not None and told[-1] == ("Play", "Whole grid")
        await driver.press("escape")
        assert told[-1] == ("Play", "Tile")


async def test_the_picture_changes_with_the_step(run):
    async with drive(Host(run, "samples")) as driver:
        seen = {}
        for key in ("home", "right", "right"):
            await driver.press(key)
            seen[driver.caption] = driver.pane.picture._reply.upper
        assert len(seen) == 3 and len(set(seen.values())) == 3


async def test_wheel_and_timeline_scrub(run):
    async with drive(Host(run, "samples")) as driver:
        timeline = driver.app.query_one(Timeline)
        driver.pane.on_mouse_scroll_up(_Wheel())
        await driver.settled()
        assert "5/6" in driver.caption
        start, length = timeline._track()
        await driver.pilot.click(Timeline, offset=(start, 0))
        await driver.settled()
        assert "1/6" in driver.caption
        await driver.pilot.click(Timeline, offset=(start + length // 2, 0))
        await driver.settled()
        assert "step 200" in driver.caption or "step 300" in driver.caption
        await driver.pilot.click(Timeline, offset=(start + length - 1, 0))
        await driver.settled()
        assert "6/6" in driver.caption and driver.pane._index is None


class _Wheel:
    def stop(self) -> None:
        pass


async def test_kinds_have_tabs_and_keep_the_step(run):
    async with drive(Host(run, "samples"), (120, 40)) as driver:
        assert re.search("samples +reconstructions", driver.app.text())
        await driver.press("home", "right", "right", "right")
        await driver.press("t")
        assert driver.caption.startswith("step 100 · 1/2 · 2×2 of 8×8")
        await driver.press("end")
        assert driver.caption.startswith("step 400 · 2/2")
        await driver.pilot.click(Caption, offset=(2, 0))
        await driver.settled()
        assert driver.pane.kind == "samples"


MANY = ("samples", "reconstructions", "codes", "code histogram", "density", "trajectory", "confusion matrix",
        "per-class scores", "nearest images", "feature maps")  # fmt: skip


async def test_many_kinds_are_named_stepped_and_listed_by_keys_and_mouse(tmp_path):
    path = tmp_path / "run"
    write_run(path, *(write_sample(path, step, kind, grid=(2, 2)) for step in (0, 50) for kind in MANY))
    async with drive(Host(path, "samples"), (80, 24)) as driver:
        pane, caption = driver.pane, driver.app.query_one(Caption)
        assert re.search("◀  samples ▾  1/10 ▶  step 50 · 2/2", driver.app.text())
        await driver.press("d")
        assert re.search("▶  step 50 minus step 0: up to .*…", driver.app.text()), "there is more than has room"
        await driver.press("d")
        await driver.press("t", "t")
        assert "codes ▾  3/10" in driver.app.text()
        await driver.press("T", "T", "T")
        assert "feature maps ▾  10/10" in driver.app.text()
        await driver.press("k")
        listed = driver.app.text()
        assert all(re.search(f"{name} +2 to step 50", listed) for name in MANY)
        await driver.press("up", "enter")
        assert pane.kind == "nearest images" and "nearest images ▾  9/10" in driver.app.text()
        await driver.press("k", "7")
        assert pane.kind == "confusion matrix"
        await driver.press("k", "escape")
        assert pane.kind == "confusion matrix" and len(driver.app.screen_stack) == 1
        await driver.pilot.click(caption, offset=(1, 0))
        await driver.settled()
        assert pane.kind == "trajectory"
        await driver.pilot.click(caption, offset=(6, 0))
        await driver.settled()
        assert "10" in driver.app.text() and len(driver.app.screen_stack) == 2
        await driver.pilot.click(offset=(70, 20))
        await driver.settled()
        assert len(driver.app.screen_stack) == 1
        await driver.press("k")
        assert len(driver.app.screen_stack) == 2
        await driver.pilot.resize_terminal(100, 30)
        await driver.until(lambda: len(driver.app.screen_stack) == 1, "the caption is elsewhere now")
        pane.show_run(driver.app.view)  # another run, which has this kind, too
        await driver.settled()
        assert pane.kind == "trajectory"


async def test_a_tile_is_shown_large_by_enter_and_by_click(run):
    async with drive(Host(run, "samples")) as driver:
        whole = driver.pane.picture._reply.upper
        await driver.press("enter")
        assert "tile 1 of 12, 8×8" in driver.caption and driver.pane.picture._reply.upper != whole
        await driver.press("down", "down")
        assert "tile 3 of 12" in driver.caption
        await driver.press("up", "up", "up")
        assert "tile 12 of 12" in driver.caption
        await driver.press("escape")
        assert "4×3 of 8×8" in driver.caption and driver.pane.picture._reply.upper == whole
        # the grid is 32 x 24 half-cells in the middle of 78 x 20 cells
        await driver.pilot.click(driver.pane.picture, offset=(23 + 9, 4 + 5))
        await driver.settled()
        assert "tile 6 of 12" in driver.caption


@pytest.mark.parametrize(
    ("terminal", "modes"),
    [
        (None, ["halfblock", "ascii", "off"]),
        (Terminal("kitty", ""), ["kitty", "halfblock", "ascii", "off"]),
        (Terminal("sixel", "", cell=(10, 20)), ["sixel", "halfblock", "ascii", "off"]),
        (Terminal("ascii", "", colour=False), ["ascii", "off"]),
        (Terminal("off", "chosen"), ["off", "halfblock", "ascii"]),
        (Terminal("halfblock", "chosen", colour=False), ["halfblock", "ascii", "off"]),
    ],
)
async def test_g_goes_through_what_the_terminal_has(run, terminal, modes):
    async with drive(Host(run, "samples", terminal)) as driver:
        assert driver.pane.modes() == modes
        seen = []
        for _ in modes:
            seen.append(driver.pane.picture.mode)
            await driver.pilot.press("g")
        assert seen == modes and driver.pane.picture.mode == modes[0]
        driver.pane.set_graphics("auto")
        driver.pane.set_graphics("kitty")
        assert driver.pane.picture.mode == modes[0] or "kitty" in modes


async def test_ascii_is_a_luminance_ramp_without_blocks(run):
    async with drive(Host(run, "samples", Terminal("ascii", "", unicode=False, colour=False))) as driver:
        picture = "\n".join(driver.app.text().split("\n")[2:-2])
        assert "*" in picture and "-" in picture and "▀" not in picture


async def test_no_color_has_the_ramp_and_not_one_solid_block(run, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    async with drive(Host(run, "samples")) as driver:
        assert "▀" not in driver.app.text() and "+" in driver.app.text()


@pytest.mark.parametrize("damage", ["missing", "torn", "text"])
async def test_a_bad_file_is_a_message_and_the_others_are_shown(run, damage):
    file = run / "samples" / "000500-samples.png"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:40] if damage == "torn" else b"[/not] a picture")
    async with drive(Host(run, "samples")) as driver:
        assert "The picture" in driver.app.text() and "Traceback" not in driver.app.text()
        await driver.press("left")
        assert "The picture" not in driver.app.text() and "▀" in driver.app.text()


async def test_resizing_draws_anew(run):
    async with drive(Host(run, "samples"), (120, 40)) as driver:
        await driver.pilot.resize_terminal(60, 18)
        await driver.settled()
        assert driver.pane.picture._last_request.columns == 58 and "▀" in driver.app.text()


async def test_the_empty_pane_says_what_to_do(tmp_path):
    async with drive(Host(None, "samples")) as driver:
        assert "Choose a recipe" in driver.app.text()
        for key in ("left", "end", "enter", "t", "y", "w", "g"):
            await driver.pilot.press(key)
        driver.pane.show_run(None)
    async with drive(Host(write_run(tmp_path / "new"), "samples")) as driver:
        assert "has no previews" in driver.app.text() or "first preview appears here" in driver.app.text()
        append(tmp_path / "new", write_sample(tmp_path / "new", 0))
        driver.app.action_update()
        await driver.settled()
        assert "step 0 · 1/1" in driver.app.text()


async def test_a_run_that_resumed_earlier_forgets_what_came_later(run):
    async with drive(Host(run, "samples")) as driver:
        await driver.press("left")
        append(run, events.Resume(step=150))
        driver.app.action_update()
        await driver.settled()
        assert "step 100 · 2/2" in driver.caption


async def test_markup_in_names_is_text(tmp_path):
    path = tmp_path / "run"
    odd = write_sample(path, 0)
    odd.kind = "[bold]x[/nope]"
    async with drive(Host(write_run(path, odd, write_sample(path, 0)), "samples"), (120, 40)) as driver:
        assert "[bold]x[/nope]" in driver.app.text()


async def test_another_run_takes_the_place_of_the_first(run, tmp_path):
    from tui_gen.view import RunView

    other = write_run(tmp_path / "other", write_sample(tmp_path / "other", 7, grid=(2, 2)))
    async with drive(Host(run, "samples")) as driver:
        await driver.press("home")
        view = RunView(other)
        view.poll()
        driver.pane.show_run(view)
        await driver.settled()
        assert "step 7 · 1/1 · 2×2 of 8×8" in driver.app.text()


async def test_copying_and_saving(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with drive(Host(run, "samples"), notifications=True) as driver:
        await driver.pilot.press("y")
        assert driver.app.clipboard == str(run / "samples" / "000500-samples.png")
        await driver.pilot.press("w")
        await driver.pilot.press("enter")
        saved = tmp_path / "run-samples-000500.png"
        await driver.until(lambda: saved.exists(), "the copy")
        assert saved.read_bytes() == (run / "samples" / "000500-samples.png").read_bytes()


async def test_a_picture_that_cannot_be_saved_is_told(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with drive(Host(run, "samples"), notifications=True) as driver:
        driver.pane._save(run / "samples" / "nothing.png", tmp_path / "copy.png")
        await driver.until(lambda: any("Not saved" in one.message for one in driver.app._notifications), "a notice")


# -- previews made of text


def write_text(path, step, text, kind="scores"):
    name = f"samples/{step:06d}-{kind}.txt"
    (path / "samples").mkdir(parents=True, exist_ok=True)
    (path / name).write_text(text)
    return events.Sample(step=step, path=name, kind=kind)


async def test_text_is_shown_as_it_is_and_pictures_come_back(tmp_path):
    path = tmp_path / "run"
    text = "[bold]not markup[/] \x1b[31mred\n" + "wide " * 40
    write_run(path, write_sample(path, 5), write_text(path, 5, text), write_text(path, 9, "the second"))
    async with drive(Host(path, "samples")) as driver:
        await driver.press("t")
        await driver.until(lambda: "the second" in driver.app.text(), "the newest text")
        assert driver.caption == "step 9 · 2/2" and driver.pane._words_view.has_focus
        await driver.press("g", "enter")
        assert driver.pane.picture.mode == "halfblock" and driver.pane.tile is None  # neither is for text
        await driver.press("left")
        await driver.until(lambda: "[bold]not markup[/]" in driver.app.text(), "the text before")
        shown = driver.app.text()
        assert "[31m" not in shown and "red" in shown and shown.count("wide") == 40
        await driver.press("t")
        assert driver.pane.kind == "samples" and driver.pane.picture.has_focus
        assert "step 5 · 1/1 · 4×3 of 8×8" in driver.app.text() and "not markup" not in driver.app.text()


async def test_long_text_scrolls_and_the_history_stays_at_hand(tmp_path):
    path = tmp_path / "run"
    write_run(path, *(write_text(path, step, "\n".join(f"{step}:{line}." for line in range(60))) for step in (1, 2)))
    async with drive(Host(path, "samples")) as driver:
        await driver.until(lambda: "2:0." in driver.app.text(), "the text")
        assert "2:59." not in driver.app.text()
        driver.pane._words_view.focus()
        for _ in range(4):
            await driver.press("pagedown")
        await driver.until(lambda: "2:59." in driver.app.text(), "its end")
        await driver.press("left")
        await driver.until(lambda: "1:59." in driver.app.text(), "the text before, at the same place")


async def test_text_that_cannot_be_read_says_why(tmp_path):
    path = tmp_path / "run"
    write_run(path, events.Sample(step=1, path="samples/gone.txt", kind="scores"))
    async with drive(Host(path, "samples")) as driver:
        await driver.until(lambda: "gone.txt cannot be read: No such file" in driver.app.text(), "why")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("abcdef\n\nx\n\n", ["abcd", "ef", "", "x"]),
        ("日本語", ["日本", "語"]),
        ("a\tb", ["a   ", "b"]),
        ("one two", ["one ", "two"]),
        ("", []),
    ],
)
def test_lines_are_broken_at_the_width(text, lines):
    assert wrapped(text, 4) == lines


@pytest.mark.parametrize(
    "table",
    ["digit  right  wrong\nzero      94      6", "    7 ████████ 94\n    8 ██ 6", "the words of a text\n ^        ^"],
    ids=["columns", "bars", "marks"],
)
def test_tables_are_not_broken_but_the_words_around_them_are(table):
    assert wrapped(f"some words\n\n{table}\n\nand more", 8) == [
        "some ", "words", "", *table.split("\n"), "", "and more",
    ]  # fmt: skip


async def test_what_does_not_fit_of_a_table_is_scrolled_to(tmp_path):
    file = tmp_path / "table.txt"
    file.write_text("\n".join(f"row {n}  {'x' * 30}  the end" for n in range(3)))
    view = TextView()

    class Shown(App):
        def compose(self):
            yield view

    async with Shown().run_test(size=(24, 8)) as pilot:
        view.show_file(file)
        view.focus()
        await pilot.pause()
        assert "the end" not in view.render_line(0).text
        for _ in range(40):
            await pilot.press("shift+right")
        await pilot.pause()
        assert view.render_line(0).text.rstrip().endswith("the end")


async def test_pictures_of_runs_in_the_current_folder_are_found_by_whoever_draws_them(world, monkeypatch):
    """`tui-gen` alone looks into ./runs, and what draws pictures is a process in another folder."""
    from tests.fake_worker import make_run, record
    from tests.shell import workbench

    run = record(make_run())
    monkeypatch.chdir(world)
    monkeypatch.setenv("TUI_GEN_RUNS", "runs")
    async with workbench(monkeypatch, (120, 40), own_encoder=True) as (app, pilot):
        app.action_go_to_pane("runs")
        listed = app.workspace.pane("runs")
        await wait_for_async(lambda: listed.rows, what="the run", tick=pilot.pause)
        assert listed.rows[0].path == str(run), "one name for a run, whoever tells it"
        app.open_run(listed.rows[0].path)
        picture = app.workspace.pane("samples").picture
        await wait_for_async(lambda: picture._reply is not None, what="a picture", tick=pilot.pause)
        assert picture._reply.error == "" and picture._encoder.pid is not None
