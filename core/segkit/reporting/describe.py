"""What `segkit describe` finds in a data set: images, classes, sizes, objects, void, and faults.

Images are looked at one after the other and let go; what is kept are counts, so memory does not
grow with the pixels. A file that cannot be used is a problem in the list, not the end.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segkit.errors import BadImageError, SegkitError
from segkit.plugins.contract import classes_of, groups_of, has_truth, item_of, names_of
from segkit.reporting.describe_objects import objects_in, pixels_by_id
from segkit.running.walk import opened
from segkit.values.images import palette
from segkit.values.types import BACKGROUND, VOID, Image, Truth

if TYPE_CHECKING:
    from segkit.plugins.steps import Dataset

PROBLEMS = {
    "unreadable": "cannot be read",
    "size": "of another size than the truth",
    "no truth": "without truth",
    "ids": "with class ids that have no name",
    "empty": "without any object",
}
"""Problem to what is said of its images, the worst first."""

KEPT = 1000
"""So many sentences of each problem are kept; all are counted."""

SIDES = 1000
"""Steps in which the objects' sides are counted, so that there are few different ones."""

SAMPLES = 12
"""Pictures on the page, evenly spaced over the data set."""

SAMPLE_SIDE = 320
"""Pixels of a sample's longer side."""


@dataclass
class ClassTally:
    """What was counted of one class."""

    name: str
    images: int = 0
    pixels: int = 0
    objects: int = 0


@dataclass(frozen=True)
class Problem:
    """What is wrong with one image."""

    image: str
    problem: str
    """A key of `PROBLEMS`."""
    sentence: str


@dataclass(frozen=True, eq=False)
class Sample:
    """An image made small, with its truth made as small."""

    name: str
    pixels: NDArray[np.uint8]
    """(h, w, 3) uint8, RGB."""
    ids: NDArray[np.int32] | None
    """(h, w) int32 class ids, or None without truth."""

    def drawn(self) -> NDArray[np.uint8]:
        """(h, w, 3) uint8: half photo and half the classes' colours, with lines between classes."""
        if self.ids is None:
            return self.pixels
        colours = palette()[self.ids % 256]
        shown = self.ids != BACKGROUND
        edge = np.zeros(self.ids.shape, bool)
        edge[:, 1:] |= self.ids[:, 1:] != self.ids[:, :-1]
        edge[1:] |= self.ids[1:] != self.ids[:-1]
        drawn = self.pixels.copy()
        drawn[shown] = self.pixels[shown] // 2 + colours[shown] // 2
        drawn[edge] = 255
        return drawn


