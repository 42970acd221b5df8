"""The Queue pane, and what goes into the queue from the workbench."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests import fake_worker, test_sweeps
from tests.shell import screen_text, until, until_shown, workbench
from tests.test_queueing import draft
from tui_gen import runs
from tui_gen.app.panes.queue.pane import QueueWorkAsked
from tui_gen.app.steering import queue_keeper
from tui_gen.catalog import start_of
from tui_gen.queue import queueing


@pytest.fixture
def work(monkeypatch):
    """Nothing is trained; how often that was asked for."""
    calls = []
    monkeypatch.setattr(queueing, "work", lambda root, **more: calls.append(more) or True)
    return calls


def queue():
    return queueing.read(runs.default_root())


def order():
    return [entry.id for entry in queue().of("waiting")]


async def test_what_the_form_describes_is_queued_moved_held_and_taken_out(monkeypatch, work):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        app.form.put("train.steps", "300")
        await pilot.press("shift+f5")
        await until(pilot, lambda: len(queue().entries) == 1 and len(work) == 1)
        await until(pilot, lambda: not app.queue_keeper._adding)  # meanwhile the key does nothing
        assert any("Queued as 1: vae-digits, number 1 of what waits." in words for words in app.told)
        assert "steps = 300" in queue().entries[0].config
        app.form.put("model.latent", "0")
        await pilot.press("f17")  # what many terminals make of the same key
        await until_shown(pilot, "This cannot be queued", "model.latent")
        await pilot.press("escape")
        assert len(queue().entries) == 1
        queueing.add(app.session.root, [draft("second"), draft("third")])
        pane = app.workspace.pane("queue")

        def listed():
            return [place.entry.id for place in pane.snapshot.places]

        app.workspace.open("queue")
        await until_shown(pilot, "◌ waiting       1 vae-digits  vae on digits", "3 third", "3 waiting")
        assert "Nobody trains what waits: s starts it here" in screen_text(app)
        await pilot.press("down", "K")
        await until(pilot, lambda: order() == [2, 1, 3] and pane.highlighted == "2")
        await pilot.press("shift+down")
        await until(pilot, lambda: listed() == order() == [1, 2, 3])  # or the next key moves in the list of before
        await pilot.press("down", "t")
        await until(pilot, lambda: order() == [3, 1, 2] and pane.highlighted == "3")
        await pilot.press("h")
        await until(pilot, lambda: queue().held and "Queue · held" in screen_text(app))
        await pilot.press("h")
        await until(pilot, lambda: not queue().held and len(work) == 2)
        await pilot.press("delete")
        await until(pilot, lambda: order() == [1, 2])
        await until(pilot, lambda: listed() == [1, 2])
        await pilot.press("c")
        await until(pilot, lambda: app.form.tables()["train"]["steps"] == 300)
        queueing.clear(app.session.root, waiting=True)
        queueing.hold(app.session.root)
        await until_shown(pilot, "Nothing is queued", "The queue is held: h lets it go on")
        await pilot.press("h")
        await until(pilot, lambda: not queue().held)


async def test_the_run_of_an_entry_is_opened_and_one_that_is_over_added_again(monkeypatch, work):
    run = fake_worker.record(fake_worker.make_run(None, "vae-digits", "name=over"), steps=50, state="failed")
    queueing.add(runs.default_root(), [draft("over")])

    def end(entry):
        entry.state, entry.run, entry.begun, entry.ended, entry.reason = "failed", run.name, True, 1.0, "it broke"

    queueing.update(runs.default_root(), 1, end)
    queueing.add(runs.default_root(), [draft("left")])
    async with workbench(monkeypatch, (80, 24)) as (app, pilot):
        await until(pilot, lambda: work == [{"everything": False}], "what was left goes on")
        app.workspace.open("queue")
        await until_shown(pilot, "✖ failed", "◌ waiting")
        await pilot.press("down")
        await until_shown(pilot, "it broke")
        await pilot.press("a")
        await until(pilot, lambda: order() == [2, 3] and len(work) == 2)
        await pilot.press("enter")
        await until(pilot, lambda: app.conductor.view is not None and app.conductor.view.path == run)
        app.workspace.open("queue")
        await until_shown(pilot, "›✖ failed")
        queueing.file_of(runs.default_root()).write_text("{")
        await until_shown(pilot, "queue.json is no queue")


@pytest.mark.parametrize("wanted", [True, False])
def test_a_queue_that_nobody_trains_goes_on_with_the_next_workbench_unless_that_is_not_wanted(wanted):
    begun: list[bool] = []
    stage = SimpleNamespace(run_worker=lambda work, **_: begun.append(work))
    settings = SimpleNamespace(get=lambda key, default: wanted if key == "queue.autostart" else default)
    keeper = queue_keeper.QueueKeeper(stage, None, None, settings)
    keeper.work = lambda everything: everything
    keeper.on_queue_work_asked(QueueWorkAsked(found=True))
    assert begun == [False] * wanted
    keeper.on_queue_work_asked(QueueWorkAsked(everything=True))
    assert begun[-1] is True, "who asks for it gets it"


async def test_a_sweep_offers_what_has_an_effect_beside_what_is_varied(monkeypatch, work):
    async with workbench(monkeypatch, (80, 24)) as (app, pilot):
        app.form.load_tables(start_of(app.catalog.models["autoencoder"], app.catalog), "autoencoder")
        await pilot.press("ctrl+f5")
        await until_shown(pilot, "Pick settings above")
        dialog = app.screen

        def keys():
            options = dialog.query_one("#settings")
            return [options.get_option_at_index(place).id for place in range(options.option_count)]

        dialog.query_one("#find").value = "pretrain"
        await until(pilot, lambda: keys() == ["model.pretrain_steps"], "nothing is pretrained")
        dialog.vary("train.phases.pretrain.lr")
        await until_shown(pilot, "pretrain.lr: has no effect without pretrain_steps")
        await pilot.press("f5")
        assert app.screen is dialog, "runs that are all alike are not added"
        dialog.vary("model.pretrain_steps")
        await pilot.pause()
        dialog.query("#axes Input").last().value = "model.pretrain_steps=0|10"
        await until(pilot, lambda: "train.phases.pretrain.lr" in keys())
        await until_shown(pilot, "6 runs")


async def test_a_sweep_is_put_together_queued_and_compared(monkeypatch, work):
    async with workbench(monkeypatch, (80, 24)) as (app, pilot):
        app.form.put("train.steps", "20")
        await pilot.press("ctrl+f5")
        await until_shown(pilot, "Sweep: vae-digits", "model.network = mlp", "Pick settings above")
        await pilot.press(*"latent", "enter")
        await until_shown(pilot, "model.latent=8|16|32", "3 runs, nobody knows how long. The first: latent=8")
        await pilot.press("backspace", "x")
        await until_shown(pilot, "model.latent = 3x: needs a whole number")
        await pilot.press("f5")
        assert len(app.screen_stack) == 2, "what is wrong is not added"
        await pilot.press("backspace", "2")
        app.screen.query_one("#find").focus()
        app.screen.query_one("#find").value = "learning rate"
        await until_shown(pilot, "train.phases.vae.lr = 0.001")
        await pilot.press("enter")
        await until_shown(pilot, "train.phases.vae.lr=1e-4..0.01:log:3", "9 runs")
        app.screen.query_one("#random").value = "4"
        await until_shown(pilot, "4 runs")
        await pilot.press("f5")
        await until(pilot, lambda: len(queue().entries) == 4 and len(work) == 1)
        entries = queue().entries
        assert {entry.group for entry in entries} == {"sweep-1"} and "steps = 20" in entries[0].config
        assert all(set(entry.values) == {"model.latent", "train.phases.vae.lr"} for entry in entries)
        for number, loss in ((1, 30.0), (3, 20.0)):
            test_sweeps.finish(queue().get(number), loss)
        app.workspace.open("queue")
        await until_shown(pilot, "✔ done", "◌ waiting")
        await pilot.press("v")
        await until_shown(pilot, "Queue · sweep-1 · val/vae/loss", "20 ★  at 10", "2 of 4 are over, the lower the")
        pane = app.workspace.pane("queue")
        assert pane.highlighted == "3", "the best comes first"
        await pilot.press("o")
        await until(pilot, lambda: app.workspace.layout_name == "compare")
        assert pane._paths() == [queue().get(number).path(app.session.root) for number in (3, 1)]
        app.workspace.open("queue")
        await pilot.press("enter")
        best = queue().get(3).path(app.session.root)
        await until(pilot, lambda: app.conductor.view is not None and app.conductor.view.path == best)
        app.workspace.open("queue")
        await pilot.press("c")
        await until(pilot, lambda: app.form.tables()["model"]["latent"] == queue().get(3).values["model.latent"])
        app.workspace.open("queue")
        await pilot.press("v")
        await until_shown(pilot, "2 waiting")
        assert "sweep-1" not in screen_text(app).splitlines()[2]
