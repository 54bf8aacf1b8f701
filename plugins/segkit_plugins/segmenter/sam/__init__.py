"""Segment Anything: masks for points, boxes and coarse masks; `nano` ships with segkit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr

from segkit import Image, Masks, Prompt, Prompts, Segmenter, UsageError, Weights, hookimpl

CHECKPOINTS = {
    "vit_b": "sam_vit_b_01ec64.pth",
    "vit_l": "sam_vit_l_0b3195.pth",
    "vit_h": "sam_vit_h_4b8939.pth",
}
"""Model to the file name of its official checkpoint."""

SOURCE = "https://dl.fbaipublicfiles.com/segment_anything/"
"""Where Segment Anything's authors keep them."""

OFFICIAL = {
    "vit_b": ("ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912", 375_042_383),
    "vit_l": ("3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622", 1_249_524_607),
    "vit_h": ("a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e", 2_564_550_879),
}
"""Their SHA-256 and size in bytes."""

WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
"""Width of the image encoder's tokens to the model, to tell checkpoints apart."""

PIXELS = 1 << 26
"""Masks' pixels that are worked on as floats at a time: 256 MiB."""

CHUNK = 16
"""Prompts decoded at a time; bounds memory."""


@dataclass(frozen=True)
class Encoding:
    """What is known of one image before any prompt."""

    embedding: Any
    """Tensor (1, C, h, w) on the step's device."""
    input_size: tuple[int, int]
    """(H, W) of the image after its longer side was resized to the model's."""


