"""Many processes that train one model together: who each is, and how they add, tell and wait for each other.

The only file that calls torch.distributed. `ALONE` is one process: it has nobody to wait for and nothing to do.

**Use.** Each process calls `join(rank, count, address, device)` before anything else of the group and gets its `Ranks`;
`Trainer(..., ranks=ranks)` then computes this rank's rows of every batch and adds up the rest. `close()` at the end.
Whatever is done with a `Ranks` must be done by all of its ranks in the same order: each call waits for the others.

**Who lives.** A rank that dies is noticed by the others in whatever call they wait in, at once where its socket is
closed and after `timeout` seconds where it only says nothing: `RankLost`, after which the group is of no use any more
(`close` it; what can still be told goes through `store`). `store` is a small dictionary that all ranks see without
waiting for each other (`tell` and `told`): words on why a rank ends belong there, before it ends. It lives in the
process of rank 0, or with the launcher, or in a file, as `address` says.

**What differs.** A rank that is about to exchange something else than the others did the last time they came here asks
them first (`tui_gen.train.order`): where it differs, nothing is added up. TrainingError tells who asked for
what; those that did not ask are found by `at`, which tells where each rank is, and are to be ended.

**Numbers that ride along.** `flags` (FLAGS,) are float32 numbers of this rank's own, all 0 at first. Every training
step adds them up with the first gradients, and leaves the sums in `flag_sums`: what any rank has written there before a
step, every rank reads after that same step ("somebody was asked to stop"). Without a step, `hear()` does it alone.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec
import torch
from torch import Tensor

from tui_gen import tuned
from tui_gen.train.engine.building import TrainingError
from tui_gen.train.order import ALIKE, Apart, At, Order
from tui_gen.train.tuned import one_host
from tui_gen.train.tuned.one_host import MEETING, OneHost

FLAGS = 8
"""Numbers of each rank's own that ride along with the gradients."""
TIMEOUT = 300.0
"""Seconds after which a rank that says nothing is given up."""
OPENING = 60.0
"""Seconds that the first wait for the last to join."""


class RankLost(TrainingError):
    """Another process of the group is gone or says nothing; the group is of no use any more."""


