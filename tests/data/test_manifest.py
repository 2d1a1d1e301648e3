"""Tests of CSV manifests, in which any column but the path may be missing or empty."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from maskfit.cli.dataset_options import parse_codes
from maskfit.data.data_problems import DataProblem
from maskfit.data.manifest import read_manifest
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
    assert labels_of(manifest("path,age\na.jpg,2\nb.jpg,45\n"), schema) == [{"age": 2.0}, {"age": 45.0}]
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


@pytest.mark.parametrize("cell", ["18", "-1", "1.5", "x"])
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
    assert [(problem.severity, "mask" in problem.message) for problem in problems] == [
        ("note", True),
        ("note", False),
    ]
    assert problems[1].message == "glasses: 0 = none, 1 = clear, 2 = dark (codes without words)"


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


def test_rows_of_annotators_who_disagree_are_told_from_repeated_ones(manifest, schema):
    path = manifest("path,annotator,mask\na.jpg,anna,wear\na.jpg,bert,incorrect\nb.jpg,anna,wear\nb.jpg,bert,wear\n")
    _, problems = scan_photos(path, schema)
    disagree, repeated = (problem for problem in problems if problem.severity == "fatal")
    assert "the labels disagree about mask" in disagree.message
    assert "maskfit data majority" in disagree.hint
    assert repeated.hint == "keep one of the two rows"


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


def problems_of(path: Path, schema: LabelSchema, kind: str, codes: dict | None = None) -> list[DataProblem]:
    return [problem for problem in scan_photos(path, schema, codes)[1] if problem.kind == kind]


def test_whole_number_floats_are_integers_in_every_coded_column(manifest, schema):
    path = manifest("path,mask,gender,age_band,times\na.jpg,2.0,1.0,2.0,3.0\nb.jpg,0.0,,1.0,\n")
    assert labels_of(path, schema) == [
        {"mask": "not_wear", "gender": "female", "age": ">=60"},
        {"mask": "wear", "age": "30-59"},
    ]
    assert read_photos(path, schema)[0].repeat == 3
    assert labels_of(manifest("path,class\na.jpg,17.0\n"), schema)[0]["mask"] == "not_wear"


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("mask", "'2.5' is not a value of mask"),
        ("gender", "'2.5' is not a value of gender"),
        ("age_band", "band 2.5 of age is not a whole number"),
        ("class", "'2.5' is not a class index"),
        ("times", "times must be an integer"),
    ],
)
def test_other_floats_are_errors_in_every_coded_column(manifest, schema, column, message):
    with pytest.raises(DataError, match=message):
        read_photos(manifest(f"path,{column}\na.jpg,2.5\n"), schema)


@pytest.mark.parametrize("ages", ["2,1,0", "2.0,1.0,", "1,1,1"])
def test_an_age_column_of_band_codes_is_an_error(manifest, schema, ages):
    rows = "".join(f"{name}.jpg,{age}\n" for name, age in zip("abc", ages.split(","), strict=True))
    path = manifest("path,age\n" + rows)
    with pytest.raises(DataError, match="looks like band codes") as caught:
        read_photos(path, schema)
    assert "rename the column to age_band" in str(caught.value)
    assert read_photos(path, schema, {"age": "years"})[0].labels["age"] == float(ages.split(",")[0])
    assert read_photos(path, schema, {"age": "band"})[1].labels["age"] == "30-59"


def test_ages_of_children_and_adults_are_years(manifest, schema):
    assert labels_of(manifest("path,age\na.jpg,2\nb.jpg,3\n"), schema) == [{"age": 2.0}, {"age": 3.0}]


@pytest.mark.parametrize("header", [",path,mask", "path,,mask", "path,mask,"])
def test_a_column_without_a_name_is_ignored_with_a_note(manifest, schema, header):
    row = {"": "0", "path": "a.jpg", "mask": "wear"}
    path = manifest(f"{header}\n{','.join(row[name] for name in header.split(','))}\n")
    photos, problems = scan_photos(path, schema)
    assert [(problem.severity, problem.kind) for problem in problems] == [("note", "columns")]
    assert "a column without a name is ignored" in problems[0].message
    assert (photos[0].labels, photos[0].person, photos[0].repeat) == ({"mask": "wear"}, "a.jpg", 1)


def test_bands_of_other_datasets(manifest, schema):
    path = manifest(
        'file,age\na.jpg,0-2\nb.jpg,more than 70\nc.jpg,"(25, 32)"\nd.jpg,"(60, 100)"\ne.jpg,None\nf.jpg,35\n'
    )
    photos, problems = scan_photos(path, schema)
    assert [photo.labels.get("age") for photo in photos] == ["<30", ">=60", "(25, 32)", ">=60", None, 35.0]
    assert photos.attribute_indices(schema)[:, 2].tolist() == [0, 2, -1, 2, -1, 1]
    assert schema.allowed_mask_from_labels([photos[2].labels], "age").tolist() == [[True, True, False]]
    assert [problem.message for problem in problems if problem.kind == "no label"] == [
        "age: 'None' is read as no label (1 cells)"
    ]
    assert [problem.message for problem in problems if problem.kind == "no single value"] == [
        "age: '(25, 32)' overlaps several values, which all stay possible (1 cells)"
    ]
    with pytest.raises(DataError, match="it is a date, which spreadsheets make of a band"):
        read_photos(manifest("file,age\na.jpg,9-Mar\n"), schema)


@pytest.mark.parametrize(("delimiter", "encoding"), [(";", "utf-8-sig"), ("\t", "cp949"), (",", "cp949")])
def test_korean_tables(manifest, schema, delimiter, encoding):
    path = manifest("")
    rows = [("파일명", "마스크", "성별"), ("a.jpg", "착용", "남"), ("b.jpg", "미착용", "여")]
    path.write_bytes("\r\n".join(delimiter.join(row) for row in rows).encode(encoding))
    assert labels_of(path, schema) == [
        {"mask": "wear", "gender": "male"},
        {"mask": "not_wear", "gender": "female"},
    ]


def test_korean_ages_with_a_unit(manifest, schema):
    path = manifest("이미지경로,연령,마스크 착용 여부\na.jpg,24세,정상착용\nb.jpg,61살,턱스크\n")
    assert [labels["mask"] for labels in labels_of(path, schema)] == ["wear", "incorrect"]
    assert [schema["age"].encode(labels["age"]) for labels in labels_of(path, schema)] == [0, 2]


def test_equal_problems_are_counted(manifest, schema):
    rows = "".join(f"{name}.jpg,worm\n" for name in "abcdef")
    (problem,) = problems_of(manifest("path,mask\n" + rows), schema, "manifest row")
    assert problem.location == "row 2"
    assert "6 rows have this problem: 2, 3, 4, 5, 6, 7" in problem.message
    rows = "".join(f"none/{number}.jpg\n" for number in range(20))
    (problem,) = problems_of(manifest("path\n" + rows), schema, "manifest row")
    assert "none/0.jpg does not exist; 20 rows have this problem: 2, 3, 4, 5, 6, 7, 8, 9, ..." in problem.message
    assert len(problems_of(manifest("path,mask\na.jpg,worm\nb.jpg,worm\n"), schema, "manifest row")) == 2


def test_how_codes_without_words_are_read_is_noted(manifest, schema):
    path = manifest("path,gender,age_band\na.jpg,0,1\nb.jpg,1,1\n")
    notes = problems_of(path, schema, "codes")
    assert [note.message for note in notes] == [
        "gender: 0 = male, 1 = female (codes without words)",
        "age_band: 0 = <30, 1 = 30-59, 2 = >=60 (codes without words)",
    ]
    assert read_photos(path, schema).notes == tuple(notes)
    codes = {"gender": {"0": "female", "1": "male"}}
    assert [photo.labels["gender"] for photo in read_photos(path, schema, codes)] == ["female", "male"]
    assert problems_of(path, schema, "codes", codes)[0].message == "gender: 0 = female, 1 = male (data.codes)"
    # A word or a gap beside the codes does not hide how they are read.
    mixed = problems_of(manifest("path,gender\na.jpg,0\nb.jpg,female\n"), schema, "codes")
    assert [note.message for note in mixed] == ["gender: 0 = male, 1 = female (codes without words)"]
    assert problems_of(manifest("path,gender\na.jpg,male\nb.jpg,female\n"), schema, "codes") == []


def test_a_mask_column_of_0_and_1_needs_a_meaning(manifest, schema):
    path = manifest("path,mask\na.jpg,1\nb.jpg,1.0\nc.jpg,0\n")
    with pytest.raises(DataError, match="column mask holds only the codes 0 and 1, of 3 possible values") as caught:
        read_photos(path, schema)
    assert "data.codes={mask: {0: not_wear, 1: wear}}" in str(caught.value)
    codes = {"mask": {"0": "no mask", "1": "wear"}}
    assert [photo.labels["mask"] for photo in read_photos(path, schema, codes)] == ["wear", "wear", "not_wear"]
    assert labels_of(manifest("path,mask\na.jpg,0\nb.jpg,2\n"), schema)[1] == {"mask": "not_wear"}


@pytest.mark.parametrize(
    ("cells", "listed"), [("012", "0, 1 and 2"), ("02", "0 and 2"), ("21", "1 and 2"), ("01", "0 and 1")]
)
def test_a_class_column_with_the_codes_of_one_attribute_needs_a_meaning(manifest, schema, cells, listed):
    """Otherwise everybody would be male and of the first age bands."""
    path = manifest("path,label\n" + "".join(f"{'abc'[number]}.jpg,{cell}\n" for number, cell in enumerate(cells)))
    with pytest.raises(DataError, match=f"column label holds only the codes {listed}, of 18 possible values") as caught:
        read_photos(path, schema)
    assert "data.codes={label: class} for class indices" in str(caught.value)
    codes = {"label": {"0": "not_wear", "1": "wear", "2": "incorrect"}}
    words = {"0": "not_wear", "1": "wear", "2": "incorrect"}
    assert [photo.labels for photo in read_photos(path, schema, codes)] == [{"mask": words[cell]} for cell in cells]
    # Class indices as there are: beyond those codes, or one class alone.
    assert labels_of(manifest("path,label\na.jpg,1\nb.jpg,3\n"), schema)[1]["gender"] == "female"
    assert labels_of(manifest("path,label\na.jpg,2\n"), schema)[0]["mask"] == "wear"


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("Datei;Maske;Geschlecht;Alter", "a.jpg;falsch getragen;w;41"),
        ("Bild;Maske;Geschlecht;Alter", "a.jpg;maske_falsch_getragen;weiblich;41"),
        ("archivo;mascarilla;sexo;edad", "a.jpg;mascarilla mal puesta;mujer;41"),
        ("fichier;masque;sexe;âge", "a.jpg;worn wrongly;femme;41"),
    ],
)
def test_tables_of_other_languages(manifest, schema, header, row):
    assert labels_of(manifest(f"{header}\n{row}\n"), schema) == [{"mask": "incorrect", "gender": "female", "age": 41.0}]


def test_a_label_column_of_0_and_1_needs_a_meaning(manifest):
    schema = LABEL_SCHEMAS["mask"]
    path = manifest("path,label\na.jpg,1\nb.jpg,0\n")
    with pytest.raises(DataError, match="column label holds only the codes 0 and 1"):
        read_photos(path, schema)
    codes = {"label": {"0": "not_wear", "1": "wear"}}
    assert [photo.labels for photo in read_photos(path, schema, codes)] == [{"mask": "wear"}, {"mask": "not_wear"}]
    assert read_photos(path, schema, {"label": "class"})[0].labels == {"mask": "incorrect"}
    assert labels_of(manifest("path,label\na.jpg,with_mask\n"), schema) == [{"mask": "wear"}]
    ages, codes = LABEL_SCHEMAS["age"], {"label": {"0": ">=60", "1": "<30"}}
    path = manifest("path,label\na.jpg,1\nb.jpg,0\n")
    assert [photo.labels["age"] for photo in read_photos(path, ages, codes)] == ["<30", ">=60"]


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ({"gander": {"0": "male"}}, "did you mean 'gender'"),
        ({"gender": {"x": "2"}}, "'2' is not a value of gender"),
        ({"gender": {"x": "0"}}, "'0' is not one value of gender"),
        ({"gender": {"0": "mail"}}, "'mail' is not a value of gender"),
        ({"gender": "years"}, "'years' is not a meaning"),
        ({"label": {"0": "male", "1": "wear"}}, "are not values of one attribute"),
        ({"gender": {"0": "male"}}, "code 1 of gender is not in data.codes"),
    ],
)
def test_wrong_meanings_of_codes_are_errors(manifest, schema, codes, message):
    with pytest.raises(DataError, match=message):
        read_photos(manifest("path,gender\na.jpg,1\n"), schema, codes)


@pytest.mark.parametrize("column", ["subject", "identity", "people_path", "folder", "profile", "id", "Name"])
def test_a_likely_person_column_is_named(manifest, schema, column):
    path = manifest(f"path,{column},mask\na.jpg,x,wear\nb.jpg,x,wear\nc.jpg,y,wear\n")
    (problem,) = problems_of(path, schema, "persons")
    assert problem.severity == "warning"
    assert f"column {column}, which has 2 values for 3 photos, is ignored" in problem.message
    assert f"rename column {column} to person" in problem.hint
    assert problem in read_photos(path, schema).notes


@pytest.mark.parametrize("cells", ["1,2,3", "x,x,x", ",,"])
def test_a_column_that_cannot_group_photos_is_not_named(manifest, schema, cells):
    rows = "".join(f"{name}.jpg,{cell}\n" for name, cell in zip("abc", cells.split(","), strict=True))
    assert problems_of(manifest("path,id\n" + rows), schema, "persons") == []
    assert problems_of(manifest("path,id,person\na.jpg,1,p\nb.jpg,1,p\nc.jpg,2,p\n"), schema, "persons") == []


def test_persons_in_file_names_are_read(tmp_path, schema):
    names = [
        "000001_female_Asian_23_mask1.jpg",
        "000001_female_Asian_23_normal.jpg",
        "8f3a1c01-000001-1_male_Asian_40_mask1.jpg",
        "cam_left_front_12_3.jpg",
    ]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "photos.csv").write_text("path\n" + "\n".join(names))
    photos, problems = scan_photos(tmp_path / "photos.csv", schema)
    assert [photo.person for photo in photos] == [
        "000001_female_Asian_23",
        "000001_female_Asian_23",
        "000001-1_male_Asian_40",
        "cam_left_front_12_3.jpg",
    ]
    assert "persons are read from the names of 3 files: 2 persons" in problems[-1].message


def test_a_column_of_values_under_another_name_is_named(manifest, schema):
    path = manifest("path,choice\na.jpg,wear\nb.jpg,incorrect\n")
    (problem,) = problems_of(path, schema, "labels")
    assert problem.hint == "rename column choice to mask"
    assert problems_of(manifest("path,choice\na.jpg,wear\nb.jpg,good\n"), schema, "labels") == []
    assert problems_of(manifest("path,service_test\na.jpg,True\nb.jpg,False\n"), schema, "labels") == []


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_in_the_other_unicode_form_are_found(tmp_path, schema, on_disk, in_table):
    (tmp_path / unicodedata.normalize(on_disk, "가é.jpg")).write_bytes(b"x")
    (tmp_path / "photos.csv").write_text("path\n" + unicodedata.normalize(in_table, "가é.jpg"), encoding="utf-8")
    assert len(read_photos(tmp_path / "photos.csv", schema)) == 1


def test_other_words_are_mapped_to_values(manifest, schema):
    path = manifest("path,mask,label\na.jpg,Bare_Faced,\nb.jpg,wear,\nc.jpg,,chico\n")
    codes = {"mask": {"bare faced": "not_wear"}, "label": {"chico": "male", "chica": "female"}}
    assert [photo.labels for photo in read_photos(path, schema, codes)] == [
        {"mask": "not_wear"},
        {"mask": "wear"},
        {"gender": "male"},
    ]
    problem = next(item for item in scan_photos(path, schema)[1] if "Bare_Faced" in item.message)
    assert "data.codes={mask: {'Bare_Faced': VALUE}}" in problem.hint
    assert "its values are wear, incorrect, not_wear" in problem.hint
    with pytest.raises(DataError, match="'Bare_Faced' is not a value of mask"):
        read_photos(path, schema, {"mask": {"bald": "not_wear"}})
    binary = manifest("path,mask\na.jpg,0\nb.jpg,1\n")
    with pytest.raises(DataError, match="holds only the codes 0 and 1"):
        read_photos(binary, schema, {"mask": {"bald": "not_wear"}})


@pytest.mark.parametrize("cell", ["-1", "_1", "1_", "- 1", "-1.0"])
@pytest.mark.parametrize("column", ["mask", "gender"])
def test_minus_one_is_not_the_code_one(manifest, schema, column, cell):
    with pytest.raises(DataError, match=f"'{cell}' is not a value of {column}"):
        read_photos(manifest(f"path,{column}\na.jpg,{cell}\n"), schema)
    right = {"mask": ["not_wear", "incorrect"], "gender": ["male", "female"]}[column]
    other = {"mask": 2, "gender": 0}[column]
    path = manifest(f"path,{column}\na.jpg,{other}\nb.jpg,1\n")
    assert labels_of(path, schema) == [{column: value} for value in right]


@pytest.mark.parametrize("gap", ["nan", "", "unknown", "wear"])
def test_a_gap_does_not_hide_codes_that_need_a_meaning(manifest, schema, gap):
    path = manifest(f"path,mask\na.jpg,0\nb.jpg,1\nc.jpg,{gap}\n")
    with pytest.raises(DataError, match="column mask holds only the codes 0 and 1"):
        read_photos(path, schema)
    codes = {"mask": {"0": "not_wear", "1": "wear"}}
    labels = [photo.labels.get("mask") for photo in read_photos(path, schema, codes)]
    assert labels == ["not_wear", "wear", "wear" if gap == "wear" else None]


def test_none_as_a_mask_state_is_told_and_beside_codes_asked_for(manifest, schema):
    path = manifest("path,mask\na.jpg,wear\nb.jpg,None\n")
    assert [photo.labels["mask"] for photo in read_photos(path, schema)] == ["wear", "not_wear"]
    assert [item.severity for item in problems_of(path, schema, "codes")] == ["warning"]
    assert problems_of(path, schema, "codes", {"mask": {"none": "not_wear"}}) == []
    for others in ("0,2", "wear,no mask"):
        cells = (*others.split(","), "None")
        path = manifest(
            "path,mask\n" + "".join(f"{name}.jpg,{cell}\n" for name, cell in zip("abc", cells, strict=True))
        )
        with pytest.raises(DataError, match="'None' is read as not_wear, but Python writes it for an empty cell"):
            read_photos(path, schema)
        assert read_photos(path, schema, {"mask": {"none": "not_wear"}})[2].labels == {"mask": "not_wear"}
    path = manifest("path,label\na.jpg,3\nb.jpg,None\n")
    with pytest.raises(DataError, match="'None' is read as not_wear"):
        read_photos(path, schema)


def test_a_gap_in_a_column_of_class_indices_is_no_label(manifest, schema):
    path = manifest("path,class\na.jpg,5.0\nb.jpg,nan\nc.jpg,\n")
    assert labels_of(path, schema) == [{"mask": "wear", "gender": "female", "age": ">=60"}, {}, {}]
    assert [note.message for note in problems_of(path, schema, "no label")] == [
        "class: 'nan' is read as no label (1 cells)"
    ]


@pytest.mark.parametrize(("ages", "severity"), [("1,2,3", "fatal"), ("0,4,8", "fatal"), ("2,5,9", "warning")])
def test_an_age_column_of_other_codes_is_asked_for(manifest, schema, ages, severity):
    rows = "".join(f"{name}.jpg,{age}\n" for name, age in zip("abc", ages.split(","), strict=True))
    path = manifest("path,age\n" + rows)
    (problem,) = problems_of(path, schema, "codes")
    assert (problem.severity, "looks like band codes" in problem.message) == (severity, True)
    codes = dict(zip(ages.split(","), ("<30", "30-59", ">=60"), strict=True))
    labels = [photo.labels["age"] for photo in read_photos(path, schema, {"age": codes})]
    assert labels == ["<30", "30-59", ">=60"]
    assert problems_of(path, schema, "codes", {"age": "years"}) == []
    assert problems_of(manifest("path,age\na.jpg,1\nb.jpg,10\n"), schema, "codes") == []


def test_an_underscore_makes_no_number(manifest, schema):
    with pytest.raises(DataError, match="'3_9' is not a value of age"):
        read_photos(manifest("path,age\na.jpg,3_9\n"), schema)
    assert labels_of(manifest("path,age\na.jpg,3-9\n"), schema) == [{"age": "<30"}]


def test_a_hint_names_no_band_that_is_merely_spelled_alike(manifest, schema):
    with pytest.raises(DataError) as caught:
        read_photos(manifest("path,age\na.jpg,3/9\n"), schema)
    assert "did you mean" not in str(caught.value)


def test_headers_with_spaces(manifest, schema):
    path = manifest("Image Path,Mask State,Age Group,person id\na.jpg,wear,20-29,7\n")
    (photo,) = read_photos(path, schema)
    assert (photo.labels, photo.person) == ({"mask": "wear", "age": "<30"}, "7")


def test_a_bar_delimits_cells(manifest, schema):
    assert labels_of(manifest("path|mask|age\na.jpg|wear|(15, 20)\n"), schema) == [{"mask": "wear", "age": "<30"}]


def test_words_for_an_empty_cell_name_nobody(manifest, schema):
    """As the person "nan", strangers would be one person."""
    path = manifest("path,person,mask\na.jpg,nan,wear\nb.jpg,NaN,wear\nc.jpg,None,wear\nd.jpg,Nana,wear\n")
    photos, problems = scan_photos(path, schema)
    assert [photo.person for photo in photos] == ["a.jpg", "b.jpg", "c.jpg", "Nana"]
    said = [item for item in problems if "nobody named" in item.message]
    assert [item.severity for item in said] == ["warning"] * 3
    assert said[0].message == "person: 'nan' is read as nobody named (1 cell)"


def test_a_person_whose_number_pandas_wrote_as_a_float_is_the_same_person(manifest, schema):
    path = manifest("path,person,mask\na.jpg,1.0,wear\nb.jpg,1,wear\nc.jpg,2.50,wear\nd.jpg,007,wear\n")
    assert [photo.person for photo in read_photos(path, schema)] == ["1", "1", "2.50", "007"]


def test_the_hint_of_band_codes_can_be_copied(manifest, schema):
    path = manifest("path,age_band\na.jpg,2\n")
    (note,) = [item for item in scan_photos(path, schema)[1] if item.kind == "codes"]
    option = "{age: {0: '<30', 1: '30-59', 2: '>=60'}}"
    assert f"set data.codes={option}" in note.hint
    assert [photo.labels for photo in read_photos(path, schema, parse_codes(option))] == [{"age": ">=60"}]


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ({"class": {"0": "wear"}}, "there is no column class, .*; label columns: mask, age$"),
        ({"gender": {"0": "female"}}, "there is no column gender, .*; label columns: mask, age$"),
        ({"mask": {"zzz": "wear", "9": "wear"}}, "column mask holds none of zzz, 9, .*; it holds wear, worn$"),
        # The file has bands of ages, and no years.
        ({"age": "years"}, "there is no column age, "),
    ],
)
def test_codes_of_no_column_or_cell_are_an_error(tmp_path, write_photo, schema, codes, message):
    rows = "path,Mask,age_group\na.jpg,worn,20-29\nb.jpg,wear,0\n"
    for name in "ab":
        write_photo(tmp_path / f"{name}.jpg", seed=ord(name))
    (tmp_path / "photos.csv").write_text(rows)
    with pytest.raises(DataError) as caught:
        read_manifest(tmp_path / "photos.csv", schema, codes)
    assert re.search(message, caught.value.message)
    assert caught.value.hint == f"correct {next(iter(codes))} in data.codes, or leave it out (as an option: --codes)"
    # Sources that share the meanings need not have every column.
    dataset = read_manifest(tmp_path / "photos.csv", schema, codes, must_use_codes=False)
    assert [note.severity for note in dataset.notes if note.kind == "unused codes"] == ["note"]


def test_a_code_that_occurs_is_enough_in_any_spelling(tmp_path, write_photo, schema):
    write_photo(tmp_path / "a.jpg")
    (tmp_path / "photos.csv").write_text("path,Geschlecht,label\na.jpg,Frau A,3.0\n")
    codes = {"gender": {"frau_a": "female"}, "Label": "class"}
    assert not [note for note in read_manifest(tmp_path / "photos.csv", schema, codes).notes if "unused" in note.kind]


@pytest.mark.parametrize(
    ("cell", "likely"),
    [("g.jpg", "images/g.jpg"), ("z.jpg", ""), ("../a", "")],
)
def test_a_missing_photo_that_is_there_under_another_name_is_named(manifest, schema, tmp_path, cell, likely):
    """Names without the folder of the photos, as in tables of competitions."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "g.jpg").write_bytes(b"x")
    _, problems = scan_photos(
        manifest("path,mask\n" + "".join(f"{cell}{more},wear\n" for more in ("", "", "!"))), schema
    )
    missing = [problem for problem in problems if "does not exist" in problem.message]
    assert {(f"write {likely} in place of {cell}, and the others alike" in problem.hint) for problem in missing} == {
        bool(likely)
    }
    assert len({problem.hint for problem in missing}) == 1


