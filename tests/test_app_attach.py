"""The terminal comes back as another, and is left as it was: sessions that are attached again, signals, bare fonts."""

from __future__ import annotations

import re
import signal
import sys
import termios
from dataclasses import replace

import pytest

from tests.plot_host import write_run, write_sample
from tests.pty_terminal import KITTY, PLAIN, SIXEL, Personality, PtyTerminal
from tests.real_runs import workbench
from tests.waiting import wait_for

SET = {"1049", "1000", "1003", "1006", "1004", "2004"}
"""The modes of the workbench: alternate screen, mouse, focus, paste."""
DTACH_IN_TMUX = Personality("tmux", "1;2;4", "tmux 3.4", (10, 20))
LINUX = Personality("console", "6", term="linux")


def test_whoever_attaches_again_sees_everything_on_their_own_terminal(tmp_path):
    """dtach 0.9 and abduco 0.6 keep no screen and no modes: they say SIGWINCH, dtach can send ctrl+l."""
    run = write_run(tmp_path / "run", write_sample(tmp_path / "run", 0))
    command = [sys.executable, "-m", "tests.plot_host", str(run)]
    sixels = re.compile(rb"\d*;\d*;\d*q")
    heard = bytearray()

    class Recording(PtyTerminal):
        def _feed(self, data: bytes) -> None:
            heard.extend(data)
            super()._feed(data)

    with Recording(command, 80, 24, KITTY) as terminal:

        def pictures(kind: str) -> list[bytes]:
            return [one for one in list(terminal.strings[kind]) if sixels.match(one) or b"a=T" in one]

        wait_for(lambda: pictures("apc"), what=lambda: f"a picture:\n{terminal.text()}")
        terminal.wait_quiet(0.4)
        before = terminal.text()
        assert terminal.modes >= SET

        heard.clear()
        terminal.replaced(replace(SIXEL, truecolor=False, sync=True))
        wait_for(lambda: terminal.modes >= SET and "25" not in terminal.modes, what="the modes")
        terminal.wait_until(lambda text: text == before, what="all of the screen")
        wait_for(lambda: pictures("dcs"), what="the picture, as sixels")
        assert not pictures("apc")
        terminal.wait_quiet(0.4)
        colours = re.findall(rb"[34]8;[25]", bytes(heard).replace(b"48;2;1;2;3", b""))
        assert set(colours) == {b"38;5", b"48;5"}, "256 colours by its answer"

        terminal.replaced(DTACH_IN_TMUX)
        wait_for(lambda: terminal.text().count("▀") > 100, what=lambda: f"half-blocks:\n{terminal.text()}")
        terminal.wait_quiet(0.4)
        asked = terminal.queries.count("?2026$p")
        terminal.press("m")
        terminal.wait_for_text("a dialog")
        terminal.press("escape")
        terminal.wait_gone("a dialog")
        assert terminal.queries.count("?2026$p") == asked and not any(terminal.strings.values())

        terminal.replaced(KITTY)
        wait_for(lambda: pictures("apc"), what="the picture, for kitty")
        terminal.press("q")
        assert terminal.wait_exit() == 0
        assert not terminal.modes & SET and "25" in terminal.modes


@pytest.mark.parametrize(
    ("number", "personality"), [(signal.SIGQUIT, PLAIN), (signal.SIGUSR1, LINUX)], ids=["SIGQUIT", "SIGUSR1 on linux"]
)
def test_signals_that_end_a_program_leave_the_terminal_as_it_was(world, number, personality):
    with workbench(personality=personality, columns=100, rows=30) as terminal:
        terminal.wait_for_text("press F5")
        terminal.wait_for_text("1 Models")
        terminal.wait_quiet(0.4)
        assert not termios.tcgetattr(terminal.master)[3] & termios.ECHO and terminal.modes >= SET
        assert (max(terminal.text()) < "\u2000") == (personality is LINUX), terminal.text()  # letters are left alone
        terminal.process.send_signal(number)
        terminal.wait_exit()
        assert termios.tcgetattr(terminal.master)[3] & termios.ECHO
        assert not terminal.modes & SET and "25" in terminal.modes and not terminal.text().strip()
