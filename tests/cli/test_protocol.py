"""How figures of classes were counted, on the terminal, and where runs of other ways meet."""

from __future__ import annotations

import json

import pytest
from merge_toys import snapshot
from reading import summary

from segkit import Catalog
from segkit.running.recipe import make_step
from segkit.running.scoring import score_run

RUN = ("--dataset", "shapes", "--shapes.count", 4, "--shapes.size", 64, "--gradcam.model", "shapes")
SHARDED = ("--shapes.count", 8, "--segmenter", "threshold", "--metric", "class-iou")
LIGHT = (*RUN, "--segmenter", "grabcut", "--prompt", "topk", "--metric", "class-iou")


def scored_otherwise(folder, count=4):
    """Score a run for one class of the data set's alone."""
    catalog = Catalog(third_party=False)
    data = make_step(catalog, "dataset", "shapes", {"count": count, "size": 64})
    metric = make_step(catalog, "metric", "class-iou", {})
    return score_run(folder, data, [metric], ["circle"], catalog)


def test_run_and_score_say_how_figures_were_counted(segkit, tmp_path):
    done = segkit("run", *LIGHT, "-o", "out")
    assert done.code == 0, done.err
    counted = "class-iou: the data set's 5 classes"
    assert counted in done.out
    assert "without background, at the truth's size" in " ".join(done.out.split())
    own = summary(tmp_path / "out")["protocol"]["class-iou"]
    assert (own["asked"], own["background"]) == ("data set", False)
    scored = segkit("score", "out", "--metric", "voc-miou")
    assert "voc-miou: the data set's 5 classes" in scored.out
    assert {*summary(tmp_path / "out")["protocol"]} == {"class-iou", "voc-miou"}
    assert '"protocol"' in segkit("score", "out", "--json").out


def test_a_sweep_says_how_and_what_is_not_compared(segkit, tmp_path):
    sweep = ("sweep", *RUN, "--segmenter", "grabcut", "--metric", "iou,class-iou", "-o", "s")
    done = segkit(*sweep[:-2], "--prompt", "topk,maxmin", "--sort", "class-iou", "-o", "s")
    assert done.code == 0, done.err
    assert "class-iou: the data set's 5 classes" in done.out
    scored_otherwise(tmp_path / "s/recipes/topk")
    assert segkit("report", "s").code == 0
    page = " ".join((tmp_path / "s/report.html").read_text(encoding="utf-8").split())
    assert "class-iou of topk has been counted differently since the leaderboard was made" in page
    again = segkit(*sweep[:-2], "--prompt", "topk,maxmin", "-o", "s", "--resume")
    assert again.code == 0, again.err
    assert "class-iou: not compared, for" in " ".join(again.out.split())
    told = ("--prompt", "topk", "--gradcam.target", "truth,predicted")
    refused = segkit(*sweep[:-2], *told, "--sort", "class-iou", "-o", "t")
    assert refused.code == 2
    assert "is told which classes each image shows" in " ".join(refused.err.split())
    beside = segkit(*sweep[:-2], *told, "--sort", "iou", "-o", "t")
    assert beside.code == 0, beside.err
    assert "class-iou: not compared, for" in " ".join(beside.out.split())


def test_a_score_of_a_run_that_was_told_says_so(segkit, tmp_path):
    run = ("run", *LIGHT[:-2], "--metric", "none", "--gradcam.target", "truth", "-o", "out")
    assert segkit(*run, "--quiet").code == 0
    done = segkit("score", "out", "--metric", "class-iou")
    assert "class-iou: each image's true classes (of 5: " in done.out, done.err
    assert summary(tmp_path / "out")["protocol"]["class-iou"]["asked"] == "image"


def test_shards_that_were_scored_otherwise_are_not_merged(segkit, tmp_path):
    for number in (1, 2):
        done = segkit("run", *LIGHT, "--shard", f"{number}/2", "-o", f"s{number}", "--quiet")
        assert done.code == 0, done.err
    scored_otherwise(tmp_path / "s2")
    done = segkit("merge", "s1", "s2", "-o", "whole")
    assert done.code == 2
    words = " ".join(done.err.split())
    assert "'s2' was run with the protocol of class-iou = " in words
    assert "only shards of one recipe can be merged" in words
    scored_otherwise(tmp_path / "s1")
    assert segkit("merge", "s1", "s2", "-o", "whole").code == 0
    assert summary(tmp_path / "whole")["protocol"]["class-iou"]["asked"] == "list"


