"""Parts of error sentences that the plugins share."""

from __future__ import annotations

import pytest

from segkit_plugins.shared.sentences import LONGEST, did_you_mean, first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("no such layer.\nTraceback …"), "no such layer"),
        (OSError("\n  disk full  \n"), "disk full"),
        (KeyError(), "KeyError"),
        (RuntimeError(" \n "), "RuntimeError"),
        (RuntimeError("x" * 999), "x" * LONGEST),
    ],
)
def test_the_first_line_of_an_error(error, line):
    assert first_line(error) == line


def test_the_nearest_name_or_other_advice():
    assert did_you_mean("resnet81", ["vgg16", "resnet18"], "…") == "did you mean 'resnet18'?"
    assert did_you_mean("owl", iter(["resnet18"]), "it has resnet18") == "it has resnet18"
