"""Pixels from end to end: the workbench on a terminal that has them, and the picture that it is left with."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from tests import fake_worker
from tests.plot_host import write_run, write_sample
from tests.pty_terminal import KITTY, Personality, PtyTerminal
from tests.real_runs import COLD
from tests.test_draw_graphics import decode_sixel
from tests.waiting import wait_for
from tui_gen import events

TMUX_SIXEL = Personality(
    "tmux with sixel", "1;2;4", "tmux 3.6a", (10, 20), truecolor=True, term="tmux-256color",
    environ=(("TMUX", "/nonexistent/tmux,1,0"),),
)  # fmt: skip


@pytest.fixture
def run(world):
    """A run with previews at steps 0 and 10."""
    path = fake_worker.make_run(None, "vae-digits")
    return write_run(path, write_sample(path, 0), write_sample(path, 10), events.State(state="stopped", step=10))


def source(run, step):
    """The pixels of the preview's file."""
    return np.asarray(Image.open(run / f"samples/{step:06d}-samples.png").convert("L"))


def workbench(run, personality):
    return PtyTerminal([*COLD, "attach", str(run)], 120, 40, personality)


class Kitty:
    """What kitty shows after these commands: pictures by id, each with the cells of its only placement."""

    def __init__(self, commands: list[bytes]) -> None:
        self.shown: dict[str, tuple[np.ndarray, tuple[int, int]]] = {}
        self.kept: dict[str, np.ndarray] = {}
        self.replaced = 0
        data, first = b"", {}
        for command in commands:
            head, _, part = command.removeprefix(b"G").partition(b";")
            keys = dict(pair.split("=") for pair in head.decode().split(","))
            first, data = (keys, part) if "a" in keys else (first, data + part)
            if first["a"] == "T" and keys.get("m") == "0":
                assert (first["f"], first["C"], first["p"]) == ("100", "1", "1")
                image, solid = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))[..., [0, 3]].T
                image = image.T[: solid.any(axis=0).sum(), : solid.any(axis=1).sum()]
                self.replaced += first["i"] in self.shown
                self.kept[first["i"]] = image
                self.shown[first["i"]] = image, (int(first["c"]), int(first["r"]))
            elif first["a"] == "p":
                self.shown[first["i"]] = self.kept[first["i"]], (int(first["c"]), int(first["r"]))
            elif first["a"] == "d":
                self.shown.pop(first["i"], None)

    @property
    def picture(self) -> np.ndarray | None:
        """The one picture on the screen."""
        assert len(self.shown) <= 1
        return next((image for image, _ in self.shown.values()), None)


def shows(terminal, pixels):
    """Whether the terminal shows exactly these pixels, each enlarged to the same whole number of its own."""
    picture = Kitty(list(terminal.strings["apc"])).picture
    if picture is None:
        return False
    factor = picture.shape[0] // pixels.shape[0]
    return factor >= 1 and np.array_equal(picture, np.kron(pixels, np.ones((factor, factor), np.uint8)))


def test_kitty_is_left_with_the_very_pixels_replaced_in_place_and_gone_under_a_dialog(run):
    with workbench(run, KITTY) as terminal:
        wait_for(lambda: shows(terminal, source(run, 10)), what=lambda: f"the newest preview:\n{terminal.text()}")
        assert "kitty graphics" in terminal.queries
        ((ident, (_, cells)),) = Kitty(terminal.strings["apc"]).shown.items()
        assert abs(cells[0] * 10 / (cells[1] * 20) - 32 / 24) < 0.2  # as wide for its height as the picture
        terminal.press("4", "left")
        wait_for(lambda: shows(terminal, source(run, 0)), what="the first preview")
        now = Kitty(terminal.strings["apc"])
        assert list(now.shown) == [ident] and now.shown[ident][1] == cells and now.replaced >= 1
        assert not any(b"a=d" in one for one in terminal.strings["apc"])  # no flicker: never taken away in between
        for key, words, away in (("f1", "Help: Samples", "escape"), ("ctrl+p", "Search", "escape")):
            terminal.press(key)
            terminal.wait_for_text(words)
            wait_for(lambda: Kitty(list(terminal.strings["apc"])).picture is None, what=f"no picture under {words}")
            terminal.press(away)
            wait_for(lambda: shows(terminal, source(run, 0)), what=f"the picture after {words}")
        terminal.press("ctrl+q")
        terminal.wait_exit()
        assert Kitty(terminal.strings["apc"]).picture is None


