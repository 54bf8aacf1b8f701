"""Grad-CAM with options, open or refused."""

from __future__ import annotations

import numpy as np
import pytest

from segkit import Catalog, Image, UsageError
from segkit.running.recipe import make_step

CATALOG = Catalog(third_party=False)


def gradcam(**options):
    return make_step(CATALOG, "saliency", "gradcam", options)


def opened(**options):
    step = gradcam(**options)
    step.open("cpu")
    return step


def why(**options):
    """The sentence that opening ends with."""
    with pytest.raises(UsageError) as error:
        opened(**options)
    return str(error.value)


def noise(*size, seed=0):
    return Image(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8), f"n{seed}")


def hooks(network):
    """How many hooks hang on its modules."""
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks)
        for m in network.modules()
    )
