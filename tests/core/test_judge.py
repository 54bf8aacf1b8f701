"""Judges in a run: what they are asked, and what comes of what they say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from judge_toys import Share
from pydantic import PrivateAttr
from runner_toys import lines
from toys import Best, Bright, Dim, Flood, Paint, Peak, Right, Squares, Whole, walk

from segkit import (
    Fuser,
    Heatmap,
    Image,
    Judge,
    Labels,
    Masks,
    PlanError,
    Prompt,
    Prompter,
    Prompts,
    Saliency,
    Segmenter,
    UsageError,
    plan,
    run,
)
from segkit.running.prompting import Asked, Span
from segkit.running.rounds import better_judged
from segkit.running.second_looks import Answers


class Corner(Saliency):
    """Heat in the last corner."""

    name = "corner"

    def __call__(self, image: Image) -> Heatmap:
        heat = np.zeros(image.size, np.float32)
        heat[-1, -1] = 1
        return Heatmap(heat)


class Blind(Segmenter):
    """The pixels around each point, without an encoding."""

    name = "blind"
    score: float = 0.5

    def __call__(self, image: Image, prompts: Prompts) -> Masks:
        masks = np.zeros((len(prompts), *image.size), bool)
        for mask, prompt in zip(masks, prompts, strict=True):
            x, y = prompt.points[0].astype(int)
            mask[y - 1 : y + 2, x - 1 : x + 2] = True
        return Masks(masks, [self.score] * len(masks), np.arange(len(masks)))


class Away(Prompter):
    """Asks for the square first, then for the dark corner."""

    name = "away"

    def __call__(self, heatmap: Heatmap) -> Prompts:
        return Peak()(heatmap)

    def refine(self, prompts: Prompts) -> Prompts | None:
        return Prompts(tuple(replace(p, points=[(0, 0)]) for p in prompts))


FULL = (Squares(count=2), Bright(), Peak(), Flood(), Share(times=5), Best(), Paint(), Right())


def test_it_stands_between_segmenter_and_selector():
    made = plan(reversed(FULL))
    assert made.words == "squares > bright > peak > flood > share > best > brush"
    assert isinstance(made.judge, Share)


def test_it_sees_all_masks_of_an_image_at_once_whichever_heatmap_they_answer():
    judge = Share()
    steps = (Squares(count=2), Bright(n=2), Peak(), Whole(), Flood(), judge, Best(), Paint())
    (first, _) = walk({"a": plan(steps)})
    assert first.error is None
    # Two heatmaps for the peak, one box around everything; two candidates each.
    assert [call[:4] for call in judge._log.calls] == [("square-0", 6, 3, 2), ("square-1", 6, 3, 2)]
    assert first.masks.quality.shape == (3,)


def test_it_gets_the_segmenters_encoding_where_there_is_one():
    judge, flood = Share(), Flood()
    list(walk({"a": plan([Squares(count=1), Whole(), flood, judge])}))
    assert judge._log.calls[0][4].dtype == bool  # Flood's
    assert flood._log.calls == ["square-0"]  # encoded once for both
    blind = Share()
    list(walk({"a": plan([Squares(count=1), Bright(), Peak(), Blind(), blind])}))
    assert blind._log.calls[0][4] is None


def test_one_that_cannot_do_without_an_encoding_is_refused_where_there_is_none():
    class Deep(Judge):
        """Needs it."""

        name = "deep"

        def __call__(self, masks: Masks, encoding: Any) -> Masks:
            return replace(masks, quality=masks.scores)

    assert plan([Squares(), Whole(), Flood(), Deep()])
    with pytest.raises(PlanError) as error:
        plan([Squares(), Bright(), Peak(), Blind(), Deep()])
    assert str(error.value) == (
        "deep needs 'encoding', and nothing before it makes one; define encode(image) in it, or "
        "for a judge, in the segmenter"
    )
    with pytest.raises(PlanError, match="share needs 'masks'"):
        plan([Squares(), Bright(), Share()])


def test_without_candidates_it_is_not_asked_and_the_image_has_quality_0(tmp_path):
    class Nothing(Prompter):
        """Asks nothing."""

        name = "nothing"

        def __call__(self) -> Prompts:
            return Prompts()

    judge = Share()
    made = plan([Squares(count=1), Nothing(), Flood(), judge, Best(), Paint()])
    summary = run({"a": made}, tmp_path)["a"]
    assert judge._log.calls == []
    assert lines(tmp_path)[0]["quality"] == 0
    assert summary["doubtful_images"] == ["square-0"]


def test_quality_is_in_lines_and_summary(tmp_path):
    summary = run({"a": plan(FULL)}, tmp_path)["a"]
    for line in lines(tmp_path):
        assert (
            line["quality"] == line["masks"][0]["quality"] == pytest.approx(5 * 16 / 192, abs=1e-4)
        )
    assert summary["doubtful"] == 2
    assert summary["notes"] == [
        "2 of 2 look doubtful (quality under 0.5): square-0, square-1",
    ]
    without = [step for step in FULL if step.kind != "judge"]
    summary = run({"a": plan(without)}, tmp_path / "b")["a"]
    assert "doubtful" not in summary
    assert "quality" not in lines(tmp_path / "b")[0]


def test_the_quality_of_several_masks_is_the_mean_over_their_pixels():
    masks = np.zeros((2, 4, 4), bool)
    masks[0, :3], masks[1, 3] = True, True
    judged = Masks(masks, [1, 1], [0, 1], quality=[0.8, 0.4])
    assert judged.overall == pytest.approx(0.7)
    assert replace(judged, quality=None).overall is None
    assert replace(judged, masks=np.zeros((2, 4, 4), bool)).overall == 0


# ---- --least-quality --------------------------------------------------------------------------


def test_weak_masks_are_left_out_of_all_that_follows_and_counted(tmp_path):
    made = plan(FULL, least_quality=0.5)
    summary = run({"a": made}, tmp_path)["a"]
    assert summary["left_out"] == 2
    assert "left out: 2 masks of a quality under 0.5" in summary["notes"]
    assert [(line["masks"], line["left_out"]) for line in lines(tmp_path)] == [([], 1)] * 2
    assert summary["scores"]["right"] == pytest.approx(1 - 16 / 192)  # all of it is background
    kept = run({"a": plan(FULL, least_quality=0.3)}, tmp_path / "b")["a"]
    assert "left_out" not in kept
    assert "least_quality = 0.3" in (tmp_path / "b/recipe.toml").read_text()


def test_a_fuser_merges_what_is_left():
    class First(Fuser):
        """Keeps the first."""

        name = "first"

        def merge(self, masks: Masks) -> Masks:
            return masks.take([0])

        def __call__(self, image: Image, masks: Masks) -> Labels:
            return Labels(masks.masks.any(axis=0).astype(np.int32), {1: "thing"})

    steps = (Squares(count=1), Corner(), Bright(), Peak(), Flood(), Share(times=5), Best(), First())
    (outcome,) = walk({"a": plan(steps, least_quality=0.4)})
    assert outcome.error is None
    assert outcome.masks.prompt.tolist() == [1]  # the corner's empty mask came first
    assert outcome.left_out == 1


@pytest.mark.parametrize(
    ("steps", "least", "sentence"),
    [
        (
            [step for step in FULL if step.kind != "judge"],
            0.6,
            "--least-quality 0.6 goes by what a judge says of each mask, and there is none; add "
            "--judge",
        ),
        (FULL, 1.5, "--least-quality should be from 0 to 1, but is 1.5"),
        (FULL, float("nan"), "--least-quality should be from 0 to 1, but is nan"),
    ],
)
def test_what_cannot_be_is_refused(steps, least, sentence):
    with pytest.raises((PlanError, UsageError)) as error:
        plan(steps, least_quality=least)
    assert str(error.value) == sentence


def test_a_selector_that_drops_the_quality_is_told():
    class Careless(Best):
        """Makes the masks anew."""

        name = "careless"

        def __call__(self, masks: Masks) -> Masks:
            return replace(super().__call__(masks), quality=None)

    steps = [Careless() if step.kind == "selector" else step for step in FULL]
    first = next(walk({"a": plan(steps, least_quality=0.5)}))
    assert first.error == (
        "--least-quality: a step behind the judge has dropped the masks' quality; let it choose "
        "with masks.take(indices)"
    )


def test_scores_that_are_no_numbers_fail_that_image_in_a_sentence():
    blind = Blind(score=float("nan"))
    first, second = walk({"a": plan([Squares(count=2), Bright(), Peak(), blind, Share()])})
    assert first.error == second.error
    # Of another package's plugin the sentence names the step (test_thirdparty.py).
    assert first.error == "Masks.scores should be finite, but holds NaN or infinity"


# ---- second looks -----------------------------------------------------------------------------


def test_a_second_look_is_kept_only_if_it_is_judged_better():
    steps = [Squares(count=1), Bright(), Away(), Flood()]
    (without,) = walk({"a": plan([*steps, Best()])})
    assert not without.masks.masks.any()
    (judged,) = walk({"a": plan([*steps, Share(), Best()])})
    assert judged.masks.masks.sum() == 16
    assert judged.prompts[0].points.tolist() != [[0, 0]]
    assert judged.masks.quality[0] == pytest.approx(16 / 192)


class Wider(Prompter):
    """Asks for a pixel, then for the corner; in between for both on the side."""

    name = "wider"
    wrongly: bool = False
    _seen: list[Masks] = PrivateAttr(default_factory=list)

    def __call__(self) -> Prompts:
        return Prompts((Prompt(points=[(5, 5)]),))

    def refine(self, prompts: Prompts, ask: Any) -> Prompts | None:
        asked = Prompts((Prompt(points=[(0, 0)]), Prompt(points=[(5, 5)])))
        self._seen.append(ask(asked.items if self.wrongly else asked))
        return Prompts((Prompt(points=[(0, 0)]),))


class Relative(Judge):
    """Each mask's area as a share of the largest's."""

    name = "relative"

    def __call__(self, masks: Masks) -> Masks:
        areas = masks.masks.sum(axis=(1, 2))
        return replace(masks, quality=areas / max(1, areas.max()))


class Growing(Blind):
    """Nine pixels, or all of the picture for the corner."""

    name = "growing"

    def __call__(self, image: Image, prompts: Prompts) -> Masks:
        masks = np.stack([np.full(image.size, not p.points.any()) for p in prompts])
        masks[:, 4:7, 4:7] = True
        return Masks(masks, [0.5] * len(masks), np.arange(len(masks)))


def test_the_candidates_of_both_rounds_are_judged_together():
    # By itself either round's only mask is the largest: of equals the first would stay.
    (made,) = walk({"a": plan([Squares(count=1), Wider(), Growing(), Relative()], rounds=2)})
    assert made.error is None
    assert made.masks.masks.all()
    assert made.masks.quality.tolist() == [1]
    assert made.prompts[0].points.tolist() == [[0, 0]]


def test_a_second_look_may_ask_the_segmenter_on_the_side():
    wider = Wider()
    (made,) = walk({"a": plan([Squares(count=1), wider, Growing(), Relative()], rounds=2)})
    (seen,) = wider._seen
    assert seen.prompt.tolist() == [0, 1]
    assert seen.quality.tolist() == pytest.approx([1, 9 / 192])
    assert len(made.masks) == 1  # they take no part in the result
    blind = Wider()
    list(walk({"a": plan([Squares(count=1), blind, Growing()], rounds=2)}))
    assert blind._seen[0].quality is None


def test_what_a_second_look_asks_must_be_prompts():
    steps = [Squares(count=1), Wider(wrongly=True), Growing(), Relative()]
    (made,) = walk({"a": plan(steps, rounds=2)})
    assert "should ask with Prompts, but asks with (Prompt(" in made.error


def _round(*qualities, prompts=None, empty=()):
    masks = np.ones((len(qualities), 2, 2), bool)
    places = [i for i in range(len(qualities)) if i not in empty]
    asked = prompts or Prompts(tuple(Prompt(points=[(i, 0)]) for i in range(len(qualities))))
    made = Masks(masks, qualities, range(len(qualities)), quality=qualities).take(places)
    return Answers(Asked((Span(asked),)), made, made)


def test_each_prompt_keeps_its_better_answer():
    again = Prompts(tuple(Prompt(points=[(i, 1)]) for i in range(4)))
    kept = better_judged(
        _round(0.5, 0.5, 0.5, 0.5, empty=[3]), _round(0.6, 0.4, 0.5, 0.1, prompts=again), (2, 2)
    )
    assert [prompt.points[0, 1] for prompt in kept.asked.prompts] == [1, 0, 0, 1]
    assert kept.masks.prompt.tolist() == [0, 1, 2, 3]
    assert kept.masks.quality.tolist() == pytest.approx([0.6, 0.5, 0.5, 0.1])
    assert kept.candidates.scores.tolist() == pytest.approx([0.6, 0.5, 0.5, 0.1])


def test_where_nothing_is_better_the_first_round_stays():
    before = _round(0.5, 0.5)
    assert better_judged(before, _round(0.5, 0.4), (2, 2)) is before
    after = _round(0.1)
    assert better_judged(replace_quality(before), after, (2, 2)) is after


def replace_quality(before):
    return before._replace(masks=replace(before.masks, quality=None))


def test_a_second_look_may_ask_for_more_objects():
    one, two = _round(0.5), _round(0.9, 0.2)
    assert better_judged(one, two, (2, 2)).masks.quality.tolist() == pytest.approx([0.9, 0.2])
    assert better_judged(two, one, (2, 2)) is two
    assert len(better_judged(one, two, (2, 2)).asked.prompts) == 2


# ---- several saliency methods -----------------------------------------------------------------


def test_heatmaps_of_several_methods_stand_in_a_row():
    bright = Bright()
    steps = (Squares(count=1), bright, Corner(), Dim(), Peak(), Flood(), Best(), Paint())
    alone = plan([Squares(count=1), bright, Dim(), Peak(), Flood(), Best(), Paint()])
    both, single = walk({"a": plan(steps), "b": alone})
    assert [heat.name for heat in both.heatmaps] == ["class-0", None]
    assert both.heatmaps[1].values.max() == pytest.approx(0.5)  # transformed as well
    assert [prompt.points[0].tolist() for prompt in both.prompts] == [[2, 1], [15, 11]]
    assert len(single.prompts) == 1
    assert bright._log.calls == ["square-0"]  # shared
    assert plan(steps).words == "squares > bright & corner > dim > peak > flood > best > brush"
