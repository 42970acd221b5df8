"""`tui-gen slurm`: the script that it writes, run as Slurm runs it, and what it refuses. No Slurm is needed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests import fake_cli
from tests.waiting import wait_for
from tui_gen import checkpoints, hosts, marks, runs
from tui_gen.history import run_details
from tui_gen.history.run_facts import RunRow
from tui_gen.report.commands import slurm
from tui_gen.view import RunView

BASH = pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")


def asked(text: str) -> list[str]:
    return re.findall(r"^#SBATCH (.*)$", text, re.M)


def syntax(text: str) -> None:
    """bash finds nothing wrong with it."""
    if shutil.which("bash"):
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_a_plain_script_asks_for_what_the_config_needs(call):
    status, out, err = call("slurm", "vae-digits", "--set", "train.device=cpu", "--set", "train.threads=3")
    assert status == 0 and "sbatch job.sh submits it" in err and "-o job.sh" in err
    syntax(out)
    assert asked(out) == [
        "--job-name=vae-digits", "--output=vae-digits-%j.log", "--open-mode=append", f"--chdir={Path.cwd()}",
        "--time=4:00:00", "--ntasks=1", "--cpus-per-task=3", "--requeue", "--signal=B:USR1@120",
    ]  # fmt: skip
    assert f"--runs {runs.default_root()}" in out and "--set train.threads=3" in out and "--name" not in out
    assert 'scontrol requeue "$SLURM_JOB_ID"' in out and "srun" not in out
    head = out.partition('\nsignal=')[0]
    assert all(line.startswith("#") or not line for line in head.splitlines()), "sbatch reads no further than a command"
    _, out, _ = call("slurm", "vae-digits", "--set", "train.threads=3", "--processes", "2")
    assert "--cpus-per-task=2" in asked(out), "the setting is for all processes together"


def test_everything_can_be_said(call, tmp_path):
    target = tmp_path / "my job.sh"
    words = ["--set", "name=a b", "--processes", "4", "--seeds", "1,5", "--name", "it's", "--time", "2-12", "--gpus"]
    words += ["a100:4", "--cpus", "6", "--memory", "16G", "--partition", "gpu", "--account", "lab", "--warn", "300"]
    status, out, err = call("slurm", "vae-digits", *words, "--sbatch=--qos=long", "-o", str(target))
    assert status == 0 and out == target.read_text() and f"sbatch '{target}' submits it" in err
    syntax(out)
    assert {
        "--job-name=it-s", "--array=1,5", "--output=it-s-%A_%a.log", "--partition=gpu", "--account=lab", "--time=2-12",
        "--nodes=1 --ntasks=4", "--cpus-per-task=6", "--gpus=a100:4", "--mem=16G", "--signal=B:USR1@300", "--qos=long",
    } <= set(asked(out))  # fmt: skip
    assert 'srun \\\n    --cpus-per-task="$SLURM_CPUS_PER_TASK"' in out
    assert 'scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"' in out
    told = subprocess.run(
        ["bash", "-c", "srun() { printf '%s\\n' \"$@\"; }\n" + out[out.index("srun \\") : out.index(" &\n")]],
        env={"SLURM_ARRAY_TASK_ID": "5", "SLURM_CPUS_PER_TASK": "6"}, stdout=subprocess.PIPE, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert {"--cpus-per-task=6", "name=a b", "train.seed=5", "it's-s5", "--resume-if-begun"} <= set(told)
    before = target.read_bytes()
    status, _, err = call("slurm", "vae-digits", "-o", str(target))
    assert status == 2 and "my job.sh is there already; --force replaces it" in err and target.read_bytes() == before
    assert call("slurm", "vae-digits", "-o", str(target), "--force")[0] == 0 and target.read_bytes() != before


def test_a_config_s_own_values_count(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.toml").write_text(
        '[model]\nname = "vae"\n[dataset]\nname = "digits"\n[train]\nminutes = 120.0\nsteps = 0\nbatch_size = 8\n'
    )
    status, out, err = call("slurm", "my.toml")
    assert status == 0, err
    assert {"--time=2:22:00", "--gpus=1", "--job-name=my"} <= set(asked(out)) and f"--run {tmp_path}/my.toml" in out
    assert "--time=1-22:13:00" in asked(call("slurm", "my.toml", "--set", "train.minutes=2511")[1])
    assert not [word for word in asked(call("slurm", "my.toml", "--gpus", "0")[1]) if "gpus" in word]


NONSENSE = [
    ("nonesuch", "is neither a file, a recipe nor a model"),
    ("vae-digits --time 0", "'0' is no length of time: 90 (minutes), 4:00:00 or 2-12:00:00"),
    ("vae-digits --time 1:2:3:4", "is no length of time"),
    ("vae-digits --time 2", "--time = 2: is too short to be told 120 s before its end"),
    ("vae-digits --gpus -1", "is no number of GPUs, 2 or a100:2"),
    ("vae-digits --gpus many", "is no number of GPUs"),
    ("vae-digits --memory lots", "is no amount of memory, 16G say"),
    ("vae-digits --seeds 1,1", "is no number of seeds, nor a list of different ones"),
    ("vae-digits --seeds 0", "is no number of seeds"),
    ("vae-digits --seeds 3 --set train.seed=1", "--seeds = 0-2: and --set train.seed: give one of them"),
    ("vae-digits --partition a;b", "is no name that Slurm takes"),
    ("vae-digits --sbatch x", "is no option of sbatch"),
    ("vae-digits --name a/b", "is no name for a run's folder"),
    ("vae-digits --set train.device=cuda:3", "names a GPU of this machine; a job sees its own"),
    ("vae-digits --set train.device=mps", "no node of a cluster has it"),
    ("vae-digits --set train.device=cpu --gpus 2", "--gpus = 2: would be idle: train.device is cpu"),
    ("vae-digits --set train.stepz=1", "train.stepz"),
    ("vae-digits -o /nonesuch/job.sh", "cannot write /nonesuch/job.sh: No such file or directory"),
]


def test_what_makes_no_sense_is_told(call):
    for words, told in NONSENSE:
        status, out, err = call("slurm", *words.split())
        assert status == 2 and not out and told in err and "Traceback" not in err, (words, err)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 5400), ("1:30", 90), ("4:00:00", 14400), ("2-12", 216000), ("1-0:30", 88200), ("0-0:0:5", 5), ("x", -1),
     ("1:2:3:4", -1), ("1-", -1), ("", -1), ("٣", -1)],
)  # fmt: skip
def test_lengths_of_time_are_slurm_s(text, seconds):
    assert slurm.seconds_of(text) == seconds


@BASH
@pytest.mark.parametrize(
    ("command", "status", "back"),
    [
        ("kill -USR1 $PPID; while :; do sleep 0.1; done", 138, True),  # before Python could be told what to do
        ("trap 'sleep 0.2; exit 143' USR1; kill -USR1 $PPID; while :; do sleep 0.1; done", 143, True),
        ("trap 'sleep 0.2; exit 0' USR1; kill -USR1 $PPID; while :; do sleep 0.1; done", 0, False),  # it has finished
        ("trap 'sleep 0.2; exit 1' USR1; kill -USR1 $PPID; while :; do sleep 0.1; done", 1, False),
        ("trap 'sleep 0.2; exit 143' TERM; kill -TERM $PPID; while :; do sleep 0.1; done", 143, False),
        ("exit 143", 143, False),
    ],
)
def test_the_script_puts_back_what_has_more_to_do(command, status, back):
    text = slurm.script(slurm.BatchJob("x", ["sh", "-c", command], "1:00:00"))
    done = subprocess.run(
        ["bash"], input=f"scontrol() {{ echo then: $*; }}\n{text}", text=True, capture_output=True, check=False,
        env={"PATH": os.environ["PATH"], "SLURM_JOB_ID": "7"}, timeout=60,
    )  # fmt: skip
    assert (done.returncode, "then: requeue 7" in done.stdout) == (status, back), done


@BASH
def test_the_script_stops_in_time_and_goes_on_with_its_run(call, tmp_path, monkeypatch):
    """As Slurm runs it: USR1 to the shell alone, then the same job again."""
    program = " ".join(fake_cli.command())
    monkeypatch.setattr(slurm, "_program", lambda: program.split())
    status, text, _ = call("slurm", "vae-digits")
    assert status == 0
    script = tmp_path / "job.sh"
    script.write_text(f"cd {fake_cli.ROOT}\nscontrol() {{ echo then: $*; }}\n{text}")
    env = {**os.environ, "SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "1"}

    def job(**more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", str(script)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True, env=env | more,
        )  # fmt: skip

    def steps() -> list[runs.RunInfo]:
        return [row for row in runs.list_runs(runs.default_root()) if row.state == "running" and row.step > 0]

    first = job()
    run = Path(wait_for(steps, what="a run with steps")[0].path)
    os.kill(first.pid, signal.SIGUSR1)
    out, err = first.communicate(timeout=120)
    assert first.returncode == 143 and "then: requeue 7" in out, err
    state, step, reason = runs.state_of(run)
    assert (state, reason) == ("stopped", "by SIGUSR1") and step in checkpoints.steps(run)
    assert "dies at once" not in err, "the script has a trap, and is not warned of"
    again = job(SLURM_RESTART_COUNT="1")
    wait_for(steps, what="the run to go on")
    os.kill(again.pid, signal.SIGTERM)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 143 and "then:" not in out, "what is cancelled is not put back"
    assert [row.path for row in runs.list_runs(runs.default_root())] == [str(run)] and hosts.maker(run).job == "7"
    assert runs.state_of(run)[2] == "by SIGTERM" and f"restart 1: it goes on with {run.name}" in err
    job_words = f"Slurm job 7, restart 1, on {socket.gethostname()}"
    assert job_words in out, "the log says where it trains"
    view = RunView.read(run)
    (mark,) = [mark for mark in marks.marks_of(view) if mark.kind == "resume"]
    assert mark.step == step and mark.text == f"training went on from here: {job_words}"
    assert ("where", job_words) in run_details.facts_of(RunRow(runs.info_of(run)))
