"""Annotation formats: an image's objects with their names.

Each format has a folder of its own in the run's folder, with a file `classes.json` of the class
ids that its files use (see `_numbering`). A run that was cut off and goes on finds the ids there,
and the files of the images that it need not do again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segkit import (
    BACKGROUND,
    VOID,
    Image,
    Labels,
    Masks,
    PluginError,
    Prompts,
    UsageError,
    Writer,
)
from segkit_plugins.shared.name_tables import BACKGROUND_NAME
from segkit_plugins.shared.object_names import NAMELESS, object_names
from segkit_plugins.writer._numbering import ClassIds


class AnnotationWriter(Writer):
    """A format of annotations: `write` gathers what there is of an image for `annotate`."""

    def write(
        self,
        directory: Path,
        image: Image,
        masks: Masks | None = None,
        prompts: Prompts | None = None,
        labels: Labels | None = None,
        classes: Mapping[int, str] | None = None,
    ) -> tuple[Path, ...]:
        """Write an image's files, and the photo where the format's option `images` asks for it.

        Raises `UsageError` if there are neither masks nor labels, and what the format's own
        `annotate` raises.
        """
        objects = objects_in(self.name, masks, prompts, labels, classes)
        own = masks is None
        judged = masks is not None and masks.quality is not None
        folder = directory / self.name
        annotated = Annotated(image, objects, labels, classes, folder, own, judged)
        return self.annotate(directory, annotated)

    def annotate(self, directory: Path, annotated: Annotated) -> tuple[Path, ...]:
        """Write the files of an image with its objects in a format; their paths."""
        # Each format overrides this; said as the kinds' own missing parts are.
        raise PluginError(f"{type(self).__name__} should define 'annotate', but does not")


@dataclass(frozen=True, eq=False)
class Annotated:
    """An image and what is to be said of it."""

    image: Image
    objects: Sequence[AnnotatedObject]
    labels: Labels | None
    classes: Mapping[int, str] | None
    """The data set's classes."""
    folder: Path
    """The format's folder."""
    own_ids: bool = True
    """Whether the class map's ids are a segmenter's; masks that were painted give them anew in each
    image."""
    judged: bool = False
    """Whether each object has a quality."""

    @cached_property
    def ids(self) -> ClassIds:
        """The folder's class ids; a format that uses them saves them before its files."""
        return ClassIds(self.folder, self.classes)


# ---- objects ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class AnnotatedObject:
    """One object of an image."""

    name: str
    """Its class."""
    pixels: Callable[[], NDArray[np.bool_]]
    """Makes its mask; see `mask`."""
    score: float = 1.0
    """The mask's score; 1 for a class of a class map."""
    wanted: int | None = None
    """Its class's id in the class map, if it comes from one."""
    quality: float | None = None
    """How good a judge holds the mask for; None where none has judged."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool, at least one pixel; made when it is read."""
        return self.pixels()

    @property
    def figures(self) -> dict[str, float]:
        """What formats with room for it hold: `score`, and where there is one `quality`."""
        return {"score": self.score} | ({} if self.quality is None else {"quality": self.quality})


def objects_in(
    who: str,
    masks: Masks | None,
    prompts: Prompts | None,
    labels: Labels | None,
    classes: Mapping[int, str] | None,
) -> list[AnnotatedObject]:
    """The objects of an image: its masks, or without masks one for each class of the class map.

    A mask's class is its own name, else its prompt's, else the one that most of its pixels have in
    the class map, else 'object'; a mask that is mostly background there is no object. Where the
    data set knows one class, 'object', all masks are that. Empty masks are left out, and masks that
    are called 'background'; background and void are no objects.

    `who`: the writer, for the message of `UsageError` if there are neither masks nor a class map.
    """
    if masks is None and labels is None:
        raise UsageError(
            f"--write {who} needs masks or a class map, and nothing before it makes one; "
            "add --segmenter"
        )
    if masks is None:
        assert labels is not None
        return [
            AnnotatedObject(name, partial(np.equal, labels.ids, i), wanted=i)
            for i, name in named_ids(labels, classes).items()
        ]
    objects = []
    names = object_names(masks, prompts, classes)
    judged = [None] * len(masks) if masks.quality is None else masks.quality.tolist()
    for place, (score, name, said) in enumerate(zip(masks.scores, names, judged, strict=True)):
        if not masks.areas[place] or name == BACKGROUND_NAME:
            continue
        wanted = None
        if name is None and labels is not None:
            wanted = _most_common(labels.ids[masks.at(place)])
            if wanted == BACKGROUND:
                continue
            name = name_of(wanted, labels, classes)
        quality = None if said is None else round(said, 6)
        own = round(float(score), 6)
        objects.append(
            AnnotatedObject(name or NAMELESS, partial(masks.at, place), own, wanted, quality)
        )
    return objects


def named_ids(labels: Labels, classes: Mapping[int, str] | None) -> dict[int, str]:
    """{id: name} of the classes that a class map shows, without background and void."""
    present = np.unique(labels.ids).tolist()
    return {i: name_of(i, labels, classes) for i in present if i not in (BACKGROUND, VOID)}


def name_of(i: int, labels: Labels, classes: Mapping[int, str] | None) -> str:
    """A class's name: the class map's, else the data set's, else 'class 7'."""
    return labels.classes.get(i) or (classes or {}).get(i) or f"class {i}"


def _most_common(ids: NDArray[np.int32]) -> int:
    """The most common id, void left out; of several the lowest, of none background."""
    counts = np.bincount(ids[ids != VOID], minlength=1)
    return int(counts.argmax())
