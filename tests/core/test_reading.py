"""Only ordinary files are read, and only so much of them."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from segkit import BadImageError, Recipe, UsageError, read_image
from segkit.values.files import sha256
from segkit.values.reading import (
    check_file,
    parsed_json,
    parsed_toml,
    read_bytes,
    read_text,
)

unix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")


@pytest.fixture
def pipe(tmp_path):
    """A pipe that nobody writes to: whoever opens it waits for ever."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@unix
@pytest.mark.parametrize("read", [check_file, read_bytes, read_text, sha256])
def test_what_never_answers_or_never_ends_is_refused(pipe, tmp_path, read, monkeypatch):
    with pytest.raises(OSError, match="it is a pipe, not a file"):
        read(pipe)
    with pytest.raises(OSError, match="it is a device, not a file"):
        read(Path("/dev/zero"))
    link = tmp_path / "link"
    link.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="it is a device, not a file"):
        read(link)
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(OSError, match="it is a socket, not a file"):
            read(Path("socket"))
    with pytest.raises(IsADirectoryError):
        read(tmp_path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "gone")
    with pytest.raises(OSError, match="its name holds a zero byte"):
        read(Path("a\0b"))


@unix
def test_an_image_that_is_none_is_a_sentence(pipe):
    with pytest.raises(BadImageError, match="it is a pipe, not a file"):
        read_image(pipe)
    with pytest.raises(BadImageError, match="it is a device, not a file"):
        read_image("/dev/zero")


def test_no_more_is_read_than_asked_for(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(3 << 20)  # holes: takes no room on the disk
    assert len(read_bytes(path, most=3 << 20)) == 3 << 20
    with pytest.raises(OSError, match="it has more than 2 MiB"):
        read_bytes(path, most=2 << 20)


def test_text_has_newlines_alone_and_no_mark(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_text(path) == "a\nb\nc\n"


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000 + "]" * 100_000,
        "a = " + "{b = " * 5000 + "1" + "}" * 5000,
        "a." * 200_000 + "b = 1",
        "[" + "a." * 200_000 + "b]",
        "x = {" + "a." * 200_000 + "b = 1}",
    ],
)
def test_toml_without_end_of_depth_is_a_sentence_at_once(text, tmp_path):
    with pytest.raises(ValueError, match="nested too deeply"):
        parsed_toml(text)
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    sentence = re.escape(f"--recipe {path} is not a TOML file: it is nested too deeply")
    with pytest.raises(UsageError, match=f"^{sentence}$"):
        Recipe.load(path)


def test_a_recipe_has_a_size_that_can_be(tmp_path):
    path = tmp_path / "recipe.toml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UsageError, match="could not be read: it has more than 16 MiB"):
        Recipe.load(path)
    path.write_text("seed = " + "9" * 5000)
    with pytest.raises(UsageError, match="is not a TOML file: "):
        Recipe.load(path)


def test_json_without_end_of_depth_is_a_value_error():
    with pytest.raises(ValueError, match="nested too deeply"):
        parsed_json("[" * 200_000 + "]" * 200_000)
