"""Charts: well-formed, escaped, and with the numbers in their places."""

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


def test_lines_leave_gaps_for_what_is_not_finite():
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
    # The stripe beside 60 is beyond the picture.
    assert chart.count('class="near"') == 1


def test_a_reliability_chart_says_every_bin_before_and_after(parsed):
    before = ReliabilityCurve(np.array([10, 30]), np.array([0.7, 0.99]), np.array([0.5, 0.8]))
    after = ReliabilityCurve(np.array([10, 30]), np.array([0.55, 0.8]), np.array([0.5, 0.8]))
    chart = reliability_chart(before, after)
    parsed(chart)
    assert "before: 10 photos, 70.0% sure, 50.0% right" in chart
    assert "after: 30 photos, 80.0% sure, 80.0% right" in chart
    assert "calibration error 0.192 before, 0.013 after" in chart
    # Nothing lies outside of the frame, however near to 1 or far from it the bins are.
    for spot in (0.999, 0.05):
        one = ReliabilityCurve(np.array([5]), np.array([spot]), np.array([spot]))
        places = [float(y) for y in re.findall(r'cy="([-\d.]+)"', reliability_chart(one, one))]
        assert all(12 <= y <= 214 for y in places)


def test_colour_is_the_share_of_the_row():
    table = confusion_table(np.array([[100, 0], [3, 9]]), ["a", "b"])
    assert '--a:1.00" title="a answered as a: 100 photos, 100.0%"' in table
    assert '--a:0.50" title="b answered as a: 3 photos, 25.0%"' in table


def test_parts_of_a_bar_stand_on_each_other(parsed):
    chart = stacked_chart(
        [(20, (3, 1)), (21, (0, 2))], 1, "ages", "age", names=("a", EVIL), unit="persons", edges=(21, 90)
    )
    parsed(chart)
    bars = re.findall(r'<rect [^>]*y="([\d.]+)" width="[\d.]+" height="([\d.]+)"><title>([^<]*)', chart)
    (low, tall, said), (above, small, _), (_, _, last) = bars
    assert (said, last) == ("20, a: 3 persons", f"21, {escape(EVIL)}: 2 persons")
    assert float(above) + float(small) == pytest.approx(float(low), abs=0.11)
    assert float(tall) == pytest.approx(3 * float(small), abs=0.11)
    assert chart.count('class="even"') == 1
    assert "30 to 35: 4 photos" in stacked_chart([(30, [4])], 5, "light", "brightness")


def test_every_cell_of_a_confusion_is_in_its_place(parsed):
    matrix = np.random.default_rng(0).integers(0, 50, (18, 18))
    html = confusion_table(matrix, [f"class {n}" for n in range(18)], [("a", 6), ("b", 6), ("c", 6)])
    parsed(html)
    rows = re.findall(r"<tr[^>]*><th scope=row>.*?</tr>", html)
    found = [[int(cell.replace("·", "0")) for cell in re.findall(r"<td[^>]*>([^<]*)</td>", row)] for row in rows]
    assert found == matrix.tolist()
