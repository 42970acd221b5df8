"""Notices: what is worth telling, each once; the hook, which no name of a run can reach."""

from __future__ import annotations

import io
import os
import threading
import time
from types import SimpleNamespace

import pytest

from tests import fake_worker
from tests.hostile import EVIL
from tests.shell import until, until_shown, workbench
from tests.waiting import wait_for
from tui_gen import events, runs
from tui_gen.app.steering import announcing
from tui_gen.draw import attention
from tui_gen.draw.terminal import Terminal
from tui_gen.log import event_log
from tui_gen.notify import hook, notice_record, teller, wishes
from tui_gen.notify.beside import start_teller
from tui_gen.notify.happenings import AGAIN, HELD, LONGEST, SILENCE, Happening, HappeningWatch, trial
from tui_gen.report import calling
from tui_gen.report.stdout import Outlet
from tui_gen.verdicts import health
from tui_gen.view import RunView


def running(name="noisy", steps=50):
    """A run with a past, whose worker counts as alive."""
    path = fake_worker.make_run()
    path = fake_worker.record(path.rename(path.with_name(name)), steps=steps, state="running")
    view = RunView(path)
    view.read_all()
    view.state = "running"
    return path, view


def words(happenings):
    return [(happening.event, happening.text) for happening in happenings]


def ended(view, state, reason=""):
    view.state, view.reason, view.last_event_time = state, reason, time.time() + 5


# -- what happens


@pytest.mark.parametrize(
    "state, event, text",
    [
        ("finished", "ended", "noisy has finished at step 50"),
        ("stopped", "ended", "noisy was stopped at step 50"),
        ("failed", "failed", "noisy has failed at step 50 (no room)"),
        ("interrupted", "failed", "noisy was interrupted at step 50 (no room)"),
    ],
)
def test_the_end_of_a_run_is_told_once(monkeypatch, state, event, text):
    _, view = running()
    watch = HappeningWatch(view, time.time())
    assert watch.look() == []
    ended(view, state, "no room")
    ((found, told),) = words(watch.look())
    assert found == event and told.startswith(text) and watch.look() == []
    view.state = "running"  # it was resumed
    watch.look()
    ended(view, "stopped")
    assert [happening.event for happening in watch.look()] == ["ended"]


def test_what_was_over_before_is_no_news():
    _, view = running()
    ended(view, "finished")
    view.last_event_time = time.time() - 5
    assert HappeningWatch(view, time.time()).look() == []
    view.last_event_time = time.time() + 5
    assert [happening.event for happening in HappeningWatch(view, time.time()).look()] == ["ended"]


def alert(what, level="warning"):
    return events.Alert(step=7, level=level, what=what, where="a/loss", advice="Do.", t=time.time() + 1)


def test_alarms_are_told_once_of_a_kind_and_not_beside_the_failure_that_they_mean():
    _, view = running()
    watch, now = HappeningWatch(view, time.time()), time.monotonic()
    view.alerts += [alert("spike: 3, it was 1"), alert("spike: 4, it was 1"), alert("mode collapse: all alike")]
    assert watch.look(now) == [] and watch.look(now + HELD - 0.1) == []
    told = [text for event, text in words(watch.look(now + HELD)) if event == "alarm"]
    assert len(told) == 2 and "spike: 3, it was 1 in a/loss" in told[0] and "mode collapse" in told[1]
    view.alerts.append(alert("the loss is not finite", "error"))
    assert watch.look(now + 20) == []
    ended(view, "failed", "loss is not finite")
    assert [happening.event for happening in watch.look(now + 21)] == ["failed"]


def test_a_verdict_that_stays_bad_is_an_alarm_now_and_then(monkeypatch):
    _, view = running()
    level = "good"
    monkeypatch.setattr(health, "verdict", lambda view: health.Verdict(level, "D wins: it knows all", advice="Slower"))
    watch, now = HappeningWatch(view, time.time()), time.monotonic()

    def looked(at):
        return [happening.event for happening in watch.look(now + at)]

    assert looked(0) == []
    level = "bad"
    assert looked(10) == [] and looked(20) == ["alarm"] and looked(30) == []
    level = "good"
    assert looked(40) == []
    level = "bad"
    assert looked(50) == [] and looked(60) == []
    assert looked(20 + AGAIN) == ["alarm"] and looked(30 + 2 * AGAIN) == []  # it has not been good since


