"""The writer `voc`, read back by Pillow and by torchvision."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
from writer_toys import SIZE, blobs, content, labels, masks_of, picture, whole_and_cut

from segkit import BadValueError, Masks, palette, read_mask
from segkit_plugins.writer.voc import Voc

CLASSES = {1: "cat", 2: "dog", 7: "bird"}


def written(folder, **values):
    """The class map and the objects (H, W) of one image."""
    by_class, by_object, *_ = Voc().write(folder, picture(), **values)
    return read_mask(by_class), read_mask(by_object)


def test_torchvision_reads_class_maps_and_photos(tmp_path):
    from torchvision.datasets import VOCSegmentation

    rng = np.random.default_rng(0)
    maps = [rng.choice([0, 1, 2, 7, 255], size=SIZE) for _ in range(3)]
    for name, ids in zip("cab", maps, strict=True):
        Voc().write(tmp_path, picture(name=name), labels=labels(ids, CLASSES), classes=CLASSES)
    Voc().finish(tmp_path, ["c", "a", "b"])
    data = VOCSegmentation(tmp_path / "voc", image_set="trainval")
    assert len(data) == 3
    for (photo, target), ids in zip(data, [maps[1], maps[2], maps[0]], strict=True):
        assert photo.size == target.size == SIZE[::-1]
        assert target.mode == "P"
        assert np.array_equal(np.asarray(target), ids)
        assert np.array_equal(np.asarray(target.convert("RGB")), palette()[ids])


def test_objects_are_numbered_where_they_can_be_seen(tmp_path):
    arrays = blobs(24)
    names = [("cat", "dog", "bird")[i % 3] for i in range(24)]
    by_class, by_object = written(tmp_path, masks=masks_of(arrays, names), classes=CLASSES)
    ids = {name: i for i, name in CLASSES.items()}
    number = 0
    for i, (mask, name) in enumerate(zip(arrays, names, strict=True)):
        seen = mask & ~arrays[i + 1 :].any(0)
        if seen.any():
            number += 1
            assert (by_object[seen] == number).all()
            assert (by_class[seen] == ids[name]).all()
    assert by_object.max() == number >= 5
    assert np.array_equal(by_object > 0, arrays.any(0))
    assert np.array_equal(by_class > 0, arrays.any(0))


def test_objects_follow_the_class_map(tmp_path):
    """An object is where the map has its class; void is void; the map itself is kept."""
    ids = np.zeros(SIZE, int)
    ids[:90], ids[90:], ids[:, :3] = 1, 2, 255
    ids[:, -5:] = 0
    cat, dog = np.zeros((2, *SIZE), bool)
    cat[60:120, 10:100] = True
    dog[80:130, 50:] = True
    by_class, by_object = written(
        tmp_path,
        masks=masks_of([cat, dog], ["cat", "dog"]),
        labels=labels(ids, CLASSES),
        classes=CLASSES,
    )
    assert np.array_equal(by_class, ids)
    assert np.array_equal(by_object == 1, cat & (ids == 1))
    assert np.array_equal(by_object == 2, dog & (ids == 2))
    assert np.array_equal(by_object == 255, ids == 255)


def test_a_class_map_alone_has_one_object_a_class(tmp_path):
    ids = np.zeros(SIZE, int)
    ids[:50], ids[60:70] = 7, 2
    by_class, by_object = written(tmp_path, labels=labels(ids, CLASSES), classes=CLASSES)
    assert np.array_equal(by_class, ids)
    assert np.array_equal(by_object, np.select([ids == 2, ids == 7], [1, 2]))


def test_class_ids_are_the_same_in_all_images(tmp_path):
    """Without a data set of classes, a step numbers the names of each image anew."""
    one = labels(np.ones(SIZE), {1: "cat"})
    other = labels(np.ones(SIZE), {1: "dog"})
    maps = [written(tmp_path, labels=made)[0].max() for made in (one, other, one)]
    assert maps == [1, 2, 1]


def test_nothing_found_and_one_pixel(tmp_path):
    by_class, by_object = written(tmp_path, masks=Masks.none(SIZE), classes=CLASSES)
    assert not by_class.any()
    assert not by_object.any()
    first, second, *_ = Voc().write(
        tmp_path / "b", picture((1, 1)), masks=masks_of(np.ones((1, 1, 1)), ["dog"])
    )
    assert read_mask(first).tolist() == [[1]]
    assert read_mask(second).tolist() == [[1]]
    with PIL.Image.open(second) as file:
        assert file.mode == "P"


def test_classes_that_a_png_has_not(tmp_path):
    with pytest.raises(BadValueError) as info:
        written(tmp_path, labels=labels(np.full(SIZE, 300), {300: "cat"}))
    assert str(info.value) == (
        "a VOC class map holds class ids up to 254, but a has 300; write it with --write masks, "
        "whose PNG then has 16 bits, or with --write coco"
    )


def test_more_objects_than_a_png_has(tmp_path):
    each = np.eye(255, dtype=bool).reshape(255, 1, 255)
    Voc().write(tmp_path, picture((1, 255)), masks=masks_of(each[:254]))
    with pytest.raises(BadValueError) as info:
        Voc().write(tmp_path / "b", picture((1, 255)), masks=masks_of(each))
    assert str(info.value) == (
        "a VOC file should hold up to 254 objects, but a has 255; ask for fewer, "
        "or write them with --write coco"
    )
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("chosen", ["train", "val", "trainval"])
def test_the_list_has_the_name_that_was_asked_for(tmp_path, chosen):
    writer = Voc(image_set=chosen, images="none")
    name = "caf\udce9 b.c"
    writer.write(tmp_path, picture(name=name), masks=masks_of(blobs(1)))
    writer.finish(tmp_path, [name])
    folder = tmp_path / "voc/VOCdevkit/VOC2012/ImageSets/Segmentation"
    assert [p.name for p in folder.iterdir()] == [f"{chosen}.txt"]
    listed = (folder / f"{chosen}.txt").read_text(errors="surrogateescape")
    assert listed == f"{name}\n"


def test_a_run_that_was_cut_off_has_all_in_the_end(tmp_path):
    whole, cut = whole_and_cut(tmp_path, "voc")
    assert content(whole) == content(cut)
    listed = whole / "VOCdevkit/VOC2012/ImageSets/Segmentation/trainval.txt"
    assert len(listed.read_text().split()) == 3
