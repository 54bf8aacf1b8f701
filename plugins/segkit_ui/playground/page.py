"""The page itself: gradio carries the form in, and controls and stages out."""

from __future__ import annotations

import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit import SegkitError
from segkit.errors import error_line
from segkit_ui.playground.bench import Bench
from segkit_ui.playground.form import form_of
from segkit_ui.serving import escaped

if TYPE_CHECKING:
    from gradio import HTML, Blocks

_FILES = Path(__file__).parent / "templates"

CSS = (_FILES / "playground.css").read_text(encoding="utf-8")
"""The page's style."""

TITLE = """<h1>segkit playground</h1>
<p>What each step makes of one photo. Change a step, and look.</p>"""


def page(bench: Bench) -> Blocks:
    """The playground as gradio has it. Raises as `Bench.start` does."""
    import gradio as gr

    first = bench.controls(bench.start())

    questions = Questions(bench)

    def answer(sent: Any) -> dict[str, str | None]:
        return questions.answer(sent)

    def cancel(number: Any) -> None:
        questions.cancel(number)

    with gr.Blocks(title="segkit playground", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(TITLE, elem_id="title")
        with gr.Row(elem_id="bench"):
            with gr.Column(elem_classes="controls"):
                upload = gr.UploadButton(
                    "Upload a photo", file_types=["image"], size="sm", elem_id="upload"
                )
                news = gr.HTML("", elem_id="news")
                script = (_FILES / "playground.js").read_text(encoding="utf-8")
                _holder("controls", first, js_on_load=script, server_functions=[answer, cancel])
            with gr.Column(elem_classes="shown"):
                _holder("says")
                _holder("stages")
        upload.upload(
            lambda path: _uploaded(bench, path),
            [upload],
            [news],
            show_progress="hidden",
            api_name=False,
        )
    return blocks


def _holder(name: str, content: str = "", **more: Any) -> HTML:
    """A place whose content the page's script changes."""
    from gradio import HTML

    html = f'<div class="holder">{content}</div>'
    return HTML(html, elem_id=name, apply_default_css=False, **more)


class Questions:
    """What the page asks, from several threads: each window has one question under way."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._cancelled: dict[str, threading.Event] = {}
        """The number of each question that is under way, as its page has drawn it."""

    def answer(self, sent: Any) -> dict[str, str | None]:
        """Stages, controls where they are asked for, and a sentence; None: it stays as it is."""
        nothing: dict[str, str | None] = {"controls": None, "stages": None, "sentence": ""}
        asked = sent if isinstance(sent, dict) else {}
        number, cancelled = str(asked.get("number")), threading.Event()
        self._cancelled[number] = cancelled
        try:
            form = form_of(asked.get("form"))
            controls = self._bench.controls(form) if asked.get("controls") is True else None
            nothing["controls"] = controls
            return {**nothing, "stages": self._bench.stages(form, cancelled.is_set)}
        except SegkitError as error:
            return {**nothing, "sentence": str(error)}
        except Exception as error:  # the page lives on
            return {**nothing, "sentence": f"the playground itself failed: {error_line(error)}"}
        finally:
            self._cancelled.pop(number, None)

    def cancel(self, number: Any) -> None:
        """End the question of this number before its next step, if it is under way."""
        cancelled = self._cancelled.get(str(number))
        if cancelled is not None:
            cancelled.set()


def _uploaded(bench: Bench, path: str) -> str:
    """What the page's script is told of a file that gradio has taken in."""
    try:
        key = bench.photos.add(path)
        told = {"key": key, "name": dict(bench.photos.menu)[key]}
    except SegkitError as error:
        told = {"sentence": str(error)}
    told["news"] = secrets.token_hex(8)  # the same once more is news too
    words = " ".join(f'data-{name}="{escaped(text)}"' for name, text in told.items())
    return f"<i {words}></i>"
