"""Sums between processes of one machine through memory that they share: a tenth of what the loopback network takes.

Every rank writes its numbers into a place of its own, meets the others, and adds up all places by itself, in the order
of ranks: the same bits on each. Two places are taken in turn, so that one is written while another is still read. Where
they meet (`tui_gen.train.tuned.meeting`), each says what it is at: where that differs, nobody reads what others wrote
for something else. One that dies closes its sockets, and all others know.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from tui_gen.train.tuned import blocks
from tui_gen.train.tuned.blocks import Counter
from tui_gen.train.tuned.meeting import WAKE, Meeting, room

MOST = 4
"""Processes, at most: each reads what all have written."""
PLACE = 1 << 22
"""Bytes of a place; what is longer goes through in parts."""

MEETING = "a meeting"


def needed(count: int) -> int:
    """Bytes of memory that the sums and meetings of `count` processes need."""
    return 2 * count * PLACE + room(count)


class HostGroup(Protocol):
    """A group of processes that can speak to each other already."""

    rank: int
    count: int

    def broadcast(self, value: object = None, source: int = 0) -> object:
        """A plain object of rank `source`, on every rank."""

    def sum_(self, tensors: list[Tensor]) -> None:
        """`tensors`, of the same shapes on all ranks, become their sums over them, in place."""


class OneHost:
    """One rank's side of it: `peers` are connected sockets by rank, `memory` is shared by all."""

    def __init__(self, rank: int, peers: dict[int, socket.socket], memory: mmap.mmap, timeout: float) -> None:
        self.rank, self.peers = rank, peers
        count = len(peers) + 1
        self._places = torch.frombuffer(memory, dtype=torch.uint8, count=2 * count * PLACE).view(2, count, PLACE)
        self._turn = 0
        self.meeting = Meeting(rank, peers, memory, 2 * count * PLACE, timeout)

    def sum_(self, tensor: Tensor, what: str) -> None:
        """Replace a contiguous tensor by its sum over all ranks. Raises RuntimeError where one is gone, and Apart where
        one is at something else than `what`."""
        for part in tensor.detach().view(-1).split(PLACE // tensor.element_size()):
            places = self._places[self._turn, :, : part.numel() * part.element_size()].view(part.dtype)
            places[self.rank].copy_(part)
            self.meet(what)
            torch.add(places[0], places[1], out=part)
            for place in places[2:]:
                part.add_(place)
            self._turn ^= 1

    def gather(self, rows: Tensor, counts: Sequence[int]) -> list[Tensor]:
        """`rows` (n, …) of each rank, contiguous, n being in `counts` by rank → those of each. Raises RuntimeError
        where one is gone, and Apart."""
        what = f"rows {tuple(rows.shape[1:])} of {rows.dtype}, {', '.join(map(str, counts))} of the ranks"
        parts = [rows if rank == self.rank else rows.new_empty(n, *rows.shape[1:]) for rank, n in enumerate(counts)]
        numbers = [part.view(-1).view(torch.uint8) if part.numel() else part.new_empty(0).byte() for part in parts]
        for start in range(0, max(map(len, numbers)), PLACE):
            pieces = [some[start : start + PLACE] for some in numbers]
            places = self._places[self._turn]
            places[self.rank, : len(pieces[self.rank])] = pieces[self.rank]
            self.meet(what)
            for rank in self.peers:
                pieces[rank].copy_(places[rank, : len(pieces[rank])])
            self._turn ^= 1
        return parts

    def meet(self, what: str = MEETING) -> None:
        """Wait until all are here: what each wrote before, all can read. Raises RuntimeError where one is gone, and
        Apart where one is at something else than `what`."""
        self.meeting.meet(what)

    def close(self) -> None:
        """Let the others know that this rank has left."""
        self.meeting.close()


def connected(group: HostGroup, timeout: float, opening: float) -> OneHost | None:
    """The same group through shared memory; None on every rank where one of them cannot, or sums come out otherwise.

    `opening` is how many seconds all have to connect, `timeout` how many each has to come to an exchange.
    """
    if sys.platform != "linux" or not 1 < group.count <= MOST:
        return None
    listener = _listening()
    name = "" if listener is None else listener.getsockname()[1:].decode()
    hosts = [group.broadcast([*_host(), name] if rank == group.rank else None, rank) for rank in range(group.count)]
    side, peers = None, dict[int, socket.socket]()
    with contextlib.ExitStack() as stack:
        if listener is not None:
            stack.enter_context(listener)
        names = [host[-1] for host in hosts if isinstance(host, list) and host[:-1] == _host() and host[-1]]
        if len(names) < group.count:  # all ranks find the same: none goes on
            return None
        try:
            assert listener is not None
            peers = _peers(group.rank, names, listener, opening)
            side = OneHost(group.rank, peers, _memory(group.rank, peers, needed(group.count)), timeout)
        except (OSError, ValueError):
            side = None
        together = all_agree(group, side is not None)
        if side is not None and not (together and all_agree(group, _sums_alike(group, side))):
            side.close()
            side = None
    return side


def more_memory(group: HostGroup, host: OneHost, size: int) -> mmap.mmap | None:
    """`size` bytes more that all ranks share; None on all of them where one cannot have them."""
    memory = None
    with contextlib.suppress(OSError, ValueError):
        memory = _memory(group.rank, host.peers, size)
    return memory if all_agree(group, memory is not None) else None


def more_counters(group: HostGroup, host: OneHost, number: int) -> list[Counter] | None:
    """So many counters that all ranks share; None on all of them where one cannot have them."""
    descriptors = None
    with contextlib.suppress(OSError, ValueError):
        descriptors = _passed(group.rank, host.peers, lambda: blocks.counters(number), number)
    mine = None if descriptors is None else [Counter(descriptor) for descriptor in descriptors]
    return mine if all_agree(group, mine is not None) else None


def all_agree(group: HostGroup, fine: bool) -> bool:
    """Whether all ranks say so."""
    votes = torch.tensor([float(fine)])
    group.sum_([votes])
    return float(votes) == group.count


def _sums_alike(group: HostGroup, host: OneHost) -> bool:
    """Whether whole numbers, of which sums are exact in any order, come out as the network has them."""
    mine = torch.arange(PLACE // 4 + 1000).remainder(1000 + group.rank).float()
    expected = mine.clone()
    try:
        host.sum_(mine, "a sum that is tried")
    except RuntimeError:
        mine = -mine
    group.sum_([expected])
    return torch.equal(mine, expected)


def _host() -> list[str]:
    """What tells whether two processes can share memory and sockets."""
    marks = []
    with contextlib.suppress(OSError):
        with open("/proc/sys/kernel/random/boot_id") as file:
            marks.append(file.read().strip())
        marks += [str(os.stat("/proc/self/ns/net").st_ino), str(os.getuid())]
    return marks


def _listening() -> socket.socket | None:
    """A socket with a name of its own that needs no file."""
    try:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(f"\0tui-gen-{os.urandom(16).hex()}")
        listener.listen(MOST)
    except OSError:
        return None
    return listener


def _made(size: int) -> int:
    """A descriptor of memory without a name, which is gone with the last who has it; of so many bytes, all there."""
    descriptor = os.memfd_create("tui-gen", os.MFD_CLOEXEC)
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _memory(rank: int, peers: dict[int, socket.socket], size: int) -> mmap.mmap:
    """Memory that all ranks share: rank 0 makes it, and hands it to each. Raises OSError where it cannot be had."""
    [descriptor] = _passed(rank, peers, lambda: [_made(size)], 1)
    try:
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


def _passed(
    rank: int, peers: dict[int, socket.socket], make: Callable[[], list[int]], number: int
) -> list[int]:
    """So many descriptors that rank 0 makes and hands to each. Raises OSError where they cannot be had."""
    if rank == 0:
        try:
            descriptors = make()
        except OSError:
            for peer in peers.values():
                peer.sendall(b"-")
            raise
        for peer in peers.values():
            socket.send_fds(peer, [b"m"], descriptors)
        return descriptors
    word = WAKE
    while word == WAKE:  # one that was sent to wake this process, which had noticed by itself
        word, received, _, _ = socket.recv_fds(peers[0], 1, number)
    if len(received) < number:
        raise OSError("rank 0 has nothing to share")
    return received


def _peers(rank: int, names: list[str], listener: socket.socket, opening: float) -> dict[int, socket.socket]:
    """A socket to each other rank: the higher one connects, and says who it is."""
    peers: dict[int, socket.socket] = {}
    for lower in range(rank):
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        peer.settimeout(opening)
        peer.connect(f"\0{names[lower]}")
        peer.sendall(bytes([rank]))
        peers[lower] = peer
    listener.settimeout(opening)
    while len(peers) < len(names) - 1:
        peer, _ = listener.accept()
        peer.settimeout(opening)
        if _user(peer) != os.getuid():
            peer.close()
            continue
        peers[peer.recv(1)[0]] = peer
    return dict(sorted(peers.items()))


def _user(peer: socket.socket) -> int:
    """The user id of who is at the other end."""
    _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(user)
