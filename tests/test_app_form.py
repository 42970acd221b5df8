"""The Hyperparameters pane by keys and mouse, at three sizes of terminal."""

from __future__ import annotations

import stat
from contextlib import nullcontext
from pathlib import Path

import pytest
from textual import events

from tests.form_host import ODD, catalog, odd_tables, screen_text
from tests.hosts import ThemedApp
from tests.waiting import wait_for_async
from tui_gen import config
from tui_gen.app.panes.form.pane import FormChanged, FormPane, LiveEditAsked
from tui_gen.app.widgets.path_dialog import PathDialog
from tui_gen.events import Edit, Rollback
from tui_gen.params import Problem

CATALOG = catalog()
SIZES = [(80, 24), (120, 40), (200, 60)]
NONSENSE = ["[/path]", "[red", "nonsense", "-1e999", "\\[x]", "9" * 20 + "[/b]"]


class Host(ThemedApp):
    """An app with nothing but the pane; it keeps what the pane tells."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[object] = []

    def compose(self):
        yield FormPane(CATALOG)

    def on_ready(self) -> None:
        self.form.focus_inside()

    @property
    def form(self) -> FormPane:
        return self.query_one(FormPane)

    def on_form_changed(self, event: FormChanged) -> None:
        self.told.append(event.valid)

    def on_live_edit_asked(self, event: LiveEditAsked) -> None:
        self.told.append((event.key, event.value))


def on_one_line(app: Host) -> str:
    """The screen's text without line ends and frames, for words that may be wrapped."""
    return " ".join(screen_text(app).replace("┃", " ").split())


async def go(pilot, key: str) -> None:
    """Cursor on a field."""
    pilot.app.form.focus_field(key)
    await pilot.pause()


async def typed(pilot, key: str, text: str) -> None:
    """A text typed over what stands in a field, without Enter."""
    pilot.app.form.focus_field(key)
    pilot.app.form.fields.begin()
    editor = pilot.app.form.fields.editor
    assert pilot.app.focused is editor
    editor.value = ""
    editor.insert_text_at_cursor(text)
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
async def test_the_first_frame_shows_the_default_recipe(size):
    async with Host().run_test(size=size) as pilot:
        shown = screen_text(pilot.app)
        assert "Hyperparameters · vae-digits" in shown
        assert "latent" in shown and "dimensions" in shown and "▾ Model" in shown


@pytest.mark.parametrize("size", SIZES)
async def test_typing_validates_at_the_field_and_undo_brings_back(size):
    app = Host()
    async with app.run_test(size=size) as pilot:
        await go(pilot, "model.latent")
        before = app.form.draft.text("model.latent")
        await pilot.press("enter", "0")
        assert "a whole number, 1 ≤ x" in on_one_line(app)
        assert app.told[-1] is False
        await pilot.press("backspace", "4", "2", "enter")
        assert app.told[-1] is True and app.form.tables()["model"]["latent"] == 42
        assert "*latent" in screen_text(app)
        await pilot.press("ctrl+z")
        assert app.form.draft.text("model.latent") == before and "*latent" not in screen_text(app)
        await pilot.press("ctrl+y")
        assert app.form.draft.text("model.latent") == "42"
        await pilot.press("delete")
        assert app.form.draft.text("model.latent") == before


def keys_to_try() -> list[tuple[str, str, list[str]]]:
    """Every key of every model's form, on data that it trains on; those that several share only once."""
    fitting = {"points": "ring", "image": "digits", "text": "text-file"}
    found, tried = [], set()
    for model in sorted(CATALOG.models, key=lambda name: (name != "odd", name)):
        dataset = fitting[CATALOG.models[model].kinds[0]]
        mine = config.keys(model, dataset, CATALOG)
        own = [key for key in mine if key not in tried or key.startswith(("model.", "train.phases"))]
        found.append((model, dataset, ["model.name"] * (model == "odd") + own))
        tried |= mine.keys()
    return found


