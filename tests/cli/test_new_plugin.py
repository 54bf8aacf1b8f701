"""`segkit new-plugin`: what it makes, what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from segkit import Catalog
from segkit.cli.new_plugin import _git_user
from segkit.kinds import KINDS, flag_of
from segkit.plugins.steps import INTERFACES
from segkit.tools import scaffold

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "segkit-corners"


def project(folder: Path) -> dict:
    """The `[project]` table."""
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


# ---- what it makes -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_gives_a_whole_distribution(segkit, tmp_path, kind):
    done = segkit("new-plugin", kind, "first-try", "--author", "Ada Lovelace")
    assert (done.code, done.err) == (0, "")
    folder = tmp_path / "segkit-first-try"
    files = [p.relative_to(folder) for p in folder.rglob("*") if p.is_file()]
    assert sorted(str(p) for p in files if p.parts[0] != ".git") == [
        *(".github/workflows/publish.yml", ".github/workflows/tests.yml", ".gitignore"),
        *("DEVELOPING.md", "LICENSE", "README.md", "pyproject.toml"),
        *("src/segkit_first_try/__init__.py", "tests/test_first_try.py"),
    ]
    about = project(folder)
    assert about["name"] == "segkit-first-try"
    assert about["authors"] == [{"name": "Ada Lovelace"}]
    assert about["entry-points"][f"segkit.{kind}"] == {"first-try": "segkit_first_try"}
    file = folder / "src/segkit_first_try/__init__.py"
    catalog = Catalog(third_party=False, files=(file,))
    (entry,) = [e for e in catalog.entries() if e.target == str(file)]
    assert (entry.kind, entry.name, entry.summary) == (kind, "first-try", about["description"])
    cls = catalog.load_entry(entry)
    assert cls.__name__ == "FirstTry"
    option = scaffold.EXAMPLES[kind].option
    assert option in cls.model_fields
    developing = (folder / "DEVELOPING.md").read_text(encoding="utf-8")
    assert f"--first-try.{option}" in developing
    for line in done.out.splitlines()[2:]:
        assert (line.partition("&& ")[2] or line.strip()) in developing
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert scaffold.EXAMPLES[kind].run.format(name="first-try") in readme
    assert "segkit install segkit-first-try" in readme
    for text in (
        readme,
        developing,
        (folder / "LICENSE").read_text(),
        (folder / "pyproject.toml").read_text(),
    ):
        assert "{{" not in text
        assert "{%" not in text


def test_it_ends_with_what_to_do_next(segkit):
    done = segkit("new-plugin", "prompt", "warm-centre", "-o", "my plugins/warm")
    assert done.out.splitlines() == [
        "my plugins/warm holds the prompt plugin 'warm-centre', its tests and its package. Next:",
        "",
        "  cd 'my plugins/warm' && pip install -e '.[test]'",
        "  pytest",
        "  segkit run --prompt warm-centre",
    ]


def test_the_packages_name_is_as_good_as_the_plugins(segkit, tmp_path):
    done = segkit("new-plugin", "prompt", "segkit-mine")
    assert done.code == 0
    assert "segkit-mine holds the prompt plugin 'mine'" in done.out
    assert [p.name for p in tmp_path.iterdir()] == ["segkit-mine"]
    about = project(tmp_path / "segkit-mine")
    assert about["name"] == "segkit-mine"
    assert about["entry-points"]["segkit.prompt"] == {"mine": "segkit_mine"}


@pytest.mark.parametrize("flag", ["select", "write", "Prompt"])
def test_a_kind_goes_by_its_flag_too(segkit, tmp_path, flag):
    assert segkit("new-plugin", flag, "mine").code == 0
    kind = {flag_of(kind): kind for kind in KINDS}[flag.lower()]
    assert f"segkit.{kind}" in project(tmp_path / "segkit-mine")["entry-points"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    ["heatmap", "none", "3d", "image", "exception", "a-very-long-name-for-a-small-idea-of-mine"],
)
def test_any_name_makes_a_module_that_works(tmp_path, kind, name):
    made = scaffold.files(kind, name, "Ada", "MIT", 2024)
    scaffold.write(tmp_path, made)
    (file,) = tmp_path.glob("src/*/__init__.py")
    cls = Catalog(third_party=False, files=(file,)).load(kind, f"__init__:{name}")
    assert cls.__name__.isidentifier()
    assert issubclass(cls, INTERFACES[kind])
    (test,) = tmp_path.glob("tests/test_*.py")
    compile(test.read_text(encoding="utf-8"), str(test), "exec")


def of_every_kind(root: Path) -> list[Path]:
    """The folders of distributions whose long names move where lines are broken."""
    folders = [root / kind for kind in KINDS]
    for folder in folders:
        name = f"{folder.name}-of-my-very-own-making"
        scaffold.write(folder, scaffold.files(folder.name, name, "Ada", "MIT", 2024))
    return folders


def test_all_of_it_passes_ruff(tmp_path):
    folders = of_every_kind(tmp_path)
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", *folders],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


WITHOUT_TORCH = """
[[tool.mypy.overrides]]
module = ["torch.*"]
follow_imports = "skip"
"""


@pytest.mark.parametrize(
    "more",
    [
        pytest.param("", marks=pytest.mark.slow, id="whole"),
        pytest.param(WITHOUT_TORCH, id="torch-not-read"),
    ],
)
def test_all_of_it_passes_strict_mypy(tmp_path, more):
    """Torch's 1,500 modules take two thirds of the time, and no template imports it."""
    folders = of_every_kind(tmp_path)
    modules = [p for folder in folders for p in sorted(folder.rglob("*.py"))]
    assert len(modules) == 2 * len(KINDS)
    assert not [p for p in modules if "torch" in p.read_text(encoding="utf-8")]
    settings = tmp_path / "settings.toml"
    all_overrides = tmp_path / "segmenter" / "pyproject.toml"
    settings.write_text(all_overrides.read_text(encoding="utf-8") + more, encoding="utf-8")
    paths = os.pathsep.join(str(folder / "src") for folder in folders)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--cache-dir",
            os.devnull,
            "--strict",
            "--config-file",
            settings,
            *modules,
        ],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ("Ada Lovelace <ada@example.org>", {"name": "Ada Lovelace", "email": "ada@example.org"}),
        ("Grace 'Amazing' \"G\\H\"", {"name": "Grace 'Amazing' \"G\\H\""}),
        ("Émilie du Châtelet", {"name": "Émilie du Châtelet"}),
    ],
)
def test_an_author_stands_in_package_and_licence(segkit, tmp_path, given, fields):
    assert segkit("new-plugin", "fuser", "mine", "--author", given, "--licence", "mit").code == 0
    about = project(tmp_path / "segkit-mine")
    assert about["authors"] == [fields]
    licence = (tmp_path / "segkit-mine" / "LICENSE").read_text(encoding="utf-8")
    assert licence.splitlines()[2].endswith(fields["name"])


