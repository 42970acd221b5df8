"""Keeps a mirror of somebody else's runs up to date through a link, which it makes anew whenever it breaks.

Its thread takes what the link tells. Readers of the mirror's folder need nothing of it; who shows a run says so first
(`open_run`, `want`), so that its log and its previews are here.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tui_gen.control import Reply
from tui_gen.places import mirrors
from tui_gen.quantities import size
from tui_gen.remote.link import Dialling, Link, LinkError, connect
from tui_gen.remote.messages import (
    PING,
    SILENT,
    AllListed,
    Answered,
    AskThere,
    Begin,
    DoThere,
    FarFile,
    FarMessage,
    FarRun,
    FarTrouble,
    GoneRuns,
    LinkBroken,
    LogPart,
    LookAt,
    LookAway,
    Ping,
    Told,
)
from tui_gen.remote.mirror import Mirror, is_folder_of_run
from tui_gen.remote.previews import Previews
from tui_gen.remote.proxies import Proxies
from tui_gen.runs import RunError

FOLLOWED = 8
"""Runs whose logs are kept up to date: those that were looked at last."""
FIRST, LONGEST = 0.5, 30.0
"""Seconds until a broken link is made anew, and the longest such pause after many tries in vain."""
ANSWER = 1900.0
"""Seconds for the slowest answer; who asks for another gives up sooner."""
DEED = 180.0
"""Seconds for a run to be resumed, deleted and so on."""
LITTLE = 1 << 19
"""Bytes that a log lacks and that are sent for at once; of more it is a stub again, until it is looked at."""
OPENING = 600.0
"""Seconds for the log of a run that is opened."""


class Waiting:
    """What somebody waits for over the link: set once, with what came."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.value: Any = None

    def set(self, value: Any) -> None:
        """It is there."""
        self.value = value
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Whether it came in time."""
        return self._event.wait(seconds)


class Watcher:
    """Watches a place. `start` connects and returns when every run is listed; `close` ends it.

    `root` is the folder of the mirrored runs. `trouble` says in words what is the matter with the link, if anything.
    """

    def __init__(self, dialling: Dialling, quiet: bool = False) -> None:
        self.dialling, self.quiet = dialling, quiet
        self.mirror = Mirror.of(str(dialling.place))
        self.root = self.mirror.root
        mirrors(self.root, *dialling.place)
        self.trouble = ""
        self.on_log: Callable[[str], None] = lambda run: None
        """Called when something was added to a run's log, from the thread that takes it."""
        self.connections = 0
        self.bytes_read = self.bytes_written = 0
        """Bytes that went over links that are closed."""
        self._link: Link | None = None
        self._proxies = Proxies(self._forward)
        self._lock = threading.RLock()
        self._followed: OrderedDict[str, bool] = OrderedDict()
        """Runs whose logs are followed, and whether they have come to what there is since the link was made."""
        self._opening: dict[str, Waiting] = {}
        self._progress: dict[str, tuple[int, int]] = {}
        self._answers: dict[int, Waiting] = {}
        self._number = 0
        self._listed = threading.Event()
        self._closing = threading.Event()
        self._hurry = threading.Event()
        """Somebody wants something of a link that is not there: it is tried at once."""
        self._last_heard = 0.0
        self._far = ""
        self.previews = Previews(self.mirror, self._lock, self._send_if_linked, self._closing)

    @property
    def host(self) -> str:
        """The other machine, as it was called."""
        return self.dialling.place.host

    # -- the link

    def start(self) -> None:
        """Connect, and learn which runs there are. Raises RunError with what is in the way."""
        link = connect(self.dialling, self.quiet)
        listing = Waiting()
        threading.Thread(target=self._run, args=(link, listing), name="watch", daemon=True).start()
        listing.wait(3600.0)
        if isinstance(listing.value, Exception):
            self.close()
            raise listing.value
        threading.Thread(target=self._keep_up, name="watch-link", daemon=True).start()
        threading.Thread(target=self.previews.fetch_ahead, name="watch-ahead", daemon=True).start()

    def close(self) -> None:
        """End it; runs go on."""
        self._closing.set()
        self._hurry.set()
        self.previews.wake()
        with self._lock:
            link = self._link
            self._proxies.close()
        if link is not None:
            link.close()
        self._fail_all()
        with self._lock:
            self.mirror.close()

    def _run(self, link: Link, listing: Waiting) -> None:
        """Take what comes; make the link anew where it breaks."""
        words, pause = self._listen(link, listing), FIRST
        if not self._listed.is_set():
            words = f"{self.host}: {words}" if words else f"{self.host} ended the connection"
            listing.set(LinkError(words, lasting=True))
            return
        while not self._closing.is_set():
            self.trouble = f"no link to {self.host}: trying again"
            if words:
                self.trouble = f"{self.trouble} ({words.removeprefix(f'no link to {self.host}: ')})"
            self._hurry.wait(pause)
            self._hurry.clear()
            if self._closing.is_set():
                return
            try:
                link = connect(self.dialling, quiet=True)
            except RunError as error:
                words, pause = str(error), min(LONGEST, pause * 2)
                continue
            if self._closing.is_set():
                link.close()
                return
            words = self._listen(link, listing)
            pause = FIRST if self._listed.is_set() else min(LONGEST, pause * 2)

    def _listen(self, link: Link, listing: Waiting) -> str:
        """Take what a link tells until it is over; why, where that is told."""
        with self._lock:
            self._link, self._far, self._last_heard = link, "", time.monotonic()
            self._listed.clear() if self.connections else None
            self.connections += 1
            self.mirror.rows_of_now.clear()
            again: list[FarMessage] = [Begin(self.mirror.known())]
            for name in self._followed:
                self._followed[name] = False
                again.append(LookAt(name, *self.mirror.have(name)))
        words = ""
        try:
            link.stream.send(*again)
            for message in link.stream.receive():
                self._last_heard = time.monotonic()
                with self._lock:
                    if self._closing.is_set():
                        break
                    self._take(message)
                if isinstance(message, AllListed):
                    self.trouble = ""
                    listing.set(None)
        except LinkBroken as error:
            words = str(error)
        except OSError as error:
            words = f"cannot write in {self.root}: {error.strerror or error}"
        with self._lock:
            self._link = None
            self.bytes_read += link.stream.bytes_read
            self.bytes_written += link.stream.bytes_written
            self.previews.give_up()
        link.close()
        link.done()
        self._fail_all()
        return words or self._far

    def _fail_all(self) -> None:
        """Nobody who waits for the link will hear of it any more."""
        with self._lock:
            waiting, self._answers = list(self._answers.values()), {}
            opening = [self._opening.pop(name) for name in list(self._opening)]
        for request in (*waiting, *opening):
            request.set(None)

    def _send(self, *messages: FarMessage) -> bool:
        """Say something where there is a link; whether there was one."""
        link = self._link
        if link is None:
            self._hurry.set()
            return False
        try:
            link.stream.send(*messages)
        except LinkBroken:
            return False
        return True

    def _send_if_linked(self, message: FarMessage) -> bool:
        return self._link is not None and self._send(message)

    def _keep_up(self) -> None:
        """Say now and then that somebody is here, and give up a link from which nothing is heard."""
        while not self._closing.wait(PING):
            link = self._link
            if link is None:
                continue
            if time.monotonic() - self._last_heard > SILENT:
                link.close()
            else:
                link.stream.send_at_once(Ping())

    # -- what is told

    def _take(self, message: Told) -> None:
        match message:
            case FarRun():
                self._take_row(message)
            case GoneRuns():
                for name in message.folders:
                    self._forget(name)
            case AllListed():
                for name in [name for name in self.mirror.rows if name not in self.mirror.rows_of_now]:
                    self._forget(name)
                self.mirror.keep_only()
                self._listed.set()
                self.previews.wake()
            case LogPart():
                self._take_part(message)
            case FarFile():
                self.previews.take(message)
            case Answered():
                if (waiting := self._answers.pop(message.number, None)) is not None:
                    waiting.set(message)
            case FarTrouble():
                self._far = message.words
                if self._listed.is_set():
                    self.trouble = f"{self.host}: {message.words}" if message.words else ""

    def _take_row(self, row: FarRun) -> None:
        name = row.folder
        if not is_folder_of_run(name):
            return
        socket = self._proxies.open(name) if row.live else ""
        synced = self._followed.get(name, True)
        if not self.mirror.take(row, socket, keep_live=not synced):
            return
        if not row.live and synced:
            self._proxies.shut(name)
        if name not in self._followed and self.mirror.is_whole(name):
            if self.mirror.have(name)[0] == row.size:
                return
            if row.size - self.mirror.have(name)[0] < LITTLE and self._link is not None:
                self._follow(name)
            else:
                self.mirror.shorten(name)

    def _forget(self, name: str) -> None:
        self._proxies.shut(name)
        self._followed.pop(name, None)
        self.previews.forget(name)
        if (waiting := self._opening.pop(name, None)) is not None:
            waiting.set(None)
        self.mirror.drop(name)

    def _take_part(self, part: LogPart) -> None:
        name = part.run
        if name not in self._followed or name not in self.mirror.rows:
            return
        try:
            whole = self.mirror.append(part)
        except OSError as error:
            if error.errno != errno.EPROTO:
                raise
            self._followed[name] = False
            self._send(LookAt(name, *self.mirror.have(name)))  # from where we are
            return
        if part.fresh:
            self.previews.forget(name)
        self.previews.note(name, part.data)
        self._progress[name] = part.offset + len(part.data), part.total
        self.on_log(name)
        if not whole:
            return
        self._progress.pop(name, None)
        self._followed[name] = True
        row = self.mirror.rows[name]
        self.mirror.date(name)
        if not row.live and self.mirror.is_held(name):
            self.mirror.release(name)
            self._proxies.shut(name)
        if (waiting := self._opening.pop(name, None)) is not None:
            waiting.set(part.total)

    # -- looking at a run

    def name_of(self, path: Path) -> str:
        """The name of a mirrored run's folder. Raises RunError for a path that is none."""
        name = os.path.basename(path)
        if Path(path).parent != self.root or name not in self.mirror.rows:
            raise RunError(f"{path.name} is no run of {self.dialling.place}")
        return name

    def _follow(self, name: str) -> None:
        """Have a run's log sent, from where it is here."""
        if name in self._followed:
            self._followed.move_to_end(name)
            self.previews.turn_to(name)
            return
        while len(self._followed) >= FOLLOWED:
            old, _ = self._followed.popitem(last=False)
            self.previews.forget(old)
            self._send(LookAway(old))
            if (row := self.mirror.rows.get(old)) is not None and row.live:
                self.mirror.shorten(old)
        self._followed[name] = False
        self._send(LookAt(name, *self.mirror.have(name)))
        self.previews.turn_to(name)
        if self.mirror.is_whole(name):
            self.previews.read(name)

    def open_run(self, path: Path) -> None:
        """Have the whole log of a run here, and its newest previews, and keep it up to date from now on.

        Without a link, what is here already has to do. Raises RunError where that is nothing.
        """
        name = self.name_of(path)
        with self._lock:
            fresh = name not in self._followed
            self._follow(name)
            waiting = None
            if self._link is not None and not self._followed[name]:
                waiting = self._opening.setdefault(name, Waiting())
        if waiting is not None:
            waiting.wait(OPENING)
        if not self.mirror.is_whole(name):
            if self.trouble or self._link is None:
                raise RunError(f"{name} was not read from {self.host} yet, and there is no link now")
            if (self.mirror.rows[name].size if name in self.mirror.rows else 0) > 0:
                raise RunError(f"{name} could not be read from {self.host}")
        if fresh:
            self.previews.await_newest(name)

    @property
    def reading(self) -> str:
        """How far a long log is that somebody waits for, in words; empty where none is."""
        for name in list(self._opening):
            here, there = self._progress.get(name, (0, 0))
            if there > LITTLE:
                return f"reading {name} from {self.host}: {size(here)} of {size(there)}"
        return ""

    def want(self, name: str, path: str) -> bool:
        """Whether a preview is here; where it is not, it is sent for."""
        return self.previews.want(name, path)

    def fetch_all(self, path: Path) -> None:
        """Have all of a run here that readers may want: log and previews. Raises RunError."""
        self.open_run(path)
        name = self.name_of(path)
        if not self.previews.fetch_all(name):
            raise RunError(f"there is no link to {self.host} now, and not all of {name} is here")

    # -- asking

    def _await_answer(self, make: Any, seconds: float) -> Answered | None:
        """Send a request with a number and wait for its answer; None where none comes."""
        waiting = Waiting()
        with self._lock:
            self._number += 1
            number = self._number
            self._answers[number] = waiting
        if not self._send(make(number)):
            self._answers.pop(number, None)
            return None
        waiting.wait(seconds)
        self._answers.pop(number, None)
        answer: Answered | None = waiting.value
        return answer

    def _forward(self, run: str, request: Reply) -> Reply:
        """A request that came to a proxy, answered by the worker itself or, where that cannot be, in words."""
        linked = self._link is not None
        answer = self._await_answer(lambda number: AskThere(number, run, request.data, request.blob), ANSWER)
        if answer is not None:
            return Reply(answer.data, answer.blob)
        words = f"the link to {self.host} broke before it was answered, and it may have been done"
        if not linked:
            self._hurry.set()
            words = f"there is no link to {self.host} now; nothing was asked"
        return Reply({"ok": False, "error": words, "worker": request.data.get("worker", "")})

    def do(self, path: Path, what: str, *words: Any) -> list[str]:
        """Have something done with a run where it is (see `serving.DEEDS`); what is to be said. Raises RunError."""
        name = self.name_of(path)
        if self._link is None:
            self._hurry.set()
            raise RunError(f"there is no link to {self.host} now; nothing was done")
        answer = self._await_answer(lambda number: DoThere(number, name, what, list(words)), DEED)
        if answer is None:
            raise RunError(f"{self.host} did not answer; whether it was done shows when the link is back")
        if not answer.data.get("ok"):
            raise RunError(f"{self.host}: {answer.data.get('error') or 'it was not done'}")
        lines = answer.data.get("words")
        return [str(line) for line in lines] if isinstance(lines, list) else []
