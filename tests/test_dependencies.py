"""What a hyperparameter that names a run may say, and what is said when it cannot be used. No run is trained here."""

from __future__ import annotations

import shutil
from typing import Annotated

import msgspec
import pytest

from tests import small_runs
from tui_gen import checkpoints, dependencies, events, runs
from tui_gen import config as configs
from tui_gen.catalog import ModelEntry
from tui_gen.params import check_value, describe, hyper


class Config(msgspec.Struct):
    size: Annotated[int, hyper("How large")] = 3
    base: Annotated[str, hyper("Whose codes", run=("encode", "decode"))] = "vae-digits"


@pytest.fixture
def root(world):
    return world / "runs"


def a_run(root, family="vae", state="finished", steps=(20,), reason="", **overrides):
    """A run directory as a run leaves it; its checkpoints are empty but for what says that they are complete."""
    path = small_runs.make_run(root, family, **overrides)
    with open(path / "events.jsonl", "wb") as log:
        log.write(events.encode(events.State(state=state, step=max(steps, default=0), reason=reason)))
    for step in steps:
        folder = path / "checkpoints" / f"{step:06d}"
        folder.mkdir()
        meta = checkpoints.Meta(step, 0.0, "test")
        (folder / "meta.json").write_bytes(checkpoints.sealed(meta))
    return path


def settled(root, value, **kwargs):
    """The first stage that a config naming `value` is settled on, and the problems."""
    made = small_runs.config("latent-diffusion", model__first_stage=value)
    problems = dependencies.settle(made, small_runs.built()[0], root, **kwargs)
    return made.model.values["first_stage"], [str(problem) for problem in problems]


def test_the_declaration_reaches_the_catalogue_and_comes_first():
    params = describe(Config)
    assert [param.name for param in params] == ["base", "size"]
    assert params[0].run == ["encode", "decode"] and params[1].run == []
    assert params[0].allowed() == "a run or a recipe whose model can encode and decode"
    assert check_value(params[0], "  ")[1] and not check_value(params[0], "latest")[1]
    entry = small_runs.built()[0].models["latent-diffusion"]
    again = msgspec.json.decode(msgspec.json.encode(entry), type=ModelEntry)
    assert again.params[0].name == "first_stage" and again.params[0].run == ["encode", "decode"]


def test_a_run_may_be_named_in_every_way_and_is_written_down_with_its_step(root):
    path = a_run(root, steps=(10, 20))
    for name in (str(path), path.name, path.name[:20], path.name[-4:], "small-vae", "latest"):
        assert settled(root, name) == (f"{path}@20", [])
    assert settled(root, f"{path.name}@10") == (f"{path}@10", [])
    assert settled(root, f"{path}@20") == (f"{path}@20", [])


def test_latest_is_the_newest_that_can_do_it_and_has_a_checkpoint(root):
    path = a_run(root)
    a_run(root, "ddpm")
    a_run(root, steps=(), state="interrupted")
    itself = a_run(root, "latent-diffusion")
    assert settled(root, "latest", itself=itself) == (f"{path}@20", [])
    assert "this very run" in settled(root, itself.name, itself=itself)[1][0]


def test_runs_are_found_in_a_folder_that_was_moved(root):
    path = a_run(root)
    shutil.move(root, root.with_name("moved"))
    assert settled(root.with_name("moved"), f"{path}@20") == (f"{root.with_name('moved') / path.name}@20", [])


def test_a_recipe_stays_and_may_be_given_settings(root):
    for value in ("conv-vae-digits", "vae-digits train.steps=30 'model.hidden=[8, 8]'", "vae-digits name='two words'"):
        assert settled(root, value) == (value, [])
    made = small_runs.config("latent-diffusion", model__first_stage="vae-mnist train.steps=30", dataset__size=16)
    (need,) = dependencies.needs(made, small_runs.built()[0])
    first = dependencies.first_config(need, made, small_runs.built()[0])
    assert first.train.steps == 30 and first.dataset == made.dataset and first.train.device == "cpu"
    assert first.name == "vae-mnist" and "latent-diffusion" in first.notes


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("vae-digist", ["no runs in", "did you mean 'vae-digits'"]),
        ("nothing-like-it", ["no runs in", "or a recipe to train first: "]),
        ("/nowhere/at/all", ["/nowhere/at/all is no run"]),
        ("latest", ["no run in", "can encode and decode and has a checkpoint"]),
        ("ddpm-digits", ["the recipe ddpm-digits is of the model ddpm, which cannot encode and decode", "vae"]),
        ("gan", ["cannot encode (models that can: "]),
        ("vae-digits train.stepz=3", ["cannot be trained: train.stepz=3 names no setting (did you mean"]),
        ("vae-digits model.latent=0 train.steps=-1", ["model.latent = 0", "train.steps = -1"]),
        ("vae-digits 'x", ["'x must look like key=value"]),
        ("latent-diffusion-digits model.first_stage=latent-diffusion-digits", ["needs itself"]),
    ],
)
def test_what_names_nothing_usable_is_told_with_a_way_out(root, value, words):
    kept, problems = settled(root, value)
    assert kept == value
    text = "\n".join(problems)
    assert all(problem.startswith("model.first_stage = ") for problem in problems)
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    ("family", "kwargs", "name", "words"),
    [
        ("ddpm", {}, "", "is of the model ddpm, which cannot encode and decode"),
        ("vae", {"steps": (), "state": "interrupted"}, "", "has no checkpoint (interrupted); let it go on"),
        ("vae", {"steps": (5, 9)}, "@7", "has no checkpoint of step 7; it has 5, 9"),
        ("vae", {"steps": ()}, "@7", "has no checkpoint of step 7; it has none"),
        ("vae", {"state": "failed", "reason": "the loss is NaN"}, "", "failed: the loss is NaN; add @20 to use"),
        ("vae", {"state": "failed", "steps": ()}, "", "failed: see its worker.log"),
    ],
)
def test_a_run_that_cannot_be_used_is_told_with_the_reason(root, family, kwargs, name, words):
    path = a_run(root, family, **kwargs)
    _, problems = settled(root, f"{path.name}{name}")
    assert len(problems) == 1 and words in problems[0] and path.name in problems[0]


def test_a_failed_run_s_checkpoint_may_be_used_where_it_is_asked_for(root):
    path = a_run(root, state="failed")
    assert settled(root, f"{path.name}@20") == (f"{path}@20", [])


def test_a_model_that_is_not_known_here_is_told(root):
    path = a_run(root)
    text = (path / "config.toml").read_text().replace('name = "vae"', 'name = "my-own"')
    (path / "config.toml").write_text(text)
    _, (problem,) = settled(root, path.name)
    assert "'my-own', which is not known here" in problem and "--models" in problem


def test_what_was_begun_for_a_run_is_found_in_its_log(root):
    first, path = a_run(root), a_run(root, "latent-diffusion")
    assert dependencies.begun(path, "model.first_stage") is None
    with open(path / "events.jsonl", "ab") as log:
        log.write(events.encode(events.Uses(key="model.first_stage", run=str(first), asked="vae-digits")))
        log.write(events.encode(events.Uses(key="model.other", run=str(path))))
    assert dependencies.begun(path, "model.first_stage") == first
    runs.delete(first)
    assert dependencies.begun(path, "model.first_stage") is None


def test_without_needs_nothing_is_looked_for(root):
    made = small_runs.config("vae")
    assert dependencies.settle(made, small_runs.built()[0], root / "not there") == []
    assert made == small_runs.config("vae") and isinstance(made, configs.RunConfig)
