"""Plugins that do one thing which they may not, in every place where a plugin is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

TEMPLATE = '''\
"""One of each kind."""
import sys
from pathlib import Path
from typing import Any
import numpy as np
from segkit import *
from segkit import Counts, Dataset, Heatmap, Image, Judge, Labels, Masks, Metric, Prompter, Prompts
from segkit import Saliency, Scores, Segmenter, Truth, Writer, hookimpl
{imported}

class Pictures(Dataset):
    name = "pictures"

    @property
    def names(self):
        {names}

    @property
    def classes(self):
        {classes}

    def files_of(self, index):
        {files_of}

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        {read}


def picture(name):
    ids = np.zeros((6, 8), np.int32)
    ids[2:4, 2:4] = 1
    return Image(np.zeros((6, 8, 3), np.uint8), name), Truth(Labels(ids, {{1: "square"}}))


class Half(Segmenter):
    name = "half"
    payload: Any = {payload}

    def weight_files(self):
        {weight_files}

    def open(self, device):
        {opened}

    def close(self):
        {closed}

    def __call__(self, image: Image) -> Masks:
        masks = np.zeros((1, *image.size), bool)
        masks[0, 2:4] = True
        {segment}
        return Masks(masks, [0.5], [0])


class Opinion(Judge):
    name = "opinion"

    def __call__(self, masks: Masks) -> Masks:
        {judge}
        return Masks(masks.masks, masks.scores, masks.prompt, quality=[0.5] * len(masks))


class Figures(Metric):
    name = "figures"

    def count(self, image: Image) -> Counts:
        {count}
        return {{"n": 1}}

    def score(self, counts: Counts) -> Scores:
        {score}
        return {{"figures": 1.0}}


class Files(Writer):
    name = "notes"

    def write(self, directory: Path, image: Image) -> tuple[Path, ...]:
        path = directory / "notes" / f"{{image.name}}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("here")
        {write}
        return (path,)

    def finish(self, directory: Path, images=()):
        {finish}


@hookimpl
def segkit_datasets():
    return [Pictures]


@hookimpl
def segkit_segmenters():
    {hook}
    return [Half]


@hookimpl
def segkit_judges():
    return [Opinion]


@hookimpl
def segkit_metrics():
    return [Figures]


@hookimpl
def segkit_writers():
    return [Files]
'''

ONE = "if image.name == 'a': "
"""Before what is done to one image alone."""


@dataclass(frozen=True)
class Pieces:
    """What stands in the template's places."""

    imported: str = ""
    names: str = "return ['a', 'b', 'c']"
    classes: str = "return {1: 'square'}"
    files_of: str = "return ()"
    read: str = "return picture('abc'[index])"
    payload: str = "None"
    weight_files: str = "return {}"
    opened: str = "pass"
    closed: str = "pass"
    segment: str = "pass"
    judge: str = "pass"
    count: str = "pass"
    score: str = "pass"
    write: str = "pass"
    finish: str = "return None"
    hook: str = "pass"

    def code(self) -> str:
        """The plugin's file."""
        return TEMPLATE.format(**vars(self))


DECENT = Pieces()

