"""Mean intersection over union of the classes in each image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segkit import VOID, Counts, Figure, Labels, Metric, Truth, hookimpl
from segkit_plugins.metric._counting import same_size
from segkit_plugins.metric._per_image import PerImage


class MeanIoU(PerImage):
    """IoU of each class, the mean over the classes in the image's truth, then over images.

    Background is a class. A class that is found but not in the truth of its image lowers the
    others by the pixels that it takes, but is no term of its own. An image that is all void is
    left out. (PASCAL VOC's own figure takes one confusion matrix over the set instead.)
    """

    name = "miou"
    concurrent = True
    figures = {"miou": Figure(by_name=True, background=True)}

    def count(self, truth: Truth, labels: Labels) -> Counts:
        """{'miou': the image's mean IoU in [0, 1], 'images': 1}, both 0 if all is void."""
        same_size(self.name, labels.ids, truth)
        kept = truth.labels.ids != VOID
        true, predicted = truth.labels.ids[kept], labels.ids[kept]
        if not true.size:
            return self.counted(None)
        n = int(true.max()) + 1
        true_pixels = np.bincount(true, minlength=n)
        predicted_pixels = np.bincount(predicted[predicted < n], minlength=n)
        both = np.bincount(true[true == predicted], minlength=n)
        present = true_pixels > 0
        ious = both[present] / (true_pixels + predicted_pixels - both)[present]
        return self.counted(float(ious.mean()))


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `miou`."""
    return [MeanIoU]
