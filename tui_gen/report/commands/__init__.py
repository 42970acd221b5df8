"""The commands: `tui-gen NAME …`.

A command is a row of COMMANDS and a file of that name in this folder, with two functions: `options` says what the
command takes, `run` does it. A file is imported only where its command is called or its help is asked for, so it
imports at its top whatever it needs.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import NamedTuple, Protocol, cast


class Task(Protocol):
    """What a command's file has."""

    def options(self, parser: argparse.ArgumentParser) -> None:
        """Add what the command takes to its parser."""

    def run(self, args: argparse.Namespace, root: Path) -> int:
        """Do it, in a folder of runs; the exit status. Raises ConfigError, RunError and ControlError."""


class Command(NamedTuple):
    """A command: its name, what it does in a line, and the module with its Task (the file of its name)."""

    name: str
    help: str
    module: str = ""

    @property
    def task(self) -> Task:
        """The command itself, imported now."""
        return cast(Task, importlib.import_module(self.module or f"{__name__}.{self.name}"))


COMMANDS = [
    Command("train", "the same as --run, for launchers: torchrun --nproc-per-node 4 -m tui_gen train my.toml"),
    Command("runs", "list the runs: live, finished, stopped, failed, interrupted; or all about one"),
    Command("attach", "show a run, live or not: in the workbench on a terminal, as text elsewhere"),
    Command("watch", "show the runs of another machine, through ssh: in the workbench, or as text"),
    Command("compare", "hold runs against each other: the settings that differ, their results, their curves"),
    Command("edit", "change settings of a live run: tui-gen edit RUN KEY=VALUE …"),
    Command("edits", "list what was edited in a run while it trained, and take it back"),
    Command("fork", "start a new run from a step of another, with settings of its own"),
    Command("replay", "play a recorded run as if it were live: in the workbench on a terminal, as text elsewhere"),
    Command("stop", "stop live runs, with a checkpoint"),
    Command("resume", "let runs that ended go on from their last checkpoints, many at once or one after another"),
    Command("checkpoint", "have live runs make a checkpoint now"),
    Command("rollback", "go back to an earlier checkpoint, with smaller learning rates or past a batch, and go on"),
    Command("queue", "train configs one after another: add, move, remove, pause, when each will end"),
    Command("sweep", "search a space of settings with Optuna: trials that are runs, the bad ones stopped early"),
    Command("slurm", "write a batch script for Slurm that trains a config, stops in time and goes on by itself"),
    Command("note", "keep a note about a run, one of its steps or one of its samples"),
    Command("tag", "give a run tags, and take them away"),
    Command("star", "give runs a star"),
    Command("rename", "call a run by another name"),
    Command(
        "yield", "pause a run and give its GPU back; with --back it goes on as if nothing had been",
        "tui_gen.report.commands.yield_",
    ),
    Command("sample", "make samples from a run's checkpoint"),
    Command("walk", "write a walk through a run's latent space as a GIF"),
    Command("quality", "measure the samples of a run's checkpoint against real data: FID, KID, precision, recall …"),
    Command("models", "list the models, or everything about one"),
    Command("recipes", "list the recipes"),
    Command("datasets", "list the datasets, or everything about one"),
    Command("recipe", "print a recipe as a complete, commented config: tui-gen recipe NAME > my.toml"),
    Command("delete", "delete runs that are not training"),
    Command("export", "write a run in another format: its metrics as a table, its samples as arrays …"),
    Command(
        "verify-resume",
        "prove that a resume is exact: train, kill at random steps, resume, and compare every bit",
        "tui_gen.report.commands.verify_resume",
    ),
    Command("fit", "try which batch fits into the memory, in how many parts"),
    Command("doctor", "say what this terminal and this machine can do, and what to mend"),
    Command("mirror", "what watch starts on the other machine, by itself"),
    Command("zoo", "train the recipes and compare what they reach with what they should"),
]
"""In the order of `tui-gen --help`."""
