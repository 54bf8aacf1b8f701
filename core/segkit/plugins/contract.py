"""What a step's answers have to be, and what is wrong with them, as one sentence with its name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from numbers import Integral, Real
from typing import Any

from segkit.errors import (
    BadImageError,
    BadValueError,
    MissingExtraError,
    PluginError,
    SegkitError,
    error_line,
    plugin_code,
)
from segkit.kinds import BUNDLED
from segkit.plugins.places import place_of_code, place_of_error, root_of
from segkit.plugins.steps import Dataset, Metric, Step
from segkit.values.checking import short_repr
from segkit.values.classes import checked_classes
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

LONGEST = 300
"""So much of a file's name stands in a sentence."""


def named(step: Step | type[Step]) -> str:
    """Which step it is, as sentences begin: kind, name, distribution and version."""
    source = _source(step)
    return f"{step.kind} '{step.name}'" + (f" from {source}" if source else "")


def _source(step: Step | type[Step]) -> str:
    """Where its class came from: its own, not that of a class it is derived from."""
    cls = step if isinstance(step, type) else type(step)
    return str(vars(cls).get("came_from", ""))


def why_failed(
    step: Step | type[Step], error: Exception, doing: str = "raised", at: str = ""
) -> str:
    """What a step raised, as a sentence that names the step.

    Sentences stay as they are, but those of other people's plugins get the step's name before
    them, unless they are about a picture, and behind them where the fault is. `doing`: what went
    wrong, in front of the reason. `at`: the method or property that it is about; empty: the work
    method.
    """
    source = _source(step)
    others = bool(source) and source.partition(" ")[0] != BUNDLED
    if isinstance(error, SegkitError):
        if not others or isinstance(error, BadImageError):
            return str(error)
        text = str(error) if source in str(error) else f"{named(step)}: {error}"
        fault = isinstance(error, (BadValueError, PluginError))
        return text + (_place(step, error, at) if fault else "")
    text = f"{doing} {error_line(error)}"
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"cannot use '{str(error.filename)[:LONGEST]}': {error.strerror}"
    return f"{named(step)} {text}" + (_place(step, error, at) if others else "")


def _place(step: Step | type[Step], error: Exception, at: str) -> str:
    """Where in the step's package it went wrong: at least in which method, if it says nowhere.

    Nothing for a sentence that has its place, or is about this installation.
    """
    if isinstance(error, MissingExtraError) or _PLACED.search(str(error)):
        return ""
    cls = step if isinstance(step, type) else type(step)
    root = root_of(cls.__module__)
    return place_of_error(root, error) or place_of_code(root, _function(cls, at or cls.work))


def _function(cls: type[Step], name: str) -> Any:
    """The function behind a method or a property."""
    from inspect import getattr_static

    there = getattr_static(cls, name, None)
    for behind in ("fget", "func", "__func__"):  # of a property, a cached one, a class method
        there = getattr(there, behind, there)
    return there


_PLACED = re.compile(r", line \d+\)$")


