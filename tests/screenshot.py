"""A true picture of the workbench at work: `python -m tests.screenshot [FILE.png]`, or `make screenshot`.

Starts a virtual display with an xterm that draws sixel graphics, trains a recipe in the workbench until the samples
look like something, and takes the picture. Needs Xvfb, xterm and ImageMagick or xwd; says so where one is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests import mnist
from tests.bench import mnist_folder, private_world
from tests.waiting import wait_for
from tui_gen import launch, runs
from tui_gen.view import RunView

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {
    "vae-digits": ["train.steps=20000", "preview.every_seconds=2"],
    "vae-mnist": ["train.epochs=12", "preview.every_seconds=3", "train.compile=off"],
}


def need(*programs: str) -> None:
    """Raise SystemExit that names what is missing."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        sys.exit(f"the screenshot needs {', '.join(missing)} (Debian: apt install xvfb xterm imagemagick fonts-dejavu)")


@contextlib.contextmanager
def virtual_display(width: int, height: int) -> Iterator[str]:
    """An X server without a screen; its name."""
    read_end, write_end = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write_end), "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp"],
        pass_fds=[write_end], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write_end)
    try:
        with os.fdopen(read_end) as names:
            yield f":{names.readline().strip()}"
    finally:
        end(server)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program of ours, by force if it does not listen."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
        return
    process.kill()
    process.wait(10)


def xterm(display: str, command: list[str], columns: int, rows: int, font: int) -> subprocess.Popen[bytes]:
    """An xterm with sixel graphics and true colours, in the corner of the display."""
    resources = ("decTerminalID: vt340", "numColorRegisters: 256", "cursorBlink: false",
                 "scrollBar: false", "internalBorder: 6", "background: #101018")  # fmt: skip
    options = [word for line in resources for word in ("-xrm", f"XTerm*{line}")]
    return subprocess.Popen(
        ["xterm", "-ti", "vt340", "-fa", "DejaVu Sans Mono", "-fs", str(font), "-geometry", f"{columns}x{rows}+0+0",
         "-tn", "xterm-256color", "-bc", "+sb", *options, "-e", *command],
        env={**os.environ, "DISPLAY": display, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}, cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def take(display: str, target: Path) -> None:
    """Write the display's picture, cut to the terminal, as PNG."""
    target.parent.mkdir(parents=True, exist_ok=True)
    raw = subprocess.run(
        ["xwd", "-root", "-silent", "-display", display] if shutil.which("xwd") else
        ["import", "-display", display, "-window", "root", "xwd:-"],
        capture_output=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    tidy = ["-trim", "+repage", "-strip", "-colors", "256"]
    subprocess.run(["convert", "xwd:-", *tidy, str(target)], input=raw, check=True, timeout=60)


def shoot(target: Path, recipe: str, keys: list[str], columns: int, rows: int, font: int, minutes: float) -> None:
    """Train a recipe in the workbench and take its picture after `minutes`, or when the run is over."""
    width, height = int(columns * font * 0.9) + 60, int(rows * font * 1.9) + 60
    with private_world() as base, virtual_display(width, height) as display:
        settings = list(SETTINGS.get(recipe, []))
        if "mnist" in recipe:
            settings.append(f"dataset.root={mnist_folder(base)[0]}")
        words = [part for setting in settings for part in ("--set", setting)]
        subprocess.run([sys.executable, "-m", "tui_gen", "--run", recipe, *words, "--detach"], check=True,
                       stdout=subprocess.DEVNULL, cwd=ROOT)  # fmt: skip
        run = runs.find(runs.default_root())
        terminal = xterm(display, [sys.executable, "-m", "tui_gen", "attach", str(run)], columns, rows, font)
        try:
            view, begun = RunView(run), time.monotonic()

            def good() -> bool:
                view.poll()
                if terminal.poll() is not None or view.state in ("failed", "interrupted"):
                    raise SystemExit(f"no picture: the run is {view.state}: {view.reason}")
                return time.monotonic() - begun > 60 * minutes or not view.live

            wait_for(good, 60 * minutes + 120, "the run to show something")
            for key in keys:
                subprocess.run(["xdotool", "key", key], env={**os.environ, "DISPLAY": display}, check=True, timeout=20)
            settled = time.monotonic()
            wait_for(lambda: time.monotonic() - settled > 2, 10)
            take(display, target)
        finally:
            with contextlib.suppress(Exception):
                launch.ask_run(run, "stop", checkpoint=False)
            end(terminal)
    print(f"{target} ({view.state} at step {view.step:,})")


def main() -> int:
    """Take the picture."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshot", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=ROOT / "docs" / "workbench.png")
    default = "vae-mnist" if mnist.root() is not None else "vae-digits"
    parser.add_argument("--recipe", default=default, help="what to train (default here: %(default)s)")
    parser.add_argument("--size", default="160x48", help="columns x rows of the terminal")
    parser.add_argument("--font", type=int, default=10, help="points")
    parser.add_argument("--minutes", type=float, default=1.5, help="how long to train before the picture")
    parser.add_argument(
        "--keys", nargs="*", default=["3", "l"] if shutil.which("xdotool") else [],
        help="keys to press before the picture, by xdotool's names (default: the losses on a log scale)",
    )  # fmt: skip
    given = parser.parse_args()
    need("Xvfb", "xterm", "convert", *(["xdotool"] if given.keys else []))
    columns, rows = map(int, given.size.split("x"))
    shoot(given.file.resolve(), given.recipe, given.keys, columns, rows, given.font, given.minutes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
