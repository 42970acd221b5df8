"""The command line: `tui-gen` opens the workbench, `tui-gen --run` trains headless, the rest looks at runs.

Exit status: 0 finished; 1 failed; 2 a bad command line, config or run name, or a run that somebody trains already;
3 stopped before its end, with a checkpoint; 4 interrupted (the worker died); 130 ended at once by a second Ctrl-C;
143 stopped by SIGTERM, SIGUSR1, SIGUSR2 or SIGXCPU, with a checkpoint.
Textual and PyTorch are imported only by the commands that need them, PyTorch never in this process.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from tui_gen import __version__, children
from tui_gen.outcome import complain, guarded, written
from tui_gen.places import cache_dir, config_dir, default_root, expanded

DESCRIPTION = """\
Train generative models from a terminal: live losses, live samples, exact resume, over SSH.

  tui-gen                     the workbench: pick a model, edit it, train it, watch it
  tui-gen --run RECIPE        the same run headless; RECIPE or a TOML file
  tui-gen COMMAND             look at runs and at what can be trained
"""

EPILOG = """\
examples:
  tui-gen --run vae-digits
  tui-gen --run dcgan-mnist --set train.steps=5000 --set train.phases.generator.lr=1e-4
  tui-gen recipe vae-digits > my.toml; tui-gen --run my.toml --plain > my.log
  tui-gen --run ddpm-digits --json | jq -c 'select(.type == "metrics")'
  tui-gen --run vae-mnist --detach; tui-gen attach
  tui-gen --resume latest --set train.steps=40000
  tui-gen --run my.toml --name first --resume-if-begun      in a batch script: start it, or go on with it
  tui-gen sample latest -n 64 -o grid.png --seed 1
  tui-gen quality latest --samples 5000

Ctrl-C stops a run with a checkpoint, a second one ends it at once. SIGTERM stops it with a checkpoint, and so do
SIGUSR1, SIGUSR2 and SIGXCPU, with which batch systems tell that a job's time is up. Closing the terminal does not
touch it: tui-gen attach shows it again. Runs go to ./runs, $TUI_GEN_RUNS or --runs DIR.

exit status:
  0  finished (already, with --resume-if-begun)   3    stopped before its end, with a checkpoint
  1  failed                                       4    interrupted: the worker died
  2  bad command line or config, or the run       130  ended at once by a second Ctrl-C
     is being trained already                     143  SIGTERM or the like, with a checkpoint
