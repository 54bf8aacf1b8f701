"""How a network is trained: the options of `segkit train`, `--train.*`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
)

LOSSES = ("cross-entropy", "dice", "focal")

BALANCED = "balanced"
"""The class weights that make up for the classes' shares of the pixels."""


class Settings(BaseModel):
    """The options of a training, apart from the network's and the data set's."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: ClassVar[str] = "train"
    """The flags' prefix."""

    initial: Path | None = None
    """Weights to begin with, a file that segkit train wrote, of this segmenter or another: tensors
    of the same name and shape are taken, the others begin as ever. The options of the network are
    not taken; give them again."""

    epochs: PositiveInt = 50
    """Most passes over the data, in each stage."""

    minutes: PositiveFloat | None = None
    """Stop after this many minutes of training, shared evenly by the stages. [no limit]"""

    batch: PositiveInt = 64
    """Images in a step."""

    micro_batch: PositiveInt | None = None
    """Most images of a step that are computed at a time; their gradients add up to the step's.
    [as many as fit into the memory]"""

    rate: PositiveFloat | None = None
    """Adam's learning rate, in all stages. [the segmenter's own: 1e-4, or 1e-5 for what is
    pre-trained]"""

    size: Annotated[int, Field(ge=32)] | None = None
    """Side in pixels that images are resized to. [the segmenter's own, mostly 256]"""

    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 rounds the network's work to half as many bits, its weights stay as they are: up to
    twice as fast where the processor or the GPU has it, and slower elsewhere."""

    loss: str = "cross-entropy"
    """cross-entropy, dice or focal, or a weighted sum of them such as cross-entropy+0.5*dice.
    Dice's sums run over a batch, with clicks over each click's mask."""

    gamma: NonNegativeFloat = 2.0
    """Of the focal loss: how much less it minds what is nearly right; 0 is cross-entropy."""

    class_weights: tuple[str, ...] = ()
    """What a class counts in the loss, CLASS=WEIGHT for each ('background' is one; others count 1),
    or balanced: the rarer its pixels, the more."""

    classes: tuple[str, ...] = ()
    """The classes to learn, in this order; others become background. Left out, all of the data."""

    patience: PositiveInt = 5
    """Stop when the validation loss has not fallen for so many epochs in a row."""

    delta: NonNegativeFloat = 0.0
    """It has to fall by more than this to count."""

    stopping: Literal["best", "previous"] = "best"
    """Below what it has to fall: the best epoch so far, or the epoch before."""

    split: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the images that validate; the seed draws them."""

    border: Literal["background", "void", "object"] = "background"
    """What void pixels of the truth, such as a trimap's border, are in training: background, left
    out, or the nearest object. Metrics of a run leave them out."""

    augment: bool = True
    """Whether the images of each epoch are changed at random; the next seven say how."""

    crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    """A random square part, of at least this share of the area, enlarged to the whole; 1: none."""

    flip: bool = True
    """Half of the images mirrored, left to right."""

    flip_vertical: bool = False
    """Half of the images mirrored, top to bottom."""

    rotate: bool = True
    """Turned at random, either way; what comes in at the corners is void."""

    degrees: Annotated[float, Field(ge=0, le=180)] = 15.0
    """By how much at most."""

    elastic: bool = True
    """Distorted as if drawn on rubber."""

    jitter: bool = True
    """Brightness, contrast and saturation changed by up to a fifth, hue by a fiftieth."""

    balance: bool = True
    """Images of rarer classes repeated, so that each class comes up as often as the commonest."""

    workers: NonNegativeInt | None = None
    """Processes that prepare images. [0 on a CPU, up to 8 beside a GPU]"""

    @field_validator("loss")
    @classmethod
    def _readable(cls, loss: str) -> str:
        terms_of(loss)
        return loss

    @field_validator("classes", "class_weights")
    @classmethod
    def _split(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        """Commas part names too."""
        return tuple(one.strip() for text in given for one in text.split(",") if one.strip())

    @field_validator("classes")
    @classmethod
    def _different(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError("a class is named twice")
        if "background" in names:
            raise ValueError("background is always learnt; name the other classes")
        return names

    @field_validator("class_weights")
    @classmethod
    def _weighted(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if given != (BALANCED,):
            weights_of(given)
        return given


def terms_of(loss: str) -> list[tuple[float, str]]:
    """Weight and name of each term of `--train.loss`. Raises `ValueError` for what is none."""
    terms = []
    for text in loss.split("+"):
        found = re.fullmatch(r"\s*(?:(\d*\.?\d+(?:e-?\d+)?)\s*\*)?\s*([a-z-]+)\s*", text)
        if found is None or found[2] not in LOSSES:
            raise ValueError(
                f"should be {', '.join(LOSSES)}, or a sum such as cross-entropy+0.5*dice"
            )
        terms.append((float(found[1] or 1), found[2]))
    return terms


def weights_of(given: tuple[str, ...]) -> dict[str, float]:
    """Class to weight of `--train.class-weights`. Raises `ValueError` for what is none."""
    weights = {}
    for text in given:
        name, equals, value = text.rpartition("=")
        try:
            weights[name] = float(value) if equals else -1.0
        except ValueError:
            weights[name] = -1.0
        if not 0 <= weights[name] < float("inf"):
            raise ValueError("should be CLASS=WEIGHT with weights of 0 or more, or balanced")
    return weights
