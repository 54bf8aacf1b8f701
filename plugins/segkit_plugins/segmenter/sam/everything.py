"""Segment Anything without prompts: masks of everything, from a grid of points."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    PrivateAttr,
    model_validator,
)

from segkit import Image, Masks, SegkitWarning, Segmenter, hookimpl
from segkit_plugins.segmenter.sam.candidates import Kept, Limits, boxes_of, candidates_for
from segkit_plugins.segmenter.sam.model import Encoding, SamStep

Share = Annotated[float, Field(ge=0, le=1)]

NANO_IOU, NANO_STABILITY = 0.5, 0.3
"""What `nano` must promise of a mask, and how stable it must be."""


@dataclass(frozen=True)
class Crop:
    """A part of the image that is looked at by itself."""

    box: tuple[int, int, int, int]
    """First x and y, and the x and y after the last."""
    layer: int
    """0 is the whole image; layer n has 4^n crops."""
    encoding: Encoding

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        x0, y0, x1, y1 = self.box
        return y1 - y0, x1 - x0


class SamEverything(SamStep):
    """Masks of everything in an image, best first, by a SAM that is asked at each point of a grid.

    The method, the options' names and their defaults are those of segment-anything's
    `SamAutomaticMaskGenerator` (Kirillov et al. 2023, appendix B): three candidates a point; those
    stay that promise a good IoU and are stable under another threshold, without duplicates. Only
    candidates that promise enough are drawn at all, and only those are enlarged that are stable at
    low resolution and no sure duplicate of a better one there; what stays is the same. Each mask
    answers a prompt of its own, and has no class. An image in which nothing is found gets no mask,
    and the first one is told.

    The bundled `nano` promises less and its edges are softer, so its thresholds are its own. On six
    photographs of COCO that it never saw it makes 13 masks each with them, a third of which meet an
    object at an IoU of 0.5, and finds 0.41 of their 29 objects; with the others' it finds nothing.
    """

    name = "sam-everything"
    concurrent = True

    THRESHOLDS: ClassVar[Mapping[str, Mapping[str, float]]] = {
        "nano": {"pred_iou_thresh": NANO_IOU, "stability_score_thresh": NANO_STABILITY},
    }
    """Model to the thresholds that it has in place of the defaults."""

    points_per_side: PositiveInt = 32
    """Points along each side of the grid; their number is the square."""
    points_per_batch: PositiveInt = 8
    """Points decoded at a time; more need more memory."""
    pred_iou_thresh: Share = 0.88
    """The least IoU that the model must expect of a mask; left out: 0.88, with nano 0.5."""
    stability_score_thresh: Share = 0.95
    """The least IoU between the masks above a higher and a lower threshold; left out: 0.95, with
    nano 0.3."""
    stability_score_offset: NonNegativeFloat = 1.0
    """How much higher and lower that threshold is, in logits."""
    box_nms_thresh: Share = 0.7
    """Of two masks whose boxes overlap by more than this IoU, the better one stays."""
    crop_n_layers: NonNegativeInt = 0
    """Layers of crops that are looked at as well; layer n has 4^n of them."""
    crop_nms_thresh: Share = 0.7
    """The same between crops, where masks of smaller crops stay."""
    crop_overlap_ratio: Share = 512 / 1500
    """By which share of the shorter side crops of the first layer overlap."""
    crop_n_points_downscale_factor: PositiveInt = 1
    """In layer n, points_per_side is divided by this number to the power of n."""
    min_mask_region_area: NonNegativeInt = 0
    """Holes and islands of fewer pixels are filled and removed."""

    _told: bool = PrivateAttr(False)
    _points: Any = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _take_thresholds(cls, options: Any) -> Any:
        """Thresholds that are not given are the model's."""
        if not isinstance(options, dict):
            return options
        model = options.get("model", cls.model_fields["model"].default)
        return {**cls.THRESHOLDS.get(str(model), {}), **options}

    def open(self, device: str) -> None:
        """Load the weights."""
        from segkit_plugins.segmenter.sam.decoding import point_decoder_of

        super().open(device)
        self._points = point_decoder_of(self._sam, self._decoder)
        self._told = False

    def close(self) -> None:
        """Drop the weights."""
        super().close()
        self._points = None

    def encode(self, image: Image) -> tuple[Crop, ...]:  # type: ignore[override]
        """The embeddings of the image and of its crops."""
        crops: tuple[Crop, ...] = self.encode_batch([{"image": image}])[0]
        return crops

    def encode_batch(self, inputs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The same of several images."""
        pictures = [values["image"] for values in inputs]
        boxes = [[*self._boxes(picture.size)] for picture in pictures]
        parts = [
            Image(picture.pixels[box[1] : box[3], box[0] : box[2]], "crop")
            for picture, own in zip(pictures, boxes, strict=True)
            for box, _ in own
        ]
        encodings = iter(self._encoded(parts))
        return [tuple(Crop(box, layer, next(encodings)) for box, layer in own) for own in boxes]

    def __call__(self, image: Image, encoding: tuple[Crop, ...]) -> Masks:
        """Masks (n, H, W), their expected IoU, best first within a crop."""
        found = [self._search(crop, image.size) for crop in encoding]
        crop = np.repeat(np.arange(len(found)), [len(f.scores) for f in found])
        scores = np.concatenate([f.scores for f in found])
        boxes = np.concatenate(
            [f.boxes + np.tile(c.box[:2], 2) for f, c in zip(found, encoding, strict=True)]
        )
        kept = np.arange(len(crop))
        if len(encoding) > 1:
            smaller = np.array([1 / (c.size[0] * c.size[1]) for c in encoding], np.float32)
            kept = suppress(boxes, smaller[crop], self.crop_nms_thresh)
        first = np.cumsum([0, *(len(f.scores) for f in found)])
        masks = np.zeros((len(kept), *image.size), bool)
        for mask, i in zip(masks, kept, strict=True):
            where = encoding[crop[i]]
            x0, y0, x1, y1 = where.box
            height, width = where.size
            bits = np.unpackbits(found[crop[i]].bits[i - first[crop[i]]], count=height * width)
            mask[y0:y1, x0:x1] = bits.reshape(height, width)
        scores = scores[kept]
        if not len(masks) and not self._told:
            self._told = True
            warnings.warn(
                f"sam-everything found nothing in '{image.name}'; lower "
                f"--sam-everything.pred-iou-thresh ({self.pred_iou_thresh:g}) or "
                f"--sam-everything.stability-score-thresh ({self.stability_score_thresh:g})",
                SegkitWarning,
                stacklevel=2,
            )
        if self.min_mask_region_area and len(masks):
            masks, scores = self._tidied(masks, scores)
        return Masks(masks, scores, np.arange(len(masks)))

    def _boxes(self, size: tuple[int, int]) -> Iterator[tuple[tuple[int, int, int, int], int]]:
        """The crops' boxes and layers, the whole image first."""
        height, width = size
        yield (0, 0, width, height), 0
        for layer in range(1, self.crop_n_layers + 1):
            count = 2**layer
            overlap = int(self.crop_overlap_ratio * min(size) * 2 / count)
            w, h = (math.ceil((overlap * (count - 1) + n) / count) for n in (width, height))
            for i in range(count):
                for j in range(count):
                    x, y = i * (w - overlap), j * (h - overlap)
                    box = (x, y, min(x + w, width), min(y + h, height))
                    if box[0] < box[2] and box[1] < box[3]:  # a tiny image has no such part
                        yield box, layer

    def _search(self, crop: Crop, whole: tuple[int, int]) -> Kept:
        """The masks in one crop, without duplicates, best first."""
        import torch

        decoder, frame = self._points, self._frame(crop.encoding, crop.size)
        # Each point stands in the middle of its cell.
        side = max(1, self.points_per_side // self.crop_n_points_downscale_factor**crop.layer)
        at = (np.arange(side) + 0.5) / side
        grid = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2) * crop.size[::-1]
        coords = torch.as_tensor(frame.placed(grid), dtype=torch.float32, device=self._device)[
            :, None
        ]
        limits = Limits(
            self._sam.mask_threshold,
            self.stability_score_offset,
            self.stability_score_thresh,
            self.box_nms_thresh,
        )
        candidates = candidates_for(frame, limits, self._device)
        with torch.inference_mode():
            seen = decoder.see(crop.encoding.embedding)
            for some in torch.split(coords, self.points_per_batch):
                signs = torch.ones(some.shape[:2], dtype=torch.int64, device=some.device)
                answers, places = decoder.attend(seen, *decoder.ask((some, signs), None, None))
                quality = decoder.quality(answers)[:, 1:]
                good = quality > self.pred_iou_thresh if self.pred_iou_thresh else quality > -1
                wanted = good.any(dim=1)
                if wanted.any():
                    low = decoder.draw(seen, answers[wanted], places[wanted], [1, 2, 3])
                    candidates.add(low[good[wanted]], quality[good])
            return candidates.best(crop.box, whole)

    def _tidied(
        self, masks: NDArray[np.bool_], scores: NDArray[np.float32]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Masks without small holes and islands; of new duplicates, one that had none stays."""
        tidy = np.stack([without_specks(m, self.min_mask_region_area) for m in masks])
        changed = (tidy != masks).any(axis=(1, 2))
        least = max(self.box_nms_thresh, self.crop_nms_thresh)
        kept = suppress(boxes_of(tidy), (~changed).astype(np.float32), least)
        return tidy[kept], scores[kept]


def suppress(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], least: float
) -> NDArray[np.int64]:
    """Indices of the boxes (n, 4) that stay, best score first: non-maximum suppression."""
    import torch
    from torchvision.ops import nms

    kept = nms(
        torch.from_numpy(boxes.astype(np.float32)),
        torch.from_numpy(scores.astype(np.float32)),
        least,
    )
    return np.asarray(kept.numpy(), np.int64)


def without_specks(mask: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """A mask (H, W) with holes and then islands of fewer than `least` pixels gone.

    Pixels hang together by their eight neighbours. The largest island stays, however small.
    """
    from scipy import ndimage

    around = np.ones((3, 3))
    labels, _ = ndimage.label(~mask, around)
    small = np.bincount(labels.ravel()) < least
    small[0] = True  # the mask itself
    mask = np.asarray(small[labels], bool)
    labels, count = ndimage.label(mask, around)
    if count > 1:
        sizes = np.bincount(labels.ravel())
        stays: NDArray[np.bool_] = sizes >= least
        stays[0] = False
        if not stays.any():
            stays[1 + sizes[1:].argmax()] = True
        mask = np.asarray(stays[labels], bool)
    return mask


@hookimpl
def segkit_segmenters() -> list[type[Segmenter]]:
    """Register it."""
    return [SamEverything]
