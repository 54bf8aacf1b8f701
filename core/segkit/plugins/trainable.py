"""Segmenters that can be trained: what `segkit train` asks of them, and the files that it writes.

A whole plugin:

    from typing import Any

    from segkit import TrainedSegmenter, hookimpl

    class Linear(TrainedSegmenter):
        "A class for each pixel from its colour alone."

        name = "linear"

        def network(self, classes: int) -> Any:
            from torch import nn

            return nn.Conv2d(3, classes, 1)

    @hookimpl
    def segkit_segmenters() -> list[type[TrainedSegmenter]]:
        return [Linear]

`segkit train linear --dataset D -o FILE` trains it, and `segkit run --segmenter linear
--linear.weights FILE` uses it. The training loop is the core's; the plugin has the network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr, ValidationError

from segkit.errors import BadImageError, PluginError, UsageError
from segkit.plugins.steps import Segmenter
from segkit.values.classes import BACKGROUND, add_class
from segkit.values.reading import check_file, parsed_json
from segkit.values.types import Image, Labels

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = "segkit-train"
"""The key of a weight file's metadata under which its description stands, as JSON."""


class Examples(NamedTuple):
    """What a network learns from in one step; all tensors on its device."""

    pixels: Tensor
    """(b, 3, S, S) float32 in [0, 1], RGB."""
    target: Tensor
    """(b, S, S) int64: 0 background, then the classes in order, 255 void. With a click: 1 what lies
    under it, 0 all else."""
    points: Tensor | None = None
    """(b, 2) float32: x and y of the click in pixels of `pixels`; None without clicks."""


@dataclass(frozen=True)
class Trained:
    """A trained network, and what is known of it."""

    network: Any
    classes: tuple[str, ...]
    """The names of the outputs 1, 2, …; output 0 is background."""
    size: int
    """Side in pixels that images are resized to."""
    device: str
    only: Mapping[str, str] = field(default_factory=dict)
    """The classes asked for: name to the spelling that was asked for; empty: all."""