def test_the_author_is_gits_if_none_is_named(segkit, tmp_path, monkeypatch):
    settings = tmp_path / "gitconfig"
    settings.write_text("[user]\nname = Mary Somerville\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert segkit("new-plugin", "metric", "mine").code == 0
    assert project(tmp_path / "segkit-mine")["authors"] == [{"name": "Mary Somerville"}]
    monkeypatch.setenv("PATH", "")  # no git at all
    assert _git_user() == ""
    assert segkit("new-plugin", "metric", "other").code == 0
    authors = project(tmp_path / "segkit-other")["authors"]
    assert authors == [{"name": "the authors of segkit-other"}]


@pytest.mark.parametrize(
    ("licence", "words"),
    [
        ("Apache-2.0", "Version 2.0, January 2004"),
        ("MIT", "Copyright (c) 2024 Ada"),
        ("BSD-3-Clause", "3. Neither the name of the copyright holder"),
    ],
)
def test_each_licence_is_named_and_its_text_is_there(licence, words):
    made = scaffold.files("prompt", "mine", "Ada", licence, 2024)
    assert words in made["LICENSE"]
    about = tomllib.loads(made["pyproject.toml"])["project"]
    assert (about["license"], about["license-files"]) == (licence, ["LICENSE"])
    assert set(scaffold.LICENCES) == {"Apache-2.0", "MIT", "BSD-3-Clause"}


def test_the_example_in_the_repository_is_such_a_distribution():
    made = scaffold.files("prompt", "corners", "segkit", "Apache-2.0", 2024)
    for file in (".gitignore", "LICENSE"):
        assert (EXAMPLE / file).read_text(encoding="utf-8") == made[file]
    ours = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))
    theirs = tomllib.loads(made["pyproject.toml"])
    for its_own in ("version", "description", "authors"):
        assert ours["project"].pop(its_own) != ""
        theirs["project"].pop(its_own)
    ours["project"]["dependencies"][0] = theirs["project"]["dependencies"][0]  # it works with 0.1
    for for_the_index in ("classifiers", "keywords", "urls"):  # it is not published
        theirs["project"].pop(for_the_index)
    assert ours == theirs
    there = {str(p.relative_to(EXAMPLE)) for p in EXAMPLE.rglob("*.py")}
    assert there == {path for path in made if path.endswith(".py")}


def test_it_says_what_an_index_shows(segkit, tmp_path):
    address = "https://example.org/ada/mine"
    assert segkit("new-plugin", "metric", "mine", "--repository", f"{address}/").code == 0
    about = project(tmp_path / "segkit-mine")
    assert about["urls"] == {"Homepage": address, "Issues": f"{address}/issues"}
    assert about["keywords"] == ["segkit", "segmentation", "metric"]
    assert "Topic :: Scientific/Engineering :: Image Recognition" in about["classifiers"]
    assert segkit("new-plugin", "metric", "other").code == 0
    homepage = project(tmp_path / "segkit-other")["urls"]["Homepage"]
    assert homepage == "https://github.com/OWNER/segkit-other"


