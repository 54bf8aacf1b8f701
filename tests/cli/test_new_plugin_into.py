"""`segkit new-plugin --package` and `--into`: one package of several plugins."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from segkit import Catalog

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def entries(folder: Path) -> dict:
    """The entry points of its pyproject.toml."""
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]["entry-points"]


@pytest.fixture
def many(segkit, tmp_path) -> Path:
    """A package with one plugin."""
    done = segkit("new-plugin", "saliency", "one", "--package", "ada-maps", "--author", "Ada")
    assert (done.code, done.err) == (0, "")
    return tmp_path / "ada-maps"


def test_a_package_can_have_a_name_of_its_own(many):
    about = tomllib.loads((many / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert about["name"] == "ada-maps"
    assert entries(many) == {
        "segkit.saliency": {"one": "ada_maps"},
        "segkit.api": {"v1": "ada_maps"},
    }
    assert "segkit install ada-maps" in (many / "README.md").read_text(encoding="utf-8")


def test_a_package_gets_further_plugins(segkit, many):
    before = (many / "pyproject.toml").read_text(encoding="utf-8")
    for kind, name in (("saliency", "second-one"), ("prompt", "third")):
        done = segkit("new-plugin", kind, name, "--into", "ada-maps")
        assert (done.code, done.err) == (0, "")
        stem = name.replace("-", "_")
        module = many / f"src/ada_maps/{stem}.py"
        catalog = Catalog(third_party=False, files=(module,))
        (entry,) = [e for e in catalog.entries() if e.target == str(module)]
        assert (entry.kind, entry.name) == (kind, name)
        assert f"src/ada_maps/{stem}.py" in done.out
        tests = (many / f"tests/test_{stem}.py").read_text(encoding="utf-8")
        assert f"from ada_maps.{stem} import" in tests
        compile(tests, "tests.py", "exec")
    assert entries(many) == {
        "segkit.saliency": {"one": "ada_maps", "second-one": "ada_maps.second_one"},
        "segkit.prompt": {"third": "ada_maps.third"},
        "segkit.api": {"v1": "ada_maps"},
    }
    after = (many / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    kept = iter(after)
    assert all(line in kept for line in before.splitlines())  # all of it, in its order


def test_what_is_left_to_its_author_is_said(segkit, many):
    """Nobody but its author knows which versions of a library will do."""
    done = segkit("new-plugin", "segmenter", "grow", "--into", "ada-maps")
    assert "# add scipy to dependencies in pyproject.toml" in done.out
    done = segkit("new-plugin", "metric", "sum-of", "--into", "ada-maps")
    assert "# raise v1 to v2 under segkit.api in pyproject.toml" in done.out


def test_a_file_can_be_what_is_added(segkit, many, tmp_path):
    text = (many / "src/ada_maps/__init__.py").read_text(encoding="utf-8")
    (tmp_path / "mine.py").write_text(text.replace('"one"', '"mine"'), encoding="utf-8")
    done = segkit("new-plugin", "saliency", "mine", "--from", "mine.py", "--into", "ada-maps")
    assert (done.code, done.err) == (0, "")
    assert (many / "src/ada_maps/mine.py").read_text() == (tmp_path / "mine.py").read_text()
    assert entries(many)["segkit.saliency"]["mine"] == "ada_maps.mine"


@pytest.mark.parametrize(
    ("spoil", "arguments", "sentence"),
    [
        (
            "",
            ("one", "--into", "ada-maps"),
            "--into ada-maps: it has a saliency plugin 'one' already, in ada_maps; choose another "
            "name",
        ),
        (
            "",
            ("two", "--into", "nowhere"),
            "--into nowhere: its pyproject.toml cannot be read (No such file or directory); name "
            "the folder of a package, or leave --into out for a new one",
        ),
        (
            "",
            ("two", "--into", "ada-maps", "-o", "other"),
            "--into ada-maps is a package that is there; -o and --package go with a new one",
        ),
        (
            "[tool.mine]\n",
            ("two", "--into", "ada-maps"),
            "--into ada-maps: its pyproject.toml has no [project] with a name; name the folder of "
            "a package, or leave --into out for a new one",
        ),
        (
            '[project]\nname = "x"\nentry-points = {"segkit.saliency" = {a = "b"}}\n',
            ("two", "--into", "ada-maps"),
            "--into ada-maps: its pyproject.toml has entry points in a form that is not known; add "
            'two = "ada_maps.two" to the group segkit.saliency by hand',
        ),
        (
            "",
            ("two", "--package", "Not A Name"),
            "--package Not A Name: no package of plugins can be named so; names are lower-case "
            "words, digits and hyphens, such as 'segkit-mine', and not segkit's own",
        ),
    ],
)
def test_what_cannot_be_added_to_is_a_sentence(segkit, many, spoil, arguments, sentence):
    if spoil:
        (many / "pyproject.toml").write_text(spoil, encoding="utf-8")
    before = sorted(many.rglob("*.py"))
    done = segkit("new-plugin", "saliency", *arguments)
    assert (done.code, done.err) == (2, f"Error: {sentence}\n")
    assert sorted(many.rglob("*.py")) == before


def test_files_that_are_there_stay(segkit, many):
    (many / "src/ada_maps/two.py").write_text("# mine\n")
    done = segkit("new-plugin", "saliency", "two", "--into", "ada-maps")
    assert (done.code, done.err) == (
        2,
        "Error: --into ada-maps: src/ada_maps/two.py is there already and stays as it is; choose "
        "another name\n",
    )
    assert (many / "src/ada_maps/two.py").read_text() == "# mine\n"
    (many / "src/another").mkdir()
    (many / "src/another/__init__.py").write_text("")
    done = segkit("new-plugin", "saliency", "three", "--into", "ada-maps")
    assert "and there is ada_maps, another; add the plugin by hand" in done.err
