"""What a program writes to its terminal, sequence by sequence."""

from __future__ import annotations

import re
from collections.abc import Iterator


class Splitter:
    """Splits a terminal's input stream, in any chunks, into (kind, bytes): text, csi, dcs, apc, osc, esc."""

    _TOKEN = re.compile(
        rb"(?P<csi>\x1b\[[0-?]*[ -/]*[@-~])"
        rb"|\x1b(?P<string>[P_\]^X])(?P<body>(?:[^\x1b\x07]|\x1b(?!\\)(?!$))*)(?:\x1b\\|(?P<bell>\x07))"
        rb"|(?P<esc>\x1b[ -/]*[0-OQ-WYZ`-~\\])"
        rb"|(?P<text>[^\x1b]+)",
        re.DOTALL,
    )
    _KINDS = {b"P": "dcs", b"_": "apc", b"]": "osc", b"^": "pm", b"X": "sos"}

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """The tokens that are complete by now; strings come without introducer and terminator."""
        data, self._rest = self._rest + data, b""
        place = 0
        while place < len(data):
            match = self._TOKEN.match(data, place)
            if match is None:
                self._rest = data[place:]
                return
            place = match.end()
            if match["string"]:
                yield self._KINDS[match["string"]], match["body"]
            else:
                kind = match.lastgroup or "text"
                yield kind, match[0]
