"""What a paper takes from a folder: charts in three formats, tables in three, BibTeX."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys

import pytest
from report_toys import line, write_run
from sweep_toys import BOARD, DIAGNOSIS, estimate, write_sweep

from segkit import UsageError
from segkit.comparing.sheets import csv_text
from segkit.errors import MissingExtraError
from segkit.reporting.paper import write_figures, write_tables

MAGIC = {".svg": b"<?xml", ".pdf": b"%PDF", ".png": b"\x89PNG"}

SEEDED = json.loads(json.dumps(BOARD)) | {"seeds": [0, 1, 2]}
for _row, _figures in zip(SEEDED["rows"], ((0.78, 0.8, 0.82), (0.7, 0.7, 0.7)), strict=True):
    _by_seed = dict(zip("012", _figures, strict=True))
    _row["seeds"] = {
        "iou": {"deviation": 0.02 if _row["recipe"] == "grid" else 0, "figures": _by_seed}
    }
SEEDED["pairs"] = [{**BOARD["pairs"][0], "p": 0.0005, "seeds": {"0": 0.08, "1": 0.1, "2": -0.12}}]


def figures(folder, **how):
    return {path.name: path.read_bytes() for path in write_figures(folder, **how)}


def table(folder, name, **how):
    write_tables(folder, **how)
    return (folder / "tables" / name).read_text(encoding="utf-8")


# ---- figures -----------------------------------------------------------------------------------


def test_every_chart_of_the_page_comes_in_three_formats(tmp_path):
    made = figures(write_sweep(tmp_path, board=SEEDED, diagnosis=DIAGNOSIS))
    assert {name.rpartition(".")[0] for name in made} == {"leaderboard", "losses", "distribution"}
    for name, content in made.items():
        assert content.startswith(MAGIC[name[-4:]]), name
        assert len(content) > 1000


def test_texts_stay_texts(tmp_path):
    made = figures(write_sweep(tmp_path, board=SEEDED, diagnosis=DIAGNOSIS))
    board = made["leaderboard.svg"].decode()
    assert {">grid<", ">topk<"} <= {*re.findall(r">[^<>\n]+<", board)}
    assert "iou, 95 % interval over images; rings: seeds 0, 1, 2" in board
    assert "prompt: saliency" in made["losses.svg"].decode()
    assert b"/Type3" not in made["leaderboard.pdf"]  # fonts as TrueType, as journals ask


def test_the_same_folder_gives_the_same_files(tmp_path):
    folder = write_sweep(tmp_path, board=SEEDED, diagnosis=DIAGNOSIS)
    assert figures(folder) == figures(folder)


def test_a_ring_for_each_seed(tmp_path):
    plain = figures(write_sweep(tmp_path / "a"))["leaderboard.svg"].decode()
    rings = figures(write_sweep(tmp_path / "b", board=SEEDED))["leaderboard.svg"].decode()

    def marks(svg):
        return len(re.findall(r"<use ", svg)) - len(re.findall(r"<g id=.xtick_", svg))

    assert marks(rings) - marks(plain) == 6


def test_options_tried_at_three_values_have_a_curve(tmp_path):
    board = {
        "metric": "iou",
        "rows": [
            {"recipe": f"k={k}", "options": {"topk.k": str(k)}, "scores": {"iou": estimate(k / 9)}}
            for k in (1, 2, 4)
        ],
    }
    made = figures(write_sweep(tmp_path, board=board))
    assert "topk.k" in made["curve-topk.k.svg"].decode()


def test_a_name_is_no_formula_and_no_path(tmp_path):
    board = json.loads(json.dumps(BOARD).replace("grid", "a$b$/c"))
    board["rows"][0]["options"] = {}
    made = figures(write_sweep(tmp_path, board=board))
    assert "a$b$/c" in made["leaderboard.svg"].decode()
    assert all("/" not in name for name in made)


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError) as error:
        write_figures(write_sweep(tmp_path))
    assert str(error.value) == (
        "segkit report --figures needs matplotlib, which is not installed; run: pip install "
        "'segkit[figures]'"
    )


# ---- tables ------------------------------------------------------------------------------------


def test_a_leaderboard_in_latex(tmp_path):
    text = table(
        write_sweep(tmp_path, board=SEEDED), "leaderboard.tex", columns=["iou", "distance"]
    )
    rows = [row.strip() for row in text.splitlines() if row.endswith(r"\\")]
    assert rows == [
        r"recipe & iou $\uparrow$ & 95\,\% interval & distance (px) $\downarrow$ \\",
        r"grid & \textbf{0.800 $\pm$ 0.020} & 0.790 to 0.810 & \textbf{12.5} \\",
        r"topk & 0.700 $\pm$ 0.000 & 0.690 to 0.710 & -- \\",
    ]
    assert r"standard deviation over the seeds 0, 1, 2" in text
    assert r"shapes $\rightarrow$ gradcam $\rightarrow$ \dots{} $\rightarrow$ sam" in text


def test_what_cannot_be_told_from_the_best_has_a_mark(tmp_path):
    board = json.loads(json.dumps(BOARD))
    board["pairs"][0]["distinguishable"] = False
    folder = write_sweep(tmp_path, board=board)
    assert "topk $\\dagger$ &" in table(folder, "leaderboard.tex")
    assert "| topk † |" in table(folder, "leaderboard.md")
    assert "†: not distinguishable from the first by iou." in table(folder, "leaderboard.md")


def test_a_leaderboard_in_markdown(tmp_path):
    folder = write_sweep(tmp_path, board=SEEDED)
    assert table(folder, "leaderboard.md").splitlines()[-4:] == [
        "| recipe | iou ↑ | 95 % interval | distance (px) ↓ |",
        "| --- | --: | --: | --: |",
        "| grid | **0.800 ± 0.020** | 0.790 to 0.810 | **12.5** |",
        "| topk | 0.700 ± 0.000 | 0.690 to 0.710 | – |",
    ]


def test_pairs(tmp_path):
    folder = write_sweep(tmp_path, board=SEEDED)
    assert table(folder, "pairs.md").splitlines()[-1] == (
        "| grid | topk | 0.100 | 0.080 to 0.120 | \\< 0.001 | 2 of 3 | **yes** |"
    )
    (row,) = csv.DictReader(io.StringIO(table(folder, "pairs.csv")))
    assert row["p"] == "0.0005"
    assert [row[f"difference_seed_{n}"] for n in range(3)] == ["0.08", "0.1", "-0.12"]


def test_every_image_of_every_recipe_has_a_row(tmp_path):
    folder = write_sweep(tmp_path, board=SEEDED)
    write_run(folder / "seeds/1/recipes/grid", [line("i0", scores={"iou": 0.25})])
    write_run(folder / "seeds/7/recipes/grid", [line("i0", scores={"iou": 0.5})])  # no part of it
    torn = line("i9", status="failed", error="torn, by 'x'")
    write_run(folder / "recipes/topk", [torn])
    rows = list(csv.DictReader(io.StringIO(table(folder, "images.csv"))))
    assert [(r["seed"], r["recipe"], r["image"], r["iou"]) for r in rows] == [
        ("0", "grid", "i0", "1.0"),
        ("0", "grid", "i1", "0.5"),
        ("0", "grid", "i2", "0.0"),
        ("0", "topk", "i9", ""),
        ("1", "grid", "i0", "0.25"),
    ]
    assert rows[3]["error"] == "torn, by 'x'"


def test_a_run_has_its_scores(tmp_path):
    summary = {"scores": {"iou": 0.5, "distance": 3.25}, "images": 3, "failed": 1}
    write_run(tmp_path, [line("a", scores={"iou": 0.5})], summary=summary)
    assert "iou $\\uparrow$ & 0.500" in table(tmp_path, "scores.tex")
    assert "on 2 images." in table(tmp_path, "scores.md")
    assert table(tmp_path, "scores.csv") == "figure,value\niou,0.5\ndistance,3.25\n"


def test_a_figure_that_nobody_has_is_refused(tmp_path):
    with pytest.raises(UsageError) as error:
        write_tables(write_sweep(tmp_path), columns=["distanse"])
    assert str(error.value) == (
        "--columns distanse: the folder has no such figure; did you mean 'distance'?"
    )


def test_what_latex_takes_for_commands_is_written_out(tmp_path):
    board = json.loads(json.dumps(BOARD).replace("grid", r"a_b&c%d#{e}\\f~^$"))
    text = table(write_sweep(tmp_path, board=board), "leaderboard.tex")
    written = r"a\_b\&c\%d\#\{e\}\textbackslash{}f\textasciitilde{}\textasciicircum{}\$"
    assert f"{written} &" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex is installed")
def test_latex_takes_the_tables_and_figures(tmp_path):
    board = json.loads(json.dumps(SEEDED).replace("grid", r"a_b&c%d#{e}\\f~^$ <|> −"))
    folder = write_sweep(tmp_path / "s", board=board, diagnosis=DIAGNOSIS)
    write_tables(folder)
    write_figures(folder)
    paper = [
        r"\documentclass{article}\usepackage{booktabs}\usepackage{graphicx}\begin{document}",
        *(rf"\input{{s/tables/{name}}}" for name in ("leaderboard", "pairs")),
        *(rf"\includegraphics{{s/figures/{name}.pdf}}" for name in ("leaderboard", "losses")),
        r"\nocite{*}\bibliographystyle{plain}\bibliography{s/tables/references}\end{document}",
    ]
    (tmp_path / "paper.tex").write_text("\n".join(paper))
    for command in (["pdflatex", "-halt-on-error", "paper"], ["bibtex", "paper"]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
    assert "Warning" not in (tmp_path / "paper.blg").read_text()


def test_what_a_spreadsheet_would_compute_is_shown():
    rows = [["=1+1", -0.5, None], ["@a", 2, "-"], ["a=b", 0.0, "it"]]
    assert csv_text(["recipe", "+x", "note"], rows) == (
        "recipe,'+x,note\n'=1+1,-0.5,\n'@a,2,'-\na=b,0.0,it\n"
    )
