"""Sockets of this machine that stand for workers of another: whatever is asked of one goes over the link."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from tui_gen import control
from tui_gen.control import Reply

Forward = Callable[[str, Reply], Reply]
"""Hands a request for the worker of a run (by its folder's name) on, and waits for the answer."""


class Proxies:
    """Listens for every worker there is, in one thread; each connection has one of its own while it lasts."""

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._sockets: dict[str, tuple[socket.socket, str]] = {}
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, "")
        self._lock = threading.Lock()
        self._closed = False
        threading.Thread(target=self._accept, name="proxies", daemon=True).start()

    def open(self, run: str) -> str:
        """The path of the socket for a run's worker; an empty text where there can be none."""
        with self._lock:
            place = self._sockets.get(run)
            if place is not None and os.path.exists(place[1]):
                return place[1]
            self._drop(run)
            try:
                path = control.socket_path(f"watch:{id(self)}:{run}")
                listening = _listening(path)
            except (OSError, control.ControlError):
                return ""
            self._sockets[run] = listening, path
            self._selector.register(listening, selectors.EVENT_READ, run)
            self._nudge()
            return path

    def shut(self, run: str) -> None:
        """A run's worker is gone."""
        with self._lock:
            self._drop(run)

    def _drop(self, run: str) -> None:
        if (place := self._sockets.pop(run, None)) is not None:
            with contextlib.suppress(OSError, KeyError, ValueError):
                self._selector.unregister(place[0])
            place[0].close()
            with contextlib.suppress(OSError):
                os.unlink(place[1])
            self._nudge()

    def _nudge(self) -> None:
        with contextlib.suppress(OSError):
            self._wake.send(b".")

    def close(self) -> None:
        """No worker is stood for any more."""
        with self._lock:
            self._closed = True
            for run in list(self._sockets):
                self._drop(run)
            self._nudge()

    def _accept(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select():
                if not key.data:
                    with contextlib.suppress(OSError):
                        self._woken.recv(4096)
                    continue
                with contextlib.suppress(OSError, RuntimeError):
                    connection, _ = key.fileobj.accept()  # type: ignore[union-attr]
                    connection.setblocking(True)
                    words = (connection, key.data)
                    threading.Thread(target=self._serve, args=words, name="proxy", daemon=True).start()
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def _serve(self, connection: socket.socket, run: str) -> None:
        """Answer what comes on a connection, as `control.Server` does."""
        with connection, contextlib.suppress(OSError, control.ControlError):
            if control.peer(connection) not in (None, os.getuid()):
                return
            while (message := control.receive(connection)) is not None:
                reply = self._forward(run, message)
                control.send(connection, reply.data, reply.blob)


def _listening(path: str) -> socket.socket:
    """A socket in its place, which nobody else may use. Raises OSError."""
    aside = str(Path(path).with_suffix(".new"))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(aside)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(aside)
        os.chmod(aside, 0o600)
        listening.listen(16)
        listening.setblocking(False)
        os.replace(aside, path)
    except OSError:
        listening.close()
        raise
    return listening
