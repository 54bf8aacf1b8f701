"""Name tables: the built-in ones, those of files, and how names are looked up."""

from __future__ import annotations

import pytest

from segkit import UsageError
from segkit_plugins.shared.name_tables import class_names, load_table

VOC = {
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
}


def test_coco_reaches_every_voc_class_by_one_name_each():
    table = load_table("coco-voc")
    assert len(table) == 20
    assert set(table.values()) == VOC
    changed = {source: target for source, target in table.items() if source != target}
    assert changed == {
        "airplane": "aeroplane",
        "couch": "sofa",
        "dining table": "diningtable",
        "motorcycle": "motorbike",
        "potted plant": "pottedplant",
        "tv": "tvmonitor",
    }


def test_ade20k_reaches_all_voc_classes_but_seven():
    table = load_table("ade20k-voc")
    assert VOC - set(table.values()) == {
        *("bird", "cat", "cow", "dog", "horse", "sheep", "train"),
    }
    assert set(table.values()) <= VOC


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("person, individual, someone, somebody, mortal, soul", "person"),
        ("television receiver, television, television set, tv, tv set", "tvmonitor"),
        ("crt screen", "tvmonitor"),
        ("CRT_screen", "tvmonitor"),
        ("Swivel-Chair", "chair"),
        ("minibike, motorbike", "motorbike"),
        ("pot, flowerpot", "pottedplant"),
        ("bus, autobus, coach, charabanc", "bus"),
        ("table ", "diningtable"),
    ],
)
def test_ade20k_names_in_every_way_of_writing(name, target):
    table = load_table("ade20k-voc")
    assert table[name] == table.get(name) == target
    assert name in table


@pytest.mark.parametrize(
    "name", ["wall", "coffee table, cocktail table", "stool", "truck", "animal, beast", "bed "]
)
def test_what_has_no_counterpart_is_not_in_the_table(name):
    table = load_table("ade20k-voc")
    assert name not in table
    assert table.get(name) is None
    assert table.get(name, "background") == "background"
    with pytest.raises(KeyError):
        table[name]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("t.csv", 'source,target\n# screens\n"tv, telly", screen\ncouch,sofa\n\nwall,\n'),
        ("t.txt", '\ufeff"tv, telly",screen\ncouch , sofa\nwall,background\n'),
        ("t.json", '{"tv, telly": "screen", "couch": "sofa", "wall": ""}'),
        ("t.toml", '"tv, telly" = "screen"\ncouch = "sofa"\nwall = "Background"\n'),
    ],
)
def test_a_table_from_a_file(tmp_path, file, text):
    (tmp_path / file).write_text(text, encoding="utf-8")
    table = load_table(str(tmp_path / file))
    assert dict(table.items()) == {"tv, telly": "screen", "couch": "sofa"}
    assert table["COUCH"] == "sofa"
    assert "wall" not in table


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        (
            "t.csv",
            "tv, telly, screen\n",
            "line 1 of the name table '{path}' should be 'source,target', but is "
            "'tv, telly, screen'; put names with commas in quotes",
        ),
        (
            "t.csv",
            "Tv,screen\n tv,television\n",
            "the name table '{path}' makes 'tv' both 'screen' and 'television'; give each name "
            "one target",
        ),
        (
            "t.csv",
            "\n",
            "the name table '{path}' keeps no name; give it a line 'source,target' for each",
        ),
        (
            "t.json",
            '{"tv": 3}',
            "the name table '{path}' should hold one name for each name, such as "
            '"couch": "sofa", but holds something else; correct it there',
        ),
    ],
)
def test_files_that_are_no_table(tmp_path, file, text, sentence):
    path = tmp_path / file
    path.write_text(text)
    with pytest.raises(UsageError) as info:
        load_table(str(path))
    assert str(info.value) == sentence.format(path=path)


@pytest.mark.parametrize("file", ["t.json", "t.toml"])
def test_broken_files(tmp_path, file):
    (tmp_path / file).write_text("{")
    with pytest.raises(UsageError, match=rf"t.{file[2:]}' is no {file[2:].upper()} \(.+\); corr"):
        load_table(str(tmp_path / file))
    (tmp_path / file).write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UsageError, match=r"cannot be read \(it is no UTF-8 text\)"):
        load_table(str(tmp_path / file))


@pytest.mark.parametrize("which", ["ade-voc", "", "."])
def test_a_table_that_is_not_there(which):
    with pytest.raises(UsageError) as info:
        load_table(which)
    assert str(info.value) == (
        f"there is no name table '{which}'; the built-in ones are ade20k-voc and coco-voc, or "
        "name a file with a line 'source,target' for each name"
    )


def test_class_names(tmp_path):
    assert class_names(("cat", "dog")) == ("cat", "dog")
    assert class_names(()) == ()
    (tmp_path / "names.txt").write_text("\ufeffcat\n\n sea lion \n", encoding="utf-8")
    assert class_names((str(tmp_path / "names.txt"),)) == ("cat", "sea lion")
    with pytest.raises(UsageError) as info:
        class_names((str(tmp_path / "none.txt"),))
    assert str(info.value) == (
        f"the class names '{tmp_path / 'none.txt'}' cannot be read (No such file or directory); "
        "give a text file with a name a line, or the names themselves"
    )
    with pytest.raises(UsageError, match="the class names hold 'cat' twice"):
        class_names(("cat", "cat"))
