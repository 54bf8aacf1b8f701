"""Losses of class maps; void pixels (255) take no part, and count in no mean.

Logits are (b, K, h, w), targets (b, h, w) int64 with values below K or 255. Class weights (K,) are
1 where left out. Where every pixel is void, a loss is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from segkit.values.types import VOID

SMOOTH = 1.0
"""Added above and below the fraction of the Dice loss, so that a class that is neither there nor
found costs nothing."""


def _picked(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of the true classes (b, h, w), the classes, and which pixels count."""
    counts = target != VOID
    known = target.masked_fill(~counts, 0)
    # A gather rather than torch's own loss, which repeats itself on GPUs only by chance.
    return logits.log_softmax(1).gather(1, known[:, None])[:, 0], known, counts


def _mean(losses: Tensor, known: Tensor, counts: Tensor, weights: Tensor | None) -> Tensor:
    """The mean over the pixels that count, each with the weight of its class."""
    share = counts.to(losses.dtype)
    if weights is not None:
        share = share * weights[known]
    return (losses * share).sum() / share.sum().clamp(min=1e-6)


def cross_entropy(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Minus the log-probability of the true class."""
    picked, known, counts = _picked(logits, target)
    return _mean(-picked, known, counts, weights)


def focal(
    logits: Tensor, target: Tensor, weights: Tensor | None = None, gamma: float = 2.0
) -> Tensor:
    """Cross-entropy times (1 − p)^γ (Lin et al. 2017, eq. 4); the weights are their α."""
    picked, known, counts = _picked(logits, target)
    missing = (1 - picked.exp()).clamp(min=1e-6)  # at 0 a power below 1 has no gradient
    return _mean(-picked * missing**gamma, known, counts, weights)


def dice(
    logits: Tensor, target: Tensor, weights: Tensor | None = None, each: bool = False
) -> Tensor:
    """1 − the Dice coefficient of probabilities and truth (Milletari et al. 2016, for each class).

    Sums run over the batch, or over each example, whose losses are then averaged; the mean over
    classes is weighted.
    """
    counts = (target != VOID)[:, None]
    chances = logits.softmax(1) * counts
    classes = torch.arange(logits.shape[1], device=logits.device)[:, None, None]
    truth = (target[:, None] == classes).to(chances.dtype)
    axes = (2, 3) if each else (0, 2, 3)
    both = (chances * truth).sum(axes)
    loss = 1 - (2 * both + SMOOTH) / (chances.sum(axes) + truth.sum(axes) + SMOOTH)
    loss = loss.mean(0) if each else loss
    if weights is None:
        return loss.mean()
    return (loss * weights).sum() / weights.sum().clamp(min=1e-6)


class Criterion:
    """A weighted sum of losses.

    `each`: Dice's sums run over each example. So it is where examples are clicks (as in Kirillov et
    al. 2023): summed over a batch, the few large masks of background clicks would be all that
    counts.
    """

    def __init__(
        self,
        terms: Sequence[tuple[float, str]],
        weights: Tensor | None,
        gamma: float,
        each: bool = False,
    ) -> None:
        self.terms, self.weights, self.gamma, self.each = terms, weights, gamma, each

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss (a scalar)."""
        logits = logits.float()  # a sum over all pixels needs the digits
        weights = None if self.weights is None else self.weights.to(logits.device)
        total = logits.new_zeros(())
        for share, name in self.terms:
            if name == "focal":
                loss = focal(logits, target, weights, self.gamma)
            elif name == "dice":
                loss = dice(logits, target, weights, self.each)
            else:
                loss = cross_entropy(logits, target, weights)
            total = total + share * loss
        return total
