"""Tests of folders that are read as they are, and of the next step for all others."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from maskfit.data.importers import import_dataset
from maskfit.data.read_dataset import read_photos, scan_photos
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS, LabelSchema


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """Writes files, of which only the existence is checked."""

    def write(*names: str, **texts: str) -> Path:
        for name in names:
            (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "photos" / name).write_bytes(b"x")
        for name, text in texts.items():
            (tmp_path / "photos" / name.replace("__", ".")).write_text(text)
        return tmp_path / "photos"

    return write


def next_step(path: Path, schema: LabelSchema) -> str:
    """The hint of the only problem, which is fatal."""
    dataset, problems = scan_photos(path, schema)
    assert not dataset.photos
    (problem,) = problems
    assert problem.severity == "fatal"
    return problem.hint


def test_class_folders(tree, schema):
    photos = read_photos(tree("train/with_mask/a.jpg", "train/no mask/b.jpg", "val/with_mask/c.jpg"), schema)
    assert [(photo.name, dict(photo.labels)) for photo in photos] == [
        ("train/no mask/b.jpg", {"mask": "not_wear"}),
        ("train/with_mask/a.jpg", {"mask": "wear"}),
        ("val/with_mask/c.jpg", {"mask": "wear"}),
    ]
    assert [photo.person for photo in photos] == [photo.name for photo in photos]
    assert "with_mask = mask wear (2)" in photos.notes[0].message


def test_class_folders_of_ages_and_genders(tree):
    photos = read_photos(tree("female/20-29/a.jpg", "male/60+/b.jpg", "male/25-32/c.jpg"), LABEL_SCHEMAS["gender-age"])
    assert photos.attribute_indices(LABEL_SCHEMAS["gender-age"]).tolist() == [[1, 0], [0, -1], [0, 2]]
    assert "25-32 = age 25 to 32 (<30 or 30-59) (1)" in photos.notes[0].message
    assert "data.codes={gender: {male: male}}" in photos.notes[0].hint


def test_labels_and_persons_in_file_names(tree, schema):
    names = ("000001_female_Asian_23_mask1.jpg", "000001_female_Asian_23_normal.jpg", "8f3a1c01-000002_mask1.jpg")
    photos = read_photos(tree(*names), schema)
    assert [photo.person for photo in photos] == ["000001_female_Asian_23"] * 2 + ["000002"]
    assert photos.attribute_indices(schema).tolist() == [[0, 1, 0], [2, 1, 0], [0, -1, -1]]
    assert photos[0].labels == {"mask": "wear", "gender": "female", "age": 23.0}


def test_utkface_as_it_is(tree):
    root = tree(
        *(f"{age}_1_2_201701161745251{age}.jpg.chip.jpg" for age in range(20, 40)), "39_1_20170116174525125.jpg"
    )
    dataset, problems = scan_photos(root, LABEL_SCHEMAS["gender-age"])
    assert dataset[0].labels == {"gender": "female", "age": 20.0}
    left_out = [problem for problem in problems if problem.kind == "left out"]
    assert [(problem.severity, problem.location) for problem in left_out] == [("warning", "39_1_20170116174525125.jpg")]


def test_unknown_words_are_mapped_by_codes(tree, schema):
    root = tree("covered/a.jpg", "bare/b.jpg")
    with pytest.raises(DataError, match="'covered'"):
        read_photos(root, schema)
    photos = read_photos(root, schema, {"mask": {"covered": "wear"}})
    assert [photo.labels["mask"] for photo in photos] == ["not_wear", "wear"]


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ({"mask": {"coverd": "wear"}}, "have no coverd, .* meaning for mask; their words are bare, with_mask"),
        ({"gender": {"0": "female", "1": "male"}}, "have none of 0, 1, to which data.codes gives a meaning for gender"),
        ({"age": "years"}, "there is no column age: this is class folders"),
        ({"helmet": {"on": "wear"}}, "'helmet' is neither an attribute nor a class column"),
        ({"gender": {"with_mask": "wear"}}, "'wear' is not a value of gender"),
        ({"mask": {"bare": "wear"}, "Mask": {"with_mask": "wear"}}, "'mask' and 'Mask' are one column; write it once"),
        ({"mask": {"bare": "wear", "BARE": "not_wear"}}, "'bare' and 'BARE' are one code of mask; write it once"),
        ({"mask": {"0": "wear", "0.0": "not_wear"}}, "'0' and '0.0' are one code of mask; write it once"),
    ],
)
def test_codes_that_no_folder_has_are_an_error(tree, schema, codes, message):
    root = tree("with_mask/a.jpg", "bare/b.jpg")
    with pytest.raises(DataError, match=message) as caught:
        read_photos(root, schema, {**codes, "label": {"bare": "not_wear"}})
    assert "data.codes" in (caught.value.hint or "")
    assert "--map" not in (caught.value.hint or "")


def test_a_word_that_no_folder_has_beside_one_that_is_there_is_a_note(tree, schema):
    codes = {"mask": {"with_mask": "not_wear", "without": "wear"}}
    photos = read_photos(tree("with_mask/a.jpg"), schema, codes)
    assert photos[0].labels == {"mask": "not_wear"}
    (note,) = [note for note in photos.notes if note.kind == "unused codes"]
    assert note.message.startswith("the names have no without, to which")
    assert note.severity == "note"


def test_codes_have_no_use_in_the_competition_layout(tree, schema):
    root = tree("000001_female_Asian_45/mask1.jpg")
    codes = {"gender": {"0": "female"}}
    with pytest.raises(DataError, match=r"no 0, .* for gender: this is the competition's layout"):
        read_photos(root, schema, codes)
    assert len(read_photos(root, schema, codes, must_use_codes=False)) == 1


def test_a_name_with_two_values_is_a_warning_and_no_label(tree, schema):
    dataset, problems = scan_photos(tree("with_mask/without_mask/a.jpg", "with_mask/b.jpg"), schema)
    assert [dict(photo.labels) for photo in dataset] == [{"mask": "wear"}, {}]
    assert [problem.location for problem in problems if problem.severity == "warning"] == ["a.jpg"]


def test_person_folders_are_the_competition_layout_also_beside_others(tree, schema):
    _, problems = scan_photos(tree("000001_female_Asian_45/mask1.jpg", "with_mask/a.jpg"), schema)
    assert [problem.location for problem in problems if problem.kind == "folder name"] == ["with_mask"]


def test_unknown_folders_get_a_command_with_every_word(tree, schema):
    root = tree("covered/a.jpg", "chin strap/b.jpg", "with_mask/c.jpg")
    hint = next_step(root, schema)
    command = (
        f"maskfit data import {root} --format folders --map 'chin strap=skip' --map covered=skip --out manifest.csv"
    )
    assert hint.startswith(command)
    assert (
        "skip leaves its photos out: in its place write what the folder shows: wear, incorrect, not_wear, male" in hint
    )


def test_many_unknown_folders_may_be_persons(tree, schema):
    root = tree(*(f"person {number}/a.jpg" for number in range(9)))
    _, (problem,) = scan_photos(root, schema)
    assert "if the folders are persons" in problem.message
    assert "--map '*=skip' --out manifest.csv" in problem.hint


def test_photos_without_labels_are_predicted(tree, schema):
    root = tree("a.jpg", "b.jpg")
    assert next_step(root, schema).startswith("let the bundled model guess them: maskfit predict --images")


def test_tables_below_and_files_that_are_not_read_are_named(tree, schema):
    """The Hugging Face hub's `train/metadata.csv`, and exports in a format that is not read."""
    root = tree("train/a.jpg", "train/b.jpg")
    (root / "labels.json").write_text('{"a": "masked"}')
    _, (problem,) = scan_photos(root, schema)
    assert problem.message == "1 file that may hold labels is here, in no format that is read: labels.json"
    assert problem.hint == "write a CSV with the columns path,mask,gender,age from it"
    (root / "train" / "list.csv").write_text("file_name\na.jpg\nb.jpg\n")
    (root / "train" / "metadata.csv").write_text("file_name,mask\na.jpg,wear\nb.jpg,not_wear\n")
    hint = next_step(root, schema)
    assert hint == f"check the table: maskfit data check {root / 'train' / 'metadata.csv'}"
    assert len(read_photos(root / "train" / "metadata.csv", schema)) == 2


