"""The page: one component whose looks and behaviour lie beside this file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit_ui.review.desk import Desk

if TYPE_CHECKING:
    from gradio import Blocks

HERE = Path(__file__).parent
WIDE = ".gradio-container { max-width: none !important; padding: .8rem !important; }"


def review_page(desk: Desk) -> Blocks:
    """The page over a desk; its questions are the desk's methods."""
    import gradio

    html, css, js = (
        (HERE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
    )
    asked = ("start", "news", "picture", "prepare", "decode", "alternatives")
    decided = ("decide", "accept", "undo")
    with gradio.Blocks(title="segkit review", analytics_enabled=False, fill_width=True) as page:
        gradio.HTML(
            html_template=html,
            css_template=css,
            js_on_load=js,
            apply_default_css=False,
            server_functions=[_function(desk, name) for name in (*asked, *decided)],
        )
    return page


def _function(desk: Desk, name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A method as a function of its own, for gradio marks what it is given."""
    method = getattr(desk, name)

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = method(asked)
        return told

    answer.__name__ = name
    return answer
