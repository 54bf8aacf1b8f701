"""Whether an installation is sound: versions, extras, devices, weights, plugins, places to write.

Each check gives rows and never raises: what is broken is what it is there to tell.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from segkit.errors import error_line, plugin_code
from segkit.kinds import BUNDLED, COMMAND, OBSERVER
from segkit.plugins.catalog import Catalog
from segkit.plugins.entries import Entry
from segkit.plugins.weights import Weights, cache_folder
from segkit.tools.probing import probe_elsewhere
from segkit.values.files import sha256

if TYPE_CHECKING:
    from packaging.requirements import Requirement

OK, ABSENT, WARNING, BROKEN = "ok", "absent", "warning", "broken"
"""What a row may be: fine; left out of the installation, as is allowed; not fine, though segkit
itself works; something of segkit itself that does not work."""

SHOWN = ("torch", "torchvision", "numpy")
"""Libraries with a row of their own, besides those that are wrong."""

ROOM = 1_000_000_000
"""Bytes that should be free where segkit writes."""

MISSING = "is not installed"

MANY = 3
"""Up to so many broken plugins of one distribution have a row each."""

MEND = "python -m pip install --force-reinstall segkit"


@dataclass(frozen=True)
class Row:
    """One thing that was looked at."""

    group: str
    name: str
    status: str
    """`ok`, `absent`, `warning` or `broken`."""
    found: str
    """What is there, or what is wrong."""
    advice: str = ""
    """What to do, of what is not fine."""


def examine(catalog: Catalog, output: Path = Path("segkit-out")) -> Iterator[Row]:
    """All rows, group by group. `output`: where runs are written."""
    checks: tuple[tuple[str, Callable[[], Iterable[Row]]], ...] = (
        ("versions", versions),
        ("extras", extras),
        ("devices", devices),
        ("plugins and weights", lambda: plugins_and_weights(catalog)),
        ("places", lambda: places(output)),
    )
    for group, check in checks:
        try:
            yield from check()
        except Exception as error:  # a check that fails must not hide the others
            yield Row(
                group,
                "check",
                BROKEN,
                f"could not be done: {error_line(error)}",
                f"reinstall: {MEND}",
            )


# ---- versions and extras ----------------------------------------------------------------------


def versions() -> Iterator[Row]:
    """Python, segkit, and the libraries that every installation needs."""
    group = "versions"
    here = platform.python_version()
    try:
        ours = metadata.metadata(BUNDLED)
    except metadata.PackageNotFoundError:
        yield Row(
            group,
            BUNDLED,
            BROKEN,
            "is not installed, only its files are found",
            "in its folder: python -m pip install -e .",
        )
        return
    from packaging.specifiers import SpecifierSet

    wanted = ours["Requires-Python"] or ""
    if SpecifierSet(wanted).contains(here, prereleases=True):
        yield Row(group, "python", OK, here)
    else:
        advice = f"make an environment with Python {wanted}"
        yield Row(group, "python", BROKEN, f"{here}, but segkit needs {wanted}", advice)
    yield Row(group, BUNDLED, OK, f"{ours['Version']} in {Path(__file__).parent}")
    fine = 0
    for requirement in _requirements(""):
        problem = _problem(requirement)
        if problem is not None:
            line = f"python -m pip install '{requirement.name}{requirement.specifier}'"
            yield Row(group, requirement.name, BROKEN, problem, line)
        elif requirement.name in SHOWN:
            yield Row(group, requirement.name, OK, metadata.version(requirement.name))
        else:
            fine += 1
    yield Row(group, "other libraries", OK, f"{fine} that segkit needs are here")


def extras() -> Iterator[Row]:
    """Each extra of the distribution's metadata, and what it lacks."""
    for extra in metadata.metadata(BUNDLED).get_all("Provides-Extra") or ():
        wanted = _requirements(extra)
        problems = {r.name: problem for r in wanted if (problem := _problem(r)) is not None}
        if not problems:
            here = ", ".join(f"{r.name} {metadata.version(r.name)}" for r in wanted[:3])
            more = f" and {len(wanted) - 3} more" if len(wanted) > 3 else ""
            yield Row("extras", extra, OK, (here + more) or "needs nothing on this machine")
            continue
        old = {name: problem for name, problem in problems.items() if problem != MISSING}
        line = f"pip install 'segkit[{extra}]'"
        if old:
            text = "; ".join(f"{name} {problem}" for name, problem in old.items())
            yield Row("extras", extra, WARNING, text, line)
        else:
            yield Row("extras", extra, ABSENT, f"without {', '.join(problems)}", line)


