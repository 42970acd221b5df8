"""The Hyperparameters pane and files: saving, loading, and the settings in an editor."""

from __future__ import annotations

import stat
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.form_host import CATALOG, Host, odd_tables, screen_text
from tests.painted import on_one_line
from tests.waiting import wait_for_async
from tui_gen.app.widgets.path_dialog import PathDialog


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
        app.screen.query_one("Input").value = str(folder / "picture.gif")
        await pilot.press("enter")
        assert "it is a .toml, not a .gif" in screen_text(app) and not (folder / "picture.gif").exists()
        app.screen.query_one("Input").value = str(folder / "there")  # the ending is taken for granted
        await pilot.press("enter")
        assert "exists; Enter again" in screen_text(app) and (folder / "there.toml").read_text() == "x"
        await pilot.press("enter")
        await wait_for_async(lambda: (folder / "there.toml").read_text() != "x", what="the file replaced")


async def test_a_file_that_is_not_toml_or_not_there_is_told(tmp_path: Path):
    app = Host()
    (tmp_path / "bad.toml").write_text("a = [/b")
    async with app.run_test(size=(80, 24)) as pilot:
        app.form.files.load(tmp_path / "bad.toml")
        await pilot.pause()
        assert "is not valid TOML" in on_one_line(app)
        app.form.files.save(tmp_path / "no" / "such.toml")
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
