"""Runs of several processes: they train as one, are steered as one, end as one, and are resumed to the bit."""

from __future__ import annotations

import os
import re
import signal
import socket
from types import SimpleNamespace

import msgspec
import pytest
import torch
from torch.distributed import TCPStore

from tests import fake_worker, several, small_runs
from tests.attack import bits
from tests.waiting import wait_for
from tui_gen import config as configs
from tui_gen import events, launch, progress, resuming, runs, world
from tui_gen.app.panes.form.state import FormState
from tui_gen.app.panes.form.words import at_foot
from tui_gen.log.event_log import read
from tui_gen.report.commands import train
from tui_gen.train.engine.exchange import Exchange
from tui_gen.train.run import following, peers, pictures
from tui_gen.train.run.peer_link import PeerLink
from tui_gen.train.run.peers import hello
from tui_gen.view import RunView

pytestmark = pytest.mark.xdist_group("processes")  # one run that nobody touched, for all
LR = "train.phases.vae.lr"


def made(root, family="vae", **overrides):
    """A run of two processes, with checkpoints every few steps and an edit planned for one in the middle."""
    config = small_runs.config(
        family, train__processes=2, checkpoint__every_steps=6, train__validate_every=10, train__on_nan="rollback",
        **overrides,
    )  # fmt: skip
    config.edits = [{"step": 17, "key": LR, "value": 5e-4}] if family == "vae" else []
    return runs.create(root, config.name, configs.dumps(config))


def gone(run):
    return not any(pid and os.path.exists(f"/proc/{pid}") for pid in (several.process(run, rank) for rank in (1, 2)))


def step_of(run):
    return max((event.start for event in read(run / "events.jsonl", events.Metrics)), default=-1)


def ended(child, run):
    assert child.wait() is not None
    wait_for(lambda: gone(run))
    return runs.state_of(run)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody touched."""
    run = made(tmp_path_factory.mktemp("whole"))
    assert ended(several.worker(run), run)[0] == "finished"
    return run


def test_it_is_killed_at_any_rank_and_goes_on_to_the_bit(tmp_path, whole):
    hurt = made(tmp_path)
    plan = next(read(whole / "events.jsonl", events.Plan))
    assert (plan.processes, plan.threads, plan.device) == (2, 1, "cpu (2 processes × 1 thread)")

    for rank, at in ((1, 3), (0, 12)):
        child = several.worker(hurt, resume=at > 3)
        wait_for(lambda at=at: step_of(hurt) >= at)
        os.kill(several.process(hurt, rank) if rank else child.pid, signal.SIGKILL)
        state, _, reason = ended(child, hurt)
        if rank:
            assert state == "failed" and reason.startswith("rank 1 (") and "was ended by SIGKILL" in reason
        else:
            assert state == "interrupted"
            assert "stopped because rank 0 is gone" in (hurt / "worker-1.log").read_text()
    assert ended(several.worker(hurt, resume=True), hurt)[0] == "finished"
    assert bits.differences(whole, hurt) == []


def test_another_number_of_processes_goes_on_with_the_same_data(tmp_path, whole):
    run = made(tmp_path)
    child = several.worker(run)
    wait_for(lambda: step_of(run) >= 8)
    child.send(signal.SIGTERM)
    assert ended(child, run)[0] == "stopped"
    config, _ = resuming.continued(run, ["train.processes=3"], small_runs.built()[0])
    assert config.train.processes == 3
    assert ended(several.worker(run, resume=True), run)[0] == "finished"
    assert "processes 2 → 3" in " ".join(note.text for note in read(run / "events.jsonl", events.Note))
    assert [plan.processes for plan in read(run / "events.jsonl", events.Plan)] == [2, 3]
    for name, values in losses(whole).items():
        assert losses(run)[name] == pytest.approx(values, rel=1e-4), name


def losses(run):
    view = RunView(run)
    view.read_all()
    return {name: series.values.tolist() for name, series in view.series.items() if name.endswith("/loss")}


def test_it_is_steered_as_one(tmp_path):
    run = made(tmp_path, train__steps=100_000, quality__samples=128)
    child = several.worker(run)
    wait_for(lambda: step_of(run) >= 5)
    edit = launch.ask_run(run, "edit", key=LR, value=2e-4)
    pause = launch.ask_run(run, "pause").data["step"]
    wait_for(lambda: runs.state_of(run)[0] == "paused")
    report = launch.ask_run(run, "quality", timeout=60).data["report"]
    assert report["samples"] == 128 and report["figures"]
    back = launch.ask_run(run, "rollback").data
    assert back["was"] == pause and back["step"] <= pause and back["step"] % 6 == 0  # it may pause at a checkpoint
    with pytest.raises(launch.control.ControlError, match="several processes"):
        launch.ask_run(run, "yield")
    launch.ask_run(run, "resume")
    wait_for(lambda: step_of(run) > pause or step_of(run) > edit.data["step"] + 10)
    os.kill(several.process(run, 1), signal.SIGTERM)
    state, step, reason = ended(child, run)
    assert state == "stopped" and reason.startswith("by SIGTERM, which rank 1 (")
    assert bits.newest(run).name == f"{step:06d}"
    steps = [event.step for event in read(run / "events.jsonl", events.Edit) if (event.key, event.new) == (LR, 2e-4)]
    assert steps[0] == edit.data["step"]


def test_processes_that_srun_starts_meet_and_end_together(tmp_path, whole):
    run = made(tmp_path)
    first, other = several.met(run)
    assert first.wait() == 0 and other.wait() == 0
    assert bits.differences(whole, run) == []
    assert "the run has finished" in (run / "worker-1.log").read_text()


def test_processes_that_torchrun_starts_meet_at_its_store_and_its_signal_stops_the_run(tmp_path, monkeypatch):
    """It hands a signal on to all of them."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for name, value in (("ADDR", "127.0.0.1"), ("PORT", str(store.port))):
        monkeypatch.setenv(f"MASTER_{name}", value)
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    run = made(tmp_path, train__steps=100_000)
    children = several.met(run, store.port)
    wait_for(lambda: step_of(run) >= 8)
    for child in children:
        child.send(signal.SIGTERM)
    assert [child.wait() for child in children] == [0, 0]
    state, step, reason = runs.state_of(run)
    assert state == "stopped" and reason.startswith("by SIGTERM") and bits.newest(run).name == f"{step:06d}"
    assert "the run has stopped" in (run / "worker-1.log").read_text()


