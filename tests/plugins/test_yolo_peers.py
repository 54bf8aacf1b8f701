"""yolo against the makers' own ways: Ultralytics itself, and YOLOX's and YOLO-NAS's by torchvision.

Random weights: what is compared is how pictures go in and how boxes come out, on photographs.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from segkit import Image, read_image
from segkit_plugins.prompt.yolo import Yolo

ort = pytest.importorskip("onnxruntime")
cv2 = pytest.importorskip("cv2", reason="the makers resize by OpenCV")
graphs = pytest.importorskip("onnx_graphs", reason="needs onnx")

SIZE = (192, 256)
LEAST, IOU = 0.6, 0.6


@pytest.fixture(params=["crops", pytest.param("coco", marks=pytest.mark.data("coco_cc/images"))])
def photos(request):
    """20 photographs of many sizes: four of skimage, and crops of these or 16 of COCO."""
    from skimage import data

    whole = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    if request.param == "coco":
        files = sorted(request.getfixturevalue("real_data").iterdir())
        more = [read_image(path) for path in files[:16]]
    else:
        cut = [whole[i % 4][3 * i : 120 + 17 * i, 5 * i : 333 - 9 * i] for i in range(16)]
        more = [Image(pixels.copy(), f"c{i}") for i, pixels in enumerate(cut)]
    return [Image(pixels, f"s{i}") for i, pixels in enumerate(whole)] + more


def compare(prompts, boxes, scores, names, photo, least=0.99):
    """The same boxes, classes and order; the makers keep boxes that lie in the grey or are thin."""
    height, width = photo.size
    boxes = boxes.clip(0, [width, height, width, height])
    kept = (boxes[:, 2:] - boxes[:, :2] > 1e-3).all(axis=1)
    boxes, scores, names = boxes[kept], scores[kept], np.array(names)[kept]
    own = [p.score for p in prompts]
    assert own == sorted(own, reverse=True)
    # Two that chance makes equally good may come in any order.
    alike = np.lexsort((boxes[:, 1], boxes[:, 0], names, -scores))
    boxes, scores, names = boxes[alike], scores[alike], names[alike]
    ordered = sorted(prompts, key=lambda p: (-p.score, p.name, *p.box[:2]))
    assert [p.name for p in ordered] == names.tolist()
    assert [p.score for p in ordered] == pytest.approx(scores.tolist(), abs=1e-6)
    wide = (boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1)
    found = np.array([p.box for p in ordered]).reshape(-1, 4) + np.array([0, 0, 1, 1])
    sides = np.minimum(found[:, 2:], boxes[:, 2:]) - np.maximum(found[:, :2], boxes[:, :2])
    shared = sides.clip(0).prod(axis=1)
    areas = [(b[:, 2:] - b[:, :2]).prod(axis=1) for b in (found, boxes)]
    overlap = (shared / (areas[0] + areas[1] - shared))[wide]
    assert (overlap >= least).all(), overlap.min()
    return len(overlap)


def nms(boxes, scores, labels, iou):
    import torch
    from torchvision.ops import batched_nms

    arrays = [torch.from_numpy(np.ascontiguousarray(a)) for a in (boxes, scores, labels)]
    return batched_nms(*arrays, iou).numpy()


def test_yolox(tmp_path, photos):
    meta = {"names": {i: f"c{i}" for i in range(5)}}
    rng = np.random.default_rng(3)
    path = graphs.looking(tmp_path / "x.onnx", "YOLOX", 5, SIZE, rng, meta)
    step = Yolo(weights=path, confidence=LEAST, iou=IOU)
    step.open("cpu")
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    compared = 0
    for photo in photos:
        height, width = photo.size
        scale = min(SIZE[0] / height, SIZE[1] / width)
        h, w = int(height * scale), int(width * scale)
        padded = np.full((*SIZE, 3), 114, np.uint8)
        padded[:h, :w] = cv2.resize(photo.pixels[..., ::-1], (w, h))
        batch = padded.transpose(2, 0, 1)[None].astype(np.float32)
        (rows,) = session.run(None, {"images": batch})[0]
        boxes, start = np.zeros((len(rows), 4), np.float32), 0
        for stride in (8, 16, 32):
            for y in range(SIZE[0] // stride):
                for x in range(SIZE[1] // stride):
                    middle = (rows[start, :2] + (x, y)) * stride
                    half = np.exp(rows[start, 2:4]) * stride / 2
                    boxes[start] = [*(middle - half), *(middle + half)]
                    start += 1
        labels = rows[:, 5:].argmax(axis=1)
        scores = rows[:, 4] * rows[:, 5:].max(axis=1)
        sure = scores >= LEAST
        boxes, scores, labels = boxes[sure], scores[sure], labels[sure]
        kept = nms(boxes, scores, labels, IOU)[:300]
        names = [f"c{i}" for i in labels[kept]]
        # YOLOX divides by one scale, though it has rounded each side down to whole pixels.
        own = boxes[kept] * np.array([width / w, height / h] * 2)
        border = [width, height] * 2
        apart = abs(own.clip(0, border) - (boxes[kept] / scale).clip(0, border))
        assert apart.max(initial=0) <= 1 / scale
        compared += compare(step(photo), own, scores[kept], names, photo)
    assert compared > 100


def test_yolo_nas(tmp_path, photos):
    meta = {"names": {i: f"c{i}" for i in range(5)}}
    rng = np.random.default_rng(4)
    path = graphs.looking(tmp_path / "n.onnx", "YOLO-NAS", 5, SIZE, rng, meta)
    step = Yolo(weights=path, confidence=LEAST, iou=IOU)
    step.open("cpu")
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    compared = several = 0
    for photo in photos:
        height, width = photo.size
        scale = min((SIZE[0] - 4) / height, (SIZE[1] - 4) / width)
        h, w = round(height * scale), round(width * scale)
        top, left = (SIZE[0] - h) // 2, (SIZE[1] - w) // 2
        padded = np.full((*SIZE, 3), 114, np.uint8)
        padded[top : top + h, left : left + w] = cv2.resize(photo.pixels, (w, h))
        batch = padded.transpose(2, 0, 1)[None].astype(np.float32) / 255
        (boxes,), (table,) = session.run(None, {"images": batch})
        places, labels = np.nonzero(table > LEAST)
        several += len(places) - len(set(places.tolist()))
        boxes, scores = boxes[places], table[places, labels]
        kept = nms(boxes, scores, labels, IOU)[:300]
        own = (boxes[kept] - [left, top] * 2) * np.array([width / w, height / h] * 2)
        names = [f"c{i}" for i in labels[kept]]
        compared += compare(step(photo), own, scores[kept], names, photo)
    assert compared > 100
    assert several  # a box may count for several classes


def export(yolo, name, dynamic, photos):
    """Ultralytics' own export of a network whose random weights answer to these photographs."""
    import torch
    import torch.nn.functional as F

    tiles = [torch.from_numpy(p.pixels.copy()).permute(2, 0, 1)[None] / 255 for p in photos[:8]]
    tiles = torch.cat([F.interpolate(t, (320, 320), mode="bilinear") for t in tiles])
    torch.manual_seed(0)
    model = yolo(f"{name}.yaml", task="detect")
    # Normalise as after training: with the statistics that a new network has, nothing of the
    # picture reaches its end.
    for part in model.model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = None
    model.model.train()
    with torch.no_grad():
        model.model(tiles)
        model.model.eval()
        head = model.model.model[-1]
        for part in (*head.cv2, *head.cv3):
            part[-1].weight.mul_(3)
        best = model.model(tiles)[0][:, 4:].amax(dim=1).logit()
        for part in head.cv3:  # one cell in 50 finds something
            part[-1].bias.sub_(best.quantile(0.98) + 0.85)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of tracing
        return Path(model.export(format="onnx", imgsz=320, dynamic=dynamic, simplify=False))


