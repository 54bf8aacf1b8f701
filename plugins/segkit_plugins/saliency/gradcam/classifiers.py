"""The classifiers that Grad-CAM can look into, each as network, layer, names and normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from segkit import MissingExtraError, UsageError
from segkit_plugins.shared import lite0
from segkit_plugins.shared.cam import scores_at
from segkit_plugins.shared.scripted import ScriptedLayer
from segkit_plugins.shared.weights import bundled, fill, load_torch

if TYPE_CHECKING:
    from segkit_plugins.saliency.gradcam import GradCAM

IMAGENET = 1000


@dataclass
class Classifier:
    """A network in evaluation mode, frozen, and how to use it."""

    network: nn.Module
    layer: str
    names: tuple[str, ...]
    """Class names in the order of the outputs; empty until `check`."""
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def to(self, device: str) -> Classifier:
        """Move the network."""
        self.network = self.network.to(device).eval().requires_grad_(False)
        self._mean, self._std = (
            torch.tensor(v, device=device).view(3, 1, 1) for v in (self.mean, self.std)
        )
        self._device = device
        return self

    def prepared(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Pixels (H, W, 3) as the network's input (3, size, size)."""
        found = torch.from_numpy(pixels.copy()).to(self._device).permute(2, 0, 1)[None].float()
        shape = (self.size, self.size)
        if found.shape[-2:] != shape:
            found = F.interpolate(found, shape, mode="bilinear", antialias=True)
        prepared: Tensor = (found[0] / 255 - self._mean) / self._std
        return prepared

    def check(self, step: GradCAM) -> None:
        """Try layer, outputs, names and target on an empty picture.

        Raises `UsageError` for a layer that is not there or gives no map, for names that do not
        match the outputs, and for a target that the model lacks.
        """
        picture = self.prepared(np.zeros((self.size, self.size, 3), np.uint8))[None]
        if step.layer == "list":
            rows = "; ".join(f"{n} ({c} channels)" for n, c in self.candidates(picture))
            raise UsageError(f"--gradcam.layer: {step.model} has these layers to look at: {rows}")
        try:
            scores, _ = scores_at(self.network, self.layer, picture)
        except LookupError as error:
            known = [n for n, _ in self.candidates(picture)]
            near = get_close_matches(self.layer, known, n=1)
            reason = "there is none of that name" if str(error) == self.layer else str(error)
            hint = f"did you mean '{near[0]}'?" if near else "--gradcam.layer list shows them"
            raise UsageError(f"--gradcam.layer {self.layer}: {reason}; {hint}") from None
        except RuntimeError as error:
            raise UsageError(
                f"--gradcam.model {step.model} does not take pictures of {self.size}x{self.size}: "
                f"{str(error).splitlines()[0]}; give its --gradcam.size"
            ) from None
        outputs = int(scores.shape[-1]) if scores.dim() == 2 else 0
        if not outputs:
            raise UsageError(
                f"--gradcam.model {step.model} should give class scores (images, classes), but "
                f"gives {tuple(scores.shape)}; choose a classifier"
            )
        if not self.names:
            self.names = (
                lite0.imagenet_names()
                if outputs == IMAGENET
                else tuple(f"class-{i}" for i in range(outputs))
            )
        if len(self.names) != outputs:
            raise UsageError(
                f"--gradcam.class-names: {len(self.names)} names were given, but "
                f"{step.model} has {outputs} outputs; give one name for each"
            )
        step.check_target()

    def candidates(self, picture: Tensor) -> list[tuple[str, int]]:
        """Layers that give a map (1, C, h, w) with h and w above 1, deepest last: name, C."""
        if isinstance(self.network, torch.jit.ScriptModule):
            return self._scripted_candidates(picture)
        found: dict[str, int] = {}
        handles = []

        def note(name: str) -> Any:
            def hook(_: nn.Module, __: Any, output: Any) -> None:
                if torch.is_tensor(output) and output.dim() == 4 and min(output.shape[-2:]) > 1:
                    found[name] = int(output.shape[1])

            return hook

        for name, module in self.network.named_modules():
            # Blocks rather than the single operations inside them.
            if name and name.count(".") <= 1:
                handles.append(module.register_forward_hook(note(name)))
        try:
            with torch.no_grad():
                self.network(picture)
        finally:
            for handle in handles:
                handle.remove()
        return list(found.items())

    def _scripted_candidates(self, picture: Tensor) -> list[tuple[str, int]]:
        """The same for TorchScript: each layer is tried."""
        found = []
        for name, _ in self.network.named_modules():
            if name and name.count(".") <= 1:
                try:
                    output, _ = ScriptedLayer(self.network, name).before(picture)
                except (LookupError, RuntimeError):
                    continue
                if torch.is_tensor(output) and output.dim() == 4 and min(output.shape[-2:]) > 1:
                    found.append((name, int(output.shape[1])))
        return found


def files(step: GradCAM) -> Mapping[str, Path]:
    """The weight files of a step's model."""
    if step.model == "efficientnet-lite0":
        return {"efficientnet-lite0": lite0.weight_file()}
    if step.model == "shapes":
        return {"shapes": bundled("shapes"), "efficientnet-lite0": lite0.weight_file()}
    if ":" in step.model and step.checkpoint:
        return {step.model: step.checkpoint}
    return {"torchscript": Path(step.model)} if Path(step.model).is_file() else {}


