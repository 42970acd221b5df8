"""What is asked, and what is written, where something reads it before the terminal does: by place, from measurements.

tmux 3.4 and 3.5 built with sixel take one of the questions that every terminal passes over for a picture without any
pixels; 3.4, in a terminal that has sixel, ends over it with all its windows. GNU screen 4.9, tmux 3.3a and urxvt 9.30
print the strings that others swallow, or put them into a title. So the tests hold every byte that goes there.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from tests.plot_host import write_run, write_sample
from tests.pty_terminal import Personality, PtyTerminal
from tests.splitter import Splitter
from tests.test_draw_terminal import ANSWERS, XTERM, FakeTerminal
from tests.waiting import wait_for
from tui_gen.draw import multiplexers, terminal
from tui_gen.draw.multiplexers import TmuxClient, named, permitted

ASKED = [b"\x1b7", b"\x1b[>q", b"\x1b8", b"\x1b[K", b"\x1b[c", b"\x1b[6n"]
"""All that any multiplexer, and a terminal that does not say who it is, is asked."""
TMUX, STY = {"TMUX": "/nonexistent/tmux,1,0"}, {"STY": "1.pts-0.box"}


def place(device: str | None, version: str = "", **more: bytes) -> dict[bytes, bytes]:
    """A terminal's answers: DA1 and XTVERSION by their text; to other questions none, unless given."""
    answers = dict.fromkeys(ANSWERS, b"") | {
        rb"\x1b\[c": f"\x1b[?{device}c".encode() if device else b"",
        rb"\x1b\[>q": f"\x1bP>|{version}\x1b\\".encode() if version else b"",
        rb"\x1b\[6n": b"\x1b[1;1R",
    }
    return answers | {OTHERS[question]: answer for question, answer in more.items()}


OTHERS = {
    "kitty": rb"\x1b_Gi=31[^\x1b]*\x1b\\", "area": rb"\x1b\[14t", "cell": rb"\x1b\[16t",
    "sync": rb"\x1b\[\?2026\$p", "colours": rb"\x1bP[^\x1b]*\x1b\\", "largest": rb"\x1b\[\?2;4;0S",
}  # fmt: skip
ROUNDED = b"\x1bP1$r0;48:5:16m\x1b\\"