@pytest.mark.parametrize(
    ("name", "hint"),
    [("photos.ZIP", "unpack it"), ("train-00000.parquet", "save each as a JPEG or PNG"), ("a.xlsx", "as CSV")],
)
def test_packed_photos_are_told_how_to_unpack(tree, tmp_path, schema, name, hint):
    root = tree(f"more/{name}", "README.txt")
    _, (problem,) = scan_photos(root / "more" / name, schema)
    assert hint in problem.hint
    _, (problem,) = scan_photos(root, schema)
    assert f"of more/{name}: " in problem.hint
    assert hint in problem.hint
    with pytest.raises(DataError, match="none of the formats") as caught:
        import_dataset(root / "more" / name, schema)
    assert hint in (caught.value.hint or "")


def test_a_path_with_a_space_is_quoted(tmp_path, schema):
    (tmp_path / "my photos").mkdir()
    (tmp_path / "my photos" / "a.jpg").write_bytes(b"x")
    assert f"--images {shlex.quote(str(tmp_path / 'my photos'))} " in next_step(tmp_path / "my photos", schema)


def test_words_in_names_are_imported_by_the_named_format(tree, schema):
    root = tree("with_mask_1.jpg", "without_mask_2.jpg")
    assert next_step(root, schema) == f"maskfit data import {root} --format flat --out manifest.csv"


