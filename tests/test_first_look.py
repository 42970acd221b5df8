"""A run that is opened is on the screen before Textual is there, and stays as it is when that comes."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pyte
import pytest

from tests.pty_terminal import KITTY, TMUX, Personality, PtyTerminal
from tests.waiting import wait_for
from tui_gen import events
from tui_gen.app import first_look
from tui_gen.app.first_look import FILE, FirstLook, Seen
from tui_gen.app.terminal.taken import ALTERNATE, EMPTY, NORMAL, TakenScreen
from tui_gen.draw.terminal import Terminal
from tui_gen.places import cache_dir, config_dir

MOUSE = b"\x1b[?1000h"
"""What Textual's driver sends soon after it has begun."""
NEAR = Terminal("halfblock", "", round_trip=0.001)
NAMES = ("vae/loss", "val/vae/loss", "vae/kl", "vae/reconstruction", "val/vae/elbo")


@pytest.fixture
def run(world: Path) -> Path:
    """One of a recipe that has a figure, with an edit, an alert and checkpoints to be marked."""
    path = world / "runs" / "vae-digits"
    path.mkdir(parents=True)
    text = 'name = "vae-digits"\n[model]\nname = "vae"\n[dataset]\nname = "digits"\n[train]\nsteps = 400\n'
    (path / "config.toml").write_text(text)
    values = {name: [30 + place * math.exp(-step / 90) for step in range(400)] for place, name in enumerate(NAMES)}
    story = [
        events.State(state="running", step=0),
        events.Plan(steps=400, steps_per_epoch=50, batch_size=64, phases=["vae"], together=[["kl", "reconstruction"]]),
        events.Metrics(start=0, values={name: column for name, column in values.items() if "val/" not in name}),
        events.Metrics(start=0, values={name: column for name, column in values.items() if "val/" in name}),
        events.Edit(step=150, key="train.phases.vae.lr", old=0.1, new=0.01),
        events.Checkpoint(step=200, path="checkpoints/200"),
        events.Alert(step=250, level="warning", what="a spike", advice="Wait."),
        events.State(state="finished", step=400),
    ]
    (path / "events.jsonl").write_bytes(b"".join(map(events.encode, story)))
    return path


class Recording(PtyTerminal):
    """A terminal that keeps all that is sent to it."""

    last: list[list[tuple[object, ...]]]
    """What every cell showed before the workbench was left."""

    def __init__(self, run: Path, columns: int, rows: int, personality: Personality, *words: str) -> None:
        self.heard = bytearray()
        command = [sys.executable, "-m", "tui_gen", "attach", str(run), *words]
        super().__init__(command, columns, rows, personality)

    def _feed(self, data: bytes) -> None:
        self.heard.extend(data)
        super()._feed(data)


def visit(run: Path, columns: int, rows: int, personality: Personality, *words: str) -> Recording:
    """Open a run and leave when all is in its place."""
    kept = cache_dir() / FILE
    before = kept.stat().st_mtime_ns if kept.exists() else 0
    with Recording(run, columns, rows, personality, *words) as terminal:
        terminal.wait_for_texts("Losses", "finished")
        wait_for(lambda: kept.exists() or before, what="what was seen, to be kept")
        terminal.wait_quiet(0.5)
        terminal.last = pyte_cells(terminal.screen)
        terminal.press("ctrl+q")
        assert terminal.wait_exit() == 0
    return terminal


def pyte_cells(screen: pyte.Screen) -> list[list[tuple[object, ...]]]:
    """What every cell shows: its character, colours and weight."""
    blank = screen.default_char
    rows = [[screen.buffer[y].get(x, blank) for x in range(screen.columns)] for y in range(screen.lines)]
    return [[(cell.data, cell.fg, cell.bg, cell.bold, cell.underscore, cell.reverse) for cell in row] for row in rows]


CASES = [
    (KITTY, 120, 40, ()),
    (TMUX, 200, 50, ("--theme", "paper")),
    (replace(KITTY, environ=(("NO_COLOR", "1"),)), 80, 24, ()),
]


