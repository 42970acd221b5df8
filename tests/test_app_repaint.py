"""What is sent of a frame: enough that the screen is right, and no cell that is there already."""

from __future__ import annotations

import io
import re
import sys
from itertools import combinations, groupby, pairwise, product

import numpy as np
import pyte
import pytest
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from tests.plot_host import write_run
from tests.pty_terminal import KITTY, PLAIN, PtyTerminal
from tests.real_runs import workbench
from tests.waiting import wait_for
from tui_gen.app.terminal.repaint import PiecesUpdate, Screenful

WIDTH, HEIGHT = 24, 7
COLOURS = [
    *["red", "blue"] * 3, "none", "on blue", "#102030 on green", "bold red", "bold italic red on green", "red reverse",
    "blue underline", "default on default",
]  # fmt: skip


class Screen:
    """A terminal to which updates are written; `written` counts the characters it was sent for the last one."""

    def __init__(self) -> None:
        self.console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=WIDTH)
        self.screen = pyte.Screen(WIDTH, HEIGHT)
        self.stream = pyte.Stream(self.screen)
        self.written = 0

    def write(self, update) -> None:
        data = update.render_segments(self.console)
        self.written = len(data)
        self.stream.feed(data.replace("\n", "\r\n"))

    @property
    def cells(self):
        """What is seen: a blank's colour is, where it is reversed or has a line."""
        rows = [[self.screen.buffer[y][x] for x in range(WIDTH)] for y in range(HEIGHT)]
        return [
            [
                cell if cell.data != " " or cell.reverse or cell.underscore or cell.strikethrough
                else cell._replace(fg="", bold=False)
                for cell in row
            ]
            for row in rows
        ]  # fmt: skip


def painted(rng: np.random.Generator, before: list[list[tuple[str, str]]]) -> list[list[tuple[str, str]]]:
    """The cells of a frame: those before, with some rectangle filled anew."""
    after = [list(row) for row in before]
    y, x = rng.integers(HEIGHT), rng.integers(WIDTH)
    letter = rng.choice(list("ab ─"))
    colour = rng.choice(COLOURS)
    for row in after[y : y + rng.integers(1, HEIGHT)]:
        row[x : x + 8] = [(letter, colour)] * len(row[x : x + 8])
    return after


def cut(rng: np.random.Generator, cells: list[list[tuple[str, str]]]) -> list[dict[int, Strip]]:
    """A frame as the compositor has it: rows in pieces, cut where widgets happen to end."""
    chops = []
    for row in cells:
        places = sorted({0, WIDTH, *rng.integers(1, WIDTH, 3).tolist()})
        chops.append(
            {
                start: Strip(
                    [
                        Segment("".join(letter for letter, _ in run), Style.parse(colour))
                        for colour, run in groupby(row[start:end], key=lambda cell: cell[1])
                    ]
                )
                for start, end in pairwise(places)
            }
        )
    return chops


@pytest.mark.parametrize("seed", range(8))
def test_any_sequence_of_updates_leaves_the_screen_as_they_would_themselves(seed):
    rng = np.random.default_rng(seed)
    ours, theirs, known = Screen(), Screen(), Screenful()
    cells = [[(" ", "red")] * WIDTH for _ in range(HEIGHT)]
    sent = full = 0
    for turn in range(30):
        after = painted(rng, cells)
        chops = cut(rng, after)
        if not turn or rng.random() < 0.5:
            update = LayoutUpdate([chop.values() for chop in chops], Region(0, 0, WIDTH, HEIGHT))
        else:
            rows = [y for y in range(HEIGHT) if after[y] != cells[y]] or [0]
            changed = [[x for x in range(WIDTH) if after[y][x] != cells[y][x]] or [0] for y in rows]
            spans = [(y, max(0, x[0] - int(rng.integers(3))), x[-1] + 1) for y, x in zip(rows, changed)]
            update = ChopsUpdate(chops, spans, [[*[*chop][1:], WIDTH] for chop in chops])
        cells = after
        ours.write(known.reduce(update, WIDTH * HEIGHT, ours.console))
        theirs.write(update)
        assert ours.cells == theirs.cells
        sent, full = sent + ours.written, full + theirs.written
    assert sent < full


