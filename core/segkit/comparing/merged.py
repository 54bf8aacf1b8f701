"""Shards made one: runs, and the sweeps and diagnoses that are made of runs."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from segkit.comparing.leaderboard import make_leaderboard
from segkit.comparing.losses import make_diagnosis
from segkit.comparing.records import LeaderboardFile
from segkit.comparing.sweep import FILES, write_leaderboard
from segkit.errors import UsageError
from segkit.plugins.catalog import Catalog
from segkit.running.folder import prepare
from segkit.running.ledger import Ledger
from segkit.running.lock import check_on_disk
from segkit.running.merge import Merge, Merged, merge_error
from segkit.running.protocols import read_protocols
from segkit.running.result_lines import ResultLines
from segkit.running.shard_runs import Source
from segkit.running.whole_folder import made_beside
from segkit.values.files import write_file


def merge_shards(
    directories: Sequence[Path],
    output: Path,
    *,
    overwrite: bool = False,
    catalog: Catalog | None = None,
) -> Merged:
    """One run out of runs of shards, or one sweep or diagnosis out of those of shards.

    The folder is as a run over all images leaves it, but for times: files, lines in the data set's
    order, figures, and what writers make of all images. It is there as a whole or not at all.

    Raises `UsageError` for folders that are no runs, are in use, or differ in recipe, versions,
    weights or number of shards, and for an `output` that is not free; `SegkitError` where the disk
    refuses or a plugin fails.
    """
    catalog = catalog or Catalog()
    if not directories:
        raise UsageError("there is nothing to merge; name the folders of the shards")
    places: set[str] = set()
    for path in (*directories, output):
        check_on_disk(path)
    for path in directories:
        if (place := os.path.realpath(path)) in places:
            raise UsageError(f"the folder '{path}' is named twice; name each once")
        places.add(place)
    recipes = [_recipes(path) for path in directories]
    if not any(recipes):
        merge = Merge([Source(path) for path in directories], catalog)
        with made_beside(output, directories, overwrite=overwrite) as scratch:
            summaries = {"run": merge.into(scratch)}
            notes = merge.notes(scratch)
        return _told([merge], summaries, notes, scratch, output)
    return _merge_sweeps(directories, recipes, output, overwrite, catalog)


def _recipes(directory: Path) -> list[str]:
    """The recipes that have folders of their own in a folder, in the order of its leaderboard."""
    ledger = Ledger.read(directory) if directory.is_dir() else None
    if ledger is None:
        return []
    plain = {name for name in ledger.recipes if Path(name).name == name}
    board = _board(directory)
    rows = [row.recipe for row in board.rows if row.recipe in plain] if board else []
    return [*rows, *sorted(plain - {*rows})]


def _board(directory: Path) -> LeaderboardFile | None:
    """The leaderboard of a folder; None where it is missing or makes no sense."""
    try:
        text = (directory / "leaderboard.json").read_text(encoding="utf-8")
        return LeaderboardFile.model_validate(json.loads(text))
    except (OSError, ValueError, RecursionError):
        return None


def _merge_sweeps(
    directories: Sequence[Path],
    recipes: Sequence[Sequence[str]],
    output: Path,
    overwrite: bool,
    catalog: Catalog,
) -> Merged:
    """The same of folders of several recipes."""
    first = directories[0]
    for path, names in zip(directories, recipes, strict=True):
        if {*names} != {*recipes[0]}:
            other = sorted({*names} ^ {*recipes[0]})[0]
            raise UsageError(
                f"'{path}' and '{first}' hold other recipes, such as {other}; only shards of one "
                "sweep can be merged"
            )
        for name, what in (("robustness.json", "a robustness test"), ("seeds", "several seeds")):
            if (path / name).exists():
                raise UsageError(
                    f"'{path}' holds {what}, which cannot be merged; merge the folders of its "
                    f"recipes, such as '{path / 'recipes' / names[0]}'"
                )
    names = recipes[0]
    merges = {
        name: Merge([Source(path / "recipes" / name) for path in directories], catalog)
        for name in names
    }
    before = next((board for path in directories if (board := _board(path))), None)
    if before is None:
        raise UsageError(
            f"none of the sweeps has finished, such as '{first}'; go on with them by segkit sweep "
            "--resume"
        )
    diagnosed = all((path / "diagnosis.json").is_file() for path in directories)
    files = (*FILES, *["diagnosis.json"] * diagnosed, "report.html")
    with made_beside(output, directories, overwrite=overwrite) as scratch:
        prepare(scratch, files=files, recipes=names)
        summaries = {n: merge.into(scratch / "recipes" / n) for n, merge in merges.items()}
        _compare(merges, before, scratch, diagnosed=diagnosed)
        notes = [
            note
            for name, merge in merges.items()
            for note in merge.notes(scratch / "recipes" / name)
        ]
    return _told([*merges.values()], summaries, notes, scratch, output)


def _compare(
    merges: dict[str, Merge], before: LeaderboardFile, directory: Path, *, diagnosed: bool
) -> None:
    """Write the leaderboard, which shows what that of a shard does, and the diagnosis."""
    results = {n: dict(ResultLines(directory / "recipes" / n / "results.jsonl")) for n in merges}
    options = {r.recipe: {k: str(v) for k, v in r.options.items()} for r in before.rows}
    board = make_leaderboard(
        results,
        {name: merge.plan.metrics for name, merge in merges.items()},
        sort_by=before.metric,
        options=options,
        words={row.recipe: row.words for row in before.rows},
        skipped=[{"recipe": one.recipe, "reason": one.reason} for one in before.skipped],
        protocols={name: read_protocols(directory / "recipes" / name) for name in merges},
        seed=next(iter(merges.values())).sources[0].recipe.seed,
    )
    write_leaderboard(directory, board)
    if diagnosed:
        best_first = {row.recipe: results[row.recipe] for row in board.rows}
        try:
            text = make_diagnosis(best_first, board.failed).text()
            write_file(directory / "diagnosis.json", text)
        except OSError as error:
            raise merge_error(error) from error


def _told(
    merges: Sequence[Merge],
    summaries: dict[str, dict[str, object]],
    notes: Sequence[str],
    scratch: Path,
    output: Path,
) -> Merged:
    """What came of it, each thing once."""

    def all_of(name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value for merge in merges for value in getattr(merge, name)))

    said = dict.fromkeys(note.replace(str(scratch), str(output)) for note in notes)
    return Merged(
        summaries,
        all_of("missing_shards"),
        all_of("missing"),
        all_of("doubled"),
        all_of("damaged"),
        tuple(said),
    )
