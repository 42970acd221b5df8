#!/usr/bin/env bash
# Pillow 13.0.0 and images of more than 8 bits: what is in the file is not what the array holds, and nothing is said.
#
# Seen:
#   1. PNG of 16 bits with alpha or colour (all valid per ISO 15948) is cut to its upper 8 bits: grey with alpha comes
#      as mode RGBA, RGB as RGB, RGBA as RGBA. Values of 12 bits in 16, as cameras and scanners store them, keep 4 of
#      their 12 bits. Grey alone keeps all 16 (mode I;16), so a folder's grey and grey-with-alpha files differ by 256.
#   2. TIFF with PhotometricInterpretation 0 (white is zero, usual in radiology): of 8 bits it is turned about, of 16
#      bits it is not, so the same picture is a negative at 16 bits.
#   3. TIFF of unsigned 32 bits comes as signed 32 (mode I): values above 2^31 - 1 are negative.
#   4. TIFF of RGB with 16 bits is cut to the upper 8, as case 1. Where its colours lie in planes (PlanarConfiguration 2)
#      and are not compressed, the bytes of a plane are taken for its values: half the width, each value as two.
#   5. TIFF of 8 bits with a sign (SampleFormat 2) comes as mode L without it: -1 is 255.
#
# Output: see EXPECTED below. torchvision.io.decode_png gives uint16 for case 1; for case 4 with colours side by side
# Pillow gives the lower bytes where the rawmode of its tile is changed from RGB;16L to RGB;16B.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pillow==13.0.0 numpy==2.4.6 2> /dev/null
cat > "$work/EXPECTED" <<'END'
png grey 16: mode I;16, 0 1365 2730 4095
png grey+alpha 16: mode RGBA, 0 5 10 15
png rgb 16: mode RGB, 0 5 10 15
png rgba 16: mode RGBA, 0 5 10 15
tiff 8 bits, white is zero: mode L, 255 170 85 0
tiff 16 bits, white is zero: mode I;16, 0 21845 43690 65535
tiff 32 bits unsigned: mode I, 0 1431655765 -1431655766 -1
tiff rgb 16: mode RGB, 0 5 10 15
tiff rgb 16 in planes: mode RGB, 0 0 85 5
tiff 8 bits signed: mode L, 128 255 0 127
END
"$work/venv/bin/python" - > "$work/seen" <<'END'
import io
import struct
import zlib

import numpy as np
from PIL import Image


def png(colour, values):
    """A PNG of 16 bits from an array (1, width, channels)."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", values.shape[1], 1, 16, colour, 0, 0, 0)
    data = zlib.compress(b"\0" + values.astype(">u2").tobytes())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(values, photometric, sample_format=1):
    """A TIFF of one row of whole numbers, uncompressed."""
    pixels, bits = values.tobytes(), 8 * values.itemsize
    tags = {256: len(values), 257: 1, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 1, 279: len(pixels)}
    tags |= {339: sample_format}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    body = pixels + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + body


def colour_tiff(values, in_planes):
    """A TIFF of one row (width, 3) of unsigned 16 bits, uncompressed, its colours side by side or in planes."""
    pixels = (values.T if in_planes else values).astype("<u2").tobytes()
    each = len(pixels) // (3 if in_planes else 1)
    places = [8 + each * number for number in range(len(pixels) // each)]
    tags = {256: [len(values)], 257: [1], 258: [16] * 3, 259: [1], 262: [2], 273: places, 277: [3], 278: [1]}
    tags |= {279: [each] * len(places), 284: [2 if in_planes else 1]}
    after, entries, tail = 8 + len(pixels) + 2 + 12 * len(tags) + 4, b"", b""
    for tag, numbers in sorted(tags.items()):
        body = struct.pack(f"<{len(numbers)}I", *numbers)
        entries += struct.pack("<HHI", tag, 4, len(numbers))
        entries += body if len(numbers) == 1 else struct.pack("<I", after + len(tail))
        tail += body if len(numbers) > 1 else b""
    head = struct.pack("<2sHI", b"II", 42, 8 + len(pixels))
    return head + pixels + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0) + tail


def show(name, data):
    image = Image.open(io.BytesIO(data))
    values = np.asarray(image).reshape(image.height, image.width, -1)[0, :, 0]
    print(f"{name}: mode {image.mode},", *values.tolist())


twelve = np.array([[0, 1365, 2730, 4095]])
full = np.full_like(twelve, 65535)
for name, colour, planes in (
    ("grey", 0, [twelve]), ("grey+alpha", 4, [twelve, full]),
    ("rgb", 2, [twelve] * 3), ("rgba", 6, [*[twelve] * 3, full]),
):
    show(f"png {name} 16", png(colour, np.stack(planes, -1)))
for bits in (8, 16):
    dtype = np.dtype(f"<u{bits // 8}")
    values = (np.array([0, 1, 2, 3]) * ((2**bits - 1) // 3)).astype(dtype)
    show(f"tiff {bits} bits, white is zero", tiff(values, 0))
show("tiff 32 bits unsigned", tiff((np.array([0, 1, 2, 3]) * ((2**32 - 1) // 3)).astype("<u4"), 1))
show("tiff rgb 16", colour_tiff(np.stack([twelve[0]] * 3, -1), False))
show("tiff rgb 16 in planes", colour_tiff(np.stack([twelve[0]] * 3, -1), True))
show("tiff 8 bits signed", tiff(np.array([-128, -1, 0, 127], np.int8), 1, 2))
END
cat "$work/seen"
diff "$work/EXPECTED" "$work/seen" && echo "as described"
