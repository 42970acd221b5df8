"""Real worker processes: killed at random steps, signalled, out of disk, badly configured, kept warm.

Most are forked; one that is started as people's are, and one that is kept warm, show that this makes no difference.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests import small_runs
from tests.forked_workers import forking
from tests.waiting import wait_for
from tui_gen import children, control, launch, runs, trust
from tui_gen.events import Resume
from tui_gen.log.event_log import EventWriter
from tui_gen.presence import Hold
from tui_gen.train.run.loop import RunLoop
from tui_gen.view import RunView


@pytest.fixture
def processes():
    made: list[subprocess.Popen] = []
    yield made
    for process in made:
        if process.poll() is None:
            process.kill()
        process.wait(120)


@pytest.fixture
def forked():
    with forking() as made:
        yield made


def follow(path, process, until, timeout=90):
    view = RunView(path)

    def look():
        view.poll()
        return until(view) or process.poll() is not None

    wait_for(look, timeout, what=f"{path.name} to get on; its log: {view.worst_log_lines()}")
    view.poll()
    return view


def train_here(path, family, **options):
    """Train a run to its end in this process."""
    trainer = small_runs.trainer(family, **options)
    with contextlib.closing(EventWriter(path / "events.jsonl")) as writer:
        RunLoop(path, trainer, writer, {}).run()


@pytest.mark.parametrize(("family", "kills"), [("vae", 2), ("gan", 1), ("ddpm", 1)])
def test_killed_at_random_steps_and_resumed_it_ends_where_an_undisturbed_run_ends(family, kills, tmp_path, forked):
    options = {"train__steps": 60, "checkpoint__every_steps": 7, "train__validate_every": 10}
    whole = small_runs.make_run(tmp_path, family, **options)
    broken = small_runs.make_run(tmp_path, family, **options)
    train_here(whole, family, **options)
    dice = random.Random(family)
    for attempt in range(kills):
        process = launch.start(broken, resume=attempt > 0)
        target = dice.randrange(5 + 25 * attempt, 25 + 30 * attempt)
        follow(broken, process, lambda view, target=target: view.step >= target)
        process.send_signal(signal.SIGKILL)
        process.wait(120)
        state, _, reason = runs.state_of(broken)
        assert state in ("interrupted", "finished"), reason
    last = launch.start(broken, resume=True)
    assert last.wait(120) == 0
    one, two = RunView(whole), RunView(broken)
    one.poll(), two.poll()
    assert one.state == two.state == "finished" and one.step == two.step == 60
    for name in ("model.safetensors", "ema.safetensors"):
        paths = [path / "checkpoints" / "000060" / name for path in (whole, broken)]
        assert paths[0].exists() == paths[1].exists()
        if paths[0].exists():
            tensors = [load_file(path) for path in paths]
            assert all((tensors[0][key] == tensors[1][key]).all() for key in tensors[0])
    assert one.series.keys() == two.series.keys()
    for name, curve in one.series.items():
        assert list(curve.steps) == list(two.series[name].steps), name
        assert list(curve.values) == list(two.series[name].values), name
    assert b'"resume"' in (broken / "events.jsonl").read_bytes() and Resume


def test_sigterm_stops_with_a_checkpoint_and_sighup_is_survived(tmp_path, processes):
    path = small_runs.make_run(tmp_path, "vae", train__steps=10_000_000)
    process = launch.start(path)
    processes.append(process)
    follow(path, process, lambda view: view.step > 5)
    process.send_signal(signal.SIGHUP)
    at = RunView(path)
    at.poll()
    follow(path, process, lambda view: view.step > at.step + 50)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 0
    view = RunView(path)
    view.poll()
    assert view.state == "stopped" and "SIGTERM" in view.reason and view.checkpoints[-1].step == view.step


def test_a_forked_worker_has_the_lock_that_it_was_passed(tmp_path, forked, monkeypatch):
    path = small_runs.make_run(tmp_path, "vae", train__steps=10_000_000)
    with monkeypatch.context() as late:
        late.setattr(Hold, "hand_over", lambda _: follow(path, forked[-1], lambda view: view.step > 0))
        process = launch.start(path)
    assert process.poll() is None, (path / "worker.log").read_text()


def test_two_workers_never_train_one_run(tmp_path, forked):
    path = small_runs.make_run(tmp_path, "vae", train__steps=10_000_000)
    process = launch.start(path)
    follow(path, process, lambda view: view.step > 5)
    with pytest.raises(runs.RunError, match="already training"):
        launch.start(path)
    rival = children.start("tui_gen.train.run", path, start_new_session=True)
    assert rival.wait(120) == 1
    assert runs.worker_of(path).pid == process.pid
    with pytest.raises(control.ControlError, match="cannot be changed while training"):
        launch.ask_run(path, "edit", key="model.latent", value=3)
    assert launch.ask_run(path, "status").data["state"] == "running"


def test_what_is_wrong_with_a_config_is_the_reason_it_failed(tmp_path, forked):
    path = small_runs.make_run(tmp_path, "vae")
    text = (path / "config.toml").read_text().replace("latent = 4", "latent = -4").replace("steps = 30", "steps = true")
    (path / "config.toml").write_text(text)
    process = launch.start(path)
    assert process.wait(120) == 1
    state, _, reason = runs.state_of(path)
    assert state == "failed" and "model.latent" in reason and "train.steps" in reason


def test_a_fault_in_a_user_s_model_is_told_and_its_traceback_kept(tmp_path, forked):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "faulty.py").write_text(
        "import torch\nfrom tui_gen.model import Model, Optim, Phase\n\n\n"
        "class Faulty(Model):\n    name = 'faulty'\n    optimizers = {'only': Optim()}\n\n"
        "    def __init__(self, config, data):\n        super().__init__(config, data)\n"
        "        self.layer = torch.nn.Linear(data.features, 1)\n\n"
        "    def phases(self):\n        return [Phase('only', self.loss, self.layer.parameters())]\n\n"
        "    def loss(self, batch):\n        raise RuntimeError('my own [fault]')\n"
    )
    path = small_runs.make_run(tmp_path, "vae")
    (path / "config.toml").write_text(
        f'model_dirs = ["{folder}"]\n[model]\nname = "faulty"\n[train]\nsteps = 3\ndevice = "cpu"\n'
    )
    trust.allow([folder])
    process = launch.start(path)
    assert process.wait(120) == 1
    state, _, reason = runs.state_of(path)
    assert state == "failed" and "my own [fault]" in reason
    assert any("my own [fault]" in line for line in runs.last_log_lines(path))


def test_a_warm_worker_checks_and_starts(tmp_path):
    worker = launch.WarmWorker(polite=False)
    worker.spawn()
    try:
        wait_for(lambda: worker.ready, 60, "the worker to warm up")
        assert worker.check(small_runs.tables("vae")) == []
        problems = worker.check(small_runs.tables("gan", dataset__size=9, model__loss="wassersteen"))
        assert any(problem.key == "model.loss" for problem in problems)
        assert worker.check(small_runs.tables("gan", dataset__size=9))
        (problem,) = worker.check(small_runs.tables("vae", train__processes=4096, train__batch_size=4096))
        assert str(problem).startswith("train.processes = 4096: 4096 processes are too many for the ")
        (problem,) = worker.check(small_runs.tables("vae", train__device="cuda:99"))
        assert str(problem).startswith("train.device = cuda:99: this machine has")
        path = small_runs.make_run(tmp_path, "vae", train__steps=20)
        assert worker.start(path)
        wait_for(lambda: runs.state_of(path)[0] == "finished", 60, "the run to finish")
        with pytest.raises(control.ControlError, match=r"no live worker|cannot reach"):
            launch.ask_run(path, "status")
    finally:
        worker.close()


def weight(pid):
    """How a process and its session count: scheduling class and nice value, and the session's."""
    group = Path(f"/proc/{pid}/autogroup")
    classes = {os.sched_getscheduler(int(task.name)) for task in Path(f"/proc/{pid}/task").iterdir()}
    niceness = os.getpriority(os.PRIO_PROCESS, pid) - os.getpriority(os.PRIO_PROCESS, 0)
    return classes, niceness, group.read_text().split()[-1] if group.exists() else ""


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="this system has one scheduling class")
def test_a_polite_worker_gives_way_until_it_has_a_run_and_then_counts_as_any_other(tmp_path, forked):
    grouped = Path("/proc/self/autogroup").exists()  # a kernel that weighs whole sessions
    worker = launch.WarmWorker()
    worker.spawn()
    pid = worker.process.pid
    try:
        wait_for(lambda: worker.ready, 60, "the worker to warm up")
        assert weight(pid) == ({os.SCHED_BATCH}, 0, "10" if grouped else "")
        path = small_runs.make_run(tmp_path, "vae", train__steps=10**6)
        assert worker.start(path)
        wait_for(lambda: runs.state_of(path)[0] == "running", 60, "the run to train")
        assert weight(pid) == ({os.SCHED_OTHER}, 0, "0" if grouped else "")
        launch.ask_run(path, "stop", checkpoint=False)
        wait_for(lambda: not runs.live(path), 60, "the run to end")
    finally:
        worker.close()


def test_a_warm_worker_ends_with_its_parent(forked):
    worker = launch.WarmWorker()
    worker.spawn()
    try:
        worker._link.close()  # what happens when the parent dies
        assert worker.process.wait(120) == 0 and not os.path.exists(worker.socket)
    finally:
        worker.close()
