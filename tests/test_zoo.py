"""`tui-gen zoo check`: figures are held against what small versions of the recipes reach."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tui_gen import catalog, config

RECIPE = """
[recipe]
title = "Small"
check = ["train.steps=40"]
metric = "val/vae/loss"
better = "lower"
reach = {reach}

[model]
name = "vae"
hidden = [16]

[dataset]
name = "digits"

[train]
steps = 900
validate_every = 20
device = "cpu"
compile = "off"

[preview]
every_seconds = 0.0
"""


def check(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tui_gen", "zoo", "check", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def test_a_figure_that_is_reached_passes_and_one_that_is_not_fails(tmp_path):
    folder = Path(os.environ["XDG_CONFIG_HOME"]) / "tui-gen" / "recipes"
    folder.mkdir(parents=True)
    (folder / "easy.toml").write_text(RECIPE.format(reach=1e6))
    (folder / "hard.toml").write_text(RECIPE.format(reach=-1e6))
    done = check("--only", "easy", "hard", cwd=tmp_path)
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert done.returncode == 1, done.stderr
    assert lines["easy"].endswith("pass") and lines["hard"].endswith("MISSED")
    assert "1 of 2 reached" in done.stdout


def test_a_recipe_that_is_not_there_is_told_with_the_nearest(tmp_path):
    done = check("--only", "vae-digit", cwd=tmp_path)
    assert done.returncode == 2 and "did you mean" in done.stderr and "Traceback" not in done.stderr


def test_every_check_in_the_zoo_names_settings_that_exist():
    known = catalog.read()
    checked = [recipe for recipe in known.recipes.values() if recipe.check is not None]
    assert len(checked) > 10
    for recipe in checked:
        tables = config.override(recipe.tables, recipe.check.overrides, known)
        assert config.load(tables, known, recipe.name)
        assert recipe.check.better in ("lower", "higher"), recipe.name
