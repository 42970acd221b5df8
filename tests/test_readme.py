"""The promises of the README and the page on datasets: commands work as written, own code trains, links lead on."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import readme_figures
from tests.conftest import SHARED
from tests.forked_workers import forking

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
WITH_DATA = TEXT + (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
BLOCKS = [block.splitlines() for block in re.findall(r"```sh\n(.*?)```", WITH_DATA, re.S)]
SHELL = [line for block in BLOCKS for line in block if line]
PYTHON = re.findall(r"```python\n(.*?)```", WITH_DATA, re.S)


FIRST = "tui-gen --run vae-digits"
"""This block alone is run as a process, with a worker that is another; to import PyTorch anew for all takes long."""


@pytest.fixture
def run(monkeypatch, call):
    """Run a command line in a folder: (exit status, standard output, standard error). Workers are forked."""

    def in_folder(words: list[str], cwd: Path, apart: bool) -> tuple[int, str, str]:
        if apart:
            command = [sys.executable, "-m", "tui_gen", *words]
            done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=500)
            return done.returncode, done.stdout, done.stderr
        with monkeypatch.context() as patch:
            patch.chdir(cwd)
            return call(*words)

    with forking():
        yield in_folder


def test_the_picture_is_there():
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", TEXT):
        assert (ROOT / path).read_bytes().startswith(b"\x89PNG"), path


def test_every_make_target_exists():
    makefile = (ROOT / "Makefile").read_text()
    targets = [shlex.split(line)[1] for line in SHELL if line.startswith("make ")]
    assert targets
    for target in [*targets, "run"]:
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_every_model_and_recipe_that_it_names_exists_and_none_is_left_out():
    from tui_gen import catalog

    known = catalog.read()
    table = next(block for block in TEXT.split("\n\n") if block.startswith("| family"))
    assert set(re.findall(r"`([a-z0-9-]+)`", table)) >= {*known.models, *known.recipes}
    for name in known.datasets:
        assert f"`{name}`" in TEXT, name


def test_its_figures_and_the_page_of_all_of_them_are_those_on_record():
    assert readme_figures.with_table(TEXT) == TEXT, "make figures brings the README up to date"
    for name, text in readme_figures.pages().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, f"make figures brings {name} up to date"


COMMANDS = [[line for line in block if line.startswith("tui-gen ")] for block in BLOCKS]
COMMANDS = [block for block in COMMANDS if block]


def test_commands_are_found():
    assert sum(map(len, COMMANDS)) >= 12


@pytest.mark.parametrize("block", COMMANDS, ids=lambda block: block[0].removeprefix("tui-gen ")[:40])
def test_the_commands_work_as_written(tmp_path, run, block):
    """Every tui-gen line of a block, in order and in one folder; long trainings are cut short by an override.

    Those that speak of the latest run come after one, as they do for whoever reads on from the beginning.
    """
    (tmp_path / "Pictures").mkdir()
    from PIL import Image

    for number in range(12):
        Image.new("RGB", (40, 40), (number * 20, 90, 200 - number * 10)).save(tmp_path / "Pictures" / f"{number}.png")
    models = Path(os.environ[SHARED]) / "own"  # one folder for all tests: what is known of it is then read once
    models.mkdir(exist_ok=True)
    for name, code in zip(("flow.py", "stripes.py"), PYTHON, strict=True):
        if not (models / name).exists():
            aside = tmp_path / name
            aside.write_text(code, encoding="utf-8")
            shutil.move(aside, models / name)
    (tmp_path / "novel.txt").write_text("It was a dark and stormy night; the rain fell in torrents. " * 200)
    if any("latest" in line for line in block):
        block = [FIRST, *block]
    for line in block:
        line = line.replace("=vae-digits train.steps=2000", "=vae-digits train.steps=60")
        line = re.sub(r"(note .*--step) 100$", r"\1 10", line)  # a step that so short a run has made
        for given in ("Pictures", "novel.txt"):
            line = line.replace(f"~/{given}", str(tmp_path / given))
        redirect = re.search(r" > (\S+)$", line)
        words = shlex.split(line[: redirect.start()] if redirect else line)[1:]
        if "--run" in words:
            words += ["--set", "train.steps=12", "--set", "train.batch_size=8"]
        if "--resume" in words:
            words += ["--set", "train.steps=20"]
        if "flow" in words or "dataset.name=stripes" in words:
            words += ["--models", str(models)]
        status, output, errors = run(words, tmp_path, block == [FIRST])
        assert status == 0, f"{line}: {output[-500:]} {errors[-500:]}"
        if redirect:
            (tmp_path / redirect.group(1)).write_text(output)
            assert len(output.splitlines()) > 5
        if "-o" in words:
            assert (tmp_path / words[words.index("-o") + 1]).read_bytes().startswith((b"\x89PNG", b"GIF89a"))
        if "--plain" in words and "--run" in words:
            assert "loss" in output


def test_its_model_of_your_own_is_about_40_lines():
    code = [line for line in PYTHON[0].splitlines() if line.strip()]
    assert len(code) <= 45


@pytest.mark.parametrize("key", re.findall(r"`--set ([a-z_.]+)=", TEXT))
def test_the_keys_it_names_exist(key):
    from tui_gen import catalog, config

    known = catalog.read()
    assert any(key in config.keys(model, "folder", known) for model in known.models)