class Ranks:
    """One process of a group: number `rank` of `count`.

    Tensors that are summed, gathered or sent must have one shape (but for `gather`, its first dimension) and one type
    on all ranks. On CPUs and on GPUs: a tensor is added where it is.
    """

    def __init__(
        self, rank: int = 0, count: int = 1, group: Any = None, store: Any = None, aside: Any = None
    ) -> None:
        self.rank, self.count, self.store = rank, count, store
        self.group = group
        self._aside = aside
        """Another group of the same processes, where they agree on what is next: nothing else is sent there."""
        self._order = Order(rank, self._ask)
        self.host: OneHost | None = None
        """What sums on CPUs of one machine go through, where they can."""
        self.flags = torch.zeros(FLAGS)
        self.flag_sums = torch.zeros(FLAGS)
        self.device = torch.device("cpu")
        self._waiting = _Waiting(self)
        self.since = 0.0
        """Since when this rank waits for the others (seconds of `time.monotonic`); 0 while it does not."""

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which decides and writes."""
        return self.rank == 0

    def share(self, total: int) -> range:
        """This rank's part of `total` things in order: shares differ by one at most, the larger ones first."""
        return share_of(self.rank, self.count, total)

    @property
    def at(self) -> At:
        """Where this rank is. Through shared memory they find out by themselves that they are not at the same."""
        return self._order.at

    def come_to(self, words: str) -> None:
        """Agree that this is next, a step's BEGIN or END, say. Raises TrainingError where it is not for all."""
        if self.count > 1 and self._shared is None:
            with self._waiting:
                self._order.come_to(words)

    def sum_(self, tensors: Sequence[Tensor], whose: str = "") -> None:
        """Replace tensors by their sums over all ranks, the same bits on each; one message for each type of number."""
        if self.count == 1:
            return
        by_type: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            by_type.setdefault(tensor.dtype, []).append(tensor)
        for some in by_type.values():
            if len(some) == 1 and some[0].is_contiguous():
                self._all_reduce(some[0], whose)
                continue
            flat = torch.cat([tensor.reshape(-1) for tensor in some])
            self._all_reduce(flat, whose)
            for tensor, part in zip(some, flat.split([tensor.numel() for tensor in some])):
                tensor.copy_(part.view_as(tensor))

    def gather(self, rows: Tensor) -> Tensor:
        """(n, …) of each rank, n of its own → the rows of all, one rank's after another's, on every rank."""
        if self.count == 1:
            return rows
        counts = torch.zeros(self.count, dtype=torch.int64, device=rows.device)
        counts[self.rank] = len(rows)
        self._all_reduce(counts)
        return self.gather_known(rows, counts.tolist())

    def gather_known(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """The same where everybody knows how many rows each rank has."""
        if self.count == 1:
            return rows
        most, mine = max(counts), rows.detach().contiguous()
        if (shared := self._shared) is not None and mine.device.type == "cpu":
            with self._waiting:
                return torch.cat(shared.gather(mine, counts))
        if len(mine) < most:
            mine = torch.cat([mine, mine.new_zeros(most - len(mine), *mine.shape[1:])])
        parts = [torch.empty_like(mine) for _ in counts]
        self.come_to(f"{most} rows {tuple(mine.shape[1:])} of {mine.dtype} of each")
        with self._waiting:
            self.group.allgather([parts], [mine]).wait()
        return torch.cat([part[:count] for part, count in zip(parts, counts)])

    def broadcast(self, value: Any = None, source: int = 0) -> Any:
        """What rank `source` gives (None, numbers, text, bytes, and lists and dictionaries of those), on every rank."""
        if self.count == 1:
            return value
        data = bytearray(msgspec.msgpack.encode(value)) if self.rank == source else bytearray()
        length = torch.tensor([len(data)])
        self._send(length, source)
        words = torch.empty(int(length), dtype=torch.uint8)
        if self.rank == source:
            words.copy_(torch.frombuffer(data, dtype=torch.uint8))
        self._send(words, source)
        return msgspec.msgpack.decode(words.numpy().tobytes())

    def broadcast_(self, tensor: Tensor, source: int = 0) -> None:
        """Replace a tensor by that of rank `source`."""
        if self.count > 1:
            whole = tensor.detach().contiguous()
            self._send(whole, source)
            tensor.detach().copy_(whole)

    def hear(self) -> Tensor:
        """The sums (FLAGS,) of all ranks' `flags` now, where no step brings them; they are in `flag_sums` too."""
        self.flag_sums = self.flags.clone()
        self.sum_([self.flag_sums])
        return self.flag_sums

    def wait(self) -> None:
        """Go on when all ranks are here."""
        self.sum_([torch.zeros(1)])

    def meet(self) -> None:
        """Wait for the others, where sums go through memory: what each wrote there before, all can read."""
        assert self.host is not None
        with self._waiting:
            self.host.meet()

    def meet_early(self, early: Callable[[int], None]) -> None:
        """As `meet`; but `early` is called before with what all can read by then, as all have told by `tell_early`, if
        they have."""
        assert self.host is not None
        meeting = self.host.meeting
        with self._waiting:
            meeting.say(MEETING)
            parts = meeting.all_early()
        if parts:
            early(parts)
        with self._waiting:
            meeting.hear()

    def tell_early(self, parts: int) -> None:
        """Tell the others that some of what they are to read after the next meeting is there: `parts`, not 0."""
        assert self.host is not None
        self.host.meeting.early(parts)

    def tell(self, key: str, words: str) -> None:
        """Put words into the `store`, which needs no other rank to be there."""
        if self.store is not None:
            self.store.set(key, words)

    def words_of(self, key: str) -> str | None:
        """Words that somebody has put into the `store`; None, without waiting, where nobody has."""
        if self.store is None or not self.store.check([key]):
            return None
        return self.store.get(key).decode()

    def close(self) -> None:
        """Leave the group, also one that has lost a rank. Waits for nobody."""
        group, self.group, self._aside = self.group, None, None
        if self.host is not None:
            self.host.close()
        if group is not None:
            import torch.distributed as dist

            with contextlib.suppress(Exception):
                dist.destroy_process_group()

    @property
    def _shared(self) -> OneHost | None:
        """What sums on CPUs go through where memory is shared."""
        return self.host if tuned.on() else None

    def _all_reduce(self, tensor: Tensor, whose: str = "") -> None:
        what = f"a sum of {tensor.numel():,} numbers of {tensor.dtype}" + (f" of {whose}" if whose else "")
        with self._waiting:
            if (shared := self._shared) is not None and tensor.device.type == "cpu":
                shared.sum_(tensor, what)
            else:
                self._order.come_to(what)
                self.group.allreduce([tensor.detach()]).wait()

    def _send(self, tensor: Tensor, source: int) -> None:
        if tensor.numel():
            what = f"{tensor.numel():,} numbers of {tensor.dtype} that rank {source} sends"
            with self._waiting:
                if (shared := self._shared) is not None:
                    shared.meet(what)
                else:
                    self._order.come_to(what)
                self.group.broadcast(tensor, source).wait()

    def _ask(self, words: bytes) -> list[bytes]:
        mine = torch.frombuffer(bytearray(words), dtype=torch.uint8)
        said = [torch.empty_like(mine) for _ in range(self.count)]
        self._aside.allgather([said], [mine]).wait()
        return [some.numpy().tobytes() for some in said]



class _Waiting:
    """A rank waits for the others inside; what their group says of them is told in our words."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks

    def __enter__(self) -> None:
        ranks = self._ranks
        if ranks.group is None:
            raise RankLost(f"rank {ranks.rank} has left its group of {ranks.count} processes")
        ranks.since = time.monotonic()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        ranks = self._ranks
        ranks.since = 0.0
        if isinstance(error, Apart):
            raise TrainingError(f"the processes do not compute the same: rank {ranks.rank}: {error}; {ALIKE}") from None
        if isinstance(error, RuntimeError):  # that is all that PyTorch's backends say
            raise RankLost(f"rank {ranks.rank} of {ranks.count}: {_reason(error)}") from error


ALONE = Ranks()
"""One process."""


def share_of(rank: int, count: int, total: int) -> range:
    """The part of `total` things in order that one of `count` ranks has: as `Tensor.tensor_split` cuts."""
    least, more = divmod(total, count)
    start = rank * least + min(rank, more)
    return range(start, start + least + (rank < more))


def join(
    rank: int, count: int, address: str, device: torch.device, timeout: float = TIMEOUT, opening: float = OPENING
) -> Ranks:
    """Become one of `count` processes: Gloo between CPUs, NCCL besides where the device is a GPU.

    `address` is the same for all: `tcp://HOST:PORT`, where rank 0 listens; `file:///PATH` of a file that is not there
    yet, for processes of one machine; `env://`, as torchrun and its like set it. Waits up to `opening` seconds for the
    others to join, and from then on in each call up to `timeout` seconds. Raises TrainingError where that fails.
    """
    if count == 1:
        return ALONE
    if not 0 <= rank < count:
        raise TrainingError(f"rank {rank} of {count} processes: ranks go from 0 to {count - 1}")
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    if device.type not in ("cpu", "cuda"):
        raise TrainingError(f"many processes train on CPUs or on CUDA devices, not on {device.type}; set train.device")
    if not dist.is_available():
        raise TrainingError("this PyTorch was built without torch.distributed: train in one process")
    if _is_local(address):
        _keep_to_this_machine()
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        store, rank, count = next(rendezvous(address, rank, count, timeout=timedelta(seconds=opening)))
        store.set_timeout(timedelta(seconds=opening))
        dist.init_process_group(
            backend,
            store=PrefixStore("group", store),
            rank=rank,
            world_size=count,
            timeout=timedelta(seconds=timeout),
            device_id=device if device.type == "cuda" else None,
        )
        aside = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout))
    except (RuntimeError, ValueError, OSError) as error:
        words = f"rank {rank} of {count} could not join the others at {address}: {_reason(error)}"
        raise TrainingError(words) from error
    ranks = Ranks(rank, count, dist.group.WORLD, store, aside)
    ranks.device = device
    if device.type == "cpu":
        ranks.host = one_host.connected(ranks, timeout, opening)
    return ranks


def publish(host: str, port: int, key: str, words: str) -> None:
    """Leave words in the store that a launcher has at this address. Raises TrainingError where it does not answer."""
    with _answering(host, port):
        _stored(host, port).set(key, words)


def published(host: str, port: int, key: str, seconds: float) -> str:
    """Words from the store that a launcher has at this address, waited for. Raises TrainingError."""
    with _answering(host, port):
        store = _stored(host, port)
        store.set_timeout(timedelta(seconds=seconds))
        words: bytes = store.get(key)
        return words.decode()


@contextlib.contextmanager
def _answering(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(f"the launcher's store at {host}:{port} does not answer: {_reason(error)}") from error


def _stored(host: str, port: int) -> Any:
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # the store outlives the processes that it restarts
    return PrefixStore(f"tui-gen/{attempt}", TCPStore(host, port, is_master=False, wait_for_workers=False))


def _is_local(address: str) -> bool:
    parts = urlsplit(address)
    if parts.scheme == "file":
        return True
    host = os.environ.get("MASTER_ADDR", "") if parts.scheme == "env" else parts.hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _keep_to_this_machine() -> None:
    """Gloo looks up the host's own name, which a container often cannot; the loopback interface is always there."""
    names = {name for _, name in socket.if_nameindex()}
    for name in ("lo", "lo0"):
        if name in names:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


def _reason(error: BaseException) -> str:
    """The first line of what a backend says, without where in its source it is said."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    line = line.rpartition("] ")[2] if line.startswith("[") and "] " in line else line
    return line.partition(". This is typically caused")[0]
