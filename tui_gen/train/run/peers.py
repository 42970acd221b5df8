"""The other processes of a run, as its rank 0 sees them: started or met, listened to, told, watched, ended.

Rank 0 alone has the run's log, its socket, its clock. The others compute their share of every batch and hold nothing
that is not rank 0's as well: what is lost with one of them is the run's present session, never the run.

Each has a `PeerLink` to rank 0, which the system closes when either of the two ends. Both give a sign of life every
BEAT seconds from a thread of their own, whatever they are busy with. So whatever becomes of a process is known within
seconds; `check` raises it in the training thread, and where that thread waits for what will never come, the process is
ended for it.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_gen import children, launch, presence, runs
from tui_gen.files import open_log
from tui_gen.quantities import duration, span
from tui_gen.train.cutting import Check, never
from tui_gen.train.order import ALIKE, At, Whereabouts
from tui_gen.train.run.peer_link import Message, PeerLink
from tui_gen.world import PATIENCE_VARIABLE, TORCHRUN, World, interface

if TYPE_CHECKING:
    import torch

    from tui_gen.train.engine.ranks import Ranks

BEAT = 2.0
"""Seconds between two signs of life."""
SILENCE, LOST = 8.0, 18.0
"""Seconds without one after which a process is missed, and after which the run ends for it: with BEAT, STUCK and
LEAVING half a minute after a machine has lost its power, at most.
"""
LATE, STALLED = 30.0, 600.0
"""Seconds that all wait in one step after which those which do not come to it are named, and the run ends for them."""
FOREVER = 30 * 86_400.0
"""Seconds that PyTorch waits in a step: a preview may take long on rank 0, and who is missing is seen here."""
PER_CORE = 4
"""Processes that are started for each CPU of this machine at most."""
ARRIVAL = 300.0
"""Seconds in which all must have come up, and built what they train: a process that loads PyTorch, from a cold disk or
on a busy machine, says nothing for long. Processes of Slurm must have been heard of sooner (`World.patience`)."""
LEAST = 5.0
"""Seconds that they have for that in any case, once this process can hear them."""
SECOND_WORD = 1.5
"""Seconds in which a process that ends may say why, before what it did to the others counts as the cause."""
STUCK, WAITS = 7.0, 3.0
"""Seconds after which a training thread that does not hear of the end is ended with its process: one that is busy
training, and one that waits for the others or has yet to begin."""
LEAVING = 3.0
"""Seconds that the others have to end."""


class PeerError(runs.RunError):
    """Another process of the run failed, is gone, or gives no sign of life."""


class Peer:
    """One of the other processes."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.link: PeerLink | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.host, self.pid = "", 0
        self.step, self.waits = 0, False
        """The steps that it had made when it last gave a sign of life, and whether it waited for others then."""
        self.loads = True
        """Whether it has yet to say that it has loaded PyTorch and the data."""
        self.gone = False
        self.missed = False
        self.answers: queue.SimpleQueue[Message] = queue.SimpleQueue()

    @property
    def words(self) -> str:
        """Which it is: rank, host, process."""
        at = ", ".join(filter(None, (self.host, f"process {self.pid}" if self.pid else "")))
        return f"rank {self.rank}" + (f" ({at})" if at else "")

    def tell(self, do: str, **fields: Any) -> None:
        """Send it a message, if it is there."""
        if self.link is not None and not self.gone:
            self.link.send(do, **fields)

    @property
    def log(self) -> str:
        """The file in the run's folder that has what it prints."""
        return f"worker-{self.rank}.log"


