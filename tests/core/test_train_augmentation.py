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


def test_flips_both_ways(picture):
    torch.manual_seed(0)
    change = augmentation(Settings(**dict.fromkeys(KINDS, False), flip_vertical=True), 64)
    seen = {tuple(change(*picture)[1].flatten().tolist()) for _ in range(20)}
    assert seen == {tuple(t.flatten().tolist()) for t in (picture[1], picture[1].flip(0))}


@pytest.mark.parametrize("degrees", [0, 30, 90])
def test_turned_by_so_many_degrees_at_most(degrees):
    """The angle of a bar whose two halves have classes of their own."""
    target = torch.zeros(64, 64, dtype=torch.uint8)
    target[31:33, 2:32], target[31:33, 32:62] = 1, 2
    torch.manual_seed(0)
    change = augmentation(only("rotate").model_copy(update={"degrees": degrees}), 64)
    angles = []
    for _ in range(40):
        _, turned = change(target.expand(3, 64, 64) * 100, target)
        y, x = (turned == 2).nonzero().float().mean(0) - (turned == 1).nonzero().float().mean(0)
        angles.append(abs(torch.rad2deg(torch.atan2(y, x)).item()))
    assert max(angles) <= degrees + 1
    assert max(angles) >= 0.8 * degrees


@pytest.mark.parametrize("share", [0.25, 0.7, 1.0])
def test_a_crop_keeps_at_least_its_share(share):
    """A checkerboard of 8 pixels tells by how much it was enlarged, the truth with it."""
    change = augmentation(only().model_copy(update={"crop": share}), 64)
    if share == 1:
        assert change is None
        return
    board = torch.arange(64) // 8
    target = ((board[:, None] + board) % 2).to(torch.uint8)
    torch.manual_seed(0)
    sides = []
    for _ in range(40):
        pixels, found = change((target * 200).expand(3, 64, 64).contiguous(), target)
        assert pixels.shape == (3, 64, 64)
        assert ((pixels[0] > 100) == (found == 1)).float().mean() > 0.8
        edges = (found[32, 1:] != found[32, :-1]).nonzero()[:, 0].float()
        sides.append(8 / edges.diff().mean().item())  # the side that was kept, as a share
    assert min(sides) >= share**0.5 - 0.05
    assert min(sides) <= share**0.5 + 0.1
    assert max(sides) <= 1.05


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
