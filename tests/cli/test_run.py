"""`segkit run` from end to end, with the real parts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.shell_completion import ShellComplete
from PIL import Image as Picture
from reading import labels, results, summary

from segkit import SegkitWarning
from segkit.cli.main import make_group

LIGHT = ("--gradcam.model", "shapes", "--segmenter", "threshold")
"""Real parts that take no time: the small classifier, and its heatmap as the mask."""


def test_one_photo_needs_nothing_but_its_name(segkit, photo, tmp_path):
    done = segkit("run", photo)
    assert done.code == 0, done.err
    (folder,) = (tmp_path / "segkit-out").iterdir()
    assert {p.name for p in folder.iterdir()} >= {
        *("recipe.toml", "results.jsonl", "summary.json", "masks", "overlay", "report.html")
    }
    assert labels(folder / "masks/photo.png").shape == (128, 128)
    chain = "files > gradcam > objectness-prior > components > sam > score > paint"
    assert f"1 image · {chain}" in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines() if str(folder) not in line)
    assert done.err.startswith("1/1 images (100 %), ")  # a plain line in a pipe


def test_truth_brings_all_figures(segkit, tmp_path):
    done = segkit("run", "--dataset", "shapes", "--shapes.count", 3, *LIGHT, "-o", "out", "--json")
    assert done.code == 0, done.err
    printed = json.loads(done.out)
    assert printed == summary(tmp_path / "out")
    assert set(printed["scores"]) >= {*("iou", "dice", "accuracy", "miou", "pointing-game")}
    assert printed["plan"]["dataset"][0]["count"] == 3


def test_a_test_set_without_background_is_told_once(segkit, tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    for name in "ab":
        pixels = rng.integers(0, 255, (32, 32, 3)).astype(np.uint8)
        Picture.fromarray(pixels).save(tmp_path / f"photos/{name}.png")
        mask = np.repeat(np.array([[1] * 16 + [2] * 16], np.uint8), 32, axis=0)
        Picture.fromarray(mask).save(tmp_path / f"masks/{name}.png")
    data = ("--dataset", "folder", "--folder.images", "photos", "--folder.masks", "masks")
    with pytest.warns(SegkitWarning) as told:  # the command line prints it
        done = segkit("run", *data, *LIGHT, "--write", "none", "-o", "out")
    assert done.code == 0, done.err
    assert [str(warning.message) for warning in told] == [
        "no pixel of the data set's truth is background (class id 0), so every point on it hits "
        "and background is no class of the means; check the ids of its masks"
    ]
    assert summary(tmp_path / "out")["images"] == 2


def test_quiet_prints_nothing(segkit):
    done = segkit("run", "--dataset", "shapes", "--shapes.count", 1, *LIGHT, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_dry_run_prints_a_recipe_that_runs(segkit, tmp_path):
    flags = ("--dataset", "shapes", "--shapes.count", 2, *LIGHT, "--prompt", "none")
    done = segkit("run", *flags, "--seed", 4, "--dry-run")
    assert done.code == 0, done.err
    assert not (tmp_path / "segkit-out").exists()
    (tmp_path / "r.toml").write_text(done.out)
    assert segkit("run", "--recipe", "r.toml", "-o", "a").code == 0
    assert segkit("run", *flags, "--seed", 4, "-o", "b", "--save", "s.toml").code == 0
    assert (tmp_path / "s.toml").read_text() == done.out
    assert summary(tmp_path / "a")["scores"] == summary(tmp_path / "b")["scores"]
    assert segkit("run", "--recipe", "r.toml", "--shapes.count", 1, "-o", "c").code == 0
    assert summary(tmp_path / "c")["images"] == 1


def test_long_option_names_and_merged_prompters_work(segkit, tmp_path):
    done = segkit(
        *("run", "--dataset", "shapes", "--dataset.shapes.count", 1, "--gradcam.model", "shapes"),
        *("--prompt", "topk+maxmin", "--prompt.topk.k", 2, "--maxmin.background", "-o", "out"),
    )
    assert done.code == 0, done.err
    (line,) = results(tmp_path / "out")
    (prompt,) = line["prompts"]
    assert sorted(prompt["signs"]) == [False, True, True, True]


def test_help_shows_the_options_of_what_is_chosen(segkit):
    done = segkit("run", "--prompt", "centroid-grid", "--help")
    assert done.code == 0
    assert "--centroid-grid.offset" in done.out
    assert "--topk.k" not in done.out
    assert "--gradcam.target" in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["runn"], "segkit has no command 'runn'; did you mean 'run'?"),
        (["run", "--prompt", "tokp"], "no prompt plugin has that name; did you mean 'topk'?"),
        (["run", "--saliency", "topk"], "'topk' is a prompt, not a saliency; use --prompt topk"),
        (
            ["run", "--prompt", "topk", "--topk.k", "0"],
            "Invalid value for --topk.k: Input should be greater than 0",
        ),
        (
            ["run", "--prompt", "topk", "--topk.k", "two"],
            "Invalid value for --topk.k: Input should be a valid integer",
        ),
        (
            ["run", "--prompt", "topk", "--topk.kk", "1"],
            "--topk.kk: topk has no option 'kk'; did you mean --topk.k?",
        ),
        (
            ["run", "--prompt", "topk", "--maxmin.background"],
            "--maxmin.background is an option of the prompt plugin 'maxmin', which is not chosen; "
            "add --prompt maxmin",
        ),
        (
            ["run", "--prompt", "topk", "--tokp.k", "1"],
            "--tokp.k: no plugin is named 'tokp'; did you mean --topk.k?",
        ),
        (["run", "--sede", "1"], "there is no option --sede; did you mean --seed"),
        (
            ["run", "--saliency", "none", "--prompt", "topk"],
            "topk needs 'heatmap', and nothing before it makes one; add --saliency",
        ),
        (["run", "nothing-here.jpg"], "nothing-here.jpg"),
        (["run", "--device", "tpu"], "--device should be auto, cpu, cuda or mps, but is 'tpu'"),
        (["run", "--recipe", "no.toml"], "--recipe no.toml could not be read"),
        (["run", "--resume", "--overwrite"], "choose one of them"),
        (["run", "--prompt", "none", "--prompt", "topk"], "--prompt none leaves nothing to add"),
        (["report", "no-such-folder"], "no-such-folder"),
        (["show", "prompt", "tokp"], "did you mean 'topk'?"),
    ],
    ids=lambda a: " ".join(a) if isinstance(a, list) else "",
)
def test_wrong_use_gets_one_sentence_and_code_two(segkit, arguments, sentence):
    done = segkit(*arguments)
    assert done.code == 2
    assert sentence in done.err
    assert "Traceback" not in done.err


def test_one_bad_photo_does_not_stop_the_others(segkit, photo, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(photo, folder / "good.jpg")
    (folder / "torn.jpg").write_bytes(photo.read_bytes()[:700])
    (folder / "text.png").write_text("not an image")
    Picture.new("L", (1, 1), 9).save(folder / "tiny.png")
    Picture.new("RGB", (40, 30)).save(folder / "black.png")
    done = segkit("run", folder, *LIGHT, "-o", "out")
    assert done.code == 1
    assert len([t for t in done.err.splitlines() if t.startswith("failed: ")]) == 2
    assert "5 images, 2 failed" in done.out
    by_name = {r["name"]: r for r in results(tmp_path / "out")}
    assert {n for n, r in by_name.items() if r["status"] == "failed"} == {"torn", "text"}
    assert all("Traceback" not in (r["error"] or "") for r in by_name.values())
    again = segkit("run", folder, *LIGHT, "-o", "out", "--resume")
    assert again.code == 1
    assert "good" not in again.err  # only the failed ones are tried again


def test_two_photos_of_one_name_are_both_kept(segkit, photo, tmp_path):
    other = tmp_path / "b"
    other.mkdir()
    shutil.copy(photo, other / "photo.jpg")
    assert segkit("run", photo, other / "photo.jpg", *LIGHT, "-o", "out").code == 0
    assert sorted(p.name for p in (tmp_path / "out/masks").iterdir()) == [
        *("photo-2.png", "photo.png")
    ]


def test_a_killed_run_goes_on_where_it_was(segkit, tmp_path):
    flags = ("--dataset", "shapes", "--shapes.count", "4", *LIGHT)
    assert segkit("run", *flags, "-o", "whole").code == 0
    assert segkit("run", *flags, "-o", "cut").code == 0
    path = tmp_path / "cut/results.jsonl"
    kept = path.read_text().splitlines(keepends=True)
    path.write_text(kept[0] + kept[1][:30])
    done = segkit("run", *flags, "-o", "cut", "--resume")
    assert done.code == 0
    assert done.err.splitlines()[0] == "kept 1 of 4 images"
    assert "2/4" in done.err
    assert "1/4" not in done.err
    assert summary(tmp_path / "cut")["scores"] == summary(tmp_path / "whole")["scores"]
    for name in ("shapes-00000", "shapes-00003"):
        one, other = (labels(tmp_path / f / f"masks/{name}.png") for f in ("cut", "whole"))
        assert np.array_equal(one, other)
    refused = segkit("run", *flags, "-o", "cut")
    assert refused.code == 2
    assert "is not empty; add --resume" in refused.err
    other = segkit("run", *flags, "--threshold.level", "0.7", "-o", "cut", "--resume")
    assert other.code == 2
    assert "threshold.level" in other.err


def test_a_plugin_in_a_single_file_takes_part(segkit, tmp_path):
    (tmp_path / "mine.py").write_text(
        '"""Click in the middle."""\n'
        "from segkit import Image, Prompt, Prompter, Prompts, hookimpl\n\n\n"
        "class Middle(Prompter):\n"
        '    """The middle of the image."""\n\n'
        '    name = "middle"\n\n'
        "    def __call__(self, image: Image) -> Prompts:\n"
        "        h, w = image.size\n"
        "        return Prompts((Prompt(points=[(w // 2, h // 2)]),))\n\n\n"
        "@hookimpl\n"
        "def segkit_prompters():\n"
        "    return [Middle]\n"
    )
    flags = ("--plugin", "mine.py", "--prompt", "middle", "--saliency", "none")
    done = segkit("run", "--dataset", "shapes", "--shapes.count", 1, *flags, "-o", "out")
    assert done.code == 0, done.err
    assert results(tmp_path / "out")[0]["prompts"][0]["points"] == [[128, 128]]
    assert "middle" in segkit("list-plugins", "--plugin", "mine.py").out
    assert segkit("run", "--plugin", "gone.py").err == (
        "Error: --plugin gone.py: there is no such file\n"
    )


def test_trace_prints_each_step(segkit):
    done = segkit("run", "--dataset", "shapes", "--shapes.count", 1, *LIGHT, "--trace")
    assert " s  saliency gradcam  shapes-00000\n           Heatmap: values (256, 256)" in done.err
    assert " s  segmenter threshold  shapes-00000\n" in done.err
    assert " s  writer masks  shapes-00000\n" in done.err


def test_a_pipe_gets_a_line_every_ten_per_cent(segkit):
    data = ("--dataset", "shapes", "--shapes.size", 32, "--write", "none")
    done = segkit("run", *data, "--shapes.count", 25, *LIGHT, "-o", "out")
    lines = [line for line in done.err.splitlines() if " images (" in line]
    assert [line.partition(" ")[0] for line in lines] == [
        *("3/25", "5/25", "8/25", "10/25", "13/25", "15/25", "18/25", "20/25", "23/25", "25/25")
    ]
    assert all(
        re.search(r"\(\d+ %\), \d+\.\d (img/s|s/img), \d+:\d\d:\d\d left$", one) for one in lines
    )
    kept = Path("out/results.jsonl")
    kept.write_text("".join(kept.read_text().splitlines(keepends=True)[:21]))
    done = segkit("run", *data, "--shapes.count", 25, *LIGHT, "-o", "out", "--resume")
    lines = [line for line in done.err.splitlines() if " images (" in line]
    assert [line.partition(" ")[0] for line in lines] == ["23/25", "25/25"]
    assert segkit("run", *data, "--shapes.count", 2, *LIGHT, "--quiet").err == ""


def test_the_shell_completes_plugin_names():
    script = "from segkit.cli.main import main; main()"
    environment = {
        "_SEGKIT_COMPLETE": "bash_complete",
        "COMP_WORDS": "segkit run --prompt topk+c",
        "COMP_CWORD": "3",
        "PATH": "/usr/bin:/bin",
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "topk+centroid-grid" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("run", "--prompt", "topk", "--topk.m"), ["--topk.min-distance"]),
        (("run", "--components.as"), ["--components.ask"]),  # a default's
        (("run", "--topk."), []),  # it is not chosen
        (("run", "--components.ask", "bo"), ["box", "both"]),
        (("sweep", "--components.ask", "box,p"), ["box,point"]),
        (("run", "--write", "voc", "--voc.images", ""), ["jpg", "none"]),
        (("run", "--prompt", "no-such-thing", "--spl"), ["--split"]),
        (("run", "--recipe", "no-such-file", "--prompt", "topk", "--spl"), ["--split"]),
        (("robustness", "--perturb", "haze", "--haze.d"), ["--haze.density"]),
        (("train", "unet", "--unet.wid"), ["--unet.width"]),
        (("train", "no-such-thing", "--dev"), ["--device"]),
    ],
)  # fmt: skip
def test_the_shell_completes_options_of_plugins_and_their_values(words, offered):
    shell = ShellComplete(make_group(), {}, "segkit", "_SEGKIT_COMPLETE")
    *before, begun = words
    assert [item.value for item in shell.get_completions(before, begun)] == offered


def test_masks_of_everything_need_neither_saliency_nor_prompts(segkit, photo, tmp_path):
    options = ["--sam-everything.points-per-side", "4", "--sam-everything.pred-iou-thresh", "0.3"]
    options += ["--sam-everything.stability-score-thresh", "0.3", "-o", tmp_path / "out"]
    done = segkit("run", photo, "--segmenter", "sam-everything", *options)
    assert done.code == 0, done.err
    assert results(tmp_path / "out")[0]["status"] == "ok"
    assert "gradcam" not in (tmp_path / "out/recipe.toml").read_text()


def test_two_plugins_of_one_name_share_the_short_form_of_what_one_of_them_has(segkit, tmp_path):
    done = segkit("run", "--dataset", "voc", "--write", "voc", "--voc.root", tmp_path / "no")
    assert done.code == 2
    assert "could mean more than one step" not in done.err
    assert str(tmp_path / "no") in done.err.replace("\n", "")


def test_split_divides_every_format_that_can(segkit, tmp_path):
    data = ("--dataset", "shapes", "--shapes.size", 32, "--shapes.count", 10)
    writers = ("--write", "yolo", "--write", "voc", "--write", "labelme")
    done = segkit("run", *data, *LIGHT, *writers, "--split", 0.7, "-o", "out")
    assert done.code == 0, done.err
    sides = {}
    for side in ("train", "val"):
        listed = f"voc/VOCdevkit/VOC2012/ImageSets/Segmentation/{side}.txt"
        sides[side] = (tmp_path / "out" / listed).read_text().split()
        photos = (tmp_path / f"out/yolo/{side}.txt").read_text().split()
        assert photos == [f"./images/{name}.jpg" for name in sides[side]]
    assert (len(sides["train"]), len(sides["val"])) == (7, 3)
    tables = {w["name"]: w for w in summary(tmp_path / "out")["plan"]["writer"]}
    assert tables["yolo"]["train_share"] == tables["voc"]["train_share"] == 0.7
    assert not {"train_share", "split"} & tables["labelme"].keys()
    # What is said of one format alone wins, and so does the command line over a recipe.
    again = ("--recipe", "out/recipe.toml", "--split", 0.5, "--yolo.train-share", 0.9)
    done = segkit("run", *again, "--dry-run")
    assert re.findall(r"train_share = (\S+)", done.out) == ["0.9", "0.5"]


@pytest.mark.parametrize("writers", [(), ("--write", "labelme"), ("--write", "none")])
def test_split_without_a_format_that_can_is_refused(segkit, writers):
    done = segkit("run", "--split", 0.8, *writers)
    assert done.code == 2
    assert done.err == (
        "Error: --split 0.8 divides annotations into train and val, but no format that keeps them "
        "apart is written; add --write with one of coco, voc, yolo\n"
    )


@pytest.mark.parametrize("share", ["0", "1", "80", "most"])
def test_split_is_a_share(segkit, share):
    done = segkit("run", "--write", "yolo", "--split", share)
    assert done.code == 2
    assert "'--split'" in done.err
    assert "Traceback" not in done.err
