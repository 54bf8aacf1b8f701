"""`--shard I/N`: each image is done by one of N runs, whoever runs them and when."""

from __future__ import annotations

import pytest
from reading import results, summary

from segkit.running.shards import Shard

FLAGS = ("--gradcam.model", "shapes", "--segmenter", "threshold", "--quiet")
SHAPES = ("--dataset", "shapes", "--shapes.count", 4)


def test_every_name_is_in_one_shard_and_stays_there():
    names = [f"image-{i}" for i in range(2000)] + ["ä", "\udce4", "a b", "x" * 180]
    for count in (1, 2, 7):
        shards = [Shard(i + 1, count) for i in range(count)]
        held = [[name for name in names if shard.holds(name)] for shard in shards]
        assert sorted(name for some in held for name in some) == sorted(names)
        assert min(map(len, held)) > 0.8 * len(names) / count
    # The place of a name is a promise: shards of one run may be run by different versions.
    assert [Shard(i, 4).holds("image-0") for i in (1, 2, 3, 4)] == [False, False, True, False]


@pytest.mark.parametrize(
    "text", ["0/4", "5/4", "1/0", "-1/4", "1", "a/b", "1/4/2", "", "²/³", "1/9999999"]
)
def test_what_is_no_shard_is_a_sentence(segkit, text):
    done = segkit("run", *SHAPES, *FLAGS, "--shard", text, "-o", "out")
    assert done.code == 2
    assert done.err == (
        f"Error: --shard should be I/N with I from 1 to N, such as 2/8, but is '{text}'\n"
    )


def test_shards_together_are_the_whole(segkit, tmp_path):
    assert segkit("run", *SHAPES, *FLAGS, "-o", "whole").code == 0
    lines, empty = {}, 0
    for number in range(1, 6):
        done = segkit("run", *SHAPES, *FLAGS, "--shard", f"{number}/5", "-o", f"s{number}")
        assert (done.code, done.err) == (0, "")
        folder = tmp_path / f"s{number}"
        assert summary(folder)["images"] == len(results(folder))
        assert summary(folder)["plan"]["record"]["shard"] == f"{number}/5"
        empty += not results(folder)
        assert not lines.keys() & {line["name"] for line in results(folder)}
        lines |= {line["name"]: {**line, "seconds": 0} for line in results(folder)}
    assert empty  # of five shards of four images
    assert lines == {line["name"]: {**line, "seconds": 0} for line in results(tmp_path / "whole")}


def test_an_empty_shard_is_a_finished_run(segkit, tmp_path):
    number = next(i for i in range(1, 9) if not Shard(i, 8).holds("shapes-00000"))
    flags = ("--dataset", "shapes", "--shapes.count", 1, *FLAGS, "--shard", f"{number}/8")
    loud = [flag for flag in flags if flag != "--quiet"]
    done = segkit("run", *loud, "-o", "out")
    assert done.code == 0
    assert "0 images · " in done.out
    assert "seconds per image" not in done.out
    assert results(tmp_path / "out") == []
    for again in (("run", *flags, "-o", "out", "--resume"), ("report", "out")):
        done = segkit(*again)
        assert (done.code, done.err) == (0, "")
    assert segkit("sweep", *flags, "-o", "swept").code == 0


def test_a_run_goes_on_with_its_own_shard_alone(segkit, tmp_path):
    assert segkit("run", *SHAPES, *FLAGS, "--shard", "1/2", "-o", "out").code == 0
    before = (tmp_path / "out/results.jsonl").read_bytes()
    for shard, now in ((("--shard", "2/2"), "with --shard 2/2"), ((), "without --shard")):
        done = segkit("run", *SHAPES, *FLAGS, *shard, "-o", "out", "--resume")
        assert done.code == 2
        assert done.err == (
            f"Error: --resume: out was run with --shard 1/2, now it is run {now}; ask for the "
            "same, or choose another folder\n"
        )
    assert (tmp_path / "out/results.jsonl").read_bytes() == before
    assert segkit("run", *SHAPES, *FLAGS, "--shard", "1/2", "-o", "out", "--resume").code == 0
    assert (tmp_path / "out/results.jsonl").read_bytes() == before
