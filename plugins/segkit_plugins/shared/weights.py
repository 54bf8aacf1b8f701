"""Weight files: where the bundled ones lie, and reading any so that no code in them runs."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit import UsageError, Weights
from segkit_plugins.shared.reading import check_file
from segkit_plugins.shared.weight_faults import fault_of

if TYPE_CHECKING:
    from torch import Tensor, nn


def bundled(name: str) -> Path:
    """The weight file of this name that ships with segkit (float16 safetensors)."""
    return Path(__file__).parents[1] / "weights" / f"{name}.safetensors"


def shipped(name: str, what: str) -> Weights:
    """What `segkit weights` says of a bundled file; its hash stands in SHA256SUMS beside it."""
    path = bundled(name)
    lines = (path.parent / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    digests = {file: digest for digest, file in (line.split() for line in lines)}
    size = path.stat().st_size if path.is_file() else 0
    return Weights(name, what, "Apache-2.0", str(path), digests[path.name], size)


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, floating ones as float32, on the CPU.

    Raises `UsageError` if the file is missing, truncated or no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _check_there(path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UsageError(fault_of(path, error)) from None
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def check_readable(path: Path) -> None:
    """Open a weight file without reading its tensors. Raises `UsageError` as `load_torch` does."""
    if path.suffix != ".safetensors":
        load_torch(path, mapped=True)
        return
    from safetensors import SafetensorError, safe_open

    _check_there(path)
    try:
        with safe_open(path, "pt"):
            pass
    except (SafetensorError, OSError, ValueError) as error:
        raise UsageError(fault_of(path, error)) from None


def load_torch(path: Path, *, mapped: bool = False) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a torch file that holds nothing but tensors.

    `mapped`: leave the tensors of a torch file on the disk until they are used, where its format
    allows it. Raises `UsageError` if the file is missing, truncated, no weight file, or a pickle
    that would run code when opened: that is refused.
    """
    import torch

    if path.suffix == ".safetensors":
        return load_safetensors(path)
    _check_there(path)
    mapped = mapped and zipfile.is_zipfile(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # damaged files raise many kinds
        raise UsageError(fault_of(path, error)) from None
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(
        isinstance(k, str) and torch.is_tensor(v) for k, v in content.items()
    ):
        raise UsageError(
            f"the weights {path} hold no state_dict of tensors; save model.state_dict() instead"
        )
    return dict(content)


def fill(network: nn.Module, tensors: Mapping[str, Any], path: Path, what: str) -> None:
    """Load tensors into a network. Raises `UsageError` naming what does not fit."""
    wanted = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    given = {k: tuple(v.shape) for k, v in tensors.items()}
    missing, extra = wanted.keys() - given.keys(), given.keys() - wanted.keys()
    unlike = [k for k in wanted.keys() & given.keys() if wanted[k] != given[k]]
    if missing or extra or unlike:
        detail = (
            f"it lacks {len(missing)} tensors, such as {min(missing)}"
            if missing
            else f"it has {len(extra)} more, such as {min(extra)}"
            if extra
            else f"{min(unlike)} is {given[min(unlike)]}, not {wanted[min(unlike)]}"
        )
        raise UsageError(f"the weights {path} are not of {what}: {detail}; choose another file")
    network.load_state_dict(dict(tensors))


@contextmanager
def undrawn() -> Iterator[None]:
    """What torch's layers would draw at random when they are made is not drawn.

    For networks that `fill` is to give all their weights, which takes a good part of the time that
    it takes to load a small one.
    """
    from torch import Tensor
    from torch.overrides import TorchFunctionMode

    drawing = (Tensor.uniform_, Tensor.normal_)

    class Undrawn(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if function in drawing or getattr(function, "__module__", "") == "torch.nn.init":
                return args[0] if args else kwargs["tensor"]
            return function(*args, **(kwargs or {}))

    with Undrawn():
        yield


def _check_there(path: Path) -> None:
    try:
        check_file(path)
    except FileNotFoundError:
        raise UsageError(f"the weights {path} were not found; check the path") from None
    except OSError as error:
        raise UsageError(
            f"the weights {path} cannot be read ({error.strerror}); give a file of weights"
        ) from None
