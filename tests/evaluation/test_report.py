"""The report: well-formed, self-contained, escaped, and with the numbers in it."""

from __future__ import annotations

import io
import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.errors import DataError
from maskfit.evaluation.charts import Line, age_chart, heat_table, line_chart, meter, reliability_chart, stacked_chart
from maskfit.evaluation.metrics import reliability
from maskfit.evaluation.report import write_report
from maskfit.evaluation.scores import confusions, score
from maskfit.labels import JOINT, SCHEMES, UNKNOWN, Attribute, Scheme

FULL = SCHEMES["mask-gender-age"]
RANDOM = np.random.default_rng(0)
CLASSES = np.arange(420) % 18
PROBABILITIES = 0.5 * RANDOM.dirichlet(np.full(18, 0.1), 420) + 0.5 * np.eye(18)[CLASSES]
TRUTH = FULL.to_codes(CLASSES)
SCORES = score(FULL, TRUTH, probabilities=PROBABILITIES, persons=np.arange(420) // 7, draws=100)
EVIL = "<script>alert('1')</script>\"&"


class Page(HTMLParser):
    """Collects tags, texts and attributes, and fails where tags do not close in order."""

    VOID = frozenset({"meta", "img", "br", "circle", "line", "path", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID or (tag in ("circle", "rect") and not self.get_starttag_text().endswith("/>")):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (30, 40), "teal").save(stream, "JPEG")
    return stream.getvalue()


def write(path: Path, **changes) -> str:
    options = {
        "title": "Five folds",
        "scheme": FULL,
        "scores": {"out of fold": SCORES, "fold 0": SCORES},
        "confusions": confusions(FULL, TRUTH, PROBABILITIES.argmax(axis=1)),
        "curves": [
            [{"epoch": e, "train_loss": 2 / (e + 1), "valid_loss": 2.1 / (e + 1), "valid_macro_f1": 1 - 1 / (e + 2)}
             for e in range(9)]
            for _ in range(5)
        ],
        "facts": {"recipe": "baseline", "time": "11 min"},
        "slices": {"men": SCORES},
        "calibration": reliability(CLASSES, PROBABILITIES),
        "ages": [(float(age), 10, age % 7) for age in range(18, 61)],
        "worst": [(jpeg(), "000001_female_Asian_45/mask1")],
    } | changes  # fmt: skip
    return write_report(path / "report.html", **options).read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_loads_nothing(tmp_path):
    text = write(tmp_path)
    page = Page(text)
    assert {"script", "link", "iframe", "a", "object"}.isdisjoint(tag for tag, _ in page.tags)
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert "url(" not in text
    sources = [attrs["src"] for tag, attrs in page.tags if tag == "img"]
    assert len(sources) == 1
    assert sources[0].startswith("data:image/jpeg;base64,")
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert any(attrs.get("name") == "viewport" for _, attrs in page.tags)
    assert any("default-src 'none'" in (attrs.get("content") or "") for _, attrs in page.tags)


def test_the_page_holds_the_numbers(tmp_path):
    page = Page(write(tmp_path))
    around = SCORES.intervals["macro_f1"]
    for number in (
        f"{SCORES.macro_f1:.3f}", f"{SCORES.accuracy:.3f}", f"{around.low:.3f} to {around.high:.3f}",
        f"{SCORES.per_attribute['mask'].macro_f1:.3f}", f"{SCORES.log_loss:.3f}", f"{SCORES.calibration_error:.3f}",
        *(f"{item.f1:.3f}" for item in SCORES.per_class), "420 photos", "baseline", "11 min", "fold 0", "worn wrongly",
    ):  # fmt: skip
        assert number in page.text
    charts = [attrs["aria-label"] for tag, attrs in page.tags if tag == "svg"]
    assert charts[:2] == ["Loss", "Macro F1"]
    assert sum("ring" in (attrs.get("class") or "") for _, attrs in page.tags) == 10


def test_every_cell_of_the_confusion_is_in_its_place(tmp_path):
    matrix = RANDOM.integers(0, 50, (18, 18))
    html = write(tmp_path, confusions={JOINT: matrix})
    table = html[html.index('<table class="heat many">') :]
    rows = re.findall(r"<tr[^>]*><th scope=row>.*?</tr>", table[: table.index("</table>")])
    found = [[int(cell.replace("·", "0")) for cell in re.findall(r"<td[^>]*>([^<]*)</td>", row)] for row in rows]
    assert found == matrix.tolist()


def test_everything_from_outside_is_escaped(tmp_path):
    attribute = Attribute(name="a<b", values=("<i>x", "y&z"), words=(EVIL, "<b>"))
    scheme = Scheme(attributes=(attribute, FULL["gender"]))
    scores = score(scheme, np.array([[0, 0], [1, 1]]), answers=np.array([1, 3]))
    text = write(
        tmp_path, title=EVIL, scheme=scheme, scores={EVIL: scores, "b": scores}, facts={EVIL: EVIL},
        confusions=confusions(scheme, np.array([[0, 0], [1, 1]]), np.array([1, 3])), slices={EVIL: scores},
        worst=[(jpeg(), EVIL)],
    )  # fmt: skip
    page = Page(text)
    assert "script" not in [tag for tag, _ in page.tags]
    assert "<i>x" not in text
    assert page.text.count(EVIL) >= 9


def test_what_is_not_given_has_no_section(tmp_path):
    bare = {
        "confusions": None,
        "curves": (),
        "facts": None,
        "slices": None,
        "calibration": None,
        "ages": (),
        "worst": (),
    }
    page = Page(write(tmp_path, scores={"all": SCORES}, **bare))
    for title in ("All scores", "Learning curves", "Confusions", "Slices", "Facts", "Worst errors", "How sure"):
        assert title not in page.text
    assert "Classes" in page.text


def test_scores_without_a_full_class_are_reported_as_such(tmp_path):
    truth = np.array([[0, UNKNOWN, UNKNOWN], [2, UNKNOWN, UNKNOWN]])
    scores = score(FULL, truth, answers=np.array([0, 12]))
    page = Page(write(tmp_path, scores={"a": scores, "b": scores}, confusions=confusions(FULL, truth, [0, 12])))
    assert "no photo's whole class is known" in page.text
    assert "nan" not in page.text


def test_no_scores_are_no_report(tmp_path):
    with pytest.raises(DataError, match="no scores"):
        write(tmp_path, scores={})


def test_another_scheme_has_a_report_too(tmp_path):
    scheme = SCHEMES["mask"]
    truth, answers = np.array([[0], [1], [2]]), np.array([0, 1, 1])
    page = Page(write(tmp_path, scheme=scheme, scores={"x": score(scheme, truth, answers=answers)},
                      confusions=confusions(scheme, truth, answers), slices=None, calibration=None))  # fmt: skip
    assert "worn wrongly" in page.text


def test_a_scheme_of_many_classes_has_its_mistakes_listed_and_no_endless_table(tmp_path):
    tags = tuple(Attribute(name=name, values=tuple(f"{name}{n}" for n in range(12))) for name in "ab")
    scheme = Scheme(attributes=tags)
    truth, answers = np.array([[0, 0], [1, 1]]), np.array([0, 14])
    scores = {"x": score(scheme, truth, answers=answers)}
    text = write(tmp_path, scheme=scheme, scores=scores, confusions=confusions(scheme, truth, answers), slices=None)
    assert "a1, b1" in text
    assert "a1, b2" in text
    assert len(text) < 400_000


def test_lines_leave_gaps_for_what_is_not_finite():
    line = Line("x", ((0, 1.0), (1, float("nan")), (2, 0.5), (3, float("inf")), (4, 0.25)), mark="min")
    drawn = line_chart([line], "loss", "epoch")
    path = re.search(r'<path d="([^"]*)"', drawn)[1]
    assert path.count("M") == 3
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert line_chart([Line("x", ((0, float("nan")),))], "loss", "epoch") == ""
    assert "<svg" in line_chart([Line("x", ((3, 0.5),))], "loss", "epoch")


def test_charts_are_well_formed_svg():
    bins = reliability(CLASSES, PROBABILITIES)
    for chart in (reliability_chart(bins), age_chart([(30.0, 4, 1), (31.0, 0, 0)], (30,)), meter(0.5)):
        Page(chart)
    assert "1 of 4 wrong" in age_chart([(30.0, 4, 1)], (30, 60))


def test_colour_is_the_share_of_the_row():
    table = heat_table(np.array([[100, 0], [3, 9]]), ["a", "b"])
    assert '--a:1.00" title="a answered as a: 100 photos, 100.0%"' in table
    assert '--a:0.50" title="b answered as a: 3 photos, 25.0%"' in table


def test_parts_of_a_bar_stand_on_each_other():
    chart = stacked_chart(
        [(20, (3, 1)), (21, (0, 2))], 1, "ages", "age", names=("a", EVIL), unit="persons", edges=(21, 90)
    )
    Page(chart)
    bars = re.findall(r'<rect [^>]*y="([\d.]+)" width="[\d.]+" height="([\d.]+)"><title>([^<]*)', chart)
    (low, tall, said), (above, small, _), (_, _, last) = bars
    assert (said, last) == ("20, a: 3 persons", f"21, {escape(EVIL)}: 2 persons")
    assert float(above) + float(small) == pytest.approx(float(low), abs=0.11)
    assert float(tall) == pytest.approx(3 * float(small), abs=0.11)
    assert chart.count('class="even"') == 1
    assert "30 to 35: 4 photos" in stacked_chart([(30, [4])], 5, "light", "brightness")
