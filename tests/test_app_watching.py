"""Where the eyes go: a run that is opened, started or resumed is on screen, and stays there whatever the size."""

from __future__ import annotations

import time

import msgspec
import pytest
from textual import events
from textual._compositor import Compositor
from textual._xterm_parser import XTermParser

from tests import fake_worker
from tests.form_host import ODD
from tests.shell import SIZES, screen_text, until, workbench
from tui_gen import catalog, launch, runs
from tui_gen.app.main import Workbench
from tui_gen.app.panes.losses.pane import LossesPane
from tui_gen.events import Alert, Metrics, Plan, Resume, State, encode


def shown(app):
    return [pane.id for pane in app.workspace.on_screen]


def state(app):
    return app.conductor.view.state if app.conductor.view is not None else None


def watches(app, name="losses"):
    """Whether a run's pane is on screen and has the focus."""
    active = app.workspace.active
    above = app.focused.ancestors_with_self if app.focused is not None else []
    return active.id == name and name in shown(app) and active in above


@pytest.fixture
def two_runs():
    """A finished run and a stopped one."""
    return [fake_worker.record(fake_worker.make_run(), state=state) for state in ("finished", "stopped")]


async def test_the_first_frame_of_a_run_that_is_opened_has_its_curves(monkeypatch, two_runs):
    fake_worker.install(monkeypatch, steps=1)
    app, frames, held, views = Workbench(runs.default_root(), open_run=two_runs[0]), [], [], []
    drawing, render, show_run = app.drawing, Compositor.render_update, LossesPane.show_run

    def seen(screen, renderable):
        if renderable is not None and not app.batching:
            pane = app.workspace.pane("losses")
            frames.append(isinstance(pane, LossesPane) and [plot.panel.title for plot in pane.plots if plot.drawing])
        return drawing(screen, renderable)

    def rendered(*args, **more):
        held.append(app.batching)
        return render(*args, **more)

    def shown_run(pane, view):
        views.append(view)
        show_run(pane, view)

    app.drawing = seen
    monkeypatch.setattr(Compositor, "render_update", rendered)
    monkeypatch.setattr(LossesPane, "show_run", shown_run)
    async with workbench(monkeypatch, app=app):
        assert frames[0], "something was painted before the run was there"
        assert held and not any(held), "a frame was rendered that nobody saw"
        assert views and None not in views, "the pane was told of no run first"


async def test_models_that_were_kept_are_known_to_whoever_looks_at_a_run(monkeypatch, two_runs):
    """Which are up to date is looked at only once the run is on screen."""
    found, spawned = catalog.read(), []
    key, found.key = found.key, "of other packages"
    found.models = found.models | {"odd": ODD}
    kept = catalog.cache_path(found.key)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(msgspec.json.encode(found))
    monkeypatch.setattr(catalog, "key_of", lambda dirs: found.key)
    monkeypatch.setattr(launch.WarmWorker, "spawn", spawned.append)
    assert catalog.read(checked=False).key == key
    async with workbench(monkeypatch, warm=True, open_run=two_runs[0]) as (app, pilot):
        await until(pilot, lambda: app.session.catalog.key == found.key)
        assert "odd" in app.form.catalog.models and "odd" in app.workspace.pane("losses").catalog.models
        assert not spawned


@pytest.mark.parametrize("size", SIZES)
async def test_a_run_that_is_opened_or_resumed_is_seen_at_once(monkeypatch, two_runs, size):
    started = fake_worker.install(monkeypatch, steps=1)
    async with workbench(monkeypatch, SIZES[size], open_run=two_runs[0]) as (app, pilot):
        await until(pilot, lambda: state(app) == "finished" and watches(app))
        await pilot.press("4", "6")
        pane = app.workspace.pane("runs")
        await until(pilot, lambda: len(pane.rows) == 2 and pane.highlighted)
        await pilot.press(*(["down"] if pane.highlighted == str(two_runs[0]) else []), "enter")
        await until(pilot, lambda: state(app) == "stopped" and watches(app, "samples"))
        await pilot.press("3", "1", "f12")
        await until(pilot, lambda: started and watches(app))
        if size == "80x24":
            assert shown(app) == ["losses"]
        assert started[0].wait(120) == 0
        await until(pilot, lambda: state(app) == "finished")
        await pilot.press("alt+2", "f5")
        await until(pilot, lambda: len(started) == 2 and watches(app) and "form" not in shown(app))
        assert started[1].wait(120) == 0


async def test_who_went_on_while_a_long_run_was_read_is_left_there(monkeypatch, two_runs):
    async with workbench(monkeypatch, (80, 24)) as (app, pilot):
        attach = app.session.attach
        moved = []

        def slow(path):
            app.call_from_thread(app.workspace.open, "log")
            moved.append(path)
            return attach(path)

        monkeypatch.setattr(app.session, "attach", slow)
        app.open_run(two_runs[0])
        await until(pilot, lambda: moved and state(app) == "finished")
        await pilot.pause()
        assert watches(app, "log")


