"""Code that a config names is executed only where the user said so, once for each folder and what is in it."""

import io
import os
import sys

import pytest

from tests import fake_worker
from tests.shell import screen_text, until, workbench
from tests.test_restore import saved
from tui_gen import config, launch, runs, toml_writer, trust
from tui_gen.config import ConfigError
from tui_gen.train import discover
from tui_gen.train.offline.restore import restore
from tui_gen.train.run.worker import Worker


@pytest.fixture
def folder(tmp_path):
    """A folder with a model file that writes down that it was executed."""
    path = tmp_path / "theirs"
    (path / "inner").mkdir(parents=True)
    (path / "model.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write('x')\n")
    (path / "inner" / "part.py").write_text("x = 1\n")
    return path


def executed(folder):
    return (folder.parent / "executed").exists()


def naming(folder, run):
    """Have a run's config name the folder."""
    file = run / "config.toml"
    tables = config.read_toml(file) | {"model_dirs": [str(folder)]}
    file.write_text(toml_writer.dump_toml(tables))
    return run


# -- what is trusted


def test_a_folder_is_asked_about_once_for_each_content(folder):
    assert trust.unknown([folder]) == {folder: [folder / "inner" / "part.py", folder / "model.py"]}
    trust.allow([str(folder)])
    assert trust.unknown([str(folder), folder]) == {}
    before = trust.store().read_bytes()
    trust.allow([folder])
    assert trust.store().read_bytes() == before and str(folder).encode() in before
    assert trust.store().stat().st_mode & 0o777 == 0o600
    for path, change in (
        (folder / "model.py", "x = 2\n"), (folder / "inner" / "part.py", "x = 2\n"), (folder / "new.py", ""),
        (folder / "inner" / "new.abi3.so", ""),
    ):  # fmt: skip
        kept = path.read_text() if path.exists() else None
        path.write_text(change)
        assert list(trust.unknown([folder])) == [folder], path
        path.unlink() if kept is None else path.write_text(kept)
        assert trust.unknown([folder]) == {}
    (folder / "notes.txt").write_text("no code")
    assert trust.unknown([folder]) == {}
    moved = folder.rename(folder.with_name("moved"))
    assert list(trust.unknown([moved, folder])) == [moved]


def test_what_is_the_user_s_own_or_holds_no_code_is_no_matter(tmp_path, folder, world):
    own = world / "config" / "tui-gen" / "models"
    own.mkdir(parents=True)
    (own / "mine.py").write_text("x = 1\n")
    (tmp_path / "empty").mkdir()
    assert trust.unknown([own, tmp_path / "empty", tmp_path / "nowhere"]) == {}
    assert trust.named({"model_dirs": 3}) == trust.named({}) == trust.named({"model_dirs": [3, "", "a\0b"]}) == []


def test_a_store_that_others_could_have_written_counts_for_nothing(folder, monkeypatch):
    trust.allow([folder])
    monkeypatch.delenv(trust.VARIABLE)
    assert trust.unknown([folder]) == {}
    trust.store().chmod(0o666)
    assert list(trust.unknown([folder])) == [folder]


def test_without_a_place_to_keep_it_it_holds_for_this_process_and_its_children(folder, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    monkeypatch.setenv(trust.VARIABLE, "")
    trust.allow([folder])
    assert trust.unknown([folder]) == {} and len(os.environ[trust.VARIABLE]) == 64


@pytest.mark.parametrize("kind", ["many", "big", "pipe"])
def test_a_folder_that_cannot_be_looked_through_is_told(folder, monkeypatch, kind):
    words = {"many": "more than 1 Python", "big": "5.2 MB of them", "pipe": "cannot be read as a file"}[kind]
    if kind == "many":
        monkeypatch.setattr(trust, "MOST_FILES", 1)
    elif kind == "big":
        monkeypatch.setattr(trust, "MOST_BYTES", 5 << 20)
        with open(folder / "big.py", "wb") as file:
            file.truncate(6 << 20)
    else:
        os.mkfifo(folder / "pipe.py")
    with pytest.raises(ConfigError, match=words):
        trust.unknown([folder])
    trust.allow([folder])  # named on the command line: for this time
    with pytest.raises(ConfigError, match=words):
        trust.unknown([folder])


def test_a_compiled_copy_is_not_executed_in_place_of_the_source(folder):
    import importlib.util
    import py_compile

    source = folder / "model.py"
    harmless = source.read_text().replace("'x'", "'y'")
    (folder / "other.py").write_text(harmless)
    compiled = importlib.util.cache_from_source(str(source))
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(folder / "other.py"), compiled, invalidation_mode=unchecked)
    discover._import_file(source)
    assert (folder.parent / "executed").read_text() == "x"


# -- where it is executed


def test_samples_and_figures_of_a_run_execute_nothing_that_was_not_trusted(world, folder):
    run, _ = saved(world / "runs", "vae")
    naming(folder, run)
    with pytest.raises(ConfigError, match="--trust"):
        restore(run, device="cpu")
    assert not executed(folder)
    trust.allow([folder])
    assert restore(run, device="cpu").step == 4 and executed(folder)


def test_nor_does_a_worker(world, folder, monkeypatch):
    run = naming(folder, fake_worker.make_run())
    assert Worker(run, False).train() == 1
    state, _, reason = runs.state_of(run)
    assert state == "failed" and f"--trust {folder}" in reason and not executed(folder)
    monkeypatch.setenv("TUI_GEN_MODELS", str(folder))  # as with --models: the user's own word
    monkeypatch.setattr("tui_gen.train.run.worker.configs.load", lambda *_: 1 / 0)
    assert Worker(run, False).train() == 1
    assert executed(folder)


