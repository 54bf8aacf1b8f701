"""Flags made from the chosen plugins' options, and the recipe made from flags.

The command line is read twice: first the flags that choose plugins, then, with the options that
those plugins have, everything. Click passes strings on; pydantic alone validates them.
"""

from __future__ import annotations

import re
import typing
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from segkit.cli.completion import OptionValue, PluginName
from segkit.cli.mistakes import unknown_option
from segkit.errors import SegkitError, UsageError, visible
from segkit.kinds import BUNDLED, IN_RECIPES, KINDS, SWEPT, flag_of
from segkit.plugins.catalog import Catalog

if TYPE_CHECKING:
    from pydantic import BaseModel

    from segkit.comparing.sweep import Variant
    from segkit.plugins.steps import Step
    from segkit.running.recipe import Recipe


@dataclass(frozen=True)
class Chosen:
    """A plugin that takes part, and how its options are reached."""

    kind: str
    name: str
    step: type[Step]

    @property
    def prefix(self) -> str:
        """`KIND.NAME`, as in `--KIND.NAME.option`."""
        return f"{flag_of(self.kind)}.{self.name}"

    def target(self, field: str, length: str) -> str:
        """What Click calls the value of `--NAME.option` (`short`) or `--KIND.NAME.option`."""
        return f"{length}_{self.kind}_{self.name}_{field}".replace("-", "_").lower()


def kind_options(kinds: Iterable[str] = IN_RECIPES) -> list[click.Option]:
    """One flag for each kind that a run takes, or for some of them."""
    return [
        click.Option(
            [f"--{flag_of(kind)}", f"kind_{kind}"],
            type=PluginName(kind),
            multiple=True,
            metavar="NAME",
            help=KINDS[kind].help,
        )
        for kind in kinds
    ]


