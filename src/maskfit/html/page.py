"""Self-contained HTML pages.

A page loads nothing and runs nothing: no scripts, no fonts, no links to other sites, and a content security policy that
forbids them. So it can be mailed, printed and archived. Values are HTML-escaped unless they are `Markup`.
"""

from __future__ import annotations

from importlib.resources import files

from markupsafe import Markup, escape

from maskfit.html.templates import render
from maskfit.version import __version__


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