class Trainable(Segmenter):
    """A segmenter whose network `segkit train` trains. Define `network`, and the work.

    Options other than `weights` say how the network is built. They stand in the weight file, so
    with `weights` those of the file count.

    For a class map subclass `TrainedSegmenter`, which does the work too. One that answers prompts
    sets `clicks` and defines `__call__(self, image, prompts) -> Masks` with the help of `logits`.
    """

    train_size: ClassVar[int] = 256
    """Side in pixels that images are resized to, unless `--train.size` says otherwise."""
    train_rate: ClassVar[float] = 1e-4
    """The learning rate, unless `--train.rate` says otherwise; 1e-5 suits pre-trained networks."""
    stage_rates: ClassVar[Mapping[str, float]] = {}
    """A stage to its learning rate, where that is another one than `train_rate`."""
    clicks: ClassVar[bool] = False
    """Whether the network is asked by a click. It is trained with one random point in an object and
    one in the background of each image; `network` is then made for 2 classes: under the click, or
    not."""
    stages: ClassVar[tuple[str, ...]] = ("segment",)
    """The stages of training, in order. Each begins with the best weights of the one before, and
    the last one's are kept."""
    half: ClassVar[bool] = False
    """Whether weights are written as float16, for large networks. What has one axis, or is beyond
    float16, stays as it is."""

    weights: Path | None = None
    """The file that `segkit train` wrote (safetensors)."""

    _trained: Trained | None = PrivateAttr(None)

    # ---- what a plugin defines -----------------------------------------------------------------

    def network(self, classes: int) -> nn.Module:
        """The network to train, its pre-trained parts loaded; background counts as a class.

        It is called with `pixels` (b, 3, S, S) float32 in [0, 1] and, if `clicks`, `points` (b, 2),
        as in `Examples`, and returns logits (b, classes, S, S). Normalising is its own affair.
        In training convolutions have their channels last in memory (`torch.channels_last`); use
        `reshape` and `flatten` where `view` would ask for another layout.
        """
        raise PluginError(f"{type(self).__name__} should define 'network', but does not")

    def settings(self) -> dict[str, Any]:
        """What `rebuilt` needs to know, as JSON holds it; by default the options."""
        return self.model_dump(mode="json", exclude={"weights"}, exclude_none=True)

    def rebuilt(self, settings: Mapping[str, Any], classes: int) -> nn.Module:
        """The network of these settings; its weights are then replaced by the file's.

        Override it where `network` needs more than the weight file, such as a hub's model.
        """
        return type(self).model_validate(dict(settings)).network(classes)

    def begin(self, network: nn.Module, stage: str) -> None:
        """Make a network ready for a stage, such as by `requires_grad_(False)` on a part."""

    def loss(
        self,
        network: nn.Module,
        stage: str,
        examples: Examples,
        criterion: Callable[[Tensor, Tensor], Tensor],
    ) -> tuple[Tensor, Tensor | None]:
        """The loss (a scalar) of some examples, and the logits, or None in a stage that makes none.

        `criterion(logits, target)` is the loss that `--train.loss` asks for. The loss should be a
        mean over the examples: where memory does not do for a batch, it is asked for each of its
        micro-batches, and these losses are averaged by their numbers of images. A `criterion` of
        `examples.target` itself is then exactly the whole batch's; of another target, such as a
        smaller map of it, it is the micro-batch's alone.
        """
        pixels, target, points = examples
        logits = network(pixels) if points is None else network(pixels, points)
        return criterion(logits, target), logits

    # ---- at work -------------------------------------------------------------------------------

    def open(self, device: str) -> None:
        """Load the trained network. Raises `UsageError` without a file that fits."""
        if self.weights is None:
            raise UsageError(
                f"--segmenter {self.name} needs --{self.name}.weights FILE; to make one: segkit "
                f"train {self.name} --dataset D -o FILE"
            )
        said, tensors = read_trained(self.weights, self.name)
        classes = tuple(str(name) for name in said["classes"])
        try:
            network = self.rebuilt(said["settings"], 2 if self.clicks else len(classes) + 1)
        except ValidationError as error:
            raise UsageError(
                f"the weights {self.weights} were made by another version of {self.name} "
                f"({error.errors()[0]['msg']}); train again"
            ) from None
        _fill(network, tensors, self.weights, self.name)
        network = network.to(device).eval().requires_grad_(False)
        self._trained = Trained(network, classes, int(said["size"]), device)

    def close(self) -> None:
        """Drop the network."""
        self._trained = None

    @property
    def trained(self) -> Trained:
        """The open network."""
        if self._trained is None:
            raise PluginError(f"{self.name} is not open; call open(device) first")
        return self._trained

    def weight_files(self) -> Mapping[str, Path]:
        """The trained file."""
        return {} if self.weights is None else {"weights": self.weights}

    def logits(self, images: Sequence[Image], points: Any = None) -> Tensor:
        """The network's answer (n, classes, S, S) for n images.

        `points`: (n, 2) x and y of a click in pixels of each image, for a network with clicks.
        """
        import torch

        known = self.trained
        pixels = np.stack([squeezed(image.pixels, known.size) for image in images])
        given = [torch.from_numpy(pixels).to(known.device).permute(0, 3, 1, 2).float() / 255]
        if points is not None:
            sides = np.array([(image.size[1], image.size[0]) for image in images], np.float32)
            scaled = (np.asarray(points, np.float32) + 0.5) * known.size / sides - 0.5
            given.append(torch.from_numpy(scaled.astype(np.float32)).to(known.device))
        with torch.inference_mode():
            return known.network(*given).float()


