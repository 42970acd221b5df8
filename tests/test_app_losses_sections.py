"""The losses' plots in sections: named, folded by key and mouse, and never over each other."""

from __future__ import annotations

import numpy as np
import pytest

from tests.plot_host import Host, write_run
from tests.shell import until
from tests.test_app_losses import drive, settled
from tui_gen import events
from tui_gen.app.panes.curves.sections import LEAST, PlotRoom

NAMES = ("gan/loss", "val/gan/loss", "gan/lr", "quality/fid", "quality/kid", "health/grad_norm/g", "health/dead/g")


def run(tmp_path, names=NAMES):
    values = {name: [float(step % 50) for step in range(300)] for name in names}
    return write_run(tmp_path / "run", events.Metrics(start=0, values=values), planned=300)


def titles(app):
    return [panel.title for panel in app.losses.shown_panels()]


async def test_sections_have_names_and_fold_by_key_and_mouse(tmp_path):
    app = Host(run(tmp_path), "losses")
    async with drive(app, (120, 40)) as pilot:
        assert titles(app) == [name for name in NAMES if not name.startswith("val/")]
        rows = app.text().split("\n")
        heads = [row.strip("┃ ") for row in rows if row.startswith("┃▾")]
        assert heads == ["▾ gan (2)", "▾ quality (2)", "▾ health (2)"]
        await pilot.press("down", "down", "o")
        await settled(app, pilot)
        assert titles(app) == ["gan/loss", "gan/lr", "health/grad_norm/g", "health/dead/g"]
        assert "▸ quality (2)" in app.text().split("\n")[-2]
        await pilot.click(app.losses.grid, offset=(3, 0))
        await until(pilot, lambda: "▸ gan (2)  ▸ quality (2)" in app.text(), app.text)
        assert titles(app) == ["health/grad_norm/g", "health/dead/g"]
        await pilot.press("o")
        assert titles(app) == ["health/grad_norm/g", "health/dead/g"], "the last one stays open"
        await pilot.click(app.losses.grid, offset=(3, app.losses.grid.size.height - 1))
        await until(pilot, lambda: titles(app)[:2] == ["gan/loss", "gan/lr"], app.text)
        await pilot.press("O")
        assert len(titles(app)) == 6 and app.losses.current is not None
        await pilot.press("g", "g")
        await settled(app, pilot)
        assert titles(app) == ["quality/fid", "quality/kid"] and "▾" not in app.text()


async def test_a_small_pane_names_the_section_of_its_plot_and_pages_through_all(tmp_path):
    app = Host(run(tmp_path), "losses")
    async with drive(app, (80, 22)) as pilot:
        seen = []
        for _ in range(6):
            await settled(app, pilot)
            head = next(row for row in app.text().split("\n") if row.startswith("┃▾"))
            seen += titles(app)
            assert titles(app)[0].startswith(head.strip("┃▾ ").split(" ")[0])
            await pilot.press("pagedown")
        assert seen == ["gan/loss", "gan/lr", "quality/fid", "quality/kid", "health/grad_norm/g", "health/dead/g"]
        await pilot.press("pageup")
        assert titles(app) == ["health/dead/g"]


async def test_a_run_of_one_section_has_no_names(tmp_path):
    app = Host(run(tmp_path, ("vae/loss", "vae/kl", "vae/mse")), "losses")
    async with drive(app, (120, 40)):
        assert len(titles(app)) == 3 and "▾" not in app.text()


@pytest.mark.parametrize("asked", [False, True])
def test_plots_and_names_have_places_of_their_own_whatever_the_size(asked):
    dice = np.random.default_rng(0)
    for _ in range(300):
        width, height = int(dice.integers(1, 260)), int(dice.integers(1, 80))
        sections = [name for name in "abcd" for _ in range(int(dice.integers(0, 4)))] or ["a"]
        room = PlotRoom(width, height, asked, len(set(sections)) > 1)
        shown = sections[: room.fit(sections, 9)]
        boxes, names = room.boxes(shown)
        assert len(boxes) == len(shown) and [name for name, _ in names] == (
            list(dict.fromkeys(shown)) if room.heads else []
        )
        cells = [(x, y) for box in [*boxes, *(box for _, box in names)]
                 for x in range(box.x, box.x + box.width) for y in range(box.y, box.y + box.height)]  # fmt: skip
        assert len(cells) == len(set(cells)), "nothing lies over anything"
        if len(shown) > 1:
            assert all(x < width and y < height for x, y in cells)
            assert asked or all(box.height >= LEAST[1] for box in boxes)