class Sam(Segmenter):
    """Segment Anything (Kirillov et al. 2023) by its authors' package, or the bundled `nano`.

    Points, boxes and mask logits go in, in the image's pixels; out come candidate masks in the
    image's own size with the IoU that the model expects of each, and low-resolution logits that
    cover the whole image (without the model's padding). A prompt that asks nothing gets no mask.
    """

    name = "sam"

    model: Literal["nano", "vit_b", "vit_l", "vit_h"] = "nano"
    """nano ships with segkit; the others need their checkpoint (segkit weights fetch vit_b)."""
    checkpoint: Path | None = None
    """The model's weight file (.pth or .safetensors); left out: nano's own, or the official file
    in the cache folder."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the image encoder: bfloat16 rounds, and is some three times as fast where the processor
    has it; auto takes it there for the large models, and float32 for nano."""
    multimask: Literal["auto", "on", "off"] = "auto"
    """Three candidates per prompt, or one. auto: three for a single point, which may mean a part
    or the whole; one for a box or several points."""

    _sam: Any = PrivateAttr(None)
    _device: str = PrivateAttr("cpu")

    def open(self, device: str) -> None:
        """Load the weights."""
        from segkit_plugins.segmenter.sam.loading import load

        path = self._path()
        self._sam = load(self.model, path).to(device).eval().requires_grad_(False)
        self._device = device

    def close(self) -> None:
        """Drop the weights."""
        self._sam = None

    def weight_files(self) -> Mapping[str, Path]:
        """The checkpoint, and for `nano` its backbone's too."""
        files: dict[str, Path] = {self.model: self._path()}
        if self.model == "nano":
            from segkit_plugins.shared.lite0 import weight_file

            files["efficientnet-lite0"] = weight_file()
        return files

    @classmethod
    def known_weights(cls) -> tuple[Weights, ...]:
        """`nano`, which ships with segkit, and Segment Anything's official checkpoints."""
        from segkit_plugins.shared.weights import shipped

        what = "Segment Anything's official checkpoint with the image encoder"
        return (
            shipped("nano", "The bundled SAM: points, boxes and masks at 256 px; see its card"),
            *(
                Weights(
                    name,
                    f"{what} {name.replace('vit_', 'ViT-').upper().replace('VIT', 'ViT')}",
                    "Apache-2.0",
                    CHECKPOINTS[name],
                    digest,
                    size,
                    SOURCE + CHECKPOINTS[name],
                )
                for name, (digest, size) in OFFICIAL.items()
            ),
        )

    def encode(self, image: Image) -> Encoding:
        """The image's embedding: the costly part, the same for all prompts."""
        import torch
        from segment_anything.utils.transforms import ResizeLongestSide
        from torchvision.transforms.functional import pil_to_tensor, resize, to_pil_image

        sam = self._sam
        fitted = ResizeLongestSide.get_preprocess_shape(*image.size, sam.image_encoder.img_size)
        # At least one pixel: the shorter side of a very long image would vanish.
        size = (max(1, fitted[0]), max(1, fitted[1]))
        resized = pil_to_tensor(resize(to_pil_image(image.pixels), list(size)))
        pixels = resized.to(self._device)[None]
        with torch.inference_mode(), self._autocast():
            embedding = sam.image_encoder(sam.preprocess(pixels))
        return Encoding(embedding.float(), size)

    def __call__(self, image: Image, prompts: Prompts, encoding: Encoding) -> Masks:
        """Candidates for each prompt, in the order of the prompts."""
        made: list[tuple[int, NDArray[Any], NDArray[Any], NDArray[Any]]] = []
        for several in self._chunks(prompts):
            masks, scores, logits = self._decode(
                [prompts[i] for i in several], encoding, image.size
            )
            made += zip(several, masks, scores, logits, strict=True)
        if not made:
            return Masks.none(image.size)
        made.sort(key=lambda answer: answer[0])
        return Masks(
            np.concatenate([m for _, m, _, _ in made]),
            np.concatenate([s for _, _, s, _ in made]),
            np.repeat([i for i, _, _, _ in made], [len(s) for _, _, s, _ in made]),
            tuple(prompts[i].name for i, _, s, _ in made for _ in s),
            np.concatenate([low for _, _, _, low in made]),
        )

    def _chunks(self, prompts: Prompts) -> Iterator[list[int]]:
        """The prompts' places, those that look alike together, at most `CHUNK` at a time."""
        alike: dict[tuple[object, ...], list[int]] = {}
        for place, prompt in enumerate(prompts):
            if not prompt.empty:
                look = (
                    len(prompt.points),
                    prompt.box is not None,
                    prompt.mask is not None,
                    self._several(prompt),
                )
                alike.setdefault(look, []).append(place)
        for places in alike.values():
            for start in range(0, len(places), CHUNK):
                yield places[start : start + CHUNK]

    def _several(self, prompt: Prompt) -> bool:
        """Whether this prompt gets three candidates."""
        if self.multimask != "auto":
            return self.multimask == "on"
        return len(prompt.points) == 1 and prompt.box is None and prompt.mask is None

    def _decode(
        self, prompts: Sequence[Prompt], encoding: Encoding, size: tuple[int, int]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Masks (n, c, H, W), scores (n, c) and logits (n, c, h, w) of prompts that look alike."""
        import torch
        from segment_anything.utils.transforms import ResizeLongestSide

        sam, device = self._sam, self._device
        transform = ResizeLongestSide(sam.image_encoder.img_size)
        points = boxes = masks = None
        if len(prompts[0].points):
            coords = np.stack([transform.apply_coords(p.points, size) for p in prompts])
            signs = np.stack([p.signs for p in prompts])
            points = (
                torch.as_tensor(coords, dtype=torch.float32, device=device),
                torch.as_tensor(signs, dtype=torch.int64, device=device),
            )
        if prompts[0].box is not None:
            corners = np.stack([p.box for p in prompts if p.box is not None])
            boxes = torch.as_tensor(
                transform.apply_boxes(corners, size), dtype=torch.float32, device=device
            )
        if prompts[0].mask is not None:
            masks = torch.stack(
                [self._low(p.mask, encoding.input_size) for p in prompts if p.mask is not None]
            )
        with torch.inference_mode():
            sparse, dense = sam.prompt_encoder(points=points, boxes=boxes, masks=masks)
            low, scores = sam.mask_decoder(
                image_embeddings=encoding.embedding,
                image_pe=sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=self._several(prompts[0]),
            )
            full = self._full(low.float(), encoding.input_size, size)
        rows, columns = self._low_size(encoding.input_size)
        return (
            full.cpu().numpy(),
            scores.float().cpu().numpy(),
            low[..., :rows, :columns].float().cpu().numpy(),
        )

    def _full(self, low: Any, input_size: tuple[int, int], size: tuple[int, int]) -> Any:
        """Masks (n, c, H, W) bool of logits (n, c, h, w).

        segment-anything resizes every mask to the model's input (1024×1024), cuts the padding off
        and resizes again to the image. Both are linear and go row by row and column by column, so
        two small matrices do the same to the last bit of rounding, without the large masks.
        """
        import torch
        import torch.nn.functional as F

        side = self._sam.image_encoder.img_size

        def resizing(known: int, kept: int, wanted: int) -> Any:
            """(wanted, known): both steps along one axis."""
            unit = torch.eye(known, device=low.device)[None, None]
            large = F.interpolate(unit, (side, known), mode="bilinear", align_corners=False)
            return F.interpolate(
                large[:, :, :kept], (wanted, known), mode="bilinear", align_corners=False
            )[0, 0]

        down = resizing(low.shape[-2], input_size[0], size[0])
        across = resizing(low.shape[-1], input_size[1], size[1]).T.contiguous()
        # A few at a time: a large photo's masks are many numbers before the threshold.
        few = max(1, PIXELS // (low.shape[1] * size[0] * size[1]))
        threshold = self._sam.mask_threshold
        return torch.cat([down @ (part @ across) > threshold for part in low.split(few)])

    def _low_size(self, input_size: tuple[int, int]) -> tuple[int, int]:
        """The part of the low-resolution logits that the image covers; the rest is padding."""
        side = self._sam.image_encoder.img_size
        whole = self._sam.prompt_encoder.mask_input_size[0]
        rows, columns = (max(1, -(-n * whole // side)) for n in input_size)
        return rows, columns

    def _low(self, mask: NDArray[np.float32], input_size: tuple[int, int]) -> Any:
        """Logits over the whole image as the model takes them: (1, h, w), padded as background."""
        import torch
        import torch.nn.functional as F

        whole = self._sam.prompt_encoder.mask_input_size
        rows, columns = self._low_size(input_size)
        given = torch.from_numpy(mask.copy()).to(self._device)[None, None]
        fitted = F.interpolate(given, (rows, columns), mode="bilinear", align_corners=False)
        padding = (0, whole[1] - columns, 0, whole[0] - rows)
        return F.pad(fitted[0], padding, value=float(mask.min()))

    def _autocast(self) -> AbstractContextManager[Any]:
        import torch

        kind = self._device.partition(":")[0]
        reduced = self.precision == "bfloat16"
        if self.precision == "auto" and self.model != "nano":
            reduced = _quick_bfloat16(kind)
        return torch.autocast(kind, torch.bfloat16) if reduced else nullcontext()

    def _path(self) -> Path:
        """The weight file to load. Raises `UsageError` if there is none."""
        from segkit_plugins.shared.weights import bundled

        if self.checkpoint is not None:
            return self.checkpoint
        if self.model == "nano":
            return bundled("nano")
        path = next(w.path for w in self.known_weights() if w.name == self.model)
        if not path.is_file():
            raise UsageError(
                f"--sam.model {self.model} needs its checkpoint, and there is none at {path}; "
                f"run segkit weights fetch {self.model}, or give --sam.checkpoint FILE"
            )
        return path


def _quick_bfloat16(kind: str) -> bool:
    """Whether a device of this kind multiplies bfloat16 in hardware."""
    import torch

    if kind == "cuda":
        return torch.cuda.is_bf16_supported()
    # torch says so of a CPU only in functions of its own, which need not be there.
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return kind == "cpu" and any(getattr(torch.cpu, name, bool)() for name in names)


@hookimpl
def segkit_segmenters() -> list[type[Segmenter]]:
    """Register it."""
    return [Sam]
