"""The catalog: what is found without importing it, and what a name means."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from catalog_toys import GOOD, refused

from segkit import Catalog
from segkit.kinds import COMMAND, KINDS, OBSERVER
from segkit.plugins.entries import plugin_record

# ---- what is found ------------------------------------------------------------------------------


def test_bundled_plugins_come_in_the_order_in_which_values_flow():
    entries = Catalog(third_party=False).entries()
    kinds = [e.kind for e in entries]
    assert kinds == sorted(kinds, key=list(KINDS).index)
    assert {e.distribution for e in entries} == {"segkit"}
    assert {e.status for e in entries} == {"found"}
    for kind in KINDS:
        names = [e.name for e in entries if e.kind == kind]
        assert names == sorted(names)
        assert Catalog(third_party=False).entries(kind) == [e for e in entries if e.kind == kind]


def test_the_entries_are_those_of_the_project_file():
    if sys.version_info < (3, 11):
        tomllib = pytest.importorskip("tomli")
    else:
        import tomllib
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    wanted = {
        (group.removeprefix("segkit."), name, target)
        for group, points in project["entry-points"].items()
        if group != "pytest11"  # pytest's, for segkit.testing
        for name, target in points.items()
    }
    catalog = Catalog(third_party=False)
    entries = [*catalog.entries(), *catalog.entries(COMMAND)]
    assert {(e.kind, e.name, e.target) for e in entries} == wanted
    assert COMMAND not in {e.kind for e in catalog.entries()}


def test_listing_imports_no_plugin_and_nothing_heavy():
    program = """
import json, sys
from segkit.plugins.catalog import Catalog
from segkit.plugins.entries import plugin_record
rows = [plugin_record(e) for e in Catalog(third_party=False).entries()]
print(json.dumps([rows, sorted({m.partition(".")[0] for m in sys.modules})]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    rows, loaded = json.loads(done.stdout)
    assert all(row["summary"] for row in rows if row["name"] in ("iou", "shapes"))
    heavy = {"segkit_plugins", "torch", "numpy", "pydantic", "PIL", "scipy", "skimage", "click"}
    assert not heavy & set(loaded)


def test_other_packages_join_in(install):
    install("mine", {"nothing": "mine_nothing"}, {"mine_nothing.py": GOOD})
    (entry,) = [e for e in Catalog().entries() if e.distribution == "mine"]
    assert plugin_record(entry) == {
        "kind": "prompt",
        "name": "nothing",
        "distribution": "mine",
        "version": "1.0",
        "api": None,
        "where": entry.where,
        "status": "found",
        "error": None,
        "seconds": None,
        "summary": "Prompt nothing at all.",
    }
    assert "mine_nothing" not in sys.modules
    assert Catalog().load("prompt", "nothing").name == "nothing"
    assert "mine_nothing" in sys.modules


def test_other_packages_can_be_left_out(install):
    for name in ("mine", "yours"):
        install(name, {f"{name}-a": "x", f"{name}-b": "y"})

    def others(**options):
        found = Catalog(**options).entries()
        assert any(e.distribution == "segkit" for e in found)
        return [e.full_name for e in found if e.distribution in ("mine", "yours")]

    assert others() == ["mine:mine-a", "mine:mine-b", "yours:yours-a", "yours:yours-b"]
    assert others(third_party=False) == []
    assert others(only=("mine",)) == ["mine:mine-a", "mine:mine-b"]
    assert others(only=("mine-a", "yours-b")) == ["mine:mine-a", "yours:yours-b"]


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("prompter", "did you mean 'segkit.prompt'?"),
        ("Segmenters", "did you mean 'segkit.segmenter'?"),
        ("write", "did you mean 'segkit.writer'?"),
        ("nonsense", f"there is segkit.{', segkit.'.join([*KINDS, 'observer', 'command'])}"),
    ],
)
def test_groups_that_are_no_kind_are_marked_and_refused(install, kind, hint):
    install("mine", {"odd": "x"}, kind=kind)
    (entry,) = [e for e in Catalog().entries() if e.distribution == "mine"]
    text = f"group 'segkit.{kind}' of mine 1.0 is no kind; {hint}"
    assert entry == Catalog().entries()[-1]
    assert (entry.kind, entry.status, entry.error) == (kind, "bad group", text)
    checked = Catalog().check(entry)
    assert (checked.status, checked.error) == ("broken", text)
    for name in ("odd", "mine:odd"):
        assert refused("prompt", name) == f"--prompt {name}: {text}"
    assert not [e for e in Catalog().entries("prompt") if e.distribution == "mine"]
    assert not [e for e in Catalog(third_party=False).entries() if e.distribution == "mine"]


