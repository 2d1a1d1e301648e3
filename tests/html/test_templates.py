"""Templates escape every value by default, share those of `maskfit.html`, and refuse undefined variables."""

from __future__ import annotations

import pytest
from jinja2 import TemplateNotFound, UndefinedError
from markupsafe import Markup

from maskfit.html.templates import render


@pytest.fixture
def package(make_package):
    """A package with the template `greeting.html.j2`."""
    return make_package(greeting='<p title="{{ name }}">{{ name }}</p>\n')


def test_values_are_escaped_in_text_and_attributes(package):
    html = render(package, "greeting.html.j2", name='"><script>')
    assert html == '<p title="&#34;&gt;&lt;script&gt;">&#34;&gt;&lt;script&gt;</p>'
    assert isinstance(html, Markup)


def test_markup_is_inserted_as_it_is(package):
    assert render(package, "greeting.html.j2", name=Markup("&amp;")) == '<p title="&amp;">&amp;</p>'


def test_an_undefined_variable_is_an_error(package):
    with pytest.raises(UndefinedError, match="name"):
        render(package, "greeting.html.j2")


def test_a_missing_template_is_an_error(package):
    with pytest.raises(TemplateNotFound, match=r"farewell\.html\.j2"):
        render(package, "farewell.html.j2")
