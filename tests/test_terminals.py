"""The terminals that the other tests look through show what is there and answer as they should."""

import json
import sys
import time

import pytest

from tests.pty_terminal import KITTY, MUTE, PLAIN, SIXEL, TMUX, PtyTerminal, key_bytes
from tests.splitter import Splitter
from tests.tmux import Tmux
from tests.waiting import wait_for
from tui_gen import runs

PYTHON = sys.executable
RAW = "import sys, tty, termios, os, time\nold = termios.tcgetattr(0)\ntty.setraw(0)\n"
ECHO = RAW + (
    "os.write(1, b'ready\\r\\n')\n"
    "while (data := os.read(0, 1024)) != b'q':\n"
    "    os.write(1, repr(data).encode() + b'\\r\\n')\n"
    "termios.tcsetattr(0, termios.TCSANOW, old)\n"
)
PROBE = (
    "import json\nfrom tui_gen.draw import terminal\n"
    "print('ANSWER ' + json.dumps(terminal.probe()._asdict()))\nprint('typed:', repr(input()))\n"
)


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1000])
def test_splitting_in_any_chunks(cut):
    stream = b"ab\x1b[1;31mred\x1b[?2026$p\x1b_Gi=31,a=q;AAAA\x1b\\x\x1bP1$r0m\x1b\\\x1b]0;title\x07\x1b7\x1bMend"
    split = Splitter()
    tokens = [token for at in range(0, len(stream), cut) for token in split.feed(stream[at : at + cut])]
    joined: list[tuple[str, bytes]] = []
    for kind, token in tokens:  # text may come in pieces
        if kind == "text" and joined and joined[-1][0] == "text":
            joined[-1] = ("text", joined[-1][1] + token)
        else:
            joined.append((kind, token))
    assert joined == [
        ("text", b"ab"), ("csi", b"\x1b[1;31m"), ("text", b"red"), ("csi", b"\x1b[?2026$p"),
        ("apc", b"Gi=31,a=q;AAAA"), ("text", b"x"), ("dcs", b"1$r0m"), ("osc", b"0;title"), ("esc", b"\x1b7"),
        ("esc", b"\x1bM"), ("text", b"end"),
    ]  # fmt: skip


def test_text_keys_size_and_exit():
    with PtyTerminal([PYTHON, "-c", ECHO], 60, 12) as terminal:
        terminal.wait_for_text("ready")
        terminal.press("f1", "ctrl+s", "é")
        terminal.wait_for_text(repr(key_bytes("f1"))[2:-1])
        terminal.wait_for_text("x13")
        terminal.click(4, 2)
        terminal.wait_for_text("[<0;5;3M")
        assert terminal.find("ready") == (0, 0) and terminal.bytes_out > 20
        terminal.press("q")
        assert terminal.wait_exit() == 0


def test_resize_reaches_the_command():
    code = (
        "import os, signal\nshow = lambda *_: print(os.get_terminal_size(), flush=True)\n"
        "signal.signal(signal.SIGWINCH, show)\nshow()\nwhile True: signal.pause()\n"
    )
    with PtyTerminal([PYTHON, "-c", code], 80, 24) as terminal:
        terminal.wait_for_text("columns=80, lines=24")
        terminal.resize(100, 30)
        terminal.wait_for_text("columns=100, lines=30")


def test_closing_the_terminal_hangs_up(tmp_path):
    told = tmp_path / "told"
    code = (
        "import signal, sys\n"
        f"def hung_up(*_): open({str(told)!r}, 'w').write('SIGHUP'); sys.exit(3)\n"
        "signal.signal(signal.SIGHUP, hung_up)\nprint('ready', flush=True)\nwhile True: signal.pause()\n"
    )
    terminal = PtyTerminal([PYTHON, "-c", code])
    terminal.wait_for_text("ready")
    terminal.close()
    assert terminal.process.wait(120) == 3 and told.read_text() == "SIGHUP"


