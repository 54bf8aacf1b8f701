"""Masks for the clicks of a person, decoded by the segmenter that the run has used.

An image is encoded once; then a click costs a decode.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from segkit.errors import BadValueError, SegkitError, UsageError
from segkit.kinds import BUNDLED, KINDS, flag_of
from segkit.plugins.catalog import Catalog
from segkit.plugins.contract import blamed
from segkit.plugins.observers import Observers
from segkit.plugins.steps import Segmenter
from segkit.running.asked import restrict
from segkit.running.calling import Call, Caller, Failure, Task
from segkit.running.graph import Node
from segkit.running.options import device_named
from segkit.running.recipe import Recipe, make_step
from segkit.running.review import PromptAsked
from segkit.values.types import Image, Masks, Prompt, Prompts
from segkit_ui.review.lately import Lately


def takes_clicks(segmenter: Segmenter) -> bool:
    """Whether it makes masks of prompts."""
    cls = type(segmenter)
    return cls.output() is Masks and "prompts" in cls.inputs().all


def segmenter_of(recipe: Recipe, catalog: Catalog) -> tuple[Segmenter, str]:
    """The recipe's segmenter that takes clicks, else the default one, and a note if it is that.

    Raises `SegkitError` where neither can be had.
    """
    own = []
    for part in recipe.parts.get("segmenter", ()):
        step = make_step(catalog, "segmenter", part.name, part.options)
        assert isinstance(step, Segmenter)
        own.append(step)
    if able := next(filter(takes_clicks, own), None):
        return able, ""
    name = KINDS["segmenter"].defaults[0]
    step = make_step(catalog, "segmenter", f"{BUNDLED}:{name}", {})
    assert isinstance(step, Segmenter)
    asked = ", ".join(f"--{flag_of('segmenter')} {step.name}" for step in own)
    return step, f"{asked or 'the run'} takes no clicks; {name} answers them"


def prompt_of(asked: PromptAsked, image: Image) -> Prompt:
    """A person's question as a prompt. Raises `BadValueError` for one that lies outside."""
    height, width = image.size
    xs = [x for x, _ in asked.points] + (asked.box or [])[0::2]
    ys = [y for _, y in asked.points] + (asked.box or [])[1::2]
    if any(not 0 <= x <= width - 1 for x in xs) or any(not 0 <= y <= height - 1 for y in ys):
        raise BadValueError(f"a click lies outside of {image.name}, which is {width}x{height}")
    prompt = Prompt(asked.points, asked.signs, asked.box)
    if prompt.empty:
        raise UsageError("nothing is asked; click on the object, or draw a box around it")
    return prompt


class Corrector:
    """The segmenter, opened when it is first needed, and the encodings of the last images.

    It may be asked from several threads; one question is answered at a time.
    """

    def __init__(self, recipe: Recipe, catalog: Catalog, classes: Mapping[int, str]) -> None:
        self._recipe, self._catalog = recipe, catalog
        self._caller = Caller(classes, recipe.seed, Observers())
        self._lock = threading.RLock()
        self._segmenter: Segmenter | None = None
        self._encodings: Lately[tuple[int, Any]] = Lately(itemgetter(0))
        self.note = ""
        """What is to be said of who answers."""

    def open(self) -> None:
        """Load the segmenter. Raises `SegkitError`."""
        with self._lock:
            if self._segmenter is None:
                segmenter, self.note = segmenter_of(self._recipe, self._catalog)
                with blamed(segmenter, "could not be opened:"):
                    segmenter.open(device_named("auto"))
                restrict([segmenter], self._recipe.classes)
                self._segmenter = segmenter

    def close(self) -> None:
        """Drop what was loaded."""
        with self._lock:
            if self._segmenter is not None:
                self._segmenter.close()
            self._segmenter = None
            self._encodings.clear()

    def encode(self, image: Image) -> Any:
        """An image's encoding, None for a segmenter that has none. Raises `SegkitError`."""
        with self._lock:
            self.open()
            if not hasattr(self._segmenter, "encode"):
                return None
            height, width = image.size
            return self._encodings.get(
                image.name, lambda: (height * width, self._answers(image, {}, "encode"))
            )[1]

    def decode(self, image: Image, asked: PromptAsked) -> Masks:
        """All candidate masks for one question, the likeliest first.

        Raises `SegkitError`, also where the segmenter finds none.
        """
        prompt = prompt_of(asked, image)
        with self._lock:
            encoding = self.encode(image)
            inputs: dict[str, Any] = {"prompts": Prompts((prompt,))}
            if encoding is not None:
                inputs["encoding"] = encoding
            masks: Masks = self._answers(image, inputs)
        shown = [i for i in (-masks.scores).argsort(kind="stable") if masks.masks[i].any()]
        if not shown:
            raise SegkitError("the segmenter finds nothing there; click somewhere else")
        return masks.take(shown)

    def _answers(self, image: Image, inputs: Mapping[str, Any], method: str | None = None) -> Any:
        """What the segmenter makes of one call. Raises `SegkitError`."""
        segmenter = self._segmenter
        assert segmenter is not None
        node = Node("segment", (segmenter,), {}, segmenter.name)
        (answer,) = self._caller.call(node, segmenter, [Call(Task(image, None), inputs)], method)
        if isinstance(answer, Failure):
            raise SegkitError(answer.error)
        return answer
