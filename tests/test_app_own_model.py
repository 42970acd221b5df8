"""A run of a model of one's own, opened without --models: its own settings, where the model is, and how to have it."""

from __future__ import annotations

import re

import msgspec
import pytest

from tests import fake_worker
from tests.form_host import ODD, odd_tables
from tests.shell import SIZES, check_snapshot, screen_text, until, until_shown, workbench
from tui_gen import catalog, config, runs, toml_writer, trust


@pytest.fixture
def folder(tmp_path):
    """A folder with the file of a model called `odd`, which is read at once once it may be: a catalogue was kept."""
    path = tmp_path / "own"
    path.mkdir()
    (path / "odd.py").write_text("# the odd model\n")
    found = catalog.read()
    found.models = found.models | {"odd": msgspec.structs.replace(ODD, source=str(path / "odd.py"))}
    found.key = catalog.key_of(catalog.model_dirs([str(path)]))
    kept = catalog.cache_path(found.key)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(msgspec.json.encode(found))
    return path


@pytest.fixture
def run(folder):
    """A stopped run of it, that names the folder."""
    tables = odd_tables() | {"format": 1, "model_dirs": [str(folder)]}
    tables["model"]["latent"] = 321
    path = runs.create(runs.default_root(), "odd", toml_writer.dump_toml(tables))
    return fake_worker.record(path, state="stopped")


def form(app):
    """Its name, its model and whether it is shown as written."""
    state = app.form.state
    return state.live, state.model, bool(state.unread)


@pytest.mark.parametrize("size", ["80x24", "120x40"])
async def test_its_own_settings_are_shown_and_where_its_model_is(monkeypatch, folder, run, size):
    started = fake_worker.install(monkeypatch, steps=1)
    async with workbench(monkeypatch, SIZES[size], open_run=run) as (app, pilot):
        await until(pilot, lambda: form(app) == (True, "odd", True))
        said = "\n".join(app.told)
        assert f"It is in {folder}. m (Run > Use its model files)" in said
        assert f"attach {run.name} --models {folder}" in said
        await pilot.press("alt+2")

        def pane() -> str:
            box = app.form.region
            rows = [row[box.x : box.right] for row in screen_text(app).splitlines()[box.y : box.bottom]]
            at = next(number for number, row in enumerate(rows) if "▾" in row)
            # The words above have a path, which wraps anywhere: how many rows follow differs.
            return re.sub("[▁-█]", " ", "\n".join([rows[0], *rows[at : at + 6], *rows[-4:]])) + "\n"

        await until_shown(pilot, "321", "Shown as written")
        app.notify = lambda *_, **__: None
        app.clear_notifications()
        await check_snapshot(pilot, f"own-model-{size}", pane)
        assert app.form.tables()["model"]["name"] == "vae", "the form for the next run is what it was"
        assert app.enabled("form('use_models')")
        await pilot.press("m")
        await until_shown(pilot, "Whose code is this?", "odd.py")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert form(app) == (True, "odd", True) and trust.unknown([folder]) and not started
        await pilot.press("m")
        await until_shown(pilot, "Whose code is this?")
        await pilot.press("t")
        await until(pilot, lambda: form(app) == (True, "odd", False))
        assert app.form.state.params["model.latent"].help == ODD.params[0].help
        assert "odd" in app.session.catalog.models and not app.enabled("form('use_models')")


async def test_what_is_trusted_already_is_read_without_a_question_and_only_as_it_is(monkeypatch, folder, run):
    trust.allow([folder])
    async with workbench(monkeypatch, open_run=run) as (app, pilot):
        await until(pilot, lambda: form(app) == (True, "odd", False))
        tables = app.session.catalog.recipes["vae-digits"].tables
        for given, named in ((odd_tables(), [str(folder)]), (tables, [])):
            made, problems = app.session.check(given)
            assert not problems
            monkeypatch.setattr(app.session, "_launch", lambda path, **_: None)
            path = app.session.start(made)
            assert config.read_toml(path / "config.toml").get("model_dirs", []) == named, "only where it is needed"
        assert app.session.dirs() == [str(folder)]
        (folder / "odd.py").write_text("# something else\n")
        assert app.session.dirs() == [] and not app.session.adopt(run)


async def test_resume_of_it_offers_trust_and_then_all_of_it_is_known(monkeypatch, folder, run):
    started = fake_worker.install(monkeypatch)
    async with workbench(monkeypatch, open_run=run) as (app, pilot):
        await until(pilot, lambda: form(app) == (True, "odd", True))
        await pilot.press("f12")
        await until_shown(pilot, "Whose code is this?")
        await pilot.press("t")
        await until(pilot, lambda: started and app.view.state == "running" and form(app) == (True, "odd", False))
        assert app.form.state.editable("model.beta")


async def test_words_where_the_folder_is_gone_or_was_never_named_and_for_other_reasons(monkeypatch, folder, run):
    file = run / "config.toml"
    text = file.read_text()
    for change, words in (
        (("/own", "/gone"), "which is gone. tui-gen attach"),
        (("model_dirs", "moved_dirs"), "is neither built in nor in"),
        (('name = "ring"', 'name = "rong"'), "rong"),
        (("format = 1", "format = 99"), "was written by a newer tui-gen"),
        (("[model]", "[model"), "is not valid TOML"),
    ):
        changed = text.replace(*change)
        assert changed != text
        file.write_text(changed)
        if "rong" in words:
            trust.allow([folder])
        async with workbench(monkeypatch, open_run=run) as (app, pilot):
            await until(pilot, lambda words=words: any(words in one for one in app.told), words)
            await until(pilot, lambda: app.form.live is not None and app.form.state is app.form.live)
            assert app.form.state.unread and app.form.state.model in ("odd", "")
