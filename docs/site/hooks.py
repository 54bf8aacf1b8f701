"""What MkDocs is told on the way: the navigation's patterns become the pages that they match.

`{kind}` and `{kinds}` in it stand for each kind of plugin in turn.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from segkit.kinds import KINDS


def on_config(config: Any) -> Any:
    """Fill in the patterns; one that matches nothing is left out, with its section."""
    docs = Path(config["docs_dir"])
    files = sorted(
        docs.rglob("*.md"), key=lambda p: p.with_suffix("")
    )  # gradcam, gradcam-plus-plus
    pages = [p.relative_to(docs).as_posix() for p in files]
    nav = _of_each_kind(config["nav"])
    named = {text for text in _texts(nav) if "*" not in text}
    config["nav"] = _filled(nav, [p for p in pages if p not in named])
    return config


def _of_each_kind(nav: Any) -> Any:
    """The navigation with an entry for each kind in place of one that is meant for all."""
    if isinstance(nav, dict):
        return {title: _of_each_kind(inside) for title, inside in nav.items()}
    if not isinstance(nav, list):
        return nav
    items: list[Any] = []
    for item in nav:
        inside = next(iter(item.values())) if isinstance(item, dict) else item
        if isinstance(inside, str) and "{kind}" in inside:
            items += [_named(item, kind) for kind in KINDS]
        else:
            items.append(_of_each_kind(item))
    return items


def _named(item: Any, kind: str) -> Any:
    """An entry of the navigation for one kind."""
    if isinstance(item, dict):
        return {_named(title, kind): _named(inside, kind) for title, inside in item.items()}
    return item.format(kind=kind, kinds=KINDS[kind].plural.capitalize())


def _texts(nav: Any) -> list[str]:
    """All pages and patterns of a navigation."""
    if isinstance(nav, str):
        return [nav]
    return [t for part in (nav.values() if isinstance(nav, dict) else nav) for t in _texts(part)]


def _filled(nav: list[Any], rest: list[str]) -> list[Any]:
    filled: list[Any] = []
    for item in nav:
        if isinstance(item, str):
            filled += _matching(item, rest)
            continue
        ((title, inside),) = item.items()
        if isinstance(inside, list):
            filled.append({title: _filled(inside, rest)})
        elif "*" in inside:
            found = _matching(inside, rest)
            filled += [{title: found}] if found else []
        else:
            filled.append(item)
    return filled


def _matching(pattern: str, rest: list[str]) -> list[str]:
    """The pages of the pattern's own folder that match it, or the page that is named."""
    if "*" not in pattern:
        return [pattern]
    depth = pattern.count("/")
    return [page for page in rest if page.count("/") == depth and fnmatchcase(page, pattern)]
