"""What a page shows for each option of a step: a slider, a choice, a tick or a line of text.

Made of the step's pydantic fields alone, and so for anybody's plugin. Nothing here knows of a page.
"""

from __future__ import annotations

import enum
import json
import math
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import annotated_types as at

from segkit import Step, UsageError

Sort: typing.TypeAlias = Literal["slider", "number", "choice", "tick", "text"]

STEPS = 100
"""A slider of numbers that are not whole has about this many places."""

FINEST = 1e-4
"""The least distance of two of its places."""


@dataclass(frozen=True)
class Widget:
    """How one option is shown."""

    name: str
    """The field's name."""
    label: str
    """The option as its flag is spelt, without the plugin's name."""
    help: str
    sort: Sort
    default: str
    """What stands there at first, as `written` gives it; empty where the option is required."""
    low: float | None = None
    """The least value of a slider or number; None: any."""
    high: float | None = None
    """The greatest; of a slider that is `open`, what it shows at first."""
    step: float | None = None
    """The distance of two values; 1 for whole numbers."""
    open: bool = False
    """Whether values above `high` are fine: the slider grows."""
    choices: tuple[str, ...] = ()
    optional: bool = False
    """Whether nothing (None) is a value, which stands there as an empty text."""
    several: bool = False
    """Whether it is a list, with commas between."""
    required: bool = False
    path: bool = False
    """Whether it names a file or folder."""


def widgets_of(step: type[Step]) -> tuple[Widget, ...]:
    """One for each option of a step, in the order in which they are declared."""
    return tuple(_widget(step, name) for name in step.model_fields)


def _widget(step: type[Step], name: str) -> Widget:
    info = step.model_fields[name]
    kind, limits, optional = _unwrapped(info.annotation, list(info.metadata))
    required = info.is_required()
    default = None if required else info.get_default(call_default_factory=True)
    common: dict[str, Any] = {
        "name": name,
        "label": name.replace("_", "-"),
        "help": " ".join((info.description or "").split()),
        "default": "" if required else written(default),
        "optional": optional,
        "required": required,
    }
    choices = _choices(kind)
    if choices is not None:
        none = ("",) if optional else ()
        return Widget(sort="choice", choices=(*none, *choices), **common)
    if kind is bool and not optional:
        return Widget(sort="tick", **common)
    if kind in (int, float):
        scale = _scale(kind, limits, default)
        sliding = not optional and not required and scale["low"] is not None
        return Widget(sort="slider" if sliding else "number", **scale, **common)
    several = typing.get_origin(kind) is tuple
    inner = typing.get_args(kind)[0] if several else kind
    return Widget(sort="text", several=several, path=inner is Path, **common)


def _unwrapped(annotation: Any, limits: list[Any]) -> tuple[Any, list[Any], bool]:
    """The plain type within `Annotated` and `| None`, what limits it, and whether None is fine."""
    optional = False
    while True:
        origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Annotated:
            annotation, limits = inner[0], [*limits, *inner[1:]]
        elif origin in (typing.Union, types.UnionType) and types.NoneType in inner:
            left = tuple(part for part in inner if part is not types.NoneType)
            optional = True
            annotation = left[0] if len(left) == 1 else typing.Union[left]  # noqa: UP007
        else:
            return annotation, limits, optional


def _choices(kind: Any) -> tuple[str, ...] | None:
    """The values of a type that has few; None for others."""
    if typing.get_origin(kind) is Literal:
        return tuple(str(value) for value in typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return tuple(str(member.value) for member in kind)
    return None


def _scale(kind: type, limits: list[Any], default: Any) -> dict[str, Any]:
    """Ends and step of a number; where only the upper end is missing, one that leaves room."""
    plain: list[Any] = [part for limit in limits for part in _parts(limit)]

    def ends(limit: type, name: str) -> list[float]:
        return [float(getattr(part, name)) for part in plain if isinstance(part, limit)]

    low, above = max(ends(at.Ge, "ge"), default=None), max(ends(at.Gt, "gt"), default=None)
    high, below = min(ends(at.Le, "le"), default=None), min(ends(at.Lt, "lt"), default=None)
    by = next(iter(ends(at.MultipleOf, "multiple_of")), None)
    first = max((end for end in (low, above) if end is not None), default=None)
    last = min((end for end in (high, below) if end is not None), default=None)
    value = float(default) if isinstance(default, (int, float)) else None
    grows = first is not None and last is None
    if grows and first is not None:
        roomy = (10.0 if value else 50.0) if kind is int else 1.0
        last = first + max(roomy, 4 * ((value or 0.0) - first))
    step = by or (1.0 if kind is int else _nice(first, last, value))
    if above is not None and above == first:  # the end itself is no value
        first += step
    if below is not None and below == last:
        last -= step
    return {"low": first, "high": last, "step": step, "open": grows}


def _parts(limit: Any) -> list[Any]:
    """What a limit is made of: an interval, or a pydantic `Field`, holds several."""
    if isinstance(limit, at.GroupedMetadata):
        return [part for inner in limit for part in _parts(inner)]
    return [part for inner in getattr(limit, "metadata", ()) for part in _parts(inner)] or [limit]


def _nice(low: float | None, high: float | None, value: float | None) -> float:
    """A power of ten that has about `STEPS` places between the ends, and one on the value."""
    width = high - low if low is not None and high is not None else 1.0
    step = 10.0 ** math.floor(math.log10(max(width, FINEST) / STEPS) + 0.5)
    while value is not None and step > FINEST and abs(value / step - round(value / step)) > 1e-6:
        step /= 10
    return float(f"{step:.0e}")


# ---- values as texts, and back ------------------------------------------------------------------


def written(value: Any) -> str:
    """An option's value as it stands in the page."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else ""
    if isinstance(value, enum.Enum):
        return written(value.value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (tuple, list)) and not any(isinstance(v, (tuple, list)) for v in value):
        return ", ".join(written(item).replace(",", "\\,") for item in value)
    if isinstance(value, (tuple, list, dict)):
        return json.dumps(value, default=str)
    return str(value)


def value_of(step: type[Step], widget: Widget, text: str) -> Any:
    """What the step's field is given for a text of the page; pydantic converts and checks it.

    Raises `UsageError` for an option that is needed and empty.
    """
    text = text.strip()
    if widget.sort == "tick":
        return text == "on"
    if not text and widget.required:
        raise UsageError(f"{step.kind} '{step.name}' needs a value for {widget.label}; fill it in")
    if not text and widget.optional:
        return None
    if not text and widget.sort in ("slider", "number"):
        raise UsageError(f"{widget.label} of {step.name} is empty; enter a number")
    if text.startswith(("[", "{")) and widget.sort == "text":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return listed(text) if widget.several else text


def listed(text: str) -> tuple[str, ...]:
    r"""The parts of a list: `a, b`; `\,` is a comma that does not part them."""
    masked = text.replace("\\,", "\0")
    return tuple(p.strip().replace("\0", ",") for p in masked.split(",") if p.strip())


def options_of(step: type[Step], texts: typing.Mapping[str, str]) -> dict[str, Any]:
    """The options that differ from the step's defaults, of what stands in the page.

    Raises `UsageError` for an option that the step has not, and as `value_of` does.
    """
    widgets = {widget.name: widget for widget in widgets_of(step)}
    unknown = [name for name in texts if name not in widgets]
    if unknown:
        raise UsageError(f"{step.name} has no option '{unknown[0]}'; load the page again")
    return {
        name: value_of(step, widget, texts[name])
        for name, widget in widgets.items()
        if name in texts and (widget.required or texts[name].strip() != widget.default)
    }