"""

GRAPHICS = ("auto", "kitty", "sixel", "halfblock", "ascii", "off")


class Parser(argparse.ArgumentParser):
    """A parser whose errors name the nearest valid word; `given` is the command line."""

    given: list[str] = []
    lost = ""
    """Why a help text could not be written, if so."""

    def _print_message(self, message: str, file: Any = None) -> None:
        try:
            (file or sys.stderr).write(message)
        except BrokenPipeError:
            pass
        except OSError as error:
            Parser.lost = error.strerror or str(error)

    def error(self, message: str) -> NoReturn:
        """One line, what to do, exit status 2."""
        from tui_gen.params import nearest
        from tui_gen.text import clean

        hint = ""
        known = set(_options(self))
        strange = [one.partition("=")[0] for one in self.given if one.startswith("--") and len(one) > 2]
        strange = [one for one in strange if one not in known]
        if strange:  # whatever argparse made of the words after it
            message, hint = f"no such option {strange[0]}", nearest(strange[0], known)
        elif "COMMAND: invalid choice: " in message:
            name = message.split("invalid choice: ", 1)[1].rpartition(" (choose from ")[0]
            message, hint = f"no such command {name}", nearest(name[1:-1], COMMANDS)
        self.exit(2, clean(f"tui-gen: {message}" + (f" ({hint})" if hint else "")) + "\nsee tui-gen --help\n")


def _options(parser: argparse.ArgumentParser) -> list[str]:
    """Every option of a parser and of its commands."""
    found = []
    for action in parser._actions:
        found += action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                found += _options(inner)
    return found


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="tui-gen", description=DESCRIPTION, epilog=EPILOG, formatter_class=form, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"tui-gen {__version__}")
    train = parser.add_argument_group("headless training")
    train.add_argument("--run", metavar="CONFIG|RECIPE", help="train a TOML file, a recipe, or another run's config")
    train.add_argument("--resume", metavar="RUN", type=_named, help="go on with a run from its last checkpoint")
    train.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], dest="assignments",
        help="set one value, as often as needed: --set train.steps=500 --set model.latent=8",
    )  # fmt: skip
    train.add_argument("--device", default="", help="auto, cpu, cuda, cuda:1 or mps; the same as --set train.device=…")
    words = "the folder of the run that --run makes"
    train.add_argument("--name", metavar="NAME", type=_named, dest="run_name", help=words)
    words = "with --name: go on with that run where it has begun; for jobs that are started again"
    train.add_argument("--resume-if-begun", action="store_true", help=words)
    train.add_argument("--detach", action="store_true", help="start it and return; tui-gen attach shows it")
    show = parser.add_argument_group("output")
    _style_options(show, top=True)
    common = parser.add_argument_group("everywhere")
    _runs_option(common, top=True)
    _models_option(common, top=True)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    _commands(commands)
    return parser


def _runs_option(parser: Any, top: bool = False) -> None:
    default = {} if top else {"default": argparse.SUPPRESS}  # given before or after the command
    words = "the folder of runs (default: $TUI_GEN_RUNS or ./runs)"
    parser.add_argument("--runs", metavar="DIR", help=words, **default)


def _models_option(parser: Any, top: bool = False) -> None:
    default = {"default": []} if top else {"default": argparse.SUPPRESS}
    words = "a folder of your own model files"
    parser.add_argument("--models", metavar="DIR", action="append", dest="model_dirs", help=words, **default)
    _trust_option(parser, top)


def _trust_option(parser: Any, top: bool = False) -> None:
    default = {"default": []} if top else {"default": argparse.SUPPRESS}
    words = "a folder of model files that a config or a run names: execute what is in it now without asking"
    parser.add_argument("--trust", metavar="DIR", action="append", help=words, **default)


def _style_options(parser: Any, top: bool = False) -> None:
    default = (lambda value: {"default": value}) if top else (lambda value: {"default": argparse.SUPPRESS})
    parser.add_argument("--json", action="store_true", help="one JSON object a line", **default(False))
    parser.add_argument("--plain", action="store_true", help="plain lines, on a terminal too", **default(False))
    parser.add_argument(
        "--every", metavar="SECONDS", type=_seconds, help="time between plain lines (default: 2)", **default(2.0)
    )
    parser.add_argument(
        "--graphics", choices=GRAPHICS, help="how images are shown (default: what the terminal can)", **default(None)
    )
    parser.add_argument("--theme", metavar="NAME", help="colours of the workbench, this time", **default(None))


def _commands(commands: Any) -> None:
    def add(name: str, help: str, **more: Any) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".", **more)

    place_help = "a directory, its name or the beginning of it"
    run_help = f"{place_help}; latest, or nothing, is the newest run"
    one = add("runs", "list the runs: live, finished, stopped, failed, interrupted")
    one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="as a JSON array")
    _runs_option(one)
    one = add("attach", "show a run, live or not: in the workbench on a terminal, as text elsewhere")
    one.add_argument("name", metavar="RUN", nargs="?", default="", help=run_help)
    _style_options(one)
    _runs_option(one)
    _models_option(one)
    one = add("stop", "stop live runs, with a checkpoint")
    one.add_argument("names", metavar="RUN", type=_named, nargs="*", help=run_help)
    one.add_argument("--all", action="store_true", help="every live run in the folder")
    one.add_argument("--no-checkpoint", action="store_true", help="without a checkpoint")
    _runs_option(one)
    one = add("sample", "make samples from a run's checkpoint")
    one.add_argument("name", metavar="RUN", type=_named, help=f"{place_help}; latest is the newest run")
    one.add_argument("-n", type=_count, default=64, metavar="N", dest="count", help="how many (default: 64)")
    output_help = "the PNG to write (default: grid.png; text goes to a .txt)"
    one.add_argument("-o", "--output", metavar="FILE", default="grid.png", help=output_help)
    one.add_argument("--seed", type=int, default=0, help="seed of the noise (default: 0)")
    one.add_argument("--step", type=int, help="of the checkpoint at this step (default: the newest)")
    one.add_argument("--label", help="of this class only, for conditional models")
    one.add_argument("--device", default=argparse.SUPPRESS, help="auto, cpu, cuda, …")
    one.add_argument("--graphics", choices=GRAPHICS, default=argparse.SUPPRESS, help="how the grid is shown here")
    _models_option(one)
    _runs_option(one)
    one = add("quality", "measure the samples of a run's checkpoint against real data: FID, KID, precision, recall …")
    one.add_argument("name", metavar="RUN", nargs="?", default="", help=run_help)
    one.add_argument(
        "--samples", type=_samples, metavar="N", dest="count",
        help="how many are drawn (default: the run's quality.samples; FID needs 2000)",
    )  # fmt: skip
    one.add_argument("--seed", type=int, help="seed of their noise (default: the run's quality.seed)")
    one.add_argument("--step", type=int, help="of the checkpoint at this step (default: the newest)")
    one.add_argument("--device", default=argparse.SUPPRESS, help="auto, cpu, cuda, …")
    one.add_argument("--root", metavar="DIR", default="", help="where the run's data is now, if it was moved")
    one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="as a JSON object")
    _models_option(one)
    _runs_option(one)
    for name, help in (
        ("models", "list the models, or everything about one"),
        ("recipes", "list the recipes"),
        ("datasets", "list the datasets, or everything about one"),
    ):
        one = add(name, help)
        if name != "recipes":
            one.add_argument("name", metavar="NAME", nargs="?", default="", help="one of them")
        _models_option(one)
    one = add("recipe", "print a recipe as a complete, commented config: tui-gen recipe NAME > my.toml")
    one.add_argument("name", metavar="NAME", help="see tui-gen recipes")
    _models_option(one)
    one = add("delete", "delete runs that are not training")
    one.add_argument("names", metavar="RUN", type=_named, nargs="+", help=place_help)
    one.add_argument("--yes", action="store_true", help="do not ask")
    _runs_option(one)
    one = add("export", "write every value of a run's metrics as CSV")
    one.add_argument("name", metavar="RUN", nargs="?", default="", help=run_help)
    one.add_argument("--csv", metavar="FILE", default="-", help="the file to write (default: standard output)")
    _runs_option(one)
    _zoo_commands(add("zoo", "train the recipes and compare what they reach with what they should"))


def _zoo_commands(parser: Any) -> None:
    tasks = parser.add_subparsers(metavar="TASK", dest="task", required=True)
    words = "train the small version of every recipe that states a figure, and show what it reaches"
    check = tasks.add_parser("check", help=words, description=words[0].upper() + words[1:] + ".")
    check.add_argument(
        "--budget", metavar="TIME", type=_minutes, default=0.0, help="start nothing more after this long: 90s, 10m, 1h"
    )
    check.add_argument("--jobs", metavar="N", type=_count, default=1, help="train so many at a time (default: 1)")
    check.add_argument("--full", action="store_true", help="train the recipes as written, where their data is at hand")
    check.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=argparse.SUPPRESS, dest="assignments",
        help="set one value for all of them: --set dataset.root=DIR --set train.minutes=3",
    )  # fmt: skip
    words = "show the figures on record, without training anything"
    table = tasks.add_parser("table", help=words, description=words[0].upper() + words[1:] + ".")
    for one, record in ((check, "keep what is measured in FILE"), (table, "the record to show")):
        one.add_argument(
            "--only", metavar="RECIPE", nargs="+", action="extend", default=[],
            help="these alone; with wildcards, if quoted: --only vae 'ddpm*'",
        )  # fmt: skip
        one.add_argument(
            "--record", metavar="FILE", nargs="?", const="", help=f"{record} (default: the one beside the recipes)"
        )
        how = one.add_mutually_exclusive_group()
        how.add_argument("--markdown", action="store_true", help="as a Markdown table")
        how.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object a line")
        _runs_option(one)
        _models_option(one)


COMMANDS = (
    "runs", "attach", "stop", "sample", "quality", "models", "recipes", "datasets", "recipe", "delete", "export", "zoo",
)  # fmt: skip


def _named(text: str) -> str:
    """A name that has to be one: a script whose variable is not set does not mean the newest run."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty (a variable that is not set?)")
    return text


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 100000")
    return int(text)


