"""Runs of another machine, mirrored: the list, logs to the byte, previews, requests, broken links, hostile ones."""

from __future__ import annotations

import contextlib
import os
import random
import select
import shutil
import stat
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import fake_worker
from tests.far import FarMachine, PipeLink
from tests.waiting import wait_for
from tui_gen import control, events, launch, presence, remarks, runs
from tui_gen.app.steering.far_session import FarPreviews, FarSession
from tui_gen.history.run_summary import STUB, Summaries
from tui_gen.log import event_log
from tui_gen.remote import previews
from tui_gen.remote import watcher as watchers
from tui_gen.remote.link import Dialling, RemoteFolder
from tui_gen.remote.messages import (
    LARGEST,
    AllListed,
    Asked,
    AskThere,
    FarFile,
    FarRun,
    FrameStream,
    GoneRuns,
    LinkBroken,
    LogPart,
    LookAt,
    Ping,
    Pong,
    Told,
)
from tui_gen.remote.watcher import Watcher
from tui_gen.runs import RunError
from tui_gen.view import RunView


@pytest.fixture
def far(world, monkeypatch):
    machine = FarMachine(world / "far", monkeypatch)
    yield machine
    machine.close()


def recorded(far: FarMachine, state: str = "finished", **more) -> Path:
    return fake_worker.record(fake_worker.make_run(far.root), state=state, **more)


def told(root: Path) -> list[tuple]:
    rows = runs.list_runs(root)
    return [
        (os.path.basename(row.path), row.state, row.step, row.reason, row.steps, row.model, row.dataset, row.host,
         row.star, row.tags, round(row.created, 3), round(row.updated, 3))
        for row in rows
    ]  # fmt: skip


class Here:
    """A worker in this process: holds the run, answers, writes its log."""

    def __init__(self, run: Path) -> None:
        self.run, self.hold, self.asked = run, runs.claim(run), []
        id = presence.new_id()
        self.server = control.Server(control.socket_path(str(run)), self._answer, id=id)
        runs.register(run, self.server.path, id)
        self.writer = event_log.EventWriter(run / runs.LOG)
        self.writer.write(events.State(state="running", step=0))

    def _answer(self, request: control.Request) -> bool:
        self.asked.append(request.data["op"])
        if request.data["op"] == "decode":
            request.answer(request.blob[::-1], step=3)
        else:
            request.answer(step=3, **{key: value for key, value in request.data.items() if key == "key"})
        return True

    def end(self, state: str = "stopped") -> None:
        self.writer.write(events.State(state=state, step=9))
        self.leave()

    def leave(self) -> None:
        self.server.close()
        self.writer.close()
        self.hold.release()


def test_the_list_is_the_one_over_there_and_nothing_more_is_fetched(far):
    paths = [recorded(far), recorded(far, "failed", reason="a disk"), recorded(far, "running")]
    remarks.star(paths[0], True)
    remarks.tag(paths[0], ["good"], [])
    watcher = far.watch()
    assert told(watcher.root) == told(far.root)
    assert {row[1] for row in told(watcher.root)} == {"finished", "failed", "interrupted"}
    assert not list(watcher.root.glob("*/samples/*"))
    wait_for(lambda: all(Summaries(watcher.root).of(watcher.root / path.name).metric for path in paths))
    for path in paths:
        here, there = (Summaries(path.parent).of(path) for path in (watcher.root / path.name, path))
        assert (here.metric, here.best, here.course, here.seconds) == (
            there.metric, there.best, there.course, there.seconds
        )  # fmt: skip
    runs.delete(paths[1])
    remarks.rename(paths[0], "another name")
    new = recorded(far)
    wait_for(lambda: told(watcher.root) == told(far.root), what=lambda: f"{told(watcher.root)} {told(far.root)}")
    assert (watcher.root / new.name).is_dir()
    wait_for(lambda: not (watcher.root / paths[1].name).exists(), what="the rest of its folder")


def test_a_run_that_is_opened_is_there_to_the_byte_with_its_newest_preview(far):
    path = recorded(far)
    with open(path / runs.LOG, "ab") as log:
        log.write(b'{"type":"note","t":1,"te')  # torn
    watcher = far.watch()
    session = FarSession(watcher, [], None)
    view = session.attach(watcher.root / path.name)
    whole = (path / runs.LOG).read_bytes()
    assert (view.path / runs.LOG).read_bytes() == whole[: whole.rindex(b"\n") + 1]
    assert isinstance(view.previews, FarPreviews) and view.state == "finished"
    newest = view.samples[-1].path
    assert view.file(newest).read_bytes() == (path / newest).read_bytes()
    wait_for(lambda: all((view.path / sample.path).exists() for sample in view.samples), what="older ones, by and by")


