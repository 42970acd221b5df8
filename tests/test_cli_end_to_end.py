"""The command line with the real worker: train, stop, resume, sample, refuse."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.waiting import wait_for
from tui_gen import runs

SMALL = ["--set", "model.hidden=32", "--set", "model.latent=4", "--set", "train.threads=1", "--set", "preview.count=16"]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tui_gen", *arguments]


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=120
    )


def test_train_resume_and_sample(tmp_path):
    done = call("--run", "vae-digits", "--set", "train.steps=30", *SMALL)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = runs.list_runs(runs.default_root())
    assert "finished at step 30/30" in done.stdout and "samples at step 30" in done.stdout and row.state == "finished"
    more = call("--resume", "latest", "--set", "train.steps=45", "--set", "train.phases.vae.lr=5e-4", "--json")
    assert more.returncode == 0, more.stdout + more.stderr
    events = [json.loads(line) for line in more.stdout.splitlines()]
    assert {"type": "resume", "step": 30}.items() <= next(e for e in events if e["type"] == "resume").items()
    edit = next(e for e in events if e["type"] == "edit")
    assert (edit["step"], edit["key"], edit["old"], edit["new"]) == (30, "train.phases.vae.lr", 1e-3, 5e-4)
    assert (events[-1]["state"], events[-1]["step"]) == ("finished", 45)
    target = tmp_path / "grid.png"
    sampled = call("sample", "latest", "-n", "4", "-o", str(target), "--seed", "1", "--device", "cpu")
    assert sampled.returncode == 0, sampled.stderr
    with Image.open(target) as picture:
        assert 16 <= picture.size[0] == picture.size[1] < 32  # four digits of 8×8


def test_ctrl_c_stops_with_a_checkpoint():
    with subprocess.Popen(
        command("--run", "vae-digits", "--set", "train.steps=1000000", *SMALL), stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler), start_new_session=True,
    ) as process:  # fmt: skip
        wait_for(lambda: [r for r in runs.list_runs(runs.default_root()) if r.step > 20], timeout=60, what="steps")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 3, out
    (row,) = runs.list_runs(runs.default_root())
    assert row.state == "stopped" and (Path(row.path) / "checkpoints" / f"{row.step:06d}").is_dir()


def test_what_only_the_model_knows_is_refused_before_there_is_a_run():
    done = call("--run", "vae-digits", "--set", "model.network=conv", "--set", "model.channels=8,8,8,8,8,8")
    assert done.returncode == 2 and "model.channels" in done.stderr, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and runs.list_runs(runs.default_root()) == []


def test_nothing_is_left_running_when_the_command_is_killed_while_it_starts():
    process = subprocess.Popen(command("--run", "vae-digits"), stdout=subprocess.DEVNULL, start_new_session=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def waiting() -> list[int]:
        with contextlib.suppress(OSError):  # a child that has just ended
            pids = children.read_text().split()
            return [int(one) for one in pids if b"--warm" in Path(f"/proc/{one}/cmdline").read_bytes()]
        return []

    (warm,) = wait_for(waiting, timeout=60, what="the worker")
    os.kill(process.pid, signal.SIGKILL)
    process.wait(120)
    wait_for(lambda: not runs.process_started(warm), timeout=60, what="the end of the worker")
    assert runs.list_runs(runs.default_root()) == []
