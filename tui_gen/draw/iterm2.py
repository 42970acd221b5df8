"""iTerm2's inline images: a file and the cells it fills, for iTerm2 and the terminals that understand it.

The picture lies in cells: text that is written over it takes it away.
"""

from __future__ import annotations

import base64


def show(image: bytes, columns: int, rows: int) -> bytes:
    """Show the PNG file `image` in `columns` x `rows` cells at the cursor, stretched to fill them; empty where there is
    nothing to show. Where the terminal knows how, the cursor stays."""
    if not image or columns < 1 or rows < 1:
        return b""
    keys = f"inline=1;size={len(image)};width={columns};height={rows};preserveAspectRatio=0;doNotMoveCursor=1"
    return b"\x1b]1337;File=%b:%b\x07" % (keys.encode(), base64.standard_b64encode(image))