def test_an_older_preview_comes_when_it_is_looked_at_and_the_view_says_so(far, monkeypatch):
    monkeypatch.setattr(previews, "AHEAD", 0)
    monkeypatch.setattr(previews, "PICTURES", 0.0)
    path = recorded(far)
    os.unlink(path / "samples/000066.png")
    watcher = far.watch()
    view = FarSession(watcher, [], None).attach(watcher.root / path.name)
    view.read_all()
    oldest = view.samples[0].path
    with pytest.raises(OSError, match="on its way from far"):
        view.file(oldest)
    wait_for(lambda: "samples" in view.poll() and (view.path / oldest).exists())  # it may speak of another one first
    assert view.file(oldest).read_bytes() == (path / oldest).read_bytes()
    with pytest.raises(OSError, match="on its way"):
        view.file("samples/000066.png")
    wait_for(lambda: watcher.previews.is_absent(path.name, "samples/000066.png"))
    with pytest.raises(OSError, match="far does not have it any more"):
        view.file("samples/000066.png")


def test_a_live_run_is_steered_and_its_end_is_seen(far):
    worker = Here(fake_worker.make_run(far.root))
    watcher = far.watch()
    here = watcher.root / worker.run.name
    watcher.open_run(here)
    assert runs.state_of(here)[0] == "running" and runs.live(here)
    assert runs.list_runs(watcher.root)[0].host == presence.worker_of(worker.run).host
    reply = launch.ask_run(here, "decode", blob=b"abc")
    assert (reply.blob, reply.data["step"]) == (b"cba", 3)
    assert launch.ask_run(here, "edit", key="lr", value=1).data["key"] == "lr"
    with pytest.raises(control.ControlError, match="another worker"):
        control.ask(presence.worker_of(here).socket, "status", worker="0" * 16)
    assert worker.asked == ["decode", "edit"]
    picture = worker.run / "samples/000005.png"
    picture.write_bytes(b"a picture")
    worker.writer.write(events.Sample(step=5, path="samples/000005.png"))
    wait_for(lambda: (here / runs.LOG).read_bytes() == (worker.run / runs.LOG).read_bytes())
    assert (here / "samples/000005.png").read_bytes() == b"a picture", "it is there before the line that tells of it"
    worker.end()
    wait_for(lambda: not runs.live(here))
    assert runs.state_of(here)[:2] == ("stopped", 9)
    with pytest.raises(control.ControlError, match="no live worker"):
        launch.ask_run(here, "status")


def test_a_worker_that_is_killed_is_seen_to_be_gone(far):
    worker = Here(fake_worker.make_run(far.root))
    worker.writer.write(events.System(step=4, steps_per_second=1, images_per_second=1))
    watcher = far.watch()
    here = watcher.root / worker.run.name
    assert runs.state_of(here)[:2] == ("running", 4)
    worker.leave()
    wait_for(lambda: runs.state_of(here)[0] == "interrupted")
    watcher.open_run(here)
    assert runs.state_of(here) == ("interrupted", 4, "the worker is gone")


def test_a_broken_link_keeps_what_is_shown_and_goes_on_where_it_was(far):
    worker = Here(fake_worker.make_run(far.root))
    worker.writer.write(*(events.Note(text=os.urandom(40).hex()) for _ in range(2000)))
    watcher = far.watch()
    here = watcher.root / worker.run.name
    view = FarSession(watcher, [], None).attach(here)
    far.down = True
    far.cut()
    wait_for(lambda: "no link to far: trying again (the cable is out)" in watcher.trouble)
    worker.writer.write(events.Note(text="said meanwhile"))
    assert view.live and runs.state_of(here)[0] == "running"
    with pytest.raises(control.ControlError, match="no link to far now; nothing was asked"):
        launch.ask_run(here, "pause")
    with pytest.raises(RunError, match="no link to far now; nothing was done"):
        watcher.do(here, "star", True)
    read = watcher.bytes_read
    worker.end()
    far.down = False
    wait_for(lambda: not watcher.trouble and not runs.live(here))
    assert (here / runs.LOG).read_bytes() == (worker.run / runs.LOG).read_bytes()
    view.read_all()
    assert view.state == "stopped" and "said meanwhile" in [text for _, _, text in view.log]
    assert far.links[-1].stream.bytes_read < 8000 < read, "only what was new came, and the list"


