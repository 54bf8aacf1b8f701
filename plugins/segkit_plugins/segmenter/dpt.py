"""Class maps by a network of transformers: DPT, SegFormer, BEiT, Mask2Former and others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import PrivateAttr

from segkit import BadImageError, Image, Labels, MissingExtraError, Segmenter, UsageError, hookimpl
from segkit_plugins.shared.hub import model_folder
from segkit_plugins.shared.hub_models import load_network, load_processor, weight_files
from segkit_plugins.shared.name_tables import load_table, numbered, restricted_table
from segkit_plugins.shared.reading import parsed_json, read_text
from segkit_plugins.shared.renaming import no_counterpart, unknown_source
from segkit_plugins.shared.sentences import first_line

UNIVERSAL = ("mask2former", "maskformer")
"""Types whose masks and their classes are put together to a class map."""

UNUSED = ("neck.fusion_stage.layers.0.residual_layer1.", "auxiliary_head.")
"""Parts that no class map depends on: DPT's first fusion layer has nothing to add, and auxiliary
heads serve training alone. Official weight files lack them."""

SIDE = 32
"""Images with a shorter side than this are repeated to it, since some networks take no less."""

FLOATS = 1 << 26
"""Scores that are resized at a time: 256 MiB."""


class Dpt(Segmenter):
    """The class of each pixel by a network trained for it, such as DPT (Ranftl et al. 2021).

    Any model of transformers that is made for semantic segmentation, and MaskFormer and
    Mask2Former. The model's own image processor prepares the image; where that would cut out the
    centre, the whole image is squeezed to the size of the cut. The scores of each class are resized
    to the image bilinearly, and the largest decides.

    A class keeps its name, or gets that of `--dpt.table`; what the table lacks is background, and
    so is a class called 'background'. The ids are the data set's by name. A name that it lacks gets
    the next free id, in the order of the model's classes, the same in all images.
    """

    name = "dpt"

    model: str
    """A model folder (config.json, preprocessor_config.json, and model.safetensors or
    pytorch_model.bin), or a name of the Hugging Face hub that was fetched before (segkit weights
    fetch hf:OWNER/NAME)."""

    table: str | None = None
    """Renames the model's classes to those of the data set, and makes background of the others:
    ade20k-voc, coco-voc, or a file with a line 'source,target' for each."""

    _network: Any = PrivateAttr(None)
    _processor: Any = PrivateAttr(None)
    _renamed: Mapping[str, str] | None = PrivateAttr(None)

    def open(self, device: str) -> None:
        """Load network, image processor and table.

        Raises `UsageError` where a model is not there, is none that makes class maps, lacks weights
        or has foreign or damaged ones, and for a table that knows none of its classes;
        `MissingExtraError` without transformers.
        """
        try:
            import transformers  # noqa: F401
        except ModuleNotFoundError:
            raise MissingExtraError("--segmenter dpt", "transformers", "hf") from None
        self._renamed = None if self.table is None else load_table(self.table)
        network, self._processor = _load(self.model, model_folder("--dpt.model", self.model))
        names = list(network.config.id2label.values())
        if self._renamed is not None and self.table is not None:
            asked = f"--dpt.table {self.table}"
            misfit = no_counterpart(asked, self._renamed, names, self.model)
            misfit = misfit or unknown_source(
                "--dpt.table", self.table, self._renamed, names, self.model
            )
            if misfit:
                raise UsageError(misfit)
        self._network = network.to(device).eval().requires_grad_(False)

    def restrict(self, names: Sequence[str]) -> None:
        """Make background of all other classes; as `shared.name_tables.restricted` does."""
        own = [str(name) for name in self._network.config.id2label.values()]
        self._renamed = restricted_table(own, self._renamed, names, self)

    def close(self) -> None:
        """Drop the network."""
        self._network = self._processor = self._renamed = None

    def weight_files(self) -> Mapping[str, Path]:
        """The files of the model's weights, by their names."""
        folder = model_folder("--dpt.model", self.model)
        return {path.name: path for path in weight_files(f"--dpt.model {self.model}", folder)}

    def __call__(self, image: Image, classes: Mapping[int, str] | None = None) -> Labels:
        """The class map (H, W).

        Raises `BadImageError` for an image that the model cannot take, such as a very long one.
        """
        import torch

        try:
            given = self._prepared(image)
            with torch.inference_mode():
                found = self._network(**given.to(self._network.device))
        except (RuntimeError, ValueError, ZeroDivisionError) as error:
            raise BadImageError(
                f"the model {self.model} cannot take '{image.name}' of "
                f"{image.size[1]}x{image.size[0]} ({first_line(error)}); cut or scale the image"
            ) from None
        with torch.inference_mode():
            if self._network.config.model_type in UNIVERSAL:
                (best,) = self._processor.post_process_semantic_segmentation(
                    found, target_sizes=[image.size]
                )
            else:
                best = _largest(found.logits, image.size)
        names = {int(i): str(name) for i, name in self._network.config.id2label.items()}
        places, known = numbered(dict(sorted(names.items())), classes, self._renamed)
        targets = np.array([places.get(i, 0) for i in range(max(places) + 1)], np.int32)
        return Labels(targets[best.cpu().numpy()], known)

    def _prepared(self, image: Image) -> Any:
        """What the network takes."""
        pixels = image.pixels
        rows, columns = (-(-SIDE // n) if n < SIDE else 1 for n in image.size)
        if (rows, columns) != (1, 1):
            pixels = np.repeat(np.repeat(pixels, rows, axis=0), columns, axis=1)
        whole: dict[str, Any] = {}
        if getattr(self._processor, "do_center_crop", False):
            size = dict(self._processor.crop_size)
            whole = {
                "do_center_crop": False,
                "size": {side: size[side] for side in ("height", "width")},
            }
        return self._processor(
            images=np.array(pixels),
            input_data_format="channels_last",  # else 3 rows would be taken for 3 channels
            return_tensors="pt",
            **whole,
        )


def _largest(logits: Any, size: tuple[int, int]) -> Any:
    """(H, W) tensor: the class with the largest score, of logits (1, n, h, w) resized to (H, W).

    A few classes at a time, since all of them on a large photo do not fit into memory.
    """
    import torch
    import torch.nn.functional as F

    few = max(1, FLOATS // (size[0] * size[1]))
    top: Any = None
    best: Any = None
    for start in range(0, logits.shape[1], few):
        part = F.interpolate(
            logits[:, start : start + few].float(), size, mode="bilinear", align_corners=False
        )
        values, places = part[0].max(dim=0)
        if top is None:
            top, best = values, places
        else:
            more = values > top
            top, best = torch.where(more, values, top), torch.where(more, places + start, best)
    return best


def _load(model: str, folder: Path) -> tuple[Any, Any]:
    """The network (float32, on the CPU) and its image processor. Raises `UsageError`."""
    import transformers

    asked = f"--dpt.model {model}"
    loader: Any = (
        transformers.AutoModelForUniversalSegmentation
        if _kind(model, folder) in UNIVERSAL
        else transformers.AutoModelForSemanticSegmentation
    )
    processor = load_processor(folder, asked)
    return load_network(loader, folder, asked, "model for class maps", UNUSED), processor


def _kind(model: str, folder: Path) -> str:
    """The folder's `model_type`. Raises `UsageError` if it is not a whole one for class maps."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES as SEMANTIC,
    )

    for file, what in (
        ("config.json", "which says what model it is"),
        ("preprocessor_config.json", "which says how images are prepared"),
    ):
        if not (folder / file).is_file():
            raise UsageError(
                f"--dpt.model {model} has no {file}, {what}; give a folder to which model and "
                "image processor were saved"
            )
    try:
        kind = parsed_json(read_text(folder / "config.json")).get("model_type")
    except (OSError, ValueError, AttributeError):
        raise UsageError(
            f"--dpt.model {model} has a config.json that cannot be read; fetch or save it again"
        ) from None
    takes = sorted({*SEMANTIC, *UNIVERSAL})
    if kind not in takes:
        raise UsageError(
            f"--dpt.model {model} is of type {kind}, and dpt takes {', '.join(takes)}; choose "
            "another model"
        )
    return str(kind)


@hookimpl
def segkit_segmenters() -> Sequence[type[Segmenter]]:
    """Register `dpt`."""
    return [Dpt]
