"""`segkit robustness` from the command line, and its page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

OWN = ("--dataset", "shapes", "--shapes.count", "2", "--shapes.size", "64", "--shapes.seed", "5000")
FLAGS = (*OWN, "--gradcam.model", "shapes")

PAGE = Path(__file__).parents[2] / "docs/how-to/robustness.md"

REFUSES = '''
"""Damage that cannot be done."""
from segkit import Image, Perturbation, hookimpl

class Refuses(Perturbation):
    """Never works."""

    name = "refuses"

    def __call__(self, image: Image, level: float) -> Image:
        if image.name.endswith("1"):
            raise ValueError("not this one")
        return image

@hookimpl
def segkit_perturbations():
    return [Refuses]
'''


def held(folder):
    return json.loads((folder / "robustness.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def examined(tmp_path_factory):
    """Two recipes under three kinds of damage."""
    from segkit.cli.main import main

    folder = tmp_path_factory.mktemp("examined") / "out"
    with pytest.raises(SystemExit) as stop:
        main(
            [
                *("robustness", *FLAGS, "--prompt", "distance-centers,box", "--levels", "2"),
                *("--perturb", "gaussian-noise,occlusion", "--perturb", "box-jitter"),
                *("--gaussian-noise.step", "20", "-o", str(folder), "--quiet"),
            ]
        )
    assert stop.value.code == 0
    return folder


def test_flags_choose_damage_and_its_strength(examined):
    found = held(examined)
    assert found["figure"] == "iou"
    assert found["levels"] == 2
    assert {p["name"]: p["options"] for p in found["perturbations"]} == {
        "gaussian-noise": {"step": 20.0},
        "occlusion": {"step": 0.1},
        "box-jitter": {"step": 4.0},
    }
    assert found["perturbations"][0]["summary"] == "Add Gaussian noise to every pixel."
    curves = {(c["recipe"], c["perturbation"]) for c in found["curves"]}
    assert curves == {
        *((r, p) for r in ("distance-centers", "box") for p in ("gaussian-noise", "occlusion")),
        ("box", "box-jitter"),
    }
    for curve in found["curves"]:
        assert [p["level"] for p in curve["points"]] == [0, 1, 2]
        assert all(0 <= p["figure"]["mean"] <= 1 for p in curve["points"])
        assert all(p["heatmap_drift"]["mean"] >= 0 for p in curve["points"])


def test_the_page_shows_curves_chain_and_examples(examined):
    page = (examined / "report.html").read_text(encoding="utf-8")
    assert "<h1>Robustness of 2 recipes</h1>" in page
    assert page.count('aria-label="iou under ') == 3
    assert page.count('aria-label="way over the limit under ') == 5
    for name in ("gaussian-noise", "occlusion", "box-jitter"):
        assert f"<b>{name}</b>" in page
    assert page.count('<img src="data:image/jpeg;base64,') == 2 * 2 * 3
    assert "none of its prompts has anything that box-jitter moves" in page
    assert 'src="http' not in page
    assert 'href="http' not in page
    assert len(list((examined / "examples").iterdir())) == 1 + 3 * 2
    assert (examined / "recipes/box/masks/shapes-00001.png").exists()


def test_the_page_is_made_again_and_damaged_files_are_named(segkit, examined, tmp_path):
    import shutil

    folder = shutil.copytree(examined, tmp_path / "copy")
    (folder / "examples/occlusion-2.jpg").write_bytes(b"no picture")
    assert segkit("report", folder).code == 0
    assert "Robustness of 2 recipes" in (folder / "report.html").read_text(encoding="utf-8")
    (folder / "robustness.json").write_text("{")
    assert segkit("report", folder).code == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "robustness.json is damaged and is left out." in page
    assert 'id="robustness"' not in page


def test_the_table_fits_and_says_what_harms_most(segkit, tmp_path):
    done = segkit(
        *("robustness", *FLAGS, "--levels", "1", "--write", "none", "-o", tmp_path / "o"),
        *("--prompt", "topk", "--perturb", "salt-and-pepper,point-jitter,box-jitter"),
    )
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "iou of 2 images under damage, from none to level 1"
    assert lines[1].split() == [
        *("damage", "none", "at", "1", "mean", "95", "%", "interval", "kept"),
        *("heat", "prompt", "mask"),
    ]
    assert {lines[2].split()[0], lines[3].split()[0]} == {"salt-and-pepper", "point-jitter"}
    assert "The recipe has iou " in done.out
    assert "left out: topk: none of its prompts has anything that box-jitter moves" in done.out
    assert all(len(line) <= 80 for line in lines if str(tmp_path) not in line)
    assert not (tmp_path / "o/examples").exists()


def test_the_first_metric_is_the_figure_and_json_is_the_file(segkit, tmp_path):
    done = segkit(
        *("robustness", *FLAGS, "--levels", "1", "--write", "none", "-o", tmp_path / "o"),
        *("--perturb", "haze", "--metric", "distance", "--metric", "iou", "--json"),
    )
    found = json.loads(done.out)
    assert found == held(tmp_path / "o")
    assert found["figure"] == "distance"
    assert found["higher_is_better"] is False
    assert set(found["curves"][0]["points"][1]["scores"]) >= {"distance", "iou"}


def test_a_photograph_without_truth(segkit, photo, tmp_path):
    flags = ("--segmenter", "threshold", "--levels", "1", "--perturb", "jpeg", "-o", "o")
    done = segkit("robustness", photo, *flags)
    assert done.code == 0, done.err
    assert done.out.startswith("agreement of 1 image under damage")
    point = held(tmp_path / "o")["curves"][0]["points"][1]
    assert point["true_iou"] is None
    assert point["figure"]["mean"] == pytest.approx(1 - point["mask_lost"]["mean"], abs=1e-6)


def test_a_damaged_image_that_fails_is_named_and_the_rest_is_done(segkit, tmp_path):
    (tmp_path / "refuses.py").write_text(REFUSES)
    done = segkit(
        *("robustness", *FLAGS, "--levels", "1", "--segmenter", "threshold", "-o", "o"),
        *("--plugin", "refuses.py", "--perturb", "refuses,jpeg", "--write", "none", "--quiet"),
    )
    assert done.code == 1
    assert done.err == (
        "failed: shapes-00001 under refuses, level 1 (recipe): perturbation 'refuses' from "
        "refuses.py raised ValueError: not this one (refuses.py, line 12)\n"
    )
    images = {c["perturbation"]: c["images"] for c in held(tmp_path / "o")["curves"]}
    assert images == {"refuses": 1, "jpeg": 2}


def test_going_on_and_starting_again(segkit, tmp_path):
    flags = (*FLAGS, "--segmenter", "threshold", "--perturb", "jpeg", "--write", "none", "--quiet")
    run = ("robustness", *flags, "-o", "o", "--levels")
    assert segkit(*run, "1").code == 0
    before = held(tmp_path / "o")
    refused = segkit(*run, "1")
    assert refused.code == 2
    assert "is not empty; add --resume" in refused.err
    assert segkit(*run, "1", "--resume").code == 0
    assert held(tmp_path / "o") == before
    other = segkit(*run, "2", "--resume")
    assert other.code == 2
    assert "was run with other perturbations or levels" in other.err
    assert segkit(*run, "2", "--overwrite").code == 0
    assert held(tmp_path / "o")["levels"] == 2


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--perturb", "gausian-noise"), "did you mean 'gaussian-noise'?"),
        (("--perturb", "topk"), "'topk' is a prompt, not a perturbation; use --prompt topk"),
        (("--perturb", "jpeg", "--jpeg.step", "-1"), "Invalid value for --jpeg.step: Input should"),
        (("--perturb", "jpeg", "--jpeg.steps", "1"), "did you mean --jpeg.step?"),
        (("--perturb", "jpeg", "--haze.near", "1"), "which is not chosen; add --perturb haze"),
        (("--levels", "0"), "0 is not in the range 1<=x<=50"),
        (
            ("--perturb", "box-jitter", "--segmenter", "threshold"),
            "box-jitter damages prompts, and no recipe has any",
        ),
        (("--perturb", "jpeg", "--sort", "iuo"), "--sort iuo: none of the metrics gives it"),
    ],
)
def test_wrong_use_is_one_sentence(segkit, flags, sentence):
    done = segkit("robustness", *OWN, "--gradcam.model", "shapes", *flags)
    assert done.code == 2
    assert sentence in done.err
    assert "Traceback" not in done.err


def test_all_are_the_bundled_ones(segkit):
    done = segkit("robustness", "--perturb", "all", "--help")
    for flag in ("--haze.density", "--box-jitter.step", "--motion-blur.angle", "--jpeg.step"):
        assert flag in done.out
    usual = segkit("robustness", "--help")
    assert "--occlusion.step" in usual.out
    assert "haze (perturb):" in done.out
    assert "haze (perturb):" not in usual.out


def test_the_how_tos_own_damage_works(segkit, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "fade.py").write_text(code)
    done = segkit(
        *("robustness", *OWN, "--segmenter", "threshold", "--gradcam.model", "shapes"),
        *(
            "--plugin",
            "fade.py",
            "--perturb",
            "fade",
            "--levels",
            "2",
            "-o",
            "o",
            "--write",
            "none",
        ),
    )
    assert done.code == 0, done.err
    (curve,) = held(tmp_path / "o")["curves"]
    assert curve["perturbation"] == "fade"


def test_the_how_to_names_every_kind_of_damage_and_flags_that_exist():
    from segkit import Catalog

    catalog = Catalog(third_party=False)
    text = PAGE.read_text(encoding="utf-8")
    flags = set(re.findall(r"--[a-z-]+\.[a-z-]+", text)) - {"--gradcam.model", "--pets.root"}
    known = set()
    for entry in catalog.entries("perturbation"):
        assert f"| `{entry.name}` |" in text
        known |= {f"--{entry.name}.{f}" for f in catalog.load_entry(entry).model_fields}
    assert flags <= known
