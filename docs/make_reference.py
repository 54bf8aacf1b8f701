"""Write docs/reference.md from the program itself: python docs/make_reference.py [--check]."""

from __future__ import annotations

import inspect
import sys
import typing
from pathlib import Path

import click

from segkit import hookspecs, types
from segkit.catalog import FLAGS, Catalog
from segkit.cli.main import COMMANDS, make_group
from segkit.cli.options import Chosen, plugin_options
from segkit.stages import KINDS

PAGE = Path(__file__).with_name("reference.md")
VALUES = ("Image", "Heatmap", "Prompt", "Prompts", "Masks", "Labels", "Truth")


def short(annotation: object) -> str:
    """A type as one would write it."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("segkit.types.", "").replace("pathlib.", "")


def page() -> str:
    """The whole page."""
    catalog = Catalog(third_party=False)
    out = [
        "# Reference",
        "",
        "Written by `python docs/make_reference.py` from the program; a test keeps it current.",
        "",
        "## Commands",
        "",
    ]
    group = make_group()
    context = click.Context(group, info_name="segkit")
    for name, (_, text) in COMMANDS.items():
        out.append(f"- `segkit {name}`: {text}")
    out += ["", "Flags of `segkit run` beside those that choose plugins:", ""]
    run = group.get_command(context, "run")
    assert run is not None
    for option in run.params:
        record = option.get_help_record(context)
        if record is not None:
            out.append(f"- `{record[0]}`: {record[1]}")
    out += ["", "## Values", "", inspect.getdoc(types) or "", ""]
    for name in VALUES:
        cls = getattr(types, name)
        out += [f"### {name}", "", inspect.getdoc(cls) or "", ""]
        for field, text in attribute_docs(cls):
            out.append(f"- `{field}`: {text}")
        out.append("")
    out += ["## Hooks", ""]
    for name, function in vars(hookspecs).items():
        if name.startswith("segkit_"):
            arguments = ", ".join(inspect.signature(function).parameters)
            out.append(f"- `{name}({arguments})`: {inspect.getdoc(function)}")
    out.append("")
    for kind, interface in KINDS.items():
        out += [f"## Kind `{kind}`", "", inspect.getdoc(interface) or "", ""]
        if kind != "dataset":
            out += [f"May ask for: {', '.join(f'`{t}`' for t in interface.takes)}.", ""]
        for entry in catalog.entries(kind):
            cls = catalog.load_entry(entry)
            out += [f"### `--{FLAGS[kind]} {entry.name}`", "", inspect.getdoc(cls) or "", ""]
            if kind != "dataset":
                inputs = cls.inputs()
                reads = [*inputs.required, *(f"{i} (if there)" for i in inputs.optional)]
                out += [f"Reads {', '.join(reads)}; makes `{short(cls.output())}`.", ""]
            options, _ = plugin_options([Chosen(kind, entry.name, cls)])
            for option in options:
                record = option.get_help_record(context)
                if record is not None:
                    out.append(f"- `{record[0]}`: {record[1]}")
            out.append("")
    return "\n".join(line.rstrip() for line in "\n".join(out).splitlines()).rstrip() + "\n"


def attribute_docs(cls: type) -> list[tuple[str, str]]:
    """The docstrings under a class's fields."""
    import ast
    import textwrap

    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = []
    for field, text in zip(body.body, body.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)):
            continue
        if isinstance(text.value, ast.Constant) and isinstance(field.target, ast.Name):
            found.append((field.target.id, " ".join(str(text.value.value).split())))
    return found


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == page() else "docs/reference.md is not current")
    PAGE.write_text(page())