@pytest.mark.parametrize("cell", ["a", "g"])
def test_names_without_a_suffix_are_answered_with_the_import_that_finds_them(manifest, schema, tmp_path, cell):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "g.jpg").write_bytes(b"x")
    path = manifest(f"path,mask\n{cell},wear\nz,wear\n")
    (problem, *_) = scan_photos(path, schema)[1]
    assert problem.hint == f"import it: maskfit data import {path} --out manifest.csv"


def test_a_code_that_is_no_value_is_given_a_meaning(manifest, schema):
    path = manifest("path,gender\na.jpg,1\nb.jpg,2\n")
    _, problems = scan_photos(path, schema)
    (problem,) = [problem for problem in problems if problem.severity == "fatal"]
    assert "say what every code means: data.codes={gender: {CODE: VALUE, ...}} (as an option: --codes)" in problem.hint
    assert len(read_photos(path, schema, {"gender": {"1": "male", "2": "female"}})) == 2


@pytest.mark.parametrize("code", [0, 1])
def test_one_code_of_an_attribute_is_asked_for(tmp_path: Path, code: int) -> None:
    table = tmp_path / "photos.csv"
    table.write_text("path,mask\n" + "".join(f"{number}.jpg,{code}\n" for number in range(3)))
    with pytest.raises(DataError, match=f"column mask holds only the code {code}, of 3 possible values"):
        read_manifest(table, LABEL_SCHEMAS["mask"], must_exist=False)
    photos = read_manifest(table, LABEL_SCHEMAS["mask"], {"mask": {str(code): "wear"}}, must_exist=False)
    assert {photo.labels["mask"] for photo in photos} == {"wear"}


