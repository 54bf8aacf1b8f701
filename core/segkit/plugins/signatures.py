"""What the methods of a step say: their inputs, their output; and options that do not fit."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from segkit.errors import PluginError, did_you_mean

if TYPE_CHECKING:
    from segkit.plugins.steps import Step


class Inputs(typing.NamedTuple):
    """The names that a step's work method asks for."""

    required: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Required and optional names."""
        return self.required + self.optional


def inputs_of(cls: type[Step], method: str, takes: Sequence[str]) -> Inputs:
    """What a method asks for, read from its signature.

    Raises `PluginError` if there is no such method or it names what is not in `takes`.
    """
    function = getattr(cls, method, None)
    if function is None or (method == "__call__" and "__call__" not in _defined(cls)):
        raise PluginError(f"{cls.__name__} should define {method}(...), but does not")
    required: list[str] = []
    optional: list[str] = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise PluginError(
                f"{cls.__name__}.{method} should name its inputs one by one, but has '{parameter}'"
            )
        if parameter.name not in takes:
            raise PluginError(
                f"{cls.__name__}.{method} asks for '{parameter.name}', but {method} of a "
                f"{cls.kind} can only ask for {', '.join(takes)}"
            )
        wanted = required if parameter.default is parameter.empty else optional
        wanted.append(parameter.name)
    return Inputs(tuple(required), tuple(optional))


def output_of(cls: type[Step], method: str, gives: Sequence[Any]) -> Any:
    """A method's return annotation. Raises `PluginError` if it is none of `gives`; empty: any."""
    try:
        output = typing.get_type_hints(getattr(cls, method)).get("return")
    except NameError as error:
        raise PluginError(
            f"{cls.__name__}.{method} has an annotation that cannot be resolved: {error}"
        ) from None
    if gives and output not in gives:
        wanted = " or ".join(_type_name(annotation) for annotation in gives)
        said = "nothing" if output is None else _type_name(output)
        raise PluginError(
            f"{cls.__name__}.{method} should be annotated to return {wanted}, but says {said}"
        )
    return output


def option_error(cls: type[Step], error: ValidationError) -> str:
    """The first thing that pydantic found wrong with a step's options, as a sentence."""
    first = error.errors()[0]
    option = str(first["loc"][0]).replace("_", "-") if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        known = [name.replace("_", "-") for name in cls.model_fields]
        hint = did_you_mean(option, known, f"it has {', '.join(known) or 'none'}")
        return f"{cls.name} has no option '{option}'; {hint}"
    if first["type"] == "missing":
        return f"{cls.kind} '{cls.name}' needs --{cls.name}.{option}; add it"
    text = str(first["msg"]).removeprefix("Value error, ")
    given = first.get("input")
    shown = f", not {given!r}" if isinstance(given, (str, int, float)) else ""
    return f"Invalid value for --{cls.name}{'.' if option else ''}{option}: {text}{shown}"


def _defined(cls: type) -> set[str]:
    """The names that the classes below pydantic's own define."""
    return {name for c in cls.__mro__ if c not in BaseModel.__mro__ for name in vars(c)}


def _type_name(annotation: Any) -> str:
    plain = isinstance(annotation, type) and not typing.get_args(annotation)
    return annotation.__name__ if plain else str(annotation)
