"""From a moved option to the page's new pictures: another prompt, another transform.

pytest -m benchmark -s tests/benchmarks/bench_playground.py
"""

from __future__ import annotations

import statistics
import time

import pytest

from segkit import Catalog, Recipe
from segkit.running.interactive import Interactive
from segkit.running.recipe import Part
from segkit_ui.playground.bench import Bench
from segkit_ui.playground.form import Bounds, Form, form_of
from segkit_ui.playground.photos import Photos

pytestmark = pytest.mark.benchmark
START = {"prompt": (Part("topk"),), "transform": (Part("idw"),)}


@pytest.fixture(scope="module")
def vit_b(tmp_path_factory):
    """A checkpoint of random weights."""
    import torch
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "vit_b.pth"
    torch.save(sam_model_registry["vit_b"]().state_dict(), path)
    return path


def changed(form: Form, kind: str, option: str, value: int) -> Form:
    steps = [step.model_dump() for step in form.sides[0].steps]
    for step in steps:
        if step["kind"] == kind:
            step["options"][option] = str(value)
    return form_of({**form.model_dump(), "sides": [{"steps": steps}]})


def medians(start: Recipe) -> dict[str, tuple[float, float]]:
    """Seconds by the clock and of the processor, each the median of ten values of an option."""
    catalog = Catalog(third_party=False)
    with Interactive(catalog, start.dataset(catalog)) as session:
        bench = Bench(session, Photos(session.dataset), Bounds(start))
        form = bench.start()
        bench.stages(form)
        figures = {}
        for kind, option in (("prompt", "k"), ("transform", "radius")):
            rows = []
            for value in range(6, 16):
                clock, used = time.perf_counter(), time.process_time()
                bench.stages(changed(form, kind, option, value))
                rows.append((time.perf_counter() - clock, time.process_time() - used))
            clocks, processor = zip(*rows, strict=True)
            figures[kind] = statistics.median(clocks), statistics.median(processor)
    return figures


def told(name, figures):
    for kind, (clock, used) in figures.items():
        print(f"\n{name}, another {kind}: {clock:.3f} s, {used:.3f} s of the processor", end="")


def test_nano():
    figures = medians(Recipe(START))
    told("nano", figures)
    assert figures["prompt"][1] <= 0.3
    assert figures["transform"][1] <= 1


def test_vit_b(vit_b):
    sam = Part("sam", {"model": "vit_b", "checkpoint": str(vit_b)})
    figures = medians(Recipe({**START, "segmenter": (sam,)}))
    told("ViT-B", figures)
    assert figures["prompt"][1] <= 1
