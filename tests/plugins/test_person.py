"""The class *person* beside ImageNet's: the other logits stay, and Grad-CAM can be asked for it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image as Pillow

from segkit import Catalog, Image
from segkit.running.recipe import make_step

torch = pytest.importorskip("torch")

CATALOG = Catalog(third_party=False)


def gradcam(**options):
    step = make_step(CATALOG, "saliency", "gradcam", options)
    step.open("cpu")
    return step


def test_imagenets_logits_stay_exact():
    from segkit_plugins.shared.lite0 import load_lite0, with_person

    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, found = load_lite0()(pixels), with_person(load_lite0())(pixels)
    assert found.shape == (2, 1001)
    assert torch.equal(found[:, :1000], wanted) or torch.allclose(
        found[:, :1000], wanted, atol=1e-5
    )


def test_gradcam_is_asked_for_a_person():
    rng = np.random.default_rng(0)
    image = Image(rng.integers(0, 255, (90, 120, 3), dtype=np.uint8), "noise")
    (heatmap,) = gradcam(target="person")(image=image)
    assert heatmap.name == "person"
    assert heatmap.values.shape == (90, 120)
    assert 0 <= heatmap.score <= 1
    assert gradcam(target="1000")(image=image)[0].name == "person"


def test_who_names_imagenets_classes_need_not_know_of_it():
    names = tuple(f"n{i}" for i in range(1000))
    step = gradcam(class_names=names, target="n7")
    assert step._classifier.names == (*names, "person")


def test_its_file_is_among_the_weights():
    step = gradcam()
    assert set(step.weight_files()) == {"efficientnet-lite0", "person"}
    assert [w.name for w in type(step).known_weights()] == ["shapes", "person"]


@pytest.mark.slow
def test_fitting_learns_what_lies_where(tmp_path):
    """Red squares called persons: the fitted row finds them, and points at them."""
    from click.testing import CliRunner
    from safetensors.torch import load_file

    from segkit_training import person

    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for number in range(30):
        name = f"{number:012}.png"
        pixels = np.full((160, 160, 3), 90, np.uint8)
        entry = {"id": number, "file_name": name, "annotated": ["person"]}
        if number % 2:
            x = 10 + 3 * number
            pixels[40:110, x : x + 60] = (230, 20, 20)
            ring = [x, 40, x + 60, 40, x + 60, 110, x, 110]
            annotations.append(
                {"id": number, "image_id": number, "category_id": 1, "segmentation": [ring]}
            )
        Pillow.fromarray(pixels).save(tmp_path / "images" / name)
        images.append(entry)
    listed = {"images": images, "annotations": annotations}
    listed["categories"] = [{"id": 1, "name": "person"}]
    (tmp_path / "instances.json").write_text(json.dumps(listed))
    output = tmp_path / "person.safetensors"
    arguments = ["-o", str(output), "--coco", str(tmp_path), "--views", "1", "--steps", "60"]
    done = CliRunner().invoke(person.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    told = json.loads(done.output.splitlines()[-1])
    assert told["ranked right"] > 0.9
    assert told["pointed right"] > 0.7
    assert load_file(output)["weight"].shape == (1280,)
