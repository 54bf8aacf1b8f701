"""Names of classes from one list into another, so that a model's labels meet a data set's.

A table says for each name of the source which name of the target it becomes; a name that it lacks
has no counterpart and becomes background. Two such tables are built in:

- `ade20k-voc`: the 150 classes of ADE20K's scene parsing benchmark (Zhou et al., CVPR 2017; the
  names of objectInfo150.csv, https://github.com/CSAILVision/sceneparsing) to the 20 of PASCAL VOC
  2012. ADE20K has one class for all animals and none for trains, so bird, cat, cow, dog, horse,
  sheep and train are never found.
- `coco-voc`: the 80 things of COCO (Lin et al., ECCV 2014; the categories of
  instances_val2017.json, https://cocodataset.org) to the 20 of VOC.

Where the names alone leave it open, VOC's annotation guidelines decide
(http://host.robots.ox.ac.uk/pascal/VOC/voc2012/guidelines.html): vans are cars but trucks are not,
ships are boats, mopeds are motorbikes, armchairs are chairs but stools and benches are not, of
tables only those to eat at count, and of screens those that stand alone, so no laptops.

For image classifiers there are tables the other way round, from a wanted class to the outputs that
show it: `voc`, `coco` and `cat-dog` for ImageNet's, in imagenet_tables.json beside this file, which
says where they come from.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, overload

from segkit import BACKGROUND, UsageError, add_class
from segkit_plugins.shared.reading import parsed_json, parsed_toml, read_text

BUILT_IN: Mapping[str, Mapping[str, str]] = {
    "ade20k-voc": {
        "airplane": "aeroplane",
        "bicycle": "bicycle",
        "boat": "boat",
        "ship": "boat",
        "bottle": "bottle",
        "bus": "bus",
        "car": "car",
        "van": "car",
        "chair": "chair",
        "armchair": "chair",
        "swivel chair": "chair",
        "table": "diningtable",
        "minibike": "motorbike",
        "person": "person",
        "plant": "pottedplant",
        "pot": "pottedplant",
        "flowerpot": "pottedplant",
        "sofa": "sofa",
        "television": "tvmonitor",
        "television receiver": "tvmonitor",
        "tv": "tvmonitor",
        "crt screen": "tvmonitor",
        "monitor": "tvmonitor",
    },
    "coco-voc": {
        "airplane": "aeroplane",
        "bicycle": "bicycle",
        "bird": "bird",
        "boat": "boat",
        "bottle": "bottle",
        "bus": "bus",
        "car": "car",
        "cat": "cat",
        "chair": "chair",
        "cow": "cow",
        "dining table": "diningtable",
        "dog": "dog",
        "horse": "horse",
        "motorcycle": "motorbike",
        "person": "person",
        "potted plant": "pottedplant",
        "sheep": "sheep",
        "couch": "sofa",
        "train": "train",
        "tv": "tvmonitor",
    },
}
"""The tables that ship with segkit, by name."""

IMAGENET = ("voc", "coco", "cat-dog")
"""The tables from wanted classes to ImageNet's outputs, by name."""

Sources: TypeAlias = Mapping[str, Mapping[str, int | None]]
"""A wanted class to the outputs of a classifier that show it: name, and place from 0 or None."""

BACKGROUND_NAME = "background"
"""The target of names that become background, and what a model calls that class."""


