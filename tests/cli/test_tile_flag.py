"""`--tile`: what it leaves of pictures that it does not cut, what is recorded, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

DEFAULT = ("--gradcam.target", "top:2")

TIMES = ("seconds", "source")


def lines(folder):
    """The lines of a run without what no two runs share."""
    told = [json.loads(text) for text in (folder / "results.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in told]


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for name in ("masks", "overlay")
        for path in sorted((folder / name).rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def wide(tmp_path) -> Path:
    """A photograph that takes several tiles of 128 pixels."""
    from skimage import data

    path = tmp_path / "wide.png"
    Picture.fromarray(data.astronaut()[:300:2, ::2]).save(path)
    return path


@pytest.mark.parametrize(
    "more",
    [
        ("--prompt", "topk+cascade", "--judge", "learned"),
        ("--segmenter", "sam-everything", "--sam-everything.points-per-side", "6"),
    ],
)
def test_a_picture_of_one_tile_is_as_without(segkit, photo, tmp_path, more):
    flags = (*more, *(() if "sam-everything" in more else DEFAULT))
    assert segkit("run", photo, *flags, "-o", "whole").code == 0
    assert segkit("run", photo, *flags, "--tile", "128", "-o", "tiles").code == 0
    assert lines(tmp_path / "whole") == lines(tmp_path / "tiles")
    assert files(tmp_path / "whole") == files(tmp_path / "tiles")
    assert len(files(tmp_path / "whole")) >= 2


def test_tiles_are_recorded_and_belong_to_a_run(segkit, wide, tmp_path):
    assert segkit("run", wide, "--tile", "128", "-o", "out").code == 0
    text = (tmp_path / "out" / "recipe.toml").read_text()
    assert "tile = 128" in text
    assert "overlap = 16" in text
    assert (
        segkit("run", wide, "--tile", "128", "--overlap", "16", "-o", "out", "--resume").code == 0
    )
    other = segkit("run", wide, "--tile", "100", "-o", "out", "--resume")
    assert other.code != 0
    assert "tile = '128, overlap 16', now it is '100, overlap 12'" in other.err
    again = segkit("run", wide, "--recipe", "out/recipe.toml", "-o", "again")
    assert again.code == 0
    assert lines(tmp_path / "out") == lines(tmp_path / "again")
    whole = ("--recipe", "out/recipe.toml", "--tile", "0", "-o", "whole")
    assert segkit("run", wide, *whole).code == 0
    assert "tile =" not in (tmp_path / "whole" / "recipe.toml").read_text().split("[[")[0]


def test_workers_cut_as_one_process_does(segkit, wide, photo, tmp_path):
    flags = ("--tile", "128", "--overlap", "32", "--prompt", "topk+cascade")
    assert segkit("run", wide, photo, *flags, "-o", "here").code == 0
    engine = ("--engine", "workers", "--workers", "1")
    assert segkit("run", wide, photo, *flags, *engine, "-o", "there").code == 0
    assert lines(tmp_path / "here") == lines(tmp_path / "there")
    assert files(tmp_path / "here") == files(tmp_path / "there")


def test_sweep_and_diagnose_take_tiles(segkit, tmp_path):
    data = ("--dataset", "shapes", "--shapes.count", "2", "--shapes.size", "96")
    data += ("--gradcam.model", "shapes")
    swept = segkit("sweep", *data, "--prompt", "topk,center", "--tile", "64", "-o", "swept")
    assert swept.code == 0
    for name in ("topk", "center"):
        recipe = (tmp_path / "swept" / "recipes" / name / "recipe.toml").read_text()
        assert "tile = 64" in recipe
    done = segkit("diagnose", *data, "--prompt", "topk", "--tile", "64", "-o", "diagnosed")
    assert done.code == 0


@pytest.mark.parametrize("name", ["gradcam", "eigencam", "objectness"])
def test_heat_of_a_photo_in_tiles(segkit, wide, name):
    from segkit import Pipeline

    with Pipeline(saliency=name, prompt="topk", segmenter="sam", tile=128, device="cpu") as tiles:
        result = tiles(wide)
    (heat,) = result.heatmaps
    assert heat.size == (150, 256)
    assert np.ptp(heat.values) > 0.5
    assert len(result.masks) == 1


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--tile", "9"), "Error: --tile should be 64 pixels or more, or 0 for whole images"),
        (("--tile", "64", "--overlap", "64"), "Error: --overlap should be from 0 to 32, half of"),
        (("--overlap", "64"), "Error: --overlap 64 says how far tiles overlap, and there are none"),
        (("--tile", "-1"), "Error: --tile should be 64 pixels or more, or 0 for whole images"),
        (("--tile", "64", "--overlap", "-1"), "Error: --overlap should be from 0 to 32, half of"),
        (("--tile", "wide"), "Invalid value for '--tile': 'wide' is not a valid integer."),
    ],
)
def test_bad_tiles_are_a_sentence(segkit, photo, flags, told):
    done = segkit("run", photo, *flags)
    assert done.code == 2
    assert told in done.err
    assert "Traceback" not in done.err


def test_a_recipes_bad_tile_is_a_sentence(segkit, photo, tmp_path):
    (tmp_path / "bad.toml").write_text("[run]\ntile = 1.5\n")
    done = segkit("run", photo, "--recipe", "bad.toml")
    assert done.code == 2
    assert "--recipe bad.toml: tile should be a whole number from 0, but is 1.5" in done.err
