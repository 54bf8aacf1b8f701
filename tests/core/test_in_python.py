"""What one meets who uses segkit from Python: mistakes as sentences, and no surprises."""

from __future__ import annotations

import re

import pytest

from segkit import Catalog, Pipeline, UsageError, run
from segkit.plugins.steps import INTERFACES
from segkit.running.recipe import Part, Recipe, make_step

CATALOG = Catalog(third_party=False)


def shapes(count=3):
    return make_step(CATALOG, "dataset", "shapes", {"count": count, "size": 48})


def test_a_data_set_iterates_over_its_images():
    dataset = shapes()
    pairs = list(dataset)
    assert [image.name for image, _ in pairs] == list(dataset.names)
    for image, truth in dataset:
        assert truth.labels.ids.shape == image.size


def test_an_option_that_does_not_fit_is_one_sentence():
    topk = CATALOG.load("prompt", "topk")
    with pytest.raises(UsageError, match=r"^Invalid value for --topk.k: .*greater than 0, not 0$"):
        topk(k=0)
    with pytest.raises(UsageError, match=r"^topk has no option 'kk'; did you mean 'k'\?$"):
        topk(kk=1)
    with pytest.raises(UsageError, match=r"^dataset 'voc' needs --voc.root; add it$"):
        CATALOG.load("dataset", "voc")()


def test_options_stay_as_they_are():
    step = CATALOG.load("prompt", "topk")(k=2)
    text = r"^the options of topk stay as they are; make another step with k=3$"
    with pytest.raises(UsageError, match=text):
        step.k = 3
    assert step.k == 2


def test_prompters_in_a_sequence_make_one_prompt_together():
    topk, cascade = (CATALOG.load("prompt", name) for name in ("topk", "cascade"))
    together = Pipeline(prompt=[[topk(), cascade()]])
    assert "topk+cascade" in repr(together)
    apart = Pipeline(prompt=["center", ["topk", cascade()]])
    assert "center & topk+cascade" in repr(apart)


def test_a_folder_may_be_text(tmp_path):
    parts = {
        "dataset": (Part("shapes", step=shapes(1)),),
        "saliency": (Part("gradcam", {"model": "shapes"}),),
        "segmenter": (Part("threshold"),),
        "writer": (),
    }
    plan = Recipe(parts).build(CATALOG)
    assert run({"run": plan}, str(tmp_path / "out"))["run"]["images"] == 1
    assert (tmp_path / "out" / "summary.json").is_file()


def test_an_unknown_only_is_refused():
    with pytest.raises(
        UsageError,
        match=re.escape(
            "--only topl: no installed package or plugin has that name; did you mean 'topk'?"
        ),
    ):
        Catalog(only=("topl",)).entries()


def test_interfaces_are_those_of_the_kinds():
    assert all(cls.kind == kind for kind, cls in INTERFACES.items())