@pytest.mark.parametrize("died", ["before it was heard of", "while rank 0 loaded"])
def test_one_that_dies_while_it_starts_ends_the_run(tmp_path, died):
    """Rank 0 of a Slurm step listens before it loads anything."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = world.listening(world.World(0, 2, 0, 2, "127.0.0.1", port, world.SLURM, "a.1.0", 0.2))
    with pytest.raises(world.WorldError, match=f"port {port} .* cannot have: Address already in use"):
        world.listening(place)
    for step in ("b.1.0", "a.1.0")[: 1 + (died == "while rank 0 loaded")]:  # the first is no part of this run
        other = PeerLink(socket.create_connection(("127.0.0.1", port)))
        other.send("hello", **hello(world.World(1, 2, step=step)))
        other.close()
    run = made(tmp_path)
    state, _, reason = ended(several.first(run, place, LEAST=0.2), run)
    os.close(place.listener)
    words = "rank 1 (" if died == "while rank 0 loaded" else f"rank 1 did not come to port {port} of 127.0.0.1 within"
    assert state == "failed" and reason.startswith(words), reason
    assert ("is gone: it was killed" if died == "while rank 0 loaded" else "srun says how") in reason


def test_an_error_in_one_is_the_run_s(tmp_path, monkeypatch):
    from tui_gen.train.engine.trainer import Trainer

    step = Trainer.train_step

    def breaks(self, *given):
        if self.ranks.rank == 1 and self.step == 7:
            raise ValueError("it broke")
        step(self, *given)

    monkeypatch.setattr(Trainer, "train_step", breaks)
    run = made(tmp_path)
    state, _, reason = ended(several.worker(run), run)
    assert state == "failed"
    assert re.fullmatch(r"rank 1 \(.*\): ValueError: it broke \(.*, line \d+; worker-1.log has the traceback\)", reason)
    assert "it broke" in (run / "worker-1.log").read_text()


@pytest.fixture
def soon(monkeypatch):
    """Signs of life come, and are looked for, more often."""
    for module in (peers, following):
        monkeypatch.setattr(module, "BEAT", 0.1)
    monkeypatch.setattr(peers, "WAITS", 0.5)


@pytest.mark.parametrize("where, what", [(0, "a sum more"), (1, "no step of a phase")])
def test_processes_that_part_at_a_later_step_end_with_one_message(tmp_path, monkeypatch, soon, where, what):
    """Over a network, where one of them is at another exchange than the others."""
    monkeypatch.setenv("TUI_GEN_TUNED", "0")
    compute = Exchange.computed

    def parts(self, phase, *given):
        if self.ranks.rank == where and self.trainer.step >= 7:
            if what == "a sum more":
                self.ranks.sum_([torch.ones(5)])
            elif phase.name == "discriminator":
                self.trainer.phases[1].when = lambda *_: False
        return compute(self, phase, *given)

    monkeypatch.setattr(Exchange, "computed", parts)
    run = made(tmp_path, "gan")
    state, _, reason = ended(several.worker(run), run)
    assert state == "failed"
    words = r"the processes do not compute the same: rank 0 is at (.*), .* rank 1 \(.*\) is at \1, .*; a model file"
    assert re.match(words, reason) and ("a sum of 5 numbers" if where == 0 else "the end of a step") in reason


@pytest.mark.parametrize("by", ["steps", "time"])
def test_all_make_the_pictures_that_take_long(tmp_path, monkeypatch, by):
    """The same ones as rank 0 alone."""
    often = {"preview__every_steps": 5} if by == "steps" else {"preview__every_seconds": 0.01}
    config = small_runs.config("ddpm", train__processes=2, train__steps=20, preview__raw=True, **often)
    made, helped, shown = pictures.made, tmp_path / "helped", {}

    def helps(trainer, asked):
        with open(helped, "a") as file:
            print(trainer.ranks.rank, asked["method"], trainer.step, file=file)
        return made(trainer, asked)

    monkeypatch.setattr(pictures, "made", helps)
    for costly in (1e9, 0.0):
        monkeypatch.setattr(pictures, "COSTLY", costly)
        run = runs.create(tmp_path, f"costly-{costly}", configs.dumps(config))
        assert not helped.exists() and ended(several.worker(run), run)[0] == "finished"
        shown[costly] = {path.name: path.read_bytes() for path in (run / "samples").iterdir()}
    rows = [line.split() for line in helped.read_text().splitlines()]
    assert {(rank, method) for rank, method, _ in rows} == {("1", "sample"), ("1", "trajectory")}
    if by == "steps":
        assert shown[0.0] == shown[1e9] and {int(step) for *_, step in rows} == {5, 10, 15, 20}
    else:
        assert shown[0.0].keys() & shown[1e9].keys() >= {"000000.png", "000020.png"}
        assert all(shown[0.0][name] == shown[1e9][name] for name in shown[0.0].keys() & shown[1e9].keys())


def test_what_cannot_be_shared_is_refused():
    problems = {}
    for number, changes in enumerate(
        ({"processes": 17}, {"processes": 4, "accumulate": 5}, {"processes": 2, "device": "cuda:1"}, {"processes": 0})
    ):
        with pytest.raises(configs.ConfigError) as error:
            small_runs.config("vae", **{f"train__{key}": value for key, value in changes.items()})
        problems[number] = [(problem.key, problem.message) for problem in error.value.problems]
    assert problems[0] == [("train.processes", "is more than the 16 examples of a batch, which they share")]
    assert problems[1] == [("train.accumulate", "is more than the 4 examples that each process has of a batch")]
    assert problems[2] == [("train.device", "is one device, and each of 2 processes needs its own")]
    assert problems[3][0][0] == "train.processes"


def test_launchers_tell_who_this_is():
    torchrun = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "a"}
    assert world.from_env(torchrun | {"MASTER_PORT": "29500"}) == world.World(3, 4, 1, 2, "a", 29500, "torchrun")
    assert world.from_env(torchrun | {"RANK": "0", "WORLD_SIZE": "1", "MASTER_PORT": "1"}) is None
    with pytest.raises(world.WorldError, match="MASTER_PORT"):
        world.from_env(torchrun)
    for rank, count in (("4", "4"), ("-1", "4"), ("x", "4")):
        with pytest.raises(world.WorldError):
            world.from_env(torchrun | {"RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": "1"})

    batch_script = {"SLURM_JOB_ID": "12", "SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_NODELIST": "gpu[003-006]"}
    assert world.from_env(batch_script) is None  # only srun starts it four times
    step = batch_script | {
        "SLURM_STEP_ID": "1", "SLURM_STEP_NUM_TASKS": "5", "SLURM_STEP_NODELIST": "gpu[003-006,9],login",
        "SLURM_PROCID": "4", "SLURM_LOCALID": "0", "SLURM_NODEID": "2", "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    }  # fmt: skip
    place = world.from_env(step)
    assert place == world.World(4, 5, 0, 1, "gpu003", place.port, "Slurm", ".12.1") and 20_000 <= place.port < 32_000
    assert world.from_env(step | {"TUI_GEN_ARRIVAL": "90"}).patience == 90
    for words in ("0", "x"):
        with pytest.raises(world.WorldError, match=f"TUI_GEN_ARRIVAL = '?{words}'? .* no number"):
            world.from_env(step | {"TUI_GEN_ARRIVAL": words})
    assert place.port == world.from_env(step | {"SLURM_PROCID": "0", "SLURM_NODEID": "0"}).port != world.from_env(
        step | {"SLURM_STEP_ID": "2"}
    ).port
    assert world.from_env(step | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}) is None


@pytest.mark.parametrize("launcher", ["torchrun", "srun"])
def test_rank_0_says_what_is_wrong_with_a_config_before_torchrun_ends_it(monkeypatch, call, launcher):
    """It ends all at the first that ends; srun does not."""
    torchrun = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": "1"}
    srun = {"SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}
    for name, value in (torchrun if launcher == "torchrun" else srun).items():
        monkeypatch.setenv(name, value)
    waits, signals = [], []
    monkeypatch.setattr(train.time, "sleep", waits.append)
    monkeypatch.setattr(train.signal, "signal", lambda *words: signals.append(words))
    status, _, err = call("train", "vae-nix")
    assert status == 2 and "rank 1 ends: rank 0 says what is wrong with the config" in err
    assert waits == ([train.LAST] if launcher == "torchrun" else [])
    assert ((signal.SIGTERM, signal.SIG_DFL) in signals) == (launcher == "torchrun")


def test_the_command_line_says_how_many_unless_a_launcher_has(monkeypatch, call):
    fake_worker.install(monkeypatch, steps=3)
    for words in (["--run"], ["train"]):
        assert call(*words, "vae-digits", "--processes", "3", "--name", words[0].strip("-"))[0] == 0
        config = configs.read_toml(runs.default_root() / words[0].strip("-") / "config.toml")
        assert config["train"]["processes"] == 3
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    for words, why in ((["--processes", "3"], "torchrun started 2 processes"),
                       (["--detach"], "torchrun ends what it started when this command returns")):  # fmt: skip
        status, _, err = call("train", "vae-digits", *words)
        assert status == 2 and why in err and words[0] in err and len(runs.list_runs(runs.default_root())) == 2


def test_a_process_s_share_of_a_batch_is_told_in_the_form_and_of_a_run():
    state = FormState(small_runs.built()[0], {"model": {"name": "vae"}, "dataset": {"name": "digits"}})
    for processes, words in ((1, ""), (2, "a batch is 64 a process"), (3, "a batch is 42 or 43 a process")):
        state.set_text("train.processes", str(processes))
        state.set_text("train.batch_size", "128")
        for key in ("train.processes", "train.batch_size"):
            assert ("a process" in (foot := at_foot(state, key).plain)) == bool(words) and words in foot
    plan = events.Plan(steps=9, steps_per_epoch=3, batch_size=1000, device="cpu", processes=3, accumulate=2)
    assert progress.parts(SimpleNamespace(plan=plan)) == "batches of 1,000, 333 or 334 a process in 2 parts"
    assert progress.parts(SimpleNamespace(plan=msgspec.structs.replace(plan, processes=1, accumulate=1))) == ""


def test_the_first_host_of_a_list():
    lists = {"n1": "n1", "n[1-3]": "n1", "gpu[003,007-9]": "gpu003", "a-1,b[2-4]": "a-1", "r[1-2]-ib": "r1-ib", "": ""}
    assert {nodes: world.first_host(nodes) for nodes in lists} == lists
