"""Random changes of image and target together."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

from segkit.training.augment import GREY, augmentation  # noqa: E402
from segkit.training.settings import Settings  # noqa: E402

KINDS = ("flip", "rotate", "elastic", "jitter")


def only(*kinds):
    return Settings(**{kind: kind in kinds for kind in KINDS})


@pytest.fixture
def picture():
    """A bright block, class 1, on a dark ground."""
    target = torch.zeros(64, 64, dtype=torch.uint8)
    target[10:40, 6:30] = 1
    pixels = (target * 200 + 20).expand(3, 64, 64).contiguous()
    return pixels, target


@pytest.mark.parametrize("kind", KINDS[:3])
def test_the_target_moves_with_the_image(kind, picture):
    torch.manual_seed(0)
    change = augmentation(only(kind), 64)
    moved = 0
    for _ in range(8):
        pixels, target = change(*picture)
        assert pixels.shape == (3, 64, 64)
        assert pixels.dtype == target.dtype == torch.uint8
        assert type(pixels) is type(target) is torch.Tensor
        bright = pixels[0] > 165  # brighter than what comes in at the border
        known = target != 255
        assert (bright == (target == 1))[known].float().mean() > 0.97
        outside = pixels[0][target == 255]
        assert ((outside.int() - GREY).abs() < 110).all()
        moved += not torch.equal(target, picture[1])
    assert moved >= 2


def test_a_flip_is_a_mirror(picture):
    torch.manual_seed(0)
    change = augmentation(only("flip"), 64)
    seen = {tuple(change(*picture)[1].flatten().tolist()) for _ in range(20)}
    assert seen == {tuple(t.flatten().tolist()) for t in (picture[1], picture[1].flip(1))}


def test_jitter_leaves_the_target_alone(picture):
    torch.manual_seed(0)
    pixels, target = augmentation(only("jitter"), 64)(*picture)
    assert torch.equal(target, picture[1])
    assert not torch.equal(pixels, picture[0])


def test_each_and_all_can_be_switched_off(picture):
    assert augmentation(Settings(augment=False), 64) is None
    assert augmentation(only(), 64) is None
    torch.manual_seed(3)
    one = augmentation(Settings(), 64)(*picture)
    torch.manual_seed(3)
    again = augmentation(Settings(), 64)(*picture)
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
