"""One more plugin for a package that is there: its module, its tests and its entry point."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.errors import UsageError
from segkit.tools import scaffold

if TYPE_CHECKING:
    from segkit.tools.plugin_file import PluginFile

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Joined:
    """What a package has got."""

    module: str
    """The path of the plugin's module inside the folder."""
    by_hand: tuple[str, ...]
    """What its author has to change in pyproject.toml."""


def join(folder: Path, kind: str, name: str, source: PluginFile | None = None) -> Joined:
    """Add a plugin to the package in a folder; what is there stays as it is.

    `kind`, `name` and `source` as `scaffold.files` takes them. Raises `UsageError` for a folder
    that holds no package of plugins, or one that has such a plugin or file already.
    """
    project = folder / "pyproject.toml"
    text, about = _read(folder, project)
    package = _package(folder)
    files = scaffold.plugin_files(kind, name, package, source)
    module, test = files
    plugins = source.plugins if source else None
    offered = [(p.kind, p.name) for p in plugins] if plugins else [(kind, name)]
    target = f"{package}.{Path(module).stem}"
    for own_kind, own_name in offered:
        entries = about["project"].get("entry-points", {}).get(f"segkit.{own_kind}", {})
        if own_name in entries:
            raise UsageError(
                f"--into {folder}: it has a {own_kind} plugin '{own_name}' already, in "
                f"{entries[own_name]}; choose another name"
            )
        text = _with_entry(text, f"segkit.{own_kind}", own_name, target)
    for path in (module, test):
        if (folder / path).exists():
            raise UsageError(
                f"--into {folder}: {path} is there already and stays as it is; choose another name"
            )
    _check_entries(folder, text, offered, target)
    try:
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content, encoding="utf-8", newline="\n")
        project.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(
            f"--into {folder}: it cannot be written ({error.strerror or error}); see to that first"
        ) from None
    return Joined(module, tuple(_by_hand(about, kind, source)))


def _read(folder: Path, project: Path) -> tuple[str, dict[str, Any]]:
    """The text of pyproject.toml, and what it says."""
    try:
        text = project.read_text(encoding="utf-8")
        about = tomllib.loads(text)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"--into {folder}: its pyproject.toml cannot be read ({why}); name the folder of a "
            "package, or leave --into out for a new one"
        ) from None
    if "name" not in about.get("project", {}):
        raise UsageError(
            f"--into {folder}: its pyproject.toml has no [project] with a name; name the folder of "
            "a package, or leave --into out for a new one"
        )
    return text, about


def _package(folder: Path) -> str:
    """The one package below src."""
    packages = sorted(path.parent.name for path in folder.glob("src/*/__init__.py"))
    if len(packages) != 1:
        there = ", ".join(packages) or "none"
        raise UsageError(
            f"--into {folder}: one package is looked for in its folder src, and there is {there}; "
            "add the plugin by hand, or make a package with segkit new-plugin"
        )
    return packages[0]


def _with_entry(text: str, group: str, name: str, target: str) -> str:
    """pyproject.toml with one more entry point, behind those of its group."""
    entry = f'{name} = "{target}"\n'
    table = rf'^\[project\.entry-points\."?{re.escape(group)}"?\][^\n]*\n(?:[^\n\[]+\n)*'
    found = re.search(table, text if text.endswith("\n") else text + "\n", re.MULTILINE)
    if found:
        return text[: found.end()] + entry + text[found.end() :]
    return f'{text.rstrip()}\n\n[project.entry-points."{group}"]\n{entry}'


def _check_entries(folder: Path, text: str, offered: list[tuple[str, str]], target: str) -> None:
    """Refuse a pyproject.toml that would not say what it should."""
    try:
        groups = tomllib.loads(text)["project"]["entry-points"]
        said = all(groups[f"segkit.{kind}"][name] == target for kind, name in offered)
    except (ValueError, KeyError, TypeError):
        said = False
    if not said:
        kind, name = offered[0]
        raise UsageError(
            f"--into {folder}: its pyproject.toml has entry points in a form that is not known; "
            f'add {name} = "{target}" to the group segkit.{kind} by hand'
        )


def _by_hand(about: dict[str, Any], kind: str, source: PluginFile | None) -> list[str]:
    """Dependencies and a version of the plugin API that pyproject.toml does not have yet."""
    required = {
        re.split(r"[^A-Za-z0-9._-]", one)[0].lower()
        for one in about["project"].get("dependencies", ())
    }
    lines = [
        f"# add {one} to dependencies in pyproject.toml"
        for one in scaffold.imports_of(kind, source)
        if one.lower() not in required
    ]
    api = scaffold.api_of(kind, source)
    said = about["project"].get("entry-points", {}).get("segkit.api", {})
    if said and f"v{api}" not in said and max(said) < f"v{api}":
        lines.append(f"# raise {max(said)} to v{api} under segkit.api in pyproject.toml")
    return lines
