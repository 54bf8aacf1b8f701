"""yolo: each family's outputs as named boxes, in the frame of any picture."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from segkit import BadValueError, Image, MissingExtraError, UsageError
from segkit_plugins.prompt._detection import COCO, to_pixels
from segkit_plugins.prompt.yolo import Yolo
from segkit_plugins.prompt.yolo.heads import head_of, suppress
from segkit_plugins.prompt.yolo.letterbox import Letterbox, resized

pytest.importorskip("onnxruntime")
graphs = pytest.importorskip("onnx_graphs", reason="needs onnx")

CLASSES = ("cat", "dog", "sea lion")
CELLS = 84  # of an input of 64x64
META = {"names": dict(enumerate(CLASSES)), "task": "detect"}

# Edges in the input, score, class; the second overlaps the first, and so does the third, which is
# of another class.
BOXES = [
    ((8, 16, 40, 48), 0.9, 0),
    ((9, 16, 40, 48), 0.8, 0),
    ((8, 17, 40, 48), 0.85, 1),
    ((44, 20, 60, 44), 0.7, 2),
    ((20, 20, 30, 30), 0.3, 2),
]
FOUND = [BOXES[0], BOXES[2], BOXES[3]]


def picture(height=64, width=64, colour=(255, 0, 0)):
    return Image(np.full((height, width, 3), colour, np.uint8), "x")


def middle_and_sides(edges):
    x0, y0, x1, y1 = edges
    return [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]


def ultralytics():
    table = np.zeros((1, 4 + len(CLASSES), CELLS), np.float32)
    for i, (edges, score, label) in enumerate(BOXES):
        table[0, :4, 5 * i] = middle_and_sides(edges)
        table[0, 4 + label, 5 * i] = score
    return [table], [np.arange(7)[None, :, None] >= 4]


def yolox(decoded=False):
    table = np.zeros((1, CELLS, 5 + len(CLASSES)), np.float32)
    cells = [(x, y, s) for s in (8, 16, 32) for y in range(64 // s) for x in range(64 // s)]
    steps = np.array(cells, np.float32)
    if decoded:
        table[0, :, :2] = (steps[:, :2] + 0.5) * steps[:, 2:]
    for i, (edges, score, label) in enumerate(BOXES):
        x, y, w, h = middle_and_sides(edges)
        column, row, s = cells[7 * i]
        place = [x, y, w, h] if decoded else [x / s - column, y / s - row, *np.log([w / s, h / s])]
        table[0, 7 * i, :5] = [*place, 0.95]
        table[0, 7 * i, 5 + label] = score / 0.95
    return [table], [np.arange(8) >= 5]


def v5():
    table = np.zeros((1, 3 * CELLS, 5 + len(CLASSES)), np.float32)
    for i, (edges, score, label) in enumerate(BOXES):
        table[0, 3 * i, :5] = [*middle_and_sides(edges), 1]
        table[0, 3 * i, 5 + label] = score
    return [table], [np.arange(8) >= 5]


def nas():
    boxes = np.zeros((1, 50, 4), np.float32)
    scores = np.zeros((1, 50, len(CLASSES)), np.float32)
    for i, (edges, score, label) in enumerate(BOXES):
        boxes[0, i], scores[0, i, label] = edges, score
    return [boxes, scores], [False, True]


# Networks that suppress overlaps themselves give what is left, here with low ones at the end.
def end_to_end():
    rows = [[*edges, score, label] for edges, score, label in [*FOUND, BOXES[4]]]
    return [np.array([rows + [[0] * 6] * 26], np.float32)], [np.arange(6) == 4]


def nas_flat():
    rows = [[0, *edges, score, label] for edges, score, label in [*FOUND, BOXES[4]]]
    return [np.array(rows, np.float32)], [np.arange(7) == 5]


def nas_batch():
    count = np.array([[4]], np.float32)
    kept = [*FOUND, BOXES[4], *[((1, 1, 9, 9), 0.99, 0)] * 6]  # what follows the count is no box
    edges, scores, labels = (np.array([list(k)], np.float32) for k in zip(*kept, strict=True))
    return [count, edges, scores, labels], [False, False, True, False]


FAMILIES = {
    "ultralytics": (ultralytics, "Ultralytics", {}),
    "v5": (v5, "YOLOv5", {}),
    "yolox": (yolox, "YOLOX", {"channel": 2, "top": 255}),
    "yolox-decoded": (lambda: yolox(True), "YOLOX", {"channel": 2, "top": 255}),
    "nas": (nas, "YOLO-NAS", {}),
    "nas-flat": (nas_flat, "YOLO-NAS with NMS (flat)", {}),
    "nas-batch": (nas_batch, "YOLO-NAS with NMS (batch)", {}),
    "end-to-end": (end_to_end, "end-to-end", {}),
}


def made(path, family="ultralytics", meta=META, **how):
    tables, scored = FAMILIES[family][0]()
    how = {**FAMILIES[family][2], **how}
    return graphs.seeing(path / "model.onnx", tables, scored, meta=meta, **how)


def opened(path, **options):
    step = Yolo(weights=path, **options)
    step.open("cpu")
    return step


def edges_of(prompts):
    """Boxes as edges: the last pixel ends one further."""
    return np.array([p.box for p in prompts]).reshape(-1, 4) + np.array([0, 0, 1, 1])


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_gives_its_boxes_best_first(tmp_path, family):
    step = opened(made(tmp_path, family))
    assert step._head.family == FAMILIES[family][1]
    found = step(picture())
    nas = family.startswith("nas")  # sees a square picture at 60 of the 64 pixels, in the middle
    boxes = np.array([b for b, _, _ in FOUND], np.float64)
    expected = (boxes - 2) * 64 / 60 if nas else boxes
    assert edges_of(found) == pytest.approx(expected, abs=1e-3)
    assert [p.name for p in found] == [CLASSES[c] for _, _, c in FOUND]
    assert [p.score for p in found] == pytest.approx([s for _, s, _ in FOUND], abs=1e-6)
    # It has seen red as red: another order or range of the channels would not be seen.
    assert len(step(picture(colour=(0, 255, 255)))) == 0


@pytest.mark.parametrize("kind", ["BYTES", "HALF"])
def test_inputs_of_bytes_and_halves(tmp_path, kind):
    top = 255 if kind == "BYTES" else 1
    step = opened(made(tmp_path, kind=getattr(graphs, kind), top=top))
    assert [p.score for p in step(picture())] == pytest.approx([0.9, 0.85, 0.7])


# The picture's content in 64x64: (height, width) of the picture, then its place and scales there.
SIZES = {
    (64, 64): (0, 0, 1, 1),
    (32, 64): (0, 16, 1, 1),
    (128, 256): (0, 16, 4, 4),
    (100, 30): (22, 0, 30 / 19, 100 / 64),
    (1, 1): (0, 0, 1 / 64, 1 / 64),
    (1, 900): (0, 31, 900 / 64, 1),
    (700, 2): (31, 0, 2, 700 / 64),
}


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[1]}x{s[0]}")
def test_boxes_lie_right_in_pictures_of_any_size_and_inside(tmp_path, size):
    step = opened(made(tmp_path), iou=1)
    left, top, across, down = SIZES[size]
    found = step(picture(*size))
    boxes = np.array([b for b, s, _ in sorted(BOXES, key=lambda b: -b[1]) if s >= 0.5])
    expected = (boxes - [left, top, left, top]) * [across, down, across, down]
    pixels, right = to_pixels(expected, size)
    assert [p.box.tolist() for p in found] == [pytest.approx(b, abs=1e-3) for b in pixels[right]]
    for prompt in found:
        x0, y0, x1, y1 = prompt.box
        assert 0 <= x0 <= x1 <= size[1] - 1
        assert 0 <= y0 <= y1 <= size[0] - 1


def test_yolox_lies_in_the_corner(tmp_path):
    found = opened(made(tmp_path, "yolox"))(picture(32, 64))
    assert edges_of(found)[0] == pytest.approx([8, 16, 40, 32])  # cut at the lower border


def test_confidence_iou_most_and_classes(tmp_path):
    path = made(tmp_path)

    def scores(**options):
        return [round(p.score, 2) for p in opened(path, **options)(picture())]

    assert scores() == [0.9, 0.85, 0.7]
    assert scores(confidence=0.1) == [0.9, 0.85, 0.7, 0.3]
    assert scores(confidence=0.8) == [0.9, 0.85]
    assert scores(iou=1) == [0.9, 0.85, 0.8, 0.7]
    assert scores(most=2) == [0.9, 0.85]
    assert scores(classes=("dog", "sea lion"), most=1) == [0.85]
    assert scores(confidence=0.99) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_confidence_has_to_be_greater(tmp_path, family):
    """A detection as sure as `confidence` says is none: the report's boxes are those above 0.5."""
    path = made(tmp_path, family)
    scores = [p.score for p in opened(path, confidence=0.5)(picture())]
    assert len(scores) == 3
    for place, score in enumerate(scores):
        assert [p.score for p in opened(path, confidence=score)(picture())] == scores[:place]


