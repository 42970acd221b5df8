"""`tui-gen export --as FORMAT`: the door of all formats, tables of a run's values, samples as arrays."""

import io
import json
import math
import os
import sys

import numpy as np
import pyarrow.parquet
import pytest

from tests import exporters, fake_worker
from tests.test_restore import saved
from tui_gen import columns, events, runs
from tui_gen.log import event_log
from tui_gen.report import exports
from tui_gen.report.exports import Format
from tui_gen.train.offline import sample
from tui_gen.train.offline.exports import npz

STEPS_ONLY = """
import msgspec
from typing import Annotated
from tui_gen.params import hyper

class Options(msgspec.Struct):
    SHORT, NAMED = {"times": "-t"}, ("times", "loud")
    times: Annotated[int, hyper("how often", ge=1, le=9)] = 1
    loud: Annotated[bool, hyper("in capitals")] = False

def write(order, target):
    text = f"{order.view.step} steps" * order.options.times
    target.write_text(text.upper() if order.options.loud else text)

def check(order, target):
    if not target.read_text().lower().startswith("60 steps"):
        raise ValueError("too short")
"""
FOLDER = """
def write(order, target):
    (target / "a").write_text("new")

def check(order, target):
    assert (target / "a").read_text() == "new"

def ours(path):
    return [entry.name for entry in path.iterdir()] == ["a"]
"""


@pytest.fixture
def run():
    return fake_worker.record(fake_worker.make_run(), steps=60)


@pytest.fixture
def formats(tmp_path, monkeypatch):
    """A format of a file and one of a folder, beside those there are."""
    (tmp_path / "modules").mkdir()
    for name, code in {"steps_only": STEPS_ONLY, "a_folder": FOLDER}.items():
        (tmp_path / "modules" / f"{name}.py").write_text(code)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    more = [
        Format("steps", "how many steps there are", ".txt", module="steps_only"),
        Format("folder", "a folder", "-folder", folder=True, module="a_folder"),
        Format("odd", "what nobody can write", ".odd", needs=("no_such_library",), module="steps_only"),
    ]
    for where in ("tui_gen.report.exports", "tui_gen.report.commands.export"):
        monkeypatch.setattr(f"{where}.FORMATS", [*exports.FORMATS, *more])


@pytest.fixture
def here(monkeypatch):
    exporters.in_this_process(monkeypatch)


def test_a_format_is_a_row_and_a_file_with_options_of_its_own(call, run, formats, tmp_path, monkeypatch):
    status, words, err = call("export", "--help")
    assert (status, err) == (0, "")
    assert "how many steps there are" in words and "-t TIMES" in words and "how often (default: 1)" in words
    target, table = tmp_path / "s", tmp_path / "t.csv"
    asked = ["export", run.name, "--as", "steps", "-o", str(target)]
    assert call(*asked, "--csv", str(table)) == (0, f"{target}\n", "")
    assert target.read_text() == "60 steps" and len(table.read_text().splitlines()) == 61
    assert call(*asked, "--force", "-t", "2", "--loud")[0] == 0 and target.read_text() == "60 STEPS60 STEPS"
    target.write_text("from before")
    assert call(*asked)[::2] == (2, f"tui-gen: {target} is there already; name another with -o, or replace it with "
                                    "--force\n")  # fmt: skip
    target.unlink()
    with monkeypatch.context() as other:  # another export of the same name is done sooner
        other.setattr("steps_only.check", lambda order, aside: target.write_text("from before"))
        assert call(*asked)[0] == 2
    assert target.read_text() == "from before" and not list(tmp_path.glob(".tui-gen*"))
    monkeypatch.setattr("steps_only.write", lambda order, target: target.write_text("6"))
    status, out, err = call(*asked, "--force")
    assert (status, out) == (2, "") and "is not what was written: too short" in err
    assert target.read_text() == "from before" and not list(tmp_path.glob(".tui-gen*"))


