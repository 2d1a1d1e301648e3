"""Renders the Jinja2 templates that lie beside the modules of a package; every value is HTML-escaped by default."""

from __future__ import annotations

from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup

SHARED = "html"
"""Prefix under which every package reaches the templates of `maskfit.html`, as in `{% import "html/..." %}`."""


def render(package: str, template: str, **values: object) -> Markup:
    """Renders a template with every value escaped, except values that are `Markup` already.

    Args:
        package: Dotted name of the package that holds the template, for example `maskfit.report`.
        template: File name of the template in that package, for example `summary.html.j2`. Templates import or extend
            those of `maskfit.html` as `html/<file name>`.
        **values: Variables of the template.

    Returns:
        HTML that is safe to insert into another template.

    Raises:
        jinja2.TemplateNotFound: The package has no such template.
        jinja2.UndefinedError: The template uses a variable that is not in `values`.
    """
    return Markup(_environment(package).get_template(template).render(**values))


@cache
def _environment(package: str) -> Environment:
    shared = PrefixLoader({SHARED: PackageLoader("maskfit.html", "")})
    return Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), shared]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
