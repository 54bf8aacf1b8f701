"""Keep, reject or correct a finished run's masks, in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from segkit_ui.serving import Address, gradio_for, page_options

review = click.Command(
    "review",
    help="Look through the masks of a finished run in the browser, the most doubtful first: keep, "
    "reject or correct each. Decisions go into DIR/review.jsonl, corrected masks into "
    "DIR/review/masks; nothing that the run has written is changed.\n\n"
    "Example:  segkit review labels",
    params=[
        click.Argument(["directory"], type=click.Path(path_type=Path), metavar="DIR"),
        *page_options(),
    ],
)


def _review(directory: Path, host: str, port: int | None, **more: Any) -> None:
    gradio_for("segkit review")
    Address.hold(host, port)


review.callback = _review
