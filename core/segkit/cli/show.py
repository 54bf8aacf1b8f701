"""`segkit show KIND NAME`: one plugin's options, what it reads and makes, where it is from."""

from __future__ import annotations

import inspect
from typing import Any

import click

from segkit.cli.main import make_catalog
from segkit.kinds import KINDS, flag_of


class _Kind(click.Choice[str]):
    """A kind by its name or its flag."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys([*KINDS, *map(flag_of, KINDS)]))


def command() -> click.Command:
    """The command."""
    from segkit.cli.completion import PluginName

    class Name(PluginName):
        """A plugin's name, of the kind that stands before it."""

        def shell_complete(self, ctx: click.Context, param: Any, incomplete: str) -> Any:
            self.kind = _kind(ctx.params.get("kind") or "prompt")
            return super().shell_complete(ctx, param, incomplete)

    return click.Command(
        "show",
        callback=_show,
        help="Show one plugin: what it does, what it reads and makes, its options, where it comes "
        "from.\n\nExample:  segkit show prompt topk",
        params=[
            click.Argument(["kind"], type=_Kind(), metavar="KIND"),
            click.Argument(["name"], type=Name("prompt")),
            click.Option(
                ["--plugin"], multiple=True, metavar="FILE", help="A single file with plugins."
            ),
        ],
    )


def _kind(given: str) -> str:
    return {flag_of(kind): kind for kind in KINDS}.get(given, given)


def _show(kind: str, name: str, plugin: tuple[str, ...]) -> None:
    from rich.table import Table

    from segkit.cli.console import Console
    from segkit.cli.options import Chosen, plugin_options

    catalog = make_catalog(plugin)
    kind = _kind(kind)
    entry = catalog.find(kind, name)
    step = catalog.load_entry(entry)
    inputs = step.inputs()
    console = Console()
    console.print(f"--{flag_of(kind)} {entry.name}", style="bold cyan")
    console.print(f"from {entry.distribution} {entry.version}, {entry.target}\n", style="dim")
    console.print(_flowing(inspect.cleandoc(step.__doc__ or "") or entry.summary) + "\n")
    if kind != "dataset":
        reads = [*inputs.required, *(f"{n} (if there)" for n in inputs.optional)]
        console.print(f"reads   {', '.join(reads) or 'nothing'}")
        output = step.output()
        # A tuple of heatmaps prints as such; a class by its name.
        text = (
            output.__name__
            if inspect.isclass(output) and not hasattr(output, "__args__")
            else output
        )
        console.print(
            f"makes   {str(text).replace('segkit.values.types.', '').replace('pathlib.', '')}"
        )
    extras = [m for m in step.extras if hasattr(step, m)]
    if extras:
        console.print(f"also    {', '.join(extras)}")
    options, _ = plugin_options([Chosen(kind, entry.name, step)])
    context = click.Context(click.Command("show"))
    rows = [r for o in options if (r := o.get_help_record(context)) is not None]
    if not rows:
        console.print("\nIt has no options.")
        return
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="cyan", overflow="fold", max_width=38)
    table.add_column()
    for flag, text in rows:
        table.add_row(flag, text)
    console.print("\noptions", style="bold")
    console.print(table)


def _flowing(text: str) -> str:
    """Text whose paragraphs are a line each, for the terminal to break; lists stay as they are."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(
        p if any(line[:1] in " -*" for line in p.split("\n")) else p.replace("\n", " ")
        for p in paragraphs
    )