def test_a_group_of_a_newer_segkit_is_said_to_be_one(install):
    install("mine", {"odd": "x"}, kind="tracker", api="v9")
    assert refused("prompt", "odd").startswith(
        "--prompt odd: 'odd' from mine 1.0 was written for version 9 of segkit's plugin API"
    )


def test_groups_of_others_are_left_alone(install):
    for package, kind in (("mine", "api"), ("yours", "")):
        install(package, {"v1": "x"}, kind=kind)
    assert not [e for e in Catalog().entries() if e.distribution in ("mine", "yours")]


def test_observers_are_listed_apart(install):
    source = '"""Watch."""\n'
    install("mine", {"watch": "mine_watch"}, {"mine_watch.py": source}, kind="observer")
    (entry,) = [e for e in Catalog().observers() if e.distribution == "mine"]
    assert (entry.kind, entry.name, entry.summary) == (OBSERVER, "watch", "Watch.")
    assert Catalog().check(entry).status == "ok"
    install("theirs", {"watch": "no_such_module"}, kind="observer")
    (theirs,) = [e for e in Catalog().observers() if e.distribution == "theirs"]
    assert (theirs.status, theirs.error) == ("found", None)  # all of them watch: that is no clash
    assert Catalog().check(theirs).status == "broken"


@pytest.mark.parametrize(
    ("metadata", "points"),
    [
        ("Metadata-Version: 2.1\nName: torn\nVersion: 1\n", "[segkit.prompt]\nno equals sign\n"),
        ("Metadata-Version: 2.1\n", "[segkit.prompt]\nnameless = x\n"),
        (None, "[segkit.prompt]\nnameless = x\n"),
    ],
)
def test_damaged_metadata_hides_no_other_plugin(install, metadata, points):
    before = Catalog().entries()
    torn = install("torn", {})
    (torn / "entry_points.txt").write_text(points)
    (torn / "METADATA").unlink()
    if metadata is not None:
        (torn / "METADATA").write_text(metadata)
    assert Catalog().entries() == before


# ---- summaries ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "summary"),
    [
        ('"""One line."""\n', "One line."),
        ('"""First line.\n\nMore.\n"""\n', "First line."),
        ('"""\nOn the next line.\n"""\n', "On the next line."),
        ("'''Other quotes.'''\n", "Other quotes."),
        ('"Short quotes."\n', "Short quotes."),
        ('r"""Raw \\d."""\n', "Raw \\d."),
        ('#!/usr/bin/python\n# A comment.\n\n"""After comments."""\n', "After comments."),
        ('\ufeff"""After a byte order mark."""\n', "After a byte order mark."),
        ('"""It\'s "quoted"."""\n', 'It\'s "quoted".'),
        ('"""Umlaute: äöü."""\n', "Umlaute: äöü."),
        ('x = """No docstring."""\n', ""),
        ("", ""),
        ("import os\n", ""),
    ],
)
def test_the_summary_is_the_first_line_of_the_docstring(install, source, summary):
    install("mine", {"own": "mine_own"}, {"mine_own.py": source})
    assert Catalog().find("prompt", "own").summary == summary


def test_the_summary_is_found_in_packages_without_running_them(install):
    modules = {
        "mine_pack/__init__.py": '"""The package."""\nraise SystemExit\n',
        "mine_pack/part.py": '"""A part."""\nraise SystemExit\n',
        "mine_pack/deep/__init__.py": '"""Deep inside."""\nraise SystemExit\n',
    }
    points = {"a": "mine_pack", "b": "mine_pack.part", "c": "mine_pack.deep", "d": "mine_pack.gone"}
    install("mine", points | {"e": "no_such_package.part", "f": "mine_pack.part:attr"}, modules)
    found = {e.name: e.summary for e in Catalog().entries("prompt") if e.distribution == "mine"}
    assert found == {
        "a": "The package.",
        "b": "A part.",
        "c": "Deep inside.",
        "d": "",
        "e": "",
        "f": "A part.",
    }