def test_an_alert_and_a_verdict_that_say_the_same_are_told_once(monkeypatch):
    _, view = running()
    collapse = health.Verdict("bad", "mode collapse: they vary 3 % as much as real ones")
    monkeypatch.setattr(health, "verdict", lambda view: collapse)
    watch, now = HappeningWatch(view, time.time()), time.monotonic()
    view.alerts.append(alert("mode collapse: generated images are nearly all alike"))
    told = [h.event for second in (0, 10, 20, 30, 2 * AGAIN, 2 * AGAIN + 10) for h in watch.look(now + second)]
    assert told == ["alarm"]
    first = HappeningWatch(view, time.time())
    first._alerts = 1
    told = [h.event for second in (0, 10, 20) for h in first.look(now + second)]
    view.alerts.append(alert("mode collapse: generated images are nearly all alike"))
    assert told == ["alarm"] and first.look(now + 30) == [] and first.look(now + 40) == []


def test_a_silence_far_beyond_its_pace_is_a_stall_and_is_told_once():
    _, view = running()
    watch, now = HappeningWatch(view, time.time()), time.monotonic()

    def heard(at):
        view.last_event_time += 1
        return [happening.event for happening in watch.look(at)]

    for second in range(10):
        heard(now + second)
    assert watch.look(now + 9 + SILENCE - 1) == []
    (stall,) = watch.look(now + 10 + SILENCE)
    assert stall.event == "stalled" and "says nothing for 2 min" in stall.text
    assert watch.look(now + 20 + SILENCE) == [] and heard(now + 400) == []
    for step in range(5):  # slow from here on: a hundred seconds a word
        heard(now + 500 + 100 * step)
    assert watch.look(now + 900 + 700) == [] and [h.event for h in watch.look(now + 900 + 900)] == ["stalled"]
    heard(now + 2000)
    view.state = "paused"
    assert watch.look(now + 9000) == []


@pytest.mark.parametrize("already", [False, True])
def test_a_run_reaches_its_figure_once(monkeypatch, already):
    _, view = running()
    standing = SimpleNamespace(aim=1, reached=already, words="")
    monkeypatch.setattr(health.Standing, "of", lambda view, stated: standing)
    monkeypatch.setattr(health, "verdict", lambda view: None)
    watch, now = HappeningWatch(view, time.time()), time.monotonic()
    assert watch.look(now) == []
    standing.reached = True
    told = words(watch.look(now + 10))
    assert [event for event, _ in told] == ([] if already else ["reached"])
    standing.reached = False
    watch.look(now + 20)
    standing.reached = True
    assert watch.look(now + 30) == []


def test_texts_are_bounded_and_clean():
    path, view = running()
    watch = HappeningWatch(view, time.time())
    view.path = path.parent / (EVIL.replace("/", "") + "y" * 500)
    ended(view, "failed", EVIL * 100)
    (happening,) = watch.look()
    assert len(happening.text) <= LONGEST and happening.text.isprintable() and happening.name.isprintable()
    assert happening.values["REASON"].isprintable()


# -- what is wished


@pytest.mark.parametrize(
    "table, event, ways, problem",
    [
        ({}, "ended", ("desktop", "hook"), ""),
        ({"ended": ["bell"]}, "ended", ("bell",), ""),
        ({"ended": "bell"}, "ended", ("bell",), ""),
        ({"ended": []}, "ended", (), ""),
        ({"ended": ["none"]}, "ended", (), ""),
        ({"ended": ["shout"]}, "ended", ("desktop", "hook"), "notify.ended must be a list of any of bell"),
        ({"ended": 7}, "ended", ("desktop", "hook"), "notify.ended"),
        ({"command": 7}, "ended", ("desktop", "hook"), "notify.command"),
        ({"command": "a\0b"}, "ended", ("desktop", "hook"), "notify.command"),
        ({"progress": "yes"}, "ended", ("desktop", "hook"), "notify.progress"),
        ({"end": ["bell"]}, "ended", ("desktop", "hook"), "notify.end is no setting"),
        ([], "ended", ("desktop", "hook"), "notify must be a table"),
    ],
)
def test_wishes(table, event, ways, problem):
    told = wishes.of_table(table)
    assert told.ways[event] == ways and set(told.ways) == set(wishes.EVENTS)
    assert (problem in " ".join(told.problems)) if problem else not told.problems
    assert not told.wants(event, "hook")  # there is no command
    assert wishes.of_table(table, command="true").wants(event, "hook") is ("hook" in ways)


def test_the_command_of_this_time_goes_before_the_files(tmp_path, monkeypatch):
    file = tmp_path / "settings.toml"
    assert wishes.read(file) == wishes.Wishes()
    file.write_text('[notify]\ncommand = "a"\nfailed = ["hook"]')
    assert wishes.read(file).command == "a" and wishes.read(file).ways["failed"] == ("hook",)
    monkeypatch.setenv(wishes.VARIABLE, "b")
    assert wishes.read(file).command == "b"


# -- the hook


