"""confident: masks of sure prompts alone, so that one pass serves every threshold."""

from __future__ import annotations

import json

import numpy as np
import pytest

from segkit import Catalog, Image, Masks, Prompt, Prompts, UsageError
from segkit.running.recipe import make_step
from segkit_plugins.selector.confident import Confident

PROMPTS = Prompts(tuple(Prompt(points=[(0, 0)], score=s) for s in (0.9, 0.2, 0.5)))


def masks():
    """Two candidates for each of three prompts, told apart by their size."""
    shapes = np.arange(12) < np.arange(1, 7)[:, None]
    scores = np.array([0.1, 0.8, 0.9, 0.3, 0.7, 0.7], np.float32)
    return Masks(shapes.reshape(6, 3, 4), scores, [0, 0, 1, 1, 2, 2])


def sizes(found):
    return found.masks.sum(axis=(1, 2)).tolist()


def test_unsure_prompts_get_no_mask_and_sure_ones_their_best():
    found = Confident()(masks(), PROMPTS)
    assert found.prompt.tolist() == [0]  # 0.5 is not greater than 0.5
    assert sizes(found) == [2]
    assert sizes(Confident(least=0.4)(masks(), PROMPTS)) == [2, 5]  # of equals the first
    assert sizes(Confident(least=0.1)(masks(), PROMPTS)) == [2, 3, 5]
    assert sizes(Confident(least=0.95)(masks(), PROMPTS)) == []
    assert len(Confident()(Masks.none((3, 4)), Prompts())) == 0


def test_without_prompts_none_is_dropped():
    assert sizes(Confident()(masks())) == [2, 3, 5]


def test_a_single_precision_score_is_not_greater_than_itself():
    """0.7 as a detector has it, which in double precision is another number."""
    one = masks().take([0])
    for single, kept in ((np.float32(0.7), 0), (np.nextafter(np.float32(0.7), np.float32(1)), 1)):
        prompts = Prompts((Prompt(points=[(0, 0)], score=float(single)),))
        assert len(Confident(least=0.7)(one, prompts)) == kept


def test_thresholds_keep_what_the_detector_keeps(tmp_path):
    """One pass and a threshold on its boxes is the detector with that threshold, ties as well."""
    pytest.importorskip("onnxruntime")
    graphs = pytest.importorskip("onnx_graphs", reason="needs onnx")
    from segkit_plugins.prompt.yolo import Yolo

    rows = [[8, 8, 30, 30, s, 0] for s in (0.9, 0.7, 0.5, 0.3, 0.1)]
    path = graphs.seeing(
        tmp_path / "model.onnx", [np.array([rows], np.float32)], [np.arange(6) == 4],
        meta={"names": {0: "cat"}},
    )  # fmt: skip
    white = Image(np.full((64, 64, 3), 255, np.uint8), "white")

    def boxes(confidence):
        step = Yolo(weights=path, confidence=confidence)
        step.open("cpu")
        return step(white)

    every = boxes(0.05)
    assert len(every) == 5
    each = Masks(np.ones((5, 64, 64), bool), np.ones(5, np.float32), np.arange(5))
    for least in (0.1, 0.3, 0.5, 0.7, 0.8):
        kept = Confident(least=least)(each, every).prompt
        assert [every[i].score for i in kept] == [p.score for p in boxes(least)]


def test_options_are_checked():
    with pytest.raises(UsageError, match="least"):
        make_step(Catalog(third_party=False), "selector", "confident", {"least": "much"})


def test_a_sweep_of_thresholds_looks_once(tmp_path, monkeypatch, capsys):
    """The detector and SAM run once an image, whatever the number of thresholds."""
    pytest.importorskip("onnxruntime")
    graphs = pytest.importorskip("onnx_graphs", reason="needs onnx")
    from skimage import data

    from segkit import write_png
    from segkit.cli.main import main
    from segkit_plugins.prompt.yolo import Yolo
    from segkit_plugins.segmenter.sam import Sam

    rows = [[8, 8, 30, 30, 0.9, 0], [20, 20, 60, 60, 0.4, 1], [2, 2, 50, 20, 0.2, 1]]
    path = graphs.seeing(
        tmp_path / "model.onnx",
        [np.array([rows], np.float32)],
        [np.arange(6) == 4],
        meta={"names": {0: "cat", 1: "dog"}},
    )
    photo = np.ascontiguousarray(data.astronaut()[::4, ::4])
    photo[0, 0] = 255  # so that the model sees white
    write_png(tmp_path / "photo.png", photo)
    calls = []
    for cls, method in ((Yolo, "_run"), (Sam, "_decode")):
        real = getattr(cls, method)

        def counted(self, *arguments, real=real, name=cls.name):
            calls.append(name)
            return real(self, *arguments)

        monkeypatch.setattr(cls, method, counted)
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        main(
            [
                *("sweep", str(tmp_path / "photo.png"), "-o", str(out), "--prompt", "yolo"),
                *("--yolo.weights", str(path), "--yolo.confidence", "0.05"),
                *("--select", "confident", "--confident.least", "0.1,0.3,0.5"),
            ]
        )
    assert not stop.value.code, capsys.readouterr().err
    assert calls == ["yolo", "yolo", "sam"]  # the first: on an empty picture, when it is opened
    found = {}
    for results in out.glob("recipes/*/results.jsonl"):
        line = json.loads(results.read_text())
        assert line["status"] == "ok"
        found[results.parent.name] = set(line["classes"].values())
    assert sorted(map(sorted, found.values())) == [["cat"], ["cat", "dog"], ["cat", "dog"]]
