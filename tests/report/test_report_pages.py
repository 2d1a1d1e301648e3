"""The pages: well-formed, alone in the world, escaped, and with the numbers of `--json` on them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError
from maskfit.evaluation.metrics import macro_f1
from maskfit.evaluation.probability_table import ProbabilityTable, read_table
from maskfit.file_io import write_csv
from maskfit.labels.schema import JOINT_HEAD, LABEL_SCHEMAS
from maskfit.report.build_report import compute_statistics, write_report
from maskfit.run_dir import RunDir

FULL = LABEL_SCHEMAS["mask-gender-age"]
EVIL = "<script>alert(1)</script>"


def write(tmp_path, runs, **options):
    figures = compute_statistics(runs, draws=40, **options)
    return figures, write_report(tmp_path / "page.html", figures).read_text(encoding="utf-8")


def assert_alone(text, page):
    """Nothing is loaded, nothing runs, every link stays on the page, and no number is missing."""
    assert {"script", "link", "iframe", "object", "form"}.isdisjoint(tag for tag, _ in page.tag_candidates)
    for word in ("http:", "https:", "@import", "url("):
        assert word not in text
    assert all(attrs["src"].startswith("data:image/jpeg;base64,") for tag, attrs in page.tag_candidates if tag == "img")
    anchors = {attrs["id"] for _, attrs in page.tag_candidates if "id" in attrs}
    assert {attrs["href"].removeprefix("#") for tag, attrs in page.tag_candidates if tag == "a"} <= anchors
    assert not re.search(r"\bnan\b|\binf\b|None", page.text)
    assert not re.search(r'="[^"]*\b(nan|inf)\b', text)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert any("default-src 'none'" in (attrs.get("content") or "") for _, attrs in page.tag_candidates)


def test_the_page_holds_the_figures(make_run, tmp_path, parsed):
    figures, text = write(tmp_path, [make_run(folds=3, about="tried by hand")])
    page = parsed(text)
    assert_alone(text, page)
    around = figures.scores.intervals["macro_f1"]
    calibration = figures.calibration["age"]
    for number in (
        f"{figures.scores.macro_f1:.3f}",
        f"{around.low:.3f} to {around.high:.3f}",
        "140 photos of 20 persons",
        f"{figures.shares[JOINT_HEAD].photos.value:.1%}",
        f"{figures.shares['age'].photos.value:.1%}",
        *(f"{item.f1:.3f}" for item in figures.scores.per_class if item.support or item.predicted),
        *(f"{item.macro_f1:.3f}" for item in figures.per_fold.values()),
        f"{calibration.temperature:.2f}",
        f"{calibration.before.error:.3f}",
        f"{calibration.after.error:.3f}",
        f"{figures.thresholds['gender'].overall_accuracy.value:.3f}",
        "tried by hand",
        "12 min",
        "3 folds",
        "Mistakes by age",
        f"{figures.slices['mask']['not worn'].right[JOINT_HEAD].value:.3f}",
    ):
        assert number in page.text, number
    titles = " ".join(re.findall(r"<title>([^<]*)</title>", text))
    for years, photos, wrong in figures.ages.rows:
        assert f"{years:g} years: {wrong:,} of {photos:,} wrong" in titles
    # One picture of each person with a mistake, all of them readable.
    wrong = compute_statistics([tmp_path / "run"], draws=5).material
    bad = (FULL.to_attribute_indices(wrong.table.predictions) != wrong.truth).any(axis=1)
    assert sum(tag == "img" for tag, _ in page.tag_candidates) == min(24, len(set(wrong.persons[bad].tolist())))


def test_the_rows_of_the_confusion_are_those_of_the_figures(make_run, tmp_path):
    figures, text = write(tmp_path, [make_run()])
    html = text[text.index('<table class="heat many">') :]
    rows = re.findall(r"<tr[^>]*><th scope=row>.*?</tr>", html[: html.index("</table>")])
    found = [[int(cell.replace("·", "0")) for cell in re.findall(r"<td[^>]*>([^<]*)</td>", row)] for row in rows]
    assert found == figures.confusions[JOINT_HEAD].tolist()


def test_hostile_names_are_text(people, make_run, tmp_path, parsed):
    rows = [
        (
            photo.path,
            f"{EVIL} {photo.person}",
            photo.labels["mask"],
            photo.labels["gender"],
            photo.labels["age"],
            f"{EVIL}{k % 2}",
        )
        for k, photo in enumerate(read_photos(people, FULL))
    ]
    source = write_csv(tmp_path / "evil.csv", ("path", "person", "mask", "gender", "age", EVIL), rows)
    runs = [make_run(f"{EVIL.replace('/', '')}{k}", source, about=EVIL, seed=k) for k in range(2)]
    for chosen in (runs[:1], runs):
        _, text = write(tmp_path, chosen, by=[EVIL])
        page = parsed(text)
        assert_alone(text, page)
        assert "<script" not in text
        assert "alert(1)" in page.text


def test_missing_things_leave_their_sections_out_and_nothing_empty(make_run, tmp_path, parsed):
    run = make_run(scheme=LABEL_SCHEMAS["mask"], key="mask", folds=1)
    (run / "fold0" / "metrics.csv").unlink()
    (run / "environment.json").write_text("broken")
    (run / "scores.json").unlink()
    (run / "folds.csv").unlink()
    _, text = write(tmp_path, [run])
    page = parsed(text)
    assert_alone(text, page)
    for title in ("How it learned", "Folds", "Mistakes by age", "What is taken for what"):
        assert f"<h2>{title}</h2>" not in text
    for title in ("In short", "Each attribute", "Classes", "Data and recipe"):
        assert f"<h2>{title}</h2>" in text


def test_classes_without_photos_have_dashes(make_run, people, tmp_path, parsed):
    young = [photo for photo in read_photos(people, FULL) if photo.labels["age"] < 60]
    rows = [(photo.path, photo.person, *(photo.labels[name] for name in FULL.names)) for photo in young]
    run = RunDir(make_run(root=write_csv(tmp_path / "young.csv", ("path", "person", *FULL.names), rows)))
    table = read_table(run.oof_probabilities)
    sure = np.full((len(table), 18), 0.001)
    sure[np.arange(len(table)), table.truth] = 1 - 0.017
    ProbabilityTable(table.names, sure, table.truth).write(run.oof_probabilities)
    figures, text = write(tmp_path, [run.path])
    assert_alone(text, parsed(text))
    assert figures.scores.macro_f1 == 1
    assert text.count("<td>–</td><td>–</td><td>–</td>") == 6
    assert "No mask is mistaken." in text


def test_runs_are_compared_by_pairs(make_run, tmp_path, parsed):
    first, second = make_run("first", skill=0.5), make_run("second", skill=0.95, seed=1)
    found, text = write(tmp_path, [first, second])
    page = parsed(text)
    assert_alone(text, page)
    tables = [read_table(run / "probabilities.csv") for run in (first, second)]
    truth = tables[0].truth
    scores = [macro_f1(truth, table.reindex(tables[0].names).predictions, 18) for table in tables]
    apart = found.against[0].macro_f1[JOINT_HEAD]
    assert apart.value == pytest.approx(scores[1] - scores[0])
    assert apart.low > 0
    assert f"second is better than first by {apart.value:.3f} in macro F1" in page.text
    right = [table.reindex(tables[0].names).predictions == truth for table in tables]
    agreement = found.against[0].agreement[JOINT_HEAD]
    assert (agreement.both, agreement.first) == ((right[0] & right[1]).sum(), (right[0] & ~right[1]).sum())
    assert sum(agreement.to_dict().values()) == 140
    for place, item in enumerate(found.against[0].per_class):
        f1 = [figures.scores.per_class[place].f1 for figures in found.runs]
        assert item is None or item.value == pytest.approx(f1[1] - f1[0])
    # The same run under another name is the same: no difference, no interval.
    same = compute_statistics([first, make_run("copy", skill=0.5)], draws=20).against[0].macro_f1[JOINT_HEAD]
    assert (same.low, same.value, same.high) == (0, 0, 0)


def test_other_labels_are_told_and_other_photos_left_out(make_run, people, tmp_path):
    rows = [
        (p.path, p.person, p.labels["mask"], "male" if k < 7 else p.labels["gender"], p.labels["age"])
        for k, p in enumerate(read_photos(people, FULL))
        if k < 133
    ]
    source = write_csv(people / "fewer.csv", ("path", "person", *FULL.names), rows)
    try:
        found, text = write(tmp_path, [make_run("whole"), make_run("fewer", source)])
    finally:
        source.unlink()
    assert found.left_out == 7
    assert found.relabelled == (7,)
    assert found.truths[0][0] == pytest.approx(found.runs[0].scores.macro_f1)
    assert found.truths[0] != found.truths[1]
    assert "different labels for up to 7 photos" in text
    assert "data.path" in text


def test_runs_that_cannot_be_compared_are_refused(make_run):
    run = make_run("one")
    with pytest.raises(DataError, match="named twice"):
        compute_statistics([run, run])
    with pytest.raises(DataError, match="its answers are about mask"):
        compute_statistics([run, make_run("two", scheme=LABEL_SCHEMAS["mask"], key="mask")])