def test_ages_from_0_to_1_are_no_years(tmp_path: Path) -> None:
    table = tmp_path / "photos.csv"
    table.write_text("path,age\na.jpg,0.18\nb.jpg,0.35\nc.jpg,0.8\n")
    with pytest.raises(DataError, match=r"holds only numbers from 0 to 1, such as 0\.18"):
        read_manifest(table, LABEL_SCHEMAS["age"], must_exist=False)
    table.write_text("path,age\na.jpg,18.5\nb.jpg,0.5\n")
    assert len(read_manifest(table, LABEL_SCHEMAS["age"], must_exist=False)) == 2


@pytest.mark.parametrize(
    ("column", "words"),
    [("is_male", "whether gender is male"), ("Male", "whether gender is male"), ("with_mask", "whether mask is wear")],
)
def test_a_column_named_like_a_value_is_not_to_be_renamed(manifest, schema, column, words):
    path = manifest(f"path,{column},note\na.jpg,1,x\nb.jpg,0,y\n")
    notes = [problem for problem in scan_photos(path, schema)[1] if problem.kind == "columns"]
    assert words in notes[0].hint
    plain = manifest("path,note\na.jpg,x\n")
    notes = [problem for problem in scan_photos(plain, schema)[1] if problem.kind == "columns"]
    assert notes[0].hint.startswith("rename a column that is meant as a label, or train attributes of your own")
