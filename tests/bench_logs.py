"""What logs and folders of runs cost, whatever their size: `python -m tests.bench_logs [NAME …] [--mb N] [--runs N]`.

Prints a table with the aim beside each figure: peak memory (what the system gave at most) and CPU time, which are
steady on a busy machine. Every figure is of a process of its own. Never fails because of a figure. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench import private_world

MB = 1 << 20
NAMES = [f"phase/metric_{number}" for number in range(20)]


class Measured:
    """What a finished process took: `peak` and `worker` (its child that trains) in MB, `cpu` in seconds."""

    def __init__(self, *command: str, env: dict[str, str] | None = None) -> None:
        begun = time.monotonic()
        self.peak = self.worker = 0.0
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
        watching = threading.Thread(target=self._watch, args=(process,))
        watching.start()
        self.output = process.stdout.read()  # type: ignore[union-attr]
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        watching.join()
        self.status, self.cpu, self.wall = process.returncode, usage.ru_utime + usage.ru_stime, time.monotonic() - begun

    def _watch(self, process: subprocess.Popen[str]) -> None:
        """The system remembers each process's peak: ask until it is gone."""
        while (peak := _peak(process.pid)) and process.returncode is None:
            self.peak = max(self.peak, peak)
            for child in _children(process.pid):
                self.worker = max(self.worker, _peak(child))
            time.sleep(0.005)


