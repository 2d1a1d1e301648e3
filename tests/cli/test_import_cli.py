"""`maskfit data import` as a user types it, and commands on folders that need no import."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from maskfit.config.loader import read_recipe


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Class folders: twelve photos, no two alike."""
    for number in range(12):
        folder = tmp_path / "photos" / ("with_mask" if number % 2 else "without_mask")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (72, 96), (20 * number, number, 0)).save(folder / f"anna{number // 2}_{number}.png")
    return tmp_path / "photos"


def test_import_prints_tables_and_writes_relative_paths(command, root, tmp_path):
    target = tmp_path / "manifest.csv"
    result = command("data", "import", root, "--out", target)
    assert result.code == 0, result.err
    assert "folders; 12 rows; labels: mask 12" in result.out
    assert "any without_mask mask not_wear spelling 6" in " ".join(result.out.split())
    assert f"written: {target}: 12 rows" in result.out
    with target.open() as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0] == {"path": "photos/with_mask/anna0_1.png", "mask": "wear"}
    checked = command("data", "check", target)
    assert checked.code == 0
    assert "12 photos, persons unknown; labels known: mask 12" in checked.out


def test_nothing_is_overwritten(command, root, tmp_path):
    target = tmp_path / "manifest.csv"
    target.write_text("mine")
    result = command("data", "import", root, "--out", target)
    assert (result.code, target.read_text()) == (2, "mine")
    assert "add --force" in result.err
    assert command("data", "import", root, "--out", target, "--force").code == 0
    assert target.read_text().startswith("path,mask\n")


def test_a_label_file_is_not_replaced_even_with_force(command, tmp_path, root):
    labels = root / "labels.csv"
    photo = "with_mask/anna0_1.png"
    labels.write_text(f"file,age,gender,race,service_test\n{photo},3-9,Male,White,True\n")
    before = labels.read_text()
    result = command("data", "import", labels, "--out", labels, "--force")
    assert result.code == 2
    assert "a file that the command reads" in result.err
    assert labels.read_text() == before


def test_without_out_nothing_is_written(command, root):
    result = command("data", "import", root, "--person", "/([a-z]+[0-9]+)_")
    assert result.code == 0
    assert "12 rows of 6 persons" in result.out
    assert "nothing is written; add --out manifest.csv" in result.err
    assert sorted(path.name for path in root.parent.iterdir()) == ["here", "photos"]


def test_json_lists_everything(command, root, tmp_path):
    Image.new("RGB", (72, 96)).save(root / "stray.png")
    result = command("data", "import", root, "--format", "folders", "--map", "with_mask=incorrect", "--json")
    data = json.loads(result.out)
    assert (data["format"], data["rows"], data["labels"], data["written"]) == ("folders", 12, {"mask": 12}, None)
    assert data["left_out"] == [{"where": "stray.png", "why": "the photo is in no class folder"}]
    assert data["codes"][0] == {
        "label": "any", "word": "with_mask", "read_as": "mask incorrect", "by": "--map", "rows": 6
    }  # fmt: skip


def test_the_help_names_every_format(command):
    from maskfit.data.importers import IMPORTERS

    text = " ".join(command("data", "import", "--help").out.replace("│", " ").split())
    assert f"found by itself where it is certain: {', '.join(IMPORTERS)}." in text.replace("- ", "-")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--map", "with_mask"], "'with_mask' is not WORD=VALUE"),
        (["--map", "with_mask=wer"], "'wer' is no value"),
        (["--format", "folder"], "did you mean 'folders'"),
        (["--person", "("], "'(' is no regular expression"),
        (["--person", "nobody"], "'nobody' matches no photo's path"),
        (["--format", "utkface"], "no label at all"),
    ],
)
def test_mistakes_are_one_clean_error(command, root, arguments, message):
    result = command("data", "import", root, *arguments)
    assert result.code == 2
    assert message in result.err
    assert "next: " in result.err or "did you mean" in result.err


def test_check_split_and_explore_take_class_folders(command, root, tmp_path):
    checked = command("data", "check", root)
    assert checked.code == 0
    assert "without_mask = mask not_wear (6)" in checked.out
    assert "data.label_schema=mask" in checked.out
    assert f"maskfit data import {root} --out manifest.csv" in checked.out
    split = command("data", "split", root, "--folds", 2, "--schema", "mask", "--out", tmp_path / "splits.csv")
    assert split.code == 0
    assert "folds may leak" in split.err
    assert command("data", "explore", root, "--schema", "mask", "--out", tmp_path / "page.html").code == 0


def test_train_takes_class_folders(command, root, tmp_path):
    small = ("data.image_size=24", "model.backbone.width=4", f"data.cache_dir={tmp_path}", "trainer.device=cpu")
    options = ("data.label_schema=mask", "trainer.epochs=1", "cv.num_folds=2", "model.pretrained=none", *small)
    run = tmp_path / "run"
    result = command("train", "fast", f"data.path={root}", f"output_dir={run}", *options)
    assert result.code == 0, result.err
    assert "without_mask = mask not_wear (6)" in result.err + result.out
    assert (run / "oof_probabilities.csv").is_file()


