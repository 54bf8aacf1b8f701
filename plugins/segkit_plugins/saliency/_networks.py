"""The networks that a classifier's option `model` can name, with their weights.

EfficientNet-Lite0, `shapes`, those of torchvision and timm, and TorchScript files; and what a step
asks of its classifier.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import nn

from segkit import MissingExtraError, SegkitError, SegkitWarning, UsageError, Weights
from segkit_plugins.shared import lite0
from segkit_plugins.shared.fetching import fetch, split_revision
from segkit_plugins.shared.reading import sha256 as file_hash
from segkit_plugins.shared.sentences import did_you_mean, first_line
from segkit_plugins.shared.weights import bundled, fill, load_torch

IMAGENET = 1000
"""ImageNet's number of classes, and what torchvision and timm make if not told otherwise."""

WRAPPERS = ("module.", "model.", "network.", "net.")
"""What training code puts before the names of a network's weights."""


@dataclass(frozen=True)
class ClassifierOptions:
    """What a step asks of its classifier; each is the option of that name, but for `step`."""

    step: str
    """The step's name: errors speak of `--STEP.model`."""
    model: str = "efficientnet-lite0"
    checkpoint: Path | None = None
    pretrained: bool = False
    sha256: str = ""
    class_names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    layer: str = ""
    target: str = "predicted"
    table: str | None = None
    size: int | None = None
    scales: tuple[float, ...] = ()
    head: bool = True
    """Whether it has to classify; else what follows a transformer's blocks is left away."""

    @property
    def names_a_class(self) -> bool:
        """Whether the target is one class, by name or number."""
        return self.target not in ("predicted", "truth") and not self.target.startswith("top:")

    def as_given(self, option: str) -> str:
        """An option as it was given, for an error: '--gradcam.model shapes'."""
        return f"--{self.step}.{option} {getattr(self, option)}"


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
    channels_last: bool = False
    """Whether it is known to take its channels last in memory, by which convolutions are a fifth
    quicker."""


def files(options: ClassifierOptions) -> Mapping[str, Path]:
    """The weight files of a step's model, as far as they are there."""
    family, _, name = options.model.partition(":")
    paths: dict[str, Path] = {}
    if options.checkpoint:
        paths[options.model] = options.checkpoint
    elif options.model in ("efficientnet-lite0", "shapes"):
        paths["efficientnet-lite0"] = lite0.weight_file()
        extra = "shapes" if options.model == "shapes" else "person"
        paths[extra] = bundled(extra)
    elif family == "torchvision":
        paths[options.model] = _official(name)[0] if name in _torchvision_names() else Path()
    elif family == "timm" and name:
        paths[options.model] = (
            _in_hub_cache(*split_revision(name)) if options.pretrained else Path()
        )
    else:
        paths["torchscript"] = Path(options.model)
    return {name: path for name, path in paths.items() if path.is_file()}


def model_of(options: ClassifierOptions) -> Model:
    """The network that a step names, with its weights.

    Raises `UsageError` with what is wrong, also for weights of another hash than is asked for;
    `MissingExtraError` where timm is not installed.
    """
    for path in files(options).values() if options.sha256 else ():
        _check_pinned(options, path)
    family, _, name = options.model.partition(":")
    if options.model == "efficientnet-lite0":
        return _lite0(options)
    if family == "torchvision" and name:
        return _torchvision(options, name)
    if family == "timm" and name:
        return _timm(options, name)
    if options.checkpoint:
        raise UsageError(
            f"--{options.step}.checkpoint goes with torchvision:NAME, timm:NAME or "
            f"efficientnet-lite0, but the model is {options.model}; drop it or change the model"
        )
    if options.model == "shapes":
        from segkit_plugins.saliency import _shapes_net as shapes_net

        net = shapes_net
        return Model(net.load(), net.LAYER, net.NAMES, net.SIZE, net.MEAN, net.STD)
    return _torchscript(options)


# ---- the families -------------------------------------------------------------------------------


def _lite0(options: ClassifierOptions) -> Model:
    if options.checkpoint is None:
        network = lite0.with_person(lite0.load_lite0())
        names = (*lite0.imagenet_names(), lite0.PERSON)
        return Model(network, lite0.LAYER, names, channels_last=True)
    from efficientnet_lite_pytorch import EfficientNet

    def build(count: int) -> nn.Module:
        network: nn.Module = EfficientNet.from_name("efficientnet-lite0", num_classes=count)
        return network

    network = _filled(build, options.checkpoint, "efficientnet-lite0")
    return Model(network, lite0.LAYER, channels_last=True)


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


