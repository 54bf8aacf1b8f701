"""`segkit describe` as a user meets it."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image as Picture

SHAPES = ("--dataset", "scenes", "--scenes.count", "3", "--scenes.size", "64")


@pytest.fixture
def damaged(tmp_path):
    """Six photos with masks of cats (1) and dogs (2), of which three are spoilt."""
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    for i in range(6):
        Picture.new("RGB", (60, 40), (i * 20, 90, 40)).save(tmp_path / f"photos/p{i}.png")
        mask = np.zeros((40, 60), np.uint8)
        mask[5:15, 5:25] = 1 + i % 2
        mask[30:, 50:] = 255
        Picture.fromarray(mask[: 20 if i == 2 else 40]).save(tmp_path / f"masks/p{i}.png")
    (tmp_path / "photos/p3.png").write_bytes(b"no picture")
    (tmp_path / "masks/p4.png").unlink()
    return ("--dataset", "folder", "--folder.images", "photos", "--folder.masks", "masks")


def test_a_table_for_the_terminal(segkit):
    done = segkit("describe", *SHAPES)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("scenes: 3 images, all with truth\n")
    for text in ("class ", "background", "void", "objects an image", "instances of the truth"):
        assert text in done.out
    assert "no problem found" in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines())


def test_bad_files_are_problems_and_not_the_end(segkit, damaged):
    names = ("--folder.class-names", "cat", "--folder.class-names", "dog")
    done = segkit("describe", *damaged, *names)
    assert done.code == 1
    assert done.out.startswith("folder: 6 images, 3 with truth, 3 cannot be used\n")
    text = " ".join(done.out.split())
    for sentence in (
        "1 image cannot be read 'photos/p3.png' is not an image that can be read",
        "1 image of another size than the truth the mask 'masks/p2.png' is 60x20",
        "1 image without truth 'photos/p4.png' has no mask in 'masks'; add p4.png there",
    ):
        assert sentence in text
    assert all(len(line) <= 80 for line in done.out.splitlines())


def test_json_has_every_figure(segkit, damaged):
    done = segkit("describe", *damaged, "--json")
    told = json.loads(done.out)
    assert told["images"] == {"total": 6, "looked_at": 6, "usable": 3, "with_truth": 3}
    assert [(c["name"], c["images"], c["pixels"]) for c in told["classes"]] == [
        ("class 1", 1, 200),
        ("class 2", 2, 400),
    ]
    assert told["pixels"]["void_share"] == pytest.approx(100 / 2400)
    assert {p["image"]: p["problem"] for p in told["problems"]} == {
        "p2": "size",
        "p3": "unreadable",
        "p4": "no truth",
    }


def test_images_without_truth(segkit, photo):
    done = segkit("describe", photo)
    assert done.code == 0
    assert done.out.startswith("files: 1 image, none with truth\n")
    assert "class" not in done.out
    done = segkit("describe", "--samples.only", "cat", "--json")
    told = json.loads(done.out)
    assert (told["dataset"]["name"], told["sizes"]["width"]["max"]) == ("samples", 451)


def test_breeds_stand_beside_species(segkit, tmp_path):
    names = ("Bengal_7", "Bengal_8", "pug_1")
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations/trimaps").mkdir(parents=True)
    trimap = np.full((20, 30), 2, np.uint8)
    trimap[5:12, 5:12] = 1
    for name in names:
        Picture.new("RGB", (30, 20)).save(tmp_path / f"images/{name}.jpg")
        Picture.fromarray(trimap).save(tmp_path / f"annotations/trimaps/{name}.png")
    flags = ("describe", "--dataset", "pets", "--pets.root", ".", "--json")
    assert json.loads(segkit(*flags).out)["groups"] == {"breed": {"Bengal": 2, "pug": 1}}
    told = json.loads(segkit(*flags, "--pets.label", "breeds").out)
    assert told["groups"] == {"species": {"cat": 2, "dog": 1}}
    assert {c["name"]: c["images"] for c in told["classes"] if c["images"]} == {
        "Bengal": 2,
        "pug": 1,
    }


@pytest.mark.parametrize(
    ("output", "files"),
    [
        ("out", {"out/describe.html", "out/describe.json"}),
        ("deep/page.html", {"deep/page.html"}),
        ("figures.json", {"figures.json"}),
    ],
)
def test_what_is_written(segkit, tmp_path, output, files):
    done = segkit("describe", *SHAPES, "-o", output)
    assert done.code == 0
    there = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert there == files
    for file in files:
        assert f"written: {file}\n" in done.out
        text = (tmp_path / file).read_text(encoding="utf-8")
        assert (
            json.loads(text)["images"]["total"] == 3 if file.endswith("json") else "<html" in text
        )


def test_nothing_is_written_unasked(segkit, tmp_path):
    assert segkit("describe", *SHAPES, "--quiet").out == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("-o", "photo.jpg"), "-o photo.jpg is a file; name a folder, or a file that ends in "),
        (("-o", "photo.jpg/page.html"), "-o photo.jpg/page.html cannot be made: "),
        (("--topk.k", "3"), "--topk.k is an option of the prompt plugin 'topk', which is not "),
        (("--dataset", "scene"), "--dataset scene: no dataset plugin has that name; did you "),
        (("--dataset", "shapes"), "--dataset takes one data set; choose one"),
        (("--scenes.size", "3"), "Invalid value for --scenes.size: Input should be greater than"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(segkit, photo, flags, sentence):
    done = segkit("describe", *SHAPES, *flags)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"Error: {sentence}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written(segkit, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    done = segkit("describe", *SHAPES, "-o", "locked/page.html")
    assert done.code == 1
    assert done.out.startswith("scenes: 3 images")  # what was found out is told
    assert done.err == (
        "Error: -o locked/page.html cannot be written: Permission denied; choose another place\n"
    )


def test_a_full_disk_costs_the_page_and_not_the_table(segkit, monkeypatch):
    def full(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("segkit.reporting.templating.write_file", full)
    done = segkit("describe", *SHAPES, "-o", "page.html")
    assert done.code == 1
    assert done.out.startswith("scenes: 3 images")
    assert "written" not in done.out
    assert done.err == (
        "Error: -o page.html cannot be written: No space left on device; choose another place\n"
    )


def test_stopping_it_shows_what_was_seen(segkit, monkeypatch):
    from segkit_plugins.dataset.scenes import Scenes

    real = Scenes.__getitem__

    def stop(self, index):
        if index == 2:
            raise KeyboardInterrupt
        return real(self, index)

    monkeypatch.setattr(Scenes, "__getitem__", stop)
    done = segkit("describe", *SHAPES, "-o", "page.html")
    assert done.code == 130
    assert done.out.startswith("scenes: 3 images, of which 2 were looked at, 2 with truth\n")
    assert "written: page.html" in done.out
    assert done.err == "Stopped after 2 of 3 images\n"


@pytest.mark.parametrize("encoding", ["ascii", "utf-8:strict"])
def test_a_terminal_that_lacks_letters_gets_the_table(tmp_path, encoding):
    import subprocess
    import sys

    try:
        (tmp_path / os.fsdecode(b"torn\xff.png")).write_bytes(b"x")
    except (OSError, UnicodeError):
        pytest.skip("this file system takes no such names")
    done = subprocess.run(
        [sys.executable, "-m", "segkit.cli.main", "describe", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"torn?.png' is not an image that can be read" in done.stdout


def test_nothing_heavy_is_needed():
    """Neither torch nor a plugin of another kind is imported."""
    import subprocess
    import sys

    code = (
        "import sys\n"
        "sys.modules['torch'] = None  # importing it fails\n"
        "from segkit.cli.main import main\n"
        "try: main(['describe', '--dataset', 'scenes', '--scenes.count', '2', '--scenes.size', "
        "'32'])\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "assert 'segkit_plugins.segmenter' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("scenes: 2 images, all with truth")
