"""`segkit review` in a real browser: ten images by keyboard, killed after the sixth, and on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
import pytest
from browser import find_browser
from PIL import Image as Picture

PROGRAM = find_browser()
MISSING = [name for name in ("gradio", "playwright") if find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason="needs segkit[test-all]"),
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed"),
]

NASTY = "<img src=x onerror=window.bad=1>"
"""The name of a class; a file's name may hold no slash, so this one closes no tag."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run over ten photos with a square each, the click in the middle of the photo."""
    photos = tmp_path_factory.mktemp("photos")
    for i in range(10):
        pixels = np.full((90, 120, 3), 60, np.uint8)
        pixels[20 + i : 60 + i, 30 + 2 * i : 80 + 2 * i] = (230, 200, 40)
        Picture.fromarray(pixels).save(photos / f"p{i}.png")
    steps = ("--saliency", "none", "--prompt", "center", "--sam.model", "nano", "--quiet")
    out = tmp_path_factory.mktemp("run") / "labels"
    command = [sys.executable, "-m", "segkit.cli.main", "run", str(photos / "*.png"), *steps]
    subprocess.run([*command, "-o", str(out), "--device", "cpu"], check=True)
    return out


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "labels")


class Server:
    """`segkit review` as a process."""

    def __init__(self, folder, *more):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        words = ["review", str(folder), "--port", str(self.port), *more]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "segkit.cli.main", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = []
        while "http://" not in (line := self.process.stdout.readline()):
            assert line, f"it has ended: {self.said}"
            self.said.append(line)
        self.url = f"http://127.0.0.1:{self.port}"

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """End it as Ctrl-C does; its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@pytest.fixture
def serve():
    servers = []

    def start(*words):
        servers.append(Server(*words))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.kill()
        server.process.stdout.close()


@pytest.fixture(scope="module")
def chromium():
    from playwright import sync_api

    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A page; what it complains of, and requests to other machines, fail the test."""
    page = chromium.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(180_000)
    page.complaints, page.foreign = [], []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))

    def note(request):
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            page.foreign.append(request.url)

    page.on("request", note)
    yield page
    assert page.complaints == []
    assert page.foreign == []
    page.close()


def opened(page, url):
    page.goto(url)
    page.wait_for_selector("[data-ready='1']")
    return page


def decide(page, key):
    """Press a key that decides, and wait for the next image."""
    name = page.inner_text(".image")
    page.keyboard.press(key)
    page.wait_for_function(
        "(name) => document.querySelector('.image').textContent !== name", arg=name
    )
    page.wait_for_function("!document.querySelector('.busy').textContent")
    return name


def lines(folder):
    return [json.loads(text) for text in (folder / "review.jsonl").read_text().splitlines()]


def decoded(page, count):
    page.wait_for_function(
        "(n) => +document.querySelector('.frame canvas').dataset.decoded >= n", arg=count
    )


def drag(page, box, size=(120, 90)):
    """Drag a box, given in pixels of the photo."""
    area = page.query_selector(".frame canvas").bounding_box()
    scale = area["width"] / size[0], area["height"] / size[1]
    left, top, right, bottom = box
    page.mouse.move(area["x"] + left * scale[0], area["y"] + top * scale[1])
    page.mouse.down()
    page.mouse.move(area["x"] + right * scale[0] - 9, area["y"] + bottom * scale[1] - 9)
    page.mouse.move(area["x"] + right * scale[0], area["y"] + bottom * scale[1])
    page.mouse.up()


