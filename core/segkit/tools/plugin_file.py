"""A file of plugins that is to become a package: what it offers, and what it imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from segkit.errors import UsageError, did_you_mean
from segkit.kinds import BUNDLED, KINDS
from segkit.plugins.catalog import Catalog


@dataclass(frozen=True)
class Offered:
    """A plugin of the file."""

    kind: str
    name: str
    cls: str
    """Its class's name."""
    option: str = ""
    """One of its options; empty where it has none."""


@dataclass(frozen=True)
class PluginFile:
    """What a package is made of."""

    text: str
    summary: str
    """The first line of the file's docstring; empty without one."""
    plugins: tuple[Offered, ...]
    """The one that was named first."""
    dependencies: tuple[str, ...]
    """The distributions of what it imports, beside Python, segkit and pydantic."""


def read_plugin_file(path: Path, kind: str, name: str) -> PluginFile:
    """Load a file as `--plugin` does, and find out what its package needs.

    Raises `UsageError` where it offers no such plugin, or imports another file beside it, and
    `PluginError` where it cannot be loaded.
    """
    catalog = Catalog(third_party=False, files=(path,))
    entries = [e for e in catalog.entries() if e.target == str(path) and e.kind in KINDS]
    offered = [(entry.kind, entry.name) for entry in entries]
    if (kind, name) not in offered:
        known = {f"{k} {n}": f"segkit new-plugin {k} {n} --from {path}" for k, n in offered}
        there = ", ".join(f"the {k} '{n}'" for k, n in offered) or "an observer alone"
        hint = did_you_mean(f"{kind} {name}", known, f"it offers {there}")
        raise UsageError(f"--from {path} offers no {kind} plugin '{name}'; {hint}")
    plugins = []
    for entry in sorted(entries, key=lambda e: (e.kind, e.name) != (kind, name)):
        cls = catalog.load_entry(entry)
        option = next(iter(cls.model_fields), "")
        plugins.append(Offered(entry.kind, entry.name, cls.__name__, option))
    text = path.read_text(encoding="utf-8-sig")
    return PluginFile(text, entries[0].summary, tuple(plugins), tuple(_needed(path, text)))


def _needed(path: Path, text: str) -> Iterator[str]:
    """The distributions of the modules that are imported, anywhere in the file."""
    from importlib_metadata import packages_distributions

    owners = packages_distributions()
    for module in sorted({*_imported(ast.parse(text))}):
        if (path.parent / f"{module}.py").is_file() or (path.parent / module).is_dir():
            raise UsageError(
                f"--from {path} imports '{module}', which stands beside it and would not come "
                "along; put it into the same file, or into the package by hand"
            )
        if module in sys.stdlib_module_names or module in (BUNDLED, "pydantic"):
            continue
        distribution = next(iter(owners.get(module, ())), module.replace("_", "-"))
        if distribution != BUNDLED:  # its own plugins
            yield distribution


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
