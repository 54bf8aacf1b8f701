"""Write docs/reference* and docs/plugins from the program: python docs/make_reference.py [--check].

With --check nothing is written; pages that are not current, or belong to no plugin, are named.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import textwrap
import typing
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import others

from segkit.cli.main import COMMANDS, make_group
from segkit.cli.options import Chosen, plugin_options
from segkit.kinds import COMMAND, KINDS, flag_of
from segkit.plugins import hookspecs
from segkit.plugins.catalog import Catalog
from segkit.plugins.entries import Entry
from segkit.plugins.steps import INTERFACES
from segkit.values import types
from segkit_plugins import saliency

DOCS = Path(__file__).parent
SOURCES = DOCS.parent / "plugins"
COSTS = DOCS / "images" / "plugins" / "costs.json"
GENERATED = ("reference.md", "reference/*.md", "plugins/*.md", "plugins/*/*.md")
NOTE = "Written by `python docs/make_reference.py` from the program; a test keeps it current."
CONTEXT = click.Context(click.Command("segkit"), info_name="segkit")

CATALOG = Catalog(third_party=False)


def pages() -> dict[str, str]:
    """Every generated page by its path below docs/."""
    costs = json.loads(COSTS.read_text()) if COSTS.exists() else {"machine": "", "plugins": {}}
    made = {
        "reference.md": commands_page(),
        "reference/kinds.md": kinds_page(),
        "reference/values.md": values_page(),
        "reference/hooks.md": hooks_page(),
        "reference/names.md": names_page(),
        "plugins/index.md": plugins_page(costs),
        "plugins/others.md": others.page(),
    }
    for kind in KINDS:
        for entry in CATALOG.entries(kind):
            made[f"plugins/{kind}/{entry.name}.md"] = plugin_page(entry, costs)
    return {path: tidy(lines) for path, lines in made.items()}


def tidy(lines: list[str]) -> str:
    """One text: no blanks at line ends, one newline at the end."""
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines()).rstrip() + "\n"


# ---- the reference ----------------------------------------------------------------------------


def commands_page() -> list[str]:
    """What can be typed, with every flag."""
    out = ["# Reference", "", NOTE, "", "[Kinds](reference/kinds.md) of plugin, the"]
    out += [
        "[values](reference/values.md) that flow between them, the [hooks](reference/hooks.md),"
    ]
    out += ["the [public names](reference/names.md), and [every plugin](plugins/index.md) with its"]
    out += ["options. This page lists the commands.", ""]
    group = make_group()
    bundled = Catalog(third_party=False).entries(COMMAND)
    commands = {name: text for name, (_, text) in COMMANDS.items()}
    for name, text in (commands | {entry.name: entry.summary for entry in bundled}).items():
        command = group.get_command(CONTEXT, name)
        assert command is not None
        out += [f"## `segkit {name}`", "", text, "", *command_lines(command, f"segkit {name}")]
    return out


def command_lines(command: click.Command, path: str) -> Iterator[str]:
    """Usage, arguments and flags of one command, and of those below it."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from [f"### `{path} {name}`", "", one_line(inner.help or ""), ""]
            yield from command_lines(inner, f"{path} {name}")
        return
    words = [p.metavar or p.name for p in command.params if isinstance(p, click.Argument)]
    yield from ["```text", " ".join([path, *map(str, words), "[FLAGS]"]), "```", ""]
    rows = [p.get_help_record(CONTEXT) for p in command.params if isinstance(p, click.Option)]
    if any(rows):
        yield from ["| flag | meaning |", "|---|---|"]
        yield from (f"| {code(row[0])} | {cell(row[1])} |" for row in rows if row)
        yield ""


def kinds_page() -> list[str]:
    """The interfaces and who implements them."""
    out = ["# Kinds", "", NOTE, "", "Every arrow of the spine is a kind of plugin. What each takes"]
    out += [
        "and gives is its contract; [Write a plugin](../write/index.md) has an example of each."
    ]
    out += ["", "| kind | flag | hook | entry points |", "|---|---|---|---|"]
    for kind in KINDS:
        hook = KINDS[kind].hook
        link = f"[`{kind}`](#kind-{kind})"
        out.append(f"| {link} | `--{flag_of(kind)}` | `{hook}` | `segkit.{kind}` |")
    for kind, interface in INTERFACES.items():
        out += ["", f"## Kind `{kind}`", "", text_of(interface), ""]
        if kind != "dataset":
            asks = ", ".join(f"`{t}`" for t in interface.takes)
            out += [f"`{interface.work}` may ask for {asks}.", ""]
        for method, takes in interface.extras.items():
            out += [f"`{method}`, optional, may ask for {', '.join(f'`{t}`' for t in takes)}.", ""]
        if interface.gives:
            makes = " or ".join(f"`{short(t)}`" for t in interface.gives)
            out += [f"It makes {makes}.", ""]
        links = [f"[`{e.name}`](../plugins/{kind}/{e.name}.md)" for e in CATALOG.entries(kind)]
        out += [f"Bundled: {', '.join(links)}." if links else "None is bundled."]
    return out


