"""Flags made from the chosen plugins' options, and the recipe made from flags.

The command line is read twice: first the flags that choose plugins, then, with the options that
those plugins have, everything. Click passes strings on; pydantic alone validates them.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.shell_completion import CompletionItem

from segkit.catalog import BUNDLED, FLAGS, Catalog
from segkit.errors import UsageError

if TYPE_CHECKING:
    from segkit.recipe import Recipe
    from segkit.stages import Step

HELP = {
    "dataset": "Where images come from: files (default, if some are named), samples (if none).",
    "saliency": "What makes heatmaps; default gradcam, where something reads them.",
    "transform": "What changes the heatmaps; repeats, in order.",
    "prompt": "What makes the prompts; default topk. Repeats for more objects; a+b makes one "
    "prompt of two.",
    "segmenter": "What makes masks or a class map; default sam. At most one of each.",
    "selector": "What picks one mask per prompt; default score.",
    "fuser": "What paints masks into one class map; default paint.",
    "metric": "Figures to print; repeats. Default: all that fit, if there is truth.",
    "writer": "Files to write; repeats. Default: masks and overlay.",
}
"""Kind to the help of its flag."""

DEFAULTS = {
    "dataset": ("files", "samples"),
    "saliency": ("gradcam",),
    "prompt": ("topk",),
    "segmenter": ("sam",),
    "selector": ("score",),
    "fuser": ("paint",),
    "writer": ("masks", "overlay"),
}
"""Bundled plugins that may take part without being named."""


@dataclass(frozen=True)
class Chosen:
    """A plugin that takes part, and how its options are reached."""

    kind: str
    name: str
    step: type[Step]

    @property
    def prefix(self) -> str:
        """`KIND.NAME`, as in `--KIND.NAME.option`."""
        return f"{FLAGS[self.kind]}.{self.name}"


class PluginName(click.ParamType[str]):
    """The name of a plugin, completed by the shell from metadata alone."""

    name = "NAME"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin so; after `a+`, the second one."""
        done, plus, last = incomplete.rpartition("+")
        entries = Catalog().entries(self.kind)
        return [
            CompletionItem(f"{done}{plus}{e.name}", help=e.summary)
            for e in entries
            if e.name.startswith(last)
        ]


def kind_options() -> list[click.Option]:
    """One flag for each kind that a run takes."""
    return [
        click.Option(
            [f"--{FLAGS[kind]}", f"kind_{kind}"],
            type=PluginName(kind),
            multiple=True,
            metavar="NAME",
            help=text,
        )
        for kind, text in HELP.items()
    ]


class PlanCommand(click.Command):
    """A command whose options grow with the plugins that it is told to use."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the choice of plugins, add their options, then read everything."""
        if ctx.resilient_parsing:  # shell completion: the static flags will do
            return super().parse_args(ctx, args)
        from segkit.cli.main import make_catalog

        probe = click.Command(
            "probe",
            params=[p for p in self.params if p.name != "images"],
            add_help_option=False,
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        )
        first = probe.make_context("probe", list(args), resilient_parsing=True).params
        catalog = make_catalog(first.get("plugin") or (), first.get("only") or ())
        recipe = base_recipe(first)
        chosen = choices(catalog, recipe)
        added, self.sections = plugin_options(chosen)
        self.params = [*self.params, *added]
        ctx.obj = (catalog, recipe, chosen)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise UsageError(_unknown_option(error, catalog, chosen)) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Own options first, then a section for each chosen plugin that has some."""
        sections = getattr(self, "sections", {})
        of_plugins = {id(p) for params in sections.values() for p in params}
        own = [p for p in self.get_params(ctx) if id(p) not in of_plugins]
        steps = [p for p in own if (p.name or "").startswith("kind_")]
        rest = [p for p in own if p not in steps]
        for title, params in {"Steps": steps, "Options": rest, **sections}.items():
            rows = [r for p in params if (r := p.get_help_record(ctx)) is not None]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def base_recipe(params: Mapping[str, Any]) -> Recipe:
    """The recipe file, if any, with the plugins that the flags choose in place of its own."""
    from segkit.recipe import Part, Recipe

    recipe = Recipe.load(Path(params["recipe"])) if params.get("recipe") else Recipe()
    parts = dict(recipe.parts)
    for kind in HELP:
        given = params.get(f"kind_{kind}") or ()
        if not given:
            continue
        if "none" in given and len(given) > 1:
            raise UsageError(f"--{FLAGS[kind]} none leaves nothing to add; drop the other ones")
        old = {p.name: p.options for p in parts.get(kind, ())}
        parts[kind] = tuple(
            Part(name, old.get(name, {}), merge=index > 0)
            for text in given
            if text != "none"
            for index, name in enumerate(text.split("+") if kind == "prompt" else [text])
        )
    return replace(recipe, parts=parts)


def choices(catalog: Catalog, recipe: Recipe) -> list[Chosen]:
    """The plugins that take part, or may as defaults, each once."""
    found: dict[tuple[str, str], Chosen] = {}
    for kind in HELP:
        if kind in recipe.parts:
            names: Iterable[str] = (p.name for p in recipe.parts[kind])
        elif kind == "metric":
            names = (e.full_name for e in catalog.entries(kind) if e.distribution == BUNDLED)
        else:
            names = (f"{BUNDLED}:{name}" for name in DEFAULTS.get(kind, ()))
        for name in names:
            step = catalog.load(kind, name)
            found.setdefault((kind, step.name), Chosen(kind, step.name, step))
    return list(found.values())


def plugin_options(
    chosen: Sequence[Chosen],
) -> tuple[list[click.Option], dict[str, list[click.Option]]]:
    """Options for every field of every chosen plugin, and the same by help section."""
    options: list[click.Option] = []
    sections: dict[str, list[click.Option]] = {}
    names = [c.name for c in chosen]
    for choice in chosen:
        title = f"{choice.name} ({FLAGS[choice.kind]})"
        for field in choice.step.model_fields:
            unique = names.count(choice.name) == 1
            # The long form always works; it is shown only where the short one would be unclear.
            prefixes = [choice.name, choice.prefix] if unique else [choice.prefix]
            for index, prefix in enumerate(prefixes):
                option = _option(choice, field, prefix, hidden=index > 0)
                options.append(option)
                sections.setdefault(title, []).append(option)
    return options, sections


def _option(choice: Chosen, field: str, prefix: str, *, hidden: bool) -> click.Option:
    info = choice.step.model_fields[field]
    flag = field.replace("_", "-")
    target = f"{'long' if hidden else 'short'}_{choice.kind}_{choice.name}_{field}"
    target = target.replace("-", "_").lower()
    text = " ".join((info.description or "").split())
    default = info.get_default()
    if info.is_required():
        text += "  [required]"
    elif default not in (None, (), "") and not isinstance(default, bool):
        text += f"  [default: {default}]"
    if info.annotation is bool:
        names = f"--{prefix}.{flag}/--{prefix}.no-{flag}"
        text += f"  [default: {'on' if default else 'off'}]"
        return click.Option([names, target], default=None, help=text, hidden=hidden)
    many = typing.get_origin(info.annotation) is tuple
    metavar = _metavar(info.annotation) + (" …" if many else "")
    return click.Option(
        [f"--{prefix}.{flag}", target], multiple=many, metavar=metavar, help=text, hidden=hidden
    )


def _metavar(annotation: Any) -> str:
    """What stands for a value in the help."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return "|".join(str(i) for i in inner)
    if origin is typing.Annotated or origin is tuple:
        return _metavar(inner[0])
    if inner:  # a union: the first that is not None, or all of them
        return "|".join(dict.fromkeys(_metavar(i) for i in inner if i is not type(None)))
    return {int: "INTEGER", float: "NUMBER", Path: "PATH", bool: "BOOL"}.get(annotation, "TEXT")


