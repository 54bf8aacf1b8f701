"""What the wheel holds, and the scripts that stay in the checkout."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
SCRIPTS = sorted(
    path.stem
    for path in (ROOT / "plugins/segkit_training").glob("*.py")
    if '__name__ == "__main__":' in path.read_text(encoding="utf-8")
)


def test_the_wheel_holds_core_plugins_and_pages_and_no_training_scripts():
    from hatchling.builders.wheel import WheelBuilder

    shipped = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert {path.split("/")[0] for path in shipped} == {"segkit", "segkit_plugins", "segkit_ui"}
    kept = subprocess.run(
        ["git", "ls-files", "core/segkit", "plugins/segkit_plugins", "plugins/segkit_ui"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if kept.returncode:
        pytest.skip("not a git checkout")
    missing = {path.split("/", 1)[1] for path in kept.stdout.splitlines()} - shipped
    assert not missing
    assert "segkit_plugins/weights/nano.safetensors" in shipped
    assert "segkit_plugins/recipes/objects.toml" in shipped
    assert "segkit_ui/review/page.js" in shipped


def required(extra: str) -> set[str]:
    """The distributions that an extra brings, those of the extras in it too."""
    found = set()
    for requirement in map(Requirement, EXTRAS[extra]):
        if requirement.name == "segkit":
            found = found.union(*map(required, requirement.extras))
        else:
            found.add(requirement.name)
    return found


HEAVY = {"ray", "gradio", "playwright", "uv", "datasets", "pyarrow", "ultralytics", "moto"}


def test_what_is_heavy_is_no_part_of_what_the_default_run_needs():
    assert len(required("test")) > 20
    assert required("test") & HEAVY == set()
    assert required("test-all") >= HEAVY | required("test")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_how_it_is_called(name):
    pytest.importorskip("lightning")
    script = importlib.import_module(f"segkit_training.{name}")
    result = CliRunner().invoke(script.main, ["--help"])
    assert result.exit_code == 0, result.output
    assert f"python -m segkit_training.{name}" in " ".join(result.output.split())


def test_a_script_runs_from_a_checkout():
    done = subprocess.run(
        [sys.executable, "-m", "segkit_training.measure", "--help"],
        cwd=ROOT / "plugins",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--data" in done.stdout


def test_what_lies_in_shared_serves_plugins_of_several_kinds():
    plugins = ROOT / "plugins/segkit_plugins"
    kinds_of: dict[str, set[str]] = {
        f"segkit_plugins.shared.{path.stem}": set()
        for path in (plugins / "shared").glob("*.py")
        if path.stem != "__init__"
    }
    pages = ROOT / "plugins/segkit_ui"
    for path in (*plugins.rglob("*.py"), *pages.rglob("*.py")):
        kind = path.relative_to(plugins).parts[0] if path.is_relative_to(plugins) else pages.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                by = f"segkit_plugins.shared.{path.stem}" if kind == "shared" else kind
                for module in (node.module, *(f"{node.module}.{a.name}" for a in node.names)):
                    kinds_of.get(str(module), set()).add(by)
    for module, users in kinds_of.items():  # what a shared module needs, its plugins need
        served = {kind for user in users for kind in kinds_of.get(user, {user})}
        assert len(served) > 1, module
