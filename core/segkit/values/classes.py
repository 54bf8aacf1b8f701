"""Class ids and their names: what the ids 0 and 255 mean, and how further names get ids."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from segkit.errors import BadValueError
from segkit.values.checking import short_repr

BACKGROUND = 0
"""The class id of everything that is no object."""

VOID = 255
"""The class id of pixels that every metric leaves out."""


def checked_classes(owner: str, classes: Mapping[int, str]) -> dict[int, str]:
    """Return a checked copy of {id: name}; background and void may not be named, names differ."""
    if not isinstance(classes, Mapping):
        raise BadValueError(f"{owner} should be a dict of id to name, but is {short_repr(classes)}")
    for i, name in classes.items():
        if not isinstance(i, (int, np.integer)) or not isinstance(name, str):
            raise BadValueError(
                f"{owner} should have whole numbers for ids and texts for names, but has "
                f"{short_repr(i)}: {short_repr(name)}"
            )
    checked = {int(i): str(name) for i, name in classes.items()}
    if any(i <= BACKGROUND or i == VOID for i in checked):
        raise BadValueError(
            f"{owner} should have ids from 1, without 255 (void), but has {sorted(checked)}"
        )
    if len(set(checked.values())) != len(checked):
        raise BadValueError(f"{owner} should have a different name for each id, but repeats one")
    return checked


def add_class(name: str, classes: dict[int, str]) -> int:
    """Add a class name to {id: name} under the next free id, if it is not there; give its id.

    Ids begin with 1 and leave out 255 (void). `classes` is changed where the name is new.
    """
    for i, known in classes.items():
        if known == name:
            return i
    new = max(classes, default=BACKGROUND) + 1
    new += new == VOID
    classes[new] = name
    return new
