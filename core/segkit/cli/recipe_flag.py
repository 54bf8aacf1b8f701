"""`--recipe NAME|FILE`: the recipes that come with segkit, and files of one's own."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from segkit.running.recipe_files import bundled_recipes, recipe_summary


class RecipeName(click.ParamType[str]):
    """A bundled recipe's name, or a file; completed by the shell."""

    name = "NAME|FILE"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The bundled recipes that begin so, and files."""
        known = bundled_recipes().items()
        items = [CompletionItem(n, help=recipe_summary(f)) for n, f in known]
        return [i for i in items if i.value.startswith(incomplete)] + [
            CompletionItem(incomplete, type="file")
        ]


def recipe_option(several: bool = False, alone: bool = False) -> click.Option:
    """`--recipe`, which names those that come with segkit.

    `several`: it repeats; `alone`: there are no flags that choose steps beside it.
    """
    text = "A recipe to compare; repeats." if several else "Start from a recipe."
    return click.Option(
        ["--recipe"],
        type=RecipeName(),
        multiple=several,
        metavar=RecipeName.name,
        help=f"{text} Bundled: {', '.join(bundled_recipes())}."
        + ("" if alone else " Flags win over it."),
    )
