"""One kind more: it runs behind the segmenters; and what each kind has to have is there."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
from toys import Best, Bright, Flood, Paint, Peak, Squares, Wander, Whole, walk

from segkit import Labels, Masks, PlanError, Step, plan
from segkit.kinds import IN_RECIPES, KINDS, Kind, flag_of
from segkit.pipeline import Pipeline
from segkit.plugins.steps import INTERFACES
from segkit.running.plan import AFTER, ENDS, made_by
from segkit.testing import kinds as kit
from segkit.tools import scaffold
from segkit.values.types import Heatmap, Image

DOCS = Path(__file__).parents[2] / "docs"


# ---- a kind that there is not --------------------------------------------------------------------


class Ranker(Step):
    """Scores masks anew; a kind with nothing but its interface."""

    kind = "ranker"
    takes = ("image", "masks", "heatmap")
    gives = (Masks,)


class Upside(Ranker):
    """The other way round; as many times as it has a heatmap."""

    name = "upside"

    def __call__(self, masks: Masks) -> Masks:
        return Masks(masks.masks, 1 - masks.scores, masks.prompt, masks.names)


class Warm(Ranker):
    """By the mean heat inside."""

    name = "warm"

    def __call__(self, masks: Masks, heatmap: Heatmap) -> Masks:
        heat = [heatmap.values[m].mean() if m.any() else 0 for m in masks.masks]
        return Masks(masks.masks, heat, masks.prompt, masks.names)


class Thin(Step):
    """Takes pixels off a class map; of a kind that stands behind the fuser."""

    kind = "thinner"
    name = "thin"
    takes = ("image", "labels")
    gives = (Labels,)

    def __call__(self, image: Image, labels: Labels) -> Labels:
        ids = labels.ids.copy()
        ids[::2] = 0
        return Labels(ids, labels.classes)


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    """The kinds with one more before the selector and one behind the fuser."""
    monkeypatch.setattr("segkit.running.plan.AFTER", ("ranker", *AFTER, "thinner"))
    for name, cls in {"ranker": Ranker, "thinner": Thin}.items():
        row = Kind(name, cls.__name__, f"segkit_{name}s", f"{name}s", "One of two more.")
        monkeypatch.setitem(KINDS, name, row)


def masks_of(*steps):
    (outcome,) = walk({"a": plan([Squares(count=1), *steps])})
    assert outcome.error is None, outcome.error
    return outcome


def test_it_stands_where_its_kind_does():
    chosen = plan([Squares(), Thin(), Paint(), Best(), Upside(), Flood(), Peak(), Bright()])
    assert chosen.words == "squares > bright > peak > flood > upside > best > brush > thin"
    assert chosen.others == (Upside(), Thin())
    assert [step.name for step in chosen.steps][-2:] == ["brush", "thin"]


def test_what_it_makes_goes_to_the_next():
    plain = masks_of(Bright(), Peak(), Flood(), Best(), Paint())
    assert plain.masks.scores.tolist() == [0.75]
    turned = masks_of(Bright(), Peak(), Flood(), Upside(), Best(), Paint(), Thin())
    assert turned.masks.scores.tolist() == [0.75]  # of the candidate that had 0.25
    assert not turned.masks.masks.any()
    thin = masks_of(Bright(), Peak(), Flood(), Best(), Paint(), Thin())
    assert 0 < thin.labels.ids.sum() < plain.labels.ids.sum()
    assert not thin.labels.ids[::2].any()


def test_one_that_reads_a_heatmap_is_asked_for_each_apart():
    outcome = masks_of(Bright(n=2), Peak(), Flood(), Warm(), Best())
    by_heatmap = [h.values[m].mean() for h, m in zip(outcome.heatmaps, outcome.masks.masks)]  # noqa: B905
    assert outcome.masks.scores == pytest.approx(np.float32(by_heatmap))
    assert outcome.masks.scores[0] == pytest.approx(2 * outcome.masks.scores[1])


def test_it_has_its_say_in_every_round_of_a_second_look():
    upright = masks_of(Wander(), Flood(), Best())
    assert upright.masks.masks.any()
    # It makes the selector take the empty candidate, so the prompter wanders on to the last round.
    upside = masks_of(Wander(), Flood(), Upside(), Best())
    assert not upside.masks.masks.any()
    assert upside.prompts[0].points[0][0] > upright.prompts[0].points[0][0]


def test_what_it_reads_has_to_be_there():
    with pytest.raises(PlanError) as error:
        plan([Squares(), Whole(), Upside()])
    assert (
        str(error.value) == "upside needs 'masks', and nothing before it makes one; add --segmenter"
    )
    with pytest.raises(PlanError, match="thin needs 'labels', and nothing before it makes one"):
        plan([Squares(), Whole(), Flood(), Thin()])
    with pytest.raises(PlanError, match="warm needs 'heatmap'"):
        plan([Squares(), Whole(), Flood(), Warm()])


# ---- what each kind has --------------------------------------------------------------------------

OWN = tuple(INTERFACES)
"""The kinds that there are."""


@pytest.mark.parametrize("kind", OWN)
def test_a_run_knows_where_a_kind_stands(kind):
    spine = ("dataset", "saliency", "transform", "prompt", "segmenter", *AFTER, *ENDS)
    apart = ("perturbation",)  # of the robustness test, beside the spine
    assert kind in (*spine, *apart), (
        f"the interface of '{kind}' says neither that it makes masks or labels anew (then it needs "
        "no more) nor has running/plan.py and running/graph.py a place for it"
    )
    assert list(KINDS)[: len(OWN)] == list(OWN)


def test_what_a_kind_makes_is_read_from_its_interface():
    assert {*AFTER} >= {"selector", "fuser"}
    assert not {*AFTER} & {
        "dataset",
        "perturbation",
        "saliency",
        "transform",
        "prompt",
        "segmenter",
    }
    assert [made_by(s) for s in (Bright(), Peak(), Flood(), Best(), Paint())] == [
        *(("heatmap", "heatmaps"), ("prompts",), ("masks",), ("masks",), ("labels",)),
    ]


@pytest.mark.parametrize("kind", IN_RECIPES)
def test_a_pipeline_takes_a_kind(kind):
    if kind not in ("dataset", *ENDS):
        names = inspect.signature(Pipeline).parameters
        assert flag_of(kind) in names, f"Pipeline has no argument for the kind '{kind}'"


@pytest.mark.parametrize("kind", OWN)
def test_a_kind_has_what_is_written_for_it(kind):
    templates = Path(scaffold.__file__).parent / "templates/plugin"
    table = (DOCS / "write/index.md").read_text(encoding="utf-8")
    there = {
        "its own tests in testing/kinds.py": kind in kit.TESTS,
        "a worked example in tools/scaffold.py": kind in scaffold.EXAMPLES,
        f"the template tools/templates/plugin/kinds/{kind}.py.j2": (
            templates / f"kinds/{kind}.py.j2"
        ).is_file(),
        f"the template tools/templates/plugin/tests/{kind}.py.j2": (
            templates / f"tests/{kind}.py.j2"
        ).is_file(),
        f"the page docs/write/{kind}.md": (DOCS / f"write/{kind}.md").is_file(),
        "a row in the table of docs/write/index.md": f"]({kind}.md)" in table,
    }
    missing = [what for what, is_there in there.items() if not is_there]
    assert not missing, f"the kind '{kind}' lacks {'; '.join(missing)}"


def test_a_kind_without_tests_of_its_own_gets_those_of_all(monkeypatch):
    monkeypatch.delitem(kit.TESTS, "selector")
    assert kit.tests_of("selector") is kit.Working
    assert kit.tests_of("fuser") is kit.TESTS["fuser"]


def test_a_kind_without_an_example_is_refused_in_a_sentence(monkeypatch):
    from segkit import UsageError

    monkeypatch.setattr(
        scaffold, "EXAMPLES", {k: scaffold.EXAMPLES[k] for k in ("prompt", "fuser")}
    )
    assert scaffold.kind_named("prompt") == "prompt"
    with pytest.raises(UsageError) as error:
        scaffold.kind_named("select")
    assert str(error.value) == (
        "there is no worked example of a selector to start from, only of prompt, fuser; see "
        "`segkit show selector NAME` for one that is installed"
    )
