"""Tests of `maskfit evaluate scenes`, with a detector that finds painted rectangles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

FIND = ("--detector", "yunet")
FACES = ((10, 20, 50, 70), (80, 20, 120, 70))


@pytest.fixture
def scenes(tmp_path: Path, paint) -> Path:
    """Photos a and b with two painted faces each. Of a both are annotated and one more; of b one, with a looser box."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    for seed, name in enumerate("ab"):
        Image.fromarray(paint(100, 140, *FACES, seed=seed)).save(folder / f"{name}.png")
    (folder / "scenes.csv").write_text(
        "path,xmin,ymin,xmax,ymax,mask\n"
        "a.png,10,20,50,70,wear\na.png,80,20,120,70,not_wear\na.png,0,72,28,99,incorrect\nb.png,8,16,52,74,wear\n"
        "b.png,125,80,135,90,wear\n"
    )
    return folder


def test_scores_as_json(command, scenes, painted, bundled_model):
    result = command("evaluate", "scenes", scenes, *FIND, "--json")
    assert result.code == 0, result.err
    record = json.loads(result.out)
    # Of four faces that count three are found; the second painted one of b is not annotated.
    assert (record["photos"], record["faces"], record["small_faces"], record["found"]) == (2, 4, 1, 3)
    assert record["recall"] == 0.75
    assert (record["false_faces"], record["false_per_photo"]) == (1, 0.5)
    mask = record["attributes"]["mask"]
    assert [item["faces"] for item in mask["values"]] == [2, 1, 1]
    assert [row[-1] for row in mask["confusion"]] == [0, 1, 0]
    assert mask["macro_f1_all"] <= mask["macro_f1_found"]
    assert {item["photo"]: (item["missed"], item["false"]) for item in record["errors"]} == {
        "a.png": (1, 0), "b.png": (0, 1),
    }  # fmt: skip
    assert set(record["attributes"]) == {"mask"}


def test_false_faces_per_photo_have_the_decimals_of_the_table(command, scenes, painted, bundled_model):
    Image.open(scenes / "b.png").save(scenes / "c.png")
    with (scenes / "scenes.csv").open("a") as stream:
        stream.write("c.png,10,20,50,70,wear\nc.png,80,20,120,70,wear\n")
    record = json.loads(command("evaluate", "scenes", scenes, *FIND, "--json").out)
    assert (record["false_faces"], record["photos"]) == (1, 3)
    assert "0.3333" in command("evaluate", "scenes", scenes, *FIND).out


def test_tables_and_page(command, scenes, painted, model, parsed, tmp_path):
    page = tmp_path / "scenes.html"
    result = command("evaluate", "scenes", scenes / "scenes.csv", model, *FIND, "--out", page)
    assert result.code == 0, result.err
    assert "2 photos, 4 faces of at least 24 pixels (1 smaller ones do not count)" in result.out
    assert "0.7500" in result.out
    tree = parsed(page.read_text())
    assert "2 photos have an error" in tree.text
    assert len(tree.named("img")) == 2
    assert all(tag["src"].startswith("data:image/jpeg") for tag in tree.named("img"))
    assert command("evaluate", "scenes", scenes, model, *FIND, "--out", page).code == 2


def test_predicted_values_that_nobody_annotated_are_named(command, scenes, painted, bundled_model):
    stray = []
    for value in ("wear", "not_wear"):
        (scenes / "scenes.csv").write_text(f"path,xmin,ymin,xmax,ymax,mask\na.png,10,20,50,70,{value}\n")
        mask = json.loads(command("evaluate", "scenes", scenes, *FIND, "--json").out)["attributes"]["mask"]
        predicted = [
            item["name"]
            for number, item in enumerate(mask["values"])
            if not item["faces"] and sum(row[number] for row in mask["confusion"])
        ]
        line = "not annotated but predicted, so that F1 0 counts in macro: " + ", ".join(predicted)
        assert (line in command("evaluate", "scenes", scenes, *FIND).out) == bool(predicted)
        stray += predicted
    assert stray


