"""The command palette: what it finds by which words, and what it does, by keys and by mouse."""

from __future__ import annotations

from textual.command import CommandList
from textual.events import Click

from tests import fake_worker
from tests.plot_host import write_run, write_sample
from tests.shell import screen_text, until, workbench
from tui_gen.app.shell.palette import Commands


async def test_palette_runs_actions_and_tries_themes(monkeypatch):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        before = app.theme
        await pilot.press("ctrl+p")
        await until(pilot, lambda: "Run: Start" in screen_text(app))
        await pilot.press(*"theme: paper")
        await until(pilot, lambda: app.theme == "paper", "the theme under the cursor")
        await pilot.press("escape")
        await until(pilot, lambda: app.theme == before and len(app.screen_stack) == 1)
        await pilot.press("ctrl+p")
        palette = app.screen
        for _ in range(2):  # of two clicks beside it the second one finds it left already
            palette.post_message(Click(palette, 0, 0, 0, 0, 1, False, False, False, 0, 0))
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.press("ctrl+p")
        await pilot.press(*"recipe: ddpm-digits")
        await until(pilot, lambda: "Recipe: ddpm-digits" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1 and app.form.tables()["model"]["name"] == "ddpm")


async def test_palette_finds_words_in_any_order_and_is_used_by_keys_and_mouse(monkeypatch):
    fake_worker.record(fake_worker.make_run(None, "vae-digits", "name=evening-vae"))
    async with workbench(monkeypatch, (80, 24)) as (app, pilot):
        commands = Commands(app.screen)

        async def found(words):
            return {hit.text async for hit in commands.search(words)}

        for words, wanted in (
            ("queue add", "Run: Add to the queue"), ("autoencoder variational", "Model: vae"),
            ("digits vae recipe", "Recipe: vae-digits"), ("paper theme", "Theme: paper"),
            ("rate vae learning", "Setting: train.phases.vae.lr"), ("explore layout", "Layout: explore"),
        ):  # fmt: skip
            assert wanted in await found(words), (words, await found(words))
        assert any(text.startswith("Open run: ") and "evening-vae" in text for text in await found("vae evening run"))
        assert not await found("vae nowhere evening")
        await pilot.press("ctrl+p", *"rate vae learning")
        await until(pilot, lambda: "Setting: train.phases.vae.lr" in screen_text(app))
        row = next(y for y, line in enumerate(screen_text(app).splitlines()) if "Setting: train.phases.vae.lr" in line)
        assert await pilot.click(offset=(20, row))
        await until(pilot, lambda: len(app.screen_stack) == 1 and app.form.fields.key == "train.phases.vae.lr")
        app.do("themes")
        await until(pilot, lambda: "Theme: " in screen_text(app))
        before = app.theme
        found = app.screen.query_one(CommandList)
        await pilot.press("down", "down")

        def under_the_cursor():
            return found.get_option_at_index(found.highlighted).hit.text

        await until(pilot, lambda: app.theme != before and under_the_cursor() == f"Theme: {app.theme}")
        tried = app.theme
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert app.theme == tried == app.settings.get("theme", "")


async def test_palette_knows_what_panes_can_do_and_the_kinds_of_previews(monkeypatch, world):
    path = fake_worker.make_run(None, "vae-digits")
    write_run(path, *(write_sample(path, 0, kind) for kind in ("samples", "code histogram")))
    async with workbench(monkeypatch, (80, 24), open_run=path) as (app, pilot):
        losses, samples = app.workspace.pane("losses"), app.workspace.pane("samples")
        assert app.enabled("in_pane('samples', 'kinds')") and not app.enabled("in_pane('samples', 'whole')")
        for words, done in (
            ("losses: log", lambda: losses.looking.log_y and app.workspace.active is losses),
            ("previews: code", lambda: samples.kind == "code histogram" and app.workspace.active is samples),
        ):
            await pilot.press("ctrl+p", *words)
            await until(pilot, lambda: screen_text(app).lower().count(words) > 1)  # noqa: B023
            await pilot.press("enter")
            await until(pilot, done)
