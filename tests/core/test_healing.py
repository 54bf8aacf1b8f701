"""A finished image whose files are lost is done again, and the run ends as if nothing had been."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from folder_toys import Light, contents, files, lines, photographs

from segkit import Image, Labels, Segmenter, Writer, plan, run
from segkit.comparing.damaged_run import examine_plans
from segkit.running.options import RunOptions
from segkit.values.intact import is_intact
from segkit_plugins.perturbation.gaussian_blur import GaussianBlur
from segkit_plugins.writer.coco import Coco
from segkit_plugins.writer.labelme import Labelme
from segkit_plugins.writer.masks import MaskFiles
from segkit_plugins.writer.overlay import Overlay
from segkit_plugins.writer.supervision import Supervision
from segkit_plugins.writer.voc import Voc
from segkit_plugins.writer.yolo import Yolo

NAMES = ("a", "b", "c")

WRITERS: dict[str, type[Writer]] = {
    w.name: w for w in (MaskFiles, Overlay, Coco, Voc, Yolo, Labelme, Supervision)
}

DONE_AGAIN = "is done again, for a file that was written of it is missing or cannot be read"


class Dated(Segmenter):
    """What is bright, by a name that the data set lacks; it counts how often it is asked."""

    name = "dated"

    def __call__(self, image: Image) -> Labels:
        _asked.append(image.name)
        return Labels((image.pixels[..., 0] > 100).astype("int32"), {1: f"light of {image.name}"})


_asked: list[str] = []


def gone(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def torn(path):
    path.write_bytes(path.read_bytes()[: max(path.stat().st_size // 2, 1)])


def zeroed(path):
    path.write_bytes(bytes(path.stat().st_size))


DAMAGE = [gone, empty, torn, zeroed]


def finished(tmp_path, *writers: type[Writer], out="out"):
    photos = tmp_path / "photos"
    if not photos.exists():
        photographs(photos, *NAMES)
    made = plan([files(photos), Dated(), *(writer() for writer in writers)])
    _asked.clear()
    run({"run": made}, tmp_path / out, resume=True)
    return tmp_path / out


def without_times(found):
    """The files of a run but for what differs between two equal ones."""
    kept = dict(found)
    for name in ("results.jsonl", "summary.json", "segkit-run.jsonl", "recipe.toml"):
        kept.pop(name, None)
    return kept


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda f: f.__name__)
@pytest.mark.parametrize("writer", WRITERS)
def test_an_image_is_done_again(tmp_path, writer, damage):
    pytest.importorskip("pycocotools")
    out = finished(tmp_path, WRITERS[writer])
    before = without_times(contents(out))
    assert _asked == [*NAMES]
    for name in lines(out)["b"]["files"]:
        if name.endswith(".txt") and damage is torn:
            continue  # half a list is a list: somebody may have shortened it
        damage(out / name)
        with pytest.warns(UserWarning, match=re.escape(f"1 image (b) {DONE_AGAIN}")):
            finished(tmp_path, WRITERS[writer])
        assert _asked == ["b"]
        assert without_times(contents(out)) == before
    finished(tmp_path, WRITERS[writer])
    assert _asked == []


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda f: f.__name__)
@pytest.mark.parametrize("writer", ["coco", "voc", "yolo", "supervision"])
def test_what_all_images_share_is_made_again(tmp_path, writer, damage):
    pytest.importorskip("pycocotools")
    out = finished(tmp_path, WRITERS[writer])
    before = without_times(contents(out))
    own = {name for line in lines(out).values() for name in line["files"]}
    shared = [name for name in before if name.startswith(f"{writer}/") and name not in own]
    assert f"{writer}/classes.json" in shared
    for name in shared:
        damage(out / name)
        finished(tmp_path, WRITERS[writer])
        assert without_times(contents(out)) == before, name


class Known(Light):
    """The same under a name that the classes asked for have, so that there are no parts."""

    name = "known"

    def __call__(self, image: Image) -> Labels:
        _asked.append(image.name)
        return super().__call__(image)


@pytest.mark.parametrize("writer", ["voc", "yolo", "supervision"])
def test_class_ids_that_stand_nowhere_else_are_had_from_the_images(tmp_path, writer):
    photographs(tmp_path / "photos", *NAMES)
    made = plan([files(tmp_path / "photos"), Known(), WRITERS[writer]()])
    out = tmp_path / "out"
    run({"run": made}, out, classes=["dark", "light"])
    before = without_times(contents(out))
    assert not list(out.rglob("parts"))
    (out / writer / "classes.json").write_bytes(b"")
    with pytest.warns(UserWarning, match="3 images .* are done again"):
        run({"run": made}, out, classes=["dark", "light"], resume=True)
    assert without_times(contents(out)) == before


def test_a_text_without_objects_is_no_damage(tmp_path):
    photographs(tmp_path / "photos", "a")
    made = plan([files(tmp_path / "photos"), Light(level=255), Yolo()])
    run({"run": made}, tmp_path / "out")
    line = lines(tmp_path / "out")["a"]
    assert line["empty"] == ["yolo/labels/a.txt"]
    assert (tmp_path / "out/yolo/labels/a.txt").read_bytes() == b""
    before = (tmp_path / "out/yolo/labels/a.txt").stat().st_mtime_ns
    run({"run": made}, tmp_path / "out", resume=True)
    assert (tmp_path / "out/yolo/labels/a.txt").stat().st_mtime_ns == before


def test_what_was_changed_by_hand_is_no_damage(tmp_path):
    out = finished(tmp_path, Labelme, Yolo)
    shapes = json.loads((out / "labelme/b.json").read_bytes())
    shapes["shapes"] = []
    (out / "labelme/b.json").write_text(json.dumps(shapes, indent=2))
    (out / "yolo/labels/b.txt").write_text("0 0.1 0.1 0.9 0.1 0.9 0.9\n")
    finished(tmp_path, Labelme, Yolo)
    assert _asked == []
    assert json.loads((out / "labelme/b.json").read_bytes())["shapes"] == []


class Torn(Writer):
    """`torn/NAME`, which is whole if it ends with a full stop; a writer of a format of its own."""

    name = "torn"

    def write(self, directory: Path, image: Image) -> tuple[Path, ...]:
        path = directory / "elsewhere" / image.name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{image.name}.")
        return (path,)

    def is_intact(self, directory: Path, path: Path) -> bool:
        if not path.read_text().endswith("."):
            raise ValueError("as a reader does")
        return True


def test_a_writer_says_itself_what_is_whole(tmp_path):
    out = finished(tmp_path, MaskFiles, Torn)
    assert lines(out)["b"]["written"] == {"masks": 1, "torn": 1}
    (out / "elsewhere/b").write_text("b")
    with pytest.warns(UserWarning, match=re.escape(f"1 image (b) {DONE_AGAIN}")):
        finished(tmp_path, MaskFiles, Torn)
    assert _asked == ["b"]
    assert (out / "elsewhere/b").read_text() == "b."


def test_lines_of_an_earlier_version_are_looked_at_by_their_folders(tmp_path):
    out = finished(tmp_path, MaskFiles, Torn)
    rows = [{k: v for k, v in line.items() if k != "written"} for line in lines(out).values()]
    (out / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (out / "masks/c.png").unlink()
    (out / "elsewhere/b").unlink()  # whose it is nobody knows
    with pytest.warns(UserWarning, match=re.escape(f"1 image (c) {DONE_AGAIN}")):
        finished(tmp_path, MaskFiles, Torn)
    assert _asked == ["c"]


def test_an_example_picture_is_made_again(tmp_path):
    photographs(tmp_path / "photos", *NAMES)
    made = plan([files(tmp_path / "photos"), Light(), Overlay()])

    def examine():
        options = RunOptions(resume=True)
        examine_plans(
            {"a": made}, tmp_path / "out", options, perturbations=[GaussianBlur()], levels=1
        )

    examine()
    examples = contents(tmp_path / "out/examples")
    assert len(examples) == 2
    for name in examples:
        (tmp_path / "out/examples" / name).unlink()
        with pytest.warns(UserWarning, match=re.escape(f"1 image (a) {DONE_AGAIN}")):
            examine()
        assert contents(tmp_path / "out/examples") == examples


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".json", ".npz"])
def test_formats_are_told_by_their_suffix(tmp_path, suffix):
    import numpy as np
    import PIL.Image

    path = tmp_path / f"x{suffix}"
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    if suffix == ".json":
        path.write_text(json.dumps(pixels.tolist()))
    elif suffix == ".npz":
        np.savez_compressed(path, pixels=pixels)
    else:
        PIL.Image.fromarray(pixels).save(path)
    assert is_intact(path)
    whole = path.read_bytes()
    for damage in DAMAGE:
        path.write_bytes(whole)
        damage(path)
        assert not is_intact(path), damage.__name__


def foreign() -> Sequence[str]:
    """Lines that are JSON, and none of a run's."""
    line = {"name": "b", "status": "ok", "counts": {}, "seconds": {}, "files": []}
    rows = [
        {"name": "b", "status": "ok"},
        {"name": "b", "status": "ok", "files": ["../../x", "masks/b.png\0", "m" * 300, 7, None]},
        line | {"files": ["recipe.toml", "segkit-run.jsonl", "\ud800", "a" * 5000]},
        line | {"source": {"path": 7}},
        line | {"source": {"size": "large", "path": "b.png"}},
        line | {"source": {"path": "b.png", "truth": 3}},
        line | {"source": {"path": "b\0.png"}},
        line | {"masks": [{}]},
        line | {"written": {"masks": -3, "light": 10**9}, "empty": ["x"]},
        line | {"counts": {"iou": {"x": 10**400}}},
        line | {"prompts": [{"points": [[1]], "signs": []}]},
        line | {"name": "x" * 3000},
        line | {"name": "\0", "files": ["\0"]},
    ]
    return [*map(json.dumps, rows), "[1]", "7", "[" * 100_000, '{"name": "b", "status"']


@pytest.mark.parametrize("text", foreign(), ids=lambda text: text[:40])
def test_foreign_lines_are_no_results(tmp_path, text):
    out = finished(tmp_path, MaskFiles, Yolo)
    before = without_times(contents(out))
    with (out / "results.jsonl").open("a") as file:
        file.write(text + "\n")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        finished(tmp_path, MaskFiles, Yolo)
    assert set(lines(out)) == {*NAMES}
    assert without_times(contents(out)) == before


@pytest.mark.parametrize("how", [{"resume": True}, {"overwrite": True}])
def test_a_run_that_was_killed_before_its_first_line_goes_on(tmp_path, how):
    out = finished(tmp_path, MaskFiles, Yolo)
    before = without_times(contents(out))
    (out / "results.jsonl").unlink()  # the files of the first images are there, their lines not
    (out / "masks/mine.png").write_text("of the user")
    made = plan([files(tmp_path / "photos"), Dated(), MaskFiles(), Yolo()])
    _asked.clear()
    run({"run": made}, out, **how)
    assert _asked == [*NAMES]
    assert (out / "masks/mine.png").read_text() == "of the user"
    (out / "masks/mine.png").unlink()
    assert without_times(contents(out)) == before