@pytest.mark.slow
@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed", "dynamic"])
@pytest.mark.parametrize("name", ["yolov8n", "yolo11n"])
def test_ultralytics(tmp_path, monkeypatch, photos, name, dynamic):
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("YOLO_OFFLINE", "1")
    monkeypatch.setenv("YOLO_VERBOSE", "false")
    monkeypatch.chdir(tmp_path)
    peer = pytest.importorskip("ultralytics", reason="needs the extra 'peers'").YOLO
    path = export(peer, name, dynamic, photos)
    model = peer(str(path), task="detect")
    least, iou = 0.3, 0.7
    step = Yolo(weights=path, confidence=least, iou=iou)
    step.open("cpu")
    compared = 0
    for photo in photos:
        bgr = np.ascontiguousarray(photo.pixels[..., ::-1])
        (found,) = model.predict(bgr, conf=least, iou=iou, imgsz=320, verbose=False)
        names = [model.names[int(c)] for c in found.boxes.cls]
        boxes, scores = found.boxes.xyxy.numpy(), found.boxes.conf.numpy()
        # Of an input that fits the picture Ultralytics derives the scale from the input's size, and
        # may miss the true one by a pixel of the longer side.
        scale = 320 / max(photo.size)
        content = [round(n * scale) for n in photo.size]
        room = [-(-n // 32) * 32 if dynamic else 320 for n in content]
        taken = min(r / n for r, n in zip(room, photo.size, strict=True))
        true = [round(n * taken) for n in photo.size] == content
        compared += compare(step(photo), boxes, scores, names, photo, least=0.99 if true else 0.95)
    print(name, path.name, compared, "boxes compared")
    assert compared > 20
