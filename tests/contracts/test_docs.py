"""The docs say what the program does: generated pages are current, every plugin has its picture."""

from __future__ import annotations

import json
import re

import pytest
from pages import DOCS, PAGES, ROOT, label, make_reference

from segkit.kinds import KINDS
from segkit.plugins.catalog import Catalog

CATALOG = make_reference.CATALOG
ENTRIES = [f"{kind}/{e.name}" for kind in KINDS for e in CATALOG.entries(kind)]


def test_the_generated_pages_are_current():
    old = make_reference.stale()
    assert not old, f"not current: {', '.join(old)}; run: python docs/make_reference.py"


def test_every_plugin_command_kind_and_hook_is_in_the_reference():
    from segkit.cli.main import COMMANDS
    from segkit.plugins import hookspecs

    made = make_reference.pages()
    for name in ENTRIES:
        assert f"]({name}.md)" in made["plugins/index.md"]
    added = Catalog(third_party=False).entries("command")
    for command in (*COMMANDS, *(entry.name for entry in added)):
        assert f"## `segkit {command}`" in made["reference.md"]
    for kind in KINDS:
        assert f"## Kind `{kind}`" in made["reference/kinds.md"]
        assert (DOCS / "write" / f"{kind}.md").is_file()
    for hook in vars(hookspecs):
        if hook.startswith("segkit_"):
            assert f"`{hook}(" in made["reference/hooks.md"]


def test_the_readme_names_every_plugin():
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line[:2] == "| "]
    for kind in KINDS:
        for entry in CATALOG.entries(kind):
            (row,) = [row for row in rows if f"| `--{KINDS[kind].flag or kind}` |" in row]
            assert f"`{entry.name}`" in row, f"README.md's table lacks {kind}/{entry.name}"


@pytest.fixture(scope="module")
def costs():
    return json.loads(make_reference.COSTS.read_text())["plugins"]


@pytest.mark.parametrize("name", ENTRIES)
def test_every_plugin_has_its_picture_and_cost(name, costs):
    import make_pictures
    import PIL.Image

    assert name in costs, f"run: python docs/make_pictures.py {name}"
    reason = make_pictures.why_not(*name.split("/"))
    known = costs[name]
    if reason is not None:
        assert known == {"why": reason}
        return
    kind = name.split("/")[0]
    with PIL.Image.open(make_reference.COSTS.parent / kind / known["picture"]) as picture:
        assert picture.width >= 200
        assert picture.convert("L").getextrema() != (255, 255)
    assert known["seconds"] > 0


def test_pictures_are_few_and_small(costs):
    files = [p for p in (DOCS / "images").rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 1_900_000
    of_plugins = [p for p in files if p.suffix == ".webp" and p.parent != DOCS / "images"]
    drawn = {f"{p.parent.name}/{p.stem}" for p in of_plugins}
    assert drawn == {name for name, known in costs.items() if "picture" in known}
    assert set(costs) == set(ENTRIES)


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_links_lead_somewhere(page):
    """On disk too, without the site."""
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{label(page)}: {target}"


def test_the_site_and_the_pages_are_all_that_docs_holds():
    allowed = {"how-to", "images", "plugins", "reference", "site", "write"}
    there = {p.name for p in DOCS.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert there == allowed
    assert (ROOT / "docs/site/mkdocs.yml").is_file()
