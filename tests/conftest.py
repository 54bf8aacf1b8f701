"""What all tests share: cores and processes, what is garbage, and where real photos lie."""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests run side by side; networks that each take every core would wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


FEW_AND_LONG = (
    *("contracts/test_static.py", "contracts/test_combinations.py", "contracts/test_imports.py"),
    *("contracts/test_docs_blocks.py", "contracts/test_wrong_plugins.py"),
    *("contracts/test_docs_site.py", "contracts/test_notebook.py", "core/test_train_memory.py"),
    *("cli/test_stopping.py", "cli/test_install.py", "thirdparty/test_thirdparty.py"),
    *("thirdparty/test_new_plugins.py", "playground/test_playground_bench.py"),
)
"""Files that take longer than the number of their tests tells."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A file's tests go to one process, so that what they share is made once."""
    from xdist.scheduler import LoadFileScheduling

    if config.getvalue("dist") != "load":
        return None
    config.option.loadscopereorder = False  # the files have an order: see the next function
    return LoadFileScheduling(config, log)


def pytest_configure(config):
    """Of the processes that share the tests every second one collects from the end.

    Each compiles what it imports, the tests too, and what another has compiled it finds.
    """
    tests = Path(__file__).parent
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    if number % 2 and [Path(arg).resolve() for arg in config.args] == [tests]:
        folders = {tests / file.relative_to(tests).parts[0] for file in tests.glob("*/*.py")}
        config.args[:] = map(str, sorted(folders, reverse=True))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Where processes share the tests, the longest files come first, and none at the end alone."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        counts = Counter(item.path for item in items)
        long = {Path(__file__).parent / name for name in FEW_AND_LONG}
        items.sort(key=lambda item: (item.path not in long, -counts[item.path], item.path))


MANY = 200
"""So many modules more are libraries that were loaded."""


@pytest.hookimpl(trylast=True)
def pytest_runtest_setup(item):
    """Keep libraries and collected tests, millions of objects, out of each search for garbage.

    A training searches before it measures memory; without this it looks at them for 0.7 s.
    """
    config = item.config
    if len(sys.modules) > getattr(config, "modules_that_stay", 0) + MANY:
        gc.collect()
        gc.freeze()
        config.modules_that_stay = len(sys.modules)


@pytest.fixture
def real_data(request) -> Path:
    """Where the real photos lie that the test's mark `data(path)` names.

    `path` is one in the folder of $SEGKIT_DATA; where it is not there, the test is skipped. Tests
    get real photos in no other way.
    """
    (path,) = request.node.get_closest_marker("data").args
    folder = os.environ.get("SEGKIT_DATA")
    if not folder:
        pytest.skip(f"needs real photos; set SEGKIT_DATA to a folder that holds {path}")
    root = request.config.invocation_params.dir / folder
    if not root.is_dir():
        pytest.fail(f"SEGKIT_DATA should name a folder, but there is no {root}; check the path")
    if not (root / path).exists():
        pytest.skip(f"needs real photos; put {path} into SEGKIT_DATA={folder}")
    return root / path
