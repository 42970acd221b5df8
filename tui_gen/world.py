"""Which process of how many this is, where something else started them: torchrun, or Slurm's srun.

Both start the same command line once a process and tell each its rank in the environment. What they tell is read once,
by the command line, and handed to the worker in a variable of ours: whatever a worker starts in turn is no part of it.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Mapping

import msgspec

VARIABLE = "TUI_GEN_WORLD"
"""The place of a worker's process, as JSON, from the command line that starts it."""
TORCHRUN, SLURM = "torchrun", "Slurm"
FIRST_PORT, PORTS = 20_000, 12_000
"""Where the processes of a Slurm step meet: a port that follows from the numbers of the job and the step. Linux gives
those from 32768 on to connections that ask for none.
"""
PATIENCE_VARIABLE = "TUI_GEN_ARRIVAL"
"""The variable that says how many seconds the processes of a Slurm step have to come up, instead of PATIENCE."""
PATIENCE = 25.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_NODE = re.compile(r"(?P<head>[^,\[\]]+)(?:\[(?P<first>\d+)[^\]]*\])?(?P<tail>[^,\[\]]*)")


class World(msgspec.Struct, frozen=True):
    """The place of a process among `count`: its `rank`, and `local`, its number among the `locals` of its host.

    `address` and `port` are where they meet: of torchrun's own store, or of rank 0 itself under Slurm. `port` 0 and an
    empty `launcher`: rank 0 starts the others itself. `step` names a step of Slurm, which no other has. `patience` is
    how many seconds all have to come up. Rank 0 listens from its first moment, at `opened` (by the monotonic clock),
    and hands the socket on: `listener` is its number.
    """

    rank: int
    count: int
    local: int = 0
    locals: int = 1
    address: str = ""
    port: int = 0
    launcher: str = ""
    step: str = ""
    patience: float = PATIENCE
    listener: int = -1
    opened: float = 0.0


class WorldError(Exception):
    """A launcher told something that cannot be, in words."""


def from_env(env: Mapping[str, str] | None = None) -> World | None:
    """What a launcher tells of this process; None where there is none, or only one process. Raises WorldError."""
    env = os.environ if env is None else env
    if "RANK" in env and "WORLD_SIZE" in env:
        rank, count = _number(env, "RANK"), _number(env, "WORLD_SIZE")
        found = World(
            rank, count, _number(env, "LOCAL_RANK", rank), _number(env, "LOCAL_WORLD_SIZE", count),
            env.get("MASTER_ADDR", "127.0.0.1"), _number(env, "MASTER_PORT", 0), TORCHRUN,
        )  # fmt: skip
    elif "SLURM_STEP_ID" in env and "SLURM_PROCID" in env:  # a batch script has a rank, too, but is no step
        count = _number(env, "SLURM_STEP_NUM_TASKS", _number(env, "SLURM_NTASKS", 1))
        nodes = env.get("SLURM_STEP_NODELIST") or env.get("SLURM_NODELIST") or ""
        per_node = env.get("SLURM_STEP_TASKS_PER_NODE", "")
        found = World(
            _number(env, "SLURM_PROCID"), count, _number(env, "SLURM_LOCALID", 0),
            _tasks_of(per_node, _number(env, "SLURM_NODEID", 0)) or count,
            first_host(nodes) or "127.0.0.1",
            FIRST_PORT + (_number(env, "SLURM_JOB_ID", 0) * 31 + _number(env, "SLURM_STEP_ID")) % PORTS, SLURM,
            ".".join(env.get(f"SLURM_{name}", "") for name in ("CLUSTER_NAME", "JOB_ID", "STEP_ID")),
            _number(env, PATIENCE_VARIABLE, int(PATIENCE)),
        )  # fmt: skip
        if found.patience < 1:
            raise WorldError(f"{PATIENCE_VARIABLE} = {env[PATIENCE_VARIABLE]} is no number of seconds to come up in")
    else:
        return None
    if not 0 <= found.rank < found.count:
        raise WorldError(f"{found.launcher} says that this is process {found.rank} of {found.count}")
    if found.launcher == TORCHRUN and found.count > 1 and not found.port:
        raise WorldError("RANK and WORLD_SIZE are set, but no MASTER_PORT: start it by torchrun, or unset them")
    return found if found.count > 1 else None


def first_host(nodes: str) -> str:
    """The first host of a list as Slurm writes it: `gpu[003-006,9],login1` → `gpu003`."""
    found = _NODE.match(nodes.strip())
    return "" if found is None else found["head"] + (found["first"] or "") + found["tail"]


def listening(world: World) -> World:
    """Rank 0 of a Slurm step, from now on there for the others: they know at once when it ends, and it sees when one of
    them does, though it has yet to load what it trains with. Raises WorldError where the port is taken.
    """
    if world.launcher != SLURM or world.rank:
        return world
    try:
        listener = socket.create_server((interface(world), world.port), backlog=max(128, world.count))
    except OSError as error:
        words = f"the processes of this step meet at port {world.port} of {world.address}, which rank 0 cannot have"
        raise WorldError(f"{words}: {error.strerror or error}; start the step again") from None
    return msgspec.structs.replace(world, listener=listener.detach(), opened=time.monotonic())


def interface(world: World) -> str:
    """The address that rank 0 listens at: any, unless all processes are on one machine and say so."""
    return "127.0.0.1" if world.address in LOOPBACK else ""


def passed_on() -> list[int]:
    """The files that a worker started now must inherit: rank 0's socket."""
    text = os.environ.get(VARIABLE, "")
    world = msgspec.json.decode(text, type=World) if text else None
    return [world.listener] if world is not None and world.listener >= 0 else []


def handed_over() -> World | None:
    """The place that the command line left for this worker; taken out of the environment."""
    text = os.environ.pop(VARIABLE, "")
    try:
        return msgspec.json.decode(text, type=World) if text else None
    except msgspec.DecodeError:
        return None


def hand_over(world: World) -> None:
    """Leave a place for the worker that this process starts next."""
    os.environ[VARIABLE] = msgspec.json.encode(world).decode()


def _number(env: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = env.get(name, "")
    if not text and default is not None:
        return default
    try:
        return int(text)
    except ValueError:
        raise WorldError(f"{name} = {text!r} in the environment is no number") from None


def _tasks_of(per_node: str, node: int) -> int:
    """The tasks of a node, from a list such as `4(x2),3`; 0 where it does not tell."""
    for part in per_node.split(","):
        found = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part.strip())
        if found is None:
            return 0
        node -= int(found[2] or 1)
        if node < 0:
            return int(found[1])
    return 0
