"""reference: patches against the mean feature under reference masks, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_hub
from gradcams import noise

from segkit import Catalog, UsageError, write_png
from segkit.running.recipe import make_step
from segkit_plugins.saliency._maps import as_heat

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

CATALOG = Catalog(third_party=False)
SIDE = 56


def square(top, left, height, width, size=(SIDE, SIDE)):
    mask = np.zeros(size, np.uint8)
    mask[top : top + height, left : left + width] = 255
    return mask


def lay(folder, name, seed, mask, size=(SIDE, SIDE)):
    """A reference photo and its mask."""
    image = noise(*size, seed=seed)
    write_png(folder / f"{name}.png", image.pixels)
    write_png(folder / f"{name}.mask.png", mask)
    return image


@pytest.fixture(scope="module", params=["dinov2", "dinov3"])
def dino(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    tiny_hub.save(getattr(tiny_hub, request.param), folder)
    return transformers.AutoModel.from_pretrained(folder).eval(), str(folder)


def made(model, shown, **options):
    own = {"model": model, "examples": str(shown), "side": SIDE, **options}
    return make_step(CATALOG, "saliency", "reference", own)


def opened(model, shown, **options):
    step = made(model, shown, **options)
    step.open("cpu")
    return step


def by_hand(network, image):
    """Each patch's feature of length 1, by its row and column; the picture has the right size."""
    pixels = (image.pixels.astype(np.float32) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    patch = network.config.patch_size
    height, width = (n // patch * patch for n in image.size)
    given = torch.from_numpy(pixels[:height, :width]).float().permute(2, 0, 1)[None]
    with torch.no_grad():
        tokens = network(pixel_values=given).last_hidden_state[0].numpy()
    first = 1 + getattr(network.config, "num_register_tokens", 0)
    rows, columns = height // patch, width // patch
    assert len(tokens) == first + rows * columns
    return {
        (y, x): tokens[first + y * columns + x] / np.linalg.norm(tokens[first + y * columns + x])
        for y in range(rows)
        for x in range(columns)
    }


def unit(vectors):
    mean = np.mean(vectors, axis=0)
    return mean / np.linalg.norm(mean)


@pytest.fixture
def side(dino):
    """A multiple of the model's patch, so that nothing is resized."""
    return 4 * dino[0].config.patch_size


def test_maps_are_cosines_with_the_mean_feature(dino, side, tmp_path):
    network, folder = dino
    patch = network.config.patch_size
    size = (side, side)
    first = lay(tmp_path / "cat", "a", 1, square(0, 0, 2 * patch, patch, size), size)
    # Half of a patch counts, less does not.
    second = lay(tmp_path / "cat", "b", 2, square(patch, 0, patch, patch + patch // 2, size), size)
    other = lay(tmp_path / "dog", "a", 3, square(0, 0, 3, 3, size), size)  # less than half
    one, two, three = (by_hand(network, image) for image in (first, second, other))
    cat = unit([one[0, 0], one[1, 0], two[1, 0], two[1, 1]])
    dog = unit([three[0, 0]])
    image = noise(side, side, seed=9)
    seen = by_hand(network, image)
    found = {h.name: h for h in opened(folder, tmp_path, side=side)(image=image)}
    assert list(found) == sorted(found, key=lambda name: -found[name].score)
    for name, feature in (("cat", cat), ("dog", dog)):
        cosines = np.array([[max(seen[y, x] @ feature, 0) for x in range(4)] for y in range(4)])
        wanted = as_heat(torch.tensor(cosines), (side, side))
        assert np.abs(found[name].values - wanted).max() < 1e-3
        assert found[name].score == pytest.approx(cosines.max(), abs=1e-4)


def test_negatives_are_taken_off(dino, side, tmp_path):
    network, folder = dino
    size = (side, side)
    shown = lay(tmp_path / "own" / "cat", "a", 1, square(0, 0, side, side, size), size)
    not_meant = [
        lay(tmp_path / "not", name, seed, square(0, 0, side, side, size), size)
        for name, seed in (("x", 4), ("y", 5))
    ]
    cat = unit([*by_hand(network, shown).values()])
    others = [unit([*by_hand(network, image).values()]) for image in not_meant]
    image = noise(side, side, seed=9)
    seen = by_hand(network, image)
    step = opened(folder, tmp_path / "own", negatives=str(tmp_path / "not"), side=side)
    (found,) = step(image=image)
    hot = [max(p @ cat - max(p @ other for other in others), 0) for p in seen.values()]
    assert found.score == pytest.approx(max(hot), abs=1e-4)


def test_a_reference_is_found_again(dino, side, tmp_path):
    """Where a picture shows the reference itself it is as hot as can be."""
    _, folder = dino
    size = (side, side)
    image = lay(tmp_path / "cat", "a", 1, square(side // 4, side // 4, 9, 9, size), size)
    (found,) = opened(folder, tmp_path, side=side)(image=image)
    assert found.score == pytest.approx(1, abs=1e-4)
    y, x = np.unravel_index(found.values.argmax(), found.values.shape)
    assert side // 4 <= y < side // 2
    assert side // 4 <= x < side // 2


@pytest.fixture
def shown(tmp_path):
    lay(tmp_path / "cat", "a", 1, square(0, 0, 20, 20))
    lay(tmp_path / "big dog", "a", 2, square(0, 0, 20, 20))
    return tmp_path


def test_asked_classes_are_looked_for(dino, shown):
    _, folder = dino
    step = opened(folder, shown)
    assert step.vocabulary == ("big dog", "cat")
    with pytest.warns(match="reference has no examples of elk"):
        step.restrict(["Big-Dog", "elk"])
    (found,) = step(image=noise(60, 40))
    assert found.name == "Big-Dog"
    assert found.values.shape == (60, 40)
    with pytest.raises(UsageError) as error:
        opened(folder, shown).restrict(["elk"])
    assert str(error.value) == (
        f"--classes elk: --reference.examples {shown} has examples of none of them; it has "
        "big dog, cat"
    )


def test_what_is_too_unlike_is_not_there(dino, shown):
    (none,) = opened(dino[1], shown, least=1.0)(image=noise(60, 40))
    assert none.name is None
    assert not none.values.any()


# ---- bad input, before images are read -----------------------------------------------------------


def why(model, shown, **options):
    with pytest.raises(UsageError) as error:
        opened(model, shown, **options)
    return str(error.value)


def test_an_empty_mask_and_one_of_another_size(dino, shown):
    write_png(shown / "cat" / "a.mask.png", square(0, 0, 0, 0))
    mask = shown / "cat" / "a.mask.png"
    assert why(dino[1], shown) == (
        f"--reference.examples: the mask {mask} is empty; mark the object in it, or drop the photo"
    )
    write_png(mask, square(0, 0, 9, 9, (20, 30)))
    assert why(dino[1], shown) == (
        f"--reference.examples: the mask {mask} is 30x20, but its photo 56x56; give one of the "
        "photo's size"
    )
    mask.unlink()
    assert why(dino[1], shown) == (
        f"--reference.examples: {shown / 'cat' / 'a.png'} has no mask; add a.mask.png beside it, "
        "0 where the object is not"
    )
    mask.write_bytes(b"no picture")
    assert why(dino[1], shown).startswith("--reference.examples: ")


def test_folders_that_hold_no_references(dino, shown, tmp_path):
    model = dino[1]
    assert why(model, shown / "nowhere") == (
        f"--reference.examples {shown / 'nowhere'} is no folder; give one with a sub-folder a class"
    )
    assert "has no sub-folder; give each class one, with its photos" in why(model, shown / "cat")
    (shown / "elk").mkdir()
    assert "holds no " in why(model, shown)
    (shown / "elk").rmdir()
    assert "is no folder; give one with photos and masks" in why(
        model, shown, negatives=str(shown / "nowhere")
    )


def test_models_of_another_class(shown, tmp_path_factory):
    folder = tmp_path_factory.mktemp("other")
    (folder / "config.json").write_text('{"model_type": "clip"}')
    assert why(str(folder), shown) == (
        f"--reference.model {folder} is of type clip, and one of dinov2, dinov2_with_registers, "
        "dinov3_vit is wanted; choose another model, such as facebook/dinov2-small"
    )
    assert "run: segkit weights fetch hf:nobody/no-dino" in why("nobody/no-dino", shown)
