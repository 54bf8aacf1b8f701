"""What a run says of its results: images without a mask, figures that say nothing, hints."""

from __future__ import annotations

import json

import numpy as np
import pytest
import toys

from segkit import Heatmap, Image, Masks, Prompt, Prompter, Prompts, Saliency, Segmenter, UsageError
from segkit.running.notes import warm_regions
from segkit.running.plan import plan
from segkit.running.session import run
from segkit_plugins.fuser.paint import Paint
from segkit_plugins.metric.class_iou import ClassIoU
from segkit_plugins.metric.iou import IoU
from segkit_plugins.prompt.components import Components


class Named(Segmenter):
    """The left half, called as it is told; on a picture called `none` nothing."""

    name = "named"
    called: str = "tabby"

    def __call__(self, image: Image, prompts: Prompts) -> Masks:
        if image.name == "square-0":
            return Masks.none(image.size)
        mask = np.zeros((1, *image.size), bool)
        mask[:, :, : image.size[1] // 2] = True
        return Masks(mask, [1.0], [0], (self.called,))


class Limited(Saliency):
    """Warm everywhere; looks for a few classes alone."""

    name = "limited"
    words: tuple[str, ...] = ("cat", "dog", "person")

    def __call__(self, image: Image) -> Heatmap:
        return Heatmap(np.ones(image.size, np.float32))

    @property
    def vocabulary(self):
        return self.words

    def restrict(self, names):
        known = [name for name in names if name in self.words]
        if not known:
            raise UsageError("limited knows none of them; ask for others")


class Middle(Prompter):
    """A point in the middle."""

    name = "middle"

    def __call__(self, heatmap: Heatmap) -> Prompts:
        height, width = heatmap.values.shape
        return Prompts((Prompt(points=[(width // 2, height // 2)]),))


def summary_of(directory, *steps, classes=(), **options):
    dataset = toys.Squares(**options)
    chosen = plan([dataset, Limited(), Middle(), *steps])
    return run({"run": chosen}, directory, classes=classes)["run"]


def test_images_without_a_mask_are_counted_and_listed(tmp_path):
    summary = summary_of(tmp_path, Named(), Paint(), truth=False)
    assert (summary["images"], summary["failed"], summary["empty"]) == (5, 0, 1)
    assert summary["empty_images"] == ["square-0"]
    assert summary["notes"] == ["no cat, dog or person found: 1 image (square-0)"]
    assert json.loads((tmp_path / "summary.json").read_text())["empty_images"] == ["square-0"]


def test_a_run_that_goes_on_counts_those_of_before(tmp_path):
    first = summary_of(tmp_path, Named(), Paint())
    results = tmp_path / "results.jsonl"
    results.write_text("".join(results.read_text().splitlines(keepends=True)[:2]))
    chosen = plan([toys.Squares(), Limited(), Middle(), Named(), Paint()])
    again = run({"run": chosen}, tmp_path, resume=True)["run"]
    assert (first["empty"], again["empty"], again["images"]) == (1, 1, 5)


def test_figures_by_name_say_nothing_where_no_name_is_known(tmp_path):
    summary = summary_of(tmp_path / "foreign", Named(), Paint(), ClassIoU(), IoU())
    assert [*summary["scores"]] == ["iou"]
    assert [*summary["figures"]] == ["class-iou", "iou"]
    assert (
        "class-iou: no class that was found, such as 'tabby', has a name of the data set's, such "
        "as 'square'; name the classes alike"
    ) in summary["notes"]
    known = summary_of(tmp_path / "known", Named(called="square"), Paint(), ClassIoU())
    assert 0 < known["scores"]["class-iou"] < 1
    empty = summary_of(tmp_path / "empty", Named(), Paint(), ClassIoU(), count=1)
    assert empty["scores"] == {"class-iou": 0}  # nothing found is no matter of names


def test_people_get_a_hint(tmp_path):
    summary = summary_of(tmp_path, Named(called="person"), Paint(), truth=False)
    assert summary["notes"][1] == (
        "people: 4 images (square-1, square-2, square-3 …); a detector's boxes (--prompt yolo or "
        "--prompt detr) find each of them"
    )


class TwoWarm(Saliency):
    """Warm at the left and at the right."""

    name = "two-warm"

    def __call__(self, image: Image) -> Heatmap:
        values = np.zeros(image.size, np.float32)
        third = image.size[1] // 3
        values[:, :third] = values[:, -third:] = 1
        return Heatmap(values)


@pytest.mark.parametrize("prompter", [Middle(), Components()])
def test_several_warm_regions_get_a_hint_where_one_was_asked(tmp_path, prompter):
    steps = (TwoWarm(), prompter, Named(), Paint())
    summary = run({"run": plan([toys.Squares(truth=False), *steps])}, tmp_path)["run"]
    hints = [note for note in summary["notes"] if note.startswith("perhaps several objects")]
    assert len(hints) == (prompter.name == "middle")


def test_warm_regions_are_counted_whatever_the_size():
    values = np.zeros((300, 400), np.float32)
    assert warm_regions([Heatmap(values)]) == 0
    values[50:100, 50:100] = 1
    values[200:260, 300:380] = 0.6
    values[0:3, 390:393] = 0.9  # a speck
    values[280:, :200] = 0.4  # not warm
    assert warm_regions([Heatmap(values)]) == 2
    assert warm_regions([Heatmap(np.ones((5, 1), np.float32))]) == 1


# ---- --classes ----------------------------------------------------------------------------------


def test_a_truth_that_knows_the_classes_has_the_ids_asked_for(tmp_path):
    steps = (Named(called="square"), Paint(), ClassIoU(), IoU())
    plain = summary_of(tmp_path / "plain", *steps)
    asked = summary_of(tmp_path / "asked", *steps, classes=["cat", "Square", "square-2"])
    line = json.loads((tmp_path / "asked/results.jsonl").read_text().splitlines()[1])
    assert line["classes"]["2"] == "Square"
    assert plain["scores"]["iou"] == asked["scores"]["iou"]


def test_classes_that_are_asked_for_go_to_the_steps_that_can(tmp_path):
    with pytest.raises(UsageError, match="limited knows none of them"):
        summary_of(tmp_path, Named(), Paint(), classes=["zebra"])
    assert not (tmp_path / "results.jsonl").exists()


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        (["cat", ""], "--classes has an empty name; drop a comma, or name the class"),
        (["cat", "dog", "cat"], "--classes has 'cat' twice; name each class once"),
        (["cat", "Cat"], "--classes has both 'cat' and 'Cat'; name each class once"),
    ],
)
def test_bad_classes_are_refused(tmp_path, classes, sentence):
    with pytest.raises(UsageError) as error:
        summary_of(tmp_path, Named(), Paint(), classes=classes)
    assert str(error.value) == sentence


def test_without_other_classes_the_ids_are_those_of_the_steps(tmp_path):
    class Nameless(toys.Squares):
        @property
        def classes(self):
            return {}

    chosen = [Nameless(truth=False), Limited(), Middle(), Named(called="person"), Paint()]
    run({"run": plan(chosen)}, tmp_path)
    line = json.loads((tmp_path / "results.jsonl").read_text().splitlines()[1])
    assert line["classes"] == {"1": "cat", "2": "dog", "3": "person"}
    assert line["shown"] == [3]
