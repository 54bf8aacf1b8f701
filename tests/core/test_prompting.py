"""Prompts of several groups and heatmaps: who asked what, of which heatmap, and whose masks."""

from __future__ import annotations

import numpy as np
import pytest
from toys import Dice, Peak, Whole

from segkit import Heatmap, Masks, Prompt, Prompts
from segkit.errors import BadValueError
from segkit.running.prompting import Asked, Span, heatmap_for, joined, placed, united
from segkit.values.heatmaps import union


def points(*xs, name=None):
    return Prompts(tuple(Prompt(points=[(x, 0)], name=name) for x in xs))


def xs(prompts):
    return [[int(x) for x, _ in prompt.points] for prompt in prompts]


def masks_of(*prompts, logits=None, names=None):
    n = len(prompts)
    masks = np.zeros((n, 2, 3), bool)
    masks[range(n), 0, [p % 3 for p in prompts]] = True
    if logits is not None:
        logits = np.full((n, 4, logits), 0.5, np.float32)
    return Masks(masks, np.arange(n) / 8, np.array(prompts, int), names or (None,) * n, logits)


def test_masks_go_back_to_the_span_that_asked():
    asked = Asked((Span(points(1, 2), 0), Span(points(), 1), Span(points(3))))
    assert xs(asked.prompts) == [[1], [2], [3]]
    assert asked.heatmap_of == [0, 0, None]
    answers = [(span.heatmap, m.prompt.tolist()) for span, m in asked.answered(masks_of(2, 0, 0))]
    assert answers == [(0, [0, 0]), (1, []), (None, [0])]


def test_prompts_are_replaced_in_their_spans_or_not_at_all():
    asked = Asked((Span(points(1, 2), 0), Span(points(3), 1)))
    changed = asked.replaced(points(4, 5, 6), Peak())
    assert [xs(span.prompts) for span in changed.spans] == [[[4], [5]], [[6]]]
    assert [span.heatmap for span in changed.spans] == [0, 1]
    with pytest.raises(BadValueError, match="should make as many prompts as it is given, 3, but"):
        asked.replaced(points(4), Peak())


def test_a_group_merges_heatmap_by_heatmap():
    """Who reads no heatmap joins each; one prompt joins several; none changes nothing."""
    of_heat = Asked((Span(points(1, 2), 0), Span(points(3), 1), Span(points(), 2)))
    blind = Asked((Span(points(9)),))
    for several, expected in (
        ([of_heat, blind], [[[1, 9], [2, 9]], [[3, 9]], [[9]]]),
        ([blind, of_heat], [[[9, 1], [9, 2]], [[9, 3]], [[9]]]),
    ):
        together = joined(several, (Peak(), Whole()))
        assert [xs(span.prompts) for span in together.spans] == expected
        assert [span.heatmap for span in together.spans] == [0, 1, 2]
    with pytest.raises(BadValueError, match=r"peak\+dice should make as many prompts each, but"):
        joined([Asked((Span(points(1, 2)),)), Asked((Span(points(1, 2, 3)),))], (Peak(), Dice()))


def test_one_heatmap_stands_for_several_as_their_maximum():
    first = Heatmap(np.array([[0.0, 0.5]], np.float32), "cat", 0.3)
    second = Heatmap(np.array([[1.0, 0.25]], np.float32), "dog", 0.6)
    assert union((first,)) is first
    both = heatmap_for((first, second), None)
    assert (both.values.tolist(), both.name, both.score) == ([[1.0, 0.5]], None, 0.6)
    assert heatmap_for((first, second), 1) is second


def test_masks_of_some_prompts_are_numbered_among_all():
    prompts = Prompts((*points(2, name="cat"), *points(3, name="dog")))
    found = placed(masks_of(1, 0, names=("own", None)), prompts, [1, 2])
    assert found.prompt.tolist() == [2, 1]
    assert found.names == ("own", "cat")
    assert placed(masks_of(0), None, [3]).prompt.tolist() == [3]


def test_masks_are_united_in_the_order_of_their_prompts():
    """Logits are kept where all have them in one size."""
    assert len(united([], (2, 3))) == 0
    alone = masks_of(1)
    assert united([alone], (2, 3)) is alone
    together = united([masks_of(2, 0, logits=5), masks_of(1, logits=5)], (2, 3))
    assert together.prompt.tolist() == [0, 1, 2]
    assert [int(m.argmax()) for m in together.masks] == [0, 1, 2]
    assert together.logits.shape == (3, 4, 5)
    assert united([masks_of(0, logits=5), masks_of(1, logits=6)], (2, 3)).logits is None
    assert united([masks_of(0, logits=5), masks_of(1)], (2, 3)).logits is None
