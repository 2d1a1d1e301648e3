"""The page's pictures: mean faces, contact sheets, photos that are there twice, photos that are odd."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from maskfit.exploration.explore import ExplorationResult
from maskfit.exploration.mean_faces import MOST_CLASSES, open_pictures
from maskfit.exploration.near_duplicates import MIN_EDGE_SIMILARITY
from maskfit.exploration.outliers import KINDS
from maskfit.html.page import section
from maskfit.labels.schema import UNKNOWN, LabelSchema

MOST_TWINS, MOST_GROUPS, MOST_ODD = 24, 12, 24
"""How many pairs of persons, groups of identical files, and photos of each kind of oddity are shown."""

WIDEST_GROUP = 4
"""How many photos of a group of identical files are shown; all are named."""


def data_uri(jpeg: bytes) -> str:
    """A JPEG within the page."""
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"


def means_section(findings: ExplorationResult) -> str:
    """The mean face of every class, laid out as the map of the classes is, and of every value."""
    scheme = findings.scheme
    figures = [
        _mean_figure(mean, f"{attribute.name}: {attribute.display_name(code)}")
        for attribute in scheme.attributes
        for code in range(len(attribute.values))
        if (mean := findings.faces.of_value(attribute.name, code))
    ]
    body = f'<div class="values">{"".join(figures)}</div>'
    if len(scheme.names) > 1 and scheme.classes <= MOST_CLASSES:
        columns = scheme.classes // len(scheme.attributes[0].values)
        cells = "".join(_mean_of_class(findings, number) for number in range(scheme.classes))
        grid = f'<div class="means" style="grid-template-columns:repeat({columns},minmax(62px,1fr))">{cells}</div>'
        body = f'<div class="faces"><div>{grid}</div><div><h3>Of each value</h3>{body}</div></div>'
    remark = "The mean of all photos. The sharper a face, the more alike the photos are framed; what stays grey varies."
    return section("Mean faces", remark, body, "long", anchor="means") if figures else ""


def _mean_of_class(findings: ExplorationResult, number: int) -> str:
    word = findings.scheme.describe(number)
    mean = findings.faces.of_class(number)
    if mean is None:
        return f'<figure><div class="none">no photo</div><figcaption>{escape(word)}</figcaption></figure>'
    return _mean_figure(mean, word)


def _mean_figure(mean: tuple[bytes, int], word: str) -> str:
    jpeg, photos = mean
    said = f"{escape(word)}<small>{photos:,} photos</small>"
    image = f'<img src="{data_uri(jpeg)}" width="96" height="128" alt="mean face of {photos} photos, {escape(word)}">'
    return f"<figure>{image}<figcaption>{said}</figcaption></figure>"


def copies_section(findings: ExplorationResult) -> str:
    """Photos that are there twice: nearly the same under two persons, and files that are identical."""
    parts = [_twins(findings), _identical(findings)]
    remark = (
        "A photo under two persons is a leak: a split over persons can put it on both sides. Near ones are found by "
        f"hash and held to be one photo where their edges correlate by {MIN_EDGE_SIMILARITY:g} or more; photos of one and the same "
        "person are nearly the same by nature and are not listed."
    )
    if findings.twins.cut:
        remark += " So many hashes are near that only the nearest were compared."
    if not any(parts):
        looked = findings.twins.proposed
        parts = [f"<p>None. The hash proposed {looked:,} pairs of persons; on a second look none was one photo.</p>"]
    return section("The same photo twice", remark, "".join(parts), "long", anchor="same")


def _twins(findings: ExplorationResult) -> str:
    found = findings.twins.found
    shown = found[:MOST_TWINS]
    if not shown:
        return ""
    pictures = open_pictures(findings.photos, (n for twin in shown for n in (twin.first, twin.second)), 200)
    figures = []
    for twin in shown:
        said = f"{twin.likeness:.0%} alike · {twin.bits} of 64 bits differ"
        said += " · mirrored" if twin.mirrored else ""
        said += f" · {twin.pairs} near pairs of photos" if twin.pairs > 1 else ""
        figures.append(_side_by_side(findings, (twin.first, twin.second), pictures, said))
    more = f" <small>{len(shown)} of {len(found):,}, the most alike first</small>" if len(found) > len(shown) else ""
    return f'<h3>Nearly the same, of two persons{more}</h3><div class="twins">{"".join(figures)}</div>'


def _identical(findings: ExplorationResult) -> str:
    # What crosses persons is a leak and comes first.
    groups = sorted(findings.identical, key=lambda group: not findings.crosses(group))
    shown = groups[:MOST_GROUPS]
    if not shown:
        return ""
    pictures = open_pictures(findings.photos, (n for group in shown for n in group[:WIDEST_GROUP]), 160)
    figures = []
    for group in shown:
        kind = "of several persons" if findings.crosses(group) else "of one person"
        said = f"one file {len(group)} times, {kind}"
        rest = [findings.photos[number].name for number in group[WIDEST_GROUP:]]
        said += f": also {', '.join(rest)}" if rest else ""
        figures.append(_side_by_side(findings, group[:WIDEST_GROUP], pictures, said))
    more = f" <small>{len(shown)} of {len(groups):,}</small>" if len(groups) > len(shown) else ""
    return f'<h3>Identical files{more}</h3><div class="twins">{"".join(figures)}</div>'


def _side_by_side(findings: ExplorationResult, numbers: Iterable[int], pictures: Mapping[int, bytes], said: str) -> str:
    spans = "".join(
        f'<span><img src="{data_uri(pictures[n])}" alt="{escape(findings.photos[n].name)}">'
        f"{say_name(findings.photos[n].name)}<br>{escape(say_labels(findings, n))}</span>"
        for n in numbers
    )
    return f"<figure><div>{spans}</div><figcaption>{escape(said)}</figcaption></figure>"


def say_labels(findings: ExplorationResult, number: int) -> str:
    """What is known of a photo, for people; years where they are known."""
    labels = findings.photos[number].labels
    words = []
    for attribute, code in zip(findings.scheme.attributes, findings.codes[number].tolist(), strict=True):
        value = labels.get(attribute.name)
        words.append(f"{value:g}" if isinstance(value, float) else attribute.display_name(code))
    return ", ".join(words)


def oddities_section(findings: ExplorationResult) -> str:
    """Photos of each kind of oddity, the most striking first and one of each person before a second."""
    parts = []
    for kind in KINDS:
        numbers = findings.oddities[kind.name]
        if not numbers:
            continue
        shown = one_per_person(findings, numbers)[:MOST_ODD]
        pictures = open_pictures(findings.photos, shown, 128)
        figures = "".join(
            f'<figure><img src="{data_uri(pictures[n])}" alt="{escape(findings.photos[n].name)}">'
            f"<figcaption>{say_name(findings.photos[n].name)}</figcaption></figure>"
            for n in shown
        )
        persons = len({findings.photos[number].person for number in numbers})
        count = f"<small>{escape(kind.what)} · {len(numbers):,} photos of {persons:,} persons</small>"
        whole = " whole" if kind.name == "shape" else ""
        parts.append(f'<h3>{kind.name.capitalize()} {count}</h3><div class="photos small{whole}">{figures}</div>')
    remark = "Unlike most of the set. Odd is not wrong: look, and decide."
    return section("Oddities", remark, "".join(parts), "long", anchor="odd") if parts else ""


def one_per_person(findings: ExplorationResult, numbers: Sequence[int]) -> list[int]:
    """The numbers in their order, but the first of each person before the second of any."""
    seen: dict[str, int] = {}
    rounds = []
    for number in numbers:
        person = findings.photos[number].person
        seen[person] = seen.get(person, 0) + 1
        rounds.append((seen[person], number))
    return [number for _, number in sorted(rounds, key=lambda item: item[0])]


def say_name(name: str) -> str:
    """A photo's name as markup, with room to break it; what is copied from the page is the name."""
    return escape(name).replace("/", "/<wbr>").replace("_", "_<wbr>")


