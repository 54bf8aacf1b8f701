"""Where in a plugin's own files a fault is: what sentences about plugins of others end with."""

from __future__ import annotations

import sys
from pathlib import Path

from segkit.errors import PluginExitError


def place_of_error(root: Path | None, error: BaseException) -> str:
    """` (FILE, line N)`: the last line below `root`, a folder or a file, that led to an error."""
    import traceback

    if isinstance(error, PluginExitError) and error.__cause__ is not None:
        error = error.__cause__
    if root is None or isinstance(error, SyntaxError):  # whose text says where
        return ""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if told := _told(root, frame.filename, frame.lineno or 0):
            return told
    return ""


def place_of_code(root: Path | None, function: object) -> str:
    """` (FILE, line N)`: where a function below `root` begins."""
    import inspect

    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return _told(root, code.co_filename, code.co_firstlineno) if root and code else ""


def root_of(module: str) -> Path | None:
    """The folder of the package that a loaded module is in, or the file that it is alone."""
    top = sys.modules.get(module.partition(".")[0])
    folders = list(getattr(top, "__path__", ()))
    if folders:
        return Path(folders[0])
    own = getattr(sys.modules.get(module), "__file__", None)
    return Path(own) if own else None


def _told(root: Path, filename: str, line: int) -> str:
    """The place, if it is below `root`; the file is named from there."""
    path, root = Path(filename).absolute(), root.absolute()
    if path != root and root not in path.parents:
        return ""
    shown = path.name if path == root else path.relative_to(root.parent).as_posix()
    return f" ({shown}, line {line})"
