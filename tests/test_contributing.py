"""CONTRIBUTING.md is true to the word: its chapters on models, datasets and panes are followed, in a copy."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.xdist_group("contributing")  # one copy for all

DRIVE = """
import os, shlex, sys

from tests.forked_workers import forking
from tui_gen import cli
from tui_gen.train import discover

if not (pid := os.fork()):
    sys.argv = ["discover", "--write", "models/catalog.json"]
    discover.main()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
with forking():
    for line in sys.argv[1:]:
        print("\\0", end="")
        assert cli.main(shlex.split(line)) == 0, line
"""
"""`make catalog`, then commands, in a process that imports PyTorch once for all of them."""

LOOK = """
import asyncio
from pathlib import Path

from tests.shell import until, until_shown
from tests.plot_host import write_run
from tui_gen import catalog, events, launch
from tui_gen.app.workbench import Workbench

launch.WarmWorker.spawn, catalog.stale = lambda self: None, lambda *_: False
alert = events.Alert(step=1, level="warning", what="it warned", advice="Try this")
run = write_run(Path("mine/one"), alert, losses=[1.0, 0.5])


async def look():
    app = Workbench(Path("mine"), open_run=run)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.complete)
        await pilot.press("alt+1", "ctrl+p", *"view: alerts")
        await until_shown(pilot, "View: Alerts")
        await pilot.press("enter")
        await until_shown(pilot, "▐ Alerts ▌", "step 1: it warned. Try this")
        await pilot.press("f1")
        await until_shown(pilot, "Help: Alerts", "with what to try")
        await pilot.press("escape")
        app.leave()


asyncio.run(look())
"""


def chapter(title: str) -> str:
    """The text under a heading, up to the next one of its rank."""
    return re.split(r"^## ", TEXT.split(f"\n## {title}\n")[1], flags=re.M)[0]


def files_in(text: str) -> dict[str, str]:
    """Code that follows the name of the file it goes to."""
    return dict(re.findall(r"`(\S+/\S+\.\w+)`:\s*\n\n```\w+\n(.*?)^```", text, re.M | re.S))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the sources, with what is compiled of them, in which a package is found as in a checkout that is
    installed."""
    folder = tmp_path_factory.mktemp("tree")
    for name in ("tui_gen", "models", "themes", "tests"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("models", "themes"):
        (folder / "tui_gen" / name).symlink_to(folder / name, target_is_directory=True)
    return folder


def run(tree: Path, *command: str) -> str:
    """The standard output of Python in the copy; asserts that it ends well."""
    environ = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, *command], cwd=tree, env=environ, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_model_and_a_dataset_are_added_as_it_says(tree):
    files, more = files_in(chapter("Add a model")), files_in(text := chapter("Add a dataset"))
    assert list(files) == ["models/ppca.py", "models/words/ppca.md", "models/recipes/ppca-digits.toml"]
    assert list(more) == ["tui_gen/train/data/sets/spirals.py"]
    for name, code in (files | more).items():
        assert not (tree / name).exists()
        (tree / name).write_text(code, encoding="utf-8")
    (line,) = re.findall(r"`tui-gen (--run .*?)`", text)
    own = f"--runs {shlex.quote(str(tree / 'runs'))}"
    _, model, trained, other, dataset = run(
        tree, "-c", DRIVE, "models ppca", f"--run ppca-digits --set train.steps=40 {own}",
        f"{line} --set train.steps=20 {own}", "datasets spirals",
    ).split("\0")  # fmt: skip
    assert "Probabilistic PCA" in model and "what a VAE becomes" in model and "latent" in model
    assert "finished at step 40" in trained and "finished at step 20" in other and "Two spirals" in dataset


def test_a_pane_is_added_as_it_says(tree):
    text = chapter("Add a pane")
    ((name, code),) = files_in(text).items()
    (tree / name).write_text(code, encoding="utf-8")
    registry = tree / "tui_gen/app/panes/registry.py"
    (row,) = re.findall(r"^    Row\(.*\n", text, re.M)
    before = registry.read_text(encoding="utf-8")
    after = re.sub(r"(^PANES.*?)^\]$", lambda found: f"{found[1]}{row}]", before, flags=re.M | re.S)
    assert after.count("\n") == before.count("\n") + 1
    registry.write_text(after, encoding="utf-8")
    (tree / "look.py").write_text(LOOK, encoding="utf-8")
    run(tree, "look.py")
