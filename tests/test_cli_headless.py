"""Headless training into pipes: lines, JSON, exit status, signals, and what a run survives."""

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import termios
from pathlib import Path
from typing import IO

import pytest

from tests import fake_cli, fake_worker
from tests.waiting import wait_for, wait_until_listening
from tui_gen import events, launch, runs
from tui_gen.log import event_log
from tui_gen.params import Problem
from tui_gen.report import headless

RECIPE = "vae-digits"


def only_run() -> Path:
    """The one run there is."""
    (row,) = runs.list_runs(runs.default_root())
    return Path(row.path)


def when_running() -> Path:
    """The one run there is, once it makes steps."""
    wait_for(lambda: [row for row in runs.list_runs(runs.default_root()) if row.step > 0], what="a run with steps")
    return only_run()


def worker_gone(run: Path) -> None:
    """Wait until its worker has ended."""
    wait_for(lambda: not runs.alive(runs.worker_of(run)), what="the worker's end")


def test_plain_lines_tell_all_and_end_with_plot_grid_and_places():
    with fake_cli.start("--run", RECIPE, "--every", "0.2", steps=150, rate=150, hold=120) as process:
        told = [process.stdout.readline()]
        while told[-1] and "it/s" not in told[-1]:
            told.append(process.stdout.readline())
        run = only_run()
        fake_worker.release(run)
        rest, err = process.communicate(timeout=120)
    out = "".join(told) + rest
    assert process.returncode == 0, err
    assert f"{run.name}: vae on digits" in out.splitlines()[0]
    figures = [line for line in out.splitlines() if re.search(r"step \d+/150 \(\d+%\) epoch", line) and "|" in line]
    assert len(figures) >= 2 and "vae/loss" in figures[0] and "it/s" in figures[-1] and "images/s" in figures[-1]
    assert "finished at step 150" in out and "vae/loss" in out and "┤" in out
    assert "samples at step 150" in out and re.search(r"^[ .:=+*#%@-]{20,}$", out, re.MULTILINE)
    assert "checkpoints/000150 (step 150)" in out and f"tui-gen --resume {run.name} --set train.steps=300" in out
    assert "\x1b" not in out
    assert "val/vae/loss" in out
    assert re.search(r"^  verdict +(good|watch|bad): \w.*\(\w+ -?\d", out, re.MULTILINE)


def test_json_is_one_object_a_line_from_the_log():
    done = fake_cli.run("--run", RECIPE, "--json", steps=400, rate=4000)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    run = only_run()
    assert done.returncode == 0
    assert lines[0]["type"] == "run" and lines[0]["path"] == str(run)
    assert lines[-1]["type"] == "end" and lines[-1]["state"] == "finished" and lines[-1]["step"] == 400
    assert set(lines[-1]["verdict"]) == {"level", "sentence", "number", "advice"}
    assert Path(lines[-1]["checkpoint"]).is_dir() and Path(lines[-1]["samples"]).is_file()
    logged = [json.loads(events.encode(events.plain(event))) for event in event_log.read(run / "events.jsonl")]
    assert [line["type"] for line in lines[1:-1]] == [event["type"] for event in logged]
    assert [v for line in lines if line["type"] == "metrics" and "vae/kl" in line["values"]
            for v in line["values"]["vae/kl"]] == [
        v for line in logged if line["type"] == "metrics" and "vae/kl" in line["values"]
        for v in line["values"]["vae/kl"]]  # fmt: skip


def test_a_preparation_is_shown():
    done = fake_cli.run("--run", RECIPE, "--every", "0", steps=5, rate=500, prepare=1000)
    assert re.search(r"reading images \d+% \([\d,]+ of 1,000 images\)", done.stdout)


@pytest.mark.parametrize(
    ("settings", "status", "words"),
    [
        ({"steps": 20, "rate": 400}, 0, "finished at step 20"),
        ({"crash_at": 10, "rate": 400}, 1, "told to crash"),
    ],
)
def test_exit_status_by_how_it_ended(settings, status, words):
    done = fake_cli.run("--run", RECIPE, **settings)
    assert done.returncode == status and words in done.stdout
    if status:
        assert "Traceback" in done.stdout and "worker.log" in done.stdout and "--resume" in done.stdout


