"""Jobs that are started again go on with the run that they made, and a run tells of the jobs it was trained in."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from tests import fake_worker
from tui_gen import batch, events, hosts, presence, runs
from tui_gen.log import event_log, log_prefix
from tui_gen.report import named, restarted


@pytest.mark.parametrize(
    ("env", "job", "words"),
    [
        ({}, None, ""),
        ({"SLURM_JOB_ID": "7"}, ("Slurm", "7", "7", "", 0), "Slurm job 7"),
        (
            {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "2",
             "SLURM_CLUSTER_NAME": "big"},
            ("Slurm", "9", "7_3", "big", 2), "Slurm job 7_3, restart 2",
        ),
        ({"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "x"}, ("Slurm", "7", "7", "", 0), "Slurm job 7"),
        ({"PBS_JOBID": "12.head"}, ("PBS", "12.head", "12.head", "", 0), "PBS job 12.head"),
        ({"SGE_TASK_ID": "undefined", "JOB_ID": "5"}, ("Grid Engine", "5", "5", "", 0), "Grid Engine job 5"),
        ({"_CONDOR_JOB_AD": "/x/.job.ad"}, ("HTCondor", "", "", "", 0), "HTCondor job"),
        ({"SLURM_JOB_ID": "7\x1b[0m"}, ("Slurm", "7\x1b[0m", "7\x1b[0m", "", 0), "Slurm job 7"),
    ],
)  # fmt: skip
def test_the_job_of_this_process(env, job, words):
    ours = batch.this_job(env)
    assert ours == (job and batch.Job(*job))
    assert ours is None or ours.words.replace("[0m", "") == words


def test_slurm_itself_tells_how_often_a_job_was_started_again(tmp_path, monkeypatch):
    """What a job inherited from one that submitted it is that one's count."""
    env = {"SLURM_JOB_ID": "9", "SLURM_RESTART_COUNT": "3"}
    program = tmp_path / "scontrol"
    program.write_text(
        "#!/bin/sh\n[ $4 = 9 ] || exit 1\n"
        "echo 'JobId=8 ArrayJobId=9 ArrayTaskId=0 Restarts=2 BatchFlag=1'\n"
        "echo 'JobId=9 ArrayJobId=9 ArrayTaskId=1 Restarts=0 BatchFlag=1'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for id, restarts in (("9", 0), ("10", 3)):
        batch._restarts_by_slurm.cache_clear()
        job = batch.this_job(env | {"SLURM_JOB_ID": id})
        assert job is not None and job.restarts == restarts, "where Slurm does not tell, the environment does"
    batch._restarts_by_slurm.cache_clear()


def in_job(monkeypatch, number: int, restarts: int = 0, **more: str) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT", "SLURM_CLUSTER_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", str(number))
    if restarts:
        monkeypatch.setenv("SLURM_RESTART_COUNT", str(restarts))
    for name, value in more.items():
        monkeypatch.setenv(name, value)


def write(run: Path, *some: events.Event) -> Path:
    writer = event_log.EventWriter(run / "events.jsonl")
    writer.write(*some)
    writer.close()
    return run


def made(seed: int, state: str, **job: str) -> Path:
    """A run that a job made of a recipe."""
    run = fake_worker.make_run(None, "vae-digits", f"train.seed={seed}")
    session = events.Host(host="node7", **{"system": "Slurm", "id": "7", "job": "7", **job})
    return write(run, events.State(state="starting", step=0), session, events.State(state=state, step=9))


def test_which_run_a_job_goes_on_with(monkeypatch, capsys):
    def begun(seed: int) -> Path | None:
        return restarted.begun(runs.default_root(), "vae-digits", [f"train.seed={seed}"], [])

    finished, stopped = made(1, "finished"), made(1, "stopped")
    done, other, far = made(2, "finished"), made(3, "stopped", id="8"), made(4, "stopped", cluster="far")
    in_job(monkeypatch, 7)
    assert begun(1) is None, "it has not been started again"
    in_job(monkeypatch, 7, 1)
    assert begun(1) == stopped and begun(2) == done, "what has not finished before what has"
    assert not capsys.readouterr().err.count("this is a new run")
    assert begun(3) is None, "another job's"
    err = capsys.readouterr().err
    assert "has other settings; this is a new run" in err and other.name not in err and done.name in err
    in_job(monkeypatch, 7, 1, SLURM_CLUSTER_NAME="far")
    assert begun(4) == far and begun(1) is None, "each cluster counts its jobs"
    with runs.claim(stopped):
        in_job(monkeypatch, 7, 1)
        assert begun(1) == finished, "what nobody trains before what somebody does"
    in_job(monkeypatch, 9, 1)
    capsys.readouterr()
    assert begun(1) is None and not capsys.readouterr().err


def test_the_name_of_its_own_run_is_free_to_a_job_that_is_started_again(monkeypatch):
    root, run = runs.default_root(), made(1, "stopped")
    run = run.rename(run.with_name("mine"))
    in_job(monkeypatch, 7)
    with pytest.raises(runs.RunError, match="mine is there already: --resume-if-begun goes on with it"):
        named.begun(root, "mine", False)
    in_job(monkeypatch, 7, 1)
    assert named.begun(root, "mine", False) == run.resolve()
    in_job(monkeypatch, 8, 1)
    with pytest.raises(runs.RunError, match="there already"):
        named.begun(root, "mine", False)


SLURM = {"system": "Slurm", "job": "7_3", "id": "9", "cluster": "big"}


def test_who_made_a_run_is_read_from_the_beginning_of_its_log(tmp_path):
    def maker(*some: events.Event):
        run = tmp_path / str(len(list(tmp_path.iterdir())))
        run.mkdir()
        return hosts.maker(write(run, *some))

    ours = events.Host(host="node7", **SLURM)
    state = events.State(state="starting", step=0)
    assert maker(state, ours) == ours
    assert maker(state, events.Resume(step=3), ours) is None, "begun by an older version"
    assert maker(events.Fork(step=3, run="x"), state, ours) is None, "a fork has somebody else's past"
    assert maker(state) is None and hosts.maker(tmp_path / "none") is None
    assert maker(*(events.Note(text="x" * 9000) for _ in range(40)), ours) is None, "no more than its beginning"


def test_where_sessions_train_is_told_when_it_is_news(tmp_path):
    away, job = events.Host(host="node7", t=2.0), events.Host(host="node7", restarts=2, t=3.0, **SLURM)
    sessions = [events.Host(host="node1", t=1.0), away, job, msgspec.structs.replace(away, t=4.0)]
    told = [hosts.news(sessions, number) for number in range(4)]
    assert told == ["", "on node7", "Slurm job 7_3, restart 2, on node7", ""]
    assert [hosts.news_at(sessions, t) for t in (0.5, 1.0, 2.5, 3.0)] == ["", "", told[1], told[2]]
    back = events.decode(events.encode(job).rstrip(b"\n"))
    assert back == job and events.decode(b'{"type":"host","t":1.0,"host":"x"}') == events.Host(host="x", t=1.0)
    log = write(tmp_path, sessions[0], events.Checkpoint(step=0, path="checkpoints/000000")) / "events.jsonl"
    assert len(log_prefix.lines(log, 5)) == 1, "where a run trained is no past of its forks"


def test_a_worker_says_in_which_job_it_is(tmp_path, monkeypatch):
    in_job(monkeypatch, 7, 2)
    assert presence.described(tmp_path, "").job == "Slurm job 7, restart 2"
    old = msgspec.json.decode(b'{"pid":1,"host":"a","started":"x","socket":"y"}', type=presence.WorkerInfo)
    assert old.job == ""
