"""A plugin that would end Python, as by `sys.exit(0)`, fails as any other does; Ctrl-C stays."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from reading import results

from segkit import SegkitWarning

FILE = str(Path(__file__).with_name("exits.py"))
DATA = ("--plugin", FILE, "--dataset", "e-data")
STEPS = (*DATA, "--saliency", "e-heat", "--prompt", "e-point", "--segmenter", "e-cut")
ALL = (*STEPS, "--metric", "e-count", "--write", "e-files", "--device", "cpu", "--quiet")

BY = {
    "exit": "SystemExit: 0",
    "generator": "GeneratorExit: no more",
    "own": "Enough: of it",
}
"""What is raised, and how it is told."""


def without_place(text):
    """A sentence without the file and line that it ends with."""
    return text and re.sub(r" \(exits\.py, line \d+\)$", "", text)


BEFORE = {
    "import": f"'exits' from {FILE} could not be loaded:",
    "hook": f"'exits' from {FILE} could not be loaded: its hooks raise",
    "dataset options": f"dataset 'e-data' from {FILE} could not be made:",
    "prompt options": f"prompt 'e-point' from {FILE} could not be made:",
    "segmenter weight_files": f"segmenter 'e-cut' from {FILE} could not name its weight files:",
    "dataset open": f"dataset 'e-data' from {FILE} could not be opened on cpu:",
    "segmenter open": f"segmenter 'e-cut' from {FILE} could not be opened on cpu:",
    "writer open": f"writer 'e-files' from {FILE} could not be opened on cpu:",
    "names": f"dataset 'e-data' from {FILE} raised",
    "classes": f"dataset 'e-data' from {FILE} raised",
    "has_truth": f"dataset 'e-data' from {FILE} raised",
}
"""Before the first image: the run is refused."""

DURING = {
    "getitem": "dataset 'e-data'",
    "saliency": "saliency 'e-heat'",
    "prompt": "prompt 'e-point'",
    "batch": "prompt 'e-point'",
    "encode": "segmenter 'e-cut'",
    "segmenter": "segmenter 'e-cut'",
    "refine": "prompt 'e-point'",
    "count": "metric 'e-count'",
    "score": "metric 'e-count'",
    "write": "writer 'e-files'",
}
"""While an image is worked on: it fails."""

AFTER = {
    "score of all": "metric 'e-count'",
    "details": "metric 'e-count'",
    "finish": "writer 'e-files'",
}
"""When all images are done."""


@pytest.fixture(params=BY)
def by(request, monkeypatch) -> str:
    """What is raised."""
    monkeypatch.setenv("BY", request.param)
    return BY[request.param]


@pytest.mark.parametrize("place", BEFORE)
def test_what_ends_before_the_first_image_refuses_the_run(segkit, tmp_path, monkeypatch, by, place):
    monkeypatch.setenv("AT", place)
    done = segkit("run", *ALL, "-o", "out")
    said = without_place(done.err.rstrip("\n"))
    assert (done.code, done.out, said) == (2, "", f"Error: {BEFORE[place]} {by}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", DURING)
def test_what_ends_while_an_image_is_worked_on_is_its_failure(
    segkit, tmp_path, monkeypatch, by, place
):
    monkeypatch.setenv("AT", place)
    done = segkit("run", *ALL, "-o", "out")
    sentence = f"{DURING[place]} from {FILE} raised {by}"
    assert done.code == 1
    assert f"failed: first: {sentence} (exits.py, line " in done.err
    failed = {line["name"]: without_place(line["error"]) for line in results(tmp_path / "out")}
    others = None if place in ("getitem", "saliency") else sentence
    assert failed == {"first": sentence, "second": others}
    assert (tmp_path / "out/summary.json").is_file()


@pytest.mark.parametrize("place", AFTER)
def test_what_ends_after_the_last_image_is_told_and_costs_nothing_else(
    segkit, tmp_path, monkeypatch, by, place
):
    monkeypatch.setenv("AT", place)
    done = segkit("run", *ALL, "-o", "out")
    sentence = f"Error: {AFTER[place]} from {FILE} raised {by}"
    assert (done.code, without_place(done.err.rstrip("\n"))) == (2, sentence)
    assert [line["error"] for line in results(tmp_path / "out")] == [None, None]
    assert (tmp_path / "out/summary.json").is_file()


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("prompt close", f"prompt 'e-point' from {FILE} could not be closed:"),
        ("observer", f"observer 'exits' from {FILE} was switched off: segkit_before_image raised"),
    ],
)
def test_what_plays_no_part_in_the_results_is_told(segkit, monkeypatch, by, place, sentence):
    monkeypatch.setenv("AT", place)
    with pytest.warns(SegkitWarning, match=re.escape(f"{sentence} {by}")):
        done = segkit("run", *ALL, "-o", "out")
    assert done.code == 0


@pytest.mark.parametrize("place", ["import", "dataset open", "getitem", "count", "finish"])
def test_ctrl_c_ends_a_run_wherever_it_comes(segkit, monkeypatch, place):
    monkeypatch.setenv("AT", place)
    monkeypatch.setenv("BY", "ctrl-c")
    done = segkit("run", *ALL, "-o", "out")
    assert done.code == 130
    assert done.err.strip().startswith("Stopped")


def test_the_trace_shows_what_was_raised_and_the_debugging_where(segkit, monkeypatch):
    monkeypatch.setenv("AT", "count")
    done = segkit("run", *ALL, "-o", "out", "--trace", "--debug")
    assert "SystemExit: 0" in done.err.partition("Traceback")[0] + done.err
    assert "PluginExitError" not in done.err.partition("Traceback")[0]
    assert 'exits.py", line' in done.err


@pytest.mark.parametrize(
    ("place", "code", "sentence"),
    [
        ("perturbation", 1, f"level 1 (e-point): perturbation 'e-damage' from {FILE} raised"),
        ("getitem", 1, f"first: dataset 'e-data' from {FILE} raised SystemExit: 0"),
        ("perturbation open", 2, f"perturbation 'e-damage' from {FILE} could not be opened on cpu"),
        ("names", 2, f"dataset 'e-data' from {FILE} raised SystemExit: 0"),
    ],
)
def test_robustness_names_it_too(segkit, monkeypatch, place, code, sentence):
    monkeypatch.setenv("AT", place)
    done = segkit("robustness", *ALL, "--perturb", "e-damage", "-o", "out")
    assert done.code == code
    assert sentence in done.err


@pytest.mark.parametrize("place", ["score of all", "details"])
def test_every_recipe_of_a_sweep_has_its_summary(segkit, tmp_path, monkeypatch, place):
    monkeypatch.setenv("AT", place)
    two = [word.replace("e-point", "e-point,center") for word in ALL]
    done = segkit("sweep", *two, "-o", "out")
    assert done.code == 2
    said = without_place(done.err.rstrip("\n"))
    assert said == f"Error: metric 'e-count' from {FILE} raised SystemExit: 0"
    assert len([*(tmp_path / "out").glob("recipes/*/summary.json")]) == 2


@pytest.mark.parametrize("place", ["names", "classes", "groups", "dataset open"])
def test_describe_names_it_too(segkit, monkeypatch, place):
    monkeypatch.setenv("AT", place)
    done = segkit("describe", *DATA)
    assert done.code == 2
    assert done.err.startswith(f"Error: dataset 'e-data' from {FILE} ")


def test_describe_counts_the_image(segkit, monkeypatch):
    monkeypatch.setenv("AT", "getitem")
    done = segkit("describe", *DATA)
    assert done.code == 1
    assert "raised SystemExit: 0" in " ".join(done.out.split())


def test_a_plugin_that_ends_the_listing_of_weights_hides_no_others(segkit, monkeypatch):
    whole = segkit("weights", "list").out
    monkeypatch.setenv("AT", "segmenter known_weights")
    done = segkit("weights", "list", "--plugin", FILE)
    assert (done.code, done.out) == (0, whole)


def test_where_nobody_looks_out_for_it_the_command_fails_all_the_same(segkit):
    done = segkit("run", *(word.replace("e-point", "e-lazy") for word in ALL), "-o", "out")
    assert done.code == 1
    sentence = "a plugin or a library has ended segkit (SystemExit: 0); add --debug to see where"
    assert done.err == f"Error: {sentence}\n"
