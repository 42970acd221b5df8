"""Pictures as text: on which ground, and how much of them a slow link is sent."""

from __future__ import annotations

import re

import numpy as np
from msgspec import structs
from PIL import Image

from tests.plot_host import Host, write_run, write_sample
from tests.test_app_pixels import request
from tests.waiting import wait_for_async
from tui_gen.app.panes.samples.encoder import make
from tui_gen.draw.blocks import Blocks
from tui_gen.draw.terminal import Terminal


def _ansi(blocks):
    """As text with colours, each pair said where it changes."""
    return "".join(
        f"\x1b[38;2;{';'.join(map(str, upper or (0, 0, 0)))};48;2;{';'.join(map(str, lower or (0, 0, 0)))}m{text}"
        for row in blocks.rows() for text, upper, lower in row if text.strip()
    )  # fmt: skip


def test_with_a_budget_half_blocks_are_fewer_and_what_they_take_is_known(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (600, 800, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    asked = request(str(tmp_path / "noise.png"), grid=(1, 1), columns=80, rows=40)

    def sent(most):
        reply = make(structs.replace(asked, most=most))
        upper, lower = (np.frombuffer(half, "<i4").reshape(40, 80) for half in (reply.upper, reply.lower))
        return len(re.sub(r" +|\x1b\[0m|\n", "", _ansi(Blocks(upper, lower, None))))

    free = sent(0)
    assert sent(free) > free / 2
    for most in (free // 2, free // 5):
        assert most / 3 < sent(most) <= 1.1 * most
    assert sent(500) == sent(501) > 500, "at least so much is shown"


async def test_without_colours_the_ramp_is_that_of_the_terminals_own_ground(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    path = write_run(tmp_path / "run", write_sample(tmp_path / "run", 0))
    texts = {}
    for light in (None, True, False):
        app = Host(path, "samples", Terminal("ascii", "", colour=False, light=light))
        async with app.run_test(size=(60, 20)) as pilot:
            await wait_for_async(lambda app=app: app.samples.picture._reply is not None, tick=pilot.pause)
            texts[light] = "".join(app.samples.picture._reply.lines)
    assert texts[None] == texts[False] != texts[True], "a dark theme, of which nothing is seen"
    assert texts[True] == texts[False].translate(str.maketrans(".:-=+*#%@", "%#*+=-:. ")), "the other way round"
