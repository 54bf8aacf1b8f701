"""Tables for classifiers: ImageNet's outputs as wanted classes, and files of one's own."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from segkit import BadValueError, Catalog, Image, Labels, SegkitWarning, Truth, UsageError
from segkit.running.recipe import make_step
from segkit_plugins.shared.lite0 import imagenet_names
from segkit_plugins.shared.name_tables import IMAGENET, folded, imagenet_sources, sources_of

torch = pytest.importorskip("torch")
CATALOG = Catalog(third_party=False)


def opened(name="gradcam", **options):
    step = make_step(CATALOG, "saliency", name, options)
    step.open("cpu")
    return step


def why(**options):
    with pytest.raises(UsageError) as error:
        opened(**options)
    return str(error.value)


@pytest.fixture(scope="module")
def cat():
    from skimage import data

    return Image(data.cat(), "cat")


@pytest.fixture(scope="module")
def coffee():
    from skimage import data

    return Image(data.coffee(), "coffee")


# ---- the tables that ship -----------------------------------------------------------------------


@pytest.mark.parametrize("table", IMAGENET)
def test_every_source_is_the_output_of_its_name(table):
    names = (*imagenet_names(), "person")
    owner = {}
    for target, sources in imagenet_sources(table).items():
        for name, place in sources.items():
            assert folded(names[place]) == folded(name)
            assert owner.setdefault(place, target) == target


def test_the_tables_have_the_data_sets_classes_in_their_order():
    from segkit_plugins.dataset.voc import CLASSES
    from segkit_plugins.prompt._detection import COCO

    assert tuple(imagenet_sources("voc")) == tuple(CLASSES.values())
    assert tuple(imagenet_sources("coco")) == COCO
    assert all(imagenet_sources("voc").values())
    assert not imagenet_sources("coco")["giraffe"]


def test_the_hierarchy_is_wordnets():
    voc = imagenet_sources("voc")
    assert sorted(voc["dog"].values()) == list(range(151, 269))
    assert sorted(voc["cat"].values()) == list(range(281, 286))  # no cougar, no lynx
    assert 134 in voc["bird"].values()  # the crane that flies,
    assert not any(517 in of.values() for of in voc.values())  # not the one that lifts
    assert voc["person"]["person"] == 1000


# ---- what a grouped classifier makes -------------------------------------------------------------


def test_the_map_is_that_of_the_log_sum_exp_of_the_sources(cat):
    step = opened(table="voc", target="cat")
    (heatmap,) = step(image=cat)
    own = step._classifier.wanted.own
    scores, activations = own.look(own.prepared(cat.pixels)[None])
    with torch.enable_grad():
        score = torch.log(torch.exp(scores[0, 281:286]).sum())
    (gradient,) = torch.autograd.grad(score, activations)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    from segkit_plugins.saliency._maps import as_heat

    wanted = as_heat((weights * activations.detach()).sum(1).relu()[0], cat.size)
    assert np.abs(heatmap.values - wanted).max() < 1e-3
    assert heatmap.name == "cat"


@pytest.mark.parametrize(
    "name", ["gradcam", "gradcam-plus-plus", "hirescam", "layercam", "xgradcam", "eigencam"]
)
def test_every_saliency_takes_a_table(name, cat):
    (heatmap,) = opened(name, table="cat-dog")(image=cat)
    assert heatmap.name == "cat"
    assert heatmap.score > 0.5
    assert heatmap.values.max() == 1


def test_scorecam_takes_a_table(cat):
    (heatmap,) = opened("scorecam", table="cat-dog", size=64, target="cat")(image=cat)
    assert heatmap.name == "cat"


def test_a_photo_of_none_of_the_classes_has_an_empty_heatmap(coffee):
    (heatmap,) = opened(table="cat-dog")(image=coffee)
    assert (heatmap.name, heatmap.score) == (None, 0)
    assert not heatmap.values.any()


@pytest.mark.parametrize("pixels", ["uniform", "noise"])
def test_a_photo_of_nothing_has_none_of_the_classes(pixels):
    values = np.full((50, 60, 3), 128, np.uint8)
    if pixels == "noise":
        values = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    (heatmap,) = opened(table="cat-dog", target="top:2")(image=Image(values, pixels))
    assert not heatmap.values.any()


def test_truth_goes_through_the_table(cat):
    ids = np.zeros(cat.size, np.int32)
    ids[:50] = 8
    truth = Truth(Labels(ids, {8: "cat"}))
    (heatmap,) = opened(table="voc", target="truth")(image=cat, truth=truth, classes={8: "cat"})
    assert heatmap.name == "cat"
    with pytest.raises(BadValueError, match="the table knows none of the image's classes"):
        opened(table="cat-dog", target="truth")(
            image=cat, truth=Truth(Labels(ids, {8: "zebra"})), classes={8: "zebra"}
        )


def test_a_class_that_the_classifier_has_not_is_looked_up(cat):
    (heatmap,) = opened(target="cat")(image=cat)
    assert heatmap.name == "cat"
    assert heatmap.score > 0.5


def test_classes_far_behind_the_first_are_left_out(cat):
    both = opened(target="top:3", least_share=0)(image=cat)
    few = opened(target="top:3", least_share=0.99)(image=cat)
    assert (len(both), len(few)) == (3, 1)
    assert few[0].name == both[0].name


# ---- --classes ----------------------------------------------------------------------------------


def test_a_table_restricts_itself_to_the_classes_asked_for(cat):
    step = opened(table="coco")
    assert len(step.vocabulary) == 80
    step.restrict(["Dog", "person"])
    assert tuple(step.vocabulary) == ("Dog", "person")
    (heatmap,) = step(image=cat)
    assert heatmap.name is None or heatmap.score >= 0.2


def test_without_a_table_the_classifiers_own_names_and_the_tables_are_asked(cat):
    step = opened()
    assert step.vocabulary == ()
    step.restrict(["tabby", "dog"])
    (heatmap,) = step(image=cat)
    assert heatmap.name == "tabby"


def test_names_that_nothing_knows_are_names_only(cat):
    step = opened()
    step.restrict(["red", "green"])
    assert step.vocabulary == ()
    (heatmap,) = step(image=cat)
    assert heatmap.name not in (None, "red", "green")


def test_a_class_without_a_counterpart_is_told():
    step = opened(table="coco")
    with pytest.warns(SegkitWarning, match="gradcam knows nothing of giraffe, so it never finds"):
        step.restrict(["giraffe", "zebra"])


def test_a_table_that_has_none_of_the_classes_is_refused():
    with pytest.raises(UsageError, match=r"--gradcam\.table cat-dog has a counterpart of none"):
        opened(table="cat-dog").restrict(["car"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UsageError, match="'Cat' and 'cat', which are too alike"):
            opened(table="cat-dog").restrict(["Cat", "cat"])


def test_a_target_that_is_not_asked_for_is_refused():
    with pytest.raises(UsageError, match=r"--gradcam\.target cat"):
        opened(table="voc", target="cat").restrict(["dog"])


# ---- files --------------------------------------------------------------------------------------


def test_a_file_of_ones_own(tmp_path, cat):
    path = tmp_path / "table.csv"
    path.write_text("tabby,pet\ntiger cat,pet\nEgyptian_cat,pet\nbeagle,hound\n")
    assert list(sources_of(str(path), "--gradcam.table")) == ["pet", "hound"]
    (heatmap,) = opened(table=str(path))(image=cat)
    assert heatmap.name == "pet"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "keeps no name"),
        ("tabby,cat\nunicorn,horse\n", "has no class 'unicorn'"),
        ("tabby,cat\ntabby,dog\n", "makes 'tabby' both 'cat' and 'dog'"),
        ("tabby,cat\nbeagle,Cat\n", "'cat' and 'Cat', which are too alike"),
        ("red,a\ngreen,b\n", "knows none of the 1001 classes"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "table.csv"
    path.write_text(text)
    message = why(table=str(path))
    assert sentence in message
    assert "\n" not in message


def test_bad_tables_are_refused_in_one_sentence():
    assert why(table="vok") == (
        "--gradcam.table vok: there is no such table; for ImageNet's classes there are voc, coco, "
        "cat-dog, or name a file with a line 'source,target' for each class"
    )
    assert "knows none of the 5 classes of shapes" in why(table="voc", model="shapes")
    assert why(table="voc", target="zebra") == (
        "--gradcam.target zebra: the table voc has 20 classes and none of that name; it has "
        "aeroplane, bicycle, bird, boat, bottle …"
    )
