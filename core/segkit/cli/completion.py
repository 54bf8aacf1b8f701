"""What the shell offers for a word that was begun: names of plugins, values of their options."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import click
from click.shell_completion import CompletionItem


class PluginName(click.ParamType[str]):
    """The name of a plugin, completed by the shell from metadata alone."""

    name = "NAME"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin so; after `a+`, the second one."""
        from segkit.cli.main import make_catalog

        done, plus, last = incomplete.rpartition("+")
        entries = make_catalog().entries(self.kind)
        return [
            CompletionItem(f"{done}{plus}{e.name}", help=e.summary)
            for e in entries
            if e.name.startswith(last)
        ]


class OptionValue(click.ParamType[str]):
    """The value of a plugin's option, a string until the plugin reads it.

    The shell completes it where there are few values, and where it is a file.
    """

    name = "VALUE"

    def __init__(self, annotation: Any, *, several: bool) -> None:
        """`annotation`: the option's type. `several`: lists, a,b,c, are meant too."""
        self._parts = list(_parts(annotation))
        self._several = several

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The values that begin so; in a list, those of its last place."""
        done, comma, last = incomplete.rpartition(",") if self._several else ("", "", incomplete)
        words = [str(value) for part in self._parts for value in _values(part)]
        items = [CompletionItem(f"{done}{comma}{w}") for w in words if w.startswith(last)]
        return items or [CompletionItem(incomplete, type="file")] * (Path in self._parts)


def _parts(annotation: Any) -> Iterator[Any]:
    """The types that a union, a tuple or an annotated type is made of."""
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is Literal or not inner:
        yield annotation
        return
    for part in inner[:1] if typing.get_origin(annotation) is typing.Annotated else inner:
        yield from _parts(part)


def _values(part: Any) -> tuple[Any, ...]:
    return typing.get_args(part) if typing.get_origin(part) is Literal else ()
