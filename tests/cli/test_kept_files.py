"""What a user has made stays, and what is said instead of harming it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image as Picture
from reading import labels, results, summary

from segkit import SegkitWarning

LIGHT = ("--gradcam.model", "shapes", "--segmenter", "threshold", "--write", "masks")


@pytest.fixture
def project(tmp_path):
    """Photos, masks drawn by hand, and a recipe that was saved beside them."""
    rng = np.random.default_rng(0)
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b", "c"):
        pixels = rng.integers(0, 255, (40, 48, 3), np.uint8)
        Picture.fromarray(pixels).save(tmp_path / f"photos/{name}.png")
        mask = np.zeros((40, 48), np.uint8)
        mask[10:30, 10:30] = 255
        Picture.fromarray(mask).save(tmp_path / f"masks/{name}.png")
    return tmp_path


def drawn(project):
    return {p.name: p.read_bytes() for p in (project / "masks").iterdir()}


@pytest.mark.parametrize("command", ["run", "sweep", "diagnose", "robustness"])
@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--overwrite",), "--overwrite: . holds files, but no run of segkit; choose another"),
        (("--resume",), "--resume: . holds files, but no run of segkit; choose another folder"),
        (
            ("--files.masks", "masks", "--resume"),
            "-o .: --files.masks masks lies in that folder, so the run could write over it; choose",
        ),
        (("-o", "masks", "--overwrite"), "masks holds files, but no run of segkit"),
    ],
    ids=["overwrite", "resume", "truth", "into the truth"],
)
def test_masks_drawn_by_hand_stay(segkit, project, command, flags, sentence):
    if command == "diagnose" and "--files.masks" not in flags:
        flags = ("--files.masks", "masks", *flags)
        sentence = "lies in that folder" if "-o" not in flags else "so the run could write over"
    segment = ("--segmenter", "sam") if command == "diagnose" else LIGHT
    saved = segkit("run", "photos", *LIGHT, "--save", "recipe.toml", "--dry-run")
    assert saved.code == 0
    before = drawn(project)
    out = () if "-o" in flags else ("-o", ".")
    done = segkit(command, "photos", *segment, *out, *flags)
    assert done.code == 2
    assert sentence in done.err.replace("\n", " ")
    assert "Traceback" not in done.err
    assert drawn(project) == before


def test_a_run_goes_on_with_the_same_photos(segkit, project):
    assert segkit("run", "photos", *LIGHT, "-o", "out").code == 0
    photos = project / "photos"
    Picture.open(photos / "b.png").save(photos / "a.bmp")  # sorts before a.png
    Picture.new("RGB", (30, 20), "red").save(photos / "b.png")
    (photos / "c.png").unlink()
    with pytest.warns(SegkitWarning) as told:  # the command line prints them
        done = segkit("run", "photos", *LIGHT, "-o", "out", "--resume")
    assert done.code == 0, done.err
    assert [str(one.message) for one in told] == [
        "1 image (b) has changed and is done again",
        "1 image (c) is gone and leaves the results",
        "what was made of images that are gone or have changed is in out/earlier",
    ]
    files = {"a": "a.png", "b": "b.png", "a-2": "a.bmp"}
    found = {line["name"]: line["source"]["path"] for line in results(project / "out")}
    assert found == {name: str(photos / file) for name, file in files.items()}
    assert summary(project / "out")["images"] == 3
    shapes = {p.name: labels(p).shape for p in (project / "out/masks").iterdir()}
    assert shapes == {"a.png": (40, 48), "a-2.png": (40, 48), "b.png": (20, 30)}


def test_starting_again_leaves_what_was_added(segkit, project):
    assert segkit("run", "photos", *LIGHT, "--write", "voc", "-o", "out").code == 0
    mine = project / "out/masks/mine.png"
    shutil.copy(project / "masks/a.png", mine)
    assert segkit("run", "photos", *LIGHT, "-o", "out", "--overwrite").code == 0
    assert mine.read_bytes() == (project / "masks/a.png").read_bytes()
    assert not (project / "out/voc").exists()


def test_a_run_of_chosen_writers_that_an_earlier_segkit_began_goes_on(segkit, project):
    assert segkit("run", "photos", *LIGHT, "-o", "out").code == 0
    recipe = project / "out/recipe.toml"
    tables = recipe.read_text().split("\n\n")
    kept = [table for table in tables if 'name = "overlay"' not in table or "[record]" in table]
    assert len(kept) == len(tables) - 1
    recipe.write_text("\n\n".join(kept))  # --write replaced the default writers then
    Picture.new("RGB", (30, 20), "red").save(project / "photos/d.png")
    done = segkit("run", "photos", *LIGHT, "-o", "out", "--resume")
    assert done.code == 0, done.err
    assert (project / "out/overlay/d.jpg").exists()
    done = segkit("run", "photos", *LIGHT, "--write", "voc", "-o", "out", "--resume")
    assert done.code == 2
    assert done.err.startswith("Error: --resume: out was run with --write masks,overlay, now it is")
