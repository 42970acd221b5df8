"""Which previews the logs of mirrored runs tell of, and how their files come: the newest first, others when wanted."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable

from tui_gen import events, runs
from tui_gen.remote.messages import FarFile, FarMessage, FetchFile, is_preview
from tui_gen.remote.mirror import Mirror

PICTURES = 3.0
"""Seconds that a run's newest previews are waited for when it is opened."""
RATE = 512_000
"""Bytes a second that older previews may take of the link, which nobody has asked for yet."""
AHEAD = 100
"""Older previews of a run that are fetched before anybody asks for them."""
RECENT = 200
"""Previews among which the newest of each kind are looked for."""


class Previews:
    """Of a mirror, fetched by `send`, which says whether there is a link. Methods may be called from any thread."""

    def __init__(
        self, mirror: Mirror, lock: threading.RLock, send: Callable[[FarMessage], bool], closing: threading.Event
    ) -> None:
        self.arrivals = 0
        """Counts previews that somebody had asked for, as they come."""
        self._mirror, self._lock, self._send, self._closing = mirror, lock, send, closing
        self._paths: dict[str, list[str]] = {}
        self._turned_to = ""
        self._requests: set[tuple[str, str]] = set()
        self._missing: set[tuple[str, str]] = set()
        """Files that are not there either."""
        self._due = threading.Event()

    # -- which there are

    def note(self, run: str, data: bytes) -> None:
        """Remember which previews a part of a log tells of."""
        if b'"sample"' not in data:
            return
        paths = self._paths.setdefault(run, [])
        for line in data.split(b"\n"):
            if b'"sample"' in line and isinstance(event := events.decode(line), events.Sample):
                paths.append(event.path)

    def read(self, run: str) -> None:
        """Which previews the part of a log tells of that is here already."""
        self.forget(run)
        with contextlib.suppress(OSError), open(self._mirror.root / run / runs.LOG, "rb") as log:
            while lines := log.readlines(1 << 20):
                self.note(run, b"".join(lines))

    def forget(self, run: str) -> None:
        """Nothing is known of a run's previews any more."""
        self._paths.pop(run, None)

    def turn_to(self, run: str) -> None:
        """Older previews of this run come first from now on."""
        self._turned_to = run
        self.wake()

    # -- their files

    def want(self, run: str, path: str) -> bool:
        """Whether a preview is here; where it is not, it is sent for."""
        if os.path.exists(self._mirror.root / run / path):
            return True
        key = (run, path)
        with self._lock:
            is_new = key not in self._requests and key not in self._missing and is_preview(path)
            if is_new and self._send(FetchFile(run, path)):
                self._requests.add(key)
        return False

    def is_absent(self, run: str, path: str) -> bool:
        """Whether a file is not there either, as far as is known."""
        return (run, path) in self._missing

    def take(self, file: FarFile) -> None:
        """A file has come, or cannot be had. Raises OSError where it cannot be written."""
        key = (file.run, file.path)
        if file.run not in self._mirror.rows:
            return
        if file.problem:
            self._missing.add(key)
        elif self._mirror.keep_file(file):
            self._missing.discard(key)
        if key in self._requests:
            self._requests.discard(key)
            self.arrivals += 1
        self.wake()

    def give_up(self) -> None:
        """The link is gone, and with it what was asked for."""
        self._requests.clear()
        self.wake()

    def wake(self) -> None:
        """There may be something to fetch."""
        self._due.set()

    def await_newest(self, run: str) -> None:
        """Wait a moment for the newest preview of each kind: a run is shown with its pictures."""
        newest = {path.partition("-")[2]: path for path in self._paths.get(run, [])[-RECENT:]}
        missing = [path for path in newest.values() if not self.want(run, path)]
        deadline = time.monotonic() + PICTURES
        while time.monotonic() < deadline and any((run, path) in self._requests for path in missing):
            if self._closing.wait(0.02):
                return
        self.wake()

    def fetch_all(self, run: str) -> bool:
        """Fetch every preview of a run that can be had; whether that was done."""
        for path in reversed(self._paths.get(run, [])):
            while not self.want(run, path) and is_preview(path) and not self.is_absent(run, path):
                if (run, path) not in self._requests or self._closing.wait(0.01):
                    return False
        return True

    def fetch_ahead(self) -> None:
        """Fetch older previews of the run looked at last, the newest first, one at a time and not faster than RATE."""
        while True:
            self._due.wait()
            self._due.clear()
            while not self._closing.is_set() and (key := self._next()) is not None:
                self.want(*key)
                while key in self._requests and not self._closing.wait(0.05):
                    pass
                if not os.path.exists(place := self._mirror.root / key[0] / key[1]) and key not in self._missing:
                    break  # there is no link now
                with contextlib.suppress(OSError):
                    self._closing.wait(os.path.getsize(place) / RATE)
            if self._closing.is_set():
                return

    def _next(self) -> tuple[str, str] | None:
        with self._lock:
            for path in reversed(self._paths.get(self._turned_to, [])[-AHEAD:] if AHEAD else []):
                key = (self._turned_to, path)
                if key in self._missing or not is_preview(path) or os.path.exists(self._mirror.root / key[0] / path):
                    continue
                return key
        return None