def test_a_worker_that_dies_is_interrupted():
    with fake_cli.start("--run", RECIPE) as process:
        run = when_running()
        os.kill(runs.worker_of(run).pid, signal.SIGKILL)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 4 and "interrupted at step" in out and f"--resume {run.name}" in out


def test_a_worker_that_cannot_start_is_a_failure(tmp_path):
    done = fake_cli.run("--run", RECIPE, steps="many")  # the stand-in's own command line refuses that
    assert done.returncode == 1 and "failed" in done.stdout and "invalid int value" in done.stdout


def test_first_ctrl_c_stops_with_a_checkpoint():
    with fake_cli.start("--run", RECIPE) as process:
        run = when_running()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    assert "Ctrl-C: stopping with a checkpoint" in out and "stopped at step" in out
    assert runs.state_of(run)[0] == "stopped" and list((run / "checkpoints").iterdir())


def test_second_ctrl_c_ends_it_at_once():
    with fake_cli.start("--run", RECIPE) as process:
        run = when_running()
        os.kill(runs.worker_of(run).pid, signal.SIGSTOP)  # it will not get to the request
        process.send_signal(signal.SIGINT)
        told = process.stdout.readline()
        while "stopping" not in told:
            told = process.stdout.readline()
            assert told
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert not runs.alive(runs.worker_of(run))
    assert "interrupted" in out and runs.state_of(run)[0] == "interrupted"


def test_sigterm_checkpoints_and_says_so_in_the_status():
    with fake_cli.start("--run", RECIPE) as process:
        run = when_running()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 143 and "SIGTERM" in out
    assert runs.state_of(run)[0] == "stopped" and list((run / "checkpoints").iterdir())


def test_sigterm_works_while_nobody_reads_the_output():
    with fake_cli.start("--run", RECIPE, "--json", rate=20000) as process:
        run = when_running()
        room = fcntl.fcntl(process.stdout, fcntl.F_GETPIPE_SZ)
        wait_for(lambda: _unread(process.stdout) > 0.8 * room, what="a full pipe")
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: runs.state_of(run)[0] == "stopped", what="the stop")
        process.communicate(timeout=120)
    assert process.returncode == 143


def _unread(pipe: IO[str]) -> int:
    """Bytes that wait in a pipe."""
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]


def test_sighup_is_survived():
    with fake_cli.start("--run", RECIPE, "--plain", steps=300, rate=200) as process:
        when_running()
        process.send_signal(signal.SIGHUP)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and "finished at step 300" in out


def test_a_closed_pipe_is_nobody_s_problem():
    with fake_cli.start("--run", RECIPE, "--every", "0.05", steps=200, rate=200) as process:
        assert process.stdout.readline()
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0 and err == ""
    assert runs.state_of(only_run())[:2] == ("finished", 200)


def test_detached_it_goes_on_alone():
    done = fake_cli.run("--run", RECIPE, "--detach", steps=100, rate=200)
    run = only_run()
    assert done.returncode == 0 and f"tui-gen attach {run}" in done.stdout.replace("\n", " ")
    wait_for(lambda: runs.state_of(run)[0] == "finished", what="its end")


def test_resume_goes_on_from_the_checkpoint_and_forgets_the_past_lines():
    run = fake_worker.record(fake_worker.make_run(None, RECIPE, "train.steps=200"), steps=100, state="stopped")
    done = fake_cli.run("--resume", run.name, "--every", "0", steps=200, rate=400)
    assert done.returncode == 0, done.stderr
    assert "resumed from step 100" in done.stdout and "finished at step 200" in done.stdout
    assert "stopped at step 100" not in done.stdout


