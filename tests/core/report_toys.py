"""Run folders written by hand, and their page read back."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import PIL.Image

from segkit import write_png

NASTY = "<b>&\"x'"
VOID_ELEMENTS = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A page taken apart: tags, attributes, text by tag; unbalanced tags fail."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.blocks: list[tuple[dict[str, str | None], str]] = []
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.blocks.append((dict(attrs), ""))
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style"):
            attrs, before = self.blocks[-1]
            self.blocks[-1] = attrs, before + data
        elif data.strip():
            self.texts.append(" ".join(data.split()))

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def text(self):
        return " ".join(self.texts)

    def json(self, name):
        return next(json.loads(text) for attrs, text in self.blocks if attrs.get("id") == name)

    @property
    def images(self):
        """Image name to what is known of it for each recipe."""
        return {image["name"]: image["by"] for image in self.json("data")["images"]}

    @property
    def pictured(self):
        """The names of the images whose pictures are in the page."""
        return [n for n, by in self.images.items() if any(one and one["tiles"] for one in by)]

    @property
    def embedded(self):
        """Place of a picture to its data, width and height: what the cards hold."""
        head = "data:image/jpeg;base64,"
        images = [attrs for attrs in self.all("img") if "data-picture" in attrs]
        found = {int(i["data-picture"]): i for i in images}
        assert len(found) == len(images)  # each once
        assert all(image["src"].startswith(head) for image in images)
        return {
            place: (image["src"].removeprefix(head), int(image["width"]), int(image["height"]))
            for place, image in found.items()
        }

    def pictures(self, name, place=0):
        """The pictures of an image and a recipe, with their titles."""
        found = []
        for title, number, _ in self.images[name][place]["tiles"]:
            data, width, height = self.embedded[number]
            picture = PIL.Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
            assert picture.format == "JPEG"
            assert picture.size == (width, height)
            found.append((title, picture))
        return found

    @property
    def cards(self):
        """The names on the cards that the page holds without its script, in order."""
        start = self.source.index('<ol id="cards">')
        cards = self.source[start : self.source.index("</ol>", start)]
        return [html.unescape(name) for name in re.findall(r"<b>(.*?)</b>", cards)]


def write_run(folder: Path, lines, *, summary=None, recipe=""):
    folder.mkdir(parents=True, exist_ok=True)
    rows = [r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in lines]
    (folder / "results.jsonl").write_text("".join(f"{r}\n" for r in rows), encoding="utf-8")
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    if recipe:
        (folder / "recipe.toml").write_text(recipe, encoding="utf-8")
    return folder


def line(name, **more):
    files = [f"masks/{name}.png", f"overlay/{name}.png"]
    empty = {"status": "ok", "error": None, "scores": {}, "seconds": {}, "files": files}
    return {"name": name} | empty | more


def picture(folder, kind, name, size=(6, 8), colour=(10, 200, 30)):
    write_png(folder / kind / f"{name}.png", np.full((*size, 3), colour, np.uint8))


def write_strip(path, panels, size=(64, 48), comment=None, roles=None):
    """A row of plain panels, 10 pixels apart, whose JPEG comment says where each is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    strip = PIL.Image.new("RGB", (10 + len(panels) * (size[0] + 10), size[1] + 44), "white")
    boxes = []
    for i, (title, colour) in enumerate(panels):
        box = (10 + i * (size[0] + 10), 34)
        box += (box[0] + size[0], box[1] + size[1])
        strip.paste(colour, box)
        boxes.append([title, *box])
    said = {"panels": boxes} if roles is None else {"panels": boxes, "roles": roles}
    text = json.dumps(said) if comment is None else comment
    strip.save(path, "JPEG", quality=90, subsampling=0, comment=b"segkit " + text.encode())