@pytest.mark.parametrize(
    ("model", "dataset", "keys"), keys_to_try(), ids=lambda value: value if isinstance(value, str) else ""
)
async def test_nonsense_in_any_field_is_told_there_and_breaks_nothing(model, dataset, keys):
    app = Host()
    start = {"model": {"name": model}, "dataset": {"name": dataset, "root": "x"}, "train": {"steps": 5}}
    async with app.run_test(size=(80, 24)) as pilot:
        for number, key in enumerate(keys):
            app.form.load_tables(start, "[/start]")
            param = app.form.draft.params[key]
            text = NONSENSE[number % len(NONSENSE)]
            if param.kind in ("bool", "choice"):
                app.form.draft.set_text(key, text)
                app.form.fields.changed()
                await go(pilot, key)
            else:
                await typed(pilot, key, text)
            if param.kind == "str" or (param.kind == "list" and param.item == "str"):
                assert text in screen_text(app), key
                if key != "train.device":
                    assert app.form.problems() == [], key
            else:
                assert key in app.form.draft.placed(), (key, text)
                assert "! " in on_one_line(app), (key, text)
                assert app.told[-1] is False
        app.form.load_tables(start, "[/start]")
        assert app.form.problems() == []


async def test_escape_takes_back_what_was_typed():
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "train.batch_size")
        before = app.form.draft.text("train.batch_size")
        await pilot.press("enter", "x", "y")
        assert app.form.draft.text("train.batch_size") == "xy"
        await pilot.press("escape")
        assert app.form.draft.text("train.batch_size") == before and not app.form.fields.editing
        assert app.focused is app.form.fields.list


async def test_keys_that_come_all_at_once_do_what_they_would_one_by_one():
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "train.batch_size")
        await pilot.pause()
        edits = ["enter", "9", "7", "enter", "down", "down", "enter", "x"]
        for key in [*edits, "escape", "escape", "up", "enter", "5", "tab", "q"]:
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await wait_for_async(lambda: app.form.draft.text("train.device") == "q", what="the last key")
        assert app.form.draft.text("train.batch_size") == "97" and app.form.draft.text("train.seed") == "5"
        assert app.form.draft.changed() == ["train.batch_size", "train.seed", "train.device"]


async def test_what_is_typed_on_a_field_edits_it():
    """Digits start a number, letters find a choice or set a switch; nothing that is typed is a command there."""
    app = Host()
    app.bell = lambda: app.told.append("bell")
    async with app.run_test(size=(80, 24)) as pilot:
        app.form.load_tables(odd_tables(), "odd")
        for key, typing, wanted in (
            ("model.latent", "42", "42"), ("model.beta", ".5", ".5"), ("model.latent", "-3", "-3"),
            ("model.beta", "1e-3", "1e-3"), ("model.latent", "Rncev", "Rncev"), ("model.flag", "n", "false"),
            ("model.flag", "y", "true"), ("model.flag", "0", "false"), ("model.widths", "4,5", "4,5"),
            ("model.path", "/home/né+?", "/home/né+?"), ("name", "c3 v", "c3 v"), ("train.device", "cuda:1", "cuda:1"),
        ):  # fmt: skip
            await go(pilot, key)
            for letter in typing:  # all at once, as over a slow link
                app.post_message(events.Key("space" if letter == " " else letter, letter))
            await wait_for_async(lambda: app.form.draft.text(key) == wanted, what=f"{wanted} in {key}")  # noqa: B023
            assert app.form.fields.key == key and app.form.state is app.form.draft
            await pilot.press("enter")
            assert app.focused is app.form.fields.list
        await go(pilot, "model.flag")
        await pilot.press("q")
        assert "y turns it on, n off" in on_one_line(app)
        await go(pilot, "model.way")
        await pilot.press("b")
        assert app.focused is app.form.fields.choices
        await pilot.press("enter")
        assert app.form.draft.text("model.way") == "b"
        await pilot.press("3", "space")
        assert app.form.draft.text("model.way") == "3"
        await go(pilot, "dataset.name")
        await pilot.press(*"moox", "backspace", *"ons")
        assert app.told[-1] == "bell" and app.form.fields.choices.sought == "moons"
        await pilot.press("enter")
        assert app.form.draft.text("dataset.name") == "moons"


