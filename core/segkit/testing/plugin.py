"""The part of the kit that pytest loads by itself: it turns a `Conformance` class into tests.

pytest imports this module wherever segkit is installed, so it imports nothing, and does nothing
for test files that do not use the kit.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

import pytest


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