def test_names_from_the_file_a_table_and_coco(tmp_path):
    (tmp_path / "names.txt").write_text("katze\nhund\nseelöwe\n", encoding="utf-8")
    (tmp_path / "table.csv").write_text("cat,pet\ndog,pet\n")
    path = made(tmp_path)

    def names(**options):
        return [p.name for p in opened(path, **options)(picture())]

    assert names(names=str(tmp_path / "names.txt")) == ["katze", "hund", "seelöwe"]
    assert names(table=str(tmp_path / "table.csv")) == ["pet", "pet"]
    assert len(COCO) == len(set(COCO)) == 80
    flat = made(tmp_path, "nas-flat", meta={})
    assert [p.name for p in opened(flat, names="coco")(picture())] == list(COCO[:3])


def test_a_dynamic_input_is_no_larger_than_the_picture_needs(tmp_path):
    step = opened(made(tmp_path, shape=(1, 3, "height", "width")), size=64)
    assert edges_of(step(picture(32, 64)))[0] == pytest.approx([8, 16, 40, 32])  # no grey above
    assert step._room() == (64, 64)
    said = opened(made(tmp_path, shape=("n", 3, "h", "w"), meta={**META, "imgsz": [96, 32]}))
    assert said._room() == (96, 32)
    assert opened(made(tmp_path, shape=("n", 3, "h", "w")))._room() == (640, 640)


