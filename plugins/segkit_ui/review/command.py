"""Keep, reject or correct a finished run's masks, in the browser."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segkit.errors import SegkitError
from segkit_ui.serving import Address, gradio_for, page_options, serve

if TYPE_CHECKING:
    from segkit_ui.review.correcting import Corrector


def _review(
    directory: Path,
    image: str | None,
    host: str,
    port: int | None,
    plugin: Sequence[str],
    only: Sequence[str],
    **_: Any,
) -> None:
    gradio_for("segkit review")
    address = Address.hold(host, port)

    from segkit.cli.main import make_catalog
    from segkit_ui.review.desk import Desk
    from segkit_ui.review.page import WIDE, review_page
    from segkit_ui.serving import application

    desk = Desk(directory, make_catalog(plugin, only), first=image)
    count = len(desk.items)
    click.echo(f"{count} mask{'' if count == 1 else 's'} to decide about, the most doubtful first")
    threading.Thread(target=_warm, args=(desk.corrector,), daemon=True).start()
    serve(application(review_page(desk), address, css=WIDE), what="segkit review")


def _warm(corrector: Corrector) -> None:
    """Load the segmenter before the first click; what is wrong with it, the click tells."""
    with suppress(SegkitError):
        corrector.open()


review = click.Command(
    "review",
    callback=_review,
    help="Look through the masks of a finished run in the browser, the most doubtful first: keep, "
    "reject or correct each. Decisions go into DIR/review.jsonl, corrected masks into "
    "DIR/review/masks; nothing that the run has written is changed.\n\n"
    "Example:  segkit review labels",
    params=[
        click.Argument(["directory"], type=click.Path(path_type=Path), metavar="DIR"),
        click.Option(["--image"], metavar="NAME", help="Begin there. [the most doubtful]"),
        *page_options(),
    ],
)
