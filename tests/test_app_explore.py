"""The Explore pane on a real tiny VAE, and the process that decodes for it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from array import array
from functools import partial
from pathlib import Path

import pytest
import torch
from textual.app import ComposeResult
from textual.containers import Horizontal

from tests import loop_run
from tests.explorers import frames_of, starter
from tests.hosts import ThemedApp
from tests.painted import painted_text
from tests.shell import SIZES, until, until_shown, workbench
from tests.test_restore import saved
from tests.waiting import wait_for, wait_for_async
from tui_gen import events, runs
from tui_gen.app.panes.explore import pane as panes
from tui_gen.app.panes.explore.pane import ExplorePane
from tui_gen.app.panes.explore.place import Stay
from tui_gen.app.panes.explore.plane import PlaneMap
from tui_gen.exploring import Axes, Space, View
from tui_gen.log import event_log
from tui_gen.pictures import UNKNOWN
from tui_gen.view import RunView


@pytest.fixture(scope="module", autouse=True)
def threads_kept():
    """What decodes sets their number for its whole process, which here is that of other tests, too."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


class Host(ThemedApp):
    """The pane alone, with a run."""

    def __init__(self, run: Path | None) -> None:
        super().__init__()
        self.pane = ExplorePane(id="explore")
        self.view = RunView.read(run) if run is not None else None

    def compose(self) -> ComposeResult:
        yield self.pane

    def on_ready(self) -> None:
        self.pane.show_run(self.view)
        self.pane.focus_inside()

    def text(self) -> str:
        return painted_text(self)


class Driver:
    """A running host, and how to wait for what its pane asks."""

    def __init__(self, app: Host, pilot) -> None:
        self.app, self.pilot, self.pane = app, pilot, app.pane

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settled()

    async def until(self, *words: str) -> None:
        await wait_for_async(
            lambda: all(word in self.app.text() for word in words), what=lambda: f"{words}:\n{self.app.text()}",
            tick=self.pilot.pause,
        )  # fmt: skip

    async def settled(self) -> None:
        asking = self.pane.asking
        await self.pilot.pause()
        await wait_for_async(lambda: asking._busy is None and asking._slow is None, tick=self.pilot.pause)
        await self.pilot.pause()


@contextlib.asynccontextmanager
async def drive(run: Path | None, size=(100, 30)):
    app = Host(run)
    async with app.run_test(size=size) as pilot:
        driver = Driver(app, pilot)
        await driver.settled()
        yield driver


@pytest.fixture
def processes(monkeypatch, tmp_path):
    """The processes that the pane starts: threads of this one."""
    start, started = starter(tmp_path)
    monkeypatch.setattr(panes, "start", start)
    return started


@pytest.fixture
def run(world):
    run, _ = saved(world / "runs", "vae", (2, 4), model__conditional=True)
    writer = event_log.EventWriter(run / "events.jsonl")
    writer.write(events.State(state="running", step=0), events.Checkpoint(step=4, path="checkpoints/000004"))
    writer.write(events.State(state="finished", step=4))
    writer.close()
    return run


