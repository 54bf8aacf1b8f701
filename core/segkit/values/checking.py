"""What the values check of their parts; what does not fit raises `BadValueError`."""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segkit.errors import BadValueError


def checked_array(
    owner: str, name: str, value: ArrayLike, dtype: Any, shape: tuple[int | str, ...]
) -> NDArray[Any]:
    """Return `value` as a read-only array of `dtype`, or say which shape was wanted.

    A string in `shape` is an axis of any length; only lossless or float conversions are made.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise BadValueError(f"{owner}.{name} should be an array, but {error}") from None
    wanted = "(" + ", ".join(str(n) for n in shape) + ")"
    fits = array.ndim == len(shape) and all(
        isinstance(want, str) or want == got for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise BadValueError(f"{owner}.{name} should have shape {wanted}, but has {array.shape}")
    target = np.dtype(dtype)
    if array.dtype != target:
        if target.kind == "b" or array.dtype.kind not in "biuf":
            raise BadValueError(f"{owner}.{name} should be {target}, but is {array.dtype}")
        if target.kind in "iu":
            converted = array.astype(target)
            if not np.array_equal(converted, array):
                raise BadValueError(
                    f"{owner}.{name} should hold {target} values, but its {array.dtype} values "
                    "do not fit"
                )
            array = converted
        else:
            array = array.astype(target)
    elif array.flags.writeable:
        array = array.copy()
    array.flags.writeable = False
    return array


def check_finite(owner: str, name: str, array: NDArray[Any]) -> None:
    """Refuse NaN and infinity."""
    if not np.isfinite(array).all():
        raise BadValueError(f"{owner}.{name} should be finite, but holds NaN or infinity")


def check_name(owner: str, name: Any) -> None:
    """Refuse a class that is no text."""
    if name is not None and not isinstance(name, str):
        raise BadValueError(f"{owner}.name should be a string or None, but is {short_repr(name)}")


def checked_score(owner: str, score: Any) -> float:
    """Return `score` as a float; NaN and infinity are refused."""
    try:
        number = float(score)
    except (TypeError, ValueError, OverflowError):
        raise BadValueError(
            f"{owner}.score should be a number, but is {short_repr(score)}"
        ) from None
    if not np.isfinite(number):
        raise BadValueError(f"{owner}.score should be finite, but is {number}")
    return number


def checked_items(owner: str, items: Any) -> tuple[Any, ...]:
    """Return `items` as a tuple, or say that it is no sequence."""
    try:
        return tuple(items)
    except TypeError:
        raise BadValueError(f"{owner} should be a sequence, but is {short_repr(items)}") from None


def short_repr(value: Any) -> str:
    """A value as a sentence shows it: in one line, cut where it is long, a class by its name."""
    if not isinstance(value, (str, bytes, int, float, list, tuple, dict, type(None))):
        return f"a {type(value).__name__}"
    return reprlib.repr(value)


def checked_names(owner: str, names: Any, count: int) -> tuple[str | None, ...]:
    """Return `names` as a tuple of `count` strings or None; empty means None for each."""
    names = checked_items(f"{owner}.names", names) or (None,) * count
    if len(names) != count or any(n is not None and not isinstance(n, str) for n in names):
        raise BadValueError(
            f"{owner}.names should be {count} strings or None, one for each mask, but is "
            f"{short_repr(names)}"
        )
    return names
