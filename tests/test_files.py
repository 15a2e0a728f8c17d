"""Files are written whole or not at all, never through a link, and never over what somebody wants to keep."""

import json
import os

import pytest

from ganzoo import GanzooError, files


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_what_is_written_is_there_whole_and_may_be_read_as_other_files_may(tmp_path):
    files.write_json(tmp_path / "new" / "folder" / "facts.json", {"a": [1, None]})
    file = tmp_path / "new" / "folder" / "facts.json"
    assert json.loads(file.read_text()) == {"a": [1, None]}
    (tmp_path / "plain").touch()
    assert file.stat().st_mode == (tmp_path / "plain").stat().st_mode
    with files.atomic(file) as beside:
        beside.unlink()
        beside.write_text("by a library with a mind of its own")
        beside.chmod(0o600)
    assert file.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert content(file.parent) == {"facts.json": "by a library with a mind of its own"}


def test_what_fails_leaves_what_was_there(tmp_path):
    files.write_text(tmp_path / "kept.txt", "old")
    with pytest.raises(KeyboardInterrupt), files.atomic(tmp_path / "kept.txt") as beside:
        beside.write_text("half")
        raise KeyboardInterrupt
    assert content(tmp_path) == {"kept.txt": "old"}


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for name in ("facts.json", ".facts.json", "log.jsonl"):
        (tmp_path / name).symlink_to(tmp_path / "mine.txt")
    files.write_json(tmp_path / "facts.json", 1)
    assert not (tmp_path / "facts.json").is_symlink()
    with pytest.raises(GanzooError, match=r"log\.jsonl cannot be written"):
        files.append_line(tmp_path / "log.jsonl", "theirs")
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_names_beside_differ(tmp_path):
    with files.atomic(tmp_path / "a.png") as one, files.atomic(tmp_path / "a.png") as other:
        assert one != other and {one.suffix, one.parent} == {".png", tmp_path}
        one.write_text("one")
        other.write_text("other")
    assert content(tmp_path) == {"a.png": "one"}


def test_lines_are_added(tmp_path):
    for line in ("first", "second"):
        files.append_line(tmp_path / "log.txt", line)
    assert (tmp_path / "log.txt").read_text() == "first\nsecond\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_only_a_full_disk_is_told_to_need_room(tmp_path):
    space = pytest.raises(GanzooError, match=r"a cannot be written \(No space left on device\)\. Make room there")
    with space, files.atomic(tmp_path / "a"), open("/dev/full", "w") as full:
        full.write("much")
    (tmp_path / "file").touch()
    with pytest.raises(GanzooError) as refused:
        files.write_text(tmp_path / "file" / "a", "text")
    assert "cannot be written" in str(refused.value) and "room" not in str(refused.value)


def test_what_is_there_is_refused(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "empty").mkdir()
    for name in ("empty", "none"):
        files.refuse_existing(tmp_path / name)
    for name in ("file", "full"):
        with pytest.raises(GanzooError, match=f"{name} exists and is not overwritten"):
            files.refuse_existing(tmp_path / name)
