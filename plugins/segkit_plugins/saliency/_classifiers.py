"""The image classifiers that one can look into: loaded, frozen and tried on an empty picture."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from segkit import MissingExtraError, UsageError
from segkit_plugins.saliency._layers import Look, default_layer, layers_of, look_at
from segkit_plugins.shared import lite0
from segkit_plugins.shared.weights import bundled, fill, load_torch

if TYPE_CHECKING:
    from segkit_plugins.saliency._cam import ClassActivationMap

IMAGENET = 1000
"""ImageNet's number of classes, and what torchvision and timm make if not told otherwise."""

WRAPPERS = ("module.", "model.", "network.", "net.")
"""What training code puts before the names of a network's weights."""


@dataclass
class Model:
    """A network and what its makers say of it."""

    network: nn.Module
    layer: str = ""
    """Where to look if nothing else is asked for; empty: to be found."""
    names: tuple[str, ...] = ()
    """Class names in the order of the outputs; empty: to be found."""
    size: int = lite0.SIZE
    mean: tuple[float, ...] = lite0.MEAN
    std: tuple[float, ...] = lite0.STD


@dataclass(frozen=True)
class Classifier:
    """A frozen network in evaluation mode and how to look into it."""

    network: nn.Module
    look: Look
    names: tuple[str, ...]
    """Class names in the order of the outputs."""
    size: int
    """Side of the input, in pixels."""
    mean: Tensor
    std: Tensor
    """(3, 1, 1) each, on the network's device."""

    def prepared(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Pixels (H, W, 3) as the network's input (3, size, size), normalised."""
        return _prepared(pixels, self.size, self.mean, self.std)

    def named(self, name: str) -> tuple[int, ...]:
        """The outputs of that name; case, hyphens and underscores do not matter unless they must.

        Mostly one or none; nothing keeps a model from using a name twice.
        """
        exact = tuple(i for i, own in enumerate(self.names) if own == name)
        return exact or tuple(self._plain.get(_plain(name), ()))

    def numbers(self, target: str) -> tuple[int, ...]:
        """The outputs of a class name or number. Raises `LookupError` with a hint if none."""
        found = self.named(target)
        if not found and target.isdecimal() and int(target) < len(self.names):
            found = (int(target),)
        if found:
            return found
        known = list(self._plain)
        wanted = _plain(target)
        near = [n for n in known if wanted in n.split()][:3]
        near += [n for n in get_close_matches(wanted, known, n=3) if n not in near]
        shown = [repr(self.names[self._plain[n][0]]) for n in near[:3]]
        last = len(self.names) - 1
        raise LookupError(
            f"did you mean {' or '.join(shown)}?"
            if shown and not target.isdecimal()
            else f"it has numbers 0 to {last} and names such as {self.names[0]!r}"
        )

    @cached_property
    def _plain(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for i, name in enumerate(self.names):
            found.setdefault(_plain(name), []).append(i)
        return found


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _prepared(pixels: NDArray[np.uint8], size: int, mean: Tensor, std: Tensor) -> Tensor:
    found = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
    if found.shape[-2:] != (size, size):
        # In bytes and on the CPU: for large pictures 30 times as fast as in floats.
        found = F.interpolate(found, (size, size), mode="bilinear", antialias=True)
    prepared: Tensor = (found[0].to(mean.device).float() / 255 - mean) / std
    return prepared


# ---- from a step's options to a classifier -----------------------------------------------------


def load(step: ClassActivationMap, device: str) -> Classifier:
    """The classifier that a step's options describe, on the device, tried on an empty picture.

    Raises `UsageError` for an unknown model, layer or target, for missing, damaged, dangerous or
    unfit weights, and for names that do not match the outputs; `MissingExtraError` where timm is
    not installed.
    """
    option = f"--{step.name}"
    model = _model(step)
    network = model.network.to(device).eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    size = step.size or model.size
    mean, std = (
        torch.tensor(v, device=device).view(3, 1, 1)
        for v in (step.mean or model.mean, step.std or model.std)
    )
    picture = _prepared(np.zeros((size, size, 3), np.uint8), size, mean, std)[None]
    try:
        with torch.no_grad():
            scores = network(picture)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UsageError(
            f"{option}.model {step.model} does not take pictures of {size}x{size} "
            f"({_reason(error)}); give the size it was made for with {option}.size"
        ) from None
    outputs = _outputs(scores, f"{option}.model {step.model}")
    if not torch.isfinite(scores).all():
        raise UsageError(
            f"{option}.model {step.model} gives NaN or infinite scores for an empty picture; its "
            "weights are damaged: choose others"
        )
    names = _names(step) or model.names or _default_names(outputs)
    if len(names) != outputs:
        raise UsageError(
            f"{option}.class-names: {len(names)} names were given, but {step.model} has {outputs} "
            "outputs; give one name for each"
        )
    if step.layer == "list":
        raise UsageError(_listed(step, network, picture, model.layer))
    layer = step.layer or model.layer or default_layer(network, picture)
    if not layer:
        raise UsageError(
            f"{option}.model {step.model} has no map of convolutions near its end to look at; "
            f"choose a layer with {option}.layer ('list' shows what there is), or another model"
        )
    try:
        look = look_at(network, layer)
        _try_look(look, picture, scores)
    except LookupError as error:
        known = [found.name for found in layers_of(network, picture)]
        near = get_close_matches(layer, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"{option}.layer list shows them"
        raise UsageError(f"{option}.layer {layer}: {error}; {hint}") from None
    for side in step.sides(size):
        if side != size:
            _try_side(step, look, picture, side)
    made = Classifier(network, look, names, size, mean, std)
    _check_target(step, made)
    return made


def _outputs(scores: Any, model: str) -> int:
    """The number of classes, from the scores for one picture."""
    if torch.is_tensor(scores) and scores.dim() == 2 and scores.is_floating_point():
        return int(scores.shape[1])
    found = tuple(scores.shape) if torch.is_tensor(scores) else f"a {type(scores).__name__}"
    raise UsageError(
        f"{model} should give class scores (images, classes), but gives {found}; "
        "choose a classifier"
    )


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


def _try_side(step: ClassActivationMap, look: Look, picture: Tensor, side: int) -> None:
    """Refuse a side of the input that the network cannot be looked into at."""
    try:
        _, own = look(picture)
        _, found = look(picture[..., :1, :1].expand(-1, -1, side, side).contiguous())
        # A single place of a map with channels last cannot be told from one with channels first.
        if found.shape[1] != own.shape[1]:
            raise LookupError("the layer's map is too small")
    except (RuntimeError, AssertionError, ValueError, LookupError) as error:
        raise UsageError(
            f"--{step.name}.scales: {step.model} cannot be looked into at {side}x{side} pixels "
            f"({_reason(error)}); choose scales nearer to 1, none, or another model"
        ) from None


def _listed(step: ClassActivationMap, network: nn.Module, picture: Tensor, own: str) -> str:
    """The layers to choose from: blocks, without all that is inside them where that is much."""
    found = layers_of(network, picture)
    blocks = [layer for layer in found if layer.name.count(".") <= 1]
    default = own or default_layer(network, picture)
    shown = blocks if len(blocks) > 3 else found
    rows = [f"  {layer}{' (default)' * (layer.name == default)}" for layer in shown]
    inside = "" if len(shown) == len(found) else ", and the modules inside them"
    return "\n".join(
        [f"--{step.name}.layer: {step.model} has these layers to look at{inside}:", *rows]
    )


def _check_target(step: ClassActivationMap, made: Classifier) -> None:
    """Refuse a target that the model cannot have, before any image is read."""
    count = step.target.removeprefix("top:")
    if count != step.target:
        if int(count) > len(made.names):
            raise UsageError(
                f"--{step.name}.target {step.target}: {step.model} has only {len(made.names)} "
                "classes; ask for fewer"
            )
    elif step.target not in ("predicted", "truth"):
        try:
            made.numbers(step.target)
        except LookupError as error:
            raise UsageError(
                f"--{step.name}.target {step.target}: {step.model} has {len(made.names)} classes "
                f"and none of that name; {error}"
            ) from None


def files(step: ClassActivationMap) -> Mapping[str, Path]:
    """The weight files of a step's model, as far as they are there."""
    family, _, name = step.model.partition(":")
    found: dict[str, Path] = {}
    if step.checkpoint:
        found[step.model] = step.checkpoint
    elif step.model in ("efficientnet-lite0", "shapes"):
        found["efficientnet-lite0"] = lite0.weight_file()
        if step.model == "shapes":
            found["shapes"] = bundled("shapes")
    elif family == "torchvision":
        found[step.model] = _official(name)[0] if name in _torchvision_names() else Path()
    elif family != "timm":
        found["torchscript"] = Path(step.model)
    return {name: path for name, path in found.items() if path.is_file()}


# ---- the kinds of model -------------------------------------------------------------------------


def _model(step: ClassActivationMap) -> Model:
    """The network that a step names, with its weights."""
    family, _, name = step.model.partition(":")
    if step.model == "efficientnet-lite0":
        return _lite0(step)
    if family == "torchvision" and name:
        return _torchvision(step, name)
    if family == "timm" and name:
        return _timm(step, name)
    if step.checkpoint:
        raise UsageError(
            f"--{step.name}.checkpoint goes with torchvision:NAME, timm:NAME or "
            f"efficientnet-lite0, but the model is {step.model}; drop it or change the model"
        )
    if step.model == "shapes":
        from segkit_plugins.saliency import _shapes_net as shapes_net

        net = shapes_net
        return Model(net.load(), net.LAYER, net.NAMES, net.SIZE, net.MEAN, net.STD)
    return _torchscript(step)


def _lite0(step: ClassActivationMap) -> Model:
    if step.checkpoint is None:
        return Model(lite0.load_lite0(), lite0.LAYER)
    from efficientnet_lite_pytorch import EfficientNet

    def build(count: int) -> nn.Module:
        network: nn.Module = EfficientNet.from_name("efficientnet-lite0", num_classes=count)
        return network

    return Model(_filled(build, step.checkpoint, "efficientnet-lite0"), lite0.LAYER)


def _torchvision_names() -> list[str]:
    from torchvision import models

    names: list[str] = models.list_models(module=models)
    return names


def _official(name: str) -> tuple[Path, Any]:
    """Where torchvision keeps its best ImageNet weights of a model, and their description."""
    from torchvision import models

    weights = models.get_model_weights(name).DEFAULT
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    return folder / Path(urlparse(weights.url).path).name, weights


def _torchvision(step: ClassActivationMap, name: str) -> Model:
    from torchvision import models

    known = _torchvision_names()
    if name not in known:
        raise UsageError(_unknown(step, name, known, "torchvision"))
    cached, weights = _official(name)
    path = step.checkpoint or cached
    if not step.checkpoint and not cached.is_file():
        if not step.pretrained:
            raise UsageError(_needs_weights(step))
        _download(step, weights.url, cached)
    # These two scale ImageNet's normalisation to their own, and may have side outputs.
    special = {"transform_input": True, "init_weights": False}
    options = special if name in ("googlenet", "inception_v3") else {}

    def build(count: int) -> nn.Module:
        network: nn.Module = models.get_model(name, weights=None, num_classes=count, **options)
        return network

    network = _filled(build, path, f"torchvision's {name}")
    preset = weights.transforms()
    return Model(
        network,
        size=int(preset.crop_size[0]),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


def _download(step: ClassActivationMap, url: str, path: Path) -> None:
    """Fetch a file into torch's own cache; its name ends in the start of its hash: it must fit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = path.stem.rpartition("-")[2]
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digest, progress=False)
    except (OSError, RuntimeError) as error:
        raise UsageError(_not_fetched(step, url, error)) from None


def _timm(step: ClassActivationMap, name: str) -> Model:
    try:
        import timm
    except ImportError:
        raise MissingExtraError(f"--{step.name}.model {step.model}", "timm", "timm") from None
    known = timm.list_models()
    if name.partition(".")[0] not in known:
        raise UsageError(_unknown(step, name, known, "timm"))

    def build(count: int) -> nn.Module:
        network: nn.Module = timm.create_model(name, pretrained=False, num_classes=count)
        return network

    if step.checkpoint:
        network = _filled(build, step.checkpoint, f"timm's {name}")
    elif step.pretrained:
        try:
            network = timm.create_model(name, pretrained=True)
        except Exception as error:  # whatever the hub's client raises
            raise UsageError(_not_fetched(step, "the Hugging Face hub", error)) from None
    else:
        raise UsageError(_needs_weights(step))
    config = timm.data.resolve_model_data_config(network)
    return Model(
        network,
        size=int(config["input_size"][-1]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def _torchscript(step: ClassActivationMap) -> Model:
    path = Path(step.model)
    if not path.is_file():
        known = ["efficientnet-lite0", "shapes"]
        near = get_close_matches(step.model, known, n=1)
        hint = (
            f"did you mean '{near[0]}'?"
            if near
            else "there is efficientnet-lite0, shapes, torchvision:NAME, timm:NAME or the path of "
            "a TorchScript file"
        )
        raise UsageError(f"--{step.name}.model {step.model}: there is no such model; {hint}")
    try:
        with warnings.catch_warnings():  # Torch would rather have another format.
            warnings.simplefilter("ignore")
            network = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"--{step.name}.model {path} cannot be read as TorchScript ({_reason(error)}); for a "
            f"state_dict give --{step.name}.model torchvision:NAME --{step.name}.checkpoint FILE"
        ) from None
    return Model(network)


def _filled(build: Callable[[int], nn.Module], path: Path, what: str) -> nn.Module:
    """A network for as many classes as the weights have, with these weights."""
    tensors = load_torch(path)
    network = build(IMAGENET)
    wanted = network.state_dict()
    for prefix in WRAPPERS:
        if all(k.startswith(prefix) for k in tensors):
            if not any(k.startswith(prefix) for k in wanted):
                tensors = {k.removeprefix(prefix): v for k, v in tensors.items()}
            break
    counts = {
        tensors[k].shape[0]
        for k, v in wanted.items()
        if k in tensors
        and v.dim() > 0
        and v.shape[0] == IMAGENET
        and tensors[k].shape[1:] == v.shape[1:]
    }
    if len(counts) == 1 and counts != {IMAGENET}:
        network = build(counts.pop())
    fill(network, tensors, path, what)
    return network


# ---- names and sentences ------------------------------------------------------------------------


def _names(step: ClassActivationMap) -> tuple[str, ...]:
    """Names as given, or the lines of the one file that is named."""
    given = step.class_names
    if len(given) != 1:
        return given
    try:
        lines = Path(given[0]).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--{step.name}.class-names {given[0]} cannot be read as a file of names "
            f"({_reason(error)}); give a file with a name a line, or each name"
        ) from None
    return tuple(line.strip() for line in lines if line.strip())


def _default_names(outputs: int) -> tuple[str, ...]:
    if outputs == IMAGENET:
        return lite0.imagenet_names()
    return tuple(f"class-{i}" for i in range(outputs))


def _needs_weights(step: ClassActivationMap) -> str:
    return (
        f"--{step.name}.model {step.model} needs its weights, and segkit downloads nothing by "
        f"itself; give --{step.name}.checkpoint FILE, or allow it with --{step.name}.pretrained"
    )


def _not_fetched(step: ClassActivationMap, source: str, error: Exception) -> str:
    return (
        f"the weights of {step.model} could not be fetched from {source} ({_reason(error)}); try "
        f"again, or give --{step.name}.checkpoint FILE"
    )


def _unknown(step: ClassActivationMap, name: str, known: list[str], owner: str) -> str:
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"{owner} has {', '.join(known[:4])} …"
    return f"--{step.name}.model {step.model}: there is no such model; {hint}"


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]
