"""A run's folder of somebody else's leads to no file of one's own."""

from __future__ import annotations

import json
import shutil

import pytest

LIGHT = ("--gradcam.model", "shapes", "--segmenter", "threshold")


@pytest.mark.parametrize("how", ["--overwrite", "--resume"])
def test_nothing_is_written_through_a_link_out_of_the_folder(segkit, photo, tmp_path, how):
    asked = ("run", photo, *LIGHT, "-o", "out")
    assert segkit(*asked).code == 0
    mine = tmp_path / "mine"
    shutil.rmtree(tmp_path / "out/masks")
    mine.mkdir()
    (mine / "photo.png").write_text("precious")
    (tmp_path / "out/masks").symlink_to(mine)
    done = segkit(*asked, how)
    assert done.code == 2
    assert done.err.startswith(f"Error: -o out: out/masks is a link to '{mine}', which the run ")
    assert (mine / "photo.png").read_text() == "precious"
    # One that stays in the folder is the run's own.
    (tmp_path / "out/masks").unlink()
    (tmp_path / "out/kept").mkdir()
    (tmp_path / "out/masks").symlink_to(tmp_path / "out/kept")
    assert segkit(*asked, "--overwrite").code == 0


def test_files_that_it_claims_are_not_removed(segkit, photo, tmp_path):
    asked = ("run", photo, *LIGHT, "-o", "out")
    assert segkit(*asked).code == 0
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")
    claims = ["../mine.txt", str(mine), "masks/../../mine.txt"]
    with (tmp_path / "out/segkit-run.jsonl").open("a") as file:
        file.write(json.dumps({"files": claims}) + "\n")
    results = tmp_path / "out/results.jsonl"
    line = json.loads(results.read_text())
    results.write_text(json.dumps(line | {"files": line["files"] + claims}) + "\n")
    segkit(*asked, "--overwrite")
    segkit("export", "out", "--write", "labelme")
    assert mine.read_text() == "precious"


def test_figures_that_need_what_a_run_has_not_kept_are_a_sentence(segkit, tmp_path):
    data = ("--dataset", "shapes", "--shapes.count", "1")
    assert segkit("run", *data, *LIGHT, "-o", "out").code == 0
    done = segkit("score", "out", *data, "--metric", "hit-rate")
    assert "Error: " in done.err
    assert "needs 'prompts', which this run has not kept; choose others by --metric" in done.err
    assert "TypeError" not in done.err
