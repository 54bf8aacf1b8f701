"""The bundled shapes classifier knows the five shapes and points at them."""

from __future__ import annotations

import numpy as np
import pytest

from segkit import Catalog


@pytest.fixture(scope="module")
def seen():
    """Grad-CAM of the true class on 40 pictures that training never met."""
    catalog = Catalog(third_party=False)
    shapes = catalog.load("dataset", "shapes")(count=40, seed=15001)
    step = catalog.load("saliency", "gradcam")(model="shapes", target="top:5", least_share=0)
    step.open("cpu")
    found = []
    for index in range(len(shapes)):
        image, truth = shapes[index]
        name = truth.labels.classes[int(truth.labels.ids.max())]
        found.append((step(image=image), name, truth.labels.ids > 0))
    return found


def test_it_classifies_unseen_pictures(seen):
    assert np.mean([heatmaps[0].name == name for heatmaps, name, _ in seen]) >= 0.9


def test_its_brightest_pixel_lies_on_the_object(seen):
    hits = []
    for heatmaps, name, mask in seen:
        (values,) = (h.values for h in heatmaps if h.name == name)
        hits.append(mask.ravel()[values.argmax()])
    assert np.mean(hits) >= 0.9
