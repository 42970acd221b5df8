"""The workbench and runs: start, steer, acknowledge, interrupted ones, the Runs pane, quitting, troubles."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time

import pytest

from tests import fake_worker
from tests.shell import check_snapshot, screen_text, until, until_shown, workbench
from tests.test_session import Warm
from tests.waiting import wait_for, wait_until_listening
from tui_gen import control, launch, runs
from tui_gen.app.steering import conductor
from tui_gen.app.terminal.pacing import CpuBudget


def said(app):
    """Every toast so far, and the log."""
    return "\n".join(app.told + [text for _, _, text in app.workspace.pane("log")._notes])


def state(app):
    return app.conductor.view.state if app.conductor.view is not None else None


async def started(monkeypatch, app, pilot, **settings):
    """Start what the form has; wait until its losses are there."""
    fake_worker.install(monkeypatch, **settings)
    await pilot.press("f5")
    await until(pilot, lambda: state(app) == "running" and app.conductor.view.series)
    return app.conductor.view


async def test_start_shows_the_run_and_everything_is_acknowledged(monkeypatch):
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        view = await started(monkeypatch, app, pilot)
        await until(pilot, lambda: "▶ running" in app.status.text and "it/s" in app.status.text)
        assert runs.list_runs(app.session.root)[0].path == str(view.path)
        await until(pilot, lambda: view.path.name in screen_text(app).splitlines()[0])
        await pilot.press("f6")
        await until(pilot, lambda: "‖ paused" in app.status.text)
        await until(pilot, lambda: "paused at step" in said(app))
        await pilot.press("alt+3", "space")
        await until(pilot, lambda: "▶ running" in app.status.text)
        before = len(view.samples)
        await pilot.press("f7")
        await until(pilot, lambda: "preview drawn at step" in said(app) and len(view.samples) > before)
        await pilot.press("f8")
        await until(pilot, lambda: "checkpoint made at step" in said(app) and view.checkpoints)
        await pilot.press("f9")
        await until(pilot, lambda: "■ stopped" in app.status.text)
        await until(pilot, lambda: "stops with a checkpoint at step" in said(app))


@pytest.mark.parametrize("cores", [2, 1])
async def test_frames_are_few_only_while_training_needs_every_core(monkeypatch, cores):
    monkeypatch.setattr("tui_gen.app.steering.follower.CORES", cores)
    async with workbench(monkeypatch) as (app, pilot):
        view = await started(monkeypatch, app, pilot)
        monkeypatch.setattr(CpuBudget, "SHARE", 1e-9)  # only now: the first values may come after the first frame
        monkeypatch.setattr(CpuBudget, "LONGEST", 1e9)
        monkeypatch.setattr(CpuBudget, "HANDS_ON", 1e6)  # a frame may be late where others are busy
        app.follower.budget._touch_time = -1e9  # the keys that started it are long ago
        before, seen = view.step, app.follower._draw_time
        wait_for(lambda: runs.state_of(view.path)[1] > before + 5)
        if cores == 1:
            app.follower.tick()
            assert (view.step, app.follower._draw_time) == (before, seen)
            assert app.follower.pause > 1e3  # a millionth of a core's second would be enough
            await pilot.press("alt+3")
        await until(pilot, lambda: view.step > before and app.follower._draw_time > seen and app.follower.pause < 1)


async def test_live_edits_are_acknowledged_with_their_step_or_refused(monkeypatch):
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        view = await started(monkeypatch, app, pilot)
        await app.conductor.edit("train.phases.vae.lr", 5e-4)
        await until(pilot, lambda: view.edits)
        assert view.edits[0].new == 5e-4
        words = f"train.phases.vae.lr = 5e-4 from step {view.edits[0].step:,}"
        await until(pilot, lambda: words in said(app))
        await app.conductor.edit("train.batch_size", 7)
        await until(pilot, lambda: "train.batch_size was not changed" in said(app))
        assert len(view.edits) == 1


async def test_an_invalid_form_tells_every_problem_and_makes_no_run(monkeypatch):
    async with workbench(monkeypatch) as (app, pilot):
        tables = app.form.tables()
        tables["train"] |= {"batch_size": 0, "device": "abacus"}
        tables["dataset"]["name"] = "didgets"
        monkeypatch.setattr(app.form, "tables", lambda: tables)
        monkeypatch.setattr(app.form, "problems", list)
        await pilot.press("f5")
        await until_shown(pilot, "This cannot be started", "train.batch_size", "train.device", "did you mean 'digits'?")
        await pilot.press("escape")
        assert runs.list_runs(app.session.root) == []


async def test_a_killed_worker_is_interrupted_and_resume_is_offered(monkeypatch):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        view = await started(monkeypatch, app, pilot)
        await app.conductor.ask("checkpoint")
        step = view.step
        os.kill(runs.worker_of(view.path).pid, signal.SIGKILL)
        await until(pilot, lambda: "interrupted" in app.status.text)
        await until_shown(pilot, ": interrupted", "fake worker of", "Resume goes on from its checkpoint")

        def bar() -> list[str]:
            return screen_text(app).splitlines()[-1].split()

        await until(pilot, lambda: "Cancel" in bar(), "the dialog's keys: no others do anything")
        assert not {"F5", "F6", "F9"} & set(bar())
        await pilot.press("escape")
        await until(pilot, lambda: {"F5", "F12"} <= set(bar()) and "F6" not in bar())
        await pilot.press("f12")
        await until(pilot, lambda: state(app) == "running" and view.step > step)
        assert "resumed from step" in "\n".join(text for _, _, text in view.log)


async def test_the_offer_to_resume_goes_when_somebody_else_resumed(monkeypatch):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        view = await started(monkeypatch, app, pilot)
        await app.conductor.ask("checkpoint")
        os.kill(runs.worker_of(view.path).pid, signal.SIGKILL)
        await until(pilot, lambda: ": interrupted" in screen_text(app))
        launch.start(view.path, resume=True)
        await until(pilot, lambda: state(app) == "running")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        worker = runs.worker_of(view.path).pid
        view.path.rename(view.path.with_name("elsewhere"))
        os.kill(worker, signal.SIGKILL)
        shown = await until_shown(pilot, ": interrupted", "Its folder is gone", "Nothing can be resumed here")
        assert "Resume " not in shown


async def test_a_failed_run_shows_its_last_words(monkeypatch):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        fake_worker.install(monkeypatch, crash_at=30)
        await pilot.press("f5")
        await until_shown(pilot, ": failed", "RuntimeError: the fake worker was told to crash")
        await pilot.press("c")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert state(app) == "failed"


@pytest.fixture
def four_runs():
    """A finished, a stopped, a failed and an interrupted run."""
    made = {}
    for name in ("finished", "stopped", "failed", "interrupted"):
        path = fake_worker.make_run(None, "vae-digits", f"name={name}-one")
        fake_worker.record(path, steps=100, state="running" if name == "interrupted" else name)
        (path / "worker.json").write_text(
            json.dumps({"pid": 1, "host": socket.gethostname(), "started": "long ago", "socket": ""})
        )
        made[name] = path
    return made


async def test_runs_pane_lists_opens_filters_and_deletes(monkeypatch, four_runs):
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        pane = app.workspace.pane("runs")
        await until(pilot, lambda: len(pane.rows) == 4)
        await pilot.press("alt+6")
        await until_shown(pilot, *(f"{sign} {word}" for sign, word in zip("✔■✖!", four_runs, strict=True)))
        await pilot.press("slash", *"stopped", "enter")
        await until(pilot, lambda: len(pane._filtered()) == 1)
        await until(pilot, lambda: re.search(r"vae on digits · .*\d\d:\d\d:\d\d", screen_text(app)))
        await pilot.press("enter")
        await until(pilot, lambda: state(app) == "stopped" and app.conductor.view.series)
        assert app.conductor.view.path == four_runs["stopped"]
        await pilot.press("alt+6", "escape")
        await until(pilot, lambda: len(pane._filtered()) == 4)
        pane.table.move_to([row.path for row in pane.rows].index(str(four_runs["failed"])))
        (four_runs["failed"] / "notes.md").touch()
        await pilot.press("delete")
        await until(pilot, lambda: "holds what is not a run's: notes.md; move that away" in said(app))
        assert len(app.screen_stack) == 1 and four_runs["failed"].exists()
        (four_runs["failed"] / "notes.md").unlink()
        await pilot.press("delete")
        await until(pilot, lambda: "It cannot be had back" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert four_runs["failed"].exists(), "keeping is the default"
        await pilot.press("delete")
        await until(pilot, lambda: "It cannot be had back" in screen_text(app))
        await pilot.press("d")
        await until(pilot, lambda: not four_runs["failed"].exists() and len(pane.rows) == 3)


async def test_runs_pane_snapshot(monkeypatch, four_runs):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        await pilot.press("alt+6", "z")

        def rows() -> str:
            found = [row for row in screen_text(app).splitlines() if "-one " in row or "Judged by" in row]
            even = [re.sub(r"\d\d:\d\d", "00:00", re.sub("one [a-z0-9]{4} ", "one aaaa ", row)) for row in found]
            return "\n".join(sorted(even)) + "\n"

        await check_snapshot(pilot, "runs", rows)


async def test_resume_from_the_runs_pane(monkeypatch, four_runs):
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        fake_worker.install(monkeypatch)
        pane = app.workspace.pane("runs")
        await until(pilot, lambda: len(pane.rows) == 4)
        await pilot.press("alt+6", "slash", *"interrupted", "enter", "r")
        # "resuming" may be gone before anyone looks: what counts is that this run goes on
        await until(pilot, lambda: state(app) == "running" and "resuming" not in app.status.text)
        assert app.conductor.view.path == four_runs["interrupted"]


async def test_stop_another_live_run_from_the_runs_pane(monkeypatch):
    other = fake_worker.make_run(None, "vae-digits", "name=other")
    fake_worker.start(other)
    wait_until_listening(other)
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        pane = app.workspace.pane("runs")
        await until(pilot, lambda: pane.rows and pane.rows[0].state == "running")
        await pilot.press("alt+6", "x")
        await until(pilot, lambda: f"{other.name}: stops with a checkpoint" in said(app))
        await until(pilot, lambda: runs.state_of(other)[0] == "stopped")
        assert app.conductor.view is None


async def test_two_workbenches_on_one_run_agree(monkeypatch):
    path = fake_worker.make_run()
    fake_worker.start(path)
    wait_until_listening(path)
    async with (
        workbench(monkeypatch, (120, 40), open_run=path) as (one, first),
        workbench(monkeypatch, (120, 40), open_run=path) as (two, second),
    ):
        await until(first, lambda: state(one) == "running")
        await until(second, lambda: state(two) == "running")
        await one.conductor.edit("model.beta", 3.0)
        await one.conductor.ask("pause")
        await until(first, lambda: state(one) == "paused")
        await until(second, lambda: state(two) == "paused" and two.conductor.view.edits)
        assert two.conductor.view.edits[0].new == 3.0
        await until(second, lambda: two.conductor.view.step == one.conductor.view.step)
        await two.conductor.stop()
        await until(first, lambda: state(one) == "stopped")


async def test_quit_asks_and_leaves_the_run_running_by_default(monkeypatch):
    async with workbench(monkeypatch) as (app, pilot):
        view = await started(monkeypatch, app, pilot)
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "Leave running" in screen_text(app))

        def dialog() -> str:
            box = app.screen.query_one("#dialog").region
            return "".join(f"{row[box.x : box.right]}\n" for row in screen_text(app).splitlines()[box.y : box.bottom])

        await check_snapshot(pilot, "quit", dialog)
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert app.is_running
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "Leave running" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: app._exit)
    assert runs.state_of(view.path)[0] == "running"


async def test_quit_can_stop_with_a_checkpoint(monkeypatch):
    async with workbench(monkeypatch) as (app, pilot):
        view = await started(monkeypatch, app, pilot)
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "Leave running" in screen_text(app))
        await pilot.press("right", "enter")
        await until(pilot, lambda: app._exit)
    assert wait_for(lambda: runs.state_of(view.path)[0] == "stopped", what="the run to stop")
    assert list((view.path / "checkpoints").iterdir())


async def test_quitting_while_a_run_starts_asks_about_that_run_too(monkeypatch):
    release = threading.Event()

    class Thinking(Warm):
        ready = True

        def check(self, tables):
            release.wait(120)
            return []

    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        fake_worker.install(monkeypatch)
        app.session.warm = Thinking(alive=False)
        monkeypatch.setattr(app.session, "drop_warm", lambda: None)
        await pilot.press("f5")
        await until(pilot, lambda: "starting" in app.status.text)
        await pilot.press("ctrl+q")
        release.set()
        await until(pilot, lambda: app.view is not None)
        await until_shown(pilot, "is still training", app.view.path.name)
        app.session.warm = None
        await pilot.press("escape")


async def test_quit_asks_nothing_without_live_runs(monkeypatch, four_runs):
    async with workbench(monkeypatch, open_run=four_runs["finished"]) as (app, pilot):
        await until(pilot, lambda: state(app) == "finished")
        await pilot.press("ctrl+q")
        await until(pilot, lambda: app._exit)


async def test_a_config_from_a_newer_version_is_told_and_the_run_still_shown(monkeypatch, four_runs):
    path = four_runs["finished"]
    text = (path / "config.toml").read_text().replace("format = 1", "format = 99")
    (path / "config.toml").write_text(text)
    async with workbench(monkeypatch, (200, 60), open_run=path) as (app, pilot):
        await until(pilot, lambda: "was written by a newer tui-gen" in said(app))
        await until(pilot, lambda: app.conductor.view.series and "✔ finished" in app.status.text)


async def test_torn_and_garbage_lines_are_told_and_passed_over(monkeypatch, four_runs):
    path = four_runs["finished"]
    with open(path / "events.jsonl", "ab") as file:
        file.write(b'\xff\xfe garbage\n{"type": "metrics"}\n{"type":"note","text":"half a li')
    async with workbench(monkeypatch, (200, 60), open_run=path) as (app, pilot):
        await until(pilot, lambda: "2 lines of events.jsonl could not be read" in said(app))
        assert app.conductor.view.series


async def test_an_unwritable_runs_folder_is_told(monkeypatch, world):
    monkeypatch.setenv("TUI_GEN_RUNS", "/proc/nowhere")
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        await pilot.press("f5")
        await until(pilot, lambda: "cannot make a run in /proc/nowhere" in said(app))
        assert "choose another folder with --runs" in said(app)


async def test_a_full_disk_is_told_while_it_lasts(monkeypatch):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        view = await started(monkeypatch, app, pilot, trouble="cannot write events.jsonl: No space left on device")
        os.kill(runs.worker_of(view.path).pid, signal.SIGSTOP)
        monkeypatch.setattr(app.session, "ask", lambda *_, **__: control.Reply({"trouble": "no space left"}))
        await until(pilot, lambda: "✖ no space left" in app.status.text)
        await until(pilot, lambda: "kept in memory" in said(app))
        os.kill(runs.worker_of(view.path).pid, signal.SIGCONT)
        await until(pilot, lambda: "no space left" not in app.status.text)


async def test_a_silent_worker_is_one_message_and_the_screen_goes_on(monkeypatch):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        await started(monkeypatch, app, pilot)
        gate = threading.Event()

        def stuck(path, op, **_):
            gate.wait(120)
            raise control.ControlError(f"the worker did not answer {op!r} within 15 s")

        monkeypatch.setattr(app.session, "ask", stuck)
        await pilot.press("f8")
        await until(pilot, lambda: "making a checkpoint…" in app.status.text)
        await pilot.press("ctrl+y")
        await until(pilot, lambda: "giving its device back…" in app.status.text)
        await pilot.press("alt+6")
        await until(pilot, lambda: app.workspace.active.id == "runs")
        gate.set()
        await until(pilot, lambda: "did not answer 'checkpoint'" in said(app))


async def test_a_worker_that_is_to_stop_and_does_not_answer_is_told_with_what_to_do(monkeypatch):
    monkeypatch.setattr(conductor, "SILENT", 0.2)
    async with workbench(monkeypatch, (160, 40)) as (app, pilot):
        view = await started(monkeypatch, app, pilot)
        pid = runs.worker_of(view.path).pid
        os.kill(pid, signal.SIGSTOP)
        await pilot.press("f9")
        await until(pilot, lambda: f"kill -CONT {pid}" in said(app))
        os.kill(pid, signal.SIGCONT)
        await until(pilot, lambda: state(app) == "stopped")


async def test_progress_of_preparations_is_in_the_status_bar(monkeypatch):
    path = fake_worker.make_run()
    async with workbench(monkeypatch, (120, 40), open_run=path) as (app, pilot):
        await until(pilot, lambda: app.conductor.view is not None)
        from tui_gen import events
        from tui_gen.log import event_log

        writer = event_log.EventWriter(path / "events.jsonl")
        writer.write(events.Progress(what="downloading mnist", done=4_000_000, total=11_000_000, unit="bytes"))
        await until(pilot, lambda: "downloading mnist 36% (4.0 MB of 11 MB)" in app.status.text)
        writer.close()


async def test_alerts_are_told(monkeypatch):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        await started(monkeypatch, app, pilot, nan_at=60)
        await until(pilot, lambda: "Step 61: a loss is not finite in vae/loss. Lower the learning rate." in said(app))
        await until(pilot, lambda: "✖ step 61" in screen_text(app))


async def test_a_model_file_that_changed_is_read_anew(monkeypatch, world):
    async with workbench(monkeypatch, (120, 40)) as (app, _):
        closed = []

        class Warm:
            ready = alive = True

            def close(self):
                closed.append(True)

        app.session.warm, app.session._warm_key = Warm(), app.session._key()
        app.session.drop_warm()
        assert not closed, "the files are as they were"
        folder = world / "config" / "tui-gen" / "models"
        folder.mkdir(parents=True)
        (folder / "mine.py").write_text("# changed")
        app.session.drop_warm()
        assert closed and app.session.warm is None


async def test_words_of_users_and_logs_are_not_markup(monkeypatch):
    path = fake_worker.make_run(None, "vae-digits", "name=[/bold] [red]x")
    fake_worker.record(path, reason="[/] bad [link=x]", state="failed")
    (path / "worker.log").write_text("[/red] Traceback [bold\n")
    async with workbench(monkeypatch, (200, 60), open_run=path) as (app, pilot):
        await until(pilot, lambda: state(app) == "failed")
        app.notices.tell("[/nonsense] [bold]told")
        await pilot.press("alt+6")
        await until(pilot, lambda: "[/] bad [link=x]" in screen_text(app))
        await pilot.press("alt+5", "o")
        await until(pilot, lambda: "[/red] Traceback [bold" in screen_text(app))
        await pilot.press("ctrl+p")
        await pilot.press(*"open run")
        await until(pilot, lambda: "Open run: [/bold] [red]x" in screen_text(app))


async def test_log_filter_and_worker_output(monkeypatch, four_runs):
    async with workbench(monkeypatch, (120, 40), open_run=four_runs["finished"]) as (app, pilot):
        log = app.workspace.pane("log")
        await until(pilot, lambda: any("checkpoint at step" in row for row in log.lines.rows))
        count = len(log.lines.rows)
        await pilot.press("alt+5", "slash", *"checkpoint")
        await until(pilot, lambda: 0 < len(log.lines.rows) < count)
        await pilot.press(*"xyz")
        await until_shown(pilot, "No line has these words.")
        await pilot.press("escape")
        await until(pilot, lambda: len(log.lines.rows) == count)


async def test_the_log_stays_at_its_end_whatever_the_size(monkeypatch, four_runs):
    async with workbench(monkeypatch, (120, 50), open_run=four_runs["finished"]) as (app, pilot):
        log = app.workspace.pane("log")
        for number in range(60):
            app.notices.note("info", f"line {number} {'and some words ' * (number % 9)}")
        await pilot.press("alt+5", "f11")
        for size in ((120, 30), (90, 30), (120, 50)):
            await pilot.resize_terminal(*size)
            await until(
                pilot,
                lambda: log.lines.scroll_offset.y == log.lines.max_scroll_y > 0 and "line 59" in screen_text(app),
            )
        await pilot.press("pageup")
        await until(pilot, lambda: log.lines.scroll_offset.y < log.lines.max_scroll_y - 1)
        place = log.lines.scroll_offset.y
        await pilot.resize_terminal(120, 48)
        app.notices.note("info", "one more")
        await pilot.pause()
        assert log.lines.scroll_offset.y == place


async def test_the_log_is_in_the_order_of_time(monkeypatch, four_runs):
    async with workbench(monkeypatch, (80, 24), open_run=four_runs["finished"]) as (app, pilot):
        log, view = app.workspace.pane("log"), app.view
        await pilot.press("5")
        await until(pilot, lambda: any("checkpoint at step" in row for row in log.lines.rows))
        await pilot.press("1")
        view.log.append((time.time(), "info", "told by the run"))
        app.notices.note("info", "noted here")  # the pane is hidden: what the run told is still to come
        view.log.append((time.time(), "info", "told later"))
        for pane in app.workspace.panes:
            pane.news.add("log")
        await pilot.press("5")
        await until(pilot, lambda: any("told later" in row for row in log.lines.rows))
        last = [row.split("  ")[-1].strip() for row in log.lines.rows[-3:]]
        assert last == ["told by the run", "noted here", "told later"]
