"""The catalog: what is found, what a name means, and what is said of plugins that do not work."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pluggy
import pytest

from segkit import Catalog, PluginError, Prompter, UsageError
from segkit.kinds import KINDS, OBSERVER
from segkit.plugins import hookspecs
from segkit.plugins.catalog import Entry, plugin_record
from segkit.plugins.steps import INTERFACES

GOOD = '''\
"""Prompt nothing at all."""

from segkit import Image, Prompter, Prompts, hookimpl


class Nothing(Prompter):
    """No prompt."""

    name = "nothing"

    def __call__(self, image: Image) -> Prompts:
        return Prompts()


@hookimpl
def segkit_prompters():
    return [Nothing]
'''


def module(body: str, offered: str = "Own") -> str:
    """The source of a plugin module whose class `Own` has this body."""
    lines = "\n    ".join(body.strip().splitlines())
    return f'''\
from segkit import *
from segkit import Heatmap, Image, Masks, Prompter, Prompts, Saliency, hookimpl


class Own(Prompter):
    """Own."""

    {lines}


@hookimpl
def segkit_prompters():
    return {offered}
'''


CALL = "def __call__(self, image: Image) -> Prompts: return Prompts()"


@pytest.fixture
def one(install):
    """Installs one distribution `mine` whose prompter `own` has this source; loads it."""

    def load(source):
        install("mine", {"own": "mine_own"}, {"mine_own.py": source})
        return Catalog().load("prompt", "own")

    return load


def sentence(info):
    """The error's text, after checking that it is one line."""
    text = str(info.value)
    assert "\n" not in text
    return text


def refused(kind, name, catalog=None):
    """The sentence with which a name is refused."""
    with pytest.raises(UsageError) as info:
        (catalog or Catalog()).find(kind, name)
    return sentence(info)


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
    assert {(e.kind, e.name, e.target) for e in Catalog(third_party=False).entries()} == wanted


