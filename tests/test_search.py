"""`tui-gen sweep`: what is asked for, trials as runs, killed and pruned and failed ones, storages, results."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import threading
from types import SimpleNamespace

import pytest

from tests import fake_worker
from tests.test_queueing import known
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import events, launch, runs, slots, space
from tui_gen.app.panes.sweeps import pane
from tui_gen.log import event_log
from tui_gen.queue import queueing
from tui_gen.search import asking, keeper, specs
from tui_gen.search import study as study_module
from tui_gen.search.asking import SearchWish
from tui_gen.search.specs import SearchSpec
from tui_gen.search.study import COMPLETE, FAILED, PRUNED, SearchStudy, SearchTrial, storage_faults

LR = "train.phases.vae.lr"


class Workers:
    """In place of workers: what `launch.start` does with a run, by what a test says of its learning rate."""

    def __init__(self, monkeypatch):
        self.started, self.resumed = [], []
        self.ends = lambda lr, resume: ("finished", "")
        monkeypatch.setattr(launch, "start", self.start)
        monkeypatch.setattr(launch.WarmWorker, "spawn", lambda self: None)

    def start(self, run, *, resume=False, **_):
        (self.resumed if resume else self.started).append(run.name)
        lr = configs.get_key(configs.read_toml(run / "config.toml"), LR)
        state, reason = self.ends(lr, resume)
        writer = event_log.EventWriter(run / "events.jsonl")
        if not resume:
            writer.write(events.State(state="starting", step=0), fake_worker.FakeRun(run, writer, 100).plan())
        values = [-30.0, -25 - abs(lr - 3e-3) * 1000] if state == "finished" else [-30.0]
        writer.write(*(
            events.Metrics(start=50 * place + 49, values={"val/vae/elbo": [value]})
            for place, value in enumerate(values)
        ), events.State(state="running", step=50))  # fmt: skip
        if state != "killed":
            writer.write(events.State(state=state, step=50 * len(values), reason=reason))
        writer.close()
        return SimpleNamespace(poll=lambda: 0, pid=0, terminate=lambda: None, kill=lambda: None)


@pytest.fixture
def workers(monkeypatch):
    """Nothing trains, and nobody reckons what matters, which takes half a second."""
    monkeypatch.setattr(SearchStudy, "importances", lambda self: dict)
    return Workers(monkeypatch)


def sweep(call, *words):
    return call("sweep", "vae-digits", "--space", "lr=1e-4..1e-2:log,latent=8|16", "--set", "train.steps=100", *words)


def drafted(name="a", **wish):
    base = catalogs.resolve("vae-digits", known(), ["train.steps=100"])
    texts = wish.pop("space", ["lr=1e-4..1e-2:log", "latent=8|16"])
    wished = SearchWish(space=texts, name=name, **wish)
    return asking.drafted(wished, base, known(), runs.default_root())


def study_of(draft):
    specs.write(runs.default_root(), draft.spec)
    return SearchStudy(runs.default_root(), draft.spec, draft.axes, draft.points)


def states(name):
    return [row.state for row in specs.trials(runs.default_root(), name).rows]


def test_what_was_asked_for_is_nobody_elses_from_the_first_byte_on(tmp_path, monkeypatch):
    """The URL of a storage may have a password in it, and a folder that machines share is read by others."""
    modes, plain = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (modes.append(os.fstat(file).st_mode & 0o777), plain(file)))
    spec = SearchSpec(name="a", config="", space=[], metric="loss", storage="mysql://me:secret@host/db")
    for _ in range(2):
        specs.write(tmp_path, spec)
    modes.append((specs.folder_of(tmp_path, "a") / specs.SPEC).stat().st_mode & 0o777)
    assert modes == [0o600] * 3


def test_every_trial_is_a_run_and_the_same_command_goes_on_to_a_total(call, workers, tmp_path):
    status, _, err = sweep(call, "--trials", "3", "--jobs", "2")
    assert status == 0 and "Traceback" not in err
    name = specs.names(runs.default_root())[0]
    assert states(name) == ["done"] * 3 and len(workers.started) == 3
    config = configs.read_toml(runs.default_root() / workers.started[0] / "config.toml")
    assert config["tags"] == [name] and config["name"].startswith(f"{name} 0: lr=")
    assert config["train"]["threads"] >= 1 and len(runs.list_runs(runs.default_root())) == 3
    assert sweep(call, "--trials", "3")[0] == 0 and len(workers.started) == 3, "three are three, not three more"
    assert sweep(call, "--trials", "5", "--json")[0] == 0 and len(workers.started) == 5
    assert call("sweep", "--resume", name[:8], "--trials", "6", "--best", str(tmp_path / "best.toml"))[0] == 0
    found = specs.results(runs.default_root(), name)
    assert [result.id for result in found.results if result.is_best] == [found.results[0].id]
    values = [result.best for result in found.results]
    assert values == sorted(values, reverse=True) and found.metric == "val/vae/elbo"
    best = catalogs.resolve(str(tmp_path / "best.toml"), known(), [])
    assert best.train.phases["vae"].lr == found.results[0].values[LR]
    rows = list(csv.reader(io.StringIO(call("sweep", "--results", "--csv")[1])))
    assert rows[0][:4] == ["id", "state", LR, "model.latent"] and len(rows) == 7
    told = json.loads(call("sweep", "--results", name, "--json")[1])
    assert len(told["trials"]) == 6 and told["metric"] == "val/vae/elbo"
    assert "6/6" in call("sweep")[1] and "◆" not in call("sweep", "--results", "--plot")[1]


def test_of_two_that_begin_it_at_once_one_goes_on(call, workers, monkeypatch):
    root = runs.default_root()
    place = specs.host_folder(root, "a")
    place.mkdir(parents=True)
    monkeypatch.setattr(specs, "is_kept", lambda *_: False)  # the other had not come so far when this was looked at
    with runs.claim(place):
        status, _, err = sweep(call, "--name", "a")
    assert status == 2 and "a is being searched on this machine already" in err
    assert specs.names(root) == ["a"] and not workers.started


def test_what_matters_is_reckoned_from_the_trials_that_came_to_their_end(monkeypatch):
    study = study_of(drafted(trials=9))
    assert study.importances()() == {}
    while (trial := study.next()) is not None:
        trial.end(COMPLETE, abs(trial.values[LR] - 3e-3))
    shares = study.importances()()
    assert set(shares) == {LR, "model.latent"} and sum(shares.values()) == pytest.approx(1)
    assert shares[LR] > 0.8
    monkeypatch.setattr(study_module, "MOST_RECKONED", 4)
    monkeypatch.setattr(
        study_module, "get_param_importances", lambda apart, **_: [trial.value for trial in apart.trials]
    )
    values = [abs(row.values[LR] - 3e-3) for row in study.rows()]
    assert study.importances()() == [values[place] for place in (0, 2, 4, 6)], "of many, some, spread over all"


def test_what_fails_diverges_or_dies_again_and_again_is_a_trial_that_failed_and_not_the_end(call, workers):
    def ends(lr, resume):
        if lr > 5e-3:
            return "failed", "loss is not finite"
        return ("killed", "") if lr < 5e-4 else ("finished", "")

    workers.ends = ends
    assert sweep(call, "--trials", "6", "--sampler", "random", "--jobs", "1")[0] == 0
    rows = specs.trials(runs.default_root(), specs.names(runs.default_root())[0]).rows
    assert len(rows) == 6 and {row.state for row in rows} == {"done", "failed"}
    for row in rows:
        lr = row.values[LR]
        if lr > 5e-3:
            assert (row.state, row.reason, row.best) == ("failed", "loss is not finite", None)
        elif lr < 5e-4:
            assert row.state == "failed" and "its worker died 4 times" in row.reason
            assert workers.resumed.count(row.run) == keeper.RESUMES
        else:
            assert row.state == "done" and row.best == pytest.approx(-25 - abs(lr - 3e-3) * 1000, abs=1e-3)


def test_a_search_that_was_killed_goes_on_with_the_runs_that_it_has(call, workers):
    draft = drafted(trials=4, jobs=1)
    study, root = study_of(draft), runs.default_root()
    study.next()  # killed before its run had a name
    begun = study.next()
    begun.note(run=queueing.new_folder("begun"), host=runs.process_started and os.uname().nodename)
    stopped = study.next()
    stopped.note(run=queueing.new_folder("stopped"), host=os.uname().nodename, begun=True)
    kept = keeper.SearchKeeper(root, draft.spec, lambda *_: None)
    runs.create(root, "x", configs.dumps(kept._config(stopped, "x")), stopped.run)
    workers.ends = lambda lr, resume: ("finished", "") if resume else ("stopped", "with its sweep, before training")
    workers.start(root / stopped.run)
    workers.started.clear()
    workers.ends = lambda lr, resume: ("finished", "")
    assert call("sweep", "--resume", "a")[0] == 0
    rows = specs.trials(root, "a").rows
    assert [row.state for row in rows] == ["done"] * 4
    assert [row.run for row in rows[1:3]] == [begun.run, stopped.run] and workers.resumed == [stopped.run]
    assert len(workers.started) == 3 and begun.run in workers.started
    before = [(row.number, row.values) for row in rows]
    assert [(trial.number, trial.values) for trial in (begun, stopped)] == before[1:3]


def test_what_is_drawn_depends_on_the_trials_and_not_on_who_draws(monkeypatch):
    def values(name, restarts):
        draft, drawn = drafted(name, trials=6, seed=3), []
        study = study_of(draft)
        for number in range(6):
            study = study_of(draft) if restarts else study
            trial = study.next()
            drawn.append(trial.values)
            trial.note(best=float(number))
            trial.end(COMPLETE, float(number))
        assert study.next() is None
        return drawn

    drawn = values("whole", False)
    assert drawn == values("parts", True)
    assert len({point[LR] for point in drawn}) == 6, "no point is drawn again after a restart"


def test_a_run_that_does_badly_is_pruned_with_a_checkpoint_and_says_so(monkeypatch):
    draft, root = drafted(trials=1, jobs=1, metric="val/vae/loss"), runs.default_root()
    specs.write(root, draft.spec)
    reported = []
    monkeypatch.setattr(SearchTrial, "report", lambda self, percent, value: reported.append((percent, value)) or True)
    processes = fake_worker.install(monkeypatch, steps=1000, rate=2000, hold=500, beat=0.02)
    told = []
    _, number = keeper.keep(root, draft.spec, lambda words, _: told.append(words), event_wait(), list)
    row = specs.trials(root, "a").rows[0]
    assert (row.state, number) == ("pruned", 0) and row.reason.startswith("pruned at step "), (row, told)
    state, step, reason = runs.state_of(root / row.run)
    assert (state, reason) == ("stopped", "pruned") and 0 < step <= 500 and row.best is not None
    assert processes[0].wait(120) == 0 and reported and all(0 <= percent <= 50 for percent, _ in reported)


@pytest.mark.parametrize("pruner,least", [("hyperband", 1), ("median", 1), ("none", 0)])
def test_a_pruner_stops_trials_that_are_worse_at_the_same_share_of_their_length(pruner, least):
    study, pruned = study_of(drafted(trials=8, pruner=pruner)), 0
    while (trial := study.next()) is not None:
        for percent in (10, 30, 50, 90):
            if trial.report(percent, -abs(trial.values[LR] - 3e-3)):
                trial.end(PRUNED)
                pruned += 1
                break
        else:
            trial.end(COMPLETE, -abs(trial.values[LR] - 3e-3))
    assert (pruned >= least) if least else pruned == 0


def event_wait():
    event = threading.Event()
    return lambda seconds: event.wait(min(seconds, 0.05))


def test_a_signal_stops_the_runs_with_checkpoints_and_the_next_goes_on(monkeypatch, call):
    draft, root = drafted(trials=1, jobs=1), runs.default_root()
    specs.write(root, draft.spec)
    fake_worker.install(monkeypatch, steps=300, rate=3000, hold=100, beat=0.02)
    sent = []

    def signals():
        live = runs.live_runs(root)
        if live and not sent and runs.state_of(live[0])[1] >= 100:
            sent.append(signal.SIGINT)
            return [signal.SIGINT]
        return []

    _, number = keeper.keep(root, draft.spec, lambda *_: None, event_wait(), signals)
    row = specs.trials(root, "a").rows[0]
    assert number == signal.SIGINT and row.state == "running", "it is not over"
    state, step, reason = runs.state_of(root / row.run)
    assert (state, step, reason) == ("stopped", 100, "with its sweep")
    assert specs.results(root, "a").results[0].state == "stopped"
    fake_worker.release(root / row.run)
    draft.spec.metric = "val/vae/loss"
    monkeypatch.setattr(SearchStudy, "_agree", lambda self: None)
    keeper.keep(root, draft.spec, lambda *_: None, event_wait(), list)
    assert states("a") == ["done"] and runs.state_of(root / row.run)[0] == "finished"


def test_a_journal_whose_writer_was_killed_in_a_line_is_read_and_written(tmp_path):
    draft = drafted(trials=5)
    study = study_of(draft)
    study.next().end(FAILED)
    journal = specs.folder_of(runs.default_root(), "a") / specs.JOURNAL
    with open(journal, "ab") as file:
        file.write(b'{"op_code":4,"worker_id":"torn')
    study.next().end(FAILED)
    again = study_of(draft)
    again.next().end(PRUNED)
    assert [row.state for row in study_of(draft).rows()] == ["failed", "failed", "pruned"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mysql://u:secret@h:1/db", "mysql://u:***@h:1/db"),
        ("mysql+pymysql://u:s@secret/s:@h/db", "mysql+pymysql://u:***@h/db"),
        ("postgresql://h/db?user=u&password=secret&x=1", "postgresql://h/db?user=u&password=***&x=1"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("no mysql://u:secret@h/db for 'u'@'h'", "no mysql://u:***@h/db for 'u'@'h'"),
        ("/data/a:b@c.log", "/data/a:b@c.log"),
    ],
)
def test_no_password_is_shown_however_it_is_written(url, shown):
    assert specs.without_password(url) == shown


def test_a_data_base_is_shared_and_a_study_about_something_else_refused(tmp_path):
    with pytest.raises(runs.RunError, match="its driver MySQLdb is not installed: pip install mysqlclient"):  # noqa: SIM117
        with storage_faults("mysql://u:secret@x"):
            raise ImportError("Failed to import DB access module") from ModuleNotFoundError("no", name="MySQLdb")
    storage = f"sqlite:///{tmp_path}/s.db"
    first = study_of(drafted(storage=storage, trials=4))
    trial = first.next()
    trial.note(host="elsewhere", run="x")
    other = study_of(drafted(storage=storage, trials=4))
    assert [(open_one.number, open_one.host) for open_one in other.running()] == [(0, "elsewhere")]
    assert other.next().number == 1
    draft = drafted("b", storage=storage, space=["latent=8|16|32"])
    draft.spec.name = "a"
    with pytest.raises(runs.RunError, match=r"the study a in sqlite.* was begun with another space"):
        SearchStudy(runs.default_root(), draft.spec, draft.axes)


def test_a_trial_of_a_machine_that_is_gone_is_taken_up_and_one_of_a_machine_that_works_is_not(workers):
    draft, root = drafted(trials=3, jobs=3), runs.default_root()
    study = study_of(draft)
    gone, works, unseen = study.next(), study.next(), study.next()
    for trial, run in ((gone, "gone"), (works, "works"), (unseen, "unseen")):
        trial.note(run=run, host="elsewhere", begun=True)
    kept = keeper.SearchKeeper(root, draft.spec, lambda *_: None)
    for run in ("gone", "works"):
        runs.create(root, run, configs.dumps(kept._config(gone, run)), run)
    with runs.claim(root / "works"):
        kept.turn()
        rows = kept.study.rows()
        assert [row.host for row in rows] == [os.uname().nodename, "elsewhere", "elsewhere"]
        assert workers.started == ["gone"] and list(kept.open) == [0]
        kept._since = dict.fromkeys(kept._since, -1e9)
        kept._take_up()
        assert [row.state for row in kept.study.rows()][1:] == ["running", "failed"]
        assert "nothing heard from elsewhere for 10 min" in kept.study.rows()[2].reason


def test_a_trial_that_another_machine_ended_is_let_go_and_the_next_one_begun(workers, monkeypatch, tmp_path):
    """It was silent for too long, say, with its link: what it reports is not taken, and never will be."""
    draft, stopped = drafted(storage=f"sqlite:///{tmp_path}/s.db", trials=3), []
    other = study_of(draft)
    kept = keeper.SearchKeeper(runs.default_root(), draft.spec, lambda *_: None)
    monkeypatch.setattr(keeper.OpenTrial, "stop", lambda self, why: stopped.append(why))
    kept.turn()
    other.running()[0].end(FAILED)
    assert kept.turn() and stopped == [keeper.ENDED] and list(kept.open) == [1]
    monkeypatch.setattr(keeper.OpenTrial, "look", lambda self: False)
    monkeypatch.setattr(keeper.OpenTrial, "state", "running")
    kept._beaten = -1e9
    other.running()[0].end(FAILED)
    assert kept.turn() and len(stopped) == 2 and list(kept.open) == [2], "a sign of life alone finds it out, too"


def test_machines_of_one_name_leave_each_other_s_trials_alone(workers, tmp_path):
    draft = drafted(storage=f"sqlite:///{tmp_path}/s.db", trials=2)
    study = study_of(draft)
    trials = study.next(), study.next()
    for trial, begun in zip(trials, (True, False), strict=True):
        trial.note(run=f"r{trial.number}", host=os.uname().nodename, begun=begun)
    kept = keeper.SearchKeeper(runs.default_root(), draft.spec, lambda *_: None)
    place = specs.host_folder(runs.default_root(), draft.spec.name)
    place.mkdir(parents=True)
    with runs.claim(place):
        assert kept.turn() and not kept.open and not workers.started
        kept._since = dict.fromkeys(kept._since, -1e9)
        kept._take_up()
    assert [row.state for row in kept.study.rows()] == ["failed", "running"] and workers.started == ["r1"]


def test_a_grid_has_each_combination_once(call, workers):
    words = ("--sampler", "grid", "--jobs", "3")
    status, out, _ = call("sweep", "vae-digits", "--space", "lr=1e-4..1e-2:log:2", "latent=8|16", *words)
    assert status == 0 and "4 trials" in out
    rows = specs.trials(runs.default_root(), specs.names(runs.default_root())[0]).rows
    axes = space.parse(["lr=1e-4..1e-2:log:2", "latent=8|16"], configs.keys("vae", "digits", known()))
    assert [row.values for row in rows] == space.grid(axes)


def test_lists_are_drawn_as_lists():
    study = study_of(drafted(space=["hidden=64,32|128", "likelihood=gaussian|bernoulli", "conditional=on|off"]))
    for _ in range(6):
        values = study.next().values
        assert values["model.hidden"] in ([64, 32], [128]) and type(values["model.conditional"]) is bool


@pytest.mark.parametrize(
    "words,told",
    [
        (["--space", "nix=3"], "nix: names no setting"),
        (["--space", "lr=0..1:log"], "needs a number, 0 < x"),
        (["--space", "lr=1e-4..1e-2:log:5"], "which is for a grid; tpe draws"),
        (["--space", "latent=8..16,latent=3"], "is given twice"),
        (["--space", "lr=1e-3,latent=8..8"], "latent = 8..8: is one value: there is nothing to try"),
        (["--space", "latent=1..16", "--metric", "elbo"], "is no metric of a log"),
        (["--space", "latent=1..16", "--metric", "quality/fid"], "--set quality.at_end=true"),
        (["--space", "latent=1..16", "--metric", "val/gan/loss"], "is no metric of vae, whose metrics begin with"),
        (["--space", "latent=1..16", "--name", "No Name"], "'no-name' would do"),
        (["--space", "latent=1..16", "--storage", "redis://u:secret@x"], "is no storage that is used here"),
        (["--space", "steps=10|20", "epochs=1|2"], "are both lengths"),
        (["--space", "latent=1..16", "--storage", "nonsense://u:secret@x"], "cannot be used"),
        (["--results"], "names a sweep that there is"),
        ([], "what is to be tried?"),
    ],
)
def test_what_cannot_be_is_told_in_a_line_and_begins_nothing(call, workers, words, told):
    status, out, err = call("sweep", "vae-digits", *words)
    assert status in (1, 2) and told in err and "Traceback" not in err and "secret" not in out + err
    assert specs.names(runs.default_root()) == [] and not workers.started


def test_names_of_searches_that_are_none_and_a_definition_that_differs_are_told(call, workers):
    assert "no sweep is here yet" in call("sweep", "--results")[2]
    assert sweep(call, "--trials", "1", "--name", "mine")[0] == 0
    status, _, err = sweep(call, "--trials", "1", "--name", "mine", "--seed", "3")
    assert status == 2 and "was begun with another seed; choose another --name" in err
    assert "did you mean 'mine'" in call("sweep", "--results", "mime")[2]
    assert "is not being searched" in call("sweep", "--stop", "mine")[2]
    assert "mine learns, and is not in the queue: tui-gen sweep --results mine" in call("queue", "results", "mine")[2]
    status, out, _ = sweep(call, "--dry-run", "--name", "other")
    assert status == 0 and "other: 20 trials, 1 at a time, tpe, hyperband; val/vae/elbo" in out
    assert specs.names(runs.default_root()) == ["mine"]


def test_machines_may_have_their_data_elsewhere_and_other_devices():
    draft = drafted()
    draft.spec.config = draft.spec.config.replace('device = "auto"', 'device = "cuda:1"\nroot = "/data"')
    assert draft.spec.config != drafted().spec.config and draft.spec.definition == drafted().spec.definition


def test_each_trial_has_the_device_with_the_fewest_runs(monkeypatch, workers):
    draft, root = drafted(jobs=3, trials=9), runs.default_root()
    monkeypatch.setattr(slots, "here", lambda: ["cuda:0", "cuda:1", "cpu"])
    study = study_of(draft)
    kept = keeper.SearchKeeper(root, draft.spec, lambda *_: None)
    other = runs.create(root, "other", configs.dumps(kept.base), "other")
    with runs.claim(other):
        runs.register(other, "")
        fake_worker.record(other, steps=5, state="running")
        trial = study.next()
        config = kept._config(trial, "x")
        assert config.train.device == "cuda:1", "another run trains on the first"
        kept.open[trial.number] = SimpleNamespace(slot="cuda:1", path=root / "x")
        assert kept._config(study.next(), "y").train.device == "auto"


def test_one_that_cannot_be_read_keeps_nobody_from_the_others(call):
    """A file that somebody is mending, or that a newer version wrote."""
    root = runs.default_root()
    for name in ("sound", "torn"):
        specs.write(root, SearchSpec(name=name, config="", space=["model.latent=8|16"], metric="val/vae/loss"))
    (specs.folder_of(root, "torn") / specs.SPEC).write_text("{")
    status, out, _ = call("sweep")
    assert status == 0 and "stopped" in next(line for line in out.splitlines() if line.startswith("sound"))
    assert "broken" in next(line for line in out.splitlines() if line.startswith("torn"))
    lines = {line.name: line for line in pane.read(root, "").lines}
    assert (lines["sound"].state, lines["torn"].state) == ("stopped", "broken") and "no sweep's" in lines["torn"].words


@pytest.mark.parametrize(("metric", "better"), [
    ("val/vae/iw_log_likelihood", "higher"), ("val/vae/mse", "lower"), ("quality/fid", "lower"),
    ("quality/recall", "higher"), ("quality/diversity", "best as near to real data's"),
    ("quality/recal", "did you mean 'recall'"), ("quality/nix", "take one of fid"),
])  # fmt: skip
def test_trials_are_judged_the_way_that_a_metric_is_better(metric, better):
    base = catalogs.resolve("vae-digits", known(), ["train.steps=100", "quality.at_end=true"])
    if better in ("higher", "lower"):
        assert asking.judged(base, metric, known()) == (metric, better)
    else:
        with pytest.raises(configs.ConfigError, match=better):
            asking.judged(base, metric, known())


def test_a_metric_of_no_phase_may_be_a_models_own():
    base = catalogs.resolve("pretrained-classifier", known(), [])
    for metric in ("val/pretrained/accuracy", "val/gain"):
        assert asking.judged(base, metric, known()) == (metric, "higher")


def test_a_metric_that_no_run_has_ends_it_and_names_those_there_are(call, workers):
    status, _, err = sweep(call, "--metric", "val/vae/nix", "--trials", "9")
    assert status == 2 and "no val/vae/nix in its log; there are val/vae/elbo" in err and len(workers.started) <= 2
