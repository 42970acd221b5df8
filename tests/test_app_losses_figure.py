"""The losses pane and what the run should reach: the line above the plots, the figure across its plot."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.plot_host import Host, append, write_run
from tests.test_app_losses import SIZES, drive, settled
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import events, remarks, runs
from tui_gen.app.panes.losses.going import GOAL_LOOKS, Going
from tui_gen.forks import Child
from tui_gen.marks import marks_of, noted
from tui_gen.verdicts.health import Verdict

ELBO = [-25 - 20 * 0.99**step for step in range(400)]


@pytest.fixture(scope="module")
def catalog():
    return catalogs.read([])


def run_of(tmp_path, catalog, recipe, *more, **settings):
    """A run of a recipe with these settings of `train`."""
    path = write_run(tmp_path / "run", *more, planned=400)
    tables = catalog.recipes[recipe].tables
    tables = tables | {"name": recipe, "train": tables["train"] | settings}
    (path / "config.toml").write_text(configs.dumps(configs.load(tables, catalog)))
    return path


def validated(*values, start=199, stride=200):
    return events.Metrics(start=start, stride=stride, values={"val/vae/elbo": list(values)})


@pytest.mark.parametrize("size", SIZES)
async def test_the_line_above_the_plots_says_how_it_goes_and_the_figure_stands_across_its_plot(tmp_path, catalog, size):
    values = events.Metrics(start=0, values={"vae/loss": ELBO, "vae/elbo": ELBO, "vae/kl": ELBO})
    path = run_of(tmp_path, catalog, "vae-digits", values, validated(-30.0), steps=2500)
    app = Host(path, "losses")
    with runs.claim(path):  # it is trained, by this process
        runs.register(path, "")
        async with drive(app, size) as pilot:
            await reaching(app, pilot, path, catalog)


async def reaching(app, pilot, path, catalog):
    """What is told of a run that falls short of its figure, and then of the same once it is there."""
    app.losses.set_catalog(catalog)
    await settled(app, pilot)
    lines = app.text().split("\n")
    assert "… val elbo is 5.3 short of its figure" in lines[1], lines[1]
    assert "best -30 at step 200 · figure ≥ -24.7" in lines[1] and "outliers clipped" in lines[2]
    assert lines[3][1:].startswith("vae/elbo") and any("╌figure ≥ -24.7╌" in line for line in lines[4:])
    append(path, validated(-24.5, start=399))
    app.action_update()
    await settled(app, pilot)
    assert "✔ it has its figure · " in app.text().split("\n")[1]
    assert "best -24.5 at step 400 · figure ≥ -24.7" in app.text().split("\n")[1]
    app.losses.show_run(None)
    await settled(app, pilot)
    assert not app.losses._going.display


def otherwise(path, before, after):
    """Have a run's config say something else."""
    config = path / "config.toml"
    assert before in config.read_text()
    config.write_text(config.read_text().replace(before, after))


async def test_a_run_of_another_width_need_not_reach_the_figure_but_may(tmp_path, catalog):
    path = run_of(tmp_path, catalog, "vae-digits", validated(-24.5), steps=2500)
    otherwise(path, "hidden = [256, 128]", "hidden = [64, 32]")
    app = Host(path, "losses")
    async with drive(app, (120, 30)) as pilot:
        app.losses.set_catalog(catalog)
        await settled(app, pilot)
        assert "✔ val elbo has reached the figure of vae-digits · best -24.5" in app.text().split("\n")[1]


async def test_without_a_figure_for_its_data_the_best_value_is_told_and_nothing_is_drawn(tmp_path, catalog):
    path = run_of(tmp_path, catalog, "vae-digits", validated(-30.0, -28.0, -29.0, start=99), steps=2500)
    otherwise(path, "size = 8", "size = 12")
    app = Host(path, "losses")
    async with drive(app, (120, 30)) as pilot:
        app.losses.set_catalog(catalog)
        await settled(app, pilot)
        assert "no figure is stated for this data · best -28 at step 300 " in app.text().split("\n")[1]
        assert "╌" not in app.text()


