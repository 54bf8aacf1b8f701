"""The kinds of step, each an interface that a plugin implements by subclassing.

A step is one interchangeable part: a frozen pydantic model whose fields are its options. A whole
plugin stands in `docs/write/index.md`.

The work method (`__call__`, for a metric `count`, for a writer `write`) names only the inputs it
wants, out of its kind's `takes`. A parameter with a default is an optional input: it gets the
default where nothing makes that value. The return annotation says what it makes, one of the
kind's `gives`, never a union.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from segkit.errors import PluginError
from segkit.kinds import KINDS
from segkit.plugins.figures import Figure, check_figures
from segkit.plugins.step import Step as Step
from segkit.values.types import (
    Counts,
    Heatmap,
    Image,
    Labels,
    Masks,
    Prompts,
    Scores,
    Truth,
)


class Dataset(Step):
    """A sequence of images, with or without truth.

    Subclasses define `names`, `__getitem__` and, where they know them, `files_of`, `classes` and
    `groups`. Listing names and files must be cheap: a run that goes on reads only the images that
    are missing or whose files have changed; without `files_of` it has to read all of them.

    `concurrent` says of a data set that several threads may ask one for different images at once;
    then a run decodes several at once.
    """

    kind = "dataset"
    work = "__getitem__"
    takes = ("index",)

    @property
    def names(self) -> Sequence[str]:
        """One name an image, all different, in order (see `segkit.unique_names`)."""
        raise PluginError(f"{type(self).__name__} should define 'names', but does not")

    @property
    def classes(self) -> Mapping[int, str]:
        """Class id to name, background left out; empty where the data set knows no classes."""
        return {}

    @property
    def has_truth(self) -> bool:
        """Whether images come with truth; metrics need it."""
        return True

    @property
    def groups(self) -> Mapping[str, Mapping[str, str]]:
        """What else sorts the images, for `segkit describe`: heading to {image name: group}.

        For instance `{"breed": {"pug_7": "pug"}}`. As cheap as the names; empty by default, and
        images may be left out.
        """
        return {}

    def files_of(self, index: int) -> Sequence[Path]:
        """The files that the image comes from: its own first, then those of its truth.

        Empty where it comes from none, such as a generated picture; then a hash of its pixels tells
        whether it is the same. Files are not opened and need not be there. A run never writes over
        them; where one goes on, a file of another size or time of change is an image to do again.
        """
        return ()

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[Image, Truth | None]]:  # type: ignore[override]
        """The images with their truth, in order; not pydantic's pairs of option and value."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        """The image and its truth. Raises `BadImageError` where the file cannot be used."""
        raise PluginError(f"{type(self).__name__} should define '__getitem__', but does not")


class Perturbation(Step):
    """Damage to an image or to prompts at rising levels, level 0 being none.

    Inputs: `image` or `prompts`; `level` float from 0; `rng` numpy Generator. Makes the same kind
    of value as it takes.
    """

    kind = "perturbation"
    takes = ("image", "prompts", "level", "rng")
    gives = (Image, Prompts)


class Saliency(Step):
    """Where a classifier looks: one heatmap for each class asked about.

    Inputs: `image`; `classes` {id: name} of the data set; `truth` (only for targets that are
    asked to be the true class). Makes one `Heatmap`, or a tuple of one or more.

    With `--tile` a large image is seen in tiles. Where `stretches` says that heat is relative to
    the picture, what is looked for is settled by the heatmaps of the whole image, made smaller, and
    heat of different tiles compares by an optional method:

    - `part(self, image, heatmaps, classes) -> Sequence[ndarray]`: for a tile, one map (h, w) for
      each of the whole image's `heatmaps`, of their classes, float32 from 0, at any resolution, on
      a scale that is the same for all tiles. The maps are blended and then stretched to [0, 1].

    Without it a tile is asked as an image is, and its heat is no hotter than that of the whole
    image is there.
    """

    kind = "saliency"
    takes = ("image", "classes", "truth")
    gives = (Heatmap, tuple[Heatmap, ...])
    extras = {"part": ("image", "heatmaps", "classes")}
    stretches: ClassVar[bool] = True
    """Whether heat is relative to the picture, as where the hottest pixel is always 1. False: a
    value says the same in each picture, so that tiles' heatmaps of one class are blended as they
    are; the classes are those of all tiles."""


class Transform(Step):
    """A heatmap made into another one, of the same shape; runs once for each heatmap."""

    kind = "transform"
    takes = ("heatmap", "image")
    gives = (Heatmap,)


