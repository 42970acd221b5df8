"""The headless display's own dealings with the terminal: what it sets, and what happens when it was stopped."""

from __future__ import annotations

import io
import os
import signal

import pyte
import pytest

from tests.plot_host import append, write_run
from tests.waiting import wait_for
from tui_gen import events
from tui_gen.report.display import LiveDisplay
from tui_gen.report.stdout import Outlet
from tui_gen.view import RunView


class Tty(io.StringIO):
    """A terminal as far as Rich looks."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """A display of a run with one loss, its view and what it has written."""
    monkeypatch.setenv("TERM", "xterm-256color")
    view = RunView(write_run(tmp_path / "run", losses=[3.0] * 30))
    view.poll()
    tty = Tty()
    return LiveDisplay(Outlet(tty), "a run", fps=1e9), view, tty


def screen_of(text: str) -> list[str]:
    screen = pyte.Screen(80, 24)
    pyte.Stream(screen).feed(text.replace("\n", "\r\n"))
    return [line.rstrip() for line in screen.display]


def test_there_is_nothing_to_bring_back_whatever_stops_or_ends_it(shown):
    display, view, tty = shown
    display.open(view)
    display.update(view, "running", "", "")
    display.close(view, "running")
    assert "vae/loss" in tty.getvalue() and "\x1b[?" not in tty.getvalue()  # no mode is set, nor the cursor hidden


def test_after_a_stop_it_goes_on_below_what_the_shell_has_written(shown):
    display, view, tty = shown
    before = signal.getsignal(signal.SIGCONT)
    display.open(view)
    display.update(view, "running", "", "")
    os.kill(os.getpid(), signal.SIGCONT)
    wait_for(lambda: display._stopped, what="the signal")
    tty.write("\n[1]+  Stopped\n$ fg\n")
    for step in range(30, 60):
        append(view.path, events.Metrics(start=step, values={"vae/loss": [2.0]}))
    view.poll()
    display.update(view, "running", "", "")
    display.update(view, "paused", "", "")
    display.close(view, "finished")
    lines = screen_of(tty.getvalue())
    at = lines.index("$ fg")
    assert [line for line in lines if "Stopped" in line] == ["[1]+  Stopped"]
    assert "running" in "\n".join(lines[:at]) and "finished" in "\n".join(lines[at:])
    assert sum("vae/loss" in line for line in lines[at:]) == 1
    assert signal.getsignal(signal.SIGCONT) == before


def test_a_console_without_block_characters_gets_ascii(shown, monkeypatch):
    _, view, tty = shown
    monkeypatch.setenv("TERM", "linux")
    display = LiveDisplay(Outlet(tty), "a run", fps=1e9)
    append(view.path, events.Progress(what="download", done=3, total=10))
    view.poll()
    display.open(view)
    display.update(view, "running", "", "")
    display.close(view, "running")
    drawn = tty.getvalue()
    assert "vae/loss" in drawn and not set("━╸╺▁▂▃▄▅▆▇█") & set(drawn)
