"""`segkit sweep` and `segkit diagnose` from the command line."""

from __future__ import annotations

import json

import pytest

OWN = ("--dataset", "shapes", "--shapes.count", "3", "--shapes.size", "96")
FLAGS = (*OWN, "--gradcam.model", "shapes", "--write", "none")


def board(path):
    return json.loads((path / "leaderboard.json").read_text(encoding="utf-8"))


def test_lists_make_a_grid(segkit, tmp_path):
    done = segkit(
        *("sweep", *FLAGS, "--prompt", "maxmin,topk", "--transform", "none,idw"),
        *("--topk.k", "1,3", "-o", tmp_path / "s"),
    )
    assert done.code == 0, done.err
    rows = {row["recipe"]: row["options"] for row in board(tmp_path / "s")["rows"]}
    assert set(rows) == {
        "maxmin",
        "topk-k=1",
        "topk-k=3",
        *(f"idw-{name}" for name in ("maxmin", "topk-k=1", "topk-k=3")),
    }
    assert rows["idw-topk-k=3"]["topk.k"] == "3"
    assert "6 recipes on 3 images" in done.out
    assert "not distinguishable on 3 images" in done.out or "the same iou" in done.out
    assert (tmp_path / "s" / "report.html").exists()
    assert all(len(line) <= 80 for line in done.out.splitlines() if str(tmp_path) not in line)


def test_both_of_a_pair_of_flags_make_a_grid(segkit, tmp_path):
    done = segkit(
        *("sweep", *FLAGS, "--prompt", "maxmin", "--maxmin.background", "--maxmin.no-background"),
        *("--dry-run",),
    )
    assert done.out.splitlines() == [
        "background=on: shapes > gradcam > maxmin > sam > score > paint",
        "background=off: shapes > gradcam > maxmin > sam > score > paint",
    ]


def test_a_backslash_keeps_a_comma(segkit, tmp_path):
    names = tmp_path / "a,b.txt"
    names.write_text("\n".join(f"class{i}" for i in range(5)))
    escaped = str(names).replace(",", "\\,")
    done = segkit(
        *("sweep", *FLAGS, "--prompt", "topk,maxmin", "--gradcam.class-names", escaped),
        *("-o", tmp_path / "s", "--json"),
    )
    assert done.code == 0, done.err
    assert len(json.loads(done.out)["rows"]) == 2


def test_combinations_that_do_not_fit_are_named(segkit):
    done = segkit(
        "sweep", *FLAGS, "--prompt", "topk,center", "--transform", "none,idw", "--dry-run"
    )
    assert done.out.splitlines()[-1] == "left out: idw-center: the same as center"


def test_rounds_make_a_grid_where_they_matter(segkit):
    done = segkit(
        *("sweep", *FLAGS, "--prompt", "topk,topk+cascade", "--rounds", "1,2", "--dry-run"),
    )
    assert [line.split(": ")[0] for line in done.out.splitlines()] == [
        *("topk-rounds=1", "topk+cascade-rounds=1", "topk+cascade-rounds=2", "left out"),
    ]
    assert done.out.splitlines()[-1] == "left out: topk-rounds=2: the same as topk-rounds=1"
    done = segkit("sweep", *FLAGS, "--rounds", "0")
    assert done.err == "Error: --rounds should be whole numbers from 1, but has '0'\n"


def test_recipes_repeat_and_flags_win(segkit, tmp_path):
    for name, prompt in (("one", "topk"), ("two", "maxmin")):
        (tmp_path / f"{name}.toml").write_text(f'[[prompt]]\nname = "{prompt}"\n')
    recipes = ("--recipe", tmp_path / "one.toml", "--recipe", tmp_path / "two.toml")
    done = segkit("sweep", *FLAGS, *recipes, "--dry-run")
    assert [line.split(":")[0] for line in done.out.splitlines()] == ["one", "two"]
    done = segkit("sweep", *FLAGS, *recipes, "--prompt", "center", "--dry-run")
    assert done.out.splitlines()[0] == "one: shapes > center > sam > score > paint"
    done = segkit("sweep", *FLAGS, *recipes, "--save", tmp_path / "kept", "--dry-run")
    assert sorted(p.name for p in (tmp_path / "kept").iterdir()) == ["one.toml", "two.toml"]


def test_a_sweep_goes_on(segkit, tmp_path):
    flags = ("sweep", *FLAGS, "--prompt", "topk,maxmin", "-o", tmp_path / "s", "--quiet")
    assert segkit(*flags).code == 0
    path = tmp_path / "s/recipes/topk/results.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:1]))
    first = board(tmp_path / "s")
    again = segkit(*flags)
    assert again.code == 2
    assert "is not empty; add --resume" in again.err
    assert segkit(*flags, "--resume").code == 0
    found = board(tmp_path / "s")
    for one, other in zip(first["rows"], found["rows"], strict=True):
        assert one["scores"]["iou"]["mean"] == pytest.approx(other["scores"]["iou"]["mean"])


def test_without_truth_there_is_a_table_without_figures(segkit, tmp_path):
    done = segkit(
        *("sweep", "--samples.only", "cat", "--prompt", "topk,maxmin", "--write", "none"),
        *("-o", tmp_path / "s"),
    )
    assert done.code == 0, done.err
    assert "2 recipes on 1 image\n" in done.out
    assert board(tmp_path / "s")["pairs"] == []


