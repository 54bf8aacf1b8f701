"""Recipes that come with segkit, known by name, and files of one's own.

A bundled recipe is a file NAME.toml whose first comment says what it is for. Nothing is imported
for it: the folder is found as the plugins' package is.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from segkit import kinds
from segkit.errors import UsageError, did_you_mean
from segkit.kinds import RECIPES

if TYPE_CHECKING:
    from segkit.running.recipe import Recipe

_NAME = re.compile(r"[\w-]+")
"""What may be a bundled recipe's name; anything with a dot or a slash is a file's."""


@lru_cache(maxsize=1)
def bundled_recipes() -> dict[str, Path]:
    """Name to file of each recipe that comes with segkit, sorted by name."""
    package, _, folder = RECIPES.partition(".")
    spec = find_spec(package)
    places = [*spec.submodule_search_locations] if spec and spec.submodule_search_locations else []
    files = (path for place in places for path in Path(place, folder).glob("*.toml"))
    return {path.stem: path for path in sorted(files)}


def recipe_file(given: str | Path) -> Path:
    """The file that `--recipe NAME|FILE` means; a bundled recipe's name wins over a file's.

    Raises `UsageError` for a word that is neither; any other path is looked up when it is read.
    """
    path, known = Path(given), bundled_recipes()
    if str(given) in known:
        return known[str(given)]
    if not path.is_file() and (_NAME.fullmatch(str(given)) or path.stem in known):
        hint = did_you_mean(path.stem, [*known], f"bundled: {', '.join(known)}; or give FILE.toml")
        raise UsageError(f"--recipe {given} is neither a bundled recipe nor a file; {hint}")
    return path


def starting_recipe(chosen: Collection[str]) -> Recipe:
    """What a run starts from where no recipe is named, and steps of these kinds are.

    `kinds.DEFAULT_RECIPE` where none of them makes anything of the images, else nothing.
    """
    from segkit.running.recipe import Recipe

    if kinds.DEFAULT_RECIPE is None or {*kinds.SWEPT} & {*chosen}:
        return Recipe()
    return Recipe.load(bundled_recipes()[kinds.DEFAULT_RECIPE])


def recipe_summary(path: Path) -> str:
    """What a recipe file's first comment says, its first paragraph in one line."""
    words: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#") or not line.strip("# "):
            break
        words.append(line.strip("# "))
    return " ".join(words)