async def test_a_low_pane_keeps_its_rows_for_the_plots_and_one_that_knows_no_recipe_too(tmp_path, catalog):
    path = run_of(tmp_path, catalog, "vae-digits", validated(-30.0), steps=2500)
    app = Host(path, "losses")
    async with drive(app, (80, 24)) as pilot:
        assert "figure" not in app.text()
        app.losses.set_catalog(catalog)
        await settled(app, pilot)
        assert "best -30" in app.text().split("\n")[1]
        await pilot.resize_terminal(80, 11)
        await settled(app, pilot)
        assert "linear" in app.text().split("\n")[1] and "best -30" not in app.text()


async def test_the_crosshair_reads_the_curves_that_have_no_plot_on_screen_too(tmp_path):
    steps = range(1, 401)
    curves = {f"vae/{name}": [float(step * scale) for step in steps] for name, scale in (("loss", 1), ("kl", 2))}
    run = write_run(tmp_path / "run", events.Metrics(start=0, values=curves), validated(7.5), planned=400)
    app = Host(run, "losses")
    async with drive(app, (80, 24)) as pilot:
        assert [panel.title for panel in app.losses.shown_panels()] == ["vae/loss"]
        app.losses.look(cursor=200.0)
        await settled(app, pilot)
        assert "│ vae/kl 400 · val/vae/elbo 7.5" in app.text().split("\n")[1] and "train 200" in app.text()
        assert "- vae/loss 200\n- vae/kl 400\n- val/vae/elbo 7.5\n" in app.losses.help()[1], "F1 has all of them"
        await pilot.press("escape")
        await settled(app, pilot)
        assert "vae/kl 400" not in app.text()
        for step, words in ((300, "· val/vae/elbo 7.5@200"), (100, "│ vae/kl 200 ")):
            app.losses.look(cursor=float(step))
            await settled(app, pilot)
            assert words in app.text().split("\n")[1]
        assert "elbo" not in app.text().split("\n")[1], "it was not measured yet"


def test_the_line_gives_up_advice_then_the_step_then_the_best_before_its_sentence_is_cut():
    going = Going(
        GOAL_LOOKS[1], "the critic wins by far", "lower its rate", "best -30", " at step 1,200", "figure ≥ -24.7")
    texts = {width: going.line(width).plain for width in range(1, 120)}
    assert all(len(text) <= width or width < 3 for width, text in texts.items())
    whole = "… the critic wins by far · best -30 at step 1,200 · figure ≥ -24.7"
    assert texts[119] == whole + " · lower its rate"
    assert texts[len(whole)] == texts[len(whole) + 16] == whole
    assert texts[len(whole) - 1] == "… the critic wins by far · best -30 · figure ≥ -24.7"
    assert texts[42] == "… the critic wins by far · figure ≥ -24.7"
    assert texts[30] == "… the critic wins by far" and texts[12] == "… the criti…"


@pytest.mark.parametrize(("size", "rows"), [((66, 30), 2), ((80, 24), 2), ((200, 30), 1), ((66, 16), 1)])
async def test_what_to_do_has_a_row_of_its_own_where_the_line_has_no_room(tmp_path, catalog, monkeypatch, size, rows):
    """At 120 columns the losses are 66 wide beside the samples."""
    few = "4 of 16 units active: β = 1 is too strong for the others"
    told = [Verdict("watch", few, "", "Lower beta or raise it later")]
    monkeypatch.setattr("tui_gen.verdicts.health.verdict", lambda view: told[-1])
    monkeypatch.setattr("tui_gen.app.panes.losses.going.EVERY", 0.0)
    path = run_of(tmp_path, catalog, "vae-digits", validated(-30.0), steps=2500)
    app = Host(path, "losses")
    async with drive(app, size) as pilot:
        app.losses.set_catalog(catalog)
        await settled(app, pilot)
        lines = app.text().split("\n")
        assert lines[1][1:].startswith("▲ 4 of 16 units active")
        facts = "val elbo: best -30 at step 200 · figure ≥ -24.7 · "
        short = "val elbo: best -30 · figure ≥ -24.7 · → Lower beta or "
        below = f"{facts[:33]}→ Lower beta" if size[0] == 80 else short
        assert lines[2].strip("┃ ").startswith(below if rows == 2 else "linear")
        assert (f"{few} · {facts}Lower beta" in lines[1]) == (size[0] == 200)
        heights = [plot.size for plot in app.losses.plots]
        told.append(Verdict("good", "in balance, with its figure ahead"))
        app.losses.redraw()
        await settled(app, pilot)
        assert "✔ in balance" in app.text() and "→" not in app.text().split("\n")[2]
        assert [plot.size for plot in app.losses.plots] == heights, "verdicts come and go, plots keep their size"


