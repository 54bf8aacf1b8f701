"""What all saliency methods share that look into a network which `model` names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PositiveInt, field_validator

from segkit import Saliency

if TYPE_CHECKING:
    from segkit_plugins.saliency._networks import ClassifierOptions


class NetworkSaliency(Saliency):
    """A saliency method with a network: which one, with which weights, and what it is fed with."""

    model: str
    """The network: timm:NAME or torchvision:NAME, with a checkpoint or as the hub has it."""
    checkpoint: Path | None = None
    """Weights of a torchvision or timm model, or of an efficientnet-lite0 of your own: a state_dict
    in .pth or .safetensors."""
    pretrained: bool = False
    """Let torchvision or timm download its ImageNet weights, if they are not there already.
    timm:NAME@REVISION is a certain state of the hub's."""
    sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    """The hash that the model's one weight file must have, 64 hexadecimal digits; left out: any."""
    mean: tuple[float, ...] = ()
    """Three means that RGB in [0, 1] is normalised by; left out: the model's, else ImageNet's."""
    std: tuple[float, ...] = ()
    """Three deviations, likewise."""
    size: PositiveInt | None = None
    """Side of the network's input, in pixels; left out: the model's own."""

    @field_validator("mean", "std")
    @classmethod
    def _check_channels(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if len(values) not in (0, 3):
            raise ValueError("give three numbers, for red, green and blue")
        return values

    @field_validator("std")
    @classmethod
    def _check_deviations(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if any(v <= 0 for v in values):
            raise ValueError("deviations should be greater than 0")
        return values

    def programs(self) -> Mapping[str, Path]:
        """The TorchScript file, if the model is one."""
        family, _, name = self.model.partition(":")
        known = self.model in ("efficientnet-lite0", "shapes") or (
            family in ("torchvision", "timm") and name
        )
        file = not known and os.path.isfile(self.model)  # noqa: PTH113 - long names are none
        return {"model": Path(self.model)} if file else {}

    def weight_files(self) -> Mapping[str, Path]:
        """The network's weights."""
        from segkit_plugins.saliency._networks import files

        return files(self._network_options())

    def _network_options(self) -> ClassifierOptions:
        """The options of this step that its network depends on."""
        from segkit_plugins.saliency._networks import ClassifierOptions

        own = {field.name for field in fields(ClassifierOptions)} & {*type(self).model_fields}
        return ClassifierOptions(self.name, **{name: getattr(self, name) for name in own})
