"""A complete distribution for one plugin of one's own, made from templates.

Its module is a worked example of the kind, which its author changes into something else; until
then it installs, passes its tests and runs.
"""

from __future__ import annotations

import builtins
import json
import keyword
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.errors import UsageError, did_you_mean
from segkit.kinds import BUNDLED, KINDS, a, flag_of
from segkit.plugins import hookspecs
from segkit.plugins.entries import NAME
from segkit.tools.examples import EXAMPLES
from segkit.tools.plugin_file import Offered

if TYPE_CHECKING:
    from jinja2 import Environment

    from segkit.plugins.catalog import Catalog
    from segkit.tools.plugin_file import PluginFile


LICENCES = ("Apache-2.0", "MIT", "BSD-3-Clause")
"""The licences whose texts are at hand, by their SPDX names."""


# ---- what is asked for ------------------------------------------------------------------------


def kind_named(text: str) -> str:
    """The kind that is meant, by its name or its flag.

    Raises `UsageError` for any other word, and for a kind that has no worked example.
    """
    kinds = {kind: kind for kind in KINDS} | {flag_of(kind): kind for kind in KINDS}
    known = kinds.get(text.lower())
    if known is None:
        hint = did_you_mean(text.lower(), [*kinds], f"there is {', '.join(KINDS)}")
        raise UsageError(f"there is no kind of plugin '{text}'; {hint}")
    if known not in EXAMPLES:
        raise UsageError(
            f"there is no worked example of {a(known)} to start from, only of "
            f"{', '.join(EXAMPLES)}; see `segkit show {known} NAME` for one that is installed"
        )
    return known


def plugin_named(text: str) -> str:
    """The plugin's name, also where that of its package was given: `segkit-mine` is `mine`."""
    return text.removeprefix(distribution_of("")) or text


def check_name(kind: str, name: str, catalog: Catalog) -> None:
    """Raise `UsageError` for a name that no plugin can have, or that is segkit's own."""
    if not NAME.fullmatch(name):
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
        near = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
        hint = f"; did you mean '{near}'?" if near else ", such as 'warm-centre'"
        raise UsageError(
            f"no plugin can be named '{name}': names are lower-case words, digits and hyphens{hint}"
        )
    bundled = [e for e in catalog.entries() if e.distribution == BUNDLED]
    if name in {e.name for e in bundled if e.kind == kind}:
        raise UsageError(
            f"segkit has a {kind} plugin '{name}' of its own, which would go first; "
            "choose another name"
        )
    if _module(distribution_of(name)) in {e.target.partition(".")[0] for e in bundled}:
        raise UsageError(
            f"a plugin named '{name}' would be the package {_module(distribution_of(name))}, which "
            "segkit itself has; choose another name"
        )


def package_named(text: str) -> str:
    """The distribution's name. Raises `UsageError` for one that none can have."""
    if not NAME.fullmatch(text) or _module(text) in (BUNDLED, "segkit_plugins", "segkit_ui"):
        raise UsageError(
            f"--package {text}: no package of plugins can be named so; names are lower-case words, "
            "digits and hyphens, such as 'segkit-mine', and not segkit's own"
        )
    return text


def author_named(text: str) -> dict[str, str]:
    """The name and, from `NAME <EMAIL>`, the address, as pyproject.toml has them.

    Raises `UsageError` for a name that is empty or does not print.
    """
    match = re.fullmatch(r"\s*(.*?)\s*(?:<\s*([^<>\s]+@[^<>\s]+)\s*>)?\s*", text)
    if match is None or not match[1] or not text.strip().isprintable():
        raise UsageError(
            f"--author {text!r} is no name; give one such as 'Ada Lovelace' or "
            "'Ada Lovelace <ada@example.org>'"
        )
    return {"name": match[1]} | ({"email": match[2]} if match[2] else {})


# ---- what is made -----------------------------------------------------------------------------


def distribution_of(name: str) -> str:
    """What pip calls it."""
    return f"segkit-{name}"


def _module(name: str) -> str:
    """What Python calls a distribution or a plugin."""
    return name.replace("-", "_")


def imports_of(kind: str, source: PluginFile | None) -> tuple[str, ...]:
    """The distributions that a plugin's module imports, beside segkit and pydantic."""
    return source.dependencies if source else EXAMPLES[kind].imports


def api_of(kind: str, source: PluginFile | None) -> int:
    """The version of the plugin API that a plugin's module is written for."""
    return hookspecs.API_VERSION if source else EXAMPLES[kind].api


def commands(kind: str, name: str, folder: Path) -> tuple[str, str, str]:
    """What to type next: install it, test it, use it."""
    import shlex

    example = EXAMPLES[kind]
    return (
        f"cd {shlex.quote(str(folder))} && pip install -e '.[test]'",
        "pytest",
        example.run.format(name=name),
    )


