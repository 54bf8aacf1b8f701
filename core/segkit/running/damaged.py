"""Whether what a run has written of an image is still there, and whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from segkit.errors import plugin_code
from segkit.plugins.steps import Writer
from segkit.running.owned import Line, files_named


def is_damaged(directory: Path, line: Line, writers: Sequence[Writer]) -> bool:
    """Whether a file that one of these writers made of the image is missing, empty or unreadable.

    `line`: the image's in results.jsonl. Files that others have made of it, such as an export, are
    not looked at: doing the image again would not bring them back.
    """
    counted = line.get("written")
    if isinstance(counted, dict):
        named = {writer.name for writer in writers} <= counted.keys()
    else:  # of an earlier version
        named = bool(files_named(line)) or not writers
    if not named:
        return True  # the line is not of this run
    empty = {name for name in line.get("empty", ()) if isinstance(name, str)}
    for writer, name in _owned(line, writers):
        path = directory / name
        try:
            if not path.is_file() or (not path.stat().st_size and name not in empty):
                return True
            with plugin_code():
                if not writer.is_intact(directory, path):
                    return True
        except Exception:  # it cannot even be looked at
            return True
    return False


def _owned(line: Line, writers: Sequence[Writer]) -> Iterator[tuple[Writer, str]]:
    """The files of the image that these writers made, each with its writer."""
    own = {writer.name: writer for writer in writers}
    files, counted = files_named(line), line.get("written")
    if isinstance(counted, dict):
        rest = iter(files)
        for name, count in counted.items():
            some = [*islice(rest, max(count, 0))]
            if name in own:
                yield from ((own[name], file) for file in some)
        return
    for file in files:  # of an earlier version: a writer's files are in its folder
        if (name := file.partition("/")[0]) in own:
            yield own[name], file
