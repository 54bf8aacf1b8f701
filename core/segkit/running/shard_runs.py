"""The runs of shards, as they are read to be merged, and whether they belong together."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from segkit.errors import UsageError
from segkit.kinds import KINDS
from segkit.running.ledger import Ledger, is_run
from segkit.running.lines import Line
from segkit.running.lock import check_unowned
from segkit.running.owned import files_named
from segkit.running.protocols import in_words
from segkit.running.recipe import Recipe, read_toml
from segkit.running.recipe_record import comparable, differing
from segkit.running.records import ResultLine, RunSummary, read_summary
from segkit.running.shards import Shard
from segkit.values.spreading import levels_in

PROTOCOL = "the protocol of"
"""What a setting's name begins with that says how a figure was counted."""


class Source:
    """The folder of one shard's run of one recipe. Nothing in it is changed."""

    def __init__(self, directory: Path) -> None:
        """Raises `UsageError` for what is no run of one recipe, or is in use."""
        self.directory = directory
        if not directory.is_dir() or not is_run(directory):
            raise UsageError(
                f"'{directory}' is no run of segkit; name folders that segkit run has written"
            )
        check_unowned(directory)
        self.content = read_toml(directory / "recipe.toml")
        self.recipe = Recipe.from_dict(self.content, f"'{directory / 'recipe.toml'}'")
        record = self.content.get("record")
        self.record: dict[str, Any] = record if isinstance(record, dict) else {}
        text = self.record.get("shard")
        self.shard = Shard.parse(text) if isinstance(text, str) else None
        self.summary: RunSummary | None = read_summary(directory)
        """None of a run that has not finished."""

    @cached_property
    def shared(self) -> set[str]:
        """The noted files that belong to no image alone, as far as they lie in the folder."""
        ledger = Ledger.read(self.directory)
        return set() if ledger is None else {*files_named({"files": [*ledger.files]})}

    def lines(self) -> Iterator[tuple[int, ResultLine]]:
        """Each line of results.jsonl with the place where it begins; others are left out.

        Raises `UsageError` if the file cannot be read.
        """
        try:
            with (self.directory / "results.jsonl").open("rb") as file:
                offset = 0
                for text in file:
                    with suppress(ValueError, RecursionError):
                        yield offset, ResultLine.model_validate(json.loads(text))
                    offset += len(text)
        except FileNotFoundError:
            return
        except OSError as error:
            raise UsageError(
                f"'{self.directory / 'results.jsonl'}' cannot be read ({error.strerror or error}); "
                "mend that, or leave the folder out"
            ) from None

    def line(self, name: str, offset: int) -> Line:
        """The image's line, which begins at this place.

        Raises `UsageError` where it does so no longer: the run has gone on meanwhile.
        """
        with (
            suppress(OSError, ValueError, RecursionError),
            (self.directory / "results.jsonl").open("rb") as file,
        ):
            file.seek(offset)
            line = ResultLine.model_validate(json.loads(file.readline()))
            if line.name == name:
                return line.to_dict()
        raise UsageError(
            f"'{self.directory}' has changed while it was merged; wait until its run has ended, "
            "and merge again"
        )


CLASSES = "classes of the run"
"""What a sentence calls them; they are known of finished runs."""


# ---- what may be merged ------------------------------------------------------------------------


def settings_of(source: Source) -> dict[str, Any]:
    """What the runs of shards have in common: options, versions, weights, plugins, by name."""
    settings = comparable(source.recipe)
    record = source.record
    settings |= {key: record.get(key) for key in ("segkit", "torch", "numpy")}
    settings["levels of subfolders"] = levels_in(source.directory)
    for table in ("weights", "revisions"):
        several = record.get(table)
        if isinstance(several, Mapping):
            settings |= {f"{table} {key}": value for key, value in several.items()}
    for row in _tables(record.get("plugins")):
        if row.get("kind") in KINDS:  # observers change nothing
            name = f"plugin {row.get('kind')} {row.get('name')}"
            settings[name] = f"{row.get('distribution')} {row.get('version')}".rstrip()
    for row in _tables(record.get("distributions")):
        if "sha256" in row:
            settings[f"file {row.get('distribution')}"] = row["sha256"]
    if source.summary is not None:
        settings[CLASSES] = dict(source.summary.classes)
        for figure, protocol in source.summary.protocol.items():
            settings[f"{PROTOCOL} {figure}"] = in_words(protocol)
    return settings


def _tables(value: Any) -> list[dict[str, Any]]:
    several = value if isinstance(value, list) else []
    return [row for row in several if isinstance(row, dict)]


def check_alike(sources: Sequence[Source]) -> None:
    """Raise `UsageError` where the runs are not shards of one recipe, and say what differs."""
    first = sources[0]
    before = settings_of(first)
    said = {key: first for key in before if _may_be_unsaid(key)}
    for other in sources[1:]:
        theirs = settings_of(other)
        told = {key: value for key, value in theirs.items() if _may_be_unsaid(key)}
        for key in told.keys() - said.keys():
            before[key], said[key] = told[key], other
        _compare(other, _without(theirs, told), first, _without(before, said))
        for key in sorted(told):
            _compare(other, {key: told[key]}, said[key], {key: before[key]})
        if (first.shard and first.shard.count) != (other.shard and other.shard.count):
            raise UsageError(
                f"'{other.directory}' is {_shard_words(other)}, '{first.directory}' is "
                f"{_shard_words(first)}; only shards of one division can be merged"
            )


def _compare(
    other: Source, theirs: Mapping[str, Any], first: Source, ours: Mapping[str, Any]
) -> None:
    """Refuse two runs whose settings differ."""
    if (difference := differing(theirs, ours)) is not None:
        raise UsageError(
            f"'{other.directory}' was run with {difference[0]}, '{first.directory}' with "
            f"{difference[1]}; only shards of one recipe can be merged"
        )


def _may_be_unsaid(key: str) -> bool:
    """Whether a run that lacks this differs in nothing: it has not finished, or is too old.

    A shard without truth says of no figure how it is counted.
    """
    return key == CLASSES or key.startswith(PROTOCOL)


def _without(settings: Mapping[str, Any], keys: Container[str]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in keys}


def _shard_words(source: Source) -> str:
    return f"shard {source.shard}" if source.shard else "no shard"