# name: environment, answers, and what follows: only ASKED is asked, graphics, colours, the mouse is listened to
PLACES = {
    "tmux 3.3a": (TMUX | {"TERM": "tmux-256color", "COLORTERM": "truecolor"}, place("1;2", "tmux 3.3a"),
                  (True, "halfblock", "truecolor", True)),
    "tmux 3.5a with sixel": (TMUX | {"TERM": "tmux-256color"}, place("1;2;4", "tmux 3.5a"),
                             (True, "halfblock", "256", True)),
    "tmux over ssh": ({"TERM": "tmux-256color"}, place("1;2;4", "tmux 3.4"), (True, "halfblock", "256", True)),
    "tmux that says it is xterm": ({}, place("1;2;4", "tmux 3.4"), (True, "halfblock", "256", True)),
    "screen 4.9.0": (STY | {"TERM": "screen.xterm-256color", "COLORTERM": "truecolor"}, place("1;2"),
                     (True, "halfblock", "256", False)),
    "screen over ssh": ({"TERM": "screen", "COLORTERM": "truecolor"}, place("1;2"),
                        (True, "halfblock", "256", False)),
    "tmux in screen": (STY | TMUX | {"TERM": "screen-256color"}, place("1;2", "tmux 3.3a"),
                       (True, "halfblock", "256", True)),
    "a window opened from screen": (STY, place("63;1;2;4", "XTerm(379)"), (True, "halfblock", "256", False)),
    "dvtm 0.15": ({"TERM": "dvtm-256color", "COLORTERM": "truecolor"}, place(None), (True, "halfblock", "256", True)),
    "dvtm that says it is xterm": ({}, place(None), (True, "halfblock", "", True)),
    "zellij": ({"ZELLIJ": "0", "COLORTERM": "truecolor"}, place("62;4", "Zellij(4100)"),
               (True, "halfblock", "truecolor", True)),
    "mosh 1.4.0": ({}, place("62"), (False, "halfblock", "", True)),
    "xterm 379": ({}, place("63;1;2;4", "XTerm(379)", largest=b"\x1b[?2;0;1000;1000S",
                            colours=b"\x1bP1$r0;48:2::1:2:3m\x1b\\", cell=b"\x1b[6;13;6t"),
                  (False, "sixel", "truecolor", True)),
    "mlterm 3.9.0": ({"TERM": "mlterm", "COLORTERM": "truecolor"},
                     place("63;1;2;3;4", cell=b"\x1b[6;22;10t", colours=ROUNDED, largest=b"\x1b[?2;3;0S"),
                     (False, "sixel", "256", True)),
    "kitty 0.26.5": ({"TERM": "xterm-kitty"}, place("62", "kitty(0.26.5)", kitty=b"\x1b_Gi=31;OK\x1b\\"),
                     (False, "kitty", "", True)),
    "alacritty 0.11": ({"COLORTERM": "truecolor"}, place("6"), (False, "halfblock", "truecolor", True)),
    "xterm.js 6.0.0": ({"COLORTERM": "truecolor"}, place("62;4;9;22", area=b"\x1b[4;340;668t", cell=b"\x1b[6;17;8t"),
                       (False, "sixel", "truecolor", True)),
    "dtach with nobody there": ({}, {b"never": b""}, (True, "halfblock", "", True)),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_each_place_is_asked_what_it_may_hear_and_no_more(name, monkeypatch):
    environ, answers, expected = PLACES[name]
    monkeypatch.setattr(terminal, "_DRAIN", 0.01)
    with FakeTerminal(answers) as fake:
        found = fake.probe({**XTERM, **environ}, budget=60 if len(answers) > 1 else 0.05)
        assert fake.left_over() == b""
        tokens = [token for _, token in Splitter().feed(bytes(fake.received))]
    asked = tokens == ASKED
    assert (asked, found.graphics, found.colours, found.mouse) == expected
    assert tokens[: len(ASKED)] == ASKED, "who is there is asked first, and waited for"
    assert asked or not found.multiplexer


def test_tmux_tells_what_is_around_it(tmp_path, monkeypatch):
    """Its word goes before COLORTERM, and before the size it makes up where nobody tells it one (3.3a: 16 x 32)."""
    program = tmp_path / "tmux"
    monkeypatch.setattr(multiplexers, "PATIENCE", 60)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    environ = {**XTERM, **TMUX, "PATH": f"{tmp_path}:/bin:/usr/bin", "COLORTERM": "truecolor"}
    for features, expected in (
        ("bpaste,title|0|0||0|1", ("halfblock", "256", None, None)),
        ("bpaste,RGB,sixel|10|20|XTerm(379)|0|1", ("sixel", "truecolor", (10, 20), (1000, 1000))),
        ("bpaste,RGB,title|10|20||1|", ("halfblock", "truecolor", (10, 20), None)),
        ("bpaste,RGB,title|10|20||1|0", ("ascii", "truecolor", (10, 20), None)),
    ):
        program.write_text(f"#!/bin/sh\necho '{features}'\n")
        program.chmod(0o755)
        with FakeTerminal(place("1;2;4", "tmux 3.6a")) as fake:
            found = fake.probe(environ)
        assert (found.graphics, found.colours, found.cell, found.largest) == expected
        assert found.unicode == (found.graphics != "ascii") and ("tmux -u" in found.reason) != found.unicode


def test_a_version_answer_goes_before_an_inherited_environment():
    assert named({"TERM": "xterm-256color", **STY, **TMUX}) == "screen"
    assert named({"TERM": "tmux-256color", **STY}) == "tmux"
    assert named({"TERM": "screen", **STY}, "tmux") == "tmux"
    assert named({"TERM": "xterm"}, "XTerm") == named({}) == ""


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, True), (TMUX, True), (STY, False), ({"TERM": "screen"}, False), ({"DVTM": "1"}, False)],
)
def test_an_inherited_claim_of_all_colours_is_not_believed_where_they_are_misread(environ, expected):
    assert multiplexers.claims_truecolor({**XTERM, "COLORTERM": "truecolor", **environ}) == expected
    assert not multiplexers.claims_truecolor({**XTERM, **environ})


