"""Calling a step as a run calls it, and saying in one sentence what is wrong with its answer."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segkit.errors import SegkitError, error_line, plugin_code
from segkit.plugins.contract import check_output
from segkit.plugins.places import place_of_error, root_of
from segkit.plugins.steps import Step
from segkit.values.types import Masks


class Broken(AssertionError):  # noqa: N818 - pytest shows it as a sentence, not as a class
    """A plugin does not keep its contract; the text is a sentence that says how."""


def named(step: Step | type[Step]) -> str:
    """How sentences begin: `prompt 'topk'`."""
    return f"{step.kind} '{step.name}'"


def inputs_for(step: Step, values: Mapping[str, Any], seed: int = 0) -> dict[str, Any]:
    """The inputs that the step's work asks for, out of a picture's values."""
    names = type(step).inputs()
    found = dict(values)
    found["classes"] = dict(values["classes"])  # its own: a run hands out a copy as well
    if "masks" in step.takes and Masks in step.gives:  # it stands before or at the selection
        found["masks"] = values["candidates"]
    if step.kind == "judge":  # nobody has judged before
        found["masks"] = dataclasses.replace(found["masks"], quality=None)
    if "rng" in names.all:
        found["rng"] = np.random.default_rng(seed)
    if "encoding" in names.all and "encoding" not in found and hasattr(step, "encode"):
        found["encoding"] = encoded(step, values)
    given = {n: found[n] for n in names.all if n in found}
    missing = [n for n in names.required if n not in given]
    if missing:
        raise Broken(
            f"{named(step)} asks for '{missing[0]}', and nothing makes one; give it a default or "
            "define what makes it"
        )
    return given


def encoded(step: Any, values: Mapping[str, Any]) -> Any:
    """What the step's `encode` makes of a picture."""
    names = type(step).inputs_of("encode").all
    return guarded(step, "encode", {n: values[n] for n in names if n in values})


def encoded_together(step: Any, several: Sequence[Mapping[str, Any]]) -> list[Any]:
    """What the step's `encode_batch` makes of some pictures."""
    names = type(step).inputs_of("encode").all
    inputs = [{n: values[n] for n in names if n in values} for values in several]
    made = guarded(step, "encode_batch", {"inputs": inputs}, "for a batch of pictures")
    return list(made)


def answer(step: Step, values: Mapping[str, Any], seed: int = 0, **changed: Any) -> Any:
    """What the step makes of a picture, checked as a run checks it."""
    given = inputs_for(step, {**values, **changed}, seed)
    return checked(step, guarded(step, step.work, given), {**values, **given})


def checked(step: Step, made: Any, given: Mapping[str, Any]) -> Any:
    """What a step made; what a run would refuse is refused here."""
    try:
        return check_output(step, made, given)
    except SegkitError as error:
        raise Broken(f"{error} ({picture(given)})") from None


def picture(given: Mapping[str, Any]) -> str:
    """Which picture a sentence is about."""
    image = given.get("image")
    return "on made-up values" if image is None else f"on the picture '{image.name}'"


def guarded(step: Step, method: str, given: Mapping[str, Any], where: str = "") -> Any:
    """What a method of the step returns; what it raises becomes a sentence.

    A `SegkitError` passes through: it is a sentence already, and tests may allow it.
    """
    try:
        with plugin_code():
            return getattr(step, method)(**given)
    except SegkitError:
        raise
    except Exception as error:
        raise Broken(raised(step, method, error, where or picture(given))) from error


def raised(step: Step, method: str, error: Exception, where: str) -> str:
    """The sentence for an exception, with the line of the plugin that it comes from."""
    kind, _, text = error_line(error).partition(": ")
    if isinstance(error, ValueError) and "read-only" in text:
        return (
            f"{named(step)} writes into a value that it was given {where}"
            f"{line_of(type(step), error)}; make a copy and change that"
        )
    what = "" if method == "__call__" else f" in {method}"
    line = line_of(type(step), error)
    return f"{named(step)} raises {kind}{what} {where}: {text}{line}"


