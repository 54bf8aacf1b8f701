"""Try recipes on one photo, each stage beside the next, and see what changes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from segkit.cli.recipe_flag import recipe_option
from segkit_ui.serving import page_options

if TYPE_CHECKING:
    from segkit_ui.serving import Address


def _playground(images: tuple[str, ...], recipe: str | None, **params: Any) -> None:
    from segkit_ui.serving import Address, gradio_for

    gradio_for("segkit playground")
    address = Address.hold(params["host"], params["port"])
    with closing(address.socket):
        _serve(address, images, recipe, params)


def _serve(
    address: Address, images: tuple[str, ...], recipe: str | None, params: Mapping[str, Any]
) -> None:
    """Serve the page at an address that is held."""
    from segkit import Dataset
    from segkit.cli.main import make_catalog
    from segkit.plugins.contract import blamed
    from segkit.running.interactive import Interactive
    from segkit.running.options import device_named
    from segkit.running.recipe import Recipe
    from segkit.running.recipe_files import recipe_file, starting_recipe
    from segkit.running.walk import opened
    from segkit_ui.playground.bench import Bench
    from segkit_ui.playground.form import Bounds
    from segkit_ui.playground.page import CSS, page
    from segkit_ui.playground.photos import Photos
    from segkit_ui.serving import application, serve

    catalog = make_catalog(params["plugin"], params["only"])
    start = Recipe.load(recipe_file(recipe)) if recipe else starting_recipe(())
    dataset = start.dataset(catalog, images)
    assert isinstance(dataset, Dataset)  # the catalog has looked
    device = device_named(params["device"])
    with opened([dataset], device), Interactive(catalog, dataset, device=device) as session:
        with blamed(dataset):
            photos = Photos(dataset)
        # Others who open the page may not name files of this machine.
        bench = Bench(session, photos, Bounds(start, files=address.token is None))
        serve(application(page(bench), address, css=CSS), what="playground")


playground = click.Command(
    "playground",
    callback=_playground,
    help="Try recipes on one photo: a page shows every stage beside the next, and each option "
    "as a slider or a menu. Without images, the photographs that ship with scikit-image.\n\n"
    "Examples:\n\n"
    "\b\n"
    "  segkit playground photo.jpg\n"
    "  segkit playground photos/ --recipe objects\n"
    "  segkit playground photo.jpg --plugin my_prompter.py\n",
    params=[
        click.Argument(["images"], nargs=-1, metavar="[IMAGE|FOLDER|GLOB]..."),
        recipe_option(alone=True),
        *page_options(),
        click.Option(
            ["--device"], default="auto", metavar="NAME", help="auto, cpu, cuda or mps. [auto]"
        ),
    ],
)
