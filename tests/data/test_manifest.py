"""Tests of CSV manifests, in which any column but the path may be missing or empty."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from maskfit.data.read_dataset import read_photos, scan_photos
from maskfit.errors import DataError
from maskfit.labels.age_rule import AgeLabelRule
from maskfit.labels.schema import LABEL_SCHEMAS, Attribute, LabelSchema


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a CSV next to six files a.jpg to f.jpg, of which only the existence is checked."""
    for name in "abcdef":
        (tmp_path / f"{name}.jpg").write_bytes(b"x")

    def write(text: str) -> Path:
        path = tmp_path / "photos.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def labels_of(path: Path, schema: LabelSchema) -> list[dict[str, str | float]]:
    return [dict(photo.labels) for photo in read_photos(path, schema)]


def test_full_and_partial_rows(manifest, schema):
    path = manifest(
        "path,person,mask,gender,age\na.jpg,anna,wear,female,45\nb.jpg,,incorrect,,\nc.jpg,,,m,>=60\nd.jpg\n"
    )
    photos = read_photos(path, schema)
    assert photos.attribute_indices(schema).tolist() == [[0, 1, 1], [1, -1, -1], [-1, 0, 2], [-1, -1, -1]]
    assert [photo.person for photo in photos] == ["anna", "b.jpg", "c.jpg", "d.jpg"]
    assert photos[0].labels == {"mask": "wear", "gender": "female", "age": 45.0}
    assert photos[2].labels == {"gender": "male", "age": ">=60"}


@pytest.mark.parametrize("column", ["path", "Path", "img_path", "ImageID", "filename", "image"])
def test_names_of_the_path_column(manifest, schema, column):
    assert len(read_photos(manifest(f"{column}\na.jpg\n"), schema)) == 1


def test_headers_are_case_insensitive(manifest, schema):
    assert labels_of(manifest("PATH,Mask,GENDER\na.jpg,wear,male\n"), schema) == [{"mask": "wear", "gender": "male"}]


def test_age_and_age_band_columns(manifest, schema):
    assert labels_of(manifest("path,age\na.jpg,2\n"), schema) == [{"age": 2.0}]
    for column in ("age_band", "agegroup", "AgeGroup", "age_group"):
        assert labels_of(manifest(f"path,{column}\na.jpg,2\nb.jpg,30-59\n"), schema) == [
            {"age": ">=60"},
            {"age": "30-59"},
        ]
    with pytest.raises(DataError, match="band 3 of age"):
        read_photos(manifest("path,age_band\na.jpg,3\n"), schema)


@pytest.mark.parametrize("column", ["class", "ans", "label"])
def test_a_class_index_gives_all_attributes(manifest, schema, column):
    path = manifest(f"path,{column}\na.jpg,0\nb.jpg,10\nc.jpg,17.0\nd.jpg,\n")
    photos = read_photos(path, schema)
    assert schema.to_class_index(photos.attribute_indices(schema)).tolist() == [0, 10, 17, -1]


@pytest.mark.parametrize("cell", ["18", "-1", "1.5", "x", "nan"])
def test_invalid_class_indices_are_rejected(manifest, schema, cell):
    with pytest.raises(DataError, match=f"'{cell}' is not a class index in 0 to 17"):
        read_photos(manifest(f"path,class\na.jpg,{cell}\n"), schema)


def test_conflicting_cells_are_rejected(manifest, schema):
    assert labels_of(manifest("path,age,age_band,class\na.jpg,45,1,4\n"), schema)[0]["age"] == 45.0
    with pytest.raises(DataError, match=r"disagree about age: 45\.0 and >=60"):
        read_photos(manifest("path,age,age_band\na.jpg,45,2\n"), schema)
    with pytest.raises(DataError, match="disagree about gender: male and female"):
        read_photos(manifest("path,gender,class\na.jpg,male,4\n"), schema)


def test_a_class_index_is_scored_with_a_decade_schema(manifest, schema):
    decades = AgeLabelRule(by_decade=True).training_schema(schema)
    path = manifest("path,age,class\na.jpg,45,4\nb.jpg,40-49,4\nc.jpg,,4\n")
    photos = read_photos(path, decades)
    assert photos.attribute_indices(decades)[:, 2].tolist() == [3, 3, -1]
    assert photos[2].labels["age"] == "30-59"


def test_columns_follow_the_schema(manifest):
    glasses = LabelSchema(attributes=(Attribute(name="Glasses", values=("none", "clear", "dark")),))
    path = manifest("path,glasses,mask\na.jpg,dark,nonsense\nb.jpg,1,\n")
    photos, problems = scan_photos(path, glasses)
    assert photos.attribute_indices(glasses).tolist() == [[2], [1]]
    assert [(problem.severity, "mask" in problem.message) for problem in problems] == [("note", True)]


