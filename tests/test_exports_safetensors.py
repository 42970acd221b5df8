"""`tui-gen export --as safetensors`: the weights, and Python beside them that runs the model without tui-gen."""

import ast
import json
import os
import runpy
import stat
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests import exporters
from tests.test_exports_onnx import model_of
from tests.test_restore import saved
from tui_gen.train.offline.exports import safetensors, source, tracing
from tui_gen.train.offline.exports.words import ExportError
from tui_gen.train.offline.restore import restore


@pytest.fixture
def here(monkeypatch):
    exporters.in_this_process(monkeypatch)
    monkeypatch.setattr("tui_gen.report.commands.export.EVERY", float("inf"))


def test_the_snippet_runs_the_model_without_tui_gen(world, here, call, monkeypatch, tmp_path):
    run, _ = saved(world / "runs", "gan")
    status, out, err = call("export", str(run), "--as", "safetensors", "-o", str(path := tmp_path / "my.safetensors"))
    assert (status, out) == (0, f"{path}\n") and err.endswith(" ema weights; my.py runs generator\n")
    model = restore(run).model
    noise, weights = torch.randn(7, *model.noise_shape), load_file(path)
    expected = model.sample(noise)
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    assert list(about) == ["tui-gen"] and json.loads(about["tui-gen"])["step"] == 4
    assert set(model.state_dict()) == set(weights)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    code = path.with_suffix(".py").read_text()
    trees = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {getattr(tree, "module", None) or tree.names[0].name for tree in trees}
    assert names <= {"torch", "safetensors.torch", "pathlib", "math", "operator"} and str(run.parent) not in code
    for name in [name for name in sys.modules if name.partition(".")[0] == "tui_gen"]:
        monkeypatch.setitem(sys.modules, name, None)
    snippet = runpy.run_path(str(path.with_suffix(".py")))
    with torch.no_grad():
        assert torch.allclose(snippet["generator"](snippet["load"](), noise), expected, atol=1e-5)


def test_raw_and_averaged_weights_are_told_apart_and_nothing_is_overwritten(world, here, call, monkeypatch):
    run, trainer = saved(world / "runs", "gan")
    monkeypatch.setattr(safetensors, "sources", lambda model, weights, tell: ({}, {"generator": "reasons"}))
    for choice, state in (("raw", trainer.model.state_dict()), ("ema", trainer.average.state_dict())):
        assert "the snippet lacks generator: reasons" in call("export", str(run), "--as", "safetensors",
                                                              "--weights", choice)[2]  # fmt: skip
        weights = load_file(run.with_name(f"{run.name}{'-raw' * (choice == 'raw')}.safetensors"))
        assert all(torch.equal(tensor, weights[name]) for name, tensor in state.items())
    os.mkfifo(pipe := run.with_name("pipe"))  # the library puts files in the place of pipes and devices
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    assert call("export", str(run), "--as", "safetensors", "-o", str(pipe))[0] == 0
    assert stat.S_ISFIFO(pipe.stat().st_mode) and b"tui-gen" in os.read(reader, 1 << 16)
    os.close(reader)
    run.with_name(f"{run.name}.safetensors").unlink()
    status, _, err = call("export", str(run), "--as", "safetensors")
    assert status == 2 and f"{run.name}.py is there already" in err
    assert not run.with_name(f"{run.name}.safetensors").exists()


def test_the_snippet_says_what_it_has_not_and_runs_as_it_is(world, capsys, monkeypatch):
    about = {"model": "vae", "dataset": "digits", "step": 4, "weights": "raw", "functions": {}}
    text = source.snippet("a.safetensors", about, {}, {"decoder": "it needs the moon"})
    (world / "a.py").write_text(text)
    save_file({"w": torch.zeros(2, 3)}, world / "a.safetensors")
    runpy.run_path(str(world / "a.py"), run_name="__main__")
    assert "`decoder` is not here: it needs the moon" in text and capsys.readouterr().out == "w (2, 3) float32\n"


def test_what_runs_without_autocasting_is_in_the_source(here):
    """Codes are looked up with autocasting switched off, which is a graph within the graph."""
    model = model_of("vq-vae")
    constants = {}
    encoder = tracing.chosen(model, "encoder")
    text = source.source_of(tracing.traced(model, encoder), encoder, constants)
    names = {}
    exec("import torch\n" + text, names)
    x = torch.randn(3, 1, 8, 8)
    assert "argmin" in text and torch.equal(names["encoder"](constants, x), model.codes(x))


def test_weights_and_snippets_that_are_not_what_was_written_are_found_out(tmp_path):
    model = model_of("vae")
    weights, path = dict(model.state_dict()), tmp_path / "a.safetensors"
    about = {"tui-gen": "{}"}
    save_file(weights, path, about)
    safetensors.check(path, weights)
    name = next(iter(weights))
    for wrong in (weights | {"more": torch.zeros(1)}, weights | {name: weights[name] + 1},
                  weights | {name: weights[name].half()}, weights | {name: weights[name][None]}):  # fmt: skip
        with pytest.raises(ExportError, match="read back"):
            safetensors.check(path, wrong)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ExportError, match="read back"):
        safetensors.check(path, weights)
    decoder = tracing.chosen(model, "decoder")
    makes = "is not what the model makes"
    for body, words in (("z", makes), ("torch.zeros(len(z), 1, 8, 8)", makes), ("z.moon", "cannot be run: Attrib")):
        code = f"import torch\ndef load(path):\n    return {{}}\ndef decoder(weights, z):\n    return {body}"
        (tmp_path / "a.py").write_text(code)
        with pytest.raises(ExportError, match=words):
            safetensors.check_snippet(tmp_path / "a.py", path, model, [decoder])
