"""`segkit merge`: shards made one are what a single run leaves."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from merge_toys import (
    FLAGS,
    FOUR,
    SHAPES,
    WRITE,
    by_name,
    content,
    shards,
    snapshot,
    timeless,
)
from PIL import Image as Picture
from reading import results, summary

import segkit as package
from segkit import Catalog, SegkitWarning
from segkit.running import whole_folder
from segkit.running.shards import Shard


@pytest.fixture
def photos(tmp_path):
    """Six scenes as files, in which masks overlap; classes come in another order in each shard."""
    scenes = Catalog(third_party=False).load("dataset", "scenes")(count=6, size=96)
    (tmp_path / "photos").mkdir()
    for image, _ in (scenes[i] for i in range(6)):
        Picture.fromarray(image.pixels).save(tmp_path / "photos" / f"{image.name}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("where", ["shapes", "photos"])
def test_four_shards_merged_are_one_run(segkit, tmp_path, photos, where):
    flags = (*(SHAPES if where == "shapes" else (photos,)), *FLAGS, *WRITE, "--split", 0.5)
    assert segkit("run", *flags, "-o", "whole").code == 0
    shards(segkit, flags)
    before = {name: snapshot(tmp_path / name) for name in FOUR}
    done = segkit("merge", *FOUR, "-o", "merged", "--quiet")
    assert (done.code, done.err) == (0, "")
    whole, merged = tmp_path / "whole", tmp_path / "merged"
    assert by_name(merged) == by_name(whole)
    assert [r["name"] for r in results(merged)] == [r["name"] for r in results(whole)]
    assert content(merged) == content(whole)
    assert timeless(summary(merged)) == timeless(summary(whole))
    assert (merged / "recipe.toml").read_bytes() == (whole / "recipe.toml").read_bytes()
    assert {name: snapshot(tmp_path / name) for name in FOUR} == before
    assert {p.name for p in merged.iterdir()} == {p.name for p in whole.iterdir()}
    # It is a run like any other.
    assert segkit("run", *flags, "-o", "merged", "--resume").code == 0
    assert content(merged) == content(whole)
    assert segkit("export", "merged", "--write", "coco", "--quiet").code == 0
    assert segkit("run", *flags, "-o", "merged", "--overwrite").code == 0


@pytest.mark.parametrize("command", ["sweep", pytest.param("diagnose", marks=pytest.mark.slow)])
def test_what_compares_recipes(segkit, tmp_path, command):
    files = ("diagnosis.json",) if command == "diagnose" else ()
    flags = ("--dataset", "shapes", "--shapes.count", 5, "--gradcam.model", "shapes")
    flags = (*flags, "--gradcam.size", 64, "--prompt", "topk,maxmin", "--quiet")
    assert segkit(command, *flags, "-o", "whole").code == 0
    shards(segkit, flags, 2, command)
    done = segkit("merge", "s1", "s2", "-o", "merged")
    assert (done.code, done.err) == (0, "")
    assert "topk: 5 images · " in done.out
    for recipe in ("topk", "maxmin"):
        ours, theirs = (tmp_path / d / "recipes" / recipe for d in ("merged", "whole"))
        assert by_name(ours) == by_name(theirs)
        assert content(ours) == content(theirs)
    for file in ("leaderboard.json", *files):
        ours, theirs = (json.loads((tmp_path / d / file).read_text()) for d in ("merged", "whole"))
        assert timeless(ours) == timeless(theirs)
    (tmp_path / "s1/leaderboard.json").unlink()  # cut off as it ended
    assert segkit("merge", "s1", "s2", "-o", "merged", "--overwrite", "--quiet").code == 0
    assert (tmp_path / "merged/leaderboard.csv").is_file()
    (tmp_path / "s2/leaderboard.json").unlink()
    done = segkit("merge", "s1", "s2", "-o", "more")
    assert done.err.startswith("Error: none of the sweeps has finished, such as 's1'; go on")
    assert segkit("sweep", *flags, "-o", "merged", "--resume").code == 0


def test_gaps_and_doubles_are_told_and_gaps_filled(segkit, tmp_path):
    flags = (*SHAPES, *FLAGS)
    assert segkit("run", *flags, "-o", "whole").code == 0
    shards(segkit, flags)
    shutil.copytree(tmp_path / "s1", tmp_path / "again")
    gone = [f"shapes-0000{i}" for i in range(6) if Shard(2, 4).holds(f"shapes-0000{i}")]
    twice = [r["name"] for r in results(tmp_path / "s1")]
    assert gone
    assert twice
    done = segkit("merge", "s1", "s3", "again", "s4", "-o", "merged", "--quiet")
    assert done.code == 1
    told = done.err.splitlines()
    later = "go on with merged by segkit run --resume, which does them"
    assert told[0] == f"Warning: not whole: 1 shard (2/4) is missing; {later.replace('them', 'it')}"
    assert told[1].startswith(f"Warning: not whole: {len(gone)} image")
    assert gone[0] in told[1]
    assert told[2].endswith("in several of the folders; the first stays")
    assert twice[0] in told[2]
    assert len(told) == 3
    assert segkit("run", *flags, "-o", "merged", "--resume").code == 0
    assert by_name(tmp_path / "merged") == by_name(tmp_path / "whole")


def test_what_is_lost_of_a_shard_or_not_finished_is_told(segkit, tmp_path):
    flags = (*SHAPES, *FLAGS)
    shards(segkit, flags, 2)
    name = results(tmp_path / "s1")[0]["name"]
    (tmp_path / f"s1/masks/{name}.png").unlink()
    (tmp_path / "s2/summary.json").unlink()
    with pytest.warns(SegkitWarning) as caught:
        merged = package.merge(["s1", "s2"], "merged")
    assert (merged.damaged, merged.shards, merged.whole) == ((name,), ("2/2",), False)
    said = "\n".join(str(one.message) for one in caught)
    assert "the run in 's2' (shard 2/2) has not finished; the images that it has" in said
    assert "shard" not in said.replace("(shard 2/2)", "")  # all its images are there
    assert f"1 image ({name}) is left out, for its files are lost, damaged or lie" in said
    assert len(results(tmp_path / "merged")) == 5


def test_other_recipes_are_refused_with_what_differs(segkit, tmp_path):
    shards(segkit, (*SHAPES, *FLAGS), 2)
    flags = ("--dataset", "shapes", "--shapes.count", 7, *FLAGS)
    assert segkit("run", *flags, "--shard", "2/2", "-o", "other").code == 0
    done = segkit("merge", "s1", "other", "-o", "merged")
    assert done.code == 2
    assert done.err == (
        "Error: 'other' was run with shapes.count = 7, 's1' with 6; only shards of one recipe can "
        "be merged\n"
    )
    assert segkit("run", *SHAPES, *FLAGS, "--shard", "2/3", "-o", "third").code == 0
    done = segkit("merge", "s1", "third", "-o", "merged")
    assert "'third' is shard 2/3, 's1' is shard 1/2" in done.err
    for prompt, options in (("topk", ()), ("topk+maxmin", ("--topk.k", "3"))):
        flags = (*SHAPES, "--gradcam.model", "shapes", "--prompt", prompt, *options)
        path = prompt.partition("+")[2] or prompt
        assert (
            segkit("run", *flags, "--segmenter", "grabcut", "--shard", "2/2", "-o", path).code == 0
        )
    done = segkit("merge", "topk", "maxmin", "-o", "merged")
    assert done.err == (
        "Error: 'maxmin' was run with --prompt topk+maxmin, 'topk' with topk; only shards of one "
        "recipe can be merged\n"
    )
    recipe = tmp_path / "s2/recipe.toml"
    recipe.write_text(recipe.read_text().replace('numpy = "', 'numpy = "9'))
    done = segkit("merge", "s1", "s2", "-o", "merged")
    assert done.err.startswith("Error: 's2' was run with numpy = '9")
    assert not (tmp_path / "merged").exists()
    assert not [*tmp_path.glob(".merged*")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "there is nothing to merge"),
        (("s1", "./s1"), "the folder 's1' is named twice"),
        (("s1", "nowhere"), "'nowhere' is no run of segkit"),
        (("s1", "photos"), "'photos' is no run of segkit"),
        (("s1", "-o", "s1"), "-o s1 lies in 's1'"),
        (("s1", "-o", "s1/x"), "-o s1/x lies in 's1'"),
        (("s1", "-o", "photos"), "-o photos is not empty"),
        (("s1", "-o", "photos", "--overwrite"), "-o photos holds no run of segkit"),
        (("s1", "-o", "photos/scene.txt"), "-o photos/scene.txt is a file"),
    ],
)
def test_wrong_use_is_a_sentence(segkit, tmp_path, words, said):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/scene.txt").write_text("mine")
    assert segkit("run", "--dataset", "shapes", "--shapes.count", 1, *FLAGS, "-o", "s1").code == 0
    before = snapshot(tmp_path)
    out = () if "-o" in words else ("-o", "merged")
    done = segkit("merge", *words, *out)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert snapshot(tmp_path) == before


def test_whole_or_not_at_all_and_again(segkit, tmp_path, monkeypatch):
    """Cut off at any file, the merge leaves no folder; the next one clears up and is whole."""
    flags = (*SHAPES, *FLAGS, "--write", "coco")
    assert segkit("run", *flags, "-o", "whole").code == 0
    shards(segkit, flags, 2)
    copy, count = shutil.copy2, 0

    def cut(source, target):
        nonlocal count
        count += 1
        if count == 5:
            raise KeyboardInterrupt
        return copy(source, target)

    monkeypatch.setattr(shutil, "copy2", cut)
    assert segkit("merge", "s1", "s2", "-o", "merged").code == 130
    assert not (tmp_path / "merged").exists()
    assert not [*tmp_path.glob(".merged*")]
    monkeypatch.setattr(whole_folder, "_clear", lambda path: None)  # as if it had been killed
    count = 0
    assert segkit("merge", "s1", "s2", "-o", "merged").code == 130
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert [*tmp_path.glob(".merged.merging/*")]
    assert segkit("merge", "s1", "s2", "-o", "merged").code == 0
    assert by_name(tmp_path / "merged") == by_name(tmp_path / "whole")
    assert content(tmp_path / "merged") == content(tmp_path / "whole")
    # Once more, over a run and over one with something of the user's in it.
    assert segkit("merge", "s1", "s2", "-o", "merged", "--overwrite").code == 0
    assert content(tmp_path / "merged") == content(tmp_path / "whole")
    (tmp_path / "merged/mine.txt").write_text("mine")
    done = segkit("merge", "s1", "s2", "-o", "merged", "--overwrite")
    assert "holds mine.txt, which is no file of that run" in done.err
    assert (tmp_path / "merged/mine.txt").read_text() == "mine"


def test_failed_images_stay_failed_and_another_shards_success_wins(segkit, tmp_path):
    (tmp_path / "photos").mkdir()
    pixels = np.full((40, 40, 3), 30, np.uint8)
    pixels[10:30, 10:30] = 220
    for name in ("a", "b", "c"):
        Picture.fromarray(pixels).save(tmp_path / f"photos/{name}.png")
    (tmp_path / "photos/bad.png").write_bytes(b"no picture")
    flags = ("photos", *FLAGS)
    for number in (1, 2):
        segkit("run", *flags, "--shard", f"{number}/2", "-o", f"s{number}")
    done = segkit("merge", "s1", "s2", "-o", "merged")
    assert done.code == 1
    assert done.out.startswith("4 images, 1 failed")
    assert summary(tmp_path / "merged")["failed"] == 1
    mended = tmp_path / f"s{1 if Shard(1, 2).holds('bad') else 2}"
    shutil.copytree(mended, tmp_path / "mended")
    Picture.fromarray(pixels).save(tmp_path / "photos/bad.png")
    shard = f"{1 if Shard(1, 2).holds('bad') else 2}/2"
    assert segkit("run", *flags, "--shard", shard, "-o", "mended", "--resume").code == 0
    done = segkit("merge", "s1", "s2", "mended", "-o", "merged", "--overwrite")
    assert done.code == 0
    assert summary(tmp_path / "merged")["failed"] == 0


INDEX = """
from pathlib import Path
from segkit import Image, Writer, hookimpl

