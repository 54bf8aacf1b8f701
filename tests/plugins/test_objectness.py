"""`objectness` sees the thing that a picture is about, without a class."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from segkit import Catalog, Heatmap, Image, Pipeline, UsageError
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
        embedding = step._layers.encoder(pixels)
    encoding = sam.encode(image)
    assert encoding.input_size == inside
    assert torch.allclose(embedding, encoding.embedding, atol=1e-4)


def test_a_pipeline_starts_from_it():
    image, mask = disc(160, 240, 100, 70, 40)
    with Pipeline(saliency="objectness") as pipeline:
        found = pipeline(image).labels.ids > 0
    assert (found & mask).sum() / (found | mask).sum() > 0.7


def test_people_are_another_layer(step):
    image, mask = disc(160, 240, 100, 70, 40)
    people = make_step(CATALOG, "saliency", "objectness", {"target": "person"})
    people.open("cpu")
    heatmap = people(image=image)
    assert heatmap.name == "person"
    assert heatmap.values.shape == image.size
    assert heatmap.values[mask].mean() < step(image=image).values[mask].mean()


def test_steps_on_one_file_share_an_image_s_embedding(step, monkeypatch):
    from segkit_plugins.segmenter.sam import Sam
    from segkit_plugins.shared import nano_encoder

    calls = []
    work_out = nano_encoder.Encoder.forward
    monkeypatch.setattr(
        nano_encoder.Encoder, "forward", lambda self, x: calls.append(1) or work_out(self, x)
    )
    sam = Sam()
    sam.open("cpu")
    first, _ = disc(150, 201, 60, 80, 30)
    second, _ = disc(150, 201, 60, 80, 30)
    step(image=first)
    assert torch.equal(sam.encode(first).embedding, sam.encode(second).embedding)
    assert len(calls) == 2
    alive = [weakref.ref(image) for image in (first, second)]
    del first, second
    gc.collect()
    assert [image() for image in alive] == [None, None]


def test_the_prior_keeps_the_class_and_moves_the_heat_onto_the_thing(step):
    image, mask = disc(160, 240, 100, 70, 40)
    rows, _ = np.mgrid[:160, :240]
    heatmap = Heatmap((rows / 159).astype(np.float32), "disc", 0.25)
    prior = make_step(CATALOG, "transform", "objectness-prior", {})
    prior.open("cpu")
    weighed = prior(heatmap=heatmap, image=image)
    assert (weighed.name, weighed.score) == ("disc", 0.25)
    assert weighed.values.max() == 1
    assert mask.ravel()[weighed.values.argmax()]
    things = step(image=image).values
    product = heatmap.values**0.25 * things**0.75
    assert np.allclose(weighed.values, product / product.max(), atol=1e-5)


@pytest.mark.parametrize(("weight", "same_as"), [(0, "heatmap"), (1, "things")])
def test_the_weight_goes_from_the_heatmap_to_objectness(step, weight, same_as):
    image, _ = disc(160, 240, 100, 70, 40)
    ramp = np.linspace(0.5, 1, 160 * 240, dtype=np.float32).reshape(160, 240)
    prior = make_step(CATALOG, "transform", "objectness-prior", {"weight": weight})
    prior.open("cpu")
    values = prior(heatmap=Heatmap(ramp, "disc"), image=image).values
    things = step(image=image).values
    expected = ramp if same_as == "heatmap" else things / things.max()
    assert np.allclose(values, expected, atol=1e-5)


def test_no_heat_stays_no_heat():
    image, _ = disc(60, 80, 30, 30, 15)
    prior = make_step(CATALOG, "transform", "objectness-prior", {})
    prior.open("cpu")
    dark = Heatmap(np.zeros((60, 80), np.float32), "disc")
    assert prior(heatmap=dark, image=image) is dark


def test_weights_of_another_network_are_refused():
    from segkit_plugins.shared.weights import bundled

    made = make_step(CATALOG, "saliency", "objectness", {"checkpoint": bundled("nano-2")})
    with pytest.raises(UsageError, match="are not of nano's image encoder: it lacks"):
        made.open("cpu")


def test_it_names_its_file(step):
    assert list(step.weight_files()) == ["nano"]
    assert [weights.name for weights in type(step).known_weights()] == ["nano"]
