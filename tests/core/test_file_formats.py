"""What the JSON files of runs and comparisons hold, byte by byte, and what is read of them.

`run_files/` has them as they should be, times and versions left out. Where a key is added, write
them anew and look at the difference: `python tests/core/test_file_formats.py`.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from toys import Best, Bright, Flood, Note, Paint, Peak, Right, Squares

from segkit import Image, Perturbation, Prompts, plan, run
from segkit.comparing.damaged_run import examine_plans
from segkit.comparing.diagnosis import diagnose_plans
from segkit.comparing.records import Diagnosis, LeaderboardFile
from segkit.comparing.robustness_records import Robustness
from segkit.comparing.sweep import Shown, sweep_plans
from segkit.reporting import write_report
from segkit.running.options import RunOptions
from segkit.running.records import ResultLine, RunSummary
from segkit.running.result_lines import ResultLines

KEPT = Path(__file__).parent / "run_files"


class Dark(Perturbation):
    """Darker by 90 grey levels a level."""

    name = "dark"
    step: int = 90

    def __call__(self, image: Image, level: float) -> Image:
        values = image.pixels.astype(float) - self.step * level
        return Image(values.clip(0, 255).astype(np.uint8), image.name)


class Push(Perturbation):
    """Every point one pixel to the right a level."""

    name = "push"

    def __call__(self, prompts: Prompts, level: float) -> Prompts:
        return Prompts(tuple(replace(p, points=p.points + np.array([level, 0])) for p in prompts))


def small_plans():
    """Two recipes on two images and one that cannot be read: all intervals are exact."""
    data, end = Squares(count=3, bad=(1,)), (Flood(), Best(), Paint(), Right(), Note())
    return {
        "peak": plan([data, Bright(), Peak(), *end]),
        "beside": plan([data, Bright(), Peak(dx=5), *end]),
    }


def make_files(folder: Path) -> dict[str, str]:
    """Name to text of each file; times are 0 and versions empty."""
    plans, skipped = small_plans(), [{"recipe": "box", "reason": "it has no heatmap"}]
    shown = Shown(labels={"beside": {"peak.dx": "5"}}, skipped=skipped)
    run({"run": plans["beside"]}, folder / "run")
    sweep_plans(plans, folder / "sweep", shown=shown)
    diagnose_plans(plans, folder / "diagnosis")
    examine_plans(plans, folder / "robustness", perturbations=[Dark(), Push()], levels=2)
    files = {
        "results.jsonl": folder / "run/results.jsonl",
        "summary.json": folder / "run/summary.json",
        "leaderboard.json": folder / "sweep/leaderboard.json",
        "diagnosis.json": folder / "diagnosis/diagnosis.json",
        "diagnosis-results.jsonl": folder / "diagnosis/recipes/beside/results.jsonl",
        "robustness.json": folder / "robustness/robustness.json",
        "robustness-results.jsonl": folder / "robustness/recipes/peak/results.jsonl",
    }
    return {name: _timeless(path.read_text(encoding="ascii")) for name, path in files.items()}


def _timeless(text: str) -> str:
    text = re.sub(
        r'("seconds": \{)([^}]*)',
        lambda found: found[1] + re.sub(r": [-+.e\d]+", ": 0", found[2]),
        text,
    )
    text = re.sub(r'("images_per_second": )[-+.e\d]+', r"\g<1>0", text)
    return re.sub(r'("(?:segkit|torch|numpy|version)": )"[^"]*"', r'\1""', text)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("files"))


@pytest.mark.parametrize("name", sorted(p.name for p in KEPT.iterdir()))
def test_files_hold_what_they_held_byte_by_byte(files, name):
    assert files[name] == (KEPT / name).read_text(encoding="ascii")


MODELS = {
    "summary.json": RunSummary,
    "leaderboard.json": LeaderboardFile,
    "diagnosis.json": Diagnosis,
    "robustness.json": Robustness,
}


@pytest.mark.parametrize("name", MODELS)
def test_what_was_written_is_read_and_written_alike(name):
    text = (KEPT / name).read_text()
    assert MODELS[name].model_validate(json.loads(text)).text() == text


def test_lines_are_read_and_written_alike():
    for path in KEPT.glob("*.jsonl"):
        results = ResultLines(path)
        assert results.unreadable == 0
        assert "".join(line.text() for line in results.values()) == path.read_text()


LINE = {"name": "a", "status": "ok", "error": None, "scores": {"iou": 1, "dice": 1.0}}


@pytest.mark.parametrize(
    "more",
    [
        {"name": "x\udcff"},
        {"name": "a\u2028b", "files": ["overlay/\udcff.jpg"]},
        {"classes": {"1": "k\udcff"}},
        {"counts": {"iou": {"inter": 3, "union": 4.0, "of \udcff": float("nan")}}},
        {"masks": [{"name": None, "score": 0.5, "prompt": 0, "pixels": 3, "quality": 0.75}]},
        {"notes": None},
        {"source": {"path": "a.jpg", "size": 3}, "later": [1, 2.0]},
    ],
)
def test_a_line_is_written_again_as_it_came(tmp_path, more):
    """Names that are no text, numbers of either kind, keys of a version to come."""
    text = json.dumps(LINE | more) + "\n"
    (tmp_path / "results.jsonl").write_text(text)
    (line,) = ResultLines(tmp_path / "results.jsonl").values()
    assert line.text() == text


def test_going_on_keeps_keys_of_a_version_to_come(tmp_path):
    plans = {"run": small_plans()["peak"]}
    run(plans, tmp_path / "r")
    path = tmp_path / "r/results.jsonl"
    newer = path.read_text().replace('"status": "ok"', '"status": "ok", "later": [1, 2.0]')
    path.write_text(newer)
    run(plans, tmp_path / "r", resume=True)
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    assert [line.get("later") for line in lines] == [[1, 2.0], [1, 2.0], None]
    assert [line["status"] for line in lines] == ["ok", "ok", "failed"]


@pytest.mark.parametrize(
    "foreign",
    [
        {"status": "done"}, {"name": 3}, {"counts": {"iou": 3}}, {"counts": {"iou": {"n": "x"}}},
        {"classes": {"cat": "cat"}}, {"masks": 3}, {"prompts": [{"points": 3}]},
        {"notes": {"iou": 0.5}}, {"robustness": [{"level": 1}]},
    ],
)  # fmt: skip
def test_a_line_with_foreign_values_counts_as_unreadable(tmp_path, foreign):
    path = tmp_path / "results.jsonl"
    path.write_text(f"{json.dumps(LINE | foreign)}\n{json.dumps(LINE)}\n")
    results = ResultLines(path)
    assert list(results) == ["a"]
    assert results.unreadable == 1


def test_images_whose_lines_make_no_sense_are_done_again(tmp_path):
    plans = small_plans()
    diagnose_plans(plans, tmp_path / "d")
    path = tmp_path / "d/recipes/peak/results.jsonl"
    whole = path.read_text()
    path.write_text(whole.replace('"iou": 1.0, "best', '"iou": "all", "best'))
    (tmp_path / "d/diagnosis.json").unlink()
    diagnose_plans(plans, tmp_path / "d", RunOptions(resume=True))
    assert _timeless(path.read_text()) == _timeless(whole)
    assert (tmp_path / "d/diagnosis.json").exists()


def strict_json(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_of_a_single_image_there_is_no_interval_and_the_file_is_json(tmp_path):
    plans = {n: replace(p, dataset=Squares(count=1)) for n, p in small_plans().items()}
    diagnosis = diagnose_plans(plans, tmp_path)
    assert all(np.isnan(diagnosis.recipes[0].intervals["prompt"]))
    text = (tmp_path / "diagnosis.json").read_text()
    assert strict_json(text)["recipes"][0]["intervals"]["prompt"] == [None, None]
    strict_json((tmp_path / "leaderboard.json").read_text())
    write_report(tmp_path)
    # As versions before wrote it.
    (tmp_path / "diagnosis.json").write_text(text.replace("null", "NaN"))
    page = write_report(tmp_path).read_text()
    assert "Where the IoU was lost" in page
    assert "is damaged" not in page


@pytest.mark.parametrize("name", MODELS)
def test_keys_that_are_not_known_are_no_fault(name):
    content = json.loads((KEPT / name).read_text())
    content["later"] = {"a": [1]}
    for table in ("rows", "recipes", "curves"):
        for row in content.get(table, ()):
            row["later"] = 1
    MODELS[name].model_validate(content)


@pytest.mark.parametrize(
    "foreign",
    [
        {"levels": -1}, {"levels": "many"}, {"recipes": 3}, {"recipes": [{}]}, {"curves": None},
        {"curves": [{"recipe": "peak", "perturbation": "dark", "points": []}]},
        {"limits": {"mask": "far"}}, {"pictures": [{"image": "a"}]}, {"failed": 3},
    ],
)  # fmt: skip
def test_a_robustness_with_foreign_values_is_named_on_the_page(tmp_path, foreign):
    shutil.copy(KEPT / "results.jsonl", tmp_path)
    content = json.loads((KEPT / "robustness.json").read_text())
    (tmp_path / "robustness.json").write_text(json.dumps(content))
    assert "is damaged" not in write_report(tmp_path).read_text()
    (tmp_path / "robustness.json").write_text(json.dumps(content | foreign))
    assert "robustness.json is damaged and is left out." in write_report(tmp_path).read_text()


def test_a_robustness_may_lack_almost_everything(tmp_path):
    curve = {"recipe": "r", "perturbation": "dark", "points": [{"level": 0}, {"level": 1}]}
    content = {"levels": 1, "recipes": [{"recipe": "r"}], "curves": [curve]}
    (tmp_path / "robustness.json").write_text(json.dumps(content))
    page = write_report(tmp_path).read_text()
    assert "is damaged" not in page
    assert "iou of the images under damage that rises from none to level 1" in page


def test_models_say_what_is_missing():
    with pytest.raises(ValidationError, match="status"):
        ResultLine.model_validate({"name": "a"})
    with pytest.raises(ValidationError, match="frozen"):
        ResultLine.model_validate(LINE).name = "b"


def test_a_line_goes_through_its_model_at_the_price_of_writing_it():
    """A run of 10,000 images appends 10,000 lines; the model may not be what they wait for."""
    text = next(path for path in KEPT.glob("robustness-*.jsonl")).read_text().splitlines()[0]
    line = json.loads(text)

    def seconds(work):
        """CPU time of a hundred, the least of some tries: other processes take no part."""
        tries = []
        for _ in range(15):
            start = time.process_time()
            for _ in range(100):
                work()
            tries.append(time.process_time() - start)
        return min(tries)

    bare = seconds(lambda: json.dumps(line))
    assert seconds(lambda: ResultLine.model_validate(line).text()) < 8 * bare


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        KEPT.mkdir(exist_ok=True)
        for name, text in make_files(Path(made)).items():
            (KEPT / name).write_text(text, encoding="ascii")
