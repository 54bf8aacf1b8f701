"""Runs as real processes, and what two runs of the same have to have in common."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from campaign import PATIENCE, Ended, Tally

from segkit.values.files import SCRAP

NOT_COMPARED = ("segkit-run.jsonl", "report.html", "recipe.toml")
"""Notes of the way, times, and where segkit lies."""

TIMES = ("seconds", "images_per_second", "workers")


def started(words: list[str]) -> subprocess.Popen[str]:
    """A `segkit` command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "segkit.cli.main", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def ended(process: subprocess.Popen[str], seconds: float = PATIENCE) -> Ended:
    """How a process ends, if it is given so many seconds."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        return Ended(-1, out, err, hung=True)
    return Ended(process.returncode, out, err)


def until(there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until something is so or the process has ended."""
    end = time.monotonic() + PATIENCE
    while not there() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)


def until_lines(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many images have a line or the process has ended."""
    until(lambda: line_count(out) >= count, process)


def line_count(out: Path) -> int:
    """Whole lines of results.jsonl."""
    path = out / "results.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def lines(out: Path) -> list[dict[str, Any]]:
    """The whole lines of results.jsonl."""
    path = out / "results.jsonl"
    rows = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(row) for row in rows]


def check_kept(out: Path, tally: Tally, what: str) -> set[str]:
    """Count finished images whose files are not there, and names that come twice; the names."""
    found = lines(out)
    names = Counter(line["name"] for line in found)
    tally.add("doubled", what, sum(names.values()) - len(names))
    for line in found:
        empty = line.get("empty", ())
        gone = [f for f in line["files"] if not _there(out / f, may_be_empty=f in empty)]
        tally.add("lost", f"{what}: {line['name']} without {gone}", bool(gone))
    return {*names}


def _there(path: Path, *, may_be_empty: bool) -> bool:
    return path.is_file() and (may_be_empty or path.stat().st_size > 0)


def contents(out: Path) -> dict[str, Any]:
    """Each file of a run by its place, as what two runs of the same have in common."""
    files: dict[str, Any] = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        name = path.relative_to(out).as_posix()
        if name in NOT_COMPARED or name.startswith("earlier"):
            continue
        if name == "results.jsonl":
            rows = {line["name"]: _timeless(line) for line in lines(out)}
            files |= {f"results.jsonl, {image}": row for image, row in rows.items()}
        elif name == "summary.json":
            files[name] = _timeless(json.loads(path.read_bytes()))
        else:
            files[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return files


def _timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in TIMES}


def compare(out: Path, whole: dict[str, Any], tally: Tally, what: str) -> None:
    """Count images that are lost, files that differ from an undisturbed run's, and leftovers."""
    found = contents(out)
    images = {key for key in whole if key.startswith("results.jsonl, ")}
    tally.add("lost", f"{what}: {sorted(images - found.keys())}", len(images - found.keys()))
    names = sorted((found.keys() | whole.keys()) - (images - found.keys()))
    other = [name for name in names if found.get(name) != whole.get(name)]
    tally.add("unequal", f"{what}: {other[:6]}", len(other))
    scrap = [str(p) for p in out.rglob("*") if SCRAP.fullmatch(p.name)]
    tally.add("unequal", f"{what} leaves {scrap[:3]}", len(scrap))
