"""Films of a run's previews: every frame, every grey and every moment is there when they are read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import fake_worker
from tui_gen import events, runs
from tui_gen.log.event_log import EventWriter
from tui_gen.pictures import Tiles
from tui_gen.report import film
from tui_gen.report.exports import Order, chosen, form_of, save

FORMATS = {"gif": "GIF", "apng": "PNG"}


def shades(seed: int, height: int = 9, width: int = 9, colours: bool = False) -> np.ndarray:
    dice = np.random.default_rng(seed)
    return dice.integers(0, 256, (height, width, 3) if colours else (height, width), np.uint8)


def run_of(root: Path, pictures: list[np.ndarray], kind: str = "samples", **grid: object) -> Path:
    run = fake_worker.make_run(root)
    writer = EventWriter(run / "events.jsonl")
    for number, pixels in enumerate(pictures):
        path = f"samples/{number:06d}.png"
        Image.fromarray(pixels).save(run / path)
        writer.write(events.Sample(step=1000 * number, path=path, kind=kind, tile=pixels.shape[:2], **grid))
    writer.close()
    return run


def filmed(run: Path, form: str, target: Path, **options: object) -> list[tuple[np.ndarray, float]]:
    """The frames as Pillow reads them: pixels, and milliseconds."""
    texts = {name: str(value).lower() for name, value in options.items()}
    save(form_of(form), Order(run, chosen(form_of(form), texts)), str(target), force=True)
    found = []
    with Image.open(target, formats=[FORMATS[form]]) as image:
        assert image.info.get("loop", 0) == 0
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            found.append((np.asarray(image.convert("RGB")), image.info.get("duration", 0.0)))
    return found


@pytest.mark.parametrize("form", FORMATS)
def test_every_grey_of_every_preview_is_in_the_film(form, tmp_path):
    pictures = [shades(seed) for seed in range(6)]
    pictures[0][:] = np.arange(81).reshape(9, 9) * 3
    run = run_of(tmp_path, pictures)
    frames = filmed(run, form, tmp_path / "a", zoom=3, caption=False)
    assert len(frames) == 6
    for pixels, (read, _) in zip(pictures, frames):
        assert np.array_equal(read, np.repeat(pixels.repeat(3, 0).repeat(3, 1)[..., None], 3, 2))
    told = filmed(run, form, tmp_path / "b", zoom=3)
    heights = {read.shape for read, _ in told}
    assert len(heights) == 1 and heights.pop()[0] == 27 + film.ROOM
    for pixels, (read, _) in zip(pictures, told):
        assert np.array_equal(read[:27, :27, 0], pixels.repeat(3, 0).repeat(3, 1))
        assert read[27:].max() > 100  # the step
    assert len({read[27:].tobytes() for read, _ in told}) == 6


@pytest.mark.parametrize(
    "form,fps,length", [("gif", 30, 200), ("gif", 12.5, 480), ("apng", 30, 200), ("apng", 3, 2000)]
)
def test_a_film_is_as_long_as_its_frames_a_second_say(form, fps, length, tmp_path):
    """GIF has hundredths of a second: 33 ms are 30 and 40 in turn, and never 30 each time."""
    run = run_of(tmp_path, [shades(seed) for seed in range(6)])
    times = [milliseconds for _, milliseconds in filmed(run, form, tmp_path / "a", fps=fps, hold=1.5)]
    assert sum(times) == pytest.approx(length + 1500, abs=5 if form == "gif" else 1) and times[-1] >= 1500
    assert max(times[:-1]) - min(times[:-1]) <= (10 if form == "gif" else 1)


@pytest.mark.parametrize("form", FORMATS)
def test_previews_that_are_alike_are_one_frame_that_stays_longer(form, tmp_path):
    one, other = shades(1), shades(2)
    run = run_of(tmp_path, [one, one, other, other, other, one])
    frames = filmed(run, form, tmp_path / "a", caption=False, fps=10, hold=0, zoom=1)
    assert [time for _, time in frames] == [200, 300, 100]
    still = run_of(tmp_path / "still", [one] * 4)
    assert len(filmed(still, form, tmp_path / "b", caption=False)) == 1
    assert len(filmed(still, form, tmp_path / "c")) == 4  # their steps differ


def test_colours_are_kept_by_apng_and_reduced_by_gif_which_says_so(tmp_path):
    run = run_of(tmp_path, [shades(seed, 20, 20, colours=True) for seed in range(3)] + [shades(9, 20, 20)])
    frames = filmed(run, "apng", tmp_path / "a", caption=False, zoom=1)
    assert all(np.array_equal(read, shades(seed, 20, 20, True)) for seed, (read, _) in enumerate(frames[:3]))
    assert np.array_equal(frames[3][0][..., 0], shades(9, 20, 20))
    told: list[events.Event] = []
    form = form_of("gif")
    save(form, Order(run, form.options(), told.append), str(tmp_path / "b"))
    assert any("256 colours" in event.text for event in told)


def test_a_kind_a_tile_and_a_number_of_frames_are_chosen(tmp_path):
    grids = [shades(seed, 2 * 5 + 1, 3 * 4 + 2) for seed in range(9)]
    run = run_of(tmp_path, grids, kind="trajectory", columns=3, rows=2, gap=1)
    writer = EventWriter(run / "events.jsonl")
    for number in range(9):
        grid = {"columns": 3, "rows": 2, "tile": (5, 4), "gap": 1, "tiles": Tiles(count=5)}
        writer.write(events.Sample(step=1000 * number, path=f"samples/{number:06d}.png", kind="grid", **grid))
    (run / "samples" / "words.txt").write_text("words")
    writer.write(events.Sample(step=9, path="samples/words.txt", kind="texts"))
    writer.write(events.Sample(step=99_000, path="samples/gone.png", kind="grid"))
    writer.close()
    frames = filmed(run, "gif", tmp_path / "a", kind="grid", tile=5, most=4, caption=False, zoom=1)
    wanted = [grids[number][6:11, 5:9] for number in (0, 3, 6)]
    assert len(frames) == 3 and all(np.array_equal(read[..., 0], cut) for cut, (read, _) in zip(wanted, frames))
    for options, words in (
        ({"kind": "grid", "tile": 6}, "has 5 tiles: there is no tile 6"),
        ({"kind": "nothing"}, "no previews of kind 'nothing'; it has trajectory, grid"),
        ({"kind": "texts"}, "are texts"),
        ({"fps": 51}, "--fps"),
        ({"zoom": 32, "most": 9}, None),
    ):
        if words is None:
            filmed(run, "gif", tmp_path / "b", **options)
            continue
        with pytest.raises(runs.RunError, match=words):
            filmed(run, "gif", tmp_path / "b", **options)


def test_a_film_with_a_frame_too_few_is_found_out(tmp_path):
    pictures = [shades(seed) for seed in range(3)]
    images = [Image.fromarray(pixels) for pixels in pictures]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:2], duration=100, loop=0)
    with pytest.raises(ValueError, match="2 frames instead of 3"):
        film.check_film(tmp_path / "a.gif", "GIF", images, [100] * 3)
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=[images[1], images[0]], duration=100, loop=0)
    with pytest.raises(ValueError, match="frame 3 has other pixels"):
        film.check_film(tmp_path / "a.gif", "GIF", images, [100] * 3)
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=33, loop=0)
    with pytest.raises(ValueError, match="stays 30"):
        film.check_film(tmp_path / "a.gif", "GIF", images, [33] * 3)


def test_a_run_without_pictures_says_so(tmp_path):
    run = fake_worker.make_run(tmp_path)
    with pytest.raises(runs.RunError, match="has no previews"):
        filmed(run, "gif", tmp_path / "a")
    assert not (tmp_path / "a").exists()