def values_page() -> list[str]:
    """What flows between steps."""
    out = ["# Values", "", NOTE, "", text_of(types), ""]
    values = [
        value
        for value in vars(types).values()
        if isinstance(value, type) and value.__module__ == types.__name__
    ]
    place = values.index(types.Labels)
    for cls in (*values[:place], types.Mask, types.Masks, *values[place:]):
        out += [f"## {cls.__name__}", "", text_of(cls), ""]
        out += ["| field | what it holds |", "|---|---|"]
        out += [f"| `{field}` | {cell(text)} |" for field, text in attribute_docs(cls)]
        out.append("")
    return out


def hooks_page() -> list[str]:
    """Registration and watching."""
    out = ["# Hooks", "", NOTE, "", text_of(hookspecs), "", "## Registering plugins", ""]
    watching = False
    registration = {kind.hook for kind in KINDS.values()}
    for name, function in vars(hookspecs).items():
        if not name.startswith("segkit_"):
            continue
        if name not in registration and not watching:
            out += ["", "## Watching a run", ""]
            watching = True
        arguments = ", ".join(inspect.signature(function).parameters)
        out.append(f"- `{name}({arguments})`: {one_line(text_of(function))}")
    return out


def names_page() -> list[str]:
    """Everything that `from segkit import …` knows."""
    import segkit

    out = ["# Public names", "", NOTE, "", "A plugin uses these alone: `from segkit import NAME`."]
    out += ["", "| name | what it is |", "|---|---|"]
    for name in segkit.__all__:
        value = getattr(segkit, name)
        own = inspect.isclass(value) or inspect.isfunction(value) or name == "hookimpl"
        text = (inspect.getdoc(value) or "") if own and name != "hookimpl" else constant_doc(name)
        out.append(f"| `{name}` | {cell(text.split(chr(10) * 2)[0])} |")
    how = "[Write a saliency method](../write/saliency.md#on-a-network-that-segkit-loads)"
    out += ["", "## To build a saliency method on", ""]
    out += ["`from segkit_plugins.saliency import NAME`;", f"{how} says how."]
    out += ["", "| name | what it is |", "|---|---|"]
    for name in saliency.__all__:
        text = inspect.getdoc(getattr(saliency, name)) or ""
        out.append(f"| `{name}` | {cell(text.split(chr(10) * 2)[0])} |")
    return out


def constant_doc(name: str) -> str:
    """The docstring under a constant of a module that has public names."""
    import importlib

    import segkit

    module = importlib.import_module(f"segkit.{segkit._MODULE_OF[name]}")
    body = ast.parse(inspect.getsource(module)).body
    return dict(documented(body)).get(name, "")


# ---- a page for each plugin -------------------------------------------------------------------


def plugins_page(costs: dict[str, Any]) -> list[str]:
    """All plugins in one place."""
    out = ["# Plugins", "", NOTE, "", "What comes with segkit. Each has a page with a picture of"]
    out += ["what it does, its options, its cost and its source. `segkit list-plugins` shows them"]
    out += ["too, beside those of other packages; [Plugins by others](others.md) lists some."]
    for kind in KINDS:
        entries = CATALOG.entries(kind)
        out += ["", f"## {KINDS[kind].plural.capitalize()}", ""]
        if not entries:
            out.append("None is bundled.")
            continue
        out += [f"| `--{flag_of(kind)}` | what it does | cost |", "|---|---|---|"]
        for e in entries:
            cost = seconds(costs["plugins"].get(f"{kind}/{e.name}", {}).get("seconds"))
            out.append(f"| [`{e.name}`]({kind}/{e.name}.md) | {cell(e.summary)} | {cost} |")
    out += ["", f"Cost: seconds for one image, {costs['machine']}."]
    return out


