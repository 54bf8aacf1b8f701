"""A forest of regression trees as arrays, walked for all masks at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit import UsageError
from segkit_plugins.judge.learned.features import NAMES
from segkit_plugins.judge.learned.scene import Array


@dataclass(frozen=True, eq=False)
class Forest:
    """Extremely randomised trees (Geurts, Ernst & Wehenkel 2006); what is told is their mean.

    The nodes of all trees stand in one row, each tree's in the order in which they are met if one
    always goes left first: the left child follows its parent.
    """

    roots: NDArray[np.int32]
    """(trees,): each tree's first node."""
    skip: NDArray[np.int32]
    """(nodes,): how much farther on the right child stands; 0 in a leaf."""
    feature: NDArray[np.int32]
    """(nodes,): which feature is asked for."""
    number: Array
    """(nodes,): up to where it goes left; in a leaf, what is told."""

    @classmethod
    def of(cls, tensors: Mapping[str, Any], path: Path) -> Forest:
        """The forest of a file's tensors. Raises `UsageError` where they are no judge's."""
        arrays = {name: np.asarray(tensor) for name, tensor in tensors.items()}
        whole = {n: a.astype(np.int32) for n, a in arrays.items() if a.dtype.kind in "iu"}
        forest = cls(**whole, number=arrays["number"]) if _alike(arrays) else None
        if forest is None or not forest.sound:
            raise UsageError(
                f"the weights {path} are not of the judge 'learned', or of another version of it; "
                "leave --learned.weights out, or fit them anew"
            )
        return forest

    @property
    def sound(self) -> bool:
        """Whether every walk stays inside and comes to an end at a number from 0 to 1."""
        nodes = len(self.number)
        inner = self.skip != 0
        ends = np.arange(nodes) + self.skip
        return bool(
            len(self.roots)
            and (self.roots >= 0).all()
            and (self.roots < nodes).all()
            and (self.skip >= 0).all()
            and (self.skip[inner] > 1).all()
            and (ends < nodes).all()
            and (self.feature >= 0).all()
            and (self.feature < len(NAMES)).all()
            and np.isfinite(self.number).all()
            and ((self.number >= 0) & (self.number <= 1))[~inner].all()
        )

    def quality(self, features: Array) -> Array:
        """(n,) in [0, 1] of features (n, len(NAMES))."""
        node = np.tile(self.roots, (len(features), 1))
        row = np.arange(len(features))[:, None]
        while (inner := self.skip[node] > 0).any():
            left = features[row, self.feature[node]] <= self.number[node]
            node = node + np.where(left, 1, self.skip[node]) * inner
        return np.asarray(self.number[node].mean(axis=1, dtype=np.float64), np.float32)


def _alike(arrays: Mapping[str, Any]) -> bool:
    """Whether the arrays are there, and as long as each other."""
    if arrays.keys() != {"roots", "skip", "feature", "number"}:
        return False
    nodes = {arrays[name].shape for name in ("skip", "feature", "number")}
    kinds = "".join(arrays[n].dtype.kind for n in ("roots", "skip", "feature", "number"))
    whole = all(kind in "iu" for kind in kinds[:3]) and kinds[3] == "f"
    return len(nodes) == 1 and whole and all(array.ndim == 1 for array in arrays.values())
