"""CelebA's and CelebA-HQ's attributes."""

from __future__ import annotations

import pytest

from maskfit.data.importers import write_manifest
from maskfit.data.importers.celeba import NO_VALUE, OFF_LINE
from maskfit.errors import DataError

NAMES = "5_o_Clock_Shadow Male Young"
LIST = f"3\n{NAMES} \n000001.jpg -1 -1  1\n000002.jpg -1  1 -1\n000009.jpg -1  1 -1\n"
TABLE = "image_id,5_o_Clock_Shadow,Male,Young\n000001.jpg,-1,-1,1\n000002.jpg,-1,1,-1\n000009.jpg,-1,1,-1\n"
HQ = f"3\n{NAMES}\n000001.jpg  -1 -1 1\n000002.jpg  -1 1 -1\n000009.jpg  -1 1 1\n"
PHOTOS = ("img_align_celeba/000001.jpg", "img_align_celeba/000002.jpg", "img_align_celeba/000003.jpg")


def rows(dataset) -> list[tuple[str, str, dict[str, str]]]:
    return [(row.photo.name, row.person, dict(row.labels)) for row in dataset.rows]


@pytest.mark.parametrize(
    ("name", "text"),
    [("list_attr_celeba.txt", LIST), ("list_attr_celeba.csv", TABLE), ("CelebAMask-HQ-attribute-anno.txt", HQ)],
)
def test_the_gender_is_read_by_the_columns_name(write_tree, import_, name, text):
    """The lists have no header above the photos' names, Kaggle's table has one."""
    texts = {f"Anno/{name}": text, "Anno/identity_CelebA.txt": "000001.jpg 2880\n000002.jpg 2937\n"}
    root = write_tree(*PHOTOS, texts=texts)
    for source in (root, root / "Anno" / name):
        dataset = import_(source, images=root)
        assert dataset.format == "celeba"
        assert rows(dataset) == [
            ("000001.jpg", "2880", {"gender": "female"}),
            ("000002.jpg", "2937", {"gender": "male"}),
        ]
        assert [item.location.rpartition(": ")[2] for item in dataset.left_out] == ["000009.jpg"]
        assert any("Young" in note for note in dataset.notes)
        assert any("1 photo has no row: img_align_celeba/000003.jpg" in note for note in dataset.notes)


def test_lines_that_are_off_are_left_out_and_zero_is_no_male(write_tree, import_):
    """Some copies have 0 in place of -1."""
    text = f"3\n{NAMES}\na.jpg 0 0 0\nb.jpg 1 1\nc.jpg 1 2 1\n"
    dataset = import_(write_tree("a.jpg", "b.jpg", "c.jpg", texts={"list_attr_celeba.txt": text}))
    assert rows(dataset) == [("a.jpg", "", {"gender": "female"})]
    assert [(item.location, item.reason) for item in dataset.left_out] == [
        ("list_attr_celeba.txt line 4: b.jpg", OFF_LINE),
        ("list_attr_celeba.txt line 5: c.jpg", NO_VALUE),
    ]
    assert any("identity_CelebA.txt" in note for note in dataset.notes)


def test_another_folder_is_none(write_tree, import_):
    root = write_tree("a.jpg", texts={"labels.txt": "Male Young\na.jpg 1 1\n"})
    with pytest.raises(DataError, match="no list of CelebA's attributes"):
        import_(root, "celeba")


def test_a_readme_that_names_the_attributes_is_none(write_tree, import_):
    texts = {"README.txt": "Attributes such as 5_o_Clock_Shadow and Male were dropped.\nSee the paper of 2015.\n"}
    dataset = import_(write_tree("with_mask/a.jpg", "without_mask/b.jpg", texts=texts))
    assert dataset.format == "folders"


def test_the_persons_file_beside_the_list_is_never_replaced(write_tree, import_):
    root = write_tree(*PHOTOS, texts={"list_attr_celeba.txt": LIST, "identity_CelebA.txt": "000001.jpg 2880\n"})
    dataset = import_(root / "list_attr_celeba.txt")
    with pytest.raises(DataError, match="a file of the source"):
        write_manifest(dataset, root / "identity_CelebA.txt")
