"""The pages of the docs as blocks of code, and a desk at which they are run."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from segkit.cli.main import make_group
from segkit.running.recipe_files import bundled_recipes

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

import make_reference  # noqa: E402

LANGUAGES = {"python", "bash", "toml", "json", "text", "csv", "yaml"}
_GENERATED = {p for pattern in make_reference.GENERATED for p in DOCS.glob(pattern)}
PAGES = [ROOT / "README.md", *sorted(set(DOCS.rglob("*.md")) - _GENERATED)]
"""The pages that people write."""

_FENCE = re.compile(r'( *)```(\w*)(?: title="([^"]+)")?$')
_COMMENT = re.compile(r" *<!-- (?:not run: (?P<why>.+)|exit (?P<code>\d)) -->")


def label(page: Path) -> str:
    """A page's name in the list of tests."""
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """One block of code of a page."""

    where: str
    """Page and line."""
    language: str
    title: str | None
    """The file that it is saved as."""
    code: str
    why_not: str | None
    """Why it is not run, or None."""
    exit: int
    """What its commands end with."""

    @property
    def commands(self) -> Iterator[list[str]]:
        """The words of each command of a bash block."""
        for line in self.code.replace("\\\n", " ").splitlines():
            words: list[str] = []
            for word in [*shlex.split(line, comments=True), "&&"]:
                if word != "&&":
                    words.append(word)
                elif words:
                    yield words
                    words = []


def blocks(page: Path) -> list[Block]:
    """All blocks of a page, in order. Fails where a fence is not closed or says no language."""
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        opening = _FENCE.match(lines[number])
        if opening is None:
            number += 1
            continue
        where = f"{label(page)}:{number + 1}"
        before = _COMMENT.match(lines[number - 1]) if number else None
        indent, language, title = opening.groups()
        end = lines.index(f"{indent}```", number + 1)
        assert language in LANGUAGES, f"{where}: a block in {language or 'no language'}"
        code = "\n".join(line.removeprefix(indent) for line in lines[number + 1 : end])
        why_not = before["why"] if before else None
        code_of_exit = int(before["code"] or 0) if before else 0
        found.append(Block(where, language, title, f"{code}\n", why_not, code_of_exit))
        number = end + 1
    return found


def check_flags(words: list[str]) -> None:
    """Read a `segkit` command line as the command does, without running it.

    Recipes that a reader has made by an earlier command, and we have not, are left out.
    """
    absent = {i for i, word in enumerate(words[:-1]) if word == "--recipe"}
    known = bundled_recipes()
    absent = {i for i in absent if words[i + 1] not in known and not Path(words[i + 1]).exists()}
    words = [w for i, w in enumerate(words) if not {i, i - 1} & absent]
    command: click.Command = make_group()
    context = click.Context(command, info_name="segkit")
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name, *rest = rest
        inner = command.get_command(context, name)
        assert inner is not None, f"there is no command {name}"
        command = inner
    if "--help" not in rest and "-h" not in rest:
        command.make_context(words[0], rest)


def on_little_data(words: list[str]) -> list[str]:
    """The same command on two small pictures, where it does not name its own."""
    if words[1] not in ("run", "sweep", "diagnose", "robustness", "describe"):
        return words
    given = " ".join(words)
    for name in ("shapes", "scenes"):
        if f"--dataset {name}" in given:
            little = {f"--{name}.count": "2", f"--{name}.size": "128"}
            if "--gradcam.model shapes" in given:
                little["--gradcam.size"] = "64"
            return words + [w for flag in little.items() if flag[0] not in words for w in flag]
    named = len(words) > 2 and not words[2].startswith("-")
    if named or "--dataset" in given or "--help" in words or "--samples.only" in given:
        return words
    return [*words, "--samples.only", "coffee"]


def lay_desk(folder: Path) -> None:
    """The files that the pages speak of: photos, a photo, images with masks, recipes."""
    import numpy as np
    import PIL.Image
    from skimage import data

    from segkit import write_png

    for name, pixels in (("a", data.coffee()), ("b", data.chelsea())):
        small = pixels[::4, ::4]
        for path in ("photos", "images"):
            (folder / path).mkdir(exist_ok=True)
            PIL.Image.fromarray(small).save(folder / path / f"{name}.png")
        ids = np.zeros(small.shape[:2], np.uint8)
        ids[10:60, 30:80] = 1
        write_png(folder / "masks" / f"{name}.png", ids)
    PIL.Image.fromarray(data.coffee()[::3, ::3]).save(folder / "photo.jpg", quality=95)
    recipes = folder / "examples" / "recipes"
    recipes.mkdir(parents=True)
    for file in (ROOT / "examples" / "recipes").glob("*.toml"):
        (recipes / file.name).write_text(file.read_text())
