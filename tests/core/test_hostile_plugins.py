"""What a plugin says is checked where it enters: a sentence names it, with file and line."""

from __future__ import annotations

import json
import re
import sys

import pytest
from toys import Best

from segkit import Catalog, PluginError, plan
from segkit.running.session import run

PLUGIN = '''\
"""Steps that say what they may not."""
import os
from pathlib import Path
from typing import Any

import numpy as np
from segkit import *
from segkit import Counts, Dataset, Image, Judge, Labels, Masks, Metric, Prompter, Prompts, Scores
from segkit import Segmenter, Truth, Writer, hookimpl

HOW = {}  # what each step is to do wrong; filled by the test


class Pictures(Dataset):
    name = "pictures"

    @property
    def names(self):
        return HOW.get("names", ["a", "b"])

    @property
    def classes(self):
        return HOW.get("classes", {1: "square"})

    def files_of(self, index):
        return HOW.get("files_of", ())

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        ids = np.zeros((6, 8), np.int32)
        ids[2:4, 2:4] = 1
        return Image(np.zeros((6, 8, 3), np.uint8), "ab"[index]), Truth(Labels(ids, {1: "square"}))


class Half(Segmenter):
    name = "half"
    payload: Any = None

    def weight_files(self):
        if HOW.get("weight_files") == "raise":
            raise KeyError("lost")
        return HOW.get("weight_files", {})

    def __call__(self, image: Image) -> Masks:
        masks = np.zeros((2, *image.size), bool)
        masks[:, 2:4] = True
        return Masks(masks, [0.5, 0.6], [0, 0])


class Opinion(Judge):
    name = "opinion"

    def __call__(self, masks: Masks) -> Masks:
        quality = HOW.get("quality", [0.5] * len(masks))
        return Masks(masks.masks, masks.scores, HOW.get("prompt", masks.prompt), quality=quality)


class Figures(Metric):
    name = "figures"

    def count(self, image: Image) -> Counts:
        return HOW.get("count", {"n": 1})

    def score(self, counts: Counts) -> Scores:
        return HOW.get("score", {"figures": 1.0})


class Files(Writer):
    name = "files"

    def write(self, directory: Path, image: Image) -> tuple[Path, ...]:
        path = directory / "files" / f"{image.name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("here")
        how = HOW.get("write")
        return how(directory) if how else (path,)

    def finish(self, directory: Path):
        how = HOW.get("finish")
        return how(directory) if how else None


@hookimpl
def segkit_datasets():
    return [Pictures]


@hookimpl
def segkit_segmenters():
    return [Half]


@hookimpl
def segkit_judges():
    return [Opinion]


@hookimpl
def segkit_metrics():
    return [Figures]


@hookimpl
def segkit_writers():
    return [Files]
'''


@pytest.fixture
def attempt(tmp_path):
    """Runs the steps, one of which does wrong: the lines of results.jsonl, and what was raised."""
    file = tmp_path / "hostile.py"
    file.write_text(PLUGIN)
    catalog = Catalog(files=(file,))

    def attempt(how, payload=None):
        steps = {k: catalog.load(k, n) for k, n in NAMES.items()}
        module = sys.modules[steps["segmenter"].__module__]
        module.HOW = how
        made = [steps["segmenter"](payload=payload)]
        made += [steps[kind]() for kind in ("judge", "metric", "writer")]
        error = ""
        try:
            plans = {"run": plan([steps["dataset"](), *made, Best()])}
            run(plans, tmp_path / "out", catalog=catalog)
        except PluginError as raised:
            error = str(raised)
        results = tmp_path / "out/results.jsonl"
        lines = results.read_text().splitlines() if results.exists() else []
        return error, [json.loads(line)["error"] for line in lines]

    return attempt


NAMES = {
    "dataset": "pictures",
    "segmenter": "half",
    "judge": "opinion",
    "metric": "figures",
    "writer": "files",
}

PLACE = r" \(hostile\.py, line \d+\)$"

