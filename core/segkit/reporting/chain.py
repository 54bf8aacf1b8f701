"""The steps that recipes have in common, told once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

ARROW = " > "
"""What stands between the steps in `Plan.words`."""

OPEN = "…"
"""Stands for what differs between recipes."""


def common_chain(words: Sequence[str]) -> tuple[str, list[str]]:
    """The chain of all recipes, and what each has where they differ.

    `words` are recipes' steps in a row (`Plan.words`): of `shapes > gradcam > topk > sam` and
    `shapes > gradcam > center > sam` the chain is `shapes > gradcam > … > sam`, and `topk` and
    `center` are their own. Without anything in common the chain is empty, and each has all of its.
    Recipes of which no words are known take no part.
    """
    known = [text for text in words if text]
    chain, own = _common([text.split(ARROW) for text in known])
    told = iter(own)
    return ARROW.join(chain), [ARROW.join(next(told)) if text else "" for text in words]


def _common(chains: Sequence[Sequence[str]]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """The same of chains that are split."""
    if not chains:
        return [], []
    if len({len(chain) for chain in chains}) == 1:
        shared = [names[0] if len({*names}) == 1 else OPEN for names in zip(*chains, strict=True)]
        own = [[n for n, s in zip(chain, shared, strict=True) if s == OPEN] for chain in chains]
    else:
        before = _alike(chains)
        room = min(map(len, chains)) - before
        after = min(room, _alike([chain[::-1] for chain in chains]))
        first = chains[0]
        shared = [*first[:before], OPEN, *first[len(first) - after :]]
        own = [list(chain[before : len(chain) - after]) for chain in chains]
    return ([], chains) if {*shared} == {OPEN} else (shared, own)


def _alike(chains: Sequence[Sequence[str]]) -> int:
    """With how many equal steps they begin."""
    return len(list(takewhile(lambda names: len({*names}) == 1, zip(*chains, strict=False))))
