"""Configs: TOML in both directions, overrides, and every problem told at once, whatever is in the file."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.settings import TEXT, anything, values_of
from tui_gen import catalog as catalogs
from tui_gen import config, datasets, params, toml_writer
from tui_gen.catalog import Catalog, ModelEntry, Recipe
from tui_gen.config import ConfigError, Optim, RunConfig, load, override, to_tables
from tui_gen.params import Param

SHIPPED: Catalog = catalogs.read()
ODD = ModelEntry(
    name="odd-one", family="own", title="", summary="", description="", reference="", kinds=["image"], abilities=[],
    params=[
        Param("maybe", "float", 3.0, "Help of\ntwo lines # and \x1b[31m more", ge=0, optional=True, live=True),
        Param("maybe_list", "list", None, item="int", optional=True), Param("words", "list", ["a"], item="str"),
        Param("text", "str", "x", unit="unit"), Param("choice", "choice", 2, choices=[1, 2, "a b"]),
        Param("any", "int", 0, live=True),
    ],
    phases={"a.b c": Optim(lr=1e-9), "ünï": Optim(optimizer="sgd"), "": Optim(), '"\x7f\n': Optim()},
)  # fmt: skip
CATALOG = Catalog(models={**SHIPPED.models, ODD.name: ODD}, datasets=SHIPPED.datasets, recipes=SHIPPED.recipes)
KEYS = [key for name in CATALOG.models for key in config.may_be_stated(name, "folder", CATALOG)]
KEYS = sorted({part for key in KEYS for part in key.split(".")})
KEYS += ["format", "edits", "phases", "recipe", "step", "key", "value"]
LENGTHS = ("steps", "epochs", "minutes")


def tables(model: str = "vae", /, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"model": {"name": model}, "train": {"steps": 5}}
    for key, value in more.items():
        config.set_key(made, key.replace("__", "."), value)
    return made


def problems(given_tables: dict[str, Any], catalog: Catalog = CATALOG) -> list[params.Problem]:
    with pytest.raises(ConfigError) as caught:
        load(given_tables, catalog)
    return caught.value.problems


@st.composite
def valid_tables(draw: st.DrawFn) -> dict[str, Any]:
    """Any valid config, complete or with values left out."""
    entry = draw(st.sampled_from(list(CATALOG.models.values())))

    def some(declared: list[Param]) -> dict[str, Any]:
        return {one.name: draw(values_of(one)) for one in declared if draw(st.booleans())}

    made = some(config.TOP) | {key: some(declared) for key, declared in config.TABLE_PARAMS.items()}
    made["model"] = {"name": entry.name} | some(entry.params)
    made["train"]["phases"] = {name: some(config.OPTIM_PARAMS) for name in entry.phases if draw(st.booleans())}
    made["train"] |= dict.fromkeys(LENGTHS, 0) | {draw(st.sampled_from(LENGTHS)): draw(st.integers(1, 1000))}
    most = made["train"].get("batch_size", config.TrainConfig().batch_size)
    made["train"]["processes"] = draw(st.integers(1, min(most, 4096)))
    made["train"]["accumulate"] = draw(st.integers(1, most // made["train"]["processes"]))
    one_device = ["cuda:3", "mps"] if made["train"]["processes"] == 1 else []
    made["train"]["device"] = draw(st.sampled_from(["auto", "cpu", "cuda", *one_device]))
    data = draw(st.sampled_from(list(CATALOG.datasets.values())))
    other = draw(st.sampled_from(list(datasets.elsewhere(data, CATALOG.datasets).values())))
    made["dataset"] = {"name": data.name, other.name: draw(values_of(other))} | some(data.params)
    made["dataset"] |= {"root": draw(TEXT.filter(bool))} if data.reads else {}
    known = {key: one for key, one in config.keys(entry.name, data.name, CATALOG).items() if one.live}
    live = draw(st.lists(st.sampled_from(sorted(known)), max_size=2))
    made["edits"] = [{"step": draw(st.integers(0, 10**9)), "key": k, "value": draw(values_of(known[k]))} for k in live]
    return made


@given(valid_tables())
@settings(suppress_health_check=[HealthCheck.data_too_large], max_examples=60)
def test_any_config_is_read_back_as_it_was_written(given_tables):
    made = load(given_tables, CATALOG)
    for text in (config.dumps(made), config.dumps(made, CATALOG)):
        again = load(config.parse_toml(text, "text"), CATALOG)
        assert again == made and msgspec.to_builtins(again) == msgspec.to_builtins(made)
        assert config.dumps(again) == config.dumps(made)
    assert load(to_tables(made), CATALOG) == made


def test_a_config_is_complete_and_explains_itself():
    text = config.dumps(load(tables("odd-one"), CATALOG), CATALOG)
    read = config.parse_toml(text, "text")
    entry_keys = config.keys("odd-one", "digits", CATALOG)
    plain = [key for key in entry_keys if not key.startswith("train.phases.")]
    assert all(config.get_key(read, key) is not None for key in plain)
    assert read["train"]["phases"].keys() == ODD.phases.keys() and read["format"] == config.FORMAT
    assert "# Help of two lines # and more" in text and "\x1b" not in text
    assert "# Examples per step" in text and "[units]" not in text
    assert "# Length in steps; 0 where another length is set [steps]" in text


@given(st.dictionaries(TEXT, anything(["a", "b c", "d.e"]), max_size=5))
def test_any_tables_are_written_as_toml(some):
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        if isinstance(value, list):
            return [plain(one) for one in value]
        if value is None or isinstance(value, str):
            return value or ""
        return value if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63) else 1

    some = plain(some)
    read = config.parse_toml(toml_writer.dump_toml(some), "text")
    assert _same(read, some)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(one, other) for one, other in zip(a, b, strict=True))
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


# -- what is wrong


def test_every_problem_is_told_at_once_with_what_is_allowed_and_the_nearest_name():
    wrong = {
        "nmae": "x", "tags": [1],
        "model": {"name": "vae", "latnet": 5, "latent": -5, "network": "conf"},
        "dataset": {"name": "digit", "size": 1.5},
        "train": {
            "steps": 5, "epochs": 2.5, "batch_size": "many", "device": "gpu",
            "phases": {"vea": {}, "vae": {"lr": 0, "x": 1}},
        },
        "preview": 7, "checkpoint": {"keep_last": 0},
        "edits": [{"step": 5, "key": "train.seed", "value": 1}, {"step": -1, "key": "model.beta", "value": 1}],
    }  # fmt: skip
    found = problems(wrong)
    told = {problem.key: str(problem) for problem in found}
    assert len(told) == len(found)
    expected = {
        "nmae": "did you mean 'name'?", "tags": "tags = [1]: needs a list", "model.latnet": "did you mean 'latent'?",
        "model.latent": "model.latent = -5: needs a whole number, 1 ≤ x", "model.network": "did you mean 'conv'?",
        "dataset.name": "did you mean 'digits'?", "dataset.size": "a whole number, 0 ≤ x ≤ 512",
        "train": "more than one length: steps = 5, epochs = 2.5", "train.batch_size": "train.batch_size = many: needs",
        "train.device": "train.device = gpu: no such device (one of auto, cpu, cuda", "train.phases.vea": "'vae'?",
        "train.phases.vae.lr": "train.phases.vae.lr = 0: needs a number, 0 < x", "train.phases.vae.x": "known here: ",
        "preview": "preview = 7: must be a table", "checkpoint.keep_last": "1 ≤ x",
        "edits[0].train.seed": "cannot be changed while training; these can:", "edits[1]": "must be {step = 100",
    }  # fmt: skip
    assert told.keys() == expected.keys()
    assert all(words in told[key] for key, words in expected.items()), told
    with pytest.raises(ConfigError) as caught:
        load(wrong, CATALOG, "my.toml")
    text = str(caught.value)
    assert text.startswith(f"my.toml: {len(found)} problems\n") and all(f"  {line}" in text for line in told.values())


@pytest.mark.parametrize("model", sorted(CATALOG.models))
def test_a_value_of_a_wrong_kind_is_one_problem_at_its_place(model):
    for key, param in config.keys(model, "digits", CATALOG).items():
        if model == ODD.name and key.startswith("train.phases."):
            continue  # its phases have dots in their names
        for value in (None, True, "zzz", -1.5, 1e300, math.nan, math.inf, [], [{}], {}, {"a": {"b": 1}}, [[1]]):
            if not params.check_value(param, value)[1]:
                continue
            [problem] = problems(tables(model, **{key: value}))
            assert problem.key == key and (problem.value == value or value != value)


@pytest.mark.parametrize(
    "place", ["model", "dataset", "train", "preview", "checkpoint", "train.phases", "train.phases.vae"]
)
@pytest.mark.parametrize("value", [5, "x", [], [{"a": 1}], None, True])
def test_what_should_be_a_table_is_told(place, value):
    found = problems(tables(**{place: value}))
    assert [problem.key for problem in found] == [place] and "must be a table" in found[0].message


def test_a_model_that_is_not_there_is_told():
    assert "did you mean 'vae'?" in str(problems(tables("veae"))[0])
    assert "known: " in str(problems(tables("zzzzzzzz"))[0])
    for name in (5, ["vae"], {"a": 1}, True):
        assert [problem.key for problem in problems(tables(model__name=name))] == ["model.name"]
    for none in ({"train": {"steps": 1}}, tables(model={})):
        [problem] = problems({**none, "train": {"steps": 1}})
        assert problem.key == "model.name" and "is missing" in problem.message


def test_a_length_is_needed_and_only_one():
    assert "has no length" in str(problems({"model": {"name": "vae"}})[0])
    assert "more than one length" in str(problems(tables(train__minutes=1))[0])
    assert load(tables(train__steps=0, train__minutes=0.5), CATALOG).train.minutes == 0.5


def test_a_folder_dataset_needs_its_folder():
    [problem] = problems(tables(dataset__name="folder"))
    assert problem.key == "dataset.root" and "reads a folder" in problem.message
    assert load(tables(dataset__name="folder", dataset__root="~/x"), CATALOG).dataset.root == "~/x"


@pytest.mark.parametrize("device", ["", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:1.0", "cuda:²", "tpu", "cuda 1"])
def test_devices_are_checked(device):
    assert [problem.key for problem in problems(tables(train__device=device))] == ["train.device"]


@pytest.mark.parametrize("version", [2, 99, 2**70])
def test_a_config_of_a_newer_version_is_told_and_nothing_else(version):
    newer = {"format": version, "hologram": {"x": 1}, "model": {"name": "from-the-future"}}
    [problem] = problems(newer)
    assert problem.key == "format" and "newer tui-gen" in problem.message and "upgrade" in problem.hint
    assert load({**tables(), "format": 1}, CATALOG).model.name == "vae"


@pytest.mark.parametrize("version", ["1", 1.0, None, True, 0, -3, [], {}])
def test_a_version_that_is_none_is_told(version):
    assert [problem.key for problem in problems({**tables(), "format": version})] == ["format"]


def test_phases_start_from_the_model_s_own_optimisers():
    made = load(tables("odd-one", train__phases={"ünï": {"lr": 0.5}}), CATALOG)
    assert made.train.phases["ünï"] == Optim(optimizer="sgd", lr=0.5)
    assert made.train.phases["a.b c"] == Optim(lr=1e-9) and made.train.phases["a.b c"] is not ODD.phases["a.b c"]


def test_live_edits_are_checked_one_by_one():
    good = {"step": 10, "key": "model.beta", "value": 2}
    assert load(tables(edits=[good]), CATALOG).edits == [{"step": 10, "key": "model.beta", "value": 2.0}]
    bad = [
        5, {}, {"step": 1}, {**good, "more": 1}, {**good, "step": True}, {**good, "step": 1.0}, {**good, "step": -1},
        {**good, "step": 2**64}, {**good, "key": "model.bteta"}, {**good, "key": 5}, {**good, "key": ["a"]},
        {**good, "value": -1}, {**good, "value": None}, {**good, "key": "train.batch_size"},
    ]  # fmt: skip
    found = problems(tables(edits=[good, *bad]))
    assert [problem.key.split(".")[0] for problem in found] == [f"edits[{number + 1}]" for number in range(len(bad))]
    assert "no such setting (did you mean 'model.beta'?)" in str(found[8])
    for value in (5, "x", {"step": 1}):
        assert [problem.key for problem in problems(tables(edits=value))] == ["edits"]


# -- whatever is in the file


@given(st.dictionaries(st.sampled_from(KEYS) | TEXT, anything(KEYS)), st.lists(st.sampled_from(KEYS), max_size=4), TEXT)
@settings(max_examples=150)
def test_whatever_tables_say_only_problems_come_of_it(some, words, value):
    assignments = [f"{'.'.join(words[:cut])}={value}" for cut in range(len(words) + 1)]
    recipe = Recipe("r", "", "", "", "", copy.deepcopy(some), "")
    catalog = Catalog(models=CATALOG.models, datasets=SHIPPED.datasets, recipes={"r": recipe})
    before = repr(some)
    for attempt in (
        lambda: load(some, catalog),
        lambda: override(some, assignments, catalog),
        lambda: catalogs.resolve("r", catalog),
        lambda: catalogs.resolve("r", catalog, assignments, {"model_dirs": ["x"], "train.steps": 5}),
    ):
        try:
            made = attempt()
        except ConfigError as error:
            assert error.problems and all(str(problem).isprintable() for problem in error.problems)
        else:
            assert isinstance(made, dict | RunConfig)
    assert repr(some) == before == repr(recipe.tables) and isinstance(catalog.recipes_of("vae"), list)


@given(valid_tables(), anything(KEYS), st.data())
@settings(suppress_health_check=[HealthCheck.data_too_large], max_examples=60)
def test_one_odd_value_anywhere_is_kept_or_told(given_tables, value, data):
    key, table = "", given_tables
    while True:
        assume(table)
        last = data.draw(st.sampled_from(sorted(table)))
        key = f"{key}.{last}" if key else last
        if not isinstance(table[last], dict) or data.draw(st.booleans()):
            break
        table = table[last]
    table[last] = value
    try:
        made = load(given_tables, CATALOG)
    except ConfigError as error:
        assert error.problems and all(str(problem).isprintable() for problem in error.problems)
    else:
        assert load(config.parse_toml(config.dumps(made), "text"), CATALOG) == made


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe", "is not UTF-8 text"), (b"a = ", "is not valid TOML"), (b"a = 1\na = 2", "is not valid TOML"),
        (b"a = " + b"1" * 5000, "is not valid TOML"), (b"a = " + b"[" * 5000, "more than 32 deep"),
        (b"\0", "not valid TOML"), (b"a = " + b"[" * 40 + b"]" * 40, "more than 32 deep"),
        (b".".join([b"a"] * 3000) + b" = 1", "more than 32 parts"),
        (None, "No such file"), ("folder", "Is a directory"),
    ],
    ids=range(10),
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_told(tmp_path, content, words):
    file = tmp_path / "my.toml"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content:
        file.mkdir()
    with pytest.raises(ConfigError, match=words) as caught:
        config.read_toml(file)
    assert caught.value.source == str(file) and len(caught.value.problems) == 1


def test_marks_of_other_editors_and_systems_are_no_problem(tmp_path):
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbfname = 'x'\r\n[model]\r\nname = 'vae'\r\n")
    assert config.read_toml(tmp_path / "a.toml") == {"name": "x", "model": {"name": "vae"}}
    with pytest.raises(ConfigError, match="null byte"):
        config.read_toml(Path("a\0b"))


# -- overrides


def test_overrides_apply_in_order_to_a_copy():
    before = tables(train__seed=3)
    kept = copy.deepcopy(before)
    after = override(
        before, ["train.seed=4", " train.seed = 5 ", "model.hidden=[10, 20]", "train.phases.vae.lr=3e-4", "name=a=b",
                 "dataset.flip=yes", "tags=x y,z", 'notes="quoted, # text"', "train.batch_size=1_0"], CATALOG,
    )  # fmt: skip
    assert before == kept
    made = load(after, CATALOG)
    assert (made.train.seed, made.model.values["hidden"], made.train.phases["vae"].lr) == (5, [10, 20], 3e-4)
    assert (made.name, made.dataset.values["flip"], made.tags) == ("a=b", True, ["x y", "z"])
    assert (made.notes, made.train.batch_size) == ("quoted, # text", 10)


@pytest.mark.parametrize("length", LENGTHS)
def test_setting_one_length_ends_the_others(length):
    made = load(override(tables(), [f"train.{length}=7"], CATALOG), CATALOG)
    assert {key: getattr(made.train, key) for key in LENGTHS} == dict.fromkeys(LENGTHS, 0) | {length: 7}
    last = load(override(tables(), ["train.minutes=1", f"train.{length}=7"], CATALOG), CATALOG)
    assert getattr(last.train, length) == 7
    if length != "steps":
        assert load(override(tables(), [f"train.{length}=0"], CATALOG), CATALOG).train.steps == 5


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("wrong", ["-1", "many", "1e12"])
def test_a_length_that_is_none_is_told_whatever_comes_after_it(length, wrong):
    for more in ([], [f"train.{other}=3" for other in LENGTHS if other != length]):
        with pytest.raises(ConfigError) as caught:
            load(override(tables(), [f"train.{length}={wrong}", *more], CATALOG), CATALOG)
        assert [problem.key for problem in caught.value.problems] == [f"train.{length}"]


def test_another_model_may_be_named_and_its_settings_after_it():
    after = override(tables(), ["model.name='odd-one'", "model.maybe="], CATALOG)
    assert after["model"] == {"name": "odd-one", "maybe": None}
    assert load(after, CATALOG).model.values["maybe"] is None
    assert override({}, ["model.name=vae", "model.latent=4"], CATALOG)["model"] == {"name": "vae", "latent": 4}


def test_every_malformed_override_is_told():
    wrong = ["steps=5", "train.stps=5", "=5", "train.steps", "", "model.name.x=1", "zzzz=1", "lr=1"]
    with pytest.raises(ConfigError) as caught:
        override(tables(), [*wrong, "train.seed=1"], CATALOG)
    assert caught.value.source == "command line"
    assert [problem.value for problem in caught.value.problems] == wrong
    told = [str(problem) for problem in caught.value.problems]
    assert "did you mean train.steps?" in told[0] and "did you mean 'train.steps'?" in told[1]
    assert all("must look like key=value" in told[number] for number in (2, 3, 4))
    assert "did you mean train.phases.vae.lr?" in told[7]


def test_a_key_in_the_wrong_table_is_told_by_its_end():
    wrong = ["train.lr=1", "chekpoint.every_steps=3", "every_steps=3"]
    with pytest.raises(ConfigError) as caught:
        override(tables(), wrong, CATALOG)
    assert [problem.hint for problem in caught.value.problems] == [
        "did you mean 'train.phases.vae.lr'?",
        "did you mean 'checkpoint.every_steps'?",
        "did you mean preview.every_steps or checkpoint.every_steps?",
    ]


@pytest.mark.parametrize(
    "odd", [{"model": 5}, {"model": {"name": ["x"]}}, {"model": {}}, {}, {"train": "x"}, {"train": None}]
)
def test_overrides_of_odd_tables_only_make_problems(odd):
    after = override(odd, ["train.steps=5", "model.name=vae", "model.latent=3", "train.phases.vae.lr=1"], CATALOG)
    assert load(after, CATALOG).train.phases["vae"].lr == 1.0


def test_a_value_of_a_wrong_kind_is_told_with_its_place():
    after = override(tables(), ["train.seed=many", "train.batch_size=", "model.latent=nan", "notes=\udcff"], CATALOG)
    assert [problem.key for problem in problems(after)] == ["notes", "model.latent", "train.seed", "train.batch_size"]


def test_keys_lead_to_values_and_declarations():
    some: dict[str, Any] = {"a": 5}
    config.set_key(some, "a.b.c", 1)
    assert config.get_key(some, "a.b.c") == 1 and config.get_key(some, "a") == {"b": {"c": 1}}
    for missing in ("a.b.c.d", "x", "a.x"):
        with pytest.raises(KeyError):
            config.get_key(some, missing)
    known = config.keys("vae", "digits", CATALOG)
    assert known["train.phases.vae.lr"].live and "model.x" not in known and "model.latent" in known
    assert config.keys("odd-one", "digits", CATALOG)["train.phases.ünï.optimizer"].default == "sgd"
    assert "train.batch_size" in config.keys("no such model", "", CATALOG)
