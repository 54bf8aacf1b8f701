"""Cannot do without the encoding, which many segmenters have not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from segkit import Judge, Masks, hookimpl


class NeedsEncoding(Judge):
    """Cannot do without the encoding, which many segmenters have not."""

    name = "needs-encoding"

    def __call__(self, masks: Masks, encoding: Any) -> Masks:
        return replace(masks, quality=masks.scores * (encoding is not None))


@hookimpl
def segkit_judges():
    return [NeedsEncoding]
