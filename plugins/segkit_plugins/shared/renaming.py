"""Name tables at work: whether one goes with a model's classes, and class maps renamed by one."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from segkit import BACKGROUND, VOID, Labels
from segkit_plugins.shared.name_tables import BUILT_IN, folded, numbered
from segkit_plugins.shared.sentences import did_you_mean


def no_counterpart(
    asked: str, table: Mapping[str, str], names: Collection[str], owner: str
) -> str | None:
    """A sentence where a table has none of the classes `names` of `owner`, else None.

    `asked` asks for the table, as in '--dpt.table ade20k-voc'.
    """
    if any(name in table for name in names):
        return None
    such = f", such as '{next(iter(names))}'" if names else ""
    return (
        f"{asked} knows none of the {len(names)} classes of {owner}{such}; choose the table that "
        "goes with it"
    )


def unknown_source(
    option: str, which: str, table: Mapping[str, str], names: Collection[str], owner: str
) -> str | None:
    """A sentence where the table of a file names a class that `owner` has not, else None.

    The tables that ship with segkit serve several models, so they may. `option` and `which` ask for
    the table, as in '--dpt.table' 'voc.csv'; `names`: all classes of the owner. Of a name with
    synonyms, such as 'tv, tv set', each counts.
    """
    if which in BUILT_IN:
        return None
    known = {folded(part) for name in names for part in (name, *name.split(","))}
    for source in table:
        if folded(source) not in known:
            advice = did_you_mean(folded(source), known, "correct or drop it")
            return f"{option} {which}: {owner} has no class '{source}'; {advice}"
    return None


def renamed_map(
    labels: Labels, table: Mapping[str, str], classes: Mapping[int, str] | None
) -> Labels:
    """The class map under the names of a table and the ids of the data set's `classes`.

    What the table lacks, and what has no name, becomes background; void stays. Names that the data
    set lacks get the next free ids.
    """
    places, known = numbered(dict(sorted(labels.classes.items())), classes, table)
    present, where = np.unique(labels.ids, return_inverse=True)
    places[VOID] = VOID
    targets = np.array([places.get(i, BACKGROUND) for i in present.tolist()], np.int32)
    return Labels(targets[where.reshape(labels.ids.shape)], known)