async def test_commands_are_with_ctrl_on_a_field_and_letters_elsewhere():
    app = Host()
    async with app.run_test(size=(80, 40)) as pilot:
        app.form.show_live(config.load(odd_tables(), CATALOG))
        await go(pilot, "model.beta")  # live
        await pilot.press("ctrl+t")
        assert app.form.state is app.form.draft
        await go(pilot, "train.batch_size")
        await pilot.press("9", "ctrl+t")
        assert app.form.state is app.form.live and app.form.draft.text("train.batch_size") == "9"
        await pilot.press("ctrl+d")
        assert app.form.state is app.form.draft and app.form.draft.model == "odd"
        await go(pilot, "train.batch_size")
        await pilot.press("7", "enter", "up", "up", "ctrl+n", "ctrl+u")
        assert app.form.draft.changed() == []
        await pilot.press("ctrl+f", "v", "c")
        assert app.form.query_one("#filter").value == "vc"


async def test_tab_edits_the_next_field_and_leaves_the_form_from_the_list():
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "train.steps")
        await pilot.press("enter", "tab")
        assert app.form.fields.editing == "train.epochs"
        await pilot.press("shift+tab")
        assert app.form.fields.editing == "train.steps"
        await pilot.press("down")
        assert app.form.draft.value("train.steps") == 19999 and app.form.fields.editor.value == "19999"
        await pilot.press("shift+up", "1")
        assert app.form.draft.value("train.steps") == 399981
        await pilot.press("ctrl+z")
        assert app.form.fields.editor.value == "20000" and app.form.fields.editing == "train.steps"
        await pilot.press("enter")
        assert app.focused is app.form.fields.list


async def test_arrows_step_and_space_switches_and_opens_choices():
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "train.phases.vae.lr")
        base = app.form.draft.value("train.phases.vae.lr")
        await pilot.press("right")
        assert app.form.draft.value("train.phases.vae.lr") > base
        await pilot.press("left")
        assert app.form.draft.value("train.phases.vae.lr") == base
        await go(pilot, "model.conditional")
        await pilot.press("space")
        assert app.form.draft.value("model.conditional") is True and "[x] on" in screen_text(app)
        await go(pilot, "model.network")
        await pilot.press("enter")
        assert app.form.fields.choices.has_focus and "conv" in screen_text(app)
        await pilot.press("down", "enter")
        assert app.form.draft.text("model.network") == "conv" and app.focused is app.form.fields.list
        await pilot.press("space", "escape")
        assert not app.form.fields.choosing and app.form.draft.text("model.network") == "conv"


async def test_every_row_that_changed_is_drawn_anew():
    app = Host()
    async with app.run_test(size=(80, 40)) as pilot:
        await go(pilot, "dataset.name")
        tables = app.form.tables()
        tables["model"]["latent"], tables["train"]["seed"] = 777, 888
        app.form.load_tables(tables, "same layout")
        await pilot.pause()
        shown = screen_text(app)
        assert "777" in shown and "888" in shown
        app.form.draft.set_text("model.latent", "778")
        app.form.fields.changed()
        await go(pilot, "train.seed")
        assert "*latent" in screen_text(app)
        await pilot.press("ctrl+u")
        assert "*latent" not in screen_text(app) and "777" in screen_text(app)


async def test_choosing_another_model_changes_the_fields_in_place():
    app = Host()
    async with app.run_test(size=(120, 40)) as pilot:
        listed = app.form.fields.list
        await go(pilot, "train.seed")
        await pilot.press("enter", "7", "enter")
        app.form.set_model("gan")
        await pilot.pause()
        assert "n_critic" in screen_text(app) and app.form.fields.list is listed
        assert app.form.draft.text("train.seed") == "7"
        app.form.set_model("odd")
        await pilot.pause()
        assert "a[/b]" in screen_text(app)


async def test_sections_fold_by_keys_and_mouse():
    app = Host()
    async with app.run_test(size=(80, 40)) as pilot:
        await go(pilot, "dataset.name")
        await pilot.press("up", "left")
        assert "▸ Dataset" in screen_text(app) and "Share held out" not in screen_text(app)
        await pilot.press("right")
        assert "Share held out" in screen_text(app)
        line = app.form.fields.list.line_of(app.form.fields.list.index)
        await pilot.click(app.form.fields.list, offset=(4, line - round(app.form.fields.list.scroll_y)))
        assert "▸ Dataset" in screen_text(app)
        app.form.focus_field("dataset.limit")
        assert app.form.fields.key == "dataset.limit"


