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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from tui_gen import __version__, children, first_process
from tui_gen.outcome import complain, guarded, written
from tui_gen.places import default_root, expanded
from tui_gen.report.commands import COMMANDS, Command
from tui_gen.report.commands.options import models_option, named, runs_option, style_options, training_options

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
  tui-gen --run my.toml --processes 4; torchrun --nproc-per-node 4 -m tui_gen train my.toml
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


class Parser(argparse.ArgumentParser):
    """A parser whose errors name the nearest valid word; `command_line` has the words of it.

    That of a `command` has its options only once they are wanted: the command's file need not be read before.
    """

    command_line: list[str] = []
    reached: list[Parser] = []
    """The parsers that have had words of it, the innermost last: a command's after that of all commands."""
    write_error = ""
    """Why a help text could not be written, if so."""

    def __init__(self, *args: Any, command: Command | None = None, **more: Any) -> None:
        super().__init__(*args, **more)
        self._command = command
        self._mixing = False

    def complete(self) -> None:
        """Add a command's own options, if that was not done yet."""
        command, self._command = self._command, None
        if command is not None:
            command.task.options(self)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does it, with all options; also where a command's words stand on both sides of one."""
        self.complete()
        Parser.reached.append(self)
        known, rest = super().parse_known_args(args, namespace)
        whole = any(action.nargs in (argparse.PARSER, argparse.REMAINDER) for action in self._get_positional_actions())
        if not rest or self._mixing or whole or any(word.startswith("-") for word in rest):
            return known, rest
        self._mixing = True  # which parses twice in this way
        try:
            return super().parse_known_intermixed_args(args)
        finally:
            self._mixing = False

    def _print_message(self, message: str, file: Any = None) -> None:
        try:
            (file or sys.stderr).write(message)
        except BrokenPipeError:
            pass
        except OSError as error:
            Parser.write_error = error.strerror or str(error)

    def error(self, message: str) -> NoReturn:
        """One line, what to do, exit status 2."""
        from tui_gen.params import nearest
        from tui_gen.text import clean

        hint = ""
        innermost: Parser = self
        options = [option for parser in self.reached for option in _own_options(parser)]
        strange = [word.partition("=")[0] for word in self.command_line if word.startswith("--") and len(word) > 2]
        strange = [word for word in strange if word not in options]
        if self.reached and (strange or message.startswith("unrecognized arguments")):
            innermost = self.reached[-1]  # the outermost parser tells what a command's finds strange
        if strange:  # whatever argparse made of the words after it
            message, hint = f"no such option {strange[0]}", nearest(strange[0], _own_options(innermost))
        elif "COMMAND: invalid choice: " in message:
            name = message.split("invalid choice: ", 1)[1].rpartition(" (choose from ")[0]
            message, hint = f"no such command {name}", nearest(name[1:-1], [command.name for command in COMMANDS])
        self.exit(2, clean(f"tui-gen: {message}" + (f" ({hint})" if hint else "")) + f"\nsee {innermost.prog} --help\n")


def _own_options(parser: argparse.ArgumentParser) -> list[str]:
    """Every option of a parser, without those of its commands."""
    return [option for action in parser._actions for option in action.option_strings]


def _options(parser: argparse.ArgumentParser) -> list[str]:
    """Every option of a parser and of its commands."""
    if isinstance(parser, Parser):
        parser.complete()
    options = _own_options(parser)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                options += _options(inner)
    return options