def test_what_was_kept_comes_again_where_somebody_emptied_the_cache(far):
    path = recorded(far)
    watcher = far.watch()
    far.down = True
    far.cut()
    wait_for(lambda: "the cable is out" in watcher.trouble)
    shutil.rmtree(watcher.root.parent)
    far.down = False
    wait_for(lambda: (watcher.root / path.name / runs.LOG).exists() and not watcher.trouble)
    assert told(watcher.root) == told(far.root)


def test_a_link_that_breaks_anywhere_leaves_every_log_as_it_is_there(far):
    """Cut after any number of bytes, while logs grow, are written anew and end: what is here is never anything else."""
    dice = random.Random(0)
    workers = [Here(fake_worker.make_run(far.root)) for _ in range(3)]
    watcher = far.watch()
    for round in range(25):
        for worker in workers:
            lines = [events.Note(text=dice.randbytes(dice.randrange(1, 400)).hex()) for _ in range(dice.randrange(60))]
            worker.writer.write(*lines)
            if dice.random() < 0.1:
                worker.writer.restore()  # the same, in another file
        name = workers[dice.randrange(3)].run.name
        if round % 3 == 0 and name in watcher.mirror.rows:
            threading.Thread(target=_opened, args=(watcher, name), daemon=True).start()
        cut_after(far.links[-1], dice.randrange(20_000))
        for worker in workers:
            assert_beginning(watcher.root / worker.run.name, worker.run)
    wait_for(lambda: not watcher.trouble, what=lambda: watcher.trouble)
    for worker in workers:
        worker.end()
        watcher.open_run(watcher.root / worker.run.name)
    for worker in workers:
        here = watcher.root / worker.run.name
        wait_for(partial(_is_the_same, here, worker.run), what=worker.run.name)
        wait_for(partial(_has_stopped, here), what=worker.run.name)


def _is_the_same(here: Path, there: Path) -> bool:
    return (here / runs.LOG).read_bytes() == (there / runs.LOG).read_bytes()


def _has_stopped(here: Path) -> bool:
    return runs.state_of(here)[0] == "stopped"


def _opened(watcher: Watcher, name: str) -> None:
    with contextlib.suppress(RunError):
        watcher.open_run(watcher.root / name)


def cut_after(link: PipeLink, count: int) -> None:
    """Break a link after so many more bytes of it were read, or when nothing more comes."""
    before, last = link.stream.bytes_read, -1
    while link.stream.bytes_read - before < count and link.stream.bytes_read != last:
        last = link.stream.bytes_read
        threading.Event().wait(0.005)
    link.cut()


def assert_beginning(here: Path, there: Path) -> None:
    """What is here is a stub, or how the log over there begins."""
    if (here / runs.LOG).exists() and not (data := (here / runs.LOG).read_bytes()).startswith(STUB):
        assert (there / runs.LOG).read_bytes().startswith(data)


def test_a_log_that_another_took_the_place_of_is_read_anew(far):
    path = recorded(far, "stopped")
    watcher = far.watch()
    here = watcher.root / path.name
    view = FarSession(watcher, [], None).attach(here)
    other = (fake_worker.record(fake_worker.make_run(), steps=100) / runs.LOG).read_bytes()
    aside = path / "aside"
    aside.write_bytes(other)
    aside.rename(path / runs.LOG)
    wait_for(lambda: (here / runs.LOG).read_bytes() == other)
    view.read_all()
    assert view.step == 100


def test_what_was_looked_at_before_is_kept_up_to_date_or_forgotten(far, monkeypatch):
    monkeypatch.setattr(watchers, "FOLLOWED", 1)
    first, second = recorded(far, "stopped"), recorded(far, "stopped")
    watcher = far.watch()
    for path in (first, second):
        watcher.open_run(watcher.root / path.name)
    watcher.close()
    writer = event_log.EventWriter(first / runs.LOG)
    writer.write(events.State(state="finished", step=300))
    writer.close()
    again = far.watch()
    assert again.root == watcher.root
    wait_for(lambda: told(again.root) == told(far.root), what=lambda: f"{told(again.root)} {told(far.root)}")