def test_models_that_give_more_than_boxes(tmp_path):
    (table,), (mask,) = ultralytics()
    more = np.concatenate([table, np.full((1, 9, CELLS), 3, np.float32)], axis=1)
    masks = np.zeros((1, 9, 16, 16), np.float32)
    mask = np.concatenate([mask, np.zeros((1, 9, 1), bool)], axis=1)
    meta = {**META, "task": "segment"}
    path = graphs.seeing(tmp_path / "seg.onnx", [more, masks], [mask, False], meta=meta)
    assert edges_of(opened(path)(picture())) == pytest.approx(np.array([b for b, _, _ in FOUND]))


def test_shapes_that_could_be_several_families():
    size = (64, 64)
    assert head_of([(1, 6, 84)], size).family == "Ultralytics"  # two classes
    assert head_of([(1, 84, 6)], size).family == "YOLOX"  # one class
    assert head_of([(1, 300, 6)], size).family == "end-to-end"
    assert head_of([(1, 5, 6)], size).family == "end-to-end"
    assert head_of([(1, 5, 64)], size).classes == 1  # one level of stride 8
    assert head_of([(1, 84, 8400)], (640, 640)).classes == 80
    assert head_of([(1, 8400, 85)], (640, 640)).family == "YOLOX"
    assert head_of([(1, 25200, 85)], (640, 640)).family == "YOLOv5"
    assert head_of([(1, 84, 999)], (96, 96)).classes == 80  # other strides
    assert head_of([(1, 300, 8)], size, end_to_end=True).family == "end-to-end"
    for none in ([(1, 1000)], [(1, 84, 4)], [(2, 7, 84)], [], [(1, 4, 84)], [(1, 3, 64, 64)]):
        assert head_of(none, size) is None, none


def test_suppression_is_class_by_class_as_torchvisions():
    import torch
    from torchvision.ops import batched_nms

    rng = np.random.default_rng(0)
    for _ in range(20):
        corners = rng.uniform(-20, 600, (200, 2))
        boxes = np.hstack([corners, corners + rng.uniform(1, 120, (200, 2))]).astype(np.float32)
        scores, labels = rng.random(200).astype(np.float32), rng.integers(0, 4, 200)
        found = suppress((boxes, scores, labels), 0.5, 1000)
        kept = batched_nms(*(torch.from_numpy(a) for a in (boxes, scores, labels)), 0.5).numpy()
        assert np.array_equal(found[0], boxes[kept])
        assert np.array_equal(found[2], labels[kept])


def test_pictures_are_resized_as_opencv_does():
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(1)
    for _ in range(60):
        h, w, new_h, new_w = rng.integers(1, 90, 4)
        pixels = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
        expected = cv2.resize(pixels, (int(new_w), int(new_h)), interpolation=cv2.INTER_LINEAR)
        found = resized(pixels, (int(new_h), int(new_w)))
        assert abs(found.astype(int) - expected.reshape(found.shape)).max() <= 1


