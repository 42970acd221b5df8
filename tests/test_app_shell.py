"""The workbench's shell: layout at three sizes, menus, dialogs, keys, jump mode, help."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from importlib import import_module

import pytest
from textual.drivers.linux_driver import LinuxDriver
from textual.events import MouseDown, MouseMove, Resize
from textual.widget import Widget

from tests.hosts import ThemedApp
from tests.painted import on_one_line
from tests.shell import OTHERS, SIZES, check_snapshot, screen_text, until, workbench
from tui_gen.app.panes import registry
from tui_gen.app.shell.arrangement import SHAPES, arrange, edges_around, groups, shape_of, tree
from tui_gen.app.shell.help import LongText, ReadingPage
from tui_gen.app.shell.keys import sections
from tui_gen.app.shell.settings import key_name
from tui_gen.app.terminal.private import SMALLEST, TerminalDriver

PANES = [one.id for one in registry.PANES]


def shown(app):
    return [pane.id for pane in app.workspace.on_screen]


@pytest.mark.parametrize("name", SIZES)
async def test_layout(monkeypatch, name):
    async with workbench(monkeypatch, SIZES[name]) as (app, pilot):
        await until(pilot, lambda: "No runs yet" in screen_text(app) or "runs" not in shown(app))
        await check_snapshot(pilot, f"empty-{name}", lambda: screen_text(app, OTHERS))
        if name == "200x60":
            assert sorted(shown(app)) == sorted(group.panes[0] for group in groups(tree("wide")))
        if name == "80x24":
            assert shown(app) == ["models"]


@pytest.mark.parametrize("shape", SHAPES)
def test_arrangement_covers_its_area_without_overlap(shape):
    sizes = {"wide": (150, 38), "medium": (100, 28), "narrow": (20, 8), "tall": (60, 44)}
    layout, _, size = shape.rpartition("-")
    for width, height in (sizes[size], (233, 71)):
        found = arrange(width, height, shape)
        covered = {}
        boxes = [*found.panes.values(), *(box for box, _, _ in found.tabs)]
        for box in boxes:
            assert box.width > 0 and box.height > 0
            for x in range(box.x, box.x + box.width):
                for y in range(box.y, box.y + box.height):
                    assert (x, y) not in covered
                    covered[x, y] = box
        assert len(covered) == width * height
    folded = [row.id for row in registry.PANES if layout and row.edits]
    panes = [pane for group in groups(tree(shape)) for pane in group.panes]
    assert sorted(panes + folded) == sorted(PANES)
    edges = {edge.name for edge in found.edges}
    assert all(name in edges for pane in panes for axis in "xy" for name in edges_around(shape, pane, axis))


def test_shapes_by_size():
    sizes = {"wide": (200, 57), "medium": (120, 37), "narrow": (80, 21), "tall": (80, 60)}
    assert {shape: shape_of(*size) for shape, size in sizes.items()} == {shape: shape for shape in sizes}


async def test_terminals_of_any_size_are_drawn_for(monkeypatch):
    driver = object.__new__(TerminalDriver)
    for told, size in (((1, 1), SMALLEST), ((200, 2), (200, 6)), ((5, 50), (20, 50)), ((0, 0), SMALLEST)):
        monkeypatch.setattr("shutil.get_terminal_size", lambda told=told: told)
        assert driver._get_terminal_size() == size or told == (0, 0)
        sent = []
        monkeypatch.setattr(LinuxDriver, "process_message", lambda self, message, sent=sent: sent.append(message.size))
        driver.process_message(Resize.from_dimensions(told, None))
        assert sent == [size]
    async with workbench(monkeypatch, tuple(SMALLEST)) as (app, pilot):
        for key in ("f10", "ctrl+p", "f1", "question_mark", "f3", "ctrl+g"):
            await pilot.press(key)
            await until(pilot, lambda: len(app.screen_stack) > 1, key)
            await pilot.press("escape")
            await until(pilot, lambda: len(app.screen_stack) == 1, key)


async def test_number_keys_switch_panes_and_tabs_follow(monkeypatch):
    async with workbench(monkeypatch, (80, 24)) as (app, pilot):
        for name, key in ((row.id, row.key) for row in registry.PANES if row.key):
            await pilot.press(f"alt+{key}")
            await until(pilot, lambda name=name: shown(app) == [name])
            assert app.workspace.active.id == name
        await pilot.press("alt+6", "1")
        await until(pilot, lambda: shown(app) == ["models"])
        assert await pilot.click("PaneTabs", offset=(10, 0))
        await until(pilot, lambda: shown(app) == ["form"])


async def test_digits_are_text_in_a_field(monkeypatch):
    async with workbench(monkeypatch) as (app, pilot):
        await pilot.press("alt+1", "slash", "3")
        await until(pilot, lambda: getattr(app.focused, "value", None) == "3")
        assert app.workspace.active.id == "models"


async def test_maximise_by_key_and_double_click(monkeypatch):
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        await pilot.press("alt+3", "f11")
        await until(pilot, lambda: shown(app) == ["losses"])
        assert app.workspace.pane("losses").region.width == 200
        await pilot.press("alt+5")
        await until(pilot, lambda: shown(app) == ["log"])
        await pilot.press("f11")
        await until(pilot, lambda: len(shown(app)) == 6)
        pane = app.workspace.pane("samples")
        await pilot.click(pane, offset=(20, 0), times=2)
        await until(pilot, lambda: shown(app) == ["samples"])
        await pilot.press("z")
        await until(pilot, lambda: len(shown(app)) == 6)


async def test_boundaries_move_by_key_and_mouse_and_are_remembered(monkeypatch):
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        pane = app.workspace.pane("form")
        before = pane.region
        await pilot.press("alt+2", "alt+right")
        await until(pilot, lambda: pane.region.right == before.right + 4)
        await pilot.press("alt+left", "alt+left")
        await until(pilot, lambda: pane.region.right == before.right - 4)
        edge = pane.region.right - 1
        await pilot.mouse_down(pane, offset=(pane.region.width - 1, 10))
        await pilot.hover(offset=(edge + 11, 20))
        await pilot.mouse_up(offset=(edge + 11, 20))
        await until(pilot, lambda: pane.region.right - 1 > edge + 5)
        width = pane.region.width
        await pilot.press("alt+7")
        system = app.workspace.pane("system")
        await until(pilot, lambda: system.region.area)
        edge, top = app.workspace.pane("samples").region.bottom - 1, system.region.y
        await pilot.mouse_down(offset=(150, edge))
        for y in (edge + 3, edge + 5):
            await pilot.hover(offset=(150, y))
        await pilot.mouse_up(offset=(150, edge + 5))
        await until(pilot, lambda: system.region.y > top)
        assert not app.screen.selections, "whoever moves a boundary selects no text"
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        await until(pilot, lambda: app.workspace.pane("form").region.width == width)
        app.action_reset_layout()
        await until(pilot, lambda: app.workspace.pane("form").region == before)


async def test_resizing_the_terminal_rearranges(monkeypatch):
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        await pilot.press("alt+6")
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: len(shown(app)) == 1)
        focused = app.focused
        assert focused is None or focused.display
        await pilot.resize_terminal(200, 60)
        await until(pilot, lambda: len(shown(app)) == 6 and "│" in screen_text(app))


async def test_a_menu_has_room_in_a_window_that_became_smaller(monkeypatch):
    async with workbench(monkeypatch, (120, 50)) as (app, pilot):
        await pilot.press("alt+v")
        await until(pilot, lambda: len(app.screen_stack) == 2 and app.screen.query("OptionList"))
        await pilot.resize_terminal(80, 14)
        await until(pilot, lambda: app.screen.query_one("OptionList").region.bottom <= 14)
        await pilot.press("end")
        await until(pilot, lambda: "Notices…" in screen_text(app), "what comes last is seen when one is there")


async def test_menus_by_keys(monkeypatch):
    async with workbench(monkeypatch) as (app, pilot):
        await pilot.press("alt+r")
        await until(pilot, lambda: len(app.screen_stack) == 2 and app.screen.query("OptionList"))

        def menu() -> str:
            box = app.screen.query_one("OptionList").region
            return "".join(f"{row[box.x : box.right]}\n" for row in screen_text(app).splitlines()[box.y : box.bottom])

        await check_snapshot(pilot, "menu-run", menu)
        await pilot.press("right", "right")
        await until(pilot, lambda: "About" in screen_text(app))
        await pilot.press("b")
        await until(pilot, lambda: "MIT licence" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)


async def test_menus_by_mouse(monkeypatch):
    async with workbench(monkeypatch) as (app, pilot):
        await pilot.click("MenuBar", offset=(15, 0))
        await until(pilot, lambda: "Jump to a pane" in screen_text(app))
        row = next(y for y, line in enumerate(screen_text(app).splitlines()) if "Samples" in line and "4" in line)
        await pilot.click(offset=(18, row))
        await until(pilot, lambda: len(app.screen_stack) == 1 and app.workspace.active.id == "samples")
        await pilot.click("MenuBar", offset=(3, 0))
        await until(pilot, lambda: "Load settings" in screen_text(app))
        await pilot.click(offset=(100, 30))
        await until(pilot, lambda: len(app.screen_stack) == 1)


async def test_jump(monkeypatch):
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        await pilot.press("ctrl+g")
        await until(pilot, lambda: " d  3 Losses" in screen_text(app))
        await pilot.press("d")
        await until(pilot, lambda: app.workspace.active.id == "losses" and len(app.screen_stack) == 1)
        await pilot.press("ctrl+g", "escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert app.workspace.active.id == "losses"
        await pilot.press("ctrl+g")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        labels = list(app.screen.query("Static"))
        assert {label.name for label in labels} >= {row.id for row in registry.PANES}, "every pane, however many"
        await pilot.press(next(str(label.render()).strip() for label in labels if label.name == "sweeps"))
        await until(pilot, lambda: app.workspace.active.id == "sweeps")
        await pilot.press("ctrl+g")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: len(app.screen_stack) == 1, "its letters stood on other places")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_jump_mode_has_a_letter_for_every_pane_however_few_are_on_screen(monkeypatch, size):
    async with workbench(monkeypatch, size) as (app, pilot):

        async def labels():
            await pilot.press("ctrl+g")
            await until(pilot, lambda: len(app.screen_stack) == 2)
            await pilot.pause()
            found = {label.name: label for label in app.screen.query("Static")}
            assert set(found) == {*PANES, "menu"}
            for name, label in found.items():
                x, y, words = *label.region.offset, str(label.render())
                assert screen_text(app).splitlines()[y][x:].startswith(words.rstrip()), (name, screen_text(app))
            return found

        await pilot.press("alt+3", "z")
        await until(pilot, lambda: shown(app) == ["losses"])
        await pilot.press(str((await labels())["sweeps"].render()).split()[0])
        await until(pilot, lambda: shown(app) == ["sweeps"] and len(app.screen_stack) == 1)
        assert await pilot.click((await labels())["runs"], offset=(1, 0))
        await until(pilot, lambda: shown(app) == ["runs"] and len(app.screen_stack) == 1)
        app.workspace.use_layout("watch")
        await until(pilot, lambda: "form" not in shown(app) and app.workspace.pane(shown(app)[0]).region.area)
        await pilot.pause()
        await pilot.press(str((await labels())["form"].render()).split()[0])
        await until(pilot, lambda: "form" in shown(app), "what this layout has folded away")


async def test_focus_ring_is_a_heavier_frame(monkeypatch):
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        await pilot.press("alt+5")
        await until(pilot, lambda: "┏━  5 Log" in screen_text(app) and screen_text(app).count("┏") == 1)


async def test_a_title_is_a_row_of_the_frame(monkeypatch):
    """Nothing else of the pane is drawn for it: the Runs pane counts at every key of a filter what matches."""
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        pane, rows, draw = app.workspace.pane("models"), set(), app.drawing
        top, bottom = pane.region.y, pane.region.bottom - 1

        def drawing(screen, update):
            rows.update(y for y, left, right in getattr(update, "spans", ()) if left < pane.region.right and right > 0)
            return draw(screen, update)

        await pilot.pause()
        monkeypatch.setattr(app, "drawing", drawing)
        pane.set_title("of a kind")
        await until(pilot, lambda: top in rows and "1 Models · of a kind" in screen_text(app))
        assert not rows & set(range(top + 1, bottom + 1))
        pane.set_title("of a kind", "all 3 of them")
        await until(pilot, lambda: bottom in rows and "all 3 of them" in screen_text(app).splitlines()[bottom])
        assert not rows & set(range(top + 1, bottom))
        pane.set_title()
        await until(pilot, lambda: "of a kind" not in screen_text(app) and "of them" not in screen_text(app))


async def test_help_of_every_pane(monkeypatch):
    async with workbench(monkeypatch, (80, 24)) as (app, pilot):
        for row in registry.PANES:
            app.action_open_pane(row.id)
            await pilot.press("f1")
            await until(pilot, lambda row=row: f"Help: {row.title}" in screen_text(app))
            pane = app.workspace.pane(row.id)
            keys = app.screen.query_one(LongText)._text.plain.partition("All keys of this pane")[2]
            every = [
                binding for node in (pane, *pane.walk_children(Widget)) for owner in type(node).__mro__
                if owner.__module__.startswith("tui_gen") for binding in owner.__dict__.get("BINDINGS", ())
                if binding.id  # else it is Textual's
            ]  # fmt: skip
            for binding in every:
                assert binding.description and f" {binding.id}" in keys, (row.id, binding)
            await pilot.press("escape")
            await until(pilot, lambda: len(app.screen_stack) == 1)


async def test_key_list_names_every_binding(monkeypatch):
    async with workbench(monkeypatch) as (app, pilot):
        await pilot.press("alt+5", "question_mark")
        await until(pilot, lambda: "run.start" in screen_text(app) and "F5" in screen_text(app))
        page = app.screen.query_one(LongText)._text.plain
        every = [binding for node in (app, *app.workspace.panes) for binding in node.BINDINGS]
        assert all(f" {binding.id}" in page for binding in every if binding.description)


async def test_every_binding_has_an_id_and_no_id_twice(monkeypatch):
    async with workbench(monkeypatch) as (app, _):
        missing = [
            (type(node).__name__, binding.key)
            for node in (app, *app.workspace.panes)
            for cls in type(node).__mro__
            if cls.__module__.startswith("tui_gen")
            for binding in cls.__dict__.get("BINDINGS", ())
            if not binding.id
        ]
        assert missing == []


async def test_keys_are_the_users(monkeypatch, world):
    folder = world / "config" / "tui-gen"
    folder.mkdir(exist_ok=True)
    (folder / "keys.toml").write_text(
        '"view.jump" = ["f4"]\n"log.filter" = "f2"\n"help.about" = "f15"\n"view.jmp" = "x"\n"run.stop" = 3\n'
    )
    async with workbench(monkeypatch) as (app, pilot):
        await pilot.press("f4")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.press("escape", "alt+5", "f2")
        await until(pilot, lambda: app.workspace.pane("log").query_one("Input").display)
        await pilot.press("f15")
        await until(pilot, lambda: "MIT licence" in screen_text(app), "what has no key of ours")
        await pilot.press("escape", "f1")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        assert "  F2 " in app.screen.query_one(LongText)._text.plain, "F1 has keys as they are mapped"
        await pilot.press("escape")
        rows = {name: shown for _, rows in sections(app) for shown, _, name in rows}
        assert (rows["view.jump"], rows["log.filter"], rows["view.themes"]) == ("F4", "F2", "")
        assert (rows["view.drawer"], rows["run.quality"]) == ("", ""), "they have given way"
        told = ("did you mean 'view.jump'", "run.stop needs a key")
        await until(pilot, lambda: all(words in on_one_line(app) for words in told))


async def test_keys_that_are_none_or_given_twice_are_told_and_a_pane_gives_way_to_the_workbench(monkeypatch, world):
    folder = world / "config" / "tui-gen"
    folder.mkdir(exist_ok=True)
    (folder / "keys.toml").write_text(
        '"help.keys" = "notakey!"\n"run.start" = ["F5", "Ctrl+R"]\n"view.maximise" = "f5"\n"run.pause" = "p"\n'
        '"losses.log" = "v"\n"log.filter" = "v"\n"run.quality" = []\n'
    )
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        told = ("'notakey!', for help.keys, is no key", "only one of run.start and view.maximise can have f5")
        await until(pilot, lambda: all(words in on_one_line(app) for words in told))
        rows = {name: shown for _, rows in sections(app) for shown, _, name in rows}
        assert (rows["help.keys"], rows["run.start"], rows["run.pause"], rows["losses.log"]) == ("?", "F5 ^r", "p", "v")
        assert (rows["samples.play"], rows["explore.pin"], rows["run.quality"]) == ("", "", "")


def test_every_key_of_ours_is_one_and_is_called_as_textual_calls_it():
    given = {"Ctrl+R": "ctrl+r", "?": "question_mark", "F5": "f5", "+": "plus", "ctrl+shift+Left": "ctrl+shift+left",
             ",": "comma", "L": "L", "alt+1": "alt+1", "PageUp": "pageup"}  # fmt: skip
    assert {text: key_name(text) for text in given} == given
    assert [key_name(text) for text in ("notakey!", "ctrl+", "f99", "")] == [""] * 4
    for row in registry.PANES:
        module, name = row.source.split(":")
        for binding in getattr(import_module(module), name).BINDINGS:
            assert all(key_name(key) == key for key in binding.key.split(",")), binding


async def test_key_bar_follows_the_focus_and_can_be_clicked(monkeypatch):
    async with workbench(monkeypatch) as (app, pilot):
        await pilot.press("alt+5")
        def bar() -> str:
            return screen_text(app).splitlines()[-1]

        # keys that can do nothing now are not shown
        await until(pilot, lambda: "o Worker's output" in bar() and "F9" not in bar())
        await pilot.click("KeyBar", offset=(bar().index("o Worker's"), 0))
        await until(pilot, lambda: app.workspace.pane("log").output)


async def test_a_click_on_what_was_just_taken_away_is_nothing(monkeypatch):
    async with workbench(monkeypatch) as (app, pilot):
        status = app.status
        at = (*status.region.offset, 0, 0, 1, False, False, False, *status.region.offset)
        assert app.screen.get_widget_at(*status.region.offset)[0] is status
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(status, "_parent", None)  # as while it is being removed
            for event in (MouseDown, MouseMove):
                await app.on_event(event(None, *at))
        await pilot.click(status)


async def test_a_pane_that_fails_is_told_and_the_others_go_on(monkeypatch):
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        losses = app.workspace.pane("losses")
        monkeypatch.setattr(losses, "show_run", lambda view: 1 / 0)
        app.follower.show(None)
        await until(pilot, lambda: "Losses: ZeroDivisionError" in screen_text(app))


def test_no_torch_and_little_else_is_imported():
    code = (
        "import sys; import tui_gen.app.main as m; assert 'textual' not in sys.modules; m.Workbench;"
        "import tui_gen.app.panes.form.pane, tui_gen.app.panes.losses.pane, tui_gen.app.panes.samples.pane,"
        " tui_gen.app.panes.runs.pane, tui_gen.app.panes.log, tui_gen.app.shell.palette, tui_gen.app.shell.help;"
        "print(*sorted({n.split('.')[0] for n in sys.modules}), 'tui_gen.train' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "torchvision", "sklearn"} & set(out)
    assert out[-1] == "False"


def test_before_the_first_paint_numpy_is_not_imported():
    code = "import sys; import tui_gen.app.main as m; m.Workbench; print('numpy' in sys.modules, 'PIL' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "False"]


async def test_a_fault_in_an_action_or_a_pane_is_told_with_a_file_and_the_rest_goes_on(monkeypatch, world):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        log = app.workspace.pane("log")
        monkeypatch.setattr(type(app), "is_headless", property(lambda _: False))
        monkeypatch.setattr(log, "action_toggle_output", lambda: 1 / 0)
        monkeypatch.setattr(type(log), "on_input_changed", lambda self, event: [][1])
        await pilot.press("alt+5", "o")
        await until(pilot, lambda: "toggle_output: ZeroDivisionError" in screen_text(app))
        await pilot.press("slash", "x")
        await until(pilot, lambda: any("A fault in LogPane: IndexError" in one for one in app.told))
        await pilot.press("alt+1")
        await until(pilot, lambda: app.workspace.active.id == "models")
        file = world / "cache" / "tui-gen" / "faults.log"
        assert file.read_text().count("Traceback") == 2
        app._handle_exception(ValueError("of the app"))
        assert "ValueError: of the app" in file.read_text()
        monkeypatch.undo()


@pytest.mark.parametrize("size", [(20, 6), (60, 60), (260, 80)])
async def test_odd_sizes(monkeypatch, size):
    async with workbench(monkeypatch, size) as (app, pilot):
        for number in range(1, 7):
            await pilot.press(f"alt+{number}")
            await until(pilot, lambda n=number: PANES[n - 1] in shown(app))
        await pilot.press("ctrl+g", "escape", "alt+r", "escape", "f1", "escape", "ctrl+p", "escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: len(shown(app)) == 5)


@pytest.mark.parametrize("turns", range(3))
async def test_a_dialog_that_opens_while_the_workbench_closes_is_no_fault(turns):
    app = ThemedApp()
    async with app.run_test():
        app.push_screen(ReadingPage("x", "words"))
        for _ in range(turns):
            await asyncio.sleep(0)