class Prompter(Step):
    """What to ask the segmenter; runs once for each heatmap, or once if it asks for none.

    Inputs: `image`, `heatmap`, `classes` {id: name}, `rng` numpy Generator (the only source of
    randomness; the same for the same seed, image and step). Prompts without a class get the
    heatmap's class and score.

    Two optional methods, naming those inputs that they want, see the answers.

    - `refine(self, prompts, masks, heatmap, image, look, ask) -> Prompts | None`: after segmenter
      and selector have answered, it may ask again with new prompts; None means done. `--rounds`
      bounds how often. `look(image)` asks the plan's saliency and transforms about another picture
      of the image's size and returns its heatmaps. `ask(prompts)` puts any prompts to the plan's
      segmenter and returns all candidate `Masks`, judged together where there is a judge; they take
      no part in the result.
    - `admit(self, prompts, masks, heatmap, image) -> Prompts`: before its group's prompts are
      decoded, those that are still worth it. They are decoded one by one, the likeliest first,
      after those of groups without `admit`; each time it is given those that wait, and all masks
      that the image has by then, with their classes as `names`.
    """

    kind = "prompt"
    takes = ("image", "heatmap", "classes", "rng")
    gives = (Prompts,)
    extras = {
        "refine": ("prompts", "masks", "heatmap", "image", "look", "ask"),
        "admit": ("prompts", "masks", "heatmap", "image"),
    }
    companion: ClassVar[bool] = False
    """Whether it asks nothing of its own and only refines or admits what another one asked: it is
    used as `--prompt topk+NAME`, and returns `Prompts()` when it is called."""


