"""Files that are no weights: each has the sentence that is true of it, and none runs code."""

from __future__ import annotations

import io
import json
import os
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from segkit import UsageError
from segkit_plugins.shared.weights import check_readable, load_torch

TENSORS = {"a": torch.zeros(300)}
REFUSED = "were refused, for opening them could run code"
DAMAGED = "the file is truncated or no weight file: fetch it again"
SAFE = "the file is damaged or of another kind: fetch it again"


class Evil:
    """What leaves a file behind where it is opened carelessly."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


def torch_file(content, **how):
    file = io.BytesIO()
    torch.save(content, file, **how)
    return file.getvalue()


def script():
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file)
    return file.getvalue()


def archive():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("a.txt", "x")
    return file.getvalue()


def array(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


OLD = {"_use_new_zipfile_serialization": False}
WHOLE, LEGACY = torch_file(TENSORS), torch_file(TENSORS, **OLD)
FILES = {
    "evil.pth": (pickle.dumps(Evil(), 2), REFUSED),
    "evil4.pth": (pickle.dumps(Evil(), 4), REFUSED),
    "evil0.pth": (pickle.dumps(Evil(), 0), REFUSED),
    "evilzip.pth": (torch_file({"a": Evil()}), REFUSED),
    "evillegacy.pth": (torch_file({"a": Evil()}, **OLD), REFUSED),
    "module.pth": (torch_file(torch.nn.Linear(2, 2)), REFUSED),
    "arrays.pth": (pickle.dumps({"a": np.zeros(3)}), REFUSED),
    "script.pth": (script(), "are a TorchScript, which is a program; use"),
    "safe.pth": (save(TENSORS), "are safetensors under another name; give the file a name that"),
    "empty.pth": (b"", "are an empty file; fetch them again"),
    "text.pth": (b"hello, I am a text\n" * 9, DAMAGED),
    "page.pth": (b"<!DOCTYPE html><html>not found</html>" * 9, DAMAGED),
    "json.pth": (json.dumps({"a": 1}).encode(), DAMAGED),
    "onnx.pth": (b"\x08\x08\x12\x07pytorch", DAMAGED),
    "zip.pth": (archive(), DAMAGED),
    "npz.pth": (array(a=np.zeros(3)), DAMAGED),
    "zeros.pth": (bytes(999), DAMAGED),
    "random.pth": (np.random.default_rng(0).bytes(9999), DAMAGED),
    "deep.pth": (b"\x80\x02" + b"]" * 99_999 + b"a" * 99_998 + b".", DAMAGED),
    **{f"cut{n}.pth": (WHOLE[:n], DAMAGED) for n in (10, 99, 999, len(WHOLE) - 9)},
    **{f"old{n}.pth": (LEGACY[:n], DAMAGED) for n in (10, 99, 999, len(LEGACY) - 9)},
    "list.pth": (torch_file([1, 2]), "hold no state_dict of tensors; save model.state_dict()"),
    "numbers.pth": (torch_file({"a": 1}), "hold no state_dict of tensors"),
    "unnamed.pth": (torch_file({1: torch.zeros(1)}), "hold no state_dict of tensors"),
    "empty.safetensors": (b"", "are an empty file; fetch them again"),
    "cut.safetensors": (save(TENSORS)[:-9], SAFE),
    "text.safetensors": (b"hello" * 99, SAFE),
    "large.safetensors": ((1 << 62).to_bytes(8, "little") + b"{}", SAFE),
    "torch.safetensors": (WHOLE, "are no safetensors, but a pickle; name the file .pth"),
    "evil.safetensors": (pickle.dumps(Evil()), "are no safetensors, but a pickle"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("read", [load_torch, check_readable])
def test_each_bad_file_has_its_own_sentence(name, read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, sentence = FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError) as error:
        read(path)
    text = str(error.value)
    assert text.startswith(f"the weights {path} ")
    assert sentence in text
    assert "weights_only" not in text
    assert "\n" not in text
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/null", "/no/such.pth", "/"])
def test_what_is_no_file_is_told(place):
    for read in (load_torch, check_readable):
        with pytest.raises(UsageError, match=rf"^the weights {place} (were not|cannot be read)"):
            read(Path(place))


def test_good_files_are_read(tmp_path):
    for name, content in {"a.pth": WHOLE, "b.pth": LEGACY, "c.safetensors": save(TENSORS)}.items():
        (tmp_path / name).write_bytes(content)
        check_readable(tmp_path / name)
        assert load_torch(tmp_path / name)["a"].shape == (300,)
