"""A disk that fills up at ten moments of a run: a sentence, and on with it when there is room."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from campaign import PATIENCE, photos, run_of, scaled
from runs import check_kept, compare, contents, lines

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork"),
]

IMAGES = 12

LEVELS = 10


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs to mount a tmpfs: there is no command mount")
    if mounted.returncode:
        pytest.skip(f"needs to mount a tmpfs, and may not: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


def fill(disk, free: int) -> None:
    """Leave so many bytes."""
    there = os.statvfs(disk)
    size = there.f_bavail * there.f_frsize - free
    with (disk / "filler").open("wb") as file:
        file.write(bytes(max(size, 0)))


def test_full_disk(tmp_path, disk, forks, tally):
    data = photos(tmp_path, IMAGES)
    done = forks(run_of(data, tmp_path / "whole"), tmp_path, PATIENCE)
    assert done.code == 0, done.err
    whole = contents(tmp_path / "whole")
    there = os.statvfs(disk).f_bavail
    forks(run_of(data, disk / "out"), tmp_path, PATIENCE)
    need = (there - os.statvfs(disk).f_bavail) * os.statvfs(disk).f_frsize
    shutil.rmtree(disk / "out")
    for level in range(0, LEVELS, LEVELS // scaled(LEVELS)):
        out = disk / f"out-{level}"
        fill(disk, need * level // LEVELS)
        what = f"room for {level} of {LEVELS}"
        left = forks(run_of(data, out), tmp_path, PATIENCE)
        tally.attacks += 1
        tally.look(left, what)
        if not left.code:
            missing = IMAGES - len(lines(out))
            tally.add("lost", f"{what}: it ends as if all were well", missing)
        kept = check_kept(out, tally, what) if out.exists() else set()
        (disk / "filler").unlink()
        done = forks(run_of(data, out, "--resume"), tmp_path, PATIENCE)
        tally.look(done, f"{what}, gone on with", (0,))
        now = {line["name"] for line in lines(out)}
        tally.add("lost", f"{what}: {kept - now}", len(kept - now))
        compare(out, whole, tally, what)
        shutil.rmtree(out)
    tally.check()
