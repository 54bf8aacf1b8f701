"""Vision transformers looked into: all but the arithmetic that tells the methods apart.

A method is a subclass of `AttentionMap`, or of `ClassAttentionMap` where it explains a class, with
a name and `relevance`, which makes a map of what the transformer's blocks attend to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import PrivateAttr

from segkit import Heatmap, Image, PluginError, UsageError
from segkit_plugins.saliency._attended import Attended
from segkit_plugins.saliency._cam import ClassActivationMap, Seen
from segkit_plugins.saliency._maps import as_heat
from segkit_plugins.saliency._network_step import NetworkSaliency


class AttentionMap(NetworkSaliency):
    """Where a vision transformer looks, whatever the class: its heatmap has none.

    Any transformer of timm or torchvision whose blocks attend to the whole picture, with a head or
    without one, as self-supervised weights come. The whole image is resized to the network's square
    input, without cropping. The map is stretched to [0, 1], resized bilinearly to the image's size,
    and stretched again, as class activation maps are.
    """

    _transformer: Any = PrivateAttr(None)
    _fed: Any = PrivateAttr(None)

    def relevance(self, attended: Attended) -> Any:
        """The map (1, h, w), a Tensor of at least 0, of one picture."""
        # Each method overrides this; said as the kinds' own missing parts are.
        raise PluginError(f"{type(self).__name__} should define 'relevance', but does not")

    def open(self, device: str) -> None:
        """Load the transformer without its head, frozen, and try it on an empty picture.

        Raises `UsageError` with what is wrong, also for a network that is no vision transformer of
        that kind; `MissingExtraError` where timm is needed and not installed.
        """
        from dataclasses import replace

        from segkit_plugins.saliency._classifiers import fed_network

        model, fed = fed_network(replace(self._network_options(), head=False), device)
        self._transformer = looked_into(self, model.network, fed.picture)
        self._fed = fed

    def check(self, attended: Attended) -> None:
        """Refuse a transformer by what it makes of an empty picture; by default none.

        Raises `LookupError` with what the network lacks, or `UsageError` where an option is wrong.
        """

    def close(self) -> None:
        """Drop the transformer."""
        self._transformer = self._fed = None

    def __call__(self, image: Image) -> Heatmap:
        """One heatmap (H, W) without a class; of zeros where the map is."""
        from segkit_plugins.saliency._classifiers import prepared_pixels

        fed = self._fed
        pixels = prepared_pixels(image.pixels, fed.size, fed.mean, fed.std)[None]
        attended = self._transformer.attend(pixels, gradients=False)
        return Heatmap(as_heat(self.relevance(attended)[0].detach(), image.size))


class ClassAttentionMap(ClassActivationMap):
    """Where a vision transformer sees a class, by what its blocks attend to.

    The classes, the picture's way into the network and the heatmap's way out of it are those of
    every class activation map. Any transformer of timm or torchvision whose blocks attend to the
    whole picture. It takes no single layer, so `layer` plays no part.
    """

    model: str
    """The classifier: timm:NAME or torchvision:NAME of a vision transformer, with a checkpoint."""

    _transformer: Any = PrivateAttr(None)

    def relevance(self, attended: Attended, target: int) -> Any:
        """The map (1, h, w), a Tensor of at least 0, of one picture for one output.

        Gradients with respect to `attended.weights` can be asked for, with `retain_graph=True`.
        """
        raise PluginError(f"{type(self).__name__} should define 'relevance', but does not")

    def check(self, attended: Attended) -> None:
        """Refuse a transformer by what it makes of an empty picture; by default none.

        Raises `LookupError` with what the network lacks, or `UsageError` where an option is wrong.
        """

    def open(self, device: str) -> None:
        """Load the classifier, frozen.

        Raises `UsageError` also for one that is no vision transformer of that kind.
        """
        super().open(device)
        self._transformer = looked_into(self, self.network, self._classifier.empty())

    def restrict(self, names: Sequence[str]) -> None:
        """Look for these classes alone, as every classifier does."""
        from segkit_plugins.saliency._attentions import transformer_of

        super().restrict(names)
        self._transformer = transformer_of(self.network)

    def close(self) -> None:
        """Drop the classifier."""
        super().close()
        self._transformer = None

    def explain(self, seen: Seen) -> Any:
        """Maps (n, h, w): one for each of the rows and its class."""
        import torch

        maps = []
        for row, target in zip(seen.rows, seen.classes, strict=True):
            attended = self._transformer.attend(seen.pixels[row : row + 1])
            maps.append(self.relevance(attended, target).detach())
        return torch.cat(maps)


def looked_into(step: AttentionMap | ClassAttentionMap, network: Any, picture: Any) -> Any:
    """The transformer in a network, tried on a picture (1, 3, S, S).

    Raises `UsageError` for a network whose blocks cannot be looked into, or that `check` refuses.
    """
    from segkit_plugins.saliency._attentions import transformer_of

    try:
        transformer = transformer_of(network)
        attended = transformer.attend(picture, gradients=False)
        _ = attended.others  # a square of patches
        step.check(attended)
    except LookupError as error:
        raise UsageError(
            f"--{step.name}.model {step.model} is no vision transformer that can be looked into "
            f"({error}); choose another one, such as timm:vit_small_patch16_224"
        ) from None
    return transformer