def test_its_workflows_test_on_three_pythons_and_publish_without_a_token():
    yaml = pytest.importorskip("yaml")
    made = scaffold.files("prompt", "mine", "Ada", "MIT", 2024)
    tests = yaml.safe_load(made[".github/workflows/tests.yml"])["jobs"]["tests"]
    assert tests["strategy"]["matrix"]["python"] == ["3.10", "3.12", "3.13"]
    (setup,) = (s["with"] for s in tests["steps"] if "setup-python" in s.get("uses", ""))
    assert setup["python-version"] == "${{ matrix.python }}"
    assert [s["run"] for s in tests["steps"] if "run" in s] == [
        *("pip install -e '.[test]'", "pytest", "segkit list-plugins --check --only segkit-mine"),
    ]
    jobs = yaml.safe_load(made[".github/workflows/publish.yml"])["jobs"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["needs"] == "build"
    assert "secrets." not in made[".github/workflows/publish.yml"]


def test_it_is_a_repository_of_git(segkit, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert segkit("new-plugin", "metric", "mine").code == 0
    assert (tmp_path / "segkit-mine" / ".git").is_dir()
    assert segkit("new-plugin", "metric", "other", "--no-git").code == 0
    assert not (tmp_path / "segkit-other" / ".git").exists()
    inside = tmp_path / "segkit-mine" / "inside"  # of a repository: it is that one's
    assert segkit("new-plugin", "metric", "third", "-o", str(inside)).code == 0
    assert not (inside / ".git").exists()


def test_there_is_an_example_of_every_kind():
    assert set(scaffold.EXAMPLES) == set(KINDS)


# ---- what it refuses ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("prompter", "mine"), "there is no kind of plugin 'prompter'; did you mean 'prompt'?"),
        (
            ("xyzzy", "mine"),
            "there is no kind of plugin 'xyzzy'; there is dataset, perturbation, saliency, "
            "transform, prompt, segmenter, judge, selector, fuser, metric, writer",
        ),
        (
            ("prompt", "My_WarmIdea"),
            "no plugin can be named 'My_WarmIdea': names are lower-case words, digits and hyphens; "
            "did you mean 'my-warm-idea'?",
        ),
        (
            ("prompt", "../evil"),
            "no plugin can be named '../evil': names are lower-case words, digits and hyphens; "
            "did you mean 'evil'?",
        ),
        (
            ("prompt", "ü"),
            "no plugin can be named 'ü': names are lower-case words, digits and hyphens, such as "
            "'warm-centre'",
        ),
        (
            ("prompt", "topk"),
            "segkit has a prompt plugin 'topk' of its own, which would go first; "
            "choose another name",
        ),
        (
            ("prompt", "segkit-topk"),
            "segkit has a prompt plugin 'topk' of its own, which would go first; "
            "choose another name",
        ),
        (
            ("prompt", "segkit-"),
            "no plugin can be named 'segkit-': names are lower-case words, digits and hyphens; "
            "did you mean 'segkit'?",
        ),
        (
            ("prompt", "plugins"),
            "a plugin named 'plugins' would be the package segkit_plugins, which segkit itself "
            "has; choose another name",
        ),
        (
            ("prompt", "mine", "--licence", "apache"),
            "--licence apache: its text is not at hand; did you mean 'Apache-2.0'?",
        ),
        (
            ("prompt", "mine", "--licence", "WTFPL"),
            "--licence WTFPL: its text is not at hand; there is Apache-2.0, MIT, BSD-3-Clause",
        ),
        (
            ("prompt", "mine", "--author", ""),
            "--author '' is no name; give one such as 'Ada Lovelace' or "
            "'Ada Lovelace <ada@example.org>'",
        ),
        (
            ("prompt", "mine", "--author", "Ada\nLovelace"),
            "--author 'Ada\\nLovelace' is no name; give one such as 'Ada Lovelace' or "
            "'Ada Lovelace <ada@example.org>'",
        ),
    ],
)
def test_what_cannot_be_made_is_one_sentence(segkit, tmp_path, arguments, sentence):
    done = segkit("new-plugin", *arguments)
    assert (done.code, done.out, done.err) == (2, "", f"Error: {sentence}\n")
    assert not [*tmp_path.iterdir()]


def test_a_name_that_segkit_has_for_another_kind_is_free(segkit):
    assert segkit("new-plugin", "transform", "topk").code == 0


def test_what_is_there_stays_as_it_is(segkit, tmp_path):
    folder = tmp_path / "segkit-mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    done = segkit("new-plugin", "prompt", "mine")
    assert (done.code, done.err) == (
        2,
        "Error: 'segkit-mine' holds files already, which stay as they are; "
        "name another with -o DIR\n",
    )
    assert [p.name for p in folder.iterdir()] == ["notes.txt"]
    done = segkit("new-plugin", "prompt", "mine", "-o", folder / "notes.txt")
    assert done.err.startswith(f"Error: '{folder / 'notes.txt'}' is a file, which stays as it is")
    done = segkit("new-plugin", "prompt", "mine", "-o", folder / "notes.txt" / "below")
    assert done.err == (
        f"Error: '{folder / 'notes.txt' / 'below'}' cannot be written (Not a directory); "
        "name another with -o DIR\n"
    )
    (folder / "notes.txt").unlink()  # an empty folder is as good as none
    assert segkit("new-plugin", "prompt", "mine").code == 0
