"""The terminal probe: against a fake terminal on a real pty with latency, and against the real ones there are."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import tty
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import tmux
from tests.pty_terminal import usual_signals
from tests.waiting import wait_for
from tui_gen.draw import sixel, terminal
from tui_gen.draw.place import at_cell
from tui_gen.draw.terminal import Replies, decide, graphics_choice, parse, probe

XTERM = {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
# question: answer, as a kitty-like terminal with sixel, 10 x 20 pixel cells and all colours would give them
ANSWERS = {
    rb"\x1b_Gi=31[^\x1b]*\x1b\\": b"\x1b_Gi=31;OK\x1b\\",
    rb"\x1b\[16t": b"\x1b[6;20;10t",
    rb"\x1b\[\?2026\$p": b"\x1b[?2026;2$y",
    rb"\x1b\[>q": b"\x1bP>|fake(1.2)\x1b\\",
    rb"\x1bP[^\x1b]*\x1b\\": b"\x1bP1$r0;48:2::1:2:3m\x1b\\",
    rb"\x1b\[\?2;4;0S": b"\x1b[?2;0;1200;900S",
    rb"\x1b\[c": b"\x1b[?62;4;22c",
    rb"\x1b\[6n": b"\x1b[1;1R",
}
NO_KITTY = {**ANSWERS, rb"\x1b_Gi=31[^\x1b]*\x1b\\": b""}


class FakeTerminal:
    """The master side of a pty: answers in the order asked, each answer `latency` seconds after its question.

    With `gap`, answers come as single bytes, that many seconds apart.
    """

    def __init__(self, answers: dict[bytes, bytes], latency: float = 0.0, gap: float = 0.0) -> None:
        self.master, self.slave = pty.openpty()
        self.answers, self.latency, self.gap = answers, latency, gap
        self.received = bytearray()
        self.asked = 0  # questions seen
        self.sent = 0  # answers given
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> FakeTerminal:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._stop_write, b"x")
        self._thread.join(120)
        for fd in (self.master, self.slave, self._stop_read, self._stop_write):
            os.close(fd)

    def _run(self) -> None:
        questions = re.compile(b"|".join(b"(%b)" % q for q in self.answers), re.DOTALL)
        replies, due, seen = list(self.answers.values()), [], 0
        while True:
            wait = max(0.0, due[0][0] - time.monotonic()) if due else None
            ready = select.select([self.master, self._stop_read], [], [], wait)[0]
            if self._stop_read in ready:
                return
            while due and due[0][0] <= time.monotonic():
                when, answer = due.pop(0)
                piece = answer[:1] if self.gap else answer
                os.write(self.master, piece)
                if rest := answer[len(piece) :]:
                    due.insert(0, (when + self.gap, rest))
                else:
                    self.sent += 1
            if self.master in ready:
                self.received += os.read(self.master, 4096)
                while match := questions.search(self.received, seen):
                    seen = match.end()
                    self.asked += 1
                    due.append((time.monotonic() + self.latency, replies[match.lastindex - 1]))

    def left_over(self) -> bytes:
        """What an application that starts now would find in its input once everything has been answered."""
        wait_for(lambda: self.sent == self.asked, what="all answers to be sent")
        tty.setraw(self.slave, termios.TCSANOW)
        return os.read(self.slave, 4096) if select.select([self.slave], [], [], 0)[0] else b""

    def probe(self, environ: dict[str, str] = XTERM, **more: object) -> terminal.Terminal:
        before = termios.tcgetattr(self.slave)
        found = probe(environ=environ, read_fd=self.slave, write_fd=self.slave, **more)
        assert termios.tcgetattr(self.slave) == before
        return found


@pytest.mark.parametrize("latency", [0.0, 0.2, 0.8])
def test_everything_is_found_at_any_latency_and_nothing_is_left_in_the_input(latency):
    with FakeTerminal(ANSWERS, latency) as fake:
        found = fake.probe()
        assert (found.graphics, found.cell, found.truecolor, found.sync) == ("kitty", (10, 20), True, True)
        assert (found.name, found.version, found.answered, found.largest) == ("fake", "1.2", True, (1200, 900))
        assert found.round_trip >= latency
        assert fake.left_over() == b""


def test_answers_in_single_bytes_are_put_together():
    with FakeTerminal(NO_KITTY, gap=0.002) as fake:
        assert fake.probe().graphics == "sixel"
        assert fake.left_over() == b""


def test_answers_later_than_the_budget_are_swallowed_and_used():
    with FakeTerminal(ANSWERS, latency=0.3) as fake:
        assert fake.probe(budget=0.1).graphics == "kitty"
        assert fake.left_over() == b""


def test_ssh_has_a_longer_budget(monkeypatch):
    budgets = []
    monkeypatch.setattr(terminal, "_converse", lambda *given: (budgets.append(given[3]), (b"", None))[1])
    with FakeTerminal(ANSWERS) as fake:
        fake.probe()
        fake.probe({**XTERM, "SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22"})
    assert budgets == [terminal.BUDGET, terminal.BUDGET_SSH]


def test_a_mute_terminal_gets_halfblocks(monkeypatch):
    monkeypatch.setattr(terminal, "_DRAIN", 0.05)
    with FakeTerminal({b"never": b""}) as fake:
        found = fake.probe(budget=0.05)
    assert (found.graphics, found.answered, found.round_trip) == ("halfblock", False, None)
    assert "did not answer" in found.reason


def test_cursor_and_colours_are_saved_and_restored_around_the_questions_of_each_turn():
    with FakeTerminal(ANSWERS) as fake:
        fake.probe()
        first, then = bytes(fake.received).split(b"\x1b8\x1b[K\x1b[c\x1b[6n")[:2]
        assert fake.received.endswith(b"\x1b8\x1b[K\x1b[c\x1b[6n"), "the cursor report is the fence"
    assert first == b"\x1b7\x1b[>q" and then.startswith(b"\x1b7")
    assert then.index(b"48;2;1;2;3m") < then.index(b"\x1bP") < then.index(b"\x1b[0m")
    assert b"?62" not in first + then, "an answer was echoed"


def test_a_terminal_without_cursor_reports_is_not_waited_for_long(monkeypatch):
    monkeypatch.setattr(terminal, "_PATIENCE", 0.05)
    answers = {question: answer for question, answer in ANSWERS.items() if b"6n" not in question}
    with FakeTerminal(answers) as fake:
        assert fake.probe(budget=60).answered
        assert fake.left_over() == b""


def test_what_is_typed_meanwhile_does_not_disturb():
    with FakeTerminal(ANSWERS, latency=0.05) as fake:
        os.write(fake.master, b"4c\x1b[A")
        assert fake.probe().graphics == "kitty"


def test_the_mode_is_restored_when_the_probe_is_interrupted(monkeypatch):
    class Interrupted:
        def search(self, data):
            raise KeyboardInterrupt

    with FakeTerminal(ANSWERS) as fake:
        before = termios.tcgetattr(fake.slave)
        handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)
        monkeypatch.setattr(terminal, "_FENCE", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            probe(environ=XTERM, read_fd=fake.slave, write_fd=fake.slave)
        monkeypatch.undo()
        assert termios.tcgetattr(fake.slave) == before
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)) == handlers


def test_a_terminal_that_hangs_up_while_asked_is_no_error():
    master, slave = pty.openpty()
    closer = threading.Thread(target=lambda: (os.read(master, 4096), os.close(master)))
    closer.start()
    found = probe(environ=XTERM, read_fd=slave, write_fd=slave)
    closer.join(120)
    os.close(slave)
    assert (found.graphics, found.answered) == ("halfblock", False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1])
def test_signals_while_asking_restore_the_mode(number):
    code = "from tui_gen.draw.terminal import probe; probe(environ={'TERM': 'xterm'}, budget=60)"
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    streams = {"stdin": slave, "stdout": slave, "stderr": slave}
    child = subprocess.Popen([sys.executable, "-c", code], **streams, preexec_fn=usual_signals)
    try:
        asked = bytearray()

        def questions() -> bool:
            if select.select([master], [], [], 0)[0]:
                asked.extend(os.read(master, 4096))
            return b"\x1b[c" in asked and termios.tcgetattr(slave) != before

        wait_for(questions, what="questions")
        child.send_signal(number)
        assert child.wait(120) == 128 + number
        assert termios.tcgetattr(slave) == before
    finally:
        child.kill()
        child.wait()
        os.close(master)
        os.close(slave)


def test_without_a_terminal_nothing_is_asked():
    read, write = os.pipe()
    found = probe(environ=XTERM, read_fd=read, write_fd=write)
    assert (found.graphics, found.reason) == ("ascii", "not a terminal")
    os.close(write)
    assert os.read(read, 100) == b""
    os.close(read)


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"TERM": ""}, {**XTERM, "TUI_GEN_GRAPHICS": "off"}])
def test_dumb_terminals_and_those_told_off_are_not_asked(environ):
    with FakeTerminal(ANSWERS) as fake:
        found = fake.probe(environ)
        assert fake.left_over() == b"" and not fake.received
    assert found.graphics == ("off" if "TUI_GEN_GRAPHICS" in environ else "ascii")
    assert found.unicode == ("TUI_GEN_GRAPHICS" in environ)


def test_cell_size_comes_from_the_kernel_when_the_terminal_is_silent(monkeypatch):
    monkeypatch.setattr(terminal, "_DRAIN", 0.01)
    with FakeTerminal({b"never": b""}) as fake:
        assert terminal.cell_size(fake.slave) is None
        fcntl.ioctl(fake.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 800, 480))
        assert fake.probe(budget=0.01).cell == (10, 20)


GOOD = Replies(kitty=True, sixel=True, cell=(10, 20), truecolor=True, sync=True, name="t", version="1", fence=True)
SIXEL = Replies(sixel=True, cell=(10, 20), fence=True)


@pytest.mark.parametrize(
    ("replies", "choice", "environ", "tty", "expected"),
    [
        (GOOD, "auto", {}, True, "kitty"),
        (SIXEL, "auto", {}, True, "sixel"),
        (Replies(sixel=True, fence=True), "auto", {}, True, "halfblock"),  # without a cell size no sixel fits
        (Replies(fence=True), "auto", {}, True, "halfblock"),
        (GOOD, "auto", {"NO_COLOR": "1"}, True, "ascii"),
        (GOOD, "auto", {"NO_COLOR": ""}, True, "kitty"),
        (GOOD, "auto", {"TERM": "dumb"}, True, "ascii"),
        (GOOD, "auto", {"LC_ALL": "de_DE.ISO-8859-1"}, True, "ascii"),
        (GOOD, "auto", {}, False, "ascii"),
        (GOOD, "sixel", {"NO_COLOR": "1"}, True, "sixel"),  # the user's choice wins
        (Replies(), "kitty", {"TMUX": "x"}, True, "kitty"),
        (Replies(sixel=True, cell=(8, 16), fence=True, name="tmux", version="3.3a"), "auto", {}, True, "halfblock"),
        (Replies(sixel=True, cell=(8, 16), fence=True, name="tmux", version="3.4"), "auto", {}, True, "halfblock"),
        (Replies(sixel=True, cell=(8, 16), fence=True, name="tmux", version="3.6a"), "auto", {}, True, "sixel"),
        (Replies(sixel=True, cell=(8, 16), fence=True, name="tmux", version="next-3.8"), "auto", {}, True, "sixel"),
    ],
)
def test_decisions(replies, choice, environ, tty, expected):
    found = decide(replies, choice, "test", {**XTERM, **environ}, tty)
    assert found.graphics == expected and found.reason


def test_truecolor_by_answer_or_environment_but_not_without_colour():
    assert decide(GOOD, "auto", "", XTERM, True).truecolor
    assert decide(Replies(), "auto", "", {**XTERM, "COLORTERM": "truecolor"}, True).truecolor
    assert not decide(Replies(), "auto", "", XTERM, True).truecolor
    assert not decide(GOOD, "auto", "", {**XTERM, "NO_COLOR": "1"}, True).truecolor


def test_the_argument_goes_before_the_environment_and_wrong_names_are_told():
    environ = {"TUI_GEN_GRAPHICS": "sixel"}
    assert graphics_choice(None, environ) == ("sixel", "TUI_GEN_GRAPHICS")
    assert graphics_choice("Kitty", environ) == ("kitty", "--graphics")
    assert graphics_choice("auto", environ) == ("auto", "")
    assert graphics_choice(None, {}) == ("auto", "")
    with pytest.raises(ValueError, match="TUI_GEN_GRAPHICS=sixels: choose one of auto, kitty"):
        graphics_choice(None, {"TUI_GEN_GRAPHICS": "sixels"})


def test_the_ground_is_asked_where_the_terminals_own_colours_are_drawn_with():
    white = {**ANSWERS, rb"\x1b\]11;\?\x1b\\": b"\x1b]11;rgb:ffff/fafa/e0e0\x1b\\"}
    for environ, choice, light in (({"NO_COLOR": "1"}, None, True), ({}, "ascii", True), ({}, None, None)):
        with FakeTerminal(white, 0.01) as fake:
            found = fake.probe({**XTERM, **environ}, choice=choice)
            assert (found.light, b"]11;?" in fake.received) == (light, light is not None)
            assert fake.left_over() == b""
    assert parse(b"\x1b]11;rgb:1e1e/1e/2\x07").light is False and parse(b"\x1b]11;rgba:f/f/f/f\x07").light is True
    for ground, light in (("0;15", True), ("15;0", False), ("0;default;7", True), ("7;8", False), ("x", None)):
        assert decide(Replies(), "auto", "", {**XTERM, "COLORFGBG": ground}, True).light is light
    assert decide(Replies(light=False), "auto", "", {**XTERM, "COLORFGBG": "0;15"}, True).light is False
    assert decide(Replies(), "auto", "", {**XTERM, "COLORFGBG": "0;15", "TMUX": "x"}, True).light is None, "inherited"


def test_replies_of_real_terminals():
    xterm = b"\x1b[6;13;6t\x1b[?2026;0$y\x1bP>|XTerm(379)\x1b\\\x1bP1$r0;48:2::1:2:3m\x1b\\\x1b[?63;1;2;4;6c"
    found = parse(xterm)
    assert (found.sixel, found.kitty, found.cell, found.truecolor, found.sync) == (True, False, (6, 13), True, False)
    assert (found.name, found.version) == ("XTerm", "379")
    assert parse(b"\x1bP1$r0;48;2;1;2;3m\x1b\\").truecolor
    assert parse(b"\x1bP1$r0;48:5:16m\x1b\\").truecolor is False, "mlterm's: the nearest of its 256"
    assert parse(b"\x1bP1$r0m\x1b\\").truecolor is None
    assert parse(b"\x1b[?2;3;0S").largest is None
    assert not parse(b"\x1b[?4;22c").sixel, "the first parameter is the terminal's class"
    assert not parse(b"\x1b_Gi=31;ENOTSUPPORTED:no\x1b\\").kitty
    assert parse(b"") == Replies()


SCRIPT = """
import json, os, select, sys, termios, tty
from tui_gen.draw.terminal import probe
found = probe()
tty.setraw(0)
left = os.read(0, 999) if select.select([0], [], [], 0.2)[0] else b""
with open(sys.argv[1] + ".new", "w") as out:
    json.dump([found.graphics, found.tmux, found.cell, found.truecolor, found.answered, left.decode()], out)
