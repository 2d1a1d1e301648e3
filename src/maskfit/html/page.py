"""One HTML page that holds everything it shows and asks nothing of a network: its frame, cards, sections and tables.

No scripts, no fonts, no links to elsewhere: it can be mailed, printed and opened in ten years, and it forbids itself to
load or run anything. Names, headings and titles are escaped here; a body or a remark is markup, and whoever makes it
escapes what comes from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files

from maskfit import __version__


def page(title: str, subtitle: str, sections: Sequence[str], style: str = "") -> str:
    """The whole page.

    Args:
        title: Its heading.
        subtitle: A line beneath it.
        sections: Markup, one after the other; an empty text is left out.
        style: CSS of this page beside the CSS of all.
    """
    common = files("maskfit.html").joinpath("page.css").read_text(encoding="utf-8")
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{escape(title)}</title>
<style>
{common}{style}</style>
</head>
<body><main>
<header><h1>{escape(title)}</h1><p>{escape(subtitle)}</p></header>
{"".join(f"{section}{chr(10)}" for section in sections if section)}<footer>Written by maskfit {__version__}.</footer>
</main></body>
</html>
"""


def section(title: str, remark: str, body: str, kind: str = "", *, anchor: str = "") -> str:
    """A section with a heading, a remark and a body.

    Args:
        title: The heading, as text.
        remark: A paragraph beneath it, as markup; none where it is empty.
        body: Markup.
        kind: `long` where a printer may break it.
        anchor: What a link on the page leads to.
    """
    lead = f"<p>{remark}</p>" if remark else ""
    place = f' id="{escape(anchor)}"' if anchor else ""
    return f'<section class="{kind}"{place}><h2>{escape(title)}</h2>{lead}{body}</section>'


def card(name: str, value: str, remark: str, kind: str = "") -> str:
    """A number to see at a glance: its name as text, the number and a remark as markup."""
    return f'<div class="{f"card {kind}".strip()}"><h2>{escape(name)}</h2><b>{value}</b><p>{remark}</p></div>'


def table(header: Sequence[str], rows: Sequence[str], numbers_from: int) -> str:
    """A table that scrolls where it is wider than the page.

    Args:
        header: Names of the columns, as text.
        rows: Each a `<tr>`.
        numbers_from: The first column whose heading stands to the right.
    """
    heads = "".join(
        f'<th scope="col"{" class=number" if place >= numbers_from else ""}>{escape(name)}</th>'
        for place, name in enumerate(header)
    )
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
