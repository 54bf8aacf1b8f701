"""Large photos, many classes and many boxes: the memory that a run takes, and that it ends."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux"),
]

LARGE, ORDINARY = (3000, 4000), (480, 640)

MEASURED = """
import resource, sys
from segkit.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print("KiB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def photo(folder, size):
    """A soft picture of (H, W)."""
    low = np.random.default_rng(0).integers(0, 256, (size[0] // 60, size[1] // 60, 3), np.uint8)
    path = folder / "photo.png"
    PIL.Image.fromarray(low).resize(size[::-1], PIL.Image.Resampling.BICUBIC).save(path)
    return path


def boxes(folder, count, size):
    """A file of small boxes all over the photo."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 0.9, (count, 2))
    ends = corners + rng.uniform(0.02, 0.1, (count, 2))
    edges = np.concatenate([corners, ends], axis=1) * (size[1], size[0], size[1], size[0])
    path = folder / "boxes.json"
    path.write_text(json.dumps({"photo": [[*edge, "thing", 0.9] for edge in edges.tolist()]}))
    return path


def peak(folder, *arguments):
    """The most memory that a run had, in bytes, and its image's line."""
    command = ["run", str(folder / "photo.png"), "-o", str(folder / "out"), "--device", "cpu"]
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED, *command, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    line = json.loads((folder / "out/results.jsonl").read_text())
    assert line["error"] is None
    return int(ran.stdout.split("KiB")[1]) * 1024, line


def test_200_classes_of_12_megapixels_take_up_to_4_gib(tmp_path):
    photo(tmp_path, LARGE)
    classes = ["--gradcam.target", "top:200", "--gradcam.least-share", "0"]
    most, line = peak(tmp_path, "--saliency", "gradcam", *classes)
    assert len(line["prompts"]) >= 200
    assert most <= 4 << 30


def test_10000_boxes_take_up_to_2_gib(tmp_path):
    photo(tmp_path, ORDINARY)
    most, line = peak(
        tmp_path, "--prompt", "boxes", "--boxes.file", str(boxes(tmp_path, 10_000, ORDINARY))
    )
    assert len(line["prompts"]) == 10_000
    assert line["masks"]
    assert most <= 2 << 30


def test_grabcut_ends_with_1000_boxes(tmp_path):
    pytest.importorskip("cv2")
    photo(tmp_path, ORDINARY)
    file = str(boxes(tmp_path, 1_000, ORDINARY))
    most, line = peak(
        tmp_path,
        *("--saliency", "gradcam", "--prompt", "boxes", "--boxes.file", file),
        *("--segmenter", "grabcut"),
    )
    assert len(line["prompts"]) == 1_000
    assert most <= 2 << 30
