"""What Textual is imported without, and that it is there once somebody wants it: each in a process of its own."""

import subprocess
import sys

import pytest

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


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_textual_comes_without_what_the_first_frame_does_not_need():
    code = START + f"print(*(set({later.PUT_OFF} + ('textual.widgets._input', 'numpy')) & set(sys.modules)))"
    assert run(code).split() == []


def test_what_was_put_off_is_there_when_it_is_wanted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(START + PALETTE) == "found\n"


@pytest.mark.parametrize("name", ["textual.reactive", "rich.style", "no.such.module"])
def test_a_textual_that_makes_more_of_a_module_gets_it(name):
    code = f"import tui_gen.app.main as m\nm.later.PUT_OFF += ({name!r},)\nm.later.import_textual()\nm.Workbench\n"
    assert run(code + "import textual.app\nprint(textual.app.App.__name__)") == "App\n"