# -- who asks


@pytest.fixture
def answer(monkeypatch):
    """A terminal with somebody at it, who says this."""

    def say(words):
        there = io.StringIO(words)
        there.isatty = lambda: True
        monkeypatch.setattr(sys, "stdin", there)
        monkeypatch.setattr("tui_gen.report.stdout.Outlet.isatty", lambda self: True)

    return say


def test_what_is_changed_while_the_question_stands_is_not_trusted_by_the_answer(call, folder, answer, execution):
    run = naming(folder, fake_worker.record(fake_worker.make_run(), state="stopped"))
    answer("y\n")

    def changed():
        (folder / "model.py").write_text("x = 5\n")
        return "y\n"

    sys.stdin.readline = changed
    status, _, err = call("--resume", str(run))
    assert status == 2 and "has changed since you were asked" in err and "reached" not in err
    assert list(trust.unknown([folder])) == [folder]


@pytest.fixture
def execution(monkeypatch):
    """Instead of reading the models: whether the code would have been executed."""
    from tui_gen.report import headless

    class Reached(Exception):
        """What comes after the question."""

    def reached(*_, **__):
        raise runs.RunError("reached")

    early = []  # workers begin to load PyTorch before anybody is asked, and these folders with it

    monkeypatch.setattr(headless, "ensured", reached)
    monkeypatch.setattr("tui_gen.children.run", reached)
    monkeypatch.setattr("tui_gen.children.start", reached)
    monkeypatch.setattr(launch.WarmWorker, "spawn", lambda worker: early.extend(worker.model_dirs))
    return early


WORDS = (["--run", "FILE"], ["--run", "RUN"], ["--resume", "RUN"], ["sample", "RUN"], ["quality", "RUN"],
         ["export", "RUN", "--as", "npz"])  # fmt: skip


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_commands_ask_once_or_say_what_to_do(call, folder, tmp_path, answer, execution, words):
    run = naming(folder, fake_worker.record(fake_worker.make_run(), state="stopped"))
    (run / "checkpoints" / "000050").mkdir(exist_ok=True)
    file = tmp_path / "my.toml"
    file.write_text(f'model_dirs = ["{folder}"]\n[model]\nname = "vae"\n[train]\nsteps = 5\n')
    command = [{"RUN": str(run), "FILE": str(file)}.get(word, word) for word in words]
    before = (run / "config.toml").read_bytes()
    status, _, err = call(*command)
    assert status == 2 and f"--trust {folder}" in err and "model.py" in err and "reached" not in err
    answer("\n")
    status, _, err = call(*command)
    assert status == 2 and str(folder) in err and "Do you trust them? [y/N]" in err and "is not trusted" in err
    answer("y\n")
    err = call(*command)[2]
    assert "Do you trust them?" in err and err.endswith("reached\n")
    assert call(*command)[2] == "tui-gen: reached\n"
    (folder / "model.py").write_text("x = 5\n")
    answer("n\n")
    assert "is not trusted" in call(*command)[2]
    assert call(*command, "--trust", str(folder))[2] == "tui-gen: reached\n"
    assert (run / "config.toml").read_bytes() == before and len(list(runs.default_root().iterdir())) == 1
    assert execution == []


def test_naming_it_on_the_command_line_is_trust_that_is_remembered(call, folder, execution, monkeypatch):
    run = naming(folder, fake_worker.record(fake_worker.make_run(), state="stopped"))
    assert call("--resume", str(run), "--models", str(folder))[2] == "tui-gen: reached\n"
    assert call("sample", str(run))[2] == "tui-gen: reached\n"
    (folder / "model.py").write_text("x = 7\n")
    assert "--trust" in call("quality", str(run))[2]
    monkeypatch.setattr(trust, "MOST_FILES", 1)  # a folder that cannot be looked through, named all the same
    for words in (["quality"], ["sample"], ["--resume"]):
        assert call(*words, str(run), "--models", str(folder))[2] == "tui-gen: reached\n"
        assert "give it with --models" in call(*words, str(run))[2]
    assert "--trust = /nowhere: is no folder" in call("sample", str(run), "--trust", "/nowhere")[2]


async def test_the_workbench_asks_before_it_goes_on_with_a_run(monkeypatch, folder):
    run = naming(folder, fake_worker.record(fake_worker.make_run(), state="stopped"))
    async with workbench(monkeypatch, (110, 36), open_run=run) as (app, pilot):
        started = fake_worker.install(monkeypatch, steps=1)
        app.action_resume()
        await until(pilot, lambda: "Whose code is this?" in screen_text(app), "the question")
        assert str(folder) in app.screen._text.plain and "model.py" in app.screen._text.plain
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert not started and trust.unknown([folder])
        tables = config.read_toml(run / "config.toml")
        monkeypatch.setattr(app.form, "tables", lambda: tables)
        await pilot.press("f5")
        await until(pilot, lambda: "Whose code is this?" in screen_text(app), "the question")
        await pilot.press("t")
        await until(pilot, lambda: started, "the run")
        assert not trust.unknown([folder])
        assert started[0].wait(120) == 0
        app.run_worker(app.conductor.resume(run))
        await until(pilot, lambda: len(started) == 2, "the other, without a question")
        assert started[1].wait(120) == 0
