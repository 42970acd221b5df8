"""What runs came to: as a view of the same log has it, read once, whatever the log was written by."""

from __future__ import annotations

import math
import random

import msgspec
import pytest

from tests import fake_worker
from tui_gen import columns, events, runs
from tui_gen.history import run_summary
from tui_gen.history.run_summary import NOTHING, Digest, Summaries, summary_of
from tui_gen.log.event_log import EventWriter
from tui_gen.view import RunView


def write(run, *logged):
    writer = EventWriter(run / "events.jsonl")
    writer.write(*logged)
    writer.close()


def values_of(seed, steps):
    dice = random.Random(seed)
    return [None if dice.random() < 0.05 else 30 * math.exp(-step / 50) + dice.random() for step in range(steps)]


def metrics(start, each, values, form):
    """Some steps' values: of the loss, and of what nobody is judged by, in one of the forms that logs have them."""
    if form == "packed":
        column = columns.column(values[start : start + each])
        return [events.Metrics(start=start, values={"vae/kl": column, "vae/loss": column})]
    rows = values[start : start + each]
    if form == "columns":
        return [events.Metrics(start=start, values={"vae/kl": rows, "vae/loss": rows})]
    return [events.Metrics(start=start + i, values={"vae/kl": [v], "vae/loss": [v]}) for i, v in enumerate(rows)]


@pytest.mark.parametrize("form", ["packed", "columns", "rows"])
def test_a_summary_is_that_of_the_view(world, form):
    run = fake_worker.make_run(None, "vae-digits", "model.latent=3")
    values = values_of(1, 300)
    write(run, events.Plan(steps=300, steps_per_epoch=10, batch_size=16, judged=["elbo"]))
    for start in range(0, 200, 40):
        write(run, *metrics(start, 40, values, form))
    write(run, events.Resume(step=120))  # what is after it was lost, and is done again otherwise
    again = values_of(2, 300)
    for start in range(120, 300, 60):
        write(run, *metrics(start, 60, again, form))
    write(run, events.System(step=300, steps_per_second=1, images_per_second=1, seconds=77.5))
    with open(run / "events.jsonl", "ab") as log:
        log.write(b'garbage\n{"type":"metrics","t":1,"start":5,"values":{"vae/loss":["x"]}}\n{"type":"packed"}\n{"torn')
    summary, curve = summary_of(run), RunView.read(run).series["vae/loss"]
    best = min(range(len(curve)), key=lambda at: curve.values[at] if curve.values[at] == curve.values[at] else 1e9)
    assert summary.metric == "vae/loss" and summary.better == "lower" and summary.seconds == 77.5
    assert (summary.best_step, summary.best) == (int(curve.steps[best]), pytest.approx(float(curve.values[best])))
    numbers = [float(value) for value in curve.values if value == value]
    assert summary.last == pytest.approx(numbers[-1]) and len(summary.course) == run_summary.POINTS
    assert summary.course[0] > summary.course[-1] > 0
    assert summary.bytes == sum(file.stat().st_size for file in run.rglob("*") if file.is_file())


def test_what_its_recipe_states_comes_first_then_held_out_data(world):
    run = fake_worker.make_run()  # vae-digits: judged by the confidence of a classifier, and in short by val/vae/elbo
    write(run, events.Metrics(start=0, values={"vae/loss": [30.0], "vae/elbo": [-30.0]}))
    plan = events.Plan(steps=300, steps_per_epoch=10, batch_size=16, judged=["elbo"])
    assert summary_of(run).metric == "vae/loss"  # the model has not yet said what it is judged by
    run = fake_worker.make_run(None, "vae-digits", "model.latent=3")
    values = {"vae/loss": [30.0, 29.0], "vae/elbo": [-30.0, -29.0]}
    write(run, plan, events.Metrics(start=0, values=values), events.Metrics(start=1, values={"val/vae/elbo": [-31.0]}))
    summary = summary_of(run)
    assert (summary.metric, summary.better, summary.best) == ("val/vae/elbo", "higher", -31.0)
    write(run, events.Metrics(start=2, values={"val/vae/elbo": [-24.0]}))
    summary = summary_of(run)
    assert (summary.best, summary.best_step, summary.short) == (-24.0, 3, "val elbo")


def test_it_goes_on_where_it_was_and_starts_over_with_another_log(world, monkeypatch):
    run = fake_worker.make_run()
    values = values_of(3, 400)
    write(run, *metrics(0, 200, values, "packed"))
    digest = Digest(run)
    while digest.read():
        pass
    first = digest.summary()
    write(run, *metrics(200, 200, values, "rows"))
    while digest.read():
        pass
    assert digest.summary() == summary_of(run) != first
    (run / "events.jsonl").unlink()
    write(run, *metrics(0, 30, values_of(4, 30), "columns"))
    while digest.read():
        pass
    fresh = Digest(run)
    while fresh.read():
        pass
    assert digest.summary() == fresh.summary()


def test_nothing_is_read_twice_and_the_cache_may_go(world, monkeypatch):
    made = [fake_worker.record(fake_worker.make_run()) for _ in range(3)]
    root = runs.default_root()
    first = Summaries(root)
    found = {run.name: first.of(run) for run in made}
    first.save()
    [cache] = (world / "cache").rglob("summaries/*.json")
    read = []
    original = Digest.read
    monkeypatch.setattr(Digest, "read", lambda self: read.append(self.path) or original(self))
    again = Summaries(root)
    assert {run.name: again.of(run) for run in made} == found and read == []
    fake_worker.record(made[0])
    assert again.known(made[0]) is None and again.last_known(made[0]) == found[made[0].name]
    assert again.of(made[0]) and set(read) == {made[0]}
    for damage in (b"", b"{}", b'{"version": "0", "runs": {}}', b"\xff", msgspec.json.encode({"version": 3})):
        cache.write_bytes(damage)
        assert Summaries(root).known(made[1]) is None
    cache.unlink()
    assert Summaries(root).of(made[1]) == found[made[1].name]


def test_two_who_save_keep_what_the_other_found_and_forget_runs_that_are_gone(world):
    made = [fake_worker.record(fake_worker.make_run()) for _ in range(3)]
    root = runs.default_root()
    one, other = Summaries(root), Summaries(root)
    one.of(made[0]), one.of(made[2]), other.of(made[1])
    one.save()
    other.save()
    assert all(Summaries(root).known(run) for run in made)
    runs.delete(made[2])
    one.of(made[1])
    fake_worker.record(made[1])
    one.of(made[1])
    one.save(run.name for run in made[:2])
    assert Summaries(root).last_known(made[2]) is NOTHING


def test_a_run_without_values_and_one_that_is_none(world):
    run = fake_worker.make_run()
    assert summary_of(run) == msgspec.structs.replace(NOTHING, bytes=summary_of(run).bytes)
    assert summary_of(world / "nowhere").metric == ""
