"""Themes, and what the workbench remembers: the user's files, ours, and those that are none."""

from __future__ import annotations

from collections import Counter

import pytest
from textual.widget import Widget

from tests.painted import painted_strips
from tests.shell import screen_text, until, workbench
from tui_gen.app.shell.settings import Settings, read_keys
from tui_gen.app.shell.themes import DEFAULT, read_theme
from tui_gen.app.workbench import Workbench


async def test_a_chosen_theme_is_remembered(monkeypatch):
    async with workbench(monkeypatch) as (app, pilot):
        app.themes.choose("ember")
        await pilot.pause()
    async with workbench(monkeypatch) as (app, _):
        assert app.theme == "ember"


async def test_another_theme_looks_as_if_it_had_always_been_there_and_refreshes_no_pane_for_each_colour(monkeypatch):
    async with workbench(monkeypatch, theme="paper") as (app, pilot):
        await pilot.pause()
        wanted = painted_strips(app)
    async with workbench(monkeypatch, theme="ember") as (app, pilot):
        refreshed, refresh = Counter(), Widget.refresh

        def count(widget, *regions, **more):
            refreshed[widget] += 1
            return refresh(widget, *regions, **more)

        monkeypatch.setattr(Widget, "refresh", count)
        app.theme = "paper"
        await until(pilot, lambda: painted_strips(app) == wanted)
        assert refreshed[app.form] and max(refreshed[pane] for pane in app.workspace.panes) < 8, refreshed


@pytest.mark.parametrize("own", [False, True])
async def test_a_theme_of_ours_comes_alone_and_a_user_s_of_its_name_before_it(world, own):
    folder = world / "config" / "tui-gen" / "themes"
    if own:
        folder.mkdir(parents=True)
        (folder / "any.toml").write_text('name = "ember"\nprimary = "#010203"')
    app = Workbench(world / "runs", theme="ember")
    assert (app.theme, app.current_theme.primary == "#010203") == ("ember", own)
    assert ("paper" in app.available_themes) == own, "the others can wait, unless they say what this one is"
    assert {"paper", "plum", "ember", "ansi-dark", "ansi-light"} <= set(app.themes.names) <= set(app.available_themes)
    assert app.current_theme.primary == app.available_themes["ember"].primary and not app.themes.problems


@pytest.mark.parametrize("name", ["../themes/ember", "nothing", "a\0b"])
async def test_what_is_no_theme_is_told(world, name):
    app = Workbench(world / "runs", theme=name)
    assert (app.theme, app.themes.problems) == (DEFAULT, [f"there is no theme {name!r}; {DEFAULT} is used"])


async def test_users_themes_and_one_toast_for_the_bad_ones(monkeypatch, world):
    folder = world / "config" / "tui-gen" / "themes"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text('primary = "#ff0000"\n')
    (folder / "broken.toml").write_text("primary = ")
    (folder / "odd.toml").write_text('primary = "reddish [/]"\n')
    (folder / "more.toml").write_text('primary = "#fff"\nshadow = 3\n')
    async with workbench(monkeypatch) as (app, pilot):
        assert "mine" in app.available_themes
        await until(pilot, lambda: "Themes that could not be read" in screen_text(app))
        said = app.told
        assert len(said) == 1
        assert all(name in said[0] for name in ("broken.toml", "odd.toml", "more.toml"))


async def test_a_broken_settings_file_is_told_and_kept(monkeypatch, world):
    folder = world / "config" / "tui-gen"
    folder.mkdir(exist_ok=True)
    (folder / "settings.toml").write_text("theme = [")
    async with workbench(monkeypatch) as (app, pilot):
        await until(pilot, lambda: "settings.toml could not be read" in screen_text(app))
        app.themes.choose("paper")
    assert (folder / "settings.toml").read_text() == "theme = ["


@pytest.mark.parametrize(
    "content",
    [b"a = [", b"\xff", b"a = " + b"1" * 5000, b"a = " + b"[" * 5000, b".".join([b"a"] * 2000) + b" = 1"],
    ids=range(5),
)
def test_no_file_of_settings_keys_or_colours_raises(tmp_path, content):
    file = tmp_path / "odd.toml"
    file.write_bytes(content)
    assert "could not be read and is left as it is" in Settings(file).problem
    keys, problems = read_keys({"run.start"}, file)
    assert keys == {} and len(problems) == 1 and str(file) in problems[0]
    with pytest.raises(ValueError):
        read_theme(file)

def test_settings_keep_a_users_comments_and_what_another_workbench_has_set(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('# mine\ntheme = "paper" # warm\n\n[layout]\nside = 30 # columns\n')
    here, there = Settings(file), Settings(file)
    here.set("layout.side", 40)
    there.set("theme", "nord")
    here.set("palette.recent", ["a b", "c"])
    here.set("theme.odd", 1)  # text before, a table from now on
    assert "# mine" in file.read_text() and "side = 40 # columns" in file.read_text()
    again = Settings(file)
    assert again.get("layout.side", 0) == 40 and again.get("palette.recent", []) == ["a b", "c"]
    assert again.under("theme") == {"odd": 1}
    again.remove("layout.side")
    assert Settings(file).get("layout.side", 0) == 0
    file.write_text("theme = [")
    again.set("theme", "paper")
    assert file.read_text() == "theme = ["  # broken since: left as it is
