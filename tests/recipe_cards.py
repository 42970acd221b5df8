"""The pictures of the recipes' cards, from runs of the recipes: `python -m tests.recipe_cards RUNS [NAME …]`.

For each recipe the newest finished run that `tui-gen zoo check --full --runs RUNS` made gives its last preview of the
first kind, cut to 8 × 4 tiles; where there is none, and no picture of such a run, one of the recipe's small version, by
`tui-gen zoo check --runs RUNS`, does. Prints what was written.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from tui_gen import cards, config, pictures
from tui_gen.view import RunView

COLUMNS, ROWS = 8, 4
KINDS = {"full-": "", "check-": cards.SMALL}
"""How the names of those runs begin, and what their pictures' names end with."""


def main(root: Path, names: list[str]) -> None:
    """Write the pictures there are runs for, all or those of these recipes."""
    cards.folder().mkdir(exist_ok=True)
    some = [(run, kind) for run in sorted(root.iterdir()) for kind in KINDS if f"-{kind}" in run.name]
    for run, kind in sorted(some, key=lambda one: one[1], reverse=True):
        recipe = config.read_toml(run / "config.toml").get("name", "") if (run / "config.toml").exists() else ""
        recipe = recipe.removeprefix(kind)
        if f"-{kind}{recipe}-" not in run.name or (names and recipe not in names):
            continue
        whole = cards.folder() / f"{recipe}.png"
        if KINDS[kind] and whole.exists():
            continue
        view = RunView(run)
        while view.poll() or view.behind:
            pass
        if view.state != "finished" or not view.samples:
            continue
        sample = [sample for sample in view.samples if sample.kind == view.samples[0].kind][-1]
        if not sample.path.endswith(".png"):
            continue
        target = cards.folder() / f"{recipe}{KINDS[kind]}.png"
        (cards.folder() / f"{recipe}{cards.SMALL}.png").unlink(missing_ok=True)
        picture(run / sample.path, sample.tile, sample.gap).save(target, optimize=True)
        print(f"{target.name:<32} {target.stat().st_size:>7,} bytes, from step {sample.step:,}")


def picture(path: Path, tile: tuple[int, int], gap: int) -> Image.Image:
    """The first tiles of a preview."""
    pixels = pictures.read_png(str(path))
    high, wide = ((length + gap) * count - gap for length, count in zip(tile, (ROWS, COLUMNS)))
    return Image.fromarray(pixels[:high, :wide])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
