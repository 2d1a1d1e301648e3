"""The page of a dataset: well-formed, self-contained, escaped, with all findings."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageEnhance

from maskfit.data.photo_dataset import Photo
from maskfit.exploration.explore import explore
from maskfit.exploration.page import key_findings, write_page
from maskfit.exploration.statistics import to_json
from maskfit.labels.schema import LABEL_SCHEMAS, Attribute, LabelSchema

EVIL = "<script>alert(1)<"


@pytest.fixture
def make(tmp_path: Path, parsed: Any) -> Callable[..., tuple[str, Any]]:
    def write(source: Path, schema: LabelSchema = LABEL_SCHEMAS["mask-gender-age"], **options) -> tuple[str, Any]:
        text = write_page(tmp_path / "page.html", explore(source, schema, **options)).read_text(encoding="utf-8")
        return text, parsed(text)

    return write


@pytest.fixture
def defective(people: Path) -> Path:
    """A set with an unreadable file, a copy, a leak and a gap."""
    first, second, third = sorted(people.iterdir())[:3]
    (first / "mask1.jpg").write_bytes(b"GIF89a")
    (first / "mask3.jpg").write_bytes((first / "mask2.jpg").read_bytes())
    ImageEnhance.Brightness(Image.open(second / "mask2.jpg")).enhance(1.1).save(third / "mask4.jpg", quality=80)
    (third / "mask5.jpg").unlink()
    return people


def test_the_page_is_well_formed_and_loads_nothing(make, defective):
    text, page = make(defective)
    assert {"script", "link", "iframe", "object", "form"}.isdisjoint(tag for tag, _ in page.tags)
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert all(link["href"].startswith("#") for link in page.named("a"))
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.named("img"))
    assert set(re.findall(r"url\((.{23})", text)) == {"data:image/jpeg;base64,"}
    assert any("default-src 'none'" in (attrs.get("content") or "") for attrs in page.named("meta"))
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_every_picture_has_words_and_every_link_a_target(make, defective):
    _, page = make(defective)
    assert page.named("img")
    assert all(image["alt"] for image in page.named("img"))
    cells = [attrs for attrs in page.named("i") if attrs.get("role") == "img"]
    assert cells
    assert all(attrs["aria-label"] for attrs in cells)
    assert all(attrs["aria-label"] for attrs in page.named("svg"))
    places = {attrs.get("id") for _, attrs in page.tags}
    assert {link["href"][1:] for link in page.named("a")} <= places
    assert {label["for"] for label in page.named("label")} <= places


def test_the_page_shows_what_is_wrong(make, defective):
    _, page = make(defective)
    first, second, third = sorted(folder.name for folder in defective.iterdir())[:3]
    for text in (
        "1 file cannot be read",
        "1 pair of persons shares nearly the same photo",
        "1 person lacks some of the 7",
        "1 file appears more than once under one person",
        "this is a GIF, which is not supported",
        f"{first}/mask1.jpg",
        "Folders without their seven photos",
        "6 of the seven photos; missing: mask5",
        "the same file 2 times, of one",
        f"{second}/mask2.jpg",
        f"{third}/mask4.jpg",
        "of 6 persons",
    ):
        assert text in page.text, text


def test_a_dataset_without_problems_reports_none(make, drawn):
    _, page = make(drawn)
    assert "cannot be read" not in page.text
    assert "None. The hash proposed" in page.text


def test_hostile_names_are_text(make, tmp_path, drawn):
    """A folder, a photo, a person and an attribute that are markup."""
    folder = tmp_path / EVIL
    folder.mkdir()
    for number, photo in enumerate(sorted(drawn.glob("*/*.*"))[:9]):
        image = Image.open(photo)
        (image.convert("L") if number < 2 else image).save(folder / f'"><img src=x onerror=1>{number}.jpg')
    (folder / "copy&.jpg").write_bytes((folder / '"><img src=x onerror=1>3.jpg').read_bytes())
    (folder / "bad'.jpg").write_bytes(b"<html>")
    (folder / "<odd>.txt").write_text("")
    rows = [
        f'"{EVIL}/{path.name.replace(chr(34), chr(34) * 2)}",{n % 2},"{EVIL}{n}"'
        for n, path in enumerate(sorted(folder.glob("*.jpg")))
    ]
    (tmp_path / "list.csv").write_text("path,a<b,person\n" + "\n".join(rows) + f"\n{EVIL}/none.jpg,0,x\n")
    schema = LabelSchema(
        attributes=(
            Attribute(name="a<b", values=("<i>x", "y&z"), display_names=("<b onclick=1>", EVIL)),
            LABEL_SCHEMAS["gender"].attributes[0],
        )
    )
    text, page = make(tmp_path / "list.csv", schema)
    assert "<script" not in text
    assert "<b onclick" not in text
    assert "<img src=x" not in text
    assert not any("onerror" in attrs or "onclick" in attrs for _, attrs in page.tags)
    assert EVIL in page.text
    assert '"><img src=x onerror=1>0.jpg' in page.text
    # Folder names of the layout too: an invalid one is listed as a problem.
    (tmp_path / "set" / EVIL).mkdir(parents=True)
    (tmp_path / "set" / "000001_male_Asian_20").mkdir()
    Image.open(photo).save(tmp_path / "set" / "000001_male_Asian_20" / "normal.jpg")
    text, page = make(tmp_path / "set")
    assert "<script" not in text
    assert EVIL in page.text


@pytest.mark.parametrize("name", LABEL_SCHEMAS)
def test_every_schema_has_a_page(make, drawn, name):
    _, page = make(drawn, LABEL_SCHEMAS[name], limit=2)
    assert f"{LABEL_SCHEMAS[name].num_classes} of {LABEL_SCHEMAS[name].num_classes}" in page.text
    assert (
        len([attrs for attrs in page.named("div") if "sheet " in (attrs.get("class") or "")])
        == LABEL_SCHEMAS[name].num_classes
    )


def test_empty_classes_are_named(make, drawn, tmp_path):
    folder = next(path for path in sorted(drawn.iterdir()) if "_female_" in path.name)
    (tmp_path / "one.csv").write_text(f"path,mask,gender\n{folder}/normal.jpg,not_wear,female\n")
    _, page = make(tmp_path / "one.csv", LABEL_SCHEMAS["mask-gender"])
    assert (
        "worn, male; worn, female; worn wrongly, male; worn wrongly, female; not worn, male have no photos" in page.text
    )


def test_filters_name_only_sheets_that_exist(make, drawn):
    text, page = make(drawn)
    rules = set(re.findall(r"\.sheet:not\(\.(v\d-\d)\)", text))
    kinds = {kind for attrs in page.named("div") for kind in (attrs.get("class") or "").split() if kind[:1] == "v"}
    assert rules
    assert rules == {kind for kind in kinds if re.fullmatch(r"v\d-\d", kind)}


def test_page_and_json_have_the_same_numbers(drawn, make):
    result = explore(drawn, LABEL_SCHEMAS["mask-gender-age"])
    values = json.loads(json.dumps(to_json(result), allow_nan=False))
    _, page = make(drawn)
    assert sum(item["photos"] for item in values["classes"].values()) == values["photos"] == 42
    assert values["imbalance"]["smallest"] in page.text
    assert set(values["sizes"]) == {"96 × 128"}
    assert sum(sum(counts.values()) for counts in values["years"]["age"].values()) == values["persons"]
    assert values["near_across_persons"]["complete"]
    assert all(point.text in page.text for point in key_findings(result))


def test_a_photo_that_vanished_is_an_error(make, defective, schema):
    result = explore(defective, schema)
    near = result.near_duplicates.found[0]
    photo: Photo = result.photos[near.first]
    photo.path.unlink()
    with pytest.raises(Exception, match="there is no such photo"):
        write_page(defective / "page.html", result)
    assert not (defective / "page.html").exists()
