"""Machines that lack what others have: a home, room, threads; and files that would keep a parser busy for minutes."""

from __future__ import annotations

import io
import os
import pwd
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest

from tests import fake_worker
from tui_gen import children, cli, config, events, outcome, places, runs, toml
from tui_gen.log import event_log

FULL = Path("/dev/full")


@pytest.fixture
def homeless(monkeypatch):
    """A user whom neither the environment nor the system knows a home of."""

    def nobody(_: object) -> None:
        raise KeyError("no such user")

    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "TUI_GEN_RUNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)


@pytest.mark.parametrize(
    "words", [["recipes"], ["models"], ["--run", "vae-digits"], ["--run", "~/a.toml"], ["runs", "--runs", "~/x"]],
    ids=" ".join,
)  # fmt: skip
def test_a_user_without_a_home_is_told_so_in_a_line(homeless, call, words):
    status, out, err = call(*words)
    assert (status, out) == (2, "") and err.count("\n") == 1
    assert f"user {os.getuid()} has no home folder" in err and "set HOME" in err


def test_what_needs_no_home_does_without(homeless, call, tmp_path):
    assert call("runs", "--runs", str(tmp_path))[0] == 0
    assert places.default_root() == Path("runs") and places.expanded("a/~b") == Path("a/~b")


def test_homes_in_paths_are_found_wherever_they_are_given(monkeypatch, tmp_path, call):
    monkeypatch.setenv("HOME", str(tmp_path))
    named = {"TUI_GEN_RUNS": places.default_root, "XDG_CONFIG_HOME": places.config_dir}
    for name, place in {**named, "XDG_CACHE_HOME": places.cache_dir}.items():
        monkeypatch.setenv(name, "~/elsewhere")
        assert place().is_relative_to(tmp_path / "elsewhere")
    run = fake_worker.record(fake_worker.make_run(), steps=5)
    assert run.is_relative_to(tmp_path / "elsewhere") and run.name in call("runs")[1]
    monkeypatch.setenv("TUI_GEN_RUNS", "~nobody-of-this-name/x")
    for words in (["runs"], ["quality", str(run), "--root", "~nobody-of-this-name/x"]):
        status, _, err = call(*words)
        assert status == 2 and "there is no user 'nobody-of-this-name'" in err
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~nobody-of-this-name").mkdir()
    assert places.expanded("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")


@pytest.mark.parametrize("kind", ["long", "loop"])
@pytest.mark.parametrize(
    "words",
    [
        "--run vae-digits --runs PATH", "--run vae-digits --name first --runs PATH", "runs --runs PATH", "attach PATH",
        "models --models PATH", "--run FILE --set train.stepz=1", "recipe vae-digits --trust PATH",
    ],
)  # fmt: skip
def test_paths_that_cannot_be_looked_at_are_told_in_words(call, tmp_path, words, kind):
    path, file = tmp_path / ("a" * 300 if kind == "long" else "loop"), tmp_path / "my.toml"
    if kind == "loop":
        path.symlink_to(path)
    file.write_text(f'model_dirs = ["{path}"]\n[model]\nname = "vae"\n[train]\nsteps = 5\n')
    status, _, err = call(*(word.replace("PATH", str(path)).replace("FILE", str(file)) for word in words.split()))
    assert status == 2 and "please report" not in err, err
    assert ("train.stepz" if "FILE" in words else str(path)[:40]) in err


@pytest.mark.parametrize("words", ["--help", "sample --help", "export", "models", "zoo table"])
def test_characters_that_the_output_s_encoding_lacks_fail_nothing(monkeypatch, capsys, words):
    run = fake_worker.make_run()
    with open(run / "events.jsonl", "wb") as log:
        log.write(events.encode(events.Metrics(start=0, values={"ελεγχος/β": [1.0, 2.0]})))
    out = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", out)
    status = cli.main(words.split())
    out.flush()
    assert (status, capsys.readouterr().err) == (0, "") and out.buffer.getvalue().count(b"\n") > 2


@pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("words", [["runs", "--json"], ["export"], ["--version"]], ids=" ".join)
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_output_that_finds_no_room_is_a_failure_in_a_line(words, unbuffered):
    if words == ["export"]:
        fake_worker.record(fake_worker.make_run(), steps=5)
    with open(FULL, "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tui_gen", *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=120,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert done.returncode in (1, 2) and done.stderr.count("\n") == 1
    assert done.stderr.startswith("tui-gen: cannot write to standard output: No space left")


def test_a_run_s_status_is_its_own_where_its_output_was_lost(capsys, monkeypatch):
    from tui_gen.report import stdout

    out, _ = stdout.standard()
    out.write_error = "No space left on device"
    assert outcome.written(0, training=True) == 0 and "cannot write to standard output" in capsys.readouterr().err
    assert outcome.written(0) == 0 and capsys.readouterr().err == ""  # it was said


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BlockingIOError(11, "Resource temporarily unavailable"), "ulimit -u"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (OSError(12, "Cannot allocate memory"), "not enough memory"),
    ],
    ids=repr,
)  # fmt: skip
def test_too_few_processes_or_threads_or_memory_are_told_in_a_line(call, monkeypatch, error, words):
    def refuse(*_, **__):
        raise error

    run = fake_worker.record(fake_worker.make_run(), steps=5)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    for command in ("sample", "quality", "export --as npz"):
        status, out, err = call(*command.split(), run.name)
        assert (status, out) == (1, "") and err.count("\n") == 1 and words in err


