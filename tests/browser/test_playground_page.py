"""The playground in a real browser: choose, move, compare, click, take away; nothing foreign."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from browser import find_browser
from playground_plugin import PLUGIN

from segkit import Recipe, write_png

MISSING = [name for name in ("gradio", "playwright") if find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason="needs segkit[test-all]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Photos of discs, one under a name that a page must escape, and a plugin's file."""
    folder = tmp_path_factory.mktemp("playground")
    rng = np.random.default_rng(0)
    for name, side in (("disc", 160), ("z<b>{{7*7}}", 120)):
        y, x = np.mgrid[:side, : side + 60]
        inside = (x - side / 2) ** 2 + (y - side / 2) ** 2 < (side / 4) ** 2
        pixels = rng.integers(90, 130, (side, side + 60, 3))
        pixels[inside] = (220, 60, 40)
        write_png(folder / "photos" / f"{name}.png", pixels.astype(np.uint8))
    (folder / "mine.py").write_text(PLUGIN)
    return folder


@pytest.fixture(scope="module")
def address(folder):
    """Where `segkit playground` serves its page."""
    command = [sys.executable, "-c", "from segkit.cli.main import main; main()", "playground"]
    words = ["photos", "--plugin", "mine.py", "--device", "cpu"]
    server = subprocess.Popen(
        [*command, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert server.stdout is not None
    line = server.stdout.readline()
    found = re.match(r"playground: (http://127\.0\.0\.1:\d+)", line)
    assert found, line + (server.communicate(timeout=10)[0] if server.poll() else "")
    yield found[1]
    server.send_signal(signal.SIGINT)
    said, _ = server.communicate(timeout=60)
    assert "Traceback" not in said
    assert server.returncode == 0


@pytest.fixture(scope="module")
def chromium():
    program = find_browser()
    if program is None:
        pytest.skip("needs Chromium")
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, address):
    """A fresh page with the first trial shown; in the end, nothing foreign was asked for."""
    context = chromium.new_context(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(120_000)
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(address)
    page.wait_for_selector(".run h2")
    yield page
    context.close()
    foreign = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert foreign == []
    assert wrong == []


def choose(page, kind, name, side=0):
    """Choose a plugin, and wait until the stages are those of a plan with it."""
    page.select_option(f"#side-{side} fieldset[data-kind={kind}] select.plugin", name)
    word = name.rpartition(":")[2]
    page.wait_for_function(
        "([side, word]) => document.querySelectorAll('.run h2')[side].textContent.includes(word)",
        arg=[side, word],
    )


def words_of(page, stage):
    return page.inner_text(f"[data-stage={stage}] figcaption")


def move(page, field, value, side=0):
    """Move a slider as a hand does, and let go."""
    page.eval_on_selector(
        f"#side-{side} .slider:has([data-field={field}]) input[type=range]",
        """(slider, value) => {
            slider.value = value;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
            slider.dispatchEvent(new Event("change", { bubbles: true }));
        }""",
        str(value),
    )


def says(page, stage, words):
    page.wait_for_function(
        "([stage, words]) => document.querySelector(`[data-stage=${stage}] figcaption`)"
        "?.textContent.includes(words)",
        arg=[stage, words],
    )


def test_topk_is_chosen_and_k_moved_and_the_prompt_changes(page):
    choose(page, "prompt", "topk")
    says(page, "Prompts", "1 point")
    before = page.get_attribute("[data-stage=Prompts] img", "src")
    move(page, "k", 4)
    says(page, "Prompts", "4 points")
    assert page.get_attribute("[data-stage=Prompts] img", "src") != before
    assert page.input_value("[data-field=k]") == "4"
    assert "kept" in page.inner_text("[data-stage=Saliency] h3")
    assert page.inner_text(".command").endswith("--prompt topk --topk.k 4")


def test_no_change_is_lost_when_many_come_at_once(page):
    choose(page, "prompt", "topk")
    for value in range(2, 11):
        move(page, "k", value)
    move(page, "min_distance", 3)
    words = "--topk.k 10 --topk.min-distance 3"
    page.wait_for_function(
        "words => document.querySelector('.command').textContent.endsWith(words)", arg=words
    )


def test_an_open_slider_grows_at_its_end(page):
    choose(page, "prompt", "topk")
    move(page, "k", 10)
    says(page, "Prompts", "10 points")
    assert page.get_attribute(".slider:has([data-field=k]) input[type=range]", "max") == "19"
    page.fill("[data-field=k]", "40")
    says(page, "Prompts", "40 points")


def test_two_recipes_are_compared_side_by_side(page):
    page.check("[data-role=compare]")
    page.wait_for_selector(".difference-card")
    assert page.inner_text(".difference-card figcaption").startswith("0 pixels differ")
    choose(page, "prompt", "center", side=1)
    page.wait_for_function(
        "!document.querySelector('.difference-card figcaption').textContent.startsWith('0 pixels')"
    )
    assert page.locator(".end-card img").count() == 2
    assert "components" in page.inner_text("[data-run=A] h2")
    page.click("#tab-0")
    assert page.is_visible("#side-0")
    assert page.is_hidden("#side-1")
    page.uncheck("[data-role=compare]")
    page.wait_for_function("document.querySelectorAll('.run').length === 1")


def test_ones_own_click_stands_beside_theirs(page):
    box = page.locator(".target img").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 80 / 220, box["y"] + box["height"] / 2)
    page.wait_for_selector(".answer-card figure")
    assert re.search(r"score \d\.\d\d · IoU \d\.\d\d", page.inner_text(".answer-card figcaption"))
    page.keyboard.down("Shift")
    page.mouse.click(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.9)
    page.keyboard.up("Shift")
    page.wait_for_selector(".target i.off")
    page.click("[data-role=undo-click]")
    page.wait_for_selector(".target i.off", state="detached")
    page.click("[data-role=clear-clicks]")
    page.wait_for_selector(".answer-card", state="detached")


def test_a_third_partys_plugin_appears_with_its_options_and_runs(page):
    choose(page, "prompt", "mine:middle")
    says(page, "Prompts", "1 point")
    move(page, "shift", 0.25)
    page.wait_for_function(
        "document.querySelector('.command').textContent.endsWith('--middle.shift 0.25')"
    )
    page.select_option("[data-field=mood]", "angry")
    page.wait_for_selector(".card .error")
    assert "RuntimeError: not <b>today</b>" in page.inner_text(".card .error")
    page.select_option("[data-field=mood]", "calm")
    page.wait_for_selector("[data-stage=Result]")


def test_a_long_trial_is_cancelled(page):
    choose(page, "prompt", "mine:middle")
    assert page.is_hidden("#working")
    page.select_option("[data-field=mood]", "slow")
    page.click("#working button")
    page.wait_for_selector("#says .error")
    assert "cancelled; what was made until then is kept" in page.inner_text("#says .error")
    assert page.is_hidden("#working")
    assert page.input_value("[data-field=mood]") == "slow"
    page.select_option("[data-field=mood]", "calm")
    page.wait_for_selector("#says .error", state="detached")


def test_the_recipe_is_saved_and_the_command_copied(page, folder, tmp_path):
    choose(page, "prompt", "topk")
    move(page, "k", 3)
    says(page, "Prompts", "3 points")
    with page.expect_download() as download:
        page.click("[data-role=save]")
    assert download.value.suggested_filename == "recipe.toml"
    download.value.save_as(tmp_path / "recipe.toml")
    (part,) = Recipe.load(tmp_path / "recipe.toml").parts["prompt"]
    assert (part.name, part.options["k"]) == ("topk", 3)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("[data-role=copy]")
    page.wait_for_function("document.querySelector('[data-role=copy]').textContent === 'Copied'")
    words = shlex.split(page.evaluate("navigator.clipboard.readText()"))
    run = [
        sys.executable,
        "-c",
        "from segkit.cli.main import main; main()",
        *words[1:],
        "--dry-run",
    ]
    said = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=True).stdout
    assert "k = 3" in said


