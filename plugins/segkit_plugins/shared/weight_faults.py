"""What is wrong with a weight file that cannot be read, by what is in it, not by what torch says.

Torch's own errors take damage for danger and danger for damage, and speak of its options.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from pathlib import Path

from segkit_plugins.shared.sentences import first_line

LOOKED_AT = 64 << 20
"""So many bytes of a file, or of the pickle in it, are looked at."""

PICKLES = 5
"""So many stand in a row in a file of older torch versions."""

_OF_TENSORS = re.compile(
    r"torch\._utils _rebuild_\w+|torch \w+|collections OrderedDict|_codecs encode"
)
"""What pickles of tensors name."""


def fault_of(path: Path, error: Exception) -> str:
    """The sentence for a file that torch or safetensors cannot read, whatever its suffix says."""
    with path.open("rb") as file:
        head = file.read(LOOKED_AT)
    if not head:
        return f"the weights {path} are an empty file; fetch them again"
    named_safe = path.suffix == ".safetensors"
    if not named_safe and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 27:
        return (
            f"the weights {path} are safetensors under another name; give the file a name that "
            "ends in .safetensors"
        )
    pickles, script = _pickles(path, head)
    if named_safe and pickles:
        return f"the weights {path} are no safetensors, but a pickle; name the file .pth"
    if named_safe:
        return (
            f"the weights {path} cannot be read as safetensors ({first_line(error)}); the file is "
            "damaged or of another kind: fetch it again"
        )
    if script:
        return (
            f"the weights {path} are a TorchScript, which is a program; use a file that holds "
            "tensors alone (torch.save of a state_dict, or safetensors)"
        )
    if any(_runs_code(pickle) for pickle in pickles):
        return (
            f"the weights {path} were refused, for opening them could run code; use a file that "
            "holds tensors alone (torch.save of a state_dict, or safetensors)"
        )
    what = "its archive is not whole" if head.startswith(b"PK") else "it is not what torch saves"
    return (
        f"the weights {path} cannot be read ({what}); the file is truncated or no weight file: "
        "fetch it again"
    )


def _pickles(path: Path, head: bytes) -> tuple[list[bytes], bool]:
    """The pickles in a file, and whether it is a TorchScript."""
    if not head.startswith(b"PK"):
        return ([head] if head[:1] == b"\x80" or _runs_code(head) else []), False
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            script = any(name.endswith("/constants.pkl") for name in names)
            pickles = []
            for name in names:
                if name.endswith(".pkl"):
                    with archive.open(name) as file:
                        pickles.append(file.read(LOOKED_AT))
            return pickles, script
    except Exception:  # damaged archives raise many kinds
        return [], False


def _runs_code(content: bytes) -> bool:
    """Whether one of the first pickles in it is whole and names code."""
    file = io.BytesIO(content)
    try:
        for _ in range(PICKLES):
            calls = [(o.name, a) for o, a, _ in pickletools.genops(file) if o.name in _CALLS]
            if any(name != "GLOBAL" or not _OF_TENSORS.fullmatch(str(a)) for name, a in calls):
                return True
    except Exception:  # what is no pickle raises many kinds
        return False
    return False


_CALLS = ("GLOBAL", "STACK_GLOBAL", "INST")
