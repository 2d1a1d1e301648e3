"""The page layout and its parts: self-contained, well-formed, escaped."""

from __future__ import annotations

from markupsafe import Markup

from maskfit import __version__
from maskfit.html.page import breakable_name, card, page, section, table

EVIL = "<script>alert('1')</script>\"&"


def test_a_page_loads_and_runs_nothing(parsed):
    text = page("Title", "Subtitle", [section("One", "", Markup("<p>body</p>"), anchor="one"), Markup("")], ".a { }\n")
    document = parsed(text)
    assert text.startswith("<!DOCTYPE html>")
    assert ".a { }" in text
    assert f"Written by maskfit {__version__}." in document.text
    assert any("default-src 'none'" in (attrs.get("content") or "") for _, attrs in document.tags)
    assert document.named("section") == [{"class": "", "id": "one"}]


def test_plain_strings_are_escaped_and_markup_is_kept(parsed):
    parts = [
        section(EVIL, EVIL, EVIL, "long", anchor=EVIL),
        card(EVIL, EVIL, EVIL, EVIL),
        table([EVIL], [Markup("<tr><td>cell</td></tr>")], 0),
    ]
    text = page(EVIL, EVIL, [Markup("").join(parts)])
    document = parsed(text)
    assert "script" not in {tag for tag, _ in document.tags}
    assert document.text.count(EVIL) == 10
    assert [tag for tag, _ in document.tags].count("td") == 1


def test_a_name_can_break_and_keeps_its_text(parsed):
    document = parsed(str(breakable_name("000001_<b>_x/mask1.jpg")))
    assert document.text == "000001_<b>_x/mask1.jpg"
    assert [tag for tag, _ in document.tags] == ["wbr"] * 3