class TrainedSegmenter(Trainable):
    """A trainable segmenter that makes a class map; subclasses define `network` alone."""

    def __call__(self, image: Image, classes: Mapping[int, str] | None = None) -> Labels:
        """The class map (H, W): the largest of the logits, resized to the image bilinearly.

        The ids are the data set's by name; names that it lacks get the next free ids.
        """
        return self.batch([{"image": image, "classes": classes}])[0]

    def batch(self, inputs: Sequence[Mapping[str, Any]]) -> list[Labels]:
        """The class maps of several images, by one pass of the network."""
        found = self.logits([one["image"] for one in inputs])
        return [
            self._class_map(logits, one["image"], one.get("classes"))
            for logits, one in zip(found, inputs, strict=True)
        ]

    def restrict(self, names: Sequence[str]) -> None:
        """Make background of all other classes, where the network knows any of these."""
        asked = {name.casefold(): name for name in names}
        own = self.trained.classes
        only = {name: asked[name.casefold()] for name in own if name.casefold() in asked}
        self._trained = replace(self.trained, only=only)

    def _class_map(self, logits: Tensor, image: Image, classes: Mapping[int, str] | None) -> Labels:
        import torch
        import torch.nn.functional as F

        try:
            with torch.inference_mode():
                large = F.interpolate(logits[None], image.size, mode="bilinear")
        except RuntimeError as error:  # what torch raises where memory does not do
            raise BadImageError(
                f"the class map of '{image.name}' ({image.size[1]}x{image.size[0]}) cannot be made "
                f"({str(error).splitlines()[0]}); scale the image down"
            ) from None
        known = dict(classes or {})
        places = [BACKGROUND]
        for name in self.trained.classes:
            target = self.trained.only.get(name) if self.trained.only else name
            places.append(BACKGROUND if target is None else add_class(target, known))
        return Labels(np.array(places, np.int32)[large[0].argmax(0).cpu().numpy()], known)


# ---- images -----------------------------------------------------------------------------------


def squeezed(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """(H, W, 3) resized to (size, size, 3): the whole image, bilinearly, smoothed where it shrinks.

    Training and work prepare images by this alone.
    """
    import PIL.Image

    if pixels.shape[:2] == (size, size):
        return pixels
    picture = PIL.Image.fromarray(pixels)
    return np.asarray(picture.resize((size, size), PIL.Image.Resampling.BILINEAR))


# ---- weight files -----------------------------------------------------------------------------


def trained_bytes(
    step: Trainable, tensors: Mapping[str, Tensor], classes: Sequence[str], size: int
) -> bytes:
    """The content of a weight file: safetensors, with metadata that says what they are of."""
    import torch
    from safetensors.torch import save

    said = {
        "plugin": step.name,
        "classes": list(classes),
        "size": size,
        "settings": step.settings(),
    }

    def kept(value: Tensor) -> Tensor:
        value = value.cpu().contiguous()
        if not step.half or not value.is_floating_point() or value.dim() < 2:
            return value  # what is 1-D is small, and batch statistics may be beyond float16
        halved = value.to(torch.float16)
        return halved if halved.isfinite().all() else value

    return save({key: kept(value) for key, value in tensors.items()}, {FORMAT: json.dumps(said)})


def read_trained(path: Path, name: str | None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a weight file says of itself, and its tensors (floating ones as float32, on the CPU).

    Raises `UsageError` if it is missing, damaged, not of `segkit train`, or of another segmenter
    than `name`; None takes them all.
    """
    from safetensors import SafetensorError, safe_open

    try:
        check_file(path)
        with safe_open(path, "pt") as file:
            said = parsed_json((file.metadata() or {}).get(FORMAT, "{}"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise UsageError(f"the weights {path} were not found; check the path") from None
    except (SafetensorError, OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageError(
            f"the weights {path} cannot be read as safetensors ({reason}); the file is damaged or "
            "of another kind: give one that segkit train wrote, or train again"
        ) from None
    if not isinstance(said, dict) or not {"plugin", "classes", "size", "settings"} <= said.keys():
        raise UsageError(
            f"the weights {path} are not of segkit train, for they do not say what they are of; "
            f"make some: segkit train {name or 'SEGMENTER'} --dataset D -o FILE"
        )
    if name is not None and said["plugin"] != name:
        raise UsageError(
            f"the weights {path} are of the segmenter {said['plugin']}, not of {name}; use them by "
            f"--segmenter {said['plugin']} --{said['plugin']}.weights {path}"
        )
    return said, {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def _fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path, name: str) -> None:
    wanted = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    unfit = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    if unfit:
        raise UsageError(
            f"the weights {path} do not fit the network of {name}: {len(unfit)} tensors differ, "
            f"such as {unfit[0]}; they were made by another version: train again"
        )
    network.load_state_dict(dict(tensors))
