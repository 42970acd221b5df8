"""After a loss that was no number: one advice, the same everywhere, and a resume that follows it."""

from __future__ import annotations

import math

import pytest
import torch

from tests import fake_worker
from tests.loop_run import Run, all_ended
from tests.shell import screen_text, until, until_shown, workbench
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import events, remedy
from tui_gen.config import Optim, TrainConfig
from tui_gen.log import event_log
from tui_gen.params import parse
from tui_gen.report import headless
from tui_gen.report.summary import ending
from tui_gen.train.cutting import Stopped
from tui_gen.train.run.alerts import QUIET, Health
from tui_gen.view import RunView

LR = "train.phases.vae.lr"
NAN = float("nan")


@pytest.fixture
def start(tmp_path):
    made = []

    def begin(**overrides):
        made.append(Run(tmp_path, **overrides))
        return made[-1]

    yield begin
    all_ended(made)


def metrics(start=0, **columns):
    return events.Metrics(start=start, values={name.replace("__", "/"): column for name, column in columns.items()})


# -- the alert


def test_measurements_of_health_raise_no_alert_of_their_own():
    alerts = Health(TrainConfig(phases={"vae": Optim()})).look(
        [events.Metrics(start=100, values={"health/grad_norm/encoder": [float("nan")]})]
    )
    assert alerts == []


def test_one_alert_tells_of_everything_that_is_no_number_and_which_rates_led_there():
    health = Health(TrainConfig(phases={"g": Optim(lr=0.2), "d": Optim(lr=0.03), "e": Optim()}))
    calm = metrics(0, g__loss=[1.0] * 200, d__loss=[1.0] * 200, e__loss=[1.0] * 200)
    assert health.look([calm]) == []
    # the losses rise before they break: that is no news of its own
    broken = metrics(200, d__loss=[1, 900, NAN], d__r1=[1, NAN, NAN], g__loss=[1, 1, NAN], e__loss=[1, 1, 1])
    (alert,) = health.look([broken, metrics(202, val__d__loss=[NAN])])
    assert (alert.step, alert.level, alert.where) == (202, "error", "d/loss and 3 more")
    assert alert.rates == {"train.phases.d.lr": 0.03, "train.phases.g.lr": 0.2}
    assert "train.phases.g.lr = 0.1 (it was 0.2), train.phases.d.lr = 0.015 (it was 0.03)" in alert.advice
    assert health.failure == "d/loss is not finite at step 203"
    assert health.look([metrics(203, g__loss=[NAN], d__loss=[NAN])]) == []
    assert len(health.look([metrics(203 + QUIET, d__loss=[NAN])])) == 1  # where a run goes on with it


def test_a_loss_that_was_never_a_number_is_not_put_down_to_a_rate():
    (alert,) = Health(TrainConfig(phases={"vae": Optim()})).look([metrics(vae__loss=[NAN, NAN])])
    assert not alert.rates and "no learning rate is to blame" in alert.advice


def test_a_figure_that_is_no_number_beside_a_loss_that_is_ends_nothing():
    health = Health(TrainConfig(phases={"vae": Optim()}))
    (alert,) = health.look([metrics(5, vae__loss=[1.0], vae__snr=[NAN], val__vae__loss=[NAN])])
    assert (alert.level, alert.rates, health.failure) == ("warning", {}, "") and "Training goes on" in alert.advice


@pytest.mark.parametrize(("step", "now"), [(1, 0.03), (remedy.EARLY - 1, 0.03), (remedy.EARLY, 0.15), (10**6, 0.15)])
def test_a_rate_is_a_tenth_early_and_half_later_and_reads_back(step, now):
    found = remedy.smaller({LR: 0.3}, step)
    assert found.now == {LR: now}
    key, _, text = found.assignments[0].partition("=")
    known = configs.keys("vae", "digits", catalogs.read())
    assert key == LR and parse(known[key], text) == now
    assert found.options == f"--set {LR}={text}"


