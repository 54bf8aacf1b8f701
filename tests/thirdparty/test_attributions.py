"""A package of six plugins by others: built, installed, tested as its author does, used."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from conftest import Done, finished

EXAMPLE = Path(__file__).parents[2] / "examples" / "segkit-attributions"
NAMES = ["chefer", "dino-attention", "gscorecam", "refinecam", "rollout", "tokencut"]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder into which pip has installed its wheel."""
    wheels, target = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index", "--quiet"]
    build = [*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", str(wheels)]
    done = finished([*build, str(EXAMPLE)], wheels, os.environ)
    assert done.code == 0, done.err
    (wheel,) = wheels.glob("*.whl")
    done = finished([*pip, "install", *offline, "-t", str(target), str(wheel)], wheels, os.environ)
    assert done.code == 0, done.err
    return target


def test_all_six_are_found_and_sound(segkit):
    done = segkit("list-plugins", "--check", "--only", "segkit-attributions", "--json")
    assert done.code == 0, done.err
    rows = [row for row in json.loads(done.out) if row["distribution"] == "segkit-attributions"]
    assert [row["name"] for row in rows] == NAMES
    assert {(row["kind"], row["status"]) for row in rows} == {("saliency", "ok")}


def own_tests(site: Path, *arguments: str) -> Done:
    """Its own tests, run in its own folder on what is installed."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("SEGKIT_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return finished(command, EXAMPLE, env | {"PYTHONPATH": str(site)})


@pytest.mark.slow
def test_its_methods_equal_their_references(site):
    pytest.importorskip("timm")
    files = ("tests/test_transformers.py", "tests/test_cams.py")
    done = own_tests(site, *files, "-k", "rollout or chefer or tokencut or one_layer_alone")
    assert done.code == 0, done.out + done.err
    assert " passed" in done.out


@pytest.mark.slow
def test_its_own_tests_pass(site):
    done = own_tests(site)
    assert done.code == 0, done.out + done.err


def test_one_takes_part_in_a_run_and_is_recorded(segkit, tmp_path):
    done = segkit(
        *("run", "--dataset", "shapes", "--shapes.count", "2", "--shapes.size", "64"),
        *("--saliency", "gscorecam", "--gscorecam.model", "shapes", "--gscorecam.channels", "4"),
        *("--gscorecam.size", "64", "--segmenter", "threshold", "--metric", "pointing-game"),
        *("--device", "cpu", "--quiet", "-o", "out"),
    )
    assert done.code == 0, done.err
    recipe = (tmp_path / "out" / "recipe.toml").read_text()
    assert 'distribution = "segkit-attributions"' in recipe
    scores = json.loads((tmp_path / "out" / "summary.json").read_text())["scores"]
    assert scores.keys() == {"pointing-game"}


def test_a_network_that_will_not_do_is_a_sentence(segkit, tmp_path):
    done = segkit(
        *("run", "--dataset", "shapes", "--shapes.count", "1", "--saliency", "tokencut"),
        *("--tokencut.model", "shapes", "--device", "cpu", "-o", "out"),
    )
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "Error: saliency 'tokencut' from segkit-attributions 1.0: --tokencut.model shapes is no "
        "vision transformer that can be looked into (it has no blocks of attention with a head "
        "behind them); choose another one, such as timm:vit_small_patch16_224\n"
    )
    assert not (tmp_path / "out").exists()
