"""Real runs that need another: trained first, stopped, killed, resumed, and what is left when the other is deleted."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from tests import small_runs
from tests.waiting import wait_for
from tui_gen import catalog, control, dependencies, events, launch, runs, trust
from tui_gen import config as configs
from tui_gen.app.panes.form.state import FormState
from tui_gen.app.steering.session import Session
from tui_gen.events import Progress, Uses
from tui_gen.train.offline.restore import restore
from tui_gen.train.run import checkpoints
from tui_gen.train.run.first import First
from tui_gen.train.run.warm import check
from tui_gen.train.run.worker import Worker
from tui_gen.view import RunView

FIRST = small_runs.FIRST
ENDLESS = FIRST.replace("train.steps=12", "train.steps=100000000")


START = launch.start


class InThread:
    """A worker in a thread of this process, which is sooner there than a process."""

    def __init__(self, path, *, resume=False, model_dirs=None):
        self.thread = threading.Thread(target=Worker(path, resume).train, daemon=True)
        self.thread.start()

    def poll(self):
        return None if self.thread.is_alive() else 0


@pytest.fixture
def root(world, monkeypatch):
    monkeypatch.setattr(launch, "start", InThread)
    return world / "runs"


def make(root, first=FIRST, **overrides):
    return small_runs.make_run(root, "latent-diffusion", model__first_stage=first, train__steps=8, **overrides)


def trained(path, resume=False):
    """Train a run in this process; its view."""
    Worker(path, resume).train()
    return viewed(path)


def viewed(path):
    view = RunView(path)
    view.poll()
    return view


def lines(path):
    return [events.decode(line) for line in (path / "events.jsonl").read_bytes().splitlines()]


def used(path):
    """The events that tell which runs a run uses."""
    return [one for one in lines(path) if isinstance(one, Uses)]


def first_of(path):
    return dependencies.begun(path, "model.first_stage")


def weights(path, step=8):
    return load_file(checkpoints.directory(path, step) / "model.safetensors")


def assert_same(one, two):
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_a_recipe_is_trained_first_as_a_run_of_its_own_and_written_down(root):
    path = make(root)
    view = trained(path)
    assert (view.state, view.step) == ("finished", 8), view.reason
    first = first_of(path)
    assert runs.state_of(first) == ("finished", 12, "") and not runs.live(first)
    assert {one.path for one in runs.list_runs(root)} == {str(path), str(first)}
    planned, taken = used(path)
    assert (planned.asked, planned.step, taken.asked, taken.step) == (FIRST, None, FIRST, 12)
    tables = configs.read_toml(path / "config.toml")
    assert tables["model"]["first_stage"] == f"{first}@12"
    assert configs.read_toml(first / "config.toml")["dataset"] == tables["dataset"]
    log = "\n".join(text for _, _, text in view.log)
    assert f"{first.name} is trained first" in log and f"{first.name} has finished at step 12" in log
    assert any(text.startswith("checkpoint at step 0 (holds") for _, _, text in view.log)
    told = [one for one in lines(path) if isinstance(one, Progress) and one.what == f"training {first.name} first"]
    assert (told[-1].done, told[-1].total, told[-1].unit) == (12, 12, "steps")
    held = {name: tensor for name, tensor in weights(path).items() if name.startswith("first_stage.")}
    assert_same(held, {f"first_stage.{name}": tensor for name, tensor in weights(first, 12).items()})
    # the config as it is now says which: a run of it takes the very same checkpoint, and trains nothing first
    again = trained(small_runs.make_run(root, "latent-diffusion", model__first_stage=f"{first}@12", train__steps=8))
    assert again.state == "finished" and len(runs.list_runs(root)) == 3
    assert_same(weights(again.path), weights(path))


def test_resume_is_exact_when_the_first_run_is_gone(root):
    path = make(root, checkpoint__every_steps=5, checkpoint__keep_last=9)
    trained(path)
    whole = weights(path)
    runs.delete(first_of(path))
    for step in (0, 5):  # right after the first stage, and in the middle
        for later in checkpoints.complete(path):
            if later[0] > step:
                checkpoints.shutil.rmtree(later[1])
        view = trained(path, resume=True)
        assert view.state == "finished", view.reason
        assert_same(weights(path), whole)
    found = restore(path, device="cpu")
    assert_same({k: v for k, v in found.model.state_dict().items() if k in whole}, load_file(
        checkpoints.directory(path, 8) / "ema.safetensors"
    ))  # fmt: skip
    assert found.model.sample(torch.randn(3, *found.model.noise_shape)).shape == (3, 1, 8, 8)


def test_a_run_is_used_as_its_averaged_weights_are(root):
    first = small_runs.make_run(root, "vae", train__steps=6, train__ema=0.9)
    trained(first)
    view = trained(make(root, "latest"))
    assert view.state == "finished", view.reason
    average = load_file(checkpoints.directory(first, 6) / "ema.safetensors")
    held = weights(view.path)
    assert all(torch.equal(held[f"first_stage.{name}"], tensor) for name, tensor in average.items())


def stopped_while_first_trains(path, ask, resume=False):
    """Train `path` in a thread, and once its first run makes steps, do `ask(first)`; the view when it has ended."""
    thread = threading.Thread(target=Worker(path, resume).train, daemon=True)
    thread.start()
    first = wait_for(lambda: first_of(path), 60, "the first run")
    wait_for(lambda: runs.state_of(first)[1] > 3, 60, lambda: f"its steps; {runs.state_of(first)}")
    ask(first)
    wait_for(lambda: not thread.is_alive(), 60, "the end of the waiting run")
    return viewed(path), viewed(first)


def test_stopping_the_waiting_run_stops_the_first_with_a_checkpoint_and_resume_goes_on_with_it(root):
    path = make(root, ENDLESS)

    def ask(first):
        for op, state in (("pause", "paused"), ("resume", "starting")):
            launch.ask_run(path, op)
            wait_for(lambda state=state: runs.state_of(path)[0] == state, 60, state)
            other = {"paused": "paused", "starting": "running"}[state]
            wait_for(lambda other=other: runs.state_of(first)[0] == other, 60, other)
        with pytest.raises(control.ControlError, match="still preparing"):
            launch.ask_run(path, "edit", key="model.guidance", value=1)
        assert launch.ask_run(path, "stop").data["step"] > 3

    view, first = stopped_while_first_trains(path, ask)
    assert view.state == first.state == "stopped" and "while" in view.reason and first.path.name in view.reason
    assert first.checkpoints[-1].step == first.step > 3
    assert any("is paused at step" in text for _, _, text in view.log)
    text = (first.path / "config.toml").read_text()
    (first.path / "config.toml").write_text(text.replace("steps = 100000000", f"steps = {first.step + 4}"))
    after = trained(path, resume=True)
    assert after.state == "finished", after.reason
    assert viewed(first.path).step == first.step + 4
    assert len(runs.list_runs(root)) == 2 and [one.step for one in used(path)] == [None, first.step + 4]


def test_a_first_run_that_is_stopped_by_itself_stops_the_one_that_waits(root):
    view, first = stopped_while_first_trains(make(root, ENDLESS), lambda first: launch.ask_run(first, "stop"))
    assert view.state == "stopped" and f"{first.path.name}, which is trained first" in view.reason


def test_a_first_run_that_fails_fails_the_one_that_waits_with_its_reason(root):
    view = trained(make(root, FIRST + " train.phases.vae.lr=10 train.phases.vae.optimizer=sgd train.steps=200"))
    assert view.state == "failed" and "which is trained first for model.first_stage, failed" in view.reason
    assert "nan" in view.reason.lower() or "finite" in view.reason, view.reason


@pytest.mark.parametrize("accepted", [False, True])
def test_a_stop_is_handed_on_and_obeyed_only_where_it_is_accepted(tmp_path, monkeypatch, accepted):
    """A run that must not stop now (a full disk, say) keeps the one that waits for it from stopping, too."""
    outer = Worker(tmp_path / "outer", False)
    outer.first = First(tmp_path / "inner", print)
    asked = []

    def answer(path, op, **_):
        asked.append((path.name, op))
        if not accepted:
            raise control.ControlError("the disk is full")
        return SimpleNamespace(data={"step": 3})

    monkeypatch.setattr(launch, "ask_run", answer)
    request = control.Request({"op": "stop"})
    assert outer._immediate(request) and asked == [("inner", "stop")]
    told = request.wait()[0]
    assert (told["ok"], outer.stop_reason) == ((True, "on request") if accepted else (False, ""))
    assert told.get("step") == 3 if accepted else "the disk is full" in told["error"]


def test_a_stop_before_the_first_run_can_answer_reaches_its_process(tmp_path):
    sent = []
    process = SimpleNamespace(send_signal=sent.append, poll=lambda: 0 if sent else None)
    first = First(tmp_path / "inner", print)
    first._process = process
    first.wait(lambda: "by SIGTERM")
    assert sent == [signal.SIGTERM] and first.may_take_its_time


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", "its worker.log may say why"),
        ("x\nwarning: cannot write in /r: No space left; it waits\n", "cannot write in /r: No space"),
    ],
)
def test_a_first_run_that_does_not_come_up_is_told_by_the_one_that_waits(tmp_path, monkeypatch, log, words):
    """It waits for room to take its lock, before it can be asked."""
    outer = Worker(tmp_path / "outer", False)
    outer.first = first = First(tmp_path / "inner", print)
    first.path.mkdir()
    (first.path / "worker.log").write_text(log)
    first._process = SimpleNamespace(poll=lambda: None)

    def status():
        request = control.Request({"op": "status"})
        assert outer._immediate(request)
        return request.wait()[0]["trouble"]

    first._begun = time.monotonic()
    assert status() == "", "it may be coming up"
    monkeypatch.setattr("tui_gen.train.run.first.COMING_UP", 0.0)
    assert words in status() and "inner, which is trained first, has not come up" in status()
    first._process = SimpleNamespace(poll=lambda: 1)
    assert status() == "", "it has ended"


def test_a_stop_that_comes_as_the_first_run_ends_stops_the_one_that_waits(root, monkeypatch):
    path = make(root)
    outer, wait = Worker(path, False), First.wait

    def wait_and_hear(first, stopping):
        wait(first, stopping)
        outer.ask_to_stop("on request")

    monkeypatch.setattr(First, "wait", wait_and_hear)
    outer.train()
    view = viewed(path)
    assert (view.state, view.step) == ("stopped", 0) and "on request, while" in view.reason
    assert runs.state_of(first_of(path))[0] == "finished"


def test_a_first_run_without_a_checkpoint_is_told_and_one_that_is_damaged_is_passed_over(root):
    path = make(root, FIRST + " checkpoint.every_steps=5 checkpoint.keep_last=9")
    trained(path)
    first = first_of(path)
    text = (path / "config.toml").read_text()
    (path / "config.toml").write_text(text.replace(f"{first}@12", FIRST))  # as it was before the first had finished
    checkpoints.shutil.rmtree(path / "checkpoints")
    damaged = checkpoints.directory(first, 12) / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    view = trained(path, resume=True)
    assert view.state == "finished", view.reason
    assert used(path)[-1].step == 10 and any("000012 is damaged" in words for _, _, words in view.log)
    for folder in (path, first):
        checkpoints.shutil.rmtree(folder / "checkpoints")
    (path / "config.toml").write_text(text.replace(f"{first}@12", FIRST))
    view = trained(path, resume=True)
    assert any("has no checkpoint that can be used; once it is deleted" in words for _, _, words in view.log), view.log
    runs.delete(first)
    assert trained(path, resume=True).state == "finished"


def test_a_first_run_outlives_the_one_that_waits_and_a_resume_goes_on_with_it(root):
    path = make(root, FIRST.replace("train.steps=12", "train.steps=100000000") + " checkpoint.every_steps=20")
    process = START(path)
    try:
        first = wait_for(lambda: first_of(path), 120, lambda: str(runs.last_log_lines(path)))
        wait_for(lambda: checkpoints.complete(first), 120, "a checkpoint of the first run")
        assert {runs.state_of(one)[0] for one in (path, first)} == {"starting", "running"}
        wait_for(lambda: any(isinstance(one, Progress) for one in lines(path)), 60, "how far it is")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(120)
    assert (runs.state_of(path)[0], runs.state_of(first)[0]) == ("interrupted", "running")

    def ask(first):
        wait_for(lambda: any("goes on first" in str(one) for one in lines(path)), 60, "the resumed run to wait for it")
        launch.ask_run(first, "stop")

    view, _ = stopped_while_first_trains(path, ask, resume=True)
    assert view.state == "stopped" and f"{first.name}, which is trained first" in view.reason
    text = (first / "config.toml").read_text()
    (first / "config.toml").write_text(text.replace("steps = 100000000", "steps = 3"))
    view = trained(path, resume=True)  # it has made more than 3 steps: it is finished at once, and was not begun anew
    assert view.state == "finished", view.reason
    assert first_of(path) == first and len(runs.list_runs(root)) == 2 and viewed(first).step >= 20


REFUSED = [
    ({"dataset__size": 16}, "was trained on 8×8 grey images (digits), but this run has 16×16 grey images"),
    ({"dataset__name": "shapes", "dataset__size": 8}, "but this run has 8×8 RGB images (shapes)"),
    ({"model__network": "unet"}, "model.network = unet: needs maps of codes"),
]


@pytest.mark.parametrize(("overrides", "words"), REFUSED)
def test_data_that_do_not_match_are_refused_before_the_run_and_by_its_worker(root, overrides, words):
    made, classes = small_runs.built()
    first = small_runs.make_run(root, "vae", train__steps=1)
    trained(first)
    path = make(root, f"{first}@1", **overrides)
    problems = check(configs.read_toml(path / "config.toml"), made, classes)
    assert any(words in str(configs.Problem(**problem)) for problem in problems), problems
    view = trained(path)
    assert view.state == "failed" and words in view.reason
    assert "Traceback" not in (path / "events.jsonl").read_text()


def test_what_a_recipe_cannot_do_with_the_data_is_told_before_the_run(root):
    made, classes = small_runs.built()
    path = make(root, "conv-vae-digits model.channels=[4,4,4,4,4]")
    (problem,) = check(configs.read_toml(path / "config.toml"), made, classes)
    assert problem["key"] == "model.first_stage" and "halves the image 5 times" in problem["message"]


def test_a_conditional_first_stage_needs_labels_from_those_who_draw_its_codes(root):
    made, classes = small_runs.built()
    path = make(root, FIRST + " model.conditional=true")
    (problem,) = check(configs.read_toml(path / "config.toml"), made, classes)
    assert problem["key"] == "model.conditional" and "must be drawn with them" in problem["message"]
    view = trained(make(root, FIRST + " model.conditional=true", model__conditional=True))
    assert view.state == "finished", view.reason


def test_a_run_that_is_gone_is_told(root):
    view = trained(make(root, "/no/such/run@5"))
    assert view.state == "failed" and "/no/such/run is no run" in view.reason


USERS = """
from typing import Annotated

