"""Installing packages of plugins into the Python that runs segkit, by pip or, without it, by uv."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from segkit.errors import SegkitError, UsageError, did_you_mean
from segkit.kinds import API_GROUP, BUNDLED
from segkit.plugins.packages import installed, normalised, same_distribution


def installer() -> list[str]:
    """The beginning of a command that installs into this Python.

    Raises `UsageError` where there is neither pip nor uv.
    """
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    uv = shutil.which("uv")
    if uv is None:
        raise UsageError(
            f"there is neither pip in {sys.executable} nor uv on the path to install with; run "
            f"{sys.executable} -m ensurepip"
        )
    return [uv, "pip"]


def install(
    names: Sequence[str],
    *,
    editable: Sequence[str] = (),
    upgrade: bool = False,
    index: str | None = None,
    verbose: bool = False,
) -> None:
    """Install packages: names with or without versions, wheels, folders, addresses.

    `editable` are folders whose files stay where they are; `index` is the address of an index in
    place of the usual one; `verbose` shows what pip does, else only what it complains of. Raises
    `UsageError` for nothing to do, `SegkitError` where it fails.
    """
    if not (names or editable):
        raise UsageError("there is nothing to install; name a package, such as segkit-warm-centre")
    _check(names)
    options = [] if verbose else ["--quiet"]
    options += ["--upgrade"] if upgrade else []
    options += ["--index-url", index] if index else []
    for folder in editable:
        options += ["--editable", folder]
    _run("install", [*options, *names], [*editable, *names])


def uninstall(names: Sequence[str]) -> None:
    """Uninstall packages. Raises `SegkitError` where it fails."""
    _run("uninstall", names, names)


def check_removable(names: Sequence[str]) -> None:
    """Raise `UsageError` for a package that has no plugins, or is segkit itself."""
    _check(names)
    packages = packages_with_plugins()
    for name in names:
        if same_distribution(name, BUNDLED):
            raise UsageError("segkit does not uninstall itself; to remove it: pip uninstall segkit")
        if normalised(name) not in {normalised(known) for known in packages}:
            known = {name: name for name in packages}
            known |= {plugin: name for name, plugins in packages.items() for _, plugin in plugins}
            hint = did_you_mean(name, known, f"to remove it: pip uninstall {name}")
            raise UsageError(f"no package '{name}' with plugins is installed; {hint}")


def packages_with_plugins() -> dict[str, list[tuple[str, str]]]:
    """Each installed package of others with its plugins: kind and name."""
    return {
        package.name: [
            (point.group.partition(".")[2], point.name)
            for point in points
            if point.group.startswith(f"{BUNDLED}.") and point.group != API_GROUP
        ]
        for package, points in installed()
        if package.name != BUNDLED
    }


def _check(names: Sequence[str]) -> None:
    for name in names:
        if name.startswith("-"):
            raise UsageError(f"'{name}' is no package; options are those of --help")


def _run(what: str, arguments: Sequence[str], named: Sequence[str]) -> None:
    """Let pip or uv do it; what they say is shown as they say it."""
    start = installer()
    who = "pip" if start[-2:] == ["-m", "pip"] else "uv"
    own = ["--python", sys.executable] if who == "uv" else []
    own += ["--yes"] if (what, who) == ("uninstall", "pip") else []  # it was asked before
    done = subprocess.run([*start, what, *own, *arguments], check=False)
    if done.returncode:
        raise SegkitError(
            f"{who} could not {what} {', '.join(named)} (exit code {done.returncode}); what is in "
            "the way stands above"
        )
