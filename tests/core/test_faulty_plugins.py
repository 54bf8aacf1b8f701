"""Whatever a plugin does wrong is one sentence that names plugin, package and version."""

from __future__ import annotations

import json

import pytest
from catalog_toys import without_place
from toys import Flood, Squares, walk

from segkit import Catalog, PluginError, SegkitWarning, plan
from segkit.running.session import run
from segkit.running.walk import opened

FAULTY = """\
from pydantic import ValidationError
from segkit import *
from segkit import Counts, Heatmap, Image, Labels, Masks, Metric, Prompter, Prompts, Scores
from segkit import Writer, hookimpl
from collections.abc import Sequence
from pathlib import Path


class Faulty(Prompter):
    name = "faulty"
    how: str = ""

    def open(self, device: str) -> None:
        if self.how == "open":
            raise KeyError("no licence")
        if self.how == "open-sentence":
            raise UsageError("give --faulty.key")

    def close(self) -> None:
        if self.how == "close":
            raise RuntimeError("still busy")

    def __call__(self, image: Image) -> Prompts:
        if self.how == "call":
            raise KeyError("lost")
        if self.how == "exit":
            raise SystemExit(0)
        if self.how == "type":
            return [1]
        if self.how == "value":
            return Prompts((Prompt(points=[(float("nan"), 0)]),))
        if self.how == "picture":
            raise BadImageError(f"{image.name}: is no photograph")
        return Prompts()


class Score(Metric):
    name = "mine-score"
    how: str = ""

    def count(self, image: Image) -> Counts:
        return {"n": 1.0} if self.how != "count" else 5

    def score(self, counts: Counts) -> Scores:
        if self.how == "score":
            raise ZeroDivisionError("no pixels")
        return {"mine-score": 1.0}

    def details(self, counts, classes):
        return {"a": {1}} if self.how == "details" else {}


class Files(Writer):
    name = "mine-files"
    how: str = ""

    def write(self, directory: Path, image: Image) -> tuple[Path, ...]:
        if self.how == "write":
            raise KeyError("lost")
        return ()

    def finish(self, directory: Path, images: Sequence[str]) -> None:
        if self.how == "finish":
            raise KeyError("nothing there")


@hookimpl
def segkit_prompters():
    return [Faulty]


@hookimpl
def segkit_metrics():
    return [Score]


@hookimpl
def segkit_writers():
    return [Files]
"""


@pytest.fixture
def faulty(install):
    """Makes a step of the package `mine`."""
    install("mine", {"faulty": "mine_faulty"}, {"mine_faulty.py": FAULTY})
    install("mine-score", {"mine-score": "mine_faulty"}, kind="metric")
    install("mine-files", {"mine-files": "mine_faulty"}, kind="writer")
    catalog = Catalog()

    def make(kind, how):
        names = {"prompt": "faulty", "metric": "mine-score", "writer": "mine-files"}
        return catalog.load(kind, names[kind])(how=how)

    return make


def planned(*steps):
    """A plan around a step."""

    return {"run": plan([Squares(count=2), *steps, Flood()])}


PROMPT = "prompt 'faulty' from mine 1.0"


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("call", f"{PROMPT} raised KeyError: 'lost'"),
        ("exit", f"{PROMPT} raised SystemExit: 0"),
        ("type", f"{PROMPT} should make Prompts, but made a list"),
        ("value", f"{PROMPT}: Prompt.points should be finite, but holds NaN or infinity"),
        ("picture", "square-0: is no photograph"),  # it is about a picture
    ],
)
def test_a_failing_call_names_the_package(faulty, how, sentence):
    assert without_place(next(walk(planned(faulty("prompt", how)))).error) == sentence


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("open", f"{PROMPT} could not be opened on cpu: KeyError: 'no licence'"),
        ("open-sentence", f"{PROMPT}: give --faulty.key"),
    ],
)
def test_a_failing_open_names_the_package(faulty, how, sentence, tmp_path):
    with pytest.raises(PluginError) as error:
        run(planned(faulty("prompt", how)), tmp_path / "out")
    assert without_place(str(error.value)) == sentence
    assert not (tmp_path / "out").exists()


def test_a_failing_close_costs_nothing(faulty, tmp_path):
    text = f"{PROMPT} could not be closed: RuntimeError: still busy"
    with pytest.warns(SegkitWarning, match=text):
        summaries = run(planned(faulty("prompt", "close")), tmp_path / "out")
    assert summaries["run"]["failed"] == 0
    assert (tmp_path / "out/summary.json").exists()


@pytest.mark.parametrize(
    ("kind", "how", "sentence"),
    [
        ("metric", "count", "metric 'mine-score' from mine-score 1.0 should make a dict of counts"),
        ("metric", "score", "metric 'mine-score' from mine-score 1.0 raised ZeroDivisionError: no"),
        ("writer", "write", "writer 'mine-files' from mine-files 1.0 raised KeyError: 'lost'"),
    ],
)
def test_a_failing_metric_or_writer_fails_the_image(faulty, tmp_path, kind, how, sentence):
    summary = run(planned(faulty("prompt", ""), faulty(kind, how)), tmp_path / "out")["run"]
    assert summary["failed"] == 2
    lines = [json.loads(text) for text in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert all(line["error"].startswith(sentence) for line in lines)


@pytest.mark.parametrize(
    ("kind", "how", "sentence"),
    [
        ("metric", "details", "metric 'mine-score' from mine-score 1.0 should make details that"),
        ("writer", "finish", "writer 'mine-files' from mine-files 1.0 raised KeyError: 'nothing"),
    ],
)
def test_what_fails_at_the_end_keeps_the_images(faulty, tmp_path, kind, how, sentence):
    with pytest.raises(PluginError) as error:
        run(planned(faulty("prompt", ""), faulty(kind, how)), tmp_path / "out")
    assert str(error.value).startswith(sentence)
    assert len((tmp_path / "out/results.jsonl").read_text().splitlines()) == 2
    assert json.loads((tmp_path / "out/summary.json").read_text())["images"] == 2


def test_a_class_derived_from_a_plugin_is_not_the_packages(faulty):
    class Own(type(faulty("prompt", ""))):
        name = "own"

    with pytest.raises(PluginError) as error, opened([Own(how="open")], "cpu"):
        pass
    assert str(error.value).startswith("prompt 'own' could not be opened")