def test_what_has_no_room_in_the_line_stands_below_it_and_nothing_twice():
    going = Going(GOAL_LOOKS[1], "it goes well", "Stop", "best -30", " at step 9", "figure ≥ -24.7")
    texts = {width: [row.plain for row in going.rows(width)] for width in range(20, 80)}
    assert texts[65] == ["… it goes well · best -30 at step 9 · figure ≥ -24.7 · Stop"]
    assert texts[50] == ["… it goes well · best -30 · figure ≥ -24.7", "→ Stop"]
    assert texts[40] == ["… it goes well · figure ≥ -24.7", "best -30 at step 9 · → Stop"]
    assert texts[30] == ["… it goes well", "best -30 · figure ≥ -24.7 · →…"]
    assert all(len(row) <= width for width, rows in texts.items() for row in rows)
    going = replace(going, advice="")
    assert [row.plain for row in going.rows(40)] == ["… it goes well · figure ≥ -24.7", "best -30 at step 9"]
    assert [row.plain for row in replace(going, best="", at="").rows(33)] == ["… it goes well · figure ≥ -24.7"]


def test_at_the_commonest_size_the_line_says_how_far_the_figure_is():
    going = Going(
        GOAL_LOOKS[1], "val elbo is 24.9 short of its figure, stated after 23,400 steps", "", "best -127.9",
        " at step 900", "figure ≥ -103")  # fmt: skip
    assert going.line(64).plain == "… val elbo is 24.9 short of its figure, stated … · figure ≥ -103"
    assert going.line(120).plain.endswith("23,400 steps · best -127.9 at step 900 · figure ≥ -103")


def test_marks_are_of_all_that_happened_and_the_most_telling_words_come_first(tmp_path):
    from tui_gen.view import RunView

    path = write_run(
        tmp_path / "run", events.Checkpoint(step=100, path="c", reason="every 100 steps"), events.Resume(step=100),
        events.Edit(step=100, key="lr", old=1, new=2), events.Alert(step=101, level="warning", what="spike"),
    )  # fmt: skip
    view = RunView.read(path)
    marks = marks_of(view)
    assert sorted(mark.kind for mark in marks) == ["alert", "checkpoint", "edit", "resume"]
    view.forks, view.children = [events.Fork(step=7, run="before")], [Child(path / "after", 9)]
    view.rollbacks = [events.Rollback(step=40, to=30, reason="NaN")]
    moment = view.resumes[0].t
    job = events.Host(host="node7", system="Slurm", job="7", id="7", restarts=2, t=moment)
    view.hosts = [events.Host(host="node1", t=moment - 9), job]
    remarks.note(path, "blurry", 50)
    more = {(mark.kind, mark.step): mark.text for mark in marks_of(view)}
    assert more["fork", 7] == "forked from before" and more["fork", 9] == "after was forked from here"
    assert more["resume", 100] == "training went on from here: Slurm job 7, restart 2, on node7"
    assert "NaN" in more["rollback", 30] and more["note", 50] == "blurry"
    assert noted(marks, 100, 5) == ["! 101 spike.", "Δ 100 lr: 1 → 2"]
    assert noted(marks[1:], 100, 5)[1] == "↻ 100 training went on from here"
    assert noted(marks, 90, 5) == []
