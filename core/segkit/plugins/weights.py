"""Weight files that plugins know: where they come from, where they lie, whether they are whole.

Nothing is fetched but on the user's word (`segkit weights fetch`). A file comes under its name only
when it is complete and its SHA-256 is right; until then it is `NAME.part`, which the next try goes
on with.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from segkit.errors import MissingExtraError, SegkitError, UsageError
from segkit.values.files import BLOCK, sha256

HUB = "hf:"
"""What names of the Hugging Face hub begin with."""

FROM_HUB = ("*.json", "*.txt", "*.model", "*.safetensors")
"""The files of a hub's model that are fetched: settings, and weights that cannot run code."""

OLD_WEIGHTS = "pytorch_model*.bin"
"""What is fetched of models without such weights, as Intel's DPT and OpenAI's CLIP are. They could
run code if they were opened carelessly; plugins read the tensors in them and nothing else."""

DIGITS = 64
"""So many has a SHA-256."""

TRIES = 4
"""How often a cut connection is taken up again before giving in."""


@dataclass(frozen=True)
class Weights:
    """One weight file."""

    name: str
    """What `segkit weights fetch` calls it."""
    what: str
    """What it is and what it reaches, in a line."""
    licence: str
    file: str
    """The file's name in the cache folder; of weights that ship with a plugin their path."""
    sha256: str
    """Of the whole file, as hexadecimal digits."""
    size: int
    """In bytes."""
    url: str = ""
    """Where it is fetched from; empty: it ships with its plugin."""

    @property
    def path(self) -> Path:
        """Where it lies, or would."""
        return Path(self.file) if not self.url else cache_folder() / self.file

    @property
    def status(self) -> str:
        """`bundled`, `here`, `partly here` or `not here`; nothing is hashed."""
        if not self.url:
            return "bundled"
        if self.path.is_file():
            return "here"
        return "partly here" if part_of(self.path).is_file() else "not here"


def cache_folder() -> Path:
    """Where fetched weights lie: `$SEGKIT_CACHE/weights`, or `~/.cache/segkit/weights`."""
    cache = os.environ.get("SEGKIT_CACHE") or Path.home() / ".cache" / "segkit"
    return Path(cache) / "weights"


def part_of(path: Path) -> Path:
    """Where what has come so far is kept."""
    return path.with_name(f"{path.name}.part")


def fetch(
    wanted: Weights,
    tell: Callable[[int, int], None] = lambda done, total: None,
    *,
    digits: int = DIGITS,
) -> Path:
    """Fetch a file into the cache folder, check its hash, and return its path.

    It comes over https alone, and no more of it than `wanted.size`. A file that is there already is
    checked and kept. `tell` hears bytes so far and in all. `digits`: so many of the hash are known.

    Raises `UsageError` where nothing can be fetched (offline, bundled, over http), `SegkitError`
    where the connection fails, the server sends another file, or the disk is full; a part that is
    right so far is kept.
    """
    if not wanted.url:
        raise UsageError(f"{wanted.name} ships with its plugin; there is nothing to fetch")
    if not re.fullmatch(rf"[0-9a-f]{{{digits},}}", wanted.sha256) or wanted.size <= 0:
        raise UsageError(
            f"{wanted.name} is not fetched, for its SHA-256 or its size is not known; fetch it "
            "yourself if you trust its source"
        )
    path = wanted.path
    if path.is_file() and sha256(path).startswith(wanted.sha256):
        return path
    _check_online(wanted.name)
    _check_safe(wanted.name, wanted.url)
    import pooch

    pooch.get_logger().setLevel("WARNING")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fetched = pooch.retrieve(
            wanted.url,
            known_hash=None,  # it would want the whole one
            fname=f"{path.name}.whole",
            path=path.parent,
            downloader=_Resuming(wanted, tell),
        )
        whole = Path(fetched)
        right = sha256(whole).startswith(wanted.sha256)
        if right:
            whole.replace(path)
        else:
            whole.unlink()
    except OSError as error:
        raise SegkitError(
            f"{wanted.name} cannot be written to {path.parent}: {error.strerror or error}; make "
            "room, or choose another folder by $SEGKIT_CACHE"
        ) from None
    if not right:
        raise SegkitError(
            f"what {wanted.url} sent is not {wanted.name} (its SHA-256 is not {wanted.sha256}); "
            "it was thrown away: try again later, or look for another source"
        )
    return path


