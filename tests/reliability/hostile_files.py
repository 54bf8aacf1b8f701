"""Files that somebody else has made: what may stand in them, and the flags that read them."""

from __future__ import annotations

import codecs
import io
import os
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from campaign import STEPS

MARKER = "executed.txt"
"""A file of this name is there if something that was only to be read was run."""


class Payload:
    """What runs a command where a pickle of it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        """Make the marker."""
        return os.system, (f"touch {self.marker}",)


def pickled(marker: Path) -> bytes:
    """A bare pickle."""
    return pickle.dumps(Payload(marker))


def torch_file(marker: Path) -> bytes:
    """A checkpoint as torch saves it, whose pickle is no tensors'."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("archive/data.pkl", pickled(marker))
        file.writestr("archive/version", "3\n")
    return content.getvalue()


def object_array(marker: Path) -> bytes:
    """A .npy with an object in it."""
    content = io.BytesIO()
    array = np.empty(1, object)
    array[0] = Payload(marker)
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


CONTENTS: dict[str, Callable[[Path], bytes]] = {
    "nothing": lambda marker: b"",
    "zeros": lambda marker: bytes(4096),
    "noise": lambda marker: random.Random(0).randbytes(4096),
    "a pickle": pickled,
    "a checkpoint with code": torch_file,
    "an array with code": object_array,
    "JSON without end": lambda marker: b"[" * 200_000,
    "JSON of something else": lambda marker: b'[1, null, {"a": [[]]}, "x"]',
    "JSON of a letter that is none": lambda marker: b'{"shapes": "\\ud800", "images": "\\ud800"}',
    "a number beyond all": lambda marker: b'{"images": [{"id": 1e999, "file_name": 3}]}',
    "TOML nested deeply": lambda marker: b"a = " + b"[" * 50_000 + b"]" * 50_000,
    "TOML of a long key": lambda marker: b"a." * 100_000 + b"a = 1",
    "UTF-16": lambda marker: codecs.BOM_UTF16 + "cat,dog\n".encode("utf-16-le") * 50,
    "one long line": lambda marker: b"x" * 5_000_000,
    "escape sequences": lambda marker: b"\x1b]0;title\x07\x1b[2J[red]cat[/red]\n" * 20,
    "a giant header": lambda marker: (1 << 62).to_bytes(8, "little") + b'{"a": 1}',
    "a path that leads away": lambda marker: b'["../../../etc/passwd", "/etc/passwd"]',
}
"""What a file may hold."""


def _run(*words: str) -> list[str]:
    return ["run", "--samples.only", "coffee", *words, *STEPS, "--write", "none", "-o", "out"]


PLACES: dict[str, tuple[str, Callable[[str], list[str]]]] = {
    "a recipe": ("recipe.toml", lambda f: ["run", "--recipe", f, "-o", "out"]),
    "a list of files": ("list.txt", lambda f: ["run", "--files.list", f, *STEPS, "-o", "out"]),
    "COCO's annotations": (
        "coco.json",
        lambda f: ["describe", "--dataset", "coco", "--coco.root", ".", "--coco.annotations", f],
    ),
    "labelme's file": (
        "labels/a.json",
        lambda f: ["describe", "--dataset", "labelme", "--labelme.root", "labels"],
    ),
    "Label Studio's export": (
        "tasks.json",
        lambda f: [
            *("describe", "--dataset", "label-studio", "--label-studio.root", "."),
            *("--label-studio.annotations", f),
        ],
    ),
    "boxes": (
        "boxes.json",
        lambda f: [
            *("run", "--samples.only", "coffee", "--prompt", "boxes", "--boxes.file", f),
            *("--segmenter", "threshold", "--saliency", "gradcam", "--gradcam.model", "shapes"),
            *("--write", "none", "-o", "out"),
        ],
    ),
    "a name table": ("table.csv", lambda f: _run("--gradcam.table", f)),
    "a mask": (
        "masks/coffee.png",
        lambda f: ["run", "coffee.png", "--files.masks", "masks", *STEPS, "-o", "out"],
    ),
    "a class map": (
        "maps/coffee.npy",
        lambda f: [
            *("run", "--samples.only", "coffee", "--segmenter", "class-maps"),
            *("--class-maps.folder", "maps", "--write", "none", "-o", "out"),
        ],
    ),
    "SAM's checkpoint": (
        "sam.pth",
        lambda f: [
            *("run", "--samples.only", "coffee", "--sam.checkpoint", f, "--write", "none"),
            *("-o", "out"),
        ],
    ),
    "SAM's safetensors": (
        "sam.safetensors",
        lambda f: [
            *("run", "--samples.only", "coffee", "--sam.checkpoint", f, "--write", "none"),
            *("-o", "out"),
        ],
    ),
    "a classifier": (
        "net.pt",
        lambda f: [
            *("run", "--samples.only", "coffee", "--gradcam.model", f, "--write", "none"),
            *("-o", "out"),
        ],
    ),
    "a classifier's checkpoint": (
        "net.pth",
        lambda f: [
            *("run", "--samples.only", "coffee", "--gradcam.checkpoint", f, "--write", "none"),
            *("-o", "out"),
        ],
    ),
    "a detector": (
        "net.onnx",
        lambda f: [
            *("run", "--samples.only", "coffee", "--prompt", "yolo", "--yolo.weights", f),
            *("--write", "none", "-o", "out"),
        ],
    ),
    "a trained segmenter": (
        "unet.safetensors",
        lambda f: [
            *("run", "--samples.only", "coffee", "--segmenter", "unet", "--unet.weights", f),
            *("--write", "none", "-o", "out"),
        ],
    ),
    "a plugin": ("plugin.py", lambda f: ["list-plugins", "--plugin", f]),
    "a run's results": ("run/results.jsonl", lambda f: ["report", "run"]),
    "a run's results, exported": (
        "run/results.jsonl",
        lambda f: ["export", "run", "--write", "yolo"],
    ),
    "a run's summary": ("run/summary.json", lambda f: ["report", "run"]),
    "a run's recipe": ("run/recipe.toml", lambda f: ["run", "--recipe", f, "-o", "out"]),
    "a run's notes": ("run/segkit-run.jsonl", lambda f: ["report", "run"]),
}
"""Where a file is read: its name, and the words that read it."""


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _folder(path: Path) -> None:
    path.mkdir()


def _circle(path: Path) -> None:
    path.symlink_to(path)


SPECIAL: dict[str, Callable[[Path], None]] = {
    "a pipe": _pipe,
    "a device without end": _zero,
    "a folder": _folder,
    "a link to itself": _circle,
}
"""What is no ordinary file."""


def cases(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """(place, what stands there): so many, each place with equally many, all contents in turn."""
    rng = random.Random(seed)
    every_kind = [*CONTENTS, *SPECIAL]
    kinds = {place: rng.sample(every_kind, k=len(every_kind)) for place in PLACES}
    for place in ("SAM's checkpoint", "a classifier", "a classifier's checkpoint", "a class map"):
        code = ["a checkpoint with code", "a pickle", "an array with code", "a device without end"]
        kinds[place] = [*code, *(kind for kind in kinds[place] if kind not in code)]
    rows = len(every_kind)
    every = [(place, kinds[place][row]) for row in range(rows) for place in PLACES]
    return every[:count]


def put(path: Path, kind: str, marker: Path) -> None:
    """Make the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if kind in SPECIAL:
        SPECIAL[kind](path)
    else:
        path.write_bytes(CONTENTS[kind](marker))