def plugin_page(entry: Entry, costs: dict[str, Any]) -> list[str]:
    """One plugin: what it does, a picture, options, what it reads and makes, cost, source."""
    kind, name = entry.kind, entry.name
    cls = CATALOG.load_entry(entry)
    kind_name = KINDS[kind].plural.removesuffix("s").capitalize()
    out = [f"# `{name}`", "", f"{kind_name}, `--{flag_of(kind)} {name}`", "", entry.summary, ""]
    known = costs["plugins"].get(f"{kind}/{name}", {})
    if known.get("picture"):
        alt = f"What {name} does to one picture: {known['shown']}"
        out += [f"![{alt}](../../images/plugins/{kind}/{known['picture']})", ""]
        out += [f"*{known['shown'][0].upper()}{known['shown'][1:]}.*", ""]
    elif known.get("why"):
        out += [f"*No picture: {known['why']}.*", ""]
    out += [text_of(cls), "", "## Options", "", *option_lines(kind, name, cls)]
    out += ["## Inputs and output", ""]
    if kind == "dataset":
        out += ["It gives images, each with its truth or without one."]
    else:
        inputs = cls.inputs()
        reads = [f"`{i}`" for i in inputs.required]
        reads += [f"`{i}` (if there)" for i in inputs.optional]
        out += [f"Reads {', '.join(reads) or 'nothing'}; makes `{short(cls.output())}`."]
    extras = [f"`{m}`" for m in cls.extras if hasattr(cls, m)]
    if extras:
        out += ["", f"It also defines {', '.join(extras)}."]
    weights = [w.name for w in cls.known_weights()]
    if weights:
        out += ["", "## Weights", "", "Files that `segkit weights` knows for it:"]
        out += [f"{', '.join(f'`{w}`' for w in weights)}."]
    out += ["", "## Cost", ""]
    if known.get("seconds") is not None:
        work = known.get("work", "one image")
        out += [f"{seconds(known['seconds'])} s for {work}, {costs['machine']}."]
    else:
        out += [f"Not measured: {known.get('why', 'no figure was taken')}."]
    file = source_file(entry)
    out += ["", "## Source", "", f"`{file}`", "", '??? note "Show it"', ""]
    out += ["    ```python", f'    --8<-- "{file}"', "    ```"]
    return out


def option_lines(kind: str, name: str, cls: Any) -> list[str]:
    """A table of options, or a sentence."""
    options, _ = plugin_options([Chosen(kind, name, cls)])
    rows = [row for option in options if (row := option.get_help_record(CONTEXT)) is not None]
    if not rows:
        return ["It has none.", ""]
    out = ["| option | default | meaning |", "|---|---|---|"]
    for flag, text in rows:
        found = re.fullmatch(r"(.*?)(?:  \[(?:default: )?(.*)\])?", text, re.DOTALL)
        assert found is not None
        default = code(found[2]) if found[2] else ""
        out.append(f"| {code(flag)} | {default} | {cell(found[1])} |")
    return [*out, ""]


def source_file(entry: Entry) -> str:
    """The module's file, from the top of the project."""
    module = SOURCES.joinpath(*entry.target.split("."))
    file = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
    return file.relative_to(SOURCES.parent).as_posix()


def seconds(value: float | None) -> str:
    """Two digits that count; below a tenth of a millisecond nobody cares."""
    if value is None:
        return "–"
    return "< 0.0001" if value < 1e-4 else two_digits(value)


def two_digits(value: float) -> str:
    """0.0123 → 0.012, 12.3 → 12."""
    from math import floor, log10

    places = max(0, 1 - floor(log10(value)))
    return f"{round(value, places):.{places}f}"


# ---- text -------------------------------------------------------------------------------------


def text_of(thing: Any) -> str:
    """A docstring as Markdown."""
    return inspect.getdoc(thing) or ""


def one_line(text: str) -> str:
    """All of it in one line."""
    return " ".join(text.split())


def cell(text: str) -> str:
    """Text inside a table."""
    return one_line(text).replace("|", "\\|")


def code(text: str) -> str:
    """Code inside a table."""
    return f"`{cell(text)}`"


def short(annotation: Any) -> str:
    """A type as one would write it."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__
    if typing.get_origin(annotation) is dict:
        return "Counts"
    modules = r"(segkit\.values\.(types|masks)|pathlib)\."
    return re.sub(modules, "", str(annotation))


def attribute_docs(cls: type) -> list[tuple[str, str]]:
    """The docstrings under a class's fields."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    return documented(body.body)


def documented(body: list[ast.stmt]) -> list[tuple[str, str]]:
    """Each assigned name that has a docstring under it."""
    found = []
    for field, text in pairwise(body):
        if not isinstance(text, ast.Expr) or not isinstance(text.value, ast.Constant):
            continue
        target = field.targets[0] if isinstance(field, ast.Assign) else None
        target = field.target if isinstance(field, ast.AnnAssign) else target
        if isinstance(target, ast.Name):
            found.append((target.id, one_line(str(text.value.value))))
    return found


def stale() -> list[str]:
    """What a test asks: the pages that differ from the program, are missing, or are left over."""
    made = pages()
    there = {p.relative_to(DOCS).as_posix() for g in GENERATED for p in DOCS.glob(g)}
    changed = [
        path
        for path, text in made.items()
        if path not in there or (DOCS / path).read_text(encoding="utf-8") != text
    ]
    return sorted({*changed, *(there - set(made))})


def write() -> None:
    """Write what has changed and remove what is left over."""
    made = pages()
    for path in stale():
        if path in made:
            (DOCS / path).parent.mkdir(parents=True, exist_ok=True)
            (DOCS / path).write_text(made[path], encoding="utf-8")
        else:
            (DOCS / path).unlink()


if __name__ == "__main__":
    if "--check" in sys.argv:
        old = stale()
        sys.exit(f"not current: {', '.join(old)}" if old else 0)
    write()