def test_photos_are_chosen_and_uploaded(page, folder, tmp_path):
    page.select_option("[data-role=photo]", label="z<b>{{7*7}}")
    page.wait_for_function(
        "document.querySelector('.photo-card h3').textContent.includes('z<b>{{7*7}}')"
    )
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n")
    for file, selector, words in (
        (broken, "#says .error", "'broken.png' is"),
        (folder / "photos" / "disc.png", "[data-role=photo] option:checked", "disc"),
    ):
        with page.expect_file_chooser() as chooser:
            page.click("#upload")
        chooser.value.set_files(file)
        page.wait_for_selector(selector, state="attached")
        page.wait_for_function(
            "([selector, words]) => document.querySelector(selector)?.textContent.includes(words)",
            arg=[selector, words],
        )
    page.wait_for_function("document.querySelector('#says .error') === null")
    assert "segkit run disc.png" in page.inner_text(".command")


@pytest.mark.parametrize("width", [1400, 800])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_the_window(chromium, address, width, scheme):
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(address)
    page.wait_for_selector(".run h2")
    wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(wide)
    slider, picture = (
        page.locator(selector).first.bounding_box()
        for selector in (".slider input[type=range]", "[data-stage=Prompts] img")
    )
    assert slider["x"] + slider["width"] < picture["x"]  # both are seen at once
    colour = page.evaluate("getComputedStyle(document.querySelector('.run h2')).color")
    light = sum(map(int, re.findall(r"\d+", colour)[:3])) > 3 * 128
    assert light is (scheme == "dark")
    context.close()
