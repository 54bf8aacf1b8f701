"""Files from elsewhere: each is read or told, none is run, and none makes a command wait."""

from __future__ import annotations

import os
import shutil

import pytest
from campaign import PATIENCE, STEPS, scaled
from hostile_files import MARKER, PLACES, cases, put

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork"),
]

REFUSED = {"a list of files", "a recipe"}
"""Places whose file is all that there is to work on, so that nothing can be done without it."""


@pytest.fixture(scope="module")
def finished(forks, tmp_path_factory):
    """A folder with a finished run in it, and the photo that it was made of."""
    folder = tmp_path_factory.mktemp("finished")
    words = ["run", "--samples.only", "coffee", *STEPS, "--write", "masks", "-o", "run"]
    done = forks(words, folder, PATIENCE)
    assert done.code == 0, done.err
    return folder


def test_hostile_files(tmp_path, forks, finished, tally):
    marker = tmp_path / MARKER
    for number, (place, kind) in enumerate(cases(scaled(84))):
        folder = tmp_path / f"case-{number}"
        shutil.copytree(finished, folder)
        name, words = PLACES[place]
        if place == "a mask":
            shutil.copy(folder / "run/masks/coffee.png", folder / "coffee.png")
        put(folder / name, kind, marker)
        what = f"{place}: {kind}"
        done = forks(words(name), folder, PATIENCE)
        tally.attacks += 1
        tally.look(done, what)
        if marker.exists():
            tally.add("executed", what)
            marker.unlink()
        if place in REFUSED and done.code == 0:
            tally.add("tracebacks", f"{what} is taken for one: {done.out[-300:]}")
        shutil.rmtree(folder)
    tally.check()
