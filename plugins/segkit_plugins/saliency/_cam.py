"""Class activation maps of image classifiers: all but the formula that tells them apart.

A method is a subclass of `ClassActivationMap` with a name and `combine`, which makes a map of a
layer's activations and of the gradient of a class score with respect to them; or, where it takes
more than that, `explain`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr, field_validator

from segkit import (
    BACKGROUND,
    VOID,
    BadValueError,
    Heatmap,
    Image,
    PluginError,
    Truth,
    Weights,
)
from segkit_plugins.saliency._maps import Layer, as_heat, mean_map
from segkit_plugins.saliency._network_step import NetworkSaliency

if TYPE_CHECKING:
    from segkit_plugins.saliency._layers import Look

CHUNK = 16
"""Images in one forward pass on a GPU; bounds memory."""

PIXELS = 1 << 27
"""With more pixels than this together, 512 MiB, an image's heatmaps wait at the layer's size."""


class ClassActivationMap(NetworkSaliency):
    """Where a classifier sees a class, from one layer and the gradient of the class's score.

    The whole image is resized to the network's square input, without cropping, so that the heatmap
    covers all of it. The method's map is stretched to [0, 1] (minimum to 0, maximum to 1), resized
    bilinearly to the image's size (pixel centres aligned, no smoothing), and stretched again. A map
    of zeros stays all zero: nothing is seen of the class. A map that has the same value everywhere,
    more than zero, becomes all one.

    A heatmap carries its class and the class's softmax probability. One forward pass serves up to
    16 images and all their classes; each further class of an image costs one backward pass from
    the scores to the layer.
    """

    model: str = "efficientnet-lite0"
    """The classifier: efficientnet-lite0 (ImageNet's classes and person; ships with segkit), shapes
    (the five generated shapes; ships too), torchvision:NAME or timm:NAME with a checkpoint, or a
    TorchScript file (a program: use files that you trust; of a recipe it takes
    --trust-torchscript)."""
    class_names: tuple[str, ...] = ()
    """The model's classes in the order of its outputs, or one file with a name a line; left out:
    ImageNet's where there are 1000 outputs, else class-0, class-1 …"""
    layer: str = ""
    """The layer to look at, by its dotted name; left out: the last block of convolutions, or of a
    vision transformer the first norm of its last block; list prints the candidates."""
    target: str = "predicted"
    """Which classes: predicted, a class name, a class number (from 0), top:N for the N likeliest,
    or truth for those of the data set's truth that the model knows. A name that the model has not,
    such as cat, is looked up in the tables coco and voc, where the model's classes are
    ImageNet's."""
    table: str | None = None
    """Classes to look for in place of the model's own: voc (20), coco (80) or cat-dog for a model
    of ImageNet's classes, or a file with a line 'model's class,wanted class' for each. The heatmap
    of a wanted class is that of all its model's classes together."""
    least_probability: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Classes of a table (or of --classes) that are less probable than this are not in the image,
    unless the target names them."""
    least_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    """With top:N, a class with less than this share of the likeliest one's probability is left
    out."""
    flip: bool = False
    """Average the map with that of the mirrored image."""
    scales: tuple[float, ...] = ()
    """Average the maps of the image at these multiples of the network's input size, such as 1 and
    1.5; left out: 1 alone. Not every transformer takes other sizes than its own."""

    _classifier: Any = PrivateAttr(None)

    @field_validator("target")
    @classmethod
    def _check_target(cls, target: str) -> str:
        count = target.removeprefix("top:")
        if count != target and (not count.isdecimal() or int(count) < 1):
            raise ValueError("after top: comes how many classes, such as top:3")
        return target

    @field_validator("scales")
    @classmethod
    def _check_scales(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0.1 <= v <= 10 for v in values):
            raise ValueError("scales should lie between 0.1 and 10")
        return values

    def combine(self, activations: Any, gradients: Any) -> Any:
        """The maps (B, h, w), at least 0, of activations and gradients, Tensors (B, C, h, w)."""
        # Each method overrides this; said as the kinds' own missing parts are.
        raise PluginError(f"{type(self).__name__} should define 'combine', but does not")

    def open(self, device: str) -> None:
        """Load the classifier, frozen, and try layer and target.

        Raises `UsageError` with what is wrong, or with the list of layers if that was asked for;
        `MissingExtraError` where timm is needed and not installed.
        """
        from segkit_plugins.saliency._classifiers import load

        self._classifier = load(self._network_options(), device)

    def restrict(self, names: Sequence[str]) -> None:
        """Look for these classes alone, where the classifier or a table knows any of them.

        Raises `UsageError` for a table that has none of them, and for a target that is none.
        """
        from segkit_plugins.saliency._classifiers import check_target
        from segkit_plugins.saliency._tables import restricted

        options = self._network_options()
        self._classifier = restricted(options, self._classifier, names)
        check_target(options, self._classifier)

    @property
    def network(self) -> Any:
        """The frozen network, once it is open: normalised pixels (B, 3, S, S) → scores (B, K)."""
        return self._classifier.network

    def find_layers(self) -> Sequence[Layer]:
        """The layers of the open network that give a map, in the order in which they finish."""
        from segkit_plugins.saliency._layers import layers_of

        wanted = self._classifier.wanted
        own = self._classifier if wanted is None else wanted.own
        return layers_of(own.network, own.empty())

    def look_at(self, layer: str, option: str) -> Look:
        """How to look at another layer than `layer` of the open network, by its dotted name.

        What is returned makes of pixels (B, 3, S, S) the scores (B, K) and the layer's map
        (B, C, h, w), a leaf that they depend on; two parts of a `Seen`. Raises `UsageError`, which
        speaks of `option`, for a layer that is not there or gives no map.
        """
        from segkit_plugins.saliency._classifiers import look_into

        flag = f"--{self.name}.{option.replace('_', '-')}"
        return look_into(self._network_options(), self._classifier, layer, flag)

    @property
    def vocabulary(self) -> Sequence[str]:
        """The classes that it is asked for in place of the classifier's own."""
        wanted = self._classifier.wanted
        return () if wanted is None else tuple(wanted.outputs)

    @property
    def reads_truth(self) -> bool:
        """Whether the target is the truth's classes."""
        return self.target == "truth"

    def close(self) -> None:
        """Drop the classifier."""
        self._classifier = None

    @classmethod
    def known_weights(cls) -> tuple[Weights, ...]:
        """`shapes` and `person`, which ship with segkit."""
        from segkit_plugins.shared.weights import shipped

        return (
            shipped("shapes", "The bundled classifier of the five generated shapes"),
            shipped("person", "The class person, beside ImageNet's in efficientnet-lite0"),
        )

    def __call__(
        self, image: Image, truth: Truth | None = None, classes: Mapping[int, str] | None = None
    ) -> tuple[Heatmap, ...]:
        """One heatmap (H, W) for each target class; one of zeros if no wanted class is seen.

        Raises `BadValueError` for target `truth` if there is none or the model knows none of it.
        """
        (heatmaps,) = self.batch([{"image": image, "truth": truth, "classes": classes}])
        return heatmaps

    def batch(self, inputs: Sequence[Mapping[str, Any]]) -> list[tuple[Heatmap, ...]]:
        """The heatmaps of several images of any sizes; on a GPU 16 in a forward pass."""
        from segkit_plugins.shared.devices import works_together

        most = CHUNK if works_together(str(next(self.network.parameters()).device)) else 1
        chunks = [inputs[i : i + most] for i in range(0, len(inputs), most)]
        return [heatmaps for chunk in chunks for heatmaps in self.__chunk(chunk)]

    def __chunk(self, inputs: Sequence[Mapping[str, Any]]) -> list[tuple[Heatmap, ...]]:
        """The heatmaps of images that go through the network together."""
        classifier = self._classifier
        pixels = classifier.batch([values["image"].pixels for values in inputs])
        looks = self.__looks(pixels)
        probabilities = looks[0][1].detach().softmax(1).cpu().numpy()
        targets = [
            self.__targets(row, values.get("truth"), values.get("classes"))
            for row, values in zip(probabilities, inputs, strict=True)
        ]
        heatmaps: list[list[Heatmap]] = [[] for _ in inputs]
        most = max(len(own) for own in targets)
        for turn in range(most):  # the first class of every image, then the second …
            rows = [i for i, own in enumerate(targets) if turn < len(own)]
            outputs = [targets[i][turn][0] for i in rows]
            maps = self.__maps(looks, rows, outputs)
            for place, i in enumerate(rows):
                output, name = targets[i][turn]
                low, size = mean_map([m[place] for m in maps]), inputs[i]["image"].size
                score = float(probabilities[i, output])
                if len(targets[i]) * size[0] * size[1] > PIXELS and bool(low.isfinite().all()):
                    own = low.detach().clone()  # not a part of what all have together
                    heat = Heatmap.deferred(partial(as_heat, own, size), size, name, score)
                else:
                    heat = Heatmap(as_heat(low, size), name, score)
                heatmaps[i].append(heat)
        return [
            tuple(own) or (Heatmap(np.zeros(values["image"].size, np.float32), None, 0.0),)
            for own, values in zip(heatmaps, inputs, strict=True)
        ]

    def part(self, image: Image, heatmaps: tuple[Heatmap, ...]) -> tuple[NDArray[np.float32], ...]:
        """The method's maps of a tile, not stretched, for the classes of the whole image."""
        classifier = self._classifier
        looks = self.__looks(classifier.batch([image.pixels]))
        probabilities = looks[0][1].detach().softmax(1).cpu().numpy()[0]
        maps = []
        for heatmap in heatmaps:
            outputs = () if heatmap.name is None else classifier.named(heatmap.name)
            if outputs:
                output = self.__likeliest(outputs, probabilities)
                low = mean_map([m[0] for m in self.__maps(looks, [0], [output])])
                maps.append(low.detach().float().cpu().numpy())
            else:
                maps.append(np.zeros((1, 1), np.float32))
        return tuple(maps)

    def __looks(self, pixels: Any) -> list[tuple[_View, Any, Any]]:
        """The views of a batch, with the class scores and the layer's activations of each."""
        return [(view, *self._classifier.look(view.pixels)) for view in self.__views(pixels)]

    def __maps(
        self, looks: Sequence[tuple[_View, Any, Any]], rows: Sequence[int], outputs: Sequence[int]
    ) -> list[Any]:
        """Of each view maps (n, h, w): one for each of the rows and its class."""
        return [
            view.upright(self.explain(Seen(view.pixels, scores, activations, rows, outputs)))
            for view, scores, activations in looks
        ]

    def explain(self, seen: Seen) -> Any:
        """Maps (n, h, w), a Tensor: one for each of the rows and its class."""
        import torch

        rows = list(seen.rows)
        with torch.enable_grad():
            total = seen.scores[rows, list(seen.classes)].sum()
        (gradients,) = torch.autograd.grad(total, seen.activations, retain_graph=True)
        return self.combine(seen.activations.detach()[rows], gradients[rows])

    def __views(self, pixels: Any) -> list[_View]:
        """The network's inputs to average over; the first decides which classes are likeliest."""
        import torch.nn.functional as F

        own = pixels.shape[-1]
        views = []
        for side in self._classifier.sides:
            sized = pixels
            if side != own:
                sized = F.interpolate(pixels, (side, side), mode="bilinear", antialias=side < own)
            views.append(_View(sized, False))
            if self.flip:
                views.append(_View(sized.flip(-1), True))
        return views

    def __targets(
        self,
        probabilities: NDArray[np.float32],
        truth: Truth | None,
        classes: Mapping[int, str] | None,
    ) -> list[tuple[int, str]]:
        """The scores to explain, each with the name that its heatmap gets; none: nothing seen."""
        names = self._classifier.names
        if self.target == "truth":
            return self.__true(probabilities, truth, classes or {})
        if self.target == "predicted":
            count = 1
        elif self.target.startswith("top:"):
            count = int(self.target.removeprefix("top:"))
        else:
            output = self.__likeliest(self._classifier.numbers(self.target), probabilities)
            return [(output, names[output])]
        # The last score of a grouped classifier is no class.
        likeliest = np.argsort(-probabilities[: len(names)], kind="stable")[:count]
        least = self.least_share * probabilities[likeliest[0]] if count > 1 else 0.0
        if self._classifier.wanted is not None:
            least = max(least, self.least_probability)
        return [(int(i), names[i]) for i in likeliest if probabilities[i] >= least]

    def __true(
        self,
        probabilities: NDArray[np.float32],
        truth: Truth | None,
        classes: Mapping[int, str],
    ) -> list[tuple[int, str]]:
        """The scores of the classes in the truth, under the truth's names."""
        option = f"--{self.name}.target truth"
        if truth is None:
            raise BadValueError(
                f"{option} needs the image's truth, and it has none; choose a data set with truth "
                "or another target"
            )
        names = {**classes, **truth.labels.classes}
        ids = [int(i) for i in np.unique(truth.labels.ids) if i not in (BACKGROUND, VOID)]
        wanted = [names.get(i, f"class {i}") for i in ids]
        named = [(self._classifier.named(name), name) for name in wanted]
        known = [(self.__likeliest(own, probabilities), name) for own, name in named if own]
        if not known:
            owner = "the model" if self._classifier.wanted is None else "the table"
            raise BadValueError(
                f"{option}: {owner} knows none of the image's classes "
                f"({', '.join(wanted) or 'it has none'}); choose predicted or another "
                f"{owner.removeprefix('the ')}"
            )
        return known

    def __likeliest(self, outputs: Sequence[int], probabilities: NDArray[np.float32]) -> int:
        """Of several scores with one name the one seen most of."""
        return max(outputs, key=lambda i: float(probabilities[i]))


@dataclass(frozen=True)
class Seen:
    """What a network made of a batch, and what is to be explained of it. Tensors."""

    pixels: Any
    """The input (B, 3, S, S)."""
    scores: Any
    """Class scores (B, K), which depend on `activations`."""
    activations: Any
    """The layer's map (B, C, h, w), a leaf."""
    rows: Sequence[int]
    """n images of the batch …"""
    classes: Sequence[int]
    """… and the output to explain of each."""


@dataclass(frozen=True)
class _View:
    """One way of showing a batch to the network."""

    pixels: Any
    flipped: bool

    def upright(self, maps: Any) -> Any:
        """Maps of this view as maps of the images."""
        return maps.flip(-1) if self.flipped else maps
