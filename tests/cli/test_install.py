"""`segkit install` and `uninstall`, in an environment of their own with pip itself."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from segkit.tools import installing

WHEEL = "segkit_tiny-1.0-py3-none-any.whl"
FILES = {
    "segkit_tiny.py": '"""Nothing yet."""\n',
    "segkit_tiny-1.0.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: segkit-tiny\nVersion: 1.0\n"
    ),
    "segkit_tiny-1.0.dist-info/WHEEL": (
        "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    ),
    "segkit_tiny-1.0.dist-info/entry_points.txt": "[segkit.prompt]\ntiny = segkit_tiny\n",
    "segkit_tiny-1.0.dist-info/RECORD": "",
}


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """A package index in a folder, with one package of one plugin."""
    folder = tmp_path_factory.mktemp("index") / "segkit-tiny"
    folder.mkdir()
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        for name, text in FILES.items():
            wheel.writestr(name, text)
    (folder / "index.html").write_text(f'<a href="{WHEEL}">{WHEEL}</a>')
    return folder.parent


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A Python of its own that sees what this one has, and installs into itself."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    own = Path(sysconfig.get_path("stdlib"))
    paths = [p for p in map(Path, sys.path) if p.is_dir() and p.name != "lib-dynload" and p != own]
    (site / "these.pth").write_text("\n".join(map(str, paths)))
    return folder


@pytest.fixture
def run(environment, tmp_path):
    """`segkit ARGUMENTS` there: exit code, what was printed and what was complained of."""
    python = next(environment.glob("bin/python"))

    def call(*arguments):
        done = subprocess.run(
            [python, "-m", "segkit.cli.main", *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_DEPS": "1"},
        )
        return done.returncode, done.stdout, done.stderr

    return call


def test_a_package_comes_goes_and_is_named(run, index):
    code, out, err = run("install", "segkit-tiny", "--index-url", index.as_uri())
    assert code == 0, err
    assert out.splitlines()[-2:] == [
        "segkit-tiny brings --prompt tiny",
        "Does it work:  segkit list-plugins --check --only segkit-tiny",
    ]
    code, out, _ = run("list-plugins", "--only", "segkit-tiny")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[1:2]] == [["--prompt", "tiny"]]
    assert "topk" not in out
    code, out, err = run("uninstall", "tiny", "-y")
    assert (code, err) == (
        2,
        "Error: no package 'tiny' with plugins is installed; did you mean 'segkit-tiny'?\n",
    )
    assert run("uninstall", "Segkit_Tiny", "-y")[0] == 0
    code, _, err = run("list-plugins", "--only", "segkit-tiny")
    assert (code, "no installed package or plugin has that name" in err) == (2, True)


def test_a_wheel_may_be_named(run, index):
    assert run("install", index / "segkit-tiny" / WHEEL)[0] == 0
    assert run("uninstall", "segkit-tiny", "--yes")[0] == 0


def test_what_pip_cannot_do_is_one_sentence_more(run, index):
    code, _, err = run("install", "segkit-huge", "--index-url", index.as_uri())
    assert code == 1
    assert err.splitlines()[-1] == (
        "Error: pip could not install segkit-huge (exit code 1); what is in the way stands above"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("install",), "there is nothing to install; name a package, such as segkit-warm-centre"),
        (
            ("uninstall", "segkit", "-y"),
            "segkit does not uninstall itself; to remove it: pip uninstall segkit",
        ),
        (
            ("uninstall", "numpy", "-y"),
            "no package 'numpy' with plugins is installed; to remove it: pip uninstall numpy",
        ),
        (("install", "--", "--pre"), "'--pre' is no package; options are those of --help"),
    ],
)
def test_what_cannot_be_meant_is_refused(segkit, arguments, sentence):
    done = segkit(*arguments)
    assert (done.code, done.err) == (2, f"Error: {sentence}\n")


def test_without_pip_uv_does_it(monkeypatch):
    monkeypatch.setattr(installing, "find_spec", lambda name: None)
    monkeypatch.setattr(installing.shutil, "which", lambda name: f"/opt/{name}")
    assert installing.installer() == ["/opt/uv", "pip"]
    monkeypatch.setattr(installing.shutil, "which", lambda name: None)
    with pytest.raises(installing.UsageError, match=r"there is neither pip in .* nor uv"):
        installing.installer()