def test_faces_with_boxes_are_cropped_into_photos_of_their_own(command, tmp_path):
    root = tmp_path / "voc"
    root.mkdir()
    group = Image.new("RGB", (200, 100), (90, 90, 90))
    group.paste((250, 0, 0), (20, 30, 50, 70))
    group.paste((0, 0, 250), (140, 30, 170, 70))
    group.save(root / "a.png")
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{left}</xmin><ymin>30</ymin><xmax>{left + 30}</xmax><ymax>70</ymax>"
        "</bndbox></object>"
        for name, left in (("with_mask", 20), ("without_mask", 140))
    )
    (root / "a.xml").write_text(f"<annotation><filename>a.png</filename>{objects}</annotation>")
    manifest, crops = tmp_path / "faces.csv", tmp_path / "crops"
    assert "--crop needs --out" in command("data", "import", root, "--crop", crops).err
    assert not crops.exists()
    result = command("data", "import", root, "--out", manifest, "--crop", crops)
    assert result.code == 0, result.err
    with (crops / "manifest.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["mask"], row["person"]) for row in rows] == [("wear", "voc/a.png"), ("not_wear", "voc/a.png")]
    for row, color in zip(rows, ((250, 0, 0), (0, 0, 250)), strict=True):
        copy = Image.open(crops / row["path"])
        assert copy.getpixel((copy.width // 2, copy.height // 2)) == color
        assert copy.width < 100
    # A folder with other files is never written into.
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    again = command("data", "import", root, "--out", manifest, "--force", "--crop", other)
    assert (again.code, (other / "mine.txt").read_text()) == (2, "mine")
    record = json.loads(command("data", "import", root, "--out", manifest, "--force", "--crop", crops, "--json").out)
    assert record["crops"] == {"manifest": str(crops / "manifest.csv"), "files": 2}
    written = (crops / "manifest.csv").read_text()
    (crops / "manifest.csv").write_text(written + "\n")
    manifest.unlink()
    refused = command("data", "import", root, "--out", manifest, "--crop", crops)
    assert refused.code == 2
    assert "the manifest of the copies differs" in refused.err
    assert command("data", "import", root, "--out", manifest, "--force", "--crop", crops).code == 0
    assert (crops / "manifest.csv").read_text() == written


def test_the_next_commands_have_the_label_schema_of_what_is_known(command, root, tmp_path):
    """Import, check and train follow from each other; `train` refuses attributes that no photo has."""
    target = tmp_path / "my masks.csv"
    printed = command("data", "import", root, "--out", target).out.splitlines()
    assert printed[-1] == f"next: maskfit data check '{target}' --schema mask"
    for options in ([], ["--schema", "mask"]):
        checked = command("data", "check", target, *options)
        expected = f"next: maskfit train quick 'data.path={target}' data.label_schema=mask cv.num_folds=5"
        assert checked.out.splitlines()[-1] == expected
        assert "quick takes minutes and downloads nothing" in checked.err
    rows = ["path,person,mask,gender,age", *(f"{path},{path},wear,male,20" for path in root.rglob("*.png"))]
    target.write_text("\n".join(rows) + "\n")
    expected = f"next: maskfit train quick 'data.path={target}' cv.num_folds=5"
    assert command("data", "check", target).out.splitlines()[-1] == expected
    # There is no label schema of mask and age, so there is no command that would train.
    target.write_text("\n".join(rows).replace("gender", "note").replace(",male,", ",,") + "\n")
    assert "next: maskfit train" not in command("data", "check", target).out


def test_the_train_command_needs_no_download_and_holds_out_each_of_enough_persons(command, tmp_path):
    assert read_recipe("quick", []).model.pretrained == "none"
    target = tmp_path / "photos.csv"
    for persons, folds in ((9, ""), (10, " cv.num_folds=5")):
        rows = []
        for number in range(persons):
            copy = tmp_path / f"{number}.png"
            Image.new("RGB", (40, 40), (20 * number, 0, 0)).save(copy)
            rows.append(f"{copy},{number},{('wear', 'not_wear')[number % 2]}\n")
        target.write_text("path,person,mask\n" + "".join(rows))
        printed = command("data", "check", target).out.splitlines()
        assert printed[-1] == f"next: maskfit train quick data.path={target} data.label_schema=mask{folds}"


def test_a_train_command_keeps_codes_and_follows_no_fatal_problem(command, root, tmp_path):
    target = tmp_path / "codes.csv"
    rows = [f"{path},{number % 2}\n" for number, path in enumerate(root.rglob("*.png"))]
    target.write_text("path,mask\n" + "".join(rows))
    assert "next: maskfit train" not in command("data", "check", target).out
    codes = "{mask: {0: not_wear, 1: wear}}"
    printed = command("data", "check", target, "--codes", codes).out.splitlines()
    assert printed[-1] == (
        f"next: maskfit train quick data.path={target} data.label_schema=mask 'data.codes={codes}' cv.num_folds=5"
    )


@pytest.mark.parametrize("name", ["data.yaml", "masks.yml"])
def test_the_yaml_of_a_dataset_is_answered_with_its_folder(command, root, name):
    (root / name).write_text("names: [with_mask, without_mask]\n")
    for words in (("data", "import"), ("data", "check")):
        result = command(*words, root / name)
        assert result.code == 2
        assert "give the folder of the dataset" in result.out + result.err
