"""IoU of what lies near the borders: how well outlines agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segkit import VOID, Counts, Figure, Labels, Masks, Metric, Truth, hookimpl
from segkit_plugins.metric._counting import foreground, share
from segkit_plugins.metric._per_image import PerImage


class BoundaryIoU(PerImage):
    """Boundary IoU (Cheng et al. 2021, equation 2) of the foreground, the mean over images.

    Of the found and of the true foreground only the pixels are compared that lie within d pixels
    of their own outline, inside it; d is 2 % of the image's diagonal, at least 1. As in the paper's
    own program, the inner part is what d erosions by a 3×3 square leave, and the image's border
    counts as outline. Foreground is every class, as for `iou`; void pixels are left out. An image
    where both bands are empty counts 1; one that is all void is left out.
    """

    name = "boundary-iou"
    concurrent = True
    figures = {"boundary-iou": Figure()}

    width: float = Field(0.02, gt=0, le=1)
    """Width of the band, as a share of the image's diagonal."""

    def count(
        self, truth: Truth, labels: Labels | None = None, masks: Masks | None = None
    ) -> Counts:
        """{'boundary-iou': the image's figure in [0, 1], 'images': 1}, or 0 if all is void."""
        predicted = foreground(self.name, labels, masks, truth)
        ids = truth.labels.ids
        kept = ids != VOID
        if not kept.any():
            return self.counted(None)
        steps = max(1, round(self.width * float(np.hypot(*ids.shape))))
        # Void is cut out of both, so its edge is an outline of both.
        predicted, true = band(predicted & kept, steps), band((ids > 0) & kept, steps)
        union = int(np.count_nonzero(predicted | true))
        both = int(np.count_nonzero(predicted & true))
        return self.counted(share(both, union))


def band(mask: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """(H, W) bool: the pixels of a mask that `steps` erosions by a 3×3 square take away."""
    from scipy.ndimage import distance_transform_cdt

    # That many erosions leave the pixels whose chessboard distance to the outside is greater.
    away = distance_transform_cdt(np.pad(mask, 1), metric="chessboard")[1:-1, 1:-1]
    rim: NDArray[np.bool_] = mask & (away <= steps)
    return rim


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `boundary-iou`."""
    return [BoundaryIoU]
