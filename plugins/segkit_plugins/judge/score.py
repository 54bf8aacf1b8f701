"""Judge each mask by the score that its segmenter gave it."""

from __future__ import annotations

from segkit import Judge, Masks, hookimpl


class Score(Judge):
    """The segmenter's own score, cut to 0 … 1; for SAM the IoU that it predicts (Kirillov 2023)."""

    name = "score"
    concurrent = True

    def __call__(self, masks: Masks) -> Masks:
        """The same masks, judged."""
        return masks.changed(quality=masks.scores.clip(0, 1))


@hookimpl
def segkit_judges() -> list[type[Judge]]:
    """The judge of this module."""
    return [Score]