async def test_the_mouse_edits_switches_and_resets():
    app = Host()
    async with app.run_test(size=(80, 40)) as pilot:
        listed = app.form.fields.list

        def spot(key: str, column: int) -> tuple[int, int]:
            at = next(at for at, row in enumerate(listed.rows) if row.key == key)
            return column, listed.line_of(at) - round(listed.scroll_y)

        await pilot.click(listed, offset=spot("model.latent", listed.value_column))
        assert app.form.fields.editing == "model.latent"
        await pilot.press("5")
        await pilot.click(listed, offset=spot("model.conditional", listed.value_column + 1))
        assert app.form.fields.editing == "" and app.form.draft.value("model.conditional") is True
        assert app.form.draft.value("model.latent") == 5
        await pilot.click(listed, offset=spot("model.latent", 1))
        assert app.form.draft.changed() == ["model.conditional"]
        await pilot.click(listed, offset=spot("model.network", listed.value_column))
        assert app.form.fields.choices.visible
        await pilot.click(app.form.fields.choices, offset=(2, 1))
        assert app.form.draft.text("model.network") == "conv"


async def test_the_filter_shows_only_what_fits():
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("slash", *"learning")
        shown = screen_text(app)
        assert "lr" in shown and "latent" not in shown
        await pilot.press("enter")
        assert app.form.fields.key and app.focused is app.form.fields.list
        await pilot.press("escape", "home")
        assert "latent" in screen_text(app)
        await pilot.press("slash", *"[/x]")
        assert "latent" not in screen_text(app) and app.form.fields.list.rows == []
        await pilot.press("escape", "home")
        assert "latent" in screen_text(app)


async def test_n_goes_from_problem_to_problem():
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        app.form.draft.set_text("train.batch_size", "x")
        app.form.draft.set_text("preview.count", "y")
        app.form.fields.list.toggle(next(row for row in app.form.fields.list.rows if row.ident == "[preview]"), True)
        app.form.fields.changed()
        await pilot.press("ctrl+n")
        assert app.form.fields.key == "train.batch_size"
        await pilot.press("ctrl+n")
        assert app.form.fields.key == "preview.count" and "!count" in screen_text(app)
        await pilot.press("ctrl+n")
        assert app.form.fields.key == "train.batch_size"
        assert "2 problems" in screen_text(app)


async def test_every_message_stays_in_view_at_its_field():
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await typed(pilot, "checkpoint.keep_best", "x")
        assert "! needs a whole number" in screen_text(app)


async def test_what_cannot_be_taken_over_is_told():
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        app.form.load_tables({"model": {"name": "vae", "la[/t]": 1}, "train": {"steps": 1}}, "x.toml")
        await pilot.pause()
        assert "la[/t]" in screen_text(app)
        app.form.focus_inside()
        await pilot.press("ctrl+z")
        assert "la[/t]" not in screen_text(app) and app.form.tables()["train"]["steps"] != 1
        app.form.load_tables({"model": {"name": "vae"}, "train": {"steps": 1}}, "x.toml")
        app.form.load_tables({"format": 99}, "[/new].toml")
        await pilot.pause()
        assert "newer" in screen_text(app) and app.form.tables()["train"]["steps"] == 1
        await pilot.press("escape")
        assert "newer" not in screen_text(app)


async def test_problems_of_the_model_itself_are_shown_at_their_field():
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        app.form.add_problems([Problem("model.channels", [1], "too deep [/for] 8 px")])
        await pilot.pause()
        assert "too deep [/for] 8 px" in screen_text(app) and app.told[-1] is False
        assert app.form.fields.key == "model.channels"


async def test_a_live_run_takes_edits_and_acknowledges_them():
    app = Host()
    async with app.run_test(size=(80, 40)) as pilot:
        run = config.load(odd_tables(), CATALOG)
        app.form.show_live(run)
        await go(pilot, "model.beta")
        assert "run odd one" in screen_text(app)
        await pilot.press("enter", "1", "enter")
        assert app.told[-1] == ("model.beta", 1.0)
        assert "…beta" in screen_text(app) and "asked for" in screen_text(app)
        app.form.acknowledge("model.beta", 1.0, 120)
        await pilot.pause()
        assert "took effect at step 120" in screen_text(app) and "…beta" not in screen_text(app)
        await pilot.press("enter", "2", "enter")
        app.form.refuse("model.beta", "the worker is [/gone]")
        await pilot.pause()
        assert "! the worker is [/gone]" in screen_text(app)
        assert app.form.tables()["model"]["name"] == "vae"  # the form for the next run is another one


