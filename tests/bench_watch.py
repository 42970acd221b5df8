"""What watching another machine costs: `python -m tests.bench_watch [--runs N] [--delay MS]` prints a table.

The other machine is a script in ssh's place on this one; with `--delay` what it sends is so many milliseconds late each
way, as over a long line. Bytes are those on the link, before ssh encrypts them (about 30 more a packet).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shlex
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests import fake_worker
from tests.bench_runs import make_runs
from tests.far import ssh_script
from tests.waiting import wait_for
from tui_gen import events, presence, runs
from tui_gen.log import event_log

SECONDS = 20.0
"""For which bytes are counted."""
EVENTS = 40
"""Whose way to the screen is timed."""


def line(what: str, figure: str, more: str = "") -> None:
    """A row of the table."""
    print(f"{what:<44}{figure:>14}  {more}", flush=True)


@contextlib.contextmanager
def machine(delay: float) -> Iterator[tuple[Path, str]]:
    """Another machine: (the folder of its runs, what to call in ssh's place)."""
    with tempfile.TemporaryDirectory(prefix="tg-", dir="/tmp", ignore_cleanup_errors=True) as name:
        base = Path(name)
        for variable in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
            os.environ[variable] = str(base / variable[4:8].lower())
            Path(os.environ[variable]).mkdir(mode=0o700)
        (base / "home" / "runs").mkdir(parents=True)
        script = str(ssh_script(base, base / "home"))
        if delay:
            script = f"{shlex.quote(sys.executable)} -m tests.bench_watch --late {delay} {script}"
        yield base / "home" / "runs", script


def late(delay: float, words: list[str]) -> int:
    """Run a command whose input and output are so many seconds late."""
    import subprocess

    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def carry(source: int, target: int) -> None:
        waiting: list[tuple[float, bytes]] = []
        more = threading.Condition()

        def give() -> None:
            while True:
                with more:
                    while not waiting:
                        more.wait()
                    due, data = waiting.pop(0)
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    os.close(target)
                    return
                os.write(target, data)

        threading.Thread(target=give).start()
        while True:
            data = os.read(source, 65536)
            with more:
                waiting.append((time.monotonic() + delay, data))
                more.notify()
            if not data:
                return

    assert process.stdin is not None and process.stdout is not None
    threading.Thread(target=carry, args=(0, process.stdin.fileno()), daemon=True).start()
    carry(process.stdout.fileno(), 1)
    return process.wait()


def listing(root: Path, ssh: str, count: int) -> None:
    """How soon thousands of runs are listed, and what that sends."""
    from tui_gen.remote.link import Dialling, RemoteFolder
    from tui_gen.remote.watcher import Watcher

    make_runs(root, count)
    for again in ("the first time", "once more"):
        start = time.monotonic()
        watcher = Watcher(Dialling(RemoteFolder("far", "runs"), ssh), quiet=True)
        threading.Thread(target=watcher.start, daemon=True).start()
        wait_for(lambda: len(runs.folders(watcher.root)) >= 50, 120)  # noqa: B023 - called here
        first = time.monotonic() - start
        wait_for(lambda: watcher._listed.is_set(), 120)  # noqa: B023 - called here
        link = watcher._link
        assert link is not None
        seconds, read = time.monotonic() - start, link.stream.bytes_read
        more = f"the newest 50 after {first:.2f} s; {read:,} bytes"
        line(f"{count:,} runs listed, {again}", f"{seconds:.2f} s", more)
        newest = Path(runs.folders(watcher.root)[0][1])
        start = time.monotonic()
        watcher.open_run(newest)
        size = (newest / runs.LOG).stat().st_size
        line("  one of them opened", f"{time.monotonic() - start:.2f} s", f"a log of {size:,} bytes")
        watcher.close()


def traffic(root: Path, ssh: str) -> None:
    """Bytes a second of a watch in which nothing happens, and of one of a live run."""
    from tui_gen.remote.link import Dialling, RemoteFolder
    from tui_gen.remote.watcher import Watcher

    ended = fake_worker.record(fake_worker.make_run(root))
    watcher = Watcher(Dialling(RemoteFolder("far", "runs"), ssh), quiet=True)
    watcher.start()
    watcher.open_run(watcher.root / ended.name)
    time.sleep(3.0)

    def count(what: str, grown: Path | None = None) -> None:
        link = watcher._link
        assert link is not None
        before = link.stream.bytes_read, link.stream.bytes_written, os.path.getsize(grown) if grown else 0
        time.sleep(SECONDS)
        read, written = link.stream.bytes_read - before[0], link.stream.bytes_written - before[1]
        log = f"; its log grew by {(os.path.getsize(grown) - before[2]) / SECONDS:,.0f} B/s" if grown else ""
        words = f"and {written / SECONDS:,.1f} B/s there{log}"
        line(what, f"{read / SECONDS:,.1f} B/s", words)

    count("an ended run is looked at")
    live = fake_worker.make_run(root)
    process = fake_worker.start(live, steps=10**8, rate=100, sample_seconds=0)
    try:
        wait_for(lambda: runs.live(watcher.root / live.name), 30)
        count("beside a live run that is not looked at")
        watcher.open_run(watcher.root / live.name)
        count("a live run of 100 steps/s is looked at", live / runs.LOG)
    finally:
        process.terminate()
        process.wait()
        watcher.close()


async def latency(root: Path, ssh: str) -> None:
    """Seconds from an event in the log over there to the mirror, and to the workbench's screen."""
    from tests.shell import screen_text
    from tui_gen.app.far_runs import FarRuns
    from tui_gen.app.workbench import Workbench
    from tui_gen.remote.link import Dialling, RemoteFolder
    from tui_gen.remote.watcher import Watcher

    run = fake_worker.make_run(root)
    hold, writer = runs.claim(run), event_log.EventWriter(run / runs.LOG)
    writer.write(events.State(state="running", step=0))
    runs.register(run, "/nowhere", presence.new_id())
    watcher = Watcher(Dialling(RemoteFolder("far", "runs"), ssh), quiet=True)
    watcher.start()
    app = Workbench(FarRuns(watcher), open_run=watcher.root / run.name)
    mirrored, shown = [], []
    async with app.run_test(size=(120, 40)) as pilot:
        while app.view is None or app.workspace.pane("log") is None or not app.complete:
            await pilot.pause(0.05)
        app.workspace.open("log")
        for number in range(EVENTS):
            await asyncio.sleep(0.3)
            words, start = f"event {number:03}", time.monotonic()
            writer.write(events.Note(text=words))
            log = watcher.root / run.name / runs.LOG
            while words.encode() not in log.read_bytes():
                await asyncio.sleep(0.002)
            mirrored.append(time.monotonic() - start)
            while words not in screen_text(app):
                await asyncio.sleep(0.002)
            shown.append(time.monotonic() - start)
    writer.close()
    hold.release()
    watcher.close()
    for what, times in (("from an event there to the mirror", mirrored), ("to the workbench's screen", shown)):
        worst = sorted(times)[int(0.95 * len(times))]
        line(what, f"{1000 * median(times):.0f} ms", f"95 % within {1000 * worst:.0f} ms")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--delay", type=float, default=0.0, help="milliseconds each way")
    parser.add_argument("--late", type=float, default=None, help=argparse.SUPPRESS)
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    if "--late" in sys.argv:
        place = sys.argv.index("--late")
        return late(float(sys.argv[place + 1]) / 1000, sys.argv[place + 2 :])
    given = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}; {given.delay:g} ms each way\n")
    for measure in (lambda root, ssh: listing(root, ssh, given.runs), traffic):
        with machine(given.delay) as (root, ssh):
            measure(root, ssh)
    with machine(given.delay) as (root, ssh):
        asyncio.run(latency(root, ssh))
    return 0


if __name__ == "__main__":
    sys.exit(main())
