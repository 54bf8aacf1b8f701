"""What is deprecated works, says so once with what to use, and is gone in time."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from types import SimpleNamespace

import pluggy
import pytest
from packaging.version import Version

import segkit
from segkit import Catalog, Image, SegkitDeprecationWarning, Writer, deprecations, hookimpl
from segkit.deprecations import Deprecation
from segkit.plugins import hookspecs
from segkit.plugins.finishing import finish
from segkit.plugins.observers import Observers, Watcher


def overdue(register, release):
    """The entries that should be gone in this release."""
    return [what for what, d in register.items() if Version(d.removed_in) <= Version(release)]


def test_nothing_has_outlived_its_release():
    assert overdue(deprecations.REGISTER, segkit.__version__) == []
    register = {"segkit.old": Deprecation("segkit.new", "0.2", "0.4")}
    found = {release: overdue(register, release) for release in ("0.3.9", "0.4.0", "1.0")}
    assert found == {"0.3.9": [], "0.4.0": ["segkit.old"], "1.0": ["segkit.old"]}


def test_every_entry_names_what_there_is():
    hooks = {n for n in vars(hookspecs) if n.startswith("segkit_")}
    for what, found in deprecations.REGISTER.items():
        assert Version(found.since) < Version(found.removed_in)
        if what.startswith("segkit."):
            assert found.instead.removeprefix("segkit.") in segkit.__all__
            assert what.removeprefix("segkit.") not in segkit.__all__
        elif what[0].isupper():  # a method of a kind, as it was written and as it is now
            kind, method = found.instead.partition("(")[0].split(".")
            now = inspect.signature(getattr(getattr(segkit, kind), method)).parameters
            assert found.instead == f"{kind}.{method}({', '.join([*now][1:])})"
            assert what.startswith(f"{kind}.{method}(")
        else:
            assert what.partition("(")[0] in hooks  # it goes on working
            assert "(" in what or found.instead in hooks


@pytest.fixture
def register(monkeypatch):
    """A register of its own, as releases to come will have it."""
    monkeypatch.setattr(deprecations, "REGISTER", {})

    def enter(what, instead):
        deprecations.REGISTER[what] = Deprecation(instead, "0.2", "0.4")

    return enter


def sentences(caught):
    return [str(w.message) for w in caught if w.category is SegkitDeprecationWarning]


def test_an_old_name_means_the_new_one(register):
    register("segkit.Heat", "segkit.Heatmap")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            assert segkit.Heat is segkit.Heatmap
    text = "segkit.Heat is deprecated since segkit 0.2 and removed in 0.4; use segkit.Heatmap"
    assert sentences(caught) == [text]
    assert caught[0].filename == __file__
    with pytest.raises(AttributeError, match="module 'segkit' has no attribute 'Heated'"):
        segkit.Heated  # noqa: B018


@pytest.fixture
def older_hooks(register, monkeypatch):
    """Hook specifications with a hook and an argument that have been renamed since."""
    spec = pluggy.HookspecMarker("segkit")

    def segkit_after_picture(name):
        """The former name of segkit_after_image."""

    def segkit_before_image(name, picture):
        """`picture` is the former name of `name`."""

    older = {
        "segkit_after_picture": segkit_after_picture,
        "segkit_before_image": segkit_before_image,
    }
    for name, function in older.items():
        monkeypatch.setattr(hookspecs, name, spec(function), raising=False)
    register("segkit_after_picture", "segkit_after_image")
    register("segkit_before_image(picture)", "name")


class Old:
    """An observer that was written for an older segkit."""

    def __init__(self):
        self.seen = []

    @hookimpl
    def segkit_after_picture(self, name):
        self.seen.append(("after", name))

    @hookimpl
    def segkit_before_image(self, picture):
        self.seen.append(("before", picture))


class New:
    """The same today."""

    def __init__(self):
        self.seen = []

    @hookimpl
    def segkit_after_image(self, name):
        self.seen.append(("after", name))

    @hookimpl
    def segkit_before_image(self, name):
        self.seen.append(("before", name))


def test_old_hooks_and_arguments_are_called_with_a_warning(older_hooks):
    old, new = Old(), New()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            watch = Observers([Watcher(old, "'watch' from mine 1.0"), new])
    assert sorted(sentences(caught)) == [
        "'watch' from mine 1.0 uses segkit_after_picture, which is deprecated since segkit 0.2 "
        "and removed in 0.4; use segkit_after_image",
        "'watch' from mine 1.0 uses segkit_before_image(picture), which is deprecated since "
        "segkit 0.2 and removed in 0.4; use name",
    ]
    watch.tell("segkit_before_image", name="cat")
    watch.tell("segkit_after_image", name="cat", recipe="run", result={})
    assert old.seen == new.seen == [("before", "cat"), ("after", "cat")]
    assert watch.dropped == []


def test_an_old_registration_hook_registers(register, monkeypatch, tmp_path):
    def segkit_prompt_strategies():
        """The former name of segkit_prompters."""

    spec = pluggy.HookspecMarker("segkit")
    monkeypatch.setattr(
        hookspecs, "segkit_prompt_strategies", spec(segkit_prompt_strategies), raising=False
    )
    register("segkit_prompt_strategies", "segkit_prompters")
    file = tmp_path / "older.py"
    file.write_text(
        "from segkit import Image, Prompter, Prompts, hookimpl\n"
        "class Nothing(Prompter):\n"
        "    name = 'nothing'\n"
        "    def __call__(self, image: Image) -> Prompts: return Prompts()\n"
        "@hookimpl\n"
        "def segkit_prompt_strategies(): return [Nothing]\n"
    )
    with pytest.warns(SegkitDeprecationWarning, match="use segkit_prompters"):
        assert Catalog(files=(file,)).load("prompt", "nothing").name == "nothing"


def test_id_of_is_add_class():
    with pytest.warns(
        SegkitDeprecationWarning, match="removed in 0.4; use segkit.add_class"
    ) as seen:
        from segkit import id_of
    assert seen[0].filename == __file__
    classes = {1: "cat"}
    assert (id_of("dog", classes), id_of("cat", classes), classes[2]) == (2, 1, "dog")


class Older(Writer):
    """A writer that was written for plugin API 1."""

    name = "older"
    came_from = "mine 1.0"

    def write(self, directory: Path, image: Image) -> tuple[Path, ...]:
        return ()

    def finish(self, folder: Path) -> tuple[Path, ...]:
        return (folder / "all.txt",)


class Today(Older):
    """The same, told which images are finished."""

    name = "today"

    def finish(self, directory: Path, images) -> tuple[Path, ...]:
        return tuple(directory / name for name in images)


def test_a_writer_that_takes_the_folder_alone_is_called_with_a_warning(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            assert finish(Older(), tmp_path, ["a"]) == (tmp_path / "all.txt",)
        assert finish(Today(), tmp_path, ["a", "b"]) == (tmp_path / "a", tmp_path / "b")
    assert sentences(caught) == [
        "writer 'older' from mine 1.0 uses Writer.finish(directory), which is deprecated since "
        "segkit 0.2 and removed in 0.4; use Writer.finish(directory, images)"
    ]


def test_where_nothing_is_deprecated_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(deprecations, "REGISTER", {})
    asked = []
    monkeypatch.setattr(deprecations, "warn_of_hooks", lambda *what: asked.append(what))
    Observers([New(), SimpleNamespace()])
    assert asked == []
