"""Finer-CAM: what tells a class from those most like it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import NonNegativeFloat, PositiveInt

from segkit import Saliency, hookimpl
from segkit_plugins.saliency._cam import ClassActivationMap, Seen
from segkit_plugins.saliency._maps import channel_weighted


class FinerCAM(ClassActivationMap):
    """Finer-CAM (Zhang et al. 2025, equations 4 and 5) of an image classifier.

    Grad-CAM of a difference in place of a score: of the class's score y_c less `strength` times
    y_d, the score of a class like it. Of the `similar` classes whose scores come nearest to y_c the
    differences are averaged, weighted by the classes' softmax probabilities as in the authors'
    code. What both classes have, such as a bird's body, falls out; what tells them apart stays. A
    classifier of one class has nothing to compare, and gives Grad-CAM's map. For all else see
    `gradcam`.
    """

    name = "finercam"
    concurrent = True

    similar: PositiveInt = 3
    """How many of the most similar classes it is compared with."""
    strength: NonNegativeFloat = 1.0
    """How much of a similar class's score is taken off; at 0 this is Grad-CAM."""

    def combine(self, activations: Any, gradients: Any) -> Any:
        """Grad-CAM's map (B, h, w)."""
        return channel_weighted(activations, gradients)

    def explain(self, seen: Seen) -> Any:
        """Maps (n, h, w): one for each of the rows and its class."""
        import torch

        rows = list(seen.rows)
        with torch.enable_grad():
            scores = seen.scores[rows]
            total = sum(
                self._difference(own, place)
                for own, place in zip(scores, seen.classes, strict=True)
            )
        (gradients,) = torch.autograd.grad(total, seen.activations, retain_graph=True)
        return self.combine(seen.activations.detach()[rows], gradients[rows])

    def _difference(self, scores: Any, target: int) -> Any:
        """By how much a class's score is above those like it; scores (K,)."""
        own = scores[target]
        # The last score of a grouped classifier is no class.
        away = (scores[: len(self._classifier.names)].detach() - own.detach()).abs()
        away[target] = -1  # the class itself comes first, whatever equals it
        others = away.argsort(stable=True)[1 : self.similar + 1]
        if not len(others):
            return own
        # Among each other: beside a sure class their probabilities are too small to divide by.
        share = scores[others].softmax(dim=0)
        return (share * (own - self.strength * scores[others])).sum()


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """Register `finercam`."""
    return [FinerCAM]
