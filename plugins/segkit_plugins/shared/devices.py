"""Between the host and a GPU: numbers that it is quick at, and copies that nobody waits for."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

Precision = Literal["auto", "float32", "bfloat16", "float16"]


def kind_of(device: str) -> str:
    """`cuda` of `cuda:1`."""
    return device.partition(":")[0]


def works_together(device: str) -> bool:
    """Whether several images are better worked on in one pass: on CUDA.

    A processor gains next to nothing, and there what comes of an image should not hang on others,
    not even in the last bits.
    """
    return kind_of(device) == "cuda"


def dtype_of(precision: Precision, device: str) -> torch.dtype:
    """The numbers to multiply.

    `auto`: bfloat16 where the device has it in hardware, on an older NVIDIA GPU float16, else
    float32. bfloat16 goes first: as quick, and it reaches as far as float32, where float16 ends at
    65,504.
    """
    if precision != "auto":
        named: torch.dtype = getattr(torch, precision)
        return named
    kind = kind_of(device)
    if kind == "cuda":
        # torch's own question is answered yes where bfloat16 is only emulated.
        new = bool(torch.version.hip) or torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if new else torch.float16
    # torch says so of a CPU only in functions of its own, which need not be there.
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    quick = kind == "cpu" and any(getattr(torch.cpu, name, bool)() for name in names)
    return torch.bfloat16 if quick else torch.float32


def rounding(dtype: torch.dtype, device: str) -> AbstractContextManager[Any]:
    """In it matrices are multiplied in this dtype; float32: everything as it is."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(kind_of(device), dtype)


def to_device(tensor: Tensor, device: str) -> Tensor:
    """A tensor of the host on the device; a copy to a GPU goes on while the host does."""
    if kind_of(device) != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def to_host(*tensors: Tensor) -> list[NDArray[Any]]:
    """Tensors as arrays. Copies from a GPU are started in a row and waited for once."""
    if not tensors or tensors[0].device.type != "cuda":
        return [tensor.cpu().numpy() for tensor in tensors]
    copies = [torch.empty(t.shape, dtype=t.dtype, pin_memory=True) for t in tensors]
    for copy, tensor in zip(copies, tensors, strict=True):
        copy.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensors[0].device).synchronize()
    return [copy.numpy() for copy in copies]
