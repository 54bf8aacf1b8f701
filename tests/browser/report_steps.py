"""Steps whose results give the report's page something to show."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image

from segkit import Heatmap, Image, Labels, Prompt, Prompter, Prompts, Writer


class Panels(Writer):
    """A photo and a mask side by side, in a JPEG that says where they are."""

    name = "panels"

    def write(
        self, directory: Path, image: Image, labels: Labels, prompts: Prompts
    ) -> tuple[Path, ...]:
        path = directory / "overlay" / f"{image.name}.jpg"
        path.parent.mkdir(exist_ok=True)
        mask = np.repeat((labels.ids > 0)[..., None], 3, axis=2) * np.uint8(255)
        strip = PIL.Image.new("RGB", (170, 80), "white")
        boxes = []
        for left, title, pixels in ((0, "photo", image.pixels), (90, "mask", mask)):
            big = np.kron(pixels, np.ones((5, 5, 1), np.uint8))
            strip.paste(PIL.Image.fromarray(big), (left, 10))
            boxes.append([title, left, 10, left + 80, 70])
        said = json.dumps({"panels": boxes, "roles": {"photo": 0, "mask": 1}})
        strip.save(path, "JPEG", comment=b"segkit " + said.encode())
        return (path,)


class Stray(Prompter):
    """A pixel on the object in half of the images, beside it in the others."""

    name = "stray"

    def __call__(self, heatmap: Heatmap, rng: np.random.Generator) -> Prompts:
        y, x = np.unravel_index(heatmap.values.argmax(), heatmap.values.shape)
        return Prompts((Prompt(points=[(x + 6 * rng.integers(2), y)]),))
