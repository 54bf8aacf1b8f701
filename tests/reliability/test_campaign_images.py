"""A folder of damaged images: each has its line, and the run its end."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign import STEPS, scaled
from fuzzed import fuzzed
from runs import ended, lines, started

pytestmark = pytest.mark.slow


def test_fuzzed_images(tmp_path, tally):
    photos = tmp_path / "photos"
    photos.mkdir()
    files = fuzzed(scaled(1000))
    for name, content in files.items():
        (photos / name).write_bytes(content)
    out = tmp_path / "out"
    words = ["run", str(photos), *STEPS, "--write", "masks", "-o", str(out)]
    done = ended(started(words), 900)
    tally.attacks = len(files)
    tally.look(done, "the run", (0, 1))
    found = {line["name"]: line for line in lines(out)}
    stems = {Path(name).stem for name in files}
    tally.add("lost", f"no line: {sorted(stems - found.keys())[:5]}", len(stems - found.keys()))
    tally.add("doubled", "lines", len(lines(out)) - len(found))
    for name, line in found.items():
        if line["error"] is not None and str(photos) not in line["error"]:
            tally.add("tracebacks", f"{name} is no sentence about its file: {line['error']}")
        if line["error"] is None and not (out / "masks" / f"{name}.png").is_file():
            tally.add("lost", f"{name} has no mask")
        if line["error"] is not None and name.endswith("as_it_is"):
            tally.add("lost", f"{name} was whole: {line['error']}")
    tally.check()
