"""The docs say what the program does: the reference is current, the code blocks run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))


def test_the_reference_is_current():
    done = subprocess.run(
        [sys.executable, "docs/make_reference.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + "\nrun: python docs/make_reference.py"


def test_the_tutorial_runs_as_it_stands(tmp_path):
    text = (ROOT / "docs/tutorial.md").read_text()
    module = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    (tmp_path / "warm_centre.py").write_text(module)
    commands = [
        line
        for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]
    assert commands
    for command in commands:
        words = shlex.split(command)
        if "shapes" in words:
            words += ["--shapes.count", "2"]
        elif "-o" in words:
            words += ["--samples.only", "cat"]
        assert words[0] == "segkit"
        done = subprocess.run(
            [sys.executable, "-m", "segkit.cli.main", *words[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert (tmp_path / "try-it/report.html").exists()


@pytest.mark.parametrize("page", [*DOCS, ROOT / "README.md"], ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [*DOCS, ROOT / "README.md"], ids=lambda p: p.name)
def test_flags_in_the_docs_exist(page):
    """Every `--name.option` that a page mentions is an option of a bundled plugin, or of train."""
    from segkit import Catalog
    from segkit.catalog import FLAGS
    from segkit.training.settings import Settings

    catalog = Catalog(third_party=False)
    known = set()
    for entry in catalog.entries():
        if entry.kind != "observer":
            for field in catalog.load_entry(entry).model_fields:
                option = field.replace("_", "-")
                for prefix in (entry.name, f"{FLAGS[entry.kind]}.{entry.name}"):
                    known |= {f"--{prefix}.{option}", f"--{prefix}.no-{option}"}
    for field in Settings.model_fields:
        option = field.replace("_", "-")
        known |= {f"--train.{option}", f"--train.no-{option}"}
    text = page.read_text()
    own = {"--warm-centre.level"} if page.name == "tutorial.md" else set()
    for flag in re.findall(r"--[a-z0-9-]+(?:\.[a-z0-9-]+)+", text):
        assert flag in known | own, flag


def test_the_how_tos_python_runs(tmp_path):
    text = (ROOT / "docs/how-to.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    from skimage import data, io

    io.imsave(tmp_path / "photo.jpg", data.astronaut())
    code += "\nprint(result.labels.ids.shape, [row.recipe for row in board.rows])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(512, 512) [")
    assert "'centroid-grid'" in done.stdout


def test_the_readmes_plugin_works(tmp_path):
    text = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "brightest.py").write_text(code)
    words = "run --plugin brightest.py --prompt brightest --brightest.k 2 --samples.only cat -o o"
    done = subprocess.run(
        [sys.executable, "-m", "segkit.cli.main", *words.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