def test_thresholds_are_options(command, scenes, painted, bundled_model):
    strict = json.loads(command("evaluate", "scenes", scenes, *FIND, "--json", "--iou", "0.9").out)
    assert strict["found"] == 2
    small = json.loads(command("evaluate", "scenes", scenes, *FIND, "--json", "--min-face", "5").out)
    assert (small["faces"], small["found"]) == (5, 3)
    for option in (("--iou", "0"), ("--min-face", "-1")):
        assert command("evaluate", "scenes", scenes, *FIND, *option).code == 2


def test_voc_with_photos_elsewhere(command, scenes, painted, bundled_model, tmp_path):
    box = "".join(
        f"<{key}>{edge}</{key}>" for key, edge in zip(("xmin", "ymin", "xmax", "ymax"), FACES[0], strict=True)
    )
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "a.xml").write_text(
        f"<annotation><filename>a.png</filename><object><name>masque</name><bndbox>{box}</bndbox></object></annotation>"
    )
    result = command("evaluate", "scenes", labels, *FIND, "--images", scenes, "--map", "masque=wear", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["recall"] == 1.0


def test_photos_without_boxes_and_unreadable_ones(command, scenes, painted, bundled_model):
    (scenes / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    result = command("evaluate", "scenes", scenes, *FIND, "--json")
    assert json.loads(result.out)["photos"] == 1
    assert "3 of 5 rows left out of these scores: the photo cannot be read (3)" in result.err
    assert json.loads(result.out)["left_out"] == {"the photo cannot be read": 3}
    (scenes / "scenes.csv").write_text("path,xmin,ymin,xmax,ymax,mask\nb.png,,,,,wear\n")
    assert "no row has a box" in command("evaluate", "scenes", scenes, *FIND).err


def test_rows_left_out_stand_beside_the_scores(command, scenes, painted, bundled_model, tmp_path):
    table = scenes / "scenes.csv"
    table.write_text(table.read_text() + "lost.png,1,1,50,50,wear\n")
    page = tmp_path / "scenes.html"
    result = command("evaluate", "scenes", scenes, *FIND, "-q", "--out", page)
    assert result.code == 0, result.err
    line = "1 of 6 rows left out of these scores: the photo does not exist (1)"
    assert line in result.out
    assert line in page.read_text()


def test_a_face_boxed_twice_is_named_beside_the_scores(command, scenes, painted, bundled_model):
    table = scenes / "scenes.csv"
    table.write_text(table.read_text() + "a.png,11,21,51,71,not_wear\n")
    result = command("evaluate", "scenes", scenes, *FIND, "-q")
    assert "1 pair of annotated boxes shows one face each, of which one box counts as missed" in result.out
    assert json.loads(command("evaluate", "scenes", scenes, *FIND, "--json").out)["boxed_twice"] == 1


def test_a_manifest_beside_other_photos_of_these_names(command, scenes, painted, bundled_model, tmp_path):
    """Paths with ".." are those of the table, and not guesses by the end of the name."""
    elsewhere = tmp_path / "labels" / "deep"
    elsewhere.mkdir(parents=True)
    for name in "ab":
        Image.new("RGB", (140, 100)).save(elsewhere / f"{name}.png")
    manifest = elsewhere / "manifest.csv"
    assert command("data", "import", scenes / "scenes.csv", "--out", manifest).code == 0
    assert "../../scenes/a.png" in manifest.read_text()
    own, written = (json.loads(command("evaluate", "scenes", path, *FIND, "--json").out) for path in (scenes, manifest))
    assert (own["recall"], own["found"], own["photos"]) == (written["recall"], written["found"], written["photos"])
    again = tmp_path / "labels" / "deep" / "again.csv"
    assert command("data", "import", manifest, "--out", again).code == 0
    assert again.read_text() == manifest.read_text()


def test_without_a_detector_it_says_how_to_get_one(command, scenes, bundled_model, monkeypatch):
    monkeypatch.setattr("maskfit.data.crops.face.find_local_detector", lambda: None)
    result = command("evaluate", "scenes", scenes)
    assert result.code == 2
    assert "detector" in result.err


def test_evaluate_of_submissions_is_as_before(command, tmp_path):
    for name in ("truth", "submission"):
        (tmp_path / f"{name}.csv").write_text("ImageID,ans\na.jpg,0\nb.jpg,1\n")
    assert command("evaluate", tmp_path / "truth.csv", tmp_path / "submission.csv").code == 0
    assert "evaluate scenes" in command("--help").out
