"""Heavy libraries are imported late, and every module imports on its own."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

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


def modules(package: str) -> list[str]:
    """All modules of a package; none is imported for it."""
    root = ROOT / ("core" if package == "segkit" else "plugins")
    found = pkgutil.walk_packages([str(root / package)], f"{package}.")
    return [m.name for m in found if not m.name.endswith("__main__")]


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
for library in json.loads(sys.argv[1]):
    importlib.import_module(library)
gc.freeze()  # forks need not look at what the libraries hold, nor copy it for that
for module in json.loads(sys.argv[2]):
    process = os.fork()
    if process:
        os.waitpid(process, 0)
        continue
    try:
        importlib.import_module(module)
        print(json.dumps([module, sorted({m.split(".")[0] for m in sys.modules})]), flush=True)
    except BaseException:
        traceback.print_exc()
    os._exit(0)
"""


def imported_alone(libraries: Sequence[str], names: Sequence[str]) -> dict[str, set[str]]:
    """The module to what is imported after it, each the only one of ours in its process.

    The processes are forks of one that has the libraries, where the system knows forks. What
    cannot be imported is told on standard error.
    """
    if not hasattr(os, "fork"):
        return {n: imported(f"import importlib; importlib.import_module({n!r})") for n in names}
    command = [sys.executable, "-W", "error", "-c", ALONE, json.dumps(libraries), json.dumps(names)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
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


@pytest.mark.parametrize("group", TOGETHER)
def test_every_module_imports_alone(group):
    """A plugin's own module imports nothing heavy."""
    libraries, names = TOGETHER[group]
    assert len(names) > 50
    found = imported_alone(libraries, names)
    assert [name for name in names if name not in found] == []
    heavy = {name: found[name] & HEAVY for name in EARLY.intersection(names)}
    assert bool(heavy) == (group == "light")
    assert {name: libraries for name, libraries in heavy.items() if libraries} == {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="elsewhere a process that fails is the error")
def test_a_module_that_cannot_be_imported_alone_is_noticed(tmp_path, monkeypatch, capsys):
    (tmp_path / "whole.py").write_text("import json")
    (tmp_path / "broken.py").write_text("from whole import nothing")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert imported_alone((), ["broken", "whole"]).keys() == {"whole"}
    assert "cannot import name 'nothing' from 'whole'" in capsys.readouterr().err


def test_every_public_name_is_there():
    import segkit

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