def test_a_table_beside_photos_is_named(tree, schema):
    root = tree("images/a.jpg", labels__csv="path,mask\nimages/a.jpg,wear\n")
    assert next_step(root, schema) == f"check the table: maskfit data check {root}/labels.csv"


def test_of_several_tables_the_one_with_labels_is_named(tree, schema):
    tables = {
        "a": "what\nnothing\n",
        "list": "ImageID,ans\na.jpg,0\n",
        "man": "path,mask\na.jpg,wear\n",
        "names": "path\na.jpg\n",
    }
    root = tree("a.jpg", **{f"{name}__csv": text for name, text in tables.items()})
    assert next_step(root, schema) == f"check the table: maskfit data check {root}/man.csv"
    (root / "man.csv").unlink()
    assert next_step(root, schema) == f"check the table: maskfit data check {root}/list.csv"


def test_person_folders_further_down_are_named(tree, schema):
    root = tree("input/train/images/000001_female_Asian_45/mask1.jpg")
    assert next_step(root, schema) == f"check that folder: maskfit data check {root}/input/train/images"


def test_a_typing_error_in_all_person_folders_is_still_one_of_the_layout(tree, schema):
    _, problems = scan_photos(tree("000001_female_Asian/mask1.jpg", "000002_male/incorrect_mask.jpg"), schema)
    assert [problem.kind for problem in problems if problem.severity == "fatal"] == ["folder name", "folder name"]


def test_exports_are_imported_whether_named_or_in_a_folder(tree, schema):
    tasks = [{"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"result": [], "was_cancelled": True}]}]
    root = tree("a.jpg", export__json=json.dumps(tasks))
    for path in (root, root / "export.json"):
        assert next_step(path, schema) == f"import it: maskfit data import {path} --out manifest.csv"
    root = tree("a.jpg", export__csv="annotation_id,annotator,choice,image,lead_time\n1,1,wear,a.jpg,3.1\n")
    path = root / "export.csv"
    assert next_step(path, schema) == f"import it: maskfit data import {path} --out manifest.csv"


def test_an_empty_folder(tmp_path, schema):
    assert next_step(tmp_path, schema).endswith(f"maskfit data synthesize {tmp_path} --persons 20")
