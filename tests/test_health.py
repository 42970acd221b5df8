"""Is it going well? Every alarm on made curves, on both sides of its threshold; figures, courses, and models' own."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import events
from tui_gen.alarms import EVERY, Alarm, Bound, faults, value_of
from tui_gen.catalog import Aim, entry_named
from tui_gen.draw.series import Series
from tui_gen.verdicts import health, trends
from tui_gen.view import RunView

CATALOG = catalogs.read()


def noisy(values, spread=0.01):
    values = np.asarray(values, dtype=float)
    return values + spread * np.random.default_rng(0).standard_normal(len(values))


def falling(count=2000, start=1.0, end=0.2, spread=0.01):
    return noisy(end + (start - end) * np.exp(-np.arange(count) / (count / 8)), spread)


def run(tmp_path, *, state="running", steps=0, judged=(), edits=(), **curves) -> RunView:
    """A run with these curves: values of every step, or (steps, values)."""
    view = RunView(tmp_path)
    for name, values in curves.items():
        at, values = values if isinstance(values, tuple) else (np.arange(1, len(values) + 1), values)
        view.series[name] = Series(name, at, values)
    view.step = int(max(curve.steps[-1] for curve in view.series.values()))
    view.state = state
    view.edits = list(edits)
    view.plan = events.Plan(steps=steps or 2 * view.step, steps_per_epoch=100, batch_size=1, judged=list(judged))
    return view


def stated(model, *, aim=None, steps=0, **settings) -> health.Declared:
    entry = CATALOG.models[model]
    values = {f"model.{param.name}": param.default for param in entry.params}
    aims = (aim,) if aim is not None else ()
    return health.Declared(entry, values | {f"model.{key}": value for key, value in settings.items()}, aims, steps)


def said(view, known) -> health.Verdict:
    verdict = health.judged(view, known)
    assert verdict is not None and "{" not in verdict.sentence + verdict.advice
    return verdict


def vae(tmp_path, active=20.0, **curves):
    return run(tmp_path, **{"vae/loss": falling(), "vae/reconstruction": falling(), "vae/active_units": [active] * 2000,
                            **curves})  # fmt: skip


def test_nothing_is_said_before_the_first_value(tmp_path):
    assert health.judged(RunView(tmp_path), stated("vae")) is None


@pytest.mark.parametrize(
    ("active", "level", "words"),
    [
        (0.0, "bad", "posterior collapse"), (1.0, "watch", "1 of 20 units active: β = 1 is too strong"),
        (9.0, "watch", "9 of 20 units active"), (11.0, "good", "11 of 20 units active"),
    ],
)  # fmt: skip
def test_a_vaes_active_units(tmp_path, active, level, words):
    verdict = said(vae(tmp_path, active), stated("vae"))
    assert verdict.level == level and verdict.sentence.startswith(words)
    assert bool(verdict.advice) == (level != "good")


def test_units_are_given_time_to_become_active(tmp_path):
    few = {"vae/loss": falling(900), "vae/active_units": [4.0] * 900}
    assert said(run(tmp_path, **few), stated("vae")).level == "good"


@pytest.mark.parametrize(("spread", "level"), [(1.4, "good"), (1.6, "watch")])
def test_a_beta_that_is_too_weak(tmp_path, spread, level):
    view = vae(tmp_path, **{"health/code_spread": ([500, 1000, 1500], [spread] * 3)})
    verdict = said(view, stated("vae", beta=0.01))
    assert verdict.level == level and ("β = 0.01 is too weak" in verdict.sentence) == (level == "watch")


def test_a_setting_that_was_edited_is_named_as_it_is_now(tmp_path):
    view = vae(tmp_path, 4.0)
    view.edits = [events.Edit(step=100, key="model.beta", old=1.0, new=8.0)]
    assert "β = 8 is too strong" in said(view, stated("vae")).sentence


def test_a_warm_up_raises_the_loss_without_alarm(tmp_path):
    rising = np.concatenate([falling(1000), np.linspace(0.2, 1.0, 1000)])
    curves = {"vae/reconstruction": noisy(rising), "vae/loss": noisy(rising)}
    assert said(vae(tmp_path, **curves), stated("vae", kl_warmup=2000)).level == "good"
    verdict = said(vae(tmp_path, **curves), stated("vae"))
    assert verdict.level == "bad" and "reconstructions are worse since step" in verdict.sentence


def gan(tmp_path, diversity=0.9, real=0.6, fake=0.4, **curves):
    name = "discriminator"
    return run(
        tmp_path,
        **{"generator/loss": noisy([0.7] * 2000), f"{name}/loss": noisy([1.4] * 2000),
           f"{name}/diversity": noisy([diversity] * 2000), f"{name}/D_real": noisy([real] * 2000, 0.001),
           f"{name}/D_fake": noisy([fake] * 2000, 0.001), **curves},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("figures", "level", "words"),
    [
        ({"diversity": 0.05}, "bad", "mode collapse"), ({"diversity": 0.3}, "watch", "little diversity"),
        ({"real": 0.99, "fake": 0.01}, "bad", "D wins: it takes 99% of real"), ({"real": 0.9, "fake": 0.1}, "good", ""),
    ],
)  # fmt: skip
def test_a_gans_scores_and_diversity(tmp_path, figures, level, words):
    verdict = said(gan(tmp_path, **figures), stated("gan"))
    assert verdict.level == level and verdict.sentence.startswith(words)


@pytest.mark.parametrize(
    ("loss", "balance", "level", "words"),
    [
        ("hinge", 0.999, "bad", "D wins"), ("hinge", 0.98, "good", "in balance: D is right in 98%"),
        ("hinge", 0.3, "watch", "G wins"), ("hinge", 0.5, "good", "in balance"),
        ("wasserstein-gp", 0.999, "good", ""),
    ],
)  # fmt: skip
def test_a_gans_balance(tmp_path, loss, balance, level, words):
    view = gan(tmp_path, **{"health/balance": ([500, 1000, 1500], [balance] * 3)})
    verdict = said(view, stated("gan", loss=loss))
    assert verdict.level == level and verdict.sentence.startswith(words)


def test_one_odd_measurement_is_no_alarm(tmp_path):
    values = [0.7, 0.7, 0.7, 0.7, 0.2]
    view = gan(tmp_path, **{"health/balance": (np.arange(1, 6) * 300, values)})
    assert said(view, stated("gan")).sentence.startswith("in balance: D is right in 70%")


def test_one_band_of_times_that_goes_wrong(tmp_path):
    bands = {f"ddpm/loss_{name}": falling() for name in ("0-25%", "25-50%", "50-75%", "75-100%")}
    assert said(run(tmp_path, **{"ddpm/loss": falling()}, **bands), stated("ddpm")).level == "good"
    bands["ddpm/loss_0-25%"] = noisy(np.concatenate([falling(1000), np.linspace(0.2, 1.2, 1000)]))
    verdict = said(run(tmp_path, **{"ddpm/loss": falling()}, **bands), stated("ddpm"))
    assert verdict.level == "bad" and verdict.sentence.startswith("the loss at 0-25% of the noise has risen since")


@pytest.mark.parametrize(("lag", "level"), [(0.08, "good"), (0.3, "watch")])
def test_averaged_weights_that_are_behind(tmp_path, lag, level):
    view = run(tmp_path, **{"ddpm/loss": falling(), "health/ema_lag": ([500, 1000, 1500], [lag] * 3)})
    assert said(view, stated("ddpm")).level == level


def classifier(tmp_path, val, loss=None, **curves):
    at = np.arange(1, len(val) + 1) * (2000 // len(val))
    loss = falling() if loss is None else loss
    return run(tmp_path, **{"classifier/loss": loss, "val/classifier/loss": (at, val), **curves})


def test_overfitting_is_told_from_noise(tmp_path):
    fine = noisy(falling(20, 1.0, 0.3), 0.002)
    assert said(classifier(tmp_path, fine), stated("classifier")).level == "good"
    worse = np.concatenate([falling(10, 1.0, 0.3, 1e-4), np.linspace(0.35, 0.9, 10)])
    verdict = said(classifier(tmp_path, worse), stated("classifier"))
    assert verdict.level == "watch" and verdict.sentence.startswith("overfits since step ")
    since = int(verdict.sentence.removeprefix("overfits since step ").split(":")[0].replace(",", ""))
    assert 900 <= since <= 1000


def test_what_trains_worse_too_does_not_overfit(tmp_path):
    worse = np.concatenate([falling(10, 1.0, 0.3, 1e-4), np.linspace(0.35, 0.9, 10)])
    loss = noisy(np.concatenate([falling(1000, 1.0, 0.3), np.linspace(0.3, 0.9, 1000)]))
    verdict = said(classifier(tmp_path, worse, loss), stated("classifier"))
    assert verdict.level == "bad" and "the loss of classifier has risen since step" in verdict.sentence


def test_a_loss_that_never_moved(tmp_path):
    verdict = said(run(tmp_path, **{"classifier/loss": noisy([2.3] * 1500)}), stated("classifier"))
    assert verdict.level == "watch" and "what it was at the beginning" in verdict.sentence


def measured(values):
    return np.arange(1, len(values) + 1) * 200, values


@pytest.mark.parametrize(
    ("name", "values", "level", "words"),
    [
        ("health/grad_norm/net", [1.0] * 6 + [60.0] * 4, "good", ""),
        ("health/grad_norm/net", [1.0] * 6 + [200.0] * 4, "bad", "the gradients of net explode"),
        ("health/grad_norm/net", [1.0] * 6 + [2e-3] * 4, "good", ""),
        ("health/grad_norm/net", [1.0] * 6 + [1e-5] * 4, "bad", "the gradients of net vanish"),
        ("health/update_ratio/net", [0.009] * 10, "good", ""),
        ("health/update_ratio/net", [0.05] * 10, "watch", "a step changes the weights of net by 5.0%"),
        ("health/dead_units/net", [0.6] * 10, "good", ""),
        ("health/dead_units/net", [0.8] * 10, "watch", "80% of the units in a layer of net are dead"),
    ],
)
def test_gradients_updates_and_dead_units(tmp_path, name, values, level, words):
    view = run(tmp_path, **{"classifier/loss": falling(), name: measured(values)})
    verdict = said(view, stated("classifier"))
    assert verdict.level == level and verdict.sentence.startswith(words) and (words == "" or verdict.advice)


def test_updates_are_told_small_where_there_are_gradients(tmp_path):
    small = {"health/update_ratio/net": measured([1e-7] * 10)}
    for norm, level in ((1.0, "watch"), (0.0, "good")):
        view = run(tmp_path, **{"classifier/loss": falling(), "health/grad_norm/net": measured([norm] * 10), **small})
        assert said(view, stated("classifier")).level == level


def test_a_loss_that_is_no_number_comes_before_all_else(tmp_path):
    broken = vae(tmp_path, 0.0, **{"vae/loss": [*falling(1999), float("nan")]})
    verdict = said(broken, stated("vae"))
    assert verdict.level == "bad" and "not a number" in verdict.sentence
    broken.state, broken.reason = "failed", "vae/loss is not finite\nat step 1999"
    broken.alerts = [events.Alert(step=1999, level="error", what="the loss broke", advice="Resume with less.")]
    verdict = said(broken, stated("vae"))
    assert (verdict.level, verdict.sentence) == ("bad", "it failed: vae/loss is not finite at step 1999")
    assert verdict.advice == "Resume with less."


def judged_by(tmp_path, values, *, steps, state="running", reach=-100.0):
    at = np.arange(1, len(values) + 1) * 100
    view = run(tmp_path, state=state, steps=steps, judged=("elbo",),
               **{"vae/loss": falling(100 * len(values)), "val/vae/elbo": (at, values)})  # fmt: skip
    return said(view, stated("vae", aim=Aim(reach, "val/vae/elbo", "higher"), steps=2000))


def logarithmic(count, first, slope):
    return first + slope * np.log(np.arange(1, count + 1))


def test_on_course_for_its_figure(tmp_path):
    on_course = judged_by(tmp_path, logarithmic(10, -160, 22), steps=2000)  # -109 now, -94 at the end
    assert (on_course.level, on_course.sentence) == ("good", "on course for its figure")
    assert on_course.number == "elbo -109.3 · figure ≥ -100"
    off = judged_by(tmp_path, logarithmic(10, -160, 15), steps=2000)  # -125 now, -115 at the end
    assert off.level == "watch" and off.sentence.startswith("it will miss its figure: about -11")
    assert off.advice == "It still improves: train longer"


def test_nobody_guesses_early_or_of_a_shorter_run(tmp_path):
    assert "figure" not in judged_by(tmp_path, logarithmic(5, -160, 15), steps=2000).sentence
    assert "figure" not in judged_by(tmp_path, logarithmic(10, -160, 15), steps=1000).sentence


def test_a_run_that_ended_with_and_without_its_figure(tmp_path):
    values = [-160.0, -120.0, *[-98.0, -98.2] * 9]
    verdict = judged_by(tmp_path, values, steps=2000, state="finished")
    assert (verdict.level, verdict.sentence) == ("good", "it reached its figure")
    assert verdict.number == "elbo -98.2 · best -98 at step 300 · figure ≥ -100"
    verdict = judged_by(tmp_path, values, steps=2000, state="finished", reach=-90.0)
    assert (verdict.level, verdict.sentence) == ("watch", "it missed its figure")
    assert "a larger network" in verdict.advice


@pytest.mark.parametrize(("gap", "words"), [
    (0.001, "It underfits (0.1999 in training, 0.201 in validation): "), (0.1, "It no longer improves: a larger"),
])  # fmt: skip
def test_a_run_that_missed_its_figure_underfits_where_validation_is_no_worse_than_training(tmp_path, gap, words):
    at, loss = np.arange(1, 21) * 100, falling()
    val = {"val/vae/loss": (at, loss[at - 1] * 0 + 0.2 + gap), "val/vae/elbo": (at, [-98.0, -98.2] * 10)}
    view = vae(tmp_path, state="finished", steps=2000, judged=("elbo",), **val)
    verdict = said(view, stated("vae", aim=Aim(-90.0, "val/vae/elbo", "higher"), steps=2000))
    assert verdict.sentence == "it missed its figure" and verdict.advice.startswith(words)


def test_a_run_without_a_figure_says_at_its_end_whether_more_would_have_helped(tmp_path):
    at = np.arange(1, 21) * 100
    for val, state, sentence, advice in (
        (np.geomspace(2, 0.25, 20), "finished", "finished, and loss still improved", "Train longer"),
        (falling()[at - 1], "finished", "finished, nothing to worry about", "A larger network may do better"),
        (falling()[at - 1], "running", "loss has levelled off", "A larger network may do better"),
        (falling()[at - 1] + 0.1, "running", "loss has levelled off", "Stop here if"),
        (falling()[at - 1] + 0.1, "finished", "finished, nothing to worry about", ""),
    ):
        view = run(tmp_path, state=state, steps=2000, judged=(), **{"net/loss": falling(), "val/net/loss": (at, val)})
        verdict = said(view, stated("classifier"))
        assert (verdict.level, verdict.sentence) == ("good", sentence) and verdict.advice.startswith(advice), state
        assert bool(verdict.advice) == bool(advice)


@pytest.mark.parametrize(("active", "level"), [(4.0, "good"), (0.0, "bad")])
def test_a_run_that_has_its_figure_is_told_so_before_what_could_be_better_but_not_before_what_is_broken(
    tmp_path, active, level
):
    at = np.arange(1, 20) * 100
    view = vae(tmp_path, active, state="finished", steps=2000, judged=("elbo",), **{"val/vae/elbo": (at, [-98.0] * 19)})
    verdict = said(view, stated("vae", aim=Aim(-100.0, "val/vae/elbo", "higher"), steps=2000))
    assert verdict.level == level
    if level == "good":
        few = "4 of 20 units active: β = 1 is too strong for the others"
        assert verdict.sentence == f"it reached its figure, though {few}" and "Lower beta" in verdict.advice
    else:
        assert verdict.sentence.startswith("posterior collapse")


def config_of(tmp_path, *assignments) -> Path:
    from tui_gen.catalog import resolve

    config = resolve("vae-digits", CATALOG, list(assignments))
    (tmp_path / "config.toml").write_text(configs.dumps(config, CATALOG))
    return tmp_path


def test_a_recipes_figure_is_that_of_the_recipe_as_written(tmp_path):
    view = RunView(config_of(tmp_path))
    whole, short = Aim(0.83, "quality/confident", "higher"), Aim(-24.7, "val/vae/elbo", "higher")
    assert health.declared(view).aims == (whole, short)
    other = tmp_path / "other"
    other.mkdir()
    known = health.declared(RunView(config_of(other, "model.latent=3")))
    assert not known.aims and known.settings["model.latent"] == 3 and known.alarms == CATALOG.models["vae"].alarms
    shapes = tmp_path / "shapes"
    shapes.mkdir()
    assert not health.declared(RunView(config_of(shapes, "dataset.name=shapes"))).aims  # they are those of digits


@pytest.mark.parametrize(("elbo", "level", "words"), [
    (-24.1, "good", "it reached its figure, though 4 of 16 units active"),
    (-26.0, "watch", "4 of 16 units active"),
])  # fmt: skip
def test_a_run_that_does_not_measure_what_its_recipe_is_judged_by_has_the_figure_of_the_short_version(
    tmp_path, elbo, level, words
):
    """`vae-digits` is judged by a measurement of samples that it does not make unless asked to."""
    at = np.arange(1, 20) * 100
    view = vae(tmp_path, 4.0, state="finished", steps=2000, judged=("elbo",), **{"val/vae/elbo": (at, [elbo] * 19)})
    config_of(tmp_path)
    known = health.declared(view)
    verdict = said(view, known)
    assert verdict.level == level and verdict.sentence.startswith(words) and verdict.number.endswith("figure ≥ -24.7")


def test_a_run_without_a_config_is_judged_by_its_curves(tmp_path):
    view = run(tmp_path, **{"x/loss": falling()})
    view.plan.judged = []
    verdict = health.verdict(view)
    assert verdict is not None and verdict.level == "good" and verdict.number.startswith("loss 0.")


def test_a_model_of_ones_own_says_so_in_its_own_words(tmp_path):
    sentence, advice = "{value:.0f} waves in {where}, of {latent}", "Calm down to {depth:.1f}"
    alarm = Alarm(amount="waves", above=3, sentence=sentence, advice=advice)
    entry = entry_named("vae")
    assert entry is not None
    known = health.Declared(
        type(entry)(**{name: getattr(entry, name) for name in entry.__struct_fields__} | {"alarms": [alarm]}),
        {"model.latent": 7},
    )
    for waves, sentence in ((5.0, "5 waves in sea, of 7"), (2.0, None)):
        verdict = said(run(tmp_path, **{"sea/waves": [waves] * 500}), known)
        assert (verdict.sentence == sentence) == (sentence is not None)
        assert verdict.advice == ("Calm down to ?" if sentence else "")  # nobody knows a depth


def test_what_is_wrong_with_alarms_is_told():
    assert faults(EVERY) == ""
    assert "needs above or below" in faults((Alarm(amount="loss", sentence="x"),))
    assert "it needs above" in faults((Alarm(amount="loss", test="explodes", sentence="x"),))
    assert "more than one *" in faults((Alarm(amount="*/*", above=1, sentence="x"),))
    assert "is no name" in faults((Alarm(amount="loss", above=1, sentence="{value.real}"),))
    assert faults((Alarm(amount="loss", above=1, sentence="{value"),))
    assert "write Alarm(" in faults(["loss"]) and "write Alarm(" in faults(3)
    assert "write Alarm(" in faults((Alarm(amount="loss", above="much", sentence="x"),))


def test_amounts_are_sums_of_metrics_and_numbers():
    values = {"a": 3.0, "b": 8.0, "c": None, "n": 4}
    assert value_of("a + b / n + -0.5", values) == 4.5
    assert value_of("a + c", values) is None and value_of("a / d", values) is None and value_of("a / 0", values) is None


def test_bounds():
    assert Bound("x", above=1.0, below=2.0).holds(1.5) and not Bound("x", above=1.0, below=2.0).holds(2.0)
    assert not Bound("x", above=1.0).holds(None) and not Bound("x", above=1.0).holds(float("nan"))
    assert Bound("x", one_of=["hinge"]).holds("hinge") and not Bound("x", one_of=["hinge"]).holds(None)


@pytest.mark.parametrize("name", sorted(CATALOG.models))
def test_sentences_of_built_in_models_name_only_what_there_is(name):
    """Settings and metrics in braces are settings of the model, or metrics that its alarm asks for anyway."""
    from tui_gen.alarms import names_in, placeholders

    entry = CATALOG.models[name]
    known = {"value", "step", "best", "where", *(param.name for param in entry.params), "diversity"}
    for alarm in entry.alarms:
        own = {part.rpartition("/")[2] for pair in names_in(alarm.amount) for part in pair}
        assert placeholders(alarm.sentence) | placeholders(alarm.advice) <= known | own, alarm
        settings = {bound.amount for bound in alarm.when if bound.amount.startswith("model.")}
        assert settings <= {f"model.{param.name}" for param in entry.params}, alarm


@pytest.mark.parametrize(("checkpoints", "advice"), [(0, "it begins again"), (1, "from its last checkpoint")])
def test_an_interrupted_run_is_to_be_resumed(tmp_path, checkpoints, advice):
    view = vae(tmp_path)
    view.state, view.reason = "interrupted", "its worker is gone"
    view.checkpoints = [events.Checkpoint(step=9, path="checkpoints/000009")] * checkpoints
    verdict = said(view, stated("vae"))
    assert (verdict.level, verdict.sentence) == ("watch", "it was interrupted at step 2,000: its worker is gone")
    assert advice in verdict.advice and verdict.number


def test_a_run_whose_folder_is_gone_is_not_to_be_resumed(tmp_path):
    view = vae(tmp_path)
    view.state, view.reason = "interrupted", "its folder is gone"
    view.path.rename(view.path.with_name("elsewhere"))
    assert not said(view, stated("vae")).advice


@pytest.mark.parametrize("count", [20, 21, 333, 4_000, 50_001])
def test_blocks_are_medians_of_what_is_finite(count):
    """Of every block, evenly cut; NaN where none of its values is a number."""
    dice = np.random.default_rng(count)
    values = dice.normal(size=count)
    values[dice.random(count) < 0.2] = np.nan
    values[dice.random(count) < 0.1] = np.inf
    values[: count // 5] = -np.inf
    steps, medians = trends.blocks(np.arange(count), values, 20)
    if count == 20:
        np.testing.assert_array_equal(medians, values)  # a short curve stays as it is
        return
    kept = np.arange(count)[:: -max(1, count // trends.MOST)][::-1]
    edges = np.linspace(0, len(kept), 21).astype(int)
    assert steps.tolist() == kept[edges[1:] - 1].tolist()
    parts = [values[kept[start:end]] for start, end in pairwise(edges)]
    finite = [part[np.isfinite(part)] for part in parts]
    expected = [np.median(part) if len(part) else np.nan for part in finite]
    np.testing.assert_array_equal(medians, expected)
