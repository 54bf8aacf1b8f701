"""The data set `pets`: Oxford-IIIT Pet in its own layout, generated small and real."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

from segkit import BadImageError, UsageError, write_png
from segkit_plugins.dataset.pets import BREEDS, Pets

NAMES = ("Bengal_7", "Egyptian_Mau_12", "basset_hound_3", "pug_1", "wire_fox_terrier_2")
TRIMAP = [[2, 2, 3, 1], [2, 3, 1, 1]]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "images").mkdir()
    for i, name in enumerate(NAMES):
        PIL.Image.new("RGB", (4, 2), (i, i, i)).save(tmp_path / "images" / f"{name}.png")
        write_png(tmp_path / "annotations" / "trimaps" / f"{name}.png", np.array(TRIMAP, np.uint8))
    (tmp_path / "images" / "Bengal_7.mat").write_text("the real set has such files")
    (tmp_path / "images" / "._pug_1.png").write_text("and such")
    return tmp_path


def classes_of(data):
    """Image name to the class names in its truth, without background and void."""
    found = {}
    for i in range(len(data)):
        image, truth = data[i]
        ids = set(np.unique(truth.labels.ids).tolist()) - {0, 255}
        found[image.name] = {data.classes[j] for j in ids}
    return found


def test_species_by_the_capital(root):
    data = Pets(root=root)
    assert list(data.names) == list(NAMES)
    assert data.classes == {1: "cat", 2: "dog"}
    assert data.has_truth
    assert classes_of(data) == {
        "Bengal_7": {"cat"},
        "Egyptian_Mau_12": {"cat"},
        "basset_hound_3": {"dog"},
        "pug_1": {"dog"},
        "wire_fox_terrier_2": {"dog"},
    }


def test_breeds_keep_the_data_set_s_ids(root):
    data = Pets(root=root, label="breeds")
    assert [data.classes[i] for i in (1, 2, 6, 12, 37)] == [
        *("Abyssinian", "american bulldog", "Bengal", "Egyptian Mau", "yorkshire terrier")
    ]
    assert data.classes[38] == "wire fox terrier"  # not one of the 37
    assert classes_of(data)["Egyptian_Mau_12"] == {"Egyptian Mau"}
    assert classes_of(data)["wire_fox_terrier_2"] == {"wire fox terrier"}


def test_breeds_do_not_depend_on_the_positions(root):
    assert (
        Pets(root=root, label="breeds", positions="odd").classes
        == Pets(root=root, label="breeds").classes
    )


def test_the_37_breeds_are_sorted_without_regard_to_case():
    assert len(BREEDS) == 37
    assert list(BREEDS) == sorted(BREEDS, key=str.lower)
    assert sum(breed[0].isupper() for breed in BREEDS) == 12


@pytest.mark.parametrize(
    ("border", "expected"),
    [
        ("void", [[0, 0, 255, 2], [0, 255, 2, 2]]),
        ("object", [[0, 0, 2, 2], [0, 2, 2, 2]]),
        ("class", [[0, 0, 3, 2], [0, 3, 2, 2]]),
    ],
)
def test_border(root, border, expected):
    data = Pets(root=root, border=border)
    assert data[3][1].labels.ids.tolist() == expected
    assert data.classes == {1: "cat", 2: "dog"} | ({3: "border"} if border == "class" else {})
    assert data[3][1].labels.classes == data.classes


def test_positions(root):
    assert list(Pets(root=root, positions="even").names) == list(NAMES[0::2])
    odd = Pets(root=root, positions="odd")
    assert list(odd.names) == list(NAMES[1::2])
    assert len(odd) == 2
    assert odd[0][0].name == NAMES[1]


def test_a_photo_without_trimap_spoils_only_itself(root):
    missing = root / "annotations" / "trimaps" / "Bengal_7.png"
    missing.unlink()
    data = Pets(root=root)
    with pytest.raises(BadImageError) as info:
        data[0]
    assert str(info.value) == (
        f"'{root / 'images' / 'Bengal_7.png'}' has no trimap '{missing}'; "
        "add it or take the photo out of its folder"
    )
    assert data[1][0].name == "Egyptian_Mau_12"


def test_a_trimap_that_is_none(root):
    path = root / "annotations" / "trimaps" / "pug_1.png"
    write_png(path, np.array([[0, 255, 0, 0]] * 2, np.uint8))
    with pytest.raises(BadImageError) as info:
        Pets(root=root)[3]
    assert str(info.value) == (
        f"the trimap '{path}' should hold 1 (pet), 2 (background) and 3 (border), "
        "but holds [0, 255]; use the data set's own"
    )


def test_a_trimap_of_another_size(root):
    write_png(root / "annotations" / "trimaps" / "pug_1.png", np.ones((2, 2), np.uint8))
    with pytest.raises(BadImageError, match="another size than its image"):
        Pets(root=root)[3]


def test_a_folder_of_another_layout(tmp_path):
    with pytest.raises(UsageError) as info:
        _ = Pets(root=tmp_path).names
    assert str(info.value) == (
        f"the data set 'pets' should have a folder '{tmp_path / 'images'}', but has none; "
        "give the folder that holds 'images' and 'annotations' as --pets.root"
    )


def test_options_are_checked():
    with pytest.raises(UsageError, match="root"):
        Pets()
    with pytest.raises(UsageError, match="'void', 'class' or 'object'"):
        Pets(root=".", border="pet")


@pytest.mark.data("oxford-iiit-pet")
def test_the_real_photos(real_data):
    data = Pets(root=real_data)
    files = sorted(p.name for p in (real_data / "images").glob("*.jpg"))
    assert [f"{name}.jpg" for name in data.names] == files
    even, odd = (Pets(root=real_data, positions=p) for p in ("even", "odd"))
    assert sorted([*even.names, *odd.names]) == sorted(data.names)
    assert [f"{name}.jpg" for name in even.names] == files[::2]
    assert Pets(root=real_data, label="breeds").classes == dict(enumerate(BREEDS, 1))
    for i in range(0, len(data), 7):
        image, truth = data[i]
        trimap_file = real_data / "annotations" / "trimaps" / f"{image.name}.png"
        trimap = np.asarray(PIL.Image.open(trimap_file))
        pet = 1 if image.name[0].isupper() else 2
        assert np.array_equal(truth.labels.ids == pet, trimap == 1)
        assert np.array_equal(truth.labels.ids == 255, trimap == 3)
        assert truth.labels.ids.shape == image.size