class Peers:
    """All of them. `tell(words, level)` writes into the run's log from any thread, `stop(reason)` asks the run to end,
    `give_up(reason)` ends this process, with the run failed, from another thread than the training's."""

    def __init__(
        self,
        path: Path,
        world: World,
        tell: Callable[[str, str], None],
        stop: Callable[[str], None],
        give_up: Callable[[str], None],
    ) -> None:
        self.path, self.world = path, world
        self._tell, self._stop, self._give_up = tell, stop, give_up
        self.peers = [Peer(rank) for rank in range(1, world.count)]
        self.address = ""
        """Where PyTorch's own processes meet, once they may."""
        self.collective: Callable[[], float] = lambda: 0.0
        """Since when (seconds of `time.monotonic`) this process waits for others in the training; 0 while it does not.
        """
        self.trains = False
        """Whether all have begun to train: before that nothing is lost by an end at once."""
        self.at: Callable[[], At] = At
        """Where this process is."""
        self._whereabouts = Whereabouts()
        self.step: Callable[[], int] = lambda: 0
        self.interrupt: Callable[[], None] = never
        """Called when the run is to end for one of them: what takes long is to be cut."""
        self._causes: list[tuple[bool, str]] = []
        self._caused = 0.0
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._listener: socket.socket | None = None
        self._folder = ""
        self._late = 0.0
        self._all_by = math.inf
        """By when (seconds of `time.monotonic`) each must have been heard of."""

    # -- how they come

    def begin(self) -> None:
        """Start the others, or wait for those that somebody else starts. Raises PeerError."""
        if not self.world.launcher and (words := too_many(self.world.count)):
            raise PeerError(words)
        try:
            if self.world.launcher:
                self._listen()
            else:
                self._folder = tempfile.mkdtemp(prefix="tui-gen-")
                self.address = f"file://{self._folder}/meeting"
                for peer in self.peers:
                    self._start(peer)
        except OSError as error:
            self.end("failed", "")
            raise PeerError(f"cannot start {self.world.count} processes: {error.strerror or error}") from error
        threading.Thread(target=self._watch, name="peers", daemon=True).start()

    def _start(self, peer: Peer) -> None:
        ours, theirs = socket.socketpair()
        with theirs, open(self.path / peer.log, "ab", opener=lambda path, _: open_log(path)) as log:
            words = [self.path, "--rank", peer.rank, "--of", self.world.count, "--link", theirs.fileno()]
            before = signal.pthread_sigmask(signal.SIG_BLOCK, launch.STOPPING)
            try:
                peer.process = children.start(
                    "tui_gen.train.run", *words,
                    env={**os.environ, "PYTHONUNBUFFERED": "1"},
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[theirs.fileno()],
                )  # fmt: skip
            except BaseException:
                ours.close()
                raise
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._take(peer, PeerLink(ours))

    def _listen(self) -> None:
        """Have the others find this process: where the launcher's own store says, or at the port that all know."""
        host = interface(self.world)
        if self.world.listener >= 0:
            self._listener = socket.socket(fileno=self.world.listener)
        else:
            port = 0 if self.world.launcher == TORCHRUN else self.world.port
            self._listener = socket.create_server((host, port), reuse_port=False)
        if self.world.launcher == TORCHRUN:
            from tui_gen.train.engine import ranks
            from tui_gen.train.engine.building import TrainingError

            try:
                ranks.publish(self.world.address, self.world.port, "hub", str(self._listener.getsockname()[1]))
            except TrainingError as error:
                raise PeerError(str(error)) from error
            self.address = "env://"
        else:
            with socket.create_server((host, 0)) as free:
                self.address = f"tcp://{self.world.address}:{free.getsockname()[1]}"
            now = time.monotonic()
            self._all_by = max((self.world.opened or now) + self.world.patience, now + LEAST)
        threading.Thread(target=self._accept, name="meeting", daemon=True).start()

    def _accept(self) -> None:
        assert self._listener is not None
        while not self._over.is_set():
            try:
                end, _ = self._listener.accept()
            except OSError:
                return
            end.settimeout(ARRIVAL)
            threading.Thread(target=self._meet, args=[PeerLink(end), end], name="meeting", daemon=True).start()

    def _meet(self, link: PeerLink, end: socket.socket) -> None:
        hello = link.receive()
        ours = hello is not None and hello["do"] == "hello" and hello.get("step", "") == self.world.step
        rank = hello.get("rank") if hello is not None and ours else None
        peer = next((peer for peer in self.peers if peer.rank == rank and peer.link is None), None)
        if hello is None or peer is None:
            link.close()
            return
        end.settimeout(None)
        self._hear(peer, hello)
        self._take(peer, link)

    def _take(self, peer: Peer, link: PeerLink) -> None:
        peer.link = link
        threading.Thread(target=self._listen_to, args=[peer, link], name=f"rank {peer.rank}", daemon=True).start()

    def here(self, check: Check) -> None:
        """Wait until all have come up. Raises PeerError, and what `check` raises."""
        self._await(lambda peer: peer.pid > 0, check, "has not come up")

    def answered(self, do: str, check: Check) -> list[Message]:
        """The next answer of each, in the order of ranks, which must be of a kind. Raises PeerError, and what `check`
        raises."""
        self._await(lambda peer: not peer.answers.empty(), check, f"has not answered ({do})")
        return [peer.answers.get() for peer in self.peers]

    def answer(self, peer: Peer, check: Check) -> Message:
        """The next answer of one. Raises PeerError, and what `check` raises."""
        self._await(lambda other: other is not peer or not peer.answers.empty(), check, "", FOREVER)
        return peer.answers.get()

    def answer_by(self, peer: Peer, check: Check, deadline: float) -> Message | None:
        """The same; None where there is none by then (seconds of `time.monotonic`)."""
        while peer.answers.empty():
            check()
            self.check()
            if time.monotonic() > deadline:
                return None
            with self._changed:
                self._changed.wait(0.1)
        return peer.answers.get()

    def _await(self, done: Callable[[Peer], bool], check: Check, words: str, seconds: float = ARRIVAL) -> None:
        since = time.monotonic()
        while missing := [peer for peer in self.peers if not done(peer)]:
            check()
            self.check()
            if not self._causes and time.monotonic() - since > seconds:
                raise PeerError(f"{missing[0].words} {words} within {span(seconds)}")
            with self._changed:
                self._changed.wait(0.1)

    def meet(self, device: torch.device) -> Ranks:
        """Join the group in which all compute. Raises TrainingError."""
        from tui_gen.train.engine import ranks

        return ranks.join(0, self.world.count, self.address, device, FOREVER, ARRIVAL)

    # -- what they say

    def _listen_to(self, peer: Peer, link: PeerLink) -> None:
        while (message := link.receive()) is not None:
            self._hear(peer, message)
        peer.gone = True
        if not self._over.is_set():
            self._cause(self._end_of(peer), second=False)
        with self._changed:
            self._changed.notify_all()

    def _hear(self, peer: Peer, message: Message) -> None:
        match message["do"]:
            case "hello":
                peer.host, peer.pid = str(message.get("host", "")), int(message.get("pid", 0))
            case "beat":
                peer.step, peer.waits = int(message.get("step", 0)), bool(message.get("waits"))
                if at := message.get("at"):
                    self._look_at(peer.rank, At(*at))
            case "stop":
                self._stop(f"{message.get('reason', 'on request')}, which {peer.words} got")
            case "failed":
                peer.gone = True
                words = str(message.get("words", ""))
                see = "" if peer.log in words else f"; see {peer.log}"
                self._cause(f"{peer.words}: {words}{see}", bool(message.get("second")))
            case _:
                peer.loads = False
                peer.answers.put(message)
        with self._changed:
            self._changed.notify_all()

    def _cause(self, words: str, second: bool) -> None:
        """Something for which the run ends; `second` where the process may only have lost another one."""
        with self._changed:
            if self._causes:
                print(f"warning: then {words}", file=sys.stderr)
            self._caused = self._caused or time.monotonic()
            self._causes.append((second, words))
            self._changed.notify_all()
        self.interrupt()

    def _end_of(self, peer: Peer) -> str:
        """How a process ended that said nothing, as far as it can be told."""
        if peer.process is None:
            return f"{peer.words} is gone: it was killed, or its machine does not answer; see {peer.log}"
        status: int | None = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = peer.process.wait(2.0)
        if status is None:
            return f"{peer.words} closed its connection; see {peer.log}"
        if status < 0:
            name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
            memory = "; where nobody did that, the machine's memory has run out" if name == "SIGKILL" else ""
            return f"{peer.words} was ended by {name}{memory}"
        return f"{peer.words} ended with status {status}; see {peer.log}"

    # -- what becomes of them

    @property
    def cause(self) -> str:
        """What the run ends for, as far as it is known: the first that is not what another did to a process."""
        with self._changed:
            causes = list(self._causes)
        first = next((words for second, words in causes if not second), None)
        if first is not None:
            return first
        return causes[0][1] if causes and time.monotonic() - self._caused > SECOND_WORD else ""

    def check(self) -> None:
        """Raise PeerError where one of them has failed, is gone, or is not heard of."""
        if self._causes and (words := self.cause):
            raise PeerError(words)

    def cause_of(self, error: BaseException) -> str:
        """What is behind an error of this process that tells of a lost connection: what the others say, waited for; or
        its own words."""
        deadline = time.monotonic() + 2 * SECOND_WORD
        while time.monotonic() < deadline:
            if words := self.cause:
                return words
            with self._changed:
                self._changed.wait(0.1)
        return str(error)

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._over.wait(BEAT / 2):
            for peer in self.peers:
                if peer.link is not None and not peer.gone:
                    peer.link.beat()
            now = time.monotonic()
            asleep, last = now - last > 3 * BEAT, now
            for peer in self.peers:
                if asleep and peer.link is not None:  # this process was held itself: what they said is yet to be read
                    peer.link.last_heard = now
                if peer.link is not None and not peer.gone:
                    self._look_after(peer, now - peer.link.last_heard)
            if now > self._all_by:
                self._all_by = math.inf
                self._miss([peer for peer in self.peers if peer.link is None])
            self._look_at_step(now)
            self._look_at(0, self.at())
            patience = STUCK if self.trains and not self.collective() else WAITS
            if self._caused and now - self._caused > patience:
                self._give_up(self.cause)
                return

    def _miss(self, peers: list[Peer]) -> None:
        """Processes that nobody has heard of, though all were started at once."""
        if peers and not self._causes:
            who = ", ".join(f"rank {peer.rank}" for peer in peers[:3]) + (", …" if len(peers) > 3 else "")
            where = f"port {self.world.port} of {self.world.address}"
            words = f"{who} did not come to {where} within {span(self.world.patience)}"
            words += ": it died while starting (srun says how), or cannot reach that host"
            self._cause(f"{words}; where nodes take longer to start, set {PATIENCE_VARIABLE} to more", second=False)

    def _look_after(self, peer: Peer, silence: float) -> None:
        if peer.loads and silence > SILENCE and not self._held(peer):
            return  # `here` and `answered` wait for it
        if silence > LOST and not self._causes:
            suffix = ": it was held by a signal" if self._held(peer) else ""
            self._cause(f"{peer.words} has given no sign of life for {span(LOST)}{suffix}", second=False)
        elif silence > SILENCE and not peer.missed:
            peer.missed = True
            held = self._held(peer)
            why = f": it is held by a signal; kill -CONT {held} lets it go on" if held else ""
            words = f"{peer.words} gives no sign of life, and training waits for it{why}"
            self._tell(f"{words}. The run ends if it has given none within {span(LOST)}", "warning")
        elif silence < SILENCE and peer.missed:
            peer.missed = False
            self._tell(f"{peer.words} is back", "info")

    def _held(self, peer: Peer) -> int:
        """The number of a process that is on this machine and held by a signal, else 0."""
        number = peer.process.pid if peer.process is not None else peer.pid * (peer.host == socket.gethostname())
        return number if number and presence.process_state(number) in ("T", "t") else 0

    def _look_at_step(self, now: float) -> None:
        """Name those who do not come to a step in which the others wait for them."""
        since = self.collective()
        waited = now - since if since else 0.0
        if waited <= LATE:
            self._late = 0.0
            return
        late = [peer for peer in self.peers if not peer.waits and not peer.gone and not peer.missed]
        if not late or (self._late == since and waited <= STALLED):
            return
        who = " and ".join(peer.words for peer in late)
        if waited > STALLED and not self._causes:
            self._cause(f"{who} did not come to step {self.step():,} within {duration(waited)}", second=False)
        elif self._late != since:
            self._late = since
            self._tell(f"training has waited {duration(waited)} in step {self.step():,} for {who}", "warning")

    def _look_at(self, rank: int, at: At) -> None:
        """End the run where one is at an exchange to which another does not come, but to another: both would wait."""
        with self._changed:
            apart = self._whereabouts.note(rank, at)
            if apart and not self._causes:
                names = {0: "rank 0", **{peer.rank: peer.words for peer in self.peers}}
                one, other = (f"{names[some]} is at {self._whereabouts.of(some)}" for some in apart)
                self._cause(f"the processes do not compute the same: {one}, and {other}; {ALIKE}", second=False)

    # -- what they are told

    def tell_all(self, do: str, **fields: Any) -> None:
        """Send all of them a message."""
        for peer in self.peers:
            peer.tell(do, **fields)

    def end(self, state: str, reason: str) -> None:
        """The run has ended: have all of them end, and those that were started here be gone."""
        self._over.set()
        for peer in self.peers:
            if peer.link is not None and not peer.gone:
                peer.link.last("end", failed=state == "failed", words=reason or f"the run has {state}")
        deadline = time.monotonic() + LEAVING
        for peer in self.peers:
            if peer.process is not None:
                try:
                    peer.process.wait(max(0.01, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    peer.process.kill()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        peer.process.wait(LEAVING)
            if peer.link is not None:
                peer.link.close()
        if self._listener is not None:
            self._listener.close()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def too_many(count: int) -> str:
    """Why so many processes are not started on this machine, in words; empty where they are."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count <= PER_CORE * cores:
        return ""
    words = f"{count} processes are too many for the {cores} CPUs of this machine"
    return f"{words}; lower train.processes, or start them on several with torchrun or srun"


def hello(world: World) -> dict[str, Any]:
    """What a process says of itself."""
    own = {"host": socket.gethostname(), "pid": os.getpid()}
    return {"rank": world.rank, "step": world.step, **own}
