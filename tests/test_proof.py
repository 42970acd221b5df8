"""The proof that a resume is exact: passes where it is, fails where a model draws from a generator of its own."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager

import pytest

from tests import fake_worker, small_runs
from tests.attack import forked
from tui_gen import config as configs
from tui_gen import events, presence, proof, runs, trust
from tui_gen.log import event_log
from tui_gen.report import verifying
from tui_gen.report.commands import verify_resume
from tui_gen.train.offline import alike, mortal

UNSEEDED = """
from typing import Annotated
import msgspec, torch
from torch import nn
from tui_gen.model import Batch, DataSpec, Model, Optim, Phase, hyper

class Unseeded(Model):
    name, family, title, summary = "unseeded", "vae", "Unseeded", "Draws from a generator that no checkpoint holds."
    kinds, value_range, optimizers = ("image",), "signed", {"it": Optim(lr=1e-2)}

    class Config(msgspec.Struct):
        size: Annotated[int, hyper("Units", ge=1)] = 2

    def __init__(self, config, data):
        super().__init__(config, data)
        self.mean = nn.Parameter(torch.zeros(data.features))
        self.generator = torch.Generator()

    def phases(self):
        return [Phase("it", self.loss, self.parameters())]

    def loss(self, batch):
        noise = torch.rand(len(self.mean), generator=self.generator)
        return (batch.x.flatten(1) - self.mean * noise).square().mean(), {}
