"""What `segkit new-plugin` makes, built as wheels, installed, tested and used, unchanged."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from segkit.kinds import KINDS, flag_of

ROOT = Path(__file__).parents[2]

SMALL = ("--dataset", "shapes", "--shapes.count", "1", "--shapes.size", "64")
QUIET = ("--device", "cpu", "--quiet", "-o", "out")
LIGHT = ("--gradcam.model", "shapes")


def passed(command: Sequence[str], cwd: Path, site: Path) -> str:
    """What a command prints that has to succeed, in an environment with the folder `site`."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("SEGKIT_")}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env | {"PYTHONPATH": str(site), "COLUMNS": "80"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Environment:
    """A folder of installed wheels, and the distributions whose wheels they are."""

    site: Path
    sources: Path

    def segkit(self, *arguments: str, cwd: Path | None = None) -> str:
        command = [sys.executable, "-m", "segkit.cli.main", *arguments]
        return passed(command, cwd or self.sources, self.site)

    def install(self, *folders: Path) -> None:
        """Build wheels and install them, without any network."""
        pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check"]
        offline = ["--no-deps", "--no-index", "--quiet"]
        wheels = self.site.parent / f"wheels-{folders[0].name}"
        build = [*pip, "wheel", *offline, "--no-build-isolation", "-w", str(wheels)]
        passed([*build, *map(str, folders)], self.sources, self.site)
        files = sorted(map(str, wheels.glob("*.whl")))
        assert len(files) == len(folders)
        passed([*pip, "install", *offline, "-t", str(self.site), *files], self.sources, self.site)

    def folder(self, kind: str) -> Path:
        return self.sources / f"segkit-my-{kind}"

    def make(self, *kinds: str) -> None:
        """Make a distribution of each kind, as a user does, and install all of them."""
        for kind in kinds:
            printed = self.segkit("new-plugin", kind, f"my-{kind}", "--author", "Ada Lovelace")
            assert printed.splitlines()[2].endswith(
                f"cd segkit-my-{kind} && pip install -e '.[test]'"
            )
        self.install(*map(self.folder, kinds))


def new_environment(folder: Path) -> Environment:
    made = Environment(folder / "site", folder / "sources")
    made.site.mkdir()
    made.sources.mkdir()
    return made


def check_whole(installed: Environment, kind: str, folder: Path) -> None:
    """Its own tests pass, segkit takes it for good, its README is right, and it runs."""
    name, distribution = f"my-{kind}", f"segkit-my-{kind}"
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    assert " passed" in passed(tests, installed.folder(kind), installed.site)

    rows = json.loads(installed.segkit("list-plugins", "--check", "--json", "--kind", kind))
    (row,) = [row for row in rows if row["distribution"] == distribution]
    assert (row["name"], row["status"], row["error"]) == (name, "ok", None)

    readme = (installed.folder(kind) / "README.md").read_text(encoding="utf-8")
    lines = [shlex.split(t) for t in readme.splitlines() if t.startswith("    segkit ")]
    assert {words[1] for words in lines} >= {"install", "show"}
    for _, command, *arguments in lines:
        if command == "install":  # it lies on no index yet
            continue
        dry = [] if command == "show" else ["--dry-run"]
        assert installed.segkit(command, *arguments, *dry)

    check_in_use(installed, kind, folder)


def check_in_use(installed: Environment, kind: str, folder: Path) -> None:
    """It takes part in a run, and the run's record says so."""
    name, distribution = f"my-{kind}", f"segkit-my-{kind}"
    out = folder / "out"
    if kind == "perturbation":
        damage = ("--perturb", name, "--levels", "1")
        installed.segkit("robustness", *SMALL, *LIGHT, *damage, *QUIET, cwd=folder)
        found = json.loads((out / "robustness.json").read_text(encoding="utf-8"))
        assert [p["name"] for p in found["perturbations"]] == [name]
        assert [p["level"] for p in found["curves"][0]["points"]] == [0, 1]
        return
    pictures = ("--dataset", name, f"--{name}.count", "1") if kind == "dataset" else SMALL
    light = () if kind == "saliency" else LIGHT
    own = () if kind == "dataset" else (f"--{flag_of(kind)}", name)
    installed.segkit("run", *pictures, *light, *own, *QUIET, cwd=folder)
    (line,) = (out / "results.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["status"] == "ok"
    recipe = (out / "recipe.toml").read_text(encoding="utf-8")
    assert f'distribution = "{distribution}"' in recipe
    if kind == "metric":
        scores = json.loads((out / "summary.json").read_text(encoding="utf-8"))["scores"]
        assert scores.keys() == {name}
    if kind == "writer":
        table = (out / f"{name}.csv").read_text(encoding="utf-8").splitlines()
        assert table[0] == "image,class,pixels,share"
        assert table[1].startswith("shapes-00000,")


def test_a_prompt_strategy_goes_from_nothing_to_a_run(tmp_path):
    """The quick one of the ten, beside the segkit that is under test."""
    made = new_environment(tmp_path)
    made.make("prompt")
    check_whole(made, "prompt", tmp_path)


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> Environment:
    """segkit's own wheel, and beside it the ten that this wheel's `new-plugin` has made."""
    made = new_environment(tmp_path_factory.mktemp("together"))
    made.install(ROOT)
    where = [sys.executable, "-c", "import segkit, segkit_plugins; print(segkit.__file__)"]
    assert Path(passed(where, made.sources, made.site).strip()).is_relative_to(made.site)
    made.make(*KINDS)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_goes_from_nothing_to_a_run_beside_the_others(together, kind, tmp_path):
    check_whole(together, kind, tmp_path)