class GrowingCommand(click.Command, ABC):
    """A command whose options grow with the plugins that it is told to use."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the choice of plugins, add their options, then read everything."""
        if ctx.resilient_parsing:  # the shell completes a line that may be wrong so far
            with suppress(SegkitError):
                self.grow(ctx, args)
            return super().parse_args(ctx, args)
        self.grow(ctx, args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            catalog, *_, chosen = ctx.obj
            raise UsageError(unknown_option(error, catalog, chosen)) from None

    @abstractmethod
    def grow(self, ctx: click.Context, args: list[str]) -> None:
        """Add the options; leave the catalog in `ctx.obj` first, the chosen plugins last."""

    def get_help(self, ctx: click.Context) -> str:
        """The help; what plugins say of their options is shown, not obeyed."""
        return visible(super().get_help(ctx))

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


class PlanCommand(GrowingCommand):
    """One that runs recipes.

    `grid`: flags take lists, a,b,c, and --recipe repeats; all combinations are meant. `kinds`:
    those that it uses; no plugin of another kind takes part.
    """

    def __init__(
        self, *args: Any, grid: bool = False, kinds: Sequence[str] = IN_RECIPES, **kwargs: Any
    ) -> None:
        self.grid = grid
        self.kinds = kinds
        super().__init__(*args, **kwargs)

    def grow(self, ctx: click.Context, args: list[str]) -> None:
        """Add the options; leave catalog, bases and chosen plugins in `ctx.obj`."""
        from segkit.cli.main import make_catalog

        probe = click.Command(
            "probe",
            params=[p for p in self.params if p.name != "images"],
            add_help_option=False,
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        )
        first = probe.make_context("probe", list(args), resilient_parsing=True).params
        catalog = make_catalog(first.get("plugin") or (), first.get("only") or ())
        bases = self.bases(first)
        unused = dict.fromkeys((kind for kind in IN_RECIPES if kind not in self.kinds), ())
        if unused:
            bases = [
                replace(b, recipe=replace(b.recipe, parts={**b.recipe.parts, **unused}))
                for b in bases
            ]
        if first.get("split") is not None:
            bases = [replace(b, recipe=divided(b.recipe, catalog, first["split"])) for b in bases]
        distinct = {(c.kind, c.name): c for base in bases for c in choices(catalog, base.recipe)}
        chosen = [*distinct.values(), *self.beside(first, catalog)]
        added, self.sections = plugin_options(chosen, self.grid)
        self.params = [*self.params, *added]
        ctx.obj = (catalog, bases, chosen)

    def bases(self, params: Mapping[str, Any]) -> list[Variant]:
        """What the recipes start from, with the plugins that the flags choose."""
        return base_recipes(params, self.grid)

    def beside(self, params: Mapping[str, Any], catalog: Catalog) -> list[Chosen]:
        """Plugins that are no part of a recipe, whose options are flags all the same."""
        return []


def base_recipes(params: Mapping[str, Any], grid: bool = False) -> list[Variant]:
    """The recipe files, or none, with the plugins that the flags choose in place of their own.

    One recipe, or for a grid every combination of the files and of the lists in the flags.
    """
    from segkit.comparing.sweep import Variant
    from segkit.running.recipe import Part, Recipe
    from segkit.running.recipe_files import recipe_file, starting_recipe

    files = params.get("recipe") or ()
    files = (files,) if isinstance(files, str) else files
    starts = [Variant(Recipe.load(recipe_file(f)), {"recipe": Path(f).stem}) for f in files]
    axes: list[list[tuple[str, tuple[str, ...]]]] = []
    for kind in IN_RECIPES:
        given = params.get(f"kind_{kind}") or ()
        if "none" in given and len(given) > 1:
            raise UsageError(f"--{flag_of(kind)} none leaves nothing to add; drop the other ones")
        if given and grid and kind in SWEPT:
            lists = [split(text, f"--{flag_of(kind)}") for text in given]
            axes.append([(kind, combination) for combination in product(*lists)])
        elif given and grid:
            axes.append([(kind, tuple(n for t in given for n in split(t, f"--{flag_of(kind)}")))])
        elif given:
            axes.append([(kind, given)])
    variants = []
    named = [kind for kind in IN_RECIPES if params.get(f"kind_{kind}")]
    for start, chosen in product(starts or [Variant(starting_recipe(named))], product(*axes)):
        parts = dict(start.recipe.parts)
        labels = dict(start.options)
        for kind, texts in chosen:
            old = {p.name: p for p in parts.get(kind, ())}
            names = [text for text in texts if text != "none"]
            parts[kind] = tuple(
                replace(old.get(name, Part(name)), merge=index > 0)
                for text in names
                for index, name in enumerate(text.split("+") if kind == "prompt" else [text])
            )
            if kind in SWEPT:
                labels[kind] = ",".join(names) or "none"
        variants.append(Variant(replace(start.recipe, parts=parts), labels))
    return variants


SPLIT = "train_share"
"""The option of writers that keep train and val apart, which --split sets."""


def divided(recipe: Recipe, catalog: Catalog, share: float) -> Recipe:
    """The recipe with --split for all of its writers that can divide what they write.

    Raises `UsageError` if there is none.
    """
    writers = {p.name: catalog.load("writer", p.name) for p in recipe.parts.get("writer", ())}
    able = [step.name for step in writers.values() if SPLIT in step.model_fields]
    if not able:
        entries = [e for e in catalog.entries("writer") if e.distribution == BUNDLED]
        steps = [catalog.load_entry(entry) for entry in entries]
        names = ", ".join(step.name for step in steps if SPLIT in step.model_fields)
        raise UsageError(
            f"--split {share:g} divides annotations into train and val, but no format that keeps "
            f"them apart is written; add --write with one of {names}"
        )
    for name in able:
        recipe = recipe.with_options("writer", name, {SPLIT: share})
    return recipe


def split(text: str, flag: str) -> list[str]:
    r"""The alternatives of a list: `a,b`; `\,` is a comma that does not part them."""
    parts = [part.replace("\\,", ",").strip() for part in re.split(r"(?<!\\),", text)]
    if len(parts) > 1 and "" in parts:
        raise UsageError(f"{flag} {text} has an empty place in its list; drop a comma")
    return parts


def choices(catalog: Catalog, recipe: Recipe) -> list[Chosen]:
    """The plugins that take part, or may as defaults, each once."""
    chosen: dict[tuple[str, str], Chosen] = {}
    for kind in IN_RECIPES:
        if kind in recipe.parts:
            names: Iterable[str] = (p.name for p in recipe.parts[kind])
        elif kind == "metric":
            names = (e.full_name for e in catalog.entries(kind) if e.distribution == BUNDLED)
        else:
            names = (f"{BUNDLED}:{part.name}" for part in recipe.defaults(kind))
        for name in names:
            step = catalog.load(kind, name)
            chosen.setdefault((kind, step.name), Chosen(kind, step.name, step))
    return list(chosen.values())


def plugin_options(
    chosen: Sequence[Chosen], grid: bool = False
) -> tuple[list[click.Option], dict[str, list[click.Option]]]:
    """Options for every field of every chosen plugin, and the same by help section."""
    options: list[click.Option] = []
    sections: dict[str, list[click.Option]] = {}
    fields = [(c.name, field) for c in chosen for field in c.step.model_fields]
    for choice in chosen:
        title = f"{choice.name} ({flag_of(choice.kind)})"
        for field in choice.step.model_fields:
            unique = fields.count((choice.name, field)) == 1
            # The long form always works; it is shown only where the short one would be unclear.
            prefixes = [choice.name, choice.prefix] if unique else [choice.prefix]
            for index, prefix in enumerate(prefixes):
                several = grid and choice.kind in SWEPT
                hidden = index > 0
                target = choice.target(field, "long" if hidden else "short")
                option = flag(choice.step, field, prefix, target, hidden=hidden, several=several)
                options.append(option)
                sections.setdefault(title, []).append(option)
    return options, sections


def flag(
    model: type[BaseModel],
    field: str,
    prefix: str,
    target: str,
    *,
    hidden: bool = False,
    several: bool = False,
) -> click.Option:
    """The option `--prefix.field` of a model's field; Click calls its value `target`."""
    info = model.model_fields[field]
    flag = field.replace("_", "-")
    text = " ".join((info.description or "").split())
    default = info.get_default()
    if info.is_required():
        text += "  [required]"
    elif default not in (None, (), "") and not isinstance(default, bool):
        text += f"  [default: {default}]"
    if info.annotation is bool:
        names = f"--{prefix}.{flag}/--{prefix}.no-{flag}"
        text += f"  [default: {'on' if default else 'off'}]"
        default = () if several else None  # both of a pair make a grid
        return click.Option(
            [names, target], default=default, multiple=several, help=text, hidden=hidden
        )
    many = typing.get_origin(info.annotation) is tuple
    metavar = _metavar(info.annotation) + (" …" if many else "")
    return click.Option(
        [f"--{prefix}.{flag}", target],
        type=OptionValue(info.annotation, several=several),
        multiple=many,
        metavar=metavar,
        help=text,
        hidden=hidden,
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
    """The recipe with the options that were given as flags; they win over the recipe's own."""
    for choice in chosen:
        given = given_to(choice, params)
        if given:
            recipe = recipe.with_options(choice.kind, choice.name, given)
    return recipe


def given_to(choice: Chosen, params: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a plugin that were given as flags."""
    given = {}
    for field in choice.step.model_fields:
        for length in ("long", "short"):
            value = params.get(choice.target(field, length))
            if value not in (None, ()):
                given[field] = value
    return given


def grid(
    bases: Sequence[Variant], catalog: Catalog, params: Mapping[str, Any]
) -> Iterator[Variant]:
    """Each base recipe with every combination of the option values given for its plugins."""
    from segkit.comparing.sweep import Variant

    for base in bases:
        chosen = choices(catalog, base.recipe)
        axes = [list(_values(choice, params)) for choice in chosen if choice.kind in SWEPT]
        for combination in product(*(axis for own_axes in axes for axis in own_axes)):
            now = {**params, **{target: value for target, value, _ in combination}}
            labels = {k: v for _, _, label in combination for k, v in label.items()}
            yield Variant(completed(base.recipe, chosen, now), {**base.options, **labels})


def _values(
    choice: Chosen, params: Mapping[str, Any]
) -> Iterator[list[tuple[str, Any, dict[str, str]]]]:
    """For each option of a plugin that is given: its values, with Click's name and a label."""
    for field, info in choice.step.model_fields.items():
        flag = f"{choice.name}.{field.replace('_', '-')}"
        for length in ("long", "short"):
            target = choice.target(field, length)
            value = params.get(target)
            if value in (None, ()):
                continue
            values: list[Any]
            if info.annotation is bool:
                values = list(dict.fromkeys(value))
                texts = ["on" if v else "off" for v in values]
            elif isinstance(value, tuple):
                values = list(product(*(split(v, f"--{flag}") for v in value)))
                texts = [",".join(v) for v in values]
            else:
                values = texts = split(value, f"--{flag}")
            yield [(target, v, {flag: text}) for v, text in zip(values, texts, strict=True)]