async def test_a_live_run_asks_for_nothing_wrong_and_locks_the_rest():
    app = Host()
    async with app.run_test(size=(80, 40)) as pilot:
        app.form.show_live(config.load(odd_tables(), CATALOG))
        await go(pilot, "model.beta")
        await pilot.press("enter", "9", "enter")
        assert "0 ≤ x ≤ 2" in screen_text(app)
        await go(pilot, "model.widths")
        await pilot.press("5", "enter", "x", "right")
        await go(pilot, "train.batch_size")
        for key in ("right", "5", "x", "enter", "space", "delete"):
            await pilot.press("down", "up")
            assert "these can be changed" not in on_one_line(app)
            await pilot.press(key)
            assert "Fixed while the run trains; these can be changed: latent, beta" in on_one_line(app), key
        fields = app.form.fields.list
        line = fields.line_of(fields.index) - round(fields.scroll_y)
        await pilot.press("down")
        await pilot.click(fields, offset=(fields.value_column + 1, line))
        assert "Fixed while the run trains; these" in on_one_line(app)
        assert not [one for one in app.told if isinstance(one, tuple)]
        assert app.form.live.changed() == ["model.beta"] and not app.form.fields.editing
        app.form.live.ended = True
        await pilot.press("down", "up", "enter")
        assert "The run has ended" in on_one_line(app)
        app.form.live.ended = False
        await go(pilot, "model.flag")
        await pilot.press("space", "enter")
        assert app.told[-1] == ("model.flag", False)
        await go(pilot, "model.way")
        await pilot.press("enter", "down", "enter")
        await pilot.pause()
        assert app.told[-1] == ("model.way", "b")


async def test_show_live_again_keeps_what_is_being_typed():
    app = Host()
    async with app.run_test(size=(80, 40)) as pilot:
        app.form.show_live(config.load(odd_tables(), CATALOG))
        await go(pilot, "model.beta")
        await pilot.press("enter", "1", ".")
        tables = odd_tables()
        tables["model"]["latent"] = 9
        app.form.show_live(config.load(tables, CATALOG))
        await pilot.press("5")
        assert app.form.live.text("model.beta") == "1.5" and app.form.live.text("model.latent") == "9"
        app.form.show_live(config.load(tables, CATALOG), live=False)
        assert not app.form.live.editable("model.beta")


async def test_v_turns_between_run_and_next_run_and_c_copies():
    app = Host()
    async with app.run_test(size=(80, 40)) as pilot:
        await pilot.press("ctrl+d")
        assert "No run is shown" in screen_text(app)
        app.form.show_live(config.load(odd_tables(), CATALOG))
        await pilot.press("v")
        assert "vae-digits" in screen_text(app)
        await pilot.press("ctrl+t", "c")
        assert app.form.tables()["model"]["name"] == "odd" and app.form.state is app.form.draft
        await pilot.press("ctrl+z")
        assert app.form.tables()["model"]["name"] == "vae"


