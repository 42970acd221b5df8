"""Malformed requests to a worker: refused in words, or the connection ends; training goes on with the same bits."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.attack import bits, forked
from tests.attack.kills import config_of, undisturbed
from tests.attack.outcome import Attack, Outcome, Plan
from tests.waiting import wait_for
from tui_gen import control, launch, runs

FAMILY = "VAE"
MESSAGES, TO_WARM = 1200, 150
STEPS = 500
ANSWER = 30.0
"""Seconds within which an answer must come; others may be busy."""

OPS = (
    "status", "pause", "resume", "checkpoint", "sample", "edit", "check", "start", "catalog",
    "dance", "", "__class__", "stop",
)  # fmt: skip
ODD: list[Any] = [None, True, -1, 0, 1e308, 2**70, "", "x", "\x1b]0;x\x07", "a" * 100_000, [], [[]], {}, {"a": {}}]
LIVE = ("train.phases.vae.lr", "preview.every_seconds", "model.beta", "checkpoint.keep_last")
UNFIT: list[Any] = [None, -1, 1e308, "fast", "nan", [], {}, [1], "\x1b[2J", {"a": 1}]
"""Values that no live setting takes."""


def message(head: bytes, blob: bytes = b"", sizes: tuple[int, int] | None = None) -> bytes:
    """A message as it goes over a socket, its header true or not."""
    return struct.pack(">II", *(sizes or (len(head), len(blob)))) + head + blob


def malformed(dice: random.Random) -> tuple[bytes, bool]:
    """(bytes to send, whether an answer is due)."""
    op = dice.choice(OPS)
    match dice.randrange(9):
        case 0:
            return dice.randbytes(dice.choice([1, 4, 7, 8, 9, 100, 5000])), False
        case 1:
            sizes = dice.choice(
                [(2**32 - 1, 0), (0, 2**32 - 1), (1 << 28, 1 << 28), ((1 << 28) + 1, 0), (100, 1 << 20)]
            )
            return message(b'{"op":"status"}', sizes=sizes), False
        case 2:
            whole = message(json.dumps({"op": op}).encode(), bytes(50))
            return whole[: dice.randrange(len(whole))], False
        case 3:
            junk = [b"", b"{", b"[]", b"7", b"null", b'"op"', b"\xff\xfe", b"[" * 100_000, b'{"op":' * 5000, bytes(99)]
            return message(dice.choice(junk)), False
        case 4:
            return message(json.dumps({"op": dice.choice(ODD)}).encode()), True
        case 5:
            key, value = dice.choice([*LIVE, "model.latent", "train.seed", "", "name"]), dice.choice(UNFIT)
            return message(json.dumps({"op": "edit", "key": key, "value": value}).encode()), True
        case 6:
            size = dice.choice([0, 1, 3, 4, 16, 64, 100, 4096, 1 << 20])
            given = {"op": dice.choice(["status", "dance", "edit"]), "labels": dice.choice(ODD)}
            return message(json.dumps(given).encode(), dice.randbytes(size)), True
        case 7:
            if op == "stop":
                return message(b'{"op":"stop","checkpoint":"perhaps"}'), True
            fields = {dice.choice(["key", "value", "run", "tables", "x" * 1000]): dice.choice(ODD)}
            return message(json.dumps({"op": op if op != "pause" else "resume", **fields}).encode()), True
        case _:
            return message(json.dumps({"op": "status"}).encode() + b" " * dice.choice([0, 1, 100_000])), True


def send(path: str, data: bytes, due: bool, kept: list[socket.socket], dice: random.Random) -> list[str]:
    """Send it, hear the answer where one is due; what is wrong with that. Some connections are left open."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(ANSWER)
    try:
        connection.connect(path)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not hear all of it
            connection.sendall(data)
        if due:
            reply = control.receive(connection)
            if reply is None:
                return ["no answer"]
            if reply.data.get("ok") is not True and not isinstance(reply.data.get("error"), str):
                return [f"an answer without words: {reply.data}"]
        elif dice.random() < 0.5:
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass
        elif len(kept) < 40:
            kept.append(connection)
            return []
    except ConnectionResetError:
        pass
    except (OSError, control.ControlError) as error:
        return [f"{type(error).__name__}: {error}"]
    connection.close()
    return []


def requests(plan: Plan) -> Iterator[Outcome]:
    """A run that trains; a warm worker."""
    root, dice = plan.folder("sockets"), plan.dice("sockets")
    reference = undisturbed(FAMILY, root, steps=STEPS)
    run = runs.create(root / "asked", FAMILY, config_of(FAMILY, steps=STEPS))
    row, kept = Outcome("requests", "a run that trains"), []
    child = forked.worker(run)
    try:
        path = _socket(run, child)
        for number in range(MESSAGES):
            if plan.over() or child.wait(0) is not None or not os.path.exists(path):
                break
            data, due = malformed(dice)
            row.take(send(path, data, due, kept, dice), f"message {number}: {data[:80]!r}")
            if number % 25 == 0:
                _hold(run)
        else:
            number += 1
        gone = number < MESSAGES and not plan.over()
        wrong = [f"it ended by message {number - 1}: {runs.state_of(run)}"] if gone else []
        with contextlib.suppress(control.ControlError):
            launch.ask_run(run, "resume", timeout=ANSWER)
    finally:
        for connection in kept:
            connection.close()
    if child.wait() is None:
        child.end()
    row.take(wrong + bits.differences(reference.run, run), f"the run afterwards ({run})")
    yield row
    yield _warm(plan, root)


def _hold(run: Path) -> None:
    """Pause the run where it would end before the messages do; by turns, so that it meets them in both states."""
    with contextlib.suppress(control.ControlError):
        status = launch.ask_run(run, "status", timeout=ANSWER).data
        late = status.get("step", 0) > STEPS // 2
        launch.ask_run(run, "pause" if late or status.get("state") == "running" else "resume", timeout=ANSWER)


def _socket(run: Path, child: forked.Child) -> str:
    wait_for(lambda: runs.worker_of(run) is not None or child.wait(0) is not None, 60, "a socket")
    known = runs.worker_of(run)
    assert known is not None, "it ended before it could be asked"
    wait_for(lambda: runs.state_of(run)[0] == "running" or child.wait(0) is not None, 60, "it to train")
    return known.socket


def _warm(plan: Plan, root: Path) -> Outcome:
    """A worker that waits to be given a run is asked the same, and trains one afterwards."""
    row, dice, kept = Outcome("requests", "a warm worker"), plan.dice("warm"), []
    worker = launch.WarmWorker(polite=False)
    worker.spawn()
    process = worker.process
    try:
        wait_for(lambda: worker.ready or not worker.alive, 120, "a warm worker")
        for number in range(TO_WARM):
            if not worker.alive or not os.path.exists(worker.socket):
                row.take([f"it ended by message {number - 1}"], "the worker")
                break
            data, due = malformed(dice)
            row.take(send(worker.socket, data, due, kept, dice), f"message {number}: {data[:80]!r}")
        run = runs.create(root / "warm", "warm", config_of(FAMILY))
        started = time.monotonic()
        given = worker.alive and worker.start(run)
        wait_for(lambda: runs.state_of(run)[0] in runs.ENDED or not given, 60, "the run's end")
        state = runs.state_of(run)
        row.take([] if state[0] == "finished" else [f"{state}, given: {given}"], f"a run {time.monotonic() - started}")
    finally:
        for connection in kept:
            connection.close()
        worker.close()
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()
    return row


ATTACKS: dict[str, Attack] = {"requests": requests}