def test_resume_with_a_new_length_and_live_values():
    run = fake_worker.record(fake_worker.make_run(None, RECIPE, "train.steps=100"), steps=100)
    refused = fake_cli.run("--resume", run.name)
    assert refused.returncode == 2 and "has finished its length" in refused.stderr
    before = (run / "config.toml").read_text()
    for wrong, words in (
        ("train.steps=50", "already"), ("model.latent=3", "only the length"), ("train.step=9", "train.steps"),
        ("train.phases.vae.lr=-1", "0 < x"),
    ):  # fmt: skip
        refused = fake_cli.run("--resume", run.name, "--set", wrong)
        assert refused.returncode == 2 and words in refused.stderr, refused.stderr
    assert (run / "config.toml").read_text() == before
    done = fake_cli.run(
        "--resume", "latest", "--set", "train.steps=150", "--set", "train.phases.vae.lr=5e-4", steps=150, rate=500
    )
    assert done.returncode == 0, done.stderr
    from tui_gen import catalog, config

    new = catalog.resolve(str(run), catalog.read())
    assert new.train.steps == 150
    assert new.edits == [{"step": 100, "key": "train.phases.vae.lr", "value": 5e-4}]
    assert config.read_toml(run / "config.toml")["train"]["phases"]["vae"]["lr"] == 1e-3


def test_a_live_run_is_not_resumed():
    run = fake_worker.make_run()
    fake_worker.start(run)
    wait_until_listening(run)
    done = fake_cli.run("--resume", run.name)
    assert done.returncode == 2 and "already training" in done.stderr and f"tui-gen attach {run.name}" in done.stderr


def test_attach_follows_as_text_and_ctrl_c_only_detaches():
    run = fake_worker.make_run()
    fake_worker.start(run)
    wait_until_listening(run)
    with fake_cli.start("attach", "--every", "0.1") as process:
        lines = []
        while not lines or "vae/loss" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0 and "the run goes on" in err
    assert runs.state_of(run)[0] == "running"
    launch.ask_run(run, "stop")
    worker_gone(run)


def test_attach_to_what_is_over_shows_it_all():
    run = fake_worker.record(fake_worker.make_run(), steps=60, state="failed", reason="a reason")
    (run / "worker.log").write_text("first\nlast words\n")
    done = fake_cli.run("attach", run.name)
    assert done.returncode == 1 and "failed at step 60" in done.stdout and "a reason" in done.stdout
    assert "last words" in done.stdout
    as_json = fake_cli.run("attach", run.name, "--json")
    kinds = [json.loads(line)["type"] for line in as_json.stdout.splitlines()]
    assert kinds[0] == "run" and kinds[-1] == "end" and "metrics" in kinds and as_json.returncode == 1


def test_a_full_disk_is_told():
    run = fake_worker.make_run()
    fake_worker.start(run, trouble="cannot write: No space left on device")
    wait_until_listening(run)
    wait_for(lambda: runs.state_of(run)[1] > 0, what="steps")
    launch.ask_run(run, "pause")  # a quiet log: then the worker is asked what the matter is
    with fake_cli.start("attach", run.name, "--json") as process:
        seen = ""
        while "No space left" not in seen:
            seen = process.stdout.readline()
            assert seen
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert json.loads(seen)["type"] == "notice"


def test_attached_text_sees_the_worker_die():
    run = fake_worker.make_run()
    worker = fake_worker.start(run)
    wait_until_listening(run)
    with fake_cli.start("attach", run.name) as process:
        while "vae/loss" not in process.stdout.readline():
            assert process.poll() is None
        worker.kill()
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 4 and "interrupted at step" in out and f"fake worker of {run.name}" in out


def test_model_folders_that_a_config_names_are_read(tmp_path, monkeypatch):
    from tui_gen.report import headless

    (tmp_path / "mine").mkdir()
    file = tmp_path / "my.toml"
    file.write_text('model_dirs = ["mine"]\n')
    monkeypatch.chdir(tmp_path)
    assert headless.named_dirs(str(file)) == [str(tmp_path / "mine")] and headless.named_dirs(RECIPE) == []
    file.write_text("model_dirs = 3\n")
    assert headless.named_dirs(str(file)) == []


def test_standard_streams_may_be_closed():
    words = " ".join(fake_cli.command("--run", RECIPE, steps=20, rate=400))
    done = subprocess.run(["sh", "-c", f"{words} <&- >&- 2>&-"], check=False, cwd=fake_cli.ROOT, timeout=120)
    assert done.returncode == 0 and runs.state_of(only_run())[0] == "finished"


