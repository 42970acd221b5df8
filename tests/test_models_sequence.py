"""Character models: textbook sizes, the loss by hand, pinned and tempered text, runs on text."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from tests import small_runs
from tests.test_models import POINTS, images
from tui_gen import catalog, runs
from tui_gen.events import Sample
from tui_gen.model import Batch, DataSpec, Given, Text
from tui_gen.models.sequence import CharRNN
from tui_gen.train.shown import previews

ABC = DataSpec("toy", "text", (13,), tuple("\n abcdefgh."), 100)
CELLS = [{"cell": "lstm"}, {"cell": "gru"}, {"cell": "lstm", "layers": 2, "dropout": 0.3}]


def build(data=ABC, **values):
    torch.manual_seed(0)
    model = CharRNN(CharRNN.Config(**{"embedding": 5, "hidden": 12, "prompt": "ab", "sample_length": 9} | values), data)
    assert not list(CharRNN.refuse(model.config, data))
    return model.train()


def batch_for(model, count=6, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return Batch(torch.randint(0, len(model.data.classes), (count, *model.data.shape), generator=generator))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        # 103 characters; LSTM: 4·(in + units + 1)·units; GRU as in Keras: 3·(in + units + 2)·units
        ("char-lstm", 103 * 32 + 4 * (32 + 129) * 128 + 4 * (128 + 129) * 128 + 129 * 103),
        ("char-gru", 103 * 16 + 3 * (16 + 130) * 128 + 129 * 103),
    ],
)
def test_the_textbook_networks_have_the_textbooks_parameter_counts(name, count):
    values = dict(catalog.read().recipes[name].tables["model"])
    values.pop("name")
    data = DataSpec("python-help", "text", (101,), tuple(map(chr, range(103))))
    assert CharRNN(CharRNN.Config(**values), data).parameter_count() == count


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_loss_is_the_mean_surprise_of_each_character_but_the_first(cell):
    model = build(cell=cell, layers=2).eval()
    batch = batch_for(model, 3)
    surprises = []
    for window in batch.x:
        states = None
        for read, wanted in pairwise(window):  # one by one, the state carried along
            logits, states = model(read.view(1, 1), states)
            surprises.append(-logits[0, 0].log_softmax(0)[wanted].item())
    assert len(surprises) == 3 * 12
    loss, named = model.loss(batch)
    assert loss.item() == pytest.approx(np.mean(surprises), rel=1e-5)
    assert named["bits_per_character"].item() == pytest.approx(np.mean(surprises) / math.log(2), rel=1e-5)


def test_a_character_is_guessed_from_those_before_it_only():
    model = build().eval()
    x = batch_for(model, 1).x
    changed = x.clone()
    changed[0, 7] = (changed[0, 7] + 1) % 11
    before, after = model(x)[0], model(changed)[0]
    assert torch.equal(before[:, :7], after[:, :7]) and not torch.allclose(before[:, 7:], after[:, 7:])


# -- text


def test_text_goes_on_from_the_prompt_and_is_pinned_by_its_noise():
    model = build().eval()
    noise = torch.randn(4, 9)
    with torch.no_grad():
        one, two = model.sample(noise), model.sample(noise.clone())
    assert one.shape == (4, 11) and one.dtype == torch.int64 and torch.equal(one, two)
    assert all(model.text_of(row).startswith("ab") for row in one)
    assert len({model.text_of(row) for row in one}) > 1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_characters_are_drawn_as_often_as_the_tempered_model_says(temperature):
    model = build().eval()
    with torch.no_grad():
        model.guess.weight.mul_(60)
        drawn = model.write(torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0)), temperature)[:, -1]
        logits, _ = model(model.numbers_of("ab")[None])
        expected = (logits[0, -1] / temperature).softmax(0)
    found = drawn.bincount(minlength=11) / 20_000
    assert (found - expected).abs().max() < 0.012 and found.max() > 0.12


def test_at_temperature_zero_the_likeliest_character_is_taken():
    model = build(temperature=0.0).eval()
    with torch.no_grad():
        texts = model.sample(torch.randn(3, 9))
        assert texts.unique(dim=0).shape[0] == 1
        logits, _ = model(texts[:1, :-1])
    assert torch.equal(logits[0, 1:].argmax(1), texts[0, 2:])


@pytest.mark.parametrize("prompt", ["", "xyz", "a?b"])
def test_prompts_outside_the_vocabulary_still_begin_a_text(prompt):
    model = build(prompt=prompt).eval()
    with torch.no_grad():
        text = model.text_of(model.sample(torch.randn(1, 9))[0])
    known = "".join(one for one in prompt if one in ABC.classes)
    assert text.startswith(known) and len(text) == len(known) + 9


def test_a_model_that_diverged_still_writes_something():
    model = build().eval()
    with torch.no_grad():
        model.guess.weight.fill_(math.nan)
        assert model.sample(torch.randn(2, 9)).max() < 11
        assert len(model.panels(Given(batch_for(model).x, None, torch.randn(2, 9), None))) == 2


def test_panels_mark_what_surprised():
    model = build().eval()
    x = torch.cat([model.numbers_of("abcd\nefgh"), torch.zeros(4, dtype=torch.int64)])[None]
    with torch.no_grad():
        temperatures, surprises = model.panels(Given(x, None, torch.randn(2, 9), None))
        loss = model.loss(Batch(x))[1]["bits_per_character"].item()
    assert [part for part in ("0.25", "0.5", "1") if f"temperature {part}" in temperatures.text] == ["0.25", "0.5", "1"]
    lines = surprises.text.splitlines()
    assert f"{loss:.2f} on average" in lines[0]
    assert lines[2] == "abcd↵efgh↵↵↵↵" and len(lines[3]) == 13 and lines[3][1:].isdigit()


def test_previews_of_a_run_are_texts():
    trainer = small_runs.trainer("char-rnn", train__ema=0.9)
    before = torch.get_rng_state()
    drawn = previews.Previewer(trainer.model, trainer.data, torch.device("cpu"), 9, 0)
    found = drawn.draw(trainer.eval_model)
    assert [one.kind for one in found] == ["samples", "temperatures", "surprises"]
    assert all(isinstance(one, Text) for one in found) and found[0].text.count(previews.RULE) == previews.TEXTS - 1
    assert found[0].text.startswith("The ") and torch.equal(torch.get_rng_state(), before)
    trainer.edit("model.temperature", 3.0)
    hotter = drawn.draw(trainer.eval_model, "samples")
    assert hotter[0].text != found[0].text and [one.kind for one in hotter] == ["samples"]


def test_a_run_on_text_trains_writes_and_is_sampled(tmp_path, monkeypatch, capsys):
    from tui_gen.report.summary import last_grid, text_lines
    from tui_gen.train.offline.sample import main, sample
    from tui_gen.view import RunView

    path = small_runs.make_run(tmp_path, "char-rnn", train__steps=12)
    trained(path)
    view = RunView(path)
    view.poll()
    assert view.state == "finished" and "val/rnn/bits_per_character" in view.series
    texts = [one for one in view.samples if isinstance(one, Sample) and one.kind == "samples"]
    assert [one.step for one in texts] == [0, 12] and all(one.path.endswith(".txt") for one in texts)
    last = last_grid(view)
    assert last == texts[-1] and text_lines(path / last.path)[0].startswith("The ")
    assert b"".join(sample(path, 2, 0, None, None, "cpu")).decode().count(previews.RULE) == 1
    monkeypatch.setattr("sys.argv", ["sample", str(path), "-n", "2", "-o", str(tmp_path / "grid.png")])
    assert main() == 0 and capsys.readouterr().out == f"{tmp_path / 'grid.txt'}\n"
    assert (tmp_path / "grid.txt").read_text().startswith("The ") and not (tmp_path / "grid.png").exists()


def trained(path):
    """Train a run in this process."""
    from tui_gen import config as configs
    from tui_gen.log import event_log
    from tui_gen.train.data import dataset_of, load
    from tui_gen.train.engine.trainer import Trainer
    from tui_gen.train.run.loop import RunLoop

    made, classes = small_runs.built()
    config = configs.load(configs.read_toml(path / "config.toml"), made)
    writer = event_log.EventWriter(path / "events.jsonl")
    data = load(dataset_of(config.dataset, classes.datasets), torch.device("cpu"), seed=0, report=writer.write)
    kind = classes.models[config.model.name]
    trainer = Trainer(kind, config, data, torch.device("cpu"), lambda _: config.train.steps)
    RunLoop(path, trainer, writer, configs.keys(config.model.name, config.dataset.name, made)).run()
    writer.close()
    assert runs.state_of(path)[0] == "finished"


# -- what is refused


@pytest.mark.parametrize("data", [images(), POINTS], ids=str)
def test_other_data_is_refused(data):
    problems = list(CharRNN.refuse(CharRNN.Config(), data))
    assert [problem.key for problem in problems] == ["dataset.name"] and "text data" in problems[0].message


def test_other_models_refuse_text():
    for kind in small_runs.built()[1].models.values():
        if "text" not in kind.kinds:
            assert "dataset.name" in [problem.key for problem in kind.refuse(kind.Config(), ABC)], kind.name


def test_an_endless_prompt_is_refused():
    (problem,) = CharRNN.refuse(CharRNN.Config(prompt="a" * 1001), ABC)
    assert problem.key == "model.prompt" and problem.hint


def test_a_model_without_a_recipe_would_start_on_text_that_needs_no_file():
    entry = small_runs.built()[0].models["char-rnn"]
    assert catalog.start_of(entry, catalog.read())["dataset"]["name"] == "python-help"


def test_a_worker_checks_a_config_on_text_without_reading_it():
    from tui_gen.train.run.warm import check

    made, classes = small_runs.built()
    tables = {"model": {"name": "char-rnn"}, "dataset": {"name": "text-file", "root": "x.txt"}, "train": {"steps": 1}}
    assert check(tables, made, classes) == []
    tables["model"] = {"name": "vae"}
    assert [problem["key"] for problem in check(tables, made, classes)] == ["dataset.name"]
