"""CONTRIBUTING.md is true to the word: each of its chapters on what to add is followed, in a copy."""

from __future__ import annotations

import json
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
import os, runpy, shlex, sys

import pytest

from tests.forked_workers import forking
from tui_gen import cli
from tui_gen.train import discover


def apart(do, *words):
    sys.stdout.flush()
    if not (pid := os.fork()):
        sys.argv = ["", *words]
        os._exit(do() or 0)
    assert os.waitpid(pid, 0)[1] == 0, words


apart(discover.main, "--write", "models/catalog.json")
with forking():
    for line in sys.argv[1:]:
        print("\\0", end="")
        if line.startswith("make "):
            apart(lambda: runpy.run_module("tests.readme_figures", run_name="__main__") and None, ".")
        elif line.startswith("pytest "):
            apart(lambda: pytest.main(shlex.split(line)[1:]), line)
        else:
            assert cli.main(shlex.split(line)) == 0, line
"""
"""`make catalog`, then commands, in a process that imports PyTorch once for all of them."""

TESTS = ("tests/test_every_model.py", "tests/test_every_recipe.py", "tests/test_readme.py")
"""What finds a new model and recipe by itself."""

EXPORT = """
import shlex, sys
from pathlib import Path
from tests import fake_worker
from tui_gen import cli

fake_worker.record(fake_worker.make_run(Path("mine")), steps=20)
for line in sys.argv[1:]:
    assert cli.main(["--runs", "mine", *shlex.split(line)]) == 0
"""

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
    for name in ("tui_gen", "models", "themes", "tests", "docs"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
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


def add_row(path: Path, text: str, start: str) -> None:
    """Put the row that a chapter gives at the end of the list that begins with `start`."""
    (row,) = re.findall(r"```python\n(    \w+\(.*\),\n)```", text)
    before = path.read_text(encoding="utf-8")
    after = re.sub(rf"(^{start}.*?)^\]$", lambda found: f"{found[1]}{row}]", before, count=1, flags=re.M | re.S)
    assert after.count("\n") == before.count("\n") + 1
    path.write_text(after, encoding="utf-8")


def test_a_model_a_dataset_and_a_recipe_are_added_as_it_says(tree):
    files, more = files_in(chapter("Add a model")), files_in(text := chapter("Add a dataset"))
    assert list(files) == ["models/ppca.py", "models/words/ppca.md", "models/recipes/ppca-digits.toml"]
    assert list(more) == ["tui_gen/train/data/sets/spirals.py"]
    for name, code in (files | more).items():
        assert not (tree / name).exists()
        (tree / name).write_text(code, encoding="utf-8")
    readme = (tree / "README.md").read_text(encoding="utf-8")
    row = "| Gaussian | `ppca`: probabilistic PCA, on `spirals` too | `ppca-digits` |"
    readme = re.sub(r"(\| family \| models .*\n.*\n)", rf"\1{row}\n", readme)
    (tree / "README.md").write_text(readme, encoding="utf-8")
    (line,) = re.findall(r"`tui-gen (--run .*?)`", text)
    (code,) = re.findall(r"```sh\n(.*?)\n```", chapter("Add a recipe"), re.S)
    check, figures = (line.removeprefix("tui-gen ") for line in code.splitlines())
    own = f"--runs {shlex.quote(str(tree / 'runs'))}"
    _, model, other, dataset, reached, *_ = run(
        tree, "-c", DRIVE, "models ppca", f"{line} --set train.steps=20 {own}", "datasets spirals", f"{check} {own}",
        figures, f"pytest -q -k 'ppca or names_exists or its_figures' {' '.join(TESTS)}",
    ).split("\0")  # fmt: skip
    assert "Probabilistic PCA" in model and "what a VAE becomes" in model and "latent" in model
    assert "finished at step 20" in other and "Two spirals" in dataset and "1 of 1 reached" in reached
    assert "| `ppca-digits` |" in (tree / "docs/figures.md").read_text(encoding="utf-8")


def test_a_pane_is_added_as_it_says(tree):
    text = chapter("Add a pane")
    ((name, code),) = files_in(text).items()
    (tree / name).write_text(code, encoding="utf-8")
    add_row(tree / "tui_gen/app/panes/registry.py", text, "PANES")
    (tree / "look.py").write_text(LOOK, encoding="utf-8")
    run(tree, "look.py")


def test_a_command_is_added_as_it_says(tree):
    text = chapter("Add a command")
    ((name, code),) = files_in(text).items()
    (tree / name).write_text(code, encoding="utf-8")
    add_row(tree / "tui_gen/report/commands/__init__.py", text, "COMMANDS")
    (line,) = re.findall(r"`tui-gen (states .*?)`", text)
    said = run(tree, "-c", EXPORT, "states --help", "states", line)
    assert "only runs in this state: finished, say" in said
    assert len(re.findall("^finished  ", said, re.M)) == 2, "of all states, and of this one"


def test_an_export_is_added_as_it_says(tree):
    text = chapter("Add an export")
    ((name, code),) = files_in(text).items()
    (tree / name).write_text(code, encoding="utf-8")
    add_row(tree / "tui_gen/report/exports/__init__.py", text, "FORMATS")
    (line,) = re.findall(r"`tui-gen (export .*?)`", text)
    said = run(tree, "-c", EXPORT, "export --help", f"{line} -o it.json")
    assert "--digits DIGITS" in said and "the last value of every metric" in said
    last = json.loads((tree / "it.json").read_text())
    assert last and all(float(f"{value:.4g}") == value for value in last.values())