# ---- what a name means --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        ("prompt", "topkk", "--prompt topkk: no prompt plugin has that name; did you mean 'topk'?"),
        (
            "metric",
            "hitrate",
            "--metric hitrate: no metric plugin has that name; did you mean 'hit-rate'?",
        ),
        (
            "prompt",
            "segkit:topkk",
            "--prompt segkit:topkk: no prompt plugin has that name; did you mean 'topk'?",
        ),
        (
            "prompt",
            "other:topk",
            "--prompt other:topk: no prompt plugin has that name; there is segkit:topk",
        ),
        (
            "prompt",
            "gradcam",
            "--prompt gradcam: 'gradcam' is a saliency, not a prompt; use --saliency gradcam",
        ),
        (
            "selector",
            "overlay",
            "--select overlay: 'overlay' is a writer, not a selector; use --write overlay",
        ),
        (
            "prompt",
            "segkit:iou",
            "--prompt segkit:iou: 'segkit:iou' is a metric, not a prompt; use --metric segkit:iou",
        ),
    ],
)
def test_a_name_that_is_not_there_gets_a_hint(kind, name, text):
    assert refused(kind, name, Catalog(third_party=False)) == text


def test_where_nothing_is_near_all_names_are_told():
    catalog = Catalog(third_party=False)
    names = ", ".join(e.name for e in catalog.entries("segmenter"))
    assert refused("segmenter", "qqq", catalog) == (
        f"--segmenter qqq: no segmenter plugin has that name; there is {names}"
    )


def test_where_there_is_no_plugin_it_says_none(monkeypatch):
    monkeypatch.setattr(Catalog, "_installed", lambda self: [])
    assert refused("prompt", "x") == "--prompt x: no prompt plugin has that name; there is none"


@pytest.mark.parametrize("name", ["topk", "segkit:topk", "SegKit:topk"])
def test_a_bundled_plugin_wins_its_short_name(install, name):
    install("mine", {"topk": "x"})
    assert Catalog().find("prompt", name).distribution == "segkit"
    assert Catalog().find("prompt", "mine:topk").distribution == "mine"
    (shadowed,) = [e for e in Catalog().entries("prompt") if e.distribution == "mine"]
    assert shadowed.status == "shadowed"
    assert shadowed.error == "segkit's own plugin has the name 'topk'; use mine:topk"
    (bundled,) = [e for e in Catalog().entries("prompt") if e.full_name == "segkit:topk"]
    assert (bundled.status, bundled.error) == ("found", None)


def test_two_packages_with_one_name_have_to_be_told_apart(install):
    install("b-second", {"twin": "x"})
    install("a-first", {"twin": "y"})
    install("c-third", {"twin": "z"}, kind="saliency")  # another kind is no clash
    assert refused("prompt", "twin") == (
        "--prompt twin is offered by more than one package; "
        "say which: a-first:twin or b-second:twin"
    )
    assert Catalog().find("prompt", "A_First:twin").target == "y"
    errors = {e.distribution: e.error for e in Catalog().entries("prompt") if e.name == "twin"}
    assert errors == {
        "a-first": "b-second has a plugin of the same name; use a-first:twin",
        "b-second": "a-first has a plugin of the same name; use b-second:twin",
    }
    assert Catalog().find("saliency", "twin").status == "found"


@pytest.mark.parametrize(
    "name", ["Upper", "under_score", "dot.ted", "a b", "-a", "a-", "a--b", "ü"]
)
def test_bad_names_are_marked_and_refused(install, name):
    install("mine", {name: "mine_own"}, {"mine_own.py": GOOD})
    (entry,) = [e for e in Catalog().entries("prompt") if e.distribution == "mine"]
    text = (
        f"'{name}' from mine 1.0 has a bad name; "
        "plugin names are lower-case words, digits and hyphens"
    )
    assert (entry.status, entry.error) == ("bad name", text)
    assert refused("prompt", name) == f"--prompt {name}: {text}"
    assert refused("prompt", f"mine:{name}") == f"--prompt mine:{name}: {text}"
    checked = Catalog().check(entry)
    assert (checked.status, checked.error) == ("broken", text)


@pytest.mark.parametrize("name", ["a", "top-k", "vit-b16", "7x7"])
def test_good_names_are_found(install, name):
    install("mine", {name: "x"})
    assert Catalog().find("prompt", name).status == "found"
