"""What is trained on is what a viewer shows: deep greys, real numbers, negatives, transparency, colour profiles.

What Pillow 13.0.0 makes of such files is in `findings/pillow-deep-pixels.sh`.
"""

import struct
import sys
import types
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from tests.known import dataset
from tui_gen.events import Note
from tui_gen.train.data import load, ranges

CPU = torch.device("cpu")
SIZE = 16


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "images"
    path.mkdir()
    return path


def ramp():
    """(SIZE, SIZE) from 0 to 1, dark left and bright right."""
    return np.tile(np.linspace(0, 1, SIZE), (SIZE, 1))


def read(root, **settings):
    """(N, C, SIZE, SIZE) in 0 … 1 and what was said, the files sorted by name."""
    said = []
    settings = {"size": SIZE, "validation": 0, **settings}
    config = dataset(name="folder", root=str(root), **settings)
    data = load(config, CPU, seed=0, report=lambda event: said.append(event) if isinstance(event, Note) else None)
    return data.train.examples.double().numpy() / 255, said


def near(images, wanted, tolerance=1.5 / 255):
    return np.abs(images - wanted).max() <= tolerance


def png(path, bits, colour, values, key=None):
    """A PNG of 16 bits of any colour type, which Pillow reads but does not write; values (H, W) or (H, W, C)."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    head += chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)) if key else b""
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def tiff(path, values, bits, sample_format, photometric):
    """An uncompressed grey TIFF with the tags given."""
    height, width = values.shape
    pixels = values.tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height}
    tags |= {279: len(pixels), 339: sample_format}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    head = struct.pack("<2sHI", b"II", 42, 8 + len(pixels))
    path.write_bytes(head + pixels + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_greys_of_any_depth_within_sixteen_bits(root, bits, suffix):
    for number in range(3):
        Image.fromarray((ramp() * (2**bits - 1)).round().astype(np.uint16)).save(root / f"{number}.{suffix}")
    images, said = read(root)
    assert images.shape == (3, 1, SIZE, SIZE) and near(images, ramp())
    assert any(f"0 is black and {2**bits - 1:,} white" in note.text and "100%" in note.text for note in said)


@pytest.mark.parametrize(
    "values, dtype, sample_format",
    [
        ((ramp() - 0.5) * 255, np.int32, 2),
        ((ramp() - 0.5) * 60_000, np.int32, 2),
        ((ramp() - 0.5) * 60_000, np.int16, 2),
        (ramp() * 3e9, np.uint32, 1),
        (ramp() * 4000, np.uint32, 1),
    ],
)
def test_whole_numbers_with_a_sign_or_of_thirty_two_bits(root, values, dtype, sample_format):
    tiff(root / "a.tif", values.round().astype(dtype), 8 * np.dtype(dtype).itemsize, sample_format, 1)
    assert near(read(root)[0][0, 0], ramp(), 8 / 255)  # 4,000 of 4,095


@pytest.mark.parametrize(
    "scale, shift, low, high",
    [(1, 0, 0, 1), (1.02, 0, 0, 1), (1.04, -0.02, 0, 1), (2, -1, -1, 1), (255, 0, 0, 255), (65535, 0, 0, 65535),
     (4000, -1000, -1000, 3000), (0.3, 0, 0, 1)],
)  # fmt: skip
def test_real_numbers_have_one_range_for_the_set(root, scale, shift, low, high):
    values = ramp() * scale + shift
    for number in range(3):
        Image.fromarray(values.astype(np.float32)).save(root / f"{number}.tif")
    images, _ = read(root)
    assert near(images, np.clip((values - low) / (high - low), 0, 1))


def test_a_dark_picture_of_a_bright_set_stays_dark(root):
    for number, scale in enumerate((255, 0.9, 255)):
        Image.fromarray((ramp() * scale).astype(np.float32)).save(root / f"{number}.tif")
    images, _ = read(root)
    assert near(images[0], ramp()) and images[1].max() <= 1 / 255


def test_what_uses_little_of_its_range_is_warned_of(root):
    Image.fromarray((ramp() * 0.05).astype(np.float32)).save(root / "a.tif")
    _, said = read(root)
    assert [note.level for note in said if "is black" in note.text] == ["warning"]
    said_again = read(root)[1]
    assert [note.text for note in said_again] == [note.text for note in said], "a cached set says the same"


def test_values_that_are_no_numbers_take_no_part(root):
    values = ramp() * 200
    values[0, :3] = np.nan, np.inf, -np.inf
    Image.fromarray(values.astype(np.float32)).save(root / "a.tif")
    assert near(read(root)[0][0, 0, 2:], np.clip(ramp() * 200 / 255, 0, 1)[2:], 4 / 255)
    assert ranges.decide([], "real").levels(np.zeros(2)).tolist() == [0, 0]


@pytest.mark.parametrize("bits, top", [(16, 65535), (16, 4095), (16, 1023)])
def test_white_is_zero(root, bits, top):
    values = (top - ramp() * top).round().astype(np.uint16)
    tiff(root / "a.tif", values, bits, 1, 0)
    assert near(read(root)[0][0, 0], ramp())


def test_deep_colour_and_alpha_keep_their_depth(root):
    deep = (ramp() * 4095).round()
    opaque, clear = np.full_like(deep, 65535), np.zeros_like(deep)
    png(root / "a.png", 16, 4, np.stack([deep, opaque], -1))
    png(root / "b.png", 16, 4, np.stack([deep, clear], -1))
    images, _ = read(root)
    assert images.shape[1] == 1, "grey with alpha is grey"
    assert near(images[0], ramp()) and (images[1] == 1).all()

    png(root / "c.png", 16, 2, np.stack([deep, deep[::-1], deep[:, ::-1]], -1))
    png(root / "d.png", 16, 6, np.stack([deep, deep, deep, opaque], -1))
    images, _ = read(root)
    assert images.shape[1] == 3
    assert near(images[2], np.stack([ramp(), ramp()[::-1], ramp()[:, ::-1]])) and near(images[3], ramp())


def colour_tiff(path, values, order="<", in_planes=False, packed=False):
    """A TIFF of 16 bits a channel: values (H, W, 3), or with opacity (H, W, 4), as bytes in an order."""
    height, width, samples = values.shape
    planes = [values[..., number] for number in range(samples)] if in_planes else [values]
    parts = [np.ascontiguousarray(plane).astype(f"{order}u2").tobytes() for plane in planes]
    parts = [zlib.compress(part) for part in parts] if packed else parts
    places = [8 + sum(map(len, parts[:number])) for number in range(len(parts))]
    tags = {256: [width], 257: [height], 258: [16] * samples, 259: [8 if packed else 1], 262: [2], 273: places}
    tags |= {277: [samples], 278: [height], 279: [len(part) for part in parts], 284: [1 + in_planes]}
    tags |= {338: [2]} if samples == 4 else {}
    after = 8 + sum(map(len, parts)) + 2 + 12 * len(tags) + 4
    entries, tail = b"", b""
    for tag, numbers in sorted(tags.items()):
        body = struct.pack(f"{order}{len(numbers)}I", *numbers)
        entries += struct.pack(f"{order}HHI", tag, 4, len(numbers))
        entries += body if len(numbers) == 1 else struct.pack(f"{order}I", after + len(tail))
        tail += body if len(numbers) > 1 else b""
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + sum(map(len, parts)))
    count = struct.pack(f"{order}H", len(tags))
    path.write_bytes(head + b"".join(parts) + count + entries + bytes(4) + tail)


def ppm(path, values, most=65535, plain=False):
    height, width, _ = values.shape
    head = f"P{3 if plain else 6}\n# a word\n{width} {height}\n{most}\n".encode()
    text = " ".join(str(value) for value in values.reshape(-1).astype(int).tolist()).encode()
    path.write_bytes(head + (text if plain else values.astype(">u2").tobytes()))


WIDE = {
    "little": lambda root, values: colour_tiff(root / "a.tif", values),
    "big": lambda root, values: colour_tiff(root / "a.tif", values, ">"),
    "packed": lambda root, values: colour_tiff(root / "a.tif", values, packed=True),
    "big, packed": lambda root, values: colour_tiff(root / "a.tif", values, ">", packed=True),
    "planes": lambda root, values: colour_tiff(root / "a.tif", values, in_planes=True),
    "big planes": lambda root, values: colour_tiff(root / "a.tif", values, ">", in_planes=True),
    "packed planes": lambda root, values: colour_tiff(root / "a.tif", values, in_planes=True, packed=True),
    "ppm": lambda root, values: ppm(root / "a.ppm", values),
    "plain ppm": lambda root, values: ppm(root / "a.pnm", values, plain=True),
}


@pytest.mark.parametrize("kind", WIDE)
@pytest.mark.parametrize("bits", [10, 12, 16])
def test_colour_of_any_depth_within_sixteen_bits(root, kind, bits):
    """Pillow takes the upper byte of each value: all of 12 bits in 16 is black; of planes it takes bytes for values."""
    wanted = np.stack([ramp(), ramp()[::-1] ** 2, ramp()[:, ::-1]])
    WIDE[kind](root, (wanted.transpose(1, 2, 0) * (2**bits - 1)).round())
    images, said = read(root)
    assert near(images[0], wanted) and f"{2**bits - 1:,} white" in said[0].text


def test_opacity_and_other_maxima_of_colour_of_sixteen_bits(root):
    wanted = np.stack([ramp(), ramp() ** 2, ramp()[:, ::-1]])
    values = (wanted.transpose(1, 2, 0) * 65535).round()
    colour_tiff(root / "a.tif", np.concatenate([values, np.zeros((SIZE, SIZE, 1))], -1))
    colour_tiff(root / "b.tif", np.concatenate([values, np.full((SIZE, SIZE, 1), 65535)], -1))
    ppm(root / "c.ppm", (values * 4095 / 65535).round(), most=4095)
    images, _ = read(root)
    assert (images[0] == 1).all() and near(images[1], wanted) and near(images[2], wanted)


def test_eight_bits_with_a_sign(root):
    tiff(root / "a.tif", np.rint(ramp() * 254 - 127).astype(np.int8), 8, 2, 1)
    images, said = read(root)
    assert near(images[0, 0], ramp()) and "-127 is black and 127 white" in said[0].text


def test_planes_that_end_before_their_picture_are_told(root):
    colour_tiff(root / "a.tif", np.zeros((SIZE, SIZE, 3)), in_planes=True)
    colour_tiff(root / "b.tif", np.zeros((SIZE, SIZE, 3)), in_planes=True)
    data = (root / "b.tif").read_bytes()
    at = data.index(struct.pack("<3I", 8, 520, 1032))  # where its planes begin
    (root / "b.tif").write_bytes(data[:at] + struct.pack("<3I", 8, 520, len(data) - 20) + data[at + 12 :])
    images, said = read(root)
    assert len(images) == 1 and any("b.tif: " in note.text for note in said)


def test_transparency_by_key_in_sixteen_bits(root):
    deep = (ramp() * 65535).round()
    png(root / "a.png", 16, 0, deep, key=[int(deep[0, 5])])
    png(root / "b.png", 16, 2, np.stack([deep] * 3, -1), key=[int(deep[0, 5])] * 3)
    wanted = ramp()
    wanted[:, 5] = 1
    images, _ = read(root, channels="grey")
    assert near(images, wanted)


def test_a_deep_picture_is_turned_upright(root):
    exif = Image.Exif()
    exif[0x0112] = 3
    values = (ramp() * 65535).round().astype(np.uint16)
    Image.fromarray(values[::-1, ::-1].copy()).save(root / "a.png", exif=exif)
    assert near(read(root)[0][0, 0], ramp())


def profile_of(gamma, primaries):
    """An RGB ICC profile of the D50 primaries given (XYZ columns) and one gamma, as cameras embed them."""

    def fixed(value):
        return struct.pack(">i", round(value * 65536))

    def xyz(values):
        return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))

    def text(words):
        return b"desc\0\0\0\0" + struct.pack(">I", len(words) + 1) + words + b"\0" * (1 + 8 + 3 + 67)

    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(gamma * 256), 0)
    parts = {b"desc": text(b"test"), b"cprt": b"text\0\0\0\0none\0", b"wtpt": xyz((0.9642, 1.0, 0.8249))}
    parts |= {name: xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries)}
    parts |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    offset, table, body = 128 + 4 + 12 * len(parts), b"", b""
    for name, data in parts.items():
        data += b"\0" * (-len(data) % 4)
        table += struct.pack(">4sII", name, offset + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", 0, b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ").ljust(36, b"\0") + b"acsp"
    head = head.ljust(68, b"\0") + b"".join(map(fixed, (0.9642, 1.0, 0.8249)))
    whole = head.ljust(128, b"\0") + struct.pack(">I", len(parts)) + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


ADOBE = profile_of(2.2, ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)))
"""The primaries of Adobe RGB (1998), adapted to D50."""


def test_an_embedded_profile_is_converted_to_srgb(root):
    pixel = (100, 200, 80)
    Image.new("RGB", (SIZE, SIZE), pixel).save(root / "a.png", icc_profile=ADOBE)
    Image.new("RGB", (SIZE, SIZE), pixel).save(root / "b.png")
    shown, plain = read(root)[0][:, :, 0, 0] * 255
    assert plain.tolist() == list(pixel)
    # a linear calculation by hand: decode Adobe's gamma, to sRGB's primaries, encode
    linear = (np.array(pixel) / 255) ** (563 / 256)
    matrix = [[1.39836, -0.39836, 0], [0, 1, 0], [0, -0.04293, 1.04293]]
    linear = np.clip(matrix @ linear, 0, 1)
    wanted = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(shown - wanted).max() <= 3 and np.abs(shown - plain).max() > 20


def test_profiles_of_srgb_of_other_colours_and_damaged_ones_change_nothing(root):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, profile in (("a", srgb), ("b", ADOBE[:200]), ("c", b"junk")):
        Image.new("RGB", (SIZE, SIZE), (10, 120, 250)).save(root / f"{name}.png", icc_profile=profile)
    Image.new("L", (SIZE, SIZE), 77).save(root / "d.png", icc_profile=ADOBE)
    images, _ = read(root)
    assert (images[:3, :, 0, 0] * 255 == (10, 120, 250)).all() and (images[3] * 255 == 77).all()


def test_lab_pictures_are_read(root):
    Image.new("LAB", (SIZE, SIZE), (255, 128, 128)).save(root / "white.tif")
    assert near(read(root)[0], 1, 2 / 255)


@pytest.mark.parametrize("name", ["a.qoi", "a.jp2", "a.j2k", "a.apng", "a.mpo", "a.tga", "a.sgi", "a.pcx", "a.dds"])
def test_kinds_that_pillow_reads_are_read(root, name):
    how = {"a.apng": {"format": "PNG"}, "a.mpo": {"format": "MPO", "quality": 100}}.get(name, {})
    Image.new("RGB", (SIZE, SIZE), (250, 5, 5)).save(root / name, **how)
    assert near(read(root)[0][0, :, 8, 8], np.array([250, 5, 5]) / 255, 3 / 255)


def test_portable_float_maps(root):
    pixels = np.flipud(ramp()).astype("<f4").tobytes()
    (root / "a.pfm").write_bytes(f"Pf\n{SIZE} {SIZE}\n-1.0\n".encode() + pixels)
    assert near(read(root)[0][0, 0], ramp())


def test_the_first_of_several_frames_is_taken_and_said(root):
    red, blue = (Image.new("RGB", (SIZE, SIZE), colour) for colour in ((255, 0, 0), (0, 0, 255)))
    red.save(root / "a.gif", save_all=True, append_images=[blue])
    red.save(root / "b.tif", save_all=True, append_images=[blue])
    red.save(root / "c.png")
    images, said = read(root)
    assert near(images[:, :, 8, 8], (1, 0, 0), 4 / 255)
    assert [note.text for note in said if "frames" in note.text] == [
        "2 images have several frames or pages: the first is taken (a.gif, …)"
    ]


def test_a_plugin_that_is_installed_reads_its_files(root, monkeypatch):
    def register():
        Image.register_extension("PNG", ".heic")

    monkeypatch.setitem(sys.modules, "pillow_heif", types.SimpleNamespace(register_heif_opener=register))
    Image.new("RGB", (SIZE, SIZE), (9, 99, 199)).save(root / "a.heic", format="PNG")
    images, said = read(root)
    assert (images[0, :, 0, 0] * 255 == (9, 99, 199)).all() and not [note for note in said if note.level != "info"]