def test_what_is_no_format_or_no_option_of_it_is_told_in_a_line(call, run, formats):
    def told(*words):
        status, out, err = call("export", run.name, *words)
        assert (status, out) == (2, "")
        return err.removeprefix("tui-gen: ").rstrip("\n")

    assert told("--as", "stepz") == "no export format 'stepz'; did you mean 'steps'?"
    assert told("--as", "") .startswith("no export format ''; there are csv, parquet")
    assert told("--as", "steps", "-t", "10") == "-t '10': needs a whole number, 1 ≤ x ≤ 9"
    assert told("--as", "steps", "-t", "x", "--loud", "maybe").count("\n") == 1
    assert told("--as", "csv", "-t", "3") == "csv has no option --times; it has none"
    assert told("-t", "3") == "csv has no option --times; it has none"
    assert told("--as", "steps", "-o", "-") == "standard output takes no steps: name a file"
    missing = "odd needs no_such_library, which is not installed: pip install 'tui-gen[export]'"
    assert told("--as", "odd") == missing and told("--as", "odd", "-o", "-") == missing
    assert "cannot write" in told("--as", "steps", "-o", "/no/such/folder/x")


def test_an_export_without_a_name_goes_beside_the_run_and_says_what_was_chosen(call, run, formats):
    for words, name in (((), ".txt"), (("-t", "3"), "-3.txt"), (("--loud",), "-loud.txt")):
        assert call("export", run.name, "--as", "steps", *words)[0] == 0
        assert run.with_name(run.name + name).is_file(), words
    assert call("export", run.name, "--as", "steps")[0] == 2
    assert call("export", run.name, "--as", "csv")[1].startswith("step,")


def test_of_folders_only_an_earlier_export_is_replaced(call, run, formats, tmp_path):
    asked = ["export", run.name, "--as", "folder", "-o", str(target := tmp_path / "x")]
    target.mkdir()
    assert call(*asked) == (0, f"{target}\n", "") and (target / "a").read_text() == "new"
    (target / "a").write_text("old")
    assert "is there already" in call(*asked)[2] and (target / "a").read_text() == "old"
    assert call(*asked, "--force")[0] == 0 and (target / "a").read_text() == "new"
    (target / "mine").write_text("thesis")
    assert "holds other files than an export" in call(*asked, "--force")[2]
    assert sorted(os.listdir(target)) == ["a", "mine"] and not list(tmp_path.glob(".tui-gen*"))
    (other := tmp_path / "link").symlink_to(tmp_path / "modules")
    assert "no folder" in call(*asked[:-1], str(other), "--force")[2] and other.is_symlink()


def test_parquet_tells_what_diverged_from_what_was_not_logged(call, tmp_path, monkeypatch):
    monkeypatch.setattr("tui_gen.report.exports.parquet.ROWS", 7)
    run = fake_worker.make_run()
    log = event_log.EventWriter(run / "events.jsonl")
    log.write(events.Metrics(start=0, values={"a/loss": columns.column(1.0 / (1 + step) for step in range(20))}))
    log.write(events.Metrics(start=20, values={"a/loss": [math.nan, 2.0, math.inf], "step": [1.0, 2.0, 3.0]}))
    log.write(events.Metrics(start=21, values={"val/a/loss": [1e-30]}))
    log.close()
    status, _, err = call("export", run.name, "--as", "parquet")
    assert status == 0 and err == "2 values were no finite numbers: they are NaN, where what was not logged is null\n"
    table = pyarrow.parquet.read_table(run.with_name(f"{run.name}.parquet"))
    assert table.column_names == ["step", "a/loss", "metric/step", "val/a/loss"]
    assert table["step"].to_pylist() == list(range(23)) and table["a/loss"].null_count == 0
    loss = table["a/loss"].to_numpy()
    assert np.array_equal(loss[:20], (1 / np.arange(1, 21)).astype(np.float32)) and loss[21] == 2
    assert np.isnan(loss[[20, 22]]).all()
    assert table["val/a/loss"].to_pylist() == [*[None] * 21, float(np.float32(1e-30)), None]
    about = table.schema.metadata
    assert about[b"tui-gen.run"].decode() == run.name and b'name = "vae-digits"' in about[b"tui-gen.config"]
    column = pyarrow.parquet.ParquetFile(run.with_name(f"{run.name}.parquet")).metadata.row_group(0).column(1)
    assert column.compression == "ZSTD" and "DICTIONARY" not in str(column.encodings)


def test_a_parquet_file_that_is_not_what_was_written_is_found_out(run, tmp_path):
    from tui_gen.report.exports import parquet

    order, target = exports.Order(run), tmp_path / "a.parquet"
    parquet.write(order, target)
    parquet.check(order, target)
    curve = order.view.series["vae/loss"]
    for change in (lambda: curve.append([60.0], [1.0]), lambda: curve.values.__setitem__(3, np.nan),
                   lambda: curve.truncate(50), lambda: order.view.series.pop("vae/loss")):  # fmt: skip
        change()
        with pytest.raises(ValueError):
            parquet.check(order, target)
        parquet.write(order, target)
    target.write_bytes(target.read_bytes()[:-9])
    with pytest.raises(ValueError):
        parquet.check(order, target)