def happening(run, text="it is so"):
    return Happening("failed", run, text, "failed:3", {"STATE": "failed", "STEP": "3", "REASON": EVIL})


def test_the_hook_gets_facts_in_variables_and_nothing_in_its_command_line(tmp_path):
    run, out = tmp_path / EVIL.replace("/", "_").replace("\0", ""), tmp_path / "out"
    assert hook.run(f'env -0 > {out}; pwd >> {out}; echo "$TUI_GEN_NAME"', happening(run)) == ""
    found = dict(part.split("=", 1) for part in out.read_text(errors="surrogateescape").split("\0") if "=" in part)
    assert found["TUI_GEN_EVENT"] == "failed" and found["TUI_GEN_TEXT"] == "it is so" and found["TUI_GEN_STEP"] == "3"
    assert found["TUI_GEN_RUN"] == str(run) and found["TUI_GEN_NAME"].isprintable()
    assert not os.path.exists("/tmp/owned")


@pytest.mark.parametrize(
    "command, patience, failure",
    [
        ("exit 0", 30, ""),
        ("echo no route to host >&2; exit 6", 30, "exit status 6: no route to host"),
        ("printf 'a\\033[31mb'; exit 1", 30, "exit status 1: ab"),
        ("kill -9 $$", 30, "signal 9"),
        ("sleep 600 & wait", 0.2, "it took more than 0.2 s and was ended"),
        ("no-such-command-at-all", 30, "exit status 127"),
    ],
)
def test_why_a_hook_failed(tmp_path, command, patience, failure):
    found = hook.run(command, happening(tmp_path), patience)
    assert found == "" if not failure else found.startswith(failure)


def with_hook(tmp_path, monkeypatch, command=None):
    out = tmp_path / "told"
    monkeypatch.setenv(wishes.VARIABLE, command or f'echo "$TUI_GEN_EVENT $TUI_GEN_STEP" >> {out}')
    return out


def finish(path, state="finished", step=50):
    with_log = event_log.EventWriter(path / runs.LOG)
    with_log.write(events.State(state=state, step=step))
    with_log.close()


def test_the_hook_is_told_once_however_many_tell(tmp_path, monkeypatch):
    out = with_hook(tmp_path, monkeypatch)
    monkeypatch.setattr(teller, "LEAVING", 0.5)
    since = time.time()
    path, _ = running()
    finish(path)
    tellers = [threading.Thread(target=teller.tell, args=(path, since)) for _ in range(3)]
    for thread in tellers:
        thread.start()
    for thread in tellers:
        thread.join(60)
    assert out.read_text().splitlines() == ["ended 50"]
    assert [(line.event, line.failure) for line in notice_record.lines(path)] == [("ended", "")]
    finish(path, "stopped", 60)
    teller.tell(path, time.time() - 1e-3)  # a later session, over already: told by its own moment
    assert notice_record.failure(path, since) == ""


def test_a_hook_that_fails_is_said_in_words(tmp_path, monkeypatch):
    with_hook(tmp_path, monkeypatch, "echo broken; exit 3")
    monkeypatch.setattr(teller, "LEAVING", 0.0)
    monkeypatch.setattr(teller, "LEAVING", 0.5)
    since = time.time()
    path, _ = running()
    finish(path)
    teller.tell(path, since)
    words_of = "the command of notify.command failed (ended): exit status 3: broken"
    assert notice_record.failure(path, since) == words_of and notice_record.failure(path, time.time()) == ""
    err = calling.Caller(RunView(path), Outlet(io.StringIO()))
    err._since = since
    assert err.last_word("finished") == words_of


def test_what_is_in_the_record_of_somebody_else_is_passed_over(tmp_path):
    path, _ = running()
    (path / notice_record.FILE).write_bytes(b"\xff\n{}\n[1]\n" + b'{"t":1.0,"event":"ended","key":"finished:3"}\n')
    assert [line.key for line in notice_record.lines(path)] == ["finished:3"]


def test_a_process_beside_the_worker_tells_of_one_that_was_killed(tmp_path, monkeypatch):
    """The log says that the run trains, and no worker is alive: as after SIGKILL."""
    out = with_hook(tmp_path, monkeypatch)
    path = fake_worker.make_run()
    writer = event_log.EventWriter(path / runs.LOG)
    start_teller(path)
    wait_for(lambda: notice_record.begun(path), 60)
    writer.write(events.State(state="running", step=12))
    writer.close()
    wait_for(lambda: out.exists() and out.read_text(), 60)
    assert out.read_text() == "failed 12\n"


