"""Reading files that somebody else may have named: ordinary ones alone, and bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segkit.values.files import sha256 as sha256
from segkit.values.reading import check_file as check_file
from segkit.values.reading import parsed_json as parsed_json
from segkit.values.reading import parsed_toml as parsed_toml
from segkit.values.reading import read_bytes as read_bytes
from segkit.values.reading import read_text as read_text

if TYPE_CHECKING:
    from pydantic import ValidationError


def first_problem(error: ValidationError) -> str:
    """Where a file's content is first wrong, and how: `annotations.3.id: Field required`."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])