class View:
    """What the pane reads of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.edits: list[Edit] = []
        self.rollbacks: list[Rollback] = []
        self.live = True


async def test_a_run_that_is_followed_shows_edits_made_elsewhere_and_copies_with_them(tmp_path: Path):
    app = Host()
    view = View(tmp_path)
    run = config.load(odd_tables(), CATALOG)
    (tmp_path / "config.toml").write_text(config.dumps(run))
    async with app.run_test(size=(80, 40)) as pilot:
        view.edits = [Edit(10, "model.beta", 0.5, 1.25)]
        app.form.show_run(view)
        app.form.show_live(run)
        await go(pilot, "model.beta")
        assert "beta" in screen_text(app) and "1.25" in screen_text(app) and "step 10" in screen_text(app)
        view.edits = [*view.edits, Edit(20, "model.latent", 7, 9)]
        app.form.update_view({"marks"})
        assert app.form.live.text("model.latent") == "9" and app.form.live.changed() == []
        view.edits = view.edits[:1]  # gone on from an older checkpoint
        app.form.update_view({"marks"})
        assert app.form.live.text("model.latent") == "7" and app.form.live.text("model.beta") == "1.25"
        view.live = False
        app.form.update_view({"status"})
        await pilot.pause()
        assert "the run has ended" in screen_text(app)
        await pilot.press("c")
        assert app.form.tables()["edits"] == [{"step": 10, "key": "model.beta", "value": 1.25}]
        app.form.show_run(None)
        assert app.form.live is None


async def test_save_and_load_give_the_same_form(tmp_path: Path):
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        app.form.load_tables(odd_tables(), "odd")
        app.form.draft.set_text("notes", "two\nlines [/x] \"quoted\"")
        app.form.draft.set_text("tags", "one two, three")
        tables = app.form.tables()
        file = tmp_path / "a.toml"
        await pilot.press("ctrl+s")
        dialog = app.screen
        assert isinstance(dialog, PathDialog)
        dialog.query_one("Input").value = str(file)
        await pilot.press("enter")
        await wait_for_async(file.exists, what="the file")
        assert "# Whole [/help]" in file.read_text()
        app.form.load_tables(CATALOG.recipes["vae-digits"].tables, "vae-digits")
        await pilot.press("ctrl+o")
        app.screen.query_one("Input").value = str(tmp_path) + "/"
        await pilot.pause()
        assert "a.toml" in screen_text(app)
        await pilot.press("tab", "enter")
        await pilot.pause()
        assert app.form.tables() == tables and app.form.draft.source == "a.toml"


async def test_the_file_dialog_refuses_what_it_cannot_use(world: Path):
    app = Host()
    folder = world / "there"  # a short path: words after a long one may be broken
    folder.mkdir()
    (folder / "there.toml").write_text("x")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+o")
        for text, words in ((str(folder), "is a folder"), ("/[/no].toml", "there is no file"), ("", "type a path")):
            app.screen.query_one("Input").value = text
            await pilot.press("enter")
            assert words in screen_text(app)
        await pilot.press("escape", "ctrl+s")
        app.screen.query_one("Input").value = str(folder / "there.toml")
        await pilot.press("enter")
        assert "exists; Enter again" in screen_text(app) and (folder / "there.toml").read_text() == "x"
        await pilot.press("enter")
        await wait_for_async(lambda: (folder / "there.toml").read_text() != "x", what="the file replaced")


async def test_a_file_that_is_not_toml_or_not_there_is_told(tmp_path: Path):
    app = Host()
    (tmp_path / "bad.toml").write_text("a = [/b")
    async with app.run_test(size=(80, 24)) as pilot:
        app.form.load_file(tmp_path / "bad.toml")
        await pilot.pause()
        assert "is not valid TOML" in on_one_line(app)
        app.form.save_file(tmp_path / "no" / "such.toml")
        await pilot.pause()
        assert "cannot be written" in on_one_line(app)


def editor_script(folder: Path, body: str) -> str:
    """A program that stands in for an editor; `$1` is the file."""
    script = folder / "editor"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)


async def test_the_editor_changes_the_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    app = Host()
    monkeypatch.setattr(Host, "suspend", lambda self: nullcontext())
    monkeypatch.delenv("VISUAL", raising=False)
    async with app.run_test(size=(80, 24)) as pilot:
        monkeypatch.setenv("EDITOR", editor_script(tmp_path, "sed -i 's/^latent = .*/latent = 3/' $1"))
        await pilot.press("ctrl+e")
        assert app.form.draft.text("model.latent") == "3" and app.form.draft.changed() == ["model.latent"]
        monkeypatch.setenv("EDITOR", editor_script(tmp_path, "echo 'a = [/b' >> $1"))
        await pilot.press("ctrl+e")
        assert "e opens it again" in on_one_line(app)
        assert app.form.draft.text("model.latent") == "3"
        mend = "sed -i '$d; s/^latent = .*/latent = 4/; s/^beta = .*/beta = true/' $1"
        monkeypatch.setenv("EDITOR", editor_script(tmp_path, mend))
        await pilot.press("ctrl+e")
        assert app.form.draft.text("model.latent") == "4" and "model.beta" in app.form.draft.placed()
        await pilot.press("ctrl+z")
        assert app.form.draft.text("model.latent") == "3"


@pytest.mark.parametrize("editor", ["/no/such/editor", "false", "'unclosed"])
async def test_an_editor_that_does_not_work_is_told(editor: str, monkeypatch: pytest.MonkeyPatch):
    app = Host()
    monkeypatch.setattr(Host, "suspend", lambda self: nullcontext())
    monkeypatch.setenv("VISUAL", editor)
    async with app.run_test(size=(80, 24)) as pilot:
        before = app.form.tables()
        await pilot.press("ctrl+e")
        assert app.form.query_one("#notice").display and app.form.tables() == before


async def test_without_a_terminal_to_hand_over_the_editor_says_so():
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+e")
        assert "cannot be handed" in on_one_line(app)


async def test_a_paste_begins_an_edit_and_keeps_one_line():
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "name")
        app.form.fields.list.post_message(events.Paste("a [/name]\nmore"))
        await pilot.pause()
        assert app.form.draft.text("name") == "a [/name]"
        await pilot.press("enter")
        app.form.draft.set_text("notes", "one\ntwo")
        await go(pilot, "notes")
        assert "one↵two" in screen_text(app)
        await pilot.press("enter", "end", "x", "enter")
        assert app.form.draft.text("notes") == "one\ntwox"


async def test_marks_are_told_without_colour(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_COLOR", "1")
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "model.latent")
        await pilot.press("enter", "5", "enter", "down")
        await pilot.press("enter", "y")
        shown = screen_text(app)
        assert "*latent" in shown and "›" in shown and "!beta" in shown


async def test_a_catalogue_built_anew_keeps_texts():
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "model.latent")
        await pilot.press("enter", "5", "enter")
        renewed = catalog()
        renewed.models.pop("odd")
        app.form.set_catalog(renewed)
        await pilot.pause()
        assert app.form.draft.text("model.latent") == "5" and app.form.draft.changed() == ["model.latent"]
        assert ODD.name not in app.form.draft.params["model.name"].choices


@pytest.mark.parametrize("size", SIZES)
async def test_a_run_whose_model_is_not_known_is_shown_as_it_was_written(size):
    app = Host()
    tables = {
        "format": 1,
        "model": {"name": "mine[/]", "depth": 3, "gain": 0.5, "way": "up", "on": True, "sizes": [1, 2], "o": [[1]]},
        "dataset": {"name": "ring", "size": "what"},
        "train": {"steps": 7, "phases": {"first": {"lr": 0.01, "hm": 3}}},
        "later": {"key": 1},
        "name": "run of mine",
    }
    async with app.run_test(size=size) as pilot:
        await pilot.press("down")
        app.form.show_written(tables, "run of mine", "Shown as written: its model is in /there.")
        await pilot.pause()
        shown = screen_text(app)
        assert "run run of mine" in shown and "its model is in /there" in shown
        state = app.form.state
        for key, text in (
            ("model.name", "mine[/]"), ("model.depth", "3"), ("model.gain", "0.5"), ("model.way", "up"),
            ("model.on", "true"), ("model.sizes", "[1, 2]"), ("dataset.size", "what"), ("later.key", "1"),
            ("train.phases.first.lr", "0.01"), ("train.phases.first.hm", "3"),
        ):  # fmt: skip
            assert state.text(key).strip("[]") == text.strip("[]"), key
            await go(pilot, key)
            await pilot.press("enter", "5", "delete", "right")
            assert state.text(key).strip("[]") == text.strip("[]") and not app.form.fields.editing
            assert "Shown as written" in on_one_line(app)
        assert state.params["train.phases.first.lr"].help and state.problems() == [] and state.tables() == tables
        await pilot.press("ctrl+d")  # no form can be made of it
        assert app.form.draft.model == "vae"
        await pilot.press("ctrl+t")
        assert "vae-digits" in screen_text(app) and "its model is in" not in screen_text(app)
        await pilot.press("ctrl+t")
        assert "its model is in" in screen_text(app)
        app.form.show_live(config.load(odd_tables(), CATALOG))
        await go(pilot, "model.beta")
        assert app.form.state.editable("model.beta") and "its model is in" not in screen_text(app)
        app.form.show_written({}, "nothing", "not even TOML")
        await pilot.press("down", "enter", "5", "up")
        assert "not even TOML" in screen_text(app) and app.form.state.model == ""
