"""The classes that a run is about: their ids, and a truth in the same ids.

They are those asked for by `--classes`, else the data set's, else those that its steps are limited
to by their tables. So the same class has the same id in all images, whatever their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from pydantic import PrivateAttr

from segkit.errors import UsageError
from segkit.kinds import MASK_WRITER, flag_of
from segkit.plugins.contract import blamed, classes_of, has_truth, item_of
from segkit.plugins.steps import Dataset, Step, Writer
from segkit.running.reading import Wrapper
from segkit.values.types import BACKGROUND, VOID, Image, Labels, Truth


def numbered(names: Sequence[str]) -> dict[int, str]:
    """{id: name}: 1, 2, … in the order of the names, without 255 (void)."""
    ids = (i for i in range(1, len(names) + 2) if i != VOID)
    return dict(zip(ids, names, strict=False))


def check_asked(names: Sequence[str]) -> None:
    """Raise `UsageError` for a class asked for that is empty, or there twice but for case."""
    seen: dict[str, str] = {}
    for name in names:
        if not name.strip():
            raise UsageError("--classes has an empty name; drop a comma, or name the class")
        if (other := seen.setdefault(name.casefold(), name)) != name or names.count(name) > 1:
            same = f"'{name}' twice" if other == name else f"both '{other}' and '{name}'"
            raise UsageError(f"--classes has {same}; name each class once")


def restrict(steps: Iterable[Step], asked: Sequence[str]) -> None:
    """Have open steps look for the classes asked for alone, where they can."""
    for step in steps if asked else ():
        with blamed(step, "could not be restricted to --classes:"):
            step.restrict(asked)


def vocabulary_of(steps: Iterable[Step]) -> list[str]:
    """The classes that open steps are limited to, in their order, each once."""
    names: dict[str, None] = {}
    for step in steps:
        with blamed(step, "could not name its classes:"):
            names |= dict.fromkeys(str(name) for name in step.vocabulary)
    return list(names)


def check_early(steps: Iterable[Step], classes: Mapping[int, str]) -> None:
    """Have steps refuse what they can before any of them is opened.

    Where there are no classes yet, a step may name those that it is limited to once it is open.
    """
    steps = [*steps]
    named = classes or not any(type(step).vocabulary is not Step.vocabulary for step in steps)
    for step in steps:
        with blamed(step, "could not be checked:"):
            step.check_early(classes if named else None)


def settle(steps: Iterable[Step], classes: Mapping[int, str]) -> None:
    """Tell open steps the run's classes, before any image is read."""
    for step in steps:
        with blamed(step, "could not settle on the classes:"):
            step.settle(classes)


def classes_for(
    dataset: Dataset, asked: Sequence[str], vocabulary: Sequence[str] = ()
) -> dict[int, str]:
    """{id: name}: the classes asked for, the data set's, or those that steps are limited to.

    The last only without truth, whose ids would mean something else. Raises `UsageError` for
    names asked for that `check_asked` refuses.
    """
    check_asked(asked)
    known = numbered(asked) or classes_of(dataset)
    return known or ({} if has_truth(dataset) else numbered(vocabulary))


class AskedTruth(Wrapper):
    """A data set whose truth has the ids of the classes asked for; all else is background."""

    name = "asked-truth"
    _asked: Sequence[str] = PrivateAttr()

    @classmethod
    def of(cls, dataset: Dataset, asked: Sequence[str], own: Mapping[int, str]) -> Dataset:
        """The data set, or this around it where it knows (`own`) any of the classes by name.

        Where it knows none, the names are those of its ids: nothing changes.
        """
        if not {n.casefold() for n in asked} & {n.casefold() for n in own.values()}:
            return dataset
        truth = cls()
        truth._of, truth._asked = dataset, tuple(asked)
        return truth

    @property
    def names(self) -> Sequence[str]:
        """The data set's."""
        return self._of.names

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        """The image, and its truth in the ids asked for."""
        image, truth = item_of(self._of, index)
        return image, None if truth is None else self.renumbered(truth)

    def renumbered(self, truth: Truth) -> Truth:
        """The truth in the ids asked for."""
        classes = numbered(self._asked)
        wanted = {name.casefold(): i for i, name in classes.items()}
        own = truth.labels.ids
        ids = np.full_like(own, BACKGROUND)
        for i, name in truth.labels.classes.items():
            if (new := wanted.get(name.casefold())) is not None:
                ids[own == i] = new
        ids[own == VOID] = VOID
        instances = truth.instances
        if instances is not None:
            dropped = (ids == BACKGROUND) & (instances != VOID)
            instances = np.where(dropped, np.int32(BACKGROUND), instances)
        return replace(truth, labels=Labels(ids, classes), instances=instances)


def check_ids(classes: Mapping[int, str], writers: Iterable[Writer]) -> None:
    """Refuse, with `UsageError`, classes of a run whose ids a writer's files cannot hold."""
    most = max(classes, default=0)
    for writer in writers:
        if writer.largest_id is not None and most > writer.largest_id:
            wider = f"choose --{flag_of('writer')} {MASK_WRITER}, whose PNGs then have 16 bits"
            advice = "number them from 1" if writer.name == MASK_WRITER else wider
            raise UsageError(
                f"--{flag_of('writer')} {writer.name} holds class ids up to {writer.largest_id}, "
                f"but the {len(classes)} classes of this run have ids up to {most} "
                f"('{classes[most]}'); {advice}, or ask for fewer by --classes"
            )
