"""Files of a finished run that are lost, empty, torn or zeroed: `--resume` makes them again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from campaign import PATIENCE, photos, run_of, scaled
from runs import check_kept, compare, contents

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork"),
]

IMAGES = 12


def gone(path: Path) -> None:
    """It is not there."""
    path.unlink()


def empty(path: Path) -> None:
    """It has no content."""
    path.write_bytes(b"")


def torn(path: Path) -> None:
    """Its second half is missing."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zeroed(path: Path) -> None:
    """It has its size, but zeros, as after a power cut."""
    path.write_bytes(bytes(path.stat().st_size))


def foreign(path: Path) -> None:
    """Lines of something else stand in it."""
    lines = b'{"name": "cow", "status": "ok"}\n[1]\n"x"\n{"name": ["a"], "files": 7}\n\xff\xfe\n'
    path.write_bytes(lines + path.read_bytes())


DAMAGE: tuple[Callable[[Path], None], ...] = (gone, empty, torn, zeroed)

OWN = ("recipe.toml", "segkit-run.jsonl")
"""Without these nobody can tell what the folder is: they are asked for, and nothing is touched."""

HAND_MADE = {torn}
"""What may be a person's correction of a text, so that it stays."""


@pytest.fixture(scope="module")
def finished(forks, tmp_path_factory):
    """(folder, words, contents) of a run that has finished."""
    folder = tmp_path_factory.mktemp("damage")
    data = photos(folder, IMAGES)
    done = forks(run_of(data, folder / "whole"), folder, PATIENCE)
    assert done.code == 0, done.err
    return folder, data, contents(folder / "whole")


def kinds_of_files(out: Path) -> list[str]:
    """One file of each kind: of each folder and suffix the first that is not empty."""
    first: dict[tuple[Path, str], str] = {}
    files = (p for p in sorted(out.rglob("*")) if p.is_file() and p.stat().st_size)
    for path in files:
        name = path.relative_to(out)
        shared = len(name.parts) == 1 or path.name in ("annotations.json", "classes.json")
        key = (name if shared else name.parent, path.suffix)
        first.setdefault(key, name.as_posix())
    return list(first.values())


def test_damaged_files(finished, forks, tally):
    folder, data, whole = finished
    out = folder / "whole"
    kept = folder / "kept"
    shutil.copytree(out, kept)
    attacks = [(name, damage) for name in kinds_of_files(out) for damage in DAMAGE]
    attacks.append(("results.jsonl", foreign))
    for name, damage in attacks[:: max(1, len(attacks) // scaled(len(attacks)))]:
        if name.endswith(".txt") and damage in HAND_MADE:
            continue
        what = f"{name} {damage.__name__}"
        damage(out / name)
        done = forks(run_of(data, out, "--resume"), folder, PATIENCE)
        tally.attacks += 1
        tally.look(done, what)
        if name in OWN and done.code == 2:
            shutil.copy(kept / name, out / name)  # as the sentence asks
            done = forks(run_of(data, out, "--resume"), folder, PATIENCE)
        if done.code:
            tally.add("unequal", f"{what} cannot be gone on with: {done.err[-300:]}")
        check_kept(out, tally, what)
        compare(out, whole, tally, what)
        if contents(out) != whole:  # so that the next one is told from this one
            shutil.rmtree(out)
            shutil.copytree(kept, out)
    tally.check()