def test_deeds_are_done_over_there(far):
    path = recorded(far)
    watcher = far.watch()
    session, here = FarSession(watcher, [], None), watcher.root / path.name
    session.remark(here, "star", True)
    session.remark(here, "note", "look at this", 7, "")
    assert remarks.of(path).star and remarks.of(path).notes[0].text == "look at this"
    wait_for(lambda: remarks.of(here).star and remarks.of(here).notes)
    with pytest.raises(remarks.RemarkError, match=r"far: .*is no tag"):
        session.remark(here, "tag", ["a,b"], [])
    (path / "mine.txt").write_text("keep")
    with pytest.raises(RunError, match=r"far: .*mine\.txt"):
        session.delete(here)
    (path / "mine.txt").unlink()
    session.delete(here)
    assert not path.exists()
    wait_for(lambda: not here.exists())
    with pytest.raises(RunError, match="cannot do 'shout' from afar"):
        watcher.do(watcher.root / recorded_name(far, watcher), "shout")


def recorded_name(far, watcher) -> str:
    name = recorded(far).name
    wait_for(lambda: (watcher.root / name).is_dir() and name in watcher.mirror.rows)
    return name


def test_nothing_is_written_outside_the_mirror_and_all_of_it_is_private(world, monkeypatch):
    row = dict(created=1.0, updated=2.0, state="finished", step=1, reason="", live=False, size=0, config=b"name='x'\n")
    evil = "../evil", "/tmp/evil", "..", ".hidden", "a/b", "nul\0"
    words = "\x1b]0;owned\x07 stopped"

    def serve(stream):
        stream.send(*(FarRun(name, **row) for name in (*evil, "good")), FarRun("talks", **(row | {"reason": words})))
        stream.send(AllListed(8))
        for name in ("good", *evil):
            for path in ("samples/1.png", "../x.png", "samples/../../x.png", "/tmp/x.png", "config.toml", "samples/.x"):
                stream.send(FarFile(name, path, b"evil"))
            stream.send(LogPart(name, 0, b"evil\n", 5, True), GoneRuns([*evil]))
        stream.send(FarFile("good", "samples/2.png", b"the last of it"))
        for _ in stream.receive():
            return

    monkeypatch.setattr(watchers, "connect", lambda dialling, quiet: PipeLink(world, serve))
    before = {path for path in world.rglob("*") if "watch" not in path.parts}
    watcher = Watcher(Dialling(RemoteFolder("far", "")))
    watcher.start()
    wait_for(lambda: (watcher.root / "good/samples/2.png").exists())
    watcher.close()
    assert sorted(entry.name for entry in watcher.root.iterdir()) == ["good", "talks"]
    assert (watcher.root / "good/config.toml").read_bytes() == row["config"]
    assert b"evil" not in (watcher.root / "good" / runs.LOG).read_bytes()
    assert {path for path in world.rglob("*") if "watch" not in path.parts} == before
    assert not Path("/tmp/evil").exists() and not Path("/tmp/x.png").exists()
    for path in watcher.root.parent.rglob("*"):
        assert stat.S_IMODE(path.lstat().st_mode) == (0o700 if path.is_dir() else 0o600) and not path.is_symlink()
    reason = RunView(watcher.root / "talks")
    reason.read_all()
    assert "\x1b" not in reason.reason


def test_what_is_here_already_is_not_sent_again(far):
    paths = [recorded(far) for _ in range(3)]
    remarks.star(paths[0], True)
    first = far.watch()
    first.open_run(first.root / paths[0].name)
    wait_for(lambda: all(Summaries(first.root).of(first.root / path.name).metric for path in paths))
    far.close()
    remarks.star(paths[1], True)
    again = far.watch()
    assert again.root == first.root and told(again.root) == told(far.root)
    assert [remarks.of(again.root / path.name).star for path in paths] == [True, True, False]
    assert all(Summaries(again.root).of(again.root / path.name).metric for path in paths), "as it was told before"
    assert far.links[1].stream.bytes_read < 800 < 4000 < far.links[0].stream.bytes_read


