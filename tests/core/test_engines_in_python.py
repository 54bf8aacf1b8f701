"""`engine=` and `shard=` from Python: what the command line's flags of that name do."""

from __future__ import annotations

import json

import numpy as np
import pytest
from shapes_toys import shapes

import segkit
from segkit import Catalog, Image, Labels, Pipeline, SegkitWarning, Segmenter, UsageError
from segkit.running.engines.choosing import engine_of

TIMES = ("seconds",)


class Light(Segmenter):
    """All that is light; a class of this file, and no plugin."""

    name = "light"

    def __call__(self, image: Image) -> Labels:
        return Labels((image.pixels[..., 0] > 100).astype(np.int32), {1: "light"})


@pytest.fixture
def pipeline():
    """One that takes little time, with steps that other catalogs have made."""
    return Pipeline(
        saliency=segkit.step("gradcam", model="shapes", size=64),
        segmenter=segkit.step("threshold", kind="segmenter", level=0.4),
    )


def lines_of(directory):
    """Image name to its line, without times."""
    rows = [json.loads(row) for row in (directory / "results.jsonl").read_text().splitlines()]
    return {row["name"]: {k: v for k, v in row.items() if k not in TIMES} for row in rows}


def test_workers_give_what_this_process_gives(tmp_path, pipeline):
    here = pipeline.run(shapes(6), tmp_path / "here")
    two = segkit.engine("workers", workers=2)
    there = pipeline.run(shapes(6), tmp_path / "there", engine=two)
    assert [row["worker"] for row in there["workers"]] == [1, 2]
    assert there["scores"] == here["scores"]
    assert lines_of(tmp_path / "there") == lines_of(tmp_path / "here")
    plans = {"run": pipeline.plan(shapes(6), write=True)}
    summary = segkit.run(plans, tmp_path / "run", engine=two)["run"]  # an engine serves again
    assert len(summary["workers"]) == 2
    assert lines_of(tmp_path / "run") == lines_of(tmp_path / "here")


def timeless(value):
    """What a result holds, without times."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in TIMES}
    return [timeless(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("compare", "how"),
    [
        (segkit.sweep, {}),
        (segkit.diagnose, {}),
        (segkit.robustness, {"perturbations": ["gaussian-noise"], "levels": 1}),
    ],
)
def test_comparisons_by_workers(compare, how):
    asks = Pipeline(
        prompt="topk", segmenter="grabcut", options={"gradcam.model": "shapes", "gradcam.size": 64}
    )
    here = compare({"a": asks}, shapes(4), **how)
    there = compare({"a": asks}, shapes(4), engine=segkit.engine("workers", workers=2), **how)
    assert timeless(there.to_dict()) == timeless(here.to_dict())


def test_shards_and_their_merge(tmp_path, pipeline):
    whole = pipeline.run(shapes(9), tmp_path / "whole")
    parts = [tmp_path / f"part-{i}" for i in (1, 2)]
    for i, part in enumerate(parts, 1):
        pipeline.run(shapes(9), part, shard=f"{i}/2")
    counts = [len(lines_of(part)) for part in parts]
    assert sum(counts) == 9
    assert all(counts)
    merged = segkit.merge(parts, tmp_path / "merged")
    assert merged.summaries["run"]["scores"] == whole["scores"]
    assert lines_of(tmp_path / "merged") == lines_of(tmp_path / "whole")


@pytest.mark.parametrize("shard", ["3/2", "0/2", "half", 3, (1, 2)])
def test_what_is_no_shard(tmp_path, pipeline, shard):
    with pytest.raises(UsageError, match="should be I/N with I from 1 to N, such as 2/8, but is"):
        pipeline.run(shapes(2), tmp_path / "out", shard=shard)
    with pytest.raises(UsageError, match="should be I/N"):
        segkit.sweep(pipeline, shapes(2), shard=shard)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: segkit.engine("worker"), "there is no engine 'worker'; did you mean 'workers'?"),
        (lambda: segkit.engine("x"), "there is no engine 'x'; there is local, workers, ray"),
        (
            lambda: segkit.engine("workers", cpus=2),
            "cpus belongs to the engine 'ray', but the engine is 'workers'; choose that, or leave "
            "it out",
        ),
        (
            lambda: segkit.engine("local", workers=2),
            "workers belongs to the engine 'workers' or 'ray', but the engine is 'local'; choose "
            "that, or leave it out",
        ),
        (
            lambda: segkit.engine("workers", workers=0),
            "workers should be a whole number from 1, or 'auto', but is 0",
        ),
        (
            lambda: segkit.engine("workers", workers=True),
            "workers should be a whole number from 1, or 'auto', but is True",
        ),
        (lambda: segkit.engine("ray", cpus=0), "cpus should be a number above 0, but is 0"),
        (lambda: segkit.engine("ray", gpus="1"), "gpus should be a number from 0, but is '1'"),
        (
            lambda: segkit.engine("ray", chunk=1.5),
            "chunk should be a whole number from 1, but is 1.5",
        ),
        (
            lambda: segkit.engine("ray", address=""),
            "address should be 'auto', 'local' or 'HOST:PORT', but is ''",
        ),
        (
            lambda: engine_of(3),
            "the engine should be 'local', 'workers', 'ray' or one made by segkit.engine, but is "
            "a int",
        ),
    ],
)
def test_what_is_no_engine(make, sentence):
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == sentence


def test_this_process_is_an_engine_too(tmp_path, pipeline):
    assert engine_of("local") is engine_of(segkit.engine("local")) is engine_of(None) is None
    summary = pipeline.run(shapes(2), tmp_path / "out", engine=segkit.engine("local"))
    assert summary["images"] == 2


def test_a_step_that_no_worker_has_is_refused_before_one_is_started(tmp_path):
    own = Pipeline(saliency="none", segmenter=Light())
    with pytest.raises(UsageError) as caught:
        own.run(shapes(2), tmp_path / "out", engine="workers")
    assert str(caught.value) == (
        f"light is the class Light of {__name__} and no plugin, which workers could not find; give "
        "its file by --plugin (from Python Pipeline(catalog=segkit.Catalog(files=…)) and its "
        "name), or leave out the engine"
    )
    assert not (tmp_path / "out").exists()


def test_a_plugin_of_a_file_travels(tmp_path):
    file = tmp_path / "light.py"
    file.write_text(
        "import numpy as np\n"
        "from segkit import Image, Labels, Segmenter, hookimpl\n\n\n"
        "class Light(Segmenter):\n"
        '    """All that is light."""\n\n'
        '    name = "light"\n\n'
        "    def __call__(self, image: Image) -> Labels:\n"
        '        return Labels((image.pixels[..., 0] > 100).astype(np.int32), {1: "light"})\n\n\n'
        "@hookimpl\n"
        "def segkit_segmenters():\n"
        "    return [Light]\n"
    )
    own = Pipeline(saliency="none", segmenter="light", catalog=Catalog(files=(file,)))
    summary = own.run(shapes(3), tmp_path / "out", engine="workers")
    assert summary["images"] == 3
    assert summary["failed"] == 0


def test_merging_tells_of_a_shard_that_is_missing(tmp_path, pipeline):
    pipeline.run(shapes(6), tmp_path / "part", shard="1/2")
    with pytest.warns(SegkitWarning, match="2/2"):
        merged = segkit.merge([tmp_path / "part"], tmp_path / "merged")
    assert merged.shards == ("2/2",)
