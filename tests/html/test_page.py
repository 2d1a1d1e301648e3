"""The page layout and the shared macros: self-contained, well-formed, escaped."""

from __future__ import annotations

from maskfit import __version__
from maskfit.html.page import breakable_name, render_page

EVIL = "<script>alert('1')</script>\"&"

MACROS = """{% extends "html/page.html.j2" %}
{% from "html/macros.html.j2" import section, card, table, row, plain_table, meter, legend, figure %}
{% block sections %}
{% call section(evil, evil, evil, evil, long=true) %}{{ evil }}{% endcall %}
{{ card(evil, evil, evil, evil) }}
{% call table([evil], 0) %}{{ row(evil, [evil], [evil]) }}{% endcall %}
{{ plain_table([evil], [(evil, [evil], [evil])], 1) }}
{{ meter(evil, 50, evil) }}
{{ legend([(evil, 1, evil), (evil, none, "")]) }}
{{ figure(evil, evil, evil) }}
{% endblock %}
"""


def test_a_page_loads_and_runs_nothing(make_package, parsed):
    package = make_package(page='{% extends "html/page.html.j2" %}{% block sections %}<p>{{ text }}</p>{% endblock %}')
    text = render_page(package, "page.html.j2", title="Title", subtitle="Subtitle", style=".a { }\n", text="body")
    document = parsed(text)
    assert text.startswith("<!DOCTYPE html>")
    assert text.endswith("</html>\n")
    assert ".a { }" in text
    assert "<h1>Title</h1><p>Subtitle</p>" in text
    assert "<p>body</p>" in text
    assert f"Written by maskfit {__version__}." in document.text
    assert any("default-src 'none'" in (attrs.get("content") or "") for attrs in document.named("meta"))


def test_every_macro_escapes_its_values(make_package, parsed):
    package = make_package(page=MACROS)
    text = render_page(package, "page.html.j2", title=EVIL, subtitle=EVIL, evil=EVIL)
    document = parsed(text)
    assert "<script" not in text
    # Page 3, section 4, card 3, table 4, plain table 4, meter 1, legend 2, figure 3.
    assert document.text.count(EVIL) == 24


def test_a_name_can_break_and_keeps_its_text(parsed):
    document = parsed(str(breakable_name("000001_<b>_x/mask1.jpg")))
    assert document.text == "000001_<b>_x/mask1.jpg"
    assert [tag for tag, _ in document.tags] == ["wbr"] * 3
