"""The Models pane: tree, search, words, picks."""

from __future__ import annotations

import re
from importlib import import_module

import msgspec
import pytest
from textual.content import Content

from tests.form_host import catalog, screen_text, small
from tests.hosts import ThemedApp
from tui_gen.app.panes.models import ModelPicked, ModelsPane, RecipePicked
from tui_gen.app.panes.registry import PANES
from tui_gen.app.widgets.prose import inline, prose
from tui_gen.catalog import Catalog, Recipe

CATALOG = catalog()


def broken() -> Catalog:
    """A catalogue with a user file that could not be read, a recipe without a model, and words full of brackets."""
    found = small()
    found.problems = ["/home/me/bad[/b].py: SyntaxError: '[' was never closed\nline 3"]
    stray = Recipe("stray[/x]", "", "", "", "", {"model": {"name": "gone"}}, "")
    found.recipes = found.recipes | {"stray[/x]": stray}
    return found


class Host(ThemedApp):
    """An app with nothing but the pane; it keeps what was picked."""

    def __init__(self, found: Catalog | None = None) -> None:
        super().__init__()
        self.found = found or small()
        self.picked: list[object] = []

    def compose(self):
        yield ModelsPane(self.found)

    def on_ready(self) -> None:
        self.pane.focus_inside()

    @property
    def pane(self) -> ModelsPane:
        return self.query_one(ModelsPane)

    def on_recipe_picked(self, event: RecipePicked) -> None:
        self.picked.append((event.name, event.tables))

    def on_model_picked(self, event: ModelPicked) -> None:
        self.picked.append(event.name)


def label(app: Host) -> str:
    """The label under the cursor."""
    node = app.pane.tree_view.cursor_node
    return "" if node is None else str(node.label)


@pytest.mark.parametrize("size", [(30, 24), (80, 24), (120, 40), (200, 60)])
async def test_the_default_recipe_is_selected_and_described_on_the_first_frame(size):
    app = Host()
    async with app.run_test(size=size):
        assert label(app) == "• vae-digits"
        shown = screen_text(app)
        assert "vae-digits" in shown and "VAE on digits" in shown and app.picked == []
        assert "▼ VAE" in shown


async def test_every_family_model_and_recipe_is_in_the_tree():
    app = Host(CATALOG)
    async with app.run_test(size=(120, 40 + 3 * (len(CATALOG.models) + len(CATALOG.recipes)))) as pilot:
        assert label(app) == "• vae-digits"
        app.pane.tree_view.root.expand_all()
        await pilot.pause()
        shown = screen_text(app)
        for entry in CATALOG.models.values():
            assert entry.title in shown
        for name in CATALOG.recipes:
            assert name in shown
        assert "Odd [/b] model  yours" in shown and "built in" not in shown


async def test_a_long_tree_starts_with_the_default_recipes_family_unfolded():
    long = small()
    for name in (f"more-{number}" for number in range(30)):
        long.recipes[name] = msgspec.structs.replace(long.recipes["dcgan-digits"], name=name)
    app = Host(long)
    async with app.run_test(size=(80, 24)) as pilot:
        assert "▶ GAN" in screen_text(app) and "vae-mnist" in screen_text(app)
        await pilot.press("slash", *"more-7")
        assert "more-7" in screen_text(app) and "▼ GAN" in screen_text(app)


async def test_enter_and_click_pick_recipes_and_models():
    app = Host()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("down", "enter")
        name, tables = app.picked[-1]
        assert tables == CATALOG.recipes[name].tables and name != "vae-digits"
        assert label(app) == f"• {name}" and "• vae-digits" not in screen_text(app)
        await pilot.press("left", "enter")
        assert app.picked[-1] == "vae"
        await pilot.click(app.pane.tree_view, offset=(8, 2))
        assert app.picked[-1][0] == "vae-digits"


async def test_arrows_fold_and_unfold():
    app = Host()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("left")
        assert label(app).endswith("Variational autoencoder")
        await pilot.press("left", "down")
        assert "vae-mnist" not in screen_text(app)
        await pilot.press("up", "right", "right")
        assert label(app) == "• vae-digits"


async def test_the_search_narrows_as_typed_and_escape_brings_all_back():
    app = Host()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("slash", *"gan ring")
        shown = screen_text(app)
        assert "wgan-gp-ring" in shown and "dcgan-digits" not in shown and "ddpm-digits" not in shown
        assert label(app) == "wgan-gp-ring" and "WGAN-GP on a ring" in shown
        await pilot.press("enter", "enter")
        assert app.picked[-1][0] == "wgan-gp-ring"
        await pilot.press("escape")
        assert "dcgan-digits" in screen_text(app) and label(app) == "• wgan-gp-ring"
        await pilot.press("slash", *"[/nothing")
        assert "nothing found" in screen_text(app)
        await pilot.press("enter", "enter", "down", "left", "right", "escape")
        assert "dcgan-digits" in screen_text(app)


async def test_a_search_finds_words_of_references():
    app = Host()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("slash", *"gulrajani")
        assert "wgan-gp-ring" in screen_text(app) and "vae-digits" not in screen_text(app)