@pytest.mark.parametrize(("before", "after", "sent"), [
    ("red on blue", "green on blue", False), ("red", "bold green", False), ("red", "green reverse", True),
    ("red underline", "green underline", True), ("red strike", "green strike", True), ("on blue", "on red", True),
])  # fmt: skip
def test_blanks_are_sent_again_only_where_they_look_different(before, after, sent):
    screen, known = Screen(), Screenful()
    for style, writes in ((before, True), (after, sent)):
        rows = [[Strip([Segment(" " * WIDTH, Style.parse(style))])] for _ in range(HEIGHT)]
        update = known.reduce(LayoutUpdate(rows, Region(0, 0, WIDTH, HEIGHT)), WIDTH * HEIGHT, screen.console)
        assert bool(update.pieces) == writes


def test_of_colours_and_attributes_only_what_changes_is_sent():
    console = Screen().console
    styles = ["red on blue", "green on blue", "green on blue", "bold green", "bold", "none", "link https://one.example"]
    pieces = [(0, 0, Strip([Segment(f"{number}", Style.parse(style)) for number, style in enumerate(styles)]))]
    sent = PiecesUpdate([*pieces, (0, 1, Strip([Segment("x")]))]).render_segments(console)
    sent = re.sub(r"\x1b\]8;id=[^;]*;", "\x1b]8;", sent)
    assert sent.replace("\x1b", "^") == (
        "^[1;1H^[31;44m0^[32m12^[1;49m3^[39m4^[0m5^]8;https://one.example^\\6^]8;;^\\^[2;1Hx"
    )


def test_of_attributes_only_what_begins_and_ends_is_sent_and_any_follows_any():
    console, names = Screen().console, ("bold", "italic", "underline", "blink", "reverse", "strike")
    looks = [
        {**dict.fromkeys(names, False), **dict.fromkeys(some, True)}
        for n in range(3)
        for some in combinations(names, n)
    ]
    order = [look for pair in product(looks, looks) for look in pair]
    for style, more in ((Style(), Screen()), (Style(color="red", bgcolor="#102030"), Screen())):
        segments = [Segment("x", style + Style(**look)) for look in order]
        for number in range(0, len(segments), WIDTH):
            sent = PiecesUpdate([(0, 0, Strip(segments[number : number + WIDTH]))]).render_segments(console)
            more.stream.feed(sent)
            for cell, look in zip(more.screen.buffer[0].values(), order[number : number + WIDTH]):
                shown = (cell.bold, cell.italics, cell.underscore, cell.blink, cell.reverse, cell.strikethrough)
                assert shown == tuple(look.values())
    both, bold, dim = (Segment("x", Style.parse(words)) for words in ("bold dim red", "bold red", "dim red"))
    words = PiecesUpdate([(0, 0, Strip([both, bold, both, dim, bold]))]).render_segments(console)
    assert re.findall(r"\x1b\[([\d;]*)m", words) == ["1;2;31", "22;1", "2", "22;2", "22;1", "0"]


def test_the_same_frame_again_is_nothing_until_it_is_forgotten():
    rng = np.random.default_rng(0)
    screen, known = Screen(), Screenful()
    chops = cut(rng, painted(rng, [[("x", "red")] * WIDTH for _ in range(HEIGHT)]))
    other = cut(rng, painted(np.random.default_rng(0), [[("x", "red")] * WIDTH for _ in range(HEIGHT)]))

    def sent(chops) -> list[int]:
        update = LayoutUpdate([chop.values() for chop in chops], Region(0, 0, WIDTH, HEIGHT))
        return sorted({y for _, y, _ in known.reduce(update, WIDTH * HEIGHT, screen.console).pieces})

    assert sent(chops) == list(range(HEIGHT))
    assert sent(chops) == []
    known.forget([2, 3])  # a picture was drawn there
    assert sent(chops) == [2, 3]
    known.forget()
    assert sent(other) == list(range(HEIGHT))