async def test_a_vae_is_explored_by_keys_and_mouse(run, processes, tmp_path):
    async with drive(run) as driver:
        pane, press = driver.pane, driver.press
        await driver.until("8 Explore · step 4", "+0.00 · z", "class 0", "4 numbers of a code")
        assert len(processes) == 1
        spread, axes = pane.stay.dots.spread, pane.stay.axes
        assert {axes.first, axes.second} == set(sorted(range(4), key=lambda number: -spread[number])[:2])
        await press("d", "0", "space", "9", "enter", "ctrl+u", *"0 1", "enter")
        await press("right", "right", "up")
        await driver.until("z0 +0.50 · z1 +0.25")
        before = pane.stay.view.code
        for move in (partial(pane.action_move, 2, 0), pane.action_random):
            move()
            pane.action_pin()  # before the place is decoded
            await driver.settled()
            assert pane.stay.pins == [pane.stay.view.code] != [before], "where one is, not where one was"
            await press("P")
        pane.action_random()
        pane.action_pin()
        await press("P")
        assert not pane.stay.pins
        await press("home", "right", "right", "up", "x", "y", "shift+right")
        assert pane.stay.axes == Axes("dimension", 2, 3) and pane.stay.view.at == (1.25, 0)
        await driver.pilot.click(PlaneMap, offset=(0, 0))
        await driver.settled()
        (left, _), (_, top) = pane.stay.view.span
        assert abs(pane.stay.view.at[0] - left) < 0.2 and abs(pane.stay.view.at[1] - top) < 0.2
        await press("p", "r", "p", "t")
        await driver.until("pins AB")
        assert pane.stay.scene == "grid" and pane.stay.view.grid == (9, 9)
        await press("l", "t")
        assert pane.stay.scene == "classes" and pane.stay.label == 1
        await press("t", "right_square_bracket", "right_square_bracket")
        await driver.until("2 of 17 ·", "pins AB, slerp")
        middle = pane.stay.view.codes[1]
        await press("enter")
        assert pane.stay.scene == "point" and pane.stay.view.code == middle
        await press("a", "a")
        await driver.until("through pins", "A→B")
        await press("e")
        await driver.until("example 0 (")
        await press("T", "T")
        assert pane.stay.scene == "walk"
        pane._save(tmp_path / "walk.gif")
        await wait_for_async((tmp_path / "walk.gif").exists, tick=driver.pilot.pause)
        assert frames_of(tmp_path / "walk.gif") == 48
        await press("comma")
        await driver.until("8 Explore · step 2")
        await press("comma")
        assert pane.stay.space.step == 2  # there is none before it
        await press("full_stop")
        await driver.until("8 Explore · step 4")
        processes[0].kill()
        processes[0].wait(60)
        await press("home", "left")
        assert len(processes) == 2 and not pane.asking.trouble and pane.asking.opened
        pane.show_run(None)
        await driver.until("No run is shown.")
        assert processes[1].wait(60) == 0


@pytest.mark.parametrize("model", ["vae", "autoencoder"])
async def test_what_was_asked_for_before_it_is_open_comes_on_the_axes_that_fit_the_data(world, processes, model):
    more = {"model__latent": 6} if model == "vae" else {}
    run, _ = saved(world / "runs", model, (2,), **more)
    async with drive(run) as driver:
        axes = driver.pane.stay.axes
    async with drive(None) as driver:
        pane = driver.pane
        pane.show_run(RunView.read(run))
        pane.action_example(1)
        pane.action_pin()
        await driver.settled()
        await driver.until("example 0")
        assert pane.stay.axes == axes != Axes(), "as where nothing was asked for"
        assert pane.stay.pins == [pane.stay.view.code]
        await driver.press("right")
        assert pane.stay.axes == axes and pane.stay.view.code not in pane.stay.pins


async def test_what_there_is_no_room_for_is_told(run, processes):
    async with drive(run, (72, 24)) as driver:
        driver.pane.show_scene("classes")
        await driver.settled()
        await driver.until(f" of {driver.pane.stay.tiles} tiles · class 0")
        await driver.press("right_square_bracket")
        assert " tiles" not in driver.app.text(), "one tile has room"


async def test_examples_that_are_rebuilt_worst_lead_back_to_their_place(run, processes):
    async with drive(run) as driver:
        pane = driver.pane
        await driver.press("T")
        await driver.until("original", "rebuilt")
        assert pane.stay.scene == "errors"
        await driver.press("e")
        await driver.until("error", f", 1 of {len(pane.stay.dots.errors) // 4}", "here")
        pane.show_scene("errors")
        await driver.settled()
        left, top, *_ = next(place for place in pane._picture._reply.places if place[4] == 1)
        await driver.pilot.click(pane._picture, offset=(int(left) + 1, int(top) + 1))
        await driver.settled()
        await driver.until(f", 2 of {len(pane.stay.dots.errors) // 4}")


async def test_a_way_from_noise_is_stepped_through_and_its_guidance_changed(world, processes):
    wanted = {"model__conditional": True, "model__label_dropout": 0.2, "model__guidance": 2.0}
    run, _ = saved(world / "runs", "ddpm", (2,), **wanted)
    async with drive(run, (120, 40)) as driver:
        pane = driver.pane
        await driver.press("T")
        await driver.until("numbers of noise", "guidance 2")
        assert pane.stay.scene == "trajectory" and pane.stay.tiles > 2
        pictures = {pane.stay.view.path}
        for key, words in (("plus", "guidance 2.5"), ("minus", "guidance 2"), ("l", "class 1")):
            await driver.press(key)
            await driver.until(words)
            pictures.add(pane.stay.view.path)
        assert len(pictures) == 4, "made anew each time"
        await driver.press("right_square_bracket", "right_square_bracket")
        await driver.until(f"2 of {pane.stay.tiles} · ")
        await driver.press("escape")
        assert pane.stay.tile is None


