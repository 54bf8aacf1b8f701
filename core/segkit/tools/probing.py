"""What torch finds and can compute on, asked in a process of its own.

A library that is broken may take the whole process with it when it is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from segkit.errors import error_line

PATIENCE = 180
"""Seconds that torch gets to be imported and tried."""


def probe_elsewhere() -> dict[str, Any]:
    """What `probe` prints in another process, or {"error": why it does not}."""
    # Nothing is imported from the working directory, whose path is ''.
    code = (
        "import sys; sys.path[:] = filter(None, sys.path); "
        "from segkit.tools import probing; probing.probe()"
    )
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"it takes longer than {PATIENCE} seconds"}
    try:
        probed: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    except ValueError:
        last = done.stderr.strip().rpartition("\n")[2]
        killed = f"the process was ended by signal {-done.returncode}"
        return {"error": killed if done.returncode < 0 else last or "it says nothing"}
    return probed


def probe() -> None:
    """Print as one line of JSON what torch finds, computing a little on each device."""
    print(json.dumps(_probed()))  # noqa: T201


def _probed() -> dict[str, Any]:
    try:
        import torch
    except BaseException as error:
        return {"error": error_line(error)}
    broken = {}
    try:
        import torchvision

        _ = torchvision.ops.nms  # loads its compiled part
        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except BaseException as error:
        broken["torchvision"] = error_line(error)
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    devices: list[dict[str, str]] = []
    places = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        places.append("mps")
    for place in places:
        description, wrong = "Apple's GPU", ""
        try:
            if place != "mps":
                properties = torch.cuda.get_device_properties(place)
                description = f"{properties.name}, {properties.total_memory / 1e9:.0f} GB"
            square = torch.ones(8, 8, device=place)
            if float((square @ square).sum()) != 512:
                wrong = "it computes wrongly"
        except Exception as problem:
            wrong = error_line(problem)
        devices.append({"name": place, "what": description, "error": wrong})
    return {
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "bf16": any(getattr(torch.cpu, name, lambda: False)() for name in names),
        "cuda": torch.version.cuda,
        "broken": broken,
        "devices": devices,
    }