"""


def train(run, resume, die_at):
    """Forked workers in place of processes that have to import PyTorch first."""

    @contextmanager
    def mortality():
        if die_at is not None:
            mortal.die_at(die_at)
        yield

    return forked.worker(run, resume=resume, around=mortality).wait()


def verified(tmp_path, text, dies_at):
    made = [runs.create(tmp_path, "it", text, name) for name in ("untouched", "killed")]
    return made, verifying.verify(*made, dies_at, train, alike.differences)


def test_a_run_that_is_killed_and_resumed_is_proved_to_be_the_same(tmp_path):
    text = configs.dumps(small_runs.config("vae", train__steps=12, checkpoint__every_steps=4))
    (_, killed), verdict = verified(tmp_path, text, [6])
    assert verdict.passed, verdict
    assert [(kill.step, kill.resumed) for kill in verdict.kills] == [(6, 4)]
    assert verdict.device.startswith("cpu")
    # One value of the log, or one bit of a weight, that is another makes the difference.
    log = event_log.EventWriter(killed / "events.jsonl")
    log.write(events.Metrics(start=11, values={"vae/more": [2.0]}))
    log.close()
    assert verifying.first_difference(tmp_path / "untouched", killed) == ("vae/more", 11)


def test_a_model_with_a_generator_of_its_own_does_not_pass(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/unseeded.py").write_text(UNSEEDED)
    monkeypatch.setenv("TUI_GEN_MODELS", str(tmp_path / "mine"))
    trust.allow([tmp_path / "mine"])
    tables = small_runs.tables("vae", train__steps=12, checkpoint__every_steps=4)
    tables["model"] = {"name": "unseeded"}
    text = configs.dump_toml(tables)
    _, verdict = verified(tmp_path, text, [6])
    assert not verdict.passed and not verdict.trouble
    assert verdict.differences[0] == "weights: mean differs"
    assert (verdict.metric, verdict.metric_step) == ("it/loss", 4)  # the first step of the worker that went on


def test_kills_come_after_a_checkpoint_and_lose_some_steps():
    for seed in range(20):
        every = verifying.cadence(60, 3)
        steps = verifying.moments(60, 3, every, seed)
        assert len(set(steps)) == 3 and steps == sorted(steps) and steps[0] >= every
        assert all((step + 1) % every for step in steps)
    assert verifying.moments(60, 3, 5, 1) == verifying.moments(60, 3, 5, 1)
    assert verifying.moments(3, 2, verifying.cadence(3, 2), 0) != []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vae-digits", "--steps", "3", "--kills", "3"], "too few for 3 kills"),
        (["vae-digits", "--set", "train.minutes=1"], "give one with --steps N"),
        (["vae-digitz"], "did you mean 'vae-digits'"),
    ],
)
def test_what_cannot_be_verified_is_told_before_anything_is_trained(call, words, message):
    status, _, err = call("verify-resume", *words)
    assert status == 2 and message in err


@pytest.fixture
def kept(tmp_path):
    def keep(run, **more):
        tables = configs.read_toml(run / "config.toml")
        found = dict(
            passed=True, model="vae", dataset="digits", settings=proof.digest(tables), steps=60, kills=3, seed=0,
            device="cpu",
        )  # fmt: skip
        return proof.keep(proof.Proof(**(found | more)))

    return keep


def test_a_proof_is_found_by_every_run_that_it_is_about(tmp_path, kept, monkeypatch):
    run, same, other = (
        fake_worker.make_run(tmp_path, "vae-digits", *more)
        for more in ((), ("train.steps=7", "train.seed=3", "name=other"), ("model.latent=3",))
    )
    assert proof.of(run) is None
    kept(run)
    assert proof.of(run).passed and "3 kills in 60 steps" in proof.of(same).words
    assert proof.of(other) is None and proof.of(tmp_path) is None
    kept(run, passed=False, difference="weights: mean differs")
    assert "weights: mean differs" in proof.of(run).words  # in place of the one before
    log = event_log.EventWriter(run / "events.jsonl")
    log.write(events.Plan(steps=1, steps_per_epoch=1, batch_size=1, device="cuda:0 NVIDIA H200"))
    log.close()
    proof._device_of.cache_clear()
    assert proof.of(run) is None  # nobody tried there
    kept(run, device=proof.kind_of("cuda:1 NVIDIA H200"))
    assert proof.of(run).passed and proof.of(same).device != "cpu"


def test_a_proof_ends_with_the_version_and_with_the_model_s_file(tmp_path, kept, monkeypatch):
    run, file = fake_worker.make_run(tmp_path, "vae-digits"), tmp_path / "mine.py"
    file.write_text("one")
    kept(run, sources=proof.sums([str(file), "built in"]))
    assert proof.of(run) is not None
    file.write_text("two")
    assert proof.of(run) is None
    kept(run)
    assert proof.of(run) is not None
    monkeypatch.setattr(proof, "__version__", "99")
    proof._known.cache_clear()
    assert proof.of(run) is None


def test_the_verdict_is_told_and_nothing_is_left(call, tmp_path, monkeypatch):
    """The command around it, with a verdict from elsewhere: what it prints, keeps and removes."""

    def verify(reference, trial, dies_at, trainer, compare):
        assert configs.read_toml(reference / "config.toml")["preview"]["every_seconds"] == 0
        kills = [verifying.Kill(step, step - 1) for step in dies_at]
        return verifying.ResumeCheck(kills, "cpu (1 thread)", differences=["weights: mean differs"], metric="vae/loss")

    monkeypatch.setattr(verify_resume.verifying, "verify", verify)
    status, out, _ = call("verify-resume", "vae-digits", "--steps", "30", "--kills", "2", "--seed", "4")
    assert status == 1 and "first tensor that differs: weights: mean differs" in out and "before the first kill" in out
    assert not list(runs.default_root().glob(".verify*"))
    made = fake_worker.make_run(None, "vae-digits")
    assert proof.of(made).difference == "weights: mean differs"
    status, out, _ = call("verify-resume", str(made), "--steps", "30", "--kills", "2", "--seed", "4", "--json")
    told = json.loads(out)
    assert status == 1 and told["passed"] is False and [kill["resumed"] for kill in told["kills"]]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 143)])
def test_a_signal_ends_it_with_the_status_that_it_gives_every_command(call, monkeypatch, number, status):
    def interrupted(*_):
        raise verify_resume.Interrupted(number)

    monkeypatch.setattr(verify_resume.verifying, "verify", interrupted)
    given, _, err = call("verify-resume", "vae-digits", "--steps", "30", "--kills", "2")
    assert given == status and "interrupted: nothing is left running" in err
    assert not list(runs.default_root().glob(".verify*"))


def test_a_worker_for_it_dies_with_whoever_started_it(tmp_path):
    run = fake_worker.make_run(tmp_path, "vae-digits", "train.steps=1000000", "train.device=cpu")
    process = verifying.start(run, False, None, [])
    process.stdin.close()
    assert process.wait(60) == -9
    assert not runs.live(run) and presence.process_state(process.pid) == ""