async def test_the_way_of_a_point_is_one_plot_that_is_stepped_along_too(world, processes):
    run, _ = saved(world / "runs", "ddpm", (2,), model__network="mlp", model__hidden=[8], dataset={"name": "ring"})
    async with drive(run, (120, 40)) as driver:
        await driver.press("T")
        await driver.until("sample: x = ")
        seen = [driver.pane.stay.view.path]
        after, before = "right_square_bracket", "left_square_bracket"
        steps = ((after, "noise"), (after, "7 %"), (before, "noise"), (before, "sample"), (before, "93 %"),
                 ("escape", "sample"), (before, "93 %"))  # fmt: skip
        for key, words in steps:
            await driver.press(key)
            await driver.until(f"{words}: x = ")
            seen.append(driver.pane.stay.view.path)
        assert len(set(seen)) == len(seen)


async def asked_twice(driver: Driver, run: loop_run.Run) -> None:
    """Weights of a live run are asked for, and opened; then once more, from another place."""
    app, pane, pause = driver.app, driver.pane, driver.pilot.pause
    app.action_ask = run.ask
    await wait_for_async(lambda: (app.view.poll(), app.view.live)[1], tick=pause, what="its start")
    pane.show_run(app.view)
    await driver.until("There is no checkpoint", "Press u: the run is asked for a checkpoint.")
    step = -1
    for place in ("+0.00", "+0.25"):
        await driver.press("u")

        def newer(last=step):
            pane.update_view(app.view.poll())
            return pane.stay.space is not None and pane.stay.space.step > last

        await wait_for_async(newer, tick=pause, what="the new weights")
        await driver.settled()
        step = pane.stay.space.step
        await driver.until(f"8 Explore · step {step:,}", f"{pane.stay.view.names[0]} {place}")
        await driver.press("right")


async def test_a_live_run_is_asked_for_weights_which_are_opened_where_one_is(world, processes):
    run = loop_run.Run(world / "runs", "vae", train__steps=10**7)
    run.thread.start()
    try:
        with runs.claim(run.path):
            async with drive(run.path) as driver:
                await asked_twice(driver, run)
    finally:
        loop_run.all_ended([run])


@pytest.mark.parametrize("size", SIZES)
async def test_the_plane_and_what_is_there_are_seen_in_the_workbench_at_every_size(monkeypatch, run, processes, size):
    async with workbench(monkeypatch, SIZES[size], open_run=run) as (app, pilot):
        await until(pilot, lambda: app.view is not None)
        await pilot.press("8")
        pane = app.workspace.pane("explore")
        await until(pilot, lambda: pane.stay.dots is not None and not pane.asking.looking)
        await until_shown(pilot, "Explore · step 4", "◉", "4 numbers of a code")
        picture = pane._picture
        assert picture.region.height > 5 and any(number >= 0 for number in array("i", picture._reply.upper))
        x = pane.stay.view.at[0]
        await pilot.press("right")
        await until_shown(pilot, f"{pane.stay.view.names[0]} {x + 0.25:+.2f}")


@pytest.mark.parametrize("size", [(80, 24), (40, 30), (30, 10)])
async def test_a_run_without_a_checkpoint_says_so_at_every_size(world, processes, size):
    run, _ = saved(world / "runs", "vae", ())
    async with drive(run, size) as driver:
        await driver.until("checkpoint")
        assert not driver.pane.asking.opened and not processes, "no PyTorch for that"


async def test_what_cannot_be_explored_is_told_alone_and_not_tried_with_every_event(world, processes, monkeypatch):
    run, _ = saved(world / "runs", "classifier", (2,))
    async with drive(run) as driver:
        await driver.until("nothing to explore: this model (Classifier)")
        pane, plane = driver.pane, driver.pane.query_one(PlaneMap)
        assert not plane.region.area and plane.has_focus, "no empty plane beside the words, and the keys go on"
        assert not pane.check_action("pin", ()) and pane.check_action("update", ())
        looked = []
        monkeypatch.setattr(pane.asking, "look", looked.append)
        pane.update_view({"status", "log"})
        assert not looked
        pane.action_move(1, 0)
        assert len(looked) == 1


