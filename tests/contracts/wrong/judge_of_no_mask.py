"""Gives the masks back without a quality."""

from __future__ import annotations

from segkit import Judge, Masks, hookimpl


class JudgeOfNoMask(Judge):
    """Gives the masks back without a quality."""

    name = "judge-of-no-mask"

    def __call__(self, masks: Masks) -> Masks:
        return masks


@hookimpl
def segkit_judges():
    return [JudgeOfNoMask]
