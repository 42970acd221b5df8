"""The ssh process that a mirror is fed by: how it is started, where its stream begins, and why there is none.

The first time ssh may ask for a password or about a host's key, as it always does, on the terminal; later, when a
workbench has the screen, it may not: then whatever would have to be typed is a reason to tell.
"""

from __future__ import annotations

import collections
import contextlib
import os
import re
import select
import shlex
import subprocess
import threading
import time
from typing import NamedTuple

from tui_gen import __version__
from tui_gen.remote.messages import MAGIC, PROTOCOL, FrameStream, LinkBroken, Told
from tui_gen.runs import RunError
from tui_gen.text import clean

SSH = "ssh"
COMMAND = "tui-gen"
PATIENCE = 30.0
"""Seconds for a connection that nobody types anything for."""
MOST_BANNER = 1 << 20
"""Bytes that a login shell may print before our own program speaks."""
LAST_WORDS = 20
"""Lines of what ssh said that are remembered."""


class LinkError(RunError):
    """No link can be had; `lasting` where trying again would not help."""

    def __init__(self, words: str, lasting: bool = False) -> None:
        super().__init__(words)
        self.lasting = lasting


class RemoteFolder(NamedTuple):
    """A folder of runs on another machine: `host` is whatever ssh takes for one, an empty `folder` its usual one."""

    host: str
    folder: str

    def __str__(self) -> str:
        return f"{self.host}:{self.folder}"

    @classmethod
    def parse(cls, text: str) -> RemoteFolder:
        """`user@host:path/to/runs`, `host:`, `[2001:db8::1]:runs`. Raises RunError for anything else."""
        match = re.fullmatch(r"((?:[^\s:@\[\]]+@)?(?:[^\s:@\[\]]+|\[[0-9A-Fa-f:.%\w]+\])):(.*)", text)
        if match is None or text.startswith("-") or not text.isprintable():
            raise RunError(f"{clean(text)!r} names no runs of another machine: write HOST:FOLDER, as in gpu1:runs")
        return cls(match[1].replace("[", "").replace("]", ""), match[2])


class Dialling(NamedTuple):
    """How such a folder is reached: `ssh` and its options, and what tui-gen is called there."""

    place: RemoteFolder
    ssh: str = SSH
    command: str = COMMAND

    def words(self, quiet: bool) -> list[str]:
        """The command line. Raises RunError where `ssh` is none."""
        try:
            words = shlex.split(self.ssh)
        except ValueError as error:
            raise RunError(f"--ssh {self.ssh!r}: {error}") from None
        if not words:
            raise RunError("--ssh is empty: name a command, such as 'ssh -p 2222'")
        if os.path.basename(words[0]) in ("ssh", "autossh"):
            words += ["-T", "-o", "ConnectTimeout=20"]
            words += ["-o", "BatchMode=yes"] if quiet else []
        return [*words, self.place.host, self.there()]

    def there(self) -> str:
        """What the shell of the other machine, whichever it is, gets to run."""
        inner = f'PATH="$PATH:$HOME/.local/bin:$HOME/bin"; exec {self.command} mirror --stdio'
        if self.place.folder:
            inner += f" -- {shlex.quote(self.place.folder)}"  # its `~` is for tui-gen itself to read
        return f"exec sh -c {shlex.quote(inner)}"


class Link:
    """A connection that is up: its `stream`, until `close`. `version` is that of the tui-gen there."""

    def __init__(self, process: subprocess.Popen[bytes], stream: FrameStream, version: str) -> None:
        self.stream, self.version = stream, version
        self._process = process

    def close(self) -> None:
        """End the ssh process, and with it whatever runs for it on the other side."""
        process = self._process
        with contextlib.suppress(OSError):
            process.terminate()
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            process.wait(2.0)
        if process.poll() is None:
            process.kill()
            process.wait()

    def done(self) -> None:
        """Give its descriptors back, once nobody reads any more."""
        self.stream.end()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