def load(step: GradCAM) -> Classifier:
    """The classifier that a step names.

    Raises `UsageError` for an unknown model, missing or unfit weights; `MissingExtraError` where
    timm is not installed.
    """
    for option in ("mean", "std"):
        if len(getattr(step, option)) not in (0, 3):
            raise UsageError(
                f"--gradcam.{option} should be given three times, for red, green and blue, but "
                f"was given {len(getattr(step, option))} times"
            )
    family, _, name = step.model.partition(":")
    if step.model == "efficientnet-lite0":
        made = Classifier(lite0.load_lite0(), lite0.LAYER, (), lite0.SIZE, lite0.MEAN, lite0.STD)
    elif step.model == "shapes":
        from segkit_plugins.shared import shapes_net

        net = shapes_net
        made = Classifier(net.load(), net.LAYER, net.NAMES, net.SIZE, net.MEAN, net.STD)
    elif family == "torchvision" and name:
        made = _torchvision(step, name)
    elif family == "timm" and name:
        made = _timm(step, name)
    else:
        made = _torchscript(step)
    made.names = _names(step.class_names) or made.names
    made.mean, made.std = step.mean or made.mean, step.std or made.std
    made.size = step.size or made.size
    made.layer = step.layer or made.layer
    return made


def _names(given: tuple[str, ...]) -> tuple[str, ...]:
    """Names as given, or the lines of the one file that is named."""
    if len(given) != 1:
        return given
    try:
        lines = Path(given[0]).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--gradcam.class-names {given[0]} cannot be read as a file of names "
            f"({error}); give a file with a name a line, or each name"
        ) from None
    return tuple(line.strip() for line in lines if line.strip())


def _torchvision(step: GradCAM, name: str) -> Classifier:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise UsageError(_unknown(step.model, name, known))
    tensors = _checkpoint(step)
    network = models.get_model(name, weights=None, **_outputs(tensors))
    fill(network, tensors, step.checkpoint or Path(), f"torchvision's {name}")
    return Classifier(network, default_layer(network), (), 224, lite0.MEAN, lite0.STD)


def _timm(step: GradCAM, name: str) -> Classifier:
    try:
        import timm
    except ImportError:
        raise MissingExtraError(f"--gradcam.model {step.model}", "timm", "timm") from None
    known = timm.list_models()
    if name.partition(".")[0] not in known:
        raise UsageError(_unknown(step.model, name, known))
    tensors = _checkpoint(step)
    network = timm.create_model(name, pretrained=False, **_outputs(tensors))
    fill(network, tensors, step.checkpoint or Path(), f"timm's {name}")
    config = network.pretrained_cfg
    size = int(config.get("input_size", (3, 224, 224))[-1])
    return Classifier(
        network,
        default_layer(network),
        (),
        size,
        tuple(config.get("mean", lite0.MEAN)),
        tuple(config.get("std", lite0.STD)),
    )


def _torchscript(step: GradCAM) -> Classifier:
    path = Path(step.model)
    if not path.is_file():
        known = ["efficientnet-lite0", "shapes", "torchvision:NAME", "timm:NAME"]
        raise UsageError(_unknown(step.model, step.model, known, "a TorchScript file"))
    try:
        network = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"--gradcam.model {path} cannot be read as TorchScript "
            f"({str(error).strip().splitlines()[0][:100]}); for a state_dict give "
            "--gradcam.model torchvision:NAME --gradcam.checkpoint FILE"
        ) from None
    return Classifier(network, default_layer(network), (), 224, lite0.MEAN, lite0.STD)


def _checkpoint(step: GradCAM) -> dict[str, Tensor]:
    if step.checkpoint is None:
        raise UsageError(
            f"--gradcam.model {step.model} needs its weights, and segkit downloads nothing by "
            "itself; give --gradcam.checkpoint FILE"
        )
    return load_torch(step.checkpoint)


def _outputs(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """How many classes the weights were made for: the last matrix's rows."""
    matrices = [t for k, t in tensors.items() if k.endswith("weight") and t.dim() in (2, 4)]
    return {"num_classes": int(matrices[-1].shape[0])} if matrices else {}


def default_layer(network: nn.Module) -> str:
    """The last block of feature maps, by the names that architectures use for it."""
    names = [n for n, _ in network.named_modules()]
    for stem in ("layer4", "features", "blocks", "stages", "_blocks"):
        own = [n for n in names if n == stem or n.startswith(f"{stem}.")]
        children = [n for n in own if n.count(".") == 1]
        if children:
            return children[-1]
        if own:
            return stem
    found = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d)]
    return found[-1] if found else ""


def _unknown(model: str, name: str, known: list[str], more: str = "") -> str:
    near = get_close_matches(name, known, n=1)
    listed = ", ".join(known[:4]) + (f" or {more}" if more else " …")
    hint = f"did you mean '{near[0]}'?" if near else f"there is {listed}"
    return f"--gradcam.model {model}: there is no such model; {hint}"
