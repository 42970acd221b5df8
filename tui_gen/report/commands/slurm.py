"""`tui-gen slurm`: a batch script for Slurm that trains a config, stops in time, and is put back into the queue."""

from __future__ import annotations

import argparse
import math
import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tui_gen import catalog as catalogs
from tui_gen import children, runs
from tui_gen.config import ConfigError, RunConfig
from tui_gen.files import written_whole
from tui_gen.params import Problem
from tui_gen.places import expanded, shown
from tui_gen.report import headless, named, stdout
from tui_gen.report.commands import options as common

TIME, WARNING, SOONER = "4:00:00", 120, 60
"""The time limit where none is known, how many seconds before it Slurm tells, and how much sooner it may do so."""
GPU_CPUS, CPUS = 4, 8
"""CPUs of a process that has a GPU, and of one that computes on them."""
FORMS = (
    r"(?P<m>\d+)(:(?P<s>\d+))?",
    r"(?P<h>\d+):(?P<m>\d+):(?P<s>\d+)",
    r"(?P<d>\d+)-(?P<h>\d+)(:(?P<m>\d+)(:(?P<s>\d+))?)?",
)
"""How Slurm writes a length of time."""
SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True)
class BatchJob:
    """What a script is to ask of Slurm, and the command that it runs. `time` is as Slurm takes it, `gpus` too (empty
    for none); `seeds` makes it an array of that many runs; `sbatch` are more options, as they are written.
    """

    name: str
    command: list[str]
    time: str
    gpus: str = ""
    cpus: int = CPUS
    memory: str = ""
    partition: str = ""
    account: str = ""
    processes: int = 1
    seeds: str = ""
    run: str = ""
    warning: int = WARNING
    folder: str = ""
    sbatch: tuple[str, ...] = ()


def options(parser: argparse.ArgumentParser) -> None:
    """Of which config, and what to ask for."""
    parser.add_argument("config", metavar="CONFIG|RECIPE", type=common.named, help="what --run takes")
    parser.add_argument("-o", "--output", metavar="FILE", type=common.named, help="write it into a file as well")
    parser.add_argument("--force", action="store_true", help="replace that file")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=argparse.SUPPRESS, dest="assignments",
        help="set one value, as often as needed",
    )  # fmt: skip
    words = "the run's folder: every job of the script goes on with it; without, each job makes a run of its own"
    parser.add_argument("--name", metavar="NAME", type=common.named, dest="job_run", help=words)
    words = f"the time limit, as Slurm takes it (default: train.minutes and a little, or {TIME})"
    parser.add_argument("--time", type=_time, metavar="TIME", help=words)
    words = "GPUs of the job, 2 or a100:2; 0 for none (default: one a process, none where train.device is cpu)"
    parser.add_argument("--gpus", type=_gpus, metavar="N", help=words)
    words = f"CPUs a process (default: its part of train.threads, or {GPU_CPUS} beside a GPU and {CPUS} without)"
    parser.add_argument("--cpus", type=common.count, metavar="N", help=words)
    parser.add_argument("--memory", type=_memory, metavar="SIZE", help="memory, 16G (default: the cluster's)")
    parser.add_argument("--partition", type=_word, metavar="NAME", help="the partition (default: the cluster's)")
    parser.add_argument("--account", type=_word, metavar="NAME", help="the account (default: yours)")
    words = "processes, each a task that srun starts (default: train.processes)"
    parser.add_argument("--processes", type=common.count, metavar="N", help=words)
    words = "an array of runs with these seeds: 5 is 0 to 4, or list them, 1,2,3"
    parser.add_argument("--seeds", type=_seeds, metavar="N|LIST", help=words)
    words = f"how long before the time is up training stops (default: {WARNING})"
    parser.add_argument("--warn", type=common.count, metavar="SECONDS", default=WARNING, help=words)
    words = "one more option of sbatch, as often as needed: --sbatch=--qos=long"
    parser.add_argument("--sbatch", type=_option, metavar="OPTION", action="append", default=[], help=words)
    common.models_option(parser)
    common.runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """The script on standard output, and in a file where one is named. Raises ConfigError and RunError."""
    out, err = stdout.standard()
    text = script(_ordered(args, root, err))
    if args.output:
        _write(expanded(args.output).absolute(), text, args.force)
    out.text(text)
    place = shlex.quote(args.output or "job.sh")
    err.line(("" if args.output else f"with -o {place} it is written into a file; ") + f"sbatch {place} submits it")
    return 0


def _write(path: Path, text: str, force: bool) -> None:
    if os.path.lexists(path) and not force:
        raise runs.RunError(f"{shown(path)} is there already; --force replaces it")
    try:
        with written_whole(path) as aside:
            aside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise runs.RunError(f"cannot write {shown(path)}: {error.strerror or error}") from None