def line_of(step: type[Step], error: BaseException) -> str:
    """' (FILE, line N)': the last line of the plugin's own package that led to an error, if any."""
    return place_of_error(root_of(step.__module__), error)


# ---- comparing two values ----------------------------------------------------------------------


def difference(one: Any, other: Any, near: float = 0.0, pixels: float = 0.0) -> str | None:
    """Where two values differ first, as words, or None.

    `near`: how far apart numbers may be; `pixels`: the share of pixels of masks and class maps that
    may differ. Both are for networks, whose last bits depend on how many images go in at once.
    """
    if dataclasses.is_dataclass(one) and type(one) is type(other):
        for field in dataclasses.fields(one):
            found = difference(getattr(one, field.name), getattr(other, field.name), near, pixels)
            if found:
                return f".{field.name}{found}"
        return None
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        if [*one] != [*other]:
            return f" has the keys {[*one]} and {[*other]}"
        found_in = ((k, difference(one[k], other[k], near, pixels)) for k in one)
        return next((f"[{k!r}]{found}" for k, found in found_in if found), None)
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        if len(one) != len(other):
            return f" has {len(one)} and {len(other)} entries"
        pairs = enumerate(zip(one, other, strict=True))
        found_at = ((i, difference(a, b, near, pixels)) for i, (a, b) in pairs)
        return next((f"[{i}]{found}" for i, found in found_at if found), None)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return _array_difference(one, other, near, pixels)
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        same = one == other or abs(one - other) <= near
        return None if same else f" is {one:.6g} and {other:.6g}"
    return None if _same(one, other) else f" is {_short(one)} and {_short(other)}"


def _array_difference(one: Any, other: Any, near: float, pixels: float) -> str | None:
    if one.shape != other.shape:
        return f" has the shapes {one.shape} and {other.shape}"
    if not one.size:
        return None
    if one.dtype.kind in "bi" and one.ndim >= 2:
        wrong = one != other
        apart = wrong.mean() > pixels
    else:
        wrong = np.abs(one.astype(np.float64) - other.astype(np.float64)) > near
        apart = wrong.any()
    if not apart:
        return None
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    index = ", ".join(map(str, place))
    return f"[{index}] is {one[place]:.6g} and {other[place]:.6g}"


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # of a type that cannot be compared, such as a tensor
        return digest(one) == digest(other)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def digest(value: Any) -> str:
    """A fingerprint of a value's content, of whatever type: arrays, tensors, values, plain data."""
    found = hashlib.sha256()
    _feed(found, value, set())
    return found.hexdigest()


def _feed(found: Any, value: Any, seen: set[int]) -> None:
    if isinstance(value, np.ndarray):
        found.update(f"{value.dtype}{value.shape}".encode())
        found.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, (str, bytes, int, float, bool, type(None), np.generic, Path)):
        found.update(f"{type(value).__name__}:{value!r}".encode())
    elif id(value) in seen:
        return
    elif hasattr(value, "detach") and hasattr(value, "cpu"):  # a tensor, without importing torch
        seen.add(id(value))
        tensor = value.detach().cpu()
        _feed(found, tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy(), seen)
    elif isinstance(value, Mapping):
        seen.add(id(value))
        for key, one in value.items():
            _feed(found, key, seen)
            _feed(found, one, seen)
    elif isinstance(value, (Sequence, set, frozenset)):
        seen.add(id(value))
        found.update(type(value).__name__.encode())
        for one in value:
            _feed(found, one, seen)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        seen.add(id(value))
        found.update(type(value).__name__.encode())
        for field in dataclasses.fields(
            value
        ):  # not what a value works out when it is asked, and keeps
            _feed(found, getattr(value, field.name), seen)
    elif hasattr(value, "__dict__"):
        seen.add(id(value))
        found.update(type(value).__name__.encode())
        _feed(found, vars(value), seen)