async def test_a_search_goes_to_what_is_called_so_and_tells_about_that():
    app = Host(CATALOG)
    async with app.run_test(size=(80, 24)) as pilot:
        named = (("lstm", "lstm-classifier"), ("gan", "Generative adversarial network"), ("vae f", "vae-faces"))
        for words, first in named:
            await pilot.press("slash", *words)
            await pilot.pause()
            assert first in label(app)
            about = app.pane._about.content.plain.splitlines()[0]
            assert about == app.pane.words(app.pane.tree_view.cursor_node.data).plain.splitlines()[0]
            await pilot.press("escape")


async def test_files_that_cannot_be_read_are_listed_with_the_reason():
    app = Host(broken())
    async with app.run_test(size=(120, 50)) as pilot:
        await pilot.press("end", "enter")
        assert "! not readable (1)" in screen_text(app) and "stray[/x]" in screen_text(app)
        assert "was never closed" in label(app)
        assert "bad[/b].py" in screen_text(app) and "line 3" in screen_text(app)
        assert app.picked == []


async def test_any_catalogue_can_be_shown_and_any_node_described():
    for found in (Catalog(), broken(), CATALOG, msgspec.structs.replace(small(), recipes={})):
        app = Host(found)
        async with app.run_test(size=(80, 24)) as pilot:
            for node in app.pane._by_ident.values():
                assert app.pane.words(node.data).plain.strip(), node.data
            await pilot.press("home", "down", "end", "up", "space", "left", "right")
            assert app.is_running


async def test_a_renewed_catalogue_keeps_the_cursor():
    app = Host()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("down", "down")
        here = label(app)
        app.pane.set_catalog(broken())
        await pilot.pause()
        assert label(app) == here
        await pilot.press("end")
        assert "not readable" in screen_text(app)


async def test_a_low_and_narrow_pane_still_shows_the_tree():
    app = Host()
    async with app.run_test(size=(24, 9)) as pilot:
        await pilot.pause()
        assert "vae-digits" in screen_text(app) and "▼ VAE" in screen_text(app)
        await pilot.press("end")
        app.pane.set_catalog(small())
        await pilot.pause()
        assert label(app)[:12] in screen_text(app)


def test_descriptions_are_styled_and_nothing_in_them_is_markup():
    text = "Intro *line*\ngoes on.\n\n### Loss\n\n    a * b * c [/path]\n    [red]d\n\n- **one**: `x`\n- two\n  more"
    words = prose(text + "\n\nend")
    assert words.plain == "Intro line goes on.\n\nLoss\n\n  a * b * c [/path]\n  [red]d\n\n• one: x\n• two more\n\nend"
    assert {str(span.style) for span in words.spans} == {"italic", "bold underline", "$text-accent", "bold"}


@pytest.mark.parametrize("text", ["2 * 3 * 4", "a*b*c", "**", "`", "*", "[/]", "x ** y ** z", "snake_case *", ""])
def test_signs_that_are_no_markdown_stay(text):
    assert inline(text).plain == text


def test_a_heading_is_read_as_text_is():
    words = prose("## `vae/elbo` of *x*")
    assert words.plain == "vae/elbo of x"
    assert {str(span.style) for span in words.spans} == {"bold underline", "$text-accent", "italic"}


def test_bold_ends_at_its_own_stars():
    words = inline("**/** filters, **Esc** clears, **a b** is **c")
    assert words.plain == "/ filters, Esc clears, a b is **c"
    assert [(span.start, span.end) for span in words.spans] == [(0, 1), (11, 14), (23, 26)]


@pytest.mark.parametrize("pane", PANES, ids=lambda row: row.id)
def test_no_sign_of_markdown_is_left_in_the_help_of_a_pane(pane):
    module, name = pane.source.split(":")
    assert not re.findall(r"\*\*|[`\\]", prose(getattr(import_module(module), name).HELP).plain)


def test_control_sequences_are_left_out():
    assert prose("a\x1b[31mb\x07").plain == "ab"
    assert isinstance(prose(""), Content)


@pytest.mark.parametrize("name", sorted(CATALOG.models))
def test_descriptions_of_built_in_models_lose_no_word(name):
    text = CATALOG.models[name].description
    words = prose(text).plain
    for word in text.replace("*", " ").replace("`", " ").replace("#", " ").split():
        if word not in ("-", "1.", "2.", "3."):
            assert word in words, word


def test_a_table_is_two_columns_of_which_the_last_is_wrapped():
    logs = "| `l` | **logs** of the values of all plots |"
    rows = ["| key | does |", "|---|---|", logs, "| `ctrl+x`, or `y` | ends |"]
    lines = prose("\n".join(["Keys:", "", *rows, "", "end"]), 36).plain.splitlines()
    table = ["l             logs of the values of", "              all plots", "ctrl+x, or y  ends"]
    assert lines == ["Keys:", "", *table, "", "end"]
    assert prose("\n".join(rows)).plain.splitlines()[0] == "l             logs of the values of all plots"
    assert prose("\n".join(rows[:2])).plain == "" and prose("a\n\n| x | y |").plain == "a\n\nx  y"
