"""Heavy libraries are imported late, and every module imports on its own."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {
    *("torch", "torchvision", "segment_anything", "skimage", "scipy", "PIL", "cv2", "jinja2"),
    *("transformers", "huggingface_hub", "onnxruntime", "onnx", "pycocotools", "supervision"),
}
MODULES = sorted(
    m.name
    for root, package in (
        ("core", "segkit"),
        ("plugins", "segkit_plugins"),
        ("plugins", "segkit_training"),
    )
    for m in pkgutil.walk_packages([str(ROOT / root / package)], f"{package}.")
)


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


@pytest.mark.parametrize("module", [m for m in MODULES if not m.endswith("__main__")])
def test_every_module_imports_alone(module):
    """A plugin's own module imports nothing heavy; what plugins share, and networks, may."""
    found = imported(f"import importlib; importlib.import_module({module!r})")
    may = (".shared", "._", ".sam.", ".network")
    if module.startswith("segkit_plugins.") and not any(part in module for part in may):
        assert not found & HEAVY


def test_every_public_name_is_there():
    import segkit

    for name in segkit.__all__:
        assert getattr(segkit, name) is not None