def test_torn_and_garbage_lines_do_not_matter():
    run = fake_worker.record(fake_worker.make_run(), steps=60)
    with open(run / "events.jsonl", "ab") as file:
        file.write(b"\x00\xff garbage\n" + events.encode(events.Note(text="\x1b[31mhello [/b]\x07")) + b'{"type": "met')
    done = fake_cli.run("attach", run.name)
    assert done.returncode == 0 and "hello [/b]" in done.stdout and not re.search(r"[\x1b\x07]", done.stdout)
    assert "Traceback" not in done.stdout + done.stderr


def test_config_problems_come_all_together_and_leave_nothing(tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text(
        'nam = "x"\n[model]\nname = "vae"\nlatnt = 3\nbeta = -1\n[dataset]\nname = "digist"\n'
        '[train]\nsteps = 5\nepochs = 2\nbatch_size = 0\n[train.phases.vae]\noptimizer = "adm"\n'
    )
    done = fake_cli.run("--run", str(file), "--set", "train.bach_size=8", "--set", "nonsense")
    assert done.returncode == 2 and done.stdout == ""
    for words in (
        "did you mean 'name'?", "model.latnt", "did you mean 'latent'?", "model.beta = -1", "did you mean 'digits'?",
        "more than one length", "train.batch_size = 0", "1 ≤ x", "did you mean 'adam'?", "train.bach_size=8",
        "did you mean 'train.batch_size'?", "nonsense", "key=value", str(file),
    ):  # fmt: skip
        assert words in done.stderr, (words, done.stderr)
    assert "Traceback" not in done.stderr and runs.list_runs(runs.default_root()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--run", "vae-digitz"], "did you mean 'vae-digits'?"),
        (["--run", "no/such.toml"], "No such file"),
        (["--run", RECIPE, "--device", "gpu"], "one of auto, cpu, cuda"),
        (["--run", RECIPE, "--resume", "latest"], "one of them"),
        (["--run", RECIPE, "--json", "--plain"], "one of them"),
        (["--run", RECIPE, "--models", "/nonexistent"], "is no folder"),
        (["--run", RECIPE, "--runs", "/proc/nothing"], "choose another"),
        (["--set", "train.steps=3"], "needs --run"),
        (["--resume", "nothing"], "no runs in"),
        (["--detch"], "did you mean '--detach'?"),
        (["atach"], "did you mean 'attach'?"),
        (["--run", RECIPE, "--every", "soon"], "seconds"),
        (["--run", "vae-mnist", "--set", "dataset.root=/nonexistent"], "leave it empty to download MNIST"),
        (["--run", RECIPE, "--set", "dataset.name=folder", "--set", "dataset.root=/nonexistent"], "is not there"),
    ],
)
def test_bad_usage_is_one_clear_message(arguments, words):
    done = fake_cli.run(*arguments)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
    assert runs.list_runs(runs.default_root()) == []


def test_a_newer_config_says_so():
    run = fake_worker.record(fake_worker.make_run(), steps=60, state="stopped")
    text = (run / "config.toml").read_text().replace("format = 1", "format = 99")
    (run / "config.toml").write_text(text)
    for arguments in (["--resume", run.name], ["--run", str(run)]):
        done = fake_cli.run(*arguments)
        assert done.returncode == 2 and "newer tui-gen" in done.stderr and "upgrade" in done.stderr
    assert fake_cli.run("runs").returncode == 0 and (run / "config.toml").read_text() == text


def test_a_model_s_own_objection_comes_before_there_is_a_run(monkeypatch):
    from tui_gen import catalog
    from tui_gen.config import ConfigError
    from tui_gen.report import headless
    from tui_gen.signals import Signals

    config = catalog.resolve(RECIPE, catalog.read())
    monkeypatch.setattr(launch.WarmWorker, "spawn", lambda self: None)
    monkeypatch.setattr(launch.WarmWorker, "alive", True)
    monkeypatch.setattr(launch.WarmWorker, "ready", True)
    objection = Problem("model.channels", [4], "too deep for 8 px", "use fewer")
    monkeypatch.setattr(launch.WarmWorker, "check", lambda self, tables, timeout, **more: [objection])
    with Signals() as signals, pytest.raises(ConfigError, match="too deep for 8 px"):
        headless.start(config, runs.default_root(), [], signals)
    assert runs.list_runs(runs.default_root()) == []