def fetch_from_hub(name: str) -> Path:
    """Fetch a model folder of the Hugging Face hub, and return where it lies.

    `name`: `hf:OWNER/NAME`, or `hf:OWNER/NAME@REVISION` for a commit, branch or tag.

    Raises `MissingExtraError` without huggingface_hub, `UsageError` offline or for a name that the
    hub does not have, `SegkitError` where the connection fails.
    """
    _check_online(name)
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ModuleNotFoundError:
        raise MissingExtraError(f"fetching {name}", "huggingface_hub", "hf") from None
    try:
        model, revision = split_revision(name)
        chosen = {"revision": revision} if revision else {}
        folder = Path(snapshot_download(model, allow_patterns=FROM_HUB, **chosen))
        if not any(folder.rglob("*.safetensors")):
            snapshot_download(model, allow_patterns=OLD_WEIGHTS, **chosen)
        return folder
    except HFValidationError:
        raise UsageError(
            f"'{name}' is no name of the hub; write hf:OWNER/NAME or hf:OWNER/NAME@REVISION"
        ) from None
    except (HfHubHTTPError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SegkitError(
            f"{name} could not be fetched ({reason}); check the name and the network, and try "
            "again: what has come so far is kept"
        ) from None


def split_revision(name: str) -> tuple[str, str | None]:
    """The hub's name of a model, and the revision that `[hf:]OWNER/NAME@REVISION` asks for."""
    model, _, revision = name.removeprefix(HUB).partition("@")
    return model, revision or None


def _check_online(name: str) -> None:
    for switch in ("SEGKIT_OFFLINE", "HF_HUB_OFFLINE"):
        if os.environ.get(switch, "") not in ("", "0"):
            raise UsageError(f"{name} is not fetched, for ${switch} is set; unset it to allow that")


def _check_safe(name: str, url: str) -> None:
    """Refuse a connection on whose way anybody could change what is sent."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _HERE):
        raise UsageError(
            f"{name} is not fetched from {url}, for only https is safe on its way; fetch it "
            "yourself if you trust its source"
        )


_HERE = ("localhost", "127.0.0.1", "::1")
"""This machine, to which nobody is on the way."""


class _Resuming:
    """A downloader for pooch that goes on where a connection was cut."""

    def __init__(self, wanted: Weights, tell: Callable[[int, int], None]) -> None:
        self.wanted = wanted
        self.tell = tell

    def __call__(self, url: str, output_file: Any, pooch: Any) -> None:
        """Write the whole file to `output_file`, by way of its part."""
        import requests

        part = part_of(self.wanted.path)
        problem = "the server ended early"
        for _ in range(TRIES):
            try:
                if self._further(url, part):
                    part.replace(output_file)
                    return
            except requests.RequestException as error:
                problem = _reason(error)
                if error.response is not None:
                    break  # the server has answered, and will not answer otherwise
        done = part.stat().st_size if part.exists() else 0
        kept = f" at {done / 1e6:.1f} of {self.wanted.size / 1e6:.1f} MB" if done else ""
        advice = "the same command goes on from there" if done else "check the network"
        raise SegkitError(
            f"fetching {self.wanted.name} from {url} stopped{kept} ({problem}); {advice}"
        )

    def _further(self, url: str, part: Path) -> bool:
        """One connection's worth; whether the part is now whole."""
        import requests

        start = part.stat().st_size if part.exists() else 0
        headers = {"Range": f"bytes={start}-", "Accept-Encoding": "identity"} if start else {}
        with requests.get(url, stream=True, timeout=30, headers=headers) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                part.unlink()  # more than there is: it was another file
                return False
            answer.raise_for_status()
            for hop in (*answer.history, answer):
                _check_safe(self.wanted.name, hop.url)
            again = answer.status_code == requests.codes.partial_content
            done = start if again else 0
            total = done + int(answer.headers.get("Content-Length") or 0)
            with part.open("ab" if again else "wb") as file:
                for block in answer.iter_content(BLOCK):
                    done += len(block)
                    if done > self.wanted.size:
                        break
                    file.write(block)
                    self.tell(done, max(total, self.wanted.size))
        if done > self.wanted.size:
            part.unlink()
            raise SegkitError(
                f"{url} sends more than the {self.wanted.size:,} bytes that {self.wanted.name} "
                "has; it was thrown away: look for another source"
            )
        return done >= total


def _reason(error: Exception) -> str:
    """What went wrong, in a few words."""
    import requests

    response = getattr(error, "response", None)
    if response is not None:
        return f"the server says {response.status_code} {response.reason}"
    if isinstance(error, requests.Timeout):
        return "no answer in 30 seconds"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut"
    return "no connection"