def build_parser(some: Sequence[Command] = COMMANDS) -> argparse.ArgumentParser:
    """The command line, with all commands or only some."""
    form = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="tui-gen", description=DESCRIPTION, epilog=EPILOG, formatter_class=form, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"tui-gen {__version__}")
    train = parser.add_argument_group("headless training")
    train.add_argument("--run", metavar="CONFIG|RECIPE", help="train a TOML file, a recipe, or another run's config")
    train.add_argument("--resume", metavar="RUN", type=named, help="go on with a run from its last checkpoint")
    training_options(train, top=True)
    show = parser.add_argument_group("output")
    style_options(show, top=True)
    common = parser.add_argument_group("everywhere")
    runs_option(common, top=True)
    models_option(common, top=True)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for command in some:
        words = command.help[0].upper() + command.help[1:] + "."
        commands.add_parser(command.name, help=command.help, description=words, command=command)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a command line; the exit status. Never raises for anything a person did, nor for a fault of ours."""
    _prepare_standard_streams()
    return first_process.apart(lambda: _obeyed(argv))


def _obeyed(argv: list[str] | None) -> int:
    # NumPy's BLAS would start a thread a core, and end this process where that many are not allowed.
    children.set_here("OPENBLAS_NUM_THREADS", "1")
    words = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser(_wanted(words))
    Parser.command_line, Parser.reached, Parser.write_error = words, [], ""
    training = False

    def obey() -> int:
        nonlocal training
        try:
            args = parser.parse_args(argv)
            _check_combination(parser, args)
        except SystemExit as leaving:
            return leaving.code if isinstance(leaving.code, int) else 2
        training = args.run is not None or args.resume is not None
        return _dispatch(args)

    status = guarded(obey)
    return written(status, training=training, write_error=Parser.write_error)


def _wanted(words: list[str]) -> Sequence[Command]:
    """The commands that a command line may mean: none where it is empty, one where it begins with that one's name."""
    return [command for command in COMMANDS if words[:1] == [command.name]] or (COMMANDS if words else ())


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
    if args.command == "train":
        if args.run is not None or args.resume is not None:
            parser.error("the command train names what it trains itself, without --run or --resume")
        args.run, args.command = args.source, None
    training = args.run is not None or args.resume is not None
    if args.run is not None and args.resume is not None:
        parser.error("--run starts a new run, --resume goes on with one: give one of them")
    if training and args.command:
        parser.error(f"--run and --resume do not go with the command {args.command!r}")
    if not training:
        for option_value, option in (
            (args.assignments, "--set"), (args.detach, "--detach"), (args.processes, "--processes"),
        ):  # fmt: skip
            if option_value and option not in _taken_by(parser, args.command):
                parser.error(f"{option} needs --run or --resume")
    if args.run_name and args.run is None:
        parser.error("--name needs --run")
    if args.notify and not training:
        parser.error("--notify needs --run or --resume")
    if args.replay_edits and args.run is None:
        parser.error("--replay-edits needs --run")
    if args.resume_if_begun and not args.run_name:
        parser.error("--resume-if-begun needs --run and --name (to go on with any run: tui-gen --resume RUN)")
    if args.json and args.plain:
        parser.error("--json and --plain: give one of them")


def _taken_by(parser: argparse.ArgumentParser, command: str | None) -> list[str]:
    """The options that a command takes itself."""
    subcommands = (action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return _options(next(subcommands)[command]) if command else []


def _dispatch(args: argparse.Namespace) -> int:
    root = expanded(args.runs) if args.runs else default_root()
    args.model_dirs, trust_dirs = _absolute(args.model_dirs), _absolute(args.trust, "--trust")
    if args.model_dirs or trust_dirs:
        from tui_gen import trust

        trust.allow([*args.model_dirs, *trust_dirs])
    if args.run is not None or args.resume is not None:
        from tui_gen.report.commands import train

        return train.run(args, root)
    if args.command is None:
        return _workbench(args, root)
    return next(command for command in COMMANDS if command.name == args.command).task.run(args, root)


def _absolute(folders: list[str], option: str = "--models") -> list[str]:
    """The folders that an option names as absolute paths. Raises ConfigError for one that is none."""
    if not folders:
        return []
    from tui_gen.config import ConfigError
    from tui_gen.params import Problem

    missing = [folder for folder in folders if not os.path.isdir(expanded(folder))]
    if missing:
        raise ConfigError("command line", [Problem(option, folder, "is no folder") for folder in missing])
    return [str(expanded(folder).resolve()) for folder in folders]


def _workbench(args: argparse.Namespace, root: Path) -> int:
    from tui_gen.app import main

    if need := main.refusal():
        complain(
            f"{need}; without one, train headless: tui-gen --run vae-digits "
            "(tui-gen recipes lists what there is, tui-gen --help everything else)"
        )
        return 2
    return main.run_workbench(
        root, args.model_dirs, graphics=args.graphics, theme=args.theme, budget=args.budget
    )


if __name__ == "__main__":
    sys.exit(main())
