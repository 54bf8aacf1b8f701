"""What commands leave behind, as tests compare it."""

from __future__ import annotations

import json
from pathlib import Path


def listed(done):
    """The third-party rows of a JSON listing, by distribution and name."""
    assert (done.code, done.err) == (0, "")
    rows = [r for r in json.loads(done.out) if r["distribution"] != "segkit"]
    return {(r["distribution"], r["name"]): r for r in rows}


def results(folder: Path):
    """The lines of results.jsonl without their times."""
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]