@contextmanager
def blamed(
    step: Step | type[Step],
    doing: str = "raised",
    *,
    at: str = "",
    let: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """What a step raises outside its work on an image becomes one `PluginError` that names it.

    Sentences that need no name before them, and the errors in `let`, are let through.
    """
    try:
        with plugin_code():
            yield
    except let:
        raise
    except Exception as error:
        text = why_failed(step, error, doing, at)
        if text == str(error):
            raise
        raise PluginError(text) from error


MADE = "could not be made:"
"""What a step's options may come to."""


def made_again(step: Step) -> Step:
    """A step of the same options, not opened, that holds its weight files to the same hashes."""
    with blamed(step, MADE):
        again = type(step)(**step.model_dump())
        again._pins = step._pins
        return again


# ---- what a work method makes -------------------------------------------------------------------


def check_output(
    step: Step, output: Any, given: Mapping[str, Any], wanted: type[Any] | None = None
) -> Any:
    """Return what a step made, or say what it should have made.

    `wanted`: the type, where it is not that of the work method.

    Checks the type against the step's annotation, array shapes against the image, points and
    boxes against the image's border, mask indices against the prompts, and what the kind's
    interface has to say.
    """
    image: Image | None = given.get("image")
    who = named(step)
    if step.kind == "saliency":
        output = (output,) if isinstance(output, Heatmap) else output
        if (
            not isinstance(output, tuple)
            or not output
            or not all(isinstance(h, Heatmap) for h in output)
        ):
            raise BadValueError(
                f"{who} should make one Heatmap or a tuple of them, but made {described(output)}"
            )
    elif step.kind == "writer":
        output = () if output is None else output
        if isinstance(output, (str, bytes)) or not isinstance(output, Iterable):
            raise BadValueError(
                f"{who} should return the paths of its files, but made {described(output)}"
            )
        output = tuple(output)
    elif step.kind == "metric":
        output = numbers(step, "counts", output)
    else:
        wanted = wanted or type(step).output()
        if not isinstance(output, wanted):
            raise BadValueError(
                f"{who} should make {wanted.__name__}, but made {described(output)}"
            )
    if image is not None:
        for value in output if isinstance(output, tuple) else (output,):
            _check_frame(who, value, image.size)
    prompts = given.get("prompts")
    answered = output.prompt.max() if isinstance(output, Masks) and len(output) else -1
    if prompts is not None and answered >= len(prompts):
        raise BadValueError(
            f"{who} answers prompt {answered}, but was asked {len(prompts)} prompts"
        )
    fault = step._fault(output, given)
    if fault is not None:
        raise BadValueError(f"{who} {fault}")
    return output


def described(value: Any) -> str:
    """What something is, in a sentence about what it should be."""
    if isinstance(value, tuple):
        return f"a tuple of {', '.join(sorted({type(m).__name__ for m in value})) or 'nothing'}"
    return "None" if value is None else f"a {type(value).__name__}"


def _check_frame(who: str, value: Any, size: tuple[int, int]) -> None:
    """Refuse arrays of another size than the image and coordinates outside of it."""
    if isinstance(value, (Heatmap, Labels, Masks)):
        shape = value.ids.shape if isinstance(value, Labels) else value.size
        if shape != size:
            raise BadValueError(
                f"{who} should make {type(value).__name__} of the image's size {size}, "
                f"but made {shape}"
            )
    if isinstance(value, Prompts):
        height, width = size
        for prompt in value:
            for x, y in [*prompt.points, *([] if prompt.box is None else prompt.box.reshape(2, 2))]:
                if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
                    raise BadValueError(
                        f"{who} should stay inside the {width}x{height} image, "
                        f"but points at x={x:g}, y={y:g}"
                    )


# ---- what a data set says ----------------------------------------------------------------------


def names_of(dataset: Dataset) -> list[str]:
    """The names of its images, in order.

    Raises `PluginError` where they cannot be listed, one is no text, or one is there twice: files
    are named after them.
    """
    with blamed(dataset, at="names"):
        names = dataset.names
        if isinstance(names, str):
            raise PluginError(f"{named(dataset)} should make a list of names, but made a text")
        names = list(names)
        wrong = [name for name in names if not isinstance(name, str) or not name]
        if wrong:
            raise PluginError(
                f"{named(dataset)} should name images by texts, but has {short_repr(wrong[0])}"
            )
        if len({*names}) < len(names):
            twice = next(name for name, times in Counter(names).items() if times > 1)
            raise PluginError(
                f"{named(dataset)} should give each image a name of its own (see "
                f"segkit.unique_names), but has '{twice}' twice"
            )
        return names


def classes_of(dataset: Dataset) -> dict[int, str]:
    """Class id to name; empty where it knows no classes."""
    with blamed(dataset, at="classes"):
        return checked_classes(f"the classes of {named(dataset)}", dataset.classes)


def groups_of(dataset: Dataset) -> dict[str, dict[str, str]]:
    """Heading to {image name: group}."""
    with blamed(dataset, at="groups"):
        return {
            str(heading): {str(name): str(group) for name, group in dict(of).items()}
            for heading, of in dict(dataset.groups).items()
        }


def has_truth(dataset: Dataset) -> bool:
    """Whether its images come with truth."""
    with blamed(dataset, at="has_truth"):
        return bool(dataset.has_truth)


def item_of(dataset: Dataset, index: int) -> tuple[Image, Truth | None]:
    """The image at `index` and its truth.

    Raises `BadImageError` where the data set says that they cannot be used, `PluginError` for
    anything else that it raises, and where it makes something else.
    """
    with blamed(dataset):
        image, truth = dataset[index]
        wrong = truth if isinstance(image, Image) else image
        if wrong is not truth or not isinstance(truth, Truth | None):
            raise PluginError(
                f"{named(dataset)} should make an Image and a Truth or None, but made "
                f"{described(wrong)}"
            )
        return image, truth


# ---- what a metric says ------------------------------------------------------------------------


def scores_of(metric: Metric, counts: Mapping[str, float], *, finite: bool = True) -> Scores:
    """A metric's figures for added counts, checked as `numbers` does."""
    with blamed(metric):
        scores = numbers(metric, "scores", metric.score(dict(counts)), finite=finite)
        return {name: float(value) for name, value in scores.items()}


def details_of(
    metric: Metric, counts: Mapping[str, float], classes: Mapping[int, str]
) -> dict[str, Any]:
    """A metric's details as JSON gives them back: keys are texts, tuples are lists.

    Raises `PluginError` for what JSON cannot hold.
    """
    with blamed(metric):
        returned = metric.details(dict(counts), dict(classes))
        who = f"{named(metric)} should make details that JSON can hold, but"
        if not isinstance(returned, Mapping):
            raise PluginError(f"{who} made {described(returned)} in place of a dict")
        details = {}
        for key, value in returned.items():
            try:
                details[_key(key)] = _json(value)
            except _UnfitError as error:
                raise PluginError(f"{who} its {key!r} holds {error}") from None
        return details


def numbers(step: Step, role: str, returned: Any, *, finite: bool = True) -> Counts:
    """A metric's counts or scores (`role`) as JSON holds them: text to int or float.

    Numbers are also those of numpy, and arrays and tensors without axes. Raises `PluginError` for
    anything else, and for NaN and infinity unless `finite` is False.
    """
    who = named(step)
    if not isinstance(returned, Mapping):
        raise PluginError(f"{who} should make a dict of {role}, but made {described(returned)}")
    for key in returned:
        if not isinstance(key, str):
            raise PluginError(f"{who} should give {role} names, but one is called {key!r}")
    plain = {str(key): _number(value) for key, value in returned.items()}
    for key, number in plain.items():
        if number is None or (finite and not _finite(number)):
            shown = described(returned[key]) if number is None else _beyond(number)
            raise PluginError(
                f"{who} should make {role} that are finite numbers, but its '{key}' is {shown}"
            )
    return plain  # type: ignore[return-value]  # none is None by now


class _UnfitError(Exception):
    """What JSON cannot hold."""


def _json(value: Any) -> Any:
    """A value as JSON gives it back. Raises `_UnfitError`."""
    plain = _item(value)
    if plain is None or isinstance(plain, (str, bool)):
        return plain
    if isinstance(value, Mapping):
        return {_key(key): _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    number = _number(value)
    if number is None:
        raise _UnfitError(described(value))
    if not _finite(number):
        raise _UnfitError(_beyond(number))
    return number


def _key(key: Any) -> str:
    """A key as JSON writes it."""
    name = key if isinstance(key, str) else _number(key)
    if name is None:
        raise _UnfitError(f"the key {key!r}")
    return str(name)


def _item(value: Any) -> Any:
    """What a number of numpy's, or an array or tensor without axes, is in Python."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _number(value: Any) -> int | float | None:
    """A number as Python has it; None if it is none."""
    value = _item(value)
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else None


def _finite(number: float) -> bool:
    """Whether it is a number that a float can hold."""
    try:
        return isfinite(number)
    except OverflowError:
        return False


def _beyond(number: float) -> str:
    """What a number is that is not finite."""
    return "too large a number" if isinstance(number, int) else str(number)
