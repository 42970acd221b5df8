"""Which curves share a plot, and which plot is seen first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_gen.verdicts.panels import PAIRS, panels_of

VAE = ["vae/loss", "vae/elbo", "vae/reconstruction", "vae/kl", "vae/active_units", "vae/lr"]
VAE += [f"val/{name}" for name in VAE[:-1]] + ["val/vae/mse", "quality/fid", "val/quality/fid"]


def test_unlike_metrics_have_a_panel_each_with_their_validation_and_what_is_judged_comes_first():
    panels = panels_of(VAE, judged=["elbo", "mse"])
    titles = [panel.title for panel in panels]
    assert titles[:3] == ["vae/elbo", "vae/mse", "vae/loss"] and titles[-1] == "vae/lr"
    assert len(set(titles)) == len(titles) == 8
    assert [curve.label for curve in panels[0].curves] == ["train", "val"]
    assert [curve.label for curve in panels[1].curves] == ["val"]
    assert {len({curve.metric.removeprefix("val/") for curve in panel.curves}) for panel in panels} == {1}
    assert titles.index("quality/fid") > titles.index("vae/loss")


def test_health_comes_last_and_its_networks_share_a_panel():
    health = ["health/grad_norm/encoder", "health/ema_lag", "health/grad_norm/decoder"]
    panels = panels_of([*health, *VAE], judged=["elbo"])
    assert [panel.title for panel in panels[-3:]] == ["vae/lr", "health/grad_norm", "health/ema_lag"]
    assert [(curve.label, curve.smooth) for curve in panels[-2].curves] == [("encoder", False), ("decoder", False)]
    assert [curve.label for curve in panels[-1].curves] == ["ema_lag"]


def test_without_a_word_from_the_model_losses_come_first():
    titles = [panel.title for panel in panels_of(["a/lr", "a/grad_norm", "a/x", "b/loss", "a/loss"])]
    assert titles == ["b/loss", "a/loss", "a/x", "a/lr", "a/grad_norm"]
    assert panels_of([]) == []


def test_what_a_model_declares_to_be_alike_shares_a_panel():
    names = ["generator/loss", "discriminator/loss", "discriminator/D_real", "discriminator/D_fake"]
    names += ["val/generator/loss", "val/discriminator/D_fake", "generator/sliced_wasserstein"]
    panels = {p.title: p for p in panels_of(names, ["sliced_wasserstein"], [["loss"], ["D_real", "D_fake"]])}
    assert list(panels) == ["generator/sliced_wasserstein", "loss", "discriminator"]
    losses = {curve.label: curve for curve in panels["loss"].curves}
    assert list(losses) == ["generator", "val generator", "discriminator"]
    assert losses["val generator"].slot == losses["generator"].slot + PAIRS and not losses["val generator"].smooth
    assert [curve.label for curve in panels["discriminator"].curves] == ["D_real", "D_fake", "val D_fake"]


def test_the_metric_that_a_recipe_is_judged_by_comes_first_of_all():
    names = ["vae/loss", "vae/elbo", "val/vae/elbo", "quality/fid", "val/quality/fid"]
    for first in ("quality/fid", "val/vae/elbo"):
        assert panels_of(names, ["loss"], (), first)[0].title == first.removeprefix("val/")
    for first in ("", "x"):
        assert panels_of(names, ["loss"], (), first)[0].title == "vae/loss"


def test_only_shares_among_figures_of_quality_are_alike():
    names = ["quality/precision", "quality/fid", "quality/recall", "classifier/precision", "classifier/recall"]
    titles = [panel.title for panel in panels_of(names)]
    assert titles == ["classifier/precision", "classifier/recall", "quality", "quality/fid"]


@pytest.mark.parametrize("count", range(1, 9))
def test_curves_of_a_panel_differ_in_glyph_and_hue(count):
    names = [f"phase/metric{i}" for i in range(count)]
    (panel,) = panels_of([*names, *(f"val/{name}" for name in names)], (), [[f"metric{i}" for i in range(count)]])
    slots = [curve.slot for curve in panel.curves]
    assert len(set(slots)) == len(slots) == 2 * count
    hues = [panel.hue(slot) for slot in slots]
    assert sorted(hues) == list(range(2 * count))


names = st.lists(st.sampled_from([*VAE, "odd", "val/odd", "a/b/c", "val/val/x", "/", "val/", "a/", "quality/recall"]))


@given(names, st.lists(st.sampled_from(["elbo", "c", "loss"])), st.lists(st.lists(st.sampled_from(["kl", "odd"]))))
def test_every_metric_is_in_one_panel(metrics, judged, together):
    panels = panels_of(metrics, judged, together)
    found = [curve.metric for panel in panels for curve in panel.curves]
    assert sorted(found) == sorted(set(metrics))
    assert all(panel.title or panel.curves[0].metric for panel in panels)