def test_no_process_without_a_hook(monkeypatch):
    from tui_gen import children

    asked = []
    monkeypatch.setattr(children, "start", lambda *words, **more: asked.append(words))
    path, _ = running()
    start_teller(path)
    assert asked == []
    monkeypatch.setenv(wishes.VARIABLE, "true")
    start_teller(path)
    assert asked[0][:2] == ("tui_gen.notify.teller", str(path))


# -- in the workbench, and headless


SUPPORT = attention.NoticeSupport("777", progress=True)
TAKES = Terminal("ascii", "", name="foot", version="1.2", answered=True, notices=SUPPORT)


async def test_the_workbench_calls_who_does_not_look_and_shows_progress(monkeypatch):
    path, view = running()
    async with workbench(monkeypatch, terminal=TAKES) as (app, _):
        sent = []
        monkeypatch.setattr(app.wire, "send", sent.append)
        app.follower.stop()
        call = app.announcer
        view.plan = events.Plan(steps=100, steps_per_epoch=10, batch_size=8)
        call.beat(view, set())
        call.beat(view, set())
        assert sent == ["\x1b]9;4;1;50\x1b\\"] and call.present
        ended(view, "finished")
        call.beat(view, set())
        assert sent[1:] == ["\x1b]9;4;0;0\x1b\\"]  # somebody looks: nothing rings
        app.app_focus = False
        assert not call.present
        view.state = "running"
        call.beat(view, set())
        ended(view, "failed", "no room")
        del sent[:]
        call.beat(view, set())
        assert sent[0].startswith("\x1b]777;notify;noisy;noisy has failed at step 50 (no room)") and len(sent) == 2
        call.use(wishes.of_table({"ended": ["bell"], "failed": []}))
        assert call.try_out() == "the bell" and sent[-1] == "\a"
        assert call.call(happening(path)) == ""
        monkeypatch.setattr(app, "terminal", None)
        call.use(wishes.Wishes())
        assert call.try_out() == "the bell"


async def test_a_run_that_is_not_on_screen_is_told_of_as_well(monkeypatch):
    path, _ = running("elsewhere")
    states = ["running"]
    monkeypatch.setattr(runs, "state_of", lambda run: (states[-1], 50, ""))
    async with workbench(monkeypatch, terminal=TAKES) as (app, pilot):
        sent = []
        monkeypatch.setattr(app.wire, "send", sent.append)
        app.follower.stop()  # whose beat would say that nothing was started here
        monkeypatch.setattr(announcing, "OTHERS", 0.0)
        app.announcer.beat(None, {path})
        await until(pilot, lambda: path in app.announcer._others and not app.announcer._looking)
        finish(path)
        states.append("finished")
        app.announcer.beat(None, {path})
        await until(pilot, lambda: sent)
        app.announcer.beat(None, {path})
        await until(pilot, lambda: not app.announcer._looking)
        assert len(sent) == 1 and "elsewhere has finished at step 50" in sent[0]
        assert any("elsewhere has finished" in text for text in app.told)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_dialog_settles_what_is_told_and_remembers_it(monkeypatch, size):
    async with workbench(monkeypatch, size, terminal=TAKES) as (app, pilot):
        app.do("notice_settings")
        await until_shown(pilot, "A run finished, or was stopped", "notifications (OSC 777)", "Close")
        await pilot.press("space", "down", "right", "space", "left", "up")  # the bell for ends; no desktop for failures
        await until(pilot, lambda: app.announcer.wishes.ways["ended"] == ("bell", "desktop", "hook"))
        await until(pilot, lambda: app.announcer.wishes.ways["failed"] == ("hook",))
        app.screen.query_one("#command").value = "exit 4"
        await pilot.click("#test")
        await until_shown(pilot, "The command failed: exit status 4")
        await pilot.press("escape")
        told = wishes.read(app.settings.path)
        assert told.ways["ended"] == ("bell", "desktop", "hook") and told.ways["failed"] == ("hook",)
        assert told.command == "exit 4" and not told.problems


class Tty(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("tty", [True, False])
@pytest.mark.parametrize("short", [True, False])
def test_headless_rings_on_a_terminal_for_a_run_that_took_a_while(monkeypatch, tty, short):
    _, view = running()
    out = Tty() if tty else io.StringIO()
    caller = calling.Caller(view, Outlet(out))
    caller._began -= 0 if short else 2 * calling.SHORT
    monkeypatch.setattr(calling.Caller, "_terminal", lambda self: attention.NoticeSupport("9"))
    caller.look()
    ended(view, "finished")
    assert caller.last_word("finished") == ""
    expected = tty and not short
    assert out.getvalue().startswith("\x1b]9;noisy has finished") if expected else out.getvalue() == ""


def test_a_trial_is_no_run():
    assert trial().event in wishes.EVENTS and trial().text.isprintable()
