"""The form's state: texts, marks, undo, validation, what carries over, live edits."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.form_host import catalog, odd_tables
from tui_gen import config, toml_writer
from tui_gen.app.panes.form.state import FormState, read_cell
from tui_gen.app.panes.form.steps import stepped
from tui_gen.config import ConfigError
from tui_gen.params import Param, Problem

CATALOG = catalog()
RECIPES = sorted(CATALOG.recipes)


def form(name: str = "vae-digits", live: bool = False) -> FormState:
    tables = CATALOG.recipes[name].tables if name in CATALOG.recipes else odd_tables()
    return FormState(CATALOG, tables, name, live=live)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_stands_in_the_form_unmodified_and_comes_out_as_it_went_in(name):
    state = form(name)
    assert state.problems() == [] and state.changed() == []
    assert config.load(state.tables(), CATALOG) == config.load(CATALOG.recipes[name].tables, CATALOG)


def test_every_declared_key_has_a_place_in_exactly_one_section():
    state = form("odd")
    listed = [key for section in state.sections() for key in section.keys]
    assert sorted(listed) == sorted({"model.name", *config.keys("odd", "ring", CATALOG)})
    assert [section.name for section in state.sections()] == [
        "model", "dataset", "train", "train.phases.first", "train.phases.second", "preview", "checkpoint",
            "quality", "",
    ]  # fmt: skip


def test_untouched_values_keep_every_digit():
    exact = 0.00012345678901234567
    state = FormState(CATALOG, {"model": {"name": "vae"}, "train": {"steps": 5, "phases": {"vae": {"lr": exact}}}})
    assert state.value("train.phases.vae.lr") == exact
    state.set_text("train.seed", "3")
    assert state.tables()["train"]["phases"]["vae"]["lr"] == exact


def test_wrong_text_is_a_problem_at_its_field_and_right_text_ends_it():
    state = form()
    for text in ("", "x", "0", "1.5", "9" * 5000, "1e400", "nan", "[/path]"):
        state.set_text("train.batch_size", text)
        assert "whole number" in state.placed()["train.batch_size"], text
    state.set_text("train.batch_size", "32")
    assert state.placed() == {} and state.tables()["train"]["batch_size"] == 32


def test_a_huge_whole_number_where_a_number_is_meant_is_refused():
    state = form()
    state.set_text("train.phases.vae.lr", "9" * 400)
    assert "train.phases.vae.lr" in state.placed()


def test_a_misspelt_choice_names_the_nearest():
    state = form()
    state.set_text("dataset.name", "digit")
    assert "digits" in state.placed()["dataset.name"]


def test_data_the_model_cannot_train_on_is_a_problem_at_the_dataset():
    state = form("odd")
    assert state.problems() == []
    state.set_text("dataset.name", "digits")
    assert "points data" in state.placed()["dataset.name"]


def test_a_folder_without_its_root_is_a_problem_at_the_root():
    state = form()
    state.set_text("dataset.name", "folder")
    assert "missing" in state.placed()["dataset.root"]


def test_one_length_takes_the_place_of_another_in_one_step():
    state = form()
    steps = state.text("train.steps")
    state.set_text("train.minutes", "2")
    assert state.text("train.steps") == "0" and state.problems() == []
    assert state.undo() and state.text("train.steps") == steps and state.text("train.minutes") == "0"
    state.set_text("train.steps", "0")
    assert list(state.placed()) == ["train.steps"]


def test_problems_found_elsewhere_stand_at_their_field_until_something_changes():
    state = form()
    state.add_problems([Problem("model.channels", [1, 2, 3], "too deep for 8 px")])
    assert state.placed() == {"model.channels": "too deep for 8 px"}
    state.set_text("train.seed", "1")
    assert state.placed() == {}


def test_typing_in_one_field_is_one_step_of_undo():
    state = form()
    for text in ("1", "12", "128"):
        state.set_text("model.latent", text)
    state.set_text("train.seed", "5")
    assert state.undo() and state.text("model.latent") == "128" and state.text("train.seed") == "0"
    assert state.undo() and not state.modified("model.latent")
    assert not state.undo()
    assert state.redo() and state.redo() and not state.redo()
    assert (state.text("model.latent"), state.text("train.seed")) == ("128", "5")


def test_leaving_a_field_ends_a_step_and_a_change_taken_back_is_none():
    state = form()
    state.set_text("train.seed", "1")
    state.close()
    state.set_text("train.seed", "2")
    assert state.undo() and state.text("train.seed") == "1"
    state.set_text("train.seed", "12")
    state.set_text("train.seed", "1")
    state.close()
    assert state.undo() and state.text("train.seed") == "0"


def test_take_back_leaves_no_trace():
    state = form()
    state.set_text("train.seed", "1")
    state.set_text("train.seed", "12")
    state.take_back()
    assert state.text("train.seed") == "0" and not state.undo() and not state.redo()


def test_reset_one_and_all():
    state = form()
    state.set_text("train.seed", "1")
    state.set_text("model.latent", "99")
    assert state.reset("train.seed") and state.changed() == ["model.latent"]
    assert state.reset_all() and state.changed() == []
    assert state.undo() and state.changed() == ["model.latent"]


def test_another_model_keeps_what_carries_over_and_brings_its_own_back():
    state = form()
    state.set_text("train.batch_size", "77")
    state.set_text("model.latent", "33")
    state.set_text("model.beta", "4")
    state.set_text("model.name", "gan")
    assert "model.beta" not in state.params and "train.phases.generator.lr" in state.params
    assert state.text("train.batch_size") == "77" and state.text("model.latent") == "33"
    state.set_text("model.name", "vae")
    assert state.text("model.beta") == "4" and state.text("model.latent") == "33"
    while state.undo():
        pass
    assert state.changed() == [] and state.model == "vae"


def test_a_value_that_does_not_fit_the_other_model_does_not_carry_over():
    state = form("odd")
    state.set_text("model.latent", "9000")
    state.set_text("model.name", "vae")
    assert state.value("model.latent") == 20


def test_a_misspelt_model_in_a_file_keeps_its_settings_for_the_right_one():
    state = FormState(CATALOG, {"model": {"name": "vea", "latent": 5}, "train": {"steps": 5}})
    assert "vae" in state.placed()["model.name"]
    state.set_text("model.name", "vae")
    assert state.value("model.latent") == 5 and state.problems() == []


def test_loading_tells_what_does_not_exist_and_is_one_step_of_undo():
    state = form()
    left = state.load({"model": {"name": "vae", "betta": 2}, "train": {"steps": 9, "phases": {"x": {}}}}, "mine")
    assert {problem.key for problem in left} == {"model.betta", "train.phases.x"}
    assert state.value("train.steps") == 9 and state.problems() == [] and state.source == "mine"
    assert state.undo() and state.source == "vae-digits"


def test_values_of_a_wrong_kind_stand_as_text_at_their_field():
    train = {"steps": "many", "batch_size": [1, 2], "seed": {"a": 1}}
    state = FormState(CATALOG, {"model": {"name": "vae"}, "train": train})
    assert {"train.steps", "train.batch_size", "train.seed"} <= set(state.placed())
    assert state.text("train.steps") == "many"
    assert FormState(CATALOG, {"model": 5, "dataset": [], "train": {"steps": 1, "phases": 3}}).placed()


def test_tables_of_a_newer_version_change_nothing():
    state = form()
    before = state.tables()
    with pytest.raises(ConfigError, match="newer"):
        state.load({"format": 99}, "new.toml")
    assert state.tables() == before and not state.undo()


def test_edited_tables_are_compared_with_what_was_loaded_before():
    state = form()
    tables = state.tables()
    tables["train"]["seed"] = 7
    assert state.replace(tables) == []
    assert state.changed() == ["train.seed"] and state.source == "vae-digits"
    assert state.undo() and state.changed() == []


def test_the_live_edits_of_a_copied_run_are_made_again_unless_switched_off():
    edits = [{"step": 5, "key": "model.beta", "value": 2.0}]
    tables = CATALOG.recipes["vae-digits"].tables | {"edits": edits}
    state = FormState(CATALOG, tables, "copy")
    assert state.problems() == [] and state.tables()["edits"] == edits and state.changed() == []
    state.set_text("edits", "false")
    assert "edits" not in state.tables() and state.changed() == ["edits"]
    state.undo()
    state.set_text("model.name", "gan")
    assert "edits" in state.placed()
    state.load(CATALOG.recipes["vae-digits"].tables, "recipe")
    assert "edits" not in state.params and state.undo() and state.tables()["edits"] == edits


def test_words_part_at_commas_and_text_stays_as_typed():
    words = Param("tags", "list", [], item="str", max_items=64)
    assert read_cell(words, "two words, one").value == ["two words", "one"]
    assert read_cell(Param("notes", "str", ""), ' "quoted" ').value == ' "quoted" '


@pytest.mark.parametrize(
    ("param", "value", "up", "down"),
    [
        (Param("n", "int", 1, ge=1, le=8), 1, "2", "1"),
        (Param("n", "int", 1, ge=1, le=8), 8, "8", "7"),
        (Param("lr", "float", 1e-3, gt=0, le=10), 2e-4, "5e-4", "1e-4"),
        (Param("lr", "float", 1e-3, gt=0, le=10), 3e-4, "5e-4", "2e-4"),
        (Param("lr", "float", 1e-3, gt=0, le=10), 10.0, "10", "5"),
        (Param("beta2", "float", 0.999, ge=0, lt=1), 0.999, "0.9995", "0.998"),
        (Param("beta1", "float", 0.9, ge=0, lt=1), 0.9, "0.95", "0.8"),
        (Param("beta1", "float", 0.9, ge=0, lt=1), 0.5, "0.8", "0.2"),
        (Param("ema", "float", 0.0, ge=0, lt=1), 0.0, "1e-5", "0"),
        (Param("beta", "float", 1.0, ge=0, le=1000), 0.01, "0.02", "0"),
        (Param("flag", "bool", True), True, "false", "false"),
        (Param("way", "choice", "a", choices=["a", "b", "c"]), "a", "b", "c"),
        (Param("way", "choice", "a", choices=["a", "b", "c"]), "?", "a", "c"),
    ],
)
def test_steps(param, value, up, down):
    assert stepped(param, value, 1) == up
    assert stepped(param, value, -1) == down


def test_big_steps_and_what_has_no_steps():
    assert stepped(Param("n", "int", 1, ge=1), 64, 1, big=True) == "128"
    assert stepped(Param("n", "int", 1, ge=1), 64, -1, big=True) == "32"
    assert stepped(Param("lr", "float", 1, gt=0), 1e-3, -1, big=True) == "1e-4"
    assert stepped(Param("t", "str", ""), "x", 1) is None


SCALES = [Param("lr", "float", 1e-3, gt=0, le=1e7), Param("p", "float", 0.1, ge=0, lt=1)]


@given(st.floats(1e-6, 1e6), st.sampled_from(SCALES))
def test_steps_move_the_right_way_and_stay_allowed(value, param):
    if param.lt is not None:
        value = value % 1
    for direction in (1, -1):
        text = stepped(param, value, direction)
        if text is not None:
            new = read_cell(param, text).value
            assert isinstance(new, float) and math.isfinite(new)
            assert (new - value) * direction >= 0


def test_a_run_takes_only_live_edits_and_tells_what_became_of_them():
    state = form("odd", live=True)
    assert not state.set_text("train.batch_size", "7") and not state.step("model.widths", 1)
    assert state.set_text("model.beta", "1") and state.ask("model.beta")
    assert state.pending == {"model.beta": 1.0}
    state.acknowledge("model.beta", 1.0, 120)
    assert state.notes["model.beta"] == "took effect at step 120"
    assert not state.modified("model.beta") and state.pending == {} and not state.ask("model.beta")
    state.set_text("model.beta", "5")
    assert not state.ask("model.beta")
    state.set_text("model.beta", "2")
    assert "model.beta" not in state.notes and state.ask("model.beta")
    state.refuse("model.beta", "no [/such] thing")
    assert state.placed()["model.beta"] == "no [/such] thing" and state.text("model.beta") == "2"
    state.set_text("model.beta", "1.5")
    assert state.placed() == {}


def test_an_edit_by_another_shows_but_never_takes_away_what_is_being_typed():
    state = form("odd", live=True)
    state.acknowledge("model.beta", 1.5, 10)
    assert state.text("model.beta") == "1.5"
    state.set_text("model.beta", "0.7")
    state.acknowledge("model.beta", 1.0, 20)
    assert state.text("model.beta") == "0.7" and state.modified("model.beta")
    assert state.baseline("model.beta").text == "1"
    state.ended = True
    assert not state.set_text("model.beta", "0.6")


TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["0", "1", "3", "0.5", "1e-3", "true", "vae", "odd", "digits", "ring", "[/x]", "1, 2", "-1"]),
)


@st.composite
def operations(draw):
    pairs = itertools.product(CATALOG.models, ("digits", "ring", "text-file"))
    keys = sorted({key for pair in pairs for key in ("model.name", *config.keys(*pair, CATALOG))})
    return draw(
        st.lists(
            st.one_of(
                st.tuples(st.just("text"), st.sampled_from(keys), TEXTS),
                st.tuples(st.just("text"), st.just("model.name"), st.sampled_from(sorted(CATALOG.models))),
                st.tuples(st.just("step"), st.sampled_from(keys), st.sampled_from([1, -1])),
                st.tuples(st.just("reset"), st.sampled_from(keys)),
                st.tuples(st.just("load"), st.sampled_from(RECIPES)),
                st.tuples(st.sampled_from(["reset_all", "close", "undo", "redo"])),
            ),
            max_size=12,
        )
    )


def seen(state: FormState) -> tuple:
    return ({key: (state.text(key), repr(state.value(key))) for key in state.params}, state.source, state.changed())


@settings(max_examples=120, deadline=None)
@given(operations())
def test_whatever_is_done_can_be_undone_and_done_again(doings):
    state = form()
    first = seen(state)
    for name, *rest in doings:
        match name, rest:
            case "text", (key, text):
                state.set_text(key, text)
            case "step", (key, direction) if key in state.params:
                state.step(key, direction)
            case "reset", (key,) if key in state.params:
                state.reset(key)
            case "load", (recipe,):
                assert state.load(CATALOG.recipes[recipe].tables, recipe) == []
            case ("reset_all" | "close" | "undo" | "redo"), _:
                getattr(state, name)()
        assert {key for section in state.sections() for key in section.keys} == set(state.params)
        assert set(state.placed()) <= set(state.params)
    state.close()
    while state.redo():
        pass
    last = seen(state)
    text = toml_writer.dump_toml(state.tables())
    if not state.problems():
        again = FormState(CATALOG, config.parse_toml(text, "saved"), "saved")
        assert again.tables() == state.tables()
    while state.undo():
        pass
    assert seen(state) == first
    while state.redo():
        pass
    assert seen(state) == last