def connect(dialling: Dialling, quiet: bool) -> Link:
    """Connect, until the other side is ready to tell. With `quiet` nothing may be asked on the terminal.

    Raises LinkError with what is in the way and what to do.
    """
    words = dialling.words(quiet)
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
            start_new_session=quiet,  # without a terminal nothing can ask on it
        )  # fmt: skip
    except OSError as error:
        hint = "install OpenSSH's client" if words[0] == SSH else "see --ssh"
        raise LinkError(f"{words[0]} cannot be started: {error.strerror or error}; {hint}", lasting=True) from None
    said: collections.deque[str] = collections.deque(maxlen=LAST_WORDS)
    listener = threading.Thread(target=_listen, args=(process, said), name="ssh-says", daemon=True)
    listener.start()
    try:
        version, rest = _greeting(process, dialling, quiet)
    except BaseException as error:
        with contextlib.suppress(OSError):
            process.kill()
        status = process.wait()
        listener.join(1.0)
        Link(process, FrameStream(-1, -1, Told), "").done()
        if isinstance(error, LinkBroken):
            raise _refusal(dialling, status, list(said), str(error)) from None
        raise
    assert process.stdin is not None and process.stdout is not None
    return Link(process, FrameStream(process.stdout.fileno(), process.stdin.fileno(), Told, rest), version)


def _listen(process: subprocess.Popen[bytes], said: collections.deque[str]) -> None:
    """Remember what ssh, or the other side, complains of: nothing may write on the workbench's screen."""
    assert process.stderr is not None
    with contextlib.suppress(OSError, ValueError), process.stderr as stderr:
        rest = b""
        while data := os.read(stderr.fileno(), 4096):
            *lines, rest = (rest + data).split(b"\n")
            said.extend(line.decode("utf-8", "replace") for line in lines)
            rest = rest[-4096:]
        if rest.strip():
            said.append(rest.decode("utf-8", "replace"))


def _greeting(process: subprocess.Popen[bytes], dialling: Dialling, quiet: bool) -> tuple[str, bytes]:
    """The version over there, and what of the stream came with it. Raises LinkBroken where none comes, LinkError."""
    assert process.stdout is not None
    deadline = time.monotonic() + PATIENCE
    there = select.poll()
    there.register(process.stdout, select.POLLIN)
    data = b""
    while True:
        start = data.find(MAGIC)
        end = data.find(b"\n", start) if start >= 0 else -1
        if end >= 0:
            break
        if len(data) > MOST_BANNER:
            raise LinkError(f"{dialling.place.host} sends something else than a mirror; does `ssh -T` work there?")
        wait = max(0, int(1000 * (deadline - time.monotonic()))) if quiet else None
        if not there.poll(wait):
            raise LinkError(f"{dialling.place.host} does not answer")
        part = os.read(process.stdout.fileno(), 4096)
        if not part:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5.0)
            raise LinkBroken(clean(data[-200:].decode("utf-8", "replace")).strip())
        data += part
    protocol, _, version = data[start + len(MAGIC) : end].decode("ascii", "replace").partition(" ")
    if protocol != str(PROTOCOL):
        raise LinkError(
            f"{dialling.place.host} has tui-gen {clean(version)[:40]}, which mirrors runs in another way than this "
            f"one ({__version__}): install the same version on both sides",
            lasting=True,
        )
    return clean(version)[:40], data[end + 1 :]


def _refusal(dialling: Dialling, status: int, said: list[str], printed: str) -> LinkError:
    """Why there is no link, from how the process ended and what it said."""
    host, lines = dialling.place.host, [words for line in said if (words := clean(line).strip())]
    last = lines[-1] if lines else printed
    everything = " ".join(lines)
    if status == 127 or "not found" in last or "No such file" in last:
        words = (
            f"{host} has no {dialling.command} on its path; install tui-gen there, or say where it is: "
            "--remote-command /path/to/tui-gen"
        )
        return LinkError(f"{words} ({last})" if last else words, lasting=True)
    if "no such command" in everything or "invalid choice" in everything:
        words = f"the tui-gen on {host} is too old to be watched: install {__version__} there, as here"
        return LinkError(words, lasting=True)
    if "Permission denied" in everything or "Host key verification failed" in everything:
        words = f"{host} does not let us in ({last}); `ssh {host} true` has to work without a question"
        return LinkError(f"{words}: ssh-add a key, or keep a connection open with ControlMaster", lasting=True)
    return LinkError(f"no link to {host}: {last or f'{dialling.ssh} ended with status {status}'}")
