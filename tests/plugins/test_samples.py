"""The data set `samples`: the photographs inside scikit-image."""

from __future__ import annotations

import socket
import sys

import numpy as np
import pytest

from segkit import UsageError
from segkit_plugins.dataset.samples import PHOTOGRAPHS, Samples


def test_all_of_them_without_network(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    data = Samples()
    assert list(data.names) == list(PHOTOGRAPHS)
    assert not data.has_truth
    assert data.classes == {}
    for i, name in enumerate(data.names):
        image, truth = data[i]
        assert truth is None
        assert image.name == name
        assert min(image.size) >= 300
        assert np.ptp(image.pixels, axis=2).max() > 50, "in colour"


def test_the_cat_is_scikit_image_s():
    skimage_data = pytest.importorskip("skimage.data")
    image, _ = Samples(only=("cat",))[0]
    assert np.array_equal(image.pixels, skimage_data.chelsea())


def test_some_of_them():
    data = Samples(only=("rocket", "cat", "rocket"))
    assert list(data.names) == ["rocket", "cat"]
    assert data[1][0].name == "cat"


def test_a_picture_that_there_is_not():
    with pytest.raises(UsageError) as info:
        _ = Samples(only=("cofee",)).names
    assert str(info.value) == (
        "the data set 'samples' has no picture 'cofee'; did you mean 'coffee'?"
    )
    with pytest.raises(UsageError) as info:
        _ = Samples(only=("zebra",)).names
    assert str(info.value) == (
        "the data set 'samples' has no picture 'zebra'; "
        "it has astronaut, cat, coffee, motorcycle, rocket"
    )


def test_scikit_image_is_not_imported_for_it(monkeypatch):
    for module in [m for m in sys.modules if m.split(".")[0] == "skimage"]:
        monkeypatch.delitem(sys.modules, module)
    assert Samples(only=("cat",))[0][0].size == (300, 451)
    assert "skimage" not in sys.modules
