"""Which code a run was made from: commit, changes and new files, whatever the folder is, and never for long."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading

import pytest

from tests import fake_worker
from tui_gen import catalog as catalogs
from tui_gen import runs, starting
from tui_gen.history import provenance
from tui_gen.history.provenance import DIFF, FILE

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")


def git(folder, *words):
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *settings, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def work(tmp_path):
    """A folder under git with a commit, and a change and a new file after it."""
    git(tmp_path, "init", "-q", "-b", "trunk")
    (tmp_path / "net.py").write_text("width = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    (tmp_path / "net.py").write_text("width = 2\n")
    (tmp_path / "ümläut.py").write_text("new = 1\n")
    return tmp_path


def test_commit_changes_and_new_files(world, work):
    run = fake_worker.make_run()
    provenance.keep(run, str(work), str(work / "ümläut.py"))
    own = provenance.of(run)
    assert own.work.commit == git(work, "rev-parse", "HEAD") and own.work.branch == "trunk"
    assert own.work.dirty and own.work.new == ["ümläut.py"] and own.work.cut is None
    assert own.model_code == own.work and len(own.sha256) == 64
    diff = provenance.diff_of(run)
    assert "-width = 1\n+width = 2" in diff and "+new = 1" in diff
    git(work, "checkout", "-q", "net.py")
    subprocess.run(["git", "apply", "-"], cwd=work, input=diff.split("diff --git")[1].join(["diff --git", ""]).encode(),
                   check=True)  # fmt: skip
    assert (work / "net.py").read_text() == "width = 2\n", "what was kept makes it again"


def test_one_file_of_those_that_are_built_in_is_another_and_so_is_their_sum(world, tmp_path):
    run = fake_worker.make_run()
    provenance.keep(run, str(tmp_path), str(catalogs.built_in_dir()))
    own = provenance.of(run)
    assert own.sha256 == provenance.sha256_of(catalogs.built_in_dir()) and len(own.sha256) == 64
    assert own.sha256[:16] in str(provenance.facts_of(own))
    copy = tmp_path / "copy"
    shutil.copytree(catalogs.built_in_dir(), copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert provenance.sha256_of(copy) == own.sha256, "of what is in them, not of where they are"
    (copy / "words" / "vae.md").write_text("other words")
    assert provenance.sha256_of(copy) == own.sha256
    (copy / "nets" / "unet.py").rename(copy / "nets" / "vnet.py")
    renamed = provenance.sha256_of(copy)
    (copy / "nets" / "vnet.py").write_text("")
    assert len({own.sha256, renamed, provenance.sha256_of(copy)}) == 3
    assert provenance.sha256_of(tmp_path / "nothing") == ""


def test_without_git_or_a_commit_or_anything_there_is_no_error(world, tmp_path, monkeypatch):
    run = fake_worker.make_run()
    provenance.keep(run, str(tmp_path), str(tmp_path / "gone.py"))
    assert provenance.of(run).work is None and not (run / DIFF).exists()
    git(tmp_path, "init", "-q", "-b", "trunk")
    (tmp_path / "a").write_text("x")
    git(tmp_path, "add", "a")
    provenance.keep(run, str(tmp_path))
    own = provenance.of(run)
    assert own.work.commit == "" and own.work.dirty and "+x" in provenance.diff_of(run)
    monkeypatch.setenv("PATH", "/nonexistent")
    provenance.keep(run, str(tmp_path))
    assert provenance.of(run).work is None
    provenance.keep(world / "no-run", str(tmp_path))
    (run / FILE).write_bytes(b"{")
    assert provenance.of(run) is None


def test_much_is_cut_and_said_so(world, work):
    run = fake_worker.make_run()
    (work / "net.py").write_text("".join(f"line = {number}\n" for number in range(60_000)))
    provenance.keep(run, str(work))
    own = provenance.of(run)
    assert own.work.cut > provenance.MOST_DIFF >= len(provenance.diff_of(run)) - 100
    assert provenance.diff_of(run).endswith("left out\n") and "only the beginning" in str(provenance.facts_of(own))


def test_a_git_that_hangs_is_given_up_and_nothing_of_the_repository_is_executed(world, work, monkeypatch, tmp_path):
    run = fake_worker.make_run()
    mark = tmp_path / "executed"
    for key in ("core.fsmonitor", "diff.external", "diff.evil.textconv", "diff.evil.command"):
        git(work, "config", key, f"touch {mark};")
    (work / ".gitattributes").write_text("*.py diff=evil\n")
    provenance.keep(run, str(work))
    assert not mark.exists() and "+width = 2" in provenance.diff_of(run)
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(provenance, "PATIENCE", 0.1)
    (run / FILE).unlink()
    provenance.keep(run, str(work))
    assert provenance.of(run).work is None


def test_every_run_that_is_started_has_it(world, work, monkeypatch, call):
    monkeypatch.chdir(work)
    catalog = catalogs.read()
    run = starting.create(catalogs.resolve("vae-digits", catalog, []), catalog, runs.default_root())
    for thread in [thread for thread in threading.enumerate() if thread.name == "provenance"]:
        thread.join(60)
    assert provenance.of(run).folder == str(work)
    status, out, _ = call("runs", run.name, "--provenance")
    assert status == 0 and "on trunk, changed" in out and "+width = 2" in out and "not in git: ümläut.py" in out
    assert json.loads(call("runs", run.name, "--provenance", "--json")[1])["provenance"]["work"]["branch"] == "trunk"
    assert "on trunk, changed" in call("runs", run.name)[1]
    fake_worker.record(run)
    runs.delete(run)
    assert not run.exists()
    assert call("runs", fake_worker.make_run().name, "--provenance")[0] == 2