@pytest.mark.parametrize("other_folder", [False, True])
def test_a_worker_loads_pytorch_while_the_config_is_read(tmp_path, monkeypatch, call, other_folder):
    """Unless the config turns out to need what that worker was not told of. None is left over."""
    from tui_gen import catalog
    from tui_gen import config as configs
    from tui_gen.report import consent

    at, closed, resolve = [], [], headless.resolve
    monkeypatch.setattr(launch.WarmWorker, "spawn", lambda self: at.append(list(self.model_dirs)))
    monkeypatch.setattr(launch.WarmWorker, "alive", True)
    monkeypatch.setattr(launch.WarmWorker, "ready", True)
    monkeypatch.setattr(launch.WarmWorker, "close", lambda self: closed.append(list(self.model_dirs)))
    monkeypatch.setattr(launch.WarmWorker, "check", lambda *_, **__: [Problem("model.beta", 1, "the model's word")])
    monkeypatch.setattr(headless, "resolve", lambda *its: at.append("read") or resolve(*its))
    monkeypatch.setattr(consent, "ask", lambda *_: None)
    assert call("--run", "no-such-recipe")[0] == 2
    assert at == [[], "read"] and closed == [[]]
    source, folder = tmp_path / "c.toml", tmp_path / "m"
    folder.mkdir()
    monkeypatch.setattr(headless, "ensured", lambda *_: catalog.read())
    more = {"model_dirs": [str(folder)]} if other_folder else {}
    source.write_text(configs.dumps(catalog.resolve(RECIPE, catalog.read(), [], more)))
    at.clear(), closed.clear()
    status, _, err = call("--run", str(source))
    assert status == 2 and "the model's word" in err
    assert at == [[], "read", *([[str(folder)]] if other_folder else [])]
    assert [] in closed and at[-1] in (*closed, "read")


def test_version_is_immediate_and_loads_nothing():
    code = "import sys; from tui_gen.cli import main; main(['--version']); print(*sorted(sys.modules))"
    done = subprocess.run([fake_cli.command()[0], "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "tui-gen" in done.stdout and not loaded & {"textual", "torch", "rich", "numpy", "msgspec"}


def test_of_two_resumes_at_once_one_trains_and_the_other_changes_nothing(monkeypatch, call):
    run = fake_worker.record(fake_worker.make_run(), steps=100, state="stopped")
    started = fake_worker.install(monkeypatch, steps=100_000)
    config, real = run / "config.toml", headless.continued
    before, refused = config.read_bytes(), []

    def continued(*given):
        monkeypatch.setattr(headless, "continued", real)
        refused.append(call("--resume", run.name, "--set", "train.steps=777", "--detach"))
        assert config.read_bytes() == before
        return real(*given)

    monkeypatch.setattr(headless, "continued", continued)
    status, out, err = call("--resume", run.name, "--set", "train.steps=300", "--detach")
    assert status == 0 and "training in the background" in out, err
    wait_until_listening(run)
    after = config.read_bytes()
    assert after != before
    refused.append(call("--resume", run.name, "--set", "train.steps=777"))
    assert [status for status, _, _ in refused] == [2, 2] and config.read_bytes() == after
    assert f"{run.name} is in use: another process is starting, changing or deleting it" in refused[0][2]
    assert f"{run.name} is already training (process {started[0].pid}); tui-gen attach" in refused[1][2]
    assert len(started) == 1


def test_a_refused_resume_leaves_the_run_free(monkeypatch, call):
    run = fake_worker.record(fake_worker.make_run(), steps=100, state="stopped")
    before = (run / "config.toml").read_bytes()
    status, _, err = call("--resume", run.name, "--set", "model.latent=8")
    assert status == 2 and "model.latent" in err
    assert runs.state_of(run)[0] == "stopped" and not runs.live(run) and (run / "config.toml").read_bytes() == before