@pytest.mark.parametrize("rate", [1e-12, 3.3333e-7, 0.1 + 0.2, 10.0, 2.0])
@pytest.mark.parametrize("step", [3, 3000])
def test_every_rate_has_a_smaller_one_that_can_be_typed(rate, step):
    found = remedy.smaller({LR: rate}, step)
    assert 0 < found.now[LR] < rate
    assert float(found.assignments[0].partition("=")[2]) == found.now[LR]


def test_only_what_a_resume_would_do_again_is_mended(tmp_path):
    first = events.Alert(step=60, level="error", what="the loss is not finite", rates={LR: 0.4})
    later = events.Alert(step=700, level="error", what="the loss is not finite", rates={LR: 0.4})
    old = events.Alert(step=60, level="error", what="the value is not finite")
    saved = [events.Checkpoint(step=step, path=f"checkpoints/{step:06d}", reason="test") for step in (50, 200)]
    assert remedy.find([first, later], saved[:1]).step == 60  # the rate that broke it, not one from long after
    assert remedy.find([first], saved) is None and remedy.find([old], saved[:1]) is None
    assert remedy.find([first], []).now == {LR: 0.04}
    run = fake_worker.make_run(tmp_path)
    writer = event_log.EventWriter(run / "events.jsonl")
    writer.write(saved[0], first)
    assert remedy.read(run) == remedy.find([first], saved[:1])
    writer.write(events.Resume(step=50))
    assert remedy.read(run) is None
    writer.close()


# -- the run


def test_a_run_that_breaks_is_resumed_by_the_words_of_its_last_lines_and_trains(start, capsys):
    sizes = {"train__steps": 40, "train__compile": "off", "model__likelihood": "gaussian"}
    broken = start(**sizes, train__phases={"vae": {"optimizer": "sgd", "lr": 0.05}})
    broken.thread.start()
    view = broken.finish()
    assert view.state == "failed" and view.reason == broken.loop.health.failure and not view.checkpoints
    assert len([one for one in view.alerts if "finite" in one.what]) == 1
    line = next(line for line in ending(view, "failed") if "go on" in line)
    assignments = line.split(" --set ")[1:]
    assert assignments == [f"{LR}=0.005"]
    config = headless.continued(broken.path, [], "", [])
    words = capsys.readouterr().err
    assert "warning: its loss broke at step" in words and f"--set {LR}=0.005" in words and not config.edits
    config = headless.continued(broken.path, assignments, "", [])
    assert "warning" not in capsys.readouterr().err and config.edits == [{"step": 0, "key": LR, "value": 0.005}]
    phases = {"vae": {"optimizer": "sgd", "lr": 0.05}}
    again = start(path=broken.path, resume=True, **sizes, train__phases=phases, edits=config.edits)
    again.thread.start()
    view = again.finish()
    assert view.state == "finished" and math.isfinite(view.series["vae/loss"].values[-1])
    assert remedy.find(view.alerts, view.checkpoints) is None


def test_a_rate_that_was_raised_after_the_checkpoint_is_not_raised_again(tmp_path, capsys):
    run = fake_worker.record(fake_worker.make_run(None, "vae-digits", "train.steps=1000"), steps=300, state="failed")
    writer = event_log.EventWriter(run / "events.jsonl")
    for step, old, new in ((310, 1e-3, 0.5), (320, 0.5, 2.0), (360, 2.0, 0.1)):
        writer.write(events.Edit(step=step, key=LR, old=old, new=new))
    writer.write(events.Alert(step=330, level="error", what="the loss is not finite", rates={LR: 2.0}))
    writer.write(events.State(state="failed", step=340, reason="vae/loss is not finite at step 330"))
    writer.close()
    config = headless.continued(run, [f"{LR}=1", "model.beta=2"], "", [])
    assert [(one["step"], one["value"]) for one in config.edits if one["key"] == LR] == [(300, 1), (310, 1), (320, 1)]
    assert "counts until step 360" in capsys.readouterr().err  # what was set later still is