def test_the_table_shows_the_figures_that_were_asked_for(segkit, tmp_path):
    flags = ("--dataset", "shapes", "--shapes.count", "1", "--gradcam.model", "shapes")
    done = segkit(
        *("sweep", *flags, "--prompt", "topk,maxmin", "--write", "none", "-o", tmp_path / "s"),
        *("--metric", "accuracy", "--metric", "miou"),
    )
    assert done.code == 0, done.err
    (head,) = [line for line in done.out.splitlines() if line.startswith("recipe ")]
    assert head.split() == ["recipe", "accuracy", "95", "%", "interval", "miou", "s/image"]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--prompt", "topk,"), "--prompt topk, has an empty place in its list; drop a comma"),
        (
            ("--sort", "beauty"),
            "--sort beauty: none of the metrics gives it; there is accuracy, boundary-iou, "
            "class-accuracy, class-dice, class-hit-rate, class-hit-rate-background, class-iou, "
            "dice, distance, distance-relative, hit-rate, hit-rate-background, instance-f1, "
            "instance-duplicates, iou, mean-class-dice, miou, pointing-game, voc-miou",
        ),
        (
            ("--prompt", "topk,toppk"),
            "--prompt toppk: no prompt plugin has that name; did you mean 'topk'?",
        ),
        (("--resume",), "--resume needs the folder to go on with; add -o DIR"),
        (("--overwrite",), "--overwrite needs the folder to replace; add -o DIR"),
        (
            ("--prompt", "topk", "--topk.k", "1,0"),
            "Invalid value for --topk.k: Input should be greater than 0, not '0'",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(segkit, flags, sentence):
    done = segkit("sweep", *FLAGS, *flags)
    assert (done.code, done.err) == (2, f"Error: {sentence}\n")


def test_two_data_sets_are_refused(segkit):
    done = segkit("sweep", "--dataset", "shapes,samples", "--dry-run")
    assert done.code == 2
    assert done.err == "Error: --dataset takes one data set; choose one\n"


def test_diagnose_says_where_the_iou_is_lost(segkit, tmp_path):
    done = segkit("diagnose", *FLAGS, "--prompt", "topk,centroid-grid", "-o", tmp_path / "d")
    assert done.code == 0, done.err
    assert "what stands between 1 and each recipe's IoU" in done.out
    assert "the worst images" in done.out
    found = json.loads((tmp_path / "d" / "diagnosis.json").read_text(encoding="utf-8"))
    assert len(found["rows"]) == 6
    assert all(len(line) <= 80 for line in done.out.splitlines() if str(tmp_path) not in line)


def test_diagnose_needs_truth(segkit):
    done = segkit("diagnose", "--samples.only", "cat", "--prompt", "topk")
    assert done.code == 2
    assert done.err == (
        "Error: a diagnosis needs truth, and the data set samples has none; choose one with "
        "truth, or name its masks\n"
    )


# ---- several seeds -----------------------------------------------------------------------------


def test_seeds_give_means_and_their_spread(segkit, tmp_path):
    done = segkit(
        *("sweep", *FLAGS, "--prompt", "random-clicks,topk", "--seeds", "0,1"),
        *("-o", tmp_path / "s"),
    )
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "2 recipes on 6 images"
    assert lines[1] == "figures are means over the seeds 0, 1; ±: standard deviation over them"
    assert lines[2] == "shapes > … > sam > score > paint"
    assert "± seeds" in lines[3]
    row = board(tmp_path / "s")["rows"][0]
    by_seed = list(row["seeds"]["iou"]["figures"].values())
    assert row["scores"]["iou"]["mean"] == pytest.approx(sum(by_seed) / 2)
    assert "iou_seeds_sd" in (tmp_path / "s" / "leaderboard.csv").read_text().partition("\n")[0]
    assert (tmp_path / "s" / "seeds" / "1" / "recipes" / "topk" / "summary.json").exists()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--seeds", "0"), "--seeds 0 is one seed; name two or more, or write --seed 0"),
        (("--seeds", "0,1,0"), "--seeds 0,1,0 has 0 twice; name each seed once"),
        (("--seeds", "0,x"), "--seeds should be whole numbers such as 0,1,2, but has 'x'"),
        (("--seeds", "0,-1"), "--seeds should be whole numbers such as 0,1,2, but has '-1'"),
        (
            ("--seeds", "0,1", "--seed", "3"),
            "--seed 3 and --seeds 0,1 are both given; leave out one of them",
        ),
    ],
)
def test_seeds_that_cannot_be(segkit, flags, sentence):
    done = segkit("sweep", *FLAGS, "--prompt", "topk", *flags)
    assert (done.code, done.err) == (2, f"Error: {sentence}\n")


def test_a_missing_figure_is_a_dash_in_the_table(segkit, tmp_path, capsys):
    from segkit.cli.tables import print_leaderboard
    from segkit.comparing.leaderboard import Leaderboard
    from segkit.comparing.records import Estimate, Row

    rows = (
        Row(recipe="a", words="s > a", scores={"iou": Estimate(mean=0.5, low=0.4, high=0.6)}),
        Row(recipe="b", words="s > b", scores={"iou": Estimate()}),
        Row(recipe="c", words="s > c"),
    )
    shown = Leaderboard("iou", True, 3, rows, ())
    print_leaderboard(shown, tmp_path, None)
    table = capsys.readouterr().out.splitlines()
    assert table[1] == "s > …"
    assert [line.split() for line in table[3:6]] == [
        ["a", "0.500", "0.400", "to", "0.600", "0.00"],
        ["b", "–", "–", "0.00"],
        ["c", "–", "–", "0.00"],
    ]
    assert shown._repr_html_().count("<td>–</td>") == 2
    assert "nan" not in shown.to_csv()
