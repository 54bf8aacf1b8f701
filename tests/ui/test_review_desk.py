"""The desk: what the review page asks for, and what is kept of it."""

from __future__ import annotations

import base64
import io
import json
import shutil
import threading
from importlib.metadata import version

import numpy as np
import pytest
from PIL import Image as Picture

from segkit import Catalog, UsageError
from segkit_ui.review.desk import Desk


def lines(folder):
    return [json.loads(text) for text in (folder / "review.jsonl").read_text().splitlines()]


def picture(url):
    with Picture.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGBA"))


def snapshot(folder):
    """Every file of the run, by its place."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    kept = {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}
    return {name: text for name, text in kept.items() if not name.startswith("review")}


def square(i):
    """The box of the square in photo i: first and last pixel."""
    return [6 + 5 * i, 8 + 3 * i, 31 + 5 * i, 31 + 3 * i]


def test_the_most_doubtful_come_first(desk):
    told = desk.start({})
    values = [item["quality"] for item in told["items"]]
    assert len(values) == 12
    assert values == sorted(values)
    assert told["judged"] is False
    assert told["run"] == "labels"
    assert told["decided"] == []


def test_a_photo_and_its_mask_are_shown(desk):
    told = desk.picture({"image": "p03"})
    assert (told["width"], told["height"]) == (96, 72)
    assert told["prompts"][0]["points"] == [[47.5, 35.5]]
    assert picture(told["url"]).shape[:2] == (72, 96)
    mask = picture(told["masks"]["0"])[..., 3]
    kept = desk.run.values(desk.run.lines["p03"])["masks"].masks[0]
    assert np.array_equal(mask > 0, kept)
    assert set(np.unique(mask)) <= {0, 104, 255}


def test_a_box_is_answered_by_the_runs_own_segmenter(desk):
    box = square(2)
    told = desk.decode({"image": "p02", "prompt": {"points": [], "signs": [], "box": box}})
    mask = picture(told["candidates"][0]["url"])[..., 3] > 0
    truth = np.zeros((72, 96), bool)
    truth[box[1] : box[3] + 1, box[0] : box[2] + 1] = True
    assert (mask & truth).sum() / (mask | truth).sum() > 0.9
    scores = [c["score"] for c in told["candidates"]]
    assert scores == sorted(scores, reverse=True)
    assert told["note"] == ""


def test_decisions_are_lines_and_nothing_of_the_run_changes(desk, folder):
    before = snapshot(folder)
    desk.decide({"image": "p00", "mask": 0, "decision": "keep", "class": "sun"})
    desk.decide({"image": "p01", "mask": 0, "decision": "reject"})
    prompt = {"points": [[25, 20]], "signs": [True], "box": square(2)}
    kept = desk.decide({"image": "p02", "mask": 0, "decision": "corrected", "prompt": prompt})
    assert kept["keys"] == [["p02", 0]]
    assert snapshot(folder) == before
    first, second, third = lines(folder)
    assert list(first) == ["image", "mask", "decision", "class", "when", "pixels"]
    assert (first["image"], first["mask"], first["decision"], first["class"]) == (
        *("p00", 0, "keep", "sun"),
    )
    assert (second["decision"], "class" in second) == ("reject", False)
    assert third["prompt"] == prompt
    assert third["file"].startswith("review/masks/p02.0.")
    mask = np.asarray(Picture.open(folder / third["file"]))
    shown = picture(desk.picture({"image": "p02"})["masks"]["0"])[..., 3]
    assert np.array_equal(mask > 0, shown > 0)
    assert {*np.unique(mask)} == {0, 255}


def test_undo_brings_back_what_was_decided_before(desk, folder):
    first = desk.decide({"image": "p00", "mask": 0, "decision": "keep"})
    second = desk.decide({"image": "p00", "mask": 0, "decision": "reject"})
    assert desk.undo({"token": second["token"]})["decided"][0]["decision"] == "keep"
    assert desk.undo({"token": first["token"]})["open"] == [["p00", 0]]
    assert [d["decision"] for d in lines(folder)] == ["keep", "reject", "keep", "undone"]
    assert "nothing to undo" in desk.undo({"token": first["token"]})["error"]
    assert desk.start({})["decided"] == []


def test_all_above_a_quality_are_accepted_at_once_and_undone_at_once(desk):
    values = {(i.image, i.mask): i.quality for i in desk.items}
    least = sorted(values.values())[6]
    desk.decide({"image": desk.items[-1].image, "mask": 0, "decision": "reject"})
    done = desk.accept({"least": least})
    assert {tuple(key) for key in done["keys"]} == {
        key for key, v in values.items() if v >= least and key[0] != desk.items[-1].image
    }
    assert len(desk.undo({"token": done["token"]})["open"]) == len(done["keys"])
    assert "keys" not in desk.accept({"least": 1.5})


def test_an_object_that_was_missed_is_added(desk, folder):
    for _ in range(2):
        prompt = {"points": [[20, 20]], "signs": [True], "box": None}
        asked = {"image": "p02", "mask": "new", "decision": "corrected", "prompt": prompt}
        assert "error" not in desk.decide(asked | {"class": "moon"})
    assert [d["mask"] for d in lines(folder)] == [1, 2]
    assert {*desk.picture({"image": "p02"})["masks"]} == {"0", "1", "2"}
    desk.decide({"image": "p02", "mask": 1, "decision": "reject"})
    decided = {(d["mask"], d["decision"]) for d in desk.start({})["decided"]}
    assert decided == {(1, "reject"), (2, "corrected")}


def test_other_recipes_of_a_sweep_offer_their_masks(folder, tmp_path):
    for name in ("a", "b", "c"):
        shutil.copytree(folder, tmp_path / "sweep/recipes" / name)
    (tmp_path / "sweep/recipes/c/summary.json").unlink()
    here = tmp_path / "sweep/recipes/a"
    desk = Desk(here, Catalog(third_party=False))
    (told,) = desk.alternatives({"image": "p04", "mask": 0})["alternatives"]
    assert (told["recipe"], told["place"]) == ("b", 0)
    about = {"image": "p04", "mask": 0, "decision": "corrected", "recipe": "b", "place": 0}
    assert "error" not in desk.decide(about)
    (decision,) = lines(here)
    assert decision["prompt"]["points"] == [[47.5, 35.5]]
    mask = np.asarray(Picture.open(here / decision["file"])) > 0
    assert np.array_equal(mask, desk.run.values(desk.run.lines["p04"])["masks"].masks[0])
    assert "error" in desk.decide(about | {"recipe": "c"})


def test_two_windows_on_one_folder_lose_nothing(desk, folder):
    other = Desk(folder, Catalog(third_party=False))
    names = [item.image for item in desk.items]

    def decide(window, part):
        for name in part:
            window.decide({"image": name, "mask": 0, "decision": "keep"})

    threads = [
        threading.Thread(target=decide, args=(window, part))
        for window, part in ((desk, names[:6]), (other, names[6:]))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(d["image"] for d in lines(folder)) == sorted(names)
    for window in (desk, other):
        assert len(window.start({})["decided"]) == 12
    since = len(other.journal.decisions)
    desk.decide({"image": names[0], "mask": 0, "decision": "reject"})
    (news,) = other.news({"since": since})["decided"]
    assert (news["image"], news["decision"]) == (names[0], "reject")


def test_a_line_that_was_cut_off_is_no_decision_and_spoils_none(desk, folder):
    desk.decide({"image": "p00", "mask": 0, "decision": "keep"})
    with (folder / "review.jsonl").open("a") as file:
        file.write('{"image": "p01", "mask": 0, "deci')
    again = Desk(folder, Catalog(third_party=False))
    again.decide({"image": "p02", "mask": 0, "decision": "keep"})
    told = Desk(folder, Catalog(third_party=False)).start({})["decided"]
    assert [d["image"] for d in told] == ["p00", "p02"]


def test_decisions_about_an_earlier_runs_masks_do_not_count(desk, folder):
    desk.decide({"image": "p00", "mask": 0, "decision": "keep"})
    path = folder / "results.jsonl"
    rows = [json.loads(text) for text in path.read_text().splitlines()]
    for row in rows:
        row["masks"][0]["pixels"] += 1
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert Desk(folder, Catalog(third_party=False)).start({})["decided"] == []


# ---- what goes wrong ----------------------------------------------------------------------------


def test_photos_that_are_gone_are_a_sentence_and_the_rest_goes_on(desk, folder, monkeypatch):
    rows = (folder / "results.jsonl").read_text().replace("p05.png", "gone.png")
    (folder / "results.jsonl").write_text(rows)
    again = Desk(folder, Catalog(third_party=False))
    monkeypatch.setattr(type(again.run), "_dataset", (None, {}))
    assert "the image p05 is gone from" in again.picture({"image": "p05"})["error"]
    assert "put it back" in again.decode({"image": "p05", "prompt": {"box": square(5)}})["error"]
    assert "error" not in again.picture({"image": "p06"})
    assert "error" not in again.decide({"image": "p05", "mask": 0, "decision": "reject"})


@pytest.mark.parametrize(
    ("name", "asked", "sentence"),
    [
        ("picture", {"image": "none"}, "the run has no finished image 'none'"),
        ("picture", {}, "the page asked for what there is not"),
        ("decode", {"image": "p00", "prompt": {"points": [[900, 3]], "signs": [True]}}, "outside"),
        ("decode", {"image": "p00", "prompt": {}}, "nothing is asked; click on the object"),
        ("decide", {"image": "p00", "mask": 0, "decision": "maybe"}, "'maybe' is no decision"),
    ],
)
def test_questions_that_make_no_sense(desk, folder, name, asked, sentence):
    assert sentence in getattr(desk, name)(asked)["error"]
    assert (folder / "review.jsonl").read_text() == ""


def test_a_segmenter_that_raises_is_a_sentence(desk, monkeypatch):
    desk.corrector.open()
    segmenter = type(desk.corrector._segmenter)

    def fail(self, inputs):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(segmenter, "batch", fail)
    told = desk.decode({"image": "p00", "prompt": {"box": square(0)}})
    assert (
        told["error"]
        == f"segmenter 'sam' from segkit {version('segkit')} raised RuntimeError: out of luck"
    )
    assert "error" not in desk.picture({"image": "p00"})


def test_a_disk_that_refuses_is_a_sentence_and_nothing_is_decided(desk, folder, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("segkit.running.review.os.fsync", full)
        told = desk.decide({"image": "p00", "mask": 0, "decision": "keep"})
    assert "was not kept" in told["error"]
    assert "No space left on device" in told["error"]
    assert desk.start({})["decided"] == []


def test_folders_that_cannot_be_reviewed(folder, tmp_path):
    def sentence(path, **more):
        with pytest.raises(UsageError) as info:
            Desk(path, Catalog(third_party=False), **more)
        return str(info.value)

    assert sentence(tmp_path / "none").endswith("name the folder that segkit run has written")
    assert "--image p0: the run has finished no image" in sentence(folder, first="p0")
    (folder / "review.jsonl").mkdir()
    assert "decisions could not be kept, for" in sentence(folder)
    (folder / "summary.json").unlink()
    assert "has not finished" in sentence(folder)


def test_a_run_without_clicks_is_corrected_by_the_default_segmenter(folder):
    text = (folder / "recipe.toml").read_text()
    head, _, tail = text.partition("[[segmenter]]")
    rest = tail[tail.index("[[") :]
    (folder / "recipe.toml").write_text(f'{head}[[segmenter]]\nname = "threshold"\n\n{rest}')
    desk = Desk(folder, Catalog(third_party=False))
    told = desk.decode({"image": "p02", "prompt": {"box": square(2)}})
    assert told["note"] == "--segmenter threshold takes no clicks; sam answers them"
    desk.corrector.close()