def folded(name: str) -> str:
    """The name in lower case, with single spaces for underscores, hyphens and other gaps."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


class NameTable(dict[str, str]):
    """Source name to target name, looked up in whatever way the source name is written.

    Case, underscores, hyphens and surplus spaces do not matter. Of a name with synonyms, such as
    ADE20K's 'television receiver, tv, tv set', the first one that the table has counts.
    """

    def __init__(self, pairs: Mapping[str, str]) -> None:
        """Take the pairs as they are written."""
        super().__init__(pairs)
        self._places = {folded(source): source for source in pairs}

    def find(self, name: str) -> str | None:
        """The key of this table that stands for `name`, or None."""
        for part in (name, *name.split(",")):
            if (key := self._places.get(folded(part))) is not None:
                return key
        return None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.find(name) is not None

    def __getitem__(self, name: str) -> str:
        key = self.find(name)
        if key is None:
            raise KeyError(name)
        return super().__getitem__(key)

    @overload
    def get(self, name: str, default: None = None, /) -> str | None: ...
    @overload
    def get(self, name: str, default: str, /) -> str: ...
    @overload
    def get(self, name: str, default: Any, /) -> Any: ...

    def get(self, name: str, default: Any = None, /) -> Any:
        """The target of a name, or `default`."""
        key = self.find(name)
        return default if key is None else super().__getitem__(key)


def load_table(which: str) -> dict[str, str]:
    """A built-in table, or that of a file; a source name that it lacks is to be dropped.

    Files: TOML or JSON with one name for each name, or text with a line `source,target` each (a
    name with a comma in quotes, lines from '#' left out, a first line 'source,target' too). A
    target that is empty or 'background' drops its source.

    Raises `UsageError` for a table that is neither, a file that cannot be read or does not hold
    names, no pair at all, and a source that is given two targets.
    """
    if which in BUILT_IN:
        return NameTable(BUILT_IN[which])
    path = Path(which)
    known = " and ".join(BUILT_IN)
    if not path.is_file():
        raise UsageError(
            f"there is no name table '{which}'; the built-in ones are {known}, or name a file with "
            "a line 'source,target' for each name"
        )
    kept: dict[str, str] = {}
    targets: dict[str, str] = {}
    for source, target in _pairs(path):
        if targets.setdefault(folded(source), target) != target:
            raise UsageError(
                f"the name table '{which}' makes '{source}' both '{targets[folded(source)]}' and "
                f"'{target}'; give each name one target"
            )
        if folded(target) not in ("", BACKGROUND_NAME):
            kept[source] = target
    if not kept:
        raise UsageError(
            f"the name table '{which}' keeps no name; give it a line 'source,target' for each"
        )
    return NameTable(kept)


@lru_cache
def imagenet_sources(which: str) -> Sources:
    """The classes of a table for ImageNet's outputs, in its order; some have no counterpart."""
    content = json.loads(Path(__file__).with_name("imagenet_tables.json").read_bytes())
    return {
        target: {name: int(place) for place, name in row["outputs"].items()}
        for target, row in content["tables"][which].items()
    }


def sources_of(which: str, option: str) -> Sources:
    """The wanted classes of a table, in its order, with the classifier's outputs that show each.

    `which`: one of `IMAGENET`, or what `load_table` takes. `option`: the flag, for messages. Raises
    `UsageError` as `load_table` does, and for two targets that differ only in case.
    """
    if which in IMAGENET:
        return imagenet_sources(which)
    if which not in BUILT_IN and not Path(which).is_file():
        raise UsageError(
            f"{option} {which}: there is no such table; for ImageNet's classes there are "
            f"{', '.join(IMAGENET)}, or name a file with a line 'source,target' for each class"
        )
    sources: dict[str, dict[str, int | None]] = {}
    for source, target in load_table(which).items():
        sources.setdefault(target, {})[source] = None
    check_names(list(sources), f"{option} {which}")
    return sources


def restricted(
    names: Sequence[str | None], asked: Sequence[str], table: str | None, option: str
) -> tuple[str | None, ...]:
    """What a model's classes are called where `asked` are wanted alone; None: not wanted.

    `names`: what they are called else, after the table of that name. They get the spelling that was
    asked for. If none is asked for they stay as they are, or, where there is a table, `UsageError`
    says so; `option` is how the step's options begin.
    """
    wanted = {folded(name): name for name in asked}
    kept = tuple(None if name is None else wanted.get(folded(name)) for name in names)
    if any(kept):
        return kept
    if table is None:
        return tuple(names)
    some = list(dict.fromkeys(name for name in names if name is not None))[:5]
    raise UsageError(
        f"--classes {','.join(asked)}: {option}.table {table} makes none of them; it makes "
        f"{', '.join(some)} …"
    )


