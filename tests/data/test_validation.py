"""Tests of `validate_dataset`, which collects all problems and raises nothing for bad data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.data.data_problems import DataProblem
from maskfit.data.validation import validate_dataset


@pytest.fixture
def found(tmp_path: Path, schema):
    """Validates tmp_path: kind to the problems of that kind."""

    def run(source: Path = tmp_path) -> dict[str, list[DataProblem]]:
        kinds: dict[str, list[DataProblem]] = {}
        for problem in validate_dataset(source, schema).problems:
            kinds.setdefault(problem.kind, []).append(problem)
        return kinds

    return run


def test_a_valid_dataset_has_no_problems(tmp_path, write_person, schema):
    write_person(tmp_path, "000001_male_Asian_20")
    calls: list[tuple[int, int]] = []
    checked = validate_dataset(tmp_path, schema, progress=lambda done, total: calls.append((done, total)))
    assert checked.problems == ()
    assert calls == [(number, 7) for number in range(1, 8)]
    assert checked.count_classes(schema)[0] == 5
    assert checked.count_known(schema) == {"mask": 7, "gender": 7, "age": 7}


def test_all_problems_are_found_sorted_by_severity(tmp_path, write_person, write_photo, schema):
    folder = write_person(tmp_path, "000001_male_Asian_20")
    write_person(tmp_path, "000002_mail_Asian_20")
    (folder / "mask1.jpg").write_bytes(b"")
    (folder / "mask2.jpg").write_text("a letter")
    (folder / "mask3.jpg").write_bytes((folder / "mask4.jpg").read_bytes()[:-60])
    (folder / "mask5.jpg").unlink()
    (folder / "._mask5.jpg").write_bytes(b"x")
    problems = validate_dataset(tmp_path, schema).problems
    assert [(problem.severity, problem.kind) for problem in problems] == [
        ("fatal", "folder name"),
        ("fatal", "unreadable"),
        ("fatal", "unreadable"),
        ("fatal", "unreadable"),
        ("warning", "incomplete"),
        ("note", "hidden files"),
    ]
    assert all(problem.location and problem.message and problem.hint for problem in problems)
    assert [problem.location for problem in problems[1:4]] == [
        f"{folder.name}/mask{number}.jpg" for number in (1, 2, 3)
    ]


def test_identical_files_of_two_persons(tmp_path, write_person, found):
    first = write_person(tmp_path, "000001_male_Asian_20")
    second = write_person(tmp_path, "000002_female_Asian_20")
    (second / "normal.jpg").write_bytes((first / "normal.jpg").read_bytes())
    (problem,) = found()["duplicate across persons"]
    assert problem.severity == "warning"
    assert "000002_female_Asian_20/normal.jpg, under 2 persons" in problem.message
    assert "disagree about gender" in problem.message


def test_identical_files_of_one_person(tmp_path, write_person, found):
    folder = write_person(tmp_path, "000001_male_Asian_20")
    (folder / "mask2.jpg").write_bytes((folder / "mask1.jpg").read_bytes())
    (folder / "normal.jpg").write_bytes((folder / "incorrect_mask.jpg").read_bytes())
    problems = found()["duplicate"]
    assert ["disagree about mask" in problem.message for problem in problems] == [True, False]


def test_different_years_within_a_bin_disagree(tmp_path, write_photo, found):
    write_photo(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.jpg").read_bytes())
    (tmp_path / "photos.csv").write_text("path,age\na.jpg,37\nb.jpg,38\n")
    assert "disagree about age" in found(tmp_path / "photos.csv")["duplicate across persons"][0].message


def test_suffixes_sizes_and_small_photos(tmp_path, write_person, write_photo, found):
    folder = write_person(tmp_path, "000001_male_Asian_20")
    Image.open(folder / "mask1.jpg").save(folder / "mask1.jpg", "PNG")
    write_photo(folder / "mask2.jpg", size=(96, 40))
    kinds = found()
    assert [problem.location for problem in kinds["file ending"]] == [f"{folder.name}/mask1.jpg"]
    assert "the content is PNG" in kinds["file ending"][0].message
    assert "96 x 40" in kinds["small photo"][0].message
    assert "most have 72 x 96" in kinds["unusual size"][0].message


def test_sizes_without_a_typical_one(tmp_path, write_photo, found):
    for number in range(4):
        write_photo(tmp_path / f"{number}.jpg", seed=number, size=(80 + number, 80))
    (tmp_path / "photos.csv").write_text("path,person,mask\n0.jpg,a,wear\n1.jpg,b,wear\n2.jpg,c,wear\n3.jpg,d,wear\n")
    assert found(tmp_path / "photos.csv").keys() == {"labels"}


def test_problems_of_a_manifest(tmp_path, write_photo, found):
    write_photo(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"GIF89a")
    (tmp_path / "photos.csv").write_text("path,mask\na.jpg,worm\nb.jpg,wear\nc.jpg,\n")
    kinds = found(tmp_path / "photos.csv")
    assert [problem.location for problem in kinds["manifest row"]] == ["row 2", "row 4"]
    assert [problem.location for problem in kinds["unreadable"]] == ["b.jpg"]


def test_a_face_that_two_annotators_boxed(tmp_path, write_photo, found):
    for name in ("a", "b", "c"):
        write_photo(tmp_path / f"{name}.jpg")
    rows = [
        "a.jpg,x,wear,10,10,50,50",
        "a.jpg,x,not_wear,12,10,52,50",
        "b.jpg,y,wear,10,10,50,50",
        "b.jpg,z,wear,10,11,50,51",
        "c.jpg,v,wear,10,10,50,50",
        "c.jpg,w,not_wear,30,10,70,50",
    ]
    (tmp_path / "faces.csv").write_text("path,person,mask,left,upper,right,lower\n" + "\n".join(rows) + "\n")
    twice = found(tmp_path / "faces.csv")["face boxed twice"]
    assert [(problem.location, problem.severity) for problem in twice] == [
        ("a.jpg[10,10,50,50]", "warning"),
        ("b.jpg[10,10,50,50]", "warning"),
    ]
    assert twice[0].message == "the same face as a.jpg[12,10,52,50]; the labels disagree about mask"
    assert twice[1].message.startswith("the same face as b.jpg[10,11,50,51], under 2 persons")


@pytest.mark.parametrize("text", [b"", b"\xff\xfe\x00", b"a,b\n1,2\n", b'path\n"open'])
def test_an_invalid_manifest_is_one_problem(tmp_path, found, text):
    (tmp_path / "photos.csv").write_bytes(text)
    kinds = found(tmp_path / "photos.csv")
    assert [problem.severity for problem in kinds["manifest"]] == ["fatal"]


def test_a_missing_source_is_a_problem(tmp_path, found):
    assert found(tmp_path / "nowhere")["source"][0].severity == "fatal"
    assert found(tmp_path)["empty"][0].severity == "fatal"


def test_a_manifest_without_labels_is_fatal_and_names_the_column(tmp_path, write_photo, found):
    for name in "ab":
        write_photo(tmp_path / f"{name}.jpg", seed=ord(name))
    (tmp_path / "photos.csv").write_text("path,choice\na.jpg,wear\nb.jpg,incorrect\n")
    (problem,) = found(tmp_path / "photos.csv")["no labels"]
    assert (problem.severity, problem.hint) == ("fatal", "rename column choice to mask")
    (tmp_path / "photos.csv").write_text("path,note\na.jpg,hm\nb.jpg,\n")
    assert "add a column mask, gender, age or class" in found(tmp_path / "photos.csv")["no labels"][0].hint
    (tmp_path / "photos.csv").write_text("path,age\na.jpg,25-32\nb.jpg,\n")
    assert "no labels" not in found(tmp_path / "photos.csv")


def test_photos_without_persons_may_leak(tmp_path, write_photo, found):
    for name in "ab":
        write_photo(tmp_path / f"{name}.jpg", seed=ord(name))
    (tmp_path / "photos.csv").write_text("path,mask\na.jpg,wear\nb.jpg,wear\n")
    (problem,) = found(tmp_path / "photos.csv")["persons"]
    assert problem.severity == "warning"
    assert "folds may leak" in problem.message
    (tmp_path / "photos.csv").write_text("path,mask,person\na.jpg,wear,p\nb.jpg,wear,\n")
    assert "persons" not in found(tmp_path / "photos.csv")


def test_meanings_of_codes_are_a_note(tmp_path, write_photo, schema):
    write_photo(tmp_path / "a.jpg")
    (tmp_path / "photos.csv").write_text("path,gender\na.jpg,0\n")
    report = validate_dataset(tmp_path / "photos.csv", schema, codes={"gender": {"0": "female", "1": "male"}})
    assert [(problem.severity, problem.message) for problem in report.problems] == [
        ("note", "gender: 0 = female, 1 = male (data.codes)"),
        ("note", "column gender holds no 1, to which data.codes gives a meaning; it holds 0"),
        ("note", "no photo has a label of mask and age"),
    ]
    assert report.photos[0].labels == {"gender": "female"}


@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_jpeg_is_found_wherever_it_ends(tmp_path, progressive):
    """The check decodes at an eighth of the size; it refuses what decoding for training refuses."""
    from maskfit.data.image_decoding import open_rgb
    from maskfit.data.photo_dataset import Photo
    from maskfit.data.validation import _inspect
    from maskfit.errors import PhotoError

    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((180, 240)).save(tmp_path / "whole.jpg", progressive=progressive)
    content = (tmp_path / "whole.jpg").read_bytes()
    refused = 0
    for end in (*range(200, len(content), 311), len(content) - 40, len(content) - 2, len(content)):
        path = tmp_path / "cut.jpg"
        path.write_bytes(content[:end])
        try:
            open_rgb(path)
            expected = False
        except PhotoError:
            expected = True
        refused += expected
        assert (_inspect(Photo(path, "cut.jpg", "a")).error is not None) is expected, end
    assert refused > 5
    assert _inspect(Photo(tmp_path / "whole.jpg", "whole.jpg", "a")).size == (180, 240)


def test_attributes_without_a_label_are_named_for_manifests_too(tmp_path, write_photo, schema):
    """As for class folders: `train` with the default label schema refuses such data."""
    write_photo(tmp_path / "a.jpg")
    write_photo(tmp_path / "b.jpg", seed=1)
    manifest = tmp_path / "photos.csv"
    manifest.write_text("path,person,mask\na.jpg,x,wear\nb.jpg,y,not_wear\n")
    (note,) = (problem for problem in validate_dataset(manifest, schema).problems if problem.kind == "labels")
    assert note.message == "no photo has a label of gender and age"
    assert note.hint == "train on what is known: data.label_schema=mask (--schema mask of data commands)"
    # A column that holds the labels is named; training on less is not suggested beside it.
    manifest.write_text("path,person,mask,target\na.jpg,x,wear,male\nb.jpg,y,not_wear,female\n")
    labels = [problem.message for problem in validate_dataset(manifest, schema).problems if problem.kind == "labels"]
    assert labels == ["column target is ignored, but holds values of gender: female, male"]
    manifest.write_text("path,person,mask,gender,age\na.jpg,x,wear,male,20\nb.jpg,y,not_wear,female,40\n")
    assert not [problem for problem in validate_dataset(manifest, schema).problems if problem.kind == "labels"]
