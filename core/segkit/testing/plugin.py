"""The part of the kit that pytest loads by itself: it turns a `Conformance` class into tests.

`pytest --segkit-plugin FILE` tests the plugins of a file without a test file.

pytest imports this module wherever segkit is installed, so it imports nothing, and does nothing
for test files that do not use the kit.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--segkit-plugin FILE`, which repeats."""
    parser.getgroup("segkit").addoption(
        "--segkit-plugin",
        action="append",
        default=[],
        metavar="FILE",
        help="Test a single file's plugins with segkit's kit; repeats. No test file is needed.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """With `--segkit-plugin` those files are what is tested, beside what is named by itself."""
    files = config.getoption("--segkit-plugin")
    for file in files:
        if not Path(file).is_file():
            raise pytest.UsageError(
                f"--segkit-plugin {file}: there is no such file; name the Python file of a plugin"
            )
    if files:
        named = config.args_source is pytest.Config.ArgsSource.ARGS
        config.args = [*(config.args if named else ()), *files]


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: Any) -> Generator[None, Any, Any]:
    """The kit's tests in place of what pytest would look for in the file."""
    collectors = yield
    files = parent.config.getoption("--segkit-plugin")
    if any(Path(file).resolve() == file_path.resolve() for file in files):
        return [PluginFile.from_parent(parent, path=file_path)]
    return collectors


class PluginFile(pytest.Module):
    """A file of plugins as a test file with a class for each of them."""

    def _getobj(self) -> ModuleType:
        from segkit.testing.conformance import classes_for

        module = ModuleType(self.path.stem)
        vars(module).update({cls.__name__: cls for cls in classes_for(self.path)})
        return module


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: Any, name: str, obj: object) -> Any:
    """Collect a subclass of `Conformance` with the tests of its plugin's kind."""
    kit = sys.modules.get("segkit.testing.conformance")
    if kit is None or not isinstance(obj, type) or not issubclass(obj, kit.Conformance):
        return None
    whole = kit.with_tests(obj)
    if whole is None:
        return None
    made = pytest.Class.from_parent(collector, name=name)
    made.obj = whole
    return made


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> Generator[None, Any, Any]:
    """Report what the kit found as a sentence, without the kit's own source around it."""
    try:
        return (yield)
    except (KeyboardInterrupt, pytest.skip.Exception, pytest.fail.Exception):
        raise
    except BaseException as error:  # a plugin may ask to end Python
        kit = sys.modules.get("segkit.testing.conformance")
        found = None if kit is None else kit.sentence(error, getattr(pyfuncitem, "cls", None))
        if found is None:
            raise
        raise pytest.fail.Exception(found, pytrace=False) from None
