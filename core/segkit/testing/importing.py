"""What a plugin's module imports when it is itself imported, found out in another process."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys

from segkit.testing.asking import Broken

HEAVY = (
    *("torch", "torchvision", "tensorflow", "jax", "keras", "lightning", "timm", "transformers"),
    *("segment_anything", "ultralytics", "onnx", "onnxruntime", "cv2", "PIL", "skimage", "scipy"),
    *("sklearn", "matplotlib", "pandas", "numba", "pycocotools", "supervision", "imageio"),
)
"""Libraries that a plugin's module may not import when it is itself imported."""

_MARK = "segkit-imported:"

_LOOP = f"""
import importlib, json, sys
from importlib.util import module_from_spec, spec_from_file_location
paths, heavy = json.loads(sys.argv[1]), json.loads(sys.argv[2])
sys.path[:0] = [p for p in paths if p not in sys.path]
for line in sys.stdin:
    target, error = line.strip(), None
    try:
        if target.endswith(".py"):
            spec = spec_from_file_location("plugin_under_test", target)
            sys.modules["plugin_under_test"] = module = module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            importlib.import_module(target)
    except BaseException as problem:
        error = f"{{type(problem).__name__}}: {{problem}}"
    found = [m for m in heavy if m in sys.modules]
    print("\\n{_MARK}" + json.dumps([found, error]), flush=True)
"""


class Importer:
    """A process that imports one module after the other, as long as nothing heavy comes with one.

    It is started when it is first needed, and anew after a module that was heavy or failed, so each
    is imported as if alone.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._paths: list[str] = []
        atexit.register(self.stop)

    def heavy(self, target: str) -> list[str]:
        """The heavy libraries that come with a module, by its dotted name or file.

        Raises `Broken` if it cannot be imported.
        """
        paths = [p for p in sys.path if p]
        if paths != self._paths:
            self.stop()
        if self._process is None:
            self._paths = paths
            command = [sys.executable, "-c", _LOOP, json.dumps(paths), json.dumps(HEAVY)]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{target}\n")
        process.stdin.flush()
        answer = next((line for line in process.stdout if line.startswith(_MARK)), None)
        found, error = json.loads(answer.removeprefix(_MARK)) if answer else ([], "it ends Python")
        if found or error:
            self.stop()
        if error:
            raise Broken(f"the module {target} cannot be imported alone: {error}")
        return list(found)

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


IMPORTER = Importer()
"""The one of this process."""
