"""score: the best candidate of each prompt."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit import Masks
from segkit_plugins.selector.score import BestScore


def candidates(rows, logits=False):
    """Masks told apart by their pattern, from (prompt, score) pairs."""
    n = len(rows)
    masks = np.zeros((n, 4, 5), bool)
    for i in range(n):
        masks[i].ravel()[: i + 1] = True
    return Masks(
        masks,
        np.array([s for _, s in rows], np.float32),
        np.array([p for p, _ in rows], np.int64),
        tuple(f"name {p}" for p, _ in rows),
        np.arange(n * 4, dtype=np.float32).reshape(n, 2, 2) if logits else None,
    )


def test_the_best_of_each_prompt_is_kept_in_the_order_of_the_prompts():
    masks = candidates([(2, 0.5), (0, 0.1), (0, 0.9), (2, 0.7), (0, 0.3), (5, -1.0)], logits=True)
    found = BestScore()(masks)
    assert found.prompt.tolist() == [0, 2, 5]
    assert np.array_equal(found.masks, masks.masks[[2, 3, 5]])
    assert found.names == ("name 0", "name 2", "name 5")
    assert np.array_equal(found.logits, masks.logits[[2, 3, 5]])


def test_of_equal_scores_the_first_is_kept():
    masks = candidates([(1, 0.5), (0, 0.5), (0, 0.5), (1, 0.5)])
    assert np.array_equal(BestScore()(masks).masks, masks.masks[[1, 0]])


def test_masks_below_the_least_score_are_left_out():
    masks = candidates([(0, 0.1), (0, 0.7), (1, 0.3), (2, 0.9)])
    assert BestScore(least=0.7)(masks).prompt.tolist() == [
        0,
        2,
    ]  # in single precision, as scores are
    assert len(BestScore(least=1)(masks)) == 0


def test_no_masks_stay_no_masks():
    found = BestScore()(Masks.none((4, 5)))
    assert found.masks.shape == (0, 4, 5)


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.0, 0.25, 0.5, 1.0])), max_size=12))
@settings(deadline=None, max_examples=100)
def test_it_equals_a_slow_search(rows):
    best = {}
    for i, (prompt, score) in enumerate(rows):
        if prompt not in best or score > rows[best[prompt]][1]:
            best[prompt] = i
    masks = candidates(rows)
    found = BestScore()(masks)
    assert np.array_equal(found.masks, masks.masks[[best[p] for p in sorted(best)]])
    assert found.prompt.tolist() == sorted(best)
