"""Python processes of our own: nothing that lies in the current folder is executed in them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_imports import PACKAGE
from tui_gen import children

NAMES = ("numpy", "msgspec", "PIL", "torch", "argparse", "contextlib", "safetensors")


@pytest.fixture
def traps(tmp_path, monkeypatch):
    """A current folder with files that have the names of modules, and write down that they were executed."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write('{name} ')\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "executed"


def test_files_in_the_current_folder_are_not_executed(traps, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}{Path(__file__).parents[1]}")  # an empty part: the current folder
    done = children.run("tui_gen.app.panes.samples.encoder", stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert not traps.exists()
    command = [sys.executable, "-m", "tui_gen.app.panes.samples.encoder"]
    beside = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, env={**os.environ, "PYTHONPATH": ""}, check=False
    )
    assert traps.exists() or beside.returncode  # without our way of starting it they are


def test_nor_by_the_command_line_started_as_a_module(traps):
    done = subprocess.run([sys.executable, "-m", "tui_gen", "recipes"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "vae-digits" in done.stdout, done.stderr
    assert not traps.exists()


def test_relative_folders_in_the_environment_keep_their_meaning(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"PYTHONPATH": f"src{os.pathsep}{os.pathsep}/more", "XDG_CACHE_HOME": "cache", "TMPDIR": "/tmp", "A": "b/c"}
    assert children.apart(given) == {
        "PYTHONPATH": f"{tmp_path}/src{os.pathsep}/more", "XDG_CACHE_HOME": f"{tmp_path}/cache", "TMPDIR": "/tmp",
        "A": "b/c",
    }  # fmt: skip
    assert given["XDG_CACHE_HOME"] == "cache"


def test_one_place_starts_python():
    """Whoever else names the interpreter would have to think of all this again."""
    names = re.compile(r"\bsys\.(_base_)?executable\b")
    found = [path.name for path in PACKAGE.rglob("*.py") if names.search(path.read_text(encoding="utf-8"))]
    assert found == ["children.py"]


@pytest.mark.parametrize(
    "lines, words",
    [
        ([], ""),
        (["Killed"], "Killed"),
        (["warning: of some library", "error: no such step", "the last is 30"], "no such step\nthe last is 30"),
        (["loading", "Traceback (most recent call last):", "  File x", "ValueError: bad"], "ValueError: bad"),
        (["loading", "done with the first"], "done with the first"),
    ],
)
def test_what_a_process_says_of_its_failure(lines, words):
    assert children.fault(lines) == words