def test_listing_imports_no_plugin_and_nothing_heavy():
    program = """
import json, sys
from segkit.plugins.catalog import Catalog, plugin_record
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
        ("nonsense", f"there is segkit.{', segkit.'.join([*KINDS, 'observer'])}"),
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


# ---- loading ------------------------------------------------------------------------------------


def test_a_plugin_is_imported_once_and_knows_its_origin(install):
    install("mine", {"nothing": "mine_nothing"}, {"mine_nothing.py": GOOD})
    catalog = Catalog()
    cls = catalog.load("prompt", "nothing")
    assert issubclass(cls, Prompter)
    assert catalog.load("prompt", "mine:nothing") is cls
    assert catalog.origin(cls) == catalog.find("prompt", "nothing")
    assert catalog.origin(Prompter) is None
    assert Catalog().origin(cls) is None  # nothing is shared between catalogs


def test_one_module_may_offer_several_plugins(install):
    source = GOOD.replace("return [Nothing]", "return (Nothing, Second)").replace(
        "@hookimpl",
        'class Second(Nothing):\n    """Another."""\n\n    name = "second"\n\n\n@hookimpl',
    )
    install("mine", {"nothing": "mine_two", "second": "mine_two"}, {"mine_two.py": source})
    catalog = Catalog()
    assert catalog.load("prompt", "nothing").__name__ == "Nothing"
    assert catalog.load("prompt", "second").__name__ == "Second"


LOADED = "'own' from mine 1.0 could not be loaded: "
USED = "'own' from mine 1.0 could not be used: "


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import no_such_thing", LOADED + "ModuleNotFoundError: No module named 'no_such_thing'"),
        ("1 / 0", LOADED + "ZeroDivisionError: division by zero"),
        ("raise ValueError('one\\ntwo')", LOADED + "ValueError: one"),
        ("raise ValueError", LOADED + "ValueError: no message"),
        ("raise SystemExit('bye')", LOADED + "SystemExit: bye"),
        ("def broken(:", LOADED + "SyntaxError: invalid syntax (mine_own.py, line 1)"),
        (module(CALL, "1 / 0"), LOADED + "its hooks raise ZeroDivisionError: division by zero"),
        (module(CALL, "exit(3)"), LOADED + "its hooks raise SystemExit: 3"),
        (
            module(CALL, "[]"),
            USED + "segkit_prompters should return a class with name = 'own', but returns nothing",
        ),
        ("x = 1", USED + "no function in mine_own is marked with @hookimpl"),
        (
            module(CALL, "[Own]").replace("@hookimpl\n", ""),
            USED + "no function in mine_own is marked with @hookimpl",
        ),
        (
            module(CALL, "[Own]").replace(
                "@hookimpl\n", "@hookimpl\ndef segkit_writers():\n    return []\n\n\n"
            ),
            USED + "segkit_prompters in mine_own is not marked with @hookimpl",
        ),
        (
            module(CALL, "[Own]").replace("segkit_prompters", "segkit_saliency"),
            USED + "it stands in the group segkit.prompt, but mine_own registers a saliency "
            "(group segkit.saliency)",
        ),
        (
            "from segkit import hookimpl\n@hookimpl\ndef segkit_before_run(): ...\n",
            USED + "it stands in the group segkit.prompt, but mine_own registers an observer "
            "(group segkit.observer)",
        ),
        (
            module('name = "other"\n' + CALL, "[Own]"),
            USED + "segkit_prompters should return a class with name = 'own', but returns 'other'",
        ),
        (
            module(CALL, "[Own()]"),
            USED + "segkit_prompters should return subclasses of Prompter, but returns Own()",
        ),
        (
            module(CALL, "[Heatmap]"),
            USED + "segkit_prompters should return subclasses of Prompter, but returns the class "
            "Heatmap",
        ),
        (
            module(CALL, "segkit_prompters"),
            USED + "segkit_prompters should return subclasses of Prompter, but returns the "
            "function segkit_prompters",
        ),
        (module('name = "own"', "[Own]"), USED + "Own should define __call__(...), but does not"),
        (
            module('name = "own"\ndef __call__(self, image: Image): ...', "[Own]"),
            USED + "Own.__call__ should be annotated to return Prompts, but says nothing",
        ),
        (
            module('name = "own"\ndef __call__(self, image: Image) -> Masks: ...', "[Own]"),
            USED + "Own.__call__ should be annotated to return Prompts, but says Masks",
        ),
        (
            module('name = "own"\ndef __call__(self, masks: Masks) -> Prompts: ...', "[Own]"),
            USED + "Own.__call__ asks for 'masks', but __call__ of a prompt can only ask for "
            "image, heatmap, classes, rng",
        ),
        (
            module('name = "own"\ndef __call__(self, **more) -> Prompts: ...', "[Own]"),
            USED + "Own.__call__ should name its inputs one by one, but has '**more'",
        ),
        (
            module('name = "own"\ndef __call__(self, image: "Picture") -> Prompts: ...', "[Own]"),
            USED + "Own.__call__ has an annotation that cannot be resolved: "
            "name 'Picture' is not defined",
        ),
        (
            module(f'name = "own"\n{CALL}\ndef refine(self, labels): ...', "[Own]"),
            USED + "Own.refine asks for 'labels', but refine of a prompt can only ask for "
            "prompts, masks, heatmap, image",
        ),
        (
            module(f'name = "own"\n{CALL}\n__call__.__signature__ = 5', "[Own]"),
            USED + "TypeError: unexpected object 5 in __signature__ attribute",
        ),
    ],
)
def test_a_broken_plugin_is_one_sentence(one, source, text):
    with pytest.raises(PluginError) as info:
        one(source)
    assert sentence(info) == text


def test_a_misspelt_hook_is_named(one):
    with pytest.raises(PluginError) as info:
        one(module(CALL, "[Own]").replace("segkit_prompters", "segkit_promters"))
    assert sentence(info) == (
        LOADED + "there is no hook 'segkit_promters'; did you mean 'segkit_prompters'?"
    )


def test_the_first_cause_is_kept_for_debugging(one):
    with pytest.raises(PluginError) as info:
        one("import no_such_thing")
    assert isinstance(info.value.__cause__, ModuleNotFoundError)


def test_stopping_by_hand_is_no_broken_plugin(one):
    with pytest.raises(KeyboardInterrupt):
        one("raise KeyboardInterrupt")


def test_a_broken_plugin_disturbs_no_other(install):
    install("broken", {"broken": "mine_broken"}, {"mine_broken.py": "1 / 0"})
    install("mine", {"nothing": "mine_nothing"}, {"mine_nothing.py": GOOD})
    catalog = Catalog()
    statuses = {
        e.distribution: catalog.check(e).status
        for e in catalog.entries("prompt")
        if e.distribution in ("broken", "mine")
    }
    assert statuses == {"broken": "broken", "mine": "ok"}


def test_a_check_keeps_a_clash_and_finds_what_else_is_wrong(install):
    install("mine", {"nothing": "mine_nothing"}, {"mine_nothing.py": GOOD})
    install("yours", {"nothing": "yours_nothing"}, {"yours_nothing.py": "1 / 0"})
    catalog = Catalog()
    checked = {e.distribution: catalog.check(e) for e in catalog.entries("prompt")}
    assert checked["mine"].status == "clash"
    assert checked["yours"].status == "broken"
    assert str(checked["yours"].error).endswith("ZeroDivisionError: division by zero")


# ---- single files -------------------------------------------------------------------------------


def test_a_single_file_takes_part(tmp_path):
    file = tmp_path / "my_plugin.py"
    file.write_text(GOOD)
    catalog = Catalog(files=(file,))
    entry = catalog.find("prompt", "nothing")
    assert entry == Entry("prompt", "nothing", "my_plugin", "file", str(file))
    assert entry.summary == "Prompt nothing at all."
    cls = catalog.load("prompt", "my_plugin:nothing")
    assert cls.name == "nothing"
    assert catalog.origin(cls) == entry
    assert catalog.check(entry).status == "ok"


def test_a_single_file_takes_part_even_if_others_are_left_out(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(GOOD)
    assert Catalog(third_party=False, files=(file,)).load("prompt", "nothing").name == "nothing"


def test_a_single_file_may_offer_several_kinds(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        GOOD
        + '''

from segkit import Saliency, Heatmap


class Flat(Saliency):
    """The same everywhere."""

    name = "flat"

    def __call__(self, image: Image) -> Heatmap:
        return Heatmap(image.pixels[..., 0] * 0)


@hookimpl
def segkit_saliency():
    return [Flat]
'''
    )
    catalog = Catalog(third_party=False, files=(file,))
    found = [(e.kind, e.name) for e in catalog.entries() if e.distribution == "mine"]
    assert found == [("saliency", "flat"), ("prompt", "nothing")]
    assert catalog.load("saliency", "flat").kind == "saliency"


def test_a_single_file_wins_its_short_name_over_all_that_is_installed(install, tmp_path):
    install("yours", {"topk": "yours_topk"}, {"yours_topk.py": GOOD.replace("nothing", "topk")})
    (tmp_path / "mine.py").write_text(GOOD.replace('"nothing"', '"topk"'))
    file = tmp_path / "mine.py"
    catalog = Catalog(files=(file,))
    assert catalog.load("prompt", "topk") is catalog.load("prompt", "mine:topk")
    assert catalog.origin(catalog.load("prompt", "topk")).target == str(file)
    assert catalog.load("prompt", "segkit:topk").__name__ == "TopK"
    assert catalog.load("prompt", "yours:topk").__module__ == "yours_topk"
    found = {e.distribution: e for e in catalog.entries("prompt") if e.name == "topk"}
    assert (found["mine"].status, found["mine"].error) == ("found", None)
    for other in ("segkit", "yours"):
        text = f"{file}, named by --plugin, has the name 'topk'; use {other}:topk"
        assert (found[other].status, found[other].error) == ("shadowed", text)
    assert Catalog().find("prompt", "topk").distribution == "segkit"  # only where it is named


@pytest.mark.parametrize("stem", ["mine", "my_own"])
def test_a_single_file_called_like_a_package_is_the_one_that_is_used(install, tmp_path, stem):
    install("my-own", {"nothing": "installed"}, {"installed.py": GOOD})
    install("mine", {"nothing": "installed"})
    file = tmp_path / f"{stem}.py"
    file.write_text(GOOD)
    catalog = Catalog(files=(file,))
    for name in ("nothing", f"{stem}:nothing", f"{stem.upper()}:nothing"):
        assert catalog.find("prompt", name).target == str(file)
    assert catalog.find("prompt", "my-own:nothing").target == "installed"
    others = {e.distribution: e.error for e in catalog.entries("prompt") if e.status == "shadowed"}
    advice = "rename the file" if stem == "mine" else "use mine:nothing"
    assert others["mine"] == f"{file}, named by --plugin, has the name 'nothing'; {advice}"
    assert catalog.load("prompt", "my-own:nothing") is not catalog.load("prompt", "nothing")


def test_two_single_files_with_one_name_have_to_be_told_apart(tmp_path):
    files = (tmp_path / "one.py", tmp_path / "two.py")
    for file in files:
        file.write_text(GOOD.replace('"nothing"', '"topk"'))
    catalog = Catalog(third_party=False, files=files)
    assert refused("prompt", "topk", catalog) == (
        "--prompt topk is offered by more than one package; say which: one:topk or two:topk"
    )
    assert catalog.find("prompt", "one:topk").target == str(files[0])
    errors = {e.distribution: e.error for e in catalog.entries("prompt") if e.name == "topk"}
    assert errors["one"] == "two has a plugin of the same name; use one:topk"
    assert errors["segkit"].endswith("use segkit:topk")


@pytest.mark.parametrize(
    ("name", "source", "text"),
    [
        ("mine.py", None, "--plugin {file}: there is no such file"),
        ("mine.txt", GOOD, "--plugin {file}: it should be a Python file (.py)"),
        (
            "segkit.py",
            GOOD,
            "--plugin {file}: its plugins would have the same full names as segkit's own, since "
            "the file has segkit's name; rename it",
        ),
        ("mine.py", "x = 1\n", "--plugin {file}: no function in it is marked with @hookimpl"),
        (
            "mine.py",
            "1 / 0\n",
            "'mine' from {file} could not be loaded: ZeroDivisionError: division by zero",
        ),
    ],
)
def test_a_single_file_that_does_not_work_is_one_sentence(tmp_path, name, source, text):
    file = tmp_path / name
    if source is not None:
        file.write_text(source)
    with pytest.raises((UsageError, PluginError)) as info:
        Catalog(files=(file,)).entries()
    assert sentence(info) == text.format(file=file)


# ---- hooks --------------------------------------------------------------------------------------


def hooks():
    """Every hook specification by its name."""
    manager = pluggy.PluginManager("segkit")
    manager.add_hookspecs(hookspecs)
    return {name: caller.spec.function for name, caller in vars(manager.hook).items()}


def test_every_hook_is_documented():
    found = hooks()
    assert len(found) == 19
    for name, function in found.items():
        text = inspect.getdoc(function) or ""
        assert len(text.split()) >= 4, f"{name} should say when it is called or what it returns"


def test_every_registration_hook_has_a_kind():
    registering = {n for n, f in hooks().items() if not inspect.signature(f).parameters}
    assert registering == {kind.hook for kind in KINDS.values()}
    assert list(KINDS) == list(INTERFACES)
    for kind, hook in ((kind.name, kind.hook) for kind in KINDS.values()):
        returned = inspect.signature(hooks()[hook]).return_annotation
        assert returned == f"Sequence[type[{INTERFACES[kind].__name__}]]"


def test_watching_hooks_come_in_threes():
    watching = set(hooks()) - {kind.hook for kind in KINDS.values()}
    for what in ("step", "image", "run"):
        triple = {f"segkit_before_{what}", f"segkit_after_{what}", f"segkit_{what}_failed"}
        assert triple <= watching
        watching -= triple
    assert watching == set()
