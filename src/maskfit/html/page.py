"""Self-contained HTML pages: the layout, and sections, cards and tables as markup.

A page loads nothing and runs nothing: no scripts, no fonts, no links to other sites, and a content security policy that
forbids them. So it can be mailed, printed and archived. Values are HTML-escaped unless they are `Markup`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from markupsafe import Markup, escape

from maskfit import __version__
from maskfit.html.templates import render


def render_page(package: str, template: str, *, title: str, subtitle: str, style: str = "", **values: object) -> str:
    """Renders a page template that extends `html/page.html.j2`.

    Args:
        package: Dotted name of the package that holds the template.
        template: File name of the template; it fills the block `sections`.
        title: Heading of the page.
        subtitle: Line below the heading.
        style: CSS of this page, added to the CSS that all pages share. It is not escaped.
        **values: Variables of the template.

    Returns:
        The whole HTML document.
    """
    css = Markup(read_text("maskfit.html", "page.css") + style)
    document = render(package, template, title=title, subtitle=subtitle, css=css, version=__version__, **values)
    return f"{document}\n"


def page(title: str, subtitle: str, sections: Sequence[str], style: str = "") -> str:
    """Renders a page from finished sections.

    Args:
        title: Heading of the page.
        subtitle: Line below the heading.
        sections: Sections as `Markup`, in order; an empty one is left out. A plain string is escaped.
        style: CSS of this page, added to the CSS that all pages share. It is not escaped.

    Returns:
        The whole HTML document.
    """
    return render_page(
        "maskfit.html", "page.html.j2", title=title, subtitle=subtitle, style=style, sections=list(sections)
    )


def section(title: str, lead: str, body: str, kind: str = "", *, anchor: str = "") -> Markup:
    """Renders a section with a heading, a paragraph and a body.

    Args:
        title: The heading.
        lead: Paragraph below the heading; none where it is empty.
        body: Content, as `Markup`; a plain string is escaped.
        kind: "long" where a printer may break the section over pages, else "".
        anchor: Target of links within the page; "" for none.

    Returns:
        The section.
    """
    return render(
        "maskfit.html", "section.html.j2", title=title, lead=lead, body=body, long=kind == "long", anchor=anchor
    )


def card(name: str, value: str, note: str, kind: str = "") -> Markup:
    """Renders a card with one number.

    Args:
        name: What the number is.
        value: The number.
        note: Explanation below the number.
        kind: CSS class: "first" for the main card, "ill" for a number that needs attention, else "".

    Returns:
        The card.
    """
    return render("maskfit.html", "card.html.j2", name=name, value=value, note=note, kind=kind)


def table(header: Sequence[str], rows: Sequence[str], numbers_from: int) -> Markup:
    """Renders a table that scrolls where it is wider than the page.

    Args:
        header: Names of the columns.
        rows: One `<tr>` each, as `Markup`; a plain string is escaped.
        numbers_from: Index of the first column whose heading is right-aligned.

    Returns:
        The table.
    """
    return render("maskfit.html", "table.html.j2", header=list(header), rows=list(rows), numbers_from=numbers_from)


def breakable_name(name: str) -> Markup:
    """Escapes a file name and adds invisible line-break opportunities after `/` and `_`.

    Args:
        name: Name of a photo.

    Returns:
        Markup whose text, when copied from the page, is the name itself.
    """
    return Markup(str(escape(name)).replace("/", "/<wbr>").replace("_", "_<wbr>"))


def read_text(package: str, name: str) -> str:
    """Reads a text file that is part of a package, for example a style sheet.

    Args:
        package: Dotted name of the package.
        name: File name in that package.

    Returns:
        The text.
    """
    return files(package).joinpath(name).read_text(encoding="utf-8")