def _requirements(extra: str) -> list[Requirement]:
    """What segkit's metadata asks for on this machine: always (""), or for an extra alone."""
    from packaging.requirements import Requirement

    requirements: dict[str, Requirement] = {}
    for line in metadata.requires(BUNDLED) or ():
        requirement = Requirement(line)
        always = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        now = always if not extra else not always and _applies(requirement, extra)
        if not now:
            continue
        if requirement.name == BUNDLED:  # an extra that is made of others
            for other in sorted(requirement.extras):
                requirements |= {r.name: r for r in _requirements(other)}
        else:
            requirements[requirement.name] = requirement
    return list(requirements.values())


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is not None and requirement.marker.evaluate({"extra": extra})


def _problem(requirement: Requirement) -> str | None:
    """Why a library does not meet what is asked of it; None if it does."""
    from packaging.version import Version

    try:
        version = Version(metadata.version(requirement.name))
        fits = requirement.specifier.contains(version, prereleases=True)
    except metadata.PackageNotFoundError:
        return MISSING
    except Exception:  # of a damaged installation the version may be missing or make no sense
        return "is damaged: it does not say which version it is"
    return None if fits else f"is {version}, but {requirement.specifier} is needed"


# ---- devices ----------------------------------------------------------------------------------


def devices() -> Iterator[Row]:
    """What torch can compute on, asked in a process of its own."""
    group = "devices"
    probed = probe_elsewhere()
    if "error" in probed:
        yield Row(
            group,
            "torch",
            BROKEN,
            f"cannot be loaded: {probed['error']}",
            "python -m pip install --force-reinstall torch torchvision",
        )
        return
    bf16 = "computes bfloat16 in hardware" if probed["bf16"] else "no bfloat16 in hardware"
    yield Row(
        group, "cpu", OK, f"{probed['threads']} threads, {probed['cores']} cores seen, {bf16}"
    )
    for name, problem in probed["broken"].items():
        yield Row(
            group,
            name,
            BROKEN,
            f"cannot be loaded: {problem}",
            "install both for each other: python -m pip install --force-reinstall torch "
            "torchvision",
        )
    for device in probed["devices"]:
        if device["error"]:
            yield Row(
                group,
                device["name"],
                WARNING,
                f"{device['what']} fails: {device['error']}",
                "use --device cpu, or install a torch that is built for it",
            )
        else:
            yield Row(group, device["name"], OK, device["what"])
    if not probed["devices"]:
        driver = shutil.which("nvidia-smi")
        if driver:
            built = f"built for CUDA {probed['cuda']}" if probed["cuda"] else "built without CUDA"
            yield Row(
                group,
                "cuda",
                WARNING,
                f"there is a driver ({driver}), but torch, {built}, finds no GPU",
                "see that nvidia-smi lists one, and install the torch built for its driver "
                "(pytorch.org/get-started)",
            )
        else:
            yield Row(group, "gpu", ABSENT, "none that torch can use; the cpu does all work")


# ---- plugins and weights ----------------------------------------------------------------------


def plugins_and_weights(catalog: Catalog) -> Iterator[Row]:
    """Each plugin that does not work, and the weight files of those that do."""
    entries = (*catalog.entries(), *catalog.entries(COMMAND))
    checked = [catalog.check(entry) for entry in entries]
    if BUNDLED not in {entry.distribution for entry in checked}:
        yield Row("plugins", BUNDLED, BROKEN, "none of its own plugins is found", MEND)
    for distribution in sorted({e.distribution for e in checked}, key=lambda d: (d != BUNDLED, d)):
        of_it = [entry for entry in checked if entry.distribution == distribution]
        good = sum(entry.status == OK for entry in of_it)
        if good:
            plural = "" if good == 1 else "s"
            yield Row("plugins", distribution, OK, f"{good} plugin{plural} that can be loaded")
        broken = [_plugin_row(entry) for entry in of_it if entry.status == BROKEN]
        if len(broken) > MANY:  # they have one cause, such as a library
            first = broken[0]
            text = f"{len(broken)} plugins do not work; the first: {first.found}"
            broken = [Row("plugins", distribution, first.status, text, first.advice)]
        yield from broken
        yield from (_plugin_row(entry) for entry in of_it if entry.status not in (OK, BROKEN))
    yield from damaged_distributions()
    known: dict[str, Weights] = {}
    for entry in checked:
        if entry.kind in (OBSERVER, COMMAND) or entry.status in (BROKEN, "unsupported"):
            continue
        try:
            with plugin_code():
                for weights in catalog.load_entry(entry).known_weights():
                    known.setdefault(weights.name, weights)
        except Exception as error:
            yield Row(
                "weights",
                entry.full_name,
                BROKEN if entry.distribution == BUNDLED else WARNING,
                f"cannot say which files it knows: {error_line(error)}",
                MEND if entry.distribution == BUNDLED else _without(entry),
            )
    yield from weight_files(known.values())


