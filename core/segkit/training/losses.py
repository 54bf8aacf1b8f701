"""Losses of class maps; void pixels (255) take no part, and count in no mean.

Logits are (b, K, h, w), targets (b, h, w) int64 with values below K or 255. Class weights (K,) are
1 where left out. Where every pixel is void, a loss is 0.

A batch may be computed in micro-batches (`MicroBatchCriterion`): then the loss and its gradient are
the whole batch's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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


def _pixel_weights(known: Tensor, counts: Tensor, weights: Tensor | None) -> Tensor:
    """(b, h, w) float32: what each pixel counts, by its class."""
    share = counts.float()
    return share if weights is None else share * weights[known]


def _mean(
    losses: Tensor, known: Tensor, counts: Tensor, weights: Tensor | None, total: Tensor | None
) -> Tensor:
    """The mean over the pixels that count, each with the weight of its class.

    `total`: the sum of the weights where it is of more than these pixels.
    """
    share = _pixel_weights(known, counts, weights)
    total = share.sum() if total is None else total
    return (losses * share).sum() / total.clamp(min=1e-6)


def cross_entropy(
    logits: Tensor, target: Tensor, weights: Tensor | None = None, total: Tensor | None = None
) -> Tensor:
    """Minus the log-probability of the true class."""
    picked, known, counts = _picked(logits, target)
    return _mean(-picked, known, counts, weights, total)


def focal(
    logits: Tensor,
    target: Tensor,
    weights: Tensor | None = None,
    gamma: float = 2.0,
    total: Tensor | None = None,
) -> Tensor:
    """Cross-entropy times (1 − p)^γ (Lin et al. 2017, eq. 4); the weights are their α."""
    picked, known, counts = _picked(logits, target)
    missing = (1 - picked.exp()).clamp(min=1e-6)  # at 0 a power below 1 has no gradient
    return _mean(-picked * missing**gamma, known, counts, weights, total)


def _dice_sums(logits: Tensor, target: Tensor, axes: tuple[int, ...]) -> Tensor:
    """(2, K), or (2, b, K): the intersection of probabilities and truth, and the sum of both."""
    counts = (target != VOID)[:, None]
    chances = logits.softmax(1) * counts
    classes = torch.arange(logits.shape[1], device=logits.device)[:, None, None]
    truth = (target[:, None] == classes).to(chances.dtype)
    return torch.stack([(chances * truth).sum(axes), chances.sum(axes) + truth.sum(axes)])


def _dice_of(sums: Tensor, weights: Tensor | None) -> Tensor:
    """The loss from sums: 1 − the Dice coefficient, its mean over examples, then over classes."""
    loss = 1 - (2 * sums[0] + SMOOTH) / (sums[1] + SMOOTH)
    loss = loss.mean(0) if loss.dim() > 1 else loss
    if weights is None:
        return loss.mean()
    return (loss * weights).sum() / weights.sum().clamp(min=1e-6)


def dice(
    logits: Tensor, target: Tensor, weights: Tensor | None = None, each: bool = False
) -> Tensor:
    """1 − the Dice coefficient of probabilities and truth (Milletari et al. 2016, for each class).

    Sums run over the batch, or over each example, whose losses are then averaged; the mean over
    classes is weighted.
    """
    return _dice_of(_dice_sums(logits, target, (2, 3) if each else (0, 2, 3)), weights)


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

    def begin(self, target: Tensor) -> None:
        """The next calls are about the examples of this target."""

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss (a scalar)."""
        logits = logits.float()  # a sum over all pixels needs the digits
        weights = None if self.weights is None else self.weights.to(logits.device)
        total = logits.new_zeros(())
        for share, name in self.terms:
            total = total + share * self._term(name, logits, target, weights)
        return total

    def _term(self, name: str, logits: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
        if name == "focal":
            return focal(logits, target, weights, self.gamma)
        if name == "dice":
            return dice(logits, target, weights, self.each)
        return cross_entropy(logits, target, weights)


class MicroBatchCriterion(Criterion):
    """The losses of micro-batches that make up those of their batch.

    Each micro-batch's loss times its share of the examples has the batch's loss as sum over the
    micro-batches, and the gradient of that sum is the batch's gradient. Three things that a mean
    over the micro-batches would get wrong are those of the whole `target`:

    - Cross-entropy and the focal loss divide by the weights of all its pixels that are not void.
    - Dice, where its sums run over the batch, is no sum of the micro-batches' losses. So the sums
      are added up beforehand, by a pass of the network without gradients (`collecting`); then each
      micro-batch differentiates the batch's loss with respect to its own part of the sums.
    - A criterion that is called several times in a step has Dice's sums of each call.

    So it is for the target that was announced by `begin`; with another one, such as a smaller map
    of the same truth, the loss is that of the micro-batch alone.
    """

    def __init__(self, criterion: Criterion, target: Tensor) -> None:
        super().__init__(criterion.terms, criterion.weights, criterion.gamma, criterion.each)
        counts = target != VOID
        weights = None if self.weights is None else self.weights.to(target.device)
        known = target.masked_fill(~counts, 0).long()
        self.pixels = _pixel_weights(known, counts, weights).sum()
        self.examples = len(target)
        self.sums: list[Tensor] = []
        self.adds = False

    @property
    def collects(self) -> bool:
        """Whether sums over the whole batch have to be known before a gradient is."""
        return not self.each and any(name == "dice" for _, name in self.terms)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """What is called in here adds up the sums."""
        self.adds = True
        try:
            yield
        finally:
            self.adds = False

    def begin(self, target: Tensor) -> None:
        """The next calls are about the micro-batch of this target."""
        self.target, self.calls = target, 0

    def _term(self, name: str, logits: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
        if target is not self.target:
            return super()._term(name, logits, target, weights)
        times = self.examples / len(target)
        if name == "focal":
            return focal(logits, target, weights, self.gamma, self.pixels) * times
        if name == "cross-entropy":
            return cross_entropy(logits, target, weights, self.pixels) * times
        if self.each:
            return dice(logits, target, weights, each=True)
        own = _dice_sums(logits, target, (0, 2, 3))
        call, self.calls = self.calls, self.calls + 1
        if self.adds:
            before = self.sums[call] if call < len(self.sums) else 0
            self.sums[call : call + 1] = [before + own.detach()]
            return _dice_of(own, weights)
        loss = _dice_of(self.sums[call] - own.detach() + own, weights)
        return loss.detach() + times * (loss - loss.detach())
