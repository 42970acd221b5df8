"""A walk through a run's latent space as a GIF: `python -m tui_gen.train.offline.explore.walk RUN -o walk.gif`."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

from tui_gen.exploring import Failure, Film, Look, Open, Space, View
from tui_gen.train.offline.explore.service import Explorer


class WalkError(Exception):
    """Why there is no walk, in words for people."""


def film(explorer: Explorer, run: Path, step: int | None, looks: list[Look], wish: Film, label: str | None) -> str:
    """Write the walk through what these looks find, as wished; the file's path. Raises WalkError."""
    space = explorer.answer(Open(str(run), step, threads=4))
    if not isinstance(space, Space):
        raise WalkError(words_of(space))
    if label is not None and label not in space.classes:
        known = "this model is told none; leave --label out"
        if space.classes:
            known = f"it knows {', '.join(space.classes)}"
        raise WalkError(f"no class {label!r}; {known}")
    pins = []
    for look in looks:
        view = explorer.answer(look)
        if not isinstance(view, View):
            raise WalkError(words_of(view))
        pins.append(view.code)
    number = space.classes.index(label) if label is not None else 0
    answer = explorer.answer(Film(wish.path, tuple(pins), wish.frames, wish.way, number))
    if isinstance(answer, Failure):
        raise WalkError(answer.words)
    return wish.path


def words_of(answer: object) -> str:
    """Why an answer is none."""
    return answer.words if isinstance(answer, Failure) else "there was no answer"


def main() -> int:
    """Write the GIF and print its path; on failure one line on stderr that begins with `error: `, and status 1."""
    parser = argparse.ArgumentParser(prog="python -m tui_gen.train.offline.explore.walk", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--pins", type=int, default=4)
    parser.add_argument("--examples", type=int, nargs="+", default=[])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--way", choices=("slerp", "lerp"), default="slerp")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--step", type=int)
    parser.add_argument("--label")
    args = parser.parse_args()
    looks = [Look(example=number) for number in args.examples]
    looks = looks or [Look(draw=args.seed + number) for number in range(args.pins)]
    try:
        with tempfile.TemporaryDirectory(prefix="tui-gen-explore-") as folder:
            wish = Film(args.output, (), args.frames, args.way)
            with contextlib.redirect_stdout(sys.stderr):  # what a model file prints is no path
                path = film(Explorer(Path(folder)), args.run, args.step, looks, wish, args.label)
    except (WalkError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
