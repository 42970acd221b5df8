"""Commands that messages name: they work as they are shown, wherever the run is and whatever its folder is called."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from tests import fake_worker
from tui_gen import catalog as catalogs
from tui_gen import launch, resuming, runs
from tui_gen.config import ConfigError
from tui_gen.control import ControlError
from tui_gen.report import headless, named
from tui_gen.report.follow import Follow
from tui_gen.report.plain import JsonDisplay
from tui_gen.report.stdout import Outlet
from tui_gen.report.summary import ending


def called_in(text: str) -> list[str]:
    """The run, or config, of every command that a text names."""
    rests = re.findall(r"tui-gen (?:attach|stop|sample|--resume|--run) (?=(.*))", text)
    return [next(iter(shlex.shlex(rest, posix=True, punctuation_chars=";,)"))) for rest in rests]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_commands_that_are_named_find_the_run_wherever_it_is(world, tmp_path, monkeypatch, capsys, elsewhere):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "somebody's runs" if elsewhere else runs.default_root()
    run = fake_worker.record(fake_worker.make_run(root), steps=20)
    view = headless.drained(run)
    said = [*ending(view, "finished"), *ending(view, "running"), launch.why_silent(run)]
    headless.detached(run, Outlet(sys.stdout), headless.Style())
    follow = Follow(view, JsonDisplay(Outlet(sys.stdout)), Outlet(sys.stdout), owner=False)
    follow.detached, follow.state = True, "running"
    headless.conclude(Outlet(sys.stdout), Outlet(sys.stderr), follow, headless.Style())
    said += [*capsys.readouterr(), named.differences(run, str(run), ["model.latent=3"], [])]
    with pytest.raises(ControlError) as caught:
        launch.ask_run(run, "stop")
    said.append(str(caught.value))
    for wrong in ("model.latent=3", "train.steps=1"):
        with pytest.raises(ConfigError) as caught:
            resuming.continued(run, [wrong], catalogs.read())
        said.append(str(caught.value))
    runs.register(run, "")
    said += [runs.in_use(run), launch.why_silent(run)]
    found = [called_in(text) for text in said if "tui-gen " in text]
    assert sum(map(len, found)) >= 14
    for name in (name for names in found for name in names):
        path = Path(name).parent if name.endswith(".toml") else runs.find(runs.default_root(), name)
        assert path.resolve() == run, name
