"""The command line as a user meets it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image as Picture

from segkit.cli.main import main


@dataclass
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def segkit(capsys, monkeypatch, tmp_path):
    """Run `segkit ARGUMENTS` in an empty folder; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: str) -> Done:
        with pytest.raises(SystemExit) as stop:
            main([str(a) for a in arguments])
        printed = capsys.readouterr()
        return Done(int(stop.value.code or 0), printed.out, printed.err)

    return call


@pytest.fixture
def photo(tmp_path) -> Path:
    """A small photograph on disk."""
    from skimage import data

    path = tmp_path / "photo.jpg"
    Picture.fromarray(data.astronaut()[::4, ::4]).save(path, quality=92)
    return path
