"""The losses of training, against torch, torchvision and their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from segkit.training.losses import Criterion, cross_entropy, dice, focal  # noqa: E402
from segkit.training.settings import Settings, terms_of, weights_of  # noqa: E402

WEIGHTS = torch.tensor([0.5, 2.0, 1.5])


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 7, 9, generator=generator) * 3
    target = torch.randint(0, 3, (2, 7, 9), generator=generator)
    target[torch.rand(2, 7, 9, generator=generator) < 0.2] = 255
    return logits, target


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_cross_entropy_is_torchs(case, weights):
    logits, target = case
    wanted = F.cross_entropy(logits, target, weight=weights, ignore_index=255)
    torch.testing.assert_close(cross_entropy(logits, target, weights), wanted)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_two_classes_is_torchvisions(gamma):
    from torchvision.ops import sigmoid_focal_loss

    generator = torch.Generator().manual_seed(1)
    score = torch.randn(2, 8, 8, generator=generator) * 2
    target = torch.randint(0, 2, (2, 8, 8), generator=generator)
    logits = torch.stack([torch.zeros_like(score), score], 1)
    wanted = sigmoid_focal_loss(score, target.float(), alpha=-1, gamma=gamma, reduction="mean")
    torch.testing.assert_close(focal(logits, target, gamma=gamma), wanted)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_dice_by_its_definition(case, weights):
    logits, target = case
    p = np.exp(logits.double().numpy())
    p /= p.sum(1, keepdims=True)
    t = target.numpy()
    losses = []
    for k in range(3):
        chance, truth = p[:, k][t != 255], t[t != 255] == k
        losses.append(1 - (2 * chance[truth].sum() + 1) / (chance.sum() + truth.sum() + 1))
    wanted = np.average(losses, weights=None if weights is None else weights.numpy())
    assert float(dice(logits, target, weights)) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_dice_of_each_example_is_averaged(case, weights):
    logits, target = case
    wanted = np.mean([float(dice(logits[i : i + 1], target[i : i + 1], weights)) for i in (0, 1)])
    assert float(dice(logits, target, weights, each=True)) == pytest.approx(wanted, abs=1e-6)
    assert float(dice(logits, target, weights)) != pytest.approx(wanted, abs=1e-4)
    criterion = Criterion(terms_of("dice"), weights, 2.0, each=True)
    assert float(criterion(logits, target)) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("loss", [cross_entropy, focal, dice])
def test_void_pixels_take_no_part_and_gradients_are_finite(loss, case):
    logits, target = case
    logits.requires_grad_()
    before = loss(logits, target)
    before.backward()
    assert logits.grad.isfinite().all()
    void = (target == 255)[:, None].expand_as(logits)
    assert not logits.grad[void].any()
    changed = torch.where(void, torch.randn_like(logits), logits)
    torch.testing.assert_close(loss(changed, target), before)
    sure = torch.full((1, 2, 4, 4), 80.0, requires_grad=True)
    loss(sure * torch.tensor([1.0, -1.0]).view(1, 2, 1, 1), torch.zeros(1, 4, 4).long()).backward()
    assert sure.grad.isfinite().all()
    nothing = loss(logits, torch.full_like(target, 255))
    assert float(nothing.detach()) == pytest.approx(0, abs=1e-6)


def test_sums_of_losses(case):
    both = Criterion(terms_of("cross-entropy + 0.25*dice+2*focal"), WEIGHTS, 1.5)
    one, other, third = (
        cross_entropy(*case, WEIGHTS),
        dice(*case, WEIGHTS),
        focal(*case, WEIGHTS, 1.5),
    )
    torch.testing.assert_close(both(*case), one + 0.25 * other + 2 * third)


@pytest.mark.parametrize("text", ["mse", "dice+", "x*dice", "dice,focal", "-1*dice", ""])
def test_losses_that_there_are_not(text):
    with pytest.raises(ValidationError, match="should be cross-entropy, dice, focal, or a sum"):
        Settings(loss=text)


def test_class_weights_are_read():
    assert weights_of(("background=0.25", "cat=2")) == {"background": 0.25, "cat": 2.0}
    assert Settings(class_weights=("a=1,b=2",)).class_weights == ("a=1", "b=2")
    for bad in ("cat", "cat=much", "cat=-1", "cat=inf"):
        with pytest.raises(ValidationError, match="should be CLASS=WEIGHT"):
            Settings(class_weights=(bad,))