def test_a_current_folder_that_was_deleted_is_told_in_a_line(call, monkeypatch, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.delenv("TUI_GEN_RUNS")
    gone.rmdir()
    status, out, err = call("--run", "vae-digits")
    assert (status, out) == (1, "") and err.startswith("tui-gen: the current folder is gone") and err.count("\n") == 1


def test_other_faults_are_still_told_as_such(call, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("something else")

    monkeypatch.setattr(runs, "list_runs", broken)
    status, _, err = call("runs")
    assert status == 1 and "something else" in err and "please report it" in err


def test_what_is_set_for_this_process_is_not_for_its_children(monkeypatch):
    monkeypatch.setattr(children, "_here", {})
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    children.set_here("OPENBLAS_NUM_THREADS", "1")
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1" and "OPENBLAS_NUM_THREADS" not in children.apart()
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "4")
    children.set_here("OPENBLAS_NUM_THREADS", "1")
    assert children.apart()["OPENBLAS_NUM_THREADS"] == "4"


# -- TOML that nobody means

ABSURD = {
    "dotted": "a." * 100_000 + "a = 1", "table": "x = 1\n[" + "a." * 50_000 + "a]",
    "tables": "[[" + "a . " * 50_000 + "a]]",
    "quoted": '"a b".' * 50_000 + "a = 1", "long": "#" + "x" * (3 << 20), "bare": "a" * 1_000_000 + " = 1",
    "digits": "x = " + "9" * 100_000, "nested": "x = " + "[" * 100_000, "inline": "x = " + "{a = " * 50_000,
    "no end": 'x = "' + "y" * 1_000_000, "dots in a text": 'x = "' + "a." * 100_000 + '"',
}  # fmt: skip


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_toml_is_refused_in_words_before_it_takes_time(tmp_path, call, monkeypatch, name):
    path = tmp_path / "c.toml"
    path.write_text(ABSURD[name])
    if name in ("dotted", "table", "tables", "quoted", "long"):  # these take the parser a minute
        monkeypatch.setattr(tomllib, "loads", lambda _: pytest.fail("parsed"))
    status, _, err = call("--run", str(path))
    assert status == 2 and len(err) < 3000 and str(path.name) in err
    (tmp_path / "run").mkdir()
    os.rename(path, tmp_path / "run" / "config.toml")
    assert runs.info_of(tmp_path / "run").model == ""


def test_ordinary_dots_are_no_obstacle():
    text = 'notes = "' + "a." * 500 + '"\n' + "a.b.c.d.e.f = 1\n" + '[x."y.z".w]\nq = ["' + "1." * 100 + '"]\n'
    assert toml.loads(text)["a"]["b"]["c"]["d"]["e"]["f"] == 1
    assert toml.loads(".".join("a" * toml.PARTS) + " = 1")
    with pytest.raises(ValueError, match="parts"):
        toml.loads("x = 1\n\n" + ".".join("a" * (toml.PARTS + 1)) + " = 1")


LONG_KEY = "a." * toml.PARTS + "a = 1"
HIDDEN = [
    "x = {%s}", "x = {b = 1, %s}", "x = [ {%s} ]", '"\\"".%s', "'#'. %s", "# it's\n%s", 'x = ["\\"", {%s}]',
    "x = ['\\', {%s}]", 'x = ["""a"""", {%s}]', "x = ['''a'''', {%s}]", 'x = ["""\n"" \\""" # """, {%s}]', 'x = "\n%s',
    'x = ["# ", {%s}]',
]  # fmt: skip


@pytest.mark.parametrize("text", HIDDEN)
def test_a_long_key_is_found_wherever_it_stands(text, monkeypatch):
    monkeypatch.setattr(tomllib, "loads", lambda _: pytest.fail("parsed"))
    with pytest.raises(ValueError, match=f"more than {toml.PARTS} parts"):
        toml.loads(text % LONG_KEY)


NONE = ['x = "{%s"', "x = '''\n%s'''", '# %s', 'x = """{\n%s""""', 'x = ["\\"{", "{%s"]', "x = '\"{%s'"]


@pytest.mark.parametrize("text", NONE)
def test_what_looks_like_a_long_key_within_a_text_is_none(text):
    assert toml.loads(text % LONG_KEY) == tomllib.loads(text % LONG_KEY)


def test_a_config_may_come_through_a_pipe(tmp_path):
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text('name = "x"\n'))
    writer.start()
    assert config.read_toml(pipe) == {"name": "x"}
    writer.join(60)


# -- very long words


def test_a_complaint_of_megabytes_is_cut(capsys):
    outcome.complain("CUDA error " + "x" * 45_000_000)
    said = capsys.readouterr().err
    assert said.startswith("tui-gen: CUDA error xxx") and len(said) < 30_000 and "45000011 characters" in said


def test_a_failure_s_words_of_megabytes_are_cut_in_the_log_and_in_the_end(call):
    run = fake_worker.make_run()
    event_log.EventWriter(run / "events.jsonl").write(
        events.State(state="running", step=0), events.State(state="failed", step=3, reason="y" * 45_000_000)
    )
    status, out, _ = call("attach", run.name, "--plain")
    assert status == 1 and len(out) < 60_000 and "(45000000 characters)" in out
    assert (run / "events.jsonl").stat().st_size < 20_000