@dataclass
class Description:
    """What a data set holds, as far as it was looked at."""

    dataset: str
    """The data set's name, as in `--dataset`."""
    options: Mapping[str, Any]
    total: int
    """How many images it has."""
    looked_at: int = 0
    usable: int = 0
    """Images that could be used, of those looked at."""
    with_truth: int = 0
    """Usable images with truth."""
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    """(width, height) in pixels to usable images."""
    classes: dict[int, ClassTally] = field(default_factory=dict)
    """Class id to its counts: those that the data set names, and those that were seen."""
    groups: dict[str, Counter[str]] = field(default_factory=dict)
    """Heading to group to usable images; see `Dataset.groups`."""
    pixels: int = 0
    """Of all truths."""
    background: int = 0
    void: int = 0
    objects: Counter[int] = field(default_factory=Counter)
    """Objects in an image to images with truth."""
    sides: Counter[int] = field(default_factory=Counter)
    """Side to objects: the root of the share of its image that an object covers, × `SIDES`."""
    counted_by: Counter[str] = field(default_factory=Counter)
    """`instances` or `regions` to images: how objects were told apart."""
    problems: list[Problem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Problem to images."""
    samples: list[Sample] = field(default_factory=list)

    @classmethod
    def of(cls, dataset: Dataset) -> Description:
        """Nothing seen yet. Raises `UsageError` where the data set cannot list its images."""
        return cls(
            dataset.name,
            dataset.model_dump(mode="json", exclude_none=True),
            len(names_of(dataset)),
            classes={i: ClassTally(name) for i, name in classes_of(dataset).items()},
            groups={heading: Counter() for heading in groups_of(dataset)},
        )

    def look(self, dataset: Dataset, samples: int = SAMPLES) -> Iterator[str]:
        """Look at each image and yield its name; it may be stopped after any.

        The data set is opened and closed. `samples`: how many pictures to keep. Raises what opening
        the data set raises.
        """
        names = names_of(dataset)
        groups = groups_of(dataset)
        named = set(classes_of(dataset))
        shown = set(np.linspace(0, len(names) - 1, min(samples, len(names))).round().tolist())
        with opened([dataset], "cpu"):
            for index, name in enumerate(names):
                usable = self._read(dataset, index, name)
                self.looked_at += 1
                if usable is not None:
                    image, truth = usable
                    self._add(image, truth, name, named)
                    for heading, of in groups.items():
                        if name in of:
                            self.groups[heading][of[name]] += 1
                    if index in shown:
                        self.samples.append(_sample(image, truth, name))
                yield name

    def _read(self, dataset: Dataset, index: int, name: str) -> tuple[Image, Truth | None] | None:
        """The image and its truth, or None where it cannot be used, which is a problem."""
        try:
            image, truth = item_of(dataset, index)
        except SegkitError as error:  # a plugin's own fault spoils this image alone
            cause = error.cause if isinstance(error, BadImageError) else ""
            self._note(name, cause if cause in PROBLEMS else "unreadable", str(error))
            return None
        if truth is None and has_truth(dataset):
            self._note(name, "no truth", f"'{name}' has no truth, though the data set has")
        if truth is not None and truth.labels.ids.shape != image.size:
            height, width = truth.labels.ids.shape
            self._note(
                name,
                "size",
                f"the truth of '{name}' is {width}x{height}, but the image is "
                f"{image.size[1]}x{image.size[0]}; scale one of them",
            )
            return None
        return image, truth

    def _note(self, image: str, problem: str, sentence: str) -> None:
        self.counts[problem] += 1
        if self.counts[problem] <= KEPT:
            self.problems.append(Problem(image, problem, sentence))

    def _add(self, image: Image, truth: Truth | None, name: str, named: set[int]) -> None:
        """Count one usable image."""
        height, width = image.size
        self.usable += 1
        self.sizes[width, height] += 1
        if truth is None:
            return
        self.with_truth += 1
        counts = pixels_by_id(truth.labels.ids)
        self.pixels += height * width
        self.background += counts.pop(BACKGROUND, 0)
        self.void += counts.pop(VOID, 0)
        for i, pixels in counts.items():
            tally = self._tally(i, truth)
            tally.images += 1
            tally.pixels += pixels
        unknown = sorted(set(counts) - named) if named else []
        if unknown:
            ids = ", ".join(map(str, unknown[:5])) + (", …" if len(unknown) > 5 else "")
            self._note(name, "ids", f"the truth of '{name}' holds {ids}, which no class has")
        if not counts:
            self._note(name, "empty", f"the truth of '{name}' shows no object")
        objects, how = objects_in(truth)
        self.counted_by[how] += 1
        self.objects[len(objects)] += 1
        for i, area in objects:
            self._tally(i, truth).objects += 1
            side = math.sqrt(area / (height * width))
            self.sides[round(side * SIDES)] += 1

    def _tally(self, i: int, truth: Truth) -> ClassTally:
        if i not in self.classes:
            self.classes[i] = ClassTally(truth.labels.classes.get(i) or f"class {i}")
        return self.classes[i]

    # ---- what it comes to ----------------------------------------------------------------------

    @property
    def spoilt(self) -> int:
        """How many images cannot be used."""
        return self.looked_at - self.usable

    @property
    def shown(self) -> list[tuple[int, ClassTally]]:
        """Id and counts of the classes that some truth shows, the most frequent first."""
        seen = [(i, tally) for i, tally in self.classes.items() if tally.images]
        return sorted(seen, key=lambda pair: (-pair[1].images, -pair[1].pixels, pair[0]))

    @property
    def unseen(self) -> list[str]:
        """The classes that no truth shows; of a data set without truth none."""
        if not self.with_truth:
            return []
        return [tally.name for tally in self.classes.values() if not tally.images]

    @property
    def measures(self) -> dict[str, Counter[float]]:
        """Width, height (pixels) and aspect (width / height) to value to images."""
        measures: dict[str, Counter[float]] = {n: Counter() for n in ("width", "height", "aspect")}
        for (width, height), images in self.sizes.items():
            measures["width"][width] += images
            measures["height"][height] += images
            measures["aspect"][width / height] += images
        return measures

    @property
    def how_counted(self) -> str:
        """What an object is here, in words."""
        instances, regions = self.counted_by["instances"], self.counted_by["regions"]
        if instances and regions:
            return (
                f"instances where the truth has them ({instances} images), else connected regions "
                f"of a class ({regions} images; void joins)"
            )
        if instances:
            return "instances of the truth"
        return "connected regions of a class (void joins), for the truth has no instances"

    @property
    def headline(self) -> str:
        """How many images there are, with truth, and to be used, in a line."""
        images = f"{self.dataset}: {self.total:,} image{'' if self.total == 1 else 's'}"
        if self.looked_at < self.total:
            images += f", of which {self.looked_at:,} were looked at"
        if self.with_truth == self.total:
            truth = "all with truth"
        else:
            truth = f"{self.with_truth:,} with truth" if self.with_truth else "none with truth"
        spoilt = f", {self.spoilt:,} cannot be used" if self.spoilt else ""
        return f"{images}, {truth}{spoilt}"

    def __repr__(self) -> str:
        return f"Description({self.headline})"

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON can hold them."""
        return {
            "dataset": {"name": self.dataset, "options": dict(self.options)},
            "images": {
                "total": self.total,
                "looked_at": self.looked_at,
                "usable": self.usable,
                "with_truth": self.with_truth,
            },
            "classes": [
                {
                    "id": i,
                    "name": tally.name,
                    "images": tally.images,
                    "pixels": tally.pixels,
                    "pixel_share": share(tally.pixels, self.pixels),
                    "objects": tally.objects,
                }
                for i, tally in self.classes.items()
            ],
            "groups": {heading: dict(sorted(of.items())) for heading, of in self.groups.items()},
            "pixels": {
                "all": self.pixels,
                "background": self.background,
                "background_share": share(self.background, self.pixels),
                "void": self.void,
                "void_share": share(self.void, self.pixels),
            },
            "sizes": {name: spread(values) for name, values in self.measures.items()},
            "objects": {
                "all": sum(n * images for n, images in self.objects.items()),
                "per_image": spread(self.objects),
                "counted_by": dict(self.counted_by),
            },
            "problem_counts": {problem: self.counts[problem] for problem in PROBLEMS},
            "problems": [vars(problem) for problem in self.problems],
        }


def share(part: float, whole: float) -> float:
    """A part of a whole; of nothing 0."""
    return part / whole if whole else 0.0


def spread(values: Mapping[float, int] | Mapping[int, int]) -> dict[str, float] | None:
    """Least, median, mean and greatest of values that occur so often; None if there is none."""
    if not any(values.values()):
        return None
    every = np.repeat(list(values), list(values.values()))
    return {
        "min": every.min().item(),
        "median": float(np.median(every)),
        "mean": float(every.mean()),
        "max": every.max().item(),
    }


def _sample(image: Image, truth: Truth | None, name: str) -> Sample:
    """The image at most `SAMPLE_SIDE` wide and high."""
    import PIL.Image

    height, width = image.size
    scale = min(1.0, SAMPLE_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = PIL.Image.fromarray(image.pixels).resize(size, PIL.Image.Resampling.LANCZOS)
    if truth is None:
        return Sample(name, np.asarray(small), None)
    # The middle of each small pixel's patch: class ids must not be mixed.
    rows = ((np.arange(size[1]) + 0.5) * height / size[1]).astype(int)
    columns = ((np.arange(size[0]) + 0.5) * width / size[0]).astype(int)
    return Sample(name, np.asarray(small), truth.labels.ids[rows][:, columns])
