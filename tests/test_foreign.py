"""What another user, or another's run directory, could put in our way: sockets, pictures, links, tables."""

import csv
import io
import os
import socket
import stat
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import fake_worker
from tui_gen import control, dependencies, events, launch, pictures, runs
from tui_gen.app.panes.samples.imaging import PictureRequest, Subject, make
from tui_gen.control import ControlError
from tui_gen.report import summary
from tui_gen.view import RunView

# -- sockets


@pytest.mark.parametrize(("mode", "safe"), [(0o755, True), (0o1777, True), (0o777, False), (0o702, False)])
@pytest.mark.parametrize("variable", ["XDG_RUNTIME_DIR", "TMPDIR"])
@pytest.mark.parametrize("level", [0, 1])
def test_a_folder_that_others_could_replace_is_refused(world, monkeypatch, mode, safe, variable, level):
    base = world / "a" / "b"
    base.mkdir(parents=True)
    [base, base.parent][level].chmod(mode)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base) if variable == "XDG_RUNTIME_DIR" else "")
    monkeypatch.setattr(control.tempfile, "tempdir", str(base))
    if safe:
        assert stat.S_IMODE(control.runtime_dir().stat().st_mode) == 0o700
        return
    with pytest.raises(ControlError, match=r"can be written by everybody and has no sticky bit; set XDG_RUNTIME_DIR"):
        control.runtime_dir()


def test_a_folder_within_another_user_s_is_refused(world, monkeypatch):
    base = world / "run"
    control.runtime_dir()
    real = Path.stat

    def owned(self, **more):
        found = real(self, **more)
        return os.stat_result((*found[:4], 4242, *found[5:])) if self == base.parent else found

    monkeypatch.setattr(Path, "stat", owned)
    with pytest.raises(ControlError, match=rf"{base.parent} belongs to somebody else \(user 4242\)"):
        control.runtime_dir()


def test_the_runtime_folder_of_the_user_before_is_not_used(monkeypatch, world):
    theirs, real = world / "run", os.stat
    assert control.runtime_dir() == theirs / "tui-gen"

    def owned(path, *more, **options):
        found = real(path, *more, **options)
        return os.stat_result((*found[:4], 1000, *found[5:])) if str(path) == str(theirs) else found

    monkeypatch.setattr(os, "stat", owned)
    monkeypatch.setattr(control, "_make_private", lambda path: None)
    assert control.runtime_dir().name == f"tui-gen-{os.getuid()}"


def test_both_sides_look_who_is_there(monkeypatch):
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert control.peer(one) == os.getuid()
    server = control.Server(control.socket_path("x"), lambda request: request.answer(step=5) is None)
    assert control.ask(server.path, "status").data["step"] == 5
    users = iter([None, 4242])  # the worker's side, then ours: a system that does not tell, another user
    monkeypatch.setattr(control, "peer", lambda connection: next(users, 4242))
    with pytest.raises(ControlError, match="another user"):
        control.ask(server.path, "status")
    monkeypatch.setattr(control, "peer", lambda connection: 4242)
    with pytest.raises(ControlError, match="served by another user's process; nothing was sent"):
        control.ask(server.path, "status")
    server.close()


def test_a_worker_refuses_another_user(monkeypatch):
    server = control.Server(control.socket_path("x"), lambda request: request.answer(step=5) is None)
    monkeypatch.setattr(control, "peer", lambda connection: 4242)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(server.path)
        reply = control.receive(connection)
    assert reply.data == {"ok": False, "error": "this worker belongs to another user"}
    server.close()


def test_only_a_socket_of_ours_in_a_private_folder_is_asked(world, monkeypatch):
    server = control.Server(control.socket_path("x"))
    control.check_socket(server.path)
    folder = control.runtime_dir()
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(folder / "agent.sock"))
    (folder / f"{'a' * 16}.sock").touch()
    (folder / f"{'b' * 16}.sock").symlink_to(folder / "agent.sock")
    elsewhere = world / "other"
    elsewhere.mkdir(0o700)
    os.link(server.path, elsewhere / Path(server.path).name)
    for path in (
        folder / "agent.sock", folder / f"{'a' * 16}.sock", folder / f"{'b' * 16}.sock",
        elsewhere / Path(server.path).name,
    ):  # fmt: skip
        with pytest.raises(ControlError, match="is no socket of a worker, and was left alone"):
            control.check_socket(str(path))
    for path in ("", "x.sock", "/nowhere/x.sock", "/a\0b"):
        with pytest.raises(ControlError, match="cannot reach the worker"):
            control.check_socket(path)
    folder.chmod(0o755)
    with pytest.raises(ControlError, match="is no socket of a worker"):
        control.check_socket(server.path)
    folder.chmod(0o700)
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    with pytest.raises(ControlError, match="belongs to another user"):
        control.check_socket(server.path)
    monkeypatch.undo()
    bound.close()
    server.close()


# -- pictures


