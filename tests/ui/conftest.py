"""A finished run to review, and its desk."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

sys.path.insert(0, str(Path(__file__).parent))

from segkit.cli.main import main

FLAGS = (
    *("--saliency", "none", "--prompt", "center", "--sam.model", "nano", "--quiet"),
    *("--device", "cpu"),
)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Twelve photos of 96x72 with a bright square each, off the centre; their truth beside them."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "truth").mkdir()
    for i in range(12):
        pixels = np.full((72, 96, 3), 60, np.uint8)
        pixels += np.random.default_rng(i).integers(0, 20, pixels.shape, np.uint8)
        y, x = 8 + 3 * i, 6 + 5 * i
        pixels[y : y + 24, x : x + 26] = (230, 200, 40)
        Picture.fromarray(pixels).save(folder / f"p{i:02}.png")
        truth = np.zeros((72, 96), np.uint8)
        truth[y : y + 24, x : x + 26] = 255
        Picture.fromarray(truth).save(folder / "truth" / f"p{i:02}.png")
    return folder


@pytest.fixture(scope="session")
def finished(photos, tmp_path_factory):
    """The folder of a run over them."""
    out = tmp_path_factory.mktemp("run") / "labels"
    with pytest.raises(SystemExit) as stop:
        main(["run", str(photos / "*.png"), *FLAGS, "-o", str(out)])
    assert not stop.value.code
    return out


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of it."""
    import shutil

    return Path(shutil.copytree(finished, tmp_path / "labels"))


@pytest.fixture
def desk(folder):
    """Its desk."""
    from segkit import Catalog
    from segkit_ui.review.desk import Desk

    desk = Desk(folder, Catalog(third_party=False))
    yield desk
    desk.corrector.close()
