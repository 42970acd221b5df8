"""Runs in jobs of batch systems: warnings, signals, and jobs that are started again. No batch system is needed."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from tests import fake_cli, fake_worker
from tests.conftest import CLEARED
from tests.waiting import wait_for, wait_until_listening
from tui_gen import batch, cli, control, launch, presence, runs
from tui_gen.config import ConfigError
from tui_gen.report import named
from tui_gen.report.follow import Follow
from tui_gen.report.plain import JsonDisplay
from tui_gen.report.stdout import Outlet
from tui_gen.signals import Signals
from tui_gen.view import RunView

BASH = pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
WARNING = "is a job of Slurm: bash runs its script, and dies at once"


def only_run() -> Path:
    (row,) = runs.list_runs(runs.default_root())
    return Path(row.path)


# -- what is told


@pytest.mark.parametrize("variable", batch.SYSTEMS)
def test_a_job_is_known_by_its_variable(variable):
    assert batch.job({variable: "1", "HOME": "/"}) == variable and not batch.job({variable: "", "HOME": "/"})
    assert CLEARED.fullmatch(variable), "tests may run in a job themselves"


@pytest.fixture
def proc(tmp_path):
    """Make ancestors as /proc shows them: (exe, in the job, SigCgt), the parent first."""

    def make(*processes: tuple[str, bool, int]) -> Path:
        pid = os.getppid()
        for number, (exe, member, caught) in enumerate(processes):
            place = tmp_path / str(pid)
            place.mkdir()
            (place / "exe").symlink_to(exe)
            (place / "environ").write_bytes(b"HOME=/\0" + b"SLURM_JOB_ID=7\0" * member)
            above = 10_000_000 + number
            (place / "status").write_text(f"Name:\tx\nPPid:\t{above}\nSigIgn:\t0\nSigCgt:\t{caught:x}\n")
            pid = above
        return tmp_path

    return make


TRAP = 1 << (signal.SIGTERM - 1)


@pytest.mark.parametrize(
    ("processes", "shell"),
    [
        ([("/usr/bin/bash", True, 1 << 16)], "bash"),
        ([("/bin/dash", True, 0), ("/usr/bin/bash", False, 0)], "dash"),
        ([("/usr/bin/python3", True, 0), ("/usr/bin/timeout", True, 0), ("/usr/bin/zsh (deleted)", True, 0)], "zsh"),
        ([("/usr/bin/bash", True, TRAP)], ""),
        ([("/usr/sbin/slurmstepd", True, 0)], ""),
        ([("/usr/sbin/slurmstepd", False, 0), ("/usr/bin/bash", True, 0)], ""),
        ([("/usr/bin/bash", False, 0)], ""),
        ([], ""),
    ],
)
def test_a_shell_that_would_die_is_found_in_the_job(proc, processes, shell):
    assert batch.fragile_shell("SLURM_JOB_ID", proc(*processes)) == shell


def test_a_job_is_told_how_to_start(monkeypatch):
    monkeypatch.setattr(batch, "fragile_shell", lambda variable: "bash")
    monkeypatch.setattr(batch, "_on_terminal", lambda: False)
    for variable in batch.SYSTEMS:
        monkeypatch.delenv(variable, raising=False)
    assert batch.warning() == batch.warning(detach=True) == ""
    monkeypatch.setenv("PBS_JOBID", "12.host")
    assert batch.warning().startswith("this is a job of PBS: bash runs its script")
    assert "write exec tui-gen … in the script" in batch.warning() and "srun" not in batch.warning()
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    assert "(or srun tui-gen …)" in batch.warning()
    assert "takes what runs in the background along; leave out --detach" in batch.warning(detach=True)
    monkeypatch.setattr(batch, "_on_terminal", lambda: True)
    assert not batch.warning() and batch.warning(detach=True)


# -- a job, its script and its signals


@contextlib.contextmanager
def job(script: str, tmp_path: Path, **settings):
    """A batch system in small: a script run by bash in a session of its own, as a job of Slurm."""
    words = fake_cli.command(**settings)
    text = script.replace("tui-gen", " ".join(words))
    (tmp_path / "script").write_text(f"cd {fake_cli.ROOT}\n{text}\n")
    process = subprocess.Popen(
        ["bash", str(tmp_path / "script")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True, env={**os.environ, "SLURM_JOB_ID": "7"},
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def when_running() -> Path:
    wait_for(lambda: [row for row in runs.list_runs(runs.default_root()) if row.step > 0], what="a run with steps")
    return only_run()


@BASH
@LINUX
def test_a_plain_script_is_warned(tmp_path):
    with job("tui-gen --run vae-digits --plain", tmp_path, steps=10) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0 and WARNING in err and "exec tui-gen" in err


@BASH
def test_a_signal_to_all_of_a_job_ends_it_with_a_checkpoint(tmp_path):
    with job("exec tui-gen --run vae-digits --plain", tmp_path) as process:
        run = when_running()
        os.kill(runs.worker_of(run).pid, signal.SIGUSR2)
        os.kill(process.pid, signal.SIGUSR2)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 143 and "SIGUSR2" in out and WARNING not in err
    assert runs.state_of(run)[0] == "stopped" and list((run / "checkpoints").iterdir())


def scripts() -> list[str]:
    """The scripts that the page on Slurm has: one that is replaced, one that goes on afterwards."""
    return re.findall(r"```bash\n(.*?)```", (fake_cli.ROOT / "docs" / "slurm.md").read_text(encoding="utf-8"), re.S)


@BASH
@pytest.mark.parametrize(("number", "status"), [(0, 143), (1, 143)], ids=["exec", "trap"])
def test_the_page_s_scripts_stop_with_a_checkpoint_and_go_on(tmp_path, number, status):
    script = f"scontrol() {{ echo then: $*; }}\n{scripts()[number]}".replace("my.toml", "vae-digits")
    with job(script, tmp_path) as process:
        run = when_running()
        os.kill(process.pid, signal.SIGUSR1)
        out, err = process.communicate(timeout=120)
    assert process.returncode == status and run.name == "first" and WARNING not in err, err
    assert ("then: requeue 7" in out) == bool(number)
    assert runs.state_of(run)[0] == "stopped" and list((run / "checkpoints").iterdir())
    with job(script, tmp_path, steps=runs.state_of(run)[1] + 20) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and only_run() == run and "then:" not in out, err
    assert runs.state_of(run)[0] == "finished"


def test_a_signal_that_comes_before_a_run_is_followed_counts():
    heard = []
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGUSR1)
        wait_for(lambda: signals._came, what="the signal")
        signals.listen(heard.append)
        os.kill(os.getpid(), signal.SIGUSR2)
        wait_for(lambda: len(heard) > 1, what="the second")
    assert heard == [signal.SIGUSR1, signal.SIGUSR2]


@pytest.mark.parametrize("moment", range(8))
def test_a_signal_is_heard_once_at_whatever_moment_of_the_listening_it_comes(moment):
    """Twice would end a run at once, without its checkpoint."""
    heard, lines = [], []

    def trace(frame, event, _):
        if event == "line" and frame.f_code in (Signals.listen.__code__, Signals._tell.__code__):
            lines.append(frame.f_lineno)
            if len(lines) == moment + 1:
                signal.raise_signal(signal.SIGUSR1)
        return trace

    with Signals() as signals:
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            signals.listen(heard.append)
        finally:
            sys.settrace(before)
        if len(lines) <= moment:
            signal.raise_signal(signal.SIGUSR1)
        assert (heard, signals.take()) == ([signal.SIGUSR1], [signal.SIGUSR1]), f"line {lines[-1]}"


@pytest.mark.parametrize("moment", range(6))
def test_a_signal_ends_a_wait_at_whatever_moment_of_it_it_comes(moment):
    """No lock is taken in a handler: one that the wait holds at that moment would be waited for for ever."""
    lines = []

    def trace(frame, event, _):
        if event == "line" and frame.f_code is not trace.__code__:
            lines.append(frame.f_lineno)
            if len(lines) == moment + 1:
                signal.raise_signal(signal.SIGTERM)
        return trace

    with Signals() as signals:
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            signals.wait(0.0)
        finally:
            sys.settrace(before)
        if len(lines) <= moment:
            signal.raise_signal(signal.SIGTERM)
        signals.wait(60.0)
        assert signals.take() == [signal.SIGTERM] and not signals.take()


# -- jobs that are started again

NAMED = ("--run", "vae-digits", "--name", "first", "--resume-if-begun", "--plain")


def test_the_same_command_line_begins_goes_on_and_has_finished(monkeypatch, call):
    started = fake_worker.install(monkeypatch, steps=60, rate=1000)
    run = runs.default_root() / "first"
    status, out, err = call(*NAMED)
    assert status == 0 and run.is_dir() and "tui-gen --resume first" in out, err
    assert runs.state_of(run)[:2] == ("finished", 60) and runs.find(runs.default_root(), "first") == run.resolve()
    assert not [one for one in runs.default_root().iterdir() if one.name.startswith(".")]
    status, out, err = call(*NAMED)
    assert status == 0 and "first has finished, at step 60: nothing is left to do" in err and len(started) == 1
    before = (run / "config.toml").read_bytes()
    with (run / "events.jsonl").open("a") as log:
        log.write('{"type":"state","t":1.0,"state":"stopped","step":60}\n')
    status, out, err = call(*NAMED, "--set", "model.latent=7", "--set", "train.steps=9000")
    assert status == 0 and len(started) == 2, err
    assert "first has model.latent" in err and "not 7" in err and "train.steps" in err and "not 9000" in err
    assert (run / "config.toml").read_bytes() == before
    status, _, err = call(*NAMED[:4])
    assert status == 2 and "is there already: --resume-if-begun goes on with it" in err


def test_a_run_that_was_made_and_never_trained_is_begun(monkeypatch, call):
    started = fake_worker.install(monkeypatch, steps=20, rate=1000)
    run = fake_worker.make_run()
    run.rename(run.with_name("first"))
    status, _, err = call(*NAMED)
    assert status == 0 and len(started) == 1, err


def test_a_live_run_is_left_alone(monkeypatch, call):
    started = fake_worker.install(monkeypatch)
    assert call(*NAMED, "--detach")[0] == 0
    run = runs.default_root() / "first"
    wait_until_listening(run)
    status, _, err = call(*NAMED)
    assert status == 2 and f"first is already training (process {started[0].pid})" in err and len(started) == 1


@pytest.mark.parametrize("lives", [True, False])
def test_a_worker_on_another_node_is_waited_for(monkeypatch, call, lives):
    started = fake_worker.install(monkeypatch, steps=20, rate=1000)
    run = fake_worker.record(fake_worker.make_run(), steps=10, state="running")
    run = run.rename(run.with_name("first"))
    info = msgspec.structs.replace(presence.described(run, ""), boot="another", host="node7")
    (run / "worker.json").write_bytes(msgspec.json.encode(info))
    monkeypatch.setattr(presence, "SILENT", 1.0)
    real = time.sleep

    def sleep(seconds: float) -> None:
        real(min(seconds, 0.01))
        if lives:
            os.utime(run / "worker.lock", (time.time() + 1, time.time() + 1))

    monkeypatch.setattr(named.time, "sleep", sleep)
    os.utime(run / "worker.lock")
    status, _, err = call(*NAMED)
    assert "looking whether node7 still trains first" in err
    assert (status, len(started)) == ((2, 0) if lives else (0, 1)), err
    assert ("first is already training on node7" in err) == lives


@pytest.mark.parametrize("name", ["a/b", ".x", "-x", "..", "latest", "x" * 101, "a\nb", "a\x1b[0m"])
def test_names_that_are_none_are_refused(name):
    with pytest.raises(ConfigError, match="is no name for a run's folder"):
        named.check(name)


def test_what_has_the_name_already_is_told(call):
    (runs.default_root() / "first").mkdir(parents=True)
    status, _, err = call(*NAMED)
    assert status == 2 and "is there already: it is no run; choose another --name" in err
    for words, told in (
        (("--name", "x"), "--name needs --run"), (("--run", "x", "--resume-if-begun"), "needs --run and --name"),
    ):  # fmt: skip
        status, _, err = call(*words)
        assert status == 2 and told in err


def test_two_jobs_make_one_folder(tmp_path):
    runs.create(tmp_path, "x", "", "first")
    before = sorted(one.name for one in tmp_path.iterdir())
    with pytest.raises(runs.RunError, match="first is there already; choose another --name"):
        runs.create(tmp_path, "x", "", "first")
    assert sorted(one.name for one in tmp_path.iterdir()) == before == ["first"]


def test_the_exit_statuses_are_in_the_help(capsys):
    assert cli.main(["--help"]) == 0
    told = capsys.readouterr().out
    for words in ("SIGUSR1, SIGUSR2 and SIGXCPU", "143", "is being trained already", "--resume-if-begun"):
        assert words in told


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGINT])
def test_a_worker_that_waits_for_room_is_told_by_signal_where_time_is_up(monkeypatch, number):
    """What a person asks for is refused, so that they may make room."""
    path = fake_worker.make_run(None, "vae-digits")
    asked, told = [], []

    def refuses(*_, **settings):
        asked.append(settings["why"])
        raise control.ControlError("no space left on device")

    monkeypatch.setattr(launch, "stop", refuses)
    outlet = Outlet(io.StringIO())
    following = Follow(RunView(path), JsonDisplay(outlet), outlet)
    following.process = SimpleNamespace(send_signal=told.append)
    following._heard_signal(number)
    if number == signal.SIGINT:
        wait_for(lambda: len(asked) > 1, what="another attempt")
        following._over.set()
    following._stopping.join(60)
    assert told == ([number] if number == signal.SIGUSR1 else [])


# -- the first moment


@LINUX
@pytest.mark.parametrize("name", ["SIGUSR1", "SIGTERM", "SIGINT"])
def test_a_signal_is_obeyed_before_anything_is_loaded(tmp_path, name):
    """Sent while the process imports its first modules: one of them waits in a pipe here, as on a slow disk."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "argparse.py").write_text(f"open({str(pipe)!r}).read()\n")
    writers = []

    def is_read() -> bool:
        with contextlib.suppress(OSError):  # nobody reads from it
            writers.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        return bool(writers)

    process = subprocess.Popen(
        [sys.executable, "-m", "tui_gen", "--run", "vae-digits"], env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=fake_cli.ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        wait_for(is_read, what="the module that waits")
        process.send_signal(signal.Signals[name])
        os.close(writers.pop())  # it may have come just before the module began to wait
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    status, words = (130, "interrupted") if name == "SIGINT" else (143, f"{name}: ended before training began")
    assert (process.returncode, out, err) == (status, "", f"tui-gen: {words}\n")