async def test_codes_stand_where_they_are_whatever_the_size_of_the_plane_becomes():
    class Plane(ThemedApp):
        def compose(self) -> ComposeResult:
            with Horizontal():
                yield PlaneMap()

    app = Plane()
    async with app.run_test(size=(60, 20)) as pilot:
        app.query_one(PlaneMap).show_dots(array("f", [2.99, -2.99]).tobytes(), array("i", [7]).tobytes())
        for width, height in ((60, 20), (30, 10), (70, 30)):
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            line = painted_text(app).splitlines()[height - 2]
            assert line.index("7") == width - 1, "in the corner, above the axis"
        two = array("f", [1.0, 1.0, -1.0, -1.0]).tobytes(), array("i", [0, 1]).tobytes()
        for names, rows in ((("0", "1"), []), (("Ankle boot", "Bag"), ["0 Ankle boot  1 Bag"])):
            app.query_one(PlaneMap).show_dots(*two, names)
            await pilot.pause()
            lines = [line.rstrip() for line in painted_text(app).splitlines()]
            assert lines[30 - len(rows) :] == rows and "+3" in lines[29 - len(rows)], "said below, where it has to be"
            for letter in "01":
                assert any(letter in line for line in lines[2:28])


def space(**more) -> Space:
    given = {"run": "", "step": 1, "dimensions": 3, "decodes": "codes", "encodes": True, "normal": True,
             "classes": (), "names": (), "trajectory": False, "guidance": None, "folder": ""}  # fmt: skip
    return Space(**(given | more))


def test_both_axes_never_show_the_same_dimension():
    stay = Stay(space())
    for _ in range(7):
        stay.turned("first", 1)
        assert stay.axes.first != stay.axes.second
    stay = Stay(space(dimensions=1), axes=Axes("dimension", 0, 0))
    stay.turned("second", 1)
    assert stay.axes == Axes("dimension", 0, 0)


def test_axes_come_back_as_one_left_them():
    stay = Stay(space(), axes=Axes("dimension", 1, 2), pins=[b"1", b"2"])
    seen = []
    for _ in range(2):
        for _ in range(4):
            seen.append(stay.axes)
            stay.next_sort()
        stay.turned("first", 1)
    moved = Axes("dimension", 0, 2)
    assert [axes.sort for axes in seen] == ["dimension", "component", "pins", "t-sne"] * 2
    assert seen[0] == Axes("dimension", 1, 2) and seen[4] == moved, "not the first two again"
    stay.next_sort()
    stay.axes = Axes("pins")
    assert stay.unpin() and stay.axes.sort == "dimension" and stay.axes != Axes()


def test_a_place_stays_within_what_is_drawn_and_pins_are_let_go():
    view = View("", (1, 1), 0, UNKNOWN, b"1234", (2.9, 0.0), ((-3.0, 3.0), (-1.0, 1.0)), ("", ""))
    stay = Stay(space(), view, scene="walk", axes=Axes("pins"))
    stay.moved(5, -50)
    assert stay.at == (3.0, -1.0)
    assert stay.pin() and stay.pin() and "pins" in stay.sorts()
    assert stay.unpin() and (stay.scene, stay.axes.sort, len(stay.pins)) == ("point", "dimension", 1)
    assert stay.unpin() and not stay.unpin()


ASK = """
import asyncio, sys
from tui_gen.app.panes.explore.helper import Helper, start
from tui_gen.exploring import Look

async def main():
    helper = Helper(lambda: start([]))
    asking = asyncio.create_task(helper.ask(Look()))
    while helper.pid is None:
        await asyncio.sleep(0.01)
    print(helper.pid, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


def test_the_process_ends_with_the_workbench_however_that_ends(tmp_path):
    environ = os.environ | {"TMPDIR": str(tmp_path)}
    started = subprocess.Popen([sys.executable, "-c", ASK], stdout=subprocess.PIPE, env=environ)
    pid = int(started.stdout.readline())
    wait_for(lambda: list(tmp_path.glob("tui-gen-explore-*")), what="its folder")
    os.kill(pid, signal.SIGHUP)  # as when the terminal goes with the workbench
    assert Path(f"/proc/{pid}").exists() or sys.platform != "linux"
    started.send_signal(signal.SIGKILL)
    started.wait(60)
    started.stdout.close()

    def gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] == "Z"

    wait_for(gone, what="the end of the process that decodes")
    assert not list(tmp_path.glob("tui-gen-explore-*"))