def files(
    kind: str,
    name: str,
    author: str,
    licence: str,
    year: int,
    *,
    package: str = "",
    repository: str = "",
    source: PluginFile | None = None,
) -> dict[str, str]:
    """The distribution's files: path inside its folder to text.

    `kind` and `name` as checked by `kind_named` and `check_name`; `licence` is one of `LICENCES`;
    `package` is the distribution's name, left out segkit-NAME; `repository` is its address, left
    out one to be filled in; `source` is a file that stands in place of the worked example. Raises
    `UsageError` for an author's name that cannot be one.
    """
    from segkit.plugins.steps import INTERFACES

    environment = _environment()
    distribution, fields = package or distribution_of(name), author_named(author)
    module = _module(distribution)
    words: dict[str, Any] = {
        "author": fields["name"],
        "author_fields": fields,
        "compare": EXAMPLES[kind].compare.format(name=name),
        "contract": _contract(kind),
        "distribution": distribution,
        "flag": f"--{flag_of(kind)}",
        "interface": INTERFACES[kind].__name__,
        "kind": kind,
        "licence": licence,
        "module": module,
        "name": name,
        "repository": repository or f"https://github.com/OWNER/{distribution}",
        "run": EXAMPLES[kind].run.format(name=name),
        "test": f"test_{_module(name)}.py",
        "year": year,
        **_about(kind, name, source, environment),
    }
    templates = {
        ".github/workflows/publish.yml": "github/publish.yml.j2",
        ".github/workflows/tests.yml": "github/tests.yml.j2",
        ".gitignore": "gitignore.j2",
        "DEVELOPING.md": "DEVELOPING.md.j2",
        "LICENSE": f"licences/{licence}.txt.j2",
        "README.md": "README.md.j2",
        "pyproject.toml": "pyproject.toml.j2",
        f"src/{module}/__init__.py": f"kinds/{kind}.py.j2",
        f"tests/{words['test']}": "tests/_file.py.j2" if source else f"tests/{kind}.py.j2",
    }
    texts = {path: environment.get_template(t).render(words) for path, t in templates.items()}
    return texts | ({f"src/{module}/__init__.py": source.text} if source else {})


def plugin_files(
    kind: str, name: str, package: str, source: PluginFile | None = None
) -> dict[str, str]:
    """One plugin's module and tests in a package that is there: path inside its folder to text.

    `package` is what Python calls it; else as `files`.
    """
    environment, stem = _environment(), _module(name)
    words = {"kind": kind, "name": name, "module": f"{package}.{stem}"}
    words |= _about(kind, name, source, environment)
    example = environment.get_template(f"kinds/{kind}.py.j2")
    tests = environment.get_template("tests/_file.py.j2" if source else f"tests/{kind}.py.j2")
    return {
        f"src/{package}/{stem}.py": source.text if source else example.render(words),
        f"tests/test_{stem}.py": tests.render(words),
    }


@cache
def _environment() -> Environment:
    """The templates."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("segkit.tools", "templates/plugin"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # A JSON string is a TOML string too, and has an escape for what cannot stand in one.
    environment.filters["quoted"] = lambda text: json.dumps(text, ensure_ascii=False)
    return environment


def _about(
    kind: str, name: str, source: PluginFile | None, environment: Environment
) -> dict[str, Any]:
    """What the templates say of the module: of the worked example, or of its author's file."""
    from importlib.metadata import version

    example = EXAMPLES[kind]
    cls = _class_name(name, kind, environment)
    imports = imports_of(kind, source)
    return {
        "api": api_of(kind, source),
        "cls": source.plugins[0].cls if source else cls,
        "dependencies": [f"segkit>={version('segkit')}", *imports, "pydantic>=2.7"],
        "example": source is None,
        "option": source.plugins[0].option if source else example.option,
        "plugins": source.plugins if source else [Offered(kind, name, cls, example.option)],
        "summary": (source.summary or f"Plugins for segkit: {name}.")
        if source
        else example.summary,
        "untyped": () if source else example.untyped,
    }


def write(folder: Path, texts: Mapping[str, str]) -> None:
    """Write the files of a distribution into a folder that is empty or not there yet.

    Raises `UsageError` where something is there already, or where it cannot be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            there = (
                "holds files already, which stay as they are"
                if folder.is_dir()
                else "is a file, which stays as it is"
            )
            raise UsageError(f"'{folder}' {there}; name another with -o DIR")
        for path, text in texts.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(
            f"'{folder}' cannot be written ({error.strerror or error}); name another with -o DIR"
        ) from None


def _class_name(name: str, kind: str, environment: Environment) -> str:
    """`warm-centre` as `WarmCentre`; with the kind behind it where Python or the module has that.

    'heatmap', say, would hide segkit's `Heatmap`, and no class can be called `None` or `3d`.
    """
    class_name = "".join(word.capitalize() for word in name.split("-"))
    assert environment.loader is not None
    used = "".join(
        environment.loader.get_source(environment, f"{folder}/{kind}.py.j2")[0]
        for folder in ("kinds", "tests")
    )
    taken = keyword.iskeyword(class_name) or hasattr(builtins, class_name)
    if taken or re.search(rf"\b{class_name}\b", used):
        class_name += KINDS[kind].interface
    return class_name if class_name[0].isalpha() else KINDS[kind].interface + class_name


def _contract(kind: str) -> str:
    """What the kind's work method may ask for and has to make, in a sentence or two."""
    from textwrap import fill

    from segkit.plugins.steps import INTERFACES

    if kind == "dataset":
        text = (
            "A data set has `names` and `__getitem__`, which gives an image and its truth, or None "
            "where that is not known; `classes` names the ids."
        )
    else:
        interface = INTERFACES[kind]
        takes = ", ".join(f"`{value}`" for value in interface.takes)
        gives = " or ".join(f"`{_shown(value)}`" for value in interface.gives)
        more = "; `score` makes figures of added counts" if kind == "metric" else ""
        text = (
            f"`{interface.work}` names the inputs that it wants, out of {takes}, and makes "
            f"{gives}{more}."
        )
    return fill(text, width=100, break_on_hyphens=False)


def _shown(annotation: Any) -> str:
    """A type as one writes it."""
    import typing

    if annotation == dict[str, float]:
        return "Counts"
    if not typing.get_args(annotation):
        return str(annotation.__name__)
    inner = (getattr(a, "__name__", "...") for a in typing.get_args(annotation))
    return f"{annotation.__name__}[{', '.join(inner)}]"