def completed(recipe: Recipe, chosen: Sequence[Chosen], params: Mapping[str, Any]) -> Recipe:
    """The recipe with the options that were given as flags; they win over the recipe's own.

    An option of a plugin that may take part as a default names that plugin in the recipe.
    """
    from segkit.recipe import Part

    parts = dict(recipe.parts)
    for choice in chosen:
        given = {}
        for field in choice.step.model_fields:
            for length in ("long", "short"):
                key = f"{length}_{choice.kind}_{choice.name}_{field}".replace("-", "_").lower()
                value = params.get(key)
                if value not in (None, ()):
                    given[field] = value
        if not given:
            continue
        if choice.kind not in parts:
            names = DEFAULTS.get(choice.kind, (choice.name,))
            if choice.kind == "dataset":
                names = (choice.name,)
            parts[choice.kind] = tuple(Part(name) for name in names)
        parts[choice.kind] = tuple(
            replace(p, options={**p.options, **given})
            if p.name.rpartition(":")[2] == choice.name
            else p
            for p in parts[choice.kind]
        )
    return replace(recipe, parts=parts)


def _unknown_option(error: click.NoSuchOption, catalog: Catalog, chosen: Sequence[Chosen]) -> str:
    """Why an option is unknown: not chosen, misspelt, ambiguous, or no such thing."""
    flag = error.option_name
    prefix, _, option = flag.lstrip("-").rpartition(".")
    if not prefix:
        hint = f"; did you mean {error.possibilities[0]}?" if error.possibilities else ""
        return f"there is no option {flag}{hint or '; see --help'}"
    owners = [c for c in chosen if prefix in (c.name, c.prefix)]
    if len(owners) > 1:
        choices = " or ".join(f"--{c.prefix}.{option}" for c in owners)
        return f"{flag} could mean more than one step; say which: {choices}"
    if owners:
        known = [f.replace("_", "-") for f in owners[0].step.model_fields]
        near = get_close_matches(option, known, n=1)
        hint = f"did you mean --{prefix}.{near[0]}?" if near else f"it has: {', '.join(known)}"
        return f"{flag}: {owners[0].name} has no option '{option}'; {hint}"
    entries = [e for e in catalog.entries() if prefix in (e.name, f"{FLAGS.get(e.kind)}.{e.name}")]
    if entries:
        entry = entries[0]
        return (
            f"{flag} is an option of the {entry.kind} plugin '{entry.name}', which is not chosen; "
            f"add --{FLAGS.get(entry.kind, entry.kind)} {entry.name}"
        )
    near = get_close_matches(prefix, [c.name for c in chosen], n=1)
    hint = f"did you mean --{near[0]}.{option}?" if near else "see segkit list-plugins"
    return f"{flag}: no plugin is named '{prefix}'; {hint}"
