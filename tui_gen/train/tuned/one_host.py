"""Sums between processes of one machine through memory that they share: a tenth of what the loopback network takes.

Every rank writes its numbers into a place of its own, meets the others, and adds up all places by itself, in the order
of ranks: the same bits on each. Two places are taken in turn, so that one is written while another is still read. They
meet by a few words on a socket from each to each, which say what each is at: where that differs, nobody reads what
others wrote for something else. One that dies closes its sockets, and all others know.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import struct
import sys
import time
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from tui_gen.quantities import span
from tui_gen.train.order import WORDS, Apart

MOST = 4
"""Processes, at most: each reads what all have written."""
PLACE = 1 << 22
"""Bytes of a place; what is longer goes through in parts."""
SPIN = 0.0003
"""Seconds that one waits awake for the others: to fall asleep and to be woken up takes as long."""
PAUSE, LONGEST = 16, 1024
"""How often one does not wait awake after that was in vain, and at most, as each time that is in vain doubles it: where
others want the cores, nearly never."""


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
        self.rank, self.peers, self.timeout = rank, peers, timeout
        self._places = torch.frombuffer(memory, dtype=torch.uint8).view(2, len(peers) + 1, PLACE)
        self._turn = self._exchanges = 0
        self._asleep = 0 if (os.cpu_count() or 1) > len(peers) else sys.maxsize
        self._pause = PAUSE
        for peer in peers.values():
            peer.settimeout(timeout)

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

    def meet(self, what: str = "a meeting") -> None:
        """Wait until all are here: what each wrote before, all can read. Raises RuntimeError where one is gone, and
        Apart where one is at something else than `what`."""
        self._exchanges += 1
        mine = f"exchange {self._exchanges:,}, {what}".encode()[:WORDS]
        rank = next(iter(self.peers))
        try:
            for peer in self.peers.values():
                peer.send(mine)
            for rank, peer in self.peers.items():
                theirs = self._awake(peer) or peer.recv(WORDS)
                if not theirs:
                    raise RuntimeError(f"connection to rank {rank} closed: its process has ended")
                if theirs != mine:
                    raise Apart(f"it is at {mine.decode()}, and rank {rank} at {theirs.decode()}")
        except TimeoutError:
            raise RuntimeError(f"Timed out: rank {rank} has said nothing for {span(self.timeout)}") from None
        except OSError as error:
            raise RuntimeError(f"connection to rank {rank} lost: {error}") from error

    def _awake(self, peer: socket.socket) -> bytes:
        """What another says within a moment, waited for awake; nothing where it does not, or is gone. After that was in
        vain, nothing at once for a while."""
        if self._asleep:
            self._asleep -= 1
            return b""
        descriptor, deadline = peer.fileno(), time.perf_counter() + SPIN
        while True:
            try:
                words = os.read(descriptor, WORDS)
            except BlockingIOError:
                if time.perf_counter() < deadline:
                    continue
                self._asleep, self._pause = self._pause, min(LONGEST, 2 * self._pause)
                return b""
            self._pause = PAUSE
            return words

    def close(self) -> None:
        """Let the others know that this rank has left."""
        for peer in self.peers.values():
            peer.close()


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
            side = OneHost(group.rank, peers, _memory(group.rank, peers, 2 * group.count * PLACE), timeout)
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
    if rank == 0:
        try:
            descriptors = [_made(size)]
        except OSError:
            for peer in peers.values():
                peer.sendall(b"-")
            raise
        for peer in peers.values():
            socket.send_fds(peer, [b"m"], descriptors)
    else:
        _, descriptors, _, _ = socket.recv_fds(peers[0], 1, 1)
        if not descriptors:
            raise OSError("rank 0 has no memory to share")
    try:
        return mmap.mmap(descriptors[0], size)
    finally:
        os.close(descriptors[0])


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
