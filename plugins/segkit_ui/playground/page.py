"""The page itself: gradio carries the form in, and controls and stages out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import escape

from segkit import SegkitError
from segkit.errors import error_line
from segkit_ui.playground.bench import Bench
from segkit_ui.playground.form import Form, form_of

_FILES = Path(__file__).parent / "templates"

CSS = (_FILES / "playground.css").read_text(encoding="utf-8")
"""The page's style."""

ALONE: dict[str, Any] = {
    "trigger_mode": "always_last",
    "show_progress": "hidden",
    "api_name": False,
}
"""Of many changes while one is worked on, the last counts: each brings the whole form."""


def page(bench: Bench) -> gr.Blocks:
    """The playground as gradio has it. Raises as `Bench.start` does."""
    first = bench.start()
    with gr.Blocks(title="segkit playground", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(
            "<h1>segkit playground</h1><p>What each step makes of one photo. "
            "Change a step, and look.</p>",
            elem_id="title",
        )
        with gr.Row(elem_id="bench"):
            with gr.Column(elem_classes="controls"):
                upload = gr.UploadButton(
                    "Upload a photo", file_types=["image"], size="sm", elem_id="upload"
                )
                controls = gr.HTML(
                    bench.controls(first),
                    elem_id="controls",
                    js_on_load=_script("controls.js"),
                    apply_default_css=False,
                )
            with gr.Column(elem_classes="shown"):
                says = gr.HTML("", elem_id="says", apply_default_css=False)
                stages = gr.HTML(
                    "",
                    elem_id="stages",
                    js_on_load=_script("stages.js"),
                    apply_default_css=False,
                )
        held = gr.State(first.model_dump())

        def changed(event: gr.EventData) -> tuple[Any, ...]:
            return _answered(bench, event._data, controls=False)

        def chosen(event: gr.EventData) -> tuple[Any, ...]:
            return _answered(bench, event._data, controls=True)

        def uploaded(path: str, form: dict[str, Any]) -> tuple[Any, ...]:
            try:
                key = bench.photos.add(path)
            except SegkitError as error:
                return gr.skip(), gr.skip(), _sentence(str(error)), form
            now = {**form, "photo": key, "clicks": ()}
            return _answered(bench, {"form": now}, controls=True)

        outputs = [controls, stages, says, held]
        controls.input(changed, None, outputs, **ALONE)
        controls.select(chosen, None, outputs, **ALONE)
        upload.upload(uploaded, [upload, held], outputs, show_progress="hidden", api_name=False)
    return blocks


def _answered(bench: Bench, sent: Any, *, controls: bool) -> tuple[Any, ...]:
    """Controls, stages, sentence and form; what stays as it is is skipped."""
    try:
        form: Form = form_of(sent.get("form") if isinstance(sent, dict) else sent)
        shown = bench.controls(form) if controls else gr.skip()
        return shown, bench.stages(form), "", form.model_dump()
    except SegkitError as error:
        return gr.skip(), gr.skip(), _sentence(str(error)), gr.skip()
    except Exception as error:  # the page lives on
        text = f"the playground itself failed: {error_line(error)}"
        return gr.skip(), gr.skip(), _sentence(text), gr.skip()


def _sentence(text: str) -> str:
    return f'<p class="error" role="alert">{escape(text)}</p>'


def _script(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf-8")
