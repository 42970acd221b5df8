"""`tui-gen watch`: a live run behind a script in ssh's place, in the workbench; what stands in the way of a link."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from tests import fake_worker
from tests.far import FarMachine, ssh_script
from tests.shell import screen_text, until, until_shown, workbench
from tests.waiting import wait_for
from tui_gen import runs
from tui_gen.app.far_runs import FarRuns
from tui_gen.app.workbench import Workbench
from tui_gen.remote.link import Dialling, LinkError, RemoteFolder, connect
from tui_gen.remote.messages import MAGIC
from tui_gen.remote.watcher import Watcher
from tui_gen.runs import RunError


def processes(words: bytes) -> list[int]:
    """Those of this test with these words in their command line."""
    mark = f"TUI_GEN_TEST={os.environ['TUI_GEN_TEST']}\0".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if words in (entry / "cmdline").read_bytes() and mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def said(app, words: str) -> bool:
    return any(words in line for line in app.told)


@pytest.fixture
def home(world):
    (world / "home" / "runs").mkdir(parents=True)
    return world / "home"


async def test_a_live_run_of_another_machine_in_the_workbench(world, home, monkeypatch):
    """Through real processes: seen, drawn, stopped; its link is killed, and comes back by itself."""
    run = fake_worker.make_run(home / "runs")
    process = fake_worker.start(run, rate=50)
    watcher = Watcher(Dialling(RemoteFolder.parse("me@far:runs"), str(ssh_script(world, home))), quiet=True)
    watcher.start()
    async with workbench(monkeypatch, app=Workbench(FarRuns(watcher))) as (app, pilot):
        await until_shown(pilot, "6 Runs · 1 live", "choose a run of me@far:runs")
        await until(pilot, lambda: app.workspace.pane("runs").highlighted)
        await until(pilot, lambda: app.form_actions.stage.form is not None)
        assert "trains it" not in screen_text(app), "no recipe is offered where nothing can be started"
        await pilot.press("enter")
        view = await until(pilot, lambda: app.view)
        await until(pilot, lambda: view.series and view.samples and "▶ running" in app.status.text)
        await until(pilot, lambda: screen_text(app).count("▀") > 50, "the preview")
        mirror = processes(b"\0mirror\0")
        assert len(mirror) == 1
        (world / "ssh-there").rename(world / "gone")
        os.kill(mirror[0], signal.SIGKILL)
        await until(pilot, lambda: "no link to me@far: trying again" in app.status.text)
        assert view.live and view.state == "running"
        step = view.step
        (world / "gone").rename(world / "ssh-there")
        await pilot.press("f9")  # nothing is asked, but the link is tried at once
        await until(pilot, lambda: "The link to me@far is back." in app.told and "no link" not in app.status.text)
        await until(pilot, lambda: view.step > step)
        await pilot.press("f9")
        await until(pilot, lambda: "■ stopped" in app.status.text)
        assert process.wait(120) == 0 and runs.state_of(run)[0] == "stopped"
        assert (view.path / runs.LOG).read_bytes() == (run / runs.LOG).read_bytes()
        await pilot.press("ctrl+q")
        await until(pilot, lambda: not app.is_running)
    wait_for(lambda: not processes(b"\0mirror\0"), what="the other side to end")


async def test_what_cannot_be_done_from_here_says_so(world, monkeypatch):
    far = FarMachine(world / "far", monkeypatch)
    fake_worker.record(fake_worker.make_run(far.root), state="stopped")
    async with workbench(monkeypatch, app=Workbench(FarRuns(far.watch()))) as (app, pilot):
        pane = app.workspace.pane("runs")
        await until(pilot, lambda: pane.highlighted)
        await pilot.press("enter")
        await until(pilot, lambda: app.view is not None)
        for action, words in (
            ("start", "starts nothing: start it there"),
            ("enqueue", "starts nothing: start it there"),
            ("roll_back", "tui-gen rollback"),
            ("in_pane('runs', 'fork')", "tui-gen fork"),
        ):
            app.told.clear()
            app.do(action)
            await until(pilot, partial(said, app, words), f"{action}: {app.told}")


@pytest.mark.parametrize("text", ["runs", "-oProxyCommand=x:runs", ":runs", "a b:runs", "me@:runs", "h\x1b:runs", ""])
def test_what_is_no_place(text):
    with pytest.raises(RunError, match="names no runs of another machine: write HOST:FOLDER"):
        RemoteFolder.parse(text)


def test_what_is_one_and_what_ssh_is_given():
    assert RemoteFolder.parse("gpu1:") == ("gpu1", "")
    assert RemoteFolder.parse("me@[2001:db8::1]:/data/my runs") == ("me@2001:db8::1", "/data/my runs")
    dialling = Dialling(RemoteFolder("me@gpu1", "my 'runs'"), "ssh -p 2222", "uv run tui-gen")
    words = dialling.words(quiet=True)
    assert words[:3] == ["ssh", "-p", "2222"] and words[-2] == "me@gpu1" and "BatchMode=yes" in words
    assert "BatchMode=yes" not in dialling.words(quiet=False)
    assert Dialling(RemoteFolder("h", ""), "/opt/dial --fast").words(True)[:3] == ["/opt/dial", "--fast", "h"]


TROUBLES = {
    "echo 'bash: line 1: exec: tui-gen: not found' >&2; exit 127": "has no tui-gen on its path.*--remote-command",
    "echo \"tui-gen: no such command 'mirror'\" >&2; exit 2": "is too old to be watched",
    "echo 'me@far: Permission denied (publickey).' >&2; exit 255": "does not let us in.*ssh-add.*ControlMaster",
    "echo 'Host key verification failed.' >&2; exit 255": "does not let us in",
    "echo 'ssh: connect to host far port 22: Connection refused' >&2; exit 255": "no link to far: .*refused",
    "echo 'Only for accounting.'; exit 1": "no link to far: Only for accounting",
    f"printf '{MAGIC.decode()}99 7.0\\n'; sleep 60": "has tui-gen 7.0, which mirrors runs in another way",
    "exit 3": "no link to far: .* ended with status 3",
}


@pytest.mark.parametrize("code", TROUBLES)
def test_what_is_in_the_way_of_a_link_is_said_in_words(tmp_path, code):
    script = tmp_path / "dial"
    script.write_text(f"#!/bin/sh\n{code}\n")
    script.chmod(0o755)
    with pytest.raises(LinkError, match=TROUBLES[code]):
        connect(Dialling(RemoteFolder("far", "runs"), str(script)), quiet=True)


def test_the_command_line_lists_and_tells(world, monkeypatch, call):
    far = FarMachine(world / "far", monkeypatch)
    path = fake_worker.record(fake_worker.make_run(far.root))
    status, out, err = call("watch", "far:runs", "--list")
    assert status == 0 and path.name in out and "finished" in out and err == "connecting to far…\n"
    status, out, _ = call("watch", "far:runs", "latest", "--json")
    assert status == 0 and '"type":"checkpoint"' in out
    out = call("watch", "far:runs", "latest", "--plain")[1]
    assert f"run         far:runs/{path.name}\n" in out and "cache" not in out
    assert f"go on       ssh far tui-gen --runs runs --resume {path.name}\n" in out
    status, _, err = call("watch", "far:runs", "nothing", "--plain")
    assert status == 2 and "no run 'nothing'" in err
    assert "the workbench needs a terminal" in call("watch", "far:runs")[2]
    status, _, err = call("mirror")
    assert status == 2 and "starts this on the other machine by itself" in err


def test_a_folder_that_is_not_there_is_told_by_the_other_side(world, home):
    """Through a script in ssh's place, as all that a machine says on its own comes before."""
    with pytest.raises(RunError, match=f"far: there is no folder {home}/elsewhere"):
        Watcher(Dialling(RemoteFolder("far", "elsewhere"), str(ssh_script(world, home))), quiet=True).start()
