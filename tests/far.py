"""Another machine for tests of `tui-gen watch`: in this process, through pipes, or behind a script in ssh's place."""

from __future__ import annotations

import contextlib
import shlex
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from tui_gen.remote import serving, watcher
from tui_gen.remote.link import Dialling, LinkError, RemoteFolder
from tui_gen.remote.messages import Asked, FrameStream, Told
from tui_gen.remote.serving import Serving
from tui_gen.remote.watcher import Watcher


class PipeLink:
    """Stands for `link.Link`: a pair of sockets to a `Serving` in a thread of this process."""

    version = "of here"

    def __init__(self, root: Path, serve: Any = None) -> None:
        self._ends = socket.socketpair()
        here, there = (end.fileno() for end in self._ends)
        self.stream, self.there = FrameStream(here, here, Told), FrameStream(there, there, Asked)
        self._serve = serve or (lambda stream: Serving(root, stream).run())
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._serve(self.there)
        finally:
            self.cut()

    def cut(self) -> None:
        """Both sides read what has come, and no more: perhaps half a message."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    close = cut

    def done(self) -> None:
        """The descriptors that were read."""
        self.stream.end()
        self.thread.join(60)
        for end in self._ends:
            end.close()


class FarMachine:
    """Has runs in `root`. `watch` gives a watcher of them; `cut` breaks its link, `down` keeps it from coming back."""

    def __init__(self, root: Path, monkeypatch: Any) -> None:
        self.root, self.down, self.links = root, False, []
        root.mkdir(exist_ok=True)
        self._watchers: list[Watcher] = []
        monkeypatch.setattr(watcher, "connect", self._connect)
        for module, name, seconds in ((serving, "LOOK", 0.05), (watcher, "FIRST", 0.02), (watcher, "LONGEST", 0.05)):
            monkeypatch.setattr(module, name, seconds)

    def _connect(self, dialling: Dialling, quiet: bool) -> Any:
        if self.down:
            raise LinkError("no link to far: the cable is out")
        self.links.append(PipeLink(self.root))
        return self.links[-1]

    def watch(self, place: str = "far:runs") -> Watcher:
        """A watcher that has connected."""
        new = Watcher(Dialling(RemoteFolder.parse(place)))
        self._watchers.append(new)
        new.start()
        return new

    def cut(self) -> None:
        """Break the link."""
        self.links[-1].cut()

    def close(self) -> None:
        """End all that watch."""
        for each in self._watchers:
            each.close()


def ssh_script(folder: Path, home: Path) -> Path:
    """A script that does what `ssh HOST COMMAND` does, on this machine in another home; it greets first."""
    script = folder / "ssh-there"
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "tui-gen").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m tui_gen "$@"\n')
    (tools / "tui-gen").chmod(0o755)
    script.write_text(
        "#!/bin/sh\n"
        f"export HOME={shlex.quote(str(home))} PATH={shlex.quote(str(tools))}:$PATH\n"
        'unset TUI_GEN_RUNS\ncd "$HOME"\necho "Welcome to $1."\nexec sh -c "$2"\n'
    )
    script.chmod(0o755)
    return script
