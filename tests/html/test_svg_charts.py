"""Charts: well-formed SVG, escaped texts, and the right numbers in the right places."""

from __future__ import annotations

import re
from html import escape

import numpy as np
import pytest

from maskfit.evaluation.metrics import ReliabilityCurve
from maskfit.html.svg_charts import (
    Line,
    age_chart,
    confusion_table,
    line_chart,
    reliability_chart,
    score_bar,
    stacked_chart,
)

EVIL = "<script>alert('1')</script>\"&"


def test_lines_have_gaps_where_y_is_not_finite():
    line = Line("x", ((0, 1.0), (1, float("nan")), (2, 0.5), (3, float("inf")), (4, 0.25)), marker="min")
    drawn = line_chart([line], "loss", "epoch")
    path = re.search(r'<path d="([^"]*)"', drawn)[1]
    assert path.count("M") == 3
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert line_chart([Line("x", ((0, float("nan")),))], "loss", "epoch") == ""
    assert "<svg" in line_chart([Line("x", ((3, 0.5),))], "loss", "epoch")


def test_charts_are_well_formed_svg(parsed):
    for chart in (age_chart([(30.0, 4, 1), (31.0, 0, 0)], (30,), 3), score_bar(0.5)):
        parsed(chart)
    chart = age_chart([(30.0, 4, 1), (33.0, 4, 0)], (30, 60), 3)
    assert "30 years: 1 of 4 wrong" in chart
    # The stripe around 60 lies outside of the chart.
    assert chart.count('class="near"') == 1


def test_a_reliability_chart_has_a_tooltip_for_every_bin(parsed):
    before = ReliabilityCurve(np.array([10, 30]), np.array([0.7, 0.99]), np.array([0.5, 0.8]))
    after = ReliabilityCurve(np.array([10, 30]), np.array([0.55, 0.8]), np.array([0.5, 0.8]))
    chart = reliability_chart(before, after)
    parsed(chart)
    assert "before: 10 photos, confidence 70.0%, accuracy 50.0%" in chart
    assert "after: 30 photos, confidence 80.0%, accuracy 80.0%" in chart
    assert "calibration error 0.192 before, 0.013 after" in chart
    # No point lies outside of the plot area, however close to 1 or far from 1 the bins are.
    for value in (0.999, 0.05):
        one = ReliabilityCurve(np.array([5]), np.array([value]), np.array([value]))
        heights = [float(y) for y in re.findall(r'cy="([-\d.]+)"', reliability_chart(one, one))]
        assert all(12 <= y <= 214 for y in heights)


def test_cell_color_is_the_fraction_of_the_row():
    table = confusion_table(np.array([[100, 0], [3, 9]]), ["a", "b"])
    assert '--a:1.00" title="a predicted as a: 100 photos, 100.0%"' in table
    assert '--a:0.50" title="b predicted as a: 3 photos, 25.0%"' in table


def test_parts_of_a_bar_are_stacked(parsed):
    chart = stacked_chart(
        [(20, (3, 1)), (21, (0, 2))], 1, "ages", "age", names=("a", EVIL), unit="persons", edges=(21, 90)
    )
    parsed(chart)
    bars = re.findall(r'<rect [^>]*y="([\d.]+)" width="[\d.]+" height="([\d.]+)"><title>([^<]*)', chart)
    (low, tall, first), (above, small, _), (_, _, last) = bars
    assert (first, last) == ("20, a: 3 persons", f"21, {escape(EVIL)}: 2 persons")
    assert float(above) + float(small) == pytest.approx(float(low), abs=0.11)
    assert float(tall) == pytest.approx(3 * float(small), abs=0.11)
    assert chart.count('class="even"') == 1
    assert "30 to 35: 4 photos" in stacked_chart([(30, [4])], 5, "light", "brightness")


def test_every_cell_of_a_confusion_matrix_is_in_its_place(parsed):
    matrix = np.random.default_rng(0).integers(0, 50, (18, 18))
    html = confusion_table(matrix, [f"class {n}" for n in range(18)], [("a", 6), ("b", 6), ("c", 6)])
    parsed(html)
    rows = re.findall(r"<tr[^>]*><th scope=row>.*?</tr>", html)
    found = [[int(cell.replace("·", "0")) for cell in re.findall(r"<td[^>]*>([^<]*)</td>", row)] for row in rows]
    assert found == matrix.tolist()


def test_hostile_names_are_escaped(parsed):
    """Every chart that shows a name from outside."""
    curve = ReliabilityCurve(np.array([5]), np.array([0.9]), np.array([0.8]))
    for chart in (
        line_chart([Line(EVIL, ((0, 1.0), (1, 2.0)))], EVIL, EVIL),
        reliability_chart(curve, curve, (EVIL, EVIL)),
        stacked_chart([(20, (3,))], 1, EVIL, EVIL, names=(EVIL,), unit=EVIL),
        confusion_table(np.array([[1, 2], [0, 3]]), [EVIL, "b"], [(EVIL, 2)]),
    ):
        page = parsed(chart)
        assert "script" not in {tag for tag, _ in page.tags}
        assert escape(EVIL) in chart
