"""The page: well-formed, self-contained, escaped, and with the findings on it."""

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
from maskfit.exploration.image_sections import say_name
from maskfit.exploration.page import key_findings, write_page
from maskfit.exploration.statistics import to_json
from maskfit.labels.schema import LABEL_SCHEMAS, Attribute, LabelSchema

EVIL = "<script>alert(1)<"


@pytest.fixture
def make(tmp_path: Path, parsed: Any) -> Callable[..., tuple[str, Any]]:
    def write(source: Path, scheme: LabelSchema = LABEL_SCHEMAS["mask-gender-age"], **options) -> tuple[str, Any]:
        text = write_page(tmp_path / "page.html", explore(source, scheme, **options)).read_text(encoding="utf-8")
        return text, parsed(text)

    return write


@pytest.fixture
def spoilt(people: Path) -> Path:
    """A set with an unreadable file, a copy, a leak and a gap."""
    first, second, third = sorted(people.iterdir())[:3]
    (first / "mask1.jpg").write_bytes(b"GIF89a")
    (first / "mask3.jpg").write_bytes((first / "mask2.jpg").read_bytes())
    ImageEnhance.Brightness(Image.open(second / "mask2.jpg")).enhance(1.1).save(third / "mask4.jpg", quality=80)
    (third / "mask5.jpg").unlink()
    return people


def test_the_page_is_well_formed_and_loads_nothing(make, spoilt):
    text, page = make(spoilt)
    assert {"script", "link", "iframe", "object", "form"}.isdisjoint(tag for tag, _ in page.tag_candidates)
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert all(link["href"].startswith("#") for link in page.named("a"))
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.named("img"))
    assert set(re.findall(r"url\((.{23})", text)) == {"data:image/jpeg;base64,"}
    assert any("default-src 'none'" in (attrs.get("content") or "") for attrs in page.named("meta"))
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_every_picture_has_words_and_every_link_a_target(make, spoilt):
    _, page = make(spoilt)
    assert page.named("img")
    assert all(image["alt"] for image in page.named("img"))
    cells = [attrs for attrs in page.named("i") if attrs.get("role") == "img"]
    assert cells
    assert all(attrs["aria-label"] for attrs in cells)
    assert all(attrs["aria-label"] for attrs in page.named("svg"))
    places = {attrs.get("id") for _, attrs in page.tag_candidates}
    assert {link["href"][1:] for link in page.named("a")} <= places
    assert {label["for"] for label in page.named("label")} <= places


def test_the_page_tells_what_is_wrong(make, spoilt):
    _, page = make(spoilt)
    first, second, third = sorted(folder.name for folder in spoilt.iterdir())[:3]
    for words in (
        "1 file cannot be read",
        "1 pair of persons shares nearly the same photo",
        "1 person lacks some of the 7",
        "1 file is there twice of one person",
        "this is a GIF, which is not read",
        f"{first}/mask1.jpg",
        "Folders without their seven photos",
        "6 of the seven photos; missing: mask5",
        "one file 2 times, of one",
        f"{second}/mask2.jpg",
        f"{third}/mask4.jpg",
        "of 6 persons",
    ):
        assert words in page.text, words


def test_a_sound_set_has_nothing_of_the_kind(make, drawn):
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
    scheme = LabelSchema(
        attributes=(
            Attribute(name="a<b", values=("<i>x", "y&z"), display_names=("<b onclick=1>", EVIL)),
            LABEL_SCHEMAS["gender"].attributes[0],
        )
    )
    text, page = make(tmp_path / "list.csv", scheme)
    assert "<script" not in text
    assert "<b onclick" not in text
    assert "<img src=x" not in text
    assert not any("onerror" in attrs or "onclick" in attrs for _, attrs in page.tag_candidates)
    assert EVIL in page.text
    assert '"><img src=x onerror=1>0.jpg' in page.text
    # The layout's folder names too: they are problems, and problems are listed.
    (tmp_path / "set" / EVIL).mkdir(parents=True)
    (tmp_path / "set" / "000001_male_Asian_20").mkdir()
    Image.open(photo).save(tmp_path / "set" / "000001_male_Asian_20" / "normal.jpg")
    text, page = make(tmp_path / "set")
    assert "<script" not in text
    assert EVIL in page.text


def test_a_name_may_break_and_stays_itself(parsed):
    page = parsed(say_name("000001_<b>_x/mask1.jpg"))
    assert page.text == "000001_<b>_x/mask1.jpg"
    assert [tag for tag, _ in page.tag_candidates] == ["wbr"] * 3


@pytest.mark.parametrize("name", LABEL_SCHEMAS)
def test_every_scheme_has_a_page(make, drawn, name):
    _, page = make(drawn, LABEL_SCHEMAS[name], limit=2)
    assert f"{LABEL_SCHEMAS[name].num_classes} of {LABEL_SCHEMAS[name].num_classes}" in page.text
    assert (
        len([attrs for attrs in page.named("div") if "sheet " in (attrs.get("class") or "")]) == LABEL_SCHEMAS[name].num_classes
    )


def test_empty_classes_are_named(make, drawn, tmp_path):
    folder = next(path for path in sorted(drawn.iterdir()) if "_female_" in path.name)
    (tmp_path / "one.csv").write_text(f"path,mask,gender\n{folder}/normal.jpg,not_wear,female\n")
    _, page = make(tmp_path / "one.csv", LABEL_SCHEMAS["mask-gender"])
    assert (
        "worn, male; worn, female; worn wrongly, male; worn wrongly, female; not worn, male have no photo" in page.text
    )


def test_the_chooser_names_only_sheets_that_are_there(make, drawn):
    text, page = make(drawn)
    rules = set(re.findall(r"\.sheet:not\(\.(v\d-\d)\)", text))
    worn = {kind for attrs in page.named("div") for kind in (attrs.get("class") or "").split() if kind[:1] == "v"}
    assert rules
    assert rules == {kind for kind in worn if re.fullmatch(r"v\d-\d", kind)}


def test_page_and_json_tell_the_same(drawn, make):
    findings = explore(drawn, LABEL_SCHEMAS["mask-gender-age"])
    told = json.loads(json.dumps(to_json(findings), allow_nan=False))
    _, page = make(drawn)
    assert sum(item["photos"] for item in told["classes"].values()) == told["photos"] == 42
    assert told["imbalance"]["smallest"] in page.text
    assert set(told["sizes"]) == {"96 × 128"}
    assert sum(sum(counts.values()) for counts in told["years"]["age"].values()) == told["persons"]
    assert told["near_across_persons"]["complete"]
    assert all(point.text in page.text for point in key_findings(findings))


def test_a_page_of_a_photo_that_vanished_says_so(make, spoilt, scheme):
    findings = explore(spoilt, scheme)
    twin = findings.twins.found[0]
    photo: Photo = findings.photos[twin.first]
    photo.path.unlink()
    with pytest.raises(Exception, match="there is no such photo"):
        write_page(spoilt / "page.html", findings)
    assert not (spoilt / "page.html").exists()
