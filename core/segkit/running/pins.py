"""What a recipe holds its weight files to: their hashes, and the hub's revisions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from segkit.errors import UsageError
from segkit.plugins.contract import blamed
from segkit.plugins.named_files import weight_files_of
from segkit.plugins.places import root_of
from segkit.plugins.steps import Step
from segkit.values.files import sha256
from segkit.values.reading import check_file

_IN_HUB = re.compile(r"models--([^/]+?)--([^/]+)/snapshots/([0-9a-f]{40})/")
"""Where the hub's client keeps a file of OWNER/NAME at a commit."""


def hashes(steps: Iterable[Step], *, shipped: bool = True) -> dict[str, str]:
    """STEP/MODEL to the SHA-256 of each weight file; `shipped`: those of installed packages too.

    Raises `UsageError` if one cannot be read.
    """
    digests = {}
    for step in steps:
        files = weight_files_of(step)
        for name, path in files.items():
            if shipped or not _ships(path, step):
                with blamed(step, at="weight_files"):
                    digests[f"{step.name}/{name}"] = file_hash(path)
    return digests


def _ships(path: Path, step: Step) -> bool:
    """Whether a file belongs to an installed package, whose version says which it is."""
    return root_of(type(step).__module__) in path.absolute().parents or any(
        part in ("site-packages", "dist-packages") for part in path.absolute().parts
    )


def recorded_pins(steps: Sequence[Step], *, shipped: bool) -> dict[str, dict[str, str]]:
    """What `[record]` has of weight files: `weights`, and `revisions` where they are the hub's."""
    tables = {"weights": hashes(steps, shipped=shipped), "revisions": revisions(steps)}
    return {name: table for name, table in tables.items() if table or name == "weights"}


def revisions(steps: Iterable[Step]) -> dict[str, str]:
    """STEP/MODEL to `OWNER/NAME@COMMIT` of each weight file that lies in the hub's cache."""
    places = {
        f"{step.name}/{name}": _IN_HUB.search(path.as_posix())
        for step in steps
        for name, path in weight_files_of(step).items()
    }
    return {key: f"{m[1]}/{m[2]}@{m[3]}" for key, m in places.items() if m is not None}


def pinned(record: Any) -> dict[str, tuple[str, str]]:
    """STEP/MODEL to the SHA-256 in a recipe's `[record]`, and the revision or an empty text."""
    tables = record if isinstance(record, Mapping) else {}
    weights, from_hub = (tables.get(key) for key in ("weights", "revisions"))
    weights = weights if isinstance(weights, Mapping) else {}
    from_hub = from_hub if isinstance(from_hub, Mapping) else {}
    return {str(key): (str(d), str(from_hub.get(key, ""))) for key, d in weights.items()}


def hold(step: Step, pins: Mapping[str, tuple[str, str]]) -> None:
    """Have a step's weight files be those of a recipe, as `check_pins` says."""
    step._pins = {key: pin for key, pin in pins.items() if key.partition("/")[0] == step.name}


def check_pins(step: Step) -> None:
    """Raise `UsageError` where weight files are not those that the step's recipe was run with.

    Those that ship with a plugin are its version's. Files that are not there yet are fetched when
    the step is opened, so it is checked then once more.
    """
    pins = step._pins
    for key, digest in hashes([step], shipped=False).items() if pins else ():
        wanted, revision = pins.get(key, (digest, ""))
        if wanted != digest:
            fetch = f"fetch hf:{revision} and name it so, " if revision else ""
            raise UsageError(
                f"the recipe was run with weights {key} of the SHA-256 {wanted}, but those that "
                f"are here have {digest}; {fetch}give the same, or drop its [record.weights] to "
                f"take these for {step.name}"
            )


def file_hash(path: Path) -> str:
    """A file's hash; many plans name the same checkpoint, which is read once."""
    try:
        check_file(path)
        status = path.stat()
        return _digest(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise UsageError(
            f"the file {path} could not be read: {error.strerror or error}; check its path"
        ) from None


@lru_cache(maxsize=32)
def _digest(path: Path, size: int, changed: int) -> str:
    """The hash of a file of this size and time of change."""
    return sha256(path)
