"""Pictures: made in another process, written after the frame, once a change, and gone when something covers them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from PIL import Image
from textual import _time
from textual.geometry import Region, Size

from tests.plot_host import Host, append, write_run, write_sample
from tests.pty_terminal import KITTY, PLAIN, SIXEL, PtyTerminal
from tests.waiting import wait_for, wait_for_async
from tui_gen import events
from tui_gen.app.panes.samples.encoder import PictureEncoder, PictureReply, PictureRequest, make
from tui_gen.app.panes.samples.imaging import Subject
from tui_gen.app.terminal.wire import REST, PixelOverlay, Wire, free_region
from tui_gen.draw.terminal import Terminal


@pytest.fixture
def grid(tmp_path):
    """A file of 4 x 3 tiles of 8 x 8 pixels; its path."""
    return str(tmp_path / write_sample(tmp_path, 0).path)


def request(path, **changes):
    what = {name: changes.pop(name) for name in ("grid", "tile") if name in changes}
    subject = Subject(path, **{"grid": (4, 3)} | what)
    return PictureRequest(**{"subjects": (subject,), "columns": 40, "rows": 20, "cell": (10, 20)} | changes)


# -- the payloads


def test_text_comes_with_every_picture(grid):
    reply = make(request(grid))
    assert (reply.error, reply.payload, reply.grid, reply.size) == ("", b"", (4, 3), (24, 32))
    upper = np.frombuffer(reply.upper, "<i4").reshape(20, 40)
    assert len(np.unique(upper[upper >= 0])) == 48 and (upper == -1).any()
    assert len(reply.lines) == 20 and {len(line) for line in reply.lines} == {40} and "".join(reply.lines).isascii()


def test_sixel_is_enlarged_by_a_whole_factor_inside_its_box(grid):
    reply = make(request(grid, protocol="sixel"))
    width, height = map(int, re.match(rb'\x1bP0;1;0q"1;1;(\d+);(\d+)', reply.payload).groups())
    assert (width, height) == (32 * 12, 24 * 12)
    x, y, columns, rows = reply.box
    assert (columns, rows) == (-(-width // 10), -(-height // 20))
    assert x + columns <= 40 and y + rows <= 20 and reply.payload.endswith(b"\x1b\\")


@pytest.mark.parametrize("cell", [(6, 13), (10, 20), (7.5, 17)], ids=str)
def test_no_sixel_is_larger_than_the_terminal_shows_and_all_are_whole_cells(grid, cell):
    """xterm 379 drops one above 1000 × 1000 pixels whole, bands of six rows that reach below included."""
    for columns, rows in ((193, 66), (193, 12), (12, 66)):
        asked = request(grid, protocol="sixel", columns=columns, rows=rows, cell=cell, ground=(1, 2, 3))
        reply = make(structs.replace(asked, largest=(1000, 1000)))
        width, height = map(int, re.match(rb'\x1bP0;1;0q"1;1;(\d+);(\d+)', reply.payload).groups())
        assert width <= 1000 and -(-height // 6) * 6 <= 1000
        x, y, across, down = reply.box
        assert (width, height) == (int(across * cell[0]), int(down * cell[1]))
        assert abs(columns - across - 2 * x) <= 1 and abs(rows - down - 2 * y) <= 1, "in the middle"
        free = make(asked)
        assert free.box[2] >= across and free.box[3] >= down


def test_kitty_carries_the_id_and_the_box(grid):
    reply = make(request(grid, protocol="kitty", ident=77))
    head = re.match(rb"\x1b_G([^;]*);", reply.payload)[1].decode()
    keys = dict(part.split("=") for part in head.split(","))
    assert (keys["a"], keys["f"], keys["i"], keys["q"]) == ("T", "100", "77", "2")
    assert (int(keys["c"]), int(keys["r"])) == reply.box[2:]


def test_sixel_needs_the_size_of_a_cell_and_kitty_does_not(grid):
    assert make(request(grid, protocol="sixel", cell=None)).payload == b""
    assert make(request(grid, protocol="kitty", cell=None)).payload


@pytest.mark.parametrize("protocol", ["sixel", "kitty"])
def test_text_takes_the_place_of_the_pixels(grid, protocol):
    reply = make(request(grid, protocol=protocol, columns=21, rows=5))
    seen = np.argwhere(np.frombuffer(reply.upper, "<i4").reshape(5, 21) >= 0)
    (top, left), (bottom, right) = seen.min(axis=0), seen.max(axis=0)
    assert (left, top, right - left + 1, bottom - top + 1) == reply.box and reply.grid == (4, 3)
    x, y, columns, rows = reply.box
    assert len(reply.lines) == 5 and {len(line) for line in reply.lines} == {21}
    assert "".join(line[x : x + columns] for line in reply.lines[y : y + rows]).strip()


@pytest.mark.parametrize("protocol", ["sixel", "kitty"])
def test_with_a_budget_a_picture_is_made_smaller_or_of_text(tmp_path, protocol):
    noise = np.random.default_rng(0).integers(0, 255, (600, 800), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    asked = request(str(tmp_path / "noise.png"), grid=(1, 1), protocol=protocol, columns=80, rows=40)
    free = make(asked)
    for most in (len(free.payload), len(free.payload) // 2):
        reply = make(structs.replace(asked, most=most))
        assert 0 < len(reply.payload) <= most and reply.box[2] <= free.box[2]
    assert reply.box[2] < free.box[2]
    upper = np.frombuffer(reply.upper, "<i4").reshape(40, 80)
    assert (upper >= 0).any(axis=0).sum() == reply.box[2], "text in its place, when something lies over it"
    text = make(structs.replace(asked, most=50))
    assert text.payload == b"" and text.upper != b""


@pytest.mark.parametrize("content", [None, b"", b"\x89PNG\r\n\x1a\ntorn", b"no picture at all"])
def test_a_bad_file_is_told_in_words(tmp_path, content):
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(content)
    reply = make(request(str(path)))
    assert reply.error.startswith("The picture") and not reply.payload and "Traceback" not in reply.error


def test_a_png_cut_in_the_middle_is_told_in_words(tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:1500])
    assert make(request(str(path))).error.startswith("The picture cannot be read")


def test_a_grid_that_does_not_fit_its_file_is_one_tile(tmp_path):
    path = tmp_path / "small.png"
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(path)
    assert make(request(str(path), grid=(0, 0))).error == ""
    assert make(request(str(path), grid=(50, 50), tile=3)).error == ""


# -- the process


async def test_the_encoder_answers_and_comes_back_after_its_death(grid):
    encoder = PictureEncoder()
    try:
        assert encoder.pid is None
        first = await encoder.make(request(grid, protocol="sixel"))
        pid = encoder.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await wait_for_async(lambda: encoder.pid is None, what="the child's death to be noticed")
        again = await encoder.make(request(grid, protocol="sixel"))
        assert again == first and encoder.pid != pid
    finally:
        encoder.close()


async def test_the_encoder_dies_with_its_input(grid):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tui_gen.app.panes.samples.encoder", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 120) == 0


def test_the_encoder_imports_neither_torch_nor_textual(grid):
    code = (
        "import sys, tui_gen.app.panes.samples.imaging as e\n"
        f"e.make(e.PictureRequest((e.Subject({grid!r}),), 10, 5, protocol='sixel', cell=(8, 16)))\n"
        "bad = {'torch', 'textual'} & set(sys.modules)\nassert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# -- what lies over what


class _Update:
    def __init__(self, spans=None):
        if spans is not None:
            self.spans = spans


def test_painted_looks_at_the_spans_of_a_partial_update():
    wire = Wire(None)
    region = Region(10, 5, 4, 2)
    for update, some, every in (
        (None, False, False),
        (_Update(), True, True),
        (_Update([(5, 0, 10)]), False, False),
        (_Update([(5, 0, 11)]), True, False),
        (_Update([(7, 0, 99)]), False, False),
        (_Update([(5, 0, 14), (6, 10, 20)]), True, True),
        (_Update([(5, 0, 14), (6, 11, 20)]), True, False),
    ):
        wire.painting(update)
        assert (wire.painted(region), wire.painted_all(region)) == (some, every), update and update.__dict__


async def test_a_picture_is_free_only_when_nothing_is_over_it(tmp_path):
    app = Host(write_run(tmp_path / "run", write_sample(tmp_path / "run", 0)), "samples")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        picture = app.samples.picture
        await wait_for_async(lambda: free_region(picture) is not None, tick=pilot.pause, what="the picture's place")
        await pilot.press("1")
        await wait_for_async(lambda: free_region(picture) is None, tick=pilot.pause, what="the toast to cover it")
        app.clear_notifications()
        await wait_for_async(lambda: free_region(picture) is not None, tick=pilot.pause, what="the toast to go")
        await pilot.press("m")
        await wait_for_async(lambda: free_region(picture) is None, tick=pilot.pause, what="the dialog to cover it")
        await pilot.press("escape")
        await wait_for_async(lambda: free_region(picture) is not None, tick=pilot.pause, what="the dialog to go")
        app.samples.display = False
        await pilot.pause()
        assert free_region(picture) is None


@contextlib.asynccontextmanager
async def headless(tmp_path):
    """The samples pane of a run with one picture, for a terminal with sixels that is not there."""
    terminal = Terminal("sixel", "for the test", cell=(10, 20))
    app = Host(write_run(tmp_path / "run", write_sample(tmp_path / "run", 0)), "samples", terminal)
    async with app.run_test(size=(80, 24)) as pilot:
        yield app, pilot


async def test_headless_shows_cells_and_never_pixels(tmp_path):
    async with headless(tmp_path) as (app, pilot):
        await wait_for_async(lambda: "▀" in app.text(), tick=pilot.pause, what="a picture")
        assert app.samples.picture.mode == "sixel" and not app.samples.picture.picture.possible


async def test_a_picture_that_came_while_its_pane_had_another_size_for_a_moment_is_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(PixelOverlay, "possible", True)
    async with headless(tmp_path) as (app, pilot):
        view = app.samples.picture
        await wait_for_async(lambda: view._pixels, tick=pilot.pause, what="blanks under pixels")
        calls = []
        monkeypatch.setattr(view.picture, "show", lambda *_: calls.append("show"))
        monkeypatch.setattr(view.picture, "hide", lambda: calls.append("hide"))
        with monkeypatch.context() as meanwhile:  # it is told of its size a moment later
            meanwhile.setattr(type(view), "size", Size(view.size.width - 9, view.size.height))
            view._take(view._last_request, view._reply)
        view._pixels = view.picture.held = False  # half-blocks were painted
        view.show_again()
        assert calls == ["hide", "show"] and view.picture.held, "no pixels before the blanks are painted"
        await wait_for_async(lambda: view._pixels, tick=pilot.pause, what="blanks under pixels again")


async def test_what_lay_over_a_picture_for_one_frame_hides_its_pixels_no_longer(tmp_path, monkeypatch):
    monkeypatch.setattr(PixelOverlay, "possible", False)
    async with headless(tmp_path) as (app, pilot):
        view = app.samples.picture
        await wait_for_async(lambda: view._ready() and "▀" in app.text(), tick=pilot.pause, what="half-blocks")
        monkeypatch.setattr(PixelOverlay, "possible", True)  # and no frame comes
        await wait_for_async(lambda: view._pixels, tick=pilot.pause, what="blanks under pixels")


async def test_a_picture_that_came_while_none_was_wanted_is_shown_when_it_is_wanted_again(tmp_path, monkeypatch):
    """Its pane had no room for a moment, or pictures were off: what came then must not pass for what was there."""
    async with headless(tmp_path) as (app, pilot):
        view = app.samples.picture
        await wait_for_async(lambda: view._reply and not view.busy, tick=pilot.pause, what="a picture")
        wish, before, make = view._wish, view._reply, view._encoder.make

        async def meanwhile(request):
            view._wish = None
            return await make(request)

        monkeypatch.setattr(view._encoder, "make", meanwhile)
        view._last_request = None
        view.show_again()
        await wait_for_async(lambda: not view.busy, tick=pilot.pause)
        assert view._wish is None and view._reply is before
        monkeypatch.setattr(view._encoder, "make", make)
        view.show_again()
        await wait_for_async(lambda: view._reply is not before, tick=pilot.pause, what="the picture that came then")
        assert view._last_request == wish


async def test_what_is_to_be_done_once_is_done_however_late(tmp_path, monkeypatch):
    """Textual looks at a timer twice as it starts: kept from the processor in between, it would never fire."""
    async with headless(tmp_path) as (app, _):
        times, fired, usual = itertools.count(0, 10), asyncio.Event(), _time.get_time

        def clock():
            task = asyncio.current_task()
            return next(times) if task is not None and task.get_name() == "late" else usual()

        monkeypatch.setattr(_time, "get_time", clock)
        timer = app.set_timer(0.01, fired.set, name="late")
        await timer._task
        await wait_for_async(fired.is_set, 2, "the timer to fire")


def test_a_part_of_what_lies_below_does_not_bring_it_to_the_front():
    wire, below, dialog = Wire(None), object(), object()
    for update, screen, front in (
        (_Update(), below, below),
        (_Update(), dialog, dialog),
        (_Update([(5, 0, 10)]), below, dialog),
        (None, below, dialog),
        (_Update(), below, below),
    ):
        wire.painting(update, screen)
        assert wire.front is front


# -- on a real pty


def pixels(terminal):
    """Pixel sequences received: sixels, or kitty transmissions of a whole picture (their first chunks)."""
    sixels = [data for data in terminal.strings["dcs"] if re.match(rb"\d*;\d*;\d*q", data)]
    return sixels + [data for data in terminal.strings["apc"] if b"a=T" in data]


def deletions(terminal):
    return [data for data in terminal.strings["apc"] if b"a=d" in data]


def open_samples(run, personality, **more):
    """The samples pane of `run` on a terminal with pixels, its picture shown and everything quiet."""
    terminal = PtyTerminal([sys.executable, "-m", "tests.plot_host", str(run)], 80, 24, personality, **more)
    wait_for(lambda: pixels(terminal), what=lambda: f"a picture on this screen:\n{terminal.text()}")
    terminal.wait_quiet(0.4)
    return terminal


def two_samples(path):
    return write_run(path, write_sample(path, 0), write_sample(path, 10))


on_one_terminal = pytest.mark.xdist_group("pixels")


@pytest.fixture(scope="module", params=[SIXEL, KITTY], ids=["sixel", "kitty"])
def shown(request, tmp_path_factory):
    """One terminal for several tests: each leaves it with pixels shown, the newest followed, 80 x 24."""
    run = two_samples(tmp_path_factory.mktemp("pixels") / "run")
    with open_samples(run, request.param) as terminal:
        assert len(pixels(terminal)) <= 2 and half_blocks(terminal) == 0
        yield terminal, run


def half_blocks(terminal):
    return terminal.text().count("▀")


@on_one_terminal
def test_pixels_come_once_and_an_idle_screen_sends_nothing(shown):
    terminal, _ = shown
    assert half_blocks(terminal) == 0
    count, sent = terminal.bytes_out, len(pixels(terminal))
    terminal.wait_quiet(1.2)
    assert (terminal.bytes_out, len(pixels(terminal))) == (count, sent)


@on_one_terminal
def test_each_step_through_the_history_sends_one_picture(shown):
    terminal, run = shown
    before = len(pixels(terminal))
    terminal.press("left")
    wait_for(lambda: len(pixels(terminal)) == before + 1, what="another picture")
    terminal.wait_quiet(0.4)
    assert len(pixels(terminal)) == before + 1 and "step 0" in terminal.text()
    terminal.press("end")
    terminal.wait_for_text("step 10")
    wait_for(lambda: len(pixels(terminal)) == before + 2, what="the newest picture again")
    append(run, write_sample(run, 20))
    terminal.press("u")
    terminal.wait_for_text("step 20")
    wait_for(lambda: len(pixels(terminal)) == before + 3, what="the new picture")


@on_one_terminal
def test_a_dialog_and_a_toast_turn_pixels_into_cells_and_back(shown):
    terminal, _ = shown
    for key, away in (("m", "escape"), ("1", "2")):
        before, removed = len(pixels(terminal)), len(deletions(terminal))
        terminal.press(key)
        wait_for(lambda: half_blocks(terminal) > 100, what=lambda: f"half-blocks:\n{terminal.text()}")
        terminal.wait_quiet(0.4)
        assert len(pixels(terminal)) == before
        if terminal.personality is KITTY:
            wait_for(lambda: len(deletions(terminal)) == removed + 1, what="the picture to go")  # noqa: B023
        terminal.press(away)
        wait_for(lambda: half_blocks(terminal) == 0, what=lambda: f"blanks under pixels:\n{terminal.text()}")
        wait_for(lambda: len(pixels(terminal)) > before, what="the picture again")  # noqa: B023
        terminal.wait_quiet(0.4)
        # Sixels are sent again where a frame paints over them, as the second of two does that are far apart.
        assert len(pixels(terminal)) - before <= (1 if terminal.personality is KITTY else 2)


@on_one_terminal
def test_g_goes_through_the_ways_of_drawing(shown):
    terminal, _ = shown
    sent = len(pixels(terminal))
    terminal.press("g")
    wait_for(lambda: half_blocks(terminal) > 100, what="half-blocks")
    terminal.press("g")
    wait_for(lambda: half_blocks(terminal) == 0 and "####" in terminal.text(), what=lambda: terminal.text())
    terminal.press("g")
    terminal.wait_for_text("Pictures are off")
    terminal.press("g")
    wait_for(lambda: len(pixels(terminal)) > sent, what="pixels again")


@on_one_terminal
def test_another_size_sends_a_picture_that_fits_it(shown):
    terminal, _ = shown
    sent = len(pixels(terminal))
    terminal.resize(60, 16)
    wait_for(lambda: len(pixels(terminal)) > sent, what="a picture of another size")
    terminal.wait_quiet(0.4)
    last = pixels(terminal)[-1]
    if terminal.personality is SIXEL:
        width, height = map(int, re.search(rb'"1;1;(\d+);(\d+)', last).groups())
        assert width <= 58 * 10 and height <= 12 * 20
    else:
        columns, rows = (int(re.search(rb"%c=(\d+)" % ord(key), last)[1]) for key in "cr")
        assert columns <= 58 and rows <= 12
    sent = len(pixels(terminal))
    terminal.resize(80, 24)
    wait_for(lambda: len(pixels(terminal)) > sent, what="a large picture again")
    terminal.wait_quiet(0.4)


def test_quitting_takes_the_picture_away(tmp_path):
    with open_samples(two_samples(tmp_path / "run"), KITTY) as terminal:
        terminal.press("q")
        assert terminal.wait_exit() == 0
        assert len(deletions(terminal)) == 1


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are looked for in /proc")
def test_a_killed_workbench_leaves_no_encoder(tmp_path):
    with open_samples(two_samples(tmp_path / "run"), SIXEL) as terminal:
        tasks = Path(f"/proc/{terminal.process.pid}/task").glob("*/children")
        children = {child for task in tasks for child in task.read_text().split()}
        assert children
        terminal.kill()
        wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children), what="the encoder's end")


def test_a_terminal_without_pixels_gets_half_blocks(tmp_path):
    run = write_run(tmp_path / "run", write_sample(tmp_path / "run", 0))
    with PtyTerminal([sys.executable, "-m", "tests.plot_host", str(run)], 80, 24, PLAIN) as terminal:
        wait_for(lambda: half_blocks(terminal) > 100, what=lambda: f"half-blocks:\n{terminal.text()}")
        assert pixels(terminal) == []


def test_a_slow_link_gets_one_picture_at_a_time_and_rests_between_them(tmp_path):
    run = write_run(tmp_path / "run", write_sample(tmp_path / "run", 0))
    with open_samples(run, KITTY, latency=0.3) as terminal:
        terminal.wait_quiet(0.7)
        before, begun = len(pixels(terminal)), time.monotonic()
        for step in range(10, 80, 10):  # previews faster than the terminal tells that it has them
            append(run, write_sample(run, step))
            terminal.press("u")
            terminal.wait_for_text(f"step {step} ")
        terminal.wait_quiet(0.5)
        wait_for(lambda: len(pixels(terminal)) > before, what="the newest picture")
        # An answer takes 0.3 s, and a rest follows it; on a busy machine there is time for more while keys are pressed.
        assert len(pixels(terminal)) - before <= 2 + (time.monotonic() - begun) / (0.3 * (1 + REST))
        assert terminal.queries.count("?2026$p") >= 2
        terminal.press("home")
        wait_for(lambda: pixels(terminal)[-1] == pixels(terminal)[0], what="the first picture, in the end")


def test_answers_go_to_those_who_asked_in_order(monkeypatch):
    wire = Wire(None)
    monkeypatch.setattr(Wire, "real", True)
    monkeypatch.setattr(wire, "send", lambda data: None)
    heard = []
    assert wire.answered() and wire.answers  # Textual's own question
    assert wire.ask_round_trip() and wire.ask_round_trip(lambda: heard.append(1)) and wire.ask_round_trip()
    assert [wire.answered(), wire.answered(), wire.answered()] == [True, False, True] and heard == [1]


def test_partial_updates_leave_the_screen_as_a_full_one_would(tmp_path):
    run = write_run(tmp_path / "run", losses=[5.0 - step / 100 for step in range(200)])
    with PtyTerminal([sys.executable, "-m", "tests.plot_host", str(run), "losses"], 100, 30, PLAIN) as terminal:
        terminal.wait_for_text("● train 3.1")
        terminal.wait_quiet(0.3)
        began = terminal.bytes_out
        for number in range(6):  # beyond the axis' end, so that some frames change everything
            start = 200 + 20 * number
            values = [5.0 - (start + step) / 100 + step % 3 for step in range(20)]
            append(run, events.Metrics(start=start, values={"vae/loss": values}))
            before = terminal.bytes_out
            terminal.press("u", "right")
            wait_for(lambda: terminal.bytes_out > before, what="a frame")  # noqa: B023
            terminal.wait_quiet(0.2)
        partial, sent = terminal.text(), terminal.bytes_out - began
        before = terminal.bytes_out
        terminal.press("r")
        wait_for(lambda: terminal.bytes_out - before > 5_000, what="a full frame")
        terminal.wait_quiet(0.2)
        assert terminal.text() == partial
        assert sent < 6 * (terminal.bytes_out - before)


def test_a_row_that_grew_at_its_end_is_sent_from_there(tmp_path):
    from tui_gen.app.panes.curves.plot import changed_span

    old = [("  12", "label"), ("┤", "axis"), ("⣀⣀⣀", "line.0"), ("    ", "")]
    new = [("  12", "label"), ("┤", "axis"), ("⣀⣀⣠⣀", "line.0"), ("   ", "")]
    assert changed_span(old, new, 12) == (7, 9)
    assert changed_span(new, [*new[:2], ("⣀⣀⣠⣀", "band.0"), new[3]], 12) == (5, 9)
    assert changed_span([("名前", "text"), ("  ", "")], [("名名", "text"), ("  ", "")], 6) == (2, 4)


def test_replies_survive_the_pipe():
    import msgspec

    reply = PictureReply(pieces=[(b"\x00\xff", (1, 2, 3, 4))], lines=["ab"], words=[(0, 1, "a", "#ff0000")])
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(reply), type=PictureReply) == reply
