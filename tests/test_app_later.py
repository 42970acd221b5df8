"""What Textual and NumPy are imported without, and that it is there once it is wanted: each in a process of its own."""

import subprocess
import sys

import pytest

from tests import fake_worker
from tui_gen.app import later

START = "import sys\nimport tui_gen.app.main as m\nm.import_asyncio()\nm.later.import_textual()\nm.Workbench\n"
PALETTE = """
import asyncio, pathlib, textual.app, textual.notifications
from textual.widgets import OptionList
assert m.later.Later is type(textual.app.CommandPalette)
async def main():
    app = m.Workbench(pathlib.Path("runs"))
    async with app.run_test(size=(120, 40)) as pilot:
        while not app.complete:
            await pilot.pause()
        assert not isinstance(app.screen, textual.app.CommandPalette)
        await pilot.press("ctrl+p", *"quit")
        while not (lists := list(app.screen.query(OptionList))) or not lists[0].option_count:
            await pilot.pause()
        assert isinstance(app.screen, textual.app.CommandPalette) and textual.app.CommandPalette.is_open(app)
asyncio.run(main())
assert len(textual.app.uuid.uuid4().hex) == len(textual.notifications.uuid4().hex) == 32
import platformdirs
assert textual.app.user_downloads_path() == platformdirs.user_downloads_path()
print("found")
"""


NUMPY = """
import sys
from tui_gen.app import later
later.import_numpy()
assert not set(later.NUMPY) & set(sys.modules)
import numpy as np
assert np.linalg.eigh(np.eye(2)).eigenvalues.tolist() == [1, 1]
import numpy.typing, numpy.ma, numpy.random
assert not isinstance(numpy.typing.NDArray, later.Later) and numpy.typing.NDArray[np.float32].__args__
print("whole")
"""


OPEN = """
import asyncio, pathlib
run = pathlib.Path(sys.argv[1])
async def main():
    app = m.Workbench(run.parent, open_run=run)
    async with app.run_test(size=(120, 40)) as pilot:
        while not app.complete or app.view is None:
            await pilot.pause()
asyncio.run(main())
print("numpy" in sys.modules, *set(m.later.NUMPY) & set(sys.modules))
"""


def run(code: str, *words: str) -> str:
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True).stdout


def test_textual_comes_without_what_the_first_frame_does_not_need():
    code = START + f"print(*(set({later.PUT_OFF} + ('textual.widgets._input', 'numpy')) & set(sys.modules)))"
    assert run(code).split() == []


def test_what_was_put_off_is_there_when_it_is_wanted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(START + PALETTE) == "found\n"


def test_numpy_comes_without_its_help_and_types_and_has_these_when_they_are_wanted():
    assert run(NUMPY) == "whole\n"


def test_a_run_is_opened_with_that_numpy(tmp_path):
    path = fake_worker.record(fake_worker.make_run(tmp_path))
    assert run(START + OPEN, str(path)) == "True\n"


@pytest.mark.parametrize("name", ["textual.reactive", "rich.style", "no.such.module"])
def test_a_textual_that_makes_more_of_a_module_gets_it(name):
    code = f"import tui_gen.app.main as m\nm.later.PUT_OFF += ({name!r},)\nm.later.import_textual()\nm.Workbench\n"
    assert run(code + "import textual.app\nprint(textual.app.App.__name__)") == "App\n"
