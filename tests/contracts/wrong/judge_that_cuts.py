"""Drops the masks that it does not like."""

from __future__ import annotations

from dataclasses import replace

from segkit import Judge, Masks, hookimpl


class JudgeThatCuts(Judge):
    """Drops the masks that it does not like."""

    name = "judge-that-cuts"

    def __call__(self, masks: Masks) -> Masks:
        return replace(masks, quality=masks.scores).take(masks.scores.argsort()[1:])


@hookimpl
def segkit_judges():
    return [JudgeThatCuts]
