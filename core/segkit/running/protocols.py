"""By which protocol a figure of classes was counted, and whether two of them compare.

The mIoU of one method differs by far with what it was asked: for each image's own classes or for
all of the data set's, with background as a class or without, at the truth's size or at a smaller
one. So each figure that tells classes apart (`Figure.background`) has its protocol beside it, and
rows of a comparison that differ in it are not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from segkit.plugins.contract import blamed
from segkit.plugins.figures import Figure
from segkit.plugins.steps import Step
from segkit.running.plan import ENDS
from segkit.running.records import Protocol, read_summary

Protocols: TypeAlias = Mapping[str, Protocol]
"""Figure to its protocol."""

NAMED = 5
"""So many classes that were asked for are named in a sentence."""


def reads_truth(steps: Iterable[Step]) -> bool:
    """Whether one of these steps is told the classes of each image; metrics and writers may be."""
    for step in steps:
        if step.kind not in ENDS:
            with blamed(step):
                if step.reads_truth:
                    return True
    return False


def protocols_of(
    figures: Mapping[str, Figure],
    classes: Mapping[int, str],
    *,
    listed: bool,
    told: bool,
) -> dict[str, Protocol]:
    """The protocol of each of these figures that tells classes apart.

    `classes`: {id: name} of the run; `listed`: whether `--classes` has named them; `told`: whether
    a step reads the truth.
    """
    asked = "list" if listed else "data set" if classes else "unnamed"
    return {
        name: Protocol(
            asked="image" if told else asked,
            classes=[*classes.values()],
            background=figure.background,
            resolution=figure.resolution or "truth",
        )
        for name, figure in figures.items()
        if figure.background is not None
    }


def read_protocols(directory: Path) -> dict[str, Protocol]:
    """The protocols in a run's summary.json; none where it has none, or is not there."""
    summary = read_summary(directory)
    return {} if summary is None else summary.protocol


def to_dicts(protocols: Protocols) -> dict[str, dict[str, Any]]:
    """The same as files hold it."""
    return {name: protocol.to_dict() for name, protocol in protocols.items()}


def in_words(protocol: Protocol) -> str:
    """`the data set's 20 classes and background, at the truth's size`."""
    return f"{_asked(protocol)} {_background(protocol)}, {_size(protocol)}"


def _asked(protocol: Protocol) -> str:
    count = len(protocol.classes)
    many = f"{count} class{'es' * (count != 1)}"
    names = ", ".join(protocol.classes) if 0 < count <= NAMED else ""
    named = f" ({names})" if names else ""
    among = f" (of {count}{f': {names}' if names else ''})" if count else ""
    return {
        "data set": f"the data set's {many}{named}",
        "list": f"{many} of --classes{named}",
        "image": f"each image's true classes{among}",
        "unnamed": "classes without names",
    }.get(protocol.asked, f"{many} ({protocol.asked})")


def _background(protocol: Protocol) -> str:
    return "and background" if protocol.background else "without background"


def _size(protocol: Protocol) -> str:
    return "at the truth's size" if protocol.resolution == "truth" else f"at {protocol.resolution}"


def caption(protocols: Protocols, figures: Iterable[str] | None = None) -> str:
    """One line for all of these figures (left out: for all): `miou, voc-miou: …; class-iou: …`."""
    alike: dict[str, list[str]] = {}
    for name, protocol in protocols.items():
        if figures is None or name in figures:
            alike.setdefault(in_words(protocol), []).append(name)
    return "; ".join(f"{', '.join(names)}: {words}" for words, names in alike.items())


def difference(one: Protocol, other: Protocol) -> str:
    """What of two protocols is not alike: `the data set's 20 classes against 2 of --classes`."""
    parts = [(say(one), say(other)) for say in (_asked, _background, _size)]
    if one.classes != other.classes and parts[0][0] == parts[0][1]:  # as many, too many to name
        new = [name for name in other.classes if name not in one.classes]
        return f"{parts[0][0]}, {f'{new[0]} among them' if new else 'in another order'}"
    return ", ".join(f"{left} against {right}" for left, right in parts if left != right)


def goes_on(before: Protocol, now: Protocol) -> bool:
    """Whether what was counted before still counts: all is equal, or classes have come behind."""
    grown = now.classes[: len(before.classes)] == before.classes
    return grown and now.model_copy(update={"classes": before.classes}) == before


@dataclass(frozen=True)
class Agreement:
    """What the rows of a comparison have in common."""

    protocols: dict[str, Protocol] = field(default_factory=dict)
    """Of each figure that all have counted alike."""
    refused: dict[str, str] = field(default_factory=dict)
    """Figure to which two rows differ in it, and how."""
    unknown: tuple[str, ...] = ()
    """The rows that do not say how they were counted."""

    @property
    def notes(self) -> list[str]:
        """What is to be told, in sentences."""
        several: dict[str, list[str]] = {}
        for figure, reason in self.refused.items():
            several.setdefault(reason, []).append(figure)
        notes = [
            f"{', '.join(names)}: not compared, for {reason}; each recipe's own is in its "
            "summary.json"
            for reason, names in several.items()
        ]
        if self.unknown:
            others = f" and {len(self.unknown) - 1} more" if len(self.unknown) > 1 else ""
            notes.append(
                f"how the classes of '{self.unknown[0]}'{others} were counted is not known, for "
                "an earlier segkit did not note it; run it again to be sure that it compares"
            )
        return notes


def agreement(
    rows: Mapping[str, Protocols], figures: Mapping[str, Mapping[str, Figure]]
) -> Agreement:
    """What rows agree on; `rows`: name to protocols, `figures`: name to those that it has."""
    telling = {
        row: [name for name, figure in own.items() if figure.background is not None]
        for row, own in figures.items()
    }
    shared, refused = {}, {}
    for figure in dict.fromkeys(name for own in telling.values() for name in own):
        known = [(name, own[figure]) for name, own in rows.items() if figure in own]
        if not known:
            continue
        first, protocol = known[0]
        other = next(((name, own) for name, own in known if own != protocol), None)
        if other is None:
            shared[figure] = protocol
        else:
            refused[figure] = (
                f"'{first}' and '{other[0]}' were counted differently "
                f"({difference(protocol, other[1])})"
            )
    unknown = [
        row for row, own in rows.items() if telling.get(row) and not {*telling[row]} & {*own}
    ]
    return Agreement(shared, refused, tuple(unknown))


def told_apart(told: Mapping[str, bool]) -> Sequence[str]:
    """A recipe that is told each image's classes and one that is not; none where all are alike."""
    one = next((name for name, known in told.items() if known), None)
    other = next((name for name, known in told.items() if not known), None)
    return () if one is None or other is None else (one, other)