@pytest.mark.parametrize("mode", ["stop", "continue"])
def test_weights_that_are_no_numbers_are_never_kept(start, mode):
    """The loss that an update was made from can be finite and what comes of it not: no loss has told it yet."""
    run = start(train__steps=50, train__on_nan=mode)
    run.loop.checkpoint("good")
    run.trainer.train_step()
    with torch.no_grad():
        next(iter(run.trainer.parameters["vae"])).view(-1)[0] = NAN
    if mode == "stop":
        with pytest.raises(Stopped, match="the weights are not finite after step 1") as ended:
            run.loop.checkpoint("bad")
        assert ended.value.state == "failed"
    else:
        assert run.loop.checkpoint("bad") is None
    run.view.poll()
    assert [one.reason for one in run.view.checkpoints] == ["good"]
    assert remedy.find(run.view.alerts, run.view.checkpoints).was == {LR: run.trainer.optims["vae"].lr}
    if mode == "continue":
        assert run.loop.checkpoint("bad") is None and len(run.view.alerts) == 1


# -- the workbench


def broken_run(root=None):
    run = fake_worker.record(fake_worker.make_run(root, "vae-digits", "train.steps=1000"), steps=300, state="failed")
    writer = event_log.EventWriter(run / "events.jsonl")
    alert = events.Alert(step=310, level="error", what="the loss is not finite", where="vae/loss", rates={LR: 0.5})
    alert.advice = remedy.advice(alert.rates, alert.step, True)
    writer.write(alert, events.State(state="failed", step=320, reason="vae/loss is not finite at step 310"))
    writer.close()
    return run


@pytest.mark.parametrize(("size", "key", "rate"), [((80, 24), "r", 0.25), ((120, 40), "a", None)])
async def test_resume_in_the_workbench_offers_the_smaller_rate(monkeypatch, size, key, rate):
    run = broken_run()
    fake_worker.install(monkeypatch, steps=100_000)
    async with workbench(monkeypatch, size, open_run=run) as (app, pilot):
        await until(pilot, lambda: app.conductor.view is not None)
        for answer in ("escape", key):
            assert app.conductor.view.state == "failed"
            app.action_resume()
            await until_shown(pilot, "its loss is not finite", f"{LR} = 0.25", "(it was 0.5)", "checkpoint at 300")
            await pilot.press(answer)
            await until(pilot, lambda: len(app.screen_stack) == 1)
        await until(pilot, lambda: app.conductor.view.state == "running")
        edits = configs.read_toml(run / "config.toml").get("edits", [])
        assert edits == ([] if rate is None else [{"step": 300, "key": LR, "value": rate}])


async def test_a_run_that_breaks_before_ones_eyes_is_told_of_once(monkeypatch):
    run = fake_worker.make_run(None, "vae-digits", "train.steps=1000")
    fake_worker.install(monkeypatch)
    async with workbench(monkeypatch, (120, 40), open_run=run) as (app, pilot):
        fake_worker.start(run, rate=100, hold=50)
        await until(pilot, lambda: app.conductor.view is not None and app.conductor.view.state == "running")
        writer = event_log.EventWriter(run / "events.jsonl")
        alert = events.Alert(step=20, level="error", what="the loss is not finite", where="vae/loss", rates={LR: 0.5})
        alert.advice = remedy.advice(alert.rates, alert.step, True)
        writer.write(alert, events.State(state="failed", step=50, reason="vae/loss is not finite at step 20"))
        writer.close()
        await until_shown(pilot, "Vae/loss is not finite at step 20.", "Resume with it", f"{LR} = 0.05")
        app.conductor.beat(0.0)
        assert not [words for words in app.told if "finite" in words]
        screen = screen_text(app)
        assert screen.count("= 0.05") <= 2  # the dialog, and the line in the log
        fake_worker.release(run)


def test_the_last_lines_of_a_run_name_the_command():
    run = broken_run()
    view = RunView(run)
    view.read_all()
    lines = ending(view, view.state)
    assert any(line.strip().startswith("go on") and line.endswith(f"--set {LR}=0.25") for line in lines)
