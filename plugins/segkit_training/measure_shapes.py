"""What the `shapes` classifier reaches: python -m segkit_training.measure_shapes.

On generated pictures with one object each: the share whose class it tells (accuracy), the share
where the brightest pixel of the predicted class's Grad-CAM lies on the object (pointing), and
both for each class. Without BACKGROUNDS, on made-up textures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from segkit import Catalog


@click.command(help=__doc__)
@click.option("--count", default=300, show_default=True)
@click.option("--seed", default=15000, show_default=True, help="Training saw those below 10000.")
@click.option("--backgrounds", type=click.Path(path_type=Path), help=".npz or folder of pictures.")
def main(count: int, seed: int, backgrounds: Path | None) -> None:
    """Print the figures, a line for all and a line a class."""
    catalog = Catalog(third_party=False)
    data_set: Any = catalog.load("dataset", "shapes")
    saliency: Any = catalog.load("saliency", "gradcam")
    options = {"count": count, "seed": seed, "backgrounds": backgrounds}
    pictures = data_set(**options)
    gradcam = saliency(model="shapes", target="predicted")
    pictures.open("cpu")
    gradcam.open("cpu")
    names: list[str] = []
    right: list[bool] = []
    hit: list[bool] = []
    for index in range(count):
        image, truth = pictures[index]
        names.append(truth.labels.classes[int(truth.labels.ids.max())])
        (heatmap,) = gradcam(image=image)
        right.append(heatmap.name == names[-1])
        hit.append(bool(truth.labels.ids.ravel()[heatmap.values.argmax()]))
    for name in ("all", *pictures.classes.values()):
        rows = [i for i, own in enumerate(names) if name in ("all", own)]
        if rows:
            accuracy, pointing = np.mean(np.array(right)[rows]), np.mean(np.array(hit)[rows])
            click.echo(f"{name:9}{len(rows):5}  accuracy {accuracy:.3f}  pointing {pointing:.3f}")


if __name__ == "__main__":
    main()