os.rename(sys.argv[1] + ".new", sys.argv[1])
"""


def run_and_read(tmp_path: Path) -> tuple[Path, list[str]]:
    script, result = tmp_path / "probe.py", tmp_path / "result.json"
    script.write_text(SCRIPT)
    return result, [sys.executable, str(script), str(result)]


def here() -> dict[str, str]:
    drop = ("TMUX", "TERM", "NO_COLOR", "TUI_GEN_GRAPHICS", "COLORTERM", "STY", "LC_ALL", "LC_CTYPE", "LANG")
    # the shell is said, as an account that nobody logs in to has none that would run a command
    return {k: v for k, v in os.environ.items() if k not in drop} | {"PYTHONPATH": os.getcwd(), "SHELL": "/bin/sh"}


def test_inside_real_tmux(tmp_path, world):
    tmux.need()
    result, command = run_and_read(tmp_path)
    call = ["tmux", "-S", str(world / "s"), "-f", "/dev/null"]  # a socket's path must be short
    subprocess.run([*call, "new-session", "-d", "-x", "80", "-y", "24", "cat"], check=True, env=here())
    try:
        title = subprocess.check_output([*call, "display-message", "-p", "#{pane_title}"])
        subprocess.run([*call, "respawn-pane", "-k", f"{shlex.join(command)}; cat"], check=True)
        wait_for(result.exists, what="the probe inside tmux")
        graphics, version, cell, _, answered, left = json.loads(result.read_text())
        assert answered and version not in ("", "?") and cell and left == ""
        number = tuple(map(int, re.search(r"(\d+)\.(\d+)", version).groups()))
        assert graphics == "halfblock" or (graphics == "sixel" and number >= (3, 6))
        assert subprocess.check_output([*call, "display-message", "-p", "#{pane_title}"]) == title
        assert subprocess.check_output([*call, "capture-pane", "-p"]).strip() == b""
    finally:
        subprocess.run([*call, "kill-server"], check=False)


@pytest.fixture
def display():
    """An X display without a screen."""
    if not (shutil.which("Xvfb") and shutil.which("xterm") and shutil.which("import")):
        pytest.skip("needs Xvfb, xterm and ImageMagick's import")
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "640x480x24", "-nolisten", "tcp"],
        pass_fds=[write], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    try:
        assert select.select([read], [], [], 20)[0], "Xvfb did not start"
        yield f":{os.read(read, 20).decode().strip()}"
    finally:
        os.close(read)
        server.terminate()
        server.wait(120)


def test_real_xterm_shows_sixel_pixels(tmp_path, display):
    result, command = run_and_read(tmp_path)
    payload = tmp_path / "image"
    pixels = np.zeros((2, 2, 3), dtype=np.uint8)
    pixels[0, 0], pixels[0, 1], pixels[1, 0], pixels[1, 1] = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
    payload.write_bytes(at_cell(3, 5, sixel.encode(pixels, 80, 120)))
    shell = f"{shlex.join(command)}; {shlex.join(['cat', str(payload)])}; sleep 600"
    environ = here() | {"DISPLAY": display}
    xterm = subprocess.Popen(
        ["xterm", "-ti", "vt340", "-xrm", "*numColorRegisters: 256", "-bg", "black", "-e", "sh", "-c", shell],
        env=environ, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(result.exists, what="the probe inside xterm")
        graphics, _, cell, _, answered, left = json.loads(result.read_text())
        assert (graphics, answered, left) == ("sixel", True, "") and cell

        def shot():
            data = subprocess.check_output(["import", "-window", "root", "png:-"], env=environ)
            return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

        def areas():
            screen = shot()
            return [int((screen == colour).all(axis=2).sum()) for colour in pixels.reshape(4, 3)]

        wait_for(lambda: areas() == [40 * 60] * 4, what="four rectangles of 40 x 60 pixels")
        red = np.argwhere((shot() == (255, 0, 0)).all(axis=2))
        blue = np.argwhere((shot() == (0, 0, 255)).all(axis=2))
        assert red[:, 1].min() == blue[:, 1].min() and red[:, 0].max() + 1 == blue[:, 0].min()
    finally:
        xterm.terminate()
        xterm.wait(120)