class Index(Writer):
    name = "index"

    def write(self, directory: Path, image: Image) -> tuple[Path, ...]:
        with (directory / "index.txt").open("a") as file:
            file.write(image.name + "\\n")
        return (directory / "index.txt",)

@hookimpl
def segkit_writers():
    return [Index]
"""


def test_a_file_that_a_writer_only_ever_adds_to_is_told(segkit, tmp_path):
    (tmp_path / "index.py").write_text(INDEX)
    flags = (*SHAPES, *FLAGS, "--plugin", "index.py", "--write", "index")
    shards(segkit, flags, 2)
    done = segkit("merge", "s1", "s2", "-o", "merged", "--plugin", "index.py", "--quiet")
    assert done.code == 0
    assert done.err == (
        "Warning: index.txt differs between the runs, and its writer has left it at the first's\n"
    )
    assert len(results(tmp_path / "merged")) == 6


def test_what_a_foreign_folder_notes_leads_nowhere_else(segkit, tmp_path):
    shards(segkit, (*SHAPES, *FLAGS), 2)
    (tmp_path / "secret").write_text("mine")
    names = [f"{tmp_path}/secret", "../secret", "masks/../../secret", "masks/../../../new"]
    with (tmp_path / "s1/segkit-run.jsonl").open("a") as file:
        file.write(json.dumps({"files": names}) + "\n")
    lines = results(tmp_path / "s2")
    for line in lines:
        line["files"] += names
        line["written"]["masks"] += len(names)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "s2/results.jsonl").write_text(text)
    before = {*tmp_path.iterdir()}
    segkit("merge", "s1", "s2", "-o", "deep/er/merged", "--quiet")
    assert {*tmp_path.iterdir()} == before | {tmp_path / "deep"}
    assert (tmp_path / "secret").read_text() == "mine"
    assert not [p for p in (tmp_path / "deep").rglob("*") if p.name in ("secret", "new")]