def test_the_way_into_the_input_and_back():
    for picture_size in [(375, 500), (1, 1), (3000, 7), (641, 639)]:
        for corner in (False, True):
            fitted = Letterbox.fit(picture_size, (640, 480), corner=corner)
            height, width = picture_size
            top, left = fitted.offset
            h, w = fitted.content
            whole = fitted.back(np.array([[left, top, left + w, top + h]], np.float32))
            assert whole[0] == pytest.approx([0, 0, width, height])


def refused(path, **options):
    with pytest.raises(UsageError) as error:
        opened(path, **options)
    return str(error.value)


def test_files_that_are_no_detector(tmp_path):
    assert refused(tmp_path / "no.onnx") == (
        f"--yolo.weights {tmp_path / 'no.onnx'}: there is no such file; give a YOLO that was "
        "exported to ONNX"
    )
    (tmp_path / "text.onnx").write_text("no network")
    said = refused(tmp_path / "text.onnx")
    assert "cannot be loaded as ONNX" in said
    assert "\n" not in said
    path = graphs.seeing(tmp_path / "classifier.onnx", [np.zeros((1, 1000))], [True])
    assert refused(path) == (
        f"--yolo.weights {path} is no detector of a known family: for an input of 64x64 its "
        "outputs have the shapes (1, 1000), and fit neither Ultralytics, YOLO-NAS nor YOLOX; "
        "choose another file or export it anew"
    )
    path = made(tmp_path, shape=(1, 1, 64, 64))
    assert "its input should be (1, 3, H, W) of float or bytes, but is images (1, 1, 64, 64)" in (
        refused(path)
    )
    assert "takes 4 pictures at a time" in refused(made(tmp_path, shape=(4, 3, 64, 64)))
    assert "for the task 'obb'" in refused(made(tmp_path, meta={**META, "task": "obb"}))


def test_names_that_do_not_fit(tmp_path):
    path = made(tmp_path, meta={"names": {0: "cat", 1: "dog"}})
    assert refused(path) == (
        f"--yolo.weights {path} has 3 classes, but 2 class names (in its own file); give as many "
        "as --yolo.names FILE"
    )
    assert "3 classes, but 80 class names (coco)" in refused(path, names="coco")
    for meta in ({}, {"names": "{0: 'cat'"}, {"names": "{3: 'cat'}"}, {"names": "[]"}):
        assert refused(made(tmp_path, meta=meta)) == (
            f"--yolo.weights {path} does not say what its 3 classes are called; give --yolo.names "
            "coco, or a text file with a name a line"
        )
    path = made(tmp_path)
    assert refused(path, classes=("sea-lion",)) == (
        "--yolo.classes names 'sea-lion', which the detector does not know; it has 3 classes, "
        "among them 'sea lion'"
    )
    assert "cannot be read" in refused(path, names=str(tmp_path / "none.txt"))
    (tmp_path / "table.csv").write_text("lion,pet\n")
    assert "has none of the model's class names" in refused(path, table=str(tmp_path / "table.csv"))
    flat = opened(made(tmp_path, "nas-flat", meta={"names": {0: "cat"}}))
    with pytest.raises(BadValueError, match="found class number 2, but has 1 class names"):
        flat(picture())


def test_boxes_that_are_none_are_dropped(tmp_path):
    rows = [
        [np.nan, 0, 9, 9, 0.9, 0],
        [0, 0, np.inf, 9, 0.9, 0],
        [70, 0, 90, 9, 0.9, 0],
        [-9, 0, -1, 9, 0.9, 0],
        [20, 0, 10, 9, 0.9, 0],
        [-9, 50, 200, 200, 0.8, 0],
        [10.2, 4, 10.6, 9, 0.7, 0],
    ]
    table = np.array([rows], np.float32)
    path = graphs.seeing(tmp_path / "m.onnx", [table], [np.arange(6) == 4], meta=META)
    found = opened(path)(picture())
    boxes = [[0, 50, 63, 63], [9.9, 4, 9.9, 8]]
    assert [p.box.tolist() for p in found] == [pytest.approx(b, abs=1e-4) for b in boxes]


def test_without_onnx_runtime_the_install_line_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError) as error:
        opened(tmp_path / "any.onnx")
    assert str(error.value) == (
        "--prompt yolo needs ONNX Runtime, which is not installed; run: pip install 'segkit[yolo]'"
    )


def test_the_weights_are_noted(tmp_path):
    path = made(tmp_path)
    assert Yolo(weights=path).weight_files() == {"yolo": path}
    (tmp_path / "model.onnx.data").write_bytes(b"")
    assert set(Yolo(weights=path).weight_files()) == {"yolo", "yolo-data"}
