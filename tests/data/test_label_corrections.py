"""Tests of label corrections, which change a copy and no files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from maskfit.data.label_corrections import (
    Correction,
    apply_corrections,
    known_ambiguous,
    known_errors,
    read_corrected,
    read_corrections,
    write_corrections,
)
from maskfit.errors import DataError
from maskfit.labels.age_rule import AgeLabelRule
from maskfit.labels.schema import LABEL_SCHEMAS

FIRST, SUFFIXED = "001498_female_Asian_23", "001498-1_male_Asian_23"


def correct(person: str, attribute: str, value: str, photo: str = "", row: int = 0) -> Correction:
    return Correction(person, photo, attribute, value, row=row)


def test_a_person_is_corrected_in_a_copy(remember, schema):
    photos = remember(FIRST, "000002_male_Asian_30")
    result = apply_corrections(photos, [correct(FIRST, "gender", "male")], schema)
    assert (result.relabeled, result.excluded, len(result.photos)) == (7, 0, 14)
    assert {photo.labels["gender"] for photo in result.photos} == {"male"}
    assert {photo.labels["gender"] for photo in photos if photo.person == FIRST} == {"female"}
    assert [photo.name for photo in result.photos] == [photo.name for photo in photos]
    assert result.photos.persons == photos.persons


def test_label_issues_are_told_from_corrections(tmp_path):
    path = tmp_path / "issues.csv"
    path.write_text("person,photos,attribute,label,proposed,score,reason\na,a.jpg,mask,wear,incorrect,0.9,\n")
    with pytest.raises(DataError, match="a list of label issues, not of corrections") as caught:
        read_corrections(path)
    assert "maskfit label-issues RUN --corrections FILE" in str(caught.value.hint)


def test_a_prefix_must_match_completely(remember, schema):
    """001498 and 001498-1 are two people: a correction of one must not match the other."""
    photos = remember(FIRST, SUFFIXED)
    result = apply_corrections(photos, [correct("001498", "gender", "male")], schema)
    assert {photo.person: photo.labels["age"] for photo in result.photos}[FIRST] == 23.0
    assert result.relabeled == 7
    result = apply_corrections(photos, [correct("001498-1", "gender", "female")], schema)
    genders = {photo.person: photo.labels["gender"] for photo in result.photos}
    assert genders == {FIRST: "female", SUFFIXED: "female"}
    with pytest.raises(DataError, match="no person '00149'"):
        apply_corrections(photos, [correct("00149", "gender", "male")], schema)


def test_an_ambiguous_id_is_rejected(remember, schema):
    photos = remember("003397_female_Asian_20", "003397_female_Asian_56")
    with pytest.raises(DataError, match="matches 2 persons: 003397_female_Asian_20, 003397_female_Asian_56"):
        apply_corrections(photos, [correct("003397", "gender", "male")], schema, strict=False)
    result = apply_corrections(photos, [correct("003397_female_Asian_56", "gender", "male")], schema)
    assert Counter(photo.labels["gender"] for photo in result.photos) == {"female": 7, "male": 7}


def test_a_swap_is_two_rows(remember, schema):
    swap = [
        correct("001498", "mask", "not_wear", "incorrect_mask"),
        correct("001498", "mask", "incorrect", "normal.jpg"),
    ]
    photos = remember(FIRST)
    result = apply_corrections(photos, swap, schema)
    masks = {photo.path.stem: photo.labels["mask"] for photo in result.photos}
    assert (masks["incorrect_mask"], masks["normal"], masks["mask1"]) == ("not_wear", "incorrect", "wear")
    assert result.relabeled == 2


def test_use_no_excludes_photos(remember, schema):
    photos = remember(FIRST, SUFFIXED)
    result = apply_corrections(
        photos, [correct("001498", "use", "no"), correct("001498-1", "use", "no", "mask3")], schema
    )
    assert (result.excluded, len(result.photos), result.relabeled) == (8, 6, 0)
    with pytest.raises(DataError, match="not a value of use"):
        apply_corrections(photos, [correct("001498", "use", "maybe")], schema)


def test_years_and_bands_are_values_of_age(remember, schema):
    photos = remember(FIRST)
    years = apply_corrections(photos, [correct("001498", "age", "60")], schema)
    assert years.photos[0].labels["age"] == 60.0
    band = apply_corrections(photos, [correct("001498", "age", ">=60")], schema)
    assert band.photos.attribute_indices(schema)[:, 2].tolist() == [2] * 7
    decades = AgeLabelRule(by_decade=True).training_schema(schema)
    kept = apply_corrections(photos, [correct("001498", "age", "<30")], decades)
    assert kept.photos.attribute_indices(decades)[0, 2] == -1


def test_equal_labels_are_not_counted_as_changes(remember, schema):
    assert apply_corrections(remember(FIRST), [correct("001498", "gender", "f")], schema).relabeled == 0


def test_all_invalid_rows_are_in_one_error(remember, schema):
    rows = [
        correct("001499", "gender", "male", row=2),
        correct("001498", "gander", "male", row=3),
        correct("001498", "gender", "mail", row=4),
        correct("001498", "mask", "wear", "mask7", row=5),
        correct("001498", "age", "130", row=6),
        correct("001498", "mask", "wear", row=7),
        correct("001498", "mask", "incorrect", "mask1", row=8),
    ]
    with pytest.raises(DataError) as caught:
        apply_corrections(remember(FIRST), rows, schema)
    text = str(caught.value)
    assert "row 2: 001499 gender=male: no person" in text
    assert "did you mean 'gender'" in text
    assert "did you mean 'male'" in text
    assert "did you mean 'mask" in text
    assert "got 130" in text
    assert "row 8: 001498/mask1 mask=incorrect: contradicts row 7" in text


def write_faces(folder: Path, *rows: str) -> Path:
    """A manifest of photos and faces without persons, in two folders with an underscore in their names."""
    for name in ("with_mask/a_1.png", "with_mask/b_2.png", "without_mask/a_1.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (80, 80)).save(folder / name)
    (folder / "faces.csv").write_text("path,mask,left,upper,right,lower\n" + "".join(f"{row}\n" for row in rows))
    return folder / "faces.csv"


def test_photos_without_persons_are_named_by_the_photo_alone(tmp_path):
    manifest = write_faces(
        tmp_path, "with_mask/a_1.png,wear,,,,", "without_mask/a_1.png,not_wear,,,,",
        "with_mask/b_2.png,wear,0,0,40,40", "with_mask/b_2.png,wear,40,40,80,80",
    )  # fmt: skip
    rows = 'with_mask/a_1.png,mask,incorrect\n"b_2.png[40,40,80,80]",mask,not_wear\n'
    (tmp_path / "mine.csv").write_text("photo,attribute,value\n" + rows)
    photos, _ = read_corrected(manifest, LABEL_SCHEMAS["mask"], [tmp_path / "mine.csv"])
    assert [photo.labels["mask"] for photo in photos] == ["incorrect", "not_wear", "wear", "not_wear"]
    (tmp_path / "mine.csv").write_text("person,photo,attribute,value\n,b_2,use,no\n")
    photos, _ = read_corrected(manifest, LABEL_SCHEMAS["mask"], [tmp_path / "mine.csv"])
    assert [photo.name for photo in photos] == ["with_mask/a_1.png", "without_mask/a_1.png"]


def test_a_photo_or_person_that_data_without_persons_lacks_is_answered_with_whole_names(tmp_path):
    manifest = write_faces(
        tmp_path, "with_mask/a_1.png,wear,,,,", "without_mask/a_1.png,not_wear,,,,", "with_mask/b_2.png,wear,0,0,40,40",
        "with_mask/b_2.png,wear,40,40,80,80",
    )  # fmt: skip
    photos = read_corrected(manifest, LABEL_SCHEMAS["mask"])[0]
    rows = [
        correct("with", "mask", "incorrect", row=2),
        correct("a_1.png", "mask", "incorrect", row=3),
        correct("", "mask", "incorrect", "a_1.png", row=4),
        correct("", "mask", "incorrect", "with_mask/b_1.png", row=5),
        correct("", "mask", "incorrect", "b_2.png", row=6),
    ]
    with pytest.raises(DataError) as caught:
        apply_corrections(photos, rows, LABEL_SCHEMAS["mask"])
    text = str(caught.value)
    unnamed = "nobody says who is on the photos of this dataset; leave person empty and name the photo"
    assert f"row 2: with mask=incorrect: no person 'with': {unnamed}, such as with_mask/a_1.png" in text
    assert f"row 3: a_1.png mask=incorrect: no person 'a_1.png': {unnamed}" in text
    assert "row 4: a_1.png mask=incorrect: 'a_1.png' may mean 2 rows: with_mask/a_1.png, without_mask/a_1.png" in text
    assert "row 5: with_mask/b_1.png mask=incorrect: no photo 'with_mask/b_1.png'; did you mean 'with_mask/" in text
    assert "row 6: b_2.png mask=incorrect: 'b_2.png' may mean 2 rows: with_mask/b_2.png[0,0,40,40]" in text


def test_equal_corrections_do_not_contradict(remember, schema):
    twice = [correct("001498", "gender", "male"), correct(FIRST, "gender", "m", "mask1")]
    assert apply_corrections(remember(FIRST), twice, schema).relabeled == 7


def test_unmatched_rows_are_ignored_unless_strict(remember):
    rows = [correct("009999", "mask", "wear"), correct("001498", "gender", "male")]
    result = apply_corrections(remember(FIRST), rows, LABEL_SCHEMAS["mask"], strict=False)
    assert (result.relabeled, result.unmatched) == (0, tuple(rows))


def test_corrections_round_trip(tmp_path):
    rows = [Correction("001498", "normal", "mask", "incorrect", "certain", "swapped, see list", row=2)]
    assert read_corrections(write_corrections(tmp_path / "corrections.csv", rows)) == rows
    (tmp_path / "bad.csv").write_text("person,photo,attribute,value\n,mask1,mask,\n000001,,,\n,,mask,wear\n")
    with pytest.raises(DataError) as caught:
        read_corrections(tmp_path / "bad.csv")
    assert "row 2: person" not in str(caught.value)
    for part in ("row 2: value", "row 3: attribute", "row 3: value", "row 4: person and photo are empty"):
        assert part in str(caught.value)


def test_known_errors():
    certain, likely = known_errors("certain"), known_errors("likely")
    assert certain == likely[: len(certain)]
    says = Counter((item.attribute, item.value) for item in certain)
    assert says == {
        ("mask", "not_wear"): 3,
        ("mask", "incorrect"): 3,
        ("gender", "male"): 6,
        ("gender", "female"): 2,
    }
    says = Counter((item.attribute, item.value) for item in likely[len(certain) :])
    assert says == {
        ("gender", "female"): 1,
        ("gender", "male"): 7,
        ("age", "<30"): 5,
        ("age", "60"): 1,
        ("mask", "wear"): 2,
        ("use", "no"): 1,
    }
    assert {item.person for item in certain if item.value == "female"} == {"001498-1", "004432"}
    assert sum(item.tier == "disputed" for item in known_ambiguous()) == 11
    with pytest.raises(DataError, match="no tier 'disputed'"):
        known_errors("disputed")


def test_known_errors_apply_to_a_part_of_the_dataset(remember, schema):
    photos = remember("000020_female_Asian_50", SUFFIXED, FIRST, "004348_male_Asian_59", "003399_male_Asian_20")
    result = apply_corrections(photos, known_errors("likely"), schema, strict=False)
    labels = {photo.name: photo.labels for photo in result.photos}
    assert labels["000020_female_Asian_50/normal.jpg"]["mask"] == "incorrect"
    assert labels["000020_female_Asian_50/incorrect_mask.jpg"]["mask"] == "not_wear"
    assert labels[f"{SUFFIXED}/mask1.jpg"]["gender"] == "female"
    assert labels["004348_male_Asian_59/mask1.jpg"]["age"] == 60.0
    assert (result.relabeled, result.excluded) == (2 + 7 + 7, 7)


def test_files_are_not_modified(tmp_path, write_person, schema):
    from maskfit.data.read_dataset import read_photos

    write_person(tmp_path, FIRST)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    apply_corrections(read_photos(tmp_path, schema), [correct("001498", "use", "no")], schema)
    assert {path: path.stat().st_mtime_ns for path in Path(tmp_path).rglob("*")} == before


def test_codes_of_bands_as_ages_are_an_error(remember, schema):
    """An age of 2 among corrections is more likely the band 60 and over than a small child."""
    photos = remember(FIRST)
    for value in ("2", "2.0", "0"):
        with pytest.raises(DataError, match="looks like a band code") as caught:
            apply_corrections(photos, [correct("001498", "age", value)], schema)
        assert "write age_band as the attribute" in str(caught.value)
    result = apply_corrections(photos, [correct("001498", "age_band", "2.0")], schema)
    assert result.photos[0].labels["age"] == ">=60"
    years = apply_corrections(photos, [correct("001498", "age", "2")], schema, codes={"age": "years"})
    assert years.photos[0].labels["age"] == 2.0
    mixed = [correct("001498", "age", "2", "mask1"), correct("001498", "age", "45", "mask2")]
    assert apply_corrections(photos, mixed, schema).photos[0].labels["age"] == 2.0
    with pytest.raises(DataError, match=r"band 2\.5 of age is not a whole number"):
        apply_corrections(photos, [correct("001498", "agegroup", "2.5")], schema)


def test_codes_of_corrections(remember, schema):
    photos = remember(FIRST)
    rows = [correct("001498", "gender", "0.0"), correct("001498", "mask", "미착용", "mask1")]
    result = apply_corrections(photos, rows, schema)
    assert result.photos[0].labels["gender"] == "male"
    assert {photo.path.stem: photo.labels["mask"] for photo in result.photos}["mask1"] == "not_wear"
    codes = {"gender": {"0": "female", "1": "male"}}
    assert apply_corrections(photos, rows[:1], schema, codes=codes).relabeled == 0
    with pytest.raises(DataError, match="'none' is not a value of gender"):
        apply_corrections(photos, [correct("001498", "gender", "none")], schema)
