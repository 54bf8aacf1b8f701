"""Real weights and fifty photos, fetched once, and the table of what they give."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).parent
HOSTS = ("huggingface.co", "github.com", "dl.fbaipublicfiles.com")
PINNED = tomllib.loads((HERE / "pinned.toml").read_text(encoding="utf-8"))
ROWS = pytest.StashKey[list[tuple[str, ...]]]()


@pytest.fixture(scope="session", autouse=True)
def network():
    """Skip all of it where the hosts cannot be reached."""
    for host in HOSTS:
        try:
            socket.create_connection((host, 443), timeout=10).close()
        except OSError as error:
            pytest.skip(f"needs the network, but {host} cannot be reached ({error})")


@pytest.fixture
def row(request):
    """Adds a line to the table: what, images, figure, and what it is compared with."""
    rows = request.config.stash.setdefault(ROWS, [])

    def add(*cells):
        rows.append(tuple(map(str, cells)))

    return add


def pytest_terminal_summary(terminalreporter, config):
    """Print the table, and write it to $SEGKIT_HUB_TABLE."""
    rows = config.stash.get(ROWS, [])
    if not rows:
        return
    head = [("what", "images", "figure", "beside it"), ("---",) * 4]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in [*head, *rows])
    terminalreporter.write_line(table)
    if path := os.environ.get("SEGKIT_HUB_TABLE"):
        Path(path).write_text(f"{table}\n", encoding="utf-8")


@pytest.fixture(scope="session")
def folder(network, tmp_path_factory) -> Path:
    """Where photos are kept: $SEGKIT_HUB, or a folder of these tests alone."""
    kept = os.environ.get("SEGKIT_HUB")
    return Path(kept) if kept else tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="session")
def voc(folder) -> Path:
    """PASCAL VOC 2012 with a list `fifty`: each 28th photo of val, from the first."""
    from torchvision.datasets import VOCSegmentation

    root = folder / "VOCdevkit" / "VOC2012"
    VOCSegmentation(folder, year="2012", image_set="val", download=not root.is_dir())
    lists = root / "ImageSets" / "Segmentation"
    names = (lists / "val.txt").read_text().split()
    (lists / "fifty.txt").write_text("\n".join(names[::28][:50]) + "\n")
    return root


@pytest.fixture(scope="session")
def model(folder):
    """The folder of a pinned model of Hugging Face's hub; skips where its terms forbid it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError

    first_taken = FirstTaken(folder / "pins.json")

    def fetch(name):
        pin = PINNED[name]
        revision = first_taken.revision(name, pin["revision"])
        files = ["*.json", "*.txt", "*.safetensors", "pytorch_model.bin"]
        try:
            place = snapshot_download(pin["repository"], revision=revision, allow_patterns=files)
        except GatedRepoError:
            pytest.skip(f"{pin['repository']} needs a token whose account has accepted its terms")
        first_taken.keep(name, pin["revision"], Path(place).name)
        return Path(place)

    return fetch


class FirstTaken:
    """The commits that the first run has taken of models whose revision is not known yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commits = json.loads(path.read_text()) if path.exists() else {}

    def revision(self, name: str, pinned: str) -> str:
        """What to fetch: the pinned commit, or else the one that was taken first."""
        return self.commits.get(name, pinned) if pinned == "main" else pinned

    def keep(self, name: str, pinned: str, commit: str) -> None:
        """Note a commit that stands for `main` from now on."""
        if pinned == "main" and name not in self.commits:
            self.commits[name] = commit
            self.path.write_text(json.dumps(self.commits, indent=2) + "\n")


@pytest.fixture(scope="session")
def detector(network, tmp_path_factory) -> Path:
    """YOLO11n, exported to ONNX by its makers' library."""
    import pooch

    ultralytics = pytest.importorskip("ultralytics", reason="needs the extra 'peers'")
    place = tmp_path_factory.mktemp("yolo")
    pin = PINNED["yolo"]
    weights = pooch.retrieve(pin["url"], f"sha256:{pin['sha256']}", "yolo11n.pt", place)
    return Path(ultralytics.YOLO(weights).export(format="onnx", imgsz=640, simplify=False))
