"""`objectness` sees the thing that a picture is about, without a class."""

from __future__ import annotations

import numpy as np
import pytest

from segkit import Catalog, Image, Pipeline, UsageError
from segkit.running.recipe import make_step

torch = pytest.importorskip("torch")

CATALOG = Catalog(third_party=False)


@pytest.fixture(scope="module")
def step():
    made = make_step(CATALOG, "saliency", "objectness", {})
    made.open("cpu")
    return made


def disc(height, width, x, y, radius):
    rows, columns = np.mgrid[:height, :width]
    mask = (columns - x) ** 2 + (rows - y) ** 2 < radius**2
    pixels = np.where(mask[..., None], [230, 180, 40], [60, 70, 90]).astype(np.uint8)
    return Image(pixels, "disc"), mask


@pytest.mark.parametrize(("height", "width"), [(160, 240), (240, 160), (90, 90)])
def test_it_is_bright_on_the_thing_in_any_format(step, height, width):
    image, mask = disc(height, width, 0.7 * width, 0.4 * height, 0.2 * min(height, width))
    heatmap = step(image=image)
    assert heatmap.values.shape == (height, width)
    assert heatmap.name is None
    assert heatmap.score == pytest.approx(float(heatmap.values.max()))
    assert mask.ravel()[heatmap.values.argmax()]
    assert heatmap.values[mask].mean() > heatmap.values[~mask].mean() + 0.3


def test_it_prepares_an_image_as_nano_does(step):
    from segkit_plugins.segmenter.sam import Sam
    from segkit_plugins.shared.nano_encoder import fitted

    image, _ = disc(150, 201, 60, 80, 30)
    sam = Sam()
    sam.open("cpu")
    pixels, inside = fitted(image.pixels, 320, "cpu")
    with torch.inference_mode():
        embedding = step._encoder(pixels)
    encoding = sam.encode(image)
    assert encoding.input_size == inside
    assert torch.allclose(embedding, encoding.embedding, atol=1e-4)


def test_a_pipeline_starts_from_it():
    image, mask = disc(160, 240, 100, 70, 40)
    with Pipeline(saliency="objectness") as pipeline:
        found = pipeline(image).labels.ids > 0
    assert (found & mask).sum() / (found | mask).sum() > 0.7


def test_weights_of_another_network_are_refused():
    from segkit_plugins.shared.weights import bundled

    made = make_step(CATALOG, "saliency", "objectness", {"checkpoint": bundled("nano-2")})
    with pytest.raises(UsageError, match="are not of nano's image encoder: it lacks"):
        made.open("cpu")


def test_it_names_its_file(step):
    assert list(step.weight_files()) == ["nano"]
    assert [weights.name for weights in type(step).known_weights()] == ["nano"]