def _ordered(args: argparse.Namespace, root: Path, err: stdout.Outlet) -> BatchJob:
    """What is asked for, held against the config. Raises ConfigError with what makes no sense."""
    dirs = [*args.model_dirs, *headless.named_dirs(args.config)]
    config = catalogs.resolve(args.config, headless.ensured(list(dict.fromkeys(dirs)), err), args.assignments)
    problems = []
    device = config.train.device
    if device == "mps":
        words = "is a Mac's; no node of a cluster has it"
        problems.append(Problem("train.device", device, words, "--set train.device=auto"))
    if re.fullmatch(r"cuda:[1-9]\d*", device):
        words = "names a GPU of this machine; a job sees its own, and counts them from 0"
        problems.append(Problem("train.device", device, words, "--set train.device=cuda"))
    if args.job_run:
        named.check(args.job_run)
    if args.seeds and any(text.partition("=")[0].strip() == "train.seed" for text in args.assignments):
        problems.append(Problem("--seeds", args.seeds, "and --set train.seed: give one of them"))
    processes = args.processes or config.train.processes
    default_gpus = "0" if device == "cpu" else str(processes)
    gpus = args.gpus if args.gpus is not None else default_gpus
    if device == "cpu" and int(gpus.rpartition(":")[2]):
        problems.append(Problem("--gpus", gpus, "would be idle: train.device is cpu", "--set train.device=auto"))
    has_gpu = int(gpus.rpartition(":")[2]) > 0
    threads = -(-config.train.threads // processes)  # the setting is for all processes of a machine
    limit = args.time or _time_for(config)
    if seconds_of(limit) < args.warn + SOONER:
        words = f"is too short to be told {args.warn} s before its end, which Slurm does up to a minute sooner"
        problems.append(Problem("--time", limit, words, "a longer one, or --warn SECONDS"))
    if problems:
        raise ConfigError("command line", problems)
    return BatchJob(
        name=runs.slug(args.job_run or config.name or config.model.name), command=_command(args, root), time=limit,
        gpus=gpus if has_gpu else "", cpus=args.cpus or threads or (GPU_CPUS if has_gpu else CPUS),
        memory=args.memory or "", partition=args.partition or "", account=args.account or "", processes=processes,
        seeds=args.seeds or "", run=args.job_run or "", warning=args.warn, folder=os.getcwd(),
        sbatch=tuple(args.sbatch),
    )  # fmt: skip


def _command(args: argparse.Namespace, root: Path) -> list[str]:
    """The command line of the run: what it names does not depend on where the job begins."""
    source = os.path.abspath(os.path.expanduser(args.config))
    words = [*_program(), "--run", source if os.path.exists(source) else args.config]
    for assignment in args.assignments:
        words += ["--set", assignment]
    for folder in args.model_dirs:
        words += ["--models", folder]
    return [*words, "--runs", os.path.abspath(root), "--plain"]


def _program() -> list[str]:
    """How this very program is called: a job need not have the same PATH."""
    found = shutil.which(sys.argv[0]) if os.path.basename(sys.argv[0]).startswith("tui-gen") else None
    return [os.path.abspath(found)] if found else children.command("tui_gen")


def script(order: BatchJob) -> str:
    """The batch script. It is plain sh but for `wait`, which bash leaves when a signal comes."""
    lines = [
        "#!/bin/bash", *_asked(order), "", *_explained(order), "",
        'signal="" again="" child=""',
        "hand_on() { signal=$1; [ -z \"$child\" ] || kill -s \"$signal\" \"$child\" 2> /dev/null; }",
        "trap 'again=yes; hand_on USR1' USR1",
        "trap 'hand_on TERM' TERM",
        *(['export OMP_NUM_THREADS="$SLURM_CPUS_PER_TASK"'] if order.cpus else []),
        f"{_called(order)} &",
        "child=$!",
        "# A signal that came before there was anybody to tell: until it runs the command, the child loses it.",
        '[ -z "$signal" ] || { sleep 1; kill -s "$signal" "$child" 2> /dev/null; }',
        'while kill -0 "$child" 2> /dev/null; do wait "$child"; done  # a signal ends a wait',
        'wait "$child"',
        "status=$?",
        'case "$again$status" in',
        "    # Stopped by a signal, with more to train; 138: USR1 came before Python had begun; 255: it ended while",
        "    # bash took a signal, and bash does not know how.",
        f'    yes143 | yes138 | yes255) scontrol requeue "{_job(order)}" ;;',
        "esac",
        'exit "$status"',
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _job(order: BatchJob) -> str:
    # The number of one task of an array is that of the array: it would mean all of them.
    return "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}" if order.seeds else "$SLURM_JOB_ID"


def _asked(order: BatchJob) -> list[str]:
    """The lines that sbatch reads."""
    rows = [
        (f"--job-name={order.name}", ""),
        (f"--array={order.seeds}" if order.seeds else "", "one run a seed"),
        (f"--output={order.name}-{'%A_%a' if order.seeds else '%j'}.log", "what it prints"),
        ("--open-mode=append", "also after a restart"),
        (f"--chdir={order.folder}" if order.folder and not re.search(r"\s", order.folder) else "", ""),
        (f"--partition={order.partition}" if order.partition else "", ""),
        (f"--account={order.account}" if order.account else "", ""),
        (f"--time={order.time}", "it is put back and goes on when this is over"),
        (f"--nodes=1 --ntasks={order.processes}" if order.processes > 1 else "--ntasks=1", ""),
        (f"--cpus-per-task={order.cpus}", ""),
        (f"--gpus={order.gpus}" if order.gpus else "", ""),
        (f"--mem={order.memory}" if order.memory else "", ""),
        ("--requeue", "Slurm puts it back where it is preempted or a node fails"),
        (f"--signal=B:USR1@{order.warning}", f"tells this script {order.warning} s before the time is up"),
        *((option, "") for option in order.sbatch),
    ]
    # sbatch reads such a line to its end: what is explained stands above it.
    lines: list[str] = []
    for option, words in rows:
        if option:
            lines += [*([f"# {words}:"] if words else []), f"#SBATCH {option}"]
    return lines


def _explained(order: BatchJob) -> list[str]:
    words = [
        f"# USR1 comes {order.warning} s before the time is up, or up to a minute sooner: training stops with a",
        "# checkpoint (status 143), and the job is put back into the queue. TERM is for jobs that are cancelled or",
        "# preempted: they stop with a checkpoint, too, and Slurm itself puts back what it preempted.",
    ]
    if order.run:
        return [*words, "# Every job of this script goes on with the run of this name where it has begun."]
    return [*words, "# A job that is started again goes on with the run that it made; another job makes another run."]


def _called(order: BatchJob) -> str:
    """The command of the run, in lines."""
    words = [shlex.quote(word) for word in order.command]
    if order.seeds:
        words += ["--set", 'train.seed="$SLURM_ARRAY_TASK_ID"']
    if order.run:
        name = shlex.quote(order.run) + ('"-s$SLURM_ARRAY_TASK_ID"' if order.seeds else "")
        words += ["--name", name, "--resume-if-begun"]
    if order.processes > 1:  # since Slurm 22.05 srun does not ask for the CPUs of the job by itself
        words = ["srun", '--cpus-per-task="$SLURM_CPUS_PER_TASK"', *words]
    lines: list[str] = []
    line = ""
    for word in words:
        if line and (len(line) + len(word) > 100 or word.startswith("--")):
            lines, line = [*lines, line], ""
        line += f" {word}" if line else word
    return " \\\n    ".join([*lines, line])


def seconds_of(text: str) -> int:
    """Slurm's length of time in seconds; -1 where it is none."""
    for form in FORMS:
        if match := re.fullmatch(form, text, re.ASCII):
            return sum(int(value) * SECONDS[unit] for unit, value in match.groupdict().items() if value)
    return -1


def _time_for(config: RunConfig) -> str:
    """A limit for a run whose length is a time: that, and what is done at its end. Others are put back, and go on."""
    if not config.train.minutes:
        return TIME
    minutes = math.ceil(1.1 * config.train.minutes) + 10
    days, hours = divmod(minutes // 60, 24)
    clock = f"{hours:02d}:{minutes % 60:02d}:00"
    return f"{days}-{clock}" if days else clock.removeprefix("0")


def _time(text: str) -> str:
    if len(text) > 20 or seconds_of(text) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time: 90 (minutes), 4:00:00 or 2-12:00:00")
    return text


def _gpus(text: str) -> str:
    if not re.fullmatch(r"([A-Za-z][\w.-]*:)?\d{1,4}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of GPUs, 2 or a100:2")
    return text


def _memory(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d{0,8}[KMGT]?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of memory, 16G say")
    return text


def _word(text: str) -> str:
    if not re.fullmatch(r"[\w.,:@+/-]{1,200}", text) or text.startswith("-"):
        raise argparse.ArgumentTypeError(f"{text!r} is no name that Slurm takes")
    return text


def _option(text: str) -> str:
    if not re.fullmatch(r"--?[A-Za-z][^\n\r#]{0,300}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no option of sbatch, --qos=long say")
    return text


def _seeds(text: str) -> str:
    """As `--array` takes it."""
    if re.fullmatch(r"[1-9]\d{0,3}", text, re.ASCII):
        return f"0-{int(text) - 1}"
    numbers = text.split(",")
    if all(re.fullmatch(r"\d{1,6}", number, re.ASCII) for number in numbers):
        different = list(dict.fromkeys(str(int(number)) for number in numbers))
        if len(different) == len(numbers) > 1:
            return ",".join(different)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seeds, nor a list of different ones, 1,2,3")
