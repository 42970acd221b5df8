"""What a metric means: which words of a model's text are about it."""

from __future__ import annotations

import pytest

from tui_gen import catalog as catalogs
from tui_gen.verdicts.glossary import about, about_all, blocks, model_of

TEXT = """\
A net does a thing, with a `kl` that
matters.

### Loss

    loss = reconstruction + β · kl
    kl = ½ Σ μ²

- `kl` grows
  as the code comes into use; `elbo` rises.
- Nothing about it, but `val/gap` and `val spread` and `real/gap`.
- `loss_0-25%` … `loss_75-100%`: the loss by time.
"""


def test_a_text_falls_into_paragraphs_items_and_formulas():
    assert [block.split("\n")[0][:12] for block in blocks(TEXT)] == [
        "A net does a", "    loss = r", "    kl = ½ Σ", "- `kl` grows", "- Nothing ab", "- `loss_0-25",
    ]  # fmt: skip
    assert blocks(TEXT)[3].endswith("`elbo` rises.") and blocks("") == []


def test_of_a_metric_its_formula_and_the_words_that_name_it_are_told():
    words = about("vae/kl", TEXT)
    assert words.split("\n\n") == [blocks(TEXT)[0], "    kl = ½ Σ μ²", blocks(TEXT)[3]]
    assert about("vae/elbo", TEXT) == blocks(TEXT)[3]
    assert about("ddpm/loss_25-50%", TEXT) == about("ddpm/loss_0-25%", TEXT) == blocks(TEXT)[5]
    assert about("vae/gap", TEXT) == about("vae/spread", TEXT) == about("real/gap", TEXT) == blocks(TEXT)[4]
    assert about("vae/k", TEXT) == about("vae/none", TEXT) == about("vae/k", "") == ""
    assert "real held-out data" in about("quality/fid", "") and "schedule" in about("vae/lr", TEXT)
    assert "before it is clipped" in about("health/grad_norm/encoder", TEXT) == about("vae/grad_norm", "")
    assert about("health/kl", TEXT) == about("vae/kl", TEXT), "what a model measures itself, its text tells of"


@pytest.mark.parametrize(
    ("model", "metrics"),
    [
        ("autoencoder", "loss mse sparsity mean_activation jacobian denoising_mse binary_mse active_fraction"),
        ("vq-vae", "loss mse commitment perplexity active_codes bits_per_code bits_per_example bits_saved"),
        ("vae", "elbo loss reconstruction kl active_units mse sigma iw_log_likelihood code_spread"),
        ("gan", "loss D_real D_fake diversity wasserstein gradient_penalty r1 sliced_wasserstein balance"),
        ("ddpm", "loss loss_0-25% loss_50-75%"), ("latent-diffusion", "loss loss_25-50%"),
        ("flow-matching", "loss loss_25-50% straightness sliced_wasserstein"),
        ("char-rnn", "bits_per_character accuracy"), ("pretrained-classifier", "accuracy"),
    ],
)  # fmt: skip
def test_f1_has_words_for_what_a_model_measures_and_for_every_networks_health(model, metrics):
    text = catalogs.read([]).models[model].description
    health = [f"health/{name}/net" for name in ("grad_norm", "update_ratio", "dead_units")] + ["health/ema_lag"]
    everything = [*(f"x/{name}" for name in metrics.split()), *health, "x/lr", "x/grad_norm"]
    assert [name for name in everything if not about(name, text)] == []


def test_every_metric_that_a_recipe_is_judged_by_has_words(tmp_path):
    catalog = catalogs.read([])
    for recipe in catalog.recipes.values():
        if recipe.check is not None:
            metric = recipe.check.metric.split(" ")[0]
            assert about_all([metric], recipe.model, catalog), (recipe.name, metric)
    both = about_all(["health/grad_norm/a", "val/x/loss", "health/grad_norm/b"], "none", None)
    assert both.startswith("## `health/grad_norm/a`, `health/grad_norm/b`\n\n") and both.count("Length of") == 1
    assert about_all(["a/b"], "vae", catalog) == about_all(["a/b"], "none", None) == ""
    assert model_of(tmp_path) == ""
    (tmp_path / "config.toml").write_text("[model]\nname = 'vae'\n")
    assert model_of(tmp_path) == "vae"
