"""Try recipes on one photo, each stage beside the next, and see what changes."""

from __future__ import annotations

from typing import Any

import click

from segkit.cli.recipe_flag import recipe_option
from segkit_ui.serving import page_options


def _playground(images: tuple[str, ...], recipe: str | None, **params: Any) -> None:
    from segkit.cli.main import make_catalog
    from segkit.running.options import device_named
    from segkit.running.recipe import Recipe
    from segkit.running.recipe_files import recipe_file, starting_recipe
    from segkit_ui.serving import Address, application, gradio_for, serve

    gradio_for("segkit playground")
    address = Address.hold(params["host"], params["port"])
    catalog = make_catalog(params["plugin"], params["only"])
    start = Recipe.load(recipe_file(recipe)) if recipe else starting_recipe(())
    dataset = start.dataset(catalog, images)

    from segkit import Dataset
    from segkit.plugins.contract import blamed
    from segkit.running.interactive import Interactive
    from segkit.running.walk import opened
    from segkit_ui.playground.bench import Bench
    from segkit_ui.playground.form import Bounds
    from segkit_ui.playground.page import CSS, page
    from segkit_ui.playground.photos import Photos

    assert isinstance(dataset, Dataset)  # the catalog has looked
    device = device_named(params["device"])
    with opened([dataset], device), Interactive(catalog, dataset, device=device) as session:
        with blamed(dataset):
            photos = Photos(dataset)
        here = address.token is None
        bench = Bench(session, photos, Bounds(start, files=here))
        app = application(page(bench), address, css=CSS)
        serve(app, what="playground")


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
        recipe_option(),
        *page_options(),
        click.Option(
            ["--device"], default="auto", metavar="NAME", help="auto, cpu, cuda or mps. [auto]"
        ),
    ],
)
