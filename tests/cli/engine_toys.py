"""A step that ends its own process where it is told to, and runs with it."""

from __future__ import annotations

import json
from pathlib import Path

STUB = '''"""A segmenter for tests of engines."""

import os
import signal
import time
from pathlib import Path

import numpy as np
from segkit import Image, Labels, Segmenter, hookimpl


class Stub(Segmenter):
    """All that is light."""

    name = "stub"

    poison: tuple[str, ...] = ()
    """Images at which its process is killed."""
    once: str = ""
    """A file; where it is missing, it is made, and the process is killed."""
    fetch: str = ""
    """A file of weights, which `open` makes where it is missing."""
    broken: bool = False
    """Cannot be opened."""
    dies: bool = False
    """Its process is killed when it is opened."""
    pause: float = 0.0
    """Seconds an image."""

    def open(self, device: str) -> None:
        if self.broken:
            raise ValueError("the stub is broken")
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fetch and not os.path.exists(self.fetch):
            with open(self.fetch, "w") as file:
                file.write("weights")

    def weight_files(self) -> dict[str, Path]:
        return {"fetched": Path(self.fetch)} if os.path.exists(self.fetch) else {}

    def __call__(self, image: Image) -> Labels:
        time.sleep(self.pause)
        if image.name in self.poison:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.once and not os.path.exists(self.once):
            with open(self.once, "w") as file:
                file.write(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        if image.name.endswith("00002"):
            raise ValueError("not this one")
        return Labels((image.pixels[..., 0] > 100).astype(np.int32), {1: "light"})


@hookimpl
def segkit_segmenters():
    return [Stub]
'''

TIMES = ("seconds",)
"""What differs between two runs of the same."""


def stubbed(folder: Path, out: str | Path, *more: str, count: int = 12) -> list[str]:
    """The words of a run with the stub over so many small pictures of shapes."""
    plugin = folder / "stub.py"
    plugin.write_text(STUB)
    data = ["--dataset", "shapes", "--shapes.count", str(count), "--shapes.size", "64"]
    steps = ["--segmenter", "stub", "--plugin", str(plugin), "--metric", "iou"]
    return ["run", *data, *steps, "-o", str(out), *more]


def lines_in(directory: Path) -> dict[str, dict[str, object]]:
    """Image name to its line of results.jsonl, without times; none comes twice."""
    rows = [json.loads(row) for row in (directory / "results.jsonl").read_text().splitlines()]
    lines = {row["name"]: {k: v for k, v in row.items() if k not in TIMES} for row in rows}
    assert len(lines) == len(rows)
    return lines


def files_in(directory: Path) -> dict[str, bytes]:
    """Each file of a run but those that say when and where."""
    notes = ("segkit-run.jsonl", "report.html", "recipe.toml", "results.jsonl", "summary.json")
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in notes
    }
