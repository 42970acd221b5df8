"""`tui-gen export --as tensorboard`, read back by TensorBoard's own library."""

import math
import os

import numpy as np
import pytest

from tests import fake_worker
from tui_gen import columns, events, quality
from tui_gen.log import event_log
from tui_gen.report import exports
from tui_gen.report.exports import tensorboard, tfevents

T = 1.8e9
LONG = "phase/" + "x" * 150
"""The length of a message with it takes two bytes."""


def logged(steps=600):
    """A run whose steps take one, two and three bytes, and from 200 on are made twice: with 2 for 1."""
    run = fake_worker.make_run()
    log = event_log.EventWriter(run / "events.jsonl")
    picture = fake_worker.record(fake_worker.make_run(), steps=60) / "samples"
    png = next(iter(sorted(picture.glob("*.png")))).read_bytes()
    (run / "samples" / "a.txt").write_text("# no *title*\n")
    (run / "samples" / "a.png").write_bytes(png)
    log.write(events.State(t=T, state="running", step=0))
    for first, last, value in ((0, 300, 1.0), (200, steps, 2.0)):
        if first:
            log.write(events.Resume(t=T + 300, step=first))
        column = columns.column(value + step / 2**20 for step in range(first, last))
        log.write(events.Metrics(t=T + last, start=first, values={"a/loss": column}))
        log.write(events.Metrics(t=T + last, start=first, values={LONG: [value]}))
        log.write(events.System(t=T + last, step=last, steps_per_second=1, images_per_second=1))
        for step in range(first, last, max(1, (last - first) // 30)):
            log.write(events.Sample(t=T + step, step=step, path="samples/a.png"))
    log.write(events.Sample(t=T + 7, step=7, path="samples/a.txt", kind="words"))
    log.write(events.Sample(t=T + 8, step=8, path="samples/gone.png", kind="gone"))
    log.write(events.Metrics(t=T + steps, start=16_382, values={"a/loss": [math.nan, 3.0, 4.0]}))
    log.write(events.Edit(t=T + 9, step=250, key="train.phases.a.lr", old=1e-3, new=1e-4))
    report = quality.Report(0, 50, 50, 50, "pixels", [quality.Figure("fid", 30.0, 0.5)])
    log.write(events.Quality(t=T, report=report))
    log.close()
    return run, png


def test_tensorboard_reads_every_value_picture_and_text(call, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run, png = logged()
    status, out, err = call("export", run.name, "--as", "tensorboard")
    assert status == 0 and out.endswith("-tensorboard\n") and err.count("\n") == 1
    assert err == "warning: samples/gone.png is left out: No such file or directory\n"
    read = EventAccumulator(f"{run}-tensorboard", size_guidance={"scalars": 0, "images": 0, "tensors": 0}).Reload()
    assert read.Tags()["scalars"] == ["a/loss", LONG, "quality/fid", "val/quality/fid"] and read.file_version == 2
    loss = read.Scalars("a/loss")
    assert [scalar.step for scalar in loss] == [*range(1, 601), 16_383, 16_384, 16_385], "as previews"
    values = np.array([scalar.value for scalar in loss], np.float32)
    steps = np.arange(600)
    expected = np.where(steps < 200, 1, 2) + steps / 2**20
    assert np.array_equal(values[:-3], expected.astype(np.float32)) and math.isnan(values[-3]) and values[-1] == 4
    assert [(scalar.step, scalar.value) for scalar in read.Scalars("quality/fid")] == [(0, 30.0)]
    assert [(scalar.step, scalar.value) for scalar in read.Scalars(LONG)] == [(1, 1), (201, 2)]
    walls = np.array([scalar.wall_time for scalar in loss])
    assert (np.diff(walls) >= 0).all() and walls[0] >= T and abs(walls[599] - (T + 600)) < 1
    pictures = read.Images("samples")
    shown = [sample.step for sample in exports.Order(run).view.samples if sample.kind == "samples"]
    assert len(pictures) == 10 and pictures[0].step == shown[0] and pictures[-1].step == shown[-1]
    assert all(picture.encoded_image_string == png for picture in pictures)
    assert (pictures[0].height, pictures[0].width) == png_size(png)
    texts = {tag: read.Tensors(tag)[0] for tag in read.Tags()["tensors"]}
    words = {tag: event.tensor_proto.string_val[0].decode() for tag, event in texts.items()}
    assert 'name = "vae-digits"' in words["config"] and words["words"] == "    # no *title*"
    assert words["edits"] == "    step 250: train.phases.a.lr: 0.001 → 1e-4"
    assert read.SummaryMetadata("config").plugin_data.plugin_name == "text"
    assert call("export", run.name, "--as", "tensorboard", "--force", "--images", "40")[2].startswith("warning: ")
    read = EventAccumulator(f"{run}-tensorboard", size_guidance={"images": 0}).Reload()
    assert len(read.Images("samples")) == 40 < len(shown) and len(os.listdir(f"{run}-tensorboard")) == 1


def png_size(png):
    return int.from_bytes(png[20:24], "big"), int.from_bytes(png[16:20], "big")


def test_checksums_are_tensorboard_s():
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    data = np.random.default_rng(0).integers(0, 256, 70_003, np.uint8).tobytes()
    for size in (0, 1, 4, 40, 1024, 1025, 1279, 1280, 1281, 70_003):
        assert int.from_bytes(tfevents.framed(data[:size])[-4:], "little") == masked_crc32c(data[:size]), size
    rows = np.frombuffer(data[:70_000], np.uint8).reshape(1000, 70)
    assert tfevents.masked_crcs(rows)[[0, 7, 999]].tolist() == [masked_crc32c(bytes(rows[at])) for at in (0, 7, 999)]


def test_event_files_that_are_not_what_was_written_are_found_out(tmp_path):
    run, _ = logged(steps=400)
    order = exports.Order(run, tensorboard.Options())
    tensorboard.write(order, tmp_path)
    tensorboard.check(order, tmp_path)
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    flip = lambda at: whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]  # noqa: E731
    for broken in (whole[:-1], whole[:-20], b"", whole + b"x", flip(20), flip(500), flip(len(whole) - 50),
                   whole + tfevents.text("more", 0, T, "x")):  # fmt: skip
        path.write_bytes(broken)
        with pytest.raises(ValueError):
            tensorboard.check(order, tmp_path)
    path.write_bytes(whole)
    assert tensorboard.ours(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    assert not tensorboard.ours(tmp_path)


def test_a_run_without_values_or_config_makes_a_folder_too(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = fake_worker.make_run()
    (run / "config.toml").unlink()
    order = exports.Order(run, tensorboard.Options(images=0))
    exports.save(exports.form_of("tensorboard"), order, str(tmp_path / "x"))
    assert EventAccumulator(str(tmp_path / "x")).Reload().Tags()["scalars"] == []


def test_evenly_spread_previews_have_the_first_and_the_last():
    samples = [events.Sample(step=step, path="a.png") for step in range(97)]
    for most in (2, 10, 96, 97, 200):
        chosen = tensorboard.spread(samples, most)
        assert len(chosen) == min(most, 97) == len({sample.step for sample in chosen})
        assert chosen[0] is samples[0] and chosen[-1] is samples[-1]
    assert tensorboard.spread(samples, 1) == samples[-1:] and tensorboard.spread(samples, 0) == []
