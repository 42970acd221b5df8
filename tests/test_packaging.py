"""The wheel: what is in it, and that it works away from the checkout."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.xdist_group("packaging")  # one wheel and one environment for all
NOT_SOURCES = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info", "tests", "docs")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy of the tree: nothing left of earlier builds may get into it."""
    folder = tmp_path_factory.mktemp("wheel")

    def not_sources(place, names):  # runs are kept at the top; the pane that lists them has that name, too
        return NOT_SOURCES(place, names) | ({"runs"} & set(names) if Path(place) == ROOT else set())

    shutil.copytree(ROOT, folder / "tree", ignore=not_sources)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), "."],
        cwd=folder / "tree", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = (folder / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The `bin` folder of a fresh environment with the wheel; its dependencies are borrowed from this environment."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet", "--no-deps",
         "--no-index", "--no-compile", "--disable-pip-version-check", str(wheel)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    borrowed = "\n".join(path for path in sys.path if path.endswith("site-packages"))
    (site / "borrowed.pth").write_text(borrowed + "\n")
    return folder / "bin"


def run(command, cwd):
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(
        [str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=120
    )


def test_what_is_in_it(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tui_gen"}
    for name in ("models/__init__.py", "models/vae.py", "models/catalog.json", "themes/__init__.py", "cli.py"):
        assert f"tui_gen/{name}" in names
    for folder, suffix in (
        ("models/recipes", ".toml"), ("models/words", ".md"), ("themes", ".toml"), ("app", ".tcss"),
        ("report/page", ".css"), ("train/data", ".py"),
    ):  # fmt: skip
        inside = {name for name in names if name.startswith(f"tui_gen/{folder}/") and name.endswith(suffix)}
        here = ROOT / (folder if folder.startswith(("models", "themes")) else f"tui_gen/{folder}")
        wanted = {f"tui_gen/{folder}/{path.relative_to(here)}" for path in here.rglob(f"*{suffix}")}
        assert inside == wanted and wanted
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name]


def test_every_folder_of_code_is_packaged(wheel):
    """A new sub-package that pyproject.toml does not list would be missing from the wheel only."""
    names = set(zipfile.ZipFile(wheel).namelist())
    for source, target in (("tui_gen", "tui_gen"), ("models", "tui_gen/models"), ("themes", "tui_gen/themes")):
        for path in (ROOT / source).rglob("*.py"):
            assert f"{target}/{path.relative_to(ROOT / source)}" in names


def test_its_metadata(wheel):
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    for line in ("Name: tui-gen", "License-Expression: MIT", "Requires-Python: >=3.11", "Requires-Dist: textual"):
        assert line in metadata
    assert "Operating System :: POSIX :: Linux" in metadata and "Operating System :: MacOS" in metadata
    assert not re.search(r"Requires-Dist: \S+==", metadata), "ranges, not pins"


def test_it_works_elsewhere(installed, tmp_path):
    where = run([installed / "python", "-c", "import tui_gen.models.vae as m; print(m.__file__)"], tmp_path)
    assert where.stdout.startswith(str(installed.parent)), where.stdout + where.stderr
    top = run([installed / "python", "-c", "import models"], tmp_path)
    assert "ModuleNotFoundError" in top.stderr
    version = run([installed / "tui-gen", "--version"], tmp_path)
    assert version.returncode == 0 and re.search(r"\d+\.\d+", version.stdout), version.stderr
    recipes = run([installed / "tui-gen", "recipes"], tmp_path)
    assert recipes.returncode == 0 and "vae-digits" in recipes.stdout and "ddpm-mnist" in recipes.stdout, recipes.stderr


def test_it_trains_elsewhere(installed, tmp_path):
    done = run(
        [installed / "tui-gen", "--run", "vae-digits", "--set", "train.steps=3", "--plain", "--runs", "there"], tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = (tmp_path / "there").iterdir()
    assert (made / "checkpoints" / "000003").is_dir()
