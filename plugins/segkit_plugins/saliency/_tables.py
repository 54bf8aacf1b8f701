"""A classifier asked for classes that are not its own: each is several of its outputs together.

The score of a wanted class is the log-sum-exp of its outputs' scores, so its heatmap takes one
backward pass however many outputs it has. All that looks into a classifier sees the wanted classes
in place of the outputs.

Taken off is half the logarithm of the outputs' number, which no gradient sees: else a class of a
hundred outputs collects a hundred small probabilities. All outputs that are in no class count
together as "none of them", less a quarter of the logarithm, which was best on VOC's train split: of
157 photos the likeliest of the 20 classes was in 124 (without both in 110).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from segkit import SegkitWarning, UsageError
from segkit_plugins.shared.name_tables import (
    IMAGENET,
    check_names,
    folded,
    imagenet_sources,
    sources_of,
)
from segkit_plugins.shared.sentences import did_you_mean

if TYPE_CHECKING:
    from segkit_plugins.saliency._classifiers import Classifier
    from segkit_plugins.saliency._layers import Look
    from segkit_plugins.saliency._networks import ClassifierOptions

LOOKED_UP = ("coco", "voc")
"""The tables that know what shows a class of a name that the classifier has not."""


class Grouped(nn.Module):
    """Scores (B, C) of wanted classes in place of a network's own, (B, K).

    Where outputs are in no group, one score more, the last, is that of all of them.
    """

    def __init__(self, network: nn.Module, groups: Sequence[Sequence[int]], outputs: int) -> None:
        super().__init__()
        self.network = network
        rest = sorted({*range(outputs)} - {i for group in groups for i in group})
        self.groups = [list(group) for group in groups] + ([rest] if rest else [])
        self.shares = [0.5 for _ in groups] + ([0.25] if rest else [])

    def forward(self, pixels: Tensor) -> Tensor:
        """Scores of normalised pixels (B, 3, S, S)."""
        scores: Tensor = self.network(pixels)
        return self.together(scores)

    def together(self, scores: Tensor) -> Tensor:
        """The log-sum-exp of each group's scores, less its share of their number's logarithm."""
        pairs = zip(self.groups, self.shares, strict=True)
        sums = [scores[:, g].logsumexp(dim=1) - share * math.log(len(g)) for g, share in pairs]
        return torch.stack(sums, dim=1)


@dataclass(frozen=True)
class Wanted:
    """What a grouped classifier is asked for."""

    own: Classifier
    """The classifier with its own classes."""
    outputs: Mapping[str, tuple[int, ...]]
    """Each wanted class with the outputs that show it, none where it has no counterpart."""


def tabled(options: ClassifierOptions, classifier: Classifier, table: str) -> Classifier:
    """The classifier asked for the classes of a table.

    Raises `UsageError` for a table that cannot be used, and for one with a source, or with all of
    its sources where it ships with segkit, that the classifier has not.
    """
    option = f"--{options.step}.table"
    sources = sources_of(table, option)
    outputs = {target: _outputs(classifier, of) for target, of in sources.items()}
    if not any(outputs.values()):
        last = len(classifier.names)
        raise UsageError(
            f"{option} {table} knows none of the {last} classes of {options.model}, such as "
            f"{classifier.names[0]!r}; choose the table that goes with the model"
        )
    if table not in IMAGENET:
        for source in (s for of in sources.values() for s in of):
            if not _outputs(classifier, {source: None}):
                names = [folded(name) for name in classifier.names]
                advice = did_you_mean(folded(source), names, "correct or drop it")
                raise UsageError(
                    f"{option} {table}: {options.model} has no class '{source}'; {advice}"
                )
    return grouped(classifier, outputs)


def looked_up(classifier: Classifier, name: str) -> tuple[int, ...]:
    """The outputs that show a class: those of its name, else those of a table for ImageNet."""
    own = classifier.named(name)
    if own:
        return own
    for table in LOOKED_UP:
        for target, of in imagenet_sources(table).items():
            if folded(target) == folded(name):
                outputs = _outputs(classifier, of)
                if outputs:
                    return outputs
    return ()


def restricted(
    options: ClassifierOptions, classifier: Classifier, names: Sequence[str]
) -> Classifier:
    """The classifier asked for these classes alone; as it is where it knows none and has no table.

    Warns of classes that it cannot find. Raises `UsageError` for a table that has none of them,
    for a target that is none of them, and for names that are too alike.
    """
    check_names(names, "--classes")
    wanted = classifier.wanted
    own = classifier if wanted is None else wanted.own
    if wanted is None or options.table is None:
        outputs = {name: looked_up(own, name) for name in names}
    else:
        targets = {folded(target): of for target, of in wanted.outputs.items()}
        outputs = {name: targets.get(folded(name), ()) for name in names}
    missing = [name for name in names if not outputs[name]]
    listed = ", ".join(missing)
    if len(missing) == len(names):
        if options.table is None:
            return classifier
        raise UsageError(
            f"--classes {listed}: --{options.step}.table {options.table} has a counterpart of none "
            f"of them; it has {', '.join(classifier.names[:5])} …"
        )
    if missing:
        warnings.warn(
            f"{options.step} knows nothing of {listed}, so it never finds "
            f"{'it' if len(missing) == 1 else 'them'}",
            SegkitWarning,
            stacklevel=2,
        )
    return grouped(own, outputs)


def grouped(classifier: Classifier, outputs: Mapping[str, tuple[int, ...]]) -> Classifier:
    """The classifier asked for these classes, as far as an output shows them."""
    known = {name: group for name, group in outputs.items() if group}
    network = Grouped(classifier.network, [*known.values()], len(classifier.names))
    look = looked_together(classifier.look, network)
    wanted = Wanted(classifier, outputs)
    return replace(classifier, network=network, look=look, names=tuple(known), wanted=wanted)


def looked_together(look: Look, network: Any) -> Look:
    """A look at a classifier's layer, with the scores that a `Grouped` network makes of its own."""

    def look_together(pixels: Tensor) -> tuple[Tensor, Tensor]:
        scores, activations = look(pixels)
        with torch.enable_grad():
            return network.together(scores), activations

    return look_together


def _outputs(classifier: Classifier, sources: Mapping[str, int | None]) -> tuple[int, ...]:
    """The outputs of these names, in order; a place counts only where it has the name."""
    outputs: set[int] = set()
    for name, place in sources.items():
        if place is None:
            outputs |= {*classifier.named(name)}
        elif place < len(classifier.names) and folded(classifier.names[place]) == folded(name):
            outputs.add(place)
    return tuple(sorted(outputs))
