"""Fetching files over HTTP with progress, checked against their digests, without leaving halves behind."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from tui_gen.events import Note, Progress
from tui_gen.train.data.sources import DataError, Report

TIMEOUT = 30.0
"""Seconds without a byte after which a server counts as gone."""

CHUNK = 1 << 18
EVERY = 0.2
"""Seconds between progress events."""


def fetch(urls: list[str], path: Path, md5: str | None, report: Report, what: str) -> None:
    """Fetch the first of `urls` that works into `path`, which appears only when complete and verified.

    Raises DataError naming every address that was tried and why it failed, and OSError where `path` cannot be written.
    """
    partial = path.with_name(f"{path.name}.part-{os.getpid()}")
    failures = []
    try:
        for url in urls:
            try:
                _fetch(url, partial, md5, report, what)
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, _Broken) as error:
                failures.append(f"{url}: {_words(error)}")
                if url != urls[-1]:
                    report(Note(level="warning", text=f"{failures[-1]}; trying the next address"))
                continue
            os.replace(partial, path)
            return
    finally:
        partial.unlink(missing_ok=True)
    raise DataError("\n".join(failures))


class _Broken(Exception):
    """What arrived is not what was asked for."""


def _fetch(url: str, partial: Path, md5: str | None, report: Report, what: str) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "tui-gen"})
    digest = hashlib.md5(usedforsecurity=False)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response, open(partial, "wb") as file:
        total = int(response.headers.get("Content-Length") or 0)
        size, last_report = 0, time.monotonic()
        report(Progress(what=what, done=0, total=total, unit="bytes"))
        while chunk := response.read(CHUNK):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            if time.monotonic() - last_report >= EVERY and size < total:
                last_report = time.monotonic()
                report(Progress(what=what, done=size, total=total, unit="bytes"))
    if total and size < total:
        raise _Broken(f"the connection ended after {size:,} of {total:,} bytes")
    if md5 and digest.hexdigest() != md5:
        raise _Broken(f"{size:,} bytes came, but not the file that was asked for (MD5 {digest.hexdigest()}, not {md5})")
    report(Progress(what=what, done=size, total=size, unit="bytes"))


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    return str(reason or error) or type(error).__name__