BEFORE = {
    "twice": ({"names": ["a", "b", "a"]}, "should give each image a name of its own"),
    "no text": ({"names": ["a", 7]}, "should name images by texts, but has 7"),
    "empty": ({"names": ["a", ""]}, "should name images by texts, but has ''"),
    "one text": ({"names": "ab"}, "should make a list of names, but made a text"),
    "no names": ({"names": None}, "raised TypeError"),
    "class ids": ({"classes": {"x": "cat"}}, "should have whole numbers for ids"),
    "class names": ({"classes": {1: 5}}, "and texts for names, but has 1: 5"),
    "classes of a kind": ({"classes": ["cat"]}, "should be a dict of id to name"),
    "files": ({"files_of": "photo.jpg"}, "should list the files of an image, but made a str"),
    "no paths": ({"files_of": [3]}, "should name files by paths, but has 3"),
    "weights raise": ({"weight_files": "raise"}, "could not name its weight files: KeyError"),
    "weights of a kind": ({"weight_files": [1]}, "should make a dict of names to weight files"),
    "weights None": ({"weight_files": {"w": None}}, "should name files by paths, but has None"),
    "weights gone": ({"weight_files": {"w": "/no/such"}}, "the file /no/such could not be read"),
    "weights without end": (
        {"weight_files": {"w": "/dev/zero"}},
        "the file /dev/zero could not be read: it is a device, not a file",
    ),
}


@pytest.mark.parametrize("case", BEFORE)
def test_nothing_begins_where_a_plugin_says_what_it_may_not(attempt, tmp_path, case):
    how, sentence = BEFORE[case]
    error, lines = attempt(how)
    assert sentence in error
    assert str(tmp_path / "hostile.py") in error  # which plugin
    if case != "weights gone" and case != "weights without end":
        assert re.search(PLACE, error)
    assert lines == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("payload", [object(), lambda: 0, [None], {"a": [object()]}])
def test_options_that_cannot_be_written_down_are_told_before_the_work(attempt, tmp_path, payload):
    error, lines = attempt({}, payload)
    assert re.match(r"segmenter 'half' from \S+hostile\.py has options that cannot be", error)
    assert lines == []
    assert not (tmp_path / "out").exists()


OF_AN_IMAGE = {
    "nan quality": ({"quality": [float("nan"), 0.5]}, "Masks.quality should lie from 0 to 1"),
    "large quality": ({"quality": [0.5, 7]}, "Masks.quality should lie from 0 to 1"),
    "short quality": ({"quality": [0.5]}, "Masks.quality should have shape (2)"),
    "other prompts": ({"prompt": [0, 1]}, "should leave the masks as they are"),
    "count of a kind": ({"count": 5}, "should make a dict of counts"),
    "unnamed count": ({"count": {3: 1.0}}, "should give counts names, but one is called 3"),
    "nan count": ({"count": {"n": float("nan")}}, "finite numbers, but its 'n' is nan"),
    "unnamed score": ({"score": {None: 1.0}}, "should give scores names, but one is called None"),
    "text score": ({"score": {"a": "b"}}, "finite numbers, but its 'a' is a str"),
    "outside": ({"write": lambda d: (d.parent / "hostile.py",)}, "which lies outside"),
    "above": ({"write": lambda d: (d / "files/../../hostile.py",)}, "which lies outside"),
    "the folder": ({"write": lambda d: (d,)}, "which lies outside"),
    "not there": ({"write": lambda d: (d / "gone.txt",)}, "but there is no such file"),
    "a folder": ({"write": lambda d: (d / "files",)}, "but there is no such file"),
    "one path": ({"write": lambda d: 5}, "should return the paths of its files, but made a int"),
    "no path": ({"write": lambda d: (5,)}, "should name files by paths, but has 5"),
    "zero byte": ({"write": lambda d: (d / "a\0b",)}, "but there is no such file"),
}


@pytest.mark.parametrize("case", OF_AN_IMAGE)
def test_a_wrong_value_is_a_failure_of_its_image(attempt, tmp_path, case):
    how, sentence = OF_AN_IMAGE[case]
    error, lines = attempt(how)
    assert len(lines) == 2
    for line in lines:
        assert sentence in line
        assert str(tmp_path / "hostile.py") in line
        assert re.search(PLACE, line)
    assert error == ""


@pytest.mark.parametrize("where", ["outside", "not there", "a kind"])
def test_what_finish_says_is_checked_and_costs_no_image(attempt, tmp_path, where):
    says = {
        "outside": lambda d: [tmp_path / "hostile.py"],
        "not there": lambda d: [d / "gone"],
        "a kind": lambda d: 7,
    }
    error, lines = attempt({"finish": says[where]})
    assert error.startswith(f"writer 'files' from {tmp_path / 'hostile.py'}")
    assert re.search(PLACE, error)
    assert lines == [None, None]
    assert (tmp_path / "out/summary.json").exists()
