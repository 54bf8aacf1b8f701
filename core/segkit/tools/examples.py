"""The worked examples that packages for plugins of one's own begin with, one of each kind."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """The worked example of one kind."""

    summary: str
    """What it does; the first line of its module's docstring."""
    option: str
    """One of its options."""
    run: str
    """The command that uses it, with `{name}` in it."""
    compare: str = ""
    """The command that compares it with others, likewise; empty where nothing can be compared."""
    imports: tuple[str, ...] = ("numpy",)
    """The libraries that it imports, beside segkit and pydantic."""
    untyped: tuple[str, ...] = ()
    """Those of them without types of their own."""
    api: int = 1
    """The oldest version of the plugin API that has all it uses."""


_SHAPES = "segkit sweep --dataset shapes --gradcam.model shapes"

EXAMPLES = {
    "dataset": Example(
        "Generate pictures of one bright disc each, with the disc as truth.",
        "count",
        "segkit run --dataset {name}",
    ),
    "perturbation": Example(
        "Posterise a picture: each level leaves half as many greys.",
        "bits",
        "segkit robustness --perturb {name}",
        f"{_SHAPES.replace('sweep', 'robustness')} --perturb {{name}},gaussian-noise",
    ),
    "saliency": Example(
        "Find what has another colour than the rest of the picture.",
        "centre",
        "segkit run --saliency {name}",
        f"{_SHAPES} --saliency {{name}},gradcam",
    ),
    "transform": Example(
        "Stretch a heatmap between its coldest and its hottest pixels.",
        "cut",
        "segkit run --transform {name}",
        f"{_SHAPES} --transform {{name}},power,none",
    ),
    "prompt": Example(
        "Prompt a segmenter with the middle of a heatmap's hot pixels.",
        "share",
        "segkit run --prompt {name}",
        f"{_SHAPES} --prompt {{name}},topk,center",
    ),
    "segmenter": Example(
        "Grow a region of like colour around each click.",
        "tolerance",
        "segkit run --segmenter {name}",
        f"{_SHAPES} --segmenter {{name}},sam",
        ("numpy", "scipy"),
        ("scipy",),
    ),
    "judge": Example(
        "Judge masks by how clear of the picture's border they stay.",
        "least",
        "segkit run --judge {name}",
        f"{_SHAPES} --judge {{name}},score",
    ),
    "selector": Example(
        "Keep the most compact candidate mask.",
        "weight",
        "segkit run --select {name}",
        f"{_SHAPES} --select {{name}},score,largest",
    ),
    "fuser": Example(
        "Paint the masks with the smallest on top.",
        "least",
        "segkit run --fuser {name}",
        f"{_SHAPES} --fuser {{name}},paint",
    ),
    "metric": Example(
        "Error of the foreground's area, wherever it lies.",
        "most",
        "segkit run --dataset shapes --gradcam.model shapes --metric {name}",
        f"{_SHAPES} --prompt topk,center --metric {{name}}",
        (),
        api=2,  # figures
    ),
    "writer": Example(
        "A table of how many pixels each class has in each image.",
        "separator",
        "segkit run --write {name}",
    ),
}
"""Kind to its example, which has two templates: `kinds/KIND.py.j2` and `tests/KIND.py.j2`."""