def test_what_small_updates_wrote_is_known_to_later_ones():
    screen, known = Screen(), Screenful()
    cells = [[("x", "red")] * WIDTH for _ in range(HEIGHT)]

    def update(spans=None):
        strips = [Strip([Segment(letter, Style(color=colour)) for letter, colour in row]) for row in cells]
        if spans is None:
            whole = LayoutUpdate([[strip] for strip in strips], Region(0, 0, WIDTH, HEIGHT))
            return known.reduce(whole, WIDTH * HEIGHT, screen.console).pieces
        chops = [{0: strip} for strip in strips]
        return known.reduce(ChopsUpdate(chops, spans, [[WIDTH]] * HEIGHT), WIDTH * HEIGHT, screen.console).pieces

    assert update()
    before = "xxx"
    for turn in range(100):  # a live plot writes the same place again and again
        text = f"{turn:03d}"
        cells[2][3:6] = [(letter, "blue") for letter in text]
        first = next(place for place in range(3) if text[place] != before[place])
        assert [(x, y, strip.text) for x, y, strip in update([(2, 3, 6)])] == [(3 + first, 2, text[first:])]
        assert not update([(2, 3, 6)]), "a scroll bar that is styled anew looks as before"
        before = text
    cells[2][4:7] = [("y", "red")] * 3
    assert [(x, y, strip.text) for x, y, strip in update([(2, 4, 7)])] == [(4, 2, "yyy")]
    assert [(x, y, strip.text) for x, y, strip in update([(2, 3, 6)])] == [(3, 2, "0yy")], "cut otherwise since"
    assert not update()
    cells[2][3:7] = [("x", "blue")] * 4
    update()
    cells[2][0] = cells[2][-1] = ("|", "blue")  # a frame that is drawn otherwise
    assert [(x, y, strip.text) for x, y, strip in update()] == [(0, 2, "|"), (WIDTH - 1, 2, "|")]
    cells[2][8] = cells[2][11] = ("y", "red")
    assert [(x, y, strip.text) for x, y, strip in update()] == [(8, 2, "yxxy")], "moving the cursor is not free"


def test_a_wide_character_is_never_taken_for_the_blank_that_a_cut_would_leave_of_it():
    screen, known = Screen(), Screenful()

    def sent(*texts: str) -> str:
        update = LayoutUpdate([[Strip([Segment(text)]) for text in texts]], Region(0, 0, WIDTH, 1))
        return "".join(strip.text for _, _, strip in known.reduce(update, WIDTH, screen.console).pieces)

    assert sent("abc名" + " " * 19) == "abc名" + " " * 19
    assert sent("abc ", " " * 20) == "abc " + " " * 20
    assert sent("abc  ", " " * 19) == ""


def sent_by(terminal: PtyTerminal, key: str) -> int:
    """Bytes that a key makes the command send."""
    before = terminal.bytes_out
    terminal.press(key)
    wait_for(lambda: terminal.bytes_out > before, what=f"something after {key}")
    return terminal.wait_quiet(0.3) - before


def test_the_start_sends_two_screenfuls_and_a_dialog_one(world):
    with workbench(personality=KITTY) as terminal:
        terminal.wait_for_text("press F5")
        terminal.wait_for_text("┏━  1 Models")
        terminal.wait_for_text("name           vae")
        start = terminal.wait_quiet(1.0)
        shown = terminal.text()
        screenful = sent_by(terminal, "ctrl+l")
        assert terminal.text() == shown and screenful > 5_000
        assert start < 2.4 * screenful
        dialog = sent_by(terminal, "f1")
        shown = terminal.wait_for_text("Help: Models")
        sent_by(terminal, "ctrl+l")
        assert terminal.text() == shown
        assert dialog < 1.5 * screenful


def test_a_resized_terminal_is_drawn_whole(tmp_path):
    run = write_run(tmp_path / "run", losses=[5.0 - step / 100 for step in range(200)])
    with PtyTerminal([sys.executable, "-m", "tests.plot_host", str(run), "losses"], 100, 30, PLAIN) as terminal:
        terminal.wait_for_text("● train 3.1")
        terminal.wait_quiet(0.3)
        before = terminal.text()
        for columns in (99, 100):  # every row is cut as before, or as it was before that
            with terminal._lock:
                terminal.screen.erase_in_display(2)  # a terminal that reflows leaves nothing to rely on
            terminal.resize(columns, 30)
            wait_for(lambda: len(terminal.line(0)) == columns, what="another width")  # noqa: B023
        terminal.wait_until(lambda text: text == before, what="the screen as it was")
