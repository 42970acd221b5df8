"""The pictures of the recipes' cards, from runs of the recipes: `python -m tests.recipe_cards RUNS [NAME …]`.

For each recipe the newest finished run that `tui-gen zoo check --full --runs RUNS` made gives its last preview of the
first kind, cut to 8 × 4 tiles. Prints what was written.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from tui_gen import cards, config, pictures
from tui_gen.view import RunView

COLUMNS, ROWS = 8, 4
FULL = "full-"
"""How the names of those runs begin."""


def main(root: Path, names: list[str]) -> None:
    """Write the pictures there are runs for, all or those of these recipes."""
    cards.folder().mkdir(exist_ok=True)
    for run in sorted(root.iterdir()):
        recipe = config.read_toml(run / "config.toml").get("name", "") if (run / "config.toml").exists() else ""
        recipe = recipe.removeprefix(FULL)
        if f"-{FULL}{recipe}-" not in run.name or (names and recipe not in names):
            continue
        view = RunView(run)
        while view.poll() or view.behind:
            pass
        if view.state != "finished" or not view.samples:
            continue
        kind = view.samples[0].kind
        sample = [sample for sample in view.samples if sample.kind == kind][-1]
        if not sample.path.endswith(".png"):
            continue
        target = cards.folder() / f"{recipe}.png"
        picture(run / sample.path, sample.tile, sample.gap).save(target, optimize=True)
        print(f"{target.name:<32} {target.stat().st_size:>7,} bytes, from step {sample.step:,}")


def picture(path: Path, tile: tuple[int, int], gap: int) -> Image.Image:
    """The first tiles of a preview."""
    pixels = pictures.read_png(str(path))
    high, wide = ((length + gap) * count - gap for length, count in zip(tile, (ROWS, COLUMNS)))
    return Image.fromarray(pixels[:high, :wide])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
