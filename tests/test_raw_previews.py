"""Previews of raw weights beside averaged ones: only where both are, comparable, and nothing of the training's."""

from __future__ import annotations

import msgspec
import pytest
import torch

from tests import small_runs
from tests.loop_run import Run, all_ended
from tui_gen.pictures import read_png


@pytest.fixture
def runs(world):
    """Finished runs of a family, by whether raw weights are drawn: the run, and the view of its log."""
    made = []

    def both(family):
        settings = {"train__steps": 8, "preview__every_steps": 4}
        ended = []
        for raw in (False, True):  # one after the other: threads share PyTorch's random state
            torch.manual_seed(5)
            made.append(Run(world / "runs", family, preview__raw=raw, **settings))
            made[-1].thread.start()
            ended.append((made[-1], made[-1].finish()))
        return ended

    yield both
    all_ended(made)


def test_raw_weights_are_drawn_from_the_same_noise_and_the_run_keeps_its_bits(runs):
    (plain, without), (raw, view) = runs("gan")
    for left, right in ((plain.trainer.model, raw.trainer.model), (plain.trainer.average, raw.trainer.average)):
        assert all(torch.equal(*pair) for pair in zip(left.state_dict().values(), right.state_dict().values()))
    assert torch.equal(plain.trainer.stream.next()[0], raw.trainer.stream.next()[0])
    averaged, others = ({s.step: s for s in view.samples if s.kind == kind} for kind in ("samples", "raw samples"))
    assert list(averaged) == list(others) == [0, 4, 8]
    assert {s.kind for s in without.samples} == {s.kind for s in view.samples} - {"raw samples"}
    for step, sample in others.items():
        alike = msgspec.structs.replace(averaged[step], path=sample.path, kind=sample.kind, t=sample.t)
        assert alike == sample, "as many tiles, of the same sizes and names"
        pictures = [read_png(view.file(part.path)) for part in (averaged[step], sample)]
        assert (pictures[0] == pictures[1]).all() == (step == 0), "untrained they are the same"
        for part in without.samples:
            if (part.kind, part.step) == ("samples", step):
                assert (read_png(without.file(part.path)) == pictures[0]).all()


def test_where_there_are_no_averaged_weights_nothing_more_is_drawn():
    trainer = small_runs.trainer("vae", preview__raw=True)
    assert trainer.average is None and trainer.raw_beside(trainer.eval_model) is None
