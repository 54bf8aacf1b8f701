"""The campaign's tallies, and the table of them at its end."""

from __future__ import annotations

import pytest
from campaign import COLUMNS, SHARE, Tally
from forks import Forks

TALLIES = pytest.StashKey[list[Tally]]()


@pytest.fixture
def tally(request):
    """The tally of this test's part; its name is the test's."""
    found = Tally(request.node.name.removeprefix("test_").replace("_", " "))
    request.config.stash.setdefault(TALLIES, []).append(found)
    return found


@pytest.fixture(scope="session")
def forks(tmp_path_factory):
    """Commands that need no process started from nothing."""
    with Forks(tmp_path_factory.mktemp("forks")) as served:
        yield served


def pytest_terminal_summary(terminalreporter, config):
    """One line a part: what was tried, and what was found."""
    tallies = config.stash.get(TALLIES, [])
    if not tallies:
        return
    width = max(len(tally.part) for tally in tallies)
    share = "" if SHARE >= 1 else f", {SHARE:g} of it"
    terminalreporter.section(f"reliability{share}")
    head = "".join(f"{column:>11}" for column in COLUMNS)
    terminalreporter.line(f"{'part':{width}}{'attacks':>9}{head}")
    for tally in tallies:
        figures = "".join(f"{tally.counts[column]:>11}" for column in COLUMNS)
        terminalreporter.line(f"{tally.part:{width}}{tally.attacks:>9}{figures}")
    attacks = sum(tally.attacks for tally in tallies)
    sums = "".join(f"{sum(t.counts[c] for t in tallies):>11}" for c in COLUMNS)
    terminalreporter.line(f"{'in all':{width}}{attacks:>9}{sums}")