import msgspec
import torch

from tui_gen.model import Model, Optim, Phase, hyper


class Probe(Model):
    name = "probe"
    optimizers = {"probe": Optim()}

    class Config(msgspec.Struct):
        base: Annotated[str, hyper("Whose codes are looked at", run=("encode",))] = "vae-digits"

    def __init__(self, config, data, base):
        super().__init__(config, data)
        self.base = base
        self.head = torch.nn.Linear(4, len(data.classes))

    def phases(self):
        return [Phase("probe", self.loss, self.head.parameters())]

    def loss(self, batch):
        logits = self.head(self.base.encode(batch.x, None))
        return torch.nn.functional.cross_entropy(logits, batch.labels), {}

    def encode(self, x, labels=None):
        return self.head(self.base.encode(x, labels))
"""


def test_a_users_own_model_may_be_built_on_a_run(root, tmp_path):
    (tmp_path / "probe.py").write_text(USERS)
    trust.allow([tmp_path])
    text = f'model_dirs = ["{tmp_path}"]\n[model]\nname = "probe"\nbase = "{FIRST}"\n[dataset]\nlimit = 150\n'
    text += '[train]\nsteps = 3\nbatch_size = 16\ndevice = "cpu"\ncompile = "off"\nthreads = 1\n'
    view = trained(runs.create(root, "probe", text + "[preview]\nevery_seconds = 0.0\n"))
    assert view.state == "finished", view.reason
    runs.delete(dependencies.begun(view.path, "model.base"))
    model = restore(view.path, device="cpu").model
    assert model.encode(torch.zeros(2, 1, 8, 8)).shape == (2, 10) and not model.base.training


def test_runs_that_are_needed_may_need_others_and_are_all_kept(root):
    inner = f'latent-diffusion-digits train.steps=4 train.batch_size=16 model.hidden=[8] "model.first_stage={FIRST}"'
    inner += " model.conditional=true model.sample_steps=2 preview.every_seconds=0 dataset.size=8"
    path = small_runs.make_run(root, "augmented-classifier", model__generator=inner, train__steps=5)
    view = trained(path)
    assert view.state == "finished", view.reason
    generator = dependencies.begun(path, "model.generator")
    stage = dependencies.begun(generator, "model.first_stage")
    assert [runs.state_of(one)[0] for one in (generator, stage)] == ["finished", "finished"]
    origin = checkpoints.load(checkpoints.directory(path, 5)).state["parts"]["generator"]
    assert (origin["run"], origin["parts"]["first_stage"]["run"]) == (str(generator), str(stage))
    runs.delete(generator), runs.delete(stage)
    found = restore(path, device="cpu").model
    assert_same(weights(path, 5), {name: tensor for name, tensor in found.state_dict().items()})
    config = (path / "config.toml").read_text().replace("steps = 5", "steps = 7", 1)
    (path / "config.toml").write_text(config)
    assert trained(path, resume=True).state == "finished"


@pytest.mark.parametrize(
    ("value", "words"),
    [("vae-digist", "did you mean 'vae-digits'"), ("vae-digits model.latent=0", "model.latent = 0: needs")],
)
def test_the_command_line_and_the_form_tell_it_at_the_field_and_make_no_run(root, value, words):
    arguments = ["--run", "latent-diffusion-digits", "--set", f"model.first_stage={value}"]
    done = subprocess.run(
        [sys.executable, "-m", "tui_gen", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
    session = Session(root, [], catalog.read())
    form = FormState(session.catalog, session.catalog.recipes["latent-diffusion-digits"].tables)
    assert form.params["model.first_stage"].run and form.set_text("model.first_stage", value)
    assert form.problems() == []
    made, problems = session.check(form.tables())
    form.add_problems(problems)
    assert made is None and words in form.placed()["model.first_stage"]
    assert form.set_text("model.first_stage", " ") and "a run or a recipe" in form.placed()["model.first_stage"]
    assert runs.list_runs(root) == []
