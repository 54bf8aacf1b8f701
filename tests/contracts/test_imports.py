"""Heavy libraries are imported late, and every module imports on its own."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import segkit

ROOT = Path(__file__).parents[2]
HEAVY = {
    *("torch", "torchvision", "segment_anything", "skimage", "scipy", "PIL", "cv2", "jinja2"),
    *("transformers", "huggingface_hub", "onnxruntime", "onnx", "pycocotools", "supervision"),
    *("gradio", "fastapi", "uvicorn", "pyarrow", "datasets", "fsspec"),
}
LIGHT = ("click", "numpy", "packaging", "pluggy", "pydantic", "rich", "tomli_w")
NETWORKS = ("lightning.pytorch", "matplotlib.figure", "scipy.ndimage", "skimage", "torchvision")
MAY = (".shared", "._", ".sam.", ".network")
"""What plugins share, and networks, may import heavy libraries."""


PACKAGES = ("segkit", "segkit_plugins", "segkit_ui", "segkit_training")


def files_of(package: str) -> dict[str, Path]:
    """All modules of a package, and their files; none is imported for it."""
    root = ROOT / ("core" if package == "segkit" else "plugins")
    found = {}
    for path in sorted((root / package).rglob("*.py")):
        *parents, last = path.relative_to(root).with_suffix("").parts
        found[".".join(parents if last == "__init__" else (*parents, last))] = path
    return found


def modules(package: str) -> list[str]:
    """All modules of a package but those that run when they are imported."""
    return [name for name in files_of(package) if not name.endswith("__main__")]


PLUGINS = modules("segkit_plugins")
LATE = [name for name in PLUGINS if not any(part in name for part in MAY)]
CORE, TRAINING = [], []
for name in modules("segkit"):
    (TRAINING if name.startswith("segkit.training.") else CORE).append(name)
EARLY = {*modules("segkit_ui"), *LATE}
"""Modules that import nothing heavy."""
TOGETHER = {
    "light": (LIGHT, [*CORE, *modules("segkit_ui"), *LATE]),
    "networks": (
        NETWORKS,
        [*TRAINING, *(n for n in PLUGINS if n not in LATE), *modules("segkit_training")],
    ),
}
"""Libraries of others, which are imported once, and the modules that come after them."""

ALONE = """
import gc, importlib, json, os, sys, traceback
given = json.load(sys.stdin)
for library in given["libraries"]:
    importlib.import_module(library)
gc.freeze()  # forks need not look at what the libraries hold, nor copy it for that

def walk(tree):
    *others, last = tree or [None]
    for module in others:
        process = os.fork()
        if not process:
            follow(module, tree[module])
        os.waitpid(process, 0)
    if last:
        follow(last, tree[last])
    os._exit(0)

def follow(module, after):
    try:
        importlib.import_module(module)
        for name in after.pop("whole", ()):
            print(json.dumps([name, sorted(sys.modules)]), flush=True)
    except BaseException:
        traceback.print_exc()
        os._exit(0)
    walk(after)

walk(given["tree"])
"""


def imports_at_once(body: Iterable[ast.stmt]) -> Iterator[str]:
    """The modules, and what may be one, that code imports when it is itself imported."""
    for statement in body:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.module
            assert not statement.level
            yield statement.module
            for alias in statement.names:
                home = segkit._MODULE_OF.get(alias.name) if statement.module == "segkit" else None
                yield f"{statement.module}.{home or alias.name}"
        elif not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            checked = isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test)
            inner = () if checked else getattr(statement, "body", ())
            handlers = [handler.body for handler in getattr(statement, "handlers", ())]
            others = [getattr(statement, part, ()) for part in ("orelse", "finalbody")]
            for part in (inner, *handlers, *others):
                yield from imports_at_once(part)


def with_parents(name: str) -> list[str]:
    """A module and the packages that it lies in, the outermost first."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def closures(files: dict[str, Path]) -> dict[str, set[str]]:
    """Each of the modules to those among them that importing it imports, itself too."""
    direct = {}
    for name, file in files.items():
        wanted = imports_at_once(ast.parse(file.read_text(encoding="utf-8")).body)
        direct[name] = {m for n in (name, *wanted) for m in with_parents(n) if m in files}
    found = {}
    for name in files:
        reached, left = {name}, [name]
        while left:
            more = direct[left.pop()] - reached
            reached |= more
            left += more
        found[name] = reached
    return found


def tree_of(closed: dict[str, set[str]], names: Sequence[str]) -> dict[str, Any]:
    """What to import in which order: a way from the root that holds `whole` is a closure.

    A module comes after what it imports, for that is imported by more modules than it is.
    """
    users = Counter(module for closure in closed.values() for module in closure)
    tree: dict[str, Any] = {}
    for name in names:
        branch = tree
        for module in sorted(closed[name], key=lambda module: (-users[module], module)):
            branch = branch.setdefault(module, {})
        branch.setdefault("whole", []).append(name)
    return tree


