"""The training stream: order, augmentation, exact continuation, reading ahead."""

import numpy as np
import pytest
import torch

from tests.known import dataset
from tui_gen.train.data import Augmentation, Mapped, Resident, Stream, load, sources
from tui_gen.train.data import stream as streams
from tui_gen.train.data.augment import Augment

CPU = torch.device("cpu")


def stream_of(source, config=None, batch_size=16, seed=0, value_range="unit"):
    changed = (config or dataset()).augmentation
    return Stream(source, changed, batch_size=batch_size, seed=seed, value_range=value_range, device=CPU)


def numbered(count, size=4):
    """Images that all differ, labelled by their position."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 1, size, size), dtype=torch.uint8, generator=generator)
    return Resident(images, torch.arange(count), CPU)


def take(stream, steps):
    got = [stream.next() for _ in range(steps)]
    return torch.stack([x for x, _ in got]), None if got[0][1] is None else torch.stack([labels for _, labels in got])


CONFIGS = {
    "digits": dataset(name="digits"),
    "digits, flipped": dataset(name="digits", flip=True),
    "digits, flipped and shifted": dataset(name="digits", flip=True, shift=2),
    "digits, all": dataset(name="digits", flip=True, shift=1, rotate=20),
    "shapes": dataset(name="shapes", size=8),
    "shapes, all": dataset(name="shapes", size=8, flip=True, shift=1, rotate=20),
    "shapes, limited": dataset(name="shapes", size=8, limit=100, shift=1),
    "ring": dataset(name="ring"),
    "swiss-roll": dataset(name="swiss-roll"),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("stop", [0, 3, 37])
def test_continuing_is_exact_in_the_middle_of_an_epoch_and_across_its_end(config, stop):
    source = load(config, CPU, seed=5).train
    straight = stream_of(source, config, batch_size=48, seed=5, value_range="signed")
    take(straight, stop) if stop else None
    state = straight.state_dict()
    wanted, wanted_labels = take(straight, 40)
    fresh = load(config, CPU, seed=5).train
    resumed = stream_of(fresh, config, batch_size=48, seed=5, value_range="signed")
    take(resumed, 2)
    resumed.load_state_dict(state)
    got, labels = take(resumed, 40)
    assert torch.equal(got, wanted)
    assert labels is wanted_labels is None or torch.equal(labels, wanted_labels)
    assert resumed.state_dict() == straight.state_dict()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_taking_several_batches_at_a_time_changes_none_of_them(config, monkeypatch):
    source = load(config, CPU, seed=5).train
    together = stream_of(source, config, batch_size=24, seed=5)
    wanted, wanted_labels = take(together, 200)
    monkeypatch.setattr(streams, "BLOCK_BATCHES", 1)
    singly = stream_of(load(config, CPU, seed=5).train, config, batch_size=24, seed=5)
    got, labels = take(singly, 200)
    assert torch.equal(got, wanted)
    assert labels is wanted_labels is None or torch.equal(labels, wanted_labels)
    assert singly.state_dict() == together.state_dict()


def test_a_small_source_is_asked_rarely(monkeypatch):
    source = numbered(320)
    asked = []
    plain = source.take
    monkeypatch.setattr(source, "take", lambda indices: asked.append(len(indices)) or plain(indices))
    stream = stream_of(source)
    asked.clear()
    take(stream, 30)
    assert asked == [256, 64, 256]  # 16 batches of 16, the rest of the epoch, and 16 of the next


def test_the_state_survives_a_weights_only_checkpoint(tmp_path):
    stream = stream_of(numbered(64))
    take(stream, 3)
    torch.save(stream.state_dict(), tmp_path / "state.pt")
    again = stream_of(numbered(64))
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(again.next()[0], stream.next()[0])


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_seeds_decide_the_batches_and_the_global_generator_does_not(config):
    source = load(config, CPU, seed=5).train
    torch.manual_seed(1)
    first = take(stream_of(source, config, seed=5), 4)[0]
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(take(stream_of(source, config, seed=5), 4)[0], first)
    assert torch.equal(torch.get_rng_state(), before)
    other = load(config, CPU, seed=6).train
    assert not torch.equal(take(stream_of(other, config, seed=6), 4)[0], first)


def test_an_epoch_shows_every_example_once_and_the_next_in_another_order():
    stream = stream_of(numbered(64))
    assert stream.steps_per_epoch == 4
    epochs = [take(stream, 4)[1].flatten().tolist() for _ in range(3)]
    assert all(sorted(epoch) == list(range(64)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert (stream.epoch, stream.cursor) == (2, 4)


def test_images_and_labels_stay_together():
    source = numbered(64)
    x, labels = take(stream_of(source), 4)
    assert torch.equal(x.flatten(0, 1), source.examples[labels.flatten()].float() / 255)


def test_the_last_incomplete_batch_is_dropped():
    stream = stream_of(numbered(50))
    assert stream.steps_per_epoch == 3
    labels = take(stream, 3)[1].flatten().tolist()
    assert len(set(labels)) == 48


@pytest.mark.parametrize("count", [1, 5, 15])
def test_a_batch_larger_than_the_data_repeats_it(count):
    stream = stream_of(numbered(count))
    assert stream.steps_per_epoch == 1
    for _ in range(3):
        x, labels = stream.next()
        assert len(x) == 16
        counts = torch.bincount(labels, minlength=count)
        assert counts.min() >= 16 // count and counts.max() <= -(-16 // count)
    assert stream.epoch == 2


def test_an_endless_epoch_is_sixty_thousand_examples_and_never_repeats():
    source = load(dataset(name="ring"), CPU, seed=0).train
    stream = stream_of(source, batch_size=6000)
    assert stream.steps_per_epoch == 10
    points = take(stream, 25)[0].flatten(0, 1)
    assert (stream.epoch, stream.cursor) == (2, 5)
    assert len(points.unique(dim=0)) > 0.999 * len(points)


def test_values_are_in_the_range_asked_for():
    source = numbered(64)
    unit, signed = (take(stream_of(source, value_range=value_range), 4)[0] for value_range in ("unit", "signed"))
    assert unit.dtype == torch.float32 and unit.min() >= 0 and unit.max() <= 1
    assert torch.allclose(signed, 2 * unit - 1, atol=1e-6) and signed.min() < -0.9


def augment(raw, step=0, **settings):
    wanted = dataset(**{"name": "digits", **settings}).augmentation
    return Augment(wanted, seed=0, batch_size=len(raw), device=CPU)(raw, step)


def pictures(count=200, size=8, channels=1):
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8, generator=generator)


def test_flip_mirrors_about_half():
    raw = pictures(channels=3)
    done = augment(raw, flip=True)
    mirrored = (done == raw.flip(3)).flatten(1).all(1)
    assert (mirrored | (done == raw).flatten(1).all(1)).all()
    assert 60 < mirrored.sum() < 140


def test_shift_moves_by_whole_pixels_over_black():
    raw = torch.zeros(400, 1, 9, 9, dtype=torch.uint8)
    raw[:, :, 4, 4] = 255
    done = augment(raw, shift=2)
    assert (done.sum((1, 2, 3)) == 255).all()
    places = done.flatten(1).argmax(1)
    offsets = set(zip((places // 9 - 4).tolist(), (places % 9 - 4).tolist()))
    assert offsets == {(down, right) for down in range(-2, 3) for right in range(-2, 3)}
    edge = torch.full((50, 1, 6, 6), 9, dtype=torch.uint8)
    assert (augment(edge, shift=1) == 0).any()


def test_photographs_are_mirrored_at_the_edge_instead():
    flat = torch.full((50, 3, 6, 6), 9, dtype=torch.uint8)
    assert (augment(flat, name="shapes", shift=3) == 9).all()
    assert (augment(flat, name="shapes", shift=2, rotate=90) == 9).all()


def test_shift_goes_beyond_the_image_without_harm():
    assert augment(pictures(), name="shapes", shift=7).shape == (200, 1, 8, 8)


@pytest.mark.parametrize("name", ["digits", "shapes"])
def test_turning_by_nothing_agrees_with_moving(name):
    raw = pictures()
    moved = augment(raw, name=name, flip=True, shift=2)
    turned = augment(raw, name=name, flip=True, shift=2, rotate=1e-6)
    assert not torch.equal(moved, raw)
    assert (moved.int() - turned.int()).abs().max() <= 1


def test_rotation_turns_about_the_middle_by_up_to_the_angle():
    raw = torch.zeros(300, 1, 31, 31, dtype=torch.uint8)
    raw[:, :, 15, 15:28] = 255
    done = augment(raw, rotate=30).float().squeeze(1)
    assert (done[:, 15, 15] > 100).all()
    place = torch.arange(31.0) - 15
    mass = done.sum((1, 2))
    x, y = (done * place).sum((1, 2)) / mass, (done * place[:, None]).sum((1, 2)) / mass
    angles = torch.rad2deg(torch.atan2(y, x))
    assert angles.abs().max() <= 32 and angles.max() > 20 and angles.min() < -20


def test_augmentation_differs_between_steps_and_repeats_for_the_same_step():
    raw = pictures()
    one = Augment(Augmentation(flip=True, shift=2), seed=0, batch_size=200, device=CPU)
    early, late, block = one(raw, 3), one(raw, 4), one(raw, 100)
    assert not torch.equal(early, late) and not torch.equal(early, block)
    assert torch.equal(one(raw, 3), early)


def test_reading_ahead_gives_the_same_batches_as_holding_everything(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (70, 3, 4, 4), dtype=np.uint8)
    np.save(tmp_path / "pixels.npy", images)
    pixels = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    rows, labels = torch.arange(0, 70, 2), torch.arange(70)
    mapped = Mapped(pixels, rows, labels, CPU)
    resident = Resident(torch.from_numpy(images[::2]), labels[::2], CPU)
    config = dataset(name="shapes", shift=1)
    streams = [stream_of(source, config, batch_size=8) for source in (mapped, resident)]
    got = [take(stream, 11) for stream in streams]
    assert torch.equal(got[0][0], got[1][0]) and torch.equal(got[0][1], got[1][1])
    state = streams[0].state_dict()
    assert state == streams[1].state_dict()
    wanted = take(streams[0], 6)[0]
    resumed = stream_of(mapped, config, batch_size=8)
    take(resumed, 1)
    resumed.load_state_dict(state)
    assert torch.equal(take(resumed, 6)[0], wanted)


def test_big_arrays_stay_on_the_disk(tmp_path, monkeypatch):
    np.save(tmp_path / "pixels.npy", np.zeros((10, 1, 4, 4), dtype=np.uint8))
    pixels = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    for free, kind in ((641, Resident), (639, Mapped)):
        monkeypatch.setattr(sources, "free_memory", lambda device, free=free: free)
        assert isinstance(sources.from_pixels(pixels, torch.arange(10), None, CPU), kind)
    monkeypatch.undo()
    assert sources.free_memory(CPU) > 1 << 20
