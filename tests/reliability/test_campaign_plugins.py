"""Plugins that break their contract: a sentence each, and no finished image lost."""

from __future__ import annotations

import os

import pytest
from campaign import PATIENCE, scaled
from hostile_plugins import OF_ALL, OF_ONE_IMAGE
from runs import lines

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork"),
]

FLAGS = (
    *("--plugin", "hostile.py", "--dataset", "pictures", "--segmenter", "half"),
    *("--metric", "figures", "--write", "notes", "-o", "out"),
)

JUDGED = ("no quality", "a quality beyond 1")

EVERY_IMAGE = (*JUDGED, "a picture of another name")
"""What goes wrong with each image."""


def test_hostile_plugins(tmp_path, forks, tally):
    cases = [*OF_ONE_IMAGE.items(), *OF_ALL.items()]
    step = max(1, len(cases) // scaled(len(cases)))
    for number, (what, pieces) in enumerate(cases[::step]):
        folder = tmp_path / f"case-{number}"
        folder.mkdir()
        (folder / "hostile.py").write_text(pieces.code())
        (folder / "victim.txt").write_text("mine")
        judge = ("--judge", "opinion") if what in JUDGED else ()
        done = forks(["run", *FLAGS, *judge], folder, PATIENCE)
        tally.attacks += 1
        tally.look(done, what)
        said = done.out + done.err
        if "\x1b" in said:
            tally.add("executed", f"{what}: the terminal gets {said!r}"[:400])
        victim = folder / "victim.txt"
        if not victim.is_file() or victim.read_text() != "mine":
            tally.add("lost", f"{what}: a file that is not the run's")
        if what in OF_ONE_IMAGE:
            look_at_lines(folder / "out", what, tally)
    tally.check()


def look_at_lines(out, what, tally):
    """All images have a line, and those that nothing was done to are finished."""
    found = {line["name"]: line for line in lines(out)}
    tally.add("doubled", what, len(lines(out)) - len(found))
    expected = {"a", "b", "c"}
    tally.add("lost", f"{what}: no line of {expected - found.keys()}", len(expected - found.keys()))
    if what not in EVERY_IMAGE:
        for name in ("b", "c"):
            error = found.get(name, {}).get("error")
            tally.add("lost", f"{what}: {name} fails too: {error}", error is not None)
    for line in found.values():
        if line["error"] is not None and "\n" in line["error"]:
            tally.add("tracebacks", f"{what}: {line['error'][:300]}")
