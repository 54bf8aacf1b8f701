"""threshold: the heatmap as the mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segkit import Heatmap, UsageError
from segkit_plugins.segmenter.threshold import Threshold


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.floats(0, 1, width=32),
    ),
    st.floats(0.01, 1),
)
@settings(deadline=None, max_examples=60)
def test_the_mask_holds_every_pixel_that_is_warm_enough(values, level):
    found = Threshold(level=level)(Heatmap(values, "cat"))
    warm = values >= np.float32(level)
    if not warm.any():
        assert len(found) == 0
        assert found.masks.shape == (0, *values.shape)
        return
    assert np.array_equal(found.masks, warm[None])
    assert found.scores[0] == pytest.approx(values[warm].mean(), abs=1e-6)
    assert found.prompt.tolist() == [0]
    assert found.names == ("cat",)


def test_the_level_itself_counts():
    values = np.array([[0.1, 0.2, 0.35, 0.4]], np.float32)
    assert Threshold(level=0.2)(Heatmap(values)).masks.tolist() == [[[False, True, True, True]]]
    assert Threshold()(Heatmap(values)).masks.tolist() == [[[False, False, True, True]]]


def test_a_heatmap_without_heat_makes_no_mask():
    assert len(Threshold()(Heatmap(np.zeros((4, 5), np.float32)))) == 0


def test_it_reads_the_heatmap_alone():
    assert Threshold.inputs().all == ("heatmap",)


@pytest.mark.parametrize("level", [0, -0.1, 1.01])
def test_a_level_outside_of_zero_to_one_is_refused(level):
    with pytest.raises(UsageError):
        Threshold(level=level)
