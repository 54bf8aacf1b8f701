"""Test the plugins of docs/others.toml with the kit: python docs/others.py [DISTRIBUTION]...

Those distributions, or all that are installed, are tested as their authors would, and what came of
it is noted in the list. The page is written by make_reference.py.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LIST = Path(__file__).with_name("others.toml")
NEEDED = ("kind", "name", "distribution", "author", "what")

TEST = """
from segkit.testing import Conformance


class TestOther(Conformance):
    plugin = "{distribution}:{name}"
    kind = "{kind}"
"""


def listed(path: Path = LIST) -> list[dict[str, Any]]:
    """The plugins, each with what the page shows. Raises `ValueError` for one that lacks some."""
    plugins: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))["plugin"]
    for plugin in plugins:
        missing = [key for key in NEEDED if not isinstance(plugin.get(key), str)]
        if missing:
            name = plugin.get("name", "a plugin")
            raise ValueError(f'{path.name}: {name} has no {missing[0]}; add {missing[0]} = "…"')
    return plugins


def page(path: Path = LIST) -> list[str]:
    """The lines of the page."""
    out = [
        "# Plugins by others",
        "",
        "`segkit install DISTRIBUTION` installs one. *Tested* says what",
    ]
    out += [
        "segkit's kit found of it, with which segkit; what a plugin is good for, its author says."
    ]
    out += [
        "How to [write one](../write/index.md); to have it listed, add it to `docs/others.toml`.",
        "",
    ]
    out += [
        "| plugin | kind | what it does | by | distribution | tested |",
        "|---|---|---|---|---|---|",
    ]
    for plugin in sorted(listed(path), key=lambda p: (p["kind"], p["name"])):
        cells = {key: str(plugin[key]).replace("|", r"\|") for key in NEEDED}
        package = cells["distribution"]
        if "address" in plugin:
            package = f"[{package}]({plugin['address']})"
        out.append(
            f"| `{cells['name']}` | {cells['kind']} | {cells['what']} | {cells['author']} "
            f"| {package} | {_outcome(plugin)} |"
        )
    return out


def _outcome(plugin: dict[str, Any]) -> str:
    tested = plugin.get("tested")
    if not tested:
        return "not yet"
    failed = f", **{tested['failed']} failed**" if tested["failed"] else ""
    return (
        f"{tested['version']} with segkit {tested['segkit']}: {tested['passed']} tests "
        f"passed{failed}"
    )


def test(plugin: dict[str, Any]) -> dict[str, Any]:
    """Run the kit on an installed plugin; what came of it.

    `tests`, where a plugin has it, is its author's subclass of the kit, PATH::CLASS in this
    repository, for a plugin that needs files or options.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, report = Path(folder, "test_other.py"), Path(folder, "report.xml")
        file.write_text(TEST.format(**plugin), encoding="utf-8")
        which = str(LIST.parents[1] / plugin["tests"]) if "tests" in plugin else str(file)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        subprocess.run([*command, f"--junitxml={report}", which], cwd=folder, check=False)
        (suite,) = ElementTree.parse(report).getroot().iter("testsuite")
    count = {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    return {
        "version": version(plugin["distribution"]),
        "segkit": version("segkit"),
        "passed": count["tests"] - failed - count["skipped"],
        "failed": failed,
    }


def note(distributions: list[str], path: Path = LIST) -> int:
    """Test what is installed of these, or of all, and write it into the list; how many failed."""
    import tomli_w

    text = path.read_text(encoding="utf-8")
    comment = text[: text.index("[[plugin]]")]
    plugins = listed(path)
    unknown = [d for d in distributions if d not in {p["distribution"] for p in plugins}]
    if unknown:
        raise SystemExit(f"{unknown[0]} is not in {path.name}; add a table for it first")
    failed = 0
    for plugin in plugins:
        if distributions and plugin["distribution"] not in distributions:
            continue
        try:
            version(plugin["distribution"])
        except PackageNotFoundError:
            print(f"{plugin['distribution']} is not installed; it keeps what stands there")
            continue
        plugin["tested"] = test(plugin)
        failed += plugin["tested"]["failed"]
        print(f"{plugin['name']}: {_outcome(plugin)}")
    tables = (f"[[plugin]]\n{tomli_w.dumps(plugin)}" for plugin in plugins)
    tables = (table.replace("\n[tested]", "\n[plugin.tested]") for table in tables)
    path.write_text(comment + "\n".join(tables), encoding="utf-8")
    return failed


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv}:
        print(__doc__)
        sys.exit(0)
    sys.exit(min(1, note(sys.argv[1:])))