def test_ten_images_by_keyboard_killed_after_the_sixth(page, copy, serve):
    before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    first = serve(copy)
    opened(page, first.url)
    names = [decide(page, "k") for _ in range(3)]
    names.append(decide(page, "x"))
    corrected = page.inner_text(".image")
    i = int(corrected[1:])
    page.keyboard.press("f")
    drag(page, (30 + 2 * i, 20 + i, 80 + 2 * i, 60 + i))
    decoded(page, 1)
    assert "Keep corrected" in page.inner_text("[data-do=keep]")
    names.append(decide(page, "k"))
    page.keyboard.press("l")
    page.keyboard.type(NASTY)
    page.keyboard.press("Enter")
    names.append(decide(page, "Enter"))
    first.kill()
    kept = lines(copy)
    assert [d["image"] for d in kept] == names
    assert [d["decision"] for d in kept] == ["keep"] * 3 + ["reject", "corrected", "keep"]
    assert kept[5]["class"] == NASTY
    mask = np.asarray(Picture.open(copy / kept[4]["file"])) > 0
    truth = np.zeros((90, 120), bool)
    truth[20 + i : 60 + i, 30 + 2 * i : 80 + 2 * i] = True
    assert (mask & truth).sum() / (mask | truth).sum() > 0.8
    page.keyboard.press("k")
    page.wait_for_function("document.querySelector('.say').textContent.includes('does not answer')")

    second = serve(copy)
    opened(page, second.url)
    assert page.inner_text(".counts") == "6 of 10 decided: 4 kept, 1 rejected, 1 corrected"
    names += [decide(page, "k") for _ in range(3)]
    name = page.inner_text(".image")
    page.keyboard.press("k")
    page.wait_for_function("document.querySelector('.counts').textContent.startsWith('10 of 10')")
    assert page.inner_text(".say") == "All that you look for is decided."
    assert sorted([*names, name]) == [f"p{i}" for i in range(10)]
    assert len(lines(copy)) == 10
    assert {p: p.read_bytes() for p in before} == before
    assert page.evaluate("window.bad") is None
    assert second.stop() == 0
    assert "Traceback" not in second.process.stdout.read()


def test_skip_back_undo_and_filters(page, copy, serve):
    server = serve(copy)
    opened(page, server.url)
    first = page.inner_text(".image")
    skipped = decide(page, "s")
    assert skipped == first
    decide(page, "ArrowLeft")
    assert page.inner_text(".image") == first
    decide(page, "k")
    page.keyboard.press("u")
    page.wait_for_function("document.querySelector('.counts').textContent.startsWith('0 of 10')")
    assert page.inner_text(".image") == first
    assert [d["decision"] for d in lines(copy)] == ["keep", "undone"]
    page.fill(".above", "0")
    page.click("[data-do=accept]")
    page.wait_for_function("document.querySelector('.counts').textContent.startsWith('10 of 10')")
    page.select_option(".filter-state", "keep")
    page.wait_for_function("document.querySelector('.image').textContent")
    assert page.inner_text(".verdict") == "kept"
    page.keyboard.press("u")
    page.wait_for_function("document.querySelector('.counts').textContent.startsWith('0 of 10')")
    assert len(lines(copy)) == 22


def test_correcting_by_keys_alone_and_a_second_window(page, chromium, copy, serve):
    server = serve(copy)
    opened(page, server.url)
    other = opened(chromium.new_page(), server.url)
    page.keyboard.press("f")
    page.keyboard.press("c")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    decoded(page, 1)
    page.keyboard.press("Shift+Space")
    decoded(page, 2)
    page.keyboard.press("z")
    decoded(page, 3)
    name = decide(page, "k")
    (decision,) = lines(copy)
    assert decision["prompt"]["signs"] == [True]
    assert decision["prompt"]["points"][0][0] < 60
    other.wait_for_function("document.querySelector('.counts').textContent.startsWith('1 of 10')")
    assert other.inner_text(".image") == name
    assert other.inner_text(".verdict") == "corrected"
    other.close()


def test_a_photo_that_is_gone_and_a_click_that_fails_leave_the_page_alive(page, copy, serve):
    rows = (copy / "results.jsonl").read_text()
    start = json.loads(rows.splitlines()[0])["source"]["path"].rpartition("/")[0]
    (copy / "results.jsonl").write_text(rows.replace(start, "/nowhere"))
    text = (copy / "recipe.toml").read_text()
    (copy / "recipe.toml").write_text(text.replace(start, "/nowhere"))
    server = serve(copy)
    opened(page, server.url)
    assert page.inner_text(".say").endswith("; put it back")
    decide(page, "k")
    assert len(lines(copy)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals")
def test_screens_have_no_sideways_scroll(chromium, copy, serve):
    server = serve(copy)
    for width in (1400, 800, 360):
        for scheme in ("dark", "light"):
            page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            opened(page, server.url)
            time.sleep(0.2)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.close()