def test_all_problems_are_listed_with_their_rows(manifest, schema):
    path = manifest("path,mask,age\na.jpg,worm,20\nb.jpg,wear,200\nz.jpg,wear,\n,wear,\nc.jpg,,\n./c.jpg,,\n")
    with pytest.raises(DataError) as caught:
        read_photos(path, schema)
    text = str(caught.value)
    assert "5 problems" in text
    for part in (
        "row 2: 'worm'",
        "row 3: age must be in [0, 120], got 200",
        "row 4: z.jpg",
        "row 5: the path is empty",
        "row 7: ./c.jpg",
    ):
        assert part in text
    assert "is already in row 6" in text


def test_paths_outside_of_the_root(manifest, schema, tmp_path):
    elsewhere = tmp_path / "set"
    (elsewhere / "sub").mkdir(parents=True)
    (elsewhere / "sub" / "x.jpg").write_bytes(b"x")
    path = elsewhere / "photos.csv"
    path.write_text(f"path\n../a.jpg\n{tmp_path / 'b.jpg'}\n{elsewhere / 'sub' / 'x.jpg'}\n")
    names = [photo.name for photo in read_photos(path, schema)]
    assert names == ["../a.jpg", (tmp_path / "b.jpg").as_posix(), "sub/x.jpg"]
    path.write_text("path\nsub\\x.jpg\n")
    assert read_photos(path, schema)[0].name == "sub/x.jpg"


def test_seven_photos_of_one_folder_are_one_person_without_a_person_column(tmp_path, write_person, schema):
    write_person(tmp_path, "000001_male_Asian_20")
    write_person(tmp_path, "000002_male_Asian_20")
    rows = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*.jpg"))]
    (tmp_path / "photos.csv").write_text("path\n" + "\n".join(rows))
    photos = read_photos(tmp_path / "photos.csv", schema)
    assert photos.persons == ("000001_male_Asian_20", "000002_male_Asian_20")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no rows"),
        ("path\n", "no rows"),
        ("a,b\n1,2\n", "the manifest has no path column"),
        ("path,PATH\na.jpg,b.jpg\n", "upper and lower case"),
        ("path,mask\na.jpg,wear,3\n", "row 2 has 3 cells"),
    ],
)
def test_other_files_are_rejected(manifest, schema, text, match):
    with pytest.raises(DataError, match=match):
        read_photos(manifest(text), schema)


def test_a_folder_in_the_path_column(manifest, schema, tmp_path):
    (tmp_path / "000001_male_Asian_20").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        read_photos(manifest("path\n000001_male_Asian_20\n"), schema)


REAL = Path(os.environ.get("MASKFIT_REAL_PHOTOS", "nowhere")) / "mask-photos/photos.csv"


@pytest.mark.skipif(not REAL.is_file(), reason="needs real photos; MASKFIT_REAL_PHOTOS names their folder")
def test_a_real_manifest_with_masks_only():
    schema = LABEL_SCHEMAS["mask-gender-age"]
    assert read_photos(REAL, schema).attribute_indices(schema)[:, 1:].max() == -1


def test_a_list_of_persons_is_joined(manifest, schema, tmp_path):
    (tmp_path / "who.csv").write_text("person\nanna\nben\n")
    photos = read_photos(
        manifest("path,person,persons\na.jpg,,who.csv\nb.jpg,,who.csv\nc.jpg,carl,\nd.jpg,,\n"), schema
    )
    assert [photo.person for photo in photos] == ["anna|ben", "anna|ben", "carl", "d.jpg"]


@pytest.mark.parametrize(
    ("row", "list_", "why"),
    [
        ("a.jpg,anna,who.csv", "person\nben\n", "a person and a list"),
        ("a.jpg,,none.csv", "", "no such file"),
        ("a.jpg,,who.csv", "person\n", "has an empty row, or none"),
        ("a.jpg,,who.csv", "person,x\nben,1\n,2\n", "has an empty row, or none"),
        ("a.jpg,,who.csv", "name\nben\n", "column person is missing"),
    ],
)
def test_an_empty_or_missing_list_of_persons_is_an_error(manifest, schema, tmp_path, row, list_, why):
    """Without a person, such a photo would be in the training set of every fold."""
    (tmp_path / "who.csv").write_text(list_)
    with pytest.raises(DataError, match=why):
        read_photos(manifest(f"path,person,persons\n{row}\n"), schema)


def test_times_column(manifest, schema):
    photos = read_photos(manifest("path,mask,times\na.jpg,wear,\nb.jpg,incorrect,6\n"), schema)
    assert [photo.repeat for photo in photos] == [1, 6]
    assert [photo.repeat for photo in read_photos(manifest("path\na.jpg\n"), schema)] == [1]


@pytest.mark.parametrize("times", ["0", "-1", "1.5", "often", "101"])
def test_invalid_times_are_rejected(manifest, schema, times):
    with pytest.raises(DataError, match="times must be an integer in 1 to 100"):
        read_photos(manifest(f"path,times\na.jpg,{times}\n"), schema)
