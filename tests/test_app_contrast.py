"""A test card: every pane, in every state and theme, is read without effort; no colour hides a word."""

import re
from functools import lru_cache

import pytest
from rich._palettes import EIGHT_BIT_PALETTE, STANDARD_PALETTE, WINDOWS_PALETTE
from rich.color import Color as RichColor
from rich.color import ColorSystem, ColorType
from rich.segment import Segment
from rich.style import Style
from textual.color import Color

from tests import fake_worker
from tests.painted import painted_strips
from tests.shell import screen_text, until, until_shown, workbench
from tui_gen.app.shell import legibility
from tui_gen.app.shell.depth import GROUNDS, Depth

DRAWN = re.compile(r"[\s\u2500-\u259f\u2800-\u28ff▸▾]*")
"""Frames, curves, pictures and scroll bars: not text."""
UNKNOWN = ("ansi-dark", "ansi-light")
"""Themes of the terminal's own colours."""
HARD = ("atom-one-dark", "gruvbox", "solarized-light", "textual-light")
"""Textual's themes in which most was illegible."""


XTERM = (
    "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5 "
    "7f7f7f ff0000 00ff00 ffff00 5c5cff ff00ff 00ffff ffffff"
)
"""What xterm shows for the 16 colours; Rich knows those of the VGA and of Windows."""
CONSOLES = [[Color.parse(f"#{one}") for one in XTERM.split()]]
CONSOLES += [[Color(*palette[number]) for number in range(16)] for palette in (STANDARD_PALETTE, WINDOWS_PALETTE)]
CONSOLES.append([*CONSOLES[1][:8], *CONSOLES[1][:8]])
"""The last is Linux's console, which has no bright grounds; its bright text is that of the VGA."""


@lru_cache(8192)
def ratio(style, own_dark=True):
    """The contrast of text in this style, the least that any terminal makes of it."""
    front, back = (one if one is not None else RichColor.default() for one in (style.color, style.bgcolor))
    if style.reverse:
        front, back = back, front
    if front.is_default and back.is_default:
        return 21.0 if not style.dim else 0.0
    found = []
    for number, console in enumerate(CONSOLES):
        ground = shown(back, console, own_dark)
        inks = [shown(front, CONSOLES[1] if number == 3 else console, not own_dark)]
        if style.bold and front.type == ColorType.STANDARD and front.number < 8:
            inks.append(console[front.number + 8] if number < 3 else CONSOLES[1][front.number + 8])
        if style.dim:
            inks = [one.blend(ground, 0.5) for one in inks]
        found += [legibility.contrast(one, ground) for one in inks]
    return min(found)


def shown(colour, console, dark):
    """A colour as a terminal with these 16 shows it; its own foreground and ground are black and white."""
    if colour.is_default:
        return legibility.BLACK if dark else legibility.WHITE
    return console[colour.number] if colour.type == ColorType.STANDARD else Color(*colour.get_truecolor())


@lru_cache
def brought_to(system, own, dark):
    return Depth(system, own=own, dark=dark)


def illegible(app, systems=(None,)):
    """Every piece of text with less contrast than it must have: (system, ratio, row, text).

    A system of fewer colours is what the screen is brought to before it is looked at; None is the screen as it is.
    """
    values = value_regions(app)
    # what lies behind a dialog is dimmed on purpose
    dialogs = [one.region for one in app.screen.children if one.display]
    regions = dialogs if len(app.screen_stack) > 1 else [app.screen.region]
    found, looks = [], {}
    for y, strip in enumerate(painted_strips(app)):
        x = 0
        for segment in strip:
            text, style, at = segment.text, segment.style, x
            x += segment.cell_length
            if DRAWN.fullmatch(text) or style is None or not any(region.contains(at, y) for region in regions):
                continue
            is_value = any(region.contains(at, y) for region in values)
            looks.setdefault((style, legibility.VALUE if is_value else legibility.REST), (y, text))
    dark = app.current_theme.dark
    filters = {system: system and brought_to(system, app.current_theme.ansi, dark) for system in systems}
    for (style, wanted), (y, text) in looks.items():
        for system, depth in filters.items():
            seen = depth.apply([Segment(text, style)], app.background_colors[0])[0].style if depth else style
            if (least := ratio(seen, dark)) < wanted - 0.01:
                found.append((system, round(least, 2), y, text.strip()))
    return found