def damaged_distributions() -> Iterator[Row]:
    """Distributions that offer plugins, but whose metadata makes no sense, so none is found."""
    for distribution in metadata.distributions():
        try:
            points = distribution.read_text("entry_points.txt") or ""
            if "[segkit." not in points:
                continue
            _ = distribution.entry_points
            problem = "" if distribution.name and distribution.version else "no name or no version"
        except Exception as error:
            problem = error_line(error)
        if problem:
            where = str(getattr(distribution, "_path", "one of the installed packages"))
            yield Row(
                "plugins",
                Path(where).name,
                WARNING,
                f"its plugins are not found, for its metadata in {where} is damaged: {problem}",
                "install it again, or delete that folder",
            )


def _plugin_row(entry: Entry) -> Row:
    """The row of a plugin that is broken, or whose name is another's too."""
    error = entry.error or ""
    if entry.status != BROKEN:
        problem, _, advice = error.partition("; ")
        return Row("plugins", entry.full_name, WARNING, problem, advice)
    if entry.distribution == BUNDLED:
        return Row("plugins", entry.full_name, BROKEN, error, MEND)
    return Row("plugins", entry.full_name, WARNING, error, _without(entry))


def _without(entry: Entry) -> str:
    if entry.target.endswith(".py"):
        return "mend the file, or leave out --plugin"
    return f"update it, or remove it: python -m pip uninstall {entry.distribution}"


def weight_files(known: Iterable[Weights]) -> Iterator[Row]:
    """The bundled files by their SHA-256, fetched ones by their size."""
    group = "weights"
    whole: list[str] = []
    absent: list[str] = []
    for weights in known:
        if weights.status == "bundled":
            try:
                right = sha256(weights.path) == weights.sha256
                problem = "" if right else f"{weights.path} is not the file that it should be"
            except OSError as error:
                problem = f"{weights.path} cannot be read: {error.strerror or error}"
            if problem:
                yield Row(group, weights.name, BROKEN, problem, MEND)
            else:
                whole.append(weights.name)
        elif weights.status == "here":
            size = weights.path.stat().st_size
            if size == weights.size:
                yield Row(group, weights.name, OK, f"fetched, {size / 1e6:,.1f} MB")
            else:
                yield Row(
                    group,
                    weights.name,
                    WARNING,
                    f"{weights.path} has {size:,} bytes, not {weights.size:,}",
                    f"delete it and fetch it again: segkit weights fetch {weights.name}",
                )
        elif weights.status == "partly here":
            advice = f"go on: segkit weights fetch {weights.name}"
            yield Row(group, weights.name, WARNING, "was fetched only in part", advice)
        else:
            absent.append(weights.name)
    if whole:
        yield Row(group, "bundled", OK, f"{', '.join(whole)}: SHA-256 is right")
    if absent:
        line = "segkit weights fetch NAME"
        yield Row(group, "not fetched", ABSENT, ", ".join(absent), line)


# ---- places -----------------------------------------------------------------------------------


def places(output: Path) -> Iterator[Row]:
    """Whether the folders that segkit writes to can be written, and how much room they have."""
    cache = cache_folder()
    sizes = [p.stat().st_size for p in cache.glob("*") if p.is_file()] if cache.is_dir() else []
    files = f"{len(sizes)} file{'' if len(sizes) == 1 else 's'}, {sum(sizes) / 1e6:,.1f} MB; "
    yield place("output", output.absolute(), "choose another folder by -o DIR")
    yield place("cache", cache, "choose another folder by $SEGKIT_CACHE", files)
    for name in sorted(n for n in os.environ if n.startswith("SEGKIT_")):
        yield Row("places", f"${name}", OK, os.environ[name] or "(empty)")


def place(name: str, folder: Path, advice: str, files: str = "") -> Row:
    """The row of one folder; it is not made, but tried by a file in what there is of it."""
    there = next(p for p in (folder, *folder.parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"segkit")
            file.flush()
        free = shutil.disk_usage(there).free
    except OSError as error:
        text = f"{folder} cannot be written: {error.strerror or error}"
        return Row("places", name, WARNING, text, advice)
    text = f"{folder} ({files}{free / 1e9:,.1f} GB free)"
    if free < ROOM:
        return Row("places", name, WARNING, text, f"make room, or {advice}")
    return Row("places", name, OK, text)
