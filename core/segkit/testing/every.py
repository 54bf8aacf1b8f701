"""The tests that plugins of every kind must pass."""

from __future__ import annotations

import inspect
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from segkit.errors import BadImageError, SegkitError
from segkit.stages import Step
from segkit.testing.asking import Broken, answer, difference, digest, inputs_for, named
from segkit.testing.values import EDGES, values

if TYPE_CHECKING:
    from segkit.testing.conformance import Conformance
else:
    Conformance = object

HEAVY = (
    *("torch", "torchvision", "tensorflow", "jax", "keras", "lightning", "timm", "transformers"),
    *("segment_anything", "ultralytics", "onnx", "onnxruntime", "cv2", "PIL", "skimage", "scipy"),
    *("sklearn", "matplotlib", "pandas", "numba", "pycocotools", "supervision", "imageio"),
)
"""Libraries that a plugin's module may not import when it is itself imported."""

_IMPORTED = """
import importlib, importlib.util, json, sys
target = sys.argv[1]
if target.endswith(".py"):
    spec = importlib.util.spec_from_file_location("plugin_under_test", target)
    module = importlib.util.module_from_spec(spec)
    sys.modules["plugin_under_test"] = module
    spec.loader.exec_module(module)
else:
    importlib.import_module(target)
print("\\n" + json.dumps([m for m in sys.argv[2].split(",") if m in sys.modules]))
"""


class Every(Conformance):
    """What holds for every kind."""

    # ---- how it is registered and described --------------------------------------------------

    def test_it_is_found_by_its_entry_point(self) -> None:
        assert self._found.entry is not None
        assert self.step_class.name == self._found.entry.name

    def test_the_module_has_a_summary(self) -> None:
        entry = self._found.entry
        summary = entry.summary if entry else ""
        if not summary:
            raise Broken(
                f"the module of {named(self.step_class)} has no docstring; its first line is the "
                "summary that list-plugins shows"
            )
        if len(summary) > 100:
            raise Broken(
                f"the summary of {named(self.step_class)}, its module's first line, has "
                f"{len(summary)} characters; list-plugins shows up to 100"
            )

    def test_the_class_has_a_docstring(self) -> None:
        if not self.step_class.__doc__:
            raise Broken(
                f"the class {self.step_class.__name__} has no docstring; say what it does, in "
                "which frame and units, and where the method is from"
            )

    def test_every_option_has_help(self) -> None:
        without = [n for n, f in self.step_class.model_fields.items() if not f.description]
        if without:
            raise Broken(
                f"the option '{without[0]}' of {named(self.step_class)} has no help; write a "
                "docstring under the field"
            )

    def test_heavy_libraries_are_imported_late(self) -> None:
        entry = self._found.entry
        assert entry is not None
        target = (
            entry.target.partition(":")[0] if not entry.target.endswith(".py") else entry.target
        )
        paths = json.dumps([p for p in sys.path if p])
        code = f"import sys\nsys.path[:0] = [p for p in {paths} if p not in sys.path]{_IMPORTED}"
        command = [sys.executable, "-c", code, target, ",".join(HEAVY)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            raise Broken(f"the module of {named(self.step_class)} cannot be imported alone: {last}")
        found = json.loads(done.stdout.splitlines()[-1])
        if found:
            raise Broken(
                f"the module of {named(self.step_class)} imports {found[0]} when it is imported; "
                "import it inside the method that needs it"
            )

    # ---- options ---------------------------------------------------------------------------

    def test_options_survive_a_recipe(self, chosen: int) -> None:
        import tomli_w

        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
        step = self.new(chosen)
        table = step.model_dump(mode="json", exclude_none=True)
        try:
            read = tomllib.loads(tomli_w.dumps(table))
            again = type(step).model_validate(read)
        except (TypeError, ValueError) as error:
            text = " ".join(str(error).split())
            raise Broken(
                f"the options of {named(step)} cannot be read back from a recipe: {text}"
            ) from None
        wrong = [n for n in type(step).model_fields if getattr(again, n) != getattr(step, n)]
        if wrong:
            before, after = getattr(step, wrong[0]), getattr(again, wrong[0])
            raise Broken(
                f"the option '{wrong[0]}' of {named(step)} does not survive a recipe: it was "
                f"{before!r} and is read back as {after!r}"
            )

    def test_options_cannot_be_changed(self, chosen: int) -> None:
        step = self.new(chosen)
        if not type(step).model_config.get("frozen"):
            raise Broken(f"{named(step)} is not frozen; leave model_config as segkit's classes do")
        for name in type(step).model_fields:
            if isinstance(getattr(step, name), (list, set, dict)):
                what = type(getattr(step, name)).__name__
                raise Broken(
                    f"the option '{name}' of {named(step)} is a {what}, which can be changed; "
                    "make it a tuple"
                )

    def test_unknown_options_are_refused(self, chosen: int) -> None:
        step = self.new(chosen)
        try:
            type(step).model_validate({**step.model_dump(), "no_such_option": 1})
        except ValidationError:
            return
        raise Broken(
            f"{named(step)} takes an option that it does not have; leave model_config as segkit's "
            "classes do, with extra='forbid'"
        )

    def test_equal_options_make_equal_steps(self, chosen: int) -> None:
        one, other = self.new(chosen), self.new(chosen)
        if one != other or hash(one) != hash(other):
            raise Broken(
                f"two {named(one)} steps with the same options are not equal; segkit compares "
                "kind, class and options, and so should they"
            )

    def test_it_can_go_to_another_process(self, chosen: int) -> None:
        step = self.new(chosen)
        try:
            again = pickle.loads(pickle.dumps(step))
        except Exception as error:
            raise Broken(
                f"{named(step)} cannot be pickled, so it cannot go to another process: "
                f"{type(error).__name__}: {error}"
            ) from None
        if again != step:
            raise Broken(f"{named(step)} is another step after it was pickled")
