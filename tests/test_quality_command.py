"""`tui-gen quality`, and the process that it has measure."""

import json
import subprocess
import sys

import msgspec
import pytest

from tests import fake_worker
from tests.test_restore import saved
from tui_gen import children, cli, events, quality, runs
from tui_gen.log import event_log
from tui_gen.train.offline import quality as measuring
from tui_gen.view import RunView

FIGURES = [quality.Figure("fid", 9.5, 0.8, real_doubt="from 180 held-out images"), quality.Figure("recall", 0.4, 0.9)]
REPORT = quality.Report(60, 2000, 1617, 180, "digits classifier network abc", FIGURES, 1.5)


def with_process(monkeypatch, code):
    """Have the command start this Python code instead; what it was going to start."""
    asked, real = [], subprocess.Popen

    def start(command, **more):
        asked.append(command)
        return real([sys.executable, "-c", code], **more)

    monkeypatch.setattr(children.subprocess, "Popen", start)
    return asked


def test_the_command_shows_what_a_process_of_its_own_measures(monkeypatch, capsys):
    run = fake_worker.record(fake_worker.make_run(), steps=60)
    text = msgspec.json.encode(REPORT).decode()
    asked = with_process(monkeypatch, f"import sys; print('sampling', file=sys.stderr); print({text!r})")
    options = ["--samples", "2000", "--seed", "3", "--step", "60", "--device", "cpu"]
    assert cli.main(["quality", run.name, *options]) == 0
    out, err = capsys.readouterr()
    assert asked[0][1:] == ["-P", "-m", "tui_gen.train.offline.quality", str(run), *options]
    assert out == quality.table(REPORT) and "0.8?" in out and err == "sampling\n"
    assert cli.main(["quality", "latest", "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out, type=quality.Report) == REPORT


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("print('error: a.toml: 2 faults\\n  a: no\\n  b: no', file=sys.stderr)", "a.toml: 2 faults\n  a: no\n  b: no"),
        ("raise ValueError('odd')", "ValueError: odd"),
        ("", "nothing could be measured"),
    ],
)  # fmt: skip
def test_what_went_wrong_there_is_said_here(monkeypatch, capsys, code, words):
    fake_worker.record(fake_worker.make_run(), steps=60)
    with_process(monkeypatch, f"import sys; {code}\nsys.exit(1)")
    assert cli.main(["quality"]) == 1
    assert capsys.readouterr() == ("", f"tui-gen: {words}\n")


def test_a_bad_number_of_samples_is_refused(capsys):
    assert cli.main(["quality", "latest", "--samples", "20"]) == 2
    assert "50 to 100000" in capsys.readouterr().err


def measured(monkeypatch, capsys, *arguments):
    """Exit status, report and complaints of the measuring process, run in this one."""
    monkeypatch.setattr(sys, "argv", ["quality", *map(str, arguments)])
    status = measuring.main()
    out, err = capsys.readouterr()
    return status, json.loads(out) if out else None, err


def test_a_checkpoint_is_measured_with_the_runs_own_settings(world, monkeypatch, capsys):
    run, _ = saved(world / "runs", "gan", dataset__limit=120, quality__samples=70, quality__seed=9)
    status, report, _ = measured(monkeypatch, capsys, run, "--device", "cpu")
    assert status == 0 and (report["step"], report["samples"], report["train"]) == (4, 70, 108)
    assert {"fid", "kid", "recall", "memorisation"} <= {one["name"] for one in report["figures"]}
    _, same, _ = measured(monkeypatch, capsys, run, "--seed", 9, "--samples", 70)
    assert same["figures"] == report["figures"]
    _, other, _ = measured(monkeypatch, capsys, run, "--step", 2)
    assert other["step"] == 2 and other["figures"] != report["figures"]


def test_what_a_model_prints_is_no_part_of_the_report(monkeypatch, capsys):
    def restore(*_):
        print("my model is being built")
        raise measuring.RestoreError("no")

    monkeypatch.setattr(measuring, "restore", restore)
    assert measured(monkeypatch, capsys, "run") == (1, None, "my model is being built\nerror: no\n")


def test_what_cannot_be_measured_is_said_in_a_line(world, monkeypatch, capsys):
    run, _ = saved(world / "runs", "classifier")
    status, report, err = measured(monkeypatch, capsys, run)
    assert (status, report) == (1, None) and err.startswith("error: classifier makes no samples")
    assert err.count("\n") == 1
    run, _ = saved(world / "runs", "vae", steps=())
    assert "has no checkpoint yet" in measured(monkeypatch, capsys, run)[2]


# -- what readers make of it


def test_figures_in_the_log_become_curves_with_those_of_real_data(world):
    run = fake_worker.record(fake_worker.make_run(), steps=60)
    writer = event_log.EventWriter(run / "events.jsonl")
    for step, fid in ((20, 30.0), (40, 20.0), (40, 19.0), (60, 9.5)):
        figures = [msgspec.structs.replace(FIGURES[0], value=fid), quality.Figure("kid", None)]
        writer.write(events.Quality(report=msgspec.structs.replace(REPORT, step=step, figures=figures)))
    view = RunView(run)
    view.poll()
    assert view.series["quality/fid"].steps.tolist() == [20, 40, 60]
    assert view.series["quality/fid"].values.tolist() == [30.0, 19.0, 9.5]
    assert view.series["val/quality/fid"].values.tolist() == [0.8, 0.8, 0.8] and "quality/kid" not in view.series
    assert view.quality[-1].figure("fid").value == 9.5 and view.step == 60
    assert "quality at step 60: FID 9.5 (real 0.8?)" in view.log[-1][2]
    writer.write(events.Resume(step=45))
    view.poll()
    assert [one.step for one in view.quality] == [20, 40, 40] and len(view.series["quality/fid"]) == 2


def test_an_event_of_quality_survives_the_log_and_a_number_that_is_none():
    event = events.Quality(report=msgspec.structs.replace(REPORT, figures=[quality.Figure("kid", float("nan"), 1.0)]))
    assert events.decode(events.encode(event)).report.figures == [quality.Figure("kid", None, 1.0)]


def test_curves_of_quality_share_a_plot_only_where_their_scales_do():
    from tui_gen.verdicts.panels import panels_of

    names = ["vae/loss", "val/vae/loss", *(f"quality/{name}" for name in quality.KINDS), "val/quality/fid"]
    panels = {panel.title: panel for panel in panels_of(names)}
    assert [curve.label for curve in panels["quality"].curves] == ["precision", "recall", "density", "coverage"]
    assert [curve.metric for curve in panels["quality/fid"].curves] == ["quality/fid", "val/quality/fid"]


def test_the_end_of_a_headless_run_shows_its_figures(capsys):
    from tui_gen.report import stdout
    from tui_gen.report.summary import print_summary

    run = fake_worker.record(fake_worker.make_run(), steps=60)
    event_log.EventWriter(run / "events.jsonl").write(events.Quality(report=REPORT))
    view = RunView(run)
    view.poll()
    print_summary(stdout.standard()[0], view, "finished", graphics="off")
    assert quality.table(REPORT) in capsys.readouterr().out
    assert runs.state_of(run)[0] == "finished"