class Segmenter(Step):
    """Candidate masks for prompts (returns `Masks`), or a class map (returns `Labels`).

    Inputs: `image`, `prompts`, `heatmap`, `classes` and `encoding`: what its own optional method
    `encode(self, image)` returned, the costly part that depends on the image alone. A run
    encodes each image once, however many prompts are tried.
    """

    kind = "segmenter"
    takes = ("image", "prompts", "heatmap", "encoding", "classes")
    gives = (Masks, Labels)
    extras = {"encode": ("image",)}

    def encode_batch(self, inputs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The encodings of several images, equal to those of single calls of `encode`.

        Override it, as `batch`, where a network is faster on many images at once; `inputs` holds
        {"image": image} for each. A segmenter without `encode` is not asked.
        """
        encode: Any = getattr(self, "encode")  # noqa: B009 - not every segmenter has one
        return [encode(**given) for given in inputs]


class Judge(Step):
    """How good each candidate mask is: the same masks, each with a `quality` from 0 to 1.

    Inputs: `image`; `masks`, all candidates of the image at once, whichever prompter asked for them
    (`masks.prompt` tells); `prompts`; `heatmaps`, or `heatmap`, their pixelwise maximum; and
    `encoding`, what the segmenter's own `encode` returned, whose type is the segmenter's: give it a
    default, for many segmenters have none. A quality estimates the mask's IoU with the object that
    is meant. Where there is no mask, a judge is not asked.
    """

    kind = "judge"
    takes = ("image", "masks", "prompts", "heatmap", "heatmaps", "encoding")
    gives = (Masks,)

    def _fault(self, output: Masks, given: Mapping[str, Any]) -> str | None:
        masks: Masks = given["masks"]
        same = output.held is masks.held or output.packed.same(masks.packed)
        if not same or not np.array_equal(output.prompt, masks.prompt):
            return "should leave the masks as they are and in their places, but changes them"
        return (
            None
            if output.quality is not None
            else "should give each mask a quality, but gives none"
        )


class Selector(Step):
    """One mask for each prompt, out of its candidates. Single candidates pass through.

    Inputs: `image`; `masks`; `prompts`; `heatmap` or `heatmaps`. One that names `heatmap` is asked
    about each heatmap apart, with the candidates of its prompts; one that names `heatmaps` sees all
    candidates of an image at once.
    """

    kind = "selector"
    takes = ("image", "masks", "prompts", "heatmap", "heatmaps")
    gives = (Masks,)

    def _fault(self, output: Masks, given: Mapping[str, Any]) -> str | None:
        several = len(set(output.prompt.tolist())) != len(output)
        return "should leave one mask per prompt, but left several" if several else None


class Fuser(Step):
    """Masks, and a class map where a segmenter made one, painted into one class map.

    A fuser may also define `merge(self, masks, prompts, heatmaps) -> Masks` (naming those inputs
    that it wants, `heatmap` too): which of the selected masks are objects, and what they cover. It
    runs before the work method, and all that follows, metrics and writers too, sees its masks in
    place of the selector's.
    """

    kind = "fuser"
    takes = ("image", "heatmap", "heatmaps", "masks", "prompts", "labels", "classes")
    gives = (Labels,)
    extras = {"merge": ("masks", "prompts", "heatmap", "heatmaps")}


class Metric(Step):
    """A figure for how good the result is, as two pure methods.

    `count(self, ...) -> Counts` for one image, naming any of `takes`; counts of several images
    are added key by key. `score(self, counts) -> Scores` makes figures of added counts; what is
    averaged over what stands in the docstring. Both map names to finite numbers, which may be
    numpy's.
    """

    kind = "metric"
    work = "count"
    figures: ClassVar[Mapping[str, Figure]] = {}
    """Each figure's name, or its beginning and `*`, to whether less is better, and its unit.

    For instance `{"distance": Figure(lower_is_better=True, unit="px")}`, or `{"class-f1-*":
    Figure()}` where a figure for each class has the class's name behind it. Exact names win, then
    the longest beginning. A metric that declares none gives figures called as it is, or so that
    they begin with its name and a hyphen.
    """
    lower_is_better: ClassVar[bool] = False
    """Whether less is better for all figures that `figures` does not tell of."""
    joins: ClassVar[bool] = True
    """Whether a bundled one takes part in every run with truth where no metric is chosen."""
    takes = ("image", "heatmap", "heatmaps", "prompts", "masks", "labels", "classes", "truth")
    gives = (Counts,)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse figures that are none, as soon as the class is defined."""
        super().__pydantic_init_subclass__(**kwargs)
        check_figures(cls)

    def __call__(
        self,
        truth: Any,
        prediction: Any,
        *,
        image: Image | None = None,
        classes: Mapping[int, str] | None = None,
    ) -> Scores:
        """The figures of a prediction, as a run of this one image gives them.

        `truth`: a `Truth`, `Labels`, or an array (H, W) of class ids or bool. `prediction`: what a
        pipeline made (a `Result`); `Labels`, `Masks`, `Prompts` or a `Heatmap`; or an array, (H, W)
        class ids or bool, or (n, H, W) bool, a mask each. A list of truths with a list of
        predictions are several images, whose counts are added. `image`: where the metric asks for
        it and the prediction has none. `classes` {id: name}: the data set's; by default the
        truth's.

        Empty where there is nothing to count, as in a truth that is all void. Raises `UsageError`
        where the metric needs what the prediction has not, `BadValueError` for arrays of other
        sizes and types.
        """
        from segkit.plugins.measuring import measure

        return measure(self, truth, prediction, image=image, classes=classes)

    def score(self, counts: Counts) -> Scores:
        """The figures for added counts; a figure that nothing was counted for is left out."""
        raise PluginError(f"{type(self).__name__} should define 'score', but does not")

    def details(self, counts: Counts, classes: Mapping[int, str]) -> Mapping[str, Any]:
        """More than figures, of counts added over all images, for summary.json: what JSON holds.

        `classes` {id: name} are the run's; those of a data set without classes are empty. Left
        empty, there is no entry. A `note`, a sentence on the data as a whole, is printed when the
        run is over. The report shows two keys as tables:

        - `classes`: a list of rows with `name` and, each optional, `iou`, `dice`, `pixels` (true
          ones) and `found`;
        - `confusion`: {`names`: of the columns, `pixels`: a list of rows}, true classes down, found
          ones across; the rows are the first of those names.
        """
        return {}


class Writer(Step):
    """Files for each image: `write(self, directory, ...)`, and `finish(directory, images)` once.

    `write` names `directory` (a `Path`, the run's folder) and any of `takes`, and returns the
    paths of the files it made, inside `directory`. `--overwrite` removes files that were returned,
    and no others. `is_intact(directory, path)`, optional, says of a format of its own whether a
    file can still be read; `--resume` does the images of those that cannot again.
    """

    kind = "writer"
    work = "write"
    largest_id: ClassVar[int | None] = None
    """The largest class id that its files can hold, if there is one. A run whose data set has
    larger ones is refused before it begins."""
    takes = ("directory", *Metric.takes, "scores")
    gives = (tuple[Path, ...],)

    def finish(self, directory: Path, images: Sequence[str]) -> tuple[Path, ...] | None:
        """Write what needs all images, once after the last, and return the paths of these files.

        `images`: the names of those that are finished, in the order in which they were, with those
        of an earlier run that this one goes on with. What `write` may have left of others, which
        failed later or are gone, is none of the result. With the files go those that `write` keeps
        for all images. Where it returns None, the files that are new when it has ended count as its
        own.
        """
        return None

    def is_intact(self, directory: Path, path: Path) -> bool:
        """Whether a file in the run's folder that `write` has returned can still be read.

        Where a run goes on, an image is done again if one of its files is missing or empty (and was
        not when it was written), or this says no, or raises. By default the check is that of the
        suffix: pictures, JSON and .npz are looked into, all else only opened. A format of its own
        may look closer. It is asked of each file of each finished image, so it should be quick; the
        file may have been changed by hand since, which is no damage.
        """
        from segkit.values.intact import is_intact

        return is_intact(path)


INTERFACES: dict[str, type[Step]] = {kind: globals()[KINDS[kind].interface] for kind in KINDS}
"""Kind to its interface, in the order in which values flow."""
