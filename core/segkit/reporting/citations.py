"""The works to cite for a run: segkit, and the methods that took part, as BibTeX.

A package names the works behind its plugins in a file `references.bib` of its own, beside its
`__init__.py`. An entry with a field `segkit` is for those plugins that the field lists, as
`KIND/NAME`, or as `KIND/NAME:WORD` where it holds only with WORD in one of their options (such as
the name of a model); BibTeX itself leaves out fields that it does not know. segkit's core has such
a file too, for its leaderboards. Nothing is imported to read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from segkit.errors import SegkitError
from segkit.kinds import BUNDLED
from segkit.plugins.catalog import Catalog
from segkit.reporting.report_folder import Folder

FILE = "references.bib"

LEADERBOARD, ROBUSTNESS = "leaderboard", "robustness"
"""What core's own entries are for, in place of plugins."""


@dataclass(frozen=True)
class Work:
    """An entry of a BibTeX file."""

    key: str
    text: str
    """As it stands there, without the field `segkit`."""
    used_by: tuple[str, ...]
    """The plugins it is for, as `KIND/NAME` or `KIND/NAME:WORD`."""

    def serves(self, used: Mapping[str, str]) -> bool:
        """Whether it is for one of these: what was used, with its options as text."""
        for whose in self.used_by:
            name, _, word = whose.partition(":")
            if name in used and word.lower() in used[name].lower():
                return True
        return False


def references(folder: Folder, catalog: Catalog) -> str:
    """BibTeX of segkit and of the works behind what took part in the folder's runs."""
    used = {LEADERBOARD: ""} if folder.leaderboard else {}
    used |= {ROBUSTNESS: ""} if folder.robustness else {}
    files = [Path(__file__).with_name(FILE)]
    for kind, name, options in _plugins(folder):
        plugin = f"{kind}/{name.rpartition(':')[2]}"
        used[plugin] = f"{used.get(plugin, '')} {options}"
        with suppress(SegkitError):  # one that is no longer installed
            file = bibliography_of(catalog.find(kind, name).target)
            files += [file] if file is not None and file not in files else []
    works = {work.key: work for file in files for work in read_works(file)}
    cited = [work.text for work in works.values() if work.serves(used)]
    return "\n\n".join([_segkit(), *cited]) + "\n"


def _plugins(folder: Folder) -> Iterator[tuple[str, str, str]]:
    """Kind, name and options of what the recipes name, and of the damage that was done."""
    for run in folder.runs:
        for kind, parts in (run.recipe.parts if run.recipe else {}).items():
            for part in parts:
                yield kind, part.name, " ".join(map(str, part.options.values()))
    for damage in folder.robustness.perturbations if folder.robustness else ():
        yield "perturbation", damage.name, " ".join(map(str, damage.options.values()))


def bibliography_of(target: str) -> Path | None:
    """The bibliography of the package that an entry point's module is in; None without one."""
    if target.endswith(".py"):
        return None
    try:
        spec = find_spec(target.partition(":")[0].partition(".")[0])  # no dot: nothing is imported
    except (ImportError, ValueError):
        return None
    for place in (spec.submodule_search_locations if spec else None) or ():
        if (file := Path(place, FILE)).is_file():
            return file
    return None


def read_works(file: Path) -> Iterator[Work]:
    """The entries of a BibTeX file; what makes no sense is left out, and so is all of no file."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for start in re.finditer(r"@(\w+)\s*\{\s*([^\s,{}]+)\s*,", text):
        end = _closing(text, text.index("{", start.start()))
        if end is None:
            continue
        entry = text[start.start() : end + 1]
        field = re.search(r"\n?[ \t]*\bsegkit\s*=\s*\{([^{}]*)\}[ \t]*,?", entry)
        if field is None:
            continue
        kept = re.sub(r",\s*\}$", "\n}", entry.replace(field.group(), "", 1))
        yield Work(start.group(2), kept, tuple(re.split(r"[\s,]+", field.group(1).strip())))


def _closing(text: str, opening: int) -> int | None:
    """Where the brace that opens here is closed."""
    depth = 0
    for place in range(opening, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return place
    return None


def _segkit() -> str:
    return (
        "@misc{segkit,\n"
        "  author = {{The segkit authors}},\n"
        "  title  = {segkit: Segmentation without User Input},\n"
        f"  note   = {{Version {version(BUNDLED)}}}\n"
        "}"
    )
