"""Printing: what a terminal would obey, such as the escape sequences in a file's name, is shown.

Tables and bars are `segkit.cli.console`'s.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

import click

from segkit.deprecations import SegkitWarning
from segkit.errors import visible


def echo(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Print plain text that may hold names of others."""
    click.echo(visible(str(text)), err=err, nl=nl)


def sentence(text: object) -> str:
    """An error as it is printed: in one line, but for lists, whose lines begin with two spaces.

    Of names without end the middle is left out.
    """
    short = re.sub(r"(\S{200})\S{200,}(\S{40})", r"\1…\2", str(text))
    return visible(re.sub(r"\n(?! {2})", r"\\n", short))


def warning_line(message: Any, category: type[Warning], *where: Any, **more: Any) -> str:
    """Warnings of segkit's own are sentences; others show where they come from."""
    if issubclass(category, SegkitWarning):
        return f"Warning: {sentence(message)}\n"
    return visible(_format(message, category, *where, **more))


_format = warnings.formatwarning
