"""A plugin of a file, photos on disk, and a bench over them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playground_plugin import PLUGIN

from segkit import Catalog, Recipe, write_png


@pytest.fixture(scope="module")
def plugin(tmp_path_factory) -> Path:
    """A single file with a third party's prompter."""
    path = tmp_path_factory.mktemp("plugin") / "mine.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Two photos; one has a name that a page must escape."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name, side in (("disc", 120), ("a<b>&{{7}}", 90)):
        y, x = np.mgrid[:side, : side + 40]
        inside = (x - side / 2) ** 2 + (y - side / 2) ** 2 < (side / 4) ** 2
        pixels = rng.integers(90, 130, (side, side + 40, 3))
        pixels[inside] = (220, 60, 40)
        write_png(folder / f"{name}.png", pixels.astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def session(photos, plugin):
    """Trials over the photos, whose models stay open from test to test."""
    from segkit.running.interactive import Interactive

    catalog = Catalog(third_party=False, files=(plugin,))
    with Interactive(catalog, Recipe().dataset(catalog, [str(photos)])) as session:
        yield session


@pytest.fixture
def bench_of(session):
    """Makes a bench over the photos, which starts from a recipe."""
    from segkit_ui.playground.bench import Bench
    from segkit_ui.playground.form import Bounds
    from segkit_ui.playground.photos import Photos

    def made(recipe: Recipe | None = None, *, files: bool = True) -> Bench:
        return Bench(session, Photos(session.dataset), Bounds(recipe or Recipe(), files=files))

    return made
