"""Metrics that give each image a figure: what they share, the mean over images, and overlaps."""

from __future__ import annotations

from segkit import Counts, Labels, Masks, Metric, PluginError, Scores, Truth
from segkit_plugins.metric._counting import Overlap, class_overlap, foreground, means, overlap


class PerImage(Metric):
    """A figure in [0, 1] for each image; what is given in the end is the mean over images."""

    def counted(self, figure: float | None) -> Counts:
        """{NAME: the image's figure, 'images': 1}, both 0 for an image that has none."""
        return {self.name: 0, "images": 0} if figure is None else {self.name: figure, "images": 1}

    def score(self, counts: Counts) -> Scores:
        """{NAME: mean over images, in [0, 1]}."""
        return means(counts, [self.name], per="images")


class _OfOverlap(PerImage):
    """A figure of an overlap alone."""

    def ratio(self, overlap: Overlap) -> float:
        """The image's figure in [0, 1]."""
        # Each metric overrides this; said as the kinds' own missing parts are.
        raise PluginError(f"{type(self).__name__} should define 'ratio', but does not")

    def _of(self, overlap: Overlap | None) -> Counts:
        return self.counted(None if overlap is None else self.ratio(overlap))


class OfForeground(_OfOverlap):
    """A figure of how two foregrounds overlap, whatever the class of their pixels."""

    def count(
        self, truth: Truth, labels: Labels | None = None, masks: Masks | None = None
    ) -> Counts:
        """{NAME: the image's figure in [0, 1], 'images': 1}, both 0 if every pixel is void."""
        return self._of(overlap(foreground(self.name, labels, masks, truth), truth))


class OfClasses(_OfOverlap):
    """A figure of how two class maps overlap, background being no class."""

    def count(self, truth: Truth, labels: Labels) -> Counts:
        """{NAME: the image's figure in [0, 1], 'images': 1}, both 0 if every pixel is void."""
        return self._of(class_overlap(self.name, labels, truth))
