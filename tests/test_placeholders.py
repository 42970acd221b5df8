"""Kitty's pictures in cells of text, through tmux: only where they are known to arrive, and named by their cells."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests import tmux
from tests.plot_host import write_run, write_sample
from tests.pty_terminal import KITTY, PtyTerminal
from tests.waiting import wait_for
from tui_gen.draw import iterm2, kitty
from tui_gen.draw.multiplexers import TmuxClient, permitted
from tui_gen.draw.placeholders import CELL, MARKS, MOST, colour_of, passed_through, row_of
from tui_gen.draw.terminal import Replies, decide

PIXELS = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def test_the_marks_are_those_that_stay_apart_from_their_character():
    assert MOST == len(set(MARKS)) == 297 and MARKS[:4] == "\u0305\u030d\u030e\u0310" and MARKS[-1] == "\U0001d244"
    assert {unicodedata.combining(mark) for mark in MARKS} == {230}
    assert not any(unicodedata.decomposition(mark) for mark in MARKS)
    assert unicodedata.normalize("NFC", "A" + MARKS) == "A" + MARKS


def test_every_cell_names_its_picture_its_row_and_its_column():
    ident = 0x12AB34CD
    cells = re.findall(f"{CELL}(.)(.)(.)", row_of(ident, 7, 40))
    assert [MARKS.index(column) for _, column, _ in cells] == list(range(40))
    assert {(MARKS.index(row), MARKS.index(high)) for row, _, high in cells} == {(7, 0x12)}
    assert colour_of(ident) == (0xAB, 0x34, 0xCD)
    assert row_of(5, 0, 1) == CELL + MARKS[0] + MARKS[0]


def test_tmux_gets_a_picture_wrapped_and_nothing_else_with_it():
    big = kitty.encode(np.random.default_rng(0).integers(0, 255, (60, 80), np.uint8), 9, 4, 3, virtual=True)
    assert big.count(b"\x1b_G") > 1 and b"U=1" in big and b"C=1" not in big
    wrapped = passed_through(big)
    assert wrapped.count(b"\x1bPtmux;") == big.count(b"\x1b_G") and passed_through(b"") == b""
    inner = b"".join(re.findall(rb"\x1bPtmux;((?:\x1b\x1b|[^\x1b])*)\x1b\\", wrapped)).replace(b"\x1b\x1b", b"\x1b")
    assert inner == big
    text = f"before\x1b[1m{wrapped.decode()}\x1b[mafter"
    assert permitted(text, "tmux", "kitty") == text
    for where, graphics in (("tmux", "sixel"), ("tmux", ""), ("screen", "kitty"), ("zellij", "kitty")):
        assert permitted(text, where, graphics) == "before\x1b[1m\x1b[mafter"
    other = "\x1bPtmux;\x1b\x1b]0;title\x07\x1b\\"
    assert "title" not in permitted(f"a{other}b", "tmux", "kitty"), "only pictures"


@pytest.mark.parametrize(
    ("kind", "passes", "features", "expected"),
    [
        ("kitty 0.46", True, {"RGB"}, "kitty"),
        ("ghostty 1.3", True, {"RGB"}, "kitty"),
        ("kitty 0.46", False, {"RGB"}, "halfblock"),
        ("kitty 0.46", True, {"256"}, "halfblock"),
        ("kitty(0.28.0)", True, {"RGB"}, "kitty"),
        ("kitty(0.26.5)", True, {"RGB"}, "halfblock"),
        ("foot(1.2)", True, {"RGB"}, "halfblock"),
        ("", True, {"RGB"}, "halfblock"),
    ],
)
def test_they_are_chosen_only_where_tmux_says_that_they_arrive(kind, passes, features, expected):
    environ = {"TERM": "tmux-256color", "TMUX": "/t,1,0", "LANG": "C.UTF-8"}
    client = TmuxClient(frozenset(features), (10, 20), kind, passes)
    shown = decide(Replies(fence=True, name="tmux", version="3.4"), "auto", "", environ, True, 0.01, client)
    assert (shown.graphics, shown.placeholders) == (expected, expected == "kitty")
    able = kind.startswith(("kitty", "ghostty")) and "0.26" not in kind
    assert ("kitty does since 0.28" in shown.reason) == ("0.26" in kind), shown.reason
    assert ("allow-passthrough on" in shown.reason) == (able and not passes), shown.reason
    assert ('terminal-features "*:RGB"' in shown.reason) == (able and features == {"256"}), shown.reason


def test_a_picture_reaches_the_terminal_around_tmux_and_the_cells_name_it(tmp_path):
    tmux.need()
    run = write_run(tmp_path / "run", write_sample(tmp_path / "run", 0))
    (tmp_path / "conf").write_text(
        "set -g default-terminal tmux-256color\nset -g status off\nset -g allow-passthrough on\n"
        'set -as terminal-features "*:RGB"\n'
    )
    words = f"TEXTUAL_COLOR_SYSTEM=truecolor exec {sys.executable} -m tests.plot_host {run}"
    command = ["tmux", "-S", str(tmp_path / "s"), "-f", str(tmp_path / "conf"), "new-session", "/bin/sh", "-c", words]
    try:
        with PtyTerminal(command, 100, 30, replace(KITTY, term="xterm-256color", version="kitty(0.46.2)")) as terminal:
            wait_for(
                lambda: CELL in terminal.text() and any(b"U=1" in data for data in terminal.strings["apc"]),
                what=lambda: f"a picture on this screen:\n{terminal.text()}",
            )
            sent = next(data for data in terminal.strings["apc"] if b"U=1" in data)
            ident = int(re.search(rb"i=(\d+)", sent)[1])
            x, y = terminal.find(CELL)
            assert terminal.screen.buffer[y][x].fg == "{:02x}{:02x}{:02x}".format(*colour_of(ident))
            columns = int(re.search(rb"c=(\d+)", sent)[1])
            assert terminal.line(y).count(CELL) == columns
            terminal.press("g")
            wait_for(lambda: CELL not in terminal.text(), what="another way to draw")
            wait_for(lambda: any(b"a=d" in data for data in terminal.strings["apc"]), what="it is taken away")
    finally:
        subprocess.run([*command[:3], "kill-server"], check=False, capture_output=True)


def test_an_inline_image_of_iterm2_is_the_whole_file_with_its_box():
    data = iterm2.show(kitty.png(PIXELS), 12, 5)
    keys, _, body = data.removeprefix(b"\x1b]1337;File=").removesuffix(b"\x07").partition(b":")
    values = dict(part.split(b"=") for part in keys.split(b";"))
    image = base64.standard_b64decode(body)
    assert (values[b"width"], values[b"height"], int(values[b"size"])) == (b"12", b"5", len(image))
    assert (np.array(Image.open(io.BytesIO(image))) == PIXELS).all()
    assert iterm2.show(b"", 3, 3) == b""


@pytest.mark.parametrize(
    ("name", "environ", "expected"),
    [
        ("iTerm2", {}, "iterm2"),
        ("mintty", {}, "iterm2"),
        ("foot", {}, "halfblock"),
        ("iTerm2", {"STY": "1"}, "halfblock"),
    ],
)
def test_iterm2s_images_are_for_terminals_that_say_who_they_are(name, environ, expected):
    environ = {"TERM": "xterm-256color", "LANG": "C.UTF-8"} | environ
    assert decide(Replies(fence=True, name=name), "auto", "", environ, True).graphics == expected
