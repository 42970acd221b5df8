"""A look at a dataset, taken by a process of its own: one at a time, and none that is not wanted any more."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import msgspec

from tui_gen.control import ControlError
from tui_gen.sheet import DataSheet, SheetReply, SheetRequest


class SheetReader:
    """Has sheets of datasets made, in a folder of its own. Its methods wait: call them away from the UI's thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._lock = threading.Lock()
        self._count = 0

    def read(self, tables: dict[str, Any], seed: int, model_dirs: list[str]) -> DataSheet:
        """What the dataset in these tables holds. Ends what is read meanwhile. Raises ControlError, with why."""
        from tui_gen import children, launch

        with self._lock:
            self._end()
            self._folder = self._folder or Path(tempfile.mkdtemp(prefix="tui-gen-sheet-"))
            self._count += 1  # another name for each: what shows pictures knows them by their paths
            folder = self._folder / str(self._count)
            try:
                folder.mkdir()
                process = self._process = children.start(
                    "tui_gen.train.offline.sheet", env=launch.environment_beside(model_dirs),
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                )  # fmt: skip
            except OSError as error:
                raise ControlError(f"the data cannot be read: {error.strerror or error}") from None
        request = SheetRequest(tables, seed, str(folder))
        try:
            out, _ = process.communicate(msgspec.json.encode(request))
            reply = msgspec.json.decode(out, type=SheetReply)
        except (OSError, ValueError, msgspec.DecodeError, msgspec.ValidationError):
            raise ControlError("the process that reads the data ended; start a run to see why") from None
        if reply.sheet is None:
            raise ControlError(reply.words)
        return reply.sheet

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            with contextlib.suppress(OSError):
                process.kill()

    def close(self) -> None:
        """End what is read, and remove the pictures."""
        with self._lock:
            self._end()
            folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