def restricted_table(
    names: Sequence[str], table: Mapping[str, str] | None, asked: Sequence[str], step: Any
) -> Mapping[str, str] | None:
    """The table that keeps of a model's classes those asked for; see `restricted`.

    `table` as read from `step.table`; None: they keep their names.
    """
    targets = [name if table is None else table.get(name) for name in names]
    kept = restricted(targets, asked, step.table, f"--{step.name}")
    if table is None and kept == tuple(targets):
        return None
    pairs = zip(names, kept, strict=True)
    return NameTable({name: target for name, target in pairs if target is not None})


def check_names(names: Collection[str], owner: str) -> None:
    """Raise `UsageError` if two names are alike but for case, hyphens or spaces."""
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(folded(name), name)) != name:
            raise UsageError(
                f"{owner} has the classes '{other}' and '{name}', which are too alike; "
                "write them the same, or give each its own name"
            )


def _pairs(path: Path) -> list[tuple[str, str]]:
    """What a table's file says, in its order."""
    try:
        text = read_text(path)
    except OSError as error:
        raise UsageError(
            f"the name table '{path}' cannot be read ({error.strerror}); name another file"
        ) from None
    suffix = path.suffix.lower()
    if suffix not in (".json", ".toml"):
        return _lines(path, text)
    try:
        content = parsed_json(text) if suffix == ".json" else parsed_toml(text)
    except ValueError as error:
        raise UsageError(
            f"the name table '{path}' is no {suffix[1:].upper()} ({error}); correct it there"
        ) from None
    if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
        raise UsageError(
            f"the name table '{path}' should hold one name for each name, such as "
            '"couch": "sofa", but holds something else; correct it there'
        )
    return [(source.strip(), target.strip()) for source, target in content.items()]


def _lines(path: Path, text: str) -> list[tuple[str, str]]:
    """The pairs of lines `source,target`."""
    pairs: list[tuple[str, str]] = []
    lines = [line.strip() for line in text.splitlines()]
    for number, row in enumerate(_rows(path, lines), 1):
        if not row or row[0].startswith("#"):
            continue
        if len(row) != 2:
            raise UsageError(
                f"line {number} of the name table '{path}' should be 'source,target', but is "
                f"'{lines[number - 1][:60]}'; put names with commas in quotes"
            )
        if pairs or row != ["source", "target"]:
            pairs.append((row[0].strip(), row[1].strip()))
    return pairs


def _rows(path: Path, lines: Sequence[str]) -> list[list[str]]:
    try:
        return list(csv.reader(lines, skipinitialspace=True))
    except csv.Error as error:
        raise UsageError(f"the name table '{path}' is no CSV ({error}); correct it there") from None


def class_names(given: Sequence[str]) -> tuple[str, ...]:
    """The names of class ids: as they are given, or from one text file with a name a line.

    Raises `UsageError` for a file that cannot be read and for a name that comes twice.
    """
    names = tuple(given)
    if len(names) == 1 and (Path(names[0]).is_file() or names[0].endswith(".txt")):
        try:
            text = read_text(names[0], errors="replace")
        except OSError as error:
            raise UsageError(
                f"the class names '{names[0]}' cannot be read ({error.strerror}); "
                "give a text file with a name a line, or the names themselves"
            ) from None
        names = tuple(line.strip() for line in text.splitlines() if line.strip())
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"the class names hold '{twice}' twice; give each class its own name")
    return names


def object_class_names(given: Sequence[str]) -> tuple[str, ...]:
    """The same of the ids from 1 on: a list that begins with the background's name has it for 0."""
    names = class_names(given)
    return names[1:] if names and names[0].lower() == BACKGROUND_NAME else names


def numbered(
    names: Mapping[int, str],
    classes: Mapping[int, str] | None,
    table: Mapping[str, str] | None = None,
) -> tuple[dict[int, int], dict[int, str]]:
    """Where each of a source's ids goes, and the names of the ids that are then in use.

    `names`: the source's ids and names. `table` renames them first, and what it lacks becomes
    background; so does a class called 'background'. The ids are those of `classes` by name; a name
    that is not there gets the next free id, in the order of `names`, so that a source has the same
    ids in every image.
    """
    known = dict(classes or {})
    places = {}
    for i, name in names.items():
        target = name.strip() if table is None else table.get(name, "")
        dropped = folded(target) in ("", BACKGROUND_NAME)
        places[i] = BACKGROUND if dropped else add_class(target, known)
    return places, known
