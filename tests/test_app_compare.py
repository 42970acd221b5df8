"""The Compare pane: several runs beside each other, by keys and by mouse."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from textual.app import ComposeResult

from tests import fake_worker
from tests.hosts import ThemedApp
from tests.painted import painted_text
from tests.plot_host import append, write_run, write_sample
from tests.shell import SIZES, until, until_shown, workbench
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import events
from tui_gen.app.panes.compare.asking import CompareAsked
from tui_gen.app.panes.compare.pane import ComparePane
from tui_gen.draw.terminal import Terminal

CATALOG = catalogs.read()


@pytest.fixture
def two_runs():
    """Two finished runs of a recipe, with other rates."""
    runs = [fake_worker.make_run(None, "vae-digits", f"train.phases.vae.lr={lr}") for lr in ("1e-3", "3e-4")]
    return [fake_worker.record(run) for run in runs]


class Host(ThemedApp):
    """The pane alone."""

    def __init__(self, root: Path, terminal: Terminal | None = None) -> None:
        super().__init__(terminal)
        self.pane = ComparePane(CATALOG, root, id="compare")

    def compose(self) -> ComposeResult:
        yield self.pane

    def text(self) -> str:
        return painted_text(self)


def run(root, name, *more, losses=(), **settings):
    """A run of the recipe vae-digits with these losses; its path."""
    path = write_run(root / f"20260101-0000-{name}", *more, losses=losses)
    tables = configs.override(
        CATALOG.recipes["vae-digits"].tables, [f"{key.replace('__', '.')}={value}" for key, value in settings.items()],
        CATALOG,
    )  # fmt: skip
    (path / "config.toml").write_text(configs.dumps(configs.load({**tables, "name": name}, CATALOG)))
    return path


def readings(app, plot=0):
    """What the legend of a plot says of each run."""
    return {one.name: None if one.absent else one.value for one in app.pane.plots[plot].drawing.frame.readings}


async def shows(app, pilot, paths):
    app.pane.compare(paths)
    app.pane.focus_inside()
    await until(pilot, lambda: not app.pane._reading and app.pane.plots[0].drawing, app.text)
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
async def test_every_page_says_what_there_is_at_every_size(tmp_path, size):
    losses = [5.0 - n / 100 for n in range(100)]
    paths = [run(tmp_path, "first", losses=losses), run(tmp_path, "second", losses=losses[:50], train__seed=7)]
    app = Host(tmp_path)
    async with app.run_test(size=SIZES[size]) as pilot:
        await shows(app, pilot, paths)
        assert all(words in app.text() for words in ("● A first", "■ B second", "vae/loss", "Curves"))
        await pilot.press("v", "v")
        await until(pilot, lambda: "train.seed" in app.text() and "0 °" in app.text(), app.text)
        assert "train.steps" not in app.text(), "that is the same"
        await pilot.press("v")
        await until(pilot, lambda: "4.01 at 100 ★" in app.text() and "4.51 at 50" in app.text(), app.text)
        await pilot.click(app.pane._tabs, offset=(2, 0))
        await until(pilot, lambda: "vae/loss  ●" in app.text(), app.text)


async def test_without_runs_to_compare_no_key_of_what_is_hidden_is_offered(tmp_path):
    app = Host(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.focus_inside()
        await until(pilot, lambda: app.focused is app.pane, app.text)
        assert "Nothing is compared." in app.text()
        ids = {key.binding.id for key in app.screen.active_bindings.values() if key.enabled and key.binding.show}
        assert not {id for id in ids if id and id.startswith(("compare.", "samples."))}


async def test_the_palette_and_the_list_of_runs_bring_runs_to_the_comparison(monkeypatch, two_runs):
    async with workbench(monkeypatch, (120, 40), open_run=two_runs[0]) as (app, pilot):
        pane = app.workspace.pane("compare")
        assert isinstance(pane, ComparePane)
        await until(pilot, lambda: pane.view is not None)
        next(entry for entry in pane.entries() if entry.name.startswith("Compare with: ")).call()
        await until(pilot, lambda: [run.path for run in pane.compared] == two_runs)
        assert pane.compared[0].view is pane.view, "what is read already is not read again"
        assert {"Compare: samples", "Compare: results"} <= {entry.name for entry in pane.entries()}
        app.workspace.pane("runs").post_message(CompareAsked(two_runs[::-1]))
        await until(pilot, lambda: [run.path for run in pane.compared] == two_runs[::-1])
        await until_shown(pilot, "A vae-digits", "B vae-digits", "vae/loss")
        assert app.workspace.active is pane and app.workspace.layout_name == "compare"


async def test_a_comparison_that_is_opened_with_the_workbench_has_the_keyboard(monkeypatch, two_runs):
    async with workbench(monkeypatch, (120, 40), compare=two_runs) as (app, pilot):
        await until_shown(pilot, "Compare · 2 runs")
        await until(pilot, lambda: app.focused is not None and not app.workspace.pane("models").display)
        assert app.workspace.active.id == "compare", "though what had it before is folded away"
        await pilot.press("v")
        await until(pilot, lambda: app.workspace.pane("compare").page == "samples")


async def test_runs_of_any_length_are_drawn_over_each_other_and_go_on(tmp_path):
    quality = events.Metrics(start=5, values={"vae/kl": [3.0]})
    paths = [
        run(tmp_path, "long", losses=[float(n) for n in range(100)]),
        run(tmp_path, "short", quality, losses=[5.0] * 9 + [math.nan] + [7.0] * 30),
        run(tmp_path, "none"),
    ]
    app = Host(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(app, pilot, paths)
        assert [panel.title for panel in app.pane.panels] == ["vae/loss", "vae/kl"]
        await until(pilot, lambda: "no values yet: C" in app.text() and "vae/kl (not in A, C)" in app.text(), app.text)
        await pilot.press("left_square_bracket", "left_square_bracket", "left_square_bracket", "home")
        assert readings(app) == {"A": 0.0, "B": 5.0} and "step 1" in app.text()
        await pilot.press("end")
        assert readings(app) == {"A": 99.0, "B": None}
        await until(pilot, lambda: "B –" in app.text(), app.text)
        append(paths[1], events.Metrics(start=40, values={"vae/loss": [8.0] * 60}))
        append(paths[2], events.Metrics(start=0, values={"vae/loss": [1.0] * 100}))
        app.pane.beat(0.0)
        await until(pilot, lambda: readings(app) == {"A": 99.0, "B": 8.0, "C": 1.0}, "live ones go on")
        colours = [app.pane.plots[0]._look(f"line.{slot}").color.triplet.hex for slot in range(3)]
        assert colours == [app.pane._colour(slot) for slot in range(3)], "the same wherever a run is named"


async def test_each_run_has_its_own_epochs_and_times_from_its_own_start(tmp_path):
    paths = []
    for name, epoch, seconds in (("fast", 10, 20.0), ("slow", 50, 200.0)):
        plan = events.Plan(steps=100, steps_per_epoch=epoch, batch_size=8)
        system = events.System(step=100, seconds=seconds, steps_per_second=1.0, images_per_second=1.0)
        paths.append(run(tmp_path, name, plan, system, losses=[float(n) for n in range(100)]))
    app = Host(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(app, pilot, paths)
        await pilot.press("e", "end")
        assert readings(app)["A"] == 99.0 and readings(app)["B"] is None
        await until(pilot, lambda: "epoch 10.00" in app.text(), app.text)
        await pilot.press("home", "ctrl+right")
        values = readings(app)
        assert values["A"] == pytest.approx(values["B"] / 5, abs=1), "an epoch of B has five times the steps"
        await pilot.press("e", "end")
        assert readings(app) == {"A": None, "B": 99.0}
        await until(pilot, lambda: "of training" in app.text(), app.text)
        await pilot.press("home", *["right"] * 5)
        values = readings(app)
        assert values["B"] == pytest.approx(values["A"] / 10, abs=1.1), "B takes ten times as long for a step"
        await pilot.press("L", "plus", "f", "a", "s", "w", "c", "enter", "escape")
        assert app.pane.plots[0].drawing.frame.readings


async def test_a_fork_shares_its_past_with_its_origin_which_is_drawn_once(tmp_path):
    values = [float(n) for n in range(100)]
    first = run(tmp_path, "first", losses=values)
    fork = tmp_path / "20260101-0000-fork"
    fork.mkdir()
    append(fork, events.Fork(run=first.name, step=60, start=50, changes={"train.phases.vae.lr": [1e-3, 1e-4]}))
    edit = events.Edit(step=60, key="train.phases.vae.lr", old=1e-3, new=1e-4)
    run(tmp_path, "fork", edit, losses=values[:60] + [500.0] * 60, train__phases__vae__lr="1e-4")
    app = Host(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(app, pilot, [fork, first])
        a, b = app.pane.compared
        assert (a.twin, a.begins, b.twin) == (b, 60, None)
        await until(pilot, lambda: "A parts from B at step 60" in app.text(), app.text)
        loss = app.pane.curves(app.pane.panels[0])
        assert loss["A"].steps[0] == 60 and len(loss["B"]) == 100, "it begins where the other one has come to"
        mark = next(mark for mark in app.pane.marks() if mark.kind == "fork")
        assert (mark.step, mark.text) == (60, "A: parts from B: train.phases.vae.lr: 0.001 → 0.0001")
        assert [mark.kind for mark in app.pane.marks()] == ["fork"]
        await pilot.press("e", "v", "v")
        await until(pilot, lambda: "train.phases.vae.lr" in app.text() and "train.steps" not in app.text(), app.text)


def beside(app):
    """What stands beside each other: the titles of the pictures."""
    return [subject.title for subject in app.pane._samples.picture._subjects]


def previews(root, name, steps, kind="samples"):
    return [write_sample(root / f"20260101-0000-{name}", step, kind) for step in steps]


async def test_samples_stand_side_by_side_at_an_equal_step_or_time(tmp_path):
    paths = []
    for name, steps, seconds in (("a", (0, 50, 100), 10.0), ("b", (0, 100), 100.0), ("c", (60,), 20.0)):
        system = events.System(step=100, seconds=seconds, steps_per_second=1.0, images_per_second=1.0)
        paths.append(run(tmp_path, name, system, *previews(tmp_path, name, steps), losses=[1.0] * 101))
    paths.append(run(tmp_path, "d", *previews(tmp_path, "d", (100,), "digits"), losses=[1.0]))
    app = Host(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(app, pilot, paths)
        await pilot.press("v")
        await until(pilot, lambda: beside(app) == ["A step 100 · a", "B step 100 · b", "C step 60 · c"], app.text)
        await until(pilot, lambda: all(title in app.text() for title in beside(app)), app.text)
        assert "no such previews: D" in app.text()
        await pilot.press("left", "left")
        await until(pilot, lambda: beside(app) == ["A step 50 · a", "B step 0 · b"], app.text)
        await until(pilot, lambda: "not yet: C" in app.text(), app.text)
        await pilot.press("enter", "down")
        tiles = [subject.tile for subject in app.pane._samples.picture._subjects]
        assert tiles == [1, 1]
        await pilot.press("escape", "e", "e", "home", "right", "right")
        assert app.pane.over.axis(app.pane.looking.x_axis) == "time"
        assert beside(app) == ["A step 100 · a", "B step 0 · b"], "after ten seconds B has not come far"
        await pilot.press("t")
        await until(pilot, lambda: "at what time" in app.text(), app.text)
        await pilot.press("e", "e")
        await until(pilot, lambda: beside(app) == ["D step 100 · d"], app.text)
        await pilot.press("T", "p")
        assert app.pane._samples._timer is not None and beside(app)[0] == "A step 0 · a", "from the first on"
        await pilot.press("p", "end")
        assert app.pane._samples._timer is None
        before = beside(app)
        app.pane._samples.on_timeline_scrubbed(app.pane._samples._timeline.Scrubbed(0))
        await until(pilot, lambda: beside(app) != before, app.text)


async def test_texts_stand_side_by_side_too(tmp_path):
    paths = []
    for name in ("first", "second"):
        path = tmp_path / f"20260101-0000-{name}" / "samples"
        path.mkdir(parents=True)
        (path / "000010-text.txt").write_text(f"what {name} wrote\n")
        sample = events.Sample(step=10, path="samples/000010-text.txt", kind="text", columns=1, rows=1, tile=(1, 1))
        paths.append(run(tmp_path, name, sample, losses=[1.0] * 20))
    app = Host(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(app, pilot, paths)
        await pilot.press("v")
        await until(pilot, lambda: "what first wrote" in app.text() and "what second wrote" in app.text(), app.text)
        await until(
            pilot, lambda: any("first wrote" in line and "second wrote" in line for line in app.text().split("\n")),
            app.text,
        )  # fmt: skip
        assert "A step 10 · first" in app.text()
        (paths[0] / "samples" / "000010-text.txt").unlink()
        (paths[0] / "samples" / "000010-text.txt").symlink_to("/etc/hostname")
        (paths[1] / "samples" / "000010-text.txt").unlink()
        await pilot.press("v", "V")
        await until(pilot, lambda: "B: No such file" in app.text(), app.text)
        await until(pilot, lambda: "A: it lies outside the run's folder" in app.text(), app.text)


@pytest.mark.parametrize(("colours", "light", "said"), [
    (True, False, {"generated", "real"}), (False, False, {"% generated", ": real"}),
    (False, True, {". generated", "# real"}),
])  # fmt: skip
def test_what_the_colours_of_a_plot_mean_is_said_without_colours_too(tmp_path, colours, light, said):
    from tui_gen.app.panes.samples.imaging import PictureRequest, Subject, make
    from tui_gen.pictures import Tiles

    tiles = Tiles(legend=(("#dddddd", "generated"), ("#444444", "real")), axes=(("x", 0.0, 1.0),))
    sample = write_sample(tmp_path, 0, grid=(1, 1), tile=64)
    subject = Subject(str(tmp_path / sample.path), (1, 1), tiles=tiles)
    reply = make(PictureRequest((subject,), 80, 30, "", cell=(8, 16), colours=colours, light=light))
    assert said < {text for _, _, text, _ in reply.words}, reply.words


@pytest.mark.parametrize(("count", "columns", "rows"), [(3, 120, 20), (5, 60, 40), (12, 78, 18), (7, 200, 12)])
def test_any_number_of_pictures_has_places_of_their_own(tmp_path, count, columns, rows):
    from tui_gen.app.panes.samples.imaging import PictureRequest, Subject, make

    subjects = []
    for number in range(count):
        sample = write_sample(tmp_path, number, grid=(3, 2))
        subjects.append(
            Subject(str(tmp_path / sample.path), (3, 2), title=f"R{number:02} {'long ' * 50}", colour="#ff0000")
        )
    reply = make(PictureRequest(tuple(subjects), columns, rows, "kitty", cell=(8, 16)))
    assert not reply.error and len(reply.pieces) == count
    titles = sorted(text for _, _, text, _ in reply.words)
    assert [title[:3] for title in titles] == [f"R{number:02}" for number in range(count)]
    assert all(title.endswith("…") for title in titles), "it is seen that they go on"
    assert {colour for *_, colour in reply.words} == {"#ff0000"}
    taken = set()
    for _, (x, y, wide, high) in reply.pieces:
        cells = {(across, down) for across in range(x, x + wide) for down in range(y, y + high)}
        assert not cells & taken and x + wide <= columns and y + high <= rows
        taken |= cells
    assert not taken & {(x, y) for x, y, *_ in reply.words}
