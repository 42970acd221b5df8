"""`tui-gen export --as onnx`, held against PyTorch by ONNX Runtime; and what models offer to be taken out of them."""

import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import exporters, small_runs
from tests.test_restore import saved
from tui_gen.exporting import OnnxGraph
from tui_gen.model import Function, Input
from tui_gen.report.exports import Order, offline
from tui_gen.train.offline.exports import tracing
from tui_gen.train.offline.exports.words import ExportError
from tui_gen.train.offline.restore import restore

pytestmark = pytest.mark.xdist_group("onnx")  # what writes ONNX is imported once for all, for seconds


@pytest.fixture
def here(monkeypatch):
    exporters.in_this_process(monkeypatch)


def model_of(family, **overrides):
    """A small model in evaluation mode, whose every weight matters."""
    model = small_runs.trainer(family, **overrides).model.eval()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("own", [None, "0"])
def test_exporting_tells_nobody_of_who_exports(monkeypatch, tmp_path, own):
    """ONNX Runtime's 1.32.0 does from its import on, where its environment does not say otherwise."""
    started = []

    def start(*_, env, **__):
        started.append(env)
        raise OSError("not here")

    monkeypatch.setattr(offline.children, "start", start)
    if own is None:
        monkeypatch.delenv("ORT_DISABLE_TELEMETRY")  # as tests are run with it
    else:
        monkeypatch.setenv("ORT_DISABLE_TELEMETRY", own)
    with pytest.raises(OSError, match="not here"):
        offline.make("onnx", Order(tmp_path, OnnxGraph()), tmp_path / "model.onnx")
    assert [env["ORT_DISABLE_TELEMETRY"] for env in started] == [own or "1"], "who wants to take part, does"


def test_a_decoder_runs_in_onnx_runtime_for_any_batch(world, here, call, monkeypatch):
    import onnx
    import onnxruntime

    monkeypatch.setattr("tui_gen.report.commands.export.EVERY", math.inf)
    run, _ = saved(world / "runs", "vae", model__network="conv", model__channels=[4, 4], model__conditional=True)
    status, out, err = call("export", str(run), "--as", "onnx")
    assert status == 0 and out.endswith(f"{run.name}.onnx\n")
    assert err.startswith("decoder: z (N, 4), labels (N) → x; opset 20; ONNX Runtime ") and err.count("\n") == 1
    path = run.with_name(f"{run.name}.onnx")
    assert [entry.name for entry in run.parent.iterdir() if "onnx" in entry.name] == [path.name]
    model, session = restore(run).model, onnxruntime.InferenceSession(path.read_bytes())
    for count in (1, 3, 64):
        z, labels = torch.randn(count, 4), torch.arange(count) % 10
        [ours] = session.run(None, {"z": z.numpy(), "labels": labels.numpy()})
        with torch.no_grad():
            assert np.abs(ours - model.decode(z, labels).numpy()).max() < 1e-4 and ours.shape == (count, 1, 8, 8)
    data, graph = path.read_bytes(), onnx.load(path)
    for trace in (str(Path.home()), str(run), sys.prefix, os.getcwd(), str(small_runs.__file__), "site-packages",
                  "stack_trace", ".py"):  # fmt: skip
        assert trace.encode() not in data, trace
    assert [(opset.domain, opset.version) for opset in graph.opset_import] == [("", 20)]
    about = json.loads(graph.metadata_props[0].value)
    assert about["step"] == 4 and about["function"] == "decoder" and about["value_range"] == "unit"
    assert about["inputs"]["labels"] == {"shape": ["N"], "below": 10} and about["settings"]["latent"] == 4
    status, _, err = call("export", str(run), "--as", "onnx", "--function", "decodr", "--force")
    assert status == 2 and err == "tui-gen: vae has no function 'decodr'; it has decoder, encoder\n"


def test_what_tells_of_this_machine_is_taken_out_or_refused():
    from onnx import TensorProto, helper

    from tui_gen.train.offline.exports import onnx as exporter

    def graph():
        like = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"], doc_string=f"{Path.home()}/secret-one")
        branch = helper.make_graph([], "branch", [], [like], doc_string="secret-two")
        node = helper.make_node("If", ["x"], ["y"], name="n", doc_string="secret-three", then_branch=branch)
        helper.set_model_props(node, {"pkg.torch.onnx.stack_trace": "secret-four"})
        out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])
        tensor = helper.make_tensor("t", TensorProto.FLOAT, [1], [1.0])
        tensor.doc_string = "secret-five"
        made = helper.make_model(helper.make_graph([node], "g", [like], [out], [tensor]), doc_string="secret-six")
        helper.set_model_props(made, {"who": "secret-seven"})
        return made

    bare = graph()
    assert bare.SerializeToString().count(b"secret") == 8
    exporter.bare(bare)
    assert b"secret" not in bare.SerializeToString()
    exporter.refuse_traces(bare, ["/runs/x"])
    bare.graph.node[0].name = f"node of {Path.home()}/models" if len(str(Path.home())) > 3 else f"{sys.prefix}/lib"
    with pytest.raises(ExportError, match="would tell of"):
        exporter.refuse_traces(bare, [])