OF_ONE_IMAGE = {
    "a step that raises": replace(DECENT, segment=ONE + "raise ValueError('no\\nway')"),
    "a step that ends Python": replace(DECENT, segment=ONE + "sys.exit(0)"),
    "a step that raises what is no exception": replace(
        DECENT, segment=ONE + "raise GeneratorExit('over')"
    ),
    "a step that calls itself": replace(DECENT, segment=ONE + "return self(image)"),
    "an error whose text fails": replace(
        DECENT,
        imported="class Mute(Exception):\n    def __str__(self): raise KeyError('mute')\n",
        segment=ONE + "raise Mute()",
    ),
    "an error with escape sequences": replace(
        DECENT, segment=ONE + "raise ValueError('\\x1b[2J\\x1b]0;x\\x07[red]')"
    ),
    "an error of a million letters": replace(DECENT, segment=ONE + "raise ValueError('x' * 10**6)"),
    "an error of letters that are none": replace(
        DECENT, segment=ONE + "raise ValueError('\\ud800')"
    ),
    "all memory": replace(DECENT, segment=ONE + "np.ones(1 << 40)"),
    "masks of another size": replace(
        DECENT, segment=ONE + "return Masks(np.ones((1, 3, 3), bool), [1.0], [0])"
    ),
    "scores that are no numbers": replace(
        DECENT, segment=ONE + "return Masks(masks, [float('nan')], [0])"
    ),
    "nothing": replace(DECENT, segment=ONE + "return None"),
    "names that are no text": replace(
        DECENT, segment=ONE + "return Masks(masks, [1.0], [0], names=(5,))"
    ),
    "a class named by escape sequences": replace(
        DECENT, segment=ONE + "return Masks(masks, [1.0], [0], names=('\\x1b[2J',))"
    ),
    "a class named by letters that are none": replace(
        DECENT, segment=ONE + "return Masks(masks, [1.0], [0], names=('\\ud800',))"
    ),
    "a picture that is none": replace(
        DECENT, read="return (None, None) if index == 0 else picture('abc'[index])"
    ),
    "a picture of another name": replace(DECENT, read="return picture('abc'[index] + '/x')"),
    "a reader that raises": replace(
        DECENT, read="return {}[index] if index == 0 else picture('abc'[index])"
    ),
    "counts that are no numbers": replace(DECENT, count=ONE + "return {'n': 'many'}"),
    "counts without names": replace(DECENT, count=ONE + "return {3: 1.0}"),
    "counts without end": replace(DECENT, count=ONE + "return {'n': float('inf')}"),
    "a file outside of the run": replace(
        DECENT, write=ONE + "return (directory.parent / 'victim.txt',)"
    ),
    "a file that is not there": replace(DECENT, write=ONE + "return (directory / 'gone',)"),
    "no path": replace(DECENT, write=ONE + "return (5,)"),
    "a path with a zero byte": replace(DECENT, write=ONE + "return (directory / 'a\\0b',)"),
    "the run's own record": replace(
        DECENT, write=ONE + "return (directory / 'results.jsonl', path)"
    ),
    "no quality": replace(DECENT, judge="return masks"),
    "a quality beyond 1": replace(
        DECENT,
        judge="return Masks(masks.masks, masks.scores, masks.prompt, quality=[7.0] * len(masks))",
    ),
}
"""What may cost the image 'a' (or all, where it says no image), and nothing else."""

OF_ALL = {
    "an import that fails": replace(DECENT, imported="import no_such_module"),
    "an import that ends Python": replace(DECENT, imported="sys.exit(3)"),
    "a file that is no Python": replace(DECENT, imported="def ("),
    "a hook that raises": replace(DECENT, hook="raise OSError(5, 'lost')"),
    "a hook that gives no classes": replace(DECENT, hook="return [5, None]"),
    "names that come twice": replace(DECENT, names="return ['a', 'a', 'b']"),
    "names that are no text of the data set": replace(DECENT, names="return ['a', 7]"),
    "names that lead away": replace(DECENT, names="return ['../a', '/b', 'c']"),
    "names that end Python": replace(DECENT, names="sys.exit(0)"),
    "class ids that are none": replace(DECENT, classes="return {'x': 5}"),
    "files that are no paths": replace(DECENT, files_of="return [3]"),
    "options that cannot be written": replace(DECENT, payload="object()"),
    "weights that fail": replace(DECENT, weight_files="raise KeyError('lost')"),
    "weights without end": replace(DECENT, weight_files="return {'w': '/dev/zero'}"),
    "a step that cannot be opened": replace(DECENT, opened="raise RuntimeError('no')"),
    "a step that cannot be closed": replace(DECENT, closed="raise RuntimeError('no')"),
    "scores without names": replace(DECENT, score="return {None: 1.0}"),
    "scores that fail": replace(DECENT, score="return 1 / 0"),
    "an end that fails": replace(DECENT, finish="raise OSError(5, 'lost')"),
    "an end with files outside": replace(
        DECENT, finish="return (directory.parent / 'victim.txt',)"
    ),
}
"""What may be told before or after the work."""