def _samples(text: str) -> int:
    if not text.isdigit() or not 50 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 50 to 100000")
    return int(text)


def _minutes(text: str) -> float:
    units = {"s": 1 / 60, "m": 1.0, "h": 60.0}
    number = text[:-1] if text[-1:] in units else text
    try:
        value = float(number) * units.get(text[-1:], 1.0)
    except ValueError:
        value = -1.0
    if not 0 < value <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 10m, 90s or 1h")
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def main(argv: list[str] | None = None) -> int:
    """Run a command line; the exit status. Never raises for anything a person did, nor for a fault of ours."""
    _prepare_standard_streams()
    parser = build_parser()
    Parser.given, Parser.lost = list(sys.argv[1:] if argv is None else argv), ""
    try:
        args = parser.parse_args(argv)
        _check_combination(parser, args)
    except SystemExit as leaving:
        return written(leaving.code if isinstance(leaving.code, int) else 2, lost=Parser.lost)
    return written(guarded(lambda: _dispatch(args)), training=args.run is not None or args.resume is not None)


def _prepare_standard_streams() -> None:
    """Where somebody closed them (`>&-`, some service managers), standard streams lead nowhere; what the encoding of
    standard output lacks is written as `?`.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for as long as we live
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _check_combination(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """What argparse does not see: options that need others."""
    training = args.run is not None or args.resume is not None
    if args.run is not None and args.resume is not None:
        parser.error("--run starts a new run, --resume goes on with one: give one of them")
    if training and args.command:
        parser.error(f"--run and --resume do not go with the command {args.command!r}")
    if not training:
        for given, option in ((args.assignments, "--set"), (args.detach, "--detach")):
            if given and not (option == "--set" and args.command == "zoo"):
                parser.error(f"{option} needs --run or --resume")
    if args.run_name and args.run is None:
        parser.error("--name needs --run")
    if args.resume_if_begun and not args.run_name:
        parser.error("--resume-if-begun needs --run and --name")
    if args.json and args.plain:
        parser.error("--json and --plain: give one of them")


def _dispatch(args: argparse.Namespace) -> int:
    # NumPy's BLAS would start a thread a core, and end this process where that many are not allowed.
    children.set_here("OPENBLAS_NUM_THREADS", "1")
    root = expanded(args.runs) if args.runs else default_root()
    args.model_dirs, trusted = _absolute(args.model_dirs), _absolute(args.trust, "--trust")
    if args.model_dirs or trusted:
        from tui_gen import trust

        trust.allow([*args.model_dirs, *trusted])
    if args.run is not None or args.resume is not None:
        return _train(args, root)
    if args.command is None:
        return _workbench(args, root)
    if args.command == "attach":
        from tui_gen import runs

        return _attach(args, runs.find(root, args.name))
    if args.command in ("runs", "stop", "delete"):
        from tui_gen.report import managing

        return managing.RUN[args.command](args, root)
    from tui_gen.report import commands

    return commands.RUN[args.command](args, root)


def _absolute(folders: list[str], option: str = "--models") -> list[str]:
    """The folders that an option names as absolute paths. Raises ConfigError for one that is none."""
    if not folders:
        return []
    from tui_gen.config import ConfigError
    from tui_gen.params import Problem

    missing = [one for one in folders if not os.path.isdir(expanded(one))]
    if missing:
        raise ConfigError("command line", [Problem(option, one, "is no folder") for one in missing])
    return [str(expanded(one).resolve()) for one in folders]


def _style(args: argparse.Namespace) -> Any:
    from tui_gen.report.headless import Style

    return Style(args.json, args.plain, args.every, args.graphics or "auto")


def _train(args: argparse.Namespace, root: Path) -> int:
    from tui_gen import runs
    from tui_gen.report import headless

    style = _style(args)
    if args.resume is not None:
        path = runs.find(root, args.resume)
        return headless.resume(
            path, args.assignments, style, device=args.device, model_dirs=args.model_dirs, detach=args.detach
        )
    if args.run_name:
        from tui_gen.report import named

        named.check(args.run_name)
        if path := named.begun(root, args.run_name, args.resume_if_begun):
            return named.go_on(
                path, args.run, args.assignments, style, device=args.device, dirs=args.model_dirs, detach=args.detach
            )
    assignments = [*args.assignments, *([f"train.device={args.device}"] if args.device else [])]
    return headless.train(
        args.run, assignments, root, style, model_dirs=args.model_dirs, detach=args.detach, folder=args.run_name or ""
    )


def _attach(args: argparse.Namespace, path: Path) -> int:
    """In the workbench on a terminal, as text elsewhere or where asked."""
    if not (args.json or args.plain) and _on_terminal():
        return _open_workbench(args, path.parent, path)
    from tui_gen.report import headless

    return headless.attach(path, _style(args))


def _workbench(args: argparse.Namespace, root: Path) -> int:
    if not _on_terminal():
        term = os.environ.get("TERM", "")
        if _streams_are_terminals():
            need = f"TERM={term}: the workbench needs a terminal that can move its cursor (TERM=xterm-256color, say)"
        else:
            need = "the workbench needs a terminal"
        complain(
            f"{need}; without one, train headless: tui-gen --run vae-digits "
            "(tui-gen recipes lists what there is, tui-gen --help everything else)"
        )
        return 2
    return _open_workbench(args, root, None)


def _on_terminal() -> bool:
    """Whether a workbench can be shown: a terminal on both ends that can do more than print."""
    return _streams_are_terminals() and os.environ.get("TERM", "") not in ("", "dumb")


def _streams_are_terminals() -> bool:
    try:
        return sys.stdin.isatty() and sys.stdout.isatty()
    except ValueError:
        return False


def _open_workbench(args: argparse.Namespace, root: Path, path: Path | None) -> int:
    """The terminal is asked what it can do before Textual is imported: Textual reads its settings then."""
    config_dir(), cache_dir()  # said here where there are none, not in the middle of a screen
    from tui_gen.draw.terminal import probe

    try:
        found = probe(args.graphics)
    except ValueError as error:
        from tui_gen.config import ConfigError
        from tui_gen.params import Problem

        raise ConfigError("command line", [Problem("graphics", None, str(error))]) from None
    from tui_gen.app.main import run_workbench

    return run_workbench(root, args.model_dirs, open_run=path, terminal=found, theme=args.theme)


if __name__ == "__main__":
    sys.exit(main())