def _peak(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def tui_gen(*words: str) -> Measured:
    """A command line of ours."""
    return Measured(sys.executable, "-m", "tui_gen", *words)


def python(code: str, *words: str) -> Measured:
    """A few lines of Python."""
    return Measured(sys.executable, "-c", code, *words)


def metrics(steps: int, each: int = 250, names: list[str] = NAMES) -> Iterator[bytes]:
    """Lines of a log as it was before metrics were packed: `each` steps a line, numbers of seven digits."""
    dice = random.Random(0)
    lines = [[float(f"{dice.gauss(20, 3):.7g}") for _ in range(each)] for _ in range(64)]
    for number, start in enumerate(range(0, steps, each)):
        values = {name: lines[(number + place) % 64] for place, name in enumerate(names)}
        event = {"type": "metrics", "t": 1.7e9 + start, "start": start, "stride": 1, "values": values}
        yield json.dumps(event, separators=(",", ":")).encode() + b"\n"


def packed(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The same log as it is written now."""
    from tui_gen import columns, events

    for line in lines:
        event = events.decode(line)
        event.values = {name: columns.column(one) for name, one in event.values.items()}  # type: ignore[union-attr]
        yield events.encode(event)  # type: ignore[arg-type]


def write(path: Path, lines: Iterator[bytes], size: int = 1 << 62) -> int:
    """Write lines up to a size in bytes; how many lines."""
    count = written = 0
    with open(path, "wb") as file:
        for line in lines:
            file.write(line)
            count, written = count + 1, written + len(line)
            if written >= size:
                break
    return count


def a_run(root: Path, name: str, age: float = 0.0) -> Path:
    """The directory of a finished run with a short log."""
    from tui_gen import events

    run = root / name
    run.mkdir(parents=True)
    text = f'name = "{name}"\n[model]\nname = "vae"\nlatent = 20\n[dataset]\nname = "digits"\n[train]\nsteps = 500\n'
    (run / "config.toml").write_text(text + "".join(f"[train.phases.p{n}]\nlr = 0.001\n" for n in range(20)))
    story = [events.State(state="running", step=0), *(events.Note(text="x" * 60) for _ in range(100))]
    story.append(events.State(state="finished", step=500))
    (run / "events.jsonl").write_bytes(b"".join(map(events.encode, story)))
    (run / "worker.json").write_text(
        json.dumps({"pid": 1, "host": socket.gethostname(), "started": "gone", "socket": "", "since": 1.0})
    )
    then = time.time() - age
    os.utime(run / "config.toml", (then, then))
    return run


def row(name: str, figure: str, aim: str, met: bool | None, detail: str) -> None:
    """A line of the table."""
    mark = {True: "yes", False: "NO", None: ""}[met]
    print(f"{name:<10}{figure:>14}  {aim:>14}  {mark:>3}  {detail}", flush=True)


def peak_row(name: str, base: float, peak: float, aim: float, detail: str) -> None:
    """A line about memory above a base."""
    row(name, f"+{peak - base:.0f} MB", f"≤ +{aim:.0f} MB", peak - base <= aim, f"{detail}; base {base:.0f} MB")


def garbage(base: Path, size: int, count: int) -> None:
    """The list of a folder with everything in it that could be under a log's name."""
    root = base / "garbage"
    a_run(root, "good")
    for name in ("nuls", "line", "fifo", "folder", "device", "socket", "deep", "config", "worker"):
        run = a_run(root, name)
        log = run / "events.jsonl"
        log.unlink()
        match name:
            case "nuls":
                with open(log, "wb") as file:
                    file.truncate(1 << 30)
            case "line":
                write(log, iter(lambda: b"x" * MB, None), max(size, 1 << 30))
            case "fifo":
                os.mkfifo(log)
                (run / "worker.log").unlink(missing_ok=True)
                os.mkfifo(run / "worker.log")
            case "folder":
                log.mkdir()
            case "device":
                log.symlink_to("/dev/zero")
            case "socket":
                with socket.socket(socket.AF_UNIX) as server:
                    here = Path.cwd()
                    os.chdir(run)
                    server.bind("events.jsonl")
                    os.chdir(here)
            case "deep":
                log.write_bytes(b"[" * (64 * MB))
            case "config":
                (run / "config.toml").write_bytes(b'name = "' + b"x" * (64 * MB))
            case "worker":
                (run / "worker.json").write_bytes(b"[" * (64 * MB))
    done = tui_gen("runs", "--runs", str(root), "--json")
    rows = len(json.loads(done.output)) if not done.status else 0
    met = done.peak <= 60 and rows == 10
    row("garbage", f"{done.peak:.0f} MB", "≤ 60 MB", met, f"{rows} of 10 runs listed in {done.cpu:.2f} s of CPU")
    shutil.rmtree(root)


def runs(base: Path, size: int, count: int) -> None:
    """A folder of thousands of runs."""
    root = base / "many"
    for number in range(count):
        a_run(root, f"20260101-0000-run-{number:05d}", age=number)
    empty = min(tui_gen("runs", "--runs", str(base / "nowhere")).cpu for _ in range(3))
    for words in (["runs"], ["runs", "--json"], ["stop"], ["stop", "--all"], ["attach", "latest", "--plain"]):
        done = [tui_gen(*words, "--runs", str(root)) for _ in range(3)]
        cpu = min(one.cpu for one in done)
        without = empty
        if words[0] == "attach":
            one = min((tui_gen("attach", "--plain", str(root / "20260101-0000-run-00000")) for _ in range(3)),
                      key=lambda one: one.cpu)  # fmt: skip
            without = one.cpu
        detail = f"tui-gen {' '.join(words)}, {count} runs; {without:.2f} s without them, peak {done[0].peak:.0f} MB"
        row("runs", f"{cpu - without:.2f} s", "≤ 0.3 s", cpu - without <= 0.3, detail)
    shutil.rmtree(root)


def attach(base: Path, size: int, count: int) -> None:
    """A large log in memory, as the workbench holds it, and its export."""
    run = a_run(base / "large", "large")
    code = "import sys; from pathlib import Path; from tui_gen.view import RunView\nview = RunView(Path(sys.argv[1]))\n"
    code += "view.read_all()\n"
    code += "print(sum(len(curve) for curve in view.series.values()))"
    empty, export_empty = python(code, str(run)).peak, tui_gen("export", str(run), "--csv", "/dev/null").peak
    for words, lines in (("as numbers", metrics(1 << 40)), ("packed", packed(metrics(1 << 40)))):
        write(run / "events.jsonl", lines, size)
        done = python(code, str(run))
        values = int(done.output)
        each = (done.peak - empty) * MB / values
        detail = f"{size / MB:.0f} MB {words}, {values / 1e6:.0f} M values, {done.cpu:.1f} s of CPU"
        row("attach", f"{each:.1f} B/value", "≤ 16 B/value", each <= 16, detail)
        done = tui_gen("export", str(run), "--csv", "/dev/null")
        each = (done.peak - export_empty) * MB / values
        row("export", f"{each:.1f} B/value", "≤ 16 B/value", each <= 16, f"the same; {done.cpu:.1f} s of CPU")
        done = tui_gen("attach", str(run), "--plain")
        peak_row("follow", export_empty, done.peak, 100, f"attach --plain of the same; {done.cpu:.1f} s of CPU")
    shutil.rmtree(base / "large")


def resume(base: Path, size: int, count: int) -> None:
    """A run whose log is large goes on."""
    root = base / "resumed"
    words = ["--run", "vae-digits", "--plain", "--set", "train.steps=20", "--runs", str(root)]
    if (done := tui_gen(*words)).status:
        raise RuntimeError(done.output)
    [run] = root.iterdir()
    log = run / "events.jsonl"

    def goes_on(steps: int) -> Measured:
        done = tui_gen("--resume", str(run), "--plain", "--set", f"train.steps={steps}")
        if done.status:
            raise RuntimeError(done.output)
        return done

    small = goes_on(40)
    own = log.read_bytes()
    write(run / "aside", metrics(1 << 40), size)
    with open(run / "aside", "ab") as file:
        file.write(own)
    os.replace(run / "aside", log)
    large = goes_on(60)
    detail = f"--resume, log of {size / MB:.0f} MB, {large.cpu:.1f} s of CPU"
    peak_row("resume", small.peak, large.peak, 100, detail)
    peak_row("worker", small.worker, large.worker, 100, "its worker")
    shutil.rmtree(root)


def logs(base: Path, size: int, count: int) -> None:
    """How large a log of the trainer's is, and how long 20 × 50,000 values take to be opened."""
    import numpy as np

    from tui_gen import columns, events

    dice = np.random.default_rng(0)
    steps = np.arange(2000)
    loss = 40 * np.exp(-steps / 300) + 20 + dice.normal(0, 0.5, 2000)
    kl = 12 - 10 * np.exp(-steps / 200) + dice.normal(0, 0.1, 2000)
    rates = {"vae/lr": np.full(2000, 1e-3), "vae/active_units": dice.integers(0, 20, 2000).astype(float)}
    values = {"vae/loss": loss, "vae/elbo": -loss, "vae/reconstruction": loss - kl, "vae/kl": kl,
              "vae/grad_norm": dice.gamma(3, 1, 2000), **rates}  # fmt: skip
    before = after = 0
    for start in range(0, 2000, 60):
        part = {name: one[start : start + 60].astype(np.float32).tolist() for name, one in values.items()}
        plain = {name: [float(f"{value:.7g}") for value in one] for name, one in part.items()}
        before += len(json.dumps({"type": "metrics", "t": time.time(), "start": start, "stride": 1, "values": plain},
                                 separators=(",", ":"))) + 1  # fmt: skip
        arrays = {name: columns.column(one) for name, one in part.items()}
        after += len(events.encode(events.Metrics(start=start, values=arrays)))  # type: ignore[arg-type]
    detail = f"{len(values)} metrics, 60 steps at a time: {before / 2000:.1f} bytes a step as numbers"
    row("log", f"{after / 2000:.1f} B/step", "≤ half", after <= before / 2, detail)
    run = a_run(base / "opened", "opened")
    code = "import sys, time; from pathlib import Path; from tui_gen.view import RunView\nbest = 9e9\n"
    code += "for _ in range(3):\n    view, begun = RunView(Path(sys.argv[1])), time.process_time()\n"
    code += "    view.read_all()\n"
    code += "    best = min(best, time.process_time() - begun)\nprint(best)"
    for each in (250, 1):
        for words, lines in (("as numbers", metrics(50_000, each)), ("packed", packed(metrics(50_000, each)))):
            write(run / "events.jsonl", lines)
            took = float(python(code, str(run)).output)
            row("open", f"{took:.2f} s", "", None, f"20 × 50,000 values, {each} steps a line, {words}")
    shutil.rmtree(base / "opened")


MEASURES = {"logs": logs, "garbage": garbage, "runs": runs, "attach": attach, "resume": resume}


def main() -> int:
    """Run those that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench_logs", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(MEASURES)}")
    parser.add_argument("--mb", type=int, default=520, help="the size of a large log")
    parser.add_argument("--runs", type=int, default=3000, help="how many runs are many")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in MEASURES]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(MEASURES)}")
    with private_world() as base:
        print(f"{'what':<10}{'figure':>14}  {'aim':>14}  met  how")
        for name in given.names or MEASURES:
            try:
                MEASURES[name](base, given.mb * MB, given.runs)
            except (RuntimeError, ValueError, OSError) as error:
                row(name, "failed", "", False, " ".join(str(error).split())[-300:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
