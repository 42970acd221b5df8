"""The Sweeps pane and the form of a sweep that learns."""

from __future__ import annotations

from tests import fake_worker
from tests.shell import screen_text, until, until_shown, workbench
from tests.test_queueing import known
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import runs
from tui_gen.search import asking, specs
from tui_gen.search.specs import SearchSpec, TrialRow, TrialTable

LR = "train.phases.vae.lr"


def search(name="mine", count=4, **more):
    """A search with some trials that are over, as its files have it; the best is the last."""
    root = runs.default_root()
    config = catalogs.resolve("vae-digits", known(), [])
    spec = SearchSpec(
        name=name, config=configs.dumps(config), space=[f"{LR}=1e-4..0.01:log", "model.latent=8|16"],
        metric="val/vae/loss", trials=more.get("trials", count),
    )  # fmt: skip
    specs.write(root, spec)
    run = fake_worker.record(fake_worker.make_run(root, "vae-digits", f"name={name} best"), steps=50)
    rows = []
    for number in range(count):
        values = {LR: 1e-4 * 2**number, "model.latent": 8 * (1 + number % 2)}
        rows.append(TrialRow(number, "done", values, 40.0 - number, 49, run.name))
    if count > 2:
        rows[1] = TrialRow(1, "pruned", rows[1].values, 44.0, 10, "", "", "pruned at step 11")
        rows[2] = TrialRow(2, "failed", rows[2].values, None, None, "", "", "loss is not finite")
    specs.write_trials(root, name, TrialTable(rows, {LR: 0.8, "model.latent": 0.2}))
    return spec, run


async def test_a_sweep_is_shown_as_a_table_and_as_lines_and_its_best_run_opened_and_written(monkeypatch, tmp_path):
    _, run = search()
    async with workbench(monkeypatch, (80, 24)) as (app, pilot):
        app.workspace.open("sweeps")
        pane = app.workspace.pane("sweeps")
        await until_shown(pilot, "✔ over", "mine", " 4/4", LR)
        await pilot.press("enter")
        await until_shown(pilot, "importance: lr 80 %, latent 20 %", "37 ★", "the lower the better")
        assert [result.id for result in pane.table.results] == [3, 0, 1, 2]
        await pilot.press("p")
        await until(pilot, lambda: pane.form in ("plot", "table"))
        pane.form = "both"
        pane.on_resize()
        await until_shown(pilot, "val/vae/loss", "◆")
        await pilot.press("down", "down")
        await until_shown(pilot, "pruned at step 11")
        assert pane.result.id == 1
        await pilot.press("home", "w")
        await until_shown(pilot, "The config of the best trial")
        app.screen.query_one("Input").value = str(tmp_path / "best.toml")
        await pilot.press("enter")
        await until(pilot, lambda: any("best.toml trains it" in words for words in app.told))
        assert (tmp_path / "best.toml").read_text() == (run / "config.toml").read_text()
        await pilot.press("backspace")
        await until(pilot, lambda: pane.table is None and "✔ over" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: pane.result is not None and pane.result.id == 3)
        await pilot.press("enter")
        await until(pilot, lambda: app.conductor.view is not None and app.conductor.view.path == run)


async def test_a_sweep_without_trials_is_shown_and_gone_on_with_and_stopped(monkeypatch):
    begun = []
    monkeypatch.setattr(asking, "begin", lambda root, spec: begun.append(spec.name))
    search(count=0, trials=5)
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        app.workspace.open("sweeps")
        await until_shown(pilot, "stopped", "0/5")
        await pilot.press("enter")
        await until_shown(pilot, "mine", "stopped, 0 of 5 over")
        await pilot.press("s")
        await until(pilot, lambda: begun == ["mine"])
        specs.write_trials(runs.default_root(), "mine", TrialTable([TrialRow(0, "failed", {}, reason="it broke")]))
        await until_shown(pilot, "it broke", "1 of 5 over")


async def test_the_form_begins_a_sweep_that_learns_and_shows_it(monkeypatch):
    begun = []

    def begin(root, spec):
        specs.write(root, spec)
        begun.append(spec)

    monkeypatch.setattr(asking, "begin", begin)
    async with workbench(monkeypatch, (80, 24)) as (app, pilot):
        app.form.put("train.steps", "100")
        await pilot.press("ctrl+f5")
        await until_shown(pilot, "Pick settings above")
        app.screen.query_one("#find").value = "learning rate"
        await until_shown(pilot, "train.phases.vae.lr = 0.001")
        await pilot.press("enter")
        await until_shown(pilot, f"{LR}=1e-4..0.01:log:3", "3 runs")
        dialog = app.screen
        dialog.query_one("#trials").value = "12"
        words = "12 trials, chosen by TPE, pruned by hyperband; by val/vae/elbo"
        await until_shown(pilot, f"{LR}=1e-4..0.01:log", words)
        for name, value, words in (
            ("pruner", "nonsense", "is none of hyperband"), ("metric", "elbo", "is no metric of a log"),
            ("jobs", "x", "needs a whole number"), ("random", "3", "give one of them"), ("trials", "0", "1 ≤ x"),
        ):  # fmt: skip
            before = dialog.query_one(f"#{name}").value
            dialog.query_one(f"#{name}").value = value
            await until_shown(pilot, words)
            dialog.action_add()
            assert app.screen is dialog and not begun, "what is wrong does not begin"
            dialog.query_one(f"#{name}").value = before
        dialog.query_one("#jobs").value = "2"
        await until_shown(pilot, "12 trials, chosen by TPE")
        await pilot.press("f5")
        await until(pilot, lambda: len(begun) == 1)
        assert (begun[0].trials, begun[0].jobs, begun[0].space) == (12, 2, [f"{LR}=1e-4..0.01:log"])
        assert "steps = 100" in begun[0].config
        await until_shown(pilot, begun[0].name, "stopped, 0 of 12 over")