async def test_what_is_looked_at_stays_on_screen_through_any_resize(monkeypatch, two_runs):
    async with workbench(monkeypatch, (120, 40), open_run=two_runs[0]) as (app, pilot):
        await until(pilot, lambda: watches(app))
        for name, number in (("samples", 4), ("runs", 6), ("form", 2)):
            await pilot.press(f"alt+{number}")
            await until(pilot, lambda name=name: watches(app, name))
            for size in ((100, 30), (200, 60), (80, 24), (80, 50), (60, 20), (120, 40)):
                await pilot.resize_terminal(*size)
                await until(pilot, lambda size=size: app.size == size and app.workspace.size.width == size[0])
                await until(pilot, lambda name=name: watches(app, name), name)
        assert shown(app)[-1] == "runs", "the tab that was chosen here before"
        app.form.show_draft()
        app.form.focus_field("model.latent")
        await pilot.press("enter", "x")
        text = app.form.fields.editor.value
        await pilot.resize_terminal(100, 30)
        await until(pilot, lambda: shown(app) == ["form"])
        assert app.focused is app.form.fields.editor and app.form.fields.editor.value == text


async def test_alt_and_a_digit_reach_a_pane_from_any_field(monkeypatch, two_runs):
    """Textual 8.2 makes a Key with the digit as its character of what terminals send: Escape and the digit."""
    async with workbench(monkeypatch, (80, 24), open_run=two_runs[0]) as (app, pilot):
        await until(pilot, lambda: watches(app) and app.form.live is not None)
        for press in ("", "1"):  # the run's fields, which are fixed, and then the draft's, edited
            for key in ("model.latent", "model.network", "train.device", "model.conditional"):
                app.workspace.open("form")
                app.form.focus_field(key)
                await until(pilot, lambda: watches(app, "form") and "alt+1…" in screen_text(app))
                await pilot.press(*press)
                app.post_message(events.Key("alt+6", "6"))
                await until(pilot, lambda: watches(app, "runs"), key)
            app.form.show_draft()
        assert app.form.draft.changed() == ["model.latent", "model.conditional", "train.device"]


@pytest.mark.parametrize("answer", ["", "\x1b[5;7R", "\x1b[?2026;2$y", "\x1b[A"])
def test_alt_is_known_whatever_comes_right_after_it(answer):
    """tmux and screen answer with a position after every frame; Textual 8.2 makes ^ and the key of what that cuts."""
    for character, key in {"6": "alt+6", "0": "alt+0", "f": "alt+f", "r": "alt+r", "R": "alt+shift+r"}.items():
        first, *others = XTermParser().feed(f"\x1b{character}{answer}")
        assert (first.key, first.character) == (key, None) and len(others) == bool(answer)
    (function,) = XTermParser().feed("\x1bOP")
    assert function.key == "f1", "what begins with a letter, too, is still read whole"


async def test_a_long_log_is_drawn_while_it_is_read_and_its_past_is_no_news(monkeypatch):
    run = fake_worker.make_run()
    told = [State(state="running", step=0), Plan(steps=900, steps_per_epoch=90, batch_size=8)]
    told += [Metrics(start=step, values={"vae/loss": [1.0]}) for step in range(600)]
    told += [Alert(step=600, level="warning", what="an old spike"), State(state="failed", step=600, reason="before")]
    told += [Resume(step=600), State(state="running", step=600)]
    told += [Metrics(start=step, values={"vae/loss": [2.0]}) for step in range(600, 900)]
    lines = [encode(event) for event in [*told, State(state="finished", step=900)]]
    (run / "events.jsonl").write_bytes(b"".join([*lines[:400], b"garbage\n", *lines[400:]]))
    monkeypatch.setattr("tui_gen.view.PART", 2000)
    monkeypatch.setattr("tui_gen.view.PATIENCE", 0.0)
    monkeypatch.setattr("tui_gen.view.MOMENT", 0.0)
    monkeypatch.setattr("tui_gen.app.steering.follower.READING", 0.0)
    seen = set()
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        losses = app.workspace.pane("losses")
        draw, changed = losses.update_view, app.follower._on_state
        monkeypatch.setattr(losses, "update_view", lambda parts: (seen.add((app.view.step, state(app))), draw(parts)))
        monkeypatch.setattr(app.follower, "_on_state", lambda *states: (seen.add(states), changed(*states)))
        app.open_run(run)
        await until(pilot, lambda: state(app) == "finished" and not app.view.behind and app.told)
        await until(pilot, lambda: max(seen)[0] == 900)
        for _ in range(3):
            app.conductor.beat(0.0)
            await pilot.pause()
    assert {word for _, word in seen} == {"finished"} and len(seen) > 2
    assert [text for text in app.told if "spike" in text] == []
    assert len([text for text in app.told if "1 lines of events.jsonl could not be read" in text]) == 1


async def test_what_a_live_frame_costs_is_all_that_is_done_for_it(monkeypatch, two_runs):
    order = []
    async with workbench(monkeypatch, open_run=two_runs[0]) as (app, pilot):
        losses, budget = app.workspace.pane("losses"), app.follower.budget
        draw, note = losses.update_view, budget.drawing

        def drawn(parts):
            order.append(time.process_time())
            draw(parts)

        def noted(now, cpu_seconds, byte_count):
            order.append(cpu_seconds)
            note(now, cpu_seconds, byte_count)

        monkeypatch.setattr(losses, "update_view", drawn)
        monkeypatch.setattr(budget, "drawing", noted)
        losses.news |= {"series"}
        app.follower.hurry()
        await until(pilot, lambda: len(order) > 1)
    assert order[1] <= order[0], "what drawing it took is left out"
