"""Options that several commands take, and the kinds of values they have.

Some may be given before the command or after it: before it (`top`) they have their defaults, after it only what was
given there counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Protocol

GRAPHICS = ("auto", "kitty", "sixel", "iterm2", "halfblock", "ascii", "off")
PLACE = "a directory, its name or the beginning of it"
RUN = f"{PLACE}; latest, or nothing, is the newest run"


class OptionTaker(Protocol):
    """A parser of argparse, or a group of one."""

    def add_argument(self, *names: str, **settings: Any) -> argparse.Action: ...


def default(top: bool, value: Any) -> Any:
    """The default of an option that may also be given before the command."""
    return value if top else argparse.SUPPRESS


def runs_option(parser: OptionTaker, top: bool = False) -> None:
    """`--runs DIR`."""
    words = "the folder of runs (default: $TUI_GEN_RUNS or ./runs)"
    parser.add_argument("--runs", metavar="DIR", help=words, default=default(top, None))


def models_option(parser: OptionTaker, top: bool = False) -> None:
    """`--models DIR` and `--trust DIR`, as often as needed."""
    words = "a folder of your own model files"
    parser.add_argument(
        "--models", metavar="DIR", action="append", dest="model_dirs", help=words, default=default(top, [])
    )
    words = "a folder of model files that a config or a run names: execute what is in it now without asking"
    parser.add_argument("--trust", metavar="DIR", action="append", help=words, default=default(top, []))


def training_options(parser: OptionTaker, top: bool = False) -> None:
    """How a run is trained: `--set`, `--device`, `--processes`, `--name`, `--resume-if-begun`, `--replay-edits`,
    `--detach`, `--notify`."""
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", dest="assignments", default=default(top, []),
        help="set one value, as often as needed: --set train.steps=500 --set model.latent=8",
    )  # fmt: skip
    words = "auto, cpu, cuda, cuda:1 or mps; the same as --set train.device=…"
    parser.add_argument("--device", help=words, default=default(top, ""))
    words = "that many processes share each batch, one a GPU or some cores each; the same as --set train.processes=…"
    parser.add_argument("--processes", metavar="N", type=count, help=words, default=default(top, 0))
    words = "the folder of the run that --run makes"
    parser.add_argument("--name", metavar="NAME", type=named, dest="run_name", help=words, default=default(top, None))
    words = "with --name: go on with that run where it has begun; for jobs that are started again"
    parser.add_argument("--resume-if-begun", action="store_true", help=words, default=default(top, False))
    words = "with --run: make the edits of another run again, at their steps"
    parser.add_argument("--replay-edits", metavar="RUN", type=named, help=words, default=default(top, None))
    words = "start it and return; tui-gen attach shows it"
    parser.add_argument("--detach", action="store_true", help=words, default=default(top, False))
    words = "tell a command of your own what becomes of it, in variables TUI_GEN_…; else notify.command of the settings"
    parser.add_argument("--notify", metavar="COMMAND", type=named, help=words, default=default(top, None))


def style_options(parser: OptionTaker, top: bool = False) -> None:
    """How a run is shown: `--json`, `--plain`, `--every`, `--graphics`, `--theme`, `--budget`."""
    words = "one JSON object a line"
    parser.add_argument("--json", action="store_true", help=words, default=default(top, False))
    words = "plain lines, on a terminal too"
    parser.add_argument("--plain", action="store_true", help=words, default=default(top, False))
    words = "time between plain lines (default: 2)"
    parser.add_argument("--every", metavar="SECONDS", type=seconds, help=words, default=default(top, 2.0))
    workbench_options(parser, "how images are shown (default: what the terminal can)", top)


def workbench_options(parser: OptionTaker, words: str, top: bool = False) -> None:
    """How the workbench is shown: `--graphics`, of which `words` tell, `--theme`, `--budget`."""
    graphics_option(parser, words, top)
    words = "colours of the workbench, this time"
    parser.add_argument("--theme", metavar="NAME", help=words, default=default(top, None))
    words = "what the workbench may send in a second while nobody presses a key (20K, say): slow links stay quick"
    parser.add_argument("--budget", metavar="BYTES", type=byte_rate, help=words, default=default(top, None))


def graphics_option(parser: OptionTaker, words: str, top: bool = False) -> None:
    """`--graphics`."""
    parser.add_argument("--graphics", choices=GRAPHICS, help=words, default=default(top, None))


def json_option(parser: OptionTaker, words: str) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=words)


def named(text: str) -> str:
    """A name that has to be one: a script whose variable is not set does not mean the newest run."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty (a variable that is not set?)")
    return text


def file_of(*endings: str) -> Callable[[str], str]:
    """A kind of value: the file to write, with one of these endings (its kind follows from them) or none."""

    def checked(text: str) -> str:
        ending = PurePath(named(text)).suffix
        if ending and ending.lower() not in endings:
            raise argparse.ArgumentTypeError(f"{text!r} ends in {ending}; what is written is {' or '.join(endings)}")
        return text

    return checked


def byte_rate(text: str) -> float:
    """Bytes a second: a number, with K or M for thousands or millions."""
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].upper() in ("K", "M") else (text, "")
    value = float(number) if number.replace(".", "", 1).isdecimal() and len(number) < 10 else 0.0
    value *= {"": 1, "K": 1e3, "M": 1e6}[unit]
    if value < 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes a second from 1K up, such as 20K or 1M")
    return value


def count(text: str, least: int = 1) -> int:
    """A whole number up to 100,000."""
    value = int(text) if text.isdecimal() and len(text) < 20 else -1
    if not least <= value <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to 100000")
    return value


def step(text: str) -> int:
    """A step, 0 or more; thousands may be apart."""
    digits = text.replace(",", "").replace("_", "")
    if not digits.isdecimal() or len(digits) > 15:
        raise argparse.ArgumentTypeError(f"{text!r} is not a step, a whole number from 0 up")
    return int(digits)


def seed(text: str) -> int:
    """A seed, as those of a config are."""
    value = int(text) if text.isdecimal() and len(text) < 20 else -1
    if not 0 <= value < 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed, a whole number from 0 to {2**31 - 1}")
    return value


def seconds(text: str) -> float:
    """A number of seconds up to a day's."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value
