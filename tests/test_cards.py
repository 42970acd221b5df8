"""What empty panes tell of the recipe in the form: its figure, how long it takes, and what it made."""

from __future__ import annotations

import msgspec
import pytest

from tests.form_host import CATALOG
from tests.shell import screen_text, until, workbench
from tui_gen import cards, pictures


@pytest.mark.parametrize("name", CATALOG.recipes)
def test_every_recipe_has_a_card(name):
    recipe = CATALOG.recipes[name]
    card = cards.card(recipe, "F5")
    assert recipe.summary in card.words and (recipe.figure in card.words) and "F5 trains it" in card.words
    if card.picture:
        assert pictures.read_png(card.picture).size


@pytest.mark.parametrize(("quality", "first"), [
    ({}, "val/vae/elbo"), ({"at_end": True}, "quality/confident"), ({"every_seconds": 5.0}, "quality/confident"),
])  # fmt: skip
def test_what_comes_first_is_what_the_recipe_measures(quality, first):
    """`vae-digits` has a figure for the quality of its samples, and measures that only if asked to."""
    recipe = CATALOG.recipes["vae-digits"]
    measuring = msgspec.structs.replace(recipe, tables={**recipe.tables, "quality": quality})
    assert f"Its losses will come here, {first} first." in cards.card(measuring).words.splitlines()


def test_every_picture_is_of_a_recipe_and_small():
    files = list(cards.folder().glob("*"))
    assert files and {file.stem.removesuffix(cards.SMALL) for file in files} <= set(CATALOG.recipes)
    small = [file for file in files if file.stem.endswith(cards.SMALL)]
    for file in small:
        name = file.stem.removesuffix(cards.SMALL)
        card = cards.card(CATALOG.recipes[name])
        assert card.picture == str(file) and card.title == f"{name}, its small version", "there is no better one"
    assert {f"ddpm{cards.SMALL}.png", f"vae{cards.SMALL}.png"} <= {file.name for file in small}
    assert sum(file.stat().st_size for file in files) < 1_000_000


def test_a_time_is_told_where_it_was_recorded(monkeypatch):
    records = {"conv-vae": {"seconds": 1068.0, "device": "cpu (1 thread)"}, "gan": {"seconds": None}}
    records["vae"] = {"seconds": 1068.0, "processor": 81.3, "device": "cpu (1 thread)"}
    records["ddpm"] = {"seconds": 62.0, "processor": 81.3, "device": "cuda (some GPU)"}
    monkeypatch.setattr(cards, "_records", lambda: records)
    words = cards.card(CATALOG.recipes["conv-vae"]).words
    assert "F5 trains it (it took 17 min 48 s on cpu (1 thread), beside other work)." in words
    assert "F5 trains it (it took 1 min 21 s of processor time)." in cards.card(CATALOG.recipes["vae"]).words
    assert "F5 trains it (it took 1 min 02 s on cuda (some GPU)" in cards.card(CATALOG.recipes["ddpm"]).words
    assert "F5 trains it." in cards.card(CATALOG.recipes["gan"]).words


def test_a_picture_of_a_run_with_other_settings_says_so(monkeypatch):
    """The figures of some recipes are for data that was not at hand: their runs on record are on other data."""
    records = {"gan": {"words": "50 epochs, with dataset.name=mnist"}, "conv-vae": {"words": "50 epochs"}}
    monkeypatch.setattr(cards, "_records", lambda: records)
    titles = [cards.card(CATALOG.recipes[name]).title for name in ("gan", "conv-vae", "ddpm-digits")]
    others = [f"{name}, trained as it is written" for name in ("conv-vae", "ddpm-digits")]
    assert titles == ["gan, trained with dataset.name=mnist", *others]


async def test_empty_panes_tell_of_the_recipe_in_the_form(monkeypatch):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        words = CATALOG.recipes["conv-vae"].summary.split()[:3]
        app.pick_recipe("conv-vae")
        await until(pilot, lambda: all(word in screen_text(app) for word in [*words, "trained as it is written"]))
        app.pick_model("gan")
        await until(pilot, lambda: "Choose a recipe and start it" in screen_text(app))
