"""Names of files, plugins and options are shown, not obeyed, in terminals and pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from urllib.parse import quote

import numpy as np
import pytest

from segkit import read_image, unique_names, write_png
from segkit.errors import visible

pty = pytest.importorskip("pty", reason="needs a terminal of Unix")

NAMES = (
    "\x1b]0;owned\x07title",
    "[bold red]rich[bold]",
    ":cat:",
    "b\nError: all is lost",
    "\u202egnp.exe",
    "c\x9b31m",
    "${x}%s<script>",
    "back\\slash",
)
OBEYED = re.compile(
    r"\x1b(?!\[[0-9;?]*[mKAhl])|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202e]"
)
"""What Rich does not write by itself: it colours, clears a line, goes up, hides the cursor."""

PLUGIN = r'''
"""A \x1b]0;title\x07 [bold]red[/red] :cat: plugin."""
import numpy as np
from segkit import Heatmap, Image, Saliency, hookimpl


class Nasty(Saliency):
    """Does \x1b[2J[/red] things."""

    name = "nasty"
    option: str = "\x1b]0;x\x07[/bold]"
    """Helps \x1b[2J[/red] \u202e it."""

    def __call__(self, image: Image) -> Heatmap:
        heat = np.zeros(image.size, np.float32)
        heat[4:8, 4:8] = 1
        return Heatmap(heat, "[/red]\x1b]0;x\x07$x^{$ & % \\ # _{")


@hookimpl
def segkit_saliency():
    return [Nasty]
'''


def on_a_terminal(*arguments, cwd):
    """What `segkit ARGUMENTS` prints to a terminal, and its exit code."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "segkit.cli.main", *arguments]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    process = subprocess.Popen(
        command, cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    pieces = []
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # so a terminal ends
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(ours)
    return b"".join(pieces).decode(), process.wait()


@pytest.fixture
def photos(tmp_path):
    pixels = np.zeros((20, 24, 3), np.uint8)
    pixels[4:8, 4:8] = 250
    for name in NAMES:
        write_png(tmp_path / "photos" / f"{name}.png", pixels)
    (tmp_path / "nasty.py").write_text(PLUGIN)
    return tmp_path


def check(text):
    assert OBEYED.search(text.replace("\r\n", "\n").replace("\r", "")) is None
    assert "Traceback" not in text
    assert not re.search(r"^Error: all is lost", text, re.MULTILINE)


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "photos", "-o", "out", "--trace"),
        pytest.param(
            ("sweep", "photos", "-o", "out", "--transform", "none,power"), marks=pytest.mark.slow
        ),
    ],
)
def test_a_run_shows_names_and_obeys_none(photos, arguments):
    text, code = on_a_terminal(
        *(*arguments, "--plugin", "nasty.py", "--saliency", "nasty", "--segmenter", "threshold"),
        cwd=photos,
    )
    assert code == 0, text
    check(text)
    shown = ("\\x1b]0;owned\\x07title", "[bold red]rich[bold]", ":cat:", "\\u202egnp.exe")
    for name in shown if "--trace" in arguments else ():
        assert name in text
    page = (photos / "out/report.html").read_text(encoding="utf-8")
    assert OBEYED.search(page) is None
    assert "\\x1b]0;owned\\x07title" in page
    assert "%s<script>" not in page
    if "--trace" in arguments:
        assert (photos / f"out/overlay/{NAMES[0]}.jpg").is_file()
        assert f'href="overlay/{quote(NAMES[0])}.jpg"' in page


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "saliency", "nasty"),
        ("list-plugins",),
        ("list-plugins", "--check"),
        ("run", "--help", "--saliency", "nasty"),
        ("run", "--saliency", "nasty", "--nasty.opp\x1b]0;x\x07", "1"),
        ("run", "gone\x1b]0;x\x07\nError: all is lost"),
        ("run", "--dataset", "[/red]\x1b]0;x\x07"),
        ("run", "--recipe", "[/red]\x1b]0;x\x07.toml"),
    ],
)
def test_what_a_plugin_says_of_itself_is_text(photos, arguments):
    text, _ = on_a_terminal(*arguments, "--plugin", "nasty.py", cwd=photos)
    check(text)


def test_visible_keeps_what_is_harmless():
    assert visible("für\tGrüße\n日本語 [b] 🐈") == "für\tGrüße\n日本語 [b] 🐈"
    assert visible("\x1b[31m\r\x7f\x9b\u202e\u2028") == "\\x1b[31m\\r\\x7f\\x9b\\u202e\\u2028"


def test_a_backslash_in_a_files_name_is_no_folder(photos):
    path = photos / "photos/back\\slash.png"
    assert read_image(path).name == "back_slash"
    assert unique_names([path, "back_slash.jpg"]) == ("back_slash", "back_slash-2")
