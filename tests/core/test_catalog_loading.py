"""Loading plugins once, from packages and single files; and what is said of those that fail."""

from __future__ import annotations

import pytest
from catalog_toys import GOOD, refused, sentence, without_place

from segkit import Catalog, PluginError, Prompter, UsageError
from segkit.plugins.entries import Entry


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
            "prompts, masks, heatmap, image, look, ask",
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
    assert without_place(sentence(info)) == without_place(text)


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
    assert str(checked["yours"].error).endswith(
        "ZeroDivisionError: division by zero (yours_nothing.py, line 1)"
    )


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
    assert without_place(sentence(info)) == text.format(file=file)
