"""Mean intersection over union of the classes in each image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segkit import VOID, Counts, Labels, Metric, Scores, Truth, hookimpl
from segkit_plugins.metric._counting import means, same_size


class MeanIoU(Metric):
    """IoU of each class, the mean over the classes in the image's truth, then over images.

    Background is a class. A class that is found but not in the truth of its image lowers the
    others by the pixels that it takes, but is no term of its own. An image that is all void is
    left out. (PASCAL VOC's own figure takes one confusion matrix over the set instead.)
    """

    name = "miou"

    def count(self, truth: Truth, labels: Labels) -> Counts:
        """{'miou': the image's mean IoU in [0, 1], 'images': 1}, both 0 if all is void."""
        same_size(self.name, labels.ids, truth)
        kept = truth.labels.ids != VOID
        true, found = truth.labels.ids[kept], labels.ids[kept]
        if not true.size:
            return {"miou": 0, "images": 0}
        n = int(true.max()) + 1
        trues = np.bincount(true, minlength=n)
        founds = np.bincount(found[found < n], minlength=n)
        both = np.bincount(true[true == found], minlength=n)
        present = trues > 0
        ious = both[present] / (trues + founds - both)[present]
        return {"miou": float(ious.mean()), "images": 1}

    def score(self, counts: Counts) -> Scores:
        """{'miou': mean over images, in [0, 1]}."""
        return means(counts, ["miou"], per="images")


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `miou`."""
    return [MeanIoU]