@pytest.mark.parametrize(
    ("personality", "columns", "rows", "words"), CASES, ids=["kitty-120x40", "tmux-paper-200x50", "no-color-80x24"]
)
def test_the_second_time_the_curves_are_there_before_textual_is(run, personality, columns, rows, words):
    first = visit(run, columns, rows, personality, *words)
    assert b"\xe2\xa3" not in bytes(first.heard).partition(MOUSE)[0], "nothing is known the first time"

    second = visit(run, columns, rows, personality, *words)
    heard = bytes(second.heard)
    assert heard.count(ALTERNATE.encode()) == 1 and heard.count(NORMAL.encode()) == 1, "it is not taken twice"
    picture = heard.partition(ALTERNATE.encode())[2].partition(MOUSE)[0]
    early = pyte.Screen(columns, rows)
    pyte.ByteStream(early).feed(picture)
    ((x, y, width, height),) = {seen.grid for seen in kept().values()}
    assert width > 40 and height > 10
    plots = [line[x : x + width] for line in pyte_cells(early)[y : y + height]]
    after = [line[x : x + width] for line in second.last[y : y + height]]
    drawn = sum(0x2800 < ord(cell[0][0]) < 0x2900 for line in plots for cell in line)
    assert drawn > width
    names = [number for number, line in enumerate(after) if line[0][0] in "▾▸"]  # of sections, which come later
    differing = [number for number in range(height) if number not in names and plots[number] != after[number]]
    assert not differing, "\n".join("".join(str(cell[0]) for cell in plots[number]) for number in differing)


def kept() -> dict[str, Seen]:
    return msgspec.json.decode((cache_dir() / FILE).read_bytes(), type=dict[str, Seen])


def look(run: Path, theme: str | None = None, terminal: Terminal = NEAR) -> FirstLook:
    return FirstLook(run, [], TakenScreen(terminal), theme)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is sent to the screen."""
    sent: list[str] = []
    monkeypatch.setattr(TakenScreen, "show", lambda self, text: sent.append(text))
    monkeypatch.setattr(TakenScreen, "size", (120, 40))
    return sent


def test_a_look_is_for_a_terminal_and_settings_like_those_it_was_kept_for(run, shown):
    seen = Seen((1, 4, 100, 30), {"": ("\x1b[40m", "")})
    look(run).remember((119, 40), seen)
    assert not (cache_dir() / FILE).exists(), "the window is of another size by now"
    look(run).remember((120, 40), seen)

    for other in (look(run, "paper"), look(run, terminal=NEAR._replace(unicode=False))):
        other.show()
    far = [NEAR._replace(round_trip=answered) for answered in (None, 0.2)]
    for terminal in far:
        look(run, terminal=terminal).show()
    assert not shown and first_look.view_of(run) is None

    look(run).show()
    (picture,) = shown
    assert picture.startswith("\x1b[40m\x1b[2J") and "⣀" in picture
    view = first_look.view_of(run)
    assert view is not None and view.step == 400 and first_look.view_of(run) is None, "it is read once"

    before = look(run)
    (config_dir()).mkdir(exist_ok=True)
    (config_dir() / "settings.toml").write_text('theme = "paper"\n')
    look(run).show()
    before.remember((120, 40), Seen((1, 4, 90, 30), {}))
    assert len(shown) == 1 and list(kept().values()) == [seen], "other settings"


@pytest.mark.parametrize("text", [b"", b"[]", b'{"a": 1}', b"\xff", b'{"a": [[1, 2, 3], {}]}'])
def test_what_cannot_be_read_is_not_known(run, shown, text):
    cache_dir().mkdir(parents=True, exist_ok=True)
    (cache_dir() / FILE).write_bytes(text)
    look(run).show()
    assert not shown
    look(run).remember((120, 40), Seen((1, 4, 100, 30), {}))
    assert len(kept()) == 1


def test_a_run_that_cannot_be_drawn_has_no_first_look(run, shown):
    look(run).remember((120, 40), Seen((1, 4, 100, 30), {}))
    (run / "events.jsonl").write_bytes(events.encode(events.State(state="running", step=0)))
    look(run).show()
    (run / "events.jsonl").unlink()
    (run / "events.jsonl").mkdir()
    look(run).show()
    assert not shown


def test_the_looks_that_are_kept_are_the_last_ones(run, shown):
    for theme in map(str, range(first_look.MOST + 3)):
        look(run, theme).remember((120, 40), Seen((1, 4, 100, 30), {}))
    assert len(kept()) == first_look.MOST and f" {first_look.MOST + 2} " in [*kept()][-1]


ENDS = {"signal": "os.kill(os.getpid(), signal.SIGTERM); signal.pause()", "fault": "1 / 0", "end": "pass"}


@pytest.mark.parametrize("end", ENDS)
def test_however_it_ends_the_screen_is_given_back(end):
    code = f"""
import os, signal
from tui_gen.app.terminal.taken import TakenScreen
from tui_gen.draw.terminal import Terminal
with TakenScreen(Terminal("ascii", "")) as screen:
    screen.show("curves")
    {ENDS[end]}
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == {"signal": 128 + signal.SIGTERM, "fault": 1, "end": 0}[end]
    head, _, rest = ended.stderr.partition("curves")
    assert head == f"{ALTERNATE}\x1b[?25l" and rest.startswith(f"\x1b[H\x1b[0m{EMPTY}{NORMAL}\x1b[?25h")
    assert rest.count(NORMAL) == 1
