"""What is made of files is made once, until a file changes, and is never wrong because it was kept."""

import datetime
import os
import shutil

import pytest

from tui_gen import catalog, derived
from tui_gen.places import cache_dir, config_dir


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """A file long unchanged, how often something was made of it, and what makes and keeps that."""
    monkeypatch.setattr(derived, "YOUNG", -1.0)  # nothing is too young
    file, made = tmp_path / "file", []
    file.write_text("one")

    def read(kind=str, make=None):
        return derived.kept("words", [file], kind, lambda: made.append(1) or (make or file.read_text)())

    return file, made, read


def test_made_again_only_where_the_file_is_another(counted):
    file, made, read = counted
    assert [read(), read()] == ["one", "one"] and len(made) == 1
    file.write_text("two")
    assert [read(), read()] == ["two", "two"] and len(made) == 2
    then = file.stat()
    aside = file.with_name("aside")
    aside.write_text("six")
    os.utime(aside, ns=(then.st_atime_ns, then.st_mtime_ns))
    os.replace(aside, file)  # as long, and with the times of the one before
    assert read() == "six"
    file.unlink()
    assert read(make=lambda: "none") == "none"


def test_what_is_damaged_or_does_not_come_back_the_same_is_made_again(counted):
    _, _, read = counted
    read()
    place = cache_dir() / "derived" / "words.msgpack"
    for damage in (b"", b"\xc1", place.read_bytes()[:-1], b"\x92\xa1k\x01"):
        place.write_bytes(damage)
        assert read() == "one"
    place.unlink()
    day = {"day": datetime.date(2026, 1, 1)}
    assert [read(dict, lambda: day), read(dict, lambda: day)] == [day, day] and not place.exists()
    shutil.rmtree(place.parent)
    place.parent.write_text("no folder")
    assert read() == "one"


def test_a_file_that_has_just_changed_is_not_relied_on(counted, monkeypatch):
    _, made, read = counted
    monkeypatch.setattr(derived, "YOUNG", 3600.0)
    assert [read(), read()] == ["one", "one"] and len(made) == 2


def test_a_recipe_that_was_changed_is_read_again(monkeypatch):
    monkeypatch.setattr(derived, "YOUNG", -1.0)
    folder = config_dir() / "recipes"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text('[model]\nname = "vae"\n')
    (folder / "broken.toml").write_text("[model\n")
    for _ in range(2):
        recipes, wrong = catalog.recipes()
        assert recipes["mine"].model == "vae" and "vae-digits" in recipes
        assert len(wrong) == 1 and "broken.toml" in wrong[0]
    (folder / "mine.toml").write_text('[model]\nname = "gan"\n')
    (folder / "broken.toml").unlink()
    recipes, wrong = catalog.recipes()
    assert recipes["mine"].model == "gan" and not wrong
