"""Bundled plugins of kind `saliency`, and what others may build theirs on.

The names in `__all__` are public: a method of one's own is a subclass of one of them, with a name
and the arithmetic that tells it apart. Each is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segkit_plugins.saliency._attended import Attended as Attended
    from segkit_plugins.saliency._cam import ClassActivationMap as ClassActivationMap
    from segkit_plugins.saliency._cam import Seen as Seen
    from segkit_plugins.saliency._maps import Layer as Layer
    from segkit_plugins.saliency._network_step import NetworkSaliency as NetworkSaliency
    from segkit_plugins.saliency._transformers import AttentionMap as AttentionMap
    from segkit_plugins.saliency._transformers import ClassAttentionMap as ClassAttentionMap

_HOME = {
    "Attended": "_attended",
    "AttentionMap": "_transformers",
    "ClassActivationMap": "_cam",
    "ClassAttentionMap": "_transformers",
    "Layer": "_maps",
    "NetworkSaliency": "_network_step",
    "Seen": "_cam",
}
"""Public names and the modules that define them."""

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
