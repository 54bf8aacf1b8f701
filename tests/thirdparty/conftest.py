"""Real wheels of third parties, good and broken, installed beside segkit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "segkit-corners"
DISTS = Path(__file__).parent / "dists"

BRIGHTNESS = '''\
"""Brightness as a heatmap: quick, and nothing has to be loaded."""

import numpy as np

from segkit import Heatmap, Image, Saliency, hookimpl


class Brightness(Saliency):
    """The mean of red, green and blue."""

    name = "brightness"

    def __call__(self, image: Image) -> Heatmap:
        return Heatmap(image.pixels.mean(axis=2, dtype=np.float32) / 255)


@hookimpl
def segkit_saliency():
    return [Brightness]
'''

LOG_EXECUTED_FILES = """\
import os
import sys

log = open(os.environ["EXECUTED_FILES"], "a", buffering=1)
sys.addaudithook(lambda event, args: event == "exec" and log.write(f"{args[0].co_filename}\\n"))
"""


@dataclass(frozen=True)
class Done:
    """What a finished command left."""

    code: int
    out: str
    err: str


def finished(command: list[str], cwd: Path, env: Mapping[str, str]) -> Done:
    """Run a command to its end."""
    done = subprocess.run(
        command, cwd=cwd, env=dict(env), capture_output=True, text=True, encoding="utf-8"
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """A folder into which pip has installed the example and all distributions of `dists`."""
    wheels, target = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check"]
    sources = [str(EXAMPLE), *(str(p) for p in sorted(DISTS.iterdir()))]
    offline = ["--no-deps", "--no-index", "--quiet"]
    built = finished(
        [*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", str(wheels), *sources],
        wheels,
        os.environ,
    )
    assert built.code == 0, built.err
    files = [str(p) for p in sorted(wheels.glob("*.whl"))]
    assert len(files) == len(sources)
    command = [*pip, "install", *offline, "--target", str(target), *files]
    installed = finished(command, wheels, os.environ)
    assert installed.code == 0, installed.err
    return target


@pytest.fixture
def python(site, tmp_path):
    """Runs Python in an environment that has all of them; keywords add environment variables."""

    def run(*arguments: str, path: tuple[Path, ...] = (), **variables: str) -> Done:
        env = {k: v for k, v in os.environ.items() if not k.startswith("SEGKIT_")}
        env["PYTHONPATH"] = os.pathsep.join(str(p) for p in (*path, site))
        return finished([sys.executable, *arguments], tmp_path, env | variables)

    return run


@pytest.fixture
def segkit(python):
    """Runs the command `segkit` there."""

    def run(*arguments: str, **more) -> Done:
        return python("-m", "segkit.cli.main", *arguments, **more)

    return run


@pytest.fixture
def executed(segkit, tmp_path):
    """Runs `segkit` and returns the Python files that were executed for it, with what it left."""
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(LOG_EXECUTED_FILES)
    log = tmp_path / "executed.txt"

    def run(*arguments: str, **variables: str) -> tuple[Done, list[Path]]:
        log.write_text("")
        variables["EXECUTED_FILES"] = str(log)
        done = segkit(*arguments, path=(tmp_path / "watch",), **variables)
        return done, [Path(line) for line in log.read_text().splitlines()]

    return run


@pytest.fixture
def quick(segkit, tmp_path):
    """Runs a prompt strategy on two generated pictures without any network."""
    (tmp_path / "brightness.py").write_text(BRIGHTNESS)

    def run(*arguments: str, **more) -> Done:
        steps = ["--dataset", "shapes", "--shapes.count", "2", "--shapes.size", "32"]
        steps += ["--plugin", "brightness.py", "--saliency", "brightness"]
        steps += ["--segmenter", "threshold", "--metric", "hit-rate", "--write", "none"]
        return segkit("run", *steps, "-o", "out", *arguments, **more)

    return run