def test_tmux_with_sixel_is_sent_the_picture_as_sixel_and_asked_nothing_it_would_show(run):
    with workbench(run, TMUX_SIXEL) as terminal:

        def picture():
            sixels = [one for one in terminal.strings["dcs"] if re.match(rb"\d*;\d*;\d*q", one)]
            return decode_sixel(b"\x1bP" + sixels[-1] + b"\x1b\\") if sixels else None

        wait_for(lambda: picture() is not None, what=lambda: f"a sixel picture:\n{terminal.text()}")
        assert "kitty graphics" not in terminal.queries and not terminal.strings["apc"]
        terminal.wait_quiet(0.4)
        pixels, wanted = picture()[..., 0], source(run, 10) * (100 / 255)
        factor = min(pixels.shape[0] // wanted.shape[0], pixels.shape[1] // wanted.shape[1])
        assert factor > 1 and pixels.shape[1] % 10 == pixels.shape[0] % 20 == 0  # whole cells
        pixels = pixels[: wanted.shape[0] * factor, : wanted.shape[1] * factor]
        assert np.abs(pixels - np.kron(wanted, np.ones((factor, factor)))).max() < 6  # sixteen levels of grey


XTERM_JS = Personality("xterm.js", "62;4;9;22", "xterm.js(6.1.0-beta)", (8, 16), kitty=True, sync=True, truecolor=True)


class Overlay(PtyTerminal):
    """Kitty's protocol as xterm.js 6.1 beta has it: pictures neither move nor go; text over one takes it away there.

    A picture that reaches below the last row would scroll the screen, and none belongs over frames and words.
    """

    def __init__(self, *given: object, **more: object) -> None:
        self.covered: set[tuple[int, int]] = set()
        self.boxes: list[tuple[int, int, int, int]] = []
        self.wrong: list[str] = []
        super().__init__(*given, **more)

    def _take(self, kind: str, token: bytes) -> None:
        cursor = self.screen.cursor
        x, y = cursor.x, cursor.y
        if kind == "apc" and b"a=T" in token:
            columns, rows = (int(re.search(rb"[,G]%b=(\d+)" % key, token)[1]) for key in (b"c", b"r"))
            box = {(x + across, y + down) for across in range(columns) for down in range(rows)}
            self.boxes.append((x, y, columns, rows))
            if x + columns > self.columns or y + rows >= self.rows:
                self.wrong.append(f"{self.boxes[-1]} reaches out of the screen")
            elif any(self.screen.buffer[row][column].data.strip() for column, row in box):
                self.wrong.append(f"{self.boxes[-1]} lies over words:\n{self.text()}")
            self.covered |= box
        super()._take(kind, token)
        if kind == "text":
            end = cursor.x if cursor.y == y else self.columns
            self.covered -= {(column, y) for column in range(x, end)}
        elif token == b"\x1b[2J":
            self.covered.clear()

    def resize(self, columns: int, rows: int) -> None:
        """Another size; cells that are not in the window any more have nothing on them."""
        with self._lock:
            self.covered = {(x, y) for x, y in self.covered if x < columns and y < rows}
        super().resize(columns, rows)

    def shows_one(self) -> bool:
        """Whether what is left of all pictures is the last one, whole."""
        with self._lock:
            x, y, columns, rows = self.boxes[-1] if self.boxes else (0, 0, 0, 0)
            last = {(x + across, y + down) for across in range(columns) for down in range(rows)}
            return bool(last) and self.covered == last


def test_no_picture_leaves_its_pane_and_none_stays_behind(run):
    with Overlay([*COLD, "attach", str(run)], 120, 40, XTERM_JS) as terminal:
        wait_for(terminal.shows_one, what=lambda: f"a picture:\n{terminal.text()}")
        terminal.press("4")
        before = terminal.boxes[-1]
        for key in ("f11", "f11"):
            seen = len(terminal.boxes)
            terminal.press(key)
            wait_for(
                lambda: len(terminal.boxes) > seen and terminal.shows_one(),  # noqa: B023
                what=lambda: f"{terminal.boxes[seen:]} whole after {key}:\n{terminal.text()}",  # noqa: B023
            )
            terminal.wait_quiet(0.4)
        assert terminal.boxes[-1] == before
        for key, words in (("f1", "Help: Samples"), ("ctrl+p", "Search")):
            terminal.press(key)
            terminal.wait_for_text(words)
            wait_for(lambda: not terminal.covered, what=lambda: f"no picture, but {sorted(terminal.covered)[:9]}")
            terminal.press("escape")
            wait_for(terminal.shows_one, what="the picture again")
        terminal.wait_quiet(0.4)  # what was on its way when the window changes is not the workbench's fault
        terminal.resize(100, 30)
        terminal.wait_for_text(re.compile("1 Mod.*2 Hyp.*6 Run"))  # there is room for one pane only
        terminal.press("4")
        terminal.wait_for_text("▐4 Samples▌")
        wait_for(
            terminal.shows_one,
            what=lambda: f"{terminal.boxes[-1:]} whole in another window:\n{terminal.text()}\n{len(terminal.covered)}",
        )
        terminal.press("g", "g", "g")
        terminal.wait_for_text("Pictures are off")
        wait_for(lambda: not terminal.covered, what="no picture")
        assert not terminal.wrong, terminal.wrong[0]