def test_a_long_log_is_not_shown_in_part_and_how_far_it_is_is_told(world, monkeypatch):
    row = FarRun("long", 1.0, 2.0, "stopped", 5, "", False, 10 << 20, b"name='x'\n", b"")
    rest = threading.Event()

    def serve(stream):
        stream.send(row, AllListed(1))
        for message in stream.receive():
            if isinstance(message, LookAt):
                stream.send(LogPart("long", 0, b"\n" * (1 << 20), 10 << 20, True))
                rest.wait(60)
                stream.send(LogPart("long", 1 << 20, b"\n" * (9 << 20), 10 << 20))

    monkeypatch.setattr(watchers, "connect", lambda dialling, quiet: PipeLink(world, serve))
    watcher = Watcher(Dialling(RemoteFolder("far", "")))
    watcher.start()
    opening = threading.Thread(target=watcher.open_run, args=(watcher.root / "long",))
    opening.start()
    wait_for(lambda: watcher.reading == "reading long from far: 1.0 MB of 10 MB", what=lambda: watcher.reading)
    assert runs.state_of(watcher.root / "long")[:2] == ("stopped", 5)
    rest.set()
    opening.join(60)
    assert not watcher.reading and (watcher.root / "long" / runs.LOG).stat().st_size == 10 << 20
    watcher.close()


def test_two_who_watch_one_place_do_not_write_in_one_folder(far):
    recorded(far)
    first, second = far.watch(), far.watch()
    assert first.root != second.root and told(first.root) == told(second.root)


def test_what_nobody_has_watched_for_long_goes(far):
    recorded(far)
    root = far.watch("old:runs").root
    far.close()
    long_ago = time.time() - 40 * 86400
    os.utime(root.parent / "lock", (long_ago, long_ago))
    kept = far.watch("new:runs").root
    assert kept.is_dir() and not root.parent.exists()


@pytest.fixture
def pipes():
    ends = [*os.pipe(), *os.pipe()]
    yield FrameStream(ends[0], ends[3], Told), FrameStream(ends[2], ends[1], Asked), ends[1]
    for end in ends:
        os.close(end)


def test_frames_come_as_they_were_sent_also_large_ones_and_many(pipes):
    here, there, _ = pipes
    files = [FarFile("run", "samples/1.png", data) for data in (os.urandom(3 << 20), b"\n" * (9 << 20))]
    sent = [*files, *(Pong() for _ in range(50)), GoneRuns(["a", "b"])]
    threading.Thread(target=there.send, args=sent).start()
    came = here.receive()
    assert [next(came) for _ in sent] == sent
    here.send(Ping())
    assert next(there.receive()) == Ping()


def test_a_link_on_which_nothing_goes_any_more_is_given_up(pipes, world, monkeypatch):
    """A request that is larger than what is on its way can be is waited for; who gives signs of life must not."""
    monkeypatch.setattr(watchers, "PING", 0.01)
    here, there, _ = pipes
    watcher, given_up = Watcher(Dialling(RemoteFolder("far", ""))), threading.Event()
    watcher._link = SimpleNamespace(stream=here, close=given_up.set)
    watcher._heard = float("inf")
    request = AskThere(1, "run", {"op": "decode"}, os.urandom(1 << 20))
    asking = threading.Thread(target=watcher._send, args=[request])
    asking.start()
    wait_for(lambda: here.bytes_written and not select.select([], [here._writing], [], 0)[1], what="a full pipe")
    watcher._heard = time.monotonic() - watchers.SILENT + 0.5
    threading.Thread(target=watcher._keep_up, daemon=True).start()
    assert given_up.wait(60)
    watcher._closing.set()
    came = there.receive()
    while next(came) != request:
        pass
    asking.join(60)
    watcher._link = None
    watcher.close()


@pytest.mark.parametrize("data", ["garbage", "ended", "huge", "senseless", "strange"])
def test_what_makes_no_sense_ends_the_link(pipes, data):
    here, there, end = pipes
    if data == "garbage":
        os.write(end, b"Last login: Sunday \xff\xff")
    elif data == "ended":
        os.write(end, b"\x03\x00")  # an empty stream, whole
    elif data == "huge":
        body = FrameStream._HEAD.pack(LARGEST + 1)
        os.write(end, there._packer.compress(body) + there._packer.flush(2))
    elif data == "senseless":
        there.send(Ping())
    else:
        there.send(FarRun("x" * 300, 0, 0, "", 0, "", False, 0))
    with pytest.raises(LinkBroken, match="what came"):
        next(here.receive())
