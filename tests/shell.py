"""The workbench under Pilot: its screen as plain text, snapshots of it, and runs trained by fake workers."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
from textual.pilot import Pilot

from tests.painted import painted_strips
from tests.waiting import wait_for_async
from tui_gen import catalog, launch, runs
from tui_gen.app.main import prepare_environment

prepare_environment()

from tui_gen.app.panes.samples import encoder  # noqa: E402
from tui_gen.app.workbench import Workbench  # noqa: E402

SIZES = {"80x24": (80, 24), "120x40": (120, 40), "200x60": (200, 60)}
SNAPSHOTS = Path(__file__).parent / "snapshots"
OTHERS = ("models", "form", "losses", "samples")
"""Panes whose content other tests look after: only their frames are compared."""


def screen_text(app: Workbench, hide: tuple[str, ...] = ()) -> str:
    """What is on the screen, row by row; the inside of the panes in `hide` is blank."""
    rows = [strip.text for strip in painted_strips(app)]
    for pane in app.workspace.on_screen:
        if pane.id in hide:
            region = pane.content_region
            for y in range(region.y, region.bottom):
                rows[y] = rows[y][: region.x] + " " * region.width + rows[y][region.right :]
    return "\n".join(row.rstrip() for row in rows) + "\n"


async def check_snapshot(pilot: Pilot, name: str, look: Callable[[], str]) -> None:
    """Wait until `look()` gives what is in `tests/snapshots/NAME.txt`; clocks and random names are evened out.

    UPDATE_SNAPSHOTS=1 writes the file instead.
    """

    def seen() -> str:
        text = re.sub(r"\d\d:\d\d:\d\d", "00:00:00", look())
        return re.sub(r"\d{8}-\d{4}-([a-z-]+)-[a-z0-9]{4}", r"20260101-0000-\1-aaaa", text)

    file = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOTS.mkdir(exist_ok=True)
        await pilot.pause()
        file.write_text(seen(), encoding="utf-8")
    assert file.exists(), f"no snapshot {file.name}: run once with UPDATE_SNAPSHOTS=1 and look at it"
    wanted = file.read_text(encoding="utf-8")
    with contextlib.suppress(AssertionError):  # pytest shows better what differs
        await until(pilot, lambda: seen() == wanted)
    assert seen() == wanted, f"{file.name} differs; UPDATE_SNAPSHOTS=1 takes the new one"


async def until(pilot: Pilot, condition: Callable[[], Any], what: str = "", timeout: float = 30.0) -> Any:
    """Wait for a condition while the app goes on; what is waited for in vain is told with what is on the screen."""
    return await wait_for_async(
        condition, timeout, lambda: f"{what or condition}, on this screen:\n{screen_text(pilot.app)}", tick=pilot.pause
    )


async def until_shown(pilot: Pilot, *texts: str) -> str:
    """Wait until every one of these texts is on one and the same screen; the screen."""

    def missing() -> list[str]:
        shown = screen_text(pilot.app)
        return [text for text in texts if text not in shown]

    await wait_for_async(
        lambda: not missing(), what=lambda: f"{missing()} on this screen:\n{screen_text(pilot.app)}", tick=pilot.pause
    )
    return screen_text(pilot.app)


def draw_here(monkeypatch: Any) -> None:
    """Have pictures made in this process, by the encoder's thread: to start Python for each workbench takes long.

    `tests/test_app_pixels.py` has the process that makes them otherwise.
    """
    files = encoder.PictureFiles()

    def ask(self: encoder.PictureEncoder, request: encoder.PictureRequest) -> encoder.PictureReply:
        reply = encoder.answer(msgspec.msgpack.encode(request), files)
        return msgspec.msgpack.decode(reply, type=encoder.PictureReply)

    monkeypatch.setattr(encoder.PictureEncoder, "_ask", ask)


@contextlib.asynccontextmanager
async def workbench(
    monkeypatch: Any, size: tuple[int, int] = (120, 40), warm: bool = False, app: Any = None, own_encoder: bool = False,
    **settings: Any,
) -> AsyncIterator[tuple[Workbench, Pilot]]:  # fmt: skip
    """A workbench with every pane mounted, on this test's own runs folder, or `app`.

    No warm worker, and no process that makes pictures, unless asked for.
    """
    if not warm:
        monkeypatch.setattr(launch.WarmWorker, "spawn", lambda self: None)
        monkeypatch.setattr(catalog, "stale", lambda *_: False)
    if not own_encoder:
        draw_here(monkeypatch)
    app = app or Workbench(runs.default_root(), **settings)
    app.told, notify = [], app.notify  # every toast, as each stays for a few seconds only

    def keep(message: str, **more: Any) -> None:
        app.told.append(message)
        notify(message, **more)

    app.notify = keep
    async with app.run_test(size=size) as pilot:
        with app.batch_update():  # no test looks yet: to paint every pane as it comes would take as long again
            await until(pilot, lambda: app.complete, "the panes")
            await until(pilot, lambda: any(timer.name == "follower" for timer in app._timers), "the timer")
        await pilot.pause()
        yield app, pilot