def test_an_old_tmux_is_no_place_for_pixels():
    client = TmuxClient(frozenset({"RGB", "sixel"}))
    assert not multiplexers.hides_sixel("3.6", client) and not multiplexers.hides_sixel("next-3.8", client)
    assert all("3.6 does" in multiplexers.hides_sixel(version, client) for version in ("3.3a", "3.4", "3.5a", "?"))
    assert "no sixel" in multiplexers.hides_sixel("3.6", TmuxClient(frozenset({"RGB"})))


GOOD = (
    "\x1b[?1049h\x1b[?25l\x1b[?1000;1006h\x1b[2;3H\x1b[1;38;2;1;2;3;48:5:7m┏é\x1b[0m"
    "\x1b[K\x1b[2J\x1b7\x1b8\x1b[6n\x1b[c"
)
SIXEL, KITTY = '\x1bP0;1;0q"1;1;6;6#0;2;0;0;0#0~\x1b\\', "\x1b_Ga=d,d=A,q=2\x1b\\"
CLIPBOARD = "\x1b]52;c;aGk=\x07"
BAD = ("\x1b[?2026$p", "\x1b[?2026h", "\x1b[?2048$p", "\x1b[>25u", "\x1b[<u", "\x1b[=25;1u", "\x1b[16t", "\x1b[5n",
       "\x1b[?2;4;0S", "\x1b]0;title\x07", "\x1b]22;pointer\x07", "\x1b^x\x1b\\", "\x1bXx\x1b\\", "\x1bPx\x1b\\",
       "\x1b]52;c;?\x07", "\x1bc", "\x1b#8", "\x9b", "\x90", "\x1b[!p", "\x1b_G unfinished")  # fmt: skip


@pytest.mark.parametrize("where", multiplexers.NAMES)
def test_only_what_a_multiplexer_knows_is_written_to_it(where):
    assert permitted(GOOD, where) == GOOD
    for bad in BAD:
        assert permitted(f"a{bad}", where) == "a" and permitted(f"a{bad}", "") == f"a{bad}"
    assert [permitted(picture, where) for picture in (SIXEL, KITTY)] == ["", ""]
    assert [permitted(SIXEL, where, "sixel"), permitted(KITTY, where, "sixel")] == [SIXEL, ""]
    kittys = "" if where == "tmux" else KITTY  # which takes them only as it passes them on
    assert [permitted(SIXEL, where, "kitty"), permitted(KITTY, where, "kitty")] == ["", kittys]
    assert permitted(CLIPBOARD, where) == (CLIPBOARD if where in ("tmux", "zellij") else "")


SCREEN = Personality("screen", "1;2", term="screen.xterm-256color", environ=(("STY", "1.pts-0.box"),))
OLD_TMUX = Personality("tmux", "1;2;4", "tmux 3.4", (10, 20), term="xterm-256color")


@pytest.mark.parametrize("personality", [SCREEN, OLD_TMUX], ids=lambda one: one.name)
def test_from_start_to_end_nothing_else_is_written_to_a_multiplexer(tmp_path, personality):
    """The whole of a visit, with a preview that changes: every string and every sequence."""
    run = write_run(tmp_path / "run", write_sample(tmp_path / "run", 0), write_sample(tmp_path / "run", 10))
    command = [sys.executable, "-m", "tests.plot_host", str(run)]
    heard = bytearray()

    class Recording(PtyTerminal):
        def _feed(self, data: bytes) -> None:
            heard.extend(data)
            super()._feed(data)

    with Recording(command, 80, 24, replace(personality, sync=True)) as shown:
        wait_for(lambda: shown.text().count("▀") > 100, what=lambda: f"half-blocks:\n{shown.text()}")
        shown.press("left")
        shown.wait_for_text("step 0")
        shown.press("q")
        assert shown.wait_exit() == 0
        assert not any(shown.strings.values()) and set(shown.queries) <= {">q", "c", "6n"}
    text = heard.decode()
    assert permitted(text.replace("\x1b[>q", ""), personality.name) == text.replace("\x1b[>q", "")
    assert "\x1b[?1049h" in text and ("\x1b[?1000h" in text) == (personality is not SCREEN)
    assert text.rindex("\x1b[2J") < text.rindex("\x1b[?1049l"), "screen has no alternate screen to leave"
