"""What all pages share: their templates, how numbers are written, and what their policy allows."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.errors import SegkitError, visible
from segkit.reporting.charts import finite, signed
from segkit.values.files import write_file

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from markupsafe import Markup


def template(name: str) -> Template:
    """A page's template, with the filters that all pages use."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    """One for all: it keeps templates compiled, which takes longer than to fill in most of them."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("segkit.reporting", "templates"),
        autoescape=True,  # names and error sentences come from file names
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = count
    environment.filters["figure"] = figure
    environment.filters["interval"] = interval
    environment.filters["signed"] = signed
    environment.globals["finite"] = finite
    return environment


def _shown(value: object) -> object:
    """What a page shows of a text that may be anybody's: nothing that turns or ends lines."""
    return visible(value) if type(value) is str else value


def style_and_script(*names: str) -> dict[str, str | Markup]:
    """What a template needs of the files beside it: the text of each kind, and its hash.

    `report.css` and `describe.css` make `style` and `style_hash`, a `.js` `script` and
    `script_hash`. The hash is what the page's policy knows them by.
    """
    from markupsafe import Markup

    values: dict[str, str | Markup] = {}
    for kind, suffix in (("style", ".css"), ("script", ".js")):
        files = [Path(__file__).parent / "templates" / n for n in names if n.endswith(suffix)]
        if files:
            text = "".join(file.read_text(encoding="utf-8") for file in files)
            digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest())
            values |= {kind: Markup(text), f"{kind}_hash": f"sha256-{digest.decode('ascii')}"}
    return values


def json_in_page(value: Any) -> Markup:
    """JSON that cannot end the element which it stands in: it holds no <, > or &."""
    from markupsafe import Markup

    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What the disk refuses of a file of the report, as a `SegkitError` of one sentence."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else error.strerror or str(error)
        raise SegkitError(
            f"{path} could not be written ({reason}); {'make room' if full else 'mend that'}, and "
            f"write it by segkit report {path.parent}"
        ) from error


def write_page(path: Path, page: str) -> None:
    """Write a page, whole or not at all. Raises `OSError` where it cannot be written."""
    # File names may hold bytes that are no text; UTF-8 cannot write those.
    write_file(path, page.encode("utf-8", "replace").decode("utf-8"))


# ---- numbers ----------------------------------------------------------------------------------


def figure(value: float | None, unit: str = "") -> str:
    """A figure as people read it: shares with four digits, larger ones with two, NaN as –."""
    if value is None or not math.isfinite(value):
        return "–" if value is None or math.isnan(value) else f"{value}"
    text = f"{value:.4f}" if abs(value) <= 1 else f"{value:,.2f}"
    return f"{text} {unit}" if unit else text


def count(value: float | None) -> str:
    """A whole number with its thousands apart; – where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:,.0f}"


def interval(low: float | None, high: float | None) -> str:
    """An interval in words; empty if there is none."""
    if finite(low) is None or finite(high) is None:
        return ""
    return f"{figure(low)} to {figure(high)}"
