"""The image classifiers that one can look into: loaded, frozen and tried on an empty picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from segkit import UsageError
from segkit_plugins.saliency._layers import Look, default_layer, layers_of, look_at
from segkit_plugins.saliency._networks import IMAGENET, ClassifierOptions, Model, model_of
from segkit_plugins.saliency._tables import Wanted, grouped, looked_together, looked_up, tabled
from segkit_plugins.shared import lite0
from segkit_plugins.shared.devices import to_device
from segkit_plugins.shared.reading import read_text
from segkit_plugins.shared.sentences import did_you_mean, first_line


@dataclass(frozen=True)
class Classifier:
    """A frozen network in evaluation mode and how to look into it."""

    network: nn.Module
    look: Look
    names: tuple[str, ...]
    """Class names in the order of the scores. A grouped classifier has one score more, that of all
    its other outputs."""
    size: int
    """Side of the input, in pixels."""
    mean: Tensor
    std: Tensor
    """(3, 1, 1) each, on the network's device."""
    sides: tuple[int, ...]
    """Sides of the inputs to average over, in pixels: `size` alone, or as `scales` asks."""
    wanted: Wanted | None = None
    """What it is asked for in place of its own classes; None: its own."""
    channels_last: bool = False
    """Whether its channels come last in memory."""

    def prepared(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Pixels (H, W, 3) as the network's input (3, size, size), normalised."""
        return prepared_pixels(pixels, self.size, self.mean, self.std)

    def empty(self) -> Tensor:
        """A black picture as the network's input (1, 3, size, size)."""
        return self.prepared(np.zeros((self.size, self.size, 3), np.uint8))[None]

    def batch(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Pictures (H, W, 3) of any sizes as the network's input (B, 3, size, size)."""
        pixels = torch.stack([self.prepared(picture) for picture in pictures])
        last = torch.channels_last if self.channels_last else torch.contiguous_format
        return pixels.contiguous(memory_format=last)

    def named(self, name: str) -> tuple[int, ...]:
        """The outputs of that name; case, hyphens and underscores do not matter unless they must.

        Mostly one or none; nothing keeps a model from using a name twice.
        """
        exact = tuple(i for i, own in enumerate(self.names) if own == name)
        return exact or tuple(self._outputs_of.get(_plain(name), ()))

    def numbers(self, target: str) -> tuple[int, ...]:
        """The outputs of a class name or number. Raises `LookupError` with a hint if none."""
        outputs = self.named(target)
        own = self.wanted is None  # a class of a table goes by its name alone
        if not outputs and own and target.isdecimal() and int(target) < len(self.names):
            outputs = (int(target),)
        if outputs:
            return outputs
        known = list(self._outputs_of)
        wanted = _plain(target)
        near = [n for n in known if wanted in n.split()][:3]
        near += [n for n in get_close_matches(wanted, known, n=3) if n not in near]
        shown = [repr(self.names[self._outputs_of[n][0]]) for n in near[:3]]
        last = len(self.names) - 1
        raise LookupError(
            f"did you mean {' or '.join(shown)}?"
            if shown and not target.isdecimal()
            else f"it has {', '.join(self.names[:5])}{' …' * (last > 4)}"
            if not own
            else f"it has numbers 0 to {last} and names such as {self.names[0]!r}"
        )

    def has(self, target: str) -> bool:
        """Whether it has outputs of that class name or number."""
        try:
            return bool(self.numbers(target))
        except LookupError:
            return False

    @cached_property
    def _outputs_of(self) -> dict[str, list[int]]:
        """The outputs of each plain name."""
        outputs: dict[str, list[int]] = {}
        for i, name in enumerate(self.names):
            outputs.setdefault(_plain(name), []).append(i)
        return outputs


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def prepared_pixels(pixels: NDArray[np.uint8], size: int, mean: Tensor, std: Tensor) -> Tensor:
    """Pixels (H, W, 3) as a network's input (3, size, size), normalised, on the means' device."""
    picture = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
    if picture.shape[-2:] != (size, size):
        # In bytes and on the CPU: for large pictures 30 times as fast as in floats.
        picture = F.interpolate(picture, (size, size), mode="bilinear", antialias=True)
    prepared: Tensor = (to_device(picture[0], str(mean.device)).float() / 255 - mean) / std
    return prepared


# ---- from a step's options to a classifier -----------------------------------------------------


@dataclass(frozen=True)
class Fed:
    """What a network is fed with, and what it has made of an empty picture."""

    size: int
    mean: Tensor
    std: Tensor
    picture: Tensor
    """(1, 3, size, size), normalised."""
    scores: Tensor
    """(1, K)."""


def fed_network(options: ClassifierOptions, device: str) -> tuple[Model, Fed]:
    """The network that the options name, frozen on the device and tried. Raises as `load` does."""
    model = model_of(options)
    network = model.network.to(device).eval()
    if model.channels_last:
        network.to(memory_format=torch.channels_last)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    size = options.size or model.size
    mean, std = (
        torch.tensor(v, device=device).view(3, 1, 1)
        for v in (options.mean or model.mean, options.std or model.std)
    )
    picture = prepared_pixels(np.zeros((size, size, 3), np.uint8), size, mean, std)[None]
    return model, Fed(size, mean, std, picture, _try_network(options, network, picture))


def load(options: ClassifierOptions, device: str) -> Classifier:
    """The classifier that a step's options describe, on the device, tried on an empty picture.

    Raises `UsageError` for an unknown model, layer, table or target, for missing, damaged,
    dangerous or unfit weights, and for names that do not match the outputs, and with the list of
    layers if that was asked for; `MissingExtraError` where timm is not installed.
    """
    model, fed = fed_network(options, device)
    network, size, mean, std = model.network, fed.size, fed.mean, fed.std
    picture, scores = fed.picture, fed.scores
    names = _names(options, model, scores.shape[1])
    if options.layer == "list":
        raise UsageError(_listed(options, network, picture, model.layer))
    look = _look(options, network, picture, scores, model.layer)
    sides = tuple(max(round(size * scale), 1) for scale in options.scales or (1.0,))
    for side in sides:
        if side != size:
            _try_side(options, look, picture, side)
    classifier = Classifier(
        network, look, names, size, mean, std, sides, channels_last=model.channels_last
    )
    if options.table is not None:
        classifier = tabled(options, classifier, options.table)
    elif options.names_a_class and not classifier.has(options.target):
        outputs = looked_up(classifier, options.target)
        classifier = grouped(classifier, {options.target: outputs}) if outputs else classifier
    check_target(options, classifier)
    return classifier


def _try_network(options: ClassifierOptions, network: nn.Module, picture: Tensor) -> Tensor:
    """The class scores (1, K) of an empty picture. Raises `UsageError` if there are none."""
    model, side = options.as_given("model"), picture.shape[-1]
    try:
        with torch.no_grad():
            scores: Any = network(picture)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UsageError(
            f"{model} does not take pictures of {side}x{side} ({first_line(error)}); give the size "
            f"it was made for with --{options.step}.size"
        ) from None
    if not (torch.is_tensor(scores) and scores.dim() == 2 and scores.is_floating_point()):
        what = tuple(scores.shape) if torch.is_tensor(scores) else f"a {type(scores).__name__}"
        raise UsageError(
            f"{model} should give class scores (images, classes), but gives {what}; choose a "
            "classifier"
        )
    if not torch.isfinite(scores).all():
        raise UsageError(
            f"{model} gives NaN or infinite scores for an empty picture; its weights are damaged: "
            "choose others"
        )
    return scores


def _look(
    options: ClassifierOptions, network: nn.Module, picture: Tensor, scores: Tensor, own: str
) -> Look:
    """A look at the layer that is asked for, at the model's `own`, or at one that is found."""
    flag = f"--{options.step}.layer"
    layer = options.layer or own or default_layer(network, picture)
    if not layer:
        raise UsageError(
            f"{options.as_given('model')} has no map of convolutions near its end to look at; "
            f"choose a layer with {flag} ('list' shows what there is), or another model"
        )
    return _tried_look(network, layer, picture, scores, flag, f"{flag} list shows them")


def _tried_look(
    network: nn.Module, layer: str, picture: Tensor, scores: Tensor, flag: str, advice: str
) -> Look:
    """A look at a layer that `flag` names. Raises `UsageError` if it cannot be had."""
    try:
        look = look_at(network, layer)
        _try_look(look, picture, scores)
    except LookupError as error:
        known = (known.name for known in layers_of(network, picture))
        raise UsageError(f"{flag} {layer}: {error}; {did_you_mean(layer, known, advice)}") from None
    return look


def look_into(options: ClassifierOptions, classifier: Classifier, layer: str, flag: str) -> Look:
    """A look at another layer of a classifier, with its scores. Raises `UsageError` as above."""
    own = classifier if classifier.wanted is None else classifier.wanted.own
    picture = own.empty()
    with torch.no_grad():
        scores = own.network(picture)
    advice = f"--{options.step}.layer list shows them"
    look = _tried_look(own.network, layer, picture, scores, flag, advice)
    return look if classifier.wanted is None else looked_together(look, classifier.network)


def _try_look(look: Look, picture: Tensor, wanted: Tensor) -> None:
    """Raise `LookupError` if a look changes the scores, or they do not depend on the layer."""
    scores, activations = look(picture)
    if not torch.allclose(scores, wanted, rtol=1e-3, atol=1e-3):
        raise LookupError("looking there changes what the network says")
    gradient = None
    if scores.requires_grad:
        (gradient,) = torch.autograd.grad(scores.sum(), activations, allow_unused=True)
    if gradient is None:
        raise LookupError("the class scores do not depend on it")


def _try_side(options: ClassifierOptions, look: Look, picture: Tensor, side: int) -> None:
    """Refuse a side of the input that the network cannot be looked into at."""
    try:
        _, own = look(picture)
        _, scaled = look(picture[..., :1, :1].expand(-1, -1, side, side).contiguous())
        # A single place of a map with channels last cannot be told from one with channels first.
        if scaled.shape[1] != own.shape[1]:
            raise LookupError("the layer's map is too small")
    except (RuntimeError, AssertionError, ValueError, LookupError) as error:
        raise UsageError(
            f"--{options.step}.scales: {options.model} cannot be looked into at {side}x{side} "
            f"pixels ({first_line(error)}); choose scales nearer to 1, none, or another model"
        ) from None


def _listed(options: ClassifierOptions, network: nn.Module, picture: Tensor, own: str) -> str:
    """The layers to choose from: blocks, without all that is inside them where that is much."""
    layers = layers_of(network, picture)
    blocks = [layer for layer in layers if layer.name.count(".") <= 1]
    default = own or default_layer(network, picture)
    shown = blocks if len(blocks) > 3 else layers
    rows = [f"  {layer}{' (default)' * (layer.name == default)}" for layer in shown]
    inside = "" if len(shown) == len(layers) else ", and the modules inside them"
    head = f"--{options.step}.layer: {options.model} has these layers to look at{inside}:"
    return "\n".join([head, *rows])


def check_target(options: ClassifierOptions, classifier: Classifier) -> None:
    """Refuse a target that the model cannot have, before any image is read."""
    target, classes = options.target, len(classifier.names)
    owner = options.model if options.table is None else f"the table {options.table}"
    asked = f"{options.as_given('target')}: {owner}"
    if target.startswith("top:"):
        # Of wanted classes as many are looked for as there are.
        if int(target.removeprefix("top:")) > classes and classifier.wanted is None:
            raise UsageError(f"{asked} has only {classes} classes; ask for fewer")
    elif options.names_a_class:
        try:
            classifier.numbers(target)
        except LookupError as error:
            raise UsageError(
                f"{asked} has {classes} classes and none of that name; {error}"
            ) from None


# ---- class names -------------------------------------------------------------------------------


def _names(options: ClassifierOptions, model: Model, outputs: int) -> tuple[str, ...]:
    """A name for each output: those given, else the model's, else the usual ones."""
    names = _given_names(options) or model.names or _default_names(outputs)
    if len(names) == outputs - 1 and model.names[-1:] == (lite0.PERSON,):
        names = (*names, lite0.PERSON)  # who names ImageNet's classes need not know of it
    if len(names) != outputs:
        raise UsageError(
            f"--{options.step}.class-names: {len(names)} names were given, but {options.model} has "
            f"{outputs} outputs; give one name for each"
        )
    return names


def _given_names(options: ClassifierOptions) -> tuple[str, ...]:
    """Names as given, or the lines of the one file that is named."""
    given = options.class_names
    if len(given) != 1:
        return given
    try:
        lines = read_text(given[0]).splitlines()
    except OSError as error:
        raise UsageError(
            f"--{options.step}.class-names {given[0]} cannot be read as a file of names "
            f"({first_line(error)}); give a file with a name a line, or each name"
        ) from None
    return tuple(line.strip() for line in lines if line.strip())


def _default_names(outputs: int) -> tuple[str, ...]:
    if outputs == IMAGENET:
        return lite0.imagenet_names()
    return tuple(f"class-{i}" for i in range(outputs))