def test_blocked_output_blocks_the_command(tmp_path):
    full = tmp_path / "full"
    code = (
        "import os, select\nos.read(0, 2)\nos.set_blocking(1, False)\ncount = 0\n"
        "try:\n    while True: count += os.write(1, b'x' * 1000)\nexcept BlockingIOError: pass\n"
        f"open({str(full)!r}, 'w').write(str(count))\nselect.select([], [1], [])\nos.write(1, b'DONE')\nos.read(0, 1)\n"
    )
    with PtyTerminal([PYTHON, "-c", code]) as terminal:
        terminal.block()
        terminal.send("a\r")
        wait_for(lambda: full.exists() and full.read_text(), what="the command's writes to block")
        assert terminal.bytes_out == 0 and int(full.read_text()) < 1_000_000
        terminal.unblock()
        terminal.wait_for_text("DONE")
        assert terminal.bytes_out >= int(full.read_text())


def test_bandwidth_is_held():
    code = "import os\nos.write(1, b'y' * 20000)\nos.write(1, b'DONE')\nos.read(0, 1)\n"
    with PtyTerminal([PYTHON, "-c", code], bandwidth=20_000) as terminal:
        terminal.wait_for_text("DONE")
        assert time.monotonic() - terminal.first_output > 0.8


def test_quiet_is_noticed_and_noise_too():
    code = "import os, select\nfor n in range(400):\n    os.write(1, b'.')\n    select.select([], [], [], 0.02)\n"
    with PtyTerminal([PYTHON, "-c", code]) as terminal:
        terminal.wait_for_text("..")
        with pytest.raises(AssertionError, match="silence"):
            terminal.wait_quiet(1.0, timeout=0.5)
    with PtyTerminal([PYTHON, "-c", "print('hi', flush=True); input()"]) as terminal:
        terminal.wait_for_text("hi")
        assert terminal.wait_quiet(0.3, timeout=20) == 4


@pytest.mark.parametrize(
    ("personality", "latency", "expected"),
    [
        (PLAIN, 0.0, "halfblock"),
        (SIXEL, 0.0, "sixel"),
        (KITTY, 0.3, "kitty"),
        (TMUX, 0.1, "halfblock"),
        (MUTE, 0.0, "halfblock"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_each_personality_is_recognised_by_the_probe(personality, latency, expected):
    with PtyTerminal([PYTHON, "-c", PROBE], 200, 20, personality, latency) as terminal:
        terminal.wait_for_text("ANSWER")
        # past the answers: only what a person types must reach the program
        terminal.send("hello\r")
        screen = terminal.wait_for_text("typed: 'hello'")
    found, _ = json.JSONDecoder().raw_decode("".join(screen.split("\n")).split("ANSWER ")[1])
    assert found["graphics"] == expected
    assert found["sync"] == personality.sync
    assert found["answered"] == (personality.da1 is not None)
    answers = personality.da1 is not None
    assert found["colours"] == (("truecolor" if personality.truecolor else "256") if answers else "")


def test_strings_are_collected_not_shown():
    code = "import os\nos.write(1, b'a\\x1bPq#0;2;0;0;0#0~~\\x1b\\\\b\\x1b_Ga=T;QUJD\\x1b\\\\c'); os.read(0, 1)\n"
    with PtyTerminal([PYTHON, "-c", code]) as terminal:
        terminal.wait_for_text("abc")
        assert terminal.strings["dcs"] == [b"q#0;2;0;0;0#0~~"] and terminal.strings["apc"] == [b"Ga=T;QUJD"]


def test_tmux_shows_types_and_hangs_up():
    with Tmux([PYTHON, "-c", ECHO], 80, 20) as tmux:
        tmux.wait_for_text("ready")
        tmux.send("F1", "C-s")
        tmux.wait_for_text("x13")
        pid = tmux.pid
        assert runs.process_started(pid) and not tmux.ended()
        tmux.close()
        wait_for(lambda: not runs.process_started(pid), what="the command's end")
    with Tmux([PYTHON, "-c", "print('over')"]) as tmux:
        wait_for(tmux.ended, what="the command's end")