def _torchvision(options: ClassifierOptions, name: str) -> Model:
    from torchvision import models

    known = _torchvision_names()
    if name not in known:
        raise UsageError(_unknown(options, name, known, "torchvision"))
    cached, weights = _official(name)
    path = options.checkpoint or cached
    if not options.checkpoint and not cached.is_file():
        if not options.pretrained:
            raise UsageError(_needs_weights(options))
        size = round(weights.meta["_file_size"] * 1.01 * 2**20)  # it is said in MiB, rounded
        _download(options, weights.url, cached, size)
    # These two scale ImageNet's normalisation to their own, and may have side outputs.
    special = {"transform_input": True, "init_weights": False}
    settings = special if name in ("googlenet", "inception_v3") else {}

    def build(count: int) -> nn.Module:
        network: nn.Module = models.get_model(name, weights=None, num_classes=count, **settings)
        return network

    network = _filled(build, path, f"torchvision's {name}", options.head)
    preset = weights.transforms()
    return Model(
        network,
        size=int(preset.crop_size[0]),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


def _download(options: ClassifierOptions, url: str, path: Path, most: int) -> None:
    """Fetch a file of at most so many bytes into torch's own cache.

    It must have the hash that is asked for; without one, that whose beginning its name ends in.
    Then the whole one is told, so that a recipe can have it.
    """
    digest = options.sha256 or path.stem.rpartition("-")[2]
    try:
        what = f"weights of {options.model}"
        known = Weights(options.model, what, "", str(path.absolute()), digest, most, url)
        fetch(known, digits=8)
    except SegkitError as error:
        raise UsageError(_not_fetched(options, url, error)) from None
    if not options.sha256:
        whole = file_hash(path)
        warnings.warn(
            f"the weights of {options.model} were fetched; --{options.step}.sha256 {whole} keeps "
            "to these ones",
            SegkitWarning,
            stacklevel=2,
        )


def _check_pinned(options: ClassifierOptions, path: Path) -> None:
    """Raise `UsageError` for a file that has not the hash which is asked for."""
    if options.sha256 and path.is_file() and (there := file_hash(path)) != options.sha256:
        raise UsageError(
            f"--{options.step}.sha256 is {options.sha256}, but {path} has {there}; give the "
            "weights that are meant, or drop the option if you trust these"
        )


HUB_FILE = "model.safetensors"
"""The file of timm's models in the hub that holds tensors and nothing else."""


def _in_hub_cache(name: str, revision: str | None) -> Path:
    """Where the weights of one of timm's models lie that were fetched before; `Path()`: nowhere."""
    try:
        import timm
        from huggingface_hub import try_to_load_from_cache

        place = timm.models.get_pretrained_cfg(name).hf_hub_id
        there = try_to_load_from_cache(place, HUB_FILE, revision=revision)
    except Exception:  # not installed, or no model of that name, which is told later
        return Path()
    return Path(there) if isinstance(there, str) else Path()


def _timm(options: ClassifierOptions, name: str) -> Model:
    try:
        import timm
    except ImportError:
        raise MissingExtraError(options.as_given("model"), "timm", "timm") from None
    known = timm.list_models()
    name, revision = split_revision(name)
    if name.partition(".")[0] not in known:
        raise UsageError(_unknown(options, name, known, "timm"))

    def build(count: int) -> nn.Module:
        network: nn.Module = timm.create_model(name, pretrained=False, num_classes=count)
        return network

    if options.checkpoint:
        network = _filled(build, options.checkpoint, f"timm's {name}", options.head)
    elif options.pretrained:
        try:
            from huggingface_hub import hf_hub_download

            place = timm.models.get_pretrained_cfg(name).hf_hub_id
            path = Path(hf_hub_download(place, HUB_FILE, revision=revision))
        except Exception as error:  # whatever the hub's client raises
            raise UsageError(_not_fetched(options, "the Hugging Face hub", error)) from None
        _check_pinned(options, path)
        network = _filled(build, path, f"timm's {name}", options.head)
    else:
        raise UsageError(_needs_weights(options))
    config = timm.data.resolve_model_data_config(network)
    return Model(
        network,
        size=int(config["input_size"][-1]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def _torchscript(options: ClassifierOptions) -> Model:
    path = Path(options.model)
    if not path.is_file():
        advice = did_you_mean(
            options.model,
            ["efficientnet-lite0", "shapes"],
            "there is efficientnet-lite0, shapes, torchvision:NAME, timm:NAME or the path of a "
            "TorchScript file",
        )
        raise UsageError(f"{options.as_given('model')}: there is no such model; {advice}")
    try:
        with warnings.catch_warnings():  # Torch would rather have another format.
            warnings.simplefilter("ignore")
            network = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        step = options.step
        raise UsageError(
            f"--{step}.model {path} cannot be read as TorchScript ({first_line(error)}); for a "
            f"state_dict give --{step}.model torchvision:NAME --{step}.checkpoint FILE"
        ) from None
    return Model(network)


def _filled(
    build: Callable[[int], nn.Module], path: Path, what: str, head: bool = True
) -> nn.Module:
    """A network with these weights, for as many classes as they have or without its head."""
    tensors = load_torch(path)
    network = build(IMAGENET)
    wanted = network.state_dict()
    for prefix in WRAPPERS:
        if all(k.startswith(prefix) for k in tensors):
            if not any(k.startswith(prefix) for k in wanted):
                tensors = {k.removeprefix(prefix): v for k, v in tensors.items()}
            break
    if not head and _behead(network):
        left_out = wanted.keys() - network.state_dict().keys()
        tensors = {k: v for k, v in tensors.items() if k not in left_out}
        fill(network, tensors, path, what)
        return network
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


def _behead(network: Any) -> bool:
    """Have a transformer give its features in place of class scores; whether that can be done."""
    if hasattr(network, "reset_classifier"):
        network.reset_classifier(0)
    elif hasattr(network, "heads"):
        network.heads = nn.Identity()
    else:
        return False
    return True


# ---- sentences ----------------------------------------------------------------------------------


def _needs_weights(options: ClassifierOptions) -> str:
    return (
        f"{options.as_given('model')} needs its weights, and segkit downloads nothing by itself; "
        f"give --{options.step}.checkpoint FILE, or allow it with --{options.step}.pretrained"
    )


def _not_fetched(options: ClassifierOptions, source: str, error: Exception) -> str:
    return (
        f"the weights of {options.model} could not be fetched from {source} ({first_line(error)}); "
        f"try again, or give --{options.step}.checkpoint FILE"
    )


def _unknown(options: ClassifierOptions, name: str, known: list[str], owner: str) -> str:
    advice = did_you_mean(name, known, f"{owner} has {', '.join(known[:4])} …")
    return f"{options.as_given('model')}: there is no such model; {advice}"
