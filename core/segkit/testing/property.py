"""Heatmaps and masks of every sort, drawn by hypothesis; without it these tests are skipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from segkit.testing.asking import Broken
from segkit.values.types import Heatmap, Image, Labels, Masks, Prompt, Prompts, Truth

EXAMPLES = 25
"""So many values are tried; the same ones each time."""

Holds = Callable[[dict[str, Any]], None]


def _hypothesis() -> Any:
    return pytest.importorskip("hypothesis", reason="pip install 'segkit[testing]' has hypothesis")


def _try(strategy: Any, holds: Holds) -> None:
    """Ask it of many values; the smallest that it does not hold for ends up in the sentence."""
    hypothesis = _hypothesis()
    settings = hypothesis.settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True
    )
    every = settings(hypothesis.given(strategy)(lambda values: holds(values)))
    try:
        every()
    except Broken as error:
        raise Broken(str(error)) from error.__cause__  # without hypothesis's notes


def _sizes(most: int = 9) -> Any:
    from hypothesis import strategies as st

    return st.tuples(st.integers(1, most), st.integers(1, most))


def _image(size: tuple[int, int], content: str) -> Image:
    pixels = np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(*size, 3)
    return Image(pixels, content)


def holds_for_heatmaps(holds: Holds) -> None:
    """Ask it of heatmaps of any size: few levels, so that there are equals, and any number."""
    _hypothesis()
    from hypothesis import strategies as st

    heats = st.one_of(
        st.sampled_from([0.0, 1.0, 0.5, 1e-40]), st.floats(0, 1, width=32, allow_nan=False)
    )

    @st.composite
    def drawn(draw: Any) -> dict[str, Any]:
        height, width = size = draw(_sizes())
        rows = draw(st.lists(heats, min_size=height * width, max_size=height * width))
        values = np.array(rows, np.float32).reshape(size)
        shown = np.array2string(values, threshold=12, separator=", ").replace("\n", "")
        heatmap = Heatmap(values, "cat", 0.8)
        return {
            "image": _image(size, f"{width}x{height} with the heat {shown}"),
            "heatmap": heatmap,
            "heatmaps": (heatmap,),
            "classes": {1: "cat", 2: "dog"},
        }

    _try(drawn(), holds)


def holds_for_results(holds: Holds) -> None:
    """Ask it of any masks, class maps and truths of one size, and of prompts for the masks."""
    _hypothesis()
    from hypothesis import strategies as st

    @st.composite
    def drawn(draw: Any) -> dict[str, Any]:
        height, width = size = draw(_sizes(5))
        area = height * width

        def ids() -> Any:
            chosen = st.sampled_from([0, 1, 2, 255])
            found = draw(st.lists(chosen, min_size=area, max_size=area))
            return np.array(found, np.int32).reshape(size)

        prompt = sorted(draw(st.lists(st.integers(0, 2), max_size=4)))
        bits = draw(
            st.lists(st.booleans(), min_size=area * len(prompt), max_size=area * len(prompt))
        )
        masks = np.array(bits, bool).reshape(len(prompt), *size)
        scores = draw(
            st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=len(prompt), max_size=len(prompt))
        )
        names = tuple(draw(st.sampled_from(["cat", "elk", None])) for _ in prompt)
        classes = {1: "cat", 2: "dog"}
        truth = ids()
        candidates = Masks(masks, scores, np.array(prompt, np.int64), names)
        places = np.unique(candidates.prompt, return_index=True)[1]
        heat = np.linspace(0, 1, area, dtype=np.float32).reshape(size)
        points = [(x % width, y % height) for x, y in draw(st.lists(_sizes(5), max_size=3))]
        prompts = tuple(
            Prompt(points=points or [(0, 0)], name=name, signs=[True] * (len(points) or 1))
            for name in ("cat", "dog", None)
        )
        return {
            "image": _image(size, f"of {width}x{height} pixels with {len(prompt)} masks"),
            "heatmap": Heatmap(heat, "cat"),
            "heatmaps": (Heatmap(heat, "cat"),),
            "prompts": Prompts(prompts),
            "candidates": candidates,
            "masks": candidates.take(places),
            "labels": Labels(ids(), classes),
            "truth": Truth(Labels(truth, classes)),
            "classes": classes,
        }

    _try(drawn(), holds)
