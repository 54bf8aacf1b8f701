"""The lowest versions that pyproject.toml promises, as pins for pip."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements(extras: Sequence[str]) -> Iterator[Requirement]:
    """What the project and these extras need, extras of its own among them."""
    for line in PROJECT["dependencies"]:
        yield Requirement(line)
    for extra in extras:
        for line in PROJECT["optional-dependencies"][extra]:
            needed = Requirement(line)
            if needed.name == PROJECT["name"]:
                yield from requirements(sorted(needed.extras))
            else:
                yield needed


def lowest(needed: Iterable[Requirement]) -> list[str]:
    """`name==version` of each that holds for this Python, at the version of its `>=`."""
    pins = set()
    for requirement in needed:
        if requirement.marker and not requirement.marker.evaluate():
            continue
        (bound,) = (s.version for s in requirement.specifier if s.operator == ">=")
        pins.add(f"{requirement.name}=={bound}")
    return sorted(pins, key=lambda pin: re.split("==", pin.lower()))
