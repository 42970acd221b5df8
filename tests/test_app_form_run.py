"""The Hyperparameters pane beside a run: live edits, what is locked, and settings that cannot be checked here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.form_host import CATALOG, Host, go, odd_tables, screen_text
from tests.painted import on_one_line
from tui_gen import config
from tui_gen.events import Edit, Rollback

SIZES = [(80, 24), (120, 40), (200, 60)]


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