def sheets_section(findings: ExplorationResult) -> tuple[str, str]:
    """The contact sheets, and the CSS that holds their pictures and lets the reader choose among them."""
    scheme, sheets = findings.scheme, findings.sheets
    style, parts = [], []
    totals = {number: int((findings.classes == number).sum()) for number in sheets}
    for place, (number, sheet) in enumerate(sheets.items()):
        count = len(sheet.numbers)
        style.append(f".s{place} i{{background-image:url({data_uri(sheet.strip)})}}")
        step = 100 / max(count - 1, 1)
        cells = "".join(
            f'<i role="img" {_label(findings, name)} style="background-position:{step * n:.2f}% 0"></i>'
            for n, name in enumerate(sheet.numbers)
        )
        word = "class not fully known" if number == UNKNOWN else scheme.describe(number)
        said = f"<small>{count} of {totals[number]:,} photos</small>"
        parts.append(
            f'<div class="sheet {_kinds(scheme, number)}"><h3>{escape(word)} {said}</h3>'
            f'<div class="strip s{place}" style="--n:{count}">{cells}</div></div>'
        )
    chooser, rules = _chooser(scheme) if len(sheets) > 1 else ("", "")
    remark = "Drawn by lot, one of each person before a second of any. Point at a photo to see it larger, and its name."
    body = section("Contact sheets", remark, chooser + "".join(parts), "long", anchor="sheets")
    return body, "\n".join([*style, rules])


def _label(findings: ExplorationResult, number: int) -> str:
    said = escape(f"{findings.photos[number].name}: {say_labels(findings, number)}")
    return f'title="{said}" aria-label="{said}"'


def _kinds(scheme: LabelSchema, number: int) -> str:
    codes = scheme.to_attribute_indices([number])[0].tolist()
    return " ".join(f"v{place}-{code}" for place, code in enumerate(codes))


def _chooser(scheme: LabelSchema) -> tuple[str, str]:
    """A row of buttons for each attribute, and the rules by which they hide sheets; it needs no script."""
    sets, rules = [], []
    for place, attribute in enumerate(scheme.attributes):
        words = ["all", *(attribute.display_name(code) for code in range(len(attribute.values)))]
        if len(words) > 13:
            continue
        buttons = []
        for code, word in enumerate(words, start=-1):
            name = f"f{place}-{code}"
            checked = " checked" if code < 0 else ""
            buttons.append(f'<input type="radio" name="f{place}" id="{name}"{checked}><label for="{name}">')
            buttons.append(f"{escape(word)}</label>")
            if code >= 0:
                rules.append(f"#sheets:has(#{name}:checked) .sheet:not(.v{place}-{code}){{display:none}}")
        sets.append(f"<fieldset><legend>{escape(attribute.name)}</legend>{''.join(buttons)}</fieldset>")
    return f'<div class="choose">{"".join(sets)}</div>', "\n".join(rules)
