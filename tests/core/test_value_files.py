"""Files are whole or not there, and lines are read as far as they are whole."""

from __future__ import annotations

import hashlib
import json
import os

import pytest

from segkit.values.files import BLOCK, SCRAP, json_lines, sha256, write_file


def test_text_and_bytes_are_written_and_folders_made(tmp_path):
    path = tmp_path / "a" / "b" / "x.txt"
    assert write_file(path, "ä\n") == path
    assert path.read_bytes() == b"\xc3\xa4\n"
    assert write_file(str(path), b"\x00", sync=True).read_bytes() == b"\x00"
    assert [p.name for p in path.parent.iterdir()] == ["x.txt"]


@pytest.mark.parametrize("cut", ["write", "replace"])
def test_what_fails_leaves_the_old_file_and_no_scrap(tmp_path, monkeypatch, cut):
    path = write_file(tmp_path / "x.bin", b"old")
    if cut == "write":

        def no_space(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", no_space)
    else:
        (tmp_path / "x.bin").unlink()
        (tmp_path / "x.bin").mkdir()  # what a file cannot take the place of
        (tmp_path / "x.bin" / "mine").touch()
    with pytest.raises(OSError, match=r"No space|irectory|denied"):
        write_file(path, b"new", sync=True)
    assert [p.name for p in tmp_path.iterdir()] == ["x.bin"]
    assert path.is_dir() or path.read_bytes() == b"old"


def test_while_it_is_written_it_has_a_name_that_tells(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.extend(p.name for p in tmp_path.iterdir()))
    write_file(tmp_path / "x", b"1", sync=True)
    assert SCRAP.fullmatch(seen[0])
    assert seen[1:] == ["x"]  # when the folder is synced


@pytest.mark.parametrize("size", [0, 5, BLOCK, BLOCK + 1])
def test_hashes_are_hashlibs(tmp_path, size):
    content = bytes(i % 251 for i in range(size))
    path = write_file(tmp_path / "x", content)
    assert sha256(path) == hashlib.sha256(content).hexdigest()


def test_lines_that_are_cut_off_or_no_objects_are_left_out(tmp_path):
    path = tmp_path / "lines.jsonl"
    assert [*json_lines(path)] == []
    names = ["a", "line\u2028separator", "ä"]
    lines = [json.dumps({"name": name}, ensure_ascii=False) for name in names]
    deep = "[" * 100_000
    text = "\n".join([lines[0], "[1]", "7", "", deep, *lines[1:], lines[0][:-3]])
    path.write_bytes(text.encode() + b"\xff")
    assert [line["name"] for line in json_lines(path)] == names
