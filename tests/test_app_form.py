"""The Hyperparameters pane by keys and mouse, at three sizes of terminal."""

from __future__ import annotations

import re

import pytest
from textual import events

from tests.form_host import CATALOG, ODD, Host, catalog, go, odd_tables, screen_text, typed
from tests.painted import on_one_line
from tests.waiting import wait_for_async
from tui_gen import config
from tui_gen.params import Problem

SIZES = [(80, 24), (120, 40), (200, 60)]
NONSENSE = ["[/path]", "[red", "nonsense", "-1e999", "\\[x]", "9" * 20 + "[/b]"]


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
    """Every key of every model's form, on data that it trains on; those that several share only once, and those that
    all phases have in one of them.
    """
    fitting = {"points": "ring", "image": "digits", "text": "text-file"}
    found, tried = [], set()
    for model in sorted(CATALOG.models, key=lambda name: (name != "odd", name)):
        dataset = fitting[CATALOG.models[model].kinds[0]]
        own = {re.sub(r"^train\.phases\.[^.]+", "", key): key for key in config.keys(model, dataset, CATALOG)}
        keys = [key for short, key in own.items() if short not in tried or short.startswith("model.")]
        found.append((model, dataset, ["model.name"] * (model == "odd") + keys))
        tried |= own.keys()
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
        assert app.told[-1] == "bell" and app.form.fields.choices.letters == "moons"
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
        await wait_for_async(lambda: app.form.draft.value("train.phases.vae.lr") > base)
        await pilot.press("left")
        await wait_for_async(lambda: app.form.draft.value("train.phases.vae.lr") == base)
        await go(pilot, "model.conditional")
        await pilot.press("space")
        await wait_for_async(lambda: app.form.draft.value("model.conditional") is True and "[x] on" in screen_text(app))
        await go(pilot, "model.network")
        await pilot.press("enter")
        await wait_for_async(lambda: app.form.fields.choices.has_focus and "conv" in screen_text(app))
        await pilot.press("down", "enter")
        await wait_for_async(
            lambda: app.form.draft.text("model.network") == "conv" and app.focused is app.form.fields.list
        )
        await pilot.press("space")
        await wait_for_async(lambda: app.form.fields.choosing)
        await pilot.press("escape")
        await wait_for_async(lambda: not app.form.fields.choosing)
        assert app.form.draft.text("model.network") == "conv"


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
        assert "No setting of this model and dataset has “[/x]”" in screen_text(app).replace("\n", " ")
        await pilot.press("escape", "home")
        assert "latent" in screen_text(app) and not app.form.fields.key
        await pilot.press("slash", *"latent", "enter")
        assert app.form.fields.key == "model.latent"  # from a heading, too: the first that fits


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