def value_regions(app):
    """Where what is shown is the content itself: log, runs, the form's values."""
    if len(app.screen_stack) > 1:
        return []
    panes = [app.workspace.pane(name) for name in ("log", "runs")]
    return [pane.content_region for pane in panes if pane.display and pane.content_region.area]


EVERY = (None, ColorSystem.EIGHT_BIT, ColorSystem.STANDARD)


async def in_every_theme(app, pilot, state, names=None, systems=EVERY):
    wrong = {}
    with app.batch_update():  # frames that nobody looks at take half of the time
        for name in names or [*app.themes.own, *HARD]:
            app.theme = name
            await pilot.pause()
            if found := illegible(app, systems):
                wrong[name] = found[:6]
    assert not wrong, f"{state}: {wrong}\n{screen_text(app)}"


async def test_every_pane_is_read_in_every_theme(monkeypatch):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        await in_every_theme(app, pilot, "at the start", sorted({*app.themes.names} - {*UNKNOWN}))
        await pilot.press("enter")
        await until_shown(pilot, "seldom changed")
        await in_every_theme(app, pilot, "a form with a cursor")
        fake_worker.install(monkeypatch)
        await pilot.press("f5")
        await until(pilot, lambda: app.conductor.view is not None and app.conductor.view.series, "losses")
        await pilot.press("f6")
        await until(pilot, lambda: "‖ paused" in app.status.text)
        await pilot.press("alt+2")
        await in_every_theme(app, pilot, "a form with locked fields, beside a run", [*[*app.themes.own][::2], *HARD])
        for level in ("info", "warning", "error"):
            app.conductor.view.log.append((0.0, level, f"a line of {level}"))
        shown = {"alt+5": "the log", "alt+6": "the list of runs", "f10": "a menu", "question_mark": "keys"}
        for number, (key, what) in enumerate(shown.items()):  # each in every second theme, also of the hardest
            await pilot.press(key)
            await pilot.pause()
            await in_every_theme(app, pilot, what, [*app.themes.own, *HARD][number % 2 :: 2])
            if len(app.screen_stack) > 1:
                await pilot.press("escape")
                await until(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.press("f9")
        await until(pilot, lambda: "■ stopped" in app.status.text)
        await in_every_theme(app, pilot, "a run that ended", HARD)


@pytest.mark.parametrize("ground", ["#000000", "#ffffff", "#808080", "#ffff00", "#0178d4"])
def test_colours_move_no_further_than_they_must(ground):
    back = Color.parse(ground)
    for colour in (back, Color.parse("#777777"), Color.parse("#ff0000")):
        moved = legibility.legible(colour, [back], legibility.REST)
        assert legibility.contrast(moved, back) >= legibility.REST
        if legibility.contrast(colour, back) >= legibility.REST + legibility.ROUNDING:
            assert moved == colour
    assert legibility.contrast(Color(0, 0, 0), Color(255, 255, 255)) == pytest.approx(21)


def ground_of(app, sign):
    """How the row with this sign is marked: (ground, reversed) of the cell with the sign, and of the one below."""
    rows = screen_text(app).splitlines()
    y = next(y for y, row in enumerate(rows) if sign in row)
    x = rows[y].index(sign)
    found = []
    for strip in painted_strips(app)[y : y + 2]:
        style = next(iter(strip.crop(x, x + 1))).style
        found.append((style.bgcolor, bool(style.reverse)))
    return found


async def test_on_terminals_of_fewer_colours_the_cursor_and_every_word_are_seen(monkeypatch):
    fake_worker.install(monkeypatch)
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        await pilot.press("f5")
        await until(pilot, lambda: app.conductor.view is not None and app.conductor.view.series, "losses")
        await pilot.press("f6")
        await until(pilot, lambda: "‖ paused" in app.status.text)
        for level in ("info", "state", "edit", "warning", "error"):
            app.conductor.view.log.append((0.0, level, f"a line of {level}"))
        shown = {"256": ("paper", "ansi-dark"), "standard": ("nocturne", "paper", "ansi-light"), "truecolor": UNKNOWN}
        for key, what in {"alt+5": "the log", "alt+6": "the runs", "alt+2": "a form"}.items():
            await pilot.press(key)
            for colours, names in shown.items():
                app._recolour(colours)
                for name in names:
                    await in_every_theme(app, pilot, f"{what}, {colours}", [name], [None])
                    if what == "a form":
                        one, below = ground_of(app, "›")
                        assert one != below, f"{name}, {colours}"


async def test_without_colours_everything_is_seen(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    fake_worker.install(monkeypatch)
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        await pilot.press("f5")
        await until(pilot, lambda: app.conductor.view is not None and app.conductor.view.series, "losses")
        await pilot.press("alt+2")
        await until_shown(pilot, "┏━  2 Hyperparameters")

        def style_of(word):
            y = next(y for y, row in enumerate(screen_text(app).splitlines()) if word in row)
            strip = painted_strips(app)[y]
            return next(segment.style for segment in strip if word in segment.text)

        strips = painted_strips(app)
        styles = {segment.style for strip in strips for segment in strip if segment.style is not None}
        assert all(one is None or one.is_default for style in styles for one in (style.color, style.bgcolor))
        assert style_of("›").reverse and style_of("2 Hyperparameters").reverse and not style_of("3 Losses").reverse
        rows = screen_text(app).splitlines()
        fields = app.form.fields.list
        looks = {}
        for y, row in enumerate(rows):
            for key in ("network", "beta"):
                if f" {key} " in row[:40]:
                    x = fields.region.x + fields.value_column
                    looks[key] = next(iter(painted_strips(app)[y].crop(x, x + 1))).style
        assert looks["beta"].underline and not looks["network"].underline  # beta may be edited while it trains

        def reversed_cells():
            strips = painted_strips(app)
            return sum(one.cell_length for strip in strips for one in strip if one.style and one.style.reverse)

        before = reversed_cells()
        for key in ("f10", "f1", "ctrl+p"):  # what lies behind is as it was; a dialog has a title, and a row chosen
            await pilot.press(key)
            await until(pilot, lambda: len(app.screen_stack) > 1)
            await pilot.pause()
            assert reversed_cells() < before + 200, screen_text(app)
            await pilot.press("escape")
            await until(pilot, lambda: len(app.screen_stack) == 1)


@pytest.mark.parametrize(
    ("system", "palette", "numbers"),
    [(ColorSystem.EIGHT_BIT, EIGHT_BIT_PALETTE, range(16, 256)), (ColorSystem.STANDARD, STANDARD_PALETTE, GROUNDS)],
)
def test_a_colour_that_is_there_is_used(system, palette, numbers):
    for number in numbers:
        colour = Color(*palette[number]).rich_color
        found = Depth(system).ground(colour)
        assert palette[found.number] == colour.triplet


def test_pictures_keep_their_colours_and_words_on_them_do_not():
    ground, grey, red = (Color.parse(one) for one in ("#121212", "#303030", "#400000"))
    pixels = Style(color=red.rich_color, bgcolor=grey.rich_color)
    blank = Style(bgcolor=ground.rich_color)
    given = [Segment("▀▀", pixels), Segment("  ", blank), Segment("why", pixels)]
    depth = Depth(ColorSystem.STANDARD)
    half, bare, word = depth.of_pictures.apply(given, ground)
    assert half == given[0] and bare.style.bgcolor == depth.ground(ground.rich_color)
    assert ratio(word.style) >= legibility.REST
    assert [one.style.color.type for one in depth.apply(given, ground)[::2]] == [ColorType.STANDARD] * 2