def imported_alone(
    libraries: Sequence[str], names: Sequence[str], closed: dict[str, set[str]]
) -> dict[str, set[str]]:
    """The module to what is imported after it, where of ours no other is than it imports itself.

    The processes are forks of one that has the libraries, and of those that have imported a part of
    what the module imports. What cannot be imported is told on standard error.
    """
    given = {"libraries": libraries, "names": names, "tree": tree_of(closed, names)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ALONE],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sys.stderr.write(done.stderr)
    return {name: {*found} for name, found in map(json.loads, done.stdout.splitlines())}


def imported(code: str, *more: str) -> set[str]:
    """The top-level modules that a fresh interpreter has imported after `code`."""
    script = (
        f"import sys, json\n{code}\n"
        "print('\\n' + json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *more],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], HEAVY | {"numpy", "pydantic", "rich"}),
        (["--version"], HEAVY | {"numpy", "pydantic", "rich"}),
        (["list-plugins"], HEAVY | {"numpy", "pydantic"}),
        (["list-plugins", "--json"], HEAVY | {"numpy", "pydantic"}),
        (["show", "prompt", "topk"], HEAVY),
        (["run", "--help"], HEAVY),
        (["review", "--help"], HEAVY | {"numpy", "pydantic"}),
    ],
    ids=lambda a: " ".join(a) if isinstance(a, list) else "",
)
def test_commands_that_compute_nothing_import_nothing_heavy(arguments, absent):
    code = (
        "from segkit.cli.main import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit as stop: assert stop.code == 0, stop.code"
    )
    assert not imported(code) & absent


def test_import_segkit_costs_nothing():
    assert not imported("import segkit; dir(segkit)") & (HEAVY | {"numpy", "pydantic", "click"})


FILES = {name: path for package in PACKAGES for name, path in files_of(package).items()}
CLOSED = closures(FILES)
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forks")


def test_modules_import_each_other_in_no_circle():
    """So it plays no part which of them comes first; a package comes before what lies in it."""
    for name, closure in CLOSED.items():
        circle = {other for other in closure if name in CLOSED[other]}
        first = min(circle, key=len)
        assert {other for other in circle if not f"{other}.".startswith(f"{first}.")} == set()


@forks
@pytest.mark.parametrize("group", TOGETHER)
def test_every_module_imports_alone(group):
    """A plugin's own module imports nothing heavy."""
    libraries, names = TOGETHER[group]
    assert len(names) > 50
    found = imported_alone(libraries, names, CLOSED)
    assert [name for name in names if name not in found] == []
    ours = {name: {m for m in modules if m in FILES} for name, modules in found.items()}
    assert {name: modules ^ CLOSED[name] for name, modules in ours.items()} == {
        name: set() for name in names
    }
    tops = {name: {m.split(".")[0] for m in found[name]} for name in EARLY.intersection(names)}
    assert bool(tops) == (group == "light")
    assert {name: top & HEAVY for name, top in tops.items() if top & HEAVY} == {}


@forks
def test_a_module_that_cannot_be_imported_alone_is_noticed(tmp_path, monkeypatch, capsys):
    """Neither for a name that is not there nor for another's module that it forgets to import."""
    (tmp_path / "whole.py").write_text("import xml.dom\ndom = xml.dom")
    (tmp_path / "broken.py").write_text("from whole import nothing")
    (tmp_path / "lazy.py").write_text("import xml\nxml.dom")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    closed = closures({path.stem: path for path in tmp_path.glob("*.py")})
    assert closed == {"whole": {"whole"}, "broken": {"broken", "whole"}, "lazy": {"lazy"}}
    assert imported_alone((), [*sorted(closed)], closed).keys() == {"whole"}
    said = capsys.readouterr().err
    assert "cannot import name 'nothing' from 'whole'" in said
    assert "module 'xml' has no attribute 'dom'" in said


def test_every_public_name_is_there():
    for name in segkit.__all__:
        assert getattr(segkit, name) is not None


def test_a_run_imports_what_it_uses(tmp_path):
    """torchvision alone would take longer than torch: it brings torch's compiler."""
    import PIL.Image

    PIL.Image.effect_noise((96, 64), 80).convert("RGB").save(tmp_path / "photo.png")
    script = """
import json, sys
from segkit.cli.main import main
try:
    main(["run", *sys.argv[1:], "--quiet"])
except SystemExit as stop:
    assert not stop.code, stop.code
print(json.dumps([*sys.modules]))
"""
    command = [sys.executable, "-c", script, str(tmp_path / "photo.png"), "-o", str(tmp_path / "r")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    modules = {*json.loads(done.stdout.splitlines()[-1])}
    assert "torch" in modules
    assert "segkit_plugins.segmenter.sam.authors.modeling" in modules
    unused = ("torchvision", "segment_anything", "torch._dynamo", "sympy", "skimage", "matplotlib")
    assert not modules.intersection((*unused, "timm", "pandas", "sklearn", "cv2", "lightning"))


def test_segment_anything_stays_what_it_is():
    """Whoever imports it finds it whole, whatever segkit has imported of it before."""
    script = """
import segkit_plugins.segmenter.sam.nano, sys
assert not [m for m in sys.modules if m.startswith("segment_anything")]
import segment_anything
assert segment_anything.modeling.Sam is not segkit_plugins.segmenter.sam.authors.modeling.Sam
assert segment_anything.SamPredictor and segment_anything.modeling.sam.Sam
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
