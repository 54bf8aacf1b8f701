"""Every block of code of the pages runs, or says why not and is checked."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import PAGES, ROOT, Block, blocks, check_flags, label, lay_desk, on_little_data

from segkit import SegkitError
from segkit.cli.main import main

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

WITH_CODE = [page for page in PAGES if blocks(page)]


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    """A folder with all that the pages speak of, and we are in it."""
    lay_desk(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("SEGKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize("page", WITH_CODE, ids=label)
def test_the_blocks_run(page, desk, capsys):
    for block in blocks(page):
        if block.title is not None:
            Path(block.title).write_text(block.code, encoding="utf-8")
        if block.language == "toml":
            assert tomllib.loads(block.code), block.where
        elif block.language == "json":
            assert json.loads(block.code), block.where
        elif block.language == "yaml":
            assert pytest.importorskip("yaml").safe_load(block.code), block.where
        elif block.language == "python" and (block.title or block.why_not):
            compile(block.code, block.where, "exec")
        elif block.language == "python":
            exec(compile(block.code, block.where, "exec"), {"__name__": "__main__"})
        elif block.language == "bash":
            for words in block.commands:
                perform(block, words, capsys)


def perform(block: Block, words: list[str], capsys) -> None:
    """Run one command; one that needs more than the desk is only read."""
    told = f"{block.where}: {' '.join(words)}"
    if words[0] == "segkit" and block.why_not:
        own = () if words[1] in WITHOUT_FILES else own_plugins()
        check_flags([*words, *(w for file in own for w in ("--plugin", file))])
    elif words[0] == "segkit":
        with pytest.raises(SystemExit) as stop:
            main(on_little_data(words)[1:])
        printed = capsys.readouterr()
        assert int(stop.value.code or 0) == block.exit, f"{told}\n{printed.out}{printed.err}"
    elif block.why_not:
        assert shutil.which(words[0]) or words[0] in OTHERS, told
    elif words[0] == "python":
        runpy.run_path(words[1], run_name="__main__")
    elif words[0] == "cp":
        shutil.copy(words[1], words[2])
    elif words[0] == "pytest":
        assert Path(words[-1]).is_file(), told  # run below, all together
    else:
        pytest.fail(f"{told}: say why it is not run, in a comment before the block")


def own_plugins() -> list[str]:
    """The plugins on the desk: a block that is not run may speak of them as installed."""
    files = Path().glob("*.py")
    return [str(file) for file in files if "@hookimpl" in file.read_text(encoding="utf-8")]


WITHOUT_FILES = ("install", "uninstall", "new-plugin")
"""Commands that take no `--plugin`."""

OTHERS = {"cd", "eval", "export", "labelme", "twine", "mkdocs", "ray"}
"""Commands that blocks which are not run may name, though they need not be installed."""


def test_indented_commands_can_be_read(desk):
    """Commands that are indented and not fenced are not run; their flags exist all the same."""
    seen = 0
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            if re.match(r"    segkit [a-z]", line):
                check_flags(re.split(r" {3,}", line.strip())[0].split())
                seen += 1
    assert seen > 5


@pytest.mark.parametrize(
    ("fence", "code"),
    [
        ("bash", "segkit run --topk.z 1"),
        ("bash", "segkit rum"),
        ("bash", "segkit show prompt nobody"),
        ("bash", "make coffee"),
        ("bash", "python there_is_no_such_file.py"),
        ("python", "from segkit import Nothing"),
        ("toml", "[[prompt]"),
        ("json", "{]"),
        ("", "no language"),
    ],
)
def test_what_is_wrong_in_a_page_is_noticed(fence, code, desk, capsys, monkeypatch):
    monkeypatch.setattr("pages.label", str)
    page = desk / "page.md"
    page.write_text(f"# Page\n\n```{fence}\n{code}\n```\n")
    with pytest.raises((Exception, pytest.fail.Exception)):
        test_the_blocks_run(page, desk, capsys)
    if fence == "bash" and code.startswith("segkit r"):
        page.write_text(f"# Page\n\n<!-- not run: it is wrong -->\n```bash\n{code}\n```\n")
        with pytest.raises((SegkitError, AssertionError)):
            test_the_blocks_run(page, desk, capsys)


def test_flags_with_a_dot_exist():
    """Every `--name.option` that a page mentions, in code or not, is some plugin's, or train's."""
    from segkit import Catalog
    from segkit.kinds import KINDS, flag_of
    from segkit.training.settings import Settings

    catalog = Catalog(third_party=False)
    names = [field.replace("_", "-") for field in Settings.model_fields]
    known = {f"--train.{no}{name}" for name in names for no in ("", "no-")}
    known |= {f"--ray.{name}" for name in ("address", "cpus", "gpus", "chunk")}
    for entry in catalog.entries():
        if entry.kind in KINDS:
            for field in catalog.load_entry(entry).model_fields:
                option = field.replace("_", "-")
                for prefix in (entry.name, f"{flag_of(entry.kind)}.{entry.name}"):
                    known |= {f"--{prefix}.{option}", f"--{prefix}.no-{option}"}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        own = re.findall(r'^ +name = "([a-z0-9-]+)"$', text, re.MULTILINE)
        for flag in re.findall(r"--[a-z0-9-]+(?:\.[a-z0-9-]+)+", text):
            mine = any(flag.startswith(f"--{name}.") for name in own)
            assert flag in known or mine, f"{label(page)}: {flag}"


def test_the_plugins_of_the_pages_keep_their_contracts(tmp_path):
    """Every test file of the pages, beside the plugin that it tests, in one pytest."""
    wanted = []
    for page in PAGES:
        for block in blocks(page):
            if block.title and block.title.endswith(".py"):
                (tmp_path / block.title).write_text(block.code, encoding="utf-8")
            if block.language == "bash" and not block.why_not:
                wanted += [w for words in block.commands if words[0] == "pytest" for w in words[1:]]
    assert len(wanted) == len(set(wanted)) >= 12
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    done = subprocess.run(
        [*command, *wanted],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert ROOT not in tmp_path.parents
