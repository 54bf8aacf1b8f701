"""A run over photos, and what is told of its images."""

from __future__ import annotations

import warnings
from pathlib import Path

from folder_toys import Light, Names, lines
from pydantic import PrivateAttr
from toys import Counting, Right

from segkit import Image, Labels, SegkitWarning, plan, run
from segkit.comparing.damaged_run import examine_plans
from segkit.comparing.sweep import sweep_plans
from segkit.running.options import RunOptions
from segkit_plugins.perturbation.gaussian_blur import GaussianBlur


class Watched(Light):
    """Notes which images it has seen."""

    name = "watched"
    _log: Counting = PrivateAttr(default_factory=Counting)

    def __call__(self, image: Image) -> Labels:
        self._log.calls.append(image.name)
        return super().__call__(image)


class Told:
    """What a run said, and which images it did."""

    def __init__(self, out, data, *, command="run", **how):
        step = Watched()
        chosen = plan([data, step, *([Right()] if data.has_truth else []), Names()])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if command == "run":
                self.summary = run({"run": chosen}, out, **how)["run"]
            elif command == "sweep":
                sweep_plans({"a": chosen}, out, RunOptions(**how))
            else:
                examine_plans(
                    {"a": chosen}, out, RunOptions(**how), perturbations=[GaussianBlur()], levels=1
                )
        self.done = list(dict.fromkeys(step._log.calls))
        self.said = [str(w.message) for w in caught if issubclass(w.category, SegkitWarning)]


def where(out):
    """Image name to its file's name."""
    return {name: Path(line["source"]["path"]).name for name, line in lines(out).items()}