def test_results_that_are_not_pytorch_s_are_refused():
    from tui_gen.train.offline.exports.onnx import difference

    ours = np.array([0.5, 2000.0, np.nan], np.float32)
    assert difference("x", ours, ours + np.float32([5e-5, 0.1, 0])) == pytest.approx(5e-5, rel=0.2)
    for wrong in (ours + np.float32([2e-4, 0, 0]), ours + np.float32([0, 1, 0]), np.float32([0.5, 2000, 1]), ours[:2],
                  ours.astype(np.float64)):  # fmt: skip
        with pytest.raises(ExportError):
            difference("x", ours, wrong)


def test_what_draws_at_random_or_is_no_graph_is_refused():
    model = model_of("vae")
    calls = {
        "draws at random": lambda z: model.decode(z + torch.randn_like(z), None),
        "is no graph for any size": lambda z: model.decode(z, None) if z.sum() > 0 else z,
        "names 1 outputs, not 2": lambda z: (z, z),
    }
    for words, wrong in calls.items():
        with pytest.raises(ExportError, match=words):
            tracing.traced(model, Function("f", wrong, {"z": Input((4,))}, ("x",)))
    model.functions = list
    with pytest.raises(ExportError, match="offers nothing"):
        tracing.chosen(model, "")


def test_every_model_that_makes_samples_offers_a_function_that_pytorch_runs():
    offered = {}
    for family in small_runs.SMALL:
        model = model_of(family)
        offered[family] = [function.name for function in model.functions()]
        for function in model.functions():
            one, more = (tracing.examples(function, count) for count in (1, 3))
            outs = tracing.results(model, function, one), tracing.results(model, function, more)
            assert all(len(out) == len(function.outputs) for out in outs), function
            assert [len(tensor) for out in outs for tensor in out] == [1] * len(outs[0]) + [3] * len(outs[1])
        if "sample" in model.abilities():
            assert offered[family][0] in ("decoder", "generator", "step", "velocity", "cell")
    assert offered["latent-diffusion"] == ["step", "decoder", "encoder"] and all(offered.values())


@pytest.mark.parametrize("prediction", ["epsilon", "v", "x0"])
@pytest.mark.parametrize("sampler,eta", [("ddim", 0.0), ("ddim", 0.5), ("ddpm", 0.0)])
def test_denoising_steps_make_the_samples_of_the_sampler(prediction, sampler, eta):
    chosen = {"prediction": prediction, "sampler": sampler, "eta": eta, "network": "mlp", "hidden": [8, 8]}
    model = model_of("ddpm", **{f"model__{key}": value for key, value in chosen.items()})
    [step] = model.functions()
    noise, times = torch.randn(3, *model.noise_shape), step.facts["times"]
    x = noise
    torch.manual_seed(3)
    with torch.no_grad():
        for place, time in enumerate(times):
            then = times[place + 1] if place + 1 < len(times) else -1
            fresh = torch.randn_like(x) if then >= 0 else torch.zeros_like(x)
            x, _ = step.call(x, torch.full((3,), time), torch.full((3,), then), fresh)
        torch.manual_seed(3)
        assert torch.allclose(x, model.sample(noise), atol=1e-4)


def test_euler_steps_and_cells_make_what_their_models_do():
    model = model_of("flow-matching", model__sampler="euler", model__sample_steps=5)
    [velocity] = model.functions()
    x = noise = torch.randn(2, *model.noise_shape)
    with torch.no_grad():
        for step in range(5):
            x = x + velocity.call(x, torch.full((2,), step / 5)) / 5
        assert torch.allclose(x.clamp(-1, 1), model.sample(noise), atol=1e-5)
    for cell, layers in (("lstm", 2), ("gru", 2)):
        model = model_of("char-rnn", model__cell=cell, model__layers=layers)
        [one] = model.functions()
        line, states = torch.randint(9, (3, 7)), [torch.zeros(3, 12)] * (layers * (1 + (cell == "lstm")))
        with torch.no_grad():
            for symbol in line.T:
                logits, *states = one.call(symbol, *states)
            assert torch.allclose(logits, model(line)[0][:, -1], atol=1e-5)