def test_a_run_without_values_makes_a_table_without_rows(call):
    run = fake_worker.make_run()
    assert call("export", run.name, "--as", "parquet")[0] == 0
    assert pyarrow.parquet.read_table(run.with_name(f"{run.name}.parquet")).num_rows == 0


def test_npz_has_the_samples_that_sample_makes(call, world, here):
    run, _ = saved(world / "runs", "vae", model__conditional=True)
    picture = b"".join(sample.sample(run, 515, 7, None, None, "cpu"))
    status, out, err = call("export", str(run), "--as", "npz", "-n", "515", "--seed", "7")
    assert (status, err) == (0, "") and out.strip().endswith(f"{run.name}.npz")
    with np.load(run.with_name(f"{run.name}.npz"), allow_pickle=False) as file:
        samples, labels, about = file["samples"], file["labels"], json.loads(str(file["about"]))
    assert samples.shape == (515, 1, 8, 8) and samples.dtype == np.uint8
    assert labels.tolist() == [number % 10 for number in range(515)]
    assert about["step"] == 4 and about["seed"] == 7 and about["settings"]["latent"] == 4
    from PIL import Image

    grid = np.asarray(Image.open(io.BytesIO(picture)))
    pitch = (grid.shape[1] + 1) // 10 if grid.shape[1] % 10 else grid.shape[1] // 10
    assert all((grid[:8, place * pitch :][:, :8] == samples[place, 0]).all() for place in range(9))


def test_npz_of_raw_weights_of_a_class_of_a_step_as_numbers(world, here, call, tmp_path):
    run, _ = saved(world / "runs", "gan", model__conditional=True)
    words = ["--weights", "raw", "--label", "3", "--pixels", "float32", "-n", "5", "--step", "4"]
    assert call("export", str(run), "--as", "npz", *words)[0] == 0
    with np.load(run.with_name(f"{run.name}-4-raw-3.npz")) as file:
        samples, about = file["samples"], json.loads(str(file["about"]))
    assert samples.dtype == np.float32 and about["weights"] == "raw" and about["value_range"] == "signed"
    assert call("export", str(run), "--as", "npz", *words, "--weights", "ema", "-o", str(tmp_path / "e.npz"))[0] == 0
    with np.load(tmp_path / "e.npz") as file:
        assert not np.allclose(file["samples"], samples)
    for wrong, said in (("--step 3", "no checkpoint of step 3; it has 2, 4"), ("--label x", "no class 'x'")):
        status, out, err = call("export", str(run), "--as", "npz", *wrong.split(), "--force")
        assert (status, out) == (2, "") and said in err and err.count("\n") == 1


def test_npz_of_text_has_numbers_and_words(world, tmp_path):
    run, _ = saved(world / "runs", "char-rnn")
    npz.export(run, tmp_path / "a", '{"count": 3}', lambda event: None)
    with np.load(tmp_path / "a", allow_pickle=False) as file:
        numbers, text, classes = file["samples"], file["text"], json.loads(str(file["about"]))["classes"]
    assert numbers.shape[0] == 3 and numbers.dtype == np.int64
    assert text.tolist() == ["".join(classes[number] for number in row) for row in numbers]


def test_an_npz_that_is_not_what_was_written_is_found_out(world, tmp_path):
    run, _ = saved(world / "runs", "vae")
    snapshot = npz.restore(run)
    options = npz.SampleArrays(count=3)
    members = npz.write(snapshot, options, {}, target := tmp_path / "a", lambda event: None)
    npz.check(target, members)
    whole = target.read_bytes()
    for broken in (whole[:-30], whole.replace(b"samples.npy", b"examples.ny"), b"", whole[:200] + b"x" + whole[201:]):
        target.write_bytes(broken)
        with pytest.raises(npz.ExportError, match="read back"):
            npz.check(target, members)
    with pytest.raises(npz.ExportError):
        npz.check(target, members | {"labels": ("<i8", (3,))})


def test_a_folder_that_cannot_be_written_is_told_as_such(world, here, call):
    run, _ = saved(world / "runs", "vae")
    status, _, err = call("export", str(run), "--as", "npz", "-o", str(world / "no" / "a.npz"))
    assert status == 2 and err == f"tui-gen: cannot write {world}/no/a.npz: No such file or directory\n"
    assert runs.is_run(run)