def test_shards_behind_one_that_says_nothing_are_compared_with_each_other(segkit, tmp_path):
    for number in (1, 2, 3):
        flags = ("--shard", f"{number}/3", "-o", f"s{number}", "--quiet")
        assert segkit("run", *RUN, *SHARDED, *flags).code == 0
    scored_otherwise(tmp_path / "s2", 8)
    told = json.loads((tmp_path / "s1/summary.json").read_text())
    without_truth = {key: value for key, value in told.items() if key != "protocol"}
    (tmp_path / "s1/summary.json").write_text(json.dumps(without_truth))
    words = "'s3' was run with the protocol of class-iou = "
    refused = segkit("merge", "s1", "s2", "s3", "-o", "whole")
    assert refused.code == 2
    said = " ".join(refused.err.split())
    assert words in said
    assert "'s2' with" in said
    assert segkit("merge", "s1", "s2", "-o", "whole").code == 1  # the third is missing
    assert summary(tmp_path / "whole")["protocol"]["class-iou"]["asked"] == "list"
    (tmp_path / "s1/summary.json").unlink()
    unfinished = segkit("merge", "s1", "s2", "s3", "-o", "other")
    assert unfinished.code == 2
    assert words in " ".join(unfinished.err.split())


def test_a_run_that_was_scored_otherwise_does_not_go_on_with_more_images(segkit, tmp_path):
    assert segkit("run", *LIGHT, "-o", "out", "--quiet").code == 0
    scored_otherwise(tmp_path / "out")
    again = segkit("run", *LIGHT, "-o", "out", "--resume", "--quiet")
    assert again.code == 0, again.err  # nothing is left to count
    assert summary(tmp_path / "out")["protocol"]["class-iou"]["asked"] == "list"
    lines = (tmp_path / "out/results.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "out/results.jsonl").write_text("".join(lines[:2]))
    done = segkit("run", *LIGHT, "-o", "out", "--resume", "--quiet")
    assert done.code == 2
    words = " ".join(done.err.split())
    assert "class-iou in 'out' was counted differently from how this run counts it" in words
    assert "choose another folder, or run it anew by --overwrite" in words
    assert len((tmp_path / "out/results.jsonl").read_text().splitlines()) == 2


def test_an_image_that_has_changed_is_not_counted_otherwise_either(segkit, tmp_path):
    assert segkit("run", *LIGHT, "-o", "out", "--quiet").code == 0
    scored_otherwise(tmp_path / "out")
    path = tmp_path / "out/results.jsonl"
    several = [json.loads(text) for text in path.read_text().splitlines()]
    several[-1]["source"]["sha256"] = "0" * 64
    path.write_text("".join(json.dumps(line) + "\n" for line in several))
    before = snapshot(tmp_path / "out")
    done = segkit("run", *LIGHT, "-o", "out", "--resume", "--quiet")
    assert done.code == 2
    assert "was counted differently from how this run" in " ".join(done.err.split())
    assert snapshot(tmp_path / "out") == before  # no lock and nothing half written either


def test_a_sweep_that_cannot_go_on_changes_none_of_its_recipes(segkit, tmp_path):
    flags = (*LIGHT[:-4], "--prompt", "topk,maxmin", "--metric", "class-iou", "-o", "s")
    assert segkit("sweep", *flags, "--quiet").code == 0
    recipes = tmp_path / "s/recipes"
    order = ["topk", "maxmin"]
    scored_otherwise(recipes / order[-1])
    for name in order:
        path = recipes / name / "results.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[:2]) + '{"name": "cut o')
    before = snapshot(tmp_path / "s")
    done = segkit("sweep", *flags, "--resume", "--quiet")
    assert done.code == 2
    assert f"recipes/{order[-1]}' was counted differently" in " ".join(done.err.split())
    assert snapshot(tmp_path / "s") == before


@pytest.mark.parametrize("metric", ["accuracy", "class-accuracy", "mean-class-dice", "miou"])
def test_means_over_classes_count_background(metric):
    step = make_step(Catalog(third_party=False), "metric", metric, {})
    assert step.figures[metric].background is True