def png(width, height, body=b""):
    """The beginning of a PNG that says it is so large."""

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x00\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_is_read(tmp_path, mode):
    image = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20)
    image = image.convert("I").convert("I;16") if mode == "I;16" else image.convert(mode)
    image.save(tmp_path / "x.png")
    pixels = pictures.read_png(tmp_path / "x.png")
    assert pixels.dtype == np.uint8 and pixels.shape[:2] == (3, 4) and pixels.ndim == (2 if mode in "1L" else 3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (png(50_000, 50_000), "50000×50000 pixels are too many"), (png(2**31 - 1, 1), "too many"),
        (png(0, 5), "not a PNG"), (b"", "not a PNG"), (b"\x89PNG\r\n\x1a\n" + bytes(40), "not a PNG"),
        (b"GIF89a" + bytes(40), "not a PNG"), (b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(40), "not a PNG"),
    ],
    ids=range(7),
)  # fmt: skip
def test_what_is_no_png_or_too_large_is_told_and_not_decoded(tmp_path, monkeypatch, content, words):
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("Pillow was asked"))
    file = tmp_path / "x.png"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        pictures.read_png(file)
    assert words in make(PictureRequest((Subject(str(file)),), 10, 5)).error
    assert summary.grid_text(file, 80, ascii=True) == ""


def test_other_formats_under_the_name_of_a_png_and_pipes_are_not_read(tmp_path):
    file = tmp_path / "x.png"
    Image.new("L", (4, 4)).save(file, format="BMP")
    assert "not a PNG" in make(PictureRequest((Subject(str(file)),), 10, 5)).error
    os.mkfifo(tmp_path / "pipe.png")
    assert "cannot be read" in make(PictureRequest((Subject(str(tmp_path / "pipe.png")),), 10, 5)).error
    assert summary.text_lines(tmp_path / "pipe.png") == []


# -- links and names


def test_a_link_out_of_a_run_is_not_followed(tmp_path):
    run = fake_worker.record(fake_worker.make_run(), steps=60)
    secret = tmp_path / "secret.txt"
    secret.write_text("secret words\n")
    (run / "samples" / "link.txt").symlink_to(secret)
    (run / "samples" / "inside.txt").symlink_to("../config.toml")
    (run / "out").symlink_to(tmp_path)
    view = RunView(run)
    assert view.file("samples/inside.txt").read_text()
    for name in ("samples/link.txt", "out/secret.txt"):
        with pytest.raises(OSError, match="outside"):
            view.file(name)
    with open(run / "events.jsonl", "ab") as log:
        for step, name in ((70, "out/secret.txt"), (71, "samples/link.txt"), (72, "../x.png"), (73, "/etc/hostname")):
            log.write(events.encode(events.Sample(step=step, path=name, kind="samples")))
    out = io.StringIO()
    view.poll()
    assert summary.last_grid(view).step <= 60
    summary.print_summary(summary.Outlet(out), view, "finished", graphics="off")
    assert "secret" not in out.getvalue()
    moved = run.with_name("moved")
    run.rename(moved)
    run.symlink_to(moved)  # a run that is itself reached by a link is as good as any
    assert RunView(run).file("config.toml").is_file()


async def test_the_samples_pane_says_so(tmp_path):
    from tests.plot_host import Host, write_run
    from tests.test_app_samples import drive

    secret = tmp_path / "secret.txt"
    secret.write_text("secret words\n")
    run = write_run(tmp_path / "run", events.Sample(step=5, path="link.txt", kind="words"))
    (run / "link.txt").symlink_to(secret)
    async with drive(Host(run, "samples")) as driver:
        await driver.until(lambda: "outside" in driver.app.text(), "the reason")
        assert "secret words" not in driver.app.text() and driver.pane._file() is None


def test_a_log_cannot_make_another_s_run_go_on(tmp_path):
    mine, theirs = fake_worker.make_run(), fake_worker.make_run()
    other = fake_worker.make_run(tmp_path / "elsewhere")
    for named, found in ((theirs, theirs), (other, None), (mine, None), (Path("/"), None), (theirs / "..", None)):
        (mine / "events.jsonl").write_bytes(events.encode(events.Uses("model.base", str(named))))
        assert dependencies.begun(mine, "model.base") == found


def test_headings_of_a_table_are_never_formulas(call):
    run = fake_worker.make_run()
    names = ["=1+1", "+x", "-x", "@SUM(A1)", "＝1", "plain/loss"]
    (run / "events.jsonl").write_bytes(events.encode(events.Metrics(start=0, values={name: [-1.5] for name in names})))
    _, out, _ = call("export", run.name)
    head, row = csv.reader(io.StringIO(out))
    assert head == ["step", *(f"'{name}" for name in names[:-1]), "plain/loss"] and row[1:] == ["-1.5"] * 6


def test_the_socket_that_a_run_names_must_be_ours(monkeypatch):
    run = fake_worker.make_run()
    monkeypatch.setattr(runs, "live", lambda path: True)
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(control.runtime_dir() / "agent.sock"))
    bound.listen(1)
    runs.register(run, bound.getsockname())
    with pytest.raises(ControlError, match="is no socket of a worker"):
        launch.ask_run(run, "status")
    bound.settimeout(0)
    with pytest.raises(BlockingIOError):
        bound.accept()
    bound.close()
