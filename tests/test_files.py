"""Files that are whole or not there."""

import errno
import os

import pytest

from tui_gen.files import written_whole


def test_a_file_that_cannot_be_written_to_its_end_leaves_what_was_there(tmp_path):
    for name, before in (("new", None), ("old", "before")):
        path = tmp_path / name
        if before is not None:
            path.write_text(before)
        with pytest.raises(OSError, match="No space"), written_whole(path) as aside:
            aside.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")
        assert [one.name for one in tmp_path.iterdir()] == ([name] if before else [])
        assert before is None or path.read_text() == before


def test_a_whole_one_takes_its_place_where_a_link_leads_and_devices_are_written_as_they_are(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for text in ("first", "second"):
        with written_whole(tmp_path / "link") as aside:
            aside.write_text(text)
        assert (tmp_path / "file").read_text() == text and (tmp_path / "link").is_symlink()
    with written_whole(os.devnull) as aside:
        assert str(aside) == os.devnull
    with written_whole(tmp_path / "no" / "file") as aside:
        assert aside == tmp_path / "no" / "file"
