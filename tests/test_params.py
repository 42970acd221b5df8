"""Declarations of hyperparameters: what they allow, in words, and values as people type them."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.settings import FLOATS, TEXT, anything, values_of
from tui_gen import config, params
from tui_gen.params import Param, Problem, check, check_value, describe, hyper, nearest, parse, show


class Inner(msgspec.Struct):
    x: int = 1


class Declared(msgspec.Struct):
    """One of everything."""

    whole: Annotated[int, hyper("A whole number", ge=1, le=1024, unit="px", live=True)] = 20
    number: Annotated[float, hyper("A number", gt=0, lt=1)] = 0.5
    switch: Annotated[bool, hyper("On or off")] = False
    text: Annotated[str, hyper("Words")] = "x"
    choice: Annotated[Literal["mlp", "conv", 3, True], hyper("One of them")] = "mlp"
    widths: Annotated[list[int], hyper("Widths", ge=1, le=99, min_items=1, max_items=3)] = msgspec.field(
        default_factory=lambda: [8, 4]
    )
    words: Annotated[tuple[str, ...], hyper("Words")] = ("a",)
    maybe: Annotated[float | None, hyper("Perhaps", ge=0)] = 3.0
    wrapped: Annotated[int, hyper("Perhaps", ge=2)] | None = None
    either: Annotated[int | float, hyper("Any number")] = 1
    plain: Annotated[int, msgspec.Meta(ge=5, description="Declared without hyper")] = 7
    bare: int = 3
    inner: Inner = msgspec.field(default_factory=Inner)


PARAMS = describe(Declared)
BY_NAME = {param.name: param for param in PARAMS}


def test_a_struct_is_described_with_everything_a_form_needs():
    assert [param.name for param in PARAMS] == [
        "whole", "number", "switch", "text", "choice", "widths", "words", "maybe", "wrapped", "either", "plain", "bare",
    ]  # fmt: skip
    assert BY_NAME["whole"] == Param("whole", "int", 20, "A whole number", "px", ge=1, le=1024, live=True)
    assert BY_NAME["choice"].choices == ["mlp", "conv", 3, True]
    widths = BY_NAME["widths"]
    assert (widths.kind, widths.item, widths.min_items, widths.max_items, widths.ge) == ("list", "int", 1, 3, 1)
    assert (BY_NAME["words"].kind, BY_NAME["words"].item) == ("list", "str")
    assert BY_NAME["maybe"].optional and BY_NAME["maybe"].kind == "float" and BY_NAME["maybe"].default == 3.0
    assert BY_NAME["wrapped"] == Param("wrapped", "int", None, "Perhaps", ge=2, optional=True)
    assert BY_NAME["either"].kind == "float"
    assert BY_NAME["plain"] == Param("plain", "int", 7, "Declared without hyper", ge=5)


def test_what_is_allowed_is_said_in_words():
    words = {name: param.allowed() for name, param in BY_NAME.items()}
    assert words["whole"] == "a whole number, 1 ≤ x ≤ 1024"
    assert words["number"] == "a number, 0 < x < 1"
    assert words["switch"] == "true or false"
    assert words["choice"] == "one of mlp, conv, 3, True"
    assert words["widths"] == "a list of 1 to 3 values, each a whole number, 1 ≤ x ≤ 99"
    assert words["maybe"] == "a number, 0 ≤ x, or empty"
    assert Param("x", "float", le=2e-4).allowed() == "a number, x ≤ 2e-4"


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("whole", 1, 1), ("whole", 1024, 1024), ("whole", 20.0, 20), ("number", 0.001, 0.001), ("choice", 3, 3),
        ("choice", True, True), ("widths", (1, 2.0), [1, 2]), ("words", ["a", ""], ["a", ""]), ("maybe", None, None),
        ("maybe", "", None), ("maybe", 2, 2.0), ("text", "", ""), ("either", 1.5, 1.5), ("bare", -5, -5),
    ],
)  # fmt: skip
def test_what_is_allowed_is_kept_in_its_own_kind(name, value, kept):
    clean, wrong = check_value(BY_NAME[name], value)
    assert not wrong and clean == kept and type(clean) is type(kept)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("whole", 0), ("whole", 1025), ("whole", 1.5), ("whole", True), ("whole", "1"), ("whole", None), ("whole", [1]),
        ("whole", math.nan), ("whole", math.inf), ("whole", 1e300), ("number", 0), ("number", 1), ("number", math.nan),
        ("number", -math.inf), ("number", False), ("number", 10**400), ("switch", 1), ("switch", "true"), ("text", 5),
        ("text", None), ("text", "a\0b"), ("text", "\udcff"), ("choice", "MLP"), ("choice", 1), ("choice", False),
        ("choice", {}), ("choice", ["mlp"]), ("widths", []), ("widths", [1, 2, 3, 4]), ("widths", [0]), ("widths", "1"),
        ("widths", {"a": 1}), ("widths", [True]), ("widths", [[1]]), ("words", [1]), ("words", ["\ud800"]),
        ("maybe", -1), ("maybe", "x"), ("plain", 4), ("bare", 2**63), ("bare", -(16**5000)), ("bare", 1e19),
    ],
    ids=range(42),
)  # fmt: skip
def test_what_is_not_allowed_is_refused_with_what_is(name, value):
    _, message = check_value(BY_NAME[name], value)
    assert BY_NAME[name].allowed() in message or "no file can hold" in message


def test_every_problem_of_a_table_is_found_at_once():
    table = {"whole": -5, "nmber": 1, "choice": "con", "widths": [1, 2, 3, 4], "text": "fine", "phases": {}}
    values, problems = check(PARAMS, table, "model", also=("phases",))
    assert [(problem.key, problem.value) for problem in problems] == [
        ("model.whole", -5), ("model.nmber", 1), ("model.choice", "con"), ("model.widths", [1, 2, 3, 4]),
    ]  # fmt: skip
    assert [problem.hint for problem in problems] == ["", "did you mean 'number'?", "did you mean 'conv'?", ""]
    assert problems[3].message.startswith("has 4 values; needs a list of 1 to 3 values")
    assert values["text"] == "fine" and values["whole"] == 20 and values.keys() == BY_NAME.keys()
    assert "known here: " in check(PARAMS, {"zzzzzz": 1}, "")[1][0].hint


def test_defaults_are_copies():
    first, _ = check(PARAMS, {}, "")
    first["widths"].append(5)
    assert check(PARAMS, {}, "")[0]["widths"] == [8, 4]


@pytest.mark.parametrize("table", [None, 5, "x", [], [{}]])
def test_what_is_no_table_is_told(table):
    values, [problem] = check(PARAMS, table, "train")
    assert problem.key == "train" and "must be a table" in problem.message and "[train]" in problem.hint
    assert values["whole"] == 20


def test_problems_stand_on_one_line_whatever_is_in_them():
    assert str(Problem("train.steps", -5, "needs more", "try 5")) == "train.steps = -5: needs more (try 5)"
    assert str(Problem("model.name", None, "is missing")) == "model.name: is missing"
    nasty = str(Problem("a\nb", "\x1b[31mred\udcff" + "x" * 500, "is wrong"))
    assert nasty.isprintable() and len(nasty) < 250 and nasty.startswith("a\\nb = \\x1b[31mred\\udcff")
    assert "too large" in str(Problem("x", -(16**5000), "is wrong"))


def test_the_nearest_name_is_found():
    assert nearest("bacth_size", ["batch_size", "steps"]) == "did you mean 'batch_size'?"
    assert nearest("zzz", ["batch_size"]) == nearest("x", []) == ""
    assert nearest(["batch_size"], ["batch_size"]) and nearest(16**5000, ["x"]) == "" and nearest(5, [5, 6])


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("whole", " 1_000 ", 1000), ("whole", "1e3", 1000.0), ("whole", "x", "x"), ("whole", "", ""),
        ("number", "2e-4", 2e-4), ("switch", "on", True),
        ("switch", "No", False), ("switch", "1", True), ("switch", "maybe", "maybe"),
        ("text", "two words", "two words"), ("text", '"quoted"', "quoted"), ("text", "'it'", "it"),
        ("text", 'say "hi"', 'say "hi"'), ("text", r'"a\tb"', "a\tb"), ("text", r'"C:\x"', r"C:\x"), ("text", '"', '"'),
        ("choice", "conv", "conv"), ("choice", '"conv"', "conv"), ("choice", "3", 3), ("choice", "true", True),
        ("choice", "other", "other"), ("widths", "[256, 128]", [256, 128]), ("widths", "256 128", [256, 128]),
        ("widths", "(1,2)", [1, 2]), ("widths", "", []), ("widths", "1, x", [1, "x"]), ("maybe", "", None),
        ("words", "a b, c", ["a b", "c"]), ("words", '["a, b", "c"]', ["a, b", "c"]), ("words", "['x']", ["x"]),
        ("words", '"x", y', ["x", "y"]), ("words", "[", ["["]), ("words", "1, true", ["1", "true"]),
    ],
)  # fmt: skip
def test_people_s_typing_is_understood(name, text, value):
    found = parse(BY_NAME[name], text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2e-4, "2e-4"), (0.001, "0.001"), (1e-9, "1e-9"), (0.5, "0.5"), (100.0, "100"), (1e10, "1e10"),
        (1.25e-7, "1.25e-7"), (-3e-5, "-3e-5"), (0.0, "0"),
        (123456.5, "123456.5"), (1e300, "1e300"), (math.inf, "inf"), (math.nan, "nan"),
        (None, ""), (True, "true"), (5, "5"), ([400, 200], "400, 200"), ([], ""), ("as it is", "as it is"),
        (["a", "b c"], "a, b c"), (["a,b", "c"], '"a,b", "c"'), ([True, 1e-5], "true, 1e-5"),
    ],
)  # fmt: skip
def test_values_are_shown_as_people_write_them(value, text):
    assert show(value) == text


@given(FLOATS)
def test_a_number_is_shown_with_every_digit_it_has_and_no_more(value):
    assert float(show(value)) == value and len(show(value)) <= len(repr(value)) + 3


ALL = [*PARAMS, *config.TOP, *config.OPTIM_PARAMS, *(one for group in config.TABLE_PARAMS.values() for one in group)]


@given(st.data(), st.sampled_from(ALL))
def test_what_is_shown_is_read_back(data, param):
    value = data.draw(values_of(param))
    assert check_value(param, value) == (value, "")
    if isinstance(value, str) and param.kind == "str" and parse(param, value) != value:
        assert value != value.strip() or (value[0] == value[-1] and value[0] in "\"'")
        return
    back, wrong = check_value(param, parse(param, show(value)))
    assert not wrong and back == value and type(back) is type(value)


@given(st.sampled_from(ALL), anything(["a"]), TEXT)
def test_nothing_that_is_checked_or_typed_raises(param, value, text):
    clean, wrong = check_value(param, value)
    assert wrong or check_value(param, clean) == (clean, "")
    check_value(param, parse(param, text))
    assert isinstance(show(value), str) and str(Problem("k", value, wrong)).isprintable()


@given(TEXT)
def test_quoted_text_is_toml(text):
    import tomllib

    assert tomllib.loads(f"x = {params.quote(text)}") == {"x": text}
