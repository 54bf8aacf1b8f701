"""The kinds of step, once: what each is called, how it is found, and what takes part by default.

Everything else that goes kind by kind is made of this table: entry-point groups, hooks, flags,
recipes, grids, public names, tables of the docs. What a plugin of a kind may ask for and gives back
says its interface in `plugins/steps.py`; from that follows where it stands in a run.
"""

from __future__ import annotations

from dataclasses import dataclass

BUNDLED = "segkit"
"""The distribution of the bundled plugins, which win a short name over other packages."""

OBSERVER = "observer"
"""The group of plugins that watch a run; they are no kind of step."""

COMMAND = "command"
"""The group of commands that packages add to `segkit`; they are no kind of step."""

API_GROUP = "segkit.api"
"""The group in which a distribution says which version of the plugin API it was written for."""


@dataclass(frozen=True)
class Kind:
    """One kind of step."""

    name: str
    """As in the entry-point group `segkit.NAME`, in `[[NAME]]` of a recipe and in sentences."""
    interface: str
    """The class that its plugins subclass, as `from segkit import …` knows it."""
    hook: str
    """The hook that registers its plugins."""
    plural: str
    """Its plugins, as headings and sentences call them."""
    help: str
    """The help of its flag."""
    flag: str = ""
    """Its flag on the command line without the dashes, where that is not its name."""
    several: bool = False
    """Whether a plan takes more than one step of it."""
    swept: bool = False
    """Whether a grid may vary it; else it is the same for all recipes of a sweep."""
    recipe: bool = True
    """Whether it is a part of recipes."""
    defaults: tuple[str, ...] = ()
    """The bundled plugins that may take part without being named."""

    @property
    def group(self) -> str:
        """The group of its plugins' entry points."""
        return f"{BUNDLED}.{self.name}"


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "dataset",
            "Dataset",
            "segkit_datasets",
            "data sets",
            "Where images come from: files (default, if some are named), samples (if none).",
            defaults=("files", "samples"),
        ),
        Kind(
            "perturbation",
            "Perturbation",
            "segkit_perturbations",
            "perturbations",
            "Damage to images or prompts: a,b or all; repeats.",
            flag="perturb",
            several=True,
            recipe=False,
            defaults=(
                *("gaussian-noise", "gaussian-blur", "contrast-up", "contrast-down"),
                *("brightness-up", "brightness-down", "occlusion", "salt-and-pepper"),
            ),
        ),
        Kind(
            "saliency",
            "Saliency",
            "segkit_saliency",
            "saliency methods",
            "What makes heatmaps; default gradcam, where something reads them. Repeats.",
            several=True,
            swept=True,
            defaults=("gradcam",),
        ),
        Kind(
            "transform",
            "Transform",
            "segkit_transforms",
            "heatmap transforms",
            "What changes the heatmaps; repeats, in order. Default objectness-prior, where neither "
            "saliency nor prompters are chosen.",
            several=True,
            swept=True,
            defaults=("objectness-prior",),
        ),
        Kind(
            "prompt",
            "Prompter",
            "segkit_prompters",
            "prompters",
            "What makes the prompts; default components. Repeats for more objects; a+b makes one "
            "prompt of two.",
            several=True,
            swept=True,
            defaults=("components",),
        ),
        Kind(
            "segmenter",
            "Segmenter",
            "segkit_segmenters",
            "segmenters",
            "What makes masks or a class map; default sam. At most one of each.",
            several=True,  # one for masks and one for class maps
            swept=True,
            defaults=("sam",),
        ),
        Kind(
            "judge",
            "Judge",
            "segkit_judges",
            "judges",
            "What tells how good each mask is; --select quality chooses by it. Default none.",
            swept=True,
        ),
        Kind(
            "selector",
            "Selector",
            "segkit_selectors",
            "selectors",
            "What picks one mask per prompt; default score.",
            flag="select",
            swept=True,
            defaults=("score",),
        ),
        Kind(
            "fuser",
            "Fuser",
            "segkit_fusers",
            "fusers",
            "What paints masks into one class map; default paint.",
            swept=True,
            defaults=("paint",),
        ),
        Kind(
            "metric",
            "Metric",
            "segkit_metrics",
            "metrics",
            "Figures to print; repeats. Default: all that fit, if there is truth.",
            several=True,
        ),
        Kind(
            "writer",
            "Writer",
            "segkit_writers",
            "writers",
            "Files to write beside masks and overlay; repeats. none: no files at all.",
            flag="write",
            several=True,
            defaults=("masks", "overlay"),
        ),
    )
}
"""Kind by its name, in the order in which values flow."""

GROUPS = (
    *(kind.group for kind in KINDS.values()),
    *(f"{BUNDLED}.{group}" for group in (OBSERVER, COMMAND)),
    API_GROUP,
)
"""The groups of entry points that mean something."""

IN_RECIPES = tuple(kind.name for kind in KINDS.values() if kind.recipe)
"""The kinds that a recipe may name."""

SWEPT = tuple(kind.name for kind in KINDS.values() if kind.swept)
"""The kinds that a grid may vary."""

ASKING = ("saliency", "transform", "prompt")
"""The kinds that decide between them what a segmenter is asked."""

# What core knows by name of the bundled plugins is above, in `defaults`, and here: nowhere else.

RECIPES = "segkit_plugins.recipes"
"""The folder of the recipes that come with segkit, in the plugins' package."""

DEFAULT_RECIPE: str | None = None
"""The one of them that a run takes where no step is chosen; None: each kind's defaults, above."""

FILES_DATASET, SAMPLES_DATASET = KINDS["dataset"].defaults
"""The bundled data set of images that are named, and the one where none are."""

MASK_WRITER, PICTURE_WRITER = KINDS["writer"].defaults
"""The bundled writer of what a run is for, and the one of pictures for people."""

DETECTIONS_WRITER = "supervision"
"""The bundled writer whose files are the fields of the library supervision's `Detections`."""

MAIN_FIGURE = "iou"
"""The figure by which recipes and images are better or worse, where none is chosen."""

SHOWN_FIGURES = (MAIN_FIGURE, "boundary-iou", "hit-rate")
"""Figures that stand before others where there is no room for all."""


DETECTORS = ("yolo", "detr")
"""The bundled prompters that ask for each object by a detector's box."""

PARTS_PROMPTER = "components"
"""The bundled prompter that asks for each warm region."""

OBJECT = "object"
"""What the bundled plugins call objects that have no class."""

PERSON = "person"
"""What the bundled classifier calls people."""


def flag_of(kind: str) -> str:
    """A kind's flag on the command line, without the dashes; any other word stays."""
    known = KINDS.get(kind)
    return kind if known is None else known.flag or kind


def a(kind: str) -> str:
    """`a prompt`, `an observer`."""
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
