"""Boxes that a YOLO detector finds, each with its class; from any YOLO exported to ONNX."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, PrivateAttr

from segkit import Image, MissingExtraError, Prompter, Prompts, UsageError, hookimpl
from segkit_plugins.prompt._detection import as_prompts, read_names, renamed
from segkit_plugins.prompt.yolo.heads import Head, head_of, suppress
from segkit_plugins.prompt.yolo.letterbox import GREY, Letterbox
from segkit_plugins.shared.name_tables import restricted
from segkit_plugins.shared.reading import check_file
from segkit_plugins.shared.sentences import first_line

SIDE = 640
"""Longer side of the input where neither the model nor the user says."""

NAS_MARGIN = 4
"""YOLO-NAS sees pictures fitted into 636 of its 640 pixels."""

TYPES: Mapping[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
"""What an input may hold, by ONNX Runtime's words."""


class Yolo(Prompter):
    """A prompt for each object that a YOLO detector finds: box, class name, confidence; best first.

    The model is an ONNX file; by the shapes of its outputs it is one of Ultralytics' (v8 to v12,
    end-to-end ones such as v10 too; of segmentation and pose models the boxes are used), YOLOv5 or
    v7, YOLO-NAS with or without non-maximum suppression (NMS) inside, or YOLOX. The picture is
    prepared as that family does: fitted in with grey around it; RGB from 0 to 1, or for YOLOX BGR
    from 0 to 255; bytes where the model takes bytes.

    Boxes are cut at the image's border. No detection makes no prompt.
    """

    name = "yolo"

    weights: Path
    """The model, a file .onnx."""

    confidence: float = Field(0.5, ge=0, le=1)
    """A detection counts if its confidence is greater. A model with NMS inside has a threshold of
    its own too."""

    iou: float = Field(0.7, ge=0, le=1)
    """Of two boxes of one class that overlap by more (intersection over union) the better one is
    kept. Without effect on models with NMS inside."""

    most: PositiveInt = 300
    """Largest number of detections; the best are kept."""

    classes: tuple[str, ...] = ()
    """The class names to keep, after the table; left out: all."""

    names: str | None = None
    """The model's class names: 'coco', or a text file with a name a line. Left out: those that the
    model's file holds, as Ultralytics' do."""

    table: str | None = None
    """A name table, such as 'coco-voc' or a file: what each class is called in the prompts; classes
    that it lacks are dropped. Left out: as the model calls them."""

    size: PositiveInt | None = None
    """Longer side of the input in pixels, for models that take any; left out: what the model's file
    says, else 640."""

    _session: Any = PrivateAttr(None)
    _meta: Mapping[str, Any] = PrivateAttr({})
    _head: Any = PrivateAttr(None)
    _names: tuple[str | None, ...] = PrivateAttr(())

    def open(self, device: str) -> None:
        """Load the model, try it on an empty picture, and tell its family and names.

        Raises `MissingExtraError` without ONNX Runtime, and `UsageError` for a file that is missing
        or no detector, for outputs that fit no family, for names that are missing or of another
        number than the classes, and as `renamed` does.
        """
        self._session = self._loaded(device)
        self._meta = _metadata(self._session.get_modelmeta().custom_metadata_map)
        task = self._meta.get("task", "detect")
        if task not in ("detect", "segment", "pose"):
            raise UsageError(
                f"--yolo.weights {self.weights} is a model for the task '{task}', which gives no "
                "upright boxes; choose a detector"
            )
        outputs = self._run(np.full((*self._room(), 3), GREY, np.uint8), "RGB")
        self._head = self._told(outputs, task)
        names = self._own_names()
        if self._head.classes not in (None, len(names)):
            raise UsageError(
                f"--yolo.weights {self.weights} has {self._head.classes} classes, but {len(names)} "
                f"class names ({self.names or 'in its own file'}); give as many as --yolo.names "
                "FILE"
            )
        self._names = renamed(names, self.table, self.classes, "--yolo")

    def restrict(self, names: Sequence[str]) -> None:
        """Drop all other classes; as `shared.name_tables.restricted` does."""
        self._names = restricted(self._names, names, self.table, "--yolo")

    def close(self) -> None:
        """Drop the model."""
        self._session = self._head = None

    def weight_files(self) -> Mapping[str, Path]:
        """The model, and the file of its large arrays if they lie apart."""
        apart = Path(f"{self.weights}.data")
        return {"yolo": self.weights, **({"yolo-data": apart} if os.path.isfile(apart) else {})}  # noqa: PTH113

    def __call__(self, image: Image) -> Prompts:
        """A prompt with a box for each detection; none if nothing is found."""
        head: Head = self._head
        yolox = head.family == "YOLOX"
        fitted = Letterbox.fit(
            image.size,
            self._room(),
            None if self._fixed() else self._stride(),
            corner=yolox,
            margin=NAS_MARGIN if head.family.startswith("YOLO-NAS") else 0,
        )
        outputs = self._run(fitted.apply(image.pixels), "BGR" if yolox else "RGB")
        detections = head.read(outputs, fitted.target, self.confidence)
        wanted = [i for i, name in enumerate(self._names) if name is None]
        kept = ~np.isin(detections[2], wanted)
        detections = (detections[0][kept], detections[1][kept], detections[2][kept])
        if not head.final:
            detections = suppress(detections, self.iou, self.most)
        boxes, scores, classes = detections
        best = np.argsort(-scores, kind="stable")[: self.most]
        edges = fitted.back(boxes[best])
        return as_prompts(edges, scores[best], classes[best], self._names, image.size)

    def _loaded(self, device: str) -> Any:
        """An ONNX Runtime session with one picture as its input."""
        try:
            import onnxruntime
        except ModuleNotFoundError:
            raise MissingExtraError("--prompt yolo", "ONNX Runtime", "yolo") from None
        try:
            check_file(self.weights)
        except OSError as error:
            gone = isinstance(error, FileNotFoundError)
            reason = "there is no such file" if gone else error.strerror
            raise UsageError(
                f"--yolo.weights {self.weights}: {reason}; give a YOLO that was exported to ONNX"
            ) from None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what matters is raised
        providers = ["CPUExecutionProvider"]
        if device.startswith("cuda"):
            providers = ["CUDAExecutionProvider", *providers]
        there = [p for p in providers if p in onnxruntime.get_available_providers()]
        try:
            session = onnxruntime.InferenceSession(str(self.weights), options, there)
        except Exception as error:  # ONNX Runtime's errors share no other class
            raise UsageError(
                f"--yolo.weights {self.weights} cannot be loaded as ONNX ({first_line(error)}); "
                "export the model again, as for Ultralytics by: yolo export format=onnx "
                "model=NAME.pt"
            ) from None
        inputs = session.get_inputs()
        shape = inputs[0].shape if inputs else []
        fits = len(inputs) == 1 and len(shape) == 4 and inputs[0].type in TYPES
        if not fits or (isinstance(shape[1], int) and shape[1] != 3):
            inputs_shown = (
                ", ".join(f"{i.name} {_shown(i.shape)} {i.type}" for i in inputs) or "none"
            )
            raise UsageError(
                f"--yolo.weights {self.weights} is no image detector: its input should be "
                f"(1, 3, H, W) of float or bytes, but is {inputs_shown}; choose another file"
            )
        if isinstance(shape[0], int) and shape[0] > 1:
            raise UsageError(
                f"--yolo.weights {self.weights} takes {shape[0]} pictures at a time; export it "
                "again with batch size 1"
            )
        return session

    def _told(self, outputs: Sequence[Any], task: str) -> Head:
        """The head that gave these outputs."""
        arguments = self._meta.get("args", {})
        ends = self._meta.get("end2end") is True or (
            isinstance(arguments, Mapping) and arguments.get("nms") is True
        )
        more = task != "detect" and "names" in self._meta
        shapes = [tuple(o.shape) for o in outputs]
        head = head_of(shapes, self._room(), ends, len(self._meta["names"]) if more else None)
        if head is None:
            shown = ", ".join(str(s) for s in shapes)
            raise UsageError(
                f"--yolo.weights {self.weights} is no detector of a known family: for an input of "
                f"{self._room()[1]}x{self._room()[0]} its outputs have the shapes {shown}, and fit "
                "neither Ultralytics, YOLO-NAS nor YOLOX; choose another file or export it anew"
            )
        return head

    def _own_names(self) -> tuple[str, ...]:
        """The model's class names, number 0 first."""
        if self.names is not None:
            return read_names(self.names)
        names = self._meta.get("names")
        if isinstance(names, Mapping) and sorted(names) == list(range(len(names))):
            names = [names[i] for i in range(len(names))]
        if not isinstance(names, Sequence) or not names or isinstance(names, str):
            count = self._head.classes
            raise UsageError(
                f"--yolo.weights {self.weights} does not say what its {count or ''} classes are "
                "called; give --yolo.names coco, or a text file with a name a line".replace(
                    "  ", " "
                )
            )
        return tuple(str(name) for name in names)

    def _fixed(self) -> bool:
        return all(isinstance(n, int) and n > 0 for n in self._session.get_inputs()[0].shape[2:])

    def _stride(self) -> int:
        """What a side of the input is a multiple of."""
        said = self._meta.get("stride")
        return said if isinstance(said, int) and said > 0 else 32

    def _room(self) -> tuple[int, int]:
        """(H, W) that pictures are fitted into."""
        if self._fixed():
            height, width = self._session.get_inputs()[0].shape[2:]
            return height, width
        said = self._meta.get("imgsz")
        stride = self._stride()
        room = (self.size, self.size) if self.size else (SIDE, SIDE)
        if not self.size and isinstance(said, Sequence) and len(said) == 2:
            room = (int(said[0]), int(said[1]))
        return (-(-room[0] // stride) * stride, -(-room[1] // stride) * stride)

    def _run(self, pixels: NDArray[np.uint8], order: str) -> list[Any]:
        """The outputs, float32 where they are of floats, for an input (h, w, 3)."""
        wanted = self._session.get_inputs()[0]
        values: NDArray[Any] = pixels[..., ::-1] if order == "BGR" else pixels
        kind = TYPES[wanted.type]
        if kind is not np.uint8:
            values = values.astype(np.float32) / (1 if order == "BGR" else 255)
        batch = np.ascontiguousarray(values.transpose(2, 0, 1)[None], dtype=kind)
        try:
            outputs = self._session.run(None, {wanted.name: batch})
        except Exception as error:  # as above
            raise UsageError(
                f"--yolo.weights {self.weights} does not take a picture of {pixels.shape[1]}x"
                f"{pixels.shape[0]} ({first_line(error)}); export it again"
            ) from None
        return [
            np.asarray(o, np.float32) if np.asarray(o).dtype.kind == "f" else np.asarray(o)
            for o in outputs
        ]


def _metadata(texts: Mapping[str, str]) -> dict[str, Any]:
    """What a model's file says of itself; values that are Python literals are read as such."""
    metadata: dict[str, Any] = {}
    for key, text in texts.items():
        try:
            metadata[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            metadata[key] = text
    return metadata


def _shown(shape: Sequence[Any]) -> str:
    return "(" + ", ".join(str(n) for n in shape) + ")"


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `yolo`."""
    return [Yolo]
