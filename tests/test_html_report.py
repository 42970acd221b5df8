"""The HTML report: it needs no other file, tells what the run has, and gives away nobody and nothing."""

from __future__ import annotations

import base64
import io
import re
import socket
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from tests import fake_worker, hostile
from tui_gen import events, remarks, usage
from tui_gen.draw.series import Series
from tui_gen.history import provenance
from tui_gen.log.event_log import EventWriter
from tui_gen.report.exports import Order, form_of, html, save
from tui_gen.report.page import previews
from tui_gen.report.page.discretion import Discretion
from tui_gen.report.page.document import document
from tui_gen.report.page.plots import HEIGHT, in_buckets, plot
from tui_gen.verdicts.panels import panels_of
from tui_gen.view import RunView

FORM = form_of("html")


class Page(HTMLParser):
    """What a browser finds in a page: its texts by element, its pictures, and everything that it would ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: dict[str, list[str]] = {}
        self.pictures: list[tuple[np.ndarray, str]] = []
        self.asked: list[str] = []
        self.tags: list[str] = []
        self.named: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in ("meta", "img", "input", "br"):
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.named += [(name, value or "") for name, value in attrs]
        values = dict(attrs)
        if tag == "img":
            kind, data = values["src"].split(",", 1)
            assert kind == "data:image/png;base64"
            self.pictures.append((np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), values["alt"]))
        elif "src" in values or "href" in values:
            self.asked.append(values.get("src") or values["href"])

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open:
            self.words.setdefault(self._open[-1], []).append(data)

    def text(self, *tags: str) -> str:
        return "\n".join(part for tag in tags or self.words for part in self.words.get(tag, []))


def exported(run: Path, target: Path) -> tuple[RunView, Page, str]:
    order = Order(run, html.Options())
    save(FORM, order, str(target), force=True)
    text = target.read_text(encoding="utf-8")
    return order.view, Page(text), text


def log_more(run: Path, *more: events.Event) -> None:
    writer = EventWriter(run / "events.jsonl")
    writer.write(*more)
    writer.close()


def test_a_report_has_what_the_run_has(tmp_path):
    run = fake_worker.record(fake_worker.make_run(tmp_path, "vae-digits", "model.latent=8"), steps=400, samples=4)
    log_more(
        run,
        events.Metrics(start=399, values={"val/vae/elbo": [-25.0], "vae/elbo": [-24.0]}),
        events.Edit(step=120, key="train.phases.vae.lr", old=1e-3, new=5e-4),
        events.Alert(step=200, level="warning", what="loss spiked", where="vae", advice="Lower the learning rate."),
        events.Resume(step=400),
        events.State(state="finished", step=400),
    )
    view, page, text = exported(run, tmp_path / "r.html")
    assert page.words["h1"] == ["vae-digits"] and "finished" in page.text("dd")
    titles = [word for word in page.words["h3"] if "/" in word]
    assert titles[0] == "vae/elbo" and set(titles) == {"vae/elbo", "vae/loss", "vae/kl"}
    assert "figure ≥ " in page.text("text")  # what its recipe should reach, across the plot
    rows = page.text("td", "code")
    assert all(word in rows for word in ("model.latent", "train.phases.vae.lr", "5e-4", "loss spiked", "Lower the"))
    assert page.text("title").count("train.phases.vae.lr: 0.001 → 0.0005") >= 2  # a mark on every plot
    assert "went on from here" in page.text("title") and "checkpoint" in page.text("title")
    assert len(page.pictures) == len(view.samples) == 5
    for sample, (pixels, alt) in zip(view.samples, page.pictures):
        assert np.array_equal(pixels, np.asarray(Image.open(run / sample.path)))
        assert alt.startswith(f"samples at step {sample.step:,}")
    assert all(href.startswith("#") for href in page.asked) and len(page.asked) >= 4
    assert all(f'id="{href[1:]}"' in text for href in page.asked)
    assert not {"script", "link", "iframe"} & set(page.tags) and "url(" not in text and "@import" not in text
    assert ("content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in page.named


def test_a_report_tells_what_people_keep_about_a_run_and_where_its_code_came_from(tmp_path):
    run = fake_worker.record(fake_worker.make_run(tmp_path), steps=60)
    remarks.rename(run, "the good one")
    remarks.star(run, True)
    remarks.tag(run, ["paper", "best"], [])
    remarks.note(run, "digits begin to look like digits", step=20)
    remarks.note(run, "keep this")
    code = provenance.Provenance(1.8e9, "9.8.7", f"{Path.home()}/work")
    code.work = provenance.Repository(f"{Path.home()}/work", "0123456789abcdef", "main", dirty=True)
    (run / provenance.FILE).write_bytes(msgspec.json.encode(code))
    log_more(
        run,
        events.Rollback(step=60, to=40, reason="loss spiked", factor=0.5),
        events.State(state="finished", step=60),
    )
    child = fake_worker.make_run(tmp_path)
    log_more(child, events.Fork(run=run.name, step=40))
    page = Page(document(RunView.read(run)))
    assert page.words["h1"] == ["the good one ★"] and page.words["title"][0].startswith("the good one")
    facts = page.text("dd", "td")
    told = ("paper, best", "0123456789 on main, changed", "tui-gen 9.8.7", "at step 20", "on the run", "keep this")
    assert [word for word in told if word not in facts] == []
    marks = page.text("title")
    assert "digits begin" in marks and "loss spiked" in marks and f"{child.name} was forked from here" in marks
    assert str(Path.home()) not in page.text()


def test_texts_of_a_run_are_only_words(tmp_path):
    name = "<script>alert(1)</script>\"'&<img src=http://example.org/x>\x1b[31m"
    run = hostile.make_run(tmp_path)
    config = (run / "config.toml").read_text(encoding="utf-8").replace("[model]", "[x]", 1)
    (run / "config.toml").write_text(f"{config}\n[model]\nname = '''{name[:-5]}'''\n", encoding="utf-8")
    log_more(run, events.Note(text=name), events.Edit(step=2, key=name, old=name, new=[name]))
    for personal in (False, True):
        text = document(RunView.read(run), personal=personal)
        page = Page(text)
        assert "script" not in page.tags and "<script>alert(1)</script>" in page.text("pre")
        assert not [value for name, value in page.named if name.startswith("on")]
        assert all(href.startswith("#") for href in page.asked)
        assert not hostile.found_in(text.replace("\n", ""))
        reader = html.HtmlReader()
        reader.feed(text)
        assert (reader.problem, reader.open) == ("", [])


@pytest.mark.parametrize(
    "bad,why",
    [
        ('<img alt="" src="http://example.org/a.png">', "loads"),
        ("<script>1</script>", "script"),
        ('<p onclick="x()">a</p>', "onclick"),
        ('<p style="background: URL(x)">a</p>', "style"),
        ("<style>@import 'a'</style>", "style sheet"),
        ("<p>", "closes nothing"),
        ("<h1>again</h1>", "not one page"),
    ],
)
def test_a_page_that_is_not_as_it_should_be_is_found_out(bad, why, tmp_path):
    good = "<html><body><h1>a</h1>{}</body></html>"
    path = tmp_path / "a.html"
    path.write_text(good.format(""))
    html.check(Order(tmp_path), path)
    path.write_text(good.format(bad))
    with pytest.raises(ValueError, match=why):
        html.check(Order(tmp_path), path)


def test_nobody_is_given_away_unless_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/data/people/annika")
    monkeypatch.setenv("USER", "annika")
    monkeypatch.setenv("LOGNAME", "annika")
    root = "dataset.root=/data/people/annika/mnist"
    run = fake_worker.record(fake_worker.make_run(tmp_path, "vae-digits", "dataset.name=mnist", root), steps=60)
    load = usage.Load(host="wombat7.example.org", cpus=8.0, total=64_000_000_000)
    log_more(
        run,
        events.Usage(step=60, spent=usage.Spent(seconds=1.0, steps=60), load=load),
        events.Note(text="cannot write /home/bert/x/events.jsonl on wombat7; ask annika", level="warning"),
        events.Alert(step=3, level="warning", what="lost C:\\Users\\carla\\mnist and /scratch/annika/tmp", advice=""),
        events.State(state="failed", step=60, reason="nothing heard from wombat7.example.org"),
    )
    secret = re.compile(rf"annika|bert|carla|wombat7|{re.escape(socket.gethostname())}")
    open_words, text = (Page(document(RunView.read(run), personal=told)).text() for told in (True, False))
    assert len(set(secret.findall(open_words))) >= 4 and not secret.findall(text)
    assert "~/mnist" in text and "~/x/events.jsonl on (host); ask (user)" in text and "8" in text
    assert Discretion().words("/home/bert/x, /homeless/bert and homer") == "~/x, /homeless/bert and homer"


def test_of_every_bucket_the_extremes_are_drawn():
    """A lone spike is as high in a plot of 100,000 steps as it was, and gaps stay gaps."""
    values = np.sin(np.arange(100_000) / 3000)
    values[51_234], values[77_000], values[20_000:30_000] = 1.9, -1.7, np.nan
    curve = Series("", np.arange(100_000.0), values, dtype=np.float32)
    buckets = in_buckets(curve, 0, 99_999, 450)
    assert not buckets.whole and len(buckets.x) == 450
    assert np.nanmax(buckets.high) == np.float32(1.9) and np.nanmin(buckets.low) == np.float32(-1.7)
    assert 43 <= np.isnan(buckets.mean).sum() <= 46
    drawn = plot(panels_of(["a/loss"])[0], {"a/loss": curve}, (0, 99_999), [], [], 450, 0)
    band = re.search(r'd="([^"]*)" class="line c0 faint"', drawn)[1]
    heights = [float(point.split(",")[1]) for point in re.findall(r"[ML]([^ML]+)", band)]
    room = HEIGHT * 0.05 / 1.1
    assert min(heights) == pytest.approx(room, abs=0.1) and max(heights) == pytest.approx(HEIGHT - room, abs=0.1)
    assert band.count("M") == 2
    short = in_buckets(Series("", [1, 5, 9], [1.0, np.nan, 2.0]), 0, 10, 450)
    assert short.whole and short.x.tolist() == [1, 5, 9] and np.isnan(short.low[1])


def noisy(run: Path, count: int, side: int) -> list[events.Sample]:
    dice, found = np.random.default_rng(0), []
    for number in range(count):
        path = f"samples/{number:06d}.png"
        Image.fromarray(dice.integers(0, 256, (side, side), np.uint8)).save(run / path)
        found.append(events.Sample(step=number, path=path, tile=(side, side)))
    return found


def test_pictures_stay_within_a_bound_and_the_report_says_what_was_done(tmp_path):
    run = fake_worker.make_run(tmp_path)
    log_more(run, *noisy(run, 6, 200), events.State(state="finished", step=6))
    view = RunView.read(run)
    for budget, count in ((1_000_000, 6), (150_000, 6), (30_000, 2)):
        text = document(view, budget=budget)
        assert sum(map(len, re.findall(r"base64,([^\"]*)", text))) <= budget
        page = Page(text)
        steps = [alt for _, alt in page.pictures]
        assert (steps[0], len(steps)) == ("samples at step 0", count)
        note = page.text("p")
        assert ("made smaller" in note) == (budget < 1_000_000) and ("2 of 6 previews" in note) == (count == 2)
        if budget == 1_000_000:
            assert np.array_equal(page.pictures[5][0], np.asarray(Image.open(run / "samples/000005.png")))
    many = [events.Sample(step=step, path="samples/000001.png") for step in range(950)]
    chosen = [sample.step for sample in previews.spread(many, 100)]
    assert len(set(chosen)) == 100 and (chosen[0], chosen[-1]) == (0, 949) and max(np.diff(chosen)) <= 10


def test_a_run_with_nothing_in_it_has_a_report_too(tmp_path):
    run = fake_worker.make_run(tmp_path)
    for state in ("empty", "no config", "gone pictures"):
        if state == "no config":
            (run / "config.toml").write_text("not = [toml")
        elif state == "gone pictures":
            log_more(run, events.Sample(step=1, path="samples/9.png"), events.Sample(step=1, path="samples/9.txt"))
        _, page, _ = exported(run, tmp_path / "e.html")
        assert "Nothing was measured." in page.text("p") and not page.pictures
