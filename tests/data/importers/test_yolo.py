"""Tests of YOLO's label files: which file names the classes, and the forms of a line."""

from __future__ import annotations

import pytest

from maskfit.data.importers.yolo_lines import LineReader
from maskfit.errors import DataError

MASK_FIRST, BARE_FIRST = "names: [with_mask, without_mask]", "names: [without_mask, with_mask]"
BOX = "0 .5 .5 .4 .4"


def masks(dataset) -> list[str]:
    return [row.labels["mask"] for row in dataset.rows]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"A/data.yaml": MASK_FIRST, "B/data.yaml": BARE_FIRST}, ["wear", "not_wear"]),
        ({"A/classes.txt": "no mask\nmask", "B/obj.names": "mask\nno mask"}, ["not_wear", "wear"]),
        ({"data.yaml": MASK_FIRST, "B/labels/classes.txt": "no mask\nmask"}, ["wear", "not_wear"]),
        ({"A/images/classes.txt": "mask\nbare", "B/images/classes.txt": "no mask\nmask"}, ["wear", "not_wear"]),
        # The same names twice, and LabelImg's own list, are no contradiction.
        ({"data.yaml": MASK_FIRST, "classes.txt": "With Mask\nWithout Mask"}, ["wear", "wear"]),
        ({"classes.txt": "mask\nno mask", "predefined_classes.txt": "dog\nperson"}, ["wear", "wear"]),
        ({"config/data.yaml": MASK_FIRST}, ["wear", "wear"]),
    ],
)
def test_the_nearest_file_names_the_classes(write_tree, import_, texts, expected):
    labels = {"A/labels/a.txt": BOX, "B/labels/b.txt": BOX}
    dataset = import_(write_tree("A/images/a.jpg", "B/images/b.jpg", texts=texts | labels))
    assert masks(dataset) == expected
    used = [note for note in dataset.notes if note.startswith("names of the classes are from")]
    assert len(used) == len({note.split(":")[0] for note in used}) == len(set(expected))


@pytest.mark.parametrize(
    "texts",
    [
        {"data.yaml": MASK_FIRST, "classes.txt": "without_mask\nwith_mask"},
        {"x/data.yaml": MASK_FIRST, "y/data.yaml": BARE_FIRST},
        {"data.yaml": MASK_FIRST, "A/other/classes.txt": "without_mask\nwith_mask"},
    ],
)
def test_files_that_are_equally_near_and_differ_are_refused(write_tree, import_, texts):
    root = write_tree("A/images/a.jpg", texts={"A/labels/a.txt": BOX, **texts})
    with pytest.raises(DataError, match="name the classes differently: class 0 is with") as error:
        import_(root)
    assert error.value.location.endswith("A/labels/a.txt")
    assert "keep the file" in error.value.hint


def test_classes_numbered_from_1_are_found_by_file(write_tree, import_):
    texts = {
        "A/data.yaml": MASK_FIRST,
        "B/data.yaml": MASK_FIRST,
        "A/a.txt": BOX,
        "B/b.txt": "1 .5 .5 .4 .4\n2 .5 .5 .2 .2",
    }
    with pytest.raises(DataError, match=r"but B/data\.yaml names them from 0"):
        import_(write_tree("A/a.jpg", "B/b.jpg", texts=texts))


FACE = "0 .3 .3 .2 .2 .25 .25 .35 .25 .3 .3 .27 .35 .33 .35"
NO_LANDMARKS = "0 .3 .3 .2 .2" + " -1" * 10
HEPTAGON = "0 .1 .1 .5 .1 .9 .1 .9 .9 .5 .9 .3 .9 .1 .9"
TRIANGLE = "0 .2 .2 .4 .2 .4 .4"
THE_BOX, THE_EXTENT, THE_TRIANGLE = (0.2, 0.2, 0.4, 0.4), (0.1, 0.1, 0.9, 0.9), (0.2, 0.2, 0.4, 0.4)


@pytest.mark.parametrize(
    ("lines", "keypoints", "expected"),
    [
        ([FACE], (5, 2), [THE_BOX]),
        ([f"{FACE} .9"], None, [THE_BOX]),
        ([FACE, NO_LANDMARKS], None, [THE_BOX, THE_BOX]),
        (["0 .3 .3 .2 .2" + " .3 .3 2" * 5], None, [THE_BOX]),
        (["0 .3 .3 .2 .2" + " .3 .3 2" * 4], (4, 3), [THE_BOX]),
        (["0 .3 .3 .2 .2", FACE], (17, 2), [THE_BOX, None]),
        ([HEPTAGON], None, [THE_EXTENT]),
        ([HEPTAGON], (0, 2), [THE_EXTENT]),
        ([TRIANGLE, HEPTAGON], None, [THE_TRIANGLE, THE_EXTENT]),
        (["0 .3 .3 .2 .2 .9 17", "0 .3 .3 .2 .2 .9 2"], None, [THE_BOX, THE_BOX]),
        (["0 .3 .3 .2 .2 .9 17", "0 .3 .3 .2 .2 .9 1"], None, [THE_BOX, THE_BOX]),
        (["0 .3 .3 .2 .2 17"], None, [THE_BOX]),
        (["0 .1 .1 .5 .1 .5 1", TRIANGLE], None, [(0.1, 0.1, 0.5, 1), THE_TRIANGLE]),
        (["0 .1 .1 .5 .1 .5 1.0"], None, [(0.1, 0.1, 0.5, 1)]),
        (["0 .3 .3 .2", "0 a .3 .2 .2", "0 .3 .3 .2 .2 .9 2 .3"], None, [None, None, None]),
    ],
)
def test_forms_of_a_line(lines, keypoints, expected):
    reader = LineReader(lines, keypoints)
    found = [reader.read(line) for line in lines]
    assert [item and pytest.approx(item[1]) for item in found] == expected


@pytest.mark.parametrize(
    ("line", "reason", "step"),
    [
        ("0 .5 .5 .2 .2 .9 1", "a triangle, or a box", "remove the track numbers"),
        (FACE, "a polygon of seven corners, or a box with five landmarks", "kpt_shape: [5, 2]"),
    ],
)
def test_a_line_of_two_meanings_is_refused_with_its_place(write_tree, import_, line, reason, step):
    root = write_tree("a.jpg", texts={"a.txt": f"{BOX}\n{line}", "classes.txt": "mask"})
    with pytest.raises(DataError, match=reason) as error:
        import_(root)
    assert error.value.location == "a.txt line 2"
    assert step in error.value.hint
    (root / "data.yaml").write_text(f"kpt_shape: {[5, 2] if line == FACE else [0, 2]}\n")
    assert masks(import_(root)) == ["wear", "wear"]


def test_other_landmarks_than_kpt_shape_says_are_listed(write_tree, import_):
    texts = {"a.txt": f"{BOX}\n{FACE}", "data.yaml": f"{MASK_FIRST}\nkpt_shape: [3, 2]"}
    dataset = import_(write_tree("a.jpg", texts=texts))
    assert [(item.location, item.reason) for item in dataset.left_out] == [
        ("a.txt line 2", "the line has another number of landmarks than kpt_shape says")
    ]
